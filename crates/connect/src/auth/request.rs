//! Asking a vendor for tokens: one request, and what its answer means.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::digest;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Endpoint, Grant, Granted, Kind, Text, Tokens, missing};
use crate::credentials::{Connection, Secret, is_loopback_http};
use crate::error::{Class, Error};
use crate::transport::{Transport, TransportError};
use crate::wire;

/// From the first byte sent to the last of the answer. Below the lease of whoever renews.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// A refusal in the vendor's words is cut.
const WORDS_MAX: usize = 300;
/// A token counts as over so long before its end: a request may wait and travel. A quarter of a short life.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// What is asked with and must not be seen where the vendor echoes it.
const HIDDEN: [&str; 4] = ["code", "code_verifier", "refresh_token", "assertion"];
/// Words for a refresh token that is not taken any more, beside `invalid_grant` (RFC 6749, 5.2).
const SPENT: [&str; 3] = ["invalid_grant", "bad_refresh_token", "invalid_refresh_token"];
/// Words for a trouble that passes.
const PASSING: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// What a person is to agree to: where, and what proves that the answer is to this question.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// To be opened in a browser.
    pub url: Url,
    /// Comes back with the code.
    pub state: Secret,
    /// Proves that who redeems the code is who asked (RFC 7636).
    pub verifier: Secret,
    pub redirect: String,
}

pub(super) fn basic(user: &Secret, password: &Secret) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal())))
}

impl Grant {
    /// A question to the person who may let this connection in. `chance` is 64 random bytes. None where no person is
    /// asked.
    pub fn agreement(
        &self,
        connection: &Connection,
        redirect: &str,
        chance: [u8; 64],
    ) -> Result<Option<Agreement>, Error> {
        let Kind::Code { authorize, parameters, endpoint } = &self.kind else { return Ok(None) };
        let (state, verifier) = chance.split_at(32);
        let state = Secret::new(URL_SAFE_NO_PAD.encode(state));
        let verifier = Secret::new(URL_SAFE_NO_PAD.encode(verifier));
        let challenge = digest::digest(&digest::SHA256, verifier.reveal().as_bytes());
        let mut url = self.at(authorize, connection)?;
        let client = client_id(endpoint, connection)?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client.reveal())
                .append_pair("redirect_uri", redirect)
                .append_pair("state", state.reveal())
                .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
                .append_pair("code_challenge_method", "S256");
            if !self.scopes.is_empty() {
                query.append_pair("scope", &self.scopes.join(&self.separator));
            }
            for (name, text) in parameters {
                if let Some(value) = text.of_or_nothing(connection) {
                    query.append_pair(name, value.reveal());
                }
            }
        }
        Ok(Some(Agreement { url, state, verifier, redirect: redirect.to_owned() }))
    }

    /// The tokens for the code by which a person agreed.
    pub async fn redeem(
        &self,
        transport: &dyn Transport,
        connection: &Connection,
        agreement: &Agreement,
        code: &Secret,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        let Kind::Code { endpoint, .. } = &self.kind else {
            return Err(Error::fatal("grant_missing", "nobody has to agree to this connection"));
        };
        let form = vec![
            ("grant_type", Secret::new("authorization_code")),
            ("code", code.clone()),
            ("redirect_uri", Secret::new(agreement.redirect.as_str())),
            ("code_verifier", agreement.verifier.clone()),
        ];
        self.tokens(transport, connection, endpoint, form, now).await
    }

    /// New tokens, by whatever the connection has to show for them. `held` are the present ones, if there are any.
    pub async fn renew(
        &self,
        transport: &dyn Transport,
        connection: &Connection,
        held: Option<&Tokens>,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        let scope = || (!self.scopes.is_empty()).then(|| Secret::new(self.scopes.join(&self.separator)));
        match &self.kind {
            Kind::Code { endpoint, .. } => {
                let refresh = held.and_then(|tokens| tokens.refresh.clone());
                let refresh = refresh.ok_or_else(|| missing(connection, &self.title))?;
                let form = vec![("grant_type", Secret::new("refresh_token")), ("refresh_token", refresh)];
                let mut tokens = self.tokens(transport, connection, endpoint, form, now).await?;
                // A vendor that gives no new one goes on taking the old one.
                tokens.refresh = tokens.refresh.or_else(|| held?.refresh.clone());
                tokens.scopes = tokens.scopes.or_else(|| held?.scopes.clone());
                tokens.base_url = tokens.base_url.or_else(|| held?.base_url.clone());
                Ok(tokens)
            }
            Kind::Client { endpoint } => {
                let mut form = vec![("grant_type", Secret::new("client_credentials"))];
                form.extend(scope().map(|scope| ("scope", scope)));
                self.tokens(transport, connection, endpoint, form, now).await
            }
            Kind::Jwt { endpoint, assertion } => {
                let mut form = vec![
                    ("grant_type", Secret::new("urn:ietf:params:oauth:grant-type:jwt-bearer")),
                    ("assertion", assertion.signed(connection, now)?),
                ];
                form.extend(scope().filter(|_| assertion.scope.is_none()).map(|scope| ("scope", scope)));
                self.tokens(transport, connection, endpoint, form, now).await
            }
            Kind::Session(login) => {
                let (kind, body) = login.body(connection)?;
                let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
                let asking = Asking { connection, hidden: Vec::new() };
                let response = self.send(transport, &asking, &login.url, headers, body).await?;
                // Who is refused is often given a cookie as well.
                let token = login.lets_in(&response).then(|| login.token(&self.shown, &response));
                let token = token.flatten().ok_or_else(|| self.refusal(&asking, &response, now))?;
                Ok(Tokens {
                    access: token,
                    refresh: None,
                    expires_at: self.ends(None, now),
                    scopes: None,
                    base_url: None,
                })
            }
        }
    }

    async fn tokens(
        &self,
        transport: &dyn Transport,
        connection: &Connection,
        endpoint: &Endpoint,
        form: Vec<(&str, Secret)>,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        let (headers, body) = asking(endpoint, connection, &form)?;
        let asking = Asking { connection, hidden: hidden(form, &headers) };
        let response = self.send(transport, &asking, &endpoint.url, headers, body).await?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let token = answer["access_token"].as_str().filter(|text| !text.is_empty());
        let Some(token) = token.filter(|_| (200..300).contains(&response.status)) else {
            return Err(self.refusal(&asking, &response, now));
        };
        let scopes = answer["scope"].as_str().map(|text| {
            text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
        });
        Ok(Tokens {
            access: Secret::new(token),
            refresh: answer["refresh_token"].as_str().filter(|text| !text.is_empty()).map(Secret::new),
            expires_at: self.ends(seconds(&answer["expires_in"]), now),
            scopes,
            base_url: self.instance(connection, &answer),
        })
    }

    fn ends(&self, said: Option<i64>, now: Timestamp) -> Option<Timestamp> {
        let life = SignedDuration::from_secs(said.or(self.life_s)?);
        now.saturating_add(life - MARGIN.min(life / 4)).ok()
    }

    /// Where the API is from now on, as the vendor has it: calls go there only where the manifest's hosts allow it. The
    /// tokens are kept whatever it is, since those before may be spent.
    fn instance(&self, connection: &Connection, answer: &Value) -> Option<Url> {
        let member = self.instance_url.as_ref()?;
        // A sandbox twin stays where it is.
        if connection.base_url.is_some() {
            return None;
        }
        Url::parse(answer[member.as_str()].as_str()?).ok()
    }

    /// Where calls go that show this token; none: where the manifest says.
    pub(crate) fn home<'a>(&self, granted: &'a Granted) -> Result<Option<&'a Url>, Error> {
        let Some(member) = &self.instance_url else { return Ok(None) };
        let url = granted.base_url.as_ref().ok_or_else(|| {
            Error::fatal("answer_unexpected", format!("{}: no answer had an `{member}`", self.title))
        })?;
        self.check(url)?;
        Ok(Some(url))
    }

    fn check(&self, url: &Url) -> Result<(), Error> {
        let host = url.host_str().unwrap_or_default();
        if url.scheme() == "https" && url.port().is_none() && admits(&self.hosts, host) {
            return Ok(());
        }
        Err(Error::fatal("host_refused", format!("{host} is not a host of {}", self.title)))
    }

    /// An address of the vendor, or the same path at the connection's own loopback address.
    fn at(&self, url: &Url, connection: &Connection) -> Result<Url, Error> {
        match &connection.base_url {
            None => {
                self.check(url)?;
                Ok(url.clone())
            }
            Some(base) if is_loopback_http(base) => {
                let mut here = base.clone();
                here.set_path(url.path());
                here.set_query(url.query());
                Ok(here)
            }
            Some(_) => {
                Err(Error::user("host_refused", "a connection's base URL may only be http to loopback"))
            }
        }
    }

    async fn send(
        &self,
        transport: &dyn Transport,
        asking: &Asking<'_>,
        url: &Url,
        mut headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<wire::Response, Error> {
        headers.push(("Accept".to_owned(), "application/json".to_owned()));
        let request = wire::Request {
            method: "POST".to_owned(),
            url: self.at(url, asking.connection)?,
            headers,
            body,
            timeout: TIMEOUT,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        transport.send(request).await.map_err(|TransportError { sent, detail }| Error {
            class: Class::Retry { after: None },
            status: None,
            code: if sent { "no_answer" } else { "not_reached" }.to_owned(),
            detail: format!("for a token of {}: {}", self.title, asking.masked(&detail)),
            body: None,
            // The token by which it was asked may be spent.
            unknown: sent,
        })
    }

    /// Why there is no token, said by who can mend it (RFC 6749, 5.2).
    fn refusal(&self, asking: &Asking<'_>, response: &wire::Response, now: Timestamp) -> Error {
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let (is_login, good) = (matches!(self.kind, Kind::Session(_)), (200..300).contains(&response.status));
        // Perhaps it was granted, and only the answer is broken.
        let broken = good && !is_login && !answer.is_object();
        let word = answer["error"].as_str().unwrap_or_default();
        let said = answer["error_description"].as_str().or(answer["message"].as_str()).unwrap_or(word);
        let said: String = asking.masked(said).chars().take(WORDS_MAX).collect();
        let title = &self.title;
        let passes = broken || PASSING.contains(&word);
        let (class, code, detail) = match (word, response.status) {
            (_, status) if passes || matches!(status, 408 | 425 | 429 | 500..) => {
                let after = crate::answer::retry_after(response, now);
                let detail = format!("{title} gives no token at the moment: {status} {said}");
                (Class::Retry { after }, "grant_unavailable", detail)
            }
            (_, 400 | 401 | 403) if is_login => {
                let detail =
                    format!("{title} does not let this connection log in: {} {said}", response.status);
                (Class::Auth, "grant_refused", detail)
            }
            (word, _) if SPENT.contains(&word) && self.asks_a_person() => {
                let detail = format!(
                    "{title} takes this connection's refresh token no more: {said}. Somebody has to agree again"
                );
                (Class::Auth, "grant_refused", detail)
            }
            ("invalid_grant", _) => {
                (Class::Auth, "grant_refused", format!("{title} refuses the assertion or the user: {said}"))
            }
            ("invalid_client" | "unauthorized_client", _) => {
                let detail = format!("{title} does not accept the client id or its secret: {said}");
                (Class::Auth, "client_refused", detail)
            }
            ("invalid_scope", _) => {
                (Class::Auth, "scope_refused", format!("{title} refuses a scope that is asked for: {said}"))
            }
            _ => {
                let status = response.status;
                (Class::Auth, "unauthorized", format!("{title} gives no token: {status} {said}"))
            }
        };
        let status = Some(response.status);
        // A server that broke may have spent what was shown to it before.
        let unknown = response.status >= 500 || broken;
        Error { class, status, code: code.to_owned(), detail, body: None, unknown }
    }
}

/// What a question shows that must not be seen in what is said of it.
struct Asking<'a> {
    connection: &'a Connection,
    hidden: Vec<Secret>,
}

impl Asking<'_> {
    /// `text` without credentials, tokens, codes and assertions that a vendor echoes.
    fn masked(&self, text: &str) -> String {
        let hide = |text: String, secret: &Secret| text.replace(secret.reveal(), "***");
        self.connection.masked(&self.hidden.iter().fold(text.to_owned(), hide))
    }
}

fn hidden(form: Vec<(&str, Secret)>, headers: &[(String, String)]) -> Vec<Secret> {
    let shown = form.into_iter().filter(|(name, _)| HIDDEN.contains(name)).map(|(_, secret)| secret);
    let pairs = headers.iter().filter_map(|(_, value)| value.strip_prefix("Basic ")).map(Secret::new);
    shown.chain(pairs).filter(|secret| !secret.is_empty()).collect()
}

/// Headers and body that ask for a token.
fn asking(
    endpoint: &Endpoint,
    connection: &Connection,
    form: &[(&str, Secret)],
) -> Result<(Vec<(String, String)>, Bytes), Error> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form {
        body.append_pair(name, value.reveal());
    }
    for (name, text) in &endpoint.parameters {
        if let Some(value) = text.of_or_nothing(connection) {
            body.append_pair(name, value.reveal());
        }
    }
    let mut headers = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    if endpoint.client_id.is_some() {
        let id = client_id(endpoint, connection)?;
        let secret = endpoint.client_secret.as_ref().map(|field| Text::Field(field.clone()));
        match secret.and_then(|text| text.of_or_nothing(connection)) {
            Some(secret) if !endpoint.in_body => {
                headers.push(("Authorization".to_owned(), basic(&encoded(&id), &encoded(&secret))));
            }
            secret => {
                body.append_pair("client_id", id.reveal());
                if let Some(secret) = secret {
                    body.append_pair("client_secret", secret.reveal());
                }
            }
        }
    }
    Ok((headers, Bytes::from(body.finish())))
}

fn client_id(endpoint: &Endpoint, connection: &Connection) -> Result<Secret, Error> {
    match &endpoint.client_id {
        Some(field) => super::field_of(connection, field).cloned(),
        None => Ok(Secret::new("")),
    }
}

fn encoded(text: &Secret) -> Secret {
    Secret::new(form_urlencoded::byte_serialize(text.reveal().as_bytes()).collect::<String>())
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds > 0)
}

/// Whether a host is one of a list that may have families (`*.example.com`).
pub(crate) fn admits(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some(family) => host.strip_suffix(family).is_some_and(|before| !before.is_empty()),
        None => allowed == host,
    })
}
