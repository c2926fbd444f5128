//! Runs that listen: told when they wait, found when they come late, woken where they are.

use serde_json::json;
use store::{EventOutcome, RunStatus};

use crate::flows::document;
use crate::world::{World, kinds, run};

const PAIR: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - hear: {listen: {to: {one: {with: {type: order.paid}, correlate: {order: {from: .data.order, expect: '${ $event.data.order }'}}}}}}
  - last: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.hear[0].by }'}}
";

#[test]
fn a_run_that_listens_holds_no_worker_and_goes_on_when_its_event_comes() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("pair", "{}", PAIR)).await;
        node.event("evt_1", json!({"order": 7})).await;
        node.settle().await;
        let waiting = node.the_run();
        assert_eq!((waiting.status, waiting.ready_at), (RunStatus::Parked, None));
        let other = node.emitted("order.paid", "paid_1", json!({"order": 8, "by": "other"})).await;
        node.settle().await;
        assert_eq!(node.outcomes(&other), [EventOutcome::NoMatch]);
        let own = node.emitted("order.paid", "paid_2", json!({"order": "7", "by": "card"})).await;
        node.quiet().await;
        assert_eq!(node.outcomes(&own), [EventOutcome::Heard(waiting.id.clone())]);
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(kinds(&node.journal(&waiting.id)), "sirhirf");
        assert_eq!(node.left_of_waits(&waiting.id), (0, 0));
    });
}

#[test]
fn an_event_that_comes_before_its_listen_is_found_once() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - wait: {wait: PT1H}
  - one: {listen: {to: {one: {with: {type: order.paid}}}}}
  - two: {listen: {to: {one: {with: {type: 'order.*'}}}}}
  - sum: {set: {heard: '${ [$steps.one[0].n, $steps.two[0].n] }'}}
";
        node.deploy(&document("early", "{}", tasks)).await;
        node.emitted("order.paid", "too_early", json!({"n": 0})).await;
        node.settle().await;
        world.time.advance(jiff::SignedDuration::from_secs(1));
        node.event("evt_1", json!({})).await;
        node.settle().await;
        node.emitted("order.paid", "early_1", json!({"n": 1})).await;
        node.emitted("order.paid", "early_2", json!({"n": 2})).await;
        node.quiet().await;
        assert_eq!(node.output(&node.the_run().id), json!({"heard": [1, 2]}));
    });
}

#[test]
fn a_run_at_work_elsewhere_is_told_in_place() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - both:
      fork:
        compete: true
        branches:
        - long: {do: [{a: {wait: PT3S}}, {b: {wait: PT3S}}, {c: {wait: PT3S}}]}
        - hear: {listen: {to: {one: {with: {type: stop}}}}}
";
        node.deploy(&document("in-place", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        let before = node.the_run();
        assert_eq!(before.status, RunStatus::Running);
        node.emitted("stop", "stop_1", json!("now")).await;
        node.settle().await;
        let after = node.the_run();
        assert_eq!((after.status, after.epoch), (RunStatus::Completed, before.epoch));
        assert_eq!(node.output(&after.id), json!(["now"]));
    });
}

#[test]
fn events_wait_in_line_while_one_is_dealt_with() {
    run(line(150));
}

/// More than are read at a time, so some are read again when their turn has come.
#[test]
fn very_many_events_wait_in_line() {
    run(line(700));
}

async fn line(events: usize) {
    let world = World::new();
    let mut node = world.boot();
    let tasks = "  - hear:
      listen: {to: {any: [{with: {type: item}}], until: {one: {with: {type: over}}}}}
      foreach: {item: it, do: [{pause: {wait: PT1M}}, {note: {call: acme.notes.create, with: {connection: acme, name: '${ $it }'}}}], output: {as: .name}}
";
    node.deploy(&document("line", "{}", tasks)).await;
    node.event("evt_1", json!({})).await;
    node.settle().await;
    for n in 0..events {
        node.emitted("item", &format!("item_{n}"), json!(format!("n{n}"))).await;
    }
    node.emitted("over", "over", json!(1)).await;
    node.emitted("item", "late", json!("late")).await;
    node.quiet().await;
    let run = node.the_run();
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.fault);
    let expected: Vec<String> = (0..events).map(|n| format!("n{n}")).collect();
    assert_eq!(node.output(&run.id), json!(expected));
    assert_eq!(node.left_of_waits(&run.id), (0, 0));
}

#[test]
fn a_timeout_and_a_cancelled_run_leave_nothing_that_waits() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - hear: {timeout: {after: PT1H}, listen: {to: {one: {with: {type: order.paid}}}}}\n";
        node.deploy(&document("timed-out", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.fault.unwrap().status, 408);
        assert_eq!(node.left_of_waits(&run.id), (0, 0));
        node.event("evt_2", json!({})).await;
        node.settle().await;
        let run = node.runs().pop().unwrap().id;
        assert_eq!(node.left_of_waits(&run), (1, 0));
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
        node.drive(store.cancel_run(&crate::world::default_workspace(), &run, now)).await.unwrap();
        assert_eq!(node.left_of_waits(&run), (0, 0));
    });
}

/// Who begins to listen while very many are told finds an event and is told of it: that is once.
#[test]
fn what_was_found_and_is_told_again_is_heard_once() {
    run(async {
        let mut world = World::new();
        let tasks =
            "  - hear: {listen: {to: {any: [{with: {type: item}}], until: {one: {with: {type: over}}}}}}\n";
        let workspace = crate::world::default_workspace();
        let mut node = world.boot();
        node.deploy(&document("again", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        node.emitted("item", "item_1", json!(1)).await;
        node.settle().await;
        node.kill().await;
        let workers = std::mem::replace(&mut world.config.workers, 0);
        let mut node = world.boot();
        // So that there is something to be claimed for.
        node.emitted("item", "item_2", json!(2)).await;
        node.settle().await;
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
        let lease = jiff::SignedDuration::from_secs(30);
        let claim = node.drive(store.claim_runs("elsewhere", 1, lease, now)).await.unwrap().remove(0);
        let waits = crate::world::read(store.waits(&workspace, &claim.run)).unwrap();
        let path = waits[0].effect.split('#').next().unwrap();
        let at = flow::EffectRef { path: path.into(), visit: 1, generation: 0 };
        let wanted = [store::Answers { r#type: "item".into(), form: Vec::new(), key: "[]".into() }];
        let back = store::LookBack {
            event: None,
            since: jiff::Timestamp::UNIX_EPOCH,
            except: &Default::default(),
            now,
        };
        let found = node
            .drive(store.look_back(&workspace, &claim.run, claim.epoch, &at, &wanted, back))
            .await
            .unwrap();
        assert_eq!(found, 2);
        node.drive(store.release_run(&workspace, &claim.run, claim.epoch)).await.unwrap();
        drop(store);
        node.kill().await;
        world.config.workers = workers;
        let mut node = world.boot();
        node.settle().await;
        node.emitted("over", "over", json!(3)).await;
        node.quiet().await;
        assert_eq!(node.output(&claim.run), json!([1, 2]));
        assert_eq!(node.left_of_waits(&claim.run), (0, 0));
    });
}
