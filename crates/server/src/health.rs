//! `/healthz`, `/readyz`, `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Health;

use crate::App;
use crate::problem::{Code, Problem};

/// So long a write proves that writing works.
const PROOF_LIFE: SignedDuration = SignedDuration::from_secs(5);
/// When to ask again.
const RETRY_AFTER_S: u32 = 5;

/// `GET /healthz`: the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: deliveries can be stored. Not so while the server stops, or while writing fails, with the reason.
pub async fn ready(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let unready = |why: String| Problem::new(Code::StoreUnavailable, why).retry_after(RETRY_AFTER_S);
    if app.is_stopping() {
        return Err(unready("the server is stopping".to_owned()));
    }
    match app.store().health() {
        Health::Good => {}
        Health::Bad(why) => return Err(unready(why)),
        Health::Closed => return Err(unready(store::Error::Closed.to_string())),
    }
    app.prove().await.map_err(|error| unready(error.to_string()))?;
    Ok(Json(json!({"status": "ready"})))
}

/// When writing was last seen to work.
#[derive(Debug, Default)]
pub struct Proof {
    written: u64,
    at: Option<Timestamp>,
}

impl App {
    /// Makes sure that writing works: something was written lately, or else a probe is.
    async fn prove(&self) -> store::Result<()> {
        // One asks, the others wait for the answer.
        let mut proof = self.0.proof.lock().await;
        let (written, now) = (self.store().written(), self.now());
        let fresh = proof.at.is_some_and(|at| now.duration_since(at).abs() < PROOF_LIFE);
        if written == proof.written && fresh {
            return Ok(());
        }
        if written == proof.written {
            self.store().probe().await?;
        }
        *proof = Proof { written: self.store().written(), at: Some(now) };
        Ok(())
    }
}

/// `GET /metrics`: Prometheus text.
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    app.metrics().prometheus(&mut text).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    crate::v1::stats::prometheus(&app, &mut text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
