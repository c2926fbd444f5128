//! Who calls: credentials of connections in calls without a connector.
//!
//! In a flow a secret is a handle, `{"$secret": {"connection", "field"}}`, never text. It is opened here, for one request,
//! and only if that goes to a host of the connection's connector (or its own loopback address).

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::Egress;
use super::digest::Login;
use super::tokens::{self, Token, Tokens};
use crate::credentials::{Connection, Secret};
use crate::error::{Class, Error};
use crate::manifest::Manifest;
use crate::transport::Transport;

/// The name of a handle's only field.
const HANDLE: &str = "$secret";

/// The connections that a call's handles are of, opened for it.
#[derive(Clone, Debug, Default)]
pub struct Wallet {
    opened: Vec<Opened>,
    /// Tokens that were asked for before.
    pub(super) tokens: Arc<Tokens>,
    /// Whose call it is: tokens of one workspace are not for another one.
    pub(super) workspace: String,
    pub(super) now: Timestamp,
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
    /// An empty one for a call of a workspace, at a time.
    pub fn new(tokens: Arc<Tokens>, workspace: &str, now: Timestamp) -> Wallet {
        Wallet { opened: Vec::new(), tokens, workspace: workspace.to_owned(), now }
    }

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

    /// What a policy adds to a request. For OAuth 2 that is a token, which is asked for first unless a kept one is still
    /// good.
    pub(super) async fn authorization(
        &self,
        transport: &dyn Transport,
        egress: &Egress,
        policy: Option<&Value>,
        url: &Url,
    ) -> Result<Authorization, Error> {
        let Some(policy) = policy else { return Ok(Authorization::None) };
        if let Some(basic) = policy.get("basic") {
            let user = self.text(&basic["username"], "basic.username", url)?;
            let password = self.text(&basic["password"], "basic.password", url)?;
            let pair = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
            return Ok(Authorization::Header(Secret::new(format!("Basic {pair}"))));
        }
        if let Some(digest) = policy.get("digest") {
            let username = self.text(&digest["username"], "digest.username", url)?;
            let password = self.text(&digest["password"], "digest.password", url)?;
            return Ok(Authorization::Digest(Login { username, password }));
        }
        if let Some(bearer) = policy.get("bearer") {
            let token = self.text(&bearer["token"], "bearer.token", url)?;
            return Ok(Authorization::Header(bearer_of(&token)?));
        }
        match policy.get("oauth2") {
            Some(oauth) => {
                let token = tokens::token(self, transport, egress, oauth).await?;
                Ok(Authorization::Token { header: bearer_of(&token.secret)?, token })
            }
            None => Ok(Authorization::None),
        }
    }
}

/// What says who calls.
pub(super) enum Authorization {
    None,
    Header(Secret),
    /// A token that was asked for; it may have been kept, and be good no longer.
    Token {
        header: Secret,
        token: Token,
    },
    /// An answer to the question that the first answer brings.
    Digest(Login),
}

fn bearer_of(token: &Secret) -> Result<Secret, Error> {
    let header = format!("Bearer {}", token.reveal());
    if header.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
        let why = "the token cannot stand in a header";
        return Err(Error::of(Class::Auth, "credential_invalid", why));
    }
    Ok(Secret::new(header))
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
                    && url.host_str().is_some_and(|host| crate::auth::admits(&self.hosts, host))
            }
        }
    }
}
