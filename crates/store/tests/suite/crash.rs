//! Crashes: what was acknowledged is there, what was not is there whole or not at all.

use super::world::{Settings, World, at, resolved};
use flow::Mode;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::path::Path;
use store::RunStatus;

/// What holds between tables whatever transaction was the last one.
fn consistent(world: &World) {
    for (what, sql) in [
        (
            "an event without its dedupe key",
            "SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM dedupe)",
        ),
        (
            "a dispatched event without an outcome",
            "SELECT count(*) FROM events WHERE status = 'dispatched' AND id NOT IN (SELECT event FROM event_outcomes)",
        ),
        (
            "an accepted event with an outcome",
            "SELECT count(*) FROM events WHERE status = 'accepted' AND id IN (SELECT event FROM event_outcomes)",
        ),
        (
            "a run whose journal has another length than it says",
            "SELECT count(*) FROM runs WHERE entries <> (SELECT count(*) FROM journal WHERE run = runs.id)",
        ),
        (
            "an outcome whose run is missing",
            "SELECT count(*) FROM event_outcomes WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs)",
        ),
    ] {
        assert_eq!(world.count(sql), 0, "{what}");
    }
}

/// Lives a little, calling `look` with what has been acknowledged after every write: events, finished runs.
fn live(world: &World, mut look: impl FnMut(usize, usize)) {
    world.deploy("f");
    let mut finished = 0;
    for n in 0..6 {
        let event = world.accept(&format!("e{n}"), at(n));
        look(n as usize + 1, finished);
        world.dispatch(&event, vec![world.to_flow("f", Some("lane"), Mode::Latest)]).unwrap();
        look(n as usize + 1, finished);
        let claimed = world.claim_one();
        let entry = [resolved("/do/0/a", json!({"n": n}))];
        world.go(world.store.journal_append(&world.ws, &claimed.run, claimed.epoch, &entry)).unwrap();
        world.finish(&claimed).unwrap();
        finished += 1;
        look(n as usize + 1, finished);
    }
}

fn open_copy(from: &Path, work: impl FnOnce(&Path)) -> World {
    let directory = tempfile::tempdir().unwrap();
    copy_files(from, directory.path());
    work(directory.path());
    World::new_in(directory)
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_moment() {
    let world = World::new();
    let path = world.path().to_owned();
    live(&world, |events, finished| {
        let after = open_copy(&path, |_| {});
        consistent(&after);
        assert_eq!(after.count("SELECT count(*) FROM events"), events as i64);
        assert_eq!(after.count("SELECT count(*) FROM runs WHERE status = 'completed'"), finished as i64);
    });
}

#[test]
fn a_log_torn_anywhere_ends_between_two_units() {
    let world = World::new();
    live(&world, |_, _| {});
    let path = world.path().to_owned();
    let length = fs::metadata(path.join("tributary.db-wal")).unwrap().len();
    assert!(length > 50_000);
    let mut last = 0;
    for tenth in 1..=20 {
        let after = open_copy(&path, |copy| {
            let log = OpenOptions::new().write(true).open(copy.join("tributary.db-wal")).unwrap();
            log.set_len(length * tenth / 20 - tenth % 3).unwrap();
        });
        if after.sql().table_exists(None, "events").unwrap() {
            consistent(&after);
            let events = after.count("SELECT count(*) FROM events");
            assert!(events >= last);
            last = events;
        }
    }
    assert!(last >= 5, "most of the log is there in the end");
}

#[test]
fn a_run_goes_on_where_its_journal_ends() {
    let world = World::new();
    world.deploy("f");
    let run = world.queue("e1", "f", Some("a"));
    let claimed = world.claim_one();
    let entry = [resolved("/do/0/a", json!(1))];
    world.go(world.store.journal_append(&world.ws, &run, claimed.epoch, &entry)).unwrap();

    let world = world.reopen(Settings::default());
    assert_eq!(world.go(world.store.run(&world.ws, &run)).unwrap().unwrap().status, RunStatus::Running);
    assert_eq!(world.go(world.store.release_node("node-1")).unwrap(), 1);
    let again = world.claim_one();
    assert_eq!((&again.run, again.begun, again.epoch), (&run, true, 2));
    let journal = world.go(world.store.journal(&world.ws, &run)).unwrap();
    assert_eq!(journal, [(1, entry[0].clone())]);
    assert!(world.finish(&claimed).is_err(), "the epoch before the crash is over");
    world.finish(&again).unwrap();
}

/// Copies a store's files as they are at this moment, as the disk would be after a crash.
pub fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.contains(".db") && !name.ends_with("-shm") {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
