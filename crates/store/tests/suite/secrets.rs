//! Sealed credentials, and the data directory that keeps them.

use super::world::{Chance, World, at, key};
use flow::WorkspaceId;
use std::fs;
use store::{Error, MasterKey, NewConnection, Options, Secrets, Store};

const SECRET: &str = "sk_live_this_must_not_be_found";

fn connect(world: &World, ws: &WorkspaceId, name: &str) {
    let connection = NewConnection {
        name: name.into(),
        connector: "stripe".into(),
        live: true,
        base_url: Some("http://127.0.0.1:1".into()),
        credentials: Secrets::new([("api_key".to_owned(), format!("{SECRET}-{ws}-{name}"))].into()),
    };
    world.with_chance(|chance| world.go(world.store.put_connection(ws, connection, chance, at(1)))).unwrap();
}

#[test]
fn no_file_holds_a_secret_as_it_is() {
    let world = World::new();
    connect(&world, &world.ws, "stripe");
    let mut looked_at = 0;
    for entry in fs::read_dir(world.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        looked_at += bytes.len();
        assert!(!bytes.windows(12).any(|window| window == &SECRET.as_bytes()[..12]));
    }
    assert!(looked_at > 10_000, "the write-ahead log is among them");
    let opened = world.go(world.store.connection(&world.ws, "stripe")).unwrap().unwrap();
    assert_eq!(opened.credentials.get("api_key").unwrap(), format!("{SECRET}-default-stripe"));
    assert!(!format!("{opened:?} {:?}", key()).contains("sk_live"));
}

#[test]
fn an_envelope_opens_only_where_it_belongs() {
    let world = World::new();
    let other = WorkspaceId::new("other");
    connect(&world, &world.ws, "a");
    connect(&world, &world.ws, "b");
    connect(&world, &other, "a");
    let moves = [
        "UPDATE connections SET sealed = (SELECT sealed FROM connections WHERE workspace = 'default' AND name = 'b') \
         WHERE workspace = 'default' AND name = 'a'",
        "UPDATE connections SET sealed = (SELECT sealed FROM connections WHERE workspace = 'other' AND name = 'a') \
         WHERE workspace = 'default' AND name = 'a'",
        "UPDATE connections SET sealed = x'' WHERE workspace = 'default' AND name = 'a'",
        "UPDATE connections SET sealed = CAST(x'02' || substr(sealed, 2) AS BLOB) WHERE workspace = 'default' AND name = 'b'",
    ];
    for sql in moves {
        assert_eq!(world.sql().execute(sql, ()).unwrap(), 1);
        let name = if sql.ends_with("'a'") { "a" } else { "b" };
        let opened = world.go(world.store.connection(&world.ws, name));
        assert!(matches!(opened, Err(Error::Unsealed(_))), "{opened:?} after {sql}");
    }
}

#[test]
fn a_changed_bit_is_noticed() {
    let world = World::new();
    connect(&world, &world.ws, "a");
    let sql = world.sql();
    let sealed: Vec<u8> = sql.query_row("SELECT sealed FROM connections", (), |row| row.get(0)).unwrap();
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        sql.execute("UPDATE connections SET sealed = ?1", [changed]).unwrap();
        assert!(
            matches!(world.go(world.store.connection(&world.ws, "a")), Err(Error::Unsealed(_))),
            "byte {index}"
        );
    }
    sql.execute("UPDATE connections SET sealed = ?1", [sealed]).unwrap();
    assert!(world.go(world.store.connection(&world.ws, "a")).unwrap().is_some());
}

#[test]
fn the_same_secret_is_never_sealed_the_same() {
    let world = World::new();
    let sealed = || -> Vec<u8> {
        connect(&world, &world.ws, "a");
        world.sql().query_row("SELECT sealed FROM connections", (), |row| row.get(0)).unwrap()
    };
    let (first, second) = (sealed(), sealed());
    assert_ne!(first[1..13], second[1..13], "nonces");
    assert_ne!(first[13..], second[13..]);
}

#[test]
fn another_master_key_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(Options::new(directory.path(), key())).unwrap());
    let other = MasterKey::from_bytes([8; 32]);
    let refused = Store::open(Options::new(directory.path(), other)).map(|_| ());
    assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
    Store::open(Options::new(directory.path(), key())).unwrap();
}

#[test]
fn the_key_file_is_made_once_and_is_its_owners() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let first = MasterKey::load_or_create(&directory, &mut Chance(1)).unwrap();
    drop(Store::open(Options::new(&directory, first)).unwrap());
    let second = MasterKey::load_or_create(&directory, &mut Chance(2)).unwrap();
    let store = Store::open(Options::new(&directory, second)).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.clone()), 0o700);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
        }
    }
    drop(store);
    fs::write(directory.join("key"), "c2hvcnQ=\n").unwrap();
    let short = MasterKey::load_or_create(&directory, &mut Chance(3));
    assert!(matches!(short, Err(Error::Key(_))), "{short:?}");
}

#[test]
fn a_data_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(directory.path(), key())).unwrap();
    let committer = store.committer().unwrap();
    let second = Store::open(Options::new(directory.path(), key())).map(|_| ());
    let Err(Error::Locked { holder, .. }) = &second else { panic!("{second:?}") };
    assert_eq!(holder, &std::process::id().to_string());
    drop(store);
    assert!(Store::open(Options::new(directory.path(), key())).is_err(), "the committer still writes");
    drop(committer);
    Store::open(Options::new(directory.path(), key())).unwrap();
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let world = World::new();
    world.sql().execute("UPDATE meta SET value = '999' WHERE name = 'schema'", ()).unwrap();
    let path = world.path().to_owned();
    let copy = tempfile::tempdir().unwrap();
    super::crash::copy_files(&path, copy.path());
    let refused = Store::open(Options::new(copy.path(), key())).map(|_| ());
    assert!(matches!(refused, Err(Error::Newer { found: 999, .. })), "{refused:?}");
}
