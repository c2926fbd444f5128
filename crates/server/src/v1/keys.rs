//! `POST /v1/keys/rotate`: another master key, while the server serves. Only through the socket, since it writes the key
//! on this machine.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::App;
use crate::problem::{Code, Problem};

/// The routes, for [`crate::Door::Socket`].
pub fn routes() -> Router<App> {
    Router::new().route("/v1/keys/rotate", post(rotate))
}

/// Answers `{resealed}`: how many envelopes are sealed by the new key now.
async fn rotate(State(app): State<App>) -> Result<Json<Value>, Problem> {
    // It goes on when nobody waits for the answer any more.
    let rotation = tokio::spawn(async move {
        let _turn = app.turn().lock().await;
        let resealed = app.store().rotate_key(&mut app.rng()).await?;
        tracing::info!(resealed, "there is another master key");
        Ok::<Value, Problem>(json!({"resealed": resealed, "shared": app.store().is_shared()}))
    });
    let broke = |_| Problem::new(Code::Internal, "the rotation broke off: run it again");
    Ok(Json(rotation.await.map_err(broke)??))
}
