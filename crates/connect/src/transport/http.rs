//! HTTP/1.1 over TCP and TLS: one pool of kept connections for all vendors.

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Uri;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::util::BoxCloneSyncService;

use super::{BoxFuture, Transport, TransportError};
use crate::wire;

mod socket;

use socket::Socket;

/// Resolving, connecting and the TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A kept connection is closed after this long without a request; vendors close theirs after about a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Kept connections per host; above the largest `max_in_flight` of the manifests.
const IDLE_PER_HOST_MAX: usize = 64;
/// Headers of an answer, together.
const HEADER_BYTES_MAX: usize = 64 * 1024;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// The transport of a real node. HTTPS goes to public addresses only, plain HTTP to loopback only; the address that
/// was checked is the one that is connected to. Redirects are answers like any other.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client<BoxCloneSyncService<Uri, Socket, Boxed>, Full<Bytes>>,
}

impl HttpTransport {
    /// A transport that trusts the web's public certificate authorities. The error says what of TLS is not to be had.
    pub fn new() -> Result<HttpTransport, TransportError> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unsent(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let connector = tower::service_fn(move |uri: Uri| {
            let tls = tls.clone();
            async move {
                tokio::time::timeout(CONNECT_TIMEOUT, connect(&uri, &tls))
                    .await
                    .unwrap_or_else(|_| Err(format!("no connection within {CONNECT_TIMEOUT:?}").into()))
            }
        });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .build(BoxCloneSyncService::new(connector));
        Ok(HttpTransport { client })
    }

    async fn exchange(&self, request: wire::Request) -> Result<wire::Response, TransportError> {
        let (timeout, body_bytes_max) = (request.timeout, request.body_bytes_max);
        let request = outgoing(request)?;
        let answer = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| TransportError { sent: !error.is_connect(), detail: describe(&error) })?;
            let status = response.status().as_u16();
            let headers = response
                .headers()
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            let body = read(response.into_body(), body_bytes_max).await?;
            Ok(wire::Response { status, headers, body })
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            Err(TransportError {
                sent: true,
                detail: format!("no whole answer within {} s", timeout.as_secs()),
            })
        })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        if !["http", "https"].contains(&request.url.scheme()) {
            return Box::pin(ready(Err(unsent("only http and https are spoken"))));
        }
        Box::pin(self.exchange(request))
    }
}

fn unsent(detail: impl Into<String>) -> TransportError {
    TransportError { sent: false, detail: detail.into() }
}

fn outgoing(request: wire::Request) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(request.url.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    // The error of a bad header would quote its value.
    builder.body(Full::new(request.body)).map_err(|_| unsent("the request is not valid HTTP"))
}

/// The body, up to one byte more than `max`, so that the reader sees that it is too long.
async fn read(mut body: Incoming, max: usize) -> Result<Bytes, TransportError> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| TransportError {
            sent: true,
            detail: format!("half an answer: {}", describe(&error)),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        // Most answers are one frame, which is passed on without a copy.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        if first.len().max(all.len()) > max {
            break;
        }
    }
    let mut whole = if all.is_empty() { first } else { Bytes::from(all) };
    whole.truncate(max.saturating_add(1));
    Ok(whole)
}

/// An error with its causes: hyper's own words alone say only that something failed.
fn describe(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        out.push_str(": ");
        out.push_str(&inner.to_string());
        cause = inner.source();
    }
    out
}

async fn connect(uri: &Uri, tls: &TlsConnector) -> Result<Socket, Boxed> {
    let secure = uri.scheme_str() == Some("https");
    let host = uri.host().ok_or("no host")?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut last: Boxed = format!("{host} has no address that may be called").into();
    for address in tokio::net::lookup_host((host, port)).await? {
        if !allowed(&address, secure) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                if !secure {
                    return Ok(Socket::plain(stream));
                }
                let name = ServerName::try_from(host.to_owned())?;
                return Ok(Socket::tls(tls.connect(name, stream).await?));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Public addresses by TLS, loopback by plain HTTP, nothing else: no private network, no metadata service.
fn allowed(address: &SocketAddr, secure: bool) -> bool {
    if secure { is_public(address.ip()) } else { address.ip().to_canonical().is_loopback() }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation();
            // 0.0.0.0/8, shared address space (RFC 6598), protocol assignments, benchmarking, reserved.
            let reserved = a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240;
            !special && !reserved
        }
        IpAddr::V6(v6) => {
            // Global unicast is 2000::/3; of it 2001::/23 (protocols), 2001:db8::/32 (documentation) and 2002::/16
            // (6to4, which wraps any IPv4 address) are not.
            let [a, b, ..] = v6.segments();
            a & 0xe000 == 0x2000 && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8)) && a != 0x2002
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_public_addresses_by_tls_and_loopback_in_the_clear() {
        for (address, by_tls, in_clear) in [
            ("34.200.1.1:443", true, false),
            ("127.0.0.1:80", false, true),
            ("[::1]:80", false, true),
            ("[::ffff:127.0.0.1]:80", false, true),
            ("10.1.2.3:443", false, false),
            ("172.16.0.1:443", false, false),
            ("192.168.1.1:443", false, false),
            ("169.254.169.254:80", false, false),
            ("100.64.0.1:443", false, false),
            ("0.0.0.0:443", false, false),
            ("[fd00::1]:443", false, false),
            ("[fe80::1]:443", false, false),
            ("[::ffff:10.0.0.1]:443", false, false),
            ("[64:ff9b::a00:1]:443", false, false),
            ("[2002:7f00:1::]:443", false, false),
            ("[2606:4700::1]:443", true, false),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!((allowed(&address, true), allowed(&address, false)), (by_tls, in_clear), "{address}");
        }
    }
}
