//! Who calls: credentials of connections in calls without a connector.
//!
//! In a flow a secret is a handle, `{"$secret": {"connection", "field"}}`, never text. It is opened here, for one request,
//! and only if that goes to a host of the connection's connector (or its own loopback address).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::Egress;
use crate::credentials::{Connection, Secret};
use crate::error::{Class, Error};
use crate::manifest::Manifest;
use crate::transport::{Transport, TransportError};
use crate::wire;

/// The name of a handle's only field.
const HANDLE: &str = "$secret";
/// For the answer of who gives tokens.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);
const TOKEN_BYTES_MAX: usize = 256 << 10;

/// The connections that a call's handles are of, opened for it.
#[derive(Clone, Debug, Default)]
pub struct Wallet {
    opened: Vec<Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    /// As the flow calls it.
    name: String,
    connection: Arc<Connection>,
    hosts: Vec<String>,
}

/// The connections that handles in a call's arguments are of.
pub fn connections(with: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in ["authentication", "headers"] {
        gather(with.get(part).unwrap_or(&Value::Null), &mut found);
    }
    found
}

fn gather(value: &Value, found: &mut BTreeSet<String>) {
    if let Some((name, _)) = handle(value) {
        found.insert(name.to_owned());
        return;
    }
    for value in value.as_object().into_iter().flat_map(|fields| fields.values()) {
        gather(value, found);
    }
}

/// A handle's connection and field.
fn handle(value: &Value) -> Option<(&str, &str)> {
    let handle = value.as_object().filter(|fields| fields.len() == 1)?.get(HANDLE)?;
    Some((handle["connection"].as_str()?, handle["field"].as_str()?))
}

/// Whether a value is a handle: it is no part of a request that is kept.
pub(super) fn is_handle(value: &Value) -> bool {
    handle(value).is_some()
}

impl Wallet {
    /// Adds an opened connection by the name that the flow has for it.
    pub fn add(&mut self, name: &str, connection: Arc<Connection>, manifest: &Manifest) {
        self.opened.push(Opened { name: name.to_owned(), connection, hosts: manifest.hosts.clone() });
    }

    /// Whether an address is of a connection that is opened here.
    pub(super) fn reaches(&self, url: &Url) -> bool {
        self.opened.iter().any(|opened| opened.is_home(url))
    }

    /// `value` with every credential that is opened here replaced by `***`.
    pub(super) fn mask(&self, value: &mut Value) {
        self.opened.iter().for_each(|opened| opened.connection.mask(value));
    }

    pub(super) fn masked(&self, text: &str) -> String {
        self.opened.iter().fold(text.to_owned(), |text, opened| opened.connection.masked(&text))
    }

    /// The text of a value: as it is written, or what a handle stands for if `url` may know that.
    pub(super) fn text(&self, value: &Value, what: &str, url: &Url) -> Result<Secret, Error> {
        if let Some(text) = value.as_str() {
            return Ok(Secret::new(text));
        }
        let Some((name, field)) = handle(value) else {
            return Err(Error::user("argument_type", format!("`{what}` is not text")));
        };
        let missing = |detail: String| Error::of(Class::Auth, "credential_missing", detail);
        let opened = self.opened.iter().find(|opened| opened.name == name);
        let opened = opened.ok_or_else(|| missing(format!("the flow declares no secrets of `{name}`")))?;
        if !opened.is_home(url) {
            let host = url.host_str().unwrap_or_default();
            let why =
                format!("a secret of connection `{name}` goes to {}, not to {host}", opened.hosts.join(", "));
            return Err(Error::user("host_refused", why));
        }
        let found = opened.connection.credentials.get(field).filter(|secret| !secret.is_empty());
        found.cloned().ok_or_else(|| missing(format!("connection `{name}` has no `{field}`")))
    }

    /// The `Authorization` header that a policy asks for. For OAuth 2 that is a token, which is asked for first.
    pub(super) async fn authorization(
        &self,
        transport: &dyn Transport,
        egress: &Egress,
        policy: Option<&Value>,
        url: &Url,
    ) -> Result<Option<Secret>, Error> {
        let Some(policy) = policy else { return Ok(None) };
        if let Some(basic) = policy.get("basic") {
            let user = self.text(&basic["username"], "basic.username", url)?;
            let password = self.text(&basic["password"], "basic.password", url)?;
            let pair = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
            return Ok(Some(Secret::new(format!("Basic {pair}"))));
        }
        let token = if let Some(bearer) = policy.get("bearer") {
            self.text(&bearer["token"], "bearer.token", url)?
        } else if let Some(oauth) = policy.get("oauth2") {
            self.token(transport, egress, oauth).await?
        } else {
            return Ok(None);
        };
        let header = format!("Bearer {}", token.reveal());
        if header.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
            let why = "the token cannot stand in a header";
            return Err(Error::of(Class::Auth, "credential_invalid", why));
        }
        Ok(Some(Secret::new(header)))
    }

    /// A token for the client itself (RFC 6749, 4.4).
    async fn token(
        &self,
        transport: &dyn Transport,
        egress: &Egress,
        oauth: &Value,
    ) -> Result<Secret, Error> {
        let address = oauth["token"].as_str().unwrap_or_default();
        let url = Url::parse(address)
            .map_err(|error| Error::user("argument_type", format!("`{address}`: {error}")))?;
        super::admit(egress, self, &url)?;
        let client = |name: &str| self.text(&oauth["client"][name], &format!("client.{name}"), &url);
        let (id, secret) = (client("id")?, client("secret")?);
        let (headers, body) = asking(oauth, &id, &secret);
        let request = wire::Request {
            method: "POST".to_owned(),
            url,
            headers,
            body: Bytes::from(body),
            timeout: TOKEN_TIMEOUT,
            body_bytes_max: TOKEN_BYTES_MAX,
        };
        let refused = |class: Class, status, code: &str, detail: String| Error {
            class,
            status,
            code: code.to_owned(),
            detail,
            body: None,
            unknown: false,
        };
        let response = transport.send(request).await.map_err(|TransportError { detail, .. }| {
            // Nothing was asked of the API itself yet.
            refused(Class::Retry { after: None }, None, "not_reached", format!("for a token: {detail}"))
        })?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match answer["access_token"].as_str().filter(|_| (200..300).contains(&response.status)) {
            Some(token) if token.bytes().all(|byte| (0x21..0x7f).contains(&byte)) => Ok(Secret::new(token)),
            _ => {
                let said = answer["error"].as_str().unwrap_or("no token");
                let detail = format!("{address} gives no token: {} {}", response.status, self.masked(said));
                let class = if response.status >= 500 { Class::Retry { after: None } } else { Class::Auth };
                Err(refused(class, Some(response.status), "unauthorized", detail))
            }
        }
    }
}

/// Headers and body that ask for a token.
fn asking(oauth: &Value, id: &Secret, secret: &Secret) -> (Vec<(String, String)>, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for name in ["scope", "audience"] {
        if let Some(text) = oauth[name].as_str() {
            form.append_pair(name, text);
        }
    }
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ("Accept".to_owned(), "application/json".to_owned()),
    ];
    if oauth["in_body"] == true {
        form.append_pair("client_id", id.reveal()).append_pair("client_secret", secret.reveal());
    } else {
        let encode =
            |text: &Secret| form_urlencoded::byte_serialize(text.reveal().as_bytes()).collect::<String>();
        let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
        headers.push(("Authorization".to_owned(), format!("Basic {pair}")));
    }
    (headers, form.finish())
}

impl Opened {
    /// Whether an address is one of the connector's, or the loopback address that the connection has instead.
    fn is_home(&self, url: &Url) -> bool {
        match &self.connection.base_url {
            Some(base) => base.origin() == url.origin() && url.username().is_empty(),
            None => {
                url.scheme() == "https"
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.port().is_none()
                    && url.host_str().is_some_and(|host| self.hosts.iter().any(|allowed| allowed == host))
            }
        }
    }
}
