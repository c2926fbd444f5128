//! A person lets a connection in: `POST /v1/connections/{name}/authorize` says where to ask, and
//! `POST /v1/connections/{name}/authorized` takes the code that the browser comes back with.
//!
//! What was asked lives in this process only, for [`LIFE`]: an answer to anything else is refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use connect::auth::{Agreement, Grant, Tokens};
use connect::{Manifest, Secret};
use flow::ConnectionId;
use flow::chance::Rng as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{ConnectionInfo, NewGrant, Secrets};
use url::Url;

use super::{find, opened};
use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};

/// How long a person may take.
const LIFE: SignedDuration = SignedDuration::from_mins(15);
/// Questions that are open at once; the oldest is forgotten for another one.
const OPEN_MAX: usize = 256;

/// How often a store that takes nothing is given what was granted: ten minutes.
const KEEP_TRIES: u32 = 300;
const KEEP_PAUSE: Duration = Duration::from_secs(2);

/// Questions to people that are open, by their state.
#[derive(Default)]
pub struct Agreements(Mutex<BTreeMap<String, Open>>);

struct Open {
    /// Not its name: the same name may be another vendor's by the time somebody answers.
    connection: ConnectionId,
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
    fn take(&self, state: &str, connection: &ConnectionId, now: Timestamp) -> Option<Agreement> {
        let open = self.lock().remove(state)?;
        let fits = open.connection == *connection && now.duration_since(open.asked_at) < LIFE;
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
    app.agreements().keep(Open { connection: stored.info.id, agreement, asked_at: now });
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
    let (manifest, _) = grant_of(&app, &stored.info)?;
    let agreement = app.agreements().take(&state, &stored.info.id, app.now()).ok_or_else(|| {
        let detail = format!(
            "nobody asked for this: the question is over 15 minutes old, was answered already, or is of another connection. \
             `tributary connection authorize {name}` asks again"
        );
        Problem::new(Code::WrongState, detail)
    })?;
    let Some(code) = code.filter(|_| refused.is_none()) else {
        let said = refused.unwrap_or_default();
        let detail = format!("{} was told no: {said}", manifest.title);
        return Ok(Json(json!({"ok": false, "detail": detail, "code": "grant_refused"})));
    };
    // A code is good once: what it brings is kept though nobody waits for the answer any more.
    let exchange = tokio::spawn(exchange(app, stored, agreement, Secret::new(code)));
    let broke = |_| Problem::new(Code::Internal, "the exchange broke off: ask again");
    Ok(Json(exchange.await.map_err(broke)??))
}

async fn exchange(
    app: App,
    stored: store::Connection,
    agreement: Agreement,
    code: Secret,
) -> Result<Value, Problem> {
    let connection = opened(&stored)?;
    let (manifest, grant) = grant_of(&app, &stored.info)?;
    let tokens = match grant.redeem(app.transport(), &connection, &agreement, &code, app.now()).await {
        Ok(tokens) => tokens,
        Err(error) => return Ok(json!({"ok": false, "detail": error.detail, "code": error.code})),
    };
    let renewable = tokens.refresh.is_some() || tokens.expires_at.is_none();
    let answer = json!({
        "ok": true,
        "detail": words(&manifest.title, grant, &tokens, renewable),
        "scopes": tokens.scopes,
        "expires_at": tokens.expires_at,
        "renewable": renewable,
    });
    keep(&app, &stored.info, &tokens).await?;
    Ok(answer)
}

/// Puts tokens in the place of whatever was granted before, as soon as the store takes them.
async fn keep(app: &App, info: &ConnectionInfo, tokens: &Tokens) -> Result<(), Problem> {
    let mut tries = KEEP_TRIES;
    loop {
        // Another connection may have its name by now.
        let present = app.store().connection(app.workspace(), &info.name).await;
        if matches!(&present, Ok(present) if present.as_ref().is_none_or(|other| other.info.id != info.id)) {
            let detail = format!("connection `{}` was removed meanwhile", info.name);
            return Err(Problem::new(Code::WrongState, detail));
        }
        let grant = new_grant(tokens);
        let kept = app.store().put_grant(app.workspace(), &info.name, grant, &mut app.rng(), app.now()).await;
        match kept {
            Err(error) if tries > 0 && (error.passes() || matches!(error, store::Error::Key(_))) => {
                tracing::warn!(connection = info.name, %error, "what was granted is stored later");
                tries -= 1;
                tokio::time::sleep(KEEP_PAUSE).await;
            }
            kept => return Ok(kept?),
        }
    }
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
