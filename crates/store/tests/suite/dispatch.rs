//! How events become runs, and what they become when they don't.

use super::DATABASE;
use super::world::{Task, World, at};
use crate::Database;
use flow::{EventId, Fault, Mode, OnFailure, RunId};
use store::{Dispatch, Error, EventOutcome, EventQuery, EventStatus, FlowOutcome, NewEvent, Page, RunStatus};

fn only(outcomes: Vec<FlowOutcome>) -> EventOutcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.into_iter().next().unwrap().outcome
}

/// Dispatches an event to the state flow `mirror`, lane `cus_1`.
fn latest(world: &World, event: &EventId) -> EventOutcome {
    only(world.dispatch(event, vec![world.to_flow("mirror", Some("cus_1"), Mode::Latest)]).unwrap())
}

/// A world in which the run of one event at `time` has been finished by the state flow.
fn applied_at(time: i64) -> World {
    let world = World::new();
    world.deploy("mirror");
    let event = world.accept("first", at(time));
    assert!(matches!(latest(&world, &event), EventOutcome::Run(_)));
    world.finish(&world.claim_one()).unwrap();
    world
}

#[test]
fn an_event_that_nobody_wants_is_told_so() {
    let world = World::new();
    let event = world.accept("e1", at(0));
    let outcomes = world.dispatch(&event, vec![]).unwrap();
    assert_eq!(outcomes, [FlowOutcome { flow: None, outcome: EventOutcome::NoMatch, replay: 0 }]);
    assert_eq!(world.go(world.store.event_outcomes(&world.ws, &event)).unwrap(), outcomes);
}

#[test]
fn an_event_gives_each_flow_a_run() {
    let world = World::new();
    world.deploy("a");
    world.deploy("b");
    let event = world.accept("e1", at(0));
    let flows = vec![world.to_flow("a", Some("cus_1"), Mode::Queue), world.to_flow("b", None, Mode::Queue)];
    let runs: Vec<RunId> = flows.iter().map(|dispatch| dispatch.run.clone()).collect();
    let outcomes = world.dispatch(&event, flows).unwrap();
    let expected: Vec<EventOutcome> = runs.iter().cloned().map(EventOutcome::Run).collect();
    assert_eq!(outcomes.iter().map(|it| it.outcome.clone()).collect::<Vec<_>>(), expected);

    let claimed = world.claim(10, at(1));
    assert_eq!(claimed.iter().map(|it| it.run.clone()).collect::<Vec<_>>(), runs);
    assert_eq!(claimed[0].lane.as_deref(), Some("cus_1"));
    assert_eq!(claimed[1].lane, None);
    assert_eq!(claimed[0].event.as_ref().unwrap().id, event);
    let run = world.go(world.store.run(&world.ws, &runs[0])).unwrap().unwrap();
    assert_eq!((run.version.as_str(), run.subject.as_deref()), ("1.0.0", Some("in_e1")));
    assert_eq!((run.status, run.events), (RunStatus::Running, vec![event]));
}

#[test]
fn an_event_is_dispatched_once_and_whole() {
    let world = World::new();
    world.deploy("a");
    let event = world.accept("e1", at(0));
    let unknown = Dispatch { revision: 9, ..world.to_flow("a", None, Mode::Queue) };
    let refused = world.dispatch(&event, vec![world.to_flow("b", None, Mode::Queue), unknown]);
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    let twice = vec![world.to_flow("a", None, Mode::Queue), world.to_flow("a", None, Mode::Queue)];
    assert!(matches!(world.dispatch(&event, twice), Err(Error::Refused(_))));
    assert_eq!(world.go(world.store.undispatched_events(10)).unwrap().len(), 1, "nothing was written");

    world.dispatch(&event, vec![world.to_flow("a", None, Mode::Queue)]).unwrap();
    let again = world.dispatch(&event, vec![world.to_flow("a", None, Mode::Queue)]);
    assert!(matches!(again, Err(Error::State { .. })), "{again:?}");
    assert_eq!(world.count("SELECT count(*) FROM runs"), 1);
}

#[test]
fn two_dispatchers_of_one_event_make_one_run() {
    let world = World::new();
    world.deploy("a");
    let event = world.accept("e1", at(0));
    let task = || -> Task<_> {
        let flows = vec![world.to_flow("a", None, Mode::Queue)];
        Box::pin(world.store.dispatch(world.dispatching(&event, flows), at(1)))
    };
    let results = world.all(vec![task(), task()]);
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(Error::State { .. })), "{:?}", results[1]);
    assert_eq!(world.count("SELECT count(*) FROM runs"), 1);
}

#[test]
fn a_waiting_run_of_a_state_flow_takes_in_later_events() {
    let world = World::new();
    world.deploy("mirror");
    let early = world.accept("early", at(10));
    let newest = world.accept("newest", at(30));
    let late = world.accept("late", at(20));
    let EventOutcome::Run(run) = latest(&world, &early) else { panic!() };
    assert_eq!(latest(&world, &newest), EventOutcome::Joined(run.clone()));
    assert_eq!(latest(&world, &late), EventOutcome::Joined(run.clone()));

    let claimed = world.claim(10, at(100));
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event.as_ref().unwrap().id, newest, "the newest by the vendor's clock");
    let shown = world.go(world.store.run(&world.ws, &run)).unwrap().unwrap();
    assert_eq!(shown.events, [early, late, newest]);
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_joined, 2);
}

#[test]
fn a_run_that_has_begun_takes_in_nothing() {
    let world = World::new();
    world.deploy("mirror");
    let first = world.accept("first", at(10));
    latest(&world, &first);
    let claimed = world.claim_one();
    let second = world.accept("second", at(20));
    let EventOutcome::Run(waiting) = latest(&world, &second) else { panic!() };
    // Given back, it is queued again, but it has read what it read.
    world.go(world.store.release_run(&world.ws, &claimed.run, claimed.epoch)).unwrap();
    let third = world.accept("third", at(30));
    assert_eq!(latest(&world, &third), EventOutcome::Joined(waiting));
}

#[test]
fn a_waiting_run_that_is_joined_takes_the_newer_revision() {
    let world = World::new();
    world.deploy("mirror");
    let first = world.accept("first", at(10));
    latest(&world, &first);
    world.go(world.store.remove_flow(&world.ws, "mirror")).unwrap();
    assert_eq!(world.deploy("mirror"), 2);
    let second = world.accept("second", at(20));
    let newer = Dispatch { revision: 2, ..world.to_flow("mirror", Some("cus_1"), Mode::Latest) };
    world.dispatch(&second, vec![newer]).unwrap();
    let third = world.accept("third", at(30));
    latest(&world, &third);
    assert_eq!(world.claim_one().revision, 2);
}

#[test]
fn what_is_older_than_the_applied_state_is_stale() {
    let cases = [(49, true), (50, false), (51, false)];
    for (time, stale) in cases {
        let world = applied_at(50);
        let event = world.accept("next", at(time));
        let outcome = latest(&world, &event);
        assert_eq!(outcome == EventOutcome::Stale, stale, "{time}: {outcome:?}");
        assert_eq!(world.claim_ids(10).is_empty(), stale);
        assert_eq!(world.go(world.store.stats(None)).unwrap().events_stale, i64::from(stale));
    }
}

#[test]
fn applied_state_is_of_a_lane_and_a_source_and_never_goes_back() {
    let world = applied_at(50);
    let applied = |lane, source| world.go(world.store.applied(&world.ws, "mirror", source, lane)).unwrap();
    assert_eq!(applied("cus_1", "stripe"), Some(at(50)));
    assert_eq!(applied("cus_2", "stripe"), None);
    let elsewhere = NewEvent { connection: "hubspot".into(), ..world.new_event("h", at(20)) };
    let id = elsewhere.id.clone();
    world.go(world.store.accept_event(&world.ws, elsewhere, at(60))).unwrap();
    assert!(matches!(latest(&world, &id), EventOutcome::Run(_)), "another clock says nothing");
    world.finish(&world.claim_one()).unwrap();
    assert_eq!((applied("cus_1", "stripe"), applied("cus_1", "hubspot")), (Some(at(50)), Some(at(20))));
}

#[test]
fn a_failed_run_has_applied_nothing() {
    let world = World::new();
    world.deploy("mirror");
    let event = world.accept("first", at(50));
    let EventOutcome::Run(run) = latest(&world, &event) else { panic!() };
    world.fail(&world.claim_one()).unwrap();
    assert_eq!(world.go(world.store.applied(&world.ws, "mirror", "stripe", "cus_1")).unwrap(), None);
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &event)).unwrap();
    assert_eq!(only(outcomes), EventOutcome::Failed(run));
    let failed = EventQuery { outcome: Some("failed".into()), ..EventQuery::default() };
    assert_eq!(world.go(world.store.events(&world.ws, &failed, Page::default())).unwrap().items.len(), 1);
    let older = world.accept("older", at(10));
    assert!(matches!(latest(&world, &older), EventOutcome::Run(_)));
}

#[test]
fn events_of_one_lane_dispatched_at_once_share_a_run() {
    let world = World::new();
    world.deploy("mirror");
    let flows = |event: &EventId| {
        world.dispatching(event, vec![world.to_flow("mirror", Some("cus_1"), Mode::Latest)])
    };
    let events: Vec<EventId> = (0..3).map(|n| world.accept(&format!("e{n}"), at(n))).collect();
    let results = world.go(world.store.dispatch_all(events.iter().map(flows).collect(), at(9)));
    let outcomes: Vec<EventOutcome> = results.into_iter().map(|result| only(result.unwrap())).collect();
    let EventOutcome::Run(run) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[1..], [EventOutcome::Joined(run.clone()), EventOutcome::Joined(run.clone())]);
}

#[test]
fn a_run_claimed_while_it_is_being_joined_is_not_joined() {
    let world = World::new();
    world.deploy("mirror");
    let first = world.accept("first", at(10));
    latest(&world, &first);
    let second = world.accept("second", at(20));
    let mut outcome = None;
    let claim: Task<()> = Box::pin(async {
        let lease = jiff::SignedDuration::from_secs(30);
        assert_eq!(world.store.claim_runs("node-1", 10, lease, at(30)).await.unwrap().len(), 1);
    });
    let dispatch: Task<()> = Box::pin(async {
        let flows = vec![world.to_flow("mirror", Some("cus_1"), Mode::Latest)];
        outcome = Some(world.store.dispatch(world.dispatching(&second, flows), at(30)).await.unwrap());
    });
    world.all(vec![claim, dispatch]);
    assert!(matches!(only(outcome.unwrap()), EventOutcome::Run(_)), "the claimed run has read too early");
}

#[test]
fn a_fact_is_acted_on_once() {
    let world = World::new();
    world.deploy("alert");
    let fact = |flow: &str, fact: &str| Dispatch {
        fact: Some(fact.into()),
        ..world.to_flow(flow, None, Mode::Queue)
    };
    let events: Vec<EventId> = (0..3).map(|n| world.accept(&format!("e{n}"), at(n))).collect();
    // Two events tell one fact and are dispatched in one transaction.
    let both = vec![
        world.dispatching(&events[0], vec![fact("alert", "in_1 attempt 1")]),
        world.dispatching(&events[1], vec![fact("alert", "in_1 attempt 1")]),
    ];
    let results = world.go(world.store.dispatch_all(both, at(9)));
    let outcomes: Vec<EventOutcome> = results.into_iter().map(|result| only(result.unwrap())).collect();
    assert!(matches!(outcomes[0], EventOutcome::Run(_)));
    assert_eq!(outcomes[1], EventOutcome::DuplicateFact);
    let next = only(world.dispatch(&events[2], vec![fact("alert", "in_1 attempt 2")]).unwrap());
    assert!(matches!(next, EventOutcome::Run(_)));
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_duplicate_fact, 1);

    world.go(world.store.replay_event(&world.ws, &events[0])).unwrap();
    let again = world.dispatch(&events[0], vec![fact("alert", "in_1 attempt 1")]).unwrap();
    assert!(matches!(only(again), EventOutcome::Run(_)), "a replay is handled again, with the same keys");
}

#[test]
fn a_replay_is_handled_again_and_recorded_beside_the_first_time() {
    let world = applied_at(50);
    let old = world.accept("old", at(10));
    assert_eq!(latest(&world, &old), EventOutcome::Stale);
    world.go(world.store.replay_event(&world.ws, &old)).unwrap();
    let waiting = world.go(world.store.undispatched_events(10)).unwrap();
    assert_eq!((waiting[0].id.clone(), waiting[0].replays), (old.clone(), 1));
    assert!(world.go(world.store.replay_event(&world.ws, &old)).is_err(), "it waits already");
    let EventOutcome::Run(run) = latest(&world, &old) else { panic!() };
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &old)).unwrap();
    assert_eq!(outcomes[0].outcome, EventOutcome::Stale);
    assert_eq!((outcomes[1].outcome.clone(), outcomes[1].replay), (EventOutcome::Run(run), 1));
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_replayed, 1);
    world.finish(&world.claim_one()).unwrap();
    let applied = world.go(world.store.applied(&world.ws, "mirror", "stripe", "cus_1")).unwrap();
    assert_eq!(applied, Some(at(50)), "an old event does not take it back");
}

#[test]
fn a_flow_that_cannot_say_its_lane_gets_a_failed_run() {
    let world = World::new();
    world.deploy("a");
    let event = world.accept("e1", at(0));
    let dispatch = Dispatch {
        fault: Some(Fault::expression("cannot index null")),
        on_failure: OnFailure::Hold,
        ..world.to_flow("a", None, Mode::Queue)
    };
    let run = dispatch.run.clone();
    assert_eq!(only(world.dispatch(&event, vec![dispatch]).unwrap()), EventOutcome::Failed(run.clone()));
    assert!(world.claim_ids(10).is_empty());
    let shown = world.go(world.store.run(&world.ws, &run)).unwrap().unwrap();
    assert_eq!(shown.status, RunStatus::Failed);
    assert_eq!(shown.fault.unwrap().detail, "cannot index null");
    assert_eq!(world.go(world.store.stats(None)).unwrap().runs_failed, 1);

    world.go(world.store.retry_run(&world.ws, &run)).unwrap();
    assert_eq!(
        only(world.go(world.store.event_outcomes(&world.ws, &event)).unwrap()),
        EventOutcome::Run(run.clone())
    );
    let claimed = world.claim_one();
    assert_eq!((claimed.run.clone(), claimed.retries, claimed.begun), (run, 1, false));
    world.finish(&claimed).unwrap();
    let stats = world.go(world.store.stats(None)).unwrap();
    assert_eq!((stats.runs_failed, stats.runs_completed, stats.runs_retried), (0, 1, 1));
}

/// The runs of one lane, in the order in which they get their turns.
fn turns(world: &World) -> Vec<RunId> {
    let mut order = Vec::new();
    while let Some(claimed) = world.claim(1, at(2000)).pop() {
        world.finish(&claimed).unwrap();
        if claimed.flow == "f" {
            order.push(claimed.run);
        }
    }
    order
}

/// Three events of a customer in one batch, the second of which is overtaken by what happens meanwhile.
#[test]
fn a_lane_keeps_its_order_when_an_event_of_a_batch_is_decided_again() {
    for overtaken in ["by a fact of the batch", "by a fact", "by a claim"] {
        let world = World::new();
        for name in ["f", "alert", "mirror"] {
            world.deploy(name);
        }
        let fact = || Dispatch { fact: Some("fact".into()), ..world.to_flow("alert", None, Mode::Queue) };
        let mirror = || world.to_flow("mirror", Some("cus_1"), Mode::Latest);
        let before = world.accept("before", at(0));
        if overtaken == "by a claim" {
            assert!(matches!(latest(&world, &before), EventOutcome::Run(_)));
        }
        let mut runs = Vec::new();
        let mut batch = Vec::new();
        for n in 0..3 {
            let event = world.accept(&format!("e{n}"), at(n));
            let in_lane = world.to_flow("f", Some("cus_1"), Mode::Queue);
            runs.push(in_lane.run.clone());
            let mut flows = vec![in_lane];
            match (overtaken, n) {
                ("by a fact of the batch", 0 | 1) | ("by a fact", 1) => flows.push(fact()),
                ("by a claim", 1) => flows.push(mirror()),
                _ => {}
            }
            batch.push(world.dispatching(&event, flows));
        }
        let meanwhile: Task<bool> = Box::pin(async {
            match overtaken {
                "by a fact" => {
                    world.store.dispatch(world.dispatching(&before, vec![fact()]), at(8)).await.is_ok()
                }
                "by a claim" => {
                    let lease = jiff::SignedDuration::from_secs(30);
                    world.store.claim_runs("node-1", 1, lease, at(8)).await.unwrap().len() == 1
                }
                _ => true,
            }
        });
        let dispatched: Task<bool> =
            Box::pin(async { world.store.dispatch_all(batch, at(9)).await.iter().all(Result::is_ok) });
        assert_eq!(world.all(vec![meanwhile, dispatched]), [true, true], "{overtaken}");
        assert_eq!(turns(&world), runs, "{overtaken}");
    }
}

#[test]
fn what_a_batch_tells_itself_is_known_without_deciding_again() {
    let world = World::new();
    for name in ["f", "alert", "mirror"] {
        world.deploy(name);
    }
    let batch = (0..4).map(|n| {
        let event = world.accept(&format!("e{n}"), at(n));
        let fact = Dispatch { fact: Some("fact".into()), ..world.to_flow("alert", None, Mode::Queue) };
        let flows = vec![
            world.to_flow("f", Some("cus_1"), Mode::Queue),
            fact,
            world.to_flow("mirror", Some("cus_1"), Mode::Latest),
        ];
        world.dispatching(&event, flows)
    });
    let batch: Vec<_> = batch.collect();
    let before = world.commits();
    let results = world.go(world.store.dispatch_all(batch, at(9)));
    assert_eq!(world.commits() - before, 1);
    let outcomes = results.into_iter().map(|result| result.unwrap().into_iter().map(|one| one.outcome));
    let outcomes: Vec<Vec<EventOutcome>> = outcomes.map(Iterator::collect).collect();
    let EventOutcome::Run(joined) = &outcomes[0][2] else { panic!("{outcomes:?}") };
    for later in &outcomes[1..] {
        assert!(matches!(later[0], EventOutcome::Run(_)), "{later:?}");
        assert_eq!(later[1..], [EventOutcome::DuplicateFact, EventOutcome::Joined(joined.clone())]);
    }
}

/// One of the databases keeps no U+0000 in text.
#[test]
fn a_key_that_cannot_be_kept_fails_alone() {
    type Break = fn(Dispatch) -> Dispatch;
    let cases: [Break; 3] = [
        |whole| Dispatch { lane: Some("a\0b".into()), ..whole },
        |whole| Dispatch { lane: Some("a\0b".into()), mode: Mode::Latest, ..whole },
        |whole| Dispatch { fact: Some("a\0b".into()), ..whole },
    ];
    for (case, broken) in cases.into_iter().enumerate() {
        let world = World::new();
        world.deploy("f");
        let events: Vec<EventId> = (0..3).map(|n| world.accept(&format!("e{n}"), at(n))).collect();
        let one = |n: usize| {
            let whole = world.to_flow("f", Some("a"), Mode::Queue);
            world.dispatching(&events[n], vec![if n == 1 { broken(whole) } else { whole }])
        };
        let results = world.go(world.store.dispatch_all((0..3).map(one).collect(), at(9)));
        assert!(results[0].is_ok() && results[2].is_ok(), "{case}: {results:?}");
        let Err(error) = &results[1] else {
            assert!(DATABASE == Database::Sqlite, "{case}: {results:?}");
            continue;
        };
        assert!(matches!(error, Error::Statement(_)) && error.lasts(), "{case}: {error:?}");
        // What is done about it then.
        let failing = one(1).failing(&Fault::runtime(error.to_string()));
        let outcomes = world.go(world.store.dispatch(failing, at(10))).unwrap();
        assert!(matches!(only(outcomes), EventOutcome::Failed(_)), "{case}");
        assert!(world.go(world.store.undispatched_events(10)).unwrap().is_empty());
    }
}

#[test]
fn an_event_that_cannot_be_dispatched_is_set_aside_and_can_be_replayed() {
    let world = World::new();
    let event = world.accept("e1", at(0));
    let behind = world.accept("e2", at(1));
    let refused = world.dispatch(&event, vec![world.to_flow("nobody", None, Mode::Queue)]);
    assert!(refused.as_ref().is_err_and(Error::lasts), "{refused:?}");
    for _ in 0..2 {
        let problem = Fault::runtime("no such flow");
        world.go(world.store.set_aside_event(&world.ws, &event, &problem)).unwrap();
    }
    let waiting = |limit| world.go(world.store.undispatched_events(limit)).unwrap();
    assert_eq!(waiting(1)[0].id, behind);
    let shown = || world.go(world.store.event(&world.ws, &event)).unwrap().unwrap();
    assert_eq!(shown().status, EventStatus::Quarantined);
    assert_eq!(shown().problem.unwrap().detail, "no such flow");
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &event)).unwrap();
    assert_eq!(only(outcomes), EventOutcome::Quarantined);
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_quarantined, 1);

    world.go(world.store.replay_event(&world.ws, &event)).unwrap();
    assert_eq!((shown().status, shown().replays, shown().problem), (EventStatus::Accepted, 1, None));
    world.deploy("nobody");
    let flows = vec![world.to_flow("nobody", None, Mode::Queue)];
    assert!(matches!(only(world.dispatch(&event, flows).unwrap()), EventOutcome::Run(_)));
}

#[test]
fn an_event_that_cannot_be_read_holds_nobody_up() {
    let world = World::new();
    let broken = world.accept("e1", at(0));
    let sound = world.accept("e2", at(1));
    // Without the byte that says how the rest is coded.
    world.change(&format!("UPDATE events SET payload = substr(payload, 2) WHERE id = '{broken}'"));
    let waiting = || world.go(world.store.undispatched_events(10)).unwrap();
    assert_eq!(waiting().iter().map(|event| &event.id).collect::<Vec<_>>(), [&sound]);
    let shown = world.go(world.store.event(&world.ws, &broken)).unwrap().unwrap();
    assert_eq!((shown.status, shown.data.is_null()), (EventStatus::Quarantined, true));
    assert!(shown.problem.unwrap().detail.contains("codec"));
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &broken)).unwrap();
    assert_eq!(only(outcomes), EventOutcome::Quarantined);
}
