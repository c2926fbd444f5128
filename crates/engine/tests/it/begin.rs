//! Runs that begin in the commit that accepts their event, and what must not come of that.

use std::sync::Arc;

use serde_json::json;
use store::{Cut, RunStatus};

use crate::flows::{document, one};
use crate::vendor::Trouble;
use crate::world::{Node, World, kinds, run};

/// A writer whose lanes are its events' `lane`.
fn writer() -> String {
    let concurrency = "{concurrency: {key: '${ .data.lane }', mode: queue}}";
    let tasks = "  - act: {call: acme.charges.create, with: {connection: acme, name: '${ $event.id }'}}\n";
    document("writer", concurrency, tasks)
}

/// The flows are read with the first event; from then on runs begin at once.
async fn warm(node: &mut Node<'_>, flow: &str) {
    node.deploy(flow).await;
    node.event("evt_0", json!({"lane": "warm"})).await;
    node.quiet().await;
}

fn statuses(node: &Node<'_>) -> Vec<RunStatus> {
    node.runs().into_iter().map(|run| run.status).collect()
}

#[test]
fn a_run_with_one_write_has_two_commits() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        let before = node.commits();
        node.event("evt_1", json!({"lane": "a"})).await;
        node.quiet().await;
        assert_eq!(node.commits() - before, 2, "the event and the intent, the result and the end");
        let runs = node.runs();
        assert_eq!(kinds(&node.journal(&runs[1].id)), "sirf");
        assert_eq!(world.vendor.names("charges"), ["evt_0", "evt_1"]);
    });
}

#[test]
fn a_duplicate_begins_nothing() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        node.event("evt_1", json!({"lane": "a"})).await;
        node.quiet().await;
        node.event("evt_1", json!({"lane": "b"})).await;
        node.quiet().await;
        assert_eq!(statuses(&node), [RunStatus::Completed; 2]);
        assert_eq!(world.vendor.names("charges"), ["evt_0", "evt_1"]);
    });
}

#[test]
fn a_fact_that_was_told_begins_nothing() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        let tasks = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}\n";
        node.deploy(&document("reader", "{dedup: {key: '${ .data.fact }'}}", tasks)).await;
        for (key, fact) in [("evt_0", "x"), ("evt_1", "y"), ("evt_2", "y")] {
            node.event(key, json!({"fact": fact})).await;
            node.quiet().await;
        }
        assert_eq!(statuses(&node), [RunStatus::Completed; 2]);
        assert_eq!(world.vendor.lines().len(), 2, "the fact was told: its run never was");
    });
}

#[test]
fn a_flow_that_was_deployed_meanwhile_counts() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        node.deploy_only(&one("acme.notes.create")).await;
        node.event("evt_1", json!({"lane": "a"})).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["evt_0", "evt_1"]);
        assert_eq!(world.vendor.names("notes"), ["a"]);
    });
}

#[test]
fn a_paused_flow_begins_nothing() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        let (store, workspace) = (node.store.clone(), crate::world::default_workspace());
        node.drive(store.pause_flow(&workspace, "writer")).await.unwrap();
        for key in ["evt_1", "evt_2"] {
            node.event(key, json!({"lane": key})).await;
            node.settle().await;
        }
        assert_eq!(statuses(&node)[1..], [RunStatus::Queued; 2]);
        node.drive(store.resume_flow(&workspace, "writer")).await.unwrap();
        node.wake();
        node.quiet().await;
        assert_eq!(statuses(&node), [RunStatus::Completed; 3]);
    });
}

#[test]
fn a_lane_keeps_its_order_while_runs_begin_at_once() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        // The first one is slow, the next wait for it, and other lanes pass them.
        world.vendor.trouble("POST /charges", [Trouble::Status(503, None)]);
        let mut keys = Vec::new();
        for number in 1..=6 {
            let key = format!("evt_{number}");
            node.event(&key, json!({"lane": if number == 4 { "b" } else { "a" }})).await;
            keys.push(key);
        }
        node.quiet().await;
        assert_eq!(statuses(&node), [RunStatus::Completed; 7]);
        let charged = world.vendor.names("charges");
        let of_lane: Vec<&String> =
            charged.iter().filter(|name| *name != "evt_0" && *name != "evt_4").collect();
        assert_eq!(of_lane, ["evt_1", "evt_2", "evt_3", "evt_5", "evt_6"]);
    });
}

/// What three events in two lanes come to.
async fn three(world: &World, node: &mut Node<'_>) -> (Vec<String>, Vec<RunStatus>) {
    for (key, lane) in [("evt_1", "a"), ("evt_2", "a"), ("evt_3", "b")] {
        // A vendor whose delivery is not acknowledged delivers again: to the node that takes over.
        if node.accept(key, json!({"lane": lane})).await.is_err() {
            break;
        }
    }
    node.quiet().await;
    let mut charged = world.vendor.names("charges");
    charged.sort();
    (charged, statuses(node))
}

#[test]
fn death_at_any_commit_of_runs_that_began_at_once_changes_nothing() {
    let expected = (
        vec!["evt_0".to_owned(), "evt_1".to_owned(), "evt_2".to_owned(), "evt_3".to_owned()],
        vec![RunStatus::Completed; 4],
    );
    let (first, last) = run(async {
        let world = World::new();
        let mut node = world.boot();
        warm(&mut node, &writer()).await;
        let first = node.commits();
        assert_eq!(three(&world, &mut node).await, expected);
        (first, node.commits())
    });
    assert!(last - first >= 6, "{first} {last}");
    for number in first + 1..=last {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = World::new();
                let mut node =
                    world.boot_cut(Some(Arc::new(move |commit| (commit == number).then_some(cut))));
                warm(&mut node, &writer()).await;
                three(&world, &mut node).await;
                node.kill().await;
                let mut node = world.boot();
                let found = three(&world, &mut node).await;
                assert_eq!(found, expected, "commit {number}, {cut:?}");
            });
        }
    }
}
