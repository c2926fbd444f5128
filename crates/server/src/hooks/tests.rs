//! What only a broken store shows; everything else is in the end-to-end suite.

use std::sync::{Arc, Mutex};

use axum::Router;
use connect::{BoxFuture, Catalog, Transport, TransportError, wire};
use flow::chance::Rng;
use flow::clock::Clock;
use flow::{HookId, WorkspaceId};
use http::{Request, StatusCode};
use jiff::Timestamp;
use ring::hmac;
use store::{Cut, MasterKey, NewConnection, Options, Secrets, Store};
use tower::ServiceExt as _;

use super::*;
use crate::access::Token;
use crate::{Deps, Door, router};

const NOW: i64 = 1_760_000_000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("in range")
    }
}

struct Counting(u8);

impl Rng for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

struct Nowhere;

impl Transport for Nowhere {
    fn send(&self, _: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(async { Err(TransportError { sent: false, detail: "there is no network here".to_owned() }) })
    }
}

/// A server on a store whose committer ends after `last` commits.
async fn server(directory: &std::path::Path, last: u64) -> (Router, Store) {
    let mut options = Options::new(directory, MasterKey::from_bytes([1; 32]));
    options.cuts = Some(Arc::new(move |commit| (commit > last).then_some(Cut::Before)));
    let store = Store::open(options).expect("opens");
    let committer = store.committer().expect("once");
    std::thread::Builder::new().spawn(move || committer.run()).expect("a thread");
    let workspace = WorkspaceId::default();
    let mut credentials = Secrets::default();
    credentials.set("api_key", "sk_test_1");
    credentials.set("webhook_secret", "whsec_1");
    let connection = NewConnection {
        name: "stripe".to_owned(),
        connector: "stripe".to_owned(),
        live: false,
        base_url: None,
        credentials,
    };
    store.put_connection(&workspace, connection, &mut Counting(0), Still.now()).await.expect("stored");
    store.put_hook(&workspace, &HookId::new("hook_1"), "stripe", Still.now()).await.expect("stored");
    let app = App::new(Deps {
        store: store.clone(),
        catalog: Arc::new(Catalog::embedded()),
        transport: Arc::new(Nowhere),
        clock: Arc::new(Still),
        rng: Mutex::new(Box::new(Counting(0))),
        workspace,
        templates: Vec::new(),
        token: Token::new("token", [0; 32]),
        public_url: None,
        wake: Arc::new(|| {}),
        trials: None,
        engine_stats: Arc::new(|| Value::Null),
    });
    (router(app, Door::Network), store)
}

fn delivery(id: &str) -> Request<Body> {
    let body = json!({"id": id, "object": "event", "type": "invoice.paid", "created": NOW, "livemode": false,
        "data": {"object": {"id": "in_1"}}})
    .to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"whsec_1");
    let tag = hmac::sign(&key, format!("{NOW}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Request::post("/hooks/hook_1")
        .header("Stripe-Signature", format!("t={NOW},v1={hex}"))
        .body(Body::from(body))
        .expect("a request")
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    // The first two commits make the connection and its hook, the third stores an event.
    let (router, store) = server(directory.path(), 3).await;
    let stored = router.clone().oneshot(delivery("evt_1")).await.expect("an answer");
    let broken = router.clone().oneshot(delivery("evt_2")).await.expect("an answer");
    let after = router.oneshot(delivery("evt_3")).await.expect("an answer");
    assert_eq!(stored.status(), StatusCode::OK);
    for answer in [broken, after] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "5");
    }
    let (ws, query) = (WorkspaceId::default(), store::EventQuery::default());
    let events = store.events(&ws, &query, store::Page::default()).await.expect("listed");
    let keys: Vec<String> = events.items.into_iter().map(|event| event.dedupe_key).collect();
    assert_eq!(keys, ["evt_1"]);
}
