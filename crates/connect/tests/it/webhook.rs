//! Deliveries: who sent them, and what they say.

use connect::{Secret, Webhook};
use jiff::Timestamp;
use serde_json::json;

use crate::stage::{catalog, now};

/// Signed by the official Node client (23.1.0) with `whsec_one` and `whsec_two` at 1700000000.
const BODY: &str = r#"{"id":"evt_1","object":"event","type":"invoice.paid","created":1700000000,"livemode":false,"data":{"object":{"id":"in_1","object":"invoice"}}}"#;
const ONE: &str = "v1=76f1bdff4f89a391069be8e0297bb3f98384e21915c48e630125b7cbf490422b";
const TWO: &str = "v1=dbe054008d4389b39cdaaa78eb532e5631689fc3c6ceb626fc0c6487cd2f14d1";
const AT: i64 = 1_700_000_000;

fn webhook() -> Webhook {
    catalog().get("stripe").and_then(|manifest| manifest.webhook().cloned()).expect("Stripe has webhooks")
}

fn verdict(secrets: &[&str], headers: &[(&str, &str)], body: &str, at: i64) -> String {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let now = Timestamp::from_second(at).expect("a time");
    match webhook().verify(&secrets, &headers, body.as_bytes(), now) {
        Ok(()) => "ok".to_owned(),
        Err(rejection) => rejection.code,
    }
}

#[test]
fn signatures_of_the_official_client_are_judged() {
    let upper = ONE.replace("v1=", "").to_uppercase();
    let many = vec!["v1=00"; 40].join(",");
    for (secrets, header, at, expected) in [
        (&["whsec_one"][..], format!("t={AT},{ONE}"), AT, "ok"),
        (&["whsec_one"], format!("t={AT}, {ONE}"), AT, "ok"),
        (&["whsec_one"], format!("t={AT},v1={upper}"), AT, "ok"),
        (&["whsec_two"], format!("t={AT},{ONE},{TWO}"), AT, "ok"),
        (&["whsec_new", "whsec_one"], format!("t={AT},{ONE}"), AT, "ok"),
        (&["whsec_one"], format!("{ONE},t={AT}"), AT, "ok"),
        (&["whsec_one"], format!("t={AT},v0=6ffbb59b,{ONE}"), AT, "ok"),
        (&["whsec_one"], format!("t={AT},{ONE}"), AT + 300, "ok"),
        (&["whsec_one"], format!("t={AT},{ONE}"), AT + 301, "signature_old"),
        (&["whsec_one"], format!("t={AT},{ONE}"), AT - 300, "ok"),
        (&["whsec_one"], format!("t={AT},{ONE}"), AT - 301, "signature_old"),
        (&["whsec_one"], format!("t={AT},{TWO}"), AT, "signature_wrong"),
        (&["whsec_one"], format!("t={},{ONE}", AT + 1), AT, "signature_wrong"),
        (&["whsec_on"], format!("t={AT},{ONE}"), AT, "signature_wrong"),
        (&["whsec_one"], format!("t={AT},{}", &ONE[..65]), AT, "signature_wrong"),
        (&["whsec_one"], format!("t={AT},v0={}", &ONE[3..]), AT, "signature_malformed"),
        (&["whsec_one"], format!("t={AT},v1=zz"), AT, "signature_malformed"),
        (&["whsec_one"], format!("t={AT}"), AT, "signature_malformed"),
        (&["whsec_one"], ONE.to_owned(), AT, "signature_malformed"),
        (&["whsec_one"], format!("t=soon,{ONE}"), AT, "signature_malformed"),
        (&["whsec_one"], format!("t={AT},t={AT},{ONE}"), AT, "signature_malformed"),
        (&["whsec_one"], String::new(), AT, "signature_malformed"),
        (&["whsec_one"], format!("t={AT},{many},{ONE}"), AT, "signature_wrong"),
        (&["whsec_one"], format!("t={AT},{ONE},{}", "x".repeat(5000)), AT, "signature_malformed"),
        (&[], format!("t={AT},{ONE}"), AT, "secret_missing"),
        (&[""], format!("t={AT},{ONE}"), AT, "secret_missing"),
        (&["whsec_one", ""], format!("t={AT},{ONE}"), AT, "secret_missing"),
    ] {
        let actual = verdict(secrets, &[("Stripe-Signature", &header)], BODY, at);
        assert_eq!(actual, expected, "{secrets:?} {header} at {at}");
    }
}

#[test]
fn every_byte_of_the_body_is_signed() {
    let header = format!("t={AT},{ONE}");
    for body in [BODY.replace("in_1", "in_2"), format!("{BODY} "), BODY.replacen('{', "{ ", 1), String::new()]
    {
        assert_eq!(
            verdict(&["whsec_one"], &[("stripe-signature", &header)], &body, AT),
            "signature_wrong",
            "{body}"
        );
    }
}

#[test]
fn there_is_exactly_one_signature_header() {
    let header = format!("t={AT},{ONE}");
    assert_eq!(verdict(&["whsec_one"], &[], BODY, AT), "signature_missing");
    assert_eq!(verdict(&["whsec_one"], &[("X-Other", &header)], BODY, AT), "signature_missing");
    let twice = [("stripe-signature", header.as_str()), ("Stripe-Signature", header.as_str())];
    assert_eq!(verdict(&["whsec_one"], &twice, BODY, AT), "signature_malformed");
}

/// An empty secret would let anybody sign.
#[test]
fn an_empty_secret_verifies_nothing() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"");
    let tag = ring::hmac::sign(&key, format!("{AT}.{BODY}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!("t={AT},v1={hex}");
    assert_eq!(verdict(&[""], &[("stripe-signature", &header)], BODY, AT), "secret_missing");
}

#[test]
fn secrets_are_taken_from_their_field_one_by_one() {
    let webhook = webhook();
    assert_eq!(webhook.secret_field(), "webhook_secret");
    for (field, expected) in [
        ("whsec_one", vec!["whsec_one"]),
        (" whsec_one,whsec_two\nwhsec_three ", vec!["whsec_one", "whsec_two", "whsec_three"]),
        (" , ", vec![]),
    ] {
        let credentials = [("webhook_secret".to_owned(), Secret::new(field))].into();
        let secrets = webhook.secrets(&credentials);
        assert_eq!(secrets.iter().map(Secret::reveal).collect::<Vec<_>>(), expected, "{field:?}");
    }
    assert!(webhook.secrets(&Default::default()).is_empty());
}

#[test]
fn an_event_says_what_happened_to_what() {
    let incoming = webhook().incoming(BODY.as_bytes()).expect("an event");
    assert_eq!(incoming.dedupe_key, "evt_1");
    assert_eq!(incoming.r#type, "stripe.invoice.paid");
    assert_eq!(incoming.time, Timestamp::from_second(AT).expect("a time"));
    assert_eq!((incoming.live, incoming.subject.as_deref()), (Some(false), Some("in_1")));
    assert_eq!(incoming.data["data"]["object"]["object"], "invoice");
    assert!(incoming.time < now());
}

#[test]
fn an_event_may_only_name_its_object() {
    let thin = json!({"id": "evt_2", "object": "v2.core.event", "type": "v1.invoice.paid", "livemode": false,
        "created": "2023-11-14T22:13:20.000Z", "related_object": {"id": "in_1", "type": "invoice"}});
    let incoming = webhook().incoming(thin.to_string().as_bytes()).expect("an event");
    assert_eq!(
        (incoming.r#type.as_str(), incoming.subject.as_deref()),
        ("stripe.v1.invoice.paid", Some("in_1"))
    );
    assert_eq!(incoming.time, Timestamp::from_second(AT).expect("a time"));
}

#[test]
fn what_lacks_an_events_members_is_no_event() {
    let event = json!({"id": "evt_1", "object": "event", "type": "balance.available", "created": AT,
        "livemode": true, "data": {"object": {"object": "balance"}}});
    let incoming = webhook().incoming(event.to_string().as_bytes()).expect("an event without an object's id");
    assert_eq!((incoming.subject, incoming.live), (None, Some(true)));
    for (member, value) in [
        ("object", json!("v2.core.account")),
        ("object", json!(null)),
        ("id", json!("")),
        ("id", json!(7)),
        ("id", json!("x".repeat(256))),
        ("type", json!(null)),
        ("created", json!("yesterday")),
        ("created", json!(1.5)),
        ("created", json!(i64::MAX)),
        ("livemode", json!("true")),
    ] {
        let mut event = event.clone();
        event[member] = value.clone();
        let result = webhook().incoming(event.to_string().as_bytes());
        assert!(result.is_err(), "{member}: {value}: {result:?}");
    }
    for body in ["", "[]", "null", "{", "\u{0}"] {
        assert!(webhook().incoming(body.as_bytes()).is_err(), "{body:?}");
    }
}
