//! Events of runs' own lives: each once, wherever the node dies, and never without end.

use std::sync::Arc;

use serde_json::{Value, json};
use store::{Cut, Cuts, EventQuery, Page};

use crate::flows::document;
use crate::world::{Node, World, default_workspace, read, run};

const TASKS: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - rest: {wait: PT1H}
  - fails: {if: $event.data.fails, raise: {error: {type: https://x.test/no, status: 418, title: No}}}
";
/// It tells of its own life as well, and listens to all.
const LISTENER: &str = "document: {dsl: '1.0.3', namespace: tests, name: listener, version: '1.0.0', metadata: {lifecycle: true}}
schedule: {on: {one: {with: {source: 'urn:tributary:runs', type: 'io.serverlessworkflow.workflow.*'}}}}
do: [{note: {call: acme.notes.create, with: {connection: acme, name: '${ .type }'}}}]
";

async fn deploy(node: &mut Node<'_>) {
    node.deploy(&document("lives", "{lifecycle: true}", TASKS)).await;
    node.deploy_only(LISTENER).await;
    node.settle().await;
}

/// Types and data of what was told, in order.
fn told(node: &Node<'_>) -> Vec<(String, Value)> {
    let workspace = default_workspace();
    let listed = read(node.store.events(&workspace, &EventQuery::default(), Page::default())).unwrap();
    let lives = listed.items.into_iter().rev().filter(|event| event.connection == "urn:tributary:runs");
    lives
        .map(|event| {
            let whole = read(node.store.event(&workspace, &event.id)).unwrap().unwrap();
            (event.r#type, Value::clone(&whole.to_cloud_event().data))
        })
        .collect()
}

#[test]
fn a_run_tells_of_its_start_and_of_its_end() {
    for (data, end) in [(json!({}), "completed"), (json!({"fails": true}), "faulted")] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            deploy(&mut node).await;
            node.event("evt_1", data).await;
            node.quiet().await;
            let told = told(&node);
            let types: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
            let expected = ["started", end].map(|what| format!("io.serverlessworkflow.workflow.{what}.v1"));
            assert_eq!(types, expected);
            assert_eq!(world.vendor.names("notes"), expected);
            let life = node.runs().into_iter().find(|run| run.flow == "lives").unwrap();
            for (_, data) in &told {
                assert_eq!(data["name"], life.id.as_str());
                assert_eq!(
                    data["definition"],
                    json!({"namespace": "tests", "name": "lives", "version": "1.0.0"})
                );
            }
            assert!(told[0].1["startedAt"].is_string());
            match end {
                "completed" => {
                    assert!(told[1].1["completedAt"].is_string() && told[1].1.get("output").is_some())
                }
                _ => assert_eq!(told[1].1["error"]["status"], 418),
            }
        });
    }
}

#[test]
fn each_is_told_once_wherever_the_node_dies() {
    let (commits, expected) = run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy(&mut node).await;
        let before = node.commits();
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        (before + 1..=node.commits(), told(&node).len())
    });
    assert_eq!(expected, 2);
    for number in commits {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = World::new();
                let cuts: Cuts = Arc::new(move |commit| (commit == number).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                deploy(&mut node).await;
                drop(node.accept("evt_1", json!({})).await);
                node.quiet().await;
                assert!(node.is_dead());
                node.kill().await;
                let mut node = world.boot();
                drop(node.accept("evt_1", json!({})).await);
                node.quiet().await;
                assert_eq!(told(&node).len(), expected, "commit {number} cut {cut:?}");
                assert_eq!(world.vendor.names("notes").len(), expected, "commit {number} cut {cut:?}");
            });
        }
    }
}

#[test]
fn nothing_is_told_unless_it_is_asked_for() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("lives", "{}", TASKS)).await;
        node.deploy_only(LISTENER).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert!(told(&node).is_empty());
    });
}
