//! `/v1/connections`: accounts with vendors. Credentials go in and never come out.

pub mod authorize;
pub mod check;
pub mod hook;
mod put;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};
use store::ConnectionInfo;

use crate::App;
use crate::problem::{Code, Problem};
use crate::v1::hooks;
pub use authorize::Agreements;
pub use put::put;

/// `GET /v1/connections`
pub async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let hooks = app.store().hooks(app.workspace()).await?;
    let connections: Vec<Value> = app
        .store()
        .connections(app.workspace())
        .await?
        .iter()
        .map(|info| document(&app, info, hooks.iter().find(|hook| hook.connection == info.name)))
        .collect();
    Ok(Json(json!({"connections": connections})))
}

/// `GET /v1/connections/{name}`
pub async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let connection = find(&app, &name).await?;
    let hooks = app.store().hooks(app.workspace()).await?;
    let mut document = document(&app, &connection.info, hooks.iter().find(|hook| hook.connection == name));
    document["grant"] = granted(&app, &connection.info).await?;
    document["poll"] = match app.store().poll(app.workspace(), &name).await? {
        None => Value::Null,
        Some(poll) => json!({
            "upto": poll.upto,
            "asked_at": poll.asked_at,
            "found": poll.found,
            "problem": poll.problem.map(|(problem, _)| problem),
        }),
    };
    Ok(Json(document))
}

/// What the vendor granted, but for the tokens; null where it grants none, or has not yet.
async fn granted(app: &App, info: &ConnectionInfo) -> Result<Value, Problem> {
    if app.catalog().get(&info.connector).is_none_or(|manifest| manifest.grant().is_none()) {
        return Ok(Value::Null);
    }
    Ok(match app.store().grant(app.workspace(), &info.name).await? {
        None => Value::Null,
        Some(grant) => json!({
            "scopes": grant.scopes,
            "expires_at": grant.expires_at,
            "granted": grant.n,
            "updated_at": grant.updated_at,
            "problem": grant.problem.and_then(|(problem, _)| serde_json::from_str::<Value>(&problem).ok()),
        }),
    })
}

/// `DELETE /v1/connections/{name}`: refused while a flow uses it.
pub async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let _turn = app.turn().lock().await;
    find(&app, &name).await?;
    let users: Vec<String> = app
        .store()
        .flows(app.workspace())
        .await?
        .into_iter()
        .filter(|flow| flow.connections.values().any(|used| *used == name))
        .map(|flow| flow.name)
        .collect();
    if !users.is_empty() {
        let detail = format!("`{name}` is used by {}: remove or redeploy them first", users.join(", "));
        return Err(Problem::new(Code::ConnectionInUse, detail).with("flows", json!(users)));
    }
    // What cannot be taken back must not keep a connection that is no good: its deliveries find no address any more.
    if let Err(problem) = hook::take_back(&app, &name).await {
        tracing::warn!(
            connection = name,
            detail = problem.detail,
            "its webhook stays registered at the vendor"
        );
    }
    app.store().remove_connection(app.workspace(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A connection as the API shows it: the names of its credentials, never their values.
fn document(app: &App, info: &ConnectionInfo, hook: Option<&store::Hook>) -> Value {
    let webhook = app.catalog().get(&info.connector).and_then(|manifest| manifest.webhook());
    let hook = hook.map(|hook| {
        let mut document = hooks::document(app, hook);
        document["secret_field"] = json!(webhook.map(|webhook| webhook.secret_field()));
        document
    });
    json!({
        "id": info.id,
        "name": info.name,
        "connector": info.connector,
        "live": info.live,
        "base_url": info.base_url,
        "credentials": info.credentials,
        "hook": hook,
        "created_at": info.created_at,
        "updated_at": info.updated_at,
    })
}

/// A stored connection by name.
pub async fn find(app: &App, name: &str) -> Result<store::Connection, Problem> {
    if let Some(found) = app.store().connection(app.workspace(), name).await? {
        return Ok(found);
    }
    let there: Vec<String> = match app.store().connections(app.workspace()).await {
        Ok(connections) => connections.into_iter().map(|info| info.name).collect(),
        Err(_) => Vec::new(),
    };
    let remedy = match there.is_empty() {
        true => "there are none yet: `tributary connection add CONNECTOR`".to_owned(),
        false => format!("there are: {}", there.join(", ")),
    };
    Err(Problem::new(Code::ConnectionUnknown, format!("there is no connection `{name}`; {remedy}")))
}

/// The same, with the tokens that its vendor granted.
pub fn ready(app: &App, stored: &store::Connection) -> Result<connect::Connection, Problem> {
    let mut connection = opened(stored)?;
    connection.access = app.access(&connection);
    Ok(connection)
}

/// A stored connection as `connect` takes it.
pub fn opened(stored: &store::Connection) -> Result<connect::Connection, Problem> {
    let base_url = match &stored.info.base_url {
        None => None,
        Some(text) => {
            let url = text.parse().map_err(|_| {
                Problem::new(
                    Code::Internal,
                    format!("the stored base URL of `{}` is no URL", stored.info.name),
                )
            })?;
            Some(url)
        }
    };
    let credentials: BTreeMap<String, connect::Secret> = stored
        .credentials
        .iter()
        .map(|(name, value)| (name.to_owned(), connect::Secret::new(value)))
        .collect();
    Ok(connect::Connection {
        name: stored.info.name.clone(),
        connector: stored.info.connector.clone(),
        live: stored.info.live,
        base_url,
        credentials,
        access: None,
    })
}
