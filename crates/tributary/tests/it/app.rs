//! A whole server in this process, on a free port and a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flow::clock::Clock as _;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tributary::ambient::WallClock;
use tributary::serve::{Config, Server};
use tributary::token;
use twins::Twin;

/// The signing secret of connections that [`TestApp::connect`] makes.
pub const SECRET: &str = "whsec_test";
/// No run of these tests takes longer.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two looks at the server's counters.
const LOOK: Duration = Duration::from_millis(10);

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The problem's code, after checking that it is a problem document as promised.
    pub fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let document = self.json();
        let code = document["code"].as_str().expect("a code").to_owned();
        assert_eq!(document["type"], format!("https://tributary.dev/errors/{code}"));
        assert_eq!(document["status"], self.status);
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {document}");
        }
        code
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

/// The server under test.
pub struct TestApp {
    pub directory: TempDir,
    server: Option<Server>,
    pub address: SocketAddr,
    pub token: String,
}

impl TestApp {
    pub async fn start() -> TestApp {
        TestApp::start_with(|_| {}).await
    }

    /// One that is configured otherwise.
    pub async fn start_with(configure: impl FnOnce(&mut Config)) -> TestApp {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::new(directory.path().join("data"));
        configure(&mut config);
        let server = Server::start(config).await.expect("it starts");
        let address = server.address;
        let token = std::fs::read_to_string(token::path(server.data())).expect("a token").trim().to_owned();
        TestApp { directory, server: Some(server), address, token }
    }

    /// One on data that are there; [`TestApp::stop_here`] ends it.
    pub async fn start_on(data: &std::path::Path) -> TestApp {
        let server = Server::start(Config::new(data)).await.expect("it starts");
        let address = server.address;
        let token = std::fs::read_to_string(token::path(server.data())).expect("a token").trim().to_owned();
        let directory = tempfile::tempdir().expect("a directory");
        TestApp { directory, server: Some(server), address, token }
    }

    /// One that runs elsewhere, in a process of its own.
    pub fn elsewhere(address: SocketAddr, token: String) -> TestApp {
        let directory = tempfile::tempdir().expect("a directory");
        TestApp { directory, server: None, address, token }
    }

    /// What is durable, from the inside.
    pub fn store(&self) -> store::Store {
        self.server.as_ref().expect("it runs").store()
    }

    pub async fn stop_here(mut self) {
        self.server.take().expect("it runs").stop().await.expect("it stops");
    }

    /// Stops it in good order and starts it again on the same data.
    pub async fn restart(&mut self) {
        let data = self.halt().await;
        self.resume(&data).await;
    }

    /// Stops it in good order; answers its data directory.
    pub async fn halt(&mut self) -> PathBuf {
        let server = self.server.take().expect("it runs");
        let data = server.data().to_owned();
        server.stop().await.expect("it stops");
        data
    }

    /// Starts it again after [`TestApp::halt`].
    pub async fn resume(&mut self, data: &Path) {
        let server = Server::start(Config::new(data)).await.expect("it starts again");
        self.address = server.address;
        self.server = Some(server);
    }

    pub async fn stop(mut self) -> TempDir {
        self.server.take().expect("it runs").stop().await.expect("it stops");
        self.directory
    }

    /// One request over TCP, exactly as given.
    pub async fn request(&self, request: Request<Bytes>) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        let exchange = async {
            let answer = sender.send_request(request.map(Full::new)).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await.expect("a whole answer").to_bytes();
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            Answer { status: head.status.as_u16(), headers: head.headers, text }
        };
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    pub async fn rest(&self, method: Method, path: &str, body: Value) -> Answer {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .body(bytes)
            .expect("a request");
        self.request(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.rest(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.rest(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.rest(Method::PUT, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.rest(Method::DELETE, path, Value::Null).await
    }

    /// A test-mode Stripe connection with a signing secret; answers its webhook path.
    pub async fn connect(&self, name: &str) -> String {
        let body = json!({
            "connector": "stripe",
            "credentials": {"api_key": "sk_test_1", "webhook_secret": SECRET},
        });
        let connection = self.put(&format!("/v1/connections/{name}"), body).await.expect(201);
        connection["hook"]["path"].as_str().expect("a hook").to_owned()
    }

    /// A delivery with these headers.
    pub async fn deliver(&self, path: &str, headers: &[(&str, String)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.request(request.body(body.into()).expect("a request")).await
    }

    /// A delivery as the vendor signs it, now.
    pub async fn deliver_signed(&self, path: &str, body: &Value) -> Answer {
        let text = body.to_string();
        let signature = signature(SECRET, WallClock.now(), &text);
        self.deliver(path, &[("stripe-signature", signature)], text).await
    }

    /// Waits until no event waits for the dispatcher and no run is on its way.
    pub async fn settle(&self) -> Value {
        let settled = async {
            loop {
                let stats = self.get("/v1/stats").await.expect(200);
                let left: i64 = [("events", "undispatched"), ("runs", "queued"), ("runs", "running")]
                    .iter()
                    .map(|(group, name)| stats[group][name].as_i64().expect("a number"))
                    .sum();
                if left == 0 {
                    return stats;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(SETTLE_TIME_MAX, settled).await.expect("everything comes to an end")
    }
}

/// Stripe's signature header for a body.
pub fn signature(secret: &str, at: Timestamp, body: &str) -> String {
    let time = at.as_second();
    format!("t={time},v1={}", hex(secret, &format!("{time}.{body}")))
}

/// HMAC-SHA256 as Stripe writes it.
pub fn hex(secret: &str, signed: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A test-mode event of Stripe.
pub fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({
        "id": id,
        "object": "event",
        "api_version": "2026-09-30.endive",
        "created": 1_760_000_000,
        "livemode": false,
        "type": kind,
        "data": {"object": object},
    })
}

/// Puts a twin on a loopback port for the rest of the test; answers its base URL.
pub async fn open(twin: Arc<dyn Twin>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(twins::http::serve(listener, twin, std::future::pending()));
    format!("http://{address}")
}
