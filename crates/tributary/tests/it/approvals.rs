//! `human.approve`: a run waits for people, whatever happens meanwhile, and goes on by what they decide.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::process::Command;
use twins::slack::{Config, Slack};

use crate::app::{Answer, TestApp, event, open};

pub fn flow(with: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: test, name: refund, version: '1.0.0'}}\n\
         schedule: {{on: {{one: {{with: {{source: stripe, type: stripe.invoice.paid}}}}}}}}\n\
         do:\n  - ask: {{call: human.approve, with: {with}}}\n  \
         - done: {{set: {{choice: '${{ $steps.ask.choice }}', expired: '${{ $steps.ask.expired }}'}}}}\n"
    )
}

/// A server whose flow asks, and has been asked for once.
async fn asking(with: &str) -> TestApp {
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": flow(with)})).await.expect(201);
    app.deliver_signed(&path, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    app
}

/// Looks until something is there.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap_or_else(|_| panic!("no {what}"))
}

/// The only question, once it is asked.
pub async fn question(app: &TestApp) -> Value {
    let id = until("question", async || {
        let listed = app.get("/v1/approvals?status=open").await.expect(200);
        listed["approvals"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    app.get(&format!("/v1/approvals/{id}")).await.expect(200)
}

/// The only run, once it is over.
pub async fn ended(app: &TestApp) -> Value {
    let id = until("end", async || {
        let run = app.get("/v1/runs").await.expect(200)["runs"][0].clone();
        let over = ["completed", "failed"].iter().any(|status| run["status"] == *status);
        over.then(|| run["id"].as_str().expect("an id").to_owned())
    })
    .await;
    app.get(&format!("/v1/runs/{id}")).await.expect(200)
}

async fn decide(app: &TestApp, id: &Value, by: &str, choice: &str) -> Answer {
    let path = format!("/v1/approvals/{}/decide", id.as_str().expect("an id"));
    app.post(&path, json!({"by": by, "choice": choice})).await
}

/// What a browser sends, without the API's token.
async fn browse(app: &TestApp, method: Method, path: &str, form: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form.to_owned()))
        .expect("a request");
    app.request(request).await
}

/// The binary on a server's data; how it ended and what it said.
async fn command(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(arguments)
        .env("TRIBUTARY_DATA", data)
        .env("USER", "ann")
        .env_remove("TRIBUTARY_SERVER")
        .output()
        .await
        .expect("it runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

#[tokio::test]
async fn a_flow_waits_until_somebody_decides_on_the_command_line() {
    let app = asking("{title: 'Refund?', body: 'All of it.'}").await;
    let asked = question(&app).await;
    assert_eq!(
        (&asked["title"], &asked["choices"], &asked["flow"]),
        (&json!("Refund?"), &json!(["approve", "reject"]), &json!("refund"))
    );
    until("parked run", async || {
        let run = app.get("/v1/runs").await.expect(200)["runs"][0].clone();
        (run["status"] == "parked").then_some(())
    })
    .await;
    let id = asked["id"].as_str().expect("an id");
    let data = app.directory.path().join("data");
    let (code, listed) = command(&data, &["approvals", "list"]).await;
    assert!(code == Some(0) && listed.contains("Refund?") && listed.contains(id), "{listed}");
    let (code, refused) = command(&data, &["approvals", "decide", id, "maybe"]).await;
    assert!(code == Some(1) && refused.contains("approve, reject"), "{refused}");
    let (code, said) = command(&data, &["approvals", "approve", id, "--comment", "fine"]).await;
    assert!(code == Some(0) && said.contains("is decided: approve"), "{said}");
    let run = ended(&app).await;
    assert_eq!(run["output"], json!({"choice": "approve", "expired": false}), "{run}");
    let shown = app.get(&format!("/v1/approvals/{id}")).await.expect(200);
    let decision = &shown["decisions"][0];
    assert_eq!(
        (&decision["by"], &decision["via"], &decision["comment"]),
        (&json!("ann"), &json!("command"), &json!("fine"))
    );
    assert!(decision["origin"].as_str().is_some_and(|origin| origin.starts_with("user ")), "{decision}");
    assert_eq!(
        (&shown["status"], &shown["choice"], &shown["links"]),
        (&json!("decided"), &json!("approve"), &json!([]))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_link_shows_and_decides_once() {
    let app = asking("{title: 'Refund <b>42</b>?', assignees: [ann, bob], needed: 2}").await;
    let asked = question(&app).await;
    let links = asked["links"].as_array().expect("a list");
    assert_eq!(links.iter().map(|link| &link["who"]).collect::<Vec<_>>(), ["ann", "bob"]);
    let path = |n: usize| links[n]["path"].as_str().expect("a path").to_owned();
    let ann = path(0);
    for _ in 0..2 {
        let page = browse(&app, Method::GET, &ann, "").await;
        assert_eq!(page.status, 200);
        assert!(
            page.text.contains("Refund &lt;b&gt;42&lt;/b&gt;?") && page.text.contains("<strong>ann</strong>"),
            "{}",
            page.text
        );
        for (name, value) in
            [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
        {
            assert_eq!(page.headers[name], value);
        }
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
    assert!(
        question(&app).await["decisions"].as_array().expect("a list").is_empty(),
        "looking decides nothing"
    );

    let middle = ann.len() / 2;
    let mut forged = ann.clone().into_bytes();
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("text");
    for path in [forged.as_str(), &ann[..middle], "/approve/x"] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(browse(&app, method, path, "choice=approve").await.status, 404, "{path}");
        }
    }
    assert_eq!(browse(&app, Method::POST, &ann, "choice=maybe").await.status, 422);
    let taken = browse(&app, Method::POST, &ann, "choice=approve&comment=fine&name=bob").await;
    // Relative to where the form was, since the public address may have a path of its own.
    let location = ann.strip_prefix("/approve/").expect("a link");
    assert_eq!((taken.status, taken.headers["location"].to_str().expect("text")), (303, location));
    let again = browse(&app, Method::POST, &ann, "choice=reject").await;
    assert_eq!(again.status, 422, "{}", again.text);
    assert!(again.text.contains("ann has decided already"), "{}", again.text);
    assert!(browse(&app, Method::GET, &ann, "").await.text.contains("Others still have to decide"));

    assert_eq!(browse(&app, Method::POST, &path(1), "choice=approve").await.status, 303);
    assert_eq!(ended(&app).await["output"]["choice"], "approve");
    assert_eq!(browse(&app, Method::POST, &path(1), "choice=reject").await.status, 409);
    assert!(browse(&app, Method::GET, &ann, "").await.text.contains("Decided: approve"));
    let id = asked["id"].as_str().expect("an id");
    let shown = app.get(&format!("/v1/approvals/{id}")).await.expect(200);
    let decisions = shown["decisions"].as_array().expect("a list");
    let told: Vec<_> =
        decisions.iter().map(|d| (d["by"].clone(), d["via"].clone(), d["origin"].clone())).collect();
    assert_eq!(told, ["ann", "bob"].map(|who| (json!(who), json!("link"), json!("127.0.0.1"))));
    app.stop().await;
}

#[tokio::test]
async fn who_may_not_decide_is_refused() {
    let app = asking("{title: t, assignees: [ann, bob, eve], needed: 2, requester: eve}").await;
    let asked = question(&app).await;
    let id = &asked["id"];
    for (by, choice, status) in [
        ("eve", "approve", 422),
        ("carl", "approve", 422),
        ("ann", "maybe", 422),
        ("ann", "approve", 200),
        ("Ann", "approve", 422),
    ] {
        assert_eq!(decide(&app, id, by, choice).await.status, status, "{by} {choice}");
    }
    assert_eq!(question(&app).await["status"], "open");
    decide(&app, id, "bob", "reject").await.expect(200);
    assert_eq!(ended(&app).await["output"]["choice"], "reject", "one is enough to refuse");
    let late = decide(&app, id, "bob", "approve").await;
    assert_eq!((late.status, late.problem().as_str()), (409, "wrong_state"));
    assert_eq!(app.get("/v1/approvals/appr_none").await.problem(), "approval_unknown");
    app.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_fails_the_step_or_chooses() {
    let app = asking("{title: t, deadline: {milliseconds: 50}, otherwise: reject}").await;
    assert_eq!(ended(&app).await["output"], json!({"choice": "reject", "expired": true}));
    let expired = app.get("/v1/approvals?status=expired").await.expect(200)["approvals"].clone();
    assert_eq!(expired.as_array().expect("a list").len(), 1);
    assert_eq!(decide(&app, &expired[0]["id"], "ann", "approve").await.status, 409);
    app.stop().await;

    let app = asking("{title: t, deadline: {milliseconds: 50}}").await;
    let run = ended(&app).await;
    assert_eq!(run["error"]["type"], "https://tributary.dev/errors/approval_expired", "{run}");
    app.stop().await;
}

#[tokio::test]
async fn a_decision_taken_while_nothing_runs_is_not_lost() {
    let mut app = asking("{title: t}").await;
    let asked = question(&app).await;
    app.restart().await;
    assert_eq!(question(&app).await["id"], asked["id"], "asked once");
    let id = asked["id"].as_str().expect("an id").to_owned();
    // No engine is there to be told: as after a crash right behind the decision.
    let data = app.halt().await;
    let (code, said) = command(&data, &["approvals", "reject", &id, "--by", "ann", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    app.resume(&data).await;
    assert_eq!(ended(&app).await["output"]["choice"], "reject");
    app.stop().await;
}

#[tokio::test]
async fn people_are_told_with_their_links() {
    let slack = Slack::new(Config::new("xoxb-test"));
    let url = open(Arc::new(slack.clone())).await;
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": "xoxb-test"}});
    app.put("/v1/connections/slack", body).await.expect(201);
    let with = "{title: 'Refund?', assignees: [ann, bob], notify: {call: slack.messages.post, with: {connection: slack, \
                channel: '#billing', text: 'For {who}: {text}'}}}";
    app.post("/v1/flows", json!({"text": flow(with)})).await.expect(201);
    app.deliver_signed(&path, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    let messages = until("messages", async || Some(slack.messages()).filter(|told| told.len() == 2)).await;
    let text = messages[0].text.clone();
    assert!(text.starts_with("For ann: Refund?\nhttp://"), "{text}");
    let link = text.rsplit('\n').next().expect("a link").to_owned();
    let link = link[link.find("/approve/").expect("a path")..].to_owned();
    assert_eq!(browse(&app, Method::POST, &link, "choice=approve").await.status, 303);
    let run = ended(&app).await;
    assert_eq!(run["output"]["choice"], "approve");
    assert!(!run.to_string().contains("/approve/"), "no link stays in the run's record");
    assert_eq!(slack.messages().len(), 2);
    app.stop().await;
}
