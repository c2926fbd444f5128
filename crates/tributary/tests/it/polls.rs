//! Events that are asked for, and webhooks that are registered by the vendor's API: against the Stripe twin.

use std::sync::Arc;
use std::time::Duration;

use flow::clock::Clock as _;
use serde_json::{Value, json};
use tributary::ambient::WallClock;
use twins::stripe::{Config, NewCustomer, Stripe};

use crate::app::{TestApp, event, open, signature};

/// Far above what one question takes.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

struct Stage {
    app: TestApp,
    stripe: Stripe,
    url: String,
}

impl Stage {
    /// A vendor whose time is ours, and a server that asks it.
    async fn new() -> Stage {
        let stripe = Stripe::new(Config::new(7, WallClock.now()));
        let url = open(Arc::new(stripe.clone())).await;
        let app = TestApp::start_with(|config| config.poll_sandboxes = true).await;
        Stage { app, stripe, url }
    }

    async fn connect(&self) -> String {
        let credentials = json!({"api_key": self.stripe_key(), "webhook_secret": "whsec_by_hand"});
        let body = json!({"connector": "stripe", "base_url": self.url, "credentials": credentials});
        let made = self.app.put("/v1/connections/stripe", body).await.expect(201);
        made["hook"]["path"].as_str().unwrap().to_owned()
    }

    fn stripe_key(&self) -> String {
        Config::new(7, WallClock.now()).secret_key
    }

    fn happens(&self, name: &str) -> String {
        self.stripe.create_customer(NewCustomer { name: Some(name.into()), ..NewCustomer::default() });
        self.stripe.drain_events().pop().unwrap().id
    }

    async fn events(&self) -> Vec<String> {
        let listed = self.app.get("/v1/events").await.expect(200);
        let events = listed["events"].as_array().unwrap();
        events.iter().map(|event| event["dedupe_key"].as_str().unwrap().to_owned()).collect()
    }

    async fn connection(&self) -> Value {
        self.app.get("/v1/connections/stripe").await.expect(200)
    }

    /// Until the vendor was asked and the connection shows what came of it.
    async fn asked(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let poll = self.connection().await["poll"].clone();
                if fits(&poll) {
                    return poll;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("the vendor is asked")
    }
}

/// What came by webhook and what did not are there once each, whichever came first.
#[tokio::test(flavor = "multi_thread")]
async fn a_missed_delivery_is_found_and_nothing_is_there_twice() {
    let stage = Stage::new().await;
    let (delivered, missed) = (stage.happens("delivered"), stage.happens("missed"));
    let path = stage.connect().await;
    let deliver = async |id: &str| {
        let body = event(id, "customer.created", json!({"id": "cus_1", "object": "customer"})).to_string();
        let signature = signature("whsec_by_hand", WallClock.now(), &body);
        stage.app.deliver(&path, &[("stripe-signature", signature)], body).await.expect(200)
    };
    deliver(&delivered).await;
    let poll = stage.asked(|poll| poll["asked_at"].is_string()).await;
    assert_eq!(poll["problem"], Value::Null, "{poll}");
    let events = stage.events().await;
    for id in [&delivered, &missed] {
        assert_eq!(events.iter().filter(|event| *event == id).count(), 1, "{events:?}");
    }
    assert_eq!(deliver(&missed).await["duplicate"], true, "it comes after all");
    assert_eq!(stage.events().await.len(), events.len());
    stage.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stands_on_the_connection_and_in_the_doctors_words() {
    let stage = Stage::new().await;
    let body =
        json!({"connector": "stripe", "base_url": stage.url, "credentials": {"api_key": "sk_test_wrong"}});
    stage.app.put("/v1/connections/stripe", body).await.expect(201);
    let poll = stage.asked(|poll| poll["problem"].is_string()).await;
    assert!(!poll.to_string().contains("sk_test_wrong") && poll["asked_at"].is_null(), "{poll}");
    let doctor = stage.app.get("/v1/doctor").await.expect(200);
    assert_eq!(doctor["ok"], false);
    let wrong: Vec<&Value> =
        doctor["findings"].as_array().unwrap().iter().filter(|finding| finding["ok"] == false).collect();
    assert!(wrong.iter().all(|finding| finding["remedy"].is_string()), "{doctor}");
    let about: Vec<&str> = wrong.iter().map(|finding| finding["about"].as_str().unwrap()).collect();
    assert_eq!(about, ["connection stripe", "connection stripe"], "the key, and the asking: {doctor}");
    stage.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_registered_and_taken_back_by_the_vendors_api() {
    let stage = Stage::new().await;
    let path = stage.connect().await;
    let hook = stage.app.post("/v1/connections/stripe/hook", json!({})).await.expect(200);
    assert_eq!(hook["registered"], true);
    let again = stage.app.post("/v1/connections/stripe/hook", json!({})).await.expect(200);
    assert_eq!(again["id"], hook["id"]);
    let endpoints = stage.stripe.endpoints();
    assert_eq!(endpoints.len(), 1, "once");
    assert!(endpoints[0].url.ends_with(&path) && endpoints[0].wants("invoice.paid"), "{}", endpoints[0].url);

    // Signed with the vendor's secret, and with the one that was there before.
    for (secret, id) in [(endpoints[0].secret.as_str(), "evt_new"), ("whsec_by_hand", "evt_old")] {
        let body = event(id, "invoice.paid", json!({"id": "in_1"})).to_string();
        let signature = signature(secret, WallClock.now(), &body);
        stage.app.deliver(&path, &[("stripe-signature", signature)], body).await.expect(200);
    }
    // Taken back and registered once more: another endpoint, not the vendor's answer of before. However often that is
    // done, the newest secret counts.
    for _ in 0..9 {
        stage.app.delete("/v1/connections/stripe/hook").await.expect(204);
        stage.app.post("/v1/connections/stripe/hook", json!({})).await.expect(200);
    }
    let newest = stage.stripe.endpoints().into_iter().find(|endpoint| endpoint.enabled).unwrap().secret;
    let body = event("evt_newest", "invoice.paid", json!({"id": "in_1"})).to_string();
    let signed = [("stripe-signature", signature(&newest, WallClock.now(), &body))];
    stage.app.deliver(&path, &signed, body).await.expect(200);
    let enabled = |stage: &Stage| stage.stripe.endpoints().iter().filter(|endpoint| endpoint.enabled).count();
    assert_eq!(enabled(&stage), 1);
    stage.app.delete("/v1/connections/stripe").await.expect(204);
    assert!(stage.stripe.endpoints().iter().all(|endpoint| !endpoint.enabled), "it goes with its connection");
    stage.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_api_for_it_says_so() {
    let app = TestApp::start().await;
    let body = json!({"connector": "slack", "credentials": {"token": "xoxb-1"}});
    app.put("/v1/connections/slack", body).await.expect(201);
    assert_eq!(app.post("/v1/connections/slack/hook", json!({})).await.problem(), "wrong_state");
    assert_eq!(
        app.delete("/v1/connections/slack/hook").await.problem(),
        "wrong_state",
        "nothing was taken back"
    );
    assert_eq!(app.delete("/v1/connections/nobody/hook").await.problem(), "connection_unknown");
    app.stop().await;
}
