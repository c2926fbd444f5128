//! The official client operates the Slack twin.

use std::sync::Arc;

use flow::clock::Clock as _;
use serde_json::json;
use tributary::ambient::WallClock;
use twins::Twin as _;
use twins::slack::{Config, Post, Slack};
use twins::wire::Request;

use crate::clients;

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_posts_edits_and_reads() {
    let slack = Slack::new(Config::new("xoxb-it"));
    let (url, _port) = clients::serve(Arc::new(slack.clone())).await;
    slack.reached_at(&url);
    let environment = [("SLACK_URL", url.as_str()), ("SLACK_TOKEN", "xoxb-it")];
    let printed = clients::ensure().await.node("slack.mjs", &environment).await;
    assert!(printed.contains(r#""ok":true"#), "{printed}");
    let texts: Vec<String> = slack.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["Payment failed: Adam Smith", "second", "third", "whispered", "", "see"]);
    assert_eq!(slack.ephemerals()[0].text, "only you");
    let files = slack.files();
    assert_eq!(files[0].bytes.as_deref(), Some(b"id,amount\nin_1,4900\n".as_slice()));
    // The same by our operation leaves the same files and messages.
    let first = slack.messages().swap_remove(0);
    let (channel, ts) = (first.channel, first.ts);
    let ours = [
        json!({"channel_id": channel, "filename": "unpaid.csv", "title": "Unpaid",
            "content": {"data": "aWQsYW1vdW50CmluXzEsNDkwMAo="}}),
        json!({"channel_id": channel, "filename": "a.txt", "content": "Grüße", "title": "a.txt", "thread_ts": ts, "initial_comment": "see"}),
    ];
    let catalog = connect::Catalog::embedded();
    let (manifest, upload) = catalog.operation("slack.files.upload").unwrap();
    for with in &ours {
        let prepared = connect::prepare(manifest, upload, with, "tby_upload").unwrap();
        let (transport, account) = (connect::HttpTransport::new().unwrap(), account(&url));
        let answer =
            connect::perform(&transport, &account, manifest, upload, &prepared, slack.now()).await.unwrap();
        assert_eq!((&answer["ok"], &answer["files"][0]["name"]), (&json!(true), &with["filename"]));
    }
    let (files, messages) = (slack.files(), slack.messages());
    let left = |n: usize| {
        let file = &files[n];
        let shared = messages.iter().filter(|message| message.files.contains(&file.id));
        let shared: Vec<_> =
            shared.map(|one| (one.channel.clone(), one.text.clone(), one.thread_ts.clone())).collect();
        (
            file.name.clone(),
            file.title.clone(),
            file.bytes.clone(),
            file.complete,
            file.channels.clone(),
            shared,
        )
    };
    assert_eq!(files.len(), 4);
    assert_eq!((left(0), left(1)), (left(2), left(3)));
}

fn account(url: &str) -> connect::Connection {
    connect::Connection {
        name: "slack".to_owned(),
        connector: "slack".to_owned(),
        live: false,
        base_url: Some(url.parse().unwrap()),
        credentials: [("token".to_owned(), connect::Secret::new("xoxb-it"))].into(),
        access: None,
    }
}

/// A message whose answer is lost is found wherever it went, and nothing is found where it was not sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_unknown_outcome_is_found_where_it_went() {
    let slack = Slack::new(Config { private: vec!["board".to_owned()], ..Config::new("xoxb-it") });
    let (url, _port) = clients::serve(Arc::new(slack.clone())).await;
    let catalog = connect::Catalog::embedded();
    let (manifest, post) = catalog.operation("slack.messages.post").unwrap();
    let account = account(&url);
    let transport = connect::HttpTransport::new().unwrap();
    let now = slack.now();
    let prepared = |with: &serde_json::Value, key: &str| connect::prepare(manifest, post, with, key).unwrap();
    let hello = json!({"channel": "billing", "text": "first"});
    let first = prepared(&hello, "tby_first");
    let first = connect::perform(&transport, &account, manifest, post, &first, now).await.unwrap();
    let dana = slack.user_id("dana").unwrap();
    let thread = json!({"channel": first["channel"], "text": "a", "thread_ts": first["ts"]});
    let broadcast =
        json!({"channel": "#billing", "text": "a", "thread_ts": first["ts"], "reply_broadcast": true});
    let cases = [
        ("a channel", json!({"channel": "#billing", "text": "a"})),
        ("a thread", thread),
        ("a thread and its channel", broadcast),
        ("a private channel", json!({"channel": "board", "text": "a"})),
        ("a person", json!({"channel": dana, "text": "a"})),
    ];
    for (n, (place, with)) in cases.iter().enumerate() {
        let (sent, other) = (prepared(with, &format!("tby_{n}")), prepared(with, "tby_other"));
        let answer = connect::perform(&transport, &account, manifest, post, &sent, now).await.unwrap();
        let found = connect::lookup(&transport, &account, manifest, post, &sent, Some(now), now).await;
        let found = found.expect(place).expect(place);
        assert_eq!((&found["channel"], &found["ts"]), (&answer["channel"], &answer["ts"]), "{place}");
        let none = connect::lookup(&transport, &account, manifest, post, &other, Some(now), now).await;
        assert_eq!(none.expect(place), None, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_framework_believes_what_the_twin_sends() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let slack = Slack::new(Config::new("xoxb-it"));
    let (url, _port) = clients::serve(Arc::new(slack.clone())).await;
    let environment =
        [("SLACK_URL", url.as_str()), ("SLACK_TOKEN", "xoxb-it"), ("SLACK_SIGNING_SECRET", SECRET)];
    let (_process, line) = clients::ensure().await.keep("slack_app.mjs", &environment).await;
    let port = serde_json::from_str::<serde_json::Value>(&line).unwrap()["port"].as_u64().unwrap();
    let address = format!("http://127.0.0.1:{port}/slack/events");
    let post = Post::new(slack.clone(), Arc::new(|| WallClock.now()));
    let blocks = json!([{"type": "actions", "elements": [
        {"type": "button", "action_id": "yes", "value": "refunded", "text": {"type": "plain_text", "text": "Yes"}}]}]);
    let message = Request::new("POST", "/api/chat.postMessage")
        .with_header("Authorization", "Bearer xoxb-it")
        .with_header("Content-Type", "application/json")
        .with_body(json!({"channel": "billing", "text": "Refund?", "blocks": blocks}).to_string());
    slack.handle(&message);
    let ts = slack.messages()[0].ts.clone();

    for (secret, status) in [("another", 401), (SECRET, 200)] {
        slack.listen(&address, secret);
        slack.verify().unwrap();
        slack.press("dana", &ts, "Yes").unwrap();
        slack
            .tell(&json!({"type": "app_mention", "user": slack.user_id("ravi"), "text": "hi",
                "ts": "1.2", "channel": slack.messages()[0].channel, "event_ts": "1.2"}))
            .unwrap();
        for reply in post.turn().await {
            assert_eq!(reply.unwrap().status, status, "{secret}");
        }
    }
    // It acknowledges before it acts.
    let acted = async {
        while slack.messages()[0].text != "refunded by dana" || slack.ephemerals().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), acted).await.expect("it acts");
    assert_eq!((slack.messages().len(), slack.ephemerals()[0].text.as_str()), (1, "heard: hi"));
}
