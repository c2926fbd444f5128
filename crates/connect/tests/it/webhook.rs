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
    let incoming = webhook().incoming(BODY.as_bytes(), now()).expect("an event");
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
    let incoming = webhook().incoming(thin.to_string().as_bytes(), now()).expect("an event");
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
    let incoming =
        webhook().incoming(event.to_string().as_bytes(), now()).expect("an event without an object's id");
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
        let result = webhook().incoming(event.to_string().as_bytes(), now());
        assert!(result.is_err(), "{member}: {value}: {result:?}");
    }
    for body in ["", "[]", "null", "{", "\u{0}"] {
        assert!(webhook().incoming(body.as_bytes(), now()).is_err(), "{body:?}");
    }
}

/// Slack's own example of a signature, from its documentation.
const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const SLACK_AT: i64 = 1_531_420_618;
const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

fn slack() -> Webhook {
    catalog().get("slack").and_then(|manifest| manifest.webhook().cloned()).expect("Slack has webhooks")
}

#[test]
fn a_signature_beside_its_time_is_judged() {
    let time = SLACK_AT.to_string();
    let later = (SLACK_AT + 1).to_string();
    let (signature, at) = ("x-slack-signature", "x-slack-request-timestamp");
    for (secret, headers, now, expected) in [
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE), (at, &time)], SLACK_AT, "ok"),
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE), (at, &time)], SLACK_AT + 300, "ok"),
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE), (at, &time)], SLACK_AT + 301, "signature_old"),
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE), (at, &later)], SLACK_AT, "signature_wrong"),
        ("another", vec![(signature, SLACK_SIGNATURE), (at, &time)], SLACK_AT, "signature_wrong"),
        ("", vec![(signature, SLACK_SIGNATURE), (at, &time)], SLACK_AT, "secret_missing"),
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE)], SLACK_AT, "signature_missing"),
        (SLACK_SECRET, vec![(at, &time)], SLACK_AT, "signature_missing"),
        (SLACK_SECRET, vec![(signature, SLACK_SIGNATURE), (at, "soon")], SLACK_AT, "signature_malformed"),
        (
            SLACK_SECRET,
            vec![(signature, SLACK_SIGNATURE), (at, &time), (at, &later)],
            SLACK_AT,
            "signature_malformed",
        ),
        (
            SLACK_SECRET,
            vec![(signature, "v1=a2114d57b48eac39"), (at, &time)],
            SLACK_AT,
            "signature_malformed",
        ),
        (SLACK_SECRET, vec![(signature, &SLACK_SIGNATURE[..65]), (at, &time)], SLACK_AT, "signature_wrong"),
    ] {
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let now = Timestamp::from_second(now).expect("a time");
        let verdict = slack().verify(&[Secret::new(secret)], &headers, SLACK_BODY.as_bytes(), now);
        assert_eq!(verdict.err().map_or("ok".to_owned(), |refused| refused.code), expected, "{headers:?}");
    }
    let now = Timestamp::from_second(SLACK_AT).expect("a time");
    let headers = [(signature.to_owned(), SLACK_SIGNATURE.to_owned()), (at.to_owned(), time)];
    let altered = SLACK_BODY.replacen("text=", "text=x", 1);
    let verdict = slack().verify(&[Secret::new(SLACK_SECRET)], &headers, altered.as_bytes(), now);
    assert_eq!(verdict.expect_err("another body").code, "signature_wrong");
}

#[test]
fn a_vendor_that_asks_whether_somebody_is_there_is_answered() {
    let asked = |body: serde_json::Value| slack().challenge(body.to_string().as_bytes());
    let challenge = json!({"token": "t", "challenge": "3eZbrw1a", "type": "url_verification"});
    assert_eq!(asked(challenge), Some(json!({"challenge": "3eZbrw1a"})));
    assert_eq!(asked(json!({"challenge": "3eZbrw1a", "type": "event_callback"})), None);
    assert_eq!(asked(json!({"type": "url_verification"})), None);
    assert_eq!(webhook().challenge(BODY.as_bytes()), None);
}

fn form(payload: &serde_json::Value) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish()
}

#[test]
fn what_people_do_comes_in_a_form() {
    let click = json!({"type": "block_actions", "trigger_id": "1.2.ab", "token": "secret",
        "user": {"id": "U1"}, "message": {"ts": "1700000000.000100"},
        "actions": [{"action_id": "yes", "value": "a&b=c", "action_ts": "1700000000.250000"}]});
    let incoming = slack().incoming(form(&click).as_bytes(), now()).expect("an event");
    assert_eq!(
        (incoming.r#type.as_str(), incoming.dedupe_key.as_str(), incoming.subject.as_deref()),
        ("slack.block_actions", "1.2.ab", Some("1700000000.000100"))
    );
    assert_eq!(incoming.time, "2023-11-14T22:13:20.25Z".parse::<Timestamp>().expect("a time"));
    assert_eq!(incoming.data["actions"][0]["value"], "a&b=c");
    assert_eq!(incoming.data.get("token"), None, "a secret is not kept");

    let view = json!({"type": "view_submission", "trigger_id": "1.3.cd", "view": {"id": "V1"}});
    let incoming = slack().incoming(form(&view).as_bytes(), now()).expect("an event");
    assert_eq!((incoming.time, incoming.subject.as_deref()), (now(), Some("V1")), "it says no time");

    for (body, detail) in [
        (click.to_string(), "`type` is not"),
        ("a=b".to_owned(), "not JSON"),
        ("payload=%7B".to_owned(), "not JSON"),
        (
            form(&json!({"type": "block_actions", "trigger_id": "1.2.ab"})),
            "`actions.0.action_ts` is not a time",
        ),
        (form(&json!({"type": "shortcut"})), "`trigger_id` is not"),
        (form(&json!({"type": "interactive_message"})), "`type` is not"),
    ] {
        let refused = slack().incoming(body.as_bytes(), now()).expect_err(&body).detail;
        assert!(refused.contains(detail), "{body}: {refused}");
    }
}

#[test]
fn an_event_of_a_kind_inside_an_event_has_that_type() {
    let event = json!({"type": "event_callback", "event_id": "Ev1", "event_time": AT, "token": "secret",
        "event": {"type": "app_mention", "user": "U1", "ts": "1.1", "channel": "C1"}});
    let incoming = slack().incoming(event.to_string().as_bytes(), now()).expect("an event");
    assert_eq!(
        (incoming.r#type.as_str(), incoming.dedupe_key.as_str(), incoming.subject.as_deref()),
        ("slack.app_mention", "Ev1", Some("1.1"))
    );
    assert_eq!((incoming.live, incoming.data.get("token")), (None, None));
}
