//! `/v1/runs`: what flows did.

mod steps;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use flow::{EventId, RunId};
use serde_json::{Value, json};
use store::{Page, Run, RunQuery, RunStatus};

use crate::App;
use crate::input::Parameters;
use crate::problem::{Code, Problem};

const STATUSES: [(&str, RunStatus); 6] = [
    ("queued", RunStatus::Queued),
    ("running", RunStatus::Running),
    ("parked", RunStatus::Parked),
    ("completed", RunStatus::Completed),
    ("failed", RunStatus::Failed),
    ("cancelled", RunStatus::Cancelled),
];
const FILTERS: [&str; 6] = ["flow", "status", "event", "text", "limit", "cursor"];

/// `GET /v1/runs?flow=&status=&event=&text=&limit=&cursor=`: newest first.
pub async fn list(
    State(app): State<App>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, Problem> {
    let mut parameters = Parameters::new(query);
    let status = parameters.word("status", &STATUSES.map(|(word, _)| word));
    let filter = RunQuery {
        status: status.and_then(|word| STATUSES.iter().find(|(known, _)| *known == word).map(|(_, s)| *s)),
        flow: parameters.text("flow"),
        event: parameters.text("event").map(EventId::new),
        text: parameters.text("text"),
    };
    let page = Page { before: parameters.cursor(), limit: parameters.limit() as usize };
    parameters.finish(&FILTERS)?;
    let listed = app.store().runs(app.workspace(), &filter, page).await?;
    let runs: Vec<Value> = listed.items.iter().map(document).collect();
    Ok(Json(json!({"runs": runs, "next": listed.next.map(|next| next.to_string())})))
}

/// `GET /v1/runs/{id}`: with every step's input, output, attempts, error and times.
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = RunId::new(id);
    let run = find(&app, &id).await?;
    let mut journal = steps::Journal::default();
    app.store().journal_each(app.workspace(), &id, |_, entry, bytes| journal.take(entry, bytes)).await?;
    let mut shown = document(&run);
    let (steps, output) = journal.read();
    shown["steps"] = steps.into();
    shown["output"] = output;
    Ok(Json(shown))
}

/// `POST /v1/runs/{id}/retry`: a failed run goes on from the step that failed.
pub async fn retry(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = RunId::new(id);
    find(&app, &id).await?;
    app.store().retry_run(app.workspace(), &id).await?;
    app.wake();
    Ok(Json(document(&find(&app, &id).await?)))
}

/// `POST /v1/runs/{id}/cancel`: ends a run that is not over; what it did stays done.
pub async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = RunId::new(id);
    find(&app, &id).await?;
    app.store().cancel_run(app.workspace(), &id, app.now()).await?;
    app.wake();
    Ok(Json(document(&find(&app, &id).await?)))
}

async fn find(app: &App, id: &RunId) -> Result<Run, Problem> {
    app.store().run(app.workspace(), id).await?.ok_or_else(|| {
        Problem::new(
            Code::RunUnknown,
            format!("there is no run `{id}`; `tributary runs list` shows what there is"),
        )
    })
}

fn document(run: &Run) -> Value {
    let mut document = json!(run);
    document["error"] = json!(run.fault);
    if let Some(members) = document.as_object_mut() {
        members.shift_remove("fault");
    }
    document
}
