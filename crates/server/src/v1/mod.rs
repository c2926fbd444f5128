//! The REST API. One module per collection, named as in the path.

pub mod approvals;
pub mod backups;
pub mod connections;
mod connectors;
mod doctor;
mod events;
pub mod flows;
mod hooks;
pub mod keys;
mod runs;
pub mod stats;
mod templates;

use axum::Router;
use axum::routing::{get, post};

use crate::App;

/// Every route below `/v1`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/connectors", get(connectors::list))
        .route("/v1/connectors/{slug}", get(connectors::show))
        .route("/v1/connections", get(connections::list))
        .route(
            "/v1/connections/{name}",
            get(connections::show).put(connections::put).delete(connections::remove),
        )
        .route("/v1/connections/{name}/check", post(connections::check::check))
        .route("/v1/connections/{name}/authorize", post(connections::authorize::ask))
        .route("/v1/connections/{name}/authorized", post(connections::authorize::redeem))
        .route(
            "/v1/connections/{name}/hook",
            post(connections::hook::register).delete(connections::hook::remove),
        )
        .route("/v1/doctor", get(doctor::show))
        .route("/v1/hooks", get(hooks::list))
        .route("/v1/templates", get(templates::list))
        .route("/v1/templates/{slug}", get(templates::show))
        .route("/v1/templates/{slug}/install", post(templates::install))
        .route("/v1/flows", get(flows::list).post(flows::deploy).put(flows::folder::put))
        .route("/v1/flows/lint", post(flows::lint))
        .route("/v1/flows/run", post(flows::run::run))
        .route("/v1/flows/{name}", get(flows::show).delete(flows::remove))
        .route("/v1/flows/{name}/revisions", get(flows::revisions))
        .route("/v1/flows/{name}/revisions/{revision}", get(flows::revision))
        .route("/v1/flows/{name}/rollback", post(flows::rollback))
        .route("/v1/flows/{name}/pause", post(flows::pause))
        .route("/v1/flows/{name}/resume", post(flows::resume))
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/replay", post(events::replay))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/retry", post(runs::retry))
        .route("/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/v1/approvals", get(approvals::list))
        .route("/v1/approvals/{id}", get(approvals::show))
        .route("/v1/approvals/{id}/decide", post(approvals::decide))
        .route("/v1/stats", get(stats::show))
}
