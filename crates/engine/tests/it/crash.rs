//! A node that dies at any point, and the one that takes over.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::EffectRef;
use flow::journal::Entry;
use serde_json::{Value, json};
use store::{Cut, Cuts, RunStatus};

use crate::flows::every_way;
use crate::vendor::Trouble;
use crate::world::{Node, World, kinds, run};

/// What there is to compare at the end of a life.
#[derive(Debug, PartialEq)]
struct End {
    vendor: Value,
    statuses: Vec<RunStatus>,
    /// Results by effect; every effect has one.
    results: BTreeMap<EffectRef, Value>,
}

fn world() -> World {
    let world = World::new();
    world.vendor.put_thing("t", json!({"name": "T"}));
    world
}

/// A vendor that is well, and one that is not.
const HEALTHY: &[(&str, Trouble)] = &[];
const TROUBLED: &[(&str, Trouble)] = &[
    ("POST /charges", Trouble::AnswerLost),
    ("POST /customers", Trouble::Status(429, Some(60))),
    ("POST /notes", Trouble::RequestLost),
    ("GET /records", Trouble::Status(503, None)),
    ("PUT /states/s", Trouble::NotReached),
];

fn troubled(troubles: &[(&str, Trouble)]) -> World {
    let world = world();
    troubles.iter().for_each(|(line, trouble)| world.vendor.trouble(line, [trouble.clone()]));
    world
}

fn end(node: &Node<'_>) -> End {
    let mut results = BTreeMap::new();
    for run in node.runs() {
        for entry in node.journal(&run.id) {
            if let Entry::Resolved { effect, outcome, .. } = entry {
                let before = results.insert(effect, serde_json::to_value(outcome).unwrap());
                assert_eq!(before, None, "an effect has one result");
            }
        }
    }
    End {
        vendor: node.world.vendor.world(),
        statuses: node.runs().into_iter().map(|run| run.status).collect(),
        results,
    }
}

/// The undisturbed life; how many commits it begins and ends with, and how many requests it sends.
fn undisturbed(troubles: &[(&str, Trouble)]) -> (End, u64, u64, usize) {
    run(async {
        let world = troubled(troubles);
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        node.settle().await;
        let before = node.commits();
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let end = end(&node);
        assert_eq!(end.statuses, [RunStatus::Completed]);
        (end, before, node.commits(), world.vendor.lines().len())
    })
}

/// Takes over after a death: what was resolved by then is not sent again, and the end is the undisturbed one.
async fn take_over(world: &World, expected: &End, at_request: bool, when: &str) {
    let sent_before = world.vendor.lines();
    let mut node = world.boot();
    let journals: Vec<_> = node.runs().iter().map(|run| node.journal(&run.id)).collect();
    node.event("evt_1", json!({})).await;
    node.quiet().await;
    assert_eq!(
        &end(&node),
        expected,
        "{when}, journal then {:?}",
        journals.iter().map(|j| kinds(j)).collect::<Vec<_>>()
    );
    let sent_after = world.vendor.lines().split_off(sent_before.len());
    let line = |operation: &str| match operation {
        "acme.charges.create" => Some("POST /charges"),
        "acme.customers.create" => Some("POST /customers"),
        "acme.notes.create" => Some("POST /notes"),
        "acme.states.set" => Some("PUT /states/s"),
        _ => None,
    };
    let resolved = journals.iter().flatten().filter_map(|entry| match entry {
        Entry::Resolved { operation, .. } => line(operation),
        _ => None,
    });
    let resolved: Vec<&str> = resolved.collect();
    if at_request {
        // The last request is the one that was not answered. A result is durable before anything else is sent.
        let answered = sent_before[..sent_before.len() - 1].iter().filter(|sent| !sent.starts_with("GET"));
        assert_eq!(resolved, answered.collect::<Vec<_>>(), "{when}");
    }
    for line in resolved {
        assert!(!sent_after.iter().any(|sent| sent == line), "{when}: {line} was sent again");
    }
    assert!(world.told.0.lock().unwrap().is_empty(), "{when}: nobody is to be told");
}

#[test]
fn death_at_any_commit_changes_nothing() {
    die_at_any_commit(HEALTHY, 8);
}

#[test]
fn death_at_any_commit_amid_trouble_changes_nothing() {
    die_at_any_commit(TROUBLED, 12);
}

fn die_at_any_commit(troubles: &[(&str, Trouble)], commits_min: u64) {
    let (expected, first, last, _) = undisturbed(troubles);
    assert!(last - first >= commits_min, "{first} {last}");
    for number in first + 1..=last {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = troubled(troubles);
                let cuts: Cuts = Arc::new(move |commit| (commit == number).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                node.deploy(&every_way()).await;
                node.settle().await;
                // Where the first commit is cut off, the vendor is told of it and will send the event again.
                drop(node.accept("evt_1", json!({})).await);
                node.quiet().await;
                assert!(node.is_dead());
                node.kill().await;
                take_over(&world, &expected, false, &format!("commit {number}, cut {cut:?}")).await;
            });
        }
    }
}

#[test]
fn death_at_any_request_changes_nothing() {
    let (expected, _, _, requests) = undisturbed(HEALTHY);
    for number in 0..requests {
        for trouble in [Trouble::Hang, Trouble::HangBefore] {
            run(async {
                let world = world();
                world.vendor.trouble_at(number, trouble.clone());
                let mut node = world.boot();
                node.deploy(&every_way()).await;
                node.event("evt_1", json!({})).await;
                node.quiet().await;
                assert!(node.is_dead());
                node.kill().await;
                take_over(&world, &expected, true, &format!("request {number}, {trouble:?}")).await;
            });
        }
    }
}

#[test]
fn a_node_that_never_comes_back_loses_its_runs_to_another() {
    run(async {
        let mut world = world();
        world.vendor.trouble("POST /notes", [Trouble::Hang]);
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        node.kill().await;
        world.config.node = "node-2".to_owned();
        let mut node = world.boot();
        node.settle().await;
        assert_eq!(node.the_run().node.as_deref(), Some("node-1"), "until the lease ends");
        node.quiet().await;
        let run = node.the_run();
        assert_eq!((run.status, run.epoch), (RunStatus::Completed, 2));
        assert_eq!(world.vendor.names("notes").len(), 1);
    });
}

#[test]
fn a_run_that_kills_its_node_every_time_is_failed_in_the_end() {
    run(async {
        let world = world();
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        node.settle().await;
        let run = node.start("every-way", json!({})).await;
        for _ in 0..engine::limits::CLAIMS_MAX {
            node.claim_and_die(&run).await;
        }
        node.quiet().await;
        let fault = node.the_run().fault.unwrap();
        assert_eq!(fault.code(), "run_limit");
        assert!(world.vendor.lines().is_empty());
    });
}
