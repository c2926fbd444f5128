//! The server's REST API as the demo uses it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A client with the server's token.
pub struct Rest {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
}

impl Rest {
    /// A client of the server at `url`.
    pub fn new(url: &str, token: &str) -> Rest {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Rest { client, url: url.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// One request; a problem is an error that says what the server said.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let what = || format!("{method} {path}");
        let exchange = async {
            let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
            let request = hyper::Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.url))
                .header("authorization", format!("Bearer {}", self.token))
                .header("content-type", "application/json")
                .body(Full::new(bytes))?;
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            if !status.is_success() {
                bail!("{status}: {}", String::from_utf8_lossy(&body));
            }
            if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&body)?) }
        };
        tokio::time::timeout(ANSWER_WAIT, exchange).await.with_context(what)?.with_context(what)
    }

    /// A read.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, None).await
    }
}
