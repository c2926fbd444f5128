//! Telling a run something while another node lets it begin to wait, or puts it aside.

use flow::hearing::Ask;
use flow::{EffectRef, EventId, RunId};
use jiff::SignedDuration;
use serde_json::json;
use std::collections::BTreeSet;
use store::{Answers, Dispatching, LookBack, Parked, Progress, Store, place_of};

use super::{Node, at, done, over_or_waiting, two, ws};

fn effect() -> EffectRef {
    EffectRef { path: "/do/0/a".into(), visit: 1, generation: 0 }
}

fn answers() -> Vec<Answers> {
    vec![Answers { r#type: "stripe.*".into(), form: vec![Ask::Gives(".id".into())], key: "[\"7\"]".into() }]
}

/// A claimed run, and an event that is not dispatched yet.
async fn ground(node: &Node) -> (RunId, EventId) {
    let run = node.queue("run", None).await;
    assert_eq!(node.claim().await.len(), 1);
    (run, node.event("event").await)
}

async fn hear(store: Store, event: EventId) {
    let dispatching = Dispatching { workspace: ws(), event, flows: Vec::new(), answers: answers() };
    store.dispatch(dispatching, at(5)).await.unwrap();
}

async fn listen(store: Store, run: RunId) {
    store.listen(&ws(), &run, 1, &effect(), &answers()).await.unwrap();
}

async fn look_back(store: &Store, run: &RunId) -> usize {
    let back = LookBack { event: None, since: at(0), except: &BTreeSet::new(), now: at(6) };
    store.look_back(&ws(), run, 1, &effect(), &answers(), back).await.unwrap()
}

async fn told(store: &Store, run: &RunId) -> usize {
    store.signals(&ws(), run, 0).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_being_dispatched_is_found_by_who_begins_to_listen() {
    let (first, second) = two().await;
    let (run, event) = ground(&second).await;
    first.gate.stop_at("COMMIT");
    let dispatch = first.spawn(|store| hear(store, event));
    first.gate.reached().await;
    let id = run.clone();
    let listening = second.spawn(|store| listen(store, id));
    over_or_waiting(&second, &listening).await;
    assert!(!listening.is_finished(), "it waits for what becomes of the event");
    first.gate.open();
    done(dispatch).await;
    done(listening).await;
    assert_eq!(look_back(&second.store, &run).await, 1);
    assert_eq!(told(&second.store, &run).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_to_listen_is_told_of_an_event_that_comes_meanwhile() {
    let (first, second) = two().await;
    let (run, event) = ground(&second).await;
    first.gate.stop_at("COMMIT");
    let id = run.clone();
    let listening = first.spawn(|store| listen(store, id));
    first.gate.reached().await;
    let dispatch = second.spawn(|store| hear(store, event));
    over_or_waiting(&second, &dispatch).await;
    assert!(!dispatch.is_finished(), "it waits for who listens");
    first.gate.open();
    done(listening).await;
    done(dispatch).await;
    assert_eq!(told(&second.store, &run).await, 1);
    // What was told directly is not told again.
    assert_eq!(look_back(&second.store, &run).await, 1);
    assert_eq!(told(&second.store, &run).await, 1);
}

async fn park(store: Store, run: RunId) {
    let parked = Parked { until: None, seen: Some(0), hold: false };
    store.put_aside(&ws(), &run, 1, Progress::default(), parked).await.unwrap();
}

async fn tell(store: Store, run: RunId) {
    assert!(store.signal(&ws(), &run, &place_of(&effect()), "yes", &json!(1), at(5)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_told_something_while_it_parks_goes_on() {
    for telling_first in [false, true] {
        let (first, second) = two().await;
        let (run, _) = ground(&second).await;
        second.store.wait(&ws(), &run, 1, &effect()).await.unwrap();
        first.gate.stop_at("COMMIT");
        let (one, two) = (run.clone(), run.clone());
        let (before, after) = if telling_first {
            let before = first.spawn(|store| tell(store, one));
            first.gate.reached().await;
            (before, second.spawn(|store| park(store, two)))
        } else {
            let before = first.spawn(|store| park(store, one));
            first.gate.reached().await;
            (before, second.spawn(|store| tell(store, two)))
        };
        over_or_waiting(&second, &after).await;
        first.gate.open();
        done(before).await;
        done(after).await;
        let lease = SignedDuration::from_secs(30);
        let claimed = second.store.claim_runs("second", 9, lease, at(10)).await.unwrap();
        assert_eq!(
            claimed.iter().map(|claim| &claim.run).collect::<Vec<_>>(),
            [&run],
            "telling first: {telling_first}"
        );
    }
}

/// Whoever has read a signal's number has read all that came before it: the second to tell waits for the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_numbered_in_the_order_in_which_they_can_be_read() {
    for statement in ["INSERT INTO signals", "COMMIT"] {
        let (first, second) = two().await;
        let (run, _) = ground(&second).await;
        second.store.wait(&ws(), &run, 1, &effect()).await.unwrap();
        let say = |store: Store, run: RunId, name: &'static str| async move {
            assert!(store.signal(&ws(), &run, &place_of(&effect()), name, &json!(1), at(5)).await.unwrap());
        };
        first.gate.stop_at(statement);
        let (one, two) = (run.clone(), run.clone());
        let before = first.spawn(|store| say(store, one, "one"));
        first.gate.reached().await;
        let after = second.spawn(|store| say(store, two, "two"));
        over_or_waiting(&second, &after).await;
        assert!(
            !after.is_finished(),
            "{statement}: it would be read before the other, and have the higher number"
        );
        assert_eq!(told(&second.store, &run).await, 0);
        first.gate.open();
        done(before).await;
        done(after).await;
        let signals = second.store.signals(&ws(), &run, 0).await.unwrap();
        assert_eq!(signals.iter().map(|signal| signal.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }
}
