//! Turns, claims, leases, fences.

use super::world::{Chance, Task, World, at};
use flow::journal::Outcome;
use flow::{Mode, OnFailure, RunId};
use jiff::SignedDuration;
use serde_json::json;
use std::collections::BTreeMap;
use store::{ClaimedRun, Dispatch, Error, Page, RunQuery, RunStatus};

#[test]
fn one_run_of_a_lane_works_at_a_time_in_order() {
    let world = World::new();
    world.deploy("f");
    let a1 = world.queue("a1", "f", Some("a"));
    let a2 = world.queue("a2", "f", Some("a"));
    let a3 = world.queue("a3", "f", Some("a"));
    let b1 = world.queue("b1", "f", Some("b"));
    let free = world.queue("free", "f", None);
    let free2 = world.queue("free2", "f", None);

    let claimed = world.claim(10, at(1));
    let ids: Vec<&RunId> = claimed.iter().map(|it| &it.run).collect();
    assert_eq!(ids, [&a1, &b1, &free, &free2]);
    assert!(world.claim_ids(10).is_empty());
    world.finish(&claimed[0]).unwrap();
    let second = world.claim(10, at(1));
    assert_eq!(second[0].run, a2);
    world.fail(&second[0]).unwrap();
    assert_eq!(world.claim_ids(10), [a3], "a failure does not stop the lane");
}

#[test]
fn claims_are_bounded_and_of_one_node_each() {
    let world = World::new();
    world.deploy("f");
    let runs: Vec<RunId> = (0..5).map(|n| world.queue(&format!("e{n}"), "f", None)).collect();
    assert_eq!(world.claim_ids(2), runs[..2]);
    let claim = |node: &'static str| -> Task<Vec<RunId>> {
        Box::pin(async {
            let claimed =
                world.store.claim_runs(node, 10, SignedDuration::from_secs(30), at(1)).await.unwrap();
            claimed.into_iter().map(|it| it.run).collect()
        })
    };
    let claimed = world.all(vec![claim("node-1"), claim("node-2")]);
    assert_eq!(claimed, [runs[2..].to_vec(), vec![]]);
}

fn lease() -> SignedDuration {
    SignedDuration::from_secs(30)
}

/// A run claimed twice: the first holder has lost it.
fn lost() -> (World, ClaimedRun, ClaimedRun) {
    let world = World::new();
    world.deploy("f");
    world.queue("e1", "f", Some("a"));
    let first = world.claim(1, at(0)).pop().unwrap();
    assert_eq!(world.go(world.store.release_expired(at(29))).unwrap(), 0);
    assert_eq!(first.lease_until, at(30));
    assert_eq!(world.go(world.store.release_expired(at(30))).unwrap(), 1);
    let second = world.claim(1, at(30)).pop().unwrap();
    assert_eq!((first.run.clone(), first.epoch + 1), (second.run.clone(), second.epoch));
    (world, first, second)
}

#[test]
fn who_has_lost_a_run_writes_nothing() {
    let (world, old, new) = lost();
    let (ws, store) = (&world.ws, &world.store);
    let entry = [super::world::resolved("/do/0/a", json!(1))];
    let outcome = Outcome::Output(json!(1));
    let attempts: Vec<(&str, Result<(), Error>)> = vec![
        ("append", world.go(store.journal_append(ws, &old.run, old.epoch, &entry))),
        ("park", world.go(store.park(ws, &old.run, old.epoch, &entry, at(99), false)).map(drop)),
        ("finish", world.go(store.finish(ws, &old.run, old.epoch, &entry, &outcome, at(40))).map(drop)),
        ("renew", world.go(store.renew_lease(ws, &old.run, old.epoch, lease(), at(69)))),
        ("release", world.go(store.release_run(ws, &old.run, old.epoch))),
    ];
    for (what, result) in attempts {
        assert!(matches!(result, Err(Error::Fenced { .. })), "{what}: {result:?}");
    }
    assert!(world.go(store.journal(ws, &old.run)).unwrap().is_empty());
    world.go(store.renew_lease(ws, &new.run, new.epoch, lease(), at(69))).unwrap();
    world.go(store.journal_append(ws, &new.run, new.epoch, &entry)).unwrap();
    world.finish(&new).unwrap();
    assert_eq!(world.go(store.journal(ws, &old.run)).unwrap().len(), 2);
    let after_the_end = world.go(store.journal_append(ws, &new.run, new.epoch, &entry));
    assert!(matches!(after_the_end, Err(Error::Fenced { .. })));
}

#[test]
fn between_release_and_the_next_claim_nobody_writes() {
    let world = World::new();
    world.deploy("f");
    world.queue("e1", "f", None);
    let claimed = world.claim_one();
    world.go(world.store.release_run(&world.ws, &claimed.run, claimed.epoch)).unwrap();
    assert!(matches!(world.finish(&claimed), Err(Error::Fenced { .. })));
}

#[test]
fn a_node_that_starts_gives_back_what_it_held() {
    let world = World::new();
    world.deploy("f");
    for n in 0..3 {
        world.queue(&format!("e{n}"), "f", None);
    }
    let first = world.claim_one();
    let lease = SignedDuration::from_secs(30);
    let other = world.go(world.store.claim_runs("node-2", 1, lease, at(0))).unwrap();
    assert_eq!(world.go(world.store.release_node("node-1")).unwrap(), 1);
    let again = world.claim(10, at(1));
    let ids: Vec<&RunId> = again.iter().map(|it| &it.run).collect();
    assert!(ids.contains(&&first.run) && !ids.contains(&&other[0].run), "{ids:?}");
}

#[test]
fn a_parked_run_leaves_its_lane_and_comes_back_when_due() {
    let world = World::new();
    world.deploy("f");
    let a1 = world.queue("a1", "f", Some("a"));
    let a2 = world.queue("a2", "f", Some("a"));
    let a3 = world.queue("a3", "f", Some("a"));
    let first = world.claim_one();
    world.go(world.store.park(&world.ws, &a1, first.epoch, &[], at(5000), false)).unwrap();
    assert_eq!(world.go(world.store.next_wake()).unwrap(), Some(at(5000)));
    let second = world.claim(10, at(4999));
    assert_eq!(second.iter().map(|it| &it.run).collect::<Vec<_>>(), [&a2]);
    // Due, but the lane is busy; then it is the oldest in line.
    assert!(world.claim(10, at(5000)).is_empty());
    assert_eq!(world.go(world.store.next_wake()).unwrap(), None);
    world.finish(&second[0]).unwrap();
    let third = world.claim(10, at(5001));
    assert_eq!(third.iter().map(|it| &it.run).collect::<Vec<_>>(), [&a1]);
    assert_eq!(third[0].epoch, 2);
    world.finish(&third[0]).unwrap();
    assert_eq!(world.claim_ids(10), [a3]);
}

#[test]
fn a_run_parked_with_hold_keeps_its_lane() {
    let world = World::new();
    world.deploy("f");
    let a1 = world.queue("a1", "f", Some("a"));
    world.queue("a2", "f", Some("a"));
    let first = world.claim_one();
    world.go(world.store.park(&world.ws, &a1, first.epoch, &[], at(5000), true)).unwrap();
    assert!(world.claim(10, at(4999)).is_empty());
    assert_eq!(world.claim(10, at(5000)).pop().unwrap().run, a1);
}

fn hold(world: &World, key: &str) -> RunId {
    let event = world.accept(key, at(0));
    let dispatch = Dispatch { on_failure: OnFailure::Hold, ..world.to_flow("f", Some("a"), Mode::Queue) };
    let run = dispatch.run.clone();
    world.dispatch(&event, vec![dispatch]).unwrap();
    run
}

#[test]
fn a_failure_under_hold_closes_the_lane_until_somebody_acts() {
    for retried in [true, false] {
        let world = World::new();
        world.deploy("f");
        let (a1, a2) = (hold(&world, "a1"), hold(&world, "a2"));
        world.fail(&world.claim_one()).unwrap();
        assert!(world.claim_ids(10).is_empty());
        if retried {
            world.go(world.store.retry_run(&world.ws, &a1)).unwrap();
            let again = world.claim_one();
            assert_eq!((again.run.clone(), again.retries), (a1, 1));
            world.finish(&again).unwrap();
        } else {
            world.go(world.store.cancel_run(&world.ws, &a1, at(9))).unwrap();
        }
        assert_eq!(world.claim_ids(10), [a2]);
        let stats = world.go(world.store.stats(None)).unwrap();
        assert_eq!((stats.runs_failed, stats.runs_cancelled), (0, i64::from(!retried)));
    }
}

#[test]
fn what_is_over_is_not_cancelled_and_what_did_not_fail_is_not_retried() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", None);
    let retry = |run| world.go(world.store.retry_run(&world.ws, run));
    let cancel = |run| world.go(world.store.cancel_run(&world.ws, run, at(9)));
    assert!(matches!(retry(&run), Err(Error::State { .. })));
    world.finish(&world.claim_one()).unwrap();
    assert!(matches!(retry(&run), Err(Error::State { .. })));
    assert!(matches!(cancel(&run), Err(Error::State { .. })));
    let nobody = RunId::new("run_x");
    assert!(matches!(cancel(&nobody), Err(Error::NotFound { .. })));
    assert!(matches!(retry(&nobody), Err(Error::NotFound { .. })));
}

#[test]
fn cancelling_takes_a_run_from_whoever_works_on_it() {
    let world = World::new();
    world.deploy("f");
    let a1 = world.queue("a1", "f", Some("a"));
    let a2 = world.queue("a2", "f", Some("a"));
    let claimed = world.claim_one();
    world.go(world.store.cancel_run(&world.ws, &a1, at(9))).unwrap();
    assert!(matches!(world.finish(&claimed), Err(Error::Fenced { .. })));
    assert_eq!(world.claim_ids(10), [a2]);
    assert_eq!(world.go(world.store.run(&world.ws, &a1)).unwrap().unwrap().status, RunStatus::Cancelled);
}

#[test]
fn a_paused_flow_begins_nothing_and_loses_nothing() {
    let world = World::new();
    world.deploy("f");
    world.deploy("g");
    let a1 = world.queue("a1", "f", Some("a"));
    let claimed = world.claim_one();
    let a2 = world.queue("a2", "f", Some("a"));
    let b1 = world.queue("b1", "f", Some("b"));
    world.go(world.store.pause_flow(&world.ws, "f")).unwrap();
    let c1 = world.queue("c1", "f", None);
    let other = world.queue("g1", "g", Some("a"));
    assert_eq!(world.claim_ids(10), [other]);
    world.finish(&claimed).unwrap();
    assert!(world.claim_ids(10).is_empty(), "what has begun is finished, nothing begins");
    world.go(world.store.resume_flow(&world.ws, "f")).unwrap();
    assert_eq!(world.claim_ids(10), [a2, b1, c1]);
    assert_eq!(world.go(world.store.run(&world.ws, &a1)).unwrap().unwrap().status, RunStatus::Completed);
}

#[test]
fn removing_a_paused_flow_lets_its_runs_end() {
    let world = World::new();
    world.deploy("f");
    world.go(world.store.pause_flow(&world.ws, "f")).unwrap();
    let run = world.queue("e1", "f", None);
    world.go(world.store.remove_flow(&world.ws, "f")).unwrap();
    assert_eq!(world.claim_ids(10), [run]);
}

#[test]
fn runs_are_listed_newest_first_and_narrowed() {
    let world = World::new();
    world.deploy("f");
    world.deploy("g");
    let a = world.queue("a", "f", Some("Cus_A"));
    let b = world.queue("b", "g", None);
    let c = world.queue("c", "f", None);
    world.finish(&world.claim_one()).unwrap();
    let event = world.go(world.store.run(&world.ws, &b)).unwrap().unwrap().event;
    let all = RunQuery::default;
    let cases = [
        (all(), vec![&c, &b, &a]),
        (RunQuery { flow: Some("f".into()), ..all() }, vec![&c, &a]),
        (RunQuery { status: Some(RunStatus::Completed), ..all() }, vec![&a]),
        (RunQuery { event, ..all() }, vec![&b]),
        (RunQuery { text: Some("cus_a".into()), ..all() }, vec![&a]),
        (RunQuery { text: Some("in_c".into()), ..all() }, vec![&c]),
        (RunQuery { text: Some(b.as_str()[8..20].into()), ..all() }, vec![&b]),
    ];
    for (query, expected) in cases {
        let listed = world.go(world.store.runs(&world.ws, &query, Page::default())).unwrap();
        assert_eq!(listed.items.iter().map(|run| &run.id).collect::<Vec<_>>(), expected, "{query:?}");
        assert_eq!(listed.next, None);
    }
    let first = world.go(world.store.runs(&world.ws, &all(), Page { before: None, limit: 2 })).unwrap();
    let rest = world.go(world.store.runs(&world.ws, &all(), Page { before: first.next, limit: 2 })).unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
    assert_eq!(rest.items[0].id, a);
}

/// What must hold after every step: at most one run of a lane has the turn, only such a run works, and no lane
/// stands still for want of a turn.
fn check(world: &World, seed: u64, step: usize) {
    let bad = |what: &str, query: &str| {
        assert_eq!(world.count(query), 0, "{what}, seed {seed}, step {step}");
    };
    bad(
        "two runs with a turn",
        "SELECT count(*) FROM (SELECT 1 FROM runs WHERE turn = 1 GROUP BY workspace, flow, lane HAVING count(*) > 1) AS twice",
    );
    bad("work without a turn", "SELECT count(*) FROM runs WHERE status = 'running' AND turn = 0");
    bad(
        "a lane that stands still",
        "SELECT count(*) FROM runs AS r WHERE status = 'queued' AND NOT EXISTS (SELECT 1 FROM runs AS t \
         WHERE t.flow = r.flow AND t.lane = r.lane AND t.turn = 1) \
         AND NOT EXISTS (SELECT 1 FROM flows WHERE name = r.flow AND paused = 1)",
    );
    bad(
        "a turn kept by what is over",
        "SELECT count(*) FROM runs WHERE turn = 1 AND status IN ('completed', 'cancelled')",
    );
}

#[test]
fn turns_are_right_after_any_sequence() {
    let mut finished = 0;
    for seed in 0..12 {
        let world = World::new();
        let mut chance = Chance(seed);
        world.deploy("f");
        let mut held: BTreeMap<RunId, ClaimedRun> = BTreeMap::new();
        let mut runs = Vec::new();
        for step in 0..120 {
            let now = at(2000 + step as i64);
            let any = |chance: &mut Chance, held: &BTreeMap<RunId, ClaimedRun>| {
                let index = chance.below(held.len().max(1));
                held.values().nth(index).cloned()
            };
            match chance.below(12) {
                0..=3 => {
                    let event = world.accept(&format!("e{step}"), at(step as i64));
                    let lane = ["a", "b"][chance.below(2)];
                    let mode = [Mode::Queue, Mode::Latest][chance.below(2)];
                    let on_failure = [OnFailure::Continue, OnFailure::Hold][chance.below(2)];
                    let dispatch = Dispatch { on_failure, ..world.to_flow("f", Some(lane), mode) };
                    runs.push(dispatch.run.clone());
                    world.dispatch(&event, vec![dispatch]).unwrap();
                }
                4 | 5 => held.extend(world.claim(2, now).into_iter().map(|it| (it.run.clone(), it))),
                6 | 7 => {
                    if let Some(run) = any(&mut chance, &held) {
                        held.remove(&run.run);
                        let ended = if chance.below(3) == 0 { world.fail(&run) } else { world.finish(&run) };
                        finished += usize::from(ended.is_ok());
                    }
                }
                8 => {
                    if let Some(run) = any(&mut chance, &held) {
                        held.remove(&run.run);
                        let hold = chance.below(2) == 0;
                        let until = now + SignedDuration::from_secs(chance.below(20) as i64);
                        world.go(world.store.park(&world.ws, &run.run, run.epoch, &[], until, hold)).ok();
                    }
                }
                9 if !runs.is_empty() => {
                    let run = &runs[chance.below(runs.len())];
                    world.go(world.store.retry_run(&world.ws, run)).ok();
                }
                10 if !runs.is_empty() => {
                    let run = &runs[chance.below(runs.len())];
                    if chance.below(4) == 0 {
                        world.go(world.store.cancel_run(&world.ws, run, now)).ok();
                    }
                }
                _ => match chance.below(3) {
                    0 => world.go(world.store.pause_flow(&world.ws, "f")).unwrap(),
                    1 => world.go(world.store.resume_flow(&world.ws, "f")).unwrap(),
                    _ => {
                        world.go(world.store.release_expired(now)).unwrap();
                    }
                },
            }
            check(&world, seed, step);
        }
    }
    assert!(finished > 60, "{finished} runs are too few to tell anything");
}

#[test]
fn a_run_that_cannot_be_read_does_not_hold_up_those_claimed_with_it() {
    let world = World::new();
    world.deploy("f");
    let runs: Vec<RunId> = (0..4).map(|n| world.queue(&format!("e{n}"), "f", None)).collect();
    let started = store::NewRun {
        id: world.run_id(),
        flow: "f".into(),
        revision: 1,
        lane: None,
        on_failure: store::OnFailure::Continue,
        input: json!({}),
    };
    let started = world.go(world.store.start_run(&world.ws, started, at(1))).unwrap();
    let of = |n: usize| format!("(SELECT event FROM runs WHERE id = '{}')", runs[n]);
    world.change(&format!("DELETE FROM events WHERE id = {}", of(1)));
    world.change(&format!("UPDATE events SET payload = substr(payload, 2) WHERE id = {}", of(2)));
    world.change("UPDATE runs SET input = substr(input, 2) WHERE input IS NOT NULL");

    let claimed = world.claim(10, at(2));
    assert_eq!(
        claimed.iter().map(|claim| &claim.run).collect::<Vec<_>>(),
        runs.iter().chain([&started]).collect::<Vec<_>>()
    );
    let told: Vec<&str> =
        claimed.iter().map(|claim| claim.unreadable.as_deref().unwrap_or_default()).collect();
    let expected = ["", "gone", "codec", "", "input"];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{told} {expected}");
    }
    let events: Vec<bool> = claimed.iter().map(|claim| claim.event.is_some()).collect();
    assert_eq!(events, [true, false, false, true, false]);

    for claim in &claimed {
        world.fail(claim).unwrap();
    }
    let retry = |run| world.go(world.store.retry_run(&world.ws, run));
    let refused = retry(&runs[1]);
    let Err(Error::State { state, detail, .. }) = refused else { panic!("{refused:?}") };
    assert!(state == "failed" && detail.contains("event was deleted"), "{state}: {detail}");
    retry(&runs[0]).unwrap();
}

/// Whether a run begins at once in a lane of `f`, after what `meanwhile` does in the same transaction.
fn begins(world: &World, key: &str, lane: &str, meanwhile: Task<'_, bool>) -> bool {
    let event = world.accept(key, at(0));
    let event = world.go(world.store.event(&world.ws, &event)).unwrap().unwrap();
    let generation = world.go(world.store.generation()).unwrap();
    let dispatch = world.to_flow("f", Some(lane), Mode::Queue);
    let flows = [store::AtOnce { version: "1.0.0".into(), dispatch }];
    let begun: Task<bool> = Box::pin(async {
        let sent = world.store.dispatch_at_once(&event, &flows, "node", at(30), generation).await;
        sent.unwrap().wait().await.is_ok()
    });
    let results = world.all(vec![meanwhile, begun]);
    assert!(results[0]);
    let status = world.go(world.store.event(&world.ws, &event.id)).unwrap().unwrap().status;
    assert_eq!(status == store::EventStatus::Dispatched, results[1]);
    if !results[1] {
        world.dispatch(&event.id, vec![world.to_flow("f", Some(lane), Mode::Queue)]).unwrap();
    }
    results[1]
}

#[test]
fn nothing_begins_at_once_in_a_flow_that_is_paused_in_the_same_transaction() {
    for paused in [false, true] {
        let world = World::new();
        world.deploy("f");
        let pause: Task<bool> = Box::pin(async {
            match paused {
                true => world.store.pause_flow(&world.ws, "f").await.is_ok(),
                false => true,
            }
        });
        assert_eq!(begins(&world, "e1", "a", pause), !paused);
        assert_eq!(world.count("SELECT count(*) FROM runs WHERE status = 'running'"), i64::from(!paused));
    }
}

#[test]
fn nothing_begins_at_once_before_what_waits_in_its_lane() {
    let world = World::new();
    world.deploy("f");
    world.go(world.store.pause_flow(&world.ws, "f")).unwrap();
    world.queue("e1", "f", Some("a"));
    // As if the turn were about to be given.
    world.change("UPDATE flows SET paused = 0");
    let nothing = || -> Task<bool> { Box::pin(async { true }) };
    assert!(!begins(&world, "e2", "a", nothing()));
    assert!(begins(&world, "e3", "b", nothing()));
}
