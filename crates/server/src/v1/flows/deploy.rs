//! Deploying: a document, its settings and its connections become a revision of a flow, or every mistake is told.

use std::collections::BTreeMap;

use axum::Json;
use flow::{Document, SettingKind};
use http::StatusCode;
use serde_json::{Map, Value, json};
use store::{ConnectionInfo, NewFlow};

use super::difference::{Side, between};
use super::{find, lint, summary};
use crate::App;
use crate::problem::{FieldError, Problem};

/// What is given beside the document.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Setting → value; those left out take their default.
    pub settings: Map<String, Value>,
    /// Connection named in the document → one of the workspace; those left out have the same name.
    pub connections: BTreeMap<String, String>,
}

/// 201 for a new revision, 200 if the very same was deployed already, or if nothing was to be done (`dry_run`).
pub async fn deploy_document(
    app: &App,
    document: &Document,
    given: Deployment,
    dry_run: bool,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let unknown = connect::lint::calls(app.catalog(), &format!("{}.yaml", document.name()), document);
    if !unknown.is_empty() {
        return Err(lint::problem(&unknown));
    }
    let _turn = app.turn().lock().await;
    let there = app.store().connections(app.workspace()).await?;
    let new = planned(document, given, &there).map_err(Problem::fields)?;
    let current = app.store().flow(app.workspace(), document.name()).await?;
    let difference = current.as_ref().map(|flow| between(&Side::revision(flow), &Side::new(&new)));
    if dry_run {
        let changed = !current.is_some_and(|current| new.is(&current));
        let shown = json!({
            "name": new.name, "version": new.version, "settings": new.settings, "connections": new.connections,
            "changed": changed, "difference": difference, "dry_run": true,
        });
        return Ok((StatusCode::OK, Json(shown)));
    }
    let deployed = app.store().deploy_flow(app.workspace(), new, app.now()).await?;
    app.wake();
    let mut flow = summary(&find(app, document.name()).await?);
    flow["changed"] = deployed.changed.into();
    flow["difference"] = json!(difference.filter(|_| deployed.changed));
    Ok((if deployed.changed { StatusCode::CREATED } else { StatusCode::OK }, Json(flow)))
}

/// A document with its settings and connections as a deployment, or everything that is wrong with them.
pub fn planned(
    document: &Document,
    given: Deployment,
    there: &[ConnectionInfo],
) -> Result<NewFlow, Vec<FieldError>> {
    let mut errors = Vec::new();
    let settings = settings(document, given.settings, &mut errors);
    let connections = connections(document, given.connections, there, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(NewFlow {
        name: document.name().to_owned(),
        version: document.version().to_owned(),
        text: document.text().to_owned(),
        settings: Value::Object(settings),
        connections,
    })
}

fn wrong(field: String, detail: impl Into<String>, remedy: impl Into<String>) -> FieldError {
    FieldError { field, detail: detail.into(), remedy: remedy.into() }
}

/// What was chosen and, where nothing was, the defaults.
fn settings(
    document: &Document,
    mut given: Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Map<String, Value> {
    let mut settings = Map::new();
    for (name, setting) in document.settings() {
        let value = given.shift_remove(name).or_else(|| setting.default.clone());
        let Some(value) = value else {
            errors.push(wrong(
                format!("settings.{name}"),
                "must be chosen",
                format!("give {}", setting.description),
            ));
            continue;
        };
        if let Some(expected) = mismatch(setting.kind, &value) {
            errors.push(wrong(
                format!("settings.{name}"),
                format!("`{value}` is not {expected}"),
                format!("give {expected}"),
            ));
        }
        settings.insert(name.clone(), value);
    }
    let known: Vec<&str> = document.settings().keys().map(String::as_str).collect();
    for (name, _) in given {
        let remedy = match known.is_empty() {
            true => "it has no settings".to_owned(),
            false => format!("it has: {}", known.join(", ")),
        };
        errors.push(wrong(format!("settings.{name}"), "the flow has no such setting", remedy));
    }
    settings
}

/// What a value should have been, if it is not.
fn mismatch(kind: SettingKind, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match kind {
        SettingKind::String => (value.is_string(), "a text"),
        SettingKind::Number => (value.is_number(), "a number"),
        SettingKind::Boolean => (value.is_boolean(), "true or false"),
        SettingKind::List => (value.is_array(), "a list"),
        SettingKind::Object => (value.is_object(), "an object"),
        SettingKind::Any => (true, "anything"),
    };
    (!fits).then_some(expected)
}

/// Every connection that the document names, as one of the workspace's: of the connector that its calls need, and
/// all of one mode, so that a test account never feeds a live one.
fn connections(
    document: &Document,
    mut given: BTreeMap<String, String>,
    there: &[ConnectionInfo],
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, String> {
    let needed = document.connections();
    let mut connections = BTreeMap::new();
    let mut used: Vec<&ConnectionInfo> = Vec::new();
    for name in &needed {
        let field = format!("connections.{name}");
        let mine = given.remove(name).unwrap_or_else(|| name.clone());
        match there.iter().find(|info| info.name == mine) {
            None => {
                let others: Vec<&str> = there.iter().map(|info| info.name.as_str()).collect();
                let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
                let remedy = format!(
                    "add it with `tributary connection add`, or say which of yours it is with \
                     `--connection {name}=YOURS` or in the folder's deploy.yaml (there are: {others})"
                );
                errors.push(wrong(field, format!("there is no connection `{mine}`"), remedy));
            }
            Some(info) => {
                if let Some(connector) = expected_connector(document, name)
                    && connector != info.connector
                {
                    let detail =
                        format!("`{mine}` is a connection to {}, the flow calls {connector}", info.connector);
                    errors.push(wrong(field, detail, format!("name a connection to {connector}")));
                }
                used.push(info);
            }
        }
        connections.insert(name.clone(), mine);
    }
    for (name, _) in given {
        let remedy = format!("it names: {}", needed.join(", "));
        errors.push(wrong(format!("connections.{name}"), "the flow names no such connection", remedy));
    }
    if let (Some(live), Some(test)) = (used.iter().find(|i| i.live), used.iter().find(|i| !i.live)) {
        let detail = format!("`{}` is live and `{}` is test", live.name, test.name);
        let remedy = "use connections of one mode: test data must not reach a live account, nor the reverse";
        errors.push(wrong("connections".to_owned(), detail, remedy));
    }
    connections
}

/// The connector that a connection of the document has to be of: its calls and the types of its triggers tell.
fn expected_connector(document: &Document, connection: &str) -> Option<String> {
    let call = document.calls().into_iter().find(|call| call.connection.as_deref() == Some(connection));
    let name = match call {
        Some(call) => call.operation,
        None => {
            let trigger =
                document.triggers().iter().find(|trigger| trigger.source.as_deref() == Some(connection))?;
            trigger.r#type.clone()?
        }
    };
    name.split_once('.').map(|(connector, _)| connector.to_owned())
}
