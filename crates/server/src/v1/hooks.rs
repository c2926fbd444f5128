//! `/v1/hooks`: the webhook addresses, and which connection each stands for.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::App;
use crate::problem::Problem;

/// `GET /v1/hooks`
pub async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let hooks: Vec<Value> =
        app.store().hooks(app.workspace()).await?.iter().map(|hook| document(&app, hook)).collect();
    Ok(Json(json!({"hooks": hooks})))
}

/// A webhook address; `url` is null where the server's public address is not known.
pub fn document(app: &App, hook: &store::Hook) -> Value {
    let path = format!("/hooks/{}", hook.id);
    json!({
        "id": hook.id,
        "connection": hook.connection,
        "url": app.public_url(&path),
        "path": path,
        "registered": hook.registered.is_some(),
        "created_at": hook.created_at,
    })
}
