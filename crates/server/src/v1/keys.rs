//! `POST /v1/keys/rotate`: another master key, while the server serves. Only through the socket, since it writes the key
//! on this machine.

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};
use crate::v1::backups;

/// The routes, for [`crate::Door::Socket`].
pub fn routes() -> Router<App> {
    Router::new().route("/v1/keys/rotate", post(rotate))
}

/// Body: `{copied?}`: every other server of the database has the new key. Without that, a database that others may share is
/// only prepared. Answers `{prepared, shared, resealed}`: how many envelopes are sealed by the new key now.
async fn rotate(State(app): State<App>, body: Body) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let copied = fields.optional_flag("copied").unwrap_or(false);
    fields.finish(&["copied"])?;
    let shared = app.store().is_shared();
    // It goes on when nobody waits for the answer any more.
    let rotation = tokio::spawn(async move {
        let _turn = app.turn().lock().await;
        if backups::is_running(&app) {
            let detail = "a backup is being made: with another key it could not be opened. Wait for it, then try again";
            return Err(Problem::new(Code::WrongState, detail));
        }
        if shared && !copied {
            app.store().prepare_key(&mut app.rng()).await?;
            return Ok(json!({"prepared": true, "shared": shared, "resealed": 0}));
        }
        let resealed = match shared {
            true => app.store().rotate_prepared_key(&mut app.rng()).await?,
            false => app.store().rotate_key(&mut app.rng()).await?,
        };
        tracing::info!(resealed, "there is another master key");
        Ok(json!({"prepared": false, "shared": shared, "resealed": resealed}))
    });
    let broke = |_| Problem::new(Code::Internal, "the rotation broke off: run it again");
    Ok(Json(rotation.await.map_err(broke)??))
}
