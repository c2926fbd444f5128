//! The journal: appended under an epoch, read back as it was.

use super::world::{World, at, effect, resolved};
use flow::Fault;
use flow::journal::{Entry, Outcome};
use serde_json::json;
use store::{NewRun, OnFailure, RunStatus};

#[test]
fn entries_come_back_in_order_with_their_numbers() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", None);
    let claimed = world.claim_one();
    assert!(!claimed.begun);
    let started = Entry::Started {
        flow: "f".into(),
        version: "1.0.0".into(),
        input: json!({"z": 1, "a": 2}).into(),
        settings: json!({}).into(),
        manifests: std::sync::Arc::default(),
        at: at(1),
    };
    let first = [started, resolved("/do/0/a", json!({"cents": 4200}))];
    let append =
        |epoch, entries: &[Entry]| world.go(world.store.journal_append(&world.ws, &run, epoch, entries));
    append(claimed.epoch, &first).unwrap();
    append(claimed.epoch, &[]).unwrap();
    append(claimed.epoch, &[resolved("/do/1/b", json!(null))]).unwrap();
    let wait = [Entry::Elapsed { effect: effect("/do/2/c"), at: at(2) }];
    world.go(world.store.park(&world.ws, &run, claimed.epoch, &wait, at(2500), false)).unwrap();
    let again = world.claim(1, at(2500)).pop().unwrap();
    assert!(again.begun);
    world.finish(&again).unwrap();

    let journal = world.go(world.store.journal(&world.ws, &run)).unwrap();
    let numbers: Vec<u64> = journal.iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let entries: Vec<Entry> = journal.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(entries[..2], first);
    assert_eq!(entries[3], wait[0]);
    assert_eq!(entries[4], Entry::Finished { outcome: Outcome::Output(json!({"done": true})), at: at(3000) });
    let Entry::Started { input, .. } = &entries[0] else { panic!() };
    assert_eq!(input.to_string(), r#"{"z":1,"a":2}"#, "fields keep their order");
}

/// Large ones among small ones come in their order, each as it was written.
#[test]
fn entries_are_read_one_by_one() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", None);
    let claimed = world.claim_one();
    let texts = ["a".to_owned(), "x".repeat(100_000), "y".repeat(100), "z".repeat(17 << 10)];
    let entries = texts.each_ref().map(|text| resolved("/do/0/a", json!(text)));
    world.go(world.store.journal_append(&world.ws, &run, claimed.epoch, &entries)).unwrap();
    let mut read = Vec::new();
    let each = |n, entry, bytes: usize| read.push((n, entry, bytes / 10_000));
    world.go(world.store.journal_each(&world.ws, &run, each)).unwrap();
    let [first, second, third, fourth] = entries.clone();
    assert_eq!(read, [(1, first, 0), (2, second.clone(), 10), (3, third, 0), (4, fourth, 1)]);
    assert_eq!(world.go(world.store.journal_entry(&world.ws, &run, 2)).unwrap(), second);
    let missing = world.go(world.store.journal_entry(&world.ws, &run, 5)).unwrap_err();
    assert!(missing.to_string().contains("no entry 5"), "{missing}");
}

#[test]
fn the_end_is_written_once() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", None);
    let claimed = world.claim_one();
    let outcome = Outcome::Fault(Fault::timeout("too late"));
    let entries = [resolved("/do/0/a", json!(1)), Entry::Finished { outcome: outcome.clone(), at: at(7) }];
    world.go(world.store.finish(&world.ws, &run, claimed.epoch, &entries, &outcome, at(7))).unwrap();
    assert_eq!(world.go(world.store.journal(&world.ws, &run)).unwrap().len(), 2);
    let shown = world.go(world.store.run(&world.ws, &run)).unwrap().unwrap();
    assert_eq!((shown.status, shown.finished_at), (RunStatus::Failed, Some(at(7))));
    assert_eq!(shown.fault.unwrap().detail, "too late");
}

#[test]
fn retried_attempts_are_counted() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", None);
    let claimed = world.claim_one();
    let attempted = |retry_at| Entry::Attempted {
        effect: effect("/do/0/a"),
        attempt: 1,
        problem: Fault::communication("503"),
        unknown: false,
        settled: false,
        retry_at,
        at: at(1),
    };
    let entries = [attempted(Some(at(2))), attempted(Some(at(3))), attempted(None)];
    world.go(world.store.journal_append(&world.ws, &run, claimed.epoch, &entries)).unwrap();
    assert_eq!(world.go(world.store.stats(None)).unwrap().attempts_retried, 2);
}

#[test]
fn a_run_without_an_event_has_its_input() {
    let world = World::new();
    world.deploy("f");
    let run = NewRun {
        id: world.run_id(),
        flow: "f".into(),
        revision: 1,
        lane: Some("cus_1".into()),
        on_failure: OnFailure::Continue,
        input: json!({"customer": "cus_1"}),
    };
    let id = world.go(world.store.start_run(&world.ws, run, at(1))).unwrap();
    let claimed = world.claim_one();
    assert_eq!((claimed.run, claimed.event, claimed.lane.as_deref()), (id.clone(), None, Some("cus_1")));
    assert_eq!(claimed.input, Some(json!({"customer": "cus_1"})));
    assert_eq!(world.go(world.store.run(&world.ws, &id)).unwrap().unwrap().input, claimed.input);
}
