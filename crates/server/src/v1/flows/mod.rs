//! `/v1/flows`: what is deployed.

mod deploy;
mod difference;
pub mod folder;
mod lint;
mod revisions;
pub mod run;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use flow::Document;
use http::StatusCode;
use serde_json::{Value, json};
use store::{Flow, Scheduled};

pub use deploy::{Deployment, deploy_document};
pub use revisions::{list as revisions, rollback, show as revision};

use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};

/// `GET /v1/flows`: each with its next start by the clock, and how the last reading of the folder of flows went, where there is one.
pub async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let clocks = app.store().schedules_of(app.workspace()).await?;
    let flows = app.store().flows(app.workspace()).await?;
    let flows: Vec<Value> = flows.iter().map(|flow| with_clock(summary(flow), flow, &clocks)).collect();
    let mut document = json!({"flows": flows});
    if let Some(folder) = app.folder() {
        document["folder"] = folder;
    }
    Ok(Json(document))
}

/// `GET /v1/flows/{name}`: with its text and all its revisions.
pub async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let flow = find(&app, &name).await?;
    let clocks = app.store().schedules_of(app.workspace()).await?;
    let mut document = with_clock(summary(&flow), &flow, &clocks);
    document["text"] = flow.text.as_str().into();
    document["revisions"] = app
        .store()
        .revisions(app.workspace(), &name)
        .await?
        .iter()
        .map(|r| revisions::brief(r, flow.revision))
        .collect();
    Ok(Json(document))
}

/// `POST /v1/flows` `{file?, text, settings?, connections?, dry_run?}`: deploys a document, and tells what that changes.
pub async fn deploy(State(app): State<App>, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut fields = Fields::read(body).await?;
    let file = fields.optional_text("file").unwrap_or_else(|| "flow.yaml".to_owned());
    let text = fields.text("text", "give the flow's YAML or JSON");
    let deployment =
        Deployment { settings: fields.object("settings"), connections: fields.texts("connections") };
    let dry_run = fields.optional_flag("dry_run").unwrap_or_default();
    fields.finish(&["file", "text", "settings", "connections", "dry_run"])?;
    let document = Document::parse(&file, &text).map_err(|found| lint::problem(&found))?;
    deploy_document(&app, &document, deployment, dry_run).await
}

/// `POST /v1/flows/lint` `{file?, text}`: everything that is wrong with a document; nothing is stored.
pub async fn lint(State(app): State<App>, body: Body) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let file = fields.optional_text("file").unwrap_or_else(|| "flow.yaml".to_owned());
    let text = fields.text("text", "give the flow's YAML or JSON");
    fields.finish(&["file", "text"])?;
    let diagnostics = connect::lint::check(app.catalog(), &file, &text);
    Ok(Json(json!({"ok": diagnostics.is_empty(), "diagnostics": diagnostics})))
}

/// `POST /v1/flows/{name}/pause`: its events wait.
pub async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    find(&app, &name).await?;
    app.store().pause_flow(app.workspace(), &name).await?;
    Ok(Json(summary(&find(&app, &name).await?)))
}

/// `POST /v1/flows/{name}/resume`
pub async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    find(&app, &name).await?;
    app.store().resume_flow(app.workspace(), &name).await?;
    app.wake();
    Ok(Json(summary(&find(&app, &name).await?)))
}

/// `DELETE /v1/flows/{name}`
pub async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    find(&app, &name).await?;
    app.store().remove_flow(app.workspace(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, name: &str) -> Result<Flow, Problem> {
    app.store().flow(app.workspace(), name).await?.ok_or_else(|| {
        Problem::new(
            Code::FlowUnknown,
            format!("no flow `{name}` is deployed; `tributary flow list` shows what is"),
        )
    })
}

/// The summary with `next_start`: when the clock starts the flow next. Null without a clock, while a run that the next
/// start has to wait for (`after`) goes on, and while the flow is paused.
fn with_clock(mut summary: Value, flow: &Flow, clocks: &[Scheduled]) -> Value {
    let clock = clocks.iter().find(|clock| clock.flow == flow.name && !flow.paused);
    summary["next_start"] = json!(clock.and_then(|clock| clock.due_at));
    summary
}

fn summary(flow: &Flow) -> Value {
    json!({
        "name": flow.name,
        "version": flow.version,
        "revision": flow.revision,
        "state": if flow.paused { "paused" } else { "active" },
        "settings": flow.settings,
        "connections": flow.connections,
        "deployed_at": flow.deployed_at,
        "folder": flow.folder,
    })
}
