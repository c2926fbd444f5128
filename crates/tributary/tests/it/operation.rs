//! A server in operation: no room on the disk, a backup under load and its restoration, and ways to stop.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tributary::alerts::Alerts;
use twins::slack::{Config as SlackConfig, Slack};

use crate::app::{TestApp, event, open};

/// More pages than any test fills.
const ROOM: u32 = 1 << 20;
/// Nothing here takes longer.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Takes a moment, so that runs are in progress when something happens.
const WAITS: &str = "\
document: {dsl: '1.0.3', namespace: test, name: waits, version: '1.0.0'}
schedule: {on: {one: {with: {source: stripe, type: stripe.invoice.paid}}}}
do:
  - first: {set: {id: '${ .data.data.object.id }'}}
  - rest: {wait: {milliseconds: 400}}
  - last: {set: {id: '${ $steps.first.id }'}}
";

fn tributary(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(args).arg("--data").arg(data).env("NO_COLOR", "1").output().expect("it runs")
}

fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"))
}

fn paid(id: &str, filler: &str) -> Value {
    event(id, "invoice.paid", json!({"id": format!("in_{id}"), "filler": filler}))
}

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    let mut state = 11_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    (0..bytes).map(letter).collect()
}

async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < TIME_MAX, "{what}: not after {TIME_MAX:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_room_everything_is_refused_and_told_and_goes_on_by_itself() {
    let slack = Slack::new(SlackConfig::new("xoxb-test"));
    let url = open(Arc::new(slack.clone())).await;
    let pages = Arc::new(AtomicU32::new(ROOM));
    let limit = pages.clone();
    let app = TestApp::start_with(|config| {
        config.pages_max = Some(limit);
        let channel = "slack:#billing".parse().expect("a channel");
        config.alerts = Alerts { slack: vec![channel], webhook: vec![] };
    })
    .await;
    let hook = app.connect("stripe").await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": "xoxb-test"}});
    app.put("/v1/connections/slack", body).await.expect(201);
    app.get("/readyz").await.expect(200);

    pages.store(1, Ordering::Relaxed);
    let filler = noise(100_000);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = format!("evt_{}", acknowledged.len());
        let answer = app.deliver_signed(&hook, &paid(&id, &filler)).await;
        if answer.status != 200 {
            break answer;
        }
        acknowledged.push(id);
        assert!(acknowledged.len() < 100, "it never gets full");
    };
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store_unavailable"));
    assert_eq!(refused.headers["retry-after"], "5");
    let unready = app.get("/readyz").await;
    assert_eq!((unready.status, unready.problem().as_str()), (503, "store_unavailable"));
    assert!(unready.text.contains("no space left"), "the reason: {}", unready.text);
    app.get("/healthz").await.expect(200);
    let large = format!("{WAITS}# {}\n", &filler[..60_000]);
    let refused = app.post("/v1/flows", json!({"text": large})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store_unavailable"));
    until("an alert", || async { !slack.messages().is_empty() }).await;
    app.get("/v1/events").await.expect(200);

    pages.store(ROOM, Ordering::Relaxed);
    until("ready again", || async { app.get("/readyz").await.status == 200 }).await;
    app.deliver_signed(&hook, &paid("evt_after", &filler)).await.expect(200);
    let stats = app.settle().await;
    assert_eq!(stats["events"]["received"], acknowledged.len() + 1, "nothing acknowledged is lost");
    for id in &acknowledged {
        let again = app.deliver_signed(&hook, &paid(id, &filler)).await.expect(200);
        assert_eq!(again["duplicate"], true, "{id}");
    }
    let messages = slack.messages();
    assert_eq!(messages.len(), 1, "told once: {messages:?}");
    assert!(messages[0].text.contains("takes no events now"), "{}", messages[0].text);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_its_runs_go_on_elsewhere() {
    let app = TestApp::start_with(|config| config.retention.hot = jiff::SignedDuration::ZERO).await;
    let hook = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": WAITS})).await.expect(201);
    let data = app.directory.path().join("data");
    let (over, delivered) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    let filler = noise(2000);
    let load = async {
        for number in 0..100_000 {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let id = format!("evt_{number}");
            app.deliver_signed(&hook, &paid(&id, &filler)).await.expect(200);
            delivered.lock().expect("no panic").push(id);
        }
    };
    let out = app.directory.path().join("backup.tar");
    let backup = async {
        let is_history =
            |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("history-");
        let has_history =
            || std::fs::read_dir(&data).expect("it is there").any(|entry| entry.is_ok_and(is_history));
        until("a load, and what is over in history", || async {
            delivered.lock().expect("no panic").len() > 200 && has_history()
        })
        .await;
        let before = delivered.lock().expect("no panic").clone();
        let (from, to) = (data.clone(), out.clone());
        let made = tokio::task::spawn_blocking(move || {
            tributary(&from, &["backup", "--json", "--out", to.to_str().expect("a path")])
        });
        let made = made.await.expect("it runs");
        over.store(true, Ordering::Relaxed);
        (before, made)
    };
    let ((), (before, made)) = tokio::join!(load, backup);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let manifest = &document(&made)["manifest"];
    let names: Vec<&str> = manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .filter_map(|file| file["name"].as_str())
        .collect();
    assert_eq!((manifest["with_key"].clone(), names[0]), (json!(false), "tributary.db"));
    assert!(names.len() > 1, "history is in it: {names:?}");
    let twice = tributary(&data, &["backup", "--json", "--out", out.to_str().expect("a path")]);
    assert_eq!(twice.status.code(), Some(1), "a backup is never overwritten");

    let elsewhere = app.directory.path().join("elsewhere");
    let restored = tributary(&elsewhere, &["restore", "--json", out.to_str().expect("a path")]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    let keyless = tributary(&elsewhere, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(keyless.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&keyless.stderr).contains("copy it there"), "{keyless:?}");
    std::fs::copy(data.join("key"), elsewhere.join("key")).expect("the key");
    let copy = TestApp::start_on(&elsewhere).await;
    let stats = copy.settle().await;
    // Everything acknowledged before is in it, and has its outcome: its run is finished.
    for id in &before {
        let again = copy.deliver_signed(&hook, &paid(id, &filler)).await.expect(200);
        assert_eq!(again["duplicate"], true, "{id} was acknowledged before the backup");
    }
    assert!(stats["events"]["received"].as_u64().expect("a number") >= before.len() as u64);
    assert_eq!(stats["runs"]["completed"], stats["events"]["received"], "{stats}");
    copy.stop_here().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_right_is_not_restored_and_nothing_is_overwritten() {
    let app = TestApp::start().await;
    app.connect("stripe").await;
    let data = app.directory.path().join("data");
    let out = app.directory.path().join("backup");
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let made = tributary(&data, &["backup", "--with-key", "--json", "--out", &path(&out)]);
    assert_eq!(document(&made)["manifest"]["with_key"], true, "{made:?}");
    let refused = |from: &Path, to: &Path, why: &str| {
        let output = tributary(to, &["restore", "--json", &path(from)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{why}: {text}");
        assert!(text.contains(why), "{why}: {text}");
    };
    refused(&out, &data, "in use by process");
    let elsewhere = app.directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    std::fs::write(elsewhere.join("mine"), "kept").expect("a file");
    refused(&out, &elsewhere, "is not empty");
    std::fs::remove_file(elsewhere.join("mine")).expect("it is there");

    let manifest = out.join("manifest.json");
    let good = std::fs::read_to_string(&manifest).expect("a manifest");
    for (from, to, why) in [
        ("\"schema\": ", "\"schema\": 99", "newer version"),
        ("\"format\": 1", "\"format\": 2", "newer version"),
        ("\"name\": \"tributary.db\"", "\"name\": \"../tributary.db\"", "other files"),
    ] {
        assert!(good.contains(from), "{good}");
        std::fs::write(&manifest, good.replace(from, to)).expect("written");
        refused(&out, &elsewhere, why);
    }
    std::fs::write(&manifest, &good).expect("written");
    let database = out.join("tributary.db");
    let mut bytes = std::fs::read(&database).expect("a database");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&database, &bytes).expect("written");
    refused(&out, &elsewhere, "damaged");
    bytes[middle] ^= 1;
    std::fs::write(&database, &bytes).expect("written");
    assert!(std::fs::read_dir(&elsewhere).expect("it is there").next().is_none(), "nothing is left behind");

    let restored = tributary(&elsewhere, &["restore", &path(&out)]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(said.contains("deliver") && said.contains("doubled"), "{said}");
    let copy = TestApp::start_on(&elsewhere).await;
    copy.rest(Method::GET, "/v1/connections/stripe", Value::Null).await.expect(200);
    copy.stop_here().await;
    app.stop().await;
}

/// A server as a process of its own, and its first line.
fn serve(data: &Path, more: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    (child, serde_json::from_str(&line).expect("a ready line"))
}

fn ends(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            return status.code();
        }
        assert!(begun.elapsed() < TIME_MAX, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_stops_in_good_order_when_told_or_when_its_starter_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut child, _) = serve(directory.path(), &[]);
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(ends(&mut child), Some(0));
    assert!(!directory.path().join("tributary.sock").exists());

    let (mut child, _) = serve(directory.path(), &["--stop-with-stdin"]);
    drop(child.stdin.take());
    assert_eq!(ends(&mut child), Some(0));
}

#[tokio::test]
async fn a_stop_in_the_middle_of_runs_loses_and_doubles_nothing() {
    let mut app = TestApp::start().await;
    let hook = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": WAITS})).await.expect(201);
    for number in 0..20 {
        app.deliver_signed(&hook, &paid(&format!("evt_{number}"), "")).await.expect(200);
    }
    let begun = Instant::now();
    app.restart().await;
    // No lease has to end: that would take half a minute.
    let stats = app.settle().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(
        (stats["runs"]["completed"].clone(), stats["runs"]["created"].clone()),
        (json!(20), json!(20))
    );
    app.stop().await;
}
