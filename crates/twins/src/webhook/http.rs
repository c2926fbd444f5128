//! An endpoint behind a socket.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use tokio::time::Instant;

use super::send::{Endpoint, PostFuture, Reply};

/// Stripe waits about this long for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Nobody reads the answer; what is longer counts as a failure.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts to an `http://` address with keep-alive.
pub struct HttpEndpoint {
    client: Client<HttpConnector, Full<Bytes>>,
    address: hyper::Uri,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl HttpEndpoint {
    /// An endpoint at `address`; signatures carry the time that `clock` tells.
    pub fn new(address: hyper::Uri, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> HttpEndpoint {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        HttpEndpoint { client, address, clock: Box::new(clock) }
    }

    async fn exchange(&self, headers: Vec<(String, String)>, body: Bytes) -> Result<Reply, String> {
        let mut request = hyper::Request::post(self.address.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let began = Instant::now();
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            answer.map_err(|error| error.to_string())?;
            Ok(Reply { status, took: began.elapsed() })
        };
        match tokio::time::timeout(ANSWER_WAIT, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", ANSWER_WAIT.as_secs())),
        }
    }
}

impl Endpoint for HttpEndpoint {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn post(&self, headers: Vec<(String, String)>, body: Bytes) -> PostFuture<'_> {
        Box::pin(self.exchange(headers, body))
    }

    fn pause(&self, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(wait))
    }
}
