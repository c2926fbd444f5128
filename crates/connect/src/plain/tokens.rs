//! Tokens of OAuth 2 and OpenID Connect: asked for by a grant, and kept until they are about to expire.
//!
//! A token is kept in memory only, under a digest of all that it was asked for with, secrets included: whoever changes a
//! credential asks anew. One that an API refuses (401) is forgotten, and asked for once more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::digest::{Context, SHA256};
use ring::hmac;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{Egress, Wallet, admit};
use crate::credentials::Secret;
use crate::error::{Class, Error};
use crate::transport::{Transport, TransportError};
use crate::wire;

/// For the answer of who gives tokens.
const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Tokens kept at once; beyond that, all are forgotten.
const KEPT_MAX: usize = 1_000;
/// So long before it expires a token is used no longer.
const LEAD: SignedDuration = SignedDuration::from_secs(30);
/// No token is kept longer, whatever its giver says.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// How long a client's own assertion holds.
const ASSERTION_LIFE: SignedDuration = SignedDuration::from_secs(60);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What a token to be exchanged is, unless the flow says so.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

type Key = [u8; 32];

/// Tokens that are still good.
#[derive(Debug, Default)]
pub struct Tokens {
    kept: Mutex<BTreeMap<Key, (Secret, Timestamp)>>,
}

impl Tokens {
    fn get(&self, key: &Key, now: Timestamp) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(_, until)| now < *until).map(|(token, _)| token.clone())
    }

    fn keep(&self, key: Key, token: &Secret, until: Timestamp, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, until)| now < *until);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (token.clone(), until));
    }

    /// A token that was refused is not used again.
    pub(super) fn forget(&self, token: &Token) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&token.key);
    }
}

/// A token, and what it was asked for with.
pub(super) struct Token {
    pub secret: Secret,
    /// It was asked for by an earlier call.
    pub kept: bool,
    key: Key,
}

/// A token as a policy asks for it.
pub(super) async fn token(
    wallet: &Wallet,
    transport: &dyn Transport,
    egress: &Egress,
    oauth: &Value,
) -> Result<Token, Error> {
    let place = oauth["token"].as_str().or(oauth["issuer"].as_str()).unwrap_or_default();
    let place = address(place)?;
    admit(egress, wallet, &place)?;
    let form = form(wallet, oauth, &place)?;
    let client = Client::read(wallet, &oauth["client"], &place)?;
    let key = key(wallet, &place, &form, client.as_ref());
    if let Some(secret) = wallet.tokens.get(&key, wallet.now) {
        return Ok(Token { secret, kept: true, key });
    }
    let (place, form, client) = match oauth["issuer"].as_str() {
        Some(issuer) => {
            // What is shown goes where the issuer says: each secret has to be allowed to go there.
            let place = discovered(wallet, transport, egress, issuer).await?;
            let form = self::form(wallet, oauth, &place)?;
            let client = Client::read(wallet, &oauth["client"], &place)?;
            (place, form, client)
        }
        None => (place, form, client),
    };
    let json = oauth["json"] == true;
    let request = asking(wallet, &place, form, client.as_ref(), json);
    let (status, answer) = ask(transport, request).await?;
    let secret = given(wallet, &place, status, &answer)?;
    check_issuer(&oauth["issuers"], &secret)?;
    // Who does not say how long it holds is asked each time.
    if let Some(life) = seconds(&answer["expires_in"]) {
        let life = SignedDuration::from_secs(life).min(LIFE_MAX) - LEAD;
        if life.is_positive() {
            wallet.tokens.keep(key, &secret, wallet.now + life, wallet.now);
        }
    }
    Ok(Token { secret, kept: false, key })
}

fn address(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::user("argument_type", format!("`{text}`: {error}")))
}

fn seconds(value: &Value) -> Option<i64> {
    // Some say it as text.
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds > 0)
}

/// What a grant asks with, but for who asks.
fn form(wallet: &Wallet, oauth: &Value, place: &Url) -> Result<Vec<(&'static str, String)>, Error> {
    let grant = oauth["grant"].as_str().unwrap_or("client_credentials");
    let mut form = vec![("grant_type", grant.to_owned())];
    let secret = |value: &Value, what: &str| wallet.text(value, what, place);
    for name in ["username", "password"] {
        if let Some(value) = oauth.get(name) {
            form.push((name, secret(value, name)?.reveal().to_owned()));
        }
    }
    let token = |name: &str| oauth.get(name).map(|held| (&held["token"], held["type"].as_str()));
    if let Some((held, kind)) = token("subject") {
        let held = secret(held, "subject.token")?.reveal().to_owned();
        if grant == "refresh_token" {
            form.push(("refresh_token", held));
        } else {
            form.push(("subject_token", held));
            form.push(("subject_token_type", kind.unwrap_or(ACCESS_TOKEN).to_owned()));
        }
    }
    if let Some((held, kind)) = token("actor") {
        form.push(("actor_token", secret(held, "actor.token")?.reveal().to_owned()));
        form.push(("actor_token_type", kind.unwrap_or(ACCESS_TOKEN).to_owned()));
    }
    if let Some(scope) = oauth["scope"].as_str() {
        form.push(("scope", scope.to_owned()));
    }
    let audiences = oauth["audience"].as_array().into_iter().flatten().filter_map(Value::as_str);
    form.extend(audiences.map(|audience| ("audience", audience.to_owned())));
    Ok(form)
}

/// Who asks for a token.
struct Client {
    id: Secret,
    method: String,
    /// A secret, or the assertion of `private_key_jwt`.
    secret: Secret,
}

impl Client {
    fn read(wallet: &Wallet, client: &Value, place: &Url) -> Result<Option<Client>, Error> {
        if client.is_null() {
            return Ok(None);
        }
        let method = client["method"].as_str().unwrap_or("client_secret_basic").to_owned();
        let id = wallet.text(&client["id"], "client.id", place)?;
        let secret = match method.as_str() {
            "none" => Secret::new(""),
            "private_key_jwt" => wallet.text(&client["assertion"], "client.assertion", place)?,
            _ => wallet.text(&client["secret"], "client.secret", place)?,
        };
        Ok(Some(Client { id, method, secret }))
    }

    /// What stands in the header (RFC 6749, 2.3.1).
    fn pair(&self) -> String {
        let encode =
            |text: &Secret| form_urlencoded::byte_serialize(text.reveal().as_bytes()).collect::<String>();
        STANDARD.encode(format!("{}:{}", encode(&self.id), encode(&self.secret)))
    }

    /// What it says in the body.
    fn fields(&self, place: &Url, now: Timestamp) -> Vec<(&'static str, String)> {
        let id = ("client_id", self.id.reveal().to_owned());
        match self.method.as_str() {
            "client_secret_basic" => Vec::new(),
            "client_secret_post" => vec![id, ("client_secret", self.secret.reveal().to_owned())],
            "none" => vec![id],
            method => {
                let assertion = match method {
                    "client_secret_jwt" => self.assertion(place, now),
                    _ => self.secret.reveal().to_owned(),
                };
                vec![
                    id,
                    ("client_assertion_type", ASSERTION_TYPE.to_owned()),
                    ("client_assertion", assertion),
                ]
            }
        }
    }

    /// A statement signed with the secret (RFC 7523, HS256). Its id is different at each time, and nobody else can guess
    /// it.
    fn assertion(&self, place: &Url, now: Timestamp) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.reveal().as_bytes());
        let id = hmac::sign(&key, now.as_nanosecond().to_string().as_bytes());
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": self.id.reveal(), "sub": self.id.reveal(), "aud": place.as_str(),
            "jti": URL_SAFE_NO_PAD.encode(&id.as_ref()[..16]),
            "iat": now.as_second(), "exp": (now + ASSERTION_LIFE).as_second(),
        });
        let text = format!("{}.{}", encode(json!({"alg": "HS256", "typ": "JWT"})), encode(claims));
        let signature = hmac::sign(&key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// What a token is kept by: all that it is asked for with.
fn key(wallet: &Wallet, place: &Url, form: &[(&str, String)], client: Option<&Client>) -> Key {
    let mut hash = Context::new(&SHA256);
    let mut part = |text: &str| {
        // Length first: no two lists of parts may hash alike.
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(&wallet.workspace);
    part(place.as_str());
    form.iter().for_each(|(name, value)| [name, value.as_str()].into_iter().for_each(&mut part));
    if let Some(client) = client {
        [client.id.reveal(), &client.method, client.secret.reveal()].into_iter().for_each(&mut part);
    }
    let mut key = Key::default();
    key.copy_from_slice(hash.finish().as_ref());
    key
}

/// The request for a token.
fn asking(
    wallet: &Wallet,
    place: &Url,
    mut form: Vec<(&'static str, String)>,
    client: Option<&Client>,
    json: bool,
) -> wire::Request {
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    if let Some(client) = client {
        form.extend(client.fields(place, wallet.now));
        if client.method == "client_secret_basic" {
            headers.push(("Authorization".to_owned(), format!("Basic {}", client.pair())));
        }
    }
    let (kind, body) = if json {
        let mut fields: Map<String, Value> = Map::new();
        for (name, value) in form {
            match fields.get_mut(name) {
                // Several audiences are a list.
                Some(Value::Array(values)) => values.push(value.into()),
                Some(first) => *first = json!([first.clone(), value]),
                None => drop(fields.insert(name.to_owned(), value.into())),
            }
        }
        ("application/json", Value::Object(fields).to_string())
    } else {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        ("application/x-www-form-urlencoded", body.finish())
    };
    headers.push(("Content-Type".to_owned(), kind.to_owned()));
    request("POST", place.clone(), headers, body)
}

fn request(method: &str, url: Url, headers: Vec<(String, String)>, body: String) -> wire::Request {
    wire::Request {
        method: method.to_owned(),
        url,
        headers,
        body: Bytes::from(body),
        timeout: TIMEOUT,
        body_bytes_max: ANSWER_BYTES_MAX,
    }
}

/// Status and JSON of an answer, null where it is none.
async fn ask(transport: &dyn Transport, request: wire::Request) -> Result<(u16, Value), Error> {
    let answer = transport.send(request).await.map_err(|TransportError { detail, .. }| {
        // Nothing was asked of the API itself yet.
        refused(Class::Retry { after: None }, None, "not_reached", format!("for a token: {detail}"))
    })?;
    Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
}

fn refused(class: Class, status: Option<u16>, code: &str, detail: String) -> Error {
    Error { class, status, code: code.to_owned(), detail, body: None, unknown: false }
}

/// Who could not give it may later; who would not needs somebody to look at the credentials.
fn unusable(status: u16, detail: String) -> Error {
    let class = if status >= 500 || status == 429 { Class::Retry { after: None } } else { Class::Auth };
    refused(class, Some(status), "unauthorized", detail)
}

fn given(wallet: &Wallet, place: &Url, status: u16, answer: &Value) -> Result<Secret, Error> {
    let told = &place[..url::Position::AfterPath];
    match answer["access_token"].as_str().filter(|_| (200..300).contains(&status)) {
        Some(token) if !token.is_empty() && token.bytes().all(|byte| (0x21..0x7f).contains(&byte)) => {
            Ok(Secret::new(token))
        }
        _ => {
            let said = answer["error"].as_str().unwrap_or("no token");
            Err(unusable(status, format!("{told} gives no token: {status} {}", wallet.masked(said))))
        }
    }
}

/// Where an issuer gives tokens (OpenID Connect Discovery).
async fn discovered(
    wallet: &Wallet,
    transport: &dyn Transport,
    egress: &Egress,
    issuer: &str,
) -> Result<Url, Error> {
    let place = address(&format!("{issuer}/.well-known/openid-configuration"))?;
    let headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    let (status, answer) = ask(transport, request("GET", place, headers, String::new())).await?;
    if answer["issuer"].as_str().map(|said| said.trim_end_matches('/')) != Some(issuer) {
        let why = format!("{issuer} does not describe itself: {status}, issuer {}", answer["issuer"]);
        return Err(unusable(status, wallet.masked(&why)));
    }
    let place = address(answer["token_endpoint"].as_str().unwrap_or_default())?;
    admit(egress, wallet, &place)?;
    Ok(place)
}

/// Whether one of the issuers that the flow trusts says that it gave the token.
fn check_issuer(issuers: &Value, token: &Secret) -> Result<(), Error> {
    let Some(issuers) = issuers.as_array() else { return Ok(()) };
    let claims = token.reveal().split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if issuers.contains(&claims["iss"]) && !claims["iss"].is_null() {
        return Ok(());
    }
    let why = format!("the token says that {} gave it, which is none of `issuers`", claims["iss"]);
    Err(Error::of(Class::Auth, "unauthorized", why))
}
