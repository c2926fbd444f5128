//! How bytes reach a vendor: a seam, so that twins can be joined in memory.

mod http;

pub use http::HttpTransport;

use crate::wire;

pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// No whole answer came back.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct TransportError {
    /// Bytes of the request may have reached the vendor, so its effect may have happened.
    pub sent: bool,
    pub detail: String,
}

/// Sends one request and brings the answer, whatever its status. Follows no redirect and repeats nothing.
pub trait Transport: Send + Sync {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>>;
}
