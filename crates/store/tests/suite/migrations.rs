//! Databases of earlier versions are brought forward; a start that is killed on the way is completed by the next.

use flow::{EventId, RunId};
use store::{Accepted, RunStatus};

use super::DATABASE;
use super::world::{Ground, Settings, World, at};
use crate::Database;

/// What a released version left is read, and worked on.
#[test]
fn a_database_of_each_release_goes_on() {
    let ground = Ground::new(tempfile::tempdir().unwrap());
    let rows = include_str!("../golden/rows.sql");
    match DATABASE {
        Database::Sqlite => {
            ground.sql(include_str!("../golden/sqlite-001.sql"));
            ground.sql(&rows.replace("'\\x", "x'"));
        }
        Database::Postgres => {
            ground.sql(include_str!("../golden/postgres-001.sql"));
            ground.sql(rows);
        }
    }
    let world = World::of(ground, Settings::default());
    let (ws, store) = (&world.ws, &world.store);
    let again = world.go(store.accept_event(ws, world.new_event("e1", at(0)), at(0))).unwrap();
    assert_eq!(again, Accepted::Duplicate(EventId::new("evt_1")));
    let waiting = world.go(store.undispatched_events(9)).unwrap();
    assert_eq!(waiting.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["evt_2"]);
    assert_eq!(world.go(store.flows(ws)).unwrap().len(), 1);
    assert_eq!(world.go(store.release_node("node-1")).unwrap(), 1);
    let claimed = world.claim_one();
    assert_eq!((claimed.run.as_str(), claimed.epoch), ("run_1", 2));
    world.finish(&claimed).unwrap();
    assert_eq!(world.go(store.run(ws, &RunId::new("run_1"))).unwrap().unwrap().status, RunStatus::Completed);
    let stats = world.go(store.stats(Some(ws))).unwrap();
    assert_eq!((stats.events_received, stats.events_duplicate, stats.runs_completed), (2, 1, 1));
}

/// A step is taken whole or not at all: one that breaks off leaves nothing, and is taken again.
#[test]
fn a_step_that_breaks_off_is_taken_again_whole() {
    let ground = Ground::new(tempfile::tempdir().unwrap());
    // In the way of one of the last tables: those before it are made when the step breaks off.
    ground.sql("CREATE TABLE journal (x INTEGER)");
    assert!(ground.open(Settings::default()).is_err());
    ground.sql("CREATE TABLE events (x INTEGER); DROP TABLE events; DROP TABLE journal");
    let world = World::of(ground, Settings::default());
    world.accept("e", at(0));
}
