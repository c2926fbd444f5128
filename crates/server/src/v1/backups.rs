//! `/v1/backups`: a copy of everything, made while the server serves. Only through the socket, since it writes files
//! on this machine where the caller says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use store::backup::{Order, Progress};

use crate::App;
use crate::input::Fields;
use crate::problem::{Code, Problem};

/// The last backup asked for since the server started.
#[derive(Default)]
pub struct Slot(Mutex<Option<Job>>);

struct Job {
    path: PathBuf,
    progress: Arc<Progress>,
    end: Arc<Mutex<Option<store::Result<store::backup::Manifest>>>>,
}

/// The routes, for [`crate::Door::Socket`].
pub fn routes() -> Router<App> {
    Router::new().route("/v1/backups", post(begin)).route("/v1/backups/last", get(last))
}

/// `POST /v1/backups` `{path, with_key?}`: begins one; 202 and how it stands.
async fn begin(State(app): State<App>, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut fields = Fields::read(body).await?;
    let path = PathBuf::from(fields.text("path", "say where to, as an absolute path"));
    if !path.is_absolute() {
        fields.wrong("path", "is not absolute", "the server may stand in another directory than you");
    }
    let with_key = fields.optional_flag("with_key").unwrap_or(false);
    fields.finish(&["path", "with_key"])?;
    let _turn = app.turn().lock().await;
    if is_running(&app) {
        return Err(Problem::new(Code::WrongState, "a backup is being made; wait for it, then try again"));
    }
    let snapshot = app.store().snapshot().await?;
    let progress = Arc::new(Progress::default());
    let end = Arc::new(Mutex::new(None));
    let order = Order {
        out: path.clone(),
        with_key,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: app.now(),
    };
    let job = Job { path, progress: progress.clone(), end: end.clone() };
    let document = job.document();
    *app.backup().slot() = Some(job);
    tokio::task::spawn_blocking(move || {
        let result = snapshot.write(&order, &progress);
        if let Err(error) = &result {
            tracing::error!(%error, "a backup failed");
        }
        *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    Ok((StatusCode::ACCEPTED, Json(document)))
}

/// `GET /v1/backups/last`: how it stands.
async fn last(State(app): State<App>) -> Result<Json<Value>, Problem> {
    match app.backup().slot().as_ref() {
        Some(job) => Ok(Json(job.document())),
        None => Err(Problem::new(Code::RouteUnknown, "no backup was made since the server started")),
    }
}

/// Whether one is being made. Whoever holds the turn knows that none begins.
pub fn is_running(app: &App) -> bool {
    app.backup().slot().as_ref().is_some_and(Job::is_running)
}

impl Slot {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn is_running(&self) -> bool {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn document(&self) -> Value {
        let (done, all) = self.progress.bytes();
        let mut document = json!({"path": self.path, "bytes_done": done, "bytes": all});
        match &*self.end.lock().unwrap_or_else(PoisonError::into_inner) {
            None => document["state"] = "running".into(),
            Some(Ok(manifest)) => {
                document["state"] = "done".into();
                document["manifest"] = json!(manifest);
            }
            Some(Err(error)) => {
                document["state"] = "failed".into();
                document["detail"] = error.to_string().into();
            }
        }
        document
    }
}
