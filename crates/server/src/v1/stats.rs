//! `/v1/stats`: what was counted. `/metrics` says the same for Prometheus.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use crate::App;
use crate::problem::{Code, Problem};

/// `GET /v1/stats`: `hooks` and `store` (transactions and their statements) since the process started, `events` and
/// `runs` since the database was made, and what
/// the engine tells of itself.
pub async fn show(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let mut document = Map::new();
    document.insert("hooks".into(), app.metrics().summary());
    for (name, value) in counters(&app).await? {
        let (group, member) = name.split_once('_').unwrap_or(("other", &name));
        let members = document.entry(group.to_owned()).or_insert_with(|| json!({}));
        members[member] = value;
    }
    let store = app.store();
    let written = json!({"commits": store.written(), "statements": store.statements()});
    document.insert("store".into(), written);
    if let Value::Object(engine) = app.engine_stats() {
        document.extend(engine);
    }
    Ok(Json(Value::Object(document)))
}

/// The store's counters: `events_received`, `runs_completed` …
async fn counters(app: &App) -> Result<Map<String, Value>, Problem> {
    let stats = app.store().stats(Some(app.workspace())).await?;
    match serde_json::to_value(&stats) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Problem::new(Code::Internal, "the store's counters are no object")),
    }
}

/// The store's counters as Prometheus text. What can go down again is a gauge.
pub async fn prometheus(app: &App, out: &mut String) -> Result<(), Problem> {
    for (name, value) in counters(app).await? {
        let now = ["events_undispatched", "runs_queued", "runs_running", "runs_parked", "runs_failed"];
        let (kind, ending) = if now.contains(&name.as_str()) { ("gauge", "") } else { ("counter", "_total") };
        writeln!(out, "# TYPE tributary_{name}{ending} {kind}\ntributary_{name}{ending} {value}")
            .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    }
    Ok(())
}
