//! `/v1/events`

use serde_json::{Value, json};

use crate::app::{TestApp, event};

/// A flow on payments that notes the invoice and calls nobody.
const NOTE: &str = "\
document: {dsl: '1.0.3', namespace: test, name: note, version: '1.0.0'}
schedule:
  on:
    one:
      with: {source: stripe, type: stripe.invoice.paid}
do:
  - note:
      set:
        invoice: ${ $event.data.data.object.id }
";

fn ids(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().expect("a list");
    events.iter().map(|event| event["dedupe_key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let app = TestApp::start().await;
    let stripe = app.connect("stripe").await;
    let other = app.connect("other").await;
    for number in 0..5 {
        let body = event(&format!("evt_{number}"), "invoice.paid", json!({"id": format!("in_{number}")}));
        app.deliver_signed(&stripe, &body).await.expect(200);
    }
    app.deliver_signed(&other, &event("evt_x", "customer.created", json!({"id": "cus_1"}))).await.expect(200);
    app.settle().await;

    for (query, expected) in [
        ("", vec!["evt_x", "evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]),
        ("?connection=other", vec!["evt_x"]),
        ("?type=stripe.customer.*", vec!["evt_x"]),
        ("?type=stripe.invoice.paid&limit=1", vec!["evt_4"]),
        ("?text=in_3", vec!["evt_3"]),
        ("?outcome=no_match&connection=other", vec!["evt_x"]),
        ("?outcome=run", vec![]),
        ("?outcome=pending", vec![]),
        ("?since=2999-01-01T00:00:00Z", vec![]),
        ("?until=2000-01-01T00:00:00Z", vec![]),
        (
            "?since=2000-01-01T00:00:00Z&until=2999-01-01T00:00:00Z&type=stripe.customer.created",
            vec!["evt_x"],
        ),
    ] {
        assert_eq!(ids(&app.get(&format!("/v1/events{query}")).await.expect(200)), expected, "{query}");
    }

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/events?limit=4&cursor={cursor}")).await.expect(200);
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["evt_x", "evt_4", "evt_3", "evt_2", "evt_1", "evt_0"], "each once");
    app.stop().await;
}

#[tokio::test]
async fn an_event_tells_what_became_of_it_and_can_be_replayed() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": NOTE})).await.expect(201);
    let body = event("evt_1", "invoice.paid", json!({"id": "in_1"}));
    let id = app.deliver_signed(&path, &body).await.expect(200)["event"].as_str().expect("an id").to_owned();
    app.settle().await;

    let shown = app.get(&format!("/v1/events/{id}")).await.expect(200);
    assert_eq!(shown["status"], "dispatched");
    assert_eq!(shown["data"], body);
    assert_eq!(
        (&shown["outcomes"][0]["outcome"], &shown["outcomes"][0]["flow"]),
        (&json!("run"), &json!("note"))
    );
    let run = shown["outcomes"][0]["run"].as_str().expect("a run");
    let run = app.get(&format!("/v1/runs/{run}")).await.expect(200);
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!({"invoice": "in_1"})));

    assert_eq!(app.post(&format!("/v1/events/{id}/replay"), json!({})).await.expect(200)["replayed"], true);
    let stats = app.settle().await;
    assert_eq!((&stats["events"]["replayed"], &stats["events"]["received"]), (&json!(1), &json!(1)));
    let shown = app.get(&format!("/v1/events/{id}")).await.expect(200);
    assert_eq!(shown["outcomes"].as_array().expect("a list").len(), 2, "one outcome each time: {shown}");
    app.stop().await;
}
