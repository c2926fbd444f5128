//! Accepting connections: HTTP/1.1 over TCP and over the Unix socket, with limits, until told to stop.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Connections at the same time, per listener; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Whoever has not sent a request's head by then is cut off.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Requests in flight get this long to finish once the server is told to stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// After a failed `accept` (too many open files, say), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
trait Door: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who is at the other end of a connection, for the record: an address, or a user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub String);

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // Answers are small: waiting to fill a packet would only delay them.
        stream.set_nodelay(true)?;
        Ok((stream, Peer(address.ip().to_string())))
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let stream = UnixListener::accept(self).await?.0;
        let user =
            stream.peer_cred().map_or_else(|_| "socket".to_owned(), |user| format!("user {}", user.uid()));
        Ok((stream, Peer(user)))
    }
}

/// Serves `router` on TCP until `stop` turns true and the requests in flight are answered.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    serve(listener, router, stop).await;
}

/// The same on a Unix socket.
pub async fn serve_unix(listener: UnixListener, router: Router, stop: watch::Receiver<bool>) {
    serve(listener, router, stop).await;
}

/// Opens the Unix socket at `path`, for its owner only. One that a dead server left is replaced; the caller holds
/// the data directory's lock, so that no living server's is.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The data directory itself is 0700, so that nobody slips in before this.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Completes when the server is to stop; that nobody is left to tell it counts as being told.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn serve(listener: impl Door, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = told(&mut stop) => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (place, stream) = next => match (place, stream) {
                (Ok(place), Ok((stream, peer))) => {
                    open.spawn(connection(stream, peer, router.clone(), stop.clone(), place));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), _) => break,
            },
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN_TIME_MAX, async { while open.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("requests were still in flight after {} s: cut off", DRAIN_TIME_MAX.as_secs());
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
