//! What a vendor granted, while the store does not take it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use connect::auth::{Access, Granted};
use connect::{BoxFuture, Connection, Error, Secret, Transport, TransportError, wire};
use engine::grants::Keeper;
use flow::chance::Rng;
use flow::clock::Clock as _;
use jiff::SignedDuration;
use serde_json::json;
use store::{NewConnection, NewGrant, Secrets};

use crate::world::{Node, ROOM, World, default_workspace, read, run};

const MANIFEST: &str = "
manifest: 1
slug: bank
title: Bank
version: 1.0.0
summary: Takes each refresh token once
base_url: https://api.bank.example
hosts: [api.bank.example]
credentials:
  id: {title: Id, secret: false, help: There}
  secret: {title: Secret, help: There}
auth:
  oauth2: {grant: authorization_code, authorize: /authorize, token: /token, client_id: id, client_secret: secret}
errors:
  rules: [{status: 401, class: auth}]
operations:
  things.list: {summary: List, request: GET /things, effects: read}
";

/// What is done when the vendor is asked.
type Hook = Box<dyn Fn(u32) + Send>;

/// A vendor that takes each refresh token once, and gives long ones: the database needs room for them.
struct Bank {
    world: Arc<World>,
    /// Tokens asked for so far, and refused.
    asked: Mutex<(u32, u32)>,
    hook: Mutex<Option<Hook>>,
    /// Answers everything so, if set.
    broken: Mutex<Option<(u16, serde_json::Value)>>,
}

/// The refresh token of the `n`th answer: each is longer than the one before, so that it does not fit in its place.
fn refresh(n: u32) -> String {
    format!("rt-{n}-{}", "x".repeat(40_000 * (n as usize + 1)))
}

impl Bank {
    fn answer(&self, request: &wire::Request) -> wire::Response {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let (answered, refused) = *self.asked.lock().unwrap();
        let broken = self.broken.lock().unwrap().clone();
        let good = broken.is_none() && form.contains(&format!("refresh_token=rt-{answered}-"));
        *self.asked.lock().unwrap() = if good { (answered + 1, refused) } else { (answered, refused + 1) };
        if let Some(hook) = &*self.hook.lock().unwrap() {
            hook(answered + 1);
        }
        let (status, body) = if good {
            let n = answered + 1;
            (200, json!({"access_token": format!("at-{n}"), "refresh_token": refresh(n), "expires_in": 3600}))
        } else {
            broken.unwrap_or((400, json!({"error": "invalid_grant"})))
        };
        wire::Response { status, headers: Vec::new(), body: body.to_string().into() }
    }
}

impl Transport for Bank {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(std::future::ready(Ok(self.answer(&request))))
    }
}

struct Seed(u8);

impl Rng for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// A connection that somebody agreed to, and whoever lends its tokens.
async fn agreed(world: &Arc<World>, node: &mut Node<'_>) -> (Arc<Bank>, Connection, Arc<dyn Access>) {
    let bank = Arc::new(Bank {
        world: world.clone(),
        asked: Mutex::default(),
        hook: Mutex::default(),
        broken: Mutex::default(),
    });
    let (store, now, ws) = (node.store.clone(), bank.world.time.now(), default_workspace());
    let credentials = || [("id", "me"), ("secret", "s3cret")];
    let new = NewConnection {
        name: "bank".to_owned(),
        connector: "bank".to_owned(),
        live: true,
        base_url: None,
        credentials: Secrets::new(credentials().map(|(name, value)| (name.into(), value.into())).into()),
    };
    node.drive(store.put_connection(&ws, new, &mut Seed(1), now)).await.unwrap();
    let grant = NewGrant {
        tokens: Secrets::new([("refresh".to_owned(), refresh(0))].into()),
        scopes: None,
        expires_at: Some(now),
    };
    node.drive(store.put_grant(&ws, "bank", grant, &mut Seed(2), now)).await.unwrap();
    let connection = Connection {
        name: "bank".into(),
        connector: "bank".into(),
        live: true,
        base_url: None,
        credentials: credentials().map(|(name, value)| (name.to_owned(), Secret::new(value))).into(),
        access: None,
    };
    let access = lent(world, node, &bank, &connection);
    (bank, connection, access)
}

/// Whoever lends a connection's tokens on a node.
fn lent(world: &World, node: &Node<'_>, bank: &Arc<Bank>, connection: &Connection) -> Arc<dyn Access> {
    let mut catalog = connect::Catalog::default();
    catalog.insert(connect::Manifest::parse("bank.yaml", MANIFEST).unwrap(), MANIFEST.to_owned());
    let keeper = Keeper {
        store: node.store.clone(),
        catalog: Arc::new(catalog),
        transport: bank.clone(),
        clock: world.time.clone(),
        timer: world.time.clone(),
        rng: Arc::new(Mutex::new(Box::new(Seed(3)))),
    };
    Arc::new(keeper).lender()(&default_workspace(), connection).expect("it is granted")
}

async fn token(
    node: &mut Node<'_>,
    connection: &Connection,
    access: &Arc<dyn Access>,
) -> Result<Arc<Granted>, Error> {
    node.drive(access.token(connection, None)).await
}

/// The disk is full just when the vendor has answered, for as long as it likes: the only refresh token is not dropped.
#[test]
fn what_the_store_does_not_take_is_kept_until_it_does() {
    run(async {
        let world = Arc::new(World::new());
        let mut node = world.boot();
        let (bank, connection, access) = agreed(&world, &mut node).await;
        let pages = world.pages.clone();
        *bank.hook.lock().unwrap() = Some(Box::new(move |n| {
            if n == 1 {
                pages.store(1, Ordering::SeqCst);
            }
        }));
        let stored = |node: &Node<'_>| read(node.store.grant(&default_workspace(), "bank")).unwrap().unwrap();
        for _ in 0..3 {
            let granted = token(&mut node, &connection, &access).await.expect("what the vendor gave");
            assert_eq!((granted.token.reveal(), granted.n), ("at-1", 2));
            world.time.advance(SignedDuration::from_mins(5));
        }
        assert_eq!((stored(&node).n, *bank.asked.lock().unwrap()), (1, (1, 0)), "from memory");
        // The vendor is not asked by the spent one meanwhile.
        let refused = node
            .drive(
                access
                    .token(&connection, Some(&Granted { token: Secret::new("at-1"), base_url: None, n: 2 })),
            )
            .await;
        assert_eq!(refused.expect_err("nothing to show").code, "grant_unavailable");

        world.pages.store(ROOM, Ordering::SeqCst);
        node.until(|node| stored(node).n == 2).await;
        assert_eq!(stored(&node).tokens.unwrap().get("refresh"), Some(refresh(1).as_str()));
        world.time.advance(SignedDuration::from_hours(2));
        let renewed = token(&mut node, &connection, &access).await.expect("renewed by the new one");
        assert_eq!((renewed.token.reveal(), *bank.asked.lock().unwrap()), ("at-2", (2, 0)));
        drop(access);
        node.stop().await;
    });
}

/// A node dies when the vendor has answered, and nothing of the answer is stored. The vendor may take the old refresh token
/// once more; if it does not, it is said why that is lost, and that somebody has to agree again.
#[test]
fn a_death_between_the_answer_and_the_store_is_known_afterwards() {
    for takes_it_again in [true, false] {
        let world = Arc::new(World::new());
        // With this runtime everything that is under way ends.
        let (bank, connection) = run(async {
            let mut node = world.boot();
            let (bank, connection, access) = agreed(&world, &mut node).await;
            let pages = world.pages.clone();
            *bank.hook.lock().unwrap() = Some(Box::new(move |_| pages.store(1, Ordering::SeqCst)));
            token(&mut node, &connection, &access).await.expect("in memory");
            node.kill().await;
            (bank, connection)
        });
        *bank.hook.lock().unwrap() = None;
        world.pages.store(ROOM, Ordering::SeqCst);
        run(async {
            let mut node = world.boot();
            let stored = read(node.store.grant(&default_workspace(), "bank")).unwrap().unwrap();
            assert_eq!((stored.n, stored.begun, stored.unanswered), (1, 1, 1));
            if takes_it_again {
                *bank.asked.lock().unwrap() = (0, 0);
            }
            world.time.advance(SignedDuration::from_secs(61));
            let access = lent(&world, &node, &bank, &connection);
            let renewed = token(&mut node, &connection, &access).await;
            match takes_it_again {
                true => assert_eq!(renewed.expect("renewed").n, 2),
                false => assert_eq!(renewed.expect_err("it is spent").code, "grant_lost"),
            }
            drop(access);
            node.stop().await;
        });
    }
}

/// An account is not locked by a hundred events, nor an endpoint kept from recovering.
#[test]
fn a_refusal_is_not_asked_for_by_every_call() {
    run(async {
        let world = Arc::new(World::new());
        let mut node = world.boot();
        let (bank, connection, access) = agreed(&world, &mut node).await;
        for (status, body, class, stands_s) in [
            (403, json!({"message": "no"}), "auth", 30),
            (503, json!({}), "retry", 2),
            (503, json!({}), "retry", 4),
            (429, json!({}), "retry", 8),
        ] {
            *bank.broken.lock().unwrap() = Some((status, body));
            let before = bank.asked.lock().unwrap().1;
            for _ in 0..20 {
                let refused = token(&mut node, &connection, &access).await.expect_err("refused");
                assert_eq!(refused.class.name(), class, "{refused}");
            }
            assert_eq!(bank.asked.lock().unwrap().1, before + 1, "{status} {stands_s}");
            world.time.advance(SignedDuration::from_secs(stands_s));
        }
        *bank.broken.lock().unwrap() = None;
        token(&mut node, &connection, &access).await.expect("it is good again");
        drop(access);
        node.stop().await;
    });
}

/// The vendor refuses calls for another reason: new tokens do not mend that, and each would end the one in use.
#[test]
fn tokens_are_not_renewed_for_every_call_that_is_refused() {
    run(async {
        let world = Arc::new(World::new());
        let mut node = world.boot();
        let (bank, connection, access) = agreed(&world, &mut node).await;
        let mut granted = token(&mut node, &connection, &access).await.expect("granted");
        for _ in 0..20 {
            granted = node.drive(access.token(&connection, Some(&granted))).await.expect("a token");
        }
        assert_eq!(*bank.asked.lock().unwrap(), (4, 0), "the first, and three more");
        world.time.advance(SignedDuration::from_secs(61));
        let next = node.drive(access.token(&connection, Some(&granted))).await.expect("a token");
        assert_eq!(next.n, granted.n + 1);
        drop(access);
        node.stop().await;
    });
}
