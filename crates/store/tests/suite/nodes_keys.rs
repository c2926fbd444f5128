//! Another master key on one node, while others work.

use std::fs;

use jiff::SignedDuration;
use store::{Error, NewGrant, Secrets, Turn};

use super::super::world::{Chance, KEY_TEXT, account};
use super::{Node, at, node, ws};
use crate::cluster::cluster;
use store::postgres::LeaseClock;

const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Two nodes with the same key, and a connection that was granted access.
async fn two() -> (Node, Node) {
    let url = cluster().database();
    let first = node(&url, "first", LeaseClock::Caller, true).await;
    let second = node(&url, "second", LeaseClock::Caller, false).await;
    for node in [&first, &second] {
        fs::write(node.directory.path().join("key"), KEY_TEXT).unwrap();
    }
    put(&first).await.unwrap();
    first.store.put_grant(&ws(), "crm", tokens("one"), &mut Chance(3), at(1)).await.unwrap();
    (first, second)
}

async fn put(node: &Node) -> Result<(), Error> {
    let connection = account("crm", "crm", ("key", "secret"));
    node.store.put_connection(&ws(), connection, &mut Chance(2), at(0)).await.map(drop)
}

fn tokens(refresh: &str) -> NewGrant {
    NewGrant {
        tokens: Secrets::new([("refresh".to_owned(), refresh.to_owned())].into()),
        scopes: None,
        expires_at: None,
    }
}

async fn refresh(node: &Node) -> String {
    let grant = node.store.grant(&ws(), "crm").await.unwrap().unwrap();
    grant.tokens.unwrap().get("refresh").unwrap().to_owned()
}

/// Hands the key of one node to another, as its operator does.
fn copy(from: &Node, to: &Node) {
    fs::copy(from.directory.path().join("key"), to.directory.path().join("key")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_meets_a_rotation_is_stored_once_the_key_is_there() {
    let (first, second) = two().await;
    second.store.begin_renewal(&ws(), "crm", 1, LEASE, at(10)).await.unwrap();
    assert_eq!(first.store.rotate_key(&mut Chance(11)).await.unwrap(), 2);
    let renewed = async || {
        let chance = &mut Chance(4);
        second.store.renewed(&ws(), "crm", Turn { n: 1, begun: 1 }, &tokens("two"), chance, at(20)).await
    };
    let refused = renewed().await;
    assert!(matches!(refused, Err(Error::Key(_))), "no newer grant, but another key: {refused:?}");
    assert_eq!(refresh(&first).await, "one");
    copy(&first, &second);
    renewed().await.unwrap();
    assert_eq!((refresh(&first).await, refresh(&second).await), ("two".to_owned(), "two".to_owned()));
    put(&second).await.unwrap();
}

/// The other node was given the key before anything was sealed with it: it goes on as if nothing were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_given_the_next_key_goes_on() {
    let (first, second) = two().await;
    let next = first.directory.path().join("key.new");
    let nothing_prepared = async || {
        let refused = first.store.rotate_prepared_key(&mut Chance(10)).await;
        assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
        assert!(!next.exists(), "nobody was given that one");
    };
    nothing_prepared().await;
    first.store.prepare_key(&mut Chance(11)).await.unwrap();
    first.store.prepare_key(&mut Chance(12)).await.unwrap();
    put(&second).await.unwrap();
    fs::copy(&next, second.directory.path().join("key.new")).unwrap();
    assert_eq!(first.store.rotate_prepared_key(&mut Chance(13)).await.unwrap(), 2);
    // Somebody whose connection broke off meanwhile asks again.
    nothing_prepared().await;
    assert!(second.store.connection(&ws(), "crm").await.unwrap().is_some());
    assert_eq!(refresh(&second).await, "one");
    put(&second).await.unwrap();
    assert!(first.store.connection(&ws(), "crm").await.unwrap().is_some(), "both seal with the new one");
    second.store.finish_rotation(&mut Chance(14)).await.unwrap();
    let key = |node: &Node| fs::read_to_string(node.directory.path().join("key")).unwrap();
    assert_eq!(key(&first), key(&second));
    assert!(!second.directory.path().join("key.new").exists());
    // And the other way round, as often as one likes.
    second.store.prepare_key(&mut Chance(15)).await.unwrap();
    fs::copy(second.directory.path().join("key.new"), first.directory.path().join("key.new")).unwrap();
    assert_eq!(second.store.rotate_key(&mut Chance(16)).await.unwrap(), 2);
    assert_eq!(refresh(&first).await, "one");
}

/// What is sealed with a key that this node has not got yet will open later: nothing fails for good by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_not_given_it_waits() {
    let (first, second) = two().await;
    first.store.rotate_key(&mut Chance(11)).await.unwrap();
    let opened = second.store.connection(&ws(), "crm").await.map(drop);
    assert!(matches!(&opened, Err(error @ Error::Unavailable(_)) if error.passes()), "{opened:?}");
    let granted = second.store.grant(&ws(), "crm").await.map(drop);
    assert!(matches!(granted, Err(Error::Unavailable(_))), "{granted:?}");
    copy(&first, &second);
    second.store.connection(&ws(), "crm").await.unwrap();
    assert_eq!(refresh(&second).await, "one");
    // Bytes that were changed are no matter of time.
    cluster().sql(&second.database, "UPDATE connections SET sealed = '\\x01'");
    let opened = second.store.connection(&ws(), "crm").await.map(drop);
    assert!(matches!(opened, Err(Error::Unsealed(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_rotate_at_once() {
    let (first, second) = two().await;
    first.store.prepare_key(&mut Chance(11)).await.unwrap();
    let refused = second.store.rotate_key(&mut Chance(12)).await;
    assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
    assert!(!second.directory.path().join("key.new").exists(), "it is nobody's");
    put(&second).await.unwrap();
    first.store.rotate_key(&mut Chance(13)).await.unwrap();
    // Nor one after the other, before the key was handed over.
    let refused = second.store.rotate_key(&mut Chance(14)).await;
    assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
    assert!(first.store.connection(&ws(), "crm").await.unwrap().is_some());
    put(&first).await.unwrap();
    copy(&first, &second);
    assert_eq!(second.store.rotate_key(&mut Chance(15)).await.unwrap(), 2);
}
