//! What runs wait for: told once, in whatever order it comes with their parking, and forgotten with them.

use flow::hearing::{Ask, Form};
use flow::journal::{Entry, Outcome};
use flow::{EventId, Fault, RunId};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use store::listening::TELL_MAX;
use store::{
    Answers, ClaimedRun, Ended, Error, EventOutcome, LookBack, Mode, NewRun, OnFailure, Parked, Progress,
    RunStatus, Told, place_of,
};

use super::world::{World, at, effect};

fn world() -> World {
    let world = World::new();
    world.deploy("f");
    world
}

/// A claimed run that waits at `/a`.
fn waiting(world: &World, key: &str) -> ClaimedRun {
    world.queue(key, "f", Some(key));
    let run = world.claim_one();
    world.go(world.store.wait(&world.ws, &run.run, run.epoch, &effect("/a"))).unwrap();
    run
}

fn park(world: &World, run: &ClaimedRun, until: Option<Timestamp>, seen: u64) {
    let parked = Parked { until, seen: Some(seen), hold: false };
    world.go(world.store.put_aside(&world.ws, &run.run, run.epoch, Progress::default(), parked)).unwrap();
}

fn tell(world: &World, run: &RunId, path: &str, name: &str) -> bool {
    let place = place_of(&effect(path));
    world.go(world.store.signal(&world.ws, run, &place, name, &json!({"said": name}), at(2000))).unwrap()
}

fn names(world: &World, run: &RunId, after: u64) -> Vec<String> {
    let signals = world.go(world.store.signals(&world.ws, run, after)).unwrap();
    signals.into_iter().map(|signal| signal.name).collect()
}

#[test]
fn a_parked_run_goes_on_when_it_is_told_something() {
    let world = world();
    let run = waiting(&world, "k");
    park(&world, &run, None, 0);
    assert_eq!(world.claim_ids(9), []);
    assert!(tell(&world, &run.run, "/a", "yes"));
    let again = world.claim_one();
    assert_eq!((&again.run, again.epoch), (&run.run, run.epoch + 1));
    let signals = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap();
    assert_eq!(signals[0].told, Told::Value(json!({"said": "yes"})));
    assert_eq!(signals[0].effect, "/a#1.0");
}

#[test]
fn what_is_told_before_a_run_parks_keeps_it_awake_unless_it_has_read_it() {
    let world = world();
    let run = waiting(&world, "k");
    assert!(tell(&world, &run.run, "/a", "early"));
    let seen = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap()[0].seq;
    park(&world, &run, Some(at(99_999)), 0);
    let again = world.claim_one();
    assert_eq!(again.run, run.run, "it had not read it");
    park(&world, &again, Some(at(99_999)), seen);
    assert_eq!(world.claim_ids(9), [], "it had read it and waits for something else");
    assert!(tell(&world, &run.run, "/a", "late"));
    assert_eq!(world.claim_ids(9), [run.run]);
}

#[test]
fn a_signal_is_told_once_and_only_to_what_waits() {
    let world = world();
    let run = waiting(&world, "k");
    assert!(tell(&world, &run.run, "/a", "one"));
    assert!(!tell(&world, &run.run, "/a", "one"), "the same");
    assert!(!tell(&world, &run.run, "/b", "one"), "nothing waits there");
    assert!(tell(&world, &run.run, "/a", "two"));
    assert_eq!(names(&world, &run.run, 0), ["one", "two"]);
    let seq = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap()[0].seq;
    assert_eq!(names(&world, &run.run, seq), ["two"]);
    // It takes the first, and what waited is over.
    let entries = [Entry::Elapsed { effect: effect("/a"), at: at(1) }];
    let progress = Progress { entries: &entries, taken: &[seq], over: &[], ..Progress::default() };
    world.go(world.store.progress(&world.ws, &run.run, run.epoch, progress)).unwrap();
    assert_eq!(names(&world, &run.run, 0), ["two"]);
    let progress = Progress { over: &[effect("/a")], ..Progress::default() };
    world.go(world.store.progress(&world.ws, &run.run, run.epoch, progress)).unwrap();
    assert_eq!(names(&world, &run.run, 0), Vec::<String>::new());
    assert!(!tell(&world, &run.run, "/a", "three"));
    assert_eq!(world.go(world.store.waits(&world.ws, &run.run)).unwrap(), []);
}

#[test]
fn only_the_holder_of_a_run_begins_to_wait() {
    let world = world();
    let run = waiting(&world, "k");
    let other = world.go(world.store.wait(&world.ws, &run.run, run.epoch + 1, &effect("/b")));
    assert!(matches!(other, Err(Error::Fenced { .. })), "{other:?}");
}

#[test]
fn a_woken_run_waits_for_its_lanes_turn() {
    let world = world();
    let first = waiting(&world, "k");
    park(&world, &first, None, 0);
    let event = world.accept("other", at(0));
    let dispatch = world.to_flow("f", Some("k"), Mode::Queue);
    world.dispatch(&event, vec![dispatch]).unwrap();
    let second = world.claim_one();
    assert!(tell(&world, &first.run, "/a", "yes"));
    assert_eq!(world.claim_ids(9), []);
    world.finish(&second).unwrap();
    assert_eq!(world.claim_ids(9), [first.run]);
}

#[test]
fn the_end_of_a_run_forgets_all_that_it_waited_for() {
    for cancelled in [false, true] {
        let world = world();
        let run = waiting(&world, "k");
        world.go(world.store.listen(&world.ws, &run.run, run.epoch, &effect("/l"), &[answers("7")])).unwrap();
        assert!(tell(&world, &run.run, "/a", "yes"));
        if cancelled {
            world.go(world.store.cancel_run(&world.ws, &run.run, at(9))).unwrap();
        } else {
            let outcome = Outcome::Fault(Fault::runtime("no"));
            let ended = Ended { outcome: &outcome, waited: true, awaited: false };
            world.go(world.store.end(&world.ws, &run.run, run.epoch, &[], ended, at(9))).unwrap();
        }
        for table in ["waits", "listeners", "signals"] {
            assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
        }
    }
}

fn form() -> Form {
    vec![Ask::Gives(".data.id".into())]
}

fn answers(id: &str) -> Answers {
    Answers { r#type: "stripe.*".into(), form: form(), key: format!("[\"{id}\"]") }
}

/// Dispatches an event that answers with an id.
fn hear(world: &World, key: &str, id: &str) -> (EventId, Vec<EventOutcome>) {
    let event = world.accept(key, at(10));
    let mut dispatching = world.dispatching(&event, Vec::new());
    dispatching.answers = vec![answers(id)];
    world.go(world.store.dispatch(dispatching, at(1000))).unwrap();
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &event)).unwrap();
    (event, outcomes.into_iter().map(|outcome| outcome.outcome).collect())
}

#[test]
fn events_are_told_to_those_who_expect_them() {
    let world = world();
    let run = waiting(&world, "k");
    world.go(world.store.listen(&world.ws, &run.run, run.epoch, &effect("/l"), &[answers("7")])).unwrap();
    park(&world, &run, None, 0);
    assert_eq!(hear(&world, "other", "8").1, [EventOutcome::NoMatch]);
    assert_eq!(world.claim_ids(9), []);
    let (event, outcomes) = hear(&world, "own", "7");
    assert_eq!(outcomes, [EventOutcome::Heard(run.run.clone())]);
    assert_eq!(world.claim_ids(9), std::slice::from_ref(&run.run));
    let signals = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap();
    assert_eq!(signals.len(), 1);
    assert_eq!((&signals[0].told, signals[0].effect.as_str()), (&Told::Event(event.clone()), "/l#1.0"));
    // A replay tells it again.
    world.go(world.store.replay_event(&world.ws, &event)).unwrap();
    let mut dispatching = world.dispatching(&event, Vec::new());
    dispatching.answers = vec![answers("7")];
    world.go(world.store.dispatch(dispatching, at(1000))).unwrap();
    assert_eq!(names(&world, &run.run, signals[0].seq), [format!("{event}#1")]);
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_no_match, 1);
}

#[test]
fn a_run_that_begins_to_listen_finds_what_came_before() {
    let world = world();
    let missed = hear(&world, "one", "7").0;
    let taken = hear(&world, "two", "7").0;
    hear(&world, "three", "8");
    let last = hear(&world, "four", "7").0;
    let run = waiting(&world, "k");
    let (ws, id, epoch, place) = (&world.ws, &run.run, run.epoch, effect("/l"));
    let wanted = [answers("7")];
    world.go(world.store.listen(ws, id, epoch, &place, &wanted)).unwrap();
    let except = BTreeSet::from([taken.as_str().to_owned()]);
    for (since, found) in [(at(11), 0), (at(10), 2)] {
        let back = LookBack { event: None, since, except: &except, now: at(50) };
        assert_eq!(world.go(world.store.look_back(ws, id, epoch, &place, &wanted, back)).unwrap(), found);
    }
    assert_eq!(names(&world, id, 0), [missed.as_str(), last.as_str()]);
    let looked = world.go(world.store.waits(ws, id)).unwrap();
    assert_eq!(looked.iter().map(|wait| wait.looked).collect::<Vec<_>>(), [false, true]);
}

/// By the events' numbers, whatever the clock said when they came.
#[test]
fn a_clock_that_was_set_back_hides_nothing() {
    let world = world();
    hear(&world, "before", "7");
    let trigger = world.accept("trigger", at(9_000));
    let after = hear(&world, "after", "7").0;
    let run = waiting(&world, "k");
    let (ws, id, epoch, place) = (&world.ws, &run.run, run.epoch, effect("/l"));
    let wanted = [answers("7")];
    world.go(world.store.listen(ws, id, epoch, &place, &wanted)).unwrap();
    let none = BTreeSet::new();
    let found = |event| {
        let back = LookBack { event, since: at(9_000), except: &none, now: at(50) };
        world.go(world.store.look_back(ws, id, epoch, &place, &wanted, back)).unwrap()
    };
    assert_eq!(found(None), 0);
    assert_eq!(found(Some(&trigger)), 1);
    assert_eq!(names(&world, id, 0), [after.as_str()]);
}

#[test]
fn what_is_listened_for_is_noted_for_good() {
    let world = world();
    let listened = [("a.*".to_owned(), form()), ("b".to_owned(), Vec::new())];
    for _ in 0..2 {
        world.go(world.store.note_listened(&world.ws, &listened)).unwrap();
    }
    assert_eq!(world.go(world.store.listened(&world.ws)).unwrap(), listened);
}

/// Very many who listen are told in several units, each of them once, those included that a dead node left.
#[test]
fn very_many_are_told_unit_by_unit() {
    let world = world();
    let run = waiting(&world, "k");
    let most = usize::try_from(TELL_MAX).unwrap();
    for n in 0..most + 3 {
        let at = effect(&format!("/l{n}"));
        world.go(world.store.listen(&world.ws, &run.run, run.epoch, &at, &[answers("7")])).unwrap();
    }
    let (event, outcomes) = hear(&world, "own", "7");
    assert_eq!(outcomes, [EventOutcome::Heard(run.run.clone())]);
    let told = || world.count("SELECT count(*) FROM signals");
    assert_eq!(told() as usize, most);
    assert_eq!(world.go(world.store.tell_on(at(1001))).unwrap(), 1);
    assert_eq!(told() as usize, most + 3);
    assert_eq!(world.go(world.store.tell_on(at(1002))).unwrap(), 0);
    let signals = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap();
    assert!(signals.iter().all(|signal| signal.told == Told::Event(event.clone())));
    assert_eq!(world.go(world.store.event_outcomes(&world.ws, &event)).unwrap().len(), 1);
}

#[test]
fn a_cancelled_run_takes_with_it_what_it_alone_awaits() {
    let world = world();
    let start = |parent: &ClaimedRun, path: &str, child: &str, new: bool| {
        let child = RunId::new(child);
        let new = new.then(|| NewRun {
            id: child.clone(),
            flow: "f".into(),
            revision: 1,
            lane: None,
            on_failure: OnFailure::Continue,
            input: json!({}),
        });
        let (store, holder) = (&world.store, (&parent.run, parent.epoch));
        world.go(store.start_child(&world.ws, holder, Some(&effect(path)), &child, new, at(5))).unwrap();
    };
    let (parent, other) = (waiting(&world, "k"), waiting(&world, "l"));
    start(&parent, "/own", "run_own", true);
    start(&parent, "/both", "run_both", true);
    start(&other, "/both", "run_both", false);
    world.go(world.store.cancel_run(&world.ws, &parent.run, at(9))).unwrap();
    let status = |id: &str| world.go(world.store.run(&world.ws, &RunId::new(id))).unwrap().unwrap().status;
    assert_eq!((status("run_own"), status("run_both")), (RunStatus::Cancelled, RunStatus::Queued));
    assert_eq!(world.go(world.store.waits(&world.ws, &parent.run)).unwrap(), []);
    assert_eq!(world.go(world.store.waits(&world.ws, &other.run)).unwrap().len(), 2);
    world.go(world.store.cancel_run(&world.ws, &other.run, at(9))).unwrap();
    assert_eq!(status("run_both"), RunStatus::Cancelled);
    for table in ["waits", "signals"] {
        assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(world.go(world.store.stats(None)).unwrap().runs_cancelled, 4);
}

/// A pass that began afresh starts another run: its end is awaited, and no longer the first one's.
#[test]
fn who_awaits_another_run_is_told_of_that_ones_end() {
    let world = world();
    let parent = waiting(&world, "k");
    let (store, holder) = (&world.store, (&parent.run, parent.epoch));
    let new = |id: &RunId| NewRun {
        id: id.clone(),
        flow: "f".into(),
        revision: 1,
        lane: None,
        on_failure: OnFailure::Continue,
        input: json!({}),
    };
    for id in ["run_first", "run_second"] {
        let child = RunId::new(id);
        let new = Some(new(&child));
        world.go(store.start_child(&world.ws, holder, Some(&effect("/c")), &child, new, at(5))).unwrap();
    }
    let claimed: Vec<ClaimedRun> = world.claim(9, at(2000));
    for claimed in claimed {
        let outcome = Outcome::Output(json!(claimed.run.as_str()));
        let ended = Ended { outcome: &outcome, waited: false, awaited: true };
        world.go(store.end(&world.ws, &claimed.run, claimed.epoch, &[], ended, at(7))).unwrap();
        let told = names(&world, &parent.run, 0).len();
        assert_eq!(told, usize::from(claimed.run.as_str() == "run_second"), "{}", claimed.run);
    }
}
