//! A person lets a connection in: `POST /v1/connections/{name}/authorize` says where to ask, and
//! `POST /v1/connections/{name}/authorized` takes the code that the browser comes back with.
//!
//! What was asked lives in this process only, for [`LIFE`]: an answer to anything else is refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use connect::auth::{Agreement, Grant, Tokens};
use connect::{Manifest, Secret};
use flow::chance::Rng as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{NewGrant, Secrets};
use url::Url;

use super::{find, opened};
use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};

/// How long a person may take.
const LIFE: SignedDuration = SignedDuration::from_mins(15);
/// Questions that are open at once; the oldest is forgotten for another one.
const OPEN_MAX: usize = 256;

/// Questions to people that are open, by their state.
#[derive(Default)]
pub struct Agreements(Mutex<BTreeMap<String, Open>>);

struct Open {
    connection: String,
    agreement: Agreement,
    asked_at: Timestamp,
}

impl Agreements {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, open: Open) {
        let mut all = self.lock();
        all.retain(|_, other| open.asked_at.duration_since(other.asked_at) < LIFE);
        while all.len() >= OPEN_MAX {
            let oldest = all.iter().min_by_key(|(_, open)| open.asked_at).map(|(state, _)| state.clone());
            oldest.map(|state| all.remove(&state));
        }
        all.insert(open.agreement.state.reveal().to_owned(), open);
    }

    /// Each question is answered once.
    fn take(&self, state: &str, connection: &str, now: Timestamp) -> Option<Agreement> {
        let open = self.lock().remove(state)?;
        let fits = open.connection == connection && now.duration_since(open.asked_at) < LIFE;
        fits.then_some(open.agreement)
    }
}

/// Body: `{redirect_uri}`, where the browser is sent back to. Answers `{url, state, expires_at}`.
pub async fn ask(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let redirect = fields.text("redirect_uri", "give where the browser is to come back to");
    if Url::parse(&redirect).is_err() && !redirect.is_empty() {
        fields.wrong("redirect_uri", "is no address", "give one such as http://127.0.0.1:PORT/callback");
    }
    fields.finish(&["redirect_uri"])?;
    let stored = find(&app, &name).await?;
    let connection = opened(&stored)?;
    let (_, grant) = grant_of(&app, &stored.info)?;
    let mut chance = [0; 64];
    app.rng().fill(&mut chance);
    let agreement = grant
        .agreement(&connection, &redirect, chance)
        .map_err(|error| Problem::field("credentials", error.detail, "add what is missing"))?
        .ok_or_else(|| nobody_asked(&name))?;
    let now = app.now();
    let document = json!({
        "url": agreement.url.as_str(),
        "state": agreement.state.reveal(),
        "expires_at": now.saturating_add(LIFE).unwrap_or(now),
    });
    app.agreements().keep(Open { connection: name, agreement, asked_at: now });
    Ok(Json(document))
}

/// Body: `{state, code}`, or `{url}`: the address that the browser came back to. Answers `{ok, detail, scopes,
/// expires_at}`; that the vendor says no is an answer, not a problem.
pub async fn redeem(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let (mut state, mut code) = (fields.optional_text("state"), fields.optional_text("code"));
    let mut refused = fields.optional_text("error");
    if let Some(url) = fields.optional_text("url") {
        let url = Url::parse(url.trim());
        for (name, value) in url.iter().flat_map(|url| url.query_pairs()) {
            match name.as_ref() {
                "state" => state = Some(value.into_owned()),
                "code" => code = Some(value.into_owned()),
                "error_description" | "error" if refused.is_none() => refused = Some(value.into_owned()),
                _ => {}
            }
        }
    }
    let state = state.unwrap_or_default();
    if code.is_none() && refused.is_none() {
        fields.wrong("code", "is missing", "give the whole address that the browser came back to");
    }
    fields.finish(&["state", "code", "url", "error"])?;
    let stored = find(&app, &name).await?;
    let connection = opened(&stored)?;
    let (manifest, grant) = grant_of(&app, &stored.info)?;
    let agreement = app.agreements().take(&state, &name, app.now()).ok_or_else(|| {
        let detail = format!(
            "nobody asked for this: the question is over 15 minutes old, was answered already, or is of another connection. \
             `tributary connection authorize {name}` asks again"
        );
        Problem::new(Code::WrongState, detail)
    })?;
    let title = &manifest.title;
    let Some(code) = code.filter(|_| refused.is_none()) else {
        let said = refused.unwrap_or_default();
        let detail = format!("{title} was told no: {said}");
        return Ok(Json(json!({"ok": false, "detail": detail, "code": "grant_refused"})));
    };
    let code = Secret::new(code);
    match grant.redeem(app.transport(), &connection, &agreement, &code, app.now()).await {
        Ok(tokens) => {
            let renewable = tokens.refresh.is_some() || tokens.expires_at.is_none();
            let answer = json!({
                "ok": true,
                "detail": words(title, grant, &tokens, renewable),
                "scopes": tokens.scopes,
                "expires_at": tokens.expires_at,
                "renewable": renewable,
            });
            keep(&app, &name, &tokens).await?;
            Ok(Json(answer))
        }
        Err(error) => Ok(Json(json!({"ok": false, "detail": error.detail, "code": error.code}))),
    }
}

/// Puts tokens in the place of whatever was granted before.
pub async fn keep(app: &App, name: &str, tokens: &Tokens) -> Result<(), Problem> {
    let grant = new_grant(tokens);
    Ok(app.store().put_grant(app.workspace(), name, grant, &mut app.rng(), app.now()).await?)
}

/// Tokens as the store keeps them.
pub fn new_grant(tokens: &Tokens) -> NewGrant {
    NewGrant {
        tokens: Secrets::new(tokens.secrets()),
        scopes: tokens.scopes.clone(),
        expires_at: tokens.expires_at,
    }
}

fn words(title: &str, grant: &Grant, tokens: &Tokens, renewable: bool) -> String {
    let mut words = format!("{title} lets this connection in");
    let lacking = tokens.scopes.as_ref().map(|given| {
        let lacks = |scope: &&String| !given.contains(scope);
        grant.scopes().iter().filter(lacks).cloned().collect::<Vec<_>>().join(", ")
    });
    if let Some(lacking) = lacking.filter(|lacking| !lacking.is_empty()) {
        words += &format!(", but without what was asked for as well: {lacking}");
    }
    if !renewable {
        words += ". It gave nothing to renew this by: somebody has to agree again when it ends";
    }
    words
}

fn grant_of<'a>(app: &'a App, info: &store::ConnectionInfo) -> Result<(&'a Manifest, &'a Grant), Problem> {
    let manifest = app.catalog().get(&info.connector);
    let grant = manifest.and_then(|manifest| Some((manifest, &**manifest.grant()?)));
    grant.filter(|(_, grant)| grant.asks_a_person()).ok_or_else(|| nobody_asked(&info.name))
}

fn nobody_asked(name: &str) -> Problem {
    let detail = format!("`{name}` needs nobody's agreement: its credentials are all that it shows");
    Problem::new(Code::WrongState, detail)
}
