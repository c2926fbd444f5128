//! `/v1/connections`

use std::sync::Arc;

use serde_json::{Value, json};
use twins::slack::{Config, Slack};

use crate::app::{TestApp, open};

fn wrong_fields(problem: &Value) -> Vec<&str> {
    problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| e["field"].as_str().expect("a field"))
        .collect()
}

#[tokio::test]
async fn a_connection_is_made_changed_shown_and_removed() {
    let app = TestApp::start().await;
    let body = json!({"connector": "stripe", "credentials": {"api_key": "sk_test_secret1"}});
    let made = app.put("/v1/connections/stripe-eu", body.clone()).await.expect(201);
    assert_eq!((&made["live"], &made["credentials"]), (&json!(false), &json!(["api_key"])));
    let url = made["hook"]["url"].as_str().expect("an address");
    assert!(url.starts_with(&format!("http://{}/hooks/hook_", app.address)), "{url}");

    let more = json!({"connector": "stripe", "credentials": {"webhook_secret": "whsec_secret2"}});
    let changed = app.put("/v1/connections/stripe-eu", more).await.expect(200);
    assert_eq!(changed["credentials"], json!(["api_key", "webhook_secret"]), "what was not given stays");
    assert_eq!(changed["hook"]["id"], made["hook"]["id"]);
    let twin = json!({"connector": "stripe", "base_url": "http://127.0.0.1:9"});
    assert_eq!(
        app.put("/v1/connections/stripe-eu", twin).await.expect(200)["base_url"],
        "http://127.0.0.1:9"
    );
    let less = json!({"connector": "stripe", "credentials": {"webhook_secret": null}});
    assert_eq!(
        app.put("/v1/connections/stripe-eu", less).await.expect(200)["credentials"],
        json!(["api_key"])
    );

    for path in ["/v1/connections", "/v1/connections/stripe-eu", "/v1/hooks"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200);
        assert!(
            !answer.text.contains("secret1") && !answer.text.contains("secret2"),
            "{path}: {}",
            answer.text
        );
    }
    app.delete("/v1/connections/stripe-eu").await.expect(204);
    assert_eq!(app.get("/v1/connections/stripe-eu").await.problem(), "connection_unknown");
    assert_eq!(app.delete("/v1/connections/stripe-eu").await.problem(), "connection_unknown");
    assert_eq!(app.get("/v1/connections").await.expect(200), json!({"connections": []}));
    assert_eq!(app.get("/v1/hooks").await.expect(200), json!({"hooks": []}));

    let again = app.put("/v1/connections/stripe-eu", body).await.expect(201);
    assert_ne!(again["hook"]["id"], made["hook"]["id"], "a new connection has a new address");
    app.stop().await;
}

#[tokio::test]
async fn credentials_lie_sealed_on_the_disk() {
    let app = TestApp::start().await;
    let body = json!({"connector": "stripe", "credentials": {"api_key": "sk_test_needle", "webhook_secret": "whsec_needle"}});
    app.put("/v1/connections/stripe", body).await.expect(201);
    let directory = app.stop().await;
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path().join("data")).expect("a data directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            let found = bytes.windows(6).any(|window| window == b"needle");
            assert!(!found, "{} shows a credential", path.display());
            files += 1;
        }
    }
    assert!(files >= 3, "database, key and token");
}

#[tokio::test]
async fn mistakes_name_their_fields_and_never_the_secret() {
    let app = TestApp::start().await;
    app.connect("present").await;
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        ("a", json!({}), vec!["connector"]),
        ("a", json!({"connector": "strpe"}), vec!["connector"]),
        ("a", json!({"connector": "stripe"}), vec!["credentials.api_key"]),
        ("A b", json!({"connector": "stripe", "credentials": {"api_key": "sk_test_needle"}}), vec!["name"]),
        (
            "a",
            json!({"connector": "stripe", "credentials": {"api_key": 7, "x": "needle"}}),
            vec!["credentials.api_key", "credentials.x", "credentials.api_key"],
        ),
        (
            "a",
            json!({"connector": "stripe", "live": true, "credentials": {"api_key": "sk_test_needle"}}),
            vec!["live"],
        ),
        (
            "a",
            json!({"connector": "stripe", "live": "yes", "credentials": {"api_key": "sk_test_needle"}}),
            vec!["live"],
        ),
        (
            "a",
            json!({"connector": "stripe", "base_url": "https://evil.example", "credentials": {"api_key": "sk_test_needle"}}),
            vec!["base_url"],
        ),
        (
            "a",
            json!({"connector": "stripe", "base_url": "7", "credentials": {"api_key": "sk_test_needle"}}),
            vec!["base_url"],
        ),
        (
            "a",
            json!({"connector": "stripe", "credential": {}, "credentials": {"api_key": "sk_test_needle"}}),
            vec!["credential"],
        ),
        ("present", json!({"connector": "slack"}), vec!["connector"]),
    ];
    for (name, body, expected) in cases {
        let path = format!("/v1/connections/{}", name.replace(' ', "%20"));
        let answer = app.put(&path, body.clone()).await;
        assert_eq!(answer.problem(), "invalid_input", "{body}");
        let problem = answer.json();
        let found = wrong_fields(&problem);
        assert!(expected.iter().all(|field| found.contains(field)), "{body}: {problem}");
        assert!(!answer.text.contains("needle"), "{problem}");
    }
    let connections = app.get("/v1/connections").await.expect(200);
    assert_eq!(connections["connections"].as_array().expect("a list").len(), 1, "nothing was made");
    app.stop().await;
}

#[tokio::test]
async fn a_check_says_in_plain_words_whether_the_vendor_takes_the_key() {
    let url = open(Arc::new(Slack::new(Config::new("xoxb-right")))).await;
    let app = TestApp::start().await;
    let connect = async |token: &str, url: &str| {
        let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": token}});
        app.put("/v1/connections/slack", body).await;
        app.post("/v1/connections/slack/check", json!({})).await.expect(200)
    };
    let good = connect("xoxb-right", &url).await;
    let words = "Slack accepts the credentials. It has no signing_secret yet: until it has, every webhook delivery is refused";
    assert_eq!((&good["ok"], &good["detail"]), (&json!(true), &json!(words)));
    let bad = connect("xoxb-wrong", &url).await;
    assert_eq!(bad["ok"], false);
    assert!(bad["detail"].as_str().expect("words").contains("does not accept the credentials"), "{bad}");
    assert!(!bad.to_string().contains("xoxb-wrong"), "{bad}");
    // A token that may do less than a deployed flow needs.
    let less = Config { scopes: vec!["chat:write".to_owned()], ..Config::new("xoxb-right") };
    let less = open(Arc::new(Slack::new(less))).await;
    let flow = "\
document: {dsl: '1.0.3', namespace: test, name: who, version: '1.0.0'}
do:
  - who: {call: slack.users.lookup_by_email, with: {connection: slack, email: ann@example.com}}
  - tell: {call: slack.messages.post, with: {connection: slack, channel: billing, text: Hello}}
";
    app.post("/v1/flows", json!({"text": flow})).await.expect(201);
    let lacking = connect("xoxb-right", &less).await;
    assert_eq!((&lacking["ok"], &lacking["code"]), (&json!(false), &json!("scope_missing")), "{lacking}");
    let wanted = json!(["`users:read.email` for slack.users.lookup_by_email of flow who"]);
    assert_eq!(lacking["lacking"], wanted, "{lacking}");
    assert_eq!(connect("xoxb-right", &url).await["ok"], true);
    // Nothing listens on the discard port of loopback.
    let gone = connect("xoxb-right", "http://127.0.0.1:9").await;
    assert_eq!(gone["ok"], false);
    assert!(gone["detail"].as_str().expect("words").contains("cannot be reached"), "{gone}");
    let none = app.post("/v1/connections/none/check", json!({})).await;
    assert_eq!(none.problem(), "connection_unknown");
    app.stop().await;
}
