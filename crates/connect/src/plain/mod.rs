//! Calls without a connector: `call: http` and `call: openapi`.
//!
//! **Where they may go.** Only hosts that the operator's allow-list names ([`Egress`]); below that, the transport refuses
//! private and metadata addresses, speaks TLS to public addresses only and plain HTTP to loopback only, and connects to
//! the very address that it checked. A redirect is never followed: it is an answer like any other. Time and size are
//! bounded.
//!
//! **What is kept.** A [`Request`] is journalled before it is sent and sent again byte for byte; the authentication is
//! not part of it.

mod answer;
mod digest;
mod openapi;
mod tokens;
mod wallet;

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::credentials::Secret;
use crate::error::{Class, Error};
use crate::transport::{Transport, TransportError};
use crate::wire;
pub use tokens::Tokens;
use wallet::Authorization;
pub use wallet::{Wallet, connections};

/// The status of who does not know who calls.
const UNAUTHORIZED: u16 = 401;
/// From the first byte sent to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The longest request body.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Headers that the transport sets itself, or that would let a flow speak as somebody else.
const HEADERS_REFUSED: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
];

/// The hosts that calls without a connector may go to: `api.example.com`, `*.example.com`, `127.0.0.1:8080`. Without a
/// port, the usual one of https is meant.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    hosts: Vec<String>,
    /// Vendors are simulated, and nothing else is called.
    simulated: bool,
}

impl Egress {
    /// An allow-list; the error names the entry that is none.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Result<Egress, String> {
        let mut allowed = Vec::new();
        for host in hosts {
            let host = host.trim().to_ascii_lowercase();
            let bare = host.strip_prefix("*.").unwrap_or(&host);
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
            if bare.is_empty() || !bare.chars().all(fits) {
                return Err(format!(
                    "`{host}` is no host: `api.example.com`, `*.example.com` and `127.0.0.1:8080` are"
                ));
            }
            allowed.push(host);
        }
        Ok(Egress { hosts: allowed, simulated: false })
    }

    /// Where vendors are simulated: no host at all.
    pub fn nowhere() -> Egress {
        Egress { hosts: Vec::new(), simulated: true }
    }

    /// Whether an address may be called; the error says why not.
    fn check(&self, url: &Url) -> Result<(), Error> {
        let refused = |why: String| Err(Error::user("host_refused", why));
        if !matches!(url.scheme(), "http" | "https") {
            return refused(format!("`{}` is not spoken: https is", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("credentials in an address would be seen: use `authentication`".to_owned());
        }
        let Some(host) = url.host_str() else { return refused("an address needs a host".to_owned()) };
        let host = host.to_ascii_lowercase();
        let with_port = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None if url.scheme() == "http" => format!("{host}:80"),
            None => host.clone(),
        };
        let allowed = self.hosts.iter().any(|entry| match entry.strip_prefix("*.") {
            Some(family) => {
                with_port.strip_suffix(family).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
            }
            None => *entry == with_port,
        });
        if allowed {
            return Ok(());
        }
        if self.simulated {
            return refused(format!(
                "`{with_port}` is not called where vendors are simulated: `flow run --connections` calls it from the server, \
                 and a test (`flow test`) answers for it"
            ));
        }
        refused(format!(
            "`{with_port}` is not a host that flows may call; the operator allows it by `serve --allow-host {with_port}`"
        ))
    }
}

/// What of an answer is the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    #[default]
    Content,
    Raw,
    Response,
}

/// An exact request, without its authentication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    /// Query included, already encoded.
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default)]
    pub output: Output,
    /// Answers of 300 to 399 are no errors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirect: bool,
}

impl Request {
    /// Whether it changes something, as far as its method says.
    pub fn writes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// Makes the evaluated arguments of a call into its request. For `openapi`, its document is read first.
    pub async fn prepare(
        transport: &dyn Transport,
        egress: &Egress,
        operation: &str,
        with: &Value,
    ) -> Result<Request, Error> {
        if operation == "openapi" { openapi::prepare(transport, egress, with).await } else { http(with) }
    }
}

/// Whether an address may be called: the operator allows it, or it is of a connection whose secret is used.
fn admit(egress: &Egress, wallet: &Wallet, url: &Url) -> Result<(), Error> {
    if wallet.reaches(url) { Ok(()) } else { egress.check(url) }
}

/// Sends a request once, with nobody's secrets.
pub async fn perform(
    transport: &dyn Transport,
    egress: &Egress,
    request: &Request,
    with: &Value,
) -> Result<Value, Error> {
    perform_as(transport, egress, &Wallet::default(), request, with).await
}

/// Sends a request once. What of its answer or error is a secret of the wallet's connections is masked.
pub async fn perform_as(
    transport: &dyn Transport,
    egress: &Egress,
    wallet: &Wallet,
    request: &Request,
    with: &Value,
) -> Result<Value, Error> {
    match send(transport, egress, wallet, request, with).await {
        Ok(mut output) => {
            wallet.mask(&mut output);
            Ok(output)
        }
        Err(mut error) => {
            error.detail = wallet.masked(&error.detail);
            error.body.iter_mut().for_each(|body| wallet.mask(body));
            Err(error)
        }
    }
}

async fn send(
    transport: &dyn Transport,
    egress: &Egress,
    wallet: &Wallet,
    request: &Request,
    with: &Value,
) -> Result<Value, Error> {
    let url = Url::parse(&request.url)
        .map_err(|error| Error::user("argument_type", format!("`{}`: {error}", request.url)))?;
    admit(egress, wallet, &url)?;
    let mut headers = request.headers.clone();
    for (name, value) in with.get("headers").and_then(Value::as_object).into_iter().flatten() {
        if wallet::is_handle(value) {
            headers.push((name.clone(), wallet.text(value, name, &url)?.reveal().to_owned()));
        }
    }
    check_headers(&headers)?;
    let policy = with.get("authentication");
    let mut authorization = wallet.authorization(transport, egress, policy, &url).await?;
    let attempt = |header: Option<Secret>| exchange(transport, request, &url, &headers, header);
    let response = match &authorization {
        Authorization::Header(header) | Authorization::Token { header, .. } => {
            attempt(Some(header.clone())).await?
        }
        Authorization::None | Authorization::Digest(_) => attempt(None).await?,
    };
    // Who does not know who calls has done nothing yet: the same is asked once more.
    let stale = match &authorization {
        Authorization::Token { token, .. } if token.kept && response.status == UNAUTHORIZED => Some(token),
        _ => None,
    };
    let response = if let Some(token) = stale {
        wallet.tokens.forget(token);
        authorization = wallet.authorization(transport, egress, policy, &url).await?;
        match &authorization {
            Authorization::Token { header, .. } => attempt(Some(header.clone())).await?,
            _ => response,
        }
    } else if let (Authorization::Digest(login), UNAUTHORIZED) = (&authorization, response.status) {
        let asked = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        let header = login.answer(asked.map(|(_, value)| value.as_str()), &request.method, &url)?;
        attempt(Some(header)).await?
    } else {
        response
    };
    let mut result = interpreted(request, response);
    // A token that was asked for is no connection's credential, and a secret all the same.
    if let Authorization::Token { token, .. } = &authorization {
        match &mut result {
            Ok(output) => token.secret.mask(output),
            Err(error) => error.body.iter_mut().for_each(|body| token.secret.mask(body)),
        }
    }
    result
}

/// What an answer is worth, if it is not too long.
fn interpreted(request: &Request, response: wire::Response) -> Result<Value, Error> {
    if response.body.len() > ANSWER_BYTES_MAX {
        let why = format!("the answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20);
        return Err(Error { unknown: false, ..Error::fatal("answer_too_large", why) });
    }
    answer::interpret(request, response)
}

/// One request, with who calls as a header, and its answer.
async fn exchange(
    transport: &dyn Transport,
    request: &Request,
    url: &Url,
    headers: &[(String, String)],
    authorization: Option<Secret>,
) -> Result<wire::Response, Error> {
    let mut headers = headers.to_vec();
    if let Some(header) = authorization {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        headers.push(("Authorization".to_owned(), header.reveal().to_owned()));
    }
    let sent = wire::Request {
        method: request.method.clone(),
        url: url.clone(),
        headers,
        body: request.body.as_ref().map(|body| Bytes::copy_from_slice(body.as_bytes())).unwrap_or_default(),
        timeout: TIMEOUT,
        body_bytes_max: ANSWER_BYTES_MAX,
    };
    transport.send(sent).await.map_err(|TransportError { sent, detail }| Error {
        class: Class::Retry { after: None },
        status: None,
        code: if sent { "no_answer" } else { "not_reached" }.to_owned(),
        detail,
        body: None,
        unknown: sent && request.writes(),
    })
}

/// Refuses headers that cannot be sent, or not by a flow.
fn check_headers(headers: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in headers {
        let refused = HEADERS_REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused));
        let valid =
            HeaderName::try_from(name.as_str()).is_ok() && HeaderValue::try_from(value.as_str()).is_ok();
        if refused || !valid {
            return Err(Error::user(
                "argument_choice",
                format!("`{name}` is not a header that a flow can send"),
            ));
        }
    }
    Ok(())
}

/// The request of `call: http`.
fn http(with: &Value) -> Result<Request, Error> {
    let method = with["method"].as_str().unwrap_or("GET").to_ascii_uppercase();
    let Some(uri) = with["uri"].as_str() else {
        return Err(Error::user("argument_type", "the endpoint's address is not text"));
    };
    let mut url =
        Url::parse(uri).map_err(|error| Error::user("argument_type", format!("`{uri}`: {error}")))?;
    for (name, value) in fields(with.get("query"), "query")? {
        url.query_pairs_mut().append_pair(&name, &value);
    }
    finish(method, url, fields(with.get("headers"), "headers")?, with.get("body"), with)
}

/// Puts a request together: headers that may be sent, and the body as its content type says.
fn finish(
    method: String,
    url: Url,
    mut headers: Vec<(String, String)>,
    body: Option<&Value>,
    with: &Value,
) -> Result<Request, Error> {
    check_headers(&headers)?;
    let is = |headers: &[(String, String)], wanted: &str| {
        headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let body = match body {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(value) => {
            if !is(&headers, "content-type") {
                headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
            Some(value.to_string())
        }
    };
    if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
        let why = format!("the body is longer than {} MiB", BODY_BYTES_MAX >> 20);
        return Err(Error::user("request_too_large", why));
    }
    if !is(&headers, "accept") {
        headers.push(("Accept".to_owned(), "application/json, */*;q=0.8".to_owned()));
    }
    let output = match with["output"].as_str() {
        Some("raw") => Output::Raw,
        Some("response") => Output::Response,
        _ => Output::Content,
    };
    let redirect = with["redirect"].as_bool().unwrap_or(false);
    Ok(Request { method, url: url.into(), headers, body, output, redirect })
}

/// Names with texts: numbers and booleans as they are written, null left out.
fn fields(value: Option<&Value>, what: &str) -> Result<Vec<(String, String)>, Error> {
    let map = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(Error::user("argument_type", format!("`{what}` is not a mapping"))),
    };
    let mut all = Vec::new();
    for (name, value) in map {
        match text_of(value) {
            Some(text) => all.push((name.clone(), text)),
            // A secret is put in when it is sent; it is no part of what is kept.
            None if value.is_null() || wallet::is_handle(value) => {}
            None => {
                return Err(Error::user(
                    "argument_type",
                    format!("`{what}.{name}` is neither text nor a number"),
                ));
            }
        }
    }
    Ok(all)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
