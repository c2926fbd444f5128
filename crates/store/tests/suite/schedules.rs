//! What the clock starts: one event for each start, whoever makes it.

use super::world::{Task, World, at};
use jiff::Timestamp;
use store::{Accepted, Error, Firing, Mode, Result, Scheduled};

fn firing(world: &World, due: Timestamp, next: Option<Timestamp>) -> Firing {
    let event = world.new_event(&format!("f@{due}"), due);
    Firing { flow: "f".into(), clock: "every 1m".into(), due_at: due, next, event }
}

fn begin(world: &World, clock: &str, due: Option<Timestamp>) {
    world.go(world.store.begin_schedule(&world.ws, "f", clock, due)).unwrap();
}

fn the_schedule(world: &World) -> Scheduled {
    let mut all = world.go(world.store.schedules()).unwrap();
    assert_eq!(all, world.go(world.store.schedules_of(&world.ws)).unwrap());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn a_clock_that_says_the_same_goes_on() {
    let world = World::new();
    begin(&world, "every 1m", Some(at(60)));
    begin(&world, "every 1m", Some(at(90)));
    let first = the_schedule(&world);
    assert_eq!((first.clock.as_str(), first.due_at, first.event), ("every 1m", Some(at(60)), None));
    begin(&world, "every 2m", Some(at(120)));
    let second = the_schedule(&world);
    assert_eq!((second.clock.as_str(), second.due_at), ("every 2m", Some(at(120))));
    world.go(world.store.end_schedule(&world.ws, "f", "every 1m")).unwrap();
    assert_eq!(the_schedule(&world).clock, "every 2m", "who ends another one ends nothing");
    world.go(world.store.end_schedule(&world.ws, "f", "every 2m")).unwrap();
    assert!(world.go(world.store.schedules()).unwrap().is_empty());
}

/// Two who come to the same start at the same time make one event, and the clock moves once.
#[test]
fn a_start_is_one_event() {
    let world = World::new();
    begin(&world, "every 1m", Some(at(60)));
    let fire = || -> Task<'_, Result<Accepted>> {
        let firing = firing(&world, at(60), Some(at(120)));
        Box::pin(async { world.store.fire(&world.ws, firing, at(61)).await })
    };
    let mut results = world.all(vec![fire(), fire()]);
    let (second, first) = (results.pop().unwrap(), results.pop().unwrap());
    let Ok(Accepted::Stored(event)) = first else { panic!("{first:?}") };
    assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
    let moved = the_schedule(&world);
    assert_eq!((moved.due_at, moved.event), (Some(at(120)), Some(event)));
    assert_eq!(world.go(world.store.undispatched_events(9)).unwrap().len(), 1);
    let stats = world.go(world.store.stats(Some(&world.ws))).unwrap();
    assert_eq!((stats.events_received, stats.events_duplicate), (1, 0), "what failed is not counted");
    let late = world.go(world.store.fire(&world.ws, firing(&world, at(60), Some(at(180))), at(62)));
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    assert_eq!(the_schedule(&world).due_at, Some(at(120)));
}

#[test]
fn the_next_start_can_wait_for_a_run() {
    let world = World::new();
    world.deploy("f");
    begin(&world, "every 1m", Some(at(60)));
    let fired = world.go(world.store.fire(&world.ws, firing(&world, at(60), None), at(61))).unwrap();
    let Accepted::Stored(event) = fired else { panic!("{fired:?}") };
    let over = || world.go(world.store.over_at(&world.ws, "f", &event, at(9999))).unwrap();
    assert_eq!(over(), None, "it is not dispatched yet");
    world.dispatch(&event, vec![world.to_flow("f", None, Mode::Queue)]).unwrap();
    assert_eq!(over(), None, "its run is not over");
    let claimed = world.claim_one();
    world.finish(&claimed).unwrap();
    assert_eq!(over(), Some(at(3000)));
    world.go(world.store.go_on(&world.ws, "f", &event, Some(at(3060)))).unwrap();
    world.go(world.store.go_on(&world.ws, "f", &event, Some(at(4000)))).unwrap();
    assert_eq!(the_schedule(&world).due_at, Some(at(3060)), "whoever is first says when");
}

#[test]
fn what_started_nothing_is_over() {
    let world = World::new();
    let event = world.accept("e", at(0));
    world.dispatch(&event, Vec::new()).unwrap();
    assert_eq!(world.go(world.store.over_at(&world.ws, "f", &event, at(7))).unwrap(), Some(at(7)));
    let gone = world.event_id();
    assert_eq!(world.go(world.store.over_at(&world.ws, "f", &gone, at(7))).unwrap(), Some(at(7)));
}
