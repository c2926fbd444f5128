//! Events that are gathered, so that one run is made for several.

use super::world::{Chance, Settings, Task, World, at};
use flow::{EventId, Mode, RunId};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};
use store::{Dispatch, EventOutcome, FlowOutcome, Page, RunQuery, RunStatus, Window};

const LARGE: u64 = store::windows::WINDOW_BYTES_MAX;

fn only(outcomes: Vec<FlowOutcome>) -> EventOutcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.into_iter().next().unwrap().outcome
}

fn window(key: Option<&str>, most: u32, bytes: u64) -> Window {
    Window { key: key.map(str::to_owned), within: SignedDuration::from_secs(60), most, bytes }
}

/// To the flow `digest`, in windows of a minute.
fn to_digest(world: &World, lane: Option<&str>, window: Window) -> Dispatch {
    Dispatch { window: Some(window), ..world.to_flow("digest", lane, Mode::Queue) }
}

/// Accepts an event at `time` and gathers it then.
fn gather(world: &World, key: &str, time: i64, dispatch: Dispatch) -> (EventId, EventOutcome) {
    let event = world.accept(key, at(time));
    let dispatching = world.dispatching(&event, vec![dispatch]);
    let outcome = only(world.go(world.store.dispatch(dispatching, at(time))).unwrap());
    (event, outcome)
}

fn run_of(outcome: &EventOutcome) -> RunId {
    match outcome {
        EventOutcome::Run(run) | EventOutcome::Joined(run) => run.clone(),
        other => panic!("{other:?}"),
    }
}

fn gathered(world: &World, run: &RunId) -> Vec<EventId> {
    world.go(world.store.gathered(&world.ws, run)).unwrap().into_iter().map(|event| event.id).collect()
}

fn status(world: &World, run: &RunId) -> RunStatus {
    world.go(world.store.run(&world.ws, run)).unwrap().unwrap().status
}

fn claimed(world: &World, time: i64) -> Vec<RunId> {
    world.claim(10, at(time)).into_iter().map(|claim| claim.run).collect()
}

fn windows(world: &World) -> i64 {
    world.count("SELECT count(*) FROM windows")
}

fn world() -> World {
    let world = World::new();
    world.deploy("digest");
    world
}

#[test]
fn the_events_of_a_window_are_one_run_once_its_time_has_come() {
    let world = world();
    // Accepted in this order; they happened in another one.
    let late = world.accept("late", at(30));
    let early = world.accept("early", at(10));
    let to = |event: &EventId, time: i64| {
        let dispatch = to_digest(&world, None, window(None, 100, 10));
        only(world.go(world.store.dispatch(world.dispatching(event, vec![dispatch]), at(time))).unwrap())
    };
    let EventOutcome::Run(run) = to(&late, 40) else { panic!() };
    assert_eq!(to(&early, 90), EventOutcome::Joined(run.clone()));
    assert_eq!(world.go(world.store.next_wake()).unwrap(), Some(at(100)), "from its first event on");
    assert!(claimed(&world, 99).is_empty());
    assert_eq!(status(&world, &run), RunStatus::Parked);

    assert_eq!(claimed(&world, 100), std::slice::from_ref(&run));
    assert_eq!(gathered(&world, &run), [early.clone(), late.clone()]);
    assert_eq!(world.go(world.store.run(&world.ws, &run)).unwrap().unwrap().events, [early, late]);
    assert_eq!(windows(&world), 0);
    let stats = world.go(world.store.stats(None)).unwrap();
    assert_eq!((stats.runs_created, stats.events_joined), (1, 1));
    let (_, next) = gather(&world, "next", 101, to_digest(&world, None, window(None, 100, 10)));
    assert!(matches!(next, EventOutcome::Run(next) if next != run));
}

#[test]
fn the_last_event_that_it_takes_ends_a_window() {
    let world = world();
    let to = |key: &str, time: i64| gather(&world, key, time, to_digest(&world, None, window(None, 3, 10))).1;
    let first = run_of(&to("a", 0));
    assert_eq!(to("b", 1), EventOutcome::Joined(first.clone()));
    assert_eq!((to("c", 2), windows(&world)), (EventOutcome::Joined(first.clone()), 0));
    let EventOutcome::Run(second) = to("d", 3) else { panic!() };
    assert_eq!(claimed(&world, 4), std::slice::from_ref(&first));
    assert_eq!(gathered(&world, &first).len(), 3);
    assert_eq!(claimed(&world, 63), [second]);
}

#[test]
fn what_does_not_fit_ends_a_window_and_opens_the_next() {
    let world = world();
    let to =
        |key: &str, bytes: u64| gather(&world, key, 0, to_digest(&world, None, window(None, 100, bytes))).1;
    let first = run_of(&to("a", LARGE - 10));
    assert_eq!(to("b", 10), EventOutcome::Joined(first.clone()));
    let EventOutcome::Run(second) = to("c", 1) else { panic!() };
    assert_eq!((status(&world, &first), status(&world, &second)), (RunStatus::Queued, RunStatus::Parked));
    // One that is too large by itself is alone.
    let EventOutcome::Run(third) = to("d", LARGE + 1) else { panic!() };
    let EventOutcome::Run(fourth) = to("e", 1) else { panic!() };
    assert_eq!(claimed(&world, 1), [first, second, third.clone()]);
    assert_eq!((gathered(&world, &third).len(), status(&world, &fourth)), (1, RunStatus::Parked));
}

#[test]
fn keys_and_lanes_are_gathered_apart_and_lanes_keep_their_order() {
    let world = world();
    let to = |key: &str, lane: Option<&str>, by: Option<&str>| {
        run_of(&gather(&world, key, 0, to_digest(&world, lane, window(by, 2, 1))).1)
    };
    let kinds =
        [(None, None), (Some("x"), None), (None, Some("x")), (Some("x"), Some("y")), (Some(""), None)];
    let opened: Vec<RunId> =
        kinds.iter().enumerate().map(|(n, (lane, by))| to(&format!("e{n}"), *lane, *by)).collect();
    assert_eq!(opened.iter().collect::<BTreeSet<_>>().len(), kinds.len());
    // Both windows of lane x end: the one that opened first works first, and the other one after it.
    assert_eq!(to("last", Some("x"), Some("y")), opened[3]);
    assert_eq!(to("first", Some("x"), None), opened[1]);
    let claims = world.claim(10, at(1));
    assert_eq!(claims.iter().map(|claim| &claim.run).collect::<Vec<_>>(), [&opened[3]]);
    assert_eq!(claims[0].lane.as_deref(), Some("x"));
    assert!(claimed(&world, 2).is_empty());
    world.finish(&claims[0]).unwrap();
    assert_eq!(claimed(&world, 3), [opened[1].clone()]);
}

/// A window that is due takes in nothing more, woken or not.
#[test]
fn an_event_after_its_time_opens_the_next_window() {
    let world = world();
    let to =
        |key: &str, time: i64| gather(&world, key, time, to_digest(&world, None, window(None, 100, 1))).1;
    let first = run_of(&to("a", 0));
    let EventOutcome::Run(second) = to("b", 60) else { panic!() };
    assert_eq!(to("c", 61), EventOutcome::Joined(second.clone()));
    assert_eq!(claimed(&world, 61), std::slice::from_ref(&first));
    assert_eq!((gathered(&world, &first).len(), windows(&world)), (1, 1));
    assert_eq!(to("d", 62), EventOutcome::Joined(second.clone()), "waking the first left the second alone");
    assert_eq!(claimed(&world, 120), [second]);
}

#[test]
fn a_window_is_of_the_newest_revision_of_its_events() {
    let world = world();
    let first = run_of(&gather(&world, "a", 0, to_digest(&world, None, window(None, 100, 1))).1);
    world.go(world.store.remove_flow(&world.ws, "digest")).unwrap();
    assert_eq!(world.deploy("digest"), 2);
    for (key, revision) in [("b", 2), ("c", 1), ("d", 2)] {
        let dispatch = Dispatch { revision, ..to_digest(&world, None, window(None, 100, 1)) };
        assert_eq!(gather(&world, key, 1, dispatch).1, EventOutcome::Joined(first.clone()));
    }
    let claims = world.claim(10, at(60));
    assert_eq!((&claims[0].run, claims[0].revision), (&first, 2));
}

#[test]
fn a_paused_flow_gathers_and_a_removed_one_does_what_it_has() {
    let world = world();
    let to = |key: &str, time: i64| gather(&world, key, time, to_digest(&world, None, window(None, 2, 1))).1;
    let first = run_of(&to("a", 0));
    world.go(world.store.pause_flow(&world.ws, "digest")).unwrap();
    assert_eq!(to("b", 1), EventOutcome::Joined(first.clone()));
    let second = run_of(&to("c", 2));
    assert!(claimed(&world, 100).is_empty());
    assert_eq!(status(&world, &second), RunStatus::Queued);
    world.go(world.store.resume_flow(&world.ws, "digest")).unwrap();
    assert_eq!(claimed(&world, 101), [first, second]);
    let third = run_of(&to("d", 102));
    world.go(world.store.remove_flow(&world.ws, "digest")).unwrap();
    assert_eq!(claimed(&world, 200), [third]);
}

#[test]
fn a_cancelled_window_takes_in_nothing_more() {
    let world = world();
    let to = |key: &str| gather(&world, key, 0, to_digest(&world, None, window(None, 100, 1))).1;
    let first = run_of(&to("a"));
    world.go(world.store.cancel_run(&world.ws, &first, at(1))).unwrap();
    let EventOutcome::Run(second) = to("b") else { panic!() };
    assert_eq!(claimed(&world, 100), [second]);
    assert_eq!(status(&world, &first), RunStatus::Cancelled);
}

#[test]
fn a_fact_is_gathered_once_and_a_replay_gathers_again() {
    let world = world();
    let fact =
        |most| Dispatch { fact: Some("paid".into()), ..to_digest(&world, None, window(None, most, 1)) };
    let (event, outcome) = gather(&world, "a", 0, fact(100));
    let run = run_of(&outcome);
    assert_eq!(gather(&world, "b", 1, fact(100)).1, EventOutcome::DuplicateFact);
    assert_eq!(claimed(&world, 60), std::slice::from_ref(&run));
    world.go(world.store.replay_event(&world.ws, &event)).unwrap();
    let again = world.go(world.store.dispatch(world.dispatching(&event, vec![fact(100)]), at(61))).unwrap();
    assert!(matches!(only(again), EventOutcome::Run(again) if again != run));
}

/// A failed run's events come back from history with it.
#[test]
fn what_was_gathered_goes_to_history_and_comes_back() {
    let world = world();
    let to = |key: &str| gather(&world, key, 0, to_digest(&world, None, window(None, 2, 1)));
    let events = [to("a").0, to("b").0];
    let claim = world.claim_one();
    world.fail(&claim).unwrap();
    while world.go(world.store.retire(at(86_400), 10)).unwrap() > 0 {}
    assert_eq!(world.count("SELECT count(*) FROM events"), 0);
    world.go(world.store.retry_run(&world.ws, &claim.run)).unwrap();
    assert_eq!(gathered(&world, &claim.run), events);
}

/// Whatever is dispatched together, by whom, and where the power fails: each event is in one window, no window is
/// larger than it may be, and none is forgotten.
#[test]
fn every_event_is_in_one_run_whatever_comes_together() {
    for seed in 0..3 {
        let mut chance = Chance(seed);
        let mut world = world();
        let (mut time, mut events, mut runs) = (0, Vec::new(), Vec::new());
        for round in 0..8 {
            time += chance.below(30) as i64;
            let mut batches: Vec<Vec<_>> = vec![Vec::new(), Vec::new()];
            for n in 0..chance.below(9) {
                let event = world.accept(&format!("e{round}-{n}"), at(time));
                let lane = [None, Some("x")][chance.below(2)];
                let key = [None, Some("k")][chance.below(2)];
                let bytes = [1, LARGE / 3][chance.below(2)];
                let dispatch = to_digest(&world, lane, window(key, 4, bytes));
                batches[chance.below(2)].push(world.dispatching(&event, vec![dispatch.clone()]));
                events.push((event, lane));
            }
            let tasks = batches
                .into_iter()
                .map(|batch| -> Task<_> { Box::pin(world.store.dispatch_all(batch, at(time))) });
            let done: Vec<_> = world.all(tasks.collect());
            for result in done.into_iter().flatten() {
                assert_eq!(result.unwrap().len(), 1);
            }
            for claim in world.claim(10, at(time)) {
                world.finish(&claim).unwrap();
            }
            if chance.below(4) == 0 {
                world = world.reopen(Settings::default());
                world.with_chance(|own| own.0 = chance.next());
            }
        }
        loop {
            time += 60;
            let claims = world.claim(10, at(time));
            if claims.is_empty() {
                break;
            }
            claims.iter().for_each(|claim| world.finish(claim).unwrap());
        }
        assert_eq!(windows(&world), 0, "seed {seed}");
        let listed = world.go(world.store.runs(&world.ws, &RunQuery::default(), Page::default())).unwrap();
        runs.extend(listed.items);
        let mut found = BTreeMap::new();
        for run in &runs {
            assert_eq!(run.status, RunStatus::Completed, "seed {seed}");
            let gathered = gathered(&world, &run.id);
            assert!((1..=4).contains(&gathered.len()), "seed {seed}: {}", gathered.len());
            for event in gathered {
                assert_eq!(found.insert(event, run.lane.clone()), None, "seed {seed}: in two windows");
            }
        }
        let expected: BTreeMap<_, _> =
            events.into_iter().map(|(event, lane)| (event, lane.map(str::to_owned))).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}
