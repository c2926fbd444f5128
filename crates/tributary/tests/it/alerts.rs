//! A failed run is told to people.

use std::sync::Arc;

use serde_json::json;
use tributary::alerts::Alerts;
use twins::slack::{Config, Slack};

use crate::app::{TestApp, event, open};

const FAILS: &str = "\
document: {dsl: '1.0.3', namespace: test, name: fails, version: '1.0.0'}
schedule:
  on:
    one:
      with: {source: stripe, type: stripe.invoice.paid}
do:
  - check:
      raise:
        error: {type: https://example.com/errors/no-customer, status: 422, title: No customer, detail: nobody pays this}
";

#[tokio::test]
async fn a_failed_run_is_told_in_the_channel_once_and_not_for_every_failure() {
    let slack = Slack::new(Config::new("xoxb-test"));
    let url = open(Arc::new(slack.clone())).await;
    let channel = "slack-ops:#billing".parse().expect("a channel");
    let app =
        TestApp::start_with(|config| config.alerts = Alerts { slack: vec![channel], webhook: vec![] }).await;
    let path = app.connect("stripe").await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": "xoxb-test"}});
    app.put("/v1/connections/slack-ops", body).await.expect(201);
    app.post("/v1/flows", json!({"text": FAILS})).await.expect(201);
    for id in ["evt_1", "evt_2", "evt_3"] {
        app.deliver_signed(&path, &event(id, "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    }
    assert_eq!(app.settle().await["runs"]["failed"], 3);
    let directory = app.stop().await;
    let messages = slack.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].channel_name, "billing");
    for part in ["fails", "No customer", "nobody pays this", "run_", "/do/0/check"] {
        assert!(messages[0].text.contains(part), "{part}: {}", messages[0].text);
    }
    drop(directory);
}
