//! `PUT /v1/connections/{name}`: makes a connection, or changes one.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use connect::auth::Tokens;
use connect::{Manifest, Secret};
use flow::HookId;
use http::StatusCode;
use serde_json::{Map, Value};
use store::{Along, NewConnection, Secrets};

use super::{authorize, document, opened};
use crate::App;
use crate::input::Fields;
use crate::problem::Problem;

/// Letters of a connection's name at most.
const NAME_LENGTH_MAX: usize = 64;
/// Bytes of one credential at most.
const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;
const MEMBERS: [&str; 4] = ["connector", "live", "base_url", "credentials"];

/// Body: `{connector, live?, base_url?: text | null, credentials?: {name: text | null}}`. What is not given stays as
/// it is, null takes it away. 201 when it is new.
pub async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut fields = Fields::read(body).await?;
    let _turn = app.turn().lock().await;
    let present = app.store().connection(app.workspace(), &name).await?;
    let connector = fields.text("connector", "name what to connect; /v1/connectors lists what can be");
    let live = fields.optional_flag("live");
    let base_url = fields.changed_text("base_url");
    let mut given = fields.object("credentials");

    if !is_name(&name) {
        fields.wrong(
            "name",
            format!("`{name}` is no name"),
            "use a to z, 0 to 9, - and _, beginning with a letter",
        );
    }
    let manifest = app.catalog().get(&connector);
    if manifest.is_none() && !connector.is_empty() {
        let slugs: Vec<&str> = app.catalog().slugs().collect();
        fields.wrong(
            "connector",
            format!("there is no `{connector}`"),
            format!("there are: {}", slugs.join(", ")),
        );
    }
    if let Some(present) = &present
        && present.info.connector != connector
    {
        fields.wrong(
            "connector",
            format!("`{name}` is a connection to {}", present.info.connector),
            "give the new connection another name",
        );
    }
    let mut credentials = Secrets::default();
    for (field, value) in present.iter().flat_map(|present| present.credentials.iter()) {
        credentials.set(field, value);
    }
    let Some(manifest) = manifest else { return Err(finish(fields)) };
    let refresh = refresh_token(&mut given, manifest, &mut fields);
    merge(&mut credentials, given, manifest, &mut fields);
    let before = present.as_ref().map(|present| present.info.live);
    let live = mode(manifest, &credentials, live, before, &mut fields);
    let base_url =
        base_url.unwrap_or_else(|| present.as_ref().and_then(|present| present.info.base_url.clone()));
    let new = NewConnection { name: name.clone(), connector, live, base_url, credentials };
    check_base_url(manifest, &new, &mut fields);
    fields.finish(&MEMBERS)?;

    // One unit; one that was made before its connector took webhooks is given an address as well.
    let hooks = app.store().hooks(app.workspace()).await?;
    let has_hook = hooks.iter().any(|hook| hook.connection == name);
    let along = Along {
        over: present.as_ref().is_some_and(|present| is_over(manifest, present, &new)),
        grant: refresh.map(|refresh| authorize::new_grant(&Tokens::to_renew(refresh))),
        hook: (manifest.webhook().is_some() && !has_hook).then(|| HookId::random(&mut app.rng())),
        registered: None,
    };
    let info =
        app.store().put_connection_along(app.workspace(), new, &along, &mut app.rng(), app.now()).await?;
    let hooks = app.store().hooks(app.workspace()).await?;
    let status = if present.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(document(&app, &info, hooks.iter().find(|hook| hook.connection == name)))))
}

/// Whether what the vendor granted was granted to something else than what the connection is from now on.
fn is_over(manifest: &Manifest, present: &store::Connection, new: &NewConnection) -> bool {
    let Some(grant) = manifest.grant() else { return false };
    let signing = manifest.webhook().map(|webhook| webhook.secret_field());
    let mut names = present.credentials.names().chain(new.credentials.names());
    present.info.base_url != new.base_url
        || present.info.live != new.live
        || names.any(|name| {
            let changed = present.credentials.get(name) != new.credentials.get(name);
            changed && signing != Some(name) && grant.binds(name)
        })
}

/// The problem of fields that are known to hold a mistake.
fn finish(fields: Fields) -> Problem {
    match fields.finish(&MEMBERS) {
        Err(problem) => problem,
        Ok(()) => Problem::field("connector", "is missing", "name what to connect"),
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

/// What somebody who agreed elsewhere brings: it is no credential of the connection's own, and changes with each renewal.
fn refresh_token(given: &mut Map<String, Value>, manifest: &Manifest, fields: &mut Fields) -> Option<Secret> {
    manifest.grant().filter(|grant| grant.asks_a_person())?;
    match given.shift_remove("refresh_token")? {
        Value::String(text) if !text.trim().is_empty() && text.len() <= CREDENTIAL_BYTES_MAX => {
            Some(Secret::new(text.trim()))
        }
        _ => {
            fields.wrong("credentials.refresh_token", "is no token", "give a string, or leave it out");
            None
        }
    }
}

/// Mistakes name the field and never the value.
fn merge(credentials: &mut Secrets, given: Map<String, Value>, manifest: &Manifest, fields: &mut Fields) {
    for (name, value) in given {
        let field = format!("credentials.{name}");
        if !manifest.credentials().iter().any(|known| known.name == name) {
            let known: Vec<&str> = manifest.credentials().iter().map(|field| field.name.as_str()).collect();
            fields.wrong(
                &field,
                format!("{} has no such credential", manifest.title),
                format!("it has: {}", known.join(", ")),
            );
            continue;
        }
        match value {
            Value::Null => credentials.remove(&name),
            Value::String(text) if text.len() > CREDENTIAL_BYTES_MAX => {
                fields.wrong(&field, "is too long", format!("at most {CREDENTIAL_BYTES_MAX} bytes"));
            }
            Value::String(text) if text.trim().is_empty() => {
                fields.wrong(&field, "is empty", "give it, leave it out, or give null to take it away");
            }
            Value::String(text) => credentials.set(name, text.trim()),
            _ => fields.wrong(&field, "is not a string", "give a string"),
        }
    }
    for field in manifest.credentials().iter().filter(|field| field.required) {
        if credentials.get(&field.name).is_none() {
            let remedy =
                if field.help.is_empty() { format!("give the {}", field.title) } else { field.help.clone() };
            fields.wrong(&format!("credentials.{}", field.name), "is missing", remedy);
        }
    }
}

/// What was asked for, what it was before, what the key says; a contradiction is a mistake.
fn mode(
    manifest: &Manifest,
    credentials: &Secrets,
    asked: Option<bool>,
    before: Option<bool>,
    fields: &mut Fields,
) -> bool {
    let opened =
        credentials.iter().map(|(name, value)| (name.to_owned(), connect::Secret::new(value))).collect();
    let shown = manifest.live(&opened);
    let chosen = asked.or(before).or(shown).unwrap_or(false);
    if let Some(shown) = shown
        && shown != chosen
    {
        let (key, wanted) = if shown { ("live", "true (--live)") } else { ("test", "false (--test)") };
        fields.wrong(
            "live",
            format!("the key is one of {key} mode"),
            format!("give {wanted}, or the other key"),
        );
    }
    chosen
}

fn check_base_url(manifest: &Manifest, new: &NewConnection, fields: &mut Fields) {
    let Some(text) = &new.base_url else { return };
    let remedy = "give http://127.0.0.1:PORT of a sandbox twin, or leave it out for the real API";
    let stored = store::Connection {
        info: store::ConnectionInfo {
            id: flow::ConnectionId::new(""),
            name: new.name.clone(),
            connector: new.connector.clone(),
            live: new.live,
            base_url: Some(text.clone()),
            credentials: Vec::new(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        },
        credentials: Secrets::default(),
    };
    match opened(&stored) {
        Err(_) => fields.wrong("base_url", format!("`{text}` is no URL"), remedy),
        Ok(connection) => {
            for problem in
                manifest.problems(&connection).into_iter().filter(|problem| problem.contains("base_url"))
            {
                fields.wrong("base_url", problem, remedy);
            }
        }
    }
}
