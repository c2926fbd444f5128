//! Runs that ask people: asked once, whatever dies; gone on by what was decided, or by the clock.

use flow::ApprovalId;
use flow::approval::Decision;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::approvals::{Approval, ApprovalQuery, ApprovalStatus};
use store::{Page, RunStatus};

use crate::flows::document;
use crate::vendor::Trouble;
use crate::world::{Node, World, default_workspace, read, run};

/// Asks, then writes what was chosen.
fn flow(with: &str) -> String {
    let tasks = format!(
        "  - ask: {{call: human.approve, with: {with}}}\n  \
         - act: {{call: acme.charges.create, with: {{connection: acme, name: '${{ $steps.ask.choice }}'}}}}\n"
    );
    document("asks", "{}", &tasks)
}

fn approvals(node: &Node<'_>) -> Vec<Approval> {
    let (workspace, query) = (default_workspace(), ApprovalQuery::default());
    read(node.store.approvals(&workspace, &query, Page::default())).unwrap().items
}

async fn parked(node: &mut Node<'_>) -> ApprovalId {
    node.until(|node| node.runs().iter().any(|run| run.status == RunStatus::Parked)).await;
    let asked = approvals(node);
    assert_eq!(asked.len(), 1, "asked once: {asked:?}");
    assert_eq!(asked[0].status, ApprovalStatus::Open);
    asked[0].id.clone()
}

async fn decide(node: &mut Node<'_>, id: &ApprovalId, choice: &str) {
    let decision = Decision {
        by: "ann".into(),
        choice: choice.into(),
        comment: None,
        at: flow::clock::Clock::now(&*node.world.time),
        via: "api".into(),
        origin: None,
    };
    let (store, workspace) = (node.store.clone(), default_workspace());
    node.drive(store.decide(&workspace, id, decision)).await.unwrap();
}

#[test]
fn a_run_waits_for_people_over_crashes_and_asks_once() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&flow("{title: t}")).await;
        node.event("evt_1", json!({})).await;
        let id = parked(&mut node).await;
        node.kill().await;
        let mut node = world.boot();
        assert_eq!(parked(&mut node).await, id);
        decide(&mut node, &id, "approve").await;
        // Decided, and dead before the run could be told.
        node.kill().await;
        let mut node = world.boot();
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["approve"]);
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(approvals(&node).len(), 1);
    });
}

#[test]
fn a_deadline_chooses_or_fails() {
    for (with, expected) in [
        ("{title: t, deadline: PT1H, otherwise: reject}", Ok("reject")),
        ("{title: t, deadline: PT1H}", Err("approval_expired")),
    ] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            node.deploy(&flow(with)).await;
            node.event("evt_1", json!({})).await;
            node.quiet().await;
            let done = node.the_run();
            match expected {
                Ok(choice) => assert_eq!(world.vendor.names("charges"), [choice]),
                Err(code) => assert_eq!(done.fault.as_ref().map(|fault| fault.code()), Some(code)),
            }
            assert_eq!(approvals(&node)[0].status, ApprovalStatus::Expired);
        });
    }
}

#[test]
fn a_question_that_was_overtaken_is_dropped() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - ask: {call: human.approve, with: {title: t}, timeout: {after: {hours: 1}}}\n";
        node.deploy(&document("asks", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(node.the_run().fault.map(|fault| fault.status), Some(408));
        assert_eq!(approvals(&node)[0].status, ApprovalStatus::Dropped);
    });
}

/// A vendor that wants a pause gets it, and people are told after it; what was decided meanwhile counts at once.
#[test]
fn people_are_told_when_the_vendor_wants_to_hear_of_it() {
    for decided_meanwhile in [false, true] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            world
                .vendor
                .trouble("POST /notes", [Trouble::Status(429, Some(120)), Trouble::Status(503, None)]);
            let with = "{title: Refund, notify: {call: acme.notes.create, with: {connection: acme, name: '{title}'}}}";
            node.deploy(&flow(with)).await;
            node.event("evt_1", json!({})).await;
            let id = parked(&mut node).await;
            let asked =
                |world: &World| world.vendor.lines().iter().filter(|line| *line == "POST /notes").count();
            assert_eq!((approvals(&node)[0].told.as_deref(), asked(&world)), (None, 1));
            node.kill().await;
            let mut node = world.boot();
            if decided_meanwhile {
                decide(&mut node, &id, "approve").await;
                node.quiet().await;
                assert_eq!(asked(&world), 1);
                return;
            }
            world.time.advance(SignedDuration::from_secs(119));
            node.settle().await;
            assert_eq!(asked(&world), 1, "not before");
            node.until(|node| approvals(node)[0].told.is_some()).await;
            assert_eq!(approvals(&node)[0].told.as_deref(), Some("told by acme.notes.create"));
            assert_eq!(world.vendor.names("notes"), ["Refund"]);
            decide(&mut node, &id, "approve").await;
            node.quiet().await;
            assert_eq!(world.vendor.names("charges"), ["approve"]);
        });
    }
}

#[test]
fn each_assignee_is_told_and_arguments_that_make_no_sense_fail_the_step() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let with = "{title: Refund, assignees: [ann, bob], notify: {call: acme.notes.create, with: {connection: acme, \
                    name: '{who}: {title} {link}'}}}";
        node.deploy(&flow(with)).await;
        node.event("evt_1", json!({})).await;
        let id = parked(&mut node).await;
        let command = format!("tributary approvals show {id}");
        assert_eq!(
            world.vendor.names("notes"),
            [format!("ann: Refund {command}"), format!("bob: Refund {command}")]
        );
        assert_eq!(approvals(&node)[0].told.as_deref(), Some("told by acme.notes.create"));
        let output: Value = serde_json::to_value(node.journal(&node.the_run().id)).unwrap();
        assert!(!output.to_string().contains(&command), "{output}");

        node.deploy_only(&flow("{title: t, needed: '${ 2 }'}").replace("name: asks", "name: wrong")).await;
        node.event("evt_2", json!({})).await;
        node.until(|node| node.runs().iter().any(|run| run.status == RunStatus::Failed)).await;
        let failed = node.runs().into_iter().find(|run| run.status == RunStatus::Failed).unwrap();
        assert_eq!(failed.fault.unwrap().code(), "approval_invalid");
    });
}
