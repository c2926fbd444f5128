//! `POST /hooks/{hook}`

use flow::clock::Clock as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tributary::ambient::WallClock;

use crate::app::{SECRET, TestApp, event, hex, signature};

fn paid(id: &str) -> Value {
    event(id, "invoice.paid", json!({"id": "in_1", "object": "invoice", "customer": "cus_1"}))
}

async fn stored(app: &TestApp) -> Vec<Value> {
    app.get("/v1/events").await.expect(200)["events"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_is_not_signed_rightly_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let body = paid("evt_1").to_string();
    let now = WallClock.now();
    let ago = |seconds: i64| now - SignedDuration::from_secs(seconds);
    let good = signature(SECRET, now, &body);
    let time = now.as_second();
    let altered = body.replace("evt_1", "evt_2");
    let cases = [
        ("no signature", None, &body, "signature_missing"),
        ("nothing in it", Some(String::new()), &body, "signature_malformed"),
        ("no time", Some(format!("v1={}", hex(SECRET, &body))), &body, "signature_malformed"),
        ("no known scheme", Some(format!("t={time},v0=aa")), &body, "signature_malformed"),
        ("no hexadecimal", Some(format!("t={time},v1=zz")), &body, "signature_malformed"),
        ("another secret", Some(signature("whsec_other", now, &body)), &body, "signature_wrong"),
        ("another body", Some(good), &altered, "signature_wrong"),
        ("too old", Some(signature(SECRET, ago(301), &body)), &body, "signature_old"),
        ("from the future", Some(signature(SECRET, ago(-330), &body)), &body, "signature_old"),
    ];
    for (name, header, body, code) in &cases {
        let headers: Vec<_> = header.iter().map(|value| ("stripe-signature", value.clone())).collect();
        let answer = app.deliver(&path, &headers, (*body).clone()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, *code), "{name}");
    }
    assert_eq!(stored(&app).await, Vec::<Value>::new());
    let stats = app.get("/v1/stats").await.expect(200);
    assert_eq!(stats["hooks"]["received"], cases.len());
    let rejected =
        json!({"signature_malformed": 4, "signature_missing": 1, "signature_old": 2, "signature_wrong": 2});
    assert_eq!(stats["hooks"]["rejected"], rejected);
    assert_eq!(stats["hooks"]["ack_ms"]["count"], cases.len());
    app.stop().await;
}

#[tokio::test]
async fn an_address_that_nobody_was_given_is_unknown() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    for wrong in ["/hooks/hook_0", "/hooks/stripe", "/hooks/hook_%00", &path[..path.len() - 1]] {
        let answer = app.deliver_signed(wrong, &paid("evt_1")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "hook_unknown"), "{wrong}");
    }
    let answer = app.get(&path).await;
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"));

    app.delete("/v1/connections/stripe").await.expect(204);
    let answer = app.deliver_signed(&path, &paid("evt_1")).await;
    assert_eq!(answer.problem(), "hook_unknown", "the address goes with its connection");
    app.stop().await;
}

#[tokio::test]
async fn too_much_is_cut_off() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let fits = paid("evt_1").to_string();
    let body = format!("{fits}{}", " ".repeat(1024 * 1024 - fits.len()));
    let signed = [("stripe-signature", signature(SECRET, WallClock.now(), &body))];
    assert_eq!(app.deliver(&path, &signed, body.clone()).await.status, 200, "the limit itself is taken");
    let answer = app.deliver(&path, &signed, format!("{body} ")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "body_too_large"));
    app.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_secret_takes_nothing() {
    let app = TestApp::start().await;
    let body = json!({"connector": "stripe", "credentials": {"api_key": "sk_test_1"}});
    let connection = app.put("/v1/connections/bare", body).await.expect(201);
    let path = connection["hook"]["path"].as_str().expect("a hook");
    let text = paid("evt_1").to_string();
    for secret in ["", "whsec_test"] {
        let signed = [("stripe-signature", signature(secret, WallClock.now(), &text))];
        let answer = app.deliver(path, &signed, text.clone()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "secret_missing"));
    }
    assert_eq!(stored(&app).await, Vec::<Value>::new());

    let body = json!({"connector": "stripe", "credentials": {"webhook_secret": SECRET}});
    let changed = app.put("/v1/connections/bare", body).await.expect(200);
    assert_eq!(changed["hook"]["path"], path, "the address stays");
    assert_eq!(app.deliver_signed(path, &paid("evt_1")).await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn any_of_several_secrets_and_any_of_several_signatures_will_do() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let body = json!({"connector": "stripe", "credentials": {"webhook_secret": "whsec_old, whsec_new"}});
    app.put("/v1/connections/stripe", body).await.expect(200);
    let now = WallClock.now();
    let time = now.as_second();
    for (id, secret) in [("evt_1", "whsec_old"), ("evt_2", "whsec_new")] {
        let text = paid(id).to_string();
        let answer = app.deliver(&path, &[("stripe-signature", signature(secret, now, &text))], text).await;
        assert_eq!(answer.status, 200, "{id}");
    }
    let text = paid("evt_3").to_string();
    let right = hex("whsec_new", &format!("{time}.{text}"));
    let header = format!("t={time},v0=ignored,v1={},v1={right}", "0".repeat(64));
    assert_eq!(app.deliver(&path, &[("stripe-signature", header)], text).await.status, 200);
    assert_eq!(app.deliver_signed(&path, &paid("evt_4")).await.status, 400, "the replaced secret is void");
    app.stop().await;
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_and_has_no_effect() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let first = app.deliver_signed(&path, &paid("evt_1")).await.expect(200);
    assert_eq!(first["duplicate"], false);
    for _ in 0..3 {
        let again = app.deliver_signed(&path, &paid("evt_1")).await.expect(200);
        assert_eq!((&again["event"], &again["duplicate"]), (&first["event"], &json!(true)));
    }
    assert_eq!(stored(&app).await.len(), 1);
    let stats = app.settle().await;
    assert_eq!((&stats["hooks"]["received"], &stats["hooks"]["duplicates"]), (&json!(4), &json!(3)));
    assert_eq!((&stats["events"]["received"], &stats["events"]["duplicate"]), (&json!(1), &json!(3)));

    let other = app.connect("stripe-eu").await;
    let elsewhere = app.deliver_signed(&other, &paid("evt_1")).await.expect(200);
    assert_eq!(elsewhere["duplicate"], false, "another connection, another event");
    app.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let mut app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let event = app.deliver_signed(&path, &paid("evt_1")).await.expect(200)["event"].clone();
    app.restart().await;
    let shown = app.get(&format!("/v1/events/{}", event.as_str().expect("an id"))).await.expect(200);
    assert_eq!((&shown["dedupe_key"], &shown["type"]), (&json!("evt_1"), &json!("stripe.invoice.paid")));
    assert_eq!(shown["data"], paid("evt_1"), "the body is as the vendor sent it");
    let again = app.deliver_signed(&path, &paid("evt_1")).await.expect(200);
    assert_eq!(again["duplicate"], true, "the address, the secret and the dedupe key are remembered");
    app.stop().await;
}

#[tokio::test]
async fn signed_but_no_event_is_kept_aside_and_visible() {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let cases = [
        ("no JSON".to_owned(), "JSON"),
        (
            json!({"object": "event", "type": "invoice.paid", "livemode": false, "created": 1}).to_string(),
            "id",
        ),
        (json!({"id": "cus_1", "object": "customer"}).to_string(), "object"),
    ];
    for (text, reason) in &cases {
        let signed = [("stripe-signature", signature(SECRET, WallClock.now(), text))];
        let answer = app.deliver(&path, &signed, text.clone()).await.expect(200);
        assert_eq!(answer["quarantined"], true);
        let shown =
            app.get(&format!("/v1/events/{}", answer["event"].as_str().expect("an id"))).await.expect(200);
        assert!(shown["reason"].as_str().expect("a reason").contains(reason), "{shown}");
        let replay = app
            .post(&format!("/v1/events/{}/replay", answer["event"].as_str().expect("an id")), json!({}))
            .await;
        assert_eq!(replay.problem(), "wrong_state");
    }
    app.deliver_signed(&path, &paid("evt_1")).await.expect(200);
    let listed = app.get("/v1/events?outcome=quarantined").await.expect(200);
    let reasons = listed["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["reason"].is_string())
        .count();
    assert_eq!((listed["events"].as_array().expect("a list").len(), reasons), (cases.len(), cases.len()));
    assert_eq!(app.get("/v1/stats").await.expect(200)["hooks"]["quarantined"], cases.len());
    app.stop().await;
}

#[tokio::test]
async fn test_and_live_do_not_mix() {
    let app = TestApp::start().await;
    let test = app.connect("stripe").await;
    let live =
        json!({"connector": "stripe", "credentials": {"api_key": "sk_live_1", "webhook_secret": SECRET}});
    let live = app.put("/v1/connections/stripe-live", live).await.expect(201);
    assert_eq!(live["live"], true, "the key says so");
    let live = live["hook"]["path"].as_str().expect("a hook").to_owned();
    let mut real = paid("evt_1");
    real["livemode"] = json!(true);
    for (path, body) in [(&test, &real), (&live, &paid("evt_2"))] {
        let answer = app.deliver_signed(path, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "mode_mismatch"));
    }
    assert_eq!(stored(&app).await, Vec::<Value>::new());
    assert_eq!(app.deliver_signed(&live, &real).await.status, 200);
    assert_eq!(app.get("/v1/stats").await.expect(200)["hooks"]["rejected"], json!({"mode_mismatch": 2}));
    app.stop().await;
}
