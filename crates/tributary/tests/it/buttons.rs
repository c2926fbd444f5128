//! `human.approve` by buttons: a message asks, a click decides, and the message shows what became of it.

use serde_json::{Value, json};
use twins::slack::{Message, Slack};

use crate::app::{TestApp, event};
use crate::approvals::{ended, flow, question, until};
use crate::interactions::{connected, delivered, press};

const NOTIFY: &str = "notify: {call: slack.messages.post, with: {connection: slack, channel: '#billing'}}";

/// A server whose flow has asked by a message with buttons: the twin, the hook's path, the message.
async fn asking(app: &TestApp, with: &str) -> (Slack, String, Message) {
    let stripe = app.connect("stripe").await;
    let (slack, path) = connected(app).await;
    app.post("/v1/flows", json!({"text": flow(&format!("{{{with}, {NOTIFY}}}"))})).await.expect(201);
    app.deliver_signed(&stripe, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    let message = until("message", async || slack.messages().into_iter().next()).await;
    (slack, path, message)
}

fn shown(message: &Message) -> String {
    message.blocks.clone().unwrap_or_default().to_string()
}

/// The message, once it has no buttons any more.
async fn settled(slack: &Slack) -> String {
    until("outcome", async || {
        let shown = shown(&slack.messages()[0]);
        (!shown.contains("\"button\"")).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn a_click_decides_as_the_person_that_the_chat_knows() {
    let app = TestApp::start().await;
    let with = "title: 'Refund 49 €?', body: 'All of it.', assignees: [dana@example.com, ravi@example.com], needed: 2";
    let (slack, path, message) = asking(&app, with).await;
    let text = shown(&message);
    for part in [
        "Refund 49 €?",
        "All of it.",
        "\"approve\"",
        "\"reject\"",
        "dana@example.com",
        "2 must take `approve`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("/approve/") && !message.text.contains("/approve/"), "no link is for everybody");

    // One of two is not enough, and one person is not two.
    press(&app, &slack, &path, "dana", &message.ts, "approve").await.expect(200);
    until("decision", async || {
        (question(&app).await["decisions"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    press(&app, &slack, &path, "dana", &message.ts, "approve").await.expect(200);
    let told = until("refusal", async || slack.ephemerals().into_iter().next()).await;
    assert_eq!(told.user, slack.user_id("dana").expect("dana"));
    assert!(told.text.contains("dana@example.com has decided already"), "{told:?}");
    assert_eq!(question(&app).await["status"], "open");

    press(&app, &slack, &path, "ravi", &message.ts, "approve").await.expect(200);
    assert_eq!(ended(&app).await["output"]["choice"], "approve");
    let outcome = settled(&slack).await;
    for part in ["Decided: approve", "dana@example.com: approve", "ravi@example.com: approve", "Refund 49 €?"]
    {
        assert!(outcome.contains(part), "{part}: {outcome}");
    }
    assert_eq!(slack.messages().len(), 1, "one message for all, asked and answered");

    let listed = app.get("/v1/approvals").await.expect(200)["approvals"][0]["id"].clone();
    let approval = app.get(&format!("/v1/approvals/{}", listed.as_str().expect("an id"))).await.expect(200);
    let decision = &approval["decisions"][0];
    assert_eq!((&decision["by"], &decision["via"]), (&json!("dana@example.com"), &json!("slack")));
    let origin = decision["origin"].as_str().expect("text");
    assert_eq!(origin, format!("{} by slack", slack.user_id("dana").expect("dana")));
    assert_eq!(approval["told"], "told by slack.messages.post");
    app.stop().await;
}

#[tokio::test]
async fn who_may_not_decide_is_told_so_alone() {
    let app = TestApp::start().await;
    let dana = "U0SANDBOX00";
    let with = format!(
        "title: t, assignees: [{dana}, dana@example.com, someone@example.com], requester: dana@example.com"
    );
    let (slack, path, message) = asking(&app, &with).await;
    assert_eq!(slack.user_id("dana").as_deref(), Some(dana));
    for (n, user, why) in
        [(0, "dana", "asks for it, and somebody else has to decide"), (1, "ravi", "is not asked; it is for")]
    {
        press(&app, &slack, &path, user, &message.ts, "approve").await.expect(200);
        let told = until("refusal", async || slack.ephemerals().into_iter().nth(n)).await;
        assert!(told.text.contains(why), "{told:?}");
        assert_eq!((told.user, told.channel), (slack.user_id(user).expect("an id"), message.channel.clone()));
    }
    let asked = question(&app).await;
    assert_eq!((&asked["status"], &asked["decisions"]), (&json!("open"), &json!([])));
    assert_eq!(slack.messages().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn an_address_of_another_workspace_is_nobodys_here() {
    let app = TestApp::start().await;
    let (slack, path, message) = asking(&app, "title: t, assignees: [mallory@example.com]").await;
    // A channel is shared with a workspace where anybody can call themselves anything.
    slack.join("mallory", "mallory@example.com", Some("T0ELSEWHERE"));
    press(&app, &slack, &path, "mallory", &message.ts, "approve").await.expect(200);
    let told = until("refusal", async || slack.ephemerals().into_iter().next()).await;
    assert!(told.text.contains("This does not count: whether"), "{told:?}");
    assert_eq!(question(&app).await["status"], "open");
    app.stop().await;
}

#[tokio::test]
async fn what_is_decided_elsewhere_or_by_nobody_is_shown_as_well() {
    for (with, act, expected) in [
        ("title: t", "decide", "Decided: reject\\nann: reject (no)"),
        (
            "title: t, deadline: {milliseconds: 400}, otherwise: reject",
            "",
            "The time to decide is over, reject counts",
        ),
        ("title: t", "cancel", "This is not asked any more"),
    ] {
        let app = TestApp::start().await;
        let (slack, path, message) = asking(&app, with).await;
        let run = app.get("/v1/runs").await.expect(200)["runs"][0]["id"].as_str().expect("an id").to_owned();
        match act {
            "decide" => {
                let id = question(&app).await["id"].as_str().expect("an id").to_owned();
                let body = json!({"by": "ann", "choice": "reject", "comment": "no"});
                app.post(&format!("/v1/approvals/{id}/decide"), body).await.expect(200);
            }
            "cancel" => drop(app.post(&format!("/v1/runs/{run}/cancel"), Value::Null).await),
            _ => {}
        }
        let outcome = match act {
            // Nobody says that a run waits no longer: it is looked for.
            "cancel" => {
                app.store().mark_dropped(jiff::Timestamp::UNIX_EPOCH).await.expect("marked");
                settled(&slack).await
            }
            _ => settled(&slack).await,
        };
        assert!(outcome.contains(expected), "{with} {act}: {outcome}");
        // The buttons of an old screen.
        let old =
            json!({"type": "actions", "elements": message.blocks.as_ref().expect("blocks")[1]["elements"]});
        slack.put_back(&message.ts, json!([old]));
        press(&app, &slack, &path, "dana", &message.ts, "approve").await.expect(200);
        let told = until("refusal", async || slack.ephemerals().into_iter().next()).await;
        assert!(told.text.starts_with("This does not count: "), "{told:?}");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_click_taken_while_nothing_runs_is_not_lost_and_counts_once() {
    let mut app = TestApp::start().await;
    let (slack, path, message) = asking(&app, "title: t").await;
    slack.press("dana", &message.ts, "reject").expect("a button");
    let click = slack.outgoing().remove(0);
    // The engine cannot ask who it was, and the node stops.
    slack.limit_next(1, 1);
    delivered(&app, &path, &click).await.expect(200);
    app.restart().await;
    assert_eq!(ended(&app).await["output"]["choice"], "reject");
    assert!(settled(&slack).await.contains("dana@example.com: reject"));
    delivered(&app, &path, &click).await.expect(200);
    app.settle().await;
    assert_eq!((slack.messages().len(), slack.ephemerals().len()), (1, 0), "the same click, once");
    app.stop().await;
}

#[tokio::test]
async fn without_a_signing_secret_people_get_links() {
    let app = TestApp::start().await;
    let stripe = app.connect("stripe").await;
    let (slack, _) = connected(&app).await;
    let body = json!({"connector": "slack", "credentials": {"signing_secret": null}});
    app.put("/v1/connections/slack", body).await.expect(200);
    let with = "{title: t, notify: {call: slack.messages.post, with: {connection: slack, channel: '#billing', text: '{text}'}}}";
    app.post("/v1/flows", json!({"text": flow(with)})).await.expect(201);
    app.deliver_signed(&stripe, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    let message = until("message", async || slack.messages().into_iter().next()).await;
    assert!(message.blocks.is_none() && message.text.contains("/approve/"), "{message:?}");
    app.stop().await;
}
