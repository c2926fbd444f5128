//! A database without room: everything is refused and told, nothing is lost, and writing goes on once there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use store::{Error, Health};

use super::world::{Chance, Ground, KEY_TEXT, Settings, World, account, at};

/// More pages than any test fills.
const ROOM: u32 = 1 << 20;

fn full_world() -> (World, Arc<AtomicU32>) {
    let directory = tempfile::tempdir().unwrap();
    let pages = Arc::new(AtomicU32::new(ROOM));
    let settings = Settings { pages_max: Some(pages.clone()), ..Settings::default() };
    (World::of(Ground::new(directory), settings), pages)
}

#[test]
fn without_room_nothing_is_accepted_and_nothing_is_lost() {
    let (world, pages) = full_world();
    world.accept("e1", at(0));
    assert_eq!(world.store.health(), Health::Good);
    pages.store(1, Ordering::Relaxed);
    let mut accepted = 0;
    let refused = loop {
        let event = world.new_event(&format!("e{}", accepted + 2), at(0));
        match world.go(world.store.accept_event(&world.ws, event, at(0))) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1000, "it never gets full");
    };
    assert!(matches!(refused, Error::Full(_)) && refused.passes(), "{refused}");
    assert!(matches!(world.store.health(), Health::Bad(why) if why.contains("no space")));
    assert!(matches!(world.go(world.store.probe()), Err(Error::Full(_))));
    // Reading goes on.
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_received, 1 + accepted);

    pages.store(ROOM, Ordering::Relaxed);
    let before = world.store.written();
    world.go(world.store.probe()).unwrap();
    assert_eq!(world.store.health(), Health::Good);
    assert_eq!(world.store.written(), before + 2);
    assert_eq!(world.count("SELECT count(*) FROM meta WHERE name = 'probe'"), 0, "a probe leaves nothing");
    world.accept("again", at(1));
    assert_eq!(world.go(world.store.undispatched_events(10_000)).unwrap().len() as i64, 2 + accepted);
}

#[test]
fn refused_units_prove_nothing() {
    let (world, pages) = full_world();
    world.accept("e1", at(0));
    pages.store(1, Ordering::Relaxed);
    while world.go(world.store.probe()).is_ok() {
        world.accept(&format!("more {}", world.commits()), at(0));
    }
    let missing = flow::RunId::new("run_missing");
    assert!(
        world
            .go(world.store.renew_lease(&world.ws, &missing, 1, jiff::SignedDuration::from_secs(9), at(9)))
            .is_err()
    );
    assert_ne!(world.store.health(), Health::Good);
}

/// The new key was not noted: everything is sealed with the old one still, and the rotation can be run again.
#[test]
fn a_rotation_that_is_not_taken_changes_nothing() {
    let world = World::new();
    let put = || {
        let connection = account("crm", "crm", ("key", "secret"));
        world.with_chance(|chance| world.go(world.store.put_connection(&world.ws, connection, chance, at(0))))
    };
    put().unwrap();
    std::fs::write(world.path().join("key"), KEY_TEXT).unwrap();
    world.change(
        "CREATE TRIGGER refuse BEFORE INSERT ON meta WHEN new.name = 'master_key_next' \
            BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    let refused = world.go(world.store.rotate_key(&mut Chance(1)));
    assert!(refused.is_err(), "{refused:?}");
    put().unwrap();
    world.change("DROP TRIGGER refuse");
    put().unwrap();
    assert_eq!(world.go(world.store.rotate_key(&mut Chance(1))).unwrap(), 1);
    put().unwrap();
    let opened = world.go(world.store.connection(&world.ws, "crm")).unwrap().unwrap();
    assert_eq!(opened.credentials.get("key"), Some("secret"));
}
