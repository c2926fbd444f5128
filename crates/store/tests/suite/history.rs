//! What is over goes to history and stays findable; what is wanted again comes back.

use super::world::{Settings, World, at, resolved};
use flow::journal::Outcome;
use flow::{EventId, Fault, Mode, RunId};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use store::committer::Cut;
use store::{Error, EventOutcome, EventQuery, Page, RunQuery, RunStatus};

const LATER: i64 = 100_000;

/// Runs `count` events through, each with a journal of two entries, every third failing.
fn lived(count: usize) -> (World, Vec<EventId>, Vec<RunId>) {
    let world = World::new();
    let (events, runs) = live(&world, count);
    (world, events, runs)
}

fn live(world: &World, count: usize) -> (Vec<EventId>, Vec<RunId>) {
    world.deploy("f");
    let mut events = Vec::new();
    let mut runs = Vec::new();
    for n in 0..count {
        let event = world.accept(&format!("e{n}"), at(n as i64));
        world.dispatch(&event, vec![world.to_flow("f", None, Mode::Queue)]).unwrap();
        let claimed = world.claim_one();
        let entry = [resolved("/do/0/a", json!(n))];
        world.go(world.store.journal_append(&world.ws, &claimed.run, claimed.epoch, &entry)).unwrap();
        if n % 3 == 2 {
            world.fail(&claimed).unwrap()
        } else {
            world.finish(&claimed).unwrap()
        }
        events.push(event);
        runs.push(claimed.run);
    }
    (events, runs)
}

fn retire(world: &World, older_than: Timestamp) -> usize {
    world.go(world.store.retire(older_than, 100)).unwrap()
}

/// Everything that can be seen of runs and events.
fn seen(world: &World, events: &[EventId], runs: &[RunId]) -> String {
    let page = Page { before: None, limit: 100 };
    let mut text = String::new();
    for run in world.go(world.store.runs(&world.ws, &RunQuery::default(), page)).unwrap().items {
        text += &format!("{run:?}\n");
    }
    for event in world.go(world.store.events(&world.ws, &EventQuery::default(), page)).unwrap().items {
        text += &format!("{event:?}\n");
    }
    for run in runs {
        text += &format!("{:?}\n", world.go(world.store.run(&world.ws, run)).unwrap().unwrap());
        text += &format!("{:?}\n", world.go(world.store.journal(&world.ws, run)).unwrap());
    }
    for event in events {
        text += &format!("{:?}\n", world.go(world.store.event(&world.ws, event)).unwrap().unwrap());
        text += &format!("{:?}\n", world.go(world.store.event_outcomes(&world.ws, event)).unwrap());
    }
    text
}

fn hot(world: &World) -> i64 {
    ["runs", "events", "journal", "run_events", "event_outcomes"]
        .iter()
        .map(|table| world.count(&format!("SELECT count(*) FROM {table}")))
        .sum()
}

#[test]
fn what_is_over_moves_and_looks_the_same() {
    let (world, events, runs) = lived(6);
    let before = seen(&world, &events, &runs);
    assert_eq!(retire(&world, at(0)), 0, "nothing is old enough");
    assert_eq!(retire(&world, at(LATER)), 12);
    assert_eq!(hot(&world), 0);
    assert_eq!(seen(&world, &events, &runs), before);
    assert_eq!(retire(&world, at(LATER)), 0);
    assert!(world.has_month("2026-11"));
    let world = world.reopen(Settings::default());
    assert_eq!(seen(&world, &events, &runs), before);
}

#[test]
fn lists_go_on_from_hot_to_history() {
    let (world, _, mut runs) = lived(5);
    assert_eq!(world.go(world.store.retire(at(LATER), 2)).unwrap(), 4);
    let mut listed = Vec::new();
    let mut page = Page { before: None, limit: 2 };
    loop {
        let found = world.go(world.store.runs(&world.ws, &RunQuery::default(), page)).unwrap();
        listed.extend(found.items.into_iter().map(|run| run.id));
        let Some(next) = found.next else { break };
        page.before = Some(next);
    }
    runs.reverse();
    assert_eq!(listed, runs);
    let failed = RunQuery { status: Some(RunStatus::Failed), ..RunQuery::default() };
    assert_eq!(world.go(world.store.runs(&world.ws, &failed, Page::default())).unwrap().items.len(), 1);
}

#[test]
fn what_is_not_over_stays() {
    let world = World::new();
    world.deploy("f");
    let queued = world.queue("e1", "f", None);
    let waiting = world.accept("e2", at(0));
    assert_eq!(retire(&world, at(LATER)), 0);
    assert_eq!(world.claim_one().run, queued);
    assert_eq!(world.go(world.store.undispatched_events(9)).unwrap()[0].id, waiting);
}

#[test]
fn a_move_cut_off_anywhere_loses_and_doubles_nothing() {
    for (nth, cut) in [(1, Cut::Before), (1, Cut::After), (2, Cut::Before), (2, Cut::After)] {
        let (world, events, runs) = lived(4);
        let before = seen(&world, &events, &runs);
        let cuts: store::Cuts = Arc::new(move |commit| (commit == nth).then_some(cut));
        let world = world.reopen(Settings { cuts: Some(cuts), ..Settings::default() });
        assert!(world.go(world.store.retire(at(LATER), 100)).is_err());
        let world = world.reopen(Settings::default());
        assert_eq!(seen(&world, &events, &runs), before, "{nth} {cut:?}");
        retire(&world, at(LATER));
        assert_eq!(hot(&world), 0);
        assert_eq!(seen(&world, &events, &runs), before, "{nth} {cut:?}");
    }
}

#[test]
fn a_failed_run_is_retried_from_history() {
    let (world, events, runs) = lived(3);
    retire(&world, at(LATER));
    world.go(world.store.retry_run(&world.ws, &runs[2])).unwrap();
    let outcome = |event| world.go(world.store.event_outcomes(&world.ws, event)).unwrap()[0].outcome.clone();
    assert_eq!(outcome(&events[2]), EventOutcome::Run(runs[2].clone()));
    let claimed = world.claim_one();
    assert_eq!((&claimed.run, claimed.begun, claimed.retries), (&runs[2], true, 1));
    assert_eq!(claimed.event.as_ref().unwrap().id, events[2]);
    world.finish(&claimed).unwrap();
    assert_eq!(world.go(world.store.journal(&world.ws, &runs[2])).unwrap().len(), 3);
    retire(&world, at(LATER));
    let shown = world.go(world.store.run(&world.ws, &runs[2])).unwrap().unwrap();
    assert_eq!((shown.status, shown.fault), (RunStatus::Completed, None));
    assert_eq!(
        world.go(world.store.runs(&world.ws, &RunQuery::default(), Page::default())).unwrap().items.len(),
        3
    );
    assert_eq!(hot(&world), 0);
}

#[test]
fn an_event_is_replayed_from_history() {
    let (world, events, _) = lived(2);
    retire(&world, at(LATER));
    world.go(world.store.replay_event(&world.ws, &events[0])).unwrap();
    let waiting = world.go(world.store.undispatched_events(9)).unwrap();
    assert_eq!((&waiting[0].id, waiting[0].replays), (&events[0], 1));
    world.dispatch(&events[0], vec![world.to_flow("f", None, Mode::Queue)]).unwrap();
    world.finish(&world.claim_one()).unwrap();
    retire(&world, at(LATER));
    assert_eq!(world.go(world.store.event_outcomes(&world.ws, &events[0])).unwrap().len(), 2);
    assert_eq!(
        world.go(world.store.events(&world.ws, &EventQuery::default(), Page::default())).unwrap().items.len(),
        2
    );
}

#[test]
fn a_month_is_dropped_whole_and_its_dedupe_keys_stay() {
    let (world, _, runs) = lived(2);
    retire(&world, at(LATER));
    let drop_before = |day: &str| world.go(world.store.drop_history(day.parse().unwrap())).unwrap();
    assert_eq!(drop_before("2026-11-30T23:59:59Z"), 0, "its month is not over");
    assert_eq!(drop_before("2026-12-01T00:00:00Z"), 1);
    assert_eq!(world.go(world.store.run(&world.ws, &runs[0])).unwrap(), None);
    assert!(!world.has_month("2026-11"));
    let again = world.go(world.store.accept_event(&world.ws, world.new_event("e0", at(0)), at(0))).unwrap();
    assert!(matches!(again, store::Accepted::Duplicate(_)));
}

#[test]
fn a_run_whose_event_was_deleted_is_not_retried() {
    let world = World::new();
    world.deploy("f");
    world.queue("e1", "f", None);
    let claimed = world.claim_one();
    let outcome = Outcome::Fault(Fault::communication("no answer"));
    let end: Timestamp = "2026-12-02T00:00:00Z".parse().unwrap();
    world.go(world.store.finish(&world.ws, &claimed.run, claimed.epoch, &[], &outcome, end)).unwrap();
    assert_eq!(retire(&world, "2027-01-01T00:00:00Z".parse().unwrap()), 2);
    assert_eq!(world.go(world.store.drop_history(end)).unwrap(), 1, "the month of the event");
    let refused = world.go(world.store.retry_run(&world.ws, &claimed.run));
    assert!(
        matches!(&refused, Err(Error::State { detail, .. }) if detail.contains("event was deleted")),
        "{refused:?}"
    );
    let shown = world.go(world.store.run(&world.ws, &claimed.run)).unwrap().unwrap();
    assert_eq!(shown.status, RunStatus::Failed);
}

#[test]
fn dedupe_keys_and_facts_are_forgotten_when_their_life_is_over() {
    let (world, ..) = lived(1);
    let prune = |at| world.go(world.store.prune(at)).unwrap();
    assert_eq!(prune(at(0) + store::DEDUPE_LIFE), 0);
    assert_eq!(prune(at(1) + store::DEDUPE_LIFE), 1);
    assert_eq!(prune(at(1) + store::DEDUPE_LIFE), 0);
}
