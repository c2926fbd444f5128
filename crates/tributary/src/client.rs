//! How commands reach a server: over the Unix socket in the data directory; over the network with a token; or,
//! where none runs, by taking the data directory themselves and asking the same routes in process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use bytes::Bytes;
use connect::{Transport as _, wire};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use server::Door;
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use crate::cli::Global;
use crate::node::{self, Node};

/// The socket's name in the data directory.
pub const SOCKET: &str = "tributary.sock";
/// A command does not wait longer than this for an answer; `connection check` asks a vendor.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);
/// Bytes of an answer at most: a run's steps with their inputs and outputs can be large.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A server that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It said why, as a problem document.
    #[error("{}", told(.document))]
    Problem { status: u16, document: Value },
}

fn told(document: &Value) -> String {
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    match document["diagnostics"].as_array() {
        // They are printed line by line.
        Some(_) => text("title"),
        None => format!("{}: {}", text("title"), text("detail")),
    }
}

/// A way to a server.
pub enum Client {
    Socket(PathBuf),
    Remote(Box<Remote>),
    Local(Box<Local>),
}

/// A server elsewhere.
pub struct Remote {
    base: url::Url,
    token: String,
    transport: connect::HttpTransport,
}

/// A server's routes in this process, without the engine.
pub struct Local {
    router: Router,
    /// Keeps the data directory's lock.
    _node: Node,
    /// The directory for a command that only looks, where there is nothing yet to look at.
    _scratch: Option<tempfile::TempDir>,
}

impl Client {
    /// Finds the server that this command is about. `may_create`: where there is no data directory, one is made;
    /// otherwise the command is answered as by an empty server.
    pub async fn open(global: &Global, may_create: bool) -> anyhow::Result<Client> {
        if let Some(base) = &global.server {
            let token = std::env::var("TRIBUTARY_TOKEN")
                .map_err(|_| anyhow!("--server needs the server's token in $TRIBUTARY_TOKEN; it lies in the file `token` of its data directory"))?;
            return Ok(Client::Remote(Box::new(Remote::new(base.clone(), token)?)));
        }
        let socket = global.data.join(SOCKET);
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Client::Socket(socket));
        }
        Ok(Client::Local(Box::new(Local::open(global, may_create).await?)))
    }

    /// A sentence for commands whose work the engine does: said where no engine runs.
    pub fn offline_note(&self) -> &'static str {
        match self {
            Client::Local(_) => "\nNo server is running: it happens once `tributary serve` runs.",
            Client::Socket(_) | Client::Remote(_) => "",
        }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    /// One call. An answer without a body is null; a problem is [`Failure::Problem`].
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let exchange = async {
            match self {
                Client::Socket(socket) => over_socket(socket, request(method, path, bytes)?).await,
                Client::Remote(remote) => remote.send(&method, path, bytes).await,
                Client::Local(local) => {
                    let answer = local.router.clone().oneshot(request(method, path, bytes)?).await?;
                    read(answer).await
                }
            }
        };
        let (status, bytes) = tokio::time::timeout(ANSWER_TIME_MAX, exchange)
            .await
            .map_err(|_| anyhow!("the server did not answer within {} s", ANSWER_TIME_MAX.as_secs()))??;
        let document = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).with_context(|| {
                format!("status {status}, and the answer is not JSON: is this a Tributary server?")
            })?,
        };
        if (200..300).contains(&status) {
            Ok(document)
        } else {
            Err(Failure::Problem { status, document }.into())
        }
    }
}

fn request(method: Method, path: &str, body: Bytes) -> anyhow::Result<Request<axum::body::Body>> {
    Ok(Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "tributary")
        .header(header::CONTENT_TYPE, "application/json")
        .body(axum::body::Body::new(Full::new(body)))?)
}

async fn read<B>(answer: http::Response<B>) -> anyhow::Result<(u16, Bytes)>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = answer.status().as_u16();
    let limited = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    let body = limited.collect().await.map_err(|error| anyhow!("the answer broke off: {error}"))?;
    Ok((status, body.to_bytes()))
}

async fn over_socket(socket: &Path, request: Request<axum::body::Body>) -> anyhow::Result<(u16, Bytes)> {
    let stream =
        UnixStream::connect(socket).await.with_context(|| format!("cannot reach {}", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async { read(sender.send_request(request).await?).await };
    tokio::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        closed = &mut connection => {
            closed.context("the server closed the connection")?;
            exchange.await
        }
    }
}

impl Local {
    async fn open(global: &Global, may_create: bool) -> anyhow::Result<Local> {
        let may_create = may_create || global.database.is_some();
        let scratch = if may_create || global.data.exists() { None } else { Some(tempfile::tempdir()?) };
        let data = match &scratch {
            Some(directory) => directory.path().to_owned(),
            None => global.data.clone(),
        };
        let database = global.database.as_deref();
        let programs = node::programs(&global.allow_run)?;
        let opened = Node::open(&data, database, global.catalog()?, node::log_fatal(), None);
        let mut node = opened.await.map_err(|error| match error.downcast_ref() {
            Some(store::Error::Locked { holder, .. }) => anyhow!(
                "process {holder} owns {} but does not answer on its socket: it is starting, stopping or stuck. Try \
                 again, or stop it",
                data.display()
            ),
            _ => error,
        })?;
        node.programs = programs;
        let app = node.app(node::AppOptions { templates: global.templates.clone(), ..Default::default() })?;
        Ok(Local { router: server::router(app, Door::Socket), _node: node, _scratch: scratch })
    }
}

impl Remote {
    fn new(base: url::Url, token: String) -> anyhow::Result<Remote> {
        let transport = connect::HttpTransport::new().context("outgoing HTTP")?;
        Ok(Remote { base, token, transport })
    }

    async fn send(&self, method: &Method, path: &str, body: Bytes) -> anyhow::Result<(u16, Bytes)> {
        let answer = self
            .transport
            .send(wire::Request {
                method: method.as_str().to_owned(),
                url: self.base.join(path).with_context(|| format!("{path} does not fit {}", self.base))?,
                headers: vec![
                    ("Authorization".to_owned(), format!("Bearer {}", self.token)),
                    ("Content-Type".to_owned(), "application/json".to_owned()),
                ],
                body,
                timeout: ANSWER_TIME_MAX,
                body_bytes_max: ANSWER_BYTES_MAX,
            })
            .await
            .with_context(|| format!("cannot reach {}", self.base))?;
        Ok((answer.status, answer.body))
    }
}
