//! Access that vendors grant, against an authorization server that others wrote (npm `oauth2-mock-server`), whose refresh
//! tokens are good once.

use std::process::Stdio;

use bytes::Bytes;
use connect::{HttpTransport, Transport as _, wire};
use flow::WorkspaceId;
use flow::clock::Clock as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tributary::ambient::WallClock;

use crate::app::TestApp;
use crate::clients;

const CONNECTOR: &str = "
manifest: 1
slug: mock
title: Mock
version: 1.0.0
summary: An authorization server with an API
base_url: https://api.mock.example
hosts: [api.mock.example]
credentials:
  client_id: {title: Client id, secret: false, help: There}
  client_secret: {title: Client secret, help: There}
auth:
  oauth2:
    grant: GRANT
    authorize: /authorize
    token: /token
    client_id: client_id
    client_secret: client_secret
    scopes: [read, write]
errors:
  rules: [{status: 401, class: auth}]
operations:
  users.me: {summary: Who it is, request: GET /userinfo, effects: read}
check: users.me
";

/// The server in its process, and ours with a connector for it.
struct Stage {
    url: String,
    app: TestApp,
    _folder: tempfile::TempDir,
    _process: Child,
}

impl Stage {
    async fn new(grant: &str) -> Stage {
        let (process, url) = clients::ensure().await.keep("oauth.mjs", &[]).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mock.yaml"), CONNECTOR.replace("GRANT", grant)).unwrap();
        let app = TestApp::start_with(|config| config.connectors = Some(folder.path().to_owned())).await;
        Stage { url, app, _folder: folder, _process: process }
    }

    async fn connect(&self) {
        let body = json!({"connector": "mock", "base_url": self.url,
            "credentials": {"client_id": "client-1", "client_secret": "s:cret"}});
        self.app.put("/v1/connections/mock", body).await.expect(201);
    }

    /// Has a person agree: asks, follows the browser's way, and brings back where it ended.
    async fn agree(&self) -> Value {
        let asked = json!({"redirect_uri": "http://127.0.0.1:9/callback"});
        let asked = self.app.post("/v1/connections/mock/authorize", asked).await.expect(200);
        let back = location(asked["url"].as_str().unwrap()).await;
        self.app.post("/v1/connections/mock/authorized", json!({"url": back})).await.expect(200)
    }

    async fn check(&self) -> Value {
        self.app.post("/v1/connections/mock/check", json!({})).await.expect(200)
    }

    async fn control(&self, what: &str) -> Value {
        serde_json::from_slice(&get(&format!("{}/control/{what}", self.url)).await.body).unwrap()
    }
}

async fn get(url: &str) -> wire::Response {
    let request = wire::Request {
        method: "GET".into(),
        url: url.parse().unwrap(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: std::time::Duration::from_secs(20),
        body_bytes_max: 1 << 20,
    };
    HttpTransport::new().unwrap().send(request).await.unwrap()
}

async fn location(url: &str) -> String {
    let answer = get(url).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_agrees_once_and_the_rest_is_renewed() {
    let stage = Stage::new("authorization_code").await;
    stage.connect().await;
    let before = stage.check().await;
    assert_eq!((&before["ok"], &before["code"]), (&json!(false), &json!("grant_missing")), "{before}");

    let agreed = stage.agree().await;
    assert_eq!((&agreed["ok"], &agreed["renewable"]), (&json!(true), &json!(true)), "{agreed}");
    assert!(
        agreed["detail"].as_str().unwrap().contains("without what was asked for as well: write"),
        "{agreed}"
    );
    assert_eq!(stage.check().await["ok"], true);

    // All at once find that the token is over: one of them renews it.
    stage.control("expire").await;
    let checks = (0..8).map(|_| stage.check());
    let checks = futures_util::future::join_all(checks).await;
    assert!(checks.iter().all(|check| check["ok"] == true), "{checks:?}");
    let counts = stage.control("counts").await;
    assert_eq!((&counts["code"], &counts["refresh"], &counts["refused"]), (&json!(1), &json!(1), &json!(0)));

    // A node dies between the vendor's answer and the store: the vendor has spent the old token.
    let app = &stage.app;
    let (ws, now) = (WorkspaceId::default(), WallClock.now());
    let grant = app.store().grant(&ws, "mock").await.unwrap().unwrap();
    app.store().begin_renewal(&ws, "mock", grant.n, jiff::SignedDuration::ZERO, now).await.unwrap();
    stage.control("spend").await;
    stage.control("expire").await;
    let lost = stage.check().await;
    assert_eq!((&lost["ok"], &lost["code"]), (&json!(false), &json!("grant_lost")), "{lost}");
    assert!(lost["detail"].as_str().unwrap().contains("Somebody has to agree again"), "{lost}");
    let refused = stage.control("counts").await["refused"].clone();
    assert_eq!(stage.check().await["code"], "grant_lost");
    assert_eq!(stage.control("counts").await["refused"], refused, "a refusal of a moment ago stands");

    assert_eq!(stage.agree().await["ok"], true);
    assert_eq!(stage.check().await["ok"], true);
    // Another secret of the same client ends nothing; another client was agreed to by nobody.
    let change = async |id: &str, secret: &str| {
        let body = json!({"connector": "mock", "credentials": {"client_id": id, "client_secret": secret}});
        stage.app.put("/v1/connections/mock", body).await.expect(200);
        stage.check().await
    };
    assert_eq!(change("client-1", "another").await["ok"], true);
    let other = change("client-2", "s:cret").await;
    assert!(
        other["code"] == "grant_missing" && other["detail"].as_str().unwrap().contains("changed"),
        "{other}"
    );
    change("client-1", "s:cret").await;
    assert_eq!(stage.agree().await["ok"], true);
    let shown = app.get("/v1/connections/mock").await;
    assert_eq!(shown.json()["grant"]["scopes"], json!(["read"]), "{}", shown.text);
    stage.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_question_is_refused() {
    let stage = Stage::new("authorization_code").await;
    stage.connect().await;
    let asked = json!({"redirect_uri": "http://127.0.0.1:9/callback"});
    let asked = stage.app.post("/v1/connections/mock/authorize", asked).await.expect(200);
    let forged = json!({"state": "forged", "code": "code"});
    assert_eq!(stage.app.post("/v1/connections/mock/authorized", forged).await.problem(), "wrong_state");
    let no = json!({"url": format!("http://127.0.0.1:9/callback?error=access_denied&state={}", asked["state"].as_str().unwrap())});
    let no = stage.app.post("/v1/connections/mock/authorized", no).await.expect(200);
    assert_eq!((&no["ok"], &no["detail"]), (&json!(false), &json!("Mock was told no: access_denied")));
    assert_eq!(stage.control("counts").await["code"], 0);
    stage.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_asks_for_itself() {
    let stage = Stage::new("client_credentials").await;
    stage.connect().await;
    assert_eq!(stage.check().await["ok"], true);
    stage.control("expire").await;
    assert_eq!(stage.check().await["ok"], true, "a token that is refused is asked for anew");
    let counts = stage.control("counts").await;
    assert_eq!((&counts["client"], &counts["api"]), (&json!(2), &json!(3)));
    let wrong = json!({"connector": "mock", "credentials": {"client_secret": "wrong"}});
    stage.app.put("/v1/connections/mock", wrong).await.expect(200);
    // What was granted to the credentials of before is shown no more, though it is good.
    let refused = stage.check().await;
    assert_eq!(refused["code"], "client_refused", "{refused}");
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    stage.app.stop().await;
}

/// The whole way on the command line: credentials from a file, the address on the screen, the browser comes back.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_walks_through_it() {
    let stage = Stage::new("authorization_code").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mock.env");
    std::fs::write(&file, "client_id=client-1\nclient_secret=s:cret\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["connection", "add", "mock", "--json", "--base-url", &stage.url, "--from-file"])
        .arg(&file)
        .args(["--server", &format!("http://{}", stage.app.address)])
        .env("TRIBUTARY_TOKEN", &stage.app.token)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(command.stderr.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("it names an address");
        if line.trim().starts_with("http") {
            break line.trim().to_owned();
        }
    };
    assert!(url.contains("code_challenge_method=S256") && url.contains("scope=read+write"), "{url}");
    let back = location(&url).await;
    // Somebody who says nothing, and somebody with another answer: neither ends the wait.
    let address = back.parse::<url::Url>().unwrap().socket_addrs(|| None).unwrap()[0];
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(get(&format!("http://{address}/callback?state=forged&code=1")).await.status, 404);
    assert_eq!(get(&back).await.status, 200);
    let output = command.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["name"], "mock");
    assert_eq!(stage.check().await["ok"], true);
    stage.app.stop().await;
}
