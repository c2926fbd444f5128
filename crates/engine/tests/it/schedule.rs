//! Flows that the clock starts. The world's time begins at 2026-03-01T00:00:00Z.

use std::sync::Arc;
use std::time::Duration;

use flow::journal::Entry;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Cut, Cuts, RunStatus};

use crate::vendor::Trouble;
use crate::world::{Node, World, default_workspace, run};

const ACT: &str = "- act: {call: acme.charges.create, with: {connection: acme, name: '${ .id }'}}\n";

fn document(schedule: &str, tasks: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: tests, name: timed, version: '1.0.0'}}\n\
         schedule: {{{schedule}}}\ndo:\n{tasks}"
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A world whose nodes look for work rarely of themselves: days go by.
fn rare() -> World {
    let mut world = World::new();
    world.config.poll_interval = Duration::from_secs(600);
    world
}

async fn let_pass(node: &mut Node<'_>, until: &str) {
    let time = node.world.time.clone();
    let until = at(until);
    loop {
        node.settle().await;
        if !time.skip(until) {
            break;
        }
    }
    let left = until.duration_since(flow::clock::Clock::now(&*time));
    time.advance(left);
    node.settle().await;
}

/// The events that started the runs, as the runs saw them.
fn starts(node: &Node<'_>) -> Vec<Value> {
    let input = |run: &store::Run| match &node.journal(&run.id)[0] {
        Entry::Started { input, .. } => Value::clone(input),
        other => panic!("{other:?}"),
    };
    node.runs().iter().map(input).collect()
}

fn times(node: &Node<'_>) -> Vec<String> {
    starts(node).iter().map(|event| event["time"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_start_is_one_run_at_its_time() {
    run(async {
        for (schedule, expected) in [
            ("cron: '0 6 * * *'", ["2026-03-01T06:00:00Z", "2026-03-02T06:00:00Z"]),
            ("cron: 'CRON_TZ=Asia/Tokyo 0 6 * * *'", ["2026-03-01T21:00:00Z", "2026-03-02T21:00:00Z"]),
            ("every: PT23H", ["2026-03-01T23:00:00Z", "2026-03-02T22:00:00Z"]),
        ] {
            let world = rare();
            let mut node = world.boot();
            node.deploy(&document(schedule, ACT)).await;
            node.wake();
            let_pass(&mut node, "2026-03-02T23:59:59Z").await;
            assert_eq!(times(&node), expected, "{schedule}");
            let starts = starts(&node);
            assert_eq!(starts[0]["type"], "tributary.schedule.due");
            assert_eq!((&starts[0]["subject"], &starts[0]["data"]["missed"]), (&"timed".into(), &0.into()));
            assert_eq!(world.vendor.names("charges").len(), 2);
            assert!(node.runs().iter().all(|run| run.status == RunStatus::Completed));
        }
    });
}

#[test]
fn what_was_missed_while_no_node_ran_is_one_start() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        node.deploy(&document("every: PT1H", ACT)).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T01:30:00Z").await;
        node.kill().await;
        world.time.advance(SignedDuration::from_hours(5));
        let mut node = world.boot();
        let_pass(&mut node, "2026-03-01T07:10:00Z").await;
        assert_eq!(times(&node), ["2026-03-01T01:00:00Z", "2026-03-01T06:00:00Z", "2026-03-01T07:00:00Z"]);
        let missed: Vec<Value> = starts(&node).iter().map(|event| event["data"]["missed"].clone()).collect();
        assert_eq!(missed, [0, 4, 0]);
    });
}

/// The power fails at each of the commits around a start: it comes once.
#[test]
fn a_crash_around_a_start_neither_loses_nor_repeats_it() {
    run(async {
        let mut died = 0;
        for commit in 1..=12 {
            for cut in [Cut::Before, Cut::After] {
                let world = rare();
                let mut node = world.boot();
                node.deploy(&document("cron: '0 6 * * *'", ACT)).await;
                node.wake();
                node.settle().await;
                node.kill().await;
                let cuts: Cuts = Arc::new(move |number| (number == commit).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                let_pass(&mut node, "2026-03-01T07:00:00Z").await;
                died += usize::from(node.is_dead());
                node.kill().await;
                let mut node = world.boot();
                let_pass(&mut node, "2026-03-01T09:00:00Z").await;
                assert_eq!(times(&node), ["2026-03-01T06:00:00Z"], "{cut:?}");
                assert_eq!(node.the_run().status, RunStatus::Completed, "{cut:?}");
                assert_eq!(world.vendor.names("charges").len(), 1, "{cut:?}");
                node.kill().await;
            }
        }
        assert!(died >= 6, "the cuts are where something is written: {died}");
    });
}

#[test]
fn the_next_start_comes_so_long_after_the_run() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(120)]);
        node.deploy(&document("after: PT1M", ACT)).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T00:02:50Z").await;
        assert_eq!(times(&node), ["2026-03-01T00:00:00Z"], "the first run takes two minutes");
        let_pass(&mut node, "2026-03-01T00:03:30Z").await;
        assert_eq!(times(&node), ["2026-03-01T00:00:00Z", "2026-03-01T00:03:00Z"]);
        let_pass(&mut node, "2026-03-01T00:04:30Z").await;
        assert_eq!(node.runs().len(), 3);
    });
}

#[test]
fn a_failed_run_ends_no_schedule() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        let fails = "- no: {raise: {error: {type: 'https://kit.test/no', status: 400, title: no}}}\n";
        node.deploy_only(&document("after: PT1M", fails)).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T00:03:30Z").await;
        let runs = node.runs();
        assert!(runs.len() >= 3 && runs.iter().all(|run| run.status == RunStatus::Failed), "{}", runs.len());
    });
}

#[test]
fn a_paused_flow_starts_once_when_it_goes_on_and_a_removed_one_never() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        node.deploy(&document("every: PT1H", ACT)).await;
        let (store, ws) = (node.store.clone(), default_workspace());
        node.drive(store.pause_flow(&ws, "timed")).await.unwrap();
        node.wake();
        let_pass(&mut node, "2026-03-01T04:30:00Z").await;
        assert!(node.runs().is_empty());
        node.drive(store.resume_flow(&ws, "timed")).await.unwrap();
        node.wake();
        let_pass(&mut node, "2026-03-01T04:59:00Z").await;
        assert_eq!(times(&node), ["2026-03-01T04:00:00Z"]);
        node.drive(store.remove_flow(&ws, "timed")).await.unwrap();
        node.wake();
        let_pass(&mut node, "2026-03-01T12:00:00Z").await;
        assert_eq!(node.runs().len(), 1);
        assert!(node.drive(store.schedules()).await.unwrap().is_empty());
    });
}

/// A correction keeps the rhythm; another clock begins anew.
#[test]
fn a_deployment_keeps_the_clock_unless_it_says_something_else() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        node.deploy(&document("every: PT1H", ACT)).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T00:30:00Z").await;
        node.deploy_only(&document("every: PT1H", &format!("{ACT}- more: {{set: {{x: 1}}}}\n"))).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T01:10:00Z").await;
        assert_eq!(times(&node), ["2026-03-01T01:00:00Z"]);
        node.deploy_only(&document("every: PT2H", ACT)).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T03:20:00Z").await;
        assert_eq!(times(&node), ["2026-03-01T01:00:00Z", "2026-03-01T03:10:00Z"]);
    });
}

/// The clock's events are for one flow, whatever others ask for, and nobody else makes them.
#[test]
fn a_start_is_nobody_elses() {
    run(async {
        let world = rare();
        let mut node = world.boot();
        node.deploy(&document("every: PT1H", ACT)).await;
        let listens = document("on: {one: {with: {type: 'tributary.schedule.*'}}}", "- a: {set: {x: 1}}\n")
            .replace("timed", "all");
        node.deploy_only(&listens).await;
        let forges = "- a: {emit: {event: {with: {source: 'urn:tributary:clock', type: tributary.schedule.due, subject: all}}}}\n";
        let forges = document("after: PT10H", forges).replace("timed", "forger");
        node.deploy_only(&forges).await;
        node.wake();
        let_pass(&mut node, "2026-03-01T01:30:00Z").await;
        let runs = node.runs();
        let of = |name: &str| runs.iter().filter(|run| run.flow == name).collect::<Vec<_>>();
        assert_eq!((of("timed").len(), of("all").len()), (1, 0));
        assert_eq!(of("forger")[0].status, RunStatus::Failed);
    });
}

#[test]
fn what_is_read_of_the_event_is_the_input() {
    run(async {
        for (read, expected) in [
            ("data", "2026-03-01T01:00:00Z"),
            ("envelope", "tributary.schedule.due"),
            ("raw", "{\"scheduled\""),
        ] {
            let world = rare();
            let mut node = world.boot();
            let name = "${ [.scheduled?, .type?, (strings | .[0:12])] | map(select(. != null)) | .[0] }";
            let tasks =
                format!("- act: {{call: acme.charges.create, with: {{connection: acme, name: '{name}'}}}}\n");
            node.deploy(&document(&format!("every: PT1H, read: {read}"), &tasks)).await;
            node.wake();
            let_pass(&mut node, "2026-03-01T01:30:00Z").await;
            assert_eq!(world.vendor.names("charges"), [expected], "{read}");
        }
    });
}
