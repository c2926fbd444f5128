//! Order, joining, facts, leases and limits.

use flow::journal::Entry;
use serde_json::json;
use store::{EventOutcome, RunStatus};

use crate::flows::{document, one};
use crate::vendor::Trouble;
use crate::world::{World, default_workspace, kinds, run};

const ACT: &str = "  - act: {call: acme.charges.create, with: {connection: acme, name: '${ $event.id }'}}\n";

#[test]
fn a_lane_works_in_the_order_of_acceptance() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(60), Trouble::Slow(20), Trouble::Slow(1)]);
        node.deploy(&document("queue", "{concurrency: {key: '${ .data.customer }', mode: queue}}", ACT))
            .await;
        for n in 0..6 {
            node.event(&format!("evt_{n}"), json!({"customer": "c"})).await;
        }
        node.quiet().await;
        assert_eq!(world.vendor.under_way_max(), 1);
        let names: Vec<String> = (0..6).map(|n| format!("evt_{n}")).collect();
        assert_eq!(world.vendor.names("charges"), names);
    });
}

#[test]
fn lanes_work_side_by_side_up_to_the_connections_limit() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", vec![Trouble::Slow(5); 20]);
        node.deploy(&document("wide", "{concurrency: {key: '${ .data.customer }', mode: queue}}", ACT)).await;
        for n in 0..20 {
            node.event(&format!("evt_{n}"), json!({"customer": format!("c{n}")})).await;
        }
        node.quiet().await;
        assert_eq!(world.vendor.names("charges").len(), 20);
        // The manifest's max_in_flight.
        assert_eq!(world.vendor.under_way_max(), 4);
    });
}

#[test]
fn workers_bound_what_is_claimed() {
    run(async {
        let mut world = World::new();
        world.config.workers = 2;
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", vec![Trouble::Slow(5); 9]);
        node.deploy(&document("narrow", "{}", ACT)).await;
        for n in 0..9 {
            node.event(&format!("evt_{n}"), json!({})).await;
        }
        node.settle().await;
        assert_eq!(node.store.stats(None).await.unwrap().runs_running, 2);
        node.quiet().await;
        assert_eq!((world.vendor.names("charges").len(), world.vendor.under_way_max()), (9, 2));
    });
}

#[test]
fn later_events_join_a_waiting_run_of_a_state_flow() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(60)]);
        node.deploy(&document("latest", "{concurrency: {key: '${ .data.customer }', mode: latest}}", ACT))
            .await;
        let mut events = Vec::new();
        for n in 0..4 {
            world.time.advance(jiff::SignedDuration::from_secs(1));
            events.push(node.event(&format!("evt_{n}"), json!({"customer": "c"})).await);
            node.settle().await;
        }
        node.quiet().await;
        // One at work, one waiting that took in the others and works with the newest of them.
        assert_eq!(world.vendor.names("charges"), ["evt_0", "evt_3"]);
        let runs = node.runs();
        let joined = EventOutcome::Joined(runs[1].id.clone());
        assert_eq!(node.outcomes(&events[1]), [EventOutcome::Run(runs[1].id.clone())]);
        assert_eq!([node.outcomes(&events[2]), node.outcomes(&events[3])], [[joined.clone()], [joined]]);
    });
}

#[test]
fn a_state_flow_that_left_its_lane_reads_afresh() {
    // The read itself has to wait, or the write that follows from it.
    for line in ["GET /things/t", "POST /charges"] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            world.vendor.put_thing("t", json!({"name": "old"}));
            world.vendor.trouble(line, [Trouble::Status(429, Some(300))]);
            let tasks = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - act: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.look.name }'}}
";
            node.deploy(&document("state", "{concurrency: {key: '${ \"c\" }', mode: latest}}", tasks)).await;
            node.event("evt_1", json!({})).await;
            node.settle().await;
            assert_eq!(node.the_run().status, RunStatus::Parked);
            world.vendor.put_thing("t", json!({"name": "new"}));
            node.quiet().await;
            assert_eq!(node.the_run().status, RunStatus::Completed);
            assert_eq!(world.vendor.names("charges"), ["new"], "{line}");
            let keys: Vec<_> = world.vendor.seen().into_iter().filter_map(|seen| seen.key).collect();
            assert!(keys.windows(2).all(|two| two[0] != two[1]), "another request has another key: {keys:?}");
        });
    }
}

#[test]
fn a_state_flow_retried_by_hand_reads_afresh() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.put_thing("t", json!({"name": "old"}));
        world.vendor.trouble("POST /charges", [Trouble::Status(422, None)]);
        let tasks = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - act: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.look.name }'}}
";
        node.deploy(&document("state", "{concurrency: {key: '${ \"c\" }', mode: latest}}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        world.vendor.put_thing("t", json!({"name": "new"}));
        node.retry(&node.the_run().id).await;
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.status, RunStatus::Completed);
        assert_eq!(kinds(&node.journal(&run.id)), "sriarfsrirf");
        assert_eq!(world.vendor.names("charges"), ["new"]);
    });
}

#[test]
fn a_fact_is_acted_upon_once() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("fact", "{dedup: {key: '${ .data.fact }'}}", ACT)).await;
        let mut outcomes = Vec::new();
        for (key, fact) in
            [("evt_1", json!("f1")), ("evt_2", json!("f1")), ("evt_3", json!("f2")), ("evt_4", json!(null))]
        {
            let event = node.event(key, json!({"fact": fact})).await;
            node.quiet().await;
            outcomes.push(node.outcomes(&event).remove(0));
        }
        assert!(matches!(outcomes[0], EventOutcome::Run(_)), "{outcomes:?}");
        assert_eq!(outcomes[1], EventOutcome::DuplicateFact);
        assert!(matches!(outcomes[2], EventOutcome::Run(_)), "{outcomes:?}");
        // An event that tells no fact is not for this flow.
        assert_eq!(outcomes[3], EventOutcome::NoMatch);
        assert_eq!(world.vendor.names("charges"), ["evt_1", "evt_3"]);
    });
}

#[test]
fn a_key_that_fails_is_a_failed_run_and_not_silence() {
    for metadata in [
        "{concurrency: {key: '${ .data.missing | error(\"no key\") }', mode: queue}}",
        "{dedup: {key: '${ .data + 1 }'}}",
    ] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            node.deploy(&document("broken", metadata, ACT)).await;
            let event = node.event("evt_1", json!({})).await;
            node.quiet().await;
            let run = node.the_run();
            assert_eq!(run.status, RunStatus::Failed);
            assert_eq!(run.fault.as_ref().map(|fault| fault.code()), Some("expression"));
            assert_eq!(node.outcomes(&event), [EventOutcome::Failed(run.id)]);
            assert_eq!(world.told.0.lock().unwrap().len(), 1);
            assert!(world.vendor.lines().is_empty());
        });
    }
}

#[test]
fn an_event_that_no_flow_asks_for_is_settled_as_such() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(node.outcomes(&event), [EventOutcome::NoMatch]);
    });
}

#[test]
fn a_lease_is_kept_as_long_as_the_work_takes() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(300)]);
        node.deploy(&one("acme.charges.create")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        assert_eq!((run.status, run.epoch), (RunStatus::Completed, 1));
        assert_eq!(world.vendor.lines().len(), 1);
    });
}

#[test]
fn a_run_that_is_no_longer_ours_is_dropped_without_a_further_effect() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(5)]);
        let tasks = "  - first: {call: acme.charges.create, with: {connection: acme, name: a}}
  - second: {call: acme.customers.create, with: {connection: acme, name: b}}
";
        node.deploy(&document("fenced", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        let run = node.the_run();
        assert_eq!(run.status, RunStatus::Running);
        let (store, workspace, now) =
            (node.store.clone(), default_workspace(), flow::clock::Clock::now(&*world.time));
        node.drive(store.cancel_run(&workspace, &run.id, now)).await.unwrap();
        node.until(|node| node.world.vendor.names("charges").len() == 1).await;
        node.settle().await;
        assert_eq!(node.the_run().status, RunStatus::Cancelled);
        assert_eq!(world.vendor.lines(), ["POST /charges"]);
        assert!(!node.journal(&run.id).iter().any(|entry| matches!(entry, Entry::Resolved { .. })));
        assert!(world.told.0.lock().unwrap().is_empty());
    });
}

#[test]
fn a_stopping_node_finishes_what_is_short_and_releases_what_is_long() {
    for (seconds, status) in [(3, RunStatus::Completed), (3600, RunStatus::Queued)] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            world.vendor.trouble("POST /charges", [Trouble::Slow(seconds)]);
            node.deploy(&one("acme.charges.create")).await;
            node.event("evt_1", json!({})).await;
            node.settle().await;
            let store = node.store.clone();
            node.stop().await;
            let runs = store
                .runs(&default_workspace(), &store::RunQuery::default(), store::Page::default())
                .await
                .unwrap();
            assert_eq!(runs.items[0].status, status);
            drop(store);
            let mut node = world.boot();
            node.quiet().await;
            assert_eq!(node.the_run().status, RunStatus::Completed);
            assert_eq!(world.vendor.names("charges"), ["a"]);
        });
    }
}

#[test]
fn an_event_that_can_never_be_dispatched_does_not_stay_at_the_head_of_the_line() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        // More flows than an event may go to ask for it.
        for n in 0..257 {
            node.deploy(&document(&format!("flow-{n}"), "{}", "  - nothing: {set: {x: 1}}\n")).await;
        }
        let event = node.event("evt_1", json!({})).await;
        node.settle().await;
        assert_eq!(node.outcomes(&event), [EventOutcome::Quarantined]);
        assert_eq!(node.store.stats(None).await.unwrap().events_undispatched, 0);
    });
}
