//! Puts a twin on a socket: HTTP/1.1 with keep-alive.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{Twin, wire};

/// Larger bodies are answered with 413: no twin has an operation that needs more.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Serves `twin` on `listener` until `shutdown` resolves; open connections are then closed.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    twin: Arc<dyn Twin>,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(connection(stream, Arc::clone(&twin)));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, twin: Arc<dyn Twin>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request| exchange(request, Arc::clone(&twin)));
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// The error hyper is given when a fault drops the connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped on purpose")]
struct Dropped;

async fn exchange(
    request: hyper::Request<Incoming>,
    twin: Arc<dyn Twin>,
) -> Result<hyper::Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(response(wire::Response::text(413, "request body too large")));
    };
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let answer = twin.answer(&wire::Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.to_bytes(),
    });
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    answer.response.map(response).ok_or(Dropped)
}

fn response(from: wire::Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(from.status);
    for (name, value) in &from.headers {
        builder = builder.header(name, value);
    }
    let built: Result<_, hyper::http::Error> = builder.body(Full::new(from.body));
    built.unwrap_or_else(|error| {
        let mut broken = hyper::Response::new(Full::new(Bytes::from(error.to_string())));
        *broken.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
