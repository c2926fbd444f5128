//! Versions of flows, and a folder of them: what deploying changes, the way back, and what is left alone.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tributary::folder::Source;

use crate::app::TestApp;

fn flow(name: &str, version: &str, note: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '{version}', metadata: {{settings: \
         {{channel: {{type: string, description: where to, default: '#a'}}}}}}}}\n\
         schedule: {{on: {{one: {{with: {{source: stripe, type: stripe.invoice.paid}}}}}}}}\n\
         do:\n  - note: {{set: {{text: {note}}}}}\n"
    )
}

/// One that calls through a connection.
fn calling(connection: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: test, name: reader, version: '1.0.0'}}\n\
         schedule: {{on: {{one: {{with: {{source: {connection}, type: stripe.invoice.paid}}}}}}}}\n\
         do:\n  - look:\n      call: stripe.customers.retrieve\n      \
         with: {{connection: {connection}, customer: cus_1}}\n"
    )
}

async fn show(app: &TestApp, name: &str) -> Value {
    app.get(&format!("/v1/flows/{name}")).await.expect(200)
}

#[tokio::test]
async fn a_deployment_tells_what_it_changes_and_can_be_taken_back() {
    let app = TestApp::start().await;
    app.connect("stripe").await;
    let deploy = async |body: Value| app.post("/v1/flows", body).await;
    let first = deploy(json!({"text": flow("a", "1.0.0", "one")})).await.expect(201);
    assert_eq!((&first["revision"], &first["difference"]), (&json!(1), &Value::Null));

    let two = json!({"text": flow("a", "1.1.0", "two"), "settings": {"channel": "#b"}});
    let mut dry = two.clone();
    dry["dry_run"] = true.into();
    let dry = deploy(dry).await.expect(200);
    assert_eq!((&dry["changed"], &dry["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(show(&app, "a").await["revision"], 1, "nothing was done");
    let second = deploy(two.clone()).await.expect(201);
    let difference = &second["difference"];
    assert_eq!(difference, &dry["difference"]);
    assert_eq!(difference["settings"], json!({"channel": {"before": "#a", "after": "#b"}}));
    assert_eq!(difference["version"], json!({"before": "1.0.0", "after": "1.1.0"}));
    let text = difference["text"].as_str().expect("text");
    assert!(text.contains("-  - note: {set: {text: one}}\n+  - note: {set: {text: two}}"), "{text}");
    let same = deploy(two).await.expect(200);
    assert_eq!((&same["changed"], &same["difference"]), (&json!(false), &Value::Null));

    let back = app.post("/v1/flows/a/rollback", json!({"dry_run": true})).await.expect(200);
    assert_eq!((&back["to"], &back["changed"]), (&json!(1), &json!(true)));
    assert_eq!(show(&app, "a").await["revision"], 2);
    let back = app.post("/v1/flows/a/rollback", json!({})).await.expect(200);
    assert_eq!((&back["revision"], &back["settings"]), (&json!(3), &json!({"channel": "#a"})));
    assert_eq!(show(&app, "a").await["text"], flow("a", "1.0.0", "one"));
    let none = app.post("/v1/flows/a/rollback", json!({"revision": 9})).await;
    assert_eq!((none.status, none.problem().as_str()), (404, "flow_unknown"));

    let listed = app.get("/v1/flows/a/revisions").await.expect(200)["revisions"].clone();
    let listed: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (&r["revision"], &r["note"], &r["current"]))
        .map(|(r, n, c)| json!([r, n, c]))
        .collect();
    assert_eq!(listed, [json!([3, "rollback to 1", true]), json!([2, null, false]), json!([1, null, false])]);
    let second = app.get("/v1/flows/a/revisions/2").await.expect(200);
    assert_eq!(second["text"], flow("a", "1.1.0", "two"));
    assert_eq!(second["difference"]["settings"], difference["settings"], "what it changed then");
    assert_eq!(app.get("/v1/flows/a/revisions/x").await.problem(), "flow_unknown");

    app.delete("/v1/flows/a").await.expect(204);
    let brought_back = app.post("/v1/flows/a/rollback", json!({"revision": 2})).await.expect(200);
    assert_eq!((&brought_back["revision"], &brought_back["version"]), (&json!(4), &json!("1.1.0")));
    app.stop().await;
}

#[tokio::test]
async fn a_revision_whose_connection_is_gone_is_not_brought_back() {
    let app = TestApp::start().await;
    app.connect("stripe").await;
    app.connect("billing").await;
    app.post("/v1/flows", json!({"text": calling("billing")})).await.expect(201);
    app.post("/v1/flows", json!({"text": calling("stripe")})).await.expect(201);
    app.delete("/v1/connections/billing").await.expect(204);
    let refused = app.post("/v1/flows/reader/rollback", json!({})).await;
    assert_eq!(refused.problem(), "invalid_input");
    assert!(refused.text.contains("there is no connection `billing`"), "{}", refused.text);
    assert_eq!(show(&app, "reader").await["revision"], 2);
    app.stop().await;
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder).expect("made");
    std::fs::write(folder.join(name), text).expect("written");
}

/// What the command line sends for a folder.
fn body(folder: &Path, environment: Option<&str>, dry_run: bool) -> Value {
    let source = Source { path: folder.to_owned(), environment: environment.map(str::to_owned) };
    let read = source.read().expect("read");
    let files = |files: &[server::File]| -> Vec<Value> {
        files.iter().map(|file| json!({"file": file.name, "text": file.text})).collect()
    };
    json!({"files": files(&read.files), "values": files(&read.values), "dry_run": dry_run})
}

fn changes(report: &Value) -> Vec<String> {
    let flows = report["flows"].as_array().expect("a list");
    let said = |flow: &Value| {
        format!("{} {}", flow["change"].as_str().expect("text"), flow["name"].as_str().expect("text"))
    };
    flows.iter().map(said).collect()
}

async fn deployed(app: &TestApp) -> Vec<String> {
    let flows = app.get("/v1/flows").await.expect(200)["flows"].clone();
    let said = |flow: &Value| format!("{} {}", flow["name"].as_str().expect("text"), flow["revision"]);
    flows.as_array().expect("a list").iter().map(said).collect()
}

#[tokio::test]
async fn a_folder_is_deployed_as_a_whole() {
    let app = TestApp::start().await;
    app.connect("stripe").await;
    app.post("/v1/flows", json!({"text": flow("by-hand", "1.0.0", "one")})).await.expect(201);
    let folder = app.directory.path().join("flows");
    write(&folder, "a.yaml", &flow("a", "1.0.0", "one"));
    write(&folder, "b.yaml", &flow("b", "1.0.0", "one"));
    let put = async |dry_run| app.put("/v1/flows", body(&folder, None, dry_run)).await;

    assert_eq!(changes(&put(true).await.expect(200)), ["added a", "added b"]);
    assert_eq!(deployed(&app).await, ["by-hand 1"], "nothing was done");
    assert_eq!(changes(&put(false).await.expect(200)), ["added a", "added b"]);
    assert_eq!(deployed(&app).await, ["a 1", "b 1", "by-hand 1"]);
    assert_eq!(put(false).await.expect(200)["changed"], 0);

    write(&folder, "a.yaml", &flow("a", "1.0.0", "two"));
    std::fs::remove_file(folder.join("b.yaml")).expect("removed");
    write(
        &folder,
        "c.yaml",
        "document: {dsl: '1.0.3', namespace: test, name: c, version: '1.0.0'}\ndo: [x]\n",
    );
    write(&folder, "d.yaml", &flow("a", "2.0.0", "another of the name"));
    write(&folder, "deploy.yaml", "flows:\n  by-hand: {settings: {channel: '#x'}}\n");
    let refused = put(false).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "flow_invalid"));
    let told = refused.json()["diagnostics"].clone();
    let places: Vec<String> = told
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| {
            format!(
                "{}:{} {}",
                d["file"].as_str().expect("text"),
                d["line"],
                d["code"].as_str().expect("text")
            )
        })
        .collect();
    assert_eq!(places, ["c.yaml:2 wrong_type", "d.yaml:1 folder_invalid"], "{told}");
    assert_eq!(deployed(&app).await, ["a 1", "b 1", "by-hand 1"], "nothing half-done");

    std::fs::remove_file(folder.join("c.yaml")).expect("removed");
    std::fs::remove_file(folder.join("d.yaml")).expect("removed");
    let refused = put(false).await.json()["diagnostics"].clone();
    assert_eq!((&refused[0]["file"], &refused[0]["line"]), (&json!("deploy.yaml"), &json!(2)), "{refused}");
    write(&folder, "deploy.yaml", "flows:\n  a: {settings: {channel: '#x'}}\n");
    let report = put(false).await.expect(200);
    assert_eq!(changes(&report), ["changed a", "removed b"]);
    assert_eq!(report["flows"][0]["difference"]["settings"]["channel"]["after"], "#x");
    assert_eq!(deployed(&app).await, ["a 2", "by-hand 1"], "what was deployed by hand is left alone");

    std::fs::remove_file(folder.join("a.yaml")).expect("removed");
    write(&folder, "deploy.yaml", "flows: {}\n");
    let empty = put(false).await;
    assert!(empty.text.contains("folder_invalid"), "an empty folder is a mistake: {}", empty.text);
    assert_eq!(deployed(&app).await, ["a 2", "by-hand 1"]);
    app.stop().await;
}

#[tokio::test]
async fn one_folder_goes_from_development_to_production() {
    let (development, production) = (TestApp::start().await, TestApp::start().await);
    development.connect("stripe").await;
    let folder = development.directory.path().join("flows");
    write(&folder, "reader.yaml", &calling("stripe"));
    write(&folder, "deploy.production.yaml", "flows:\n  reader: {connections: {stripe: stripe-eu}}\n");
    development.put("/v1/flows", body(&folder, None, false)).await.expect(200);
    assert_eq!(deployed(&development).await, ["reader 1"]);

    let refused = production.put("/v1/flows", body(&folder, Some("production"), false)).await;
    let told = refused.json()["diagnostics"][0].clone();
    assert_eq!(
        (&told["file"], &told["line"], &told["code"]),
        (&json!("reader.yaml"), &json!(5), &json!("connection_missing")),
        "{told}"
    );
    assert!(told["message"].as_str().expect("text").contains("there is no connection `stripe-eu`"), "{told}");
    assert!(deployed(&production).await.is_empty());
    production.connect("stripe-eu").await;
    production.put("/v1/flows", body(&folder, Some("production"), false)).await.expect(200);
    assert_eq!(show(&production, "reader").await["connections"], json!({"stripe": "stripe-eu"}));
    development.stop().await;
    production.stop().await;
}

/// Waits until what is deployed, and the state of the folder, are so.
async fn until(app: &TestApp, wanted: &[&str], ok: bool) {
    let reached = async {
        loop {
            let folder = app.get("/v1/flows").await.expect(200)["folder"].clone();
            if folder["ok"] == ok && deployed(app).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), reached).await;
    assert!(ended.is_ok(), "{:?} is not {wanted:?}", app.get("/v1/flows").await);
}

#[tokio::test]
async fn a_server_keeps_to_its_folder() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("flows");
    write(&folder, "a.yaml", &flow("a", "1.0.0", "one"));
    write(&folder, "reader.yaml", &calling("stripe"));
    let path = folder.clone();
    let app = TestApp::start_with(|config| {
        config.flows = Some(Source { path, environment: None });
        config.flows_look = Duration::from_millis(20);
    })
    .await;
    until(&app, &[], false).await;
    app.connect("stripe").await;
    until(&app, &["a 1", "reader 1"], true).await;
    write(&folder, "a.yaml", "nonsense");
    until(&app, &["a 1", "reader 1"], false).await;
    write(&folder, "a.yaml", &flow("a", "1.0.1", "three"));
    std::fs::remove_file(folder.join("reader.yaml")).expect("removed");
    until(&app, &["a 2"], true).await;
    app.stop().await;
}
