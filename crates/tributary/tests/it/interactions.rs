//! What people do with messages comes in: verified, once, and flows start by it or hear it.

use std::sync::Arc;
use std::time::Duration;

use flow::clock::Clock as _;
use serde_json::{Value, json};
use tributary::ambient::WallClock;
use twins::slack::{Config, Outgoing, Slack};

use crate::app::{Answer, TestApp, event, open};

pub const SIGNING_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server with a Slack connection that is told of clicks, and its address.
pub async fn connected(app: &TestApp) -> (Slack, String) {
    let slack = Slack::new(Config::new("xoxb-test"));
    slack.set_now(WallClock.now());
    let url = open(Arc::new(slack.clone())).await;
    let body = json!({"connector": "slack", "base_url": url,
        "credentials": {"token": "xoxb-test", "signing_secret": SIGNING_SECRET}});
    let connection = app.put("/v1/connections/slack", body).await.expect(201);
    let path = connection["hook"]["path"].as_str().expect("a hook").to_owned();
    slack.listen(&format!("http://{}{path}", app.address), SIGNING_SECRET);
    (slack, path)
}

/// Takes to the server what a twin wants to tell it.
pub async fn delivered(app: &TestApp, path: &str, outgoing: &Outgoing) -> Answer {
    let headers = outgoing.headers(WallClock.now());
    let headers: Vec<(&str, String)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    app.deliver(path, &headers, outgoing.body.clone()).await
}

/// Somebody presses a button; how the server took it.
pub async fn press(app: &TestApp, slack: &Slack, path: &str, user: &str, ts: &str, button: &str) -> Answer {
    slack.press(user, ts, button).expect("a button");
    let sent = slack.outgoing();
    delivered(app, path, &sent[0]).await
}

/// Posts a message with a button, as some app does; its ts.
fn posted(slack: &Slack) -> String {
    let body = json!({"channel": "billing", "text": "Well?", "blocks": [{"type": "actions", "elements": [
        {"type": "button", "action_id": "yes", "value": "in_1", "text": {"type": "plain_text", "text": "Yes"}}]}]});
    let request = twins::wire::Request::new("POST", "/api/chat.postMessage")
        .with_header("Authorization", "Bearer xoxb-test")
        .with_header("Content-Type", "application/json")
        .with_body(body.to_string());
    let answer = twins::Twin::handle(slack, &request);
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    answer["ts"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn a_click_is_an_event_once_and_starts_a_flow() {
    let app = TestApp::start().await;
    let (slack, path) = connected(&app).await;
    let flow = "document: {dsl: '1.0.3', namespace: test, name: clicked, version: '1.0.0'}\n\
        schedule: {on: {one: {with: {source: slack, type: slack.block_actions}}}}\n\
        do: [{told: {set: {by: '${ $event.data.user.username }', what: '${ $event.data.actions[0].value }'}}}]\n";
    app.post("/v1/flows", json!({"text": flow})).await.expect(201);

    let challenge = slack.verify().expect("an address");
    let answer = delivered(&app, &path, &slack.outgoing()[0]).await;
    assert_eq!(answer.expect(200), json!({"challenge": challenge}));

    let ts = posted(&slack);
    slack.press("dana", &ts, "yes").expect("a button");
    let click = &slack.outgoing()[0];
    for _ in 0..2 {
        let answer = delivered(&app, &path, click).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "what is answered, people would see");
    }
    app.settle().await;
    let runs = app.get("/v1/runs").await.expect(200)["runs"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs}");
    let run = app.get(&format!("/v1/runs/{}", runs[0]["id"].as_str().expect("an id"))).await.expect(200);
    assert_eq!(run["output"], json!({"by": "dana", "what": "in_1"}), "{run}");
    let events = app.get("/v1/events?type=slack.block_actions").await.expect(200)["events"].clone();
    assert_eq!((events.as_array().map(Vec::len), &events[0]["deliveries"]), (Some(1), &json!(2)), "{events}");

    // Whatever it is, what is not Slack's leaves nothing.
    slack.listen("http://127.0.0.1:1/", "another secret");
    slack.press("dana", &ts, "yes").expect("a button");
    let forged = delivered(&app, &path, &slack.outgoing()[0]).await;
    assert_eq!((forged.status, forged.problem().as_str()), (400, "signature_wrong"));
    app.stop().await;
}

#[tokio::test]
async fn a_run_hears_the_click_that_it_waits_for() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let (slack, hook) = connected(&app).await;
    let flow = "document: {dsl: '1.0.3', namespace: test, name: asks, version: '1.0.0'}\n\
        schedule: {on: {one: {with: {source: stripe, type: stripe.invoice.paid}}}}\n\
        do:\n  - hear:\n      listen:\n        to:\n          one:\n            with: {source: slack, type: slack.block_actions, \
        data: '${ .actions[0].value == $event.data.data.object.id }'}\n  - told: {set: {by: '${ $steps.hear[0].user.username }'}}\n";
    app.post("/v1/flows", json!({"text": flow})).await.expect(201);
    app.deliver_signed(&path, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    let ts = posted(&slack);
    assert_eq!(press(&app, &slack, &hook, "ravi", &ts, "Yes").await.status, 200);
    let over = async {
        loop {
            let run = app.get("/v1/runs").await.expect(200)["runs"][0].clone();
            if run["status"] == "completed" || run["status"] == "failed" {
                return run["id"].as_str().expect("an id").to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let id = tokio::time::timeout(Duration::from_secs(20), over).await.expect("it ends");
    let run = app.get(&format!("/v1/runs/{id}")).await.expect(200);
    assert_eq!(run["output"], json!({"by": "ravi"}), "{run}");
    app.stop().await;
}
