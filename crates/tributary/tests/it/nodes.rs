//! Several servers on one PostgreSQL, and what becomes of their work when one dies or the database goes away.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tributary::alerts::Alerts;
use twins::slack::{Config as SlackConfig, Message, Slack};

use crate::app::{TestApp, event, open};
use crate::cluster::cluster;

/// So long a run waits for a node that died.
const LEASE_S: i64 = 2;
/// Nothing here takes longer.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Runs that a node works on at a time, so that there is enough for both.
const WORKERS: usize = 4;
const TOKEN: &str = "xoxb-test";

/// Posts once before a wait and once after it, so that a node can die between two effects of a run.
const POSTS: &str = "\
document: {dsl: '1.0.3', namespace: test, name: posts, version: '1.0.0'}
schedule: {on: {one: {with: {source: stripe, type: stripe.invoice.paid}}}}
do:
  - first: {call: slack.messages.post, with: {channel: billing, text: '${ \"first \" + .data.data.object.id }'}}
  - rest: {wait: {milliseconds: 150}}
  - last: {call: slack.messages.post, with: {channel: billing, text: '${ \"last \" + $event.data.data.object.id }'}}
";

/// A server in a process of its own, which can be killed.
struct Apart {
    process: Child,
    app: TestApp,
}

impl Apart {
    fn start(data: &std::path::Path, database: &str) -> Apart {
        let (lease, workers) = (format!("{LEASE_S}s"), WORKERS.to_string());
        let mut process = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args([
                "serve",
                "--json",
                "--stop-with-stdin",
                "--listen",
                "127.0.0.1:0",
                "--lease",
                &lease,
                "--workers",
                &workers,
            ])
            .arg("--data")
            .arg(data)
            .env("TRIBUTARY_DATABASE", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a ready line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let token = std::fs::read_to_string(told["token_file"].as_str().expect("a path")).expect("a token");
        let address = told["address"].as_str().expect("an address").parse().expect("an address");
        Apart { process, app: TestApp::elsewhere(address, token.trim().to_owned()) }
    }

    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Killed already, as a rule.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn paid(number: usize) -> Value {
    event(&format!("evt_{number}"), "invoice.paid", json!({"id": format!("in_{number}")}))
}

async fn slack(app: &TestApp) -> Slack {
    let slack = Slack::new(SlackConfig::new(TOKEN));
    let url = open(Arc::new(slack.clone())).await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": TOKEN}});
    app.put("/v1/connections/slack", body).await.expect(201);
    slack
}

async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < TIME_MAX, "{what}: not after {TIME_MAX:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each event's two messages are there, once.
fn check_messages(slack: &Slack, events: usize) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for message in slack.messages() {
        *found.entry(message.text).or_default() += 1;
    }
    let wanted = (0..events)
        .flat_map(|number| [format!("first in_{number}"), format!("last in_{number}")])
        .map(|text| (text, 1));
    assert_eq!(found, wanted.collect());
}

/// Both take events and work on runs; one dies in the middle, and the other one finishes what it had begun.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_dies_and_the_other_finishes_its_runs() {
    const EVENTS: usize = 120;
    /// As many before the death of one node.
    const BEFORE: usize = 80;
    let url = cluster().database();
    let directory = tempfile::tempdir().expect("a directory");
    let mut dying = Apart::start(directory.path(), &url);
    let key = directory.path().join("key");
    let living = TestApp::start_with(|config| {
        std::fs::create_dir_all(&config.data).expect("a directory");
        std::fs::copy(key, config.data.join("key")).expect("the key");
        config.database = Some(url.clone());
        config.lease = SignedDuration::from_secs(LEASE_S);
        config.workers = WORKERS;
    })
    .await;
    let slack = slack(&living).await;
    let hook = living.connect("stripe").await;
    living.post("/v1/flows", json!({"text": POSTS})).await.expect(201);
    for number in 0..EVENTS {
        if number == BEFORE {
            // More is queued than both can have in hand.
            until("work is under way", || async { slack.messages().len() > BEFORE / 2 }).await;
            until("both are at it", || async { cluster().at_work(&url) == 2 }).await;
            dying.kill();
        }
        let app = if number < BEFORE && number % 2 == 0 { &dying.app } else { &living };
        app.deliver_signed(&hook, &paid(number)).await.expect(200);
    }
    until("every run ends", || async {
        let stats = living.get("/v1/stats").await.expect(200);
        stats["runs"]["completed"] == EVENTS
    })
    .await;
    check_messages(&slack, EVENTS);
    assert!(cluster().taken_over(&url) > 0, "the dead node had runs in hand");
    living.stop().await;
}

/// The database is gone for a moment, in the middle of everything: refused is refused, acknowledged is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    const SENDERS: usize = 8;
    let url = cluster().database();
    let app = TestApp::start_with(|config| {
        config.database = Some(url.clone());
        config.lease = SignedDuration::from_secs(LEASE_S);
        let channel = "slack:#billing".parse().expect("a channel");
        config.alerts = Alerts { slack: vec![channel], webhook: vec![] };
    })
    .await;
    let slack = slack(&app).await;
    let hook = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": POSTS})).await.expect(201);

    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let sender = |first: usize| {
        let (app, hook, over, refused) = (&app, &hook, &over, &refused);
        async move {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = app.deliver_signed(hook, &paid(first + sent * SENDERS)).await;
                match answer.status {
                    200 => sent += 1,
                    503 => {
                        assert_eq!(answer.headers["retry-after"], "5");
                        refused.fetch_add(1, Ordering::Relaxed);
                        // As a vendor would, though sooner.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    _ => panic!("{answer:?}"),
                }
            }
            sent
        }
    };
    let trouble = async {
        let ready = || async { app.get("/readyz").await.status };
        until("work is under way", || async { slack.messages().len() > 40 }).await;
        cluster().take_away(&url);
        until("unready", || async { ready().await == 503 }).await;
        app.rest(Method::GET, "/healthz", Value::Null).await.expect(200);
        let told = |message: &Message| message.text.contains("takes no events now");
        until("people are told", || async { slack.messages().iter().any(told) }).await;
        until("deliveries are refused", || async { refused.load(Ordering::Relaxed) > 0 }).await;
        cluster().give_back(&url);
        until("ready again", || async { ready().await == 200 }).await;
        let before = slack.messages().len();
        until("work goes on", || async { slack.messages().len() > before + 20 }).await;
        over.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(futures_util::future::join_all((0..SENDERS).map(sender)), trouble);
    let acknowledged: usize = sent.iter().sum();
    until("every run ends", || async {
        let stats = app.get("/v1/stats").await;
        // An event that was refused for want of an answer may have been stored: it is delivered again, and a duplicate.
        stats.status == 200 && stats.json()["runs"]["completed"].as_u64() >= Some(acknowledged as u64)
    })
    .await;
    let stats = app.settle().await;
    assert_eq!(stats["runs"]["failed"], 0);
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for message in slack.messages() {
        *found.entry(message.text).or_default() += 1;
    }
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    for (first, sent) in sent.iter().enumerate() {
        for number in (0..*sent).map(|sent| first + sent * SENDERS) {
            for which in ["first", "last"] {
                assert!(found.contains_key(&format!("{which} in_{number}")), "{which} in_{number}");
            }
        }
    }
    app.stop().await;
}
