//! Two servers on one PostgreSQL, and a vendor that grants tokens and is asked for its events: one renewal and each event
//! once, whichever server is at it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow::clock::Clock as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tributary::ambient::WallClock;
use twins::Twin;
use twins::wire::{Request, Response};

use crate::app::{TestApp, open};
use crate::cluster::cluster;

const MANIFEST: &str = "
manifest: 1
slug: bank
title: Bank
version: 1.0.0
summary: Grants tokens, and tells of its events when asked
base_url: https://api.bank.example
hosts: [api.bank.example]
credentials:
  id: {title: Id, secret: false, help: There}
  secret: {title: Secret, help: There}
auth:
  oauth2: {grant: client_credentials, token: /token, client_id: id, client_secret: secret}
errors:
  rules: [{status: 401, class: auth}]
pagination:
  pages: {items: data, more: has_more, next: {last: id}, send: after}
operations:
  events.list: {summary: List events, request: GET /events, effects: read, pages: true, params: {since: integer}}
  notes.create:
    summary: Note something
    request: POST /notes
    effects: write
    params: {text: string!}
    idempotency: {header: {name: Idempotency-Key}}
triggers:
  poll:
    operation: events.list
    since: since
    times: unix_s
    every_s: 1
    look_back_s: 600
    retention_h: 720
    order: oldest_first
    is_event: {object: event}
    dedupe_key: id
    type: type
    time: created
check: events.list
";

const NOTES: &str = "\
document: {dsl: '1.0.3', namespace: test, name: notes, version: '1.0.0'}
schedule: {on: {one: {with: {type: bank.paid}}}}
do:
  - note: {call: bank.notes.create, with: {text: '${ .data.id }'}}
";

const EVENTS: usize = 40;
/// Far above what all of it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the vendor has seen.
#[derive(Default)]
struct Seen {
    tokens: usize,
    lists: usize,
    notes: BTreeMap<String, usize>,
}

#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Seen>>);

impl Twin for Bank {
    fn name(&self) -> &str {
        "bank"
    }

    fn handle(&self, request: &Request) -> Response {
        let mut seen = self.0.lock().unwrap();
        if request.path == "/token" {
            seen.tokens += 1;
            let body = json!({"access_token": format!("at-{}", seen.tokens), "token_type": "Bearer", "expires_in": 3600});
            return Response::json(200, &body);
        }
        if request.header("authorization") != Some(&format!("Bearer at-{}", seen.tokens)) {
            return Response::json(401, &json!({}));
        }
        if request.path == "/events" {
            seen.lists += 1;
            let created = WallClock.now().as_second();
            let event = |number: usize| json!({"id": format!("evt_{number}"), "object": "event", "type": "paid", "created": created});
            let data: Vec<Value> = (0..EVENTS).map(event).collect();
            return Response::json(200, &json!({"data": data, "has_more": false}));
        }
        let note: Value = serde_json::from_slice(&request.body).unwrap();
        *seen.notes.entry(note["text"].as_str().unwrap().to_owned()).or_default() += 1;
        Response::json(200, &json!({"id": "note"}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_what_was_granted_and_what_was_asked_for() {
    let url = cluster().database();
    let connectors = tempfile::tempdir().unwrap();
    std::fs::write(connectors.path().join("bank.yaml"), MANIFEST).unwrap();
    let start = async |key: Option<&std::path::Path>| {
        TestApp::start_with(|config| {
            std::fs::create_dir_all(&config.data).unwrap();
            if let Some(key) = key {
                std::fs::copy(key, config.data.join("key")).unwrap();
            }
            config.database = Some(url.clone());
            config.connectors = Some(connectors.path().to_owned());
            config.lease = SignedDuration::from_secs(2);
            config.poll_sandboxes = true;
        })
        .await
    };
    let first = start(None).await;
    let second = start(Some(&first.directory.path().join("data/key"))).await;
    first.post("/v1/flows", json!({"text": NOTES})).await.expect(201);
    let bank = Bank::default();
    let base_url = open(Arc::new(bank.clone())).await;
    let credentials = json!({"id": "me", "secret": "s3cret"});
    let body = json!({"connector": "bank", "base_url": base_url, "credentials": credentials});
    second.put("/v1/connections/bank", body).await.expect(201);
    // Both ask for the token at once, as often as they like.
    let check = async |app: &TestApp| app.post("/v1/connections/bank/check", json!({})).await.expect(200);
    tokio::join!(check(&first), check(&second), check(&first), check(&second));
    let done = async {
        while first.get("/v1/stats").await.expect(200)["runs"]["completed"] != EVENTS
            || bank.0.lock().unwrap().lists < 3
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("every event has its run, and is listed again");
    let wanted: BTreeMap<String, usize> = (0..EVENTS).map(|number| (format!("evt_{number}"), 1)).collect();
    let seen = std::mem::take(&mut *bank.0.lock().unwrap());
    assert_eq!((seen.tokens, seen.notes), (1, wanted));
    first.stop().await;
    second.stop().await;
}
