//! Another master key on one node, while others work.

use std::fs;

use jiff::SignedDuration;
use store::{Error, NewConnection, NewGrant, Secrets};

use super::super::world::Chance;
use super::{Node, at, node, ws};
use crate::cluster::cluster;
use store::postgres::LeaseClock;

const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// The first key, as `key()` has it.
const FIRST: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

/// Two nodes with the same key, and a connection that was granted access.
async fn two() -> (Node, Node) {
    let url = cluster().database();
    let first = node(&url, "first", LeaseClock::Caller, true).await;
    let second = node(&url, "second", LeaseClock::Caller, false).await;
    for node in [&first, &second] {
        fs::write(node.directory.path().join("key"), FIRST).unwrap();
    }
    put(&first).await.unwrap();
    first.store.put_grant(&ws(), "crm", tokens("one"), &mut Chance(3), at(1)).await.unwrap();
    (first, second)
}

async fn put(node: &Node) -> Result<(), Error> {
    let connection = NewConnection {
        name: "crm".into(),
        connector: "crm".into(),
        live: false,
        base_url: None,
        credentials: Secrets::new([("key".to_owned(), "secret".to_owned())].into()),
    };
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
        second.store.renewed(&ws(), "crm", 1, &tokens("two"), chance, at(20)).await
    };
    let refused = renewed().await;
    assert!(matches!(refused, Err(Error::Key(_))), "no newer grant, but another key: {refused:?}");
    assert_eq!(refresh(&first).await, "one");
    copy(&first, &second);
    renewed().await.unwrap();
    assert_eq!((refresh(&first).await, refresh(&second).await), ("two".to_owned(), "two".to_owned()));
    put(&second).await.unwrap();
}
