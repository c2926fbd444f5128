//! Flows that gather the events that start them. The world's time begins at 2026-03-01T00:00:00Z.

use std::sync::Arc;

use flow::EventId;
use flow::journal::{Entry, Outcome};
use serde_json::{Value, json};
use store::{Cut, Cuts, EventOutcome, Run, RunStatus};

use crate::world::{Node, World, default_workspace, read, run};

/// Says which events it was given, in one charge.
const TELL: &str = "- tell: {call: acme.charges.create, with: {connection: acme, \
                    name: '${ map(.data.n | tostring) | join(\",\") }'}}\n";

fn document(batch: &str, rest: &str, tasks: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: tests, name: gathers, version: '1.0.0', \
         metadata: {{batch: {{{batch}}}{rest}}}}}\n\
         schedule: {{on: {{one: {{with: {{type: acme.thing.changed}}}}}}}}\ndo:\n{tasks}"
    )
}

/// Accepts events 1 to `count`, and lets the node take them in.
async fn events(node: &mut Node<'_>, count: u32) -> Vec<EventId> {
    let mut events = Vec::new();
    for n in 1..=count {
        events.push(node.event(&format!("evt_{n}"), json!({"n": n, "of": format!("c{}", n % 2)})).await);
    }
    node.settle().await;
    events
}

fn input(node: &Node<'_>, run: &Run) -> Value {
    match &node.journal(&run.id)[0] {
        Entry::Started { input, .. } => Value::clone(input),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_events_of_a_window_are_the_list_that_its_run_begins_with() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("within: PT5M", "", TELL)).await;
        let events = events(&mut node, 3).await;
        let gathering = node.the_run();
        assert_eq!((gathering.status, gathering.started_at), (RunStatus::Parked, None));
        assert_eq!(gathering.ready_at.unwrap().to_string(), "2026-03-01T00:05:00Z");
        for (event, first) in events.iter().zip([true, false, false]) {
            let id = gathering.id.clone();
            let expected = if first { EventOutcome::Run(id) } else { EventOutcome::Joined(id) };
            assert_eq!(node.outcomes(event), [expected]);
        }
        assert!(world.vendor.names("charges").is_empty());
        node.quiet().await;
        let over = read(node.store.run(&default_workspace(), &gathering.id)).unwrap().unwrap();
        assert_eq!((over.status, &over.events), (RunStatus::Completed, &events));
        let ids: Vec<Value> =
            input(&node, &over).as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
        assert_eq!(ids, ["evt_1", "evt_2", "evt_3"]);
        assert_eq!(world.vendor.names("charges"), ["1,2,3"]);
    });
}

#[test]
fn a_window_ends_with_its_last_event_and_by_key() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("within: PT5M, most: 2, by: '${ .data.of }'", "", TELL)).await;
        events(&mut node, 5).await;
        assert_eq!(world.vendor.names("charges"), ["1,3", "2,4"], "before any time went by");
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["1,3", "2,4", "5"]);
    });
}

/// Data as a single event's would be; a key that cannot be worked out fails a run of its own, which is retried as a list.
#[test]
fn what_is_read_and_what_fails_is_as_for_single_events() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tell = TELL.replace(".data.n", ".n");
        let text = document("within: PT5M, by: '${ .data.n / .data.by }'", "", &tell);
        node.deploy(&text.replace("schedule: {", "schedule: {read: data, ")).await;
        node.event("bad", json!({"n": 9, "by": 0})).await;
        node.event("good", json!({"n": 4, "by": 2})).await;
        node.quiet().await;
        let runs = node.runs();
        assert_eq!(
            runs.iter().map(|run| run.status).collect::<Vec<_>>(),
            [RunStatus::Failed, RunStatus::Completed]
        );
        assert!(runs[0].fault.as_ref().unwrap().detail.contains("batch.by"), "{:?}", runs[0].fault);
        node.retry(&runs[0].id).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["4", "9"]);
    });
}

/// The power fails at each commit of a window's life: each event is told once, in one run.
#[test]
fn a_crash_at_any_point_neither_loses_nor_repeats_an_event() {
    run(async {
        let mut died = 0;
        for commit in 3..=16 {
            for cut in [Cut::Before, Cut::After] {
                let world = World::new();
                let cuts: Cuts = Arc::new(move |number| (number == commit).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                node.deploy(&document("within: PT5M, most: 3", "", TELL)).await;
                for n in 1..=4 {
                    drop(node.accept(&format!("evt_{n}"), json!({"n": n})).await);
                    node.settle().await;
                }
                node.quiet().await;
                died += usize::from(node.is_dead());
                node.kill().await;
                let mut node = world.boot();
                for n in 1..=4 {
                    drop(node.accept(&format!("evt_{n}"), json!({"n": n})).await);
                    node.settle().await;
                }
                node.quiet().await;
                let mut told: Vec<String> = world.vendor.names("charges");
                let at = format!("commit {commit} cut {cut:?}: {told:?}");
                assert!(node.runs().iter().all(|run| run.status == RunStatus::Completed), "{at}");
                assert!(told.iter().all(|names| names.split(',').count() <= 3), "{at}");
                let mut each: Vec<String> = told
                    .drain(..)
                    .flat_map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>())
                    .collect();
                each.sort();
                assert_eq!(each, ["1", "2", "3", "4"], "{at}");
                node.kill().await;
            }
        }
        assert!(died >= 20, "the cuts are where something is written: {died}");
    });
}

/// A run that is replayed with the very same events repeats nothing; with others it is another run.
#[test]
fn the_same_events_again_repeat_nothing() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("within: PT5M", "", TELL)).await;
        let events = events(&mut node, 2).await;
        node.quiet().await;
        for event in &events {
            node.replay(event).await;
            node.settle().await;
        }
        node.quiet().await;
        assert_eq!(node.runs().len(), 2);
        assert_eq!(world.vendor.names("charges"), ["1,2"]);
        node.replay(&events[1]).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["1,2", "2"]);
    });
}

/// Who takes part in a window is decided by the version that gets the event; the newest one runs it.
#[test]
fn a_new_version_takes_over_the_windows_that_are_open() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("within: PT5M", "", TELL)).await;
        node.event("evt_1", json!({"n": 1})).await;
        node.settle().await;
        let prefixed = TELL.replace("map(.data.n | tostring)", "map(\"v2:\" + (.data.n | tostring))");
        node.deploy_only(&document("within: PT5M", "", &prefixed)).await;
        node.event("evt_2", json!({"n": 2})).await;
        node.settle().await;
        // One that gathers nothing leaves the window to the version before.
        let single = "- tell: {call: acme.charges.create, with: {connection: acme, name: '${ \"one \\(.data.n)\" }'}}\n";
        let text =
            document("within: PT5M", "", single).replace("metadata: {batch: {within: PT5M}}", "metadata: {}");
        node.deploy_only(&text).await;
        node.event("evt_3", json!({"n": 3})).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["one 3", "v2:1,v2:2"]);
    });
}

#[test]
fn live_and_test_events_are_not_mixed() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("within: PT5M", "", TELL)).await;
        node.event("evt_1", json!({"n": 1})).await;
        node.connect("acme-live", true).await;
        node.event_of("acme-live", "evt_2", json!({"n": 2})).await;
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.status, RunStatus::Failed);
        assert!(run.fault.unwrap().r#type.ends_with("mode_mismatch"));
        assert!(world.vendor.names("charges").is_empty());
    });
}

/// A flow that emits what it gathers does not go on for ever.
#[test]
fn events_that_lead_to_each_other_come_to_an_end() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let emits = "- again: {emit: {event: {with: {source: 'https://tests.example', \
                     type: acme.thing.changed, data: {n: 0}}}}}\n";
        node.deploy(&document("within: PT1S", "", emits)).await;
        node.event("evt_1", json!({"n": 1})).await;
        node.quiet().await;
        let stats = read(node.store.stats(None)).unwrap();
        assert_eq!((stats.runs_completed, stats.runs_failed), (engine::limits::HOPS_MAX.into(), 1));
    });
}

#[test]
fn a_cancelled_window_is_told_nowhere() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document(
            "within: PT5M",
            ", concurrency: {key: '${ .data.of }', onFailure: hold}",
            TELL,
        ))
        .await;
        events(&mut node, 3).await;
        let runs = node.runs();
        assert_eq!(runs.iter().map(|run| run.lane.as_deref()).collect::<Vec<_>>(), [Some("c1"), Some("c0")]);
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
        node.drive(store.cancel_run(&default_workspace(), &runs[0].id, now)).await.unwrap();
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["2"]);
        let outcome = node.journal(&runs[1].id).pop();
        assert!(matches!(outcome, Some(Entry::Finished { outcome: Outcome::Output(_), .. })), "{outcome:?}");
    });
}
