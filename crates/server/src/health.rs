//! `/healthz`, `/readyz`, `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde_json::{Value, json};

use crate::App;
use crate::problem::{Code, Problem};

/// `GET /healthz`: the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: deliveries can be stored.
pub async fn ready(State(app): State<App>) -> Result<Json<Value>, Problem> {
    app.store().stats(Some(app.workspace())).await?;
    Ok(Json(json!({"status": "ready"})))
}

/// `GET /metrics`: Prometheus text.
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    app.metrics().prometheus(&mut text).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    crate::v1::stats::prometheus(&app, &mut text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
