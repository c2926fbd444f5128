//! `/v1/templates` and `/v1/flows`

use serde_json::{Value, json};

use crate::app::TestApp;

const ALERT: &str = "/v1/templates/failed-payment-alert";

async fn connect_all(app: &TestApp) {
    app.connect("stripe").await;
    for (name, connector, field) in [("chartmogul", "chartmogul", "api_key"), ("slack-ops", "slack", "token")]
    {
        let body = json!({"connector": connector, "credentials": {field: "test_key"}});
        app.put(&format!("/v1/connections/{name}"), body).await.expect(201);
    }
}

fn wrong_fields(problem: &Value) -> Vec<&str> {
    problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| e["field"].as_str().expect("a field"))
        .collect()
}

#[tokio::test]
async fn templates_tell_what_they_need_and_are_installed() {
    let app = TestApp::start().await;
    let listed = app.get("/v1/templates").await.expect(200);
    let slugs: Vec<&str> = listed["templates"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["slug"].as_str().expect("a slug"))
        .collect();
    assert_eq!(slugs, ["failed-payment-alert", "stripe-customer-to-chartmogul", "stripe-to-chartmogul"]);
    let shown = app.get(ALERT).await.expect(200);
    assert_eq!(shown["connections"], json!(["chartmogul", "slack", "stripe"]));
    assert_eq!(shown["settings"]["slack_channel"]["default"], "#billing");
    assert!(shown["text"].as_str().expect("text").contains("slack.messages.post"));

    connect_all(&app).await;
    let body = json!({"settings": {"slack_channel": "#ops"}, "connections": {"slack": "slack-ops"}});
    let flow = app.post(&format!("{ALERT}/install"), body.clone()).await.expect(201);
    assert_eq!(
        (&flow["name"], &flow["revision"], &flow["state"]),
        (&json!("failed-payment-alert"), &json!(1), &json!("active"))
    );
    assert_eq!(
        flow["connections"],
        json!({"chartmogul": "chartmogul", "slack": "slack-ops", "stripe": "stripe"})
    );
    assert_eq!(flow["settings"], json!({"data_source": "Stripe", "slack_channel": "#ops", "tag": "at-risk"}));

    assert_eq!(
        app.post(&format!("{ALERT}/install"), body).await.expect(200)["changed"],
        false,
        "the very same"
    );
    let other = json!({"connections": {"slack": "slack-ops"}});
    assert_eq!(app.post(&format!("{ALERT}/install"), other).await.expect(201)["revision"], 2);
    let flow = app.get("/v1/flows/failed-payment-alert").await.expect(200);
    assert_eq!(flow["revisions"].as_array().expect("a list").len(), 2);

    let refused = app.delete("/v1/connections/slack-ops").await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "connection_in_use"));
    app.delete("/v1/flows/failed-payment-alert").await.expect(204);
    assert_eq!(app.get("/v1/flows").await.expect(200), json!({"flows": []}));
    app.delete("/v1/connections/slack-ops").await.expect(204);
    app.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_told_field_by_field() {
    let app = TestApp::start().await;
    let problem = app.post(&format!("{ALERT}/install"), json!({})).await;
    assert_eq!(problem.problem(), "invalid_input");
    assert_eq!(
        wrong_fields(&problem.json()),
        ["connections.chartmogul", "connections.slack", "connections.stripe"]
    );

    connect_all(&app).await;
    let live = json!({"connector": "slack", "live": true, "credentials": {"token": "x1"}});
    app.put("/v1/connections/slack-live", live).await.expect(201);
    for (body, expected) in [
        (json!({"connections": {"slack": "slack-ops", "crm": "stripe"}}), vec!["connections.crm"]),
        (json!({"connections": {"slack": "stripe"}}), vec!["connections.slack"]),
        (json!({"connections": {"slack": "slack-live"}}), vec!["connections"]),
        (json!({"connections": {"slack": 7}}), vec!["connections.slack"]),
        (
            json!({"connections": {"slack": "slack-ops"}, "settings": {"channel": "#x"}}),
            vec!["settings.channel"],
        ),
        (json!({"connections": {"slack": "slack-ops"}, "setting": {}}), vec!["setting"]),
    ] {
        let answer = app.post(&format!("{ALERT}/install"), body.clone()).await;
        assert_eq!(answer.problem(), "invalid_input", "{body}");
        assert_eq!(wrong_fields(&answer.json()), expected, "{body}");
    }
    assert_eq!(app.get("/v1/flows").await.expect(200), json!({"flows": []}), "nothing was deployed");
    app.stop().await;
}

#[tokio::test]
async fn mistakes_in_a_flow_come_with_their_lines() {
    let app = TestApp::start().await;
    let text = "\
document: {dsl: '1.0.3', namespace: test, name: broken, version: '1.0.0'}
do:
  - read:
      call: stripe.customer.retrieve
      with: {connection: stripe, customer: cus_1}
  - tell:
      call: pigeon.messages.post
      with: {connection: pigeon}
";
    let report = app.post("/v1/flows/lint", json!({"file": "broken.yaml", "text": text})).await.expect(200);
    assert_eq!(report["ok"], false);
    let found: Vec<(u64, Option<&str>)> = report["diagnostics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| (d["line"].as_u64().expect("a line"), d["suggestion"].as_str()))
        .collect();
    assert_eq!(found, [(4, Some("stripe.customers.retrieve")), (7, None)], "{report}");

    let refused = app.post("/v1/flows", json!({"file": "broken.yaml", "text": text})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "flow_invalid"));
    assert_eq!(refused.json()["diagnostics"].as_array().expect("a list").len(), 2);

    let refused = app.post("/v1/flows", json!({"file": "worse.yaml", "text": "do: [}"})).await;
    assert_eq!(refused.problem(), "flow_invalid");
    let good = "document: {dsl: '1.0.3', namespace: t, name: good, version: '1.0.0'}\ndo:\n  - a:\n      set: {b: 1}\n";
    let report = app.post("/v1/flows/lint", json!({"text": good})).await.expect(200);
    assert_eq!(report, json!({"ok": true, "diagnostics": []}));
    app.stop().await;
}
