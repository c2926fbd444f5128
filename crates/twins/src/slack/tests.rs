//! The twin from the wire, without a socket.

use serde_json::{Value, json};

use super::{Config, Slack};
use crate::Twin;
use crate::wire::{Request, Response};

fn send(slack: &Slack, method: &str, kind: &str, body: &str) -> Response {
    let request = Request::new("POST", &format!("/api/{method}"))
        .with_header("Authorization", "Bearer xoxb-1")
        .with_header("Content-Type", kind)
        .with_body(body.to_owned());
    slack.handle(&request)
}

fn call(slack: &Slack, method: &str, body: Value) -> Value {
    let response = send(slack, method, "application/json; charset=utf-8", &body.to_string());
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn json_and_form_say_the_same() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let metadata = json!({"event_type": "a", "event_payload": {"b": 1}});
    call(&slack, "chat.postMessage", json!({"channel": "#billing", "text": "a b", "metadata": metadata}));
    let form: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("channel", "billing")
        .append_pair("text", "a b")
        .append_pair("metadata", &metadata.to_string())
        .finish();
    let response = send(&slack, "chat.postMessage", "application/x-www-form-urlencoded", &form);
    assert_eq!(response.status, 200);
    let messages = slack.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[0].text, &messages[0].metadata), (&messages[1].text, &messages[1].metadata));
    assert_eq!(
        (messages[0].channel_name.as_str(), messages[0].metadata.as_ref()),
        ("billing", Some(&metadata))
    );
    assert!(messages[0].ts < messages[1].ts);
}

#[test]
fn errors_are_answers_with_status_200() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let long = "x".repeat(40_001);
    let cases = [
        (json!({"text": "x"}), "channel_not_found"),
        (json!({"channel": "C0NOWHERE", "text": "x"}), "channel_not_found"),
        (json!({"channel": "billing"}), "no_text"),
        (json!({"channel": "billing", "blocks": []}), "no_text"),
        (json!({"channel": "billing", "blocks": "no json"}), "invalid_blocks_format"),
        (json!({"channel": "billing", "blocks": [{"text": "x"}]}), "invalid_blocks"),
        (json!({"channel": "billing", "text": long}), "msg_too_long"),
        (
            json!({"channel": "billing", "text": "x", "metadata": {"event_type": "a"}}),
            "invalid_metadata_schema",
        ),
    ];
    for (body, error) in cases {
        assert_eq!(call(&slack, "chat.postMessage", body), json!({"ok": false, "error": error}));
    }
    assert!(slack.messages().is_empty());
    let error = |request: Request| -> Value {
        serde_json::from_slice::<Value>(&slack.handle(&request).body).unwrap()["error"].clone()
    };
    assert_eq!(error(Request::new("GET", "/api/auth.test")), "not_authed");
    assert_eq!(error(Request::new("GET", "/api/auth.test?token=xoxb-2")), "invalid_auth");
    assert_eq!(error(Request::new("GET", "/api/no.method?token=xoxb-1")), "unknown_method");
    let broken = send(&slack, "chat.postMessage", "application/json", "{");
    assert_eq!(serde_json::from_slice::<Value>(&broken.body).unwrap()["error"], "invalid_json");
}

#[test]
fn too_many_requests_on_demand() {
    let slack = Slack::new(Config::new("xoxb-1"));
    slack.limit_next(2, 30);
    for _ in 0..2 {
        let response =
            send(&slack, "chat.postMessage", "application/json", r#"{"channel":"billing","text":"x"}"#);
        assert_eq!((response.status, response.header("Retry-After")), (429, Some("30")));
    }
    assert!(slack.messages().is_empty());
    call(&slack, "chat.postMessage", json!({"channel": "billing", "text": "x"}));
    assert_eq!(slack.messages().len(), 1);
}

#[test]
fn history_is_bounded_and_shows_metadata_when_asked() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let metadata = json!({"event_type": "a", "event_payload": {}});
    let mut ts = Vec::new();
    for text in ["1", "2", "3"] {
        let body = json!({"channel": "sales", "text": text, "metadata": metadata});
        ts.push(call(&slack, "chat.postMessage", body)["ts"].as_str().unwrap().to_owned());
    }
    let channel = slack.messages()[0].channel.clone();
    let texts = |more: Value| -> Vec<String> {
        let mut body = json!({"channel": channel});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let answer = call(&slack, "conversations.history", body);
        answer["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["text"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(json!({})), ["3", "2", "1"]);
    assert_eq!(texts(json!({"oldest": ts[0], "latest": ts[2]})), ["2"]);
    assert_eq!(texts(json!({"oldest": ts[0], "latest": ts[2], "inclusive": true})), ["3", "2", "1"]);
    let shown = |all: bool| {
        let body = json!({"channel": channel, "include_all_metadata": all});
        call(&slack, "conversations.history", body)["messages"][0]["metadata"].clone()
    };
    assert_eq!((shown(false), shown(true)), (Value::Null, metadata));
}

#[test]
fn answers_in_a_thread_are_in_no_history_unless_they_are_broadcast() {
    let slack = Slack::new(Config { private: vec!["board".to_owned()], ..Config::new("xoxb-1") });
    let post = |body: Value| call(&slack, "chat.postMessage", body);
    let first = post(json!({"channel": "sales", "text": "1"}));
    let (channel, ts) = (&first["channel"], &first["ts"]);
    post(json!({"channel": channel, "text": "2", "thread_ts": ts}));
    post(json!({"channel": channel, "text": "3", "thread_ts": ts, "reply_broadcast": true}));
    let texts = |method: &str, body: Value| -> Vec<String> {
        let answer = call(&slack, method, body);
        let all = answer["messages"].as_array().unwrap().iter();
        all.map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts("conversations.history", json!({"channel": channel})), ["3", "1"]);
    assert_eq!(texts("conversations.replies", json!({"channel": channel, "ts": ts})), ["1", "2", "3"]);
    let bounded = json!({"channel": channel, "ts": ts, "oldest": slack.messages()[1].ts});
    assert_eq!(texts("conversations.replies", bounded), ["1", "3"]);
    let shown = &call(&slack, "conversations.history", json!({"channel": channel}))["messages"];
    assert_eq!((&shown[0]["subtype"], &shown[1]["reply_count"]), (&json!("thread_broadcast"), &json!(2)));

    let names = |types: &str| -> Vec<String> {
        let answer = call(&slack, "conversations.list", json!({"types": types}));
        let all = answer["channels"].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("private_channel"), ["board"]);
    assert_eq!(names("public_channel,private_channel").len(), names("").len() + 1);
}

#[test]
fn an_update_replaces_and_a_deletion_removes() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let posted = call(&slack, "chat.postMessage", json!({"channel": "general", "text": "a"}));
    let named = |text: &str| json!({"channel": posted["channel"], "ts": posted["ts"], "text": text});
    assert_eq!(call(&slack, "chat.update", named("b"))["text"], "b");
    assert_eq!((slack.messages()[0].text.as_str(), slack.messages()[0].edited), ("b", true));
    assert_eq!(call(&slack, "chat.delete", named(""))["ok"], true);
    assert!(slack.messages().is_empty());
    assert_eq!(call(&slack, "chat.update", named("c"))["error"], "message_not_found");
}

fn buttons() -> Value {
    json!([
        {"type": "section", "text": {"type": "plain_text", "text": "Give it back?"}},
        {"type": "actions", "block_id": "choices", "elements": [
            {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Approve"}},
            {"type": "button", "action_id": "no", "value": "2", "text": {"type": "plain_text", "text": "Reject"}},
        ]},
    ])
}

#[test]
fn a_button_that_is_pressed_is_told_to_the_app() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let posted =
        call(&slack, "chat.postMessage", json!({"channel": "#billing", "text": "a", "blocks": buttons()}));
    let ts = posted["ts"].as_str().unwrap();
    assert_eq!(slack.press("dana", ts, "Approve"), Err("the app has given no address"));
    slack.listen("http://127.0.0.1:1/hooks/hook_1", "s3cret");
    for (user, ts, button) in [("nobody", ts, "yes"), ("dana", "1.0", "yes"), ("dana", ts, "maybe")] {
        assert!(slack.press(user, ts, button).is_err(), "{user} {ts} {button}");
    }
    slack.press("dana", ts, "Reject").unwrap();
    slack.press("ravi", ts, "no").unwrap();
    let sent = slack.outgoing();
    assert!(sent.len() == 2 && slack.outgoing().is_empty());
    let payload = |n: usize| -> Value {
        let form: Vec<_> = form_urlencoded::parse(&sent[n].body).into_owned().collect();
        assert_eq!(form[0].0, "payload");
        serde_json::from_str(&form[0].1).unwrap()
    };
    let (first, second) = (payload(0), payload(1));
    assert_eq!((&first["user"]["username"], &first["actions"][0]["value"]), (&json!("dana"), &json!("2")));
    assert_eq!((&first["actions"][0]["block_id"], &first["message"]["ts"]), (&json!("choices"), &json!(ts)));
    assert_ne!(first["trigger_id"], second["trigger_id"], "each is another one");

    let view = json!({"type": "modal", "title": {"type": "plain_text", "text": "t"}, "blocks": []});
    let open = json!({"trigger_id": first["trigger_id"], "view": view});
    assert_eq!(call(&slack, "views.open", open.clone())["ok"], true);
    assert_eq!(call(&slack, "views.open", open)["error"], "invalid_trigger_id", "once");
}

#[test]
fn what_slack_refuses_of_blocks_is_refused() {
    let slack = Slack::new(Config::new("xoxb-1"));
    let button = |text: &str| json!({"type": "button", "text": {"type": "plain_text", "text": text}});
    let actions = |elements: Value| json!([{"type": "actions", "elements": elements}]);
    for (blocks, fine) in [
        (buttons(), true),
        (actions(json!([button(&"x".repeat(75))])), true),
        (actions(json!([button(&"x".repeat(76))])), false),
        (actions(json!([button("")])), false),
        (actions(json!([])), false),
        (actions(json!([{"type": "button", "text": {"type": "mrkdwn", "text": "x"}}])), false),
        (json!([{"type": "section"}]), false),
        (json!([{"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(3_001)}}]), false),
        (json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]), false),
        (json!(vec![json!({"type": "divider"}); 51]), false),
    ] {
        let answer =
            call(&slack, "chat.postMessage", json!({"channel": "#billing", "text": "a", "blocks": blocks}));
        assert_eq!(answer["error"], if fine { Value::Null } else { json!("invalid_blocks") }, "{blocks}");
    }
}
