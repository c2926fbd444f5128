//! `/v1/connectors`: what can be connected.

use axum::Json;
use axum::extract::{Path, State};
use connect::Manifest;
use serde_json::{Value, json};

use crate::App;
use crate::problem::{Code, Problem};

/// `GET /v1/connectors`
pub async fn list(State(app): State<App>) -> Json<Value> {
    let connectors: Vec<Value> = manifests(&app).map(summary).collect();
    Json(json!({"connectors": connectors}))
}

/// `GET /v1/connectors/{slug}`: with the credentials it asks for and its operations.
pub async fn show(State(app): State<App>, Path(slug): Path<String>) -> Result<Json<Value>, Problem> {
    let Some(manifest) = app.catalog().get(&slug) else { return Err(unknown(&app, &slug)) };
    let mut document = summary(manifest);
    document["summary"] = manifest.summary.as_str().into();
    document["access"] = json!(manifest.access());
    document["credentials"] = json!(manifest.credentials());
    document["event_types"] = json!(manifest.event_types());
    document["authorize"] = manifest.grant().is_some_and(|grant| grant.asks_a_person()).into();
    document["scopes"] = json!(manifest.grant().map(|grant| grant.scopes()));
    document["operations"] = manifest
        .operations()
        .map(|operation| {
            let (method, path) = operation.request();
            json!({
                "name": operation.name,
                "request": format!("{method} {path}"),
                "described": manifest.describes(operation),
                "summary": operation.summary,
                "effects": operation.effects,
                "example": operation.example,
                "input": operation.input_schema(),
            })
        })
        .collect();
    Ok(Json(document))
}

fn manifests(app: &App) -> impl Iterator<Item = &Manifest> {
    app.catalog().slugs().filter_map(|slug| app.catalog().get(slug))
}

fn summary(manifest: &Manifest) -> Value {
    json!({
        "slug": manifest.slug,
        "title": manifest.title,
        "version": manifest.version,
        "operations": manifest.operation_names().len(),
        "triggers": triggers(manifest),
    })
}

/// What can start a flow: the types of events that the vendor names; where it names none, the ways in which they come.
fn triggers(manifest: &Manifest) -> usize {
    match manifest.event_types().len() {
        0 => usize::from(manifest.webhook().is_some()),
        types => types,
    }
}

fn unknown(app: &App, slug: &str) -> Problem {
    let slugs: Vec<&str> = app.catalog().slugs().collect();
    let guess = flow::nearest::nearest(slug, slugs.iter().copied());
    let guess = guess.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Problem::new(
        Code::ConnectorUnknown,
        format!("there is no connector `{slug}`{guess} There are: {}", slugs.join(", ")),
    )
}
