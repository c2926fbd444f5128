//! `/v1/runs`

use std::sync::Arc;

use serde_json::{Value, json};
use twins::slack::{Config, Slack};

use crate::app::{TestApp, event, open};

/// A flow that fails for invoices without a customer.
const PICKY: &str = "\
document: {dsl: '1.0.3', namespace: test, name: picky, version: '1.0.0'}
schedule:
  on:
    one:
      with: {source: stripe, type: stripe.invoice.*}
do:
  - check:
      if: ${ $event.data.data.object.customer == null }
      raise:
        error:
          type: https://example.com/errors/no-customer
          status: 422
          title: No customer
          detail: ${ \"invoice \" + $event.data.data.object.id + \" has no customer\" }
  - note:
      set: {customer: '${ $event.data.data.object.customer }'}
";

async fn lived() -> TestApp {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": PICKY})).await.expect(201);
    for (id, object) in [
        ("evt_1", json!({"id": "in_1", "customer": "cus_1"})),
        ("evt_2", json!({"id": "in_2", "customer": null})),
        ("evt_3", json!({"id": "in_3", "customer": "cus_3"})),
    ] {
        app.deliver_signed(&path, &event(id, "invoice.paid", object)).await.expect(200);
    }
    app.settle().await;
    app
}

async fn runs(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("/v1/runs{query}")).await.expect(200)["runs"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn runs_are_listed_by_what_one_looks_for() {
    let app = lived().await;
    assert_eq!(runs(&app, "").await.len(), 3);
    assert_eq!(runs(&app, "?status=completed&flow=picky").await.len(), 2);
    assert_eq!(runs(&app, "?flow=other").await.len(), 0);
    assert_eq!(runs(&app, "?limit=2").await.len(), 2);
    let failed = runs(&app, "?status=failed").await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["error"]["detail"], "invoice in_2 has no customer");
    let event = failed[0]["event"].as_str().expect("an event");
    assert_eq!(runs(&app, &format!("?event={event}")).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_failed_run_says_why_and_where_and_can_be_retried_but_not_cancelled() {
    let app = lived().await;
    let failed = runs(&app, "?status=failed").await;
    let id = failed[0]["id"].as_str().expect("an id");
    let shown = app.get(&format!("/v1/runs/{id}")).await.expect(200);
    assert_eq!(
        (&shown["error"]["status"], &shown["error"]["instance"]),
        (&json!(422), &json!("/do/0/check"))
    );
    assert!(shown["started_at"].is_string() && shown["finished_at"].is_string(), "{shown}");

    app.post(&format!("/v1/runs/{id}/retry"), json!({})).await.expect(200);
    let stats = app.settle().await;
    assert_eq!(
        (&stats["runs"]["retried"], &stats["runs"]["failed"]),
        (&json!(1), &json!(1)),
        "it fails again"
    );

    let completed = runs(&app, "?status=completed").await;
    let done = completed[0]["id"].as_str().expect("an id");
    for action in ["retry", "cancel"] {
        let answer = app.post(&format!("/v1/runs/{done}/{action}"), json!({})).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "wrong_state"), "{action}");
    }
    app.stop().await;
}

#[tokio::test]
async fn runs_of_a_paused_flow_wait_and_can_be_cancelled() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": PICKY})).await.expect(201);
    assert_eq!(app.post("/v1/flows/picky/pause", json!({})).await.expect(200)["state"], "paused");
    for id in ["evt_1", "evt_2"] {
        let body = event(id, "invoice.paid", json!({"id": "in_1", "customer": "cus_1"}));
        app.deliver_signed(&path, &body).await.expect(200);
    }
    let queued = loop {
        let queued = runs(&app, "?status=queued").await;
        if queued.len() == 2 {
            break queued;
        }
        tokio::task::yield_now().await;
    };
    let cancelled = queued[0]["id"].as_str().expect("an id");
    let answer = app.post(&format!("/v1/runs/{cancelled}/cancel"), json!({})).await.expect(200);
    assert_eq!(answer["status"], "cancelled");
    assert_eq!(app.post("/v1/flows/picky/resume", json!({})).await.expect(200)["state"], "active");
    app.settle().await;
    assert_eq!(runs(&app, "?status=completed").await.len(), 1);
    assert_eq!(runs(&app, "?status=cancelled").await.len(), 1);
    app.stop().await;
}

/// A flow that posts a message.
const TELLS: &str = "\
document: {dsl: '1.0.3', namespace: test, name: tells, version: '1.0.0'}
schedule:
  on:
    one:
      with: {source: stripe, type: stripe.invoice.paid}
do:
  - tell:
      call: slack.messages.post
      with:
        connection: slack
        channel: billing
        text: ${ $event.data.data.object.id + \" is paid\" }
";

#[tokio::test]
async fn a_step_shows_input_output_and_attempts_and_no_secret_and_a_replay_repeats_nothing() {
    let slack = Slack::new(Config::new("xoxb-needle"));
    let url = open(Arc::new(slack.clone())).await;
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": "xoxb-needle"}});
    app.put("/v1/connections/slack", body).await.expect(201);
    app.post("/v1/flows", json!({"text": TELLS})).await.expect(201);
    slack.limit_next(1, 0);
    let body = event("evt_1", "invoice.paid", json!({"id": "in_1"}));
    let id = app.deliver_signed(&path, &body).await.expect(200)["event"].as_str().expect("an id").to_owned();
    app.settle().await;

    let done = runs(&app, &format!("?event={id}")).await;
    let shown = app.get(&format!("/v1/runs/{}", done[0]["id"].as_str().expect("an id"))).await;
    assert!(!shown.text.contains("needle"), "{}", shown.text);
    let shown = shown.expect(200);
    assert_eq!(shown["status"], "completed", "{shown}");
    let step = &shown["steps"][0];
    assert_eq!(
        (&step["step"], &step["operation"], &step["path"]),
        (&json!("tell"), &json!("slack.messages.post"), &json!("/do/0/tell"))
    );
    assert_eq!(step["input"]["text"], "in_1 is paid");
    assert_eq!(step["output"]["ok"], true, "{step}");
    assert_eq!(
        (&step["attempts"], &step["problems"][0]["problem"]["status"]),
        (&json!(2), &json!(429)),
        "{step}"
    );
    assert!(step["request"].to_string().contains("in_1 is paid"), "the exact request: {step}");
    assert!(
        step["took_ms"].is_number() && step["started_at"].is_string() && step["finished_at"].is_string(),
        "{step}"
    );

    assert_eq!(slack.messages().len(), 1);
    app.post(&format!("/v1/events/{id}/replay"), json!({})).await.expect(200);
    app.settle().await;
    assert_eq!(runs(&app, "?flow=tells&status=completed").await.len(), 2, "the flow ran again");
    assert_eq!(slack.messages().len(), 1, "and nobody was told twice");
    app.stop().await;
}
