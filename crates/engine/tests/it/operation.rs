//! A node in operation: a disk that is full, housekeeping, stopping, and flows that nobody can read any more.

use std::sync::atomic::Ordering;

use engine::alert::About;
use engine::{Retention, housekeeping};
use flow::RunId;
use flow::clock::Clock;
use jiff::SignedDuration;
use serde_json::json;
use store::{Dispatch, Dispatching, Error, EventOutcome, Health, Mode, OnFailure, RunStatus};

use crate::flows::{document, every_way, one};
use crate::vendor::Trouble;
use crate::world::{Node, ROOM, World, default_workspace, kinds, run};

/// Leaves no room for whatever is larger than a row; the first event that is refused.
async fn fill(node: &mut Node<'_>) -> usize {
    node.world.pages.store(1, Ordering::Relaxed);
    for number in 0.. {
        match node.accept(&format!("fill_{number}"), json!({"much": noise(3000)})).await {
            Ok(_) => assert!(number < 100, "it never gets full"),
            Err(error) => {
                assert!(matches!(error, Error::Full(_)), "{error}");
                return number;
            }
        }
    }
    unreachable!()
}

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    let mut state = 7_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    (0..bytes).map(letter).collect()
}

fn told(world: &World) -> Vec<(String, bool)> {
    let about = |about: &About| match about {
        About::Run { run, .. } => (run.clone(), true),
        About::Store { node, fault } => (node.clone(), fault.is_some()),
    };
    world.told.0.lock().unwrap().iter().map(|alert| about(&alert.about)).collect()
}

#[test]
fn without_room_runs_hold_and_go_on_by_themselves() {
    run(async {
        let world = World::new();
        // What it is called is in every result; a row of a few bytes may still find room.
        world.vendor.put_thing("t", json!({"name": noise(20_000)}));
        // Answers while the disk is full: the result has nowhere to go for a while.
        world.vendor.trouble("POST /charges", [Trouble::Slow(3)]);
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        assert_eq!(world.vendor.lines(), ["GET /things/t", "POST /charges"]);
        fill(&mut node).await;
        assert!(matches!(node.store.health(), Health::Bad(_)));
        // A quarter of an hour, far longer than a lease, and nothing more is sent.
        let until = world.time.now() + SignedDuration::from_mins(15);
        let mut steps = 0;
        while world.time.skip(until) {
            node.settle().await;
            steps += 1;
        }
        let lines = world.vendor.lines();
        let writes: Vec<_> = lines.iter().filter(|line| !line.starts_with("GET ")).collect();
        assert_eq!(writes, ["POST /charges"], "nothing is sent whose intent cannot be written");
        // A probe each two seconds, polls and renewals: it does not spin.
        assert!((450..1500).contains(&steps), "{steps} wake-ups in a quarter of an hour");
        assert_eq!(told(&world), [("node-1".to_owned(), true)], "told once");

        world.pages.store(ROOM, Ordering::Relaxed);
        node.quiet().await;
        let runs = node.runs();
        assert!(runs.iter().all(|run| run.status == RunStatus::Completed), "{runs:?}");
        assert_eq!(runs[0].epoch, 1, "its lease was not taken away meanwhile");
        assert_eq!(kinds(&node.journal(&runs[0].id)), "sririrririrf");
        assert_eq!(world.vendor.names("charges").len(), runs.len());
        let until = world.time.now() + SignedDuration::from_mins(1);
        while world.time.skip(until) {
            node.settle().await;
        }
        assert_eq!(told(&world), [("node-1".to_owned(), true), ("node-1".to_owned(), false)]);
    });
}

#[test]
fn what_is_over_leaves_the_hot_tables_in_small_steps() {
    run(async {
        let mut world = World::new();
        world.config.retention = Retention {
            hot: SignedDuration::from_hours(1),
            history: Some(SignedDuration::from_hours(24 * 60)),
        };
        let mut node = world.boot();
        node.deploy(&one("acme.charges.create")).await;
        let many = engine::limits::HOUSEKEEPING_BATCH + 6;
        for number in 0..many {
            node.event(&format!("evt_{number}"), json!({})).await;
        }
        node.quiet().await;
        let keeper = node.housekeeper.clone();
        let nothing = housekeeping::Step::default();
        assert_eq!(node.drive(keeper.step()).await.unwrap(), nothing, "they ended just now");
        world.time.advance(SignedDuration::from_hours(2));
        let first = node.drive(keeper.step()).await.unwrap();
        // An event leaves once no hot run works for it.
        let batch = engine::limits::HOUSEKEEPING_BATCH;
        assert_eq!(first.retired, 2 * batch);
        let second = node.drive(keeper.step()).await.unwrap();
        assert_eq!(second.retired, 2 * (many - batch));
        assert!(node.drive(keeper.step()).await.unwrap().is_nothing());
        let runs = node.runs();
        assert_eq!(runs.len(), 50, "a page of them: they can still be seen");
        assert_eq!(kinds(&node.journal(&runs[0].id)), "sirf");
        // Half a year later the month is dropped, and the keys are forgotten.
        world.time.advance(SignedDuration::from_hours(24 * 180));
        let last = node.drive(keeper.step()).await.unwrap();
        assert_eq!((last.retired, last.pruned, last.dropped), (0, many as u64, 1));
        assert!(node.runs().is_empty());
    });
}

/// The housekeeper by itself: it works, rests, and stops when told.
#[test]
fn housekeeping_runs_beside_the_work_until_it_is_told_to_stop() {
    run(async {
        let mut world = World::new();
        world.config.retention = Retention { hot: SignedDuration::ZERO, history: None };
        let mut node = world.boot();
        node.deploy(&one("acme.charges.create")).await;
        for number in 0..3 {
            node.event(&format!("evt_{number}"), json!({})).await;
        }
        node.quiet().await;
        world.time.advance(SignedDuration::from_secs(1));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let keeper = tokio::spawn(node.housekeeper.clone().run(stopped));
        node.settle().await;
        let before = node.commits();
        for _ in 0..3 {
            world.time.skip(world.time.now() + SignedDuration::from_mins(2));
            node.settle().await;
        }
        assert!(node.commits() - before <= 3, "it rests when there is nothing to do");
        assert!(node.drive(node_step(&node)).await.is_nothing(), "everything has left");
        stop.send_replace(true);
        node.settle().await;
        assert!(keeper.is_finished());
    });
}

fn node_step(node: &Node<'_>) -> impl Future<Output = housekeeping::Step> + use<> {
    let keeper = node.housekeeper.clone();
    async move { keeper.step().await.unwrap() }
}

#[test]
fn a_stopping_node_leaves_runs_at_a_safe_point_for_the_next_one() {
    // In the middle of a request, in a short wait, between two attempts.
    let waits = "  - a: {call: acme.charges.create, with: {connection: acme, name: a}}
  - wait: {wait: PT3S}
  - b: {call: acme.charges.create, with: {connection: acme, name: b}}
";
    let table = [
        (Trouble::Slow(3), "sir", vec!["a"]),
        (Trouble::Status(429, Some(3)), "sia", vec![]),
        (Trouble::Slow(0), "sir", vec!["a"]),
    ];
    for (trouble, journal, done) in table {
        run(async {
            let world = World::new();
            world.vendor.trouble("POST /charges", [trouble.clone()]);
            let mut node = world.boot();
            node.deploy(&document("waits", "{}", waits)).await;
            node.event("evt_1", json!({})).await;
            node.settle().await;
            if trouble == Trouble::Slow(0) {
                assert!(world.time.skip(world.time.now()), "the vendor answers");
                node.settle().await;
            }
            let (store, begun) = (node.store.clone(), world.time.now());
            node.stop().await;
            assert!(world.time.now().duration_since(begun) <= SignedDuration::from_secs(3), "at once");
            assert_eq!(world.vendor.names("charges"), done, "{trouble:?}");
            drop(store);
            // Another node, which knows nothing of the first one, needs no lease to end.
            let other = engine::Config { node: "node-2".to_owned(), ..world.config.clone() };
            let mut node = world.boot_as(other);
            let run = node.the_run();
            assert_eq!((run.status, run.node.as_deref()), (RunStatus::Queued, None), "{trouble:?}");
            assert_eq!(kinds(&node.journal(&run.id)), journal, "{trouble:?}");
            node.settle().await;
            assert_eq!(node.the_run().epoch, 2, "taken up at once");
            node.quiet().await;
            assert_eq!(node.the_run().status, RunStatus::Completed);
            assert_eq!(world.vendor.names("charges"), ["a", "b"], "nothing lost, nothing doubled");
        });
    }
}

#[test]
fn an_event_for_a_flow_that_nobody_can_read_is_a_failed_run_and_not_silence() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.connect("acme", false).await;
        node.deploy_unread("of-the-future", "document: {dsl: '9.0.0'}\ndo: [{a: {dream: true}}]\n").await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.status, RunStatus::Failed);
        assert_eq!(run.fault.as_ref().unwrap().code(), "configuration");
        assert_eq!(node.outcomes(&event), [EventOutcome::Failed(run.id.clone())]);
        assert_eq!(told(&world), [(run.id.as_str().to_owned(), true)]);
    });
}

/// Retried by a program that can read the flow, a run for an event that the flow does not ask for does nothing.
#[test]
fn a_retried_run_whose_event_is_none_of_the_flows_business_ends_without_an_effect() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.connect("acme", false).await;
        let text = one("acme.charges.create").replace("acme.thing.changed", "acme.thing.removed");
        node.deploy_only(&text).await;
        let id = RunId::new("run_of_the_past");
        let dispatch = Dispatch {
            run: id.clone(),
            flow: "one".to_owned(),
            revision: 1,
            lane: None,
            mode: Mode::Queue,
            on_failure: OnFailure::Continue,
            fact: None,
            window: None,
            fault: Some(flow::Fault::configuration("nobody could read it")),
        };
        let (store, workspace, now) = (node.store.clone(), default_workspace(), world.time.now());
        let event = node.event_unseen("evt_1").await;
        let dispatching = Dispatching { workspace, event, flows: vec![dispatch], answers: Vec::new() };
        node.drive(store.dispatch(dispatching, now)).await.unwrap();
        assert_eq!(node.the_run().status, RunStatus::Failed);
        node.retry(&id).await;
        node.quiet().await;
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert!(world.vendor.lines().is_empty());
    });
}

#[test]
fn a_flow_can_have_its_failures_told_elsewhere() {
    for (only, elsewhere) in [(false, 1), (true, 0)] {
        run(async {
            let world = World::new();
            world.vendor.trouble("POST /charges", [Trouble::Status(422, None)]);
            let mut node = world.boot();
            let alerts = format!(
                "{{alerts: {{call: acme.pings.send, with: {{connection: acme, name: 'failed: {{text}}'}}, only: {only}}}}}"
            );
            let tasks = "  - act: {call: acme.charges.create, with: {connection: acme, name: a}}\n";
            node.deploy(&document("told", &alerts, tasks)).await;
            node.event("evt_1", json!({})).await;
            node.quiet().await;
            node.settle().await;
            let names = world.vendor.names("pings");
            assert!(names.len() == 1 && names[0].starts_with("failed: Flow told failed"), "{names:?}");
            assert_eq!(world.told.0.lock().unwrap().len(), elsewhere);
        });
    }
}
