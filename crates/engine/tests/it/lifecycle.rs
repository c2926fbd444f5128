//! Events of runs' own lives: each once, wherever the node dies, and never without end.

use serde_json::{Value, json};
use store::{EventQuery, Page};

use crate::flows::document;
use crate::world::{Node, World, cut_at_each, default_workspace, read, run};

const TASKS: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - rest: {wait: PT1H}
  - fails: {if: $event.data.fails, raise: {error: {type: https://x.test/no, status: 418, title: No}}}
";
/// It tells of its own life as well, and listens to all.
const LISTENER: &str = "document: {dsl: '1.0.3', namespace: tests, name: listener, version: '1.0.0', metadata: {lifecycle: true}}
schedule: {on: {one: {with: {source: 'urn:tributary:runs', type: 'io.serverlessworkflow.workflow.*'}}}}
do: [{note: {call: acme.notes.create, with: {connection: acme, name: '${ .type }'}}}]
";

/// All that can become of a task.
const OF_TASKS: &str = "  - not-this: {if: 'false', set: {x: 1}}
  - attempt:
      try: [{write: {call: acme.charges.create, with: {connection: acme, name: refused}}}]
      catch:
        errors: {with: {status: 422}}
        retry: {delay: PT1S, limit: {attempt: {count: 1}}}
        do: [{note: {set: {x: '${ $error.status }'}}}]
  - race:
      fork:
        compete: true
        branches: [{quick: {wait: PT1M}}, {slow: {do: [{inner: {wait: PT1H}}]}}]
  - last: {call: acme.charges.create, with: {connection: acme, name: a}}
";
const TOLD_OF_TASKS: &[&str] = &[
    "created /do/1/attempt",
    "started /do/1/attempt",
    "created /do/1/attempt/try/0/write",
    "started /do/1/attempt/try/0/write",
    "faulted /do/1/attempt/try/0/write",
    "retried /do/1/attempt",
    "created /do/1/attempt/try/0/write",
    "started /do/1/attempt/try/0/write",
    "faulted /do/1/attempt/try/0/write",
    "created /do/1/attempt/catch/do/0/note",
    "started /do/1/attempt/catch/do/0/note",
    "completed /do/1/attempt/catch/do/0/note",
    "completed /do/1/attempt",
    "created /do/2/race",
    "started /do/2/race",
    "created /do/2/race/fork/branches/0/quick",
    "started /do/2/race/fork/branches/0/quick",
    "created /do/2/race/fork/branches/1/slow",
    "started /do/2/race/fork/branches/1/slow",
    "created /do/2/race/fork/branches/1/slow/do/0/inner",
    "started /do/2/race/fork/branches/1/slow/do/0/inner",
    "completed /do/2/race/fork/branches/0/quick",
    "cancelled /do/2/race/fork/branches/1/slow/do/0/inner",
    "cancelled /do/2/race/fork/branches/1/slow",
    "completed /do/2/race",
    "created /do/3/last",
    "started /do/3/last",
    "completed /do/3/last",
];

async fn deploy(node: &mut Node<'_>) {
    node.deploy(&document("lives", "{lifecycle: true}", TASKS)).await;
    node.deploy_only(LISTENER).await;
    node.settle().await;
}

async fn deploy_tasks(node: &mut Node<'_>) {
    node.deploy(&document("lives", "{lifecycle: tasks}", OF_TASKS)).await;
    node.deploy_only(&LISTENER.replace("workflow.*'", "task.*'")).await;
    node.settle().await;
}

/// What was told of tasks, in order.
fn told_of_tasks(node: &Node<'_>) -> Vec<String> {
    let of_task = |(name, data): (String, Value)| {
        let what = name.strip_prefix("io.serverlessworkflow.task.")?.strip_suffix(".v1")?.to_owned();
        assert!(data[format!("{what}At")].is_string() && data["workflow"].is_string(), "{data}");
        Some(format!("{what} {}", data["task"].as_str()?))
    };
    told(node).into_iter().filter_map(of_task).collect()
}

#[test]
fn a_run_tells_what_becomes_of_its_tasks() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy_tasks(&mut node).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(told_of_tasks(&node), TOLD_OF_TASKS);
        // The listener tells nothing of its own tasks.
        assert_eq!(world.vendor.names("notes").len(), TOLD_OF_TASKS.len());
        let told = told(&node);
        let of = |what: &str| told.iter().rev().find(|(name, _)| name.contains(what)).unwrap();
        assert_eq!(of("task.faulted").1["error"]["status"], 422);
        assert_eq!(of("task.completed").1["output"]["name"], "a");
        let ends = ["started", "completed"].map(|what| format!("io.serverlessworkflow.workflow.{what}.v1"));
        assert_eq!(told.iter().filter(|(name, _)| ends.contains(name)).count(), 2);
        assert_eq!((&told[0].0, &told[told.len() - 1].0), (&ends[0], &ends[1]));
    });
}

/// Some of it before the run began, some of it while it waits.
#[test]
fn who_cancels_a_run_that_has_begun_is_told_of() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy(&mut node).await;
        node.event("evt_1", json!({})).await;
        node.until(|node| !world.vendor.names("charges").is_empty() && node.runs().len() > 1).await;
        node.settle().await;
        let life = node.runs().into_iter().find(|run| run.flow == "lives").unwrap();
        let (store, workspace) = (node.store.clone(), default_workspace());
        let now = flow::clock::Clock::now(&*world.time);
        node.drive(store.cancel_run(&workspace, &life.id, now)).await.unwrap();
        assert!(node.drive(store.cancel_run(&workspace, &life.id, now)).await.is_err());
        node.quiet().await;
        let types: Vec<String> = told(&node).into_iter().map(|(name, _)| name).collect();
        let expected =
            ["started", "cancelled"].map(|what| format!("io.serverlessworkflow.workflow.{what}.v1"));
        assert_eq!(types, expected);
        let (_, data) = told(&node).pop().unwrap();
        assert_eq!(data["name"], life.id.as_str());
        assert!(data["cancelledAt"].is_string());
        assert_eq!(world.vendor.names("notes"), expected);
        // One that has not begun has told nothing.
        node.drive(store.pause_flow(&workspace, "lives")).await.unwrap();
        node.event("evt_2", json!({})).await;
        node.settle().await;
        let waits = node.runs().into_iter().find(|run| run.status == store::RunStatus::Queued).unwrap();
        node.drive(store.cancel_run(&workspace, &waits.id, now)).await.unwrap();
        node.quiet().await;
        assert_eq!(told(&node).len(), 2);
    });
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

/// Nothing is told twice, nothing is left out, nothing changes its place.
#[test]
fn tasks_are_told_once_wherever_the_node_dies() {
    let commits = run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy_tasks(&mut node).await;
        let before = node.commits();
        node.event("evt_1", json!({})).await;
        node.until(|node| node.runs().iter().any(|run| run.flow == "lives" && run.finished_at.is_some()))
            .await;
        before + 1..=node.commits()
    });
    cut_at_each(commits, &json!({}), deploy_tasks, |node, cut| {
        assert_eq!(told_of_tasks(node), TOLD_OF_TASKS, "{cut}");
    });
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
    cut_at_each(commits, &json!({}), deploy, |node, cut| {
        assert_eq!(told(node).len(), expected, "{cut}");
        assert_eq!(node.world.vendor.names("notes").len(), expected, "{cut}");
    });
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

/// Its start was told long ago, and the key of that is forgotten: it is not told again.
#[test]
fn a_run_that_waits_longer_than_keys_are_kept_tells_its_start_once() {
    run(async {
        let mut world = World::new();
        world.config.retention = engine::Retention { history: None, ..world.config.retention };
        let mut node = world.boot();
        let tasks = "  - rest: {wait: P60D}\n";
        node.deploy(&document("lives", "{lifecycle: true}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        assert_eq!(told(&node).len(), 1);
        world.time.advance(jiff::SignedDuration::from_hours(24 * 59));
        let keeper = node.housekeeper.clone();
        while !node.drive(keeper.step()).await.unwrap().is_nothing() {}
        world.time.advance(jiff::SignedDuration::from_hours(24 * 2));
        node.wake();
        node.quiet().await;
        let types: Vec<String> = told(&node).into_iter().map(|(name, _)| name).collect();
        let expected =
            ["started", "completed"].map(|what| format!("io.serverlessworkflow.workflow.{what}.v1"));
        assert_eq!(types, expected);
    });
}
