//! `/v1/events`: what came in, and what became of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use flow::EventId;
use serde_json::{Value, json};
use store::{EventQuery, EventStatus, EventSummary, Page};

use crate::App;
use crate::input::Parameters;
use crate::problem::{Code, Problem};

const OUTCOMES: [&str; 8] =
    ["run", "joined", "failed", "stale", "duplicate_fact", "no_match", "quarantined", "pending"];
const FILTERS: [&str; 8] = ["type", "connection", "outcome", "text", "since", "until", "limit", "cursor"];

/// `GET /v1/events?type=&connection=&outcome=&text=&since=&until=&limit=&cursor=`: newest first.
pub async fn list(
    State(app): State<App>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, Problem> {
    let mut parameters = Parameters::new(query);
    let outcome = parameters.word("outcome", &OUTCOMES);
    let pending = outcome.as_deref() == Some("pending");
    let filter = EventQuery {
        status: pending.then_some(EventStatus::Accepted),
        connection: parameters.text("connection"),
        r#type: parameters.text("type"),
        outcome: outcome.filter(|_| !pending),
        text: parameters.text("text"),
        since: parameters.time("since"),
        until: parameters.time("until"),
    };
    let page = Page { before: parameters.cursor(), limit: parameters.limit() as usize };
    parameters.finish(&FILTERS)?;
    let listed = app.store().events(app.workspace(), &filter, page).await?;
    let mut events = Vec::with_capacity(listed.items.len());
    for summary in &listed.items {
        events.push(listed_event(&app, summary).await?);
    }
    Ok(Json(json!({"events": events, "next": listed.next.map(|next| next.to_string())})))
}

/// An event of a list; a quarantined one tells its reason.
async fn listed_event(app: &App, summary: &EventSummary) -> Result<Value, Problem> {
    let mut document = json!(summary);
    if summary.status == EventStatus::Quarantined {
        let event = app.store().event(app.workspace(), &summary.id).await?;
        document["reason"] = json!(event.and_then(|event| event.problem).map(|problem| problem.detail));
    }
    Ok(document)
}

/// `GET /v1/events/{id}`: with its body and its outcome in each flow.
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = EventId::new(id);
    let event = app.store().event(app.workspace(), &id).await?.ok_or_else(|| unknown(&id))?;
    let mut document = json!(event);
    document["reason"] = json!(event.problem.as_ref().map(|problem| &problem.detail));
    document["outcomes"] = json!(app.store().event_outcomes(app.workspace(), &id).await?);
    Ok(Json(document))
}

/// `POST /v1/events/{id}/replay`: the flows are asked again. Effects that were had are not had twice: their keys
/// are made from the event.
pub async fn replay(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = EventId::new(id);
    let event = app.store().event(app.workspace(), &id).await?.ok_or_else(|| unknown(&id))?;
    if event.status == EventStatus::Quarantined {
        let detail = format!("{id} is quarantined: it is no event, so that no flow can be asked");
        return Err(Problem::new(Code::WrongState, detail));
    }
    app.store().replay_event(app.workspace(), &id).await?;
    app.wake();
    Ok(Json(json!({"id": id, "replayed": true})))
}

fn unknown(id: &EventId) -> Problem {
    Problem::new(
        Code::EventUnknown,
        format!("there is no event `{id}`; `tributary events list` shows what there is"),
    )
}
