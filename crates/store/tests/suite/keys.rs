//! Another master key, while everything goes on.

use super::world::{Chance, KEY_TEXT, Settings, World, account, at};
use flow::{ApprovalId, WorkspaceId};
use std::fs;
use std::sync::Arc;
use store::approvals::ApprovalLink;
use store::{Cut, Error, MasterKey, NewGrant, Secrets};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A world whose key lies in its directory, with credentials and a grant for each name.
fn world() -> World {
    let world = World::new();
    fs::write(world.path().join("key"), KEY_TEXT).unwrap();
    for name in NAMES {
        put(&world, name, name);
    }
    world
}

fn put(world: &World, name: &str, secret: &str) {
    let secret = format!("{secret}-secret");
    let connection = account(name, "crm", ("secret", &secret));
    world
        .with_chance(|chance| world.go(world.store.put_connection(&world.ws, connection, chance, at(0))))
        .unwrap();
    let grant = NewGrant {
        tokens: Secrets::new([("secret".to_owned(), secret)].into()),
        scopes: None,
        expires_at: None,
    };
    world
        .with_chance(|chance| world.go(world.store.put_grant(&world.ws, name, grant, chance, at(0))))
        .unwrap();
}

/// A world that is opened again draws the same chance: another key needs another seed.
fn rotate(world: &World, seed: u64) -> store::Result<usize> {
    world.go(world.store.rotate_key(&mut Chance(seed)))
}

fn all_open(world: &World) {
    for name in NAMES {
        let secret = format!("{name}-secret");
        let connection = world.go(world.store.connection(&world.ws, name)).unwrap().unwrap();
        assert_eq!(connection.credentials.get("secret"), Some(secret.as_str()));
        let tokens = world.go(world.store.grant(&world.ws, name)).unwrap().unwrap().tokens.unwrap();
        assert_eq!(tokens.get("secret"), Some(secret.as_str()));
    }
}

fn present_key(world: &World) -> MasterKey {
    MasterKey::load_or_create(world.path(), &mut Chance(9)).unwrap()
}

fn link() -> ApprovalLink {
    ApprovalLink {
        workspace: WorkspaceId::default(),
        approval: ApprovalId::new("apr_1"),
        who: Some("ann".into()),
        until: at(60),
    }
}

#[test]
fn a_new_key_takes_over_and_the_old_one_opens_nothing() {
    let world = world();
    let (first, signed) =
        (fs::read_to_string(world.path().join("key")).unwrap(), world.store.sign_link(&link()).unwrap());
    assert_eq!(rotate(&world, 11).unwrap(), 2 * NAMES.len());
    all_open(&world);
    put(&world, "a", "a");
    let second = fs::read_to_string(world.path().join("key")).unwrap();
    let kept: Vec<String> = fs::read_dir(world.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "old"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(kept, [first.as_str()], "what opens older backups is not destroyed");
    assert_ne!(first, second);
    assert!(!world.path().join("key.new").exists());
    assert!(world.store.read_link(&signed).is_some(), "links under way stay good");
    let key = present_key(&world);
    let world = world.reopen(Settings { key, ..Settings::default() });
    all_open(&world);
    assert!(world.store.read_link(&signed).is_some());
    assert_eq!(rotate(&world, 12).unwrap(), 2 * NAMES.len(), "as often as one likes");
    assert!(world.store.read_link(&signed).is_some());
    let old = world.close().open(Settings::default()).map(|_| ());
    assert!(matches!(old, Err(Error::Key(_))), "{old:?}");
}

/// Cut off before and after each commit: what is there then starts with the files that are there, and goes on.
#[test]
fn a_rotation_that_is_cut_off_anywhere_loses_nothing() {
    for cut in [Cut::Before, Cut::After] {
        let mut whole = false;
        // The new key is noted, envelopes are sealed anew, all are; and past the end.
        for number in [1, 4, 8, 9] {
            let world = world();
            let cuts: store::Cuts = Arc::new(move |commit| (commit == number).then_some(cut));
            let world = world.reopen(Settings { cuts: Some(cuts), ..Settings::default() });
            whole = rotate(&world, 13).is_ok();
            let key = present_key(&world);
            let world = world.reopen(Settings { key, ..Settings::default() });
            all_open(&world);
            rotate(&world, 14).unwrap();
            all_open(&world);
            let key = present_key(&world);
            let world = world.reopen(Settings { key, ..Settings::default() });
            all_open(&world);
            if whole {
                break;
            }
        }
        assert!(whole, "it comes to its end at last");
    }
}

/// Whoever asked goes away in the middle: the same process takes credentials, and goes on with the rotation.
#[test]
fn a_rotation_that_is_given_up_is_gone_on_with_by_the_same_process() {
    for steps in 1.. {
        let world = world();
        let given_up = world.go_for(steps, world.store.rotate_key(&mut Chance(15)));
        put(&world, "a", "a");
        all_open(&world);
        let again = rotate(&world, 16);
        assert!(again.is_ok(), "after {steps} steps: {again:?}");
        all_open(&world);
        put(&world, "a", "a");
        let key = present_key(&world);
        let world = world.reopen(Settings { key, ..Settings::default() });
        all_open(&world);
        if given_up.is_some() {
            assert!(steps > NAMES.len(), "{steps}");
            break;
        }
    }
}
