//! `/v1/flows/{name}/revisions`: every version that was ever deployed, and the way back to one.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use store::{Change, Flow, NewFlow};

use super::difference::{Side, between};
use super::{deploy, find, lint, summary};
use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};

/// A revision as it is listed; `current` is the one in use.
pub fn brief(flow: &Flow, current: u32) -> Value {
    json!({
        "revision": flow.revision,
        "version": flow.version,
        "deployed_at": flow.deployed_at,
        "note": flow.note,
        "current": flow.revision == current,
    })
}

/// `GET /v1/flows/{name}/revisions`: newest first.
pub async fn list(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let all = app.store().revisions(app.workspace(), &name).await?;
    if all.is_empty() {
        // Says that there is none.
        find(&app, &name).await?;
    }
    // A removed flow has revisions, none of which is in use.
    let current = app.store().flow(app.workspace(), &name).await?.map_or(0, |flow| flow.revision);
    let listed: Vec<Value> = all.iter().map(|flow| brief(flow, current)).collect();
    Ok(Json(json!({"name": name, "revisions": listed})))
}

/// `GET /v1/flows/{name}/revisions/{revision}`: with its text, and what it changed.
pub async fn show(
    State(app): State<App>,
    Path((name, revision)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    // There is no revision 0.
    let revision = revision.parse().unwrap_or_default();
    let flow = of(&app, &name, revision).await?;
    let before = match revision.checked_sub(1).filter(|before| *before > 0) {
        Some(before) => app.store().flow_revision(app.workspace(), &name, before).await?,
        None => None,
    };
    let current = app.store().flow(app.workspace(), &name).await?.map_or(0, |flow| flow.revision);
    let mut document = brief(&flow, current);
    document["name"] = flow.name.as_str().into();
    document["settings"] = flow.settings.clone();
    document["connections"] = json!(flow.connections);
    document["difference"] =
        json!(before.as_ref().map(|before| between(&Side::revision(before), &Side::revision(&flow))));
    document["text"] = flow.text.into();
    Ok(Json(document))
}

/// `POST /v1/flows/{name}/rollback` `{revision?, dry_run?}`: deploys again, as a new revision, what was deployed as
/// `revision` (left out: before the present one). Brings a removed flow back, too.
pub async fn rollback(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let wanted = fields.optional_number("revision");
    let dry_run = fields.optional_flag("dry_run").unwrap_or_default();
    fields.finish(&["revision", "dry_run"])?;
    let _turn = app.turn().lock().await;
    let current = app.store().flow(app.workspace(), &name).await?;
    let wanted = match (wanted, &current) {
        (Some(revision), _) => revision,
        (None, Some(current)) if current.revision > 1 => current.revision - 1,
        (None, Some(_)) => {
            return Err(Problem::new(
                Code::WrongState,
                format!("`{name}` has one revision only: there is nothing to go back to"),
            ));
        }
        (None, None) => {
            let all = app.store().revisions(app.workspace(), &name).await?;
            let latest = all.first().ok_or_else(|| {
                let detail = format!(
                    "no flow `{name}` was ever deployed; `tributary flow list` shows those in service"
                );
                Problem::new(Code::FlowUnknown, detail)
            })?;
            latest.revision
        }
    };
    let target = of(&app, &name, wanted).await?;
    let new = usable(&app, &target).await?;
    let difference = current.as_ref().map(|flow| between(&Side::revision(flow), &Side::revision(&target)));
    let changed = !current.as_ref().is_some_and(|current| new.is(current));
    if dry_run {
        return Ok(Json(json!({
            "name": name, "to": wanted, "changed": changed, "difference": difference, "dry_run": true,
        })));
    }
    let note = Some(format!("rollback to {wanted}"));
    let folder = current.is_some_and(|flow| flow.folder);
    let change = Change { deploy: vec![new], folder, note, ..Change::default() };
    app.store().change_flows(app.workspace(), change, app.now()).await?;
    app.wake();
    let mut document = summary(&find(&app, &name).await?);
    document["to"] = wanted.into();
    document["changed"] = changed.into();
    document["difference"] = json!(difference.filter(|_| changed));
    Ok(Json(document))
}

/// A revision as it would be deployed now: its connections may be gone, its operations unknown to this program.
async fn usable(app: &App, flow: &Flow) -> Result<NewFlow, Problem> {
    let file = format!("{} (revision {})", flow.name, flow.revision);
    let document = flow::Document::parse(&file, &flow.text).map_err(|found| lint::problem(&found))?;
    let unknown = connect::lint::calls(app.catalog(), &file, &document);
    if !unknown.is_empty() {
        return Err(lint::problem(&unknown));
    }
    let given = deploy::Deployment {
        settings: flow.settings.as_object().cloned().unwrap_or_default(),
        connections: flow.connections.clone(),
    };
    let there = app.store().connections(app.workspace()).await?;
    deploy::planned(&document, given, &there).map_err(Problem::fields)
}

async fn of(app: &App, name: &str, revision: u32) -> Result<Flow, Problem> {
    let found = app.store().flow_revision(app.workspace(), name, revision).await?;
    found.ok_or_else(|| {
        Problem::new(
            Code::FlowUnknown,
            format!(
                "`{name}` has no revision {revision}; `tributary flow versions {name}` shows what there is"
            ),
        )
    })
}
