//! Group commit: many units in a transaction, each whole or not at all.

use super::world::{Settings, Task, World, at, key};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::committer::Cut;
use store::{Accepted, Error, Expect, Options, Param, Unit};

const HOOK: &str = "INSERT INTO hooks (id, workspace, connection, created_at) VALUES (?1, 'default', 'c', 0)";
const RENAME: &str = "UPDATE hooks SET connection = 'd' WHERE id = ?1";

fn text(text: &str) -> Vec<Param> {
    vec![text.into()]
}

#[test]
fn a_unit_that_fails_does_not_sink_the_others() {
    let world = World::new();
    let before = world.commits();
    let units = vec![
        Unit::new().one(HOOK, text("hook_a")),
        Unit::new().one(HOOK, text("hook_b")).one(RENAME, text("hook_missing")),
        Unit::new().one(HOOK, text("hook_a")),
        Unit::new().expecting(RENAME, text("hook_a"), Expect::Exactly(1)).then(RENAME, text("hook_missing")),
        Unit::new().one("UPDATE hooks SET id = NULL WHERE id = ?1", text("hook_a")),
        Unit::new().one(HOOK, text("hook_c")),
    ];
    let results = world.go(world.store.commit_all(units));
    assert_eq!(world.commits() - before, 1, "one transaction");
    assert_eq!(results[0].as_ref().unwrap().rows, [1]);
    assert!(matches!(results[1], Err(Error::Conflict { what: "UPDATE hooks SET" })), "{:?}", results[1]);
    assert!(matches!(results[2], Err(Error::Conflict { what: "INSERT INTO hooks" })), "{:?}", results[2]);
    assert_eq!(results[3].as_ref().unwrap().rows, [1, 0]);
    assert!(matches!(results[4], Err(Error::Statement(_))), "{:?}", results[4]);
    assert_eq!(results[5].as_ref().unwrap().rows, [1]);
    let hooks: Vec<String> = world
        .go(world.store.hooks(&world.ws))
        .unwrap()
        .iter()
        .map(|hook| format!("{}:{}", hook.id, hook.connection))
        .collect();
    assert_eq!(hooks, ["hook_c:c", "hook_a:d"]);
}

#[test]
fn whoever_waits_side_by_side_shares_a_transaction() {
    let world = World::new();
    let before = world.commits();
    let tasks = (0..64)
        .map(|n| {
            let event = world.new_event(&format!("e{n}"), at(0));
            let task: Task<_> = Box::pin(world.store.accept_event(&world.ws, event, at(0)));
            task
        })
        .collect();
    let accepted = world.all(tasks);
    assert!(accepted.iter().all(|result| matches!(result, Ok(Accepted::Stored(_)))));
    assert_eq!(world.commits() - before, 1);
}

#[test]
fn counters_count_only_what_was_committed() {
    let world = World::new();
    let event = world.accept("e1", at(0));
    world.dispatch(&event, vec![]).unwrap();
    assert!(world.dispatch(&event, vec![]).is_err());
    let stats = world.go(world.store.stats(Some(&world.ws))).unwrap();
    assert_eq!((stats.events_received, stats.events_no_match), (1, 1));
}

/// Opens a world whose nth commit from now on is cut off.
fn cut_at(world: World, nth: u64, cut: Cut) -> (World, Arc<AtomicU64>) {
    let fatal = Arc::new(AtomicU64::new(0));
    let told = fatal.clone();
    let world = world.reopen(Settings {
        cuts: Some(Arc::new(move |commit| (commit == nth).then_some(cut))),
        on_fatal: Arc::new(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        }),
        ..Settings::default()
    });
    (world, fatal)
}

#[test]
fn a_commit_cut_off_tells_nobody_and_ends_the_committer() {
    for (cut, durable) in [(Cut::Before, 1), (Cut::After, 2)] {
        let (world, fatal) = cut_at(World::new(), 2, cut);
        world.accept("e1", at(0));
        let lost = world.go(world.store.accept_event(&world.ws, world.new_event("e2", at(0)), at(0)));
        assert!(matches!(lost, Err(Error::Closed)), "{lost:?}");
        let after = world.go(world.store.accept_event(&world.ws, world.new_event("e3", at(0)), at(0)));
        assert!(matches!(after, Err(Error::Closed)), "{after:?}");
        assert_eq!(fatal.load(Ordering::SeqCst), 1);
        let world = world.reopen(Settings::default());
        assert_eq!(world.go(world.store.undispatched_events(10)).unwrap().len(), durable, "{cut:?}");
    }
}

#[test]
fn there_is_one_committer_and_it_ends_with_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::Store::open(Options::new(directory.path(), key())).unwrap();
    let committer = store.committer().unwrap();
    assert!(matches!(store.committer(), Err(Error::Refused(_))));
    drop(store);
    // Returns at once: nobody can send any more.
    committer.run();
    store::Store::open(Options::new(directory.path(), key())).unwrap();
}

#[test]
fn it_runs_on_a_thread_of_the_callers_choice() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::Store::open(Options::new(directory.path(), key())).unwrap();
    let committer = store.committer().unwrap();
    let committing = std::thread::Builder::new().name("committer".into()).spawn(|| committer.run()).unwrap();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let store = store.clone();
            let call = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let ws = flow::WorkspaceId::default();
                for n in 0..25 {
                    let hook = flow::HookId::new(format!("hook_{caller}_{n}"));
                    runtime.block_on(store.put_hook(&ws, &hook, "c", at(n))).unwrap();
                    let read = runtime.block_on(store.hook(&hook)).unwrap();
                    assert!(read.is_some(), "what was answered can be read");
                }
            };
            std::thread::Builder::new().spawn(call).unwrap()
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(store.hooks(&flow::WorkspaceId::default())).unwrap().len(), 100);
    drop(store);
    committing.join().unwrap();
}
