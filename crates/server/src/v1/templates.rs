//! `/v1/templates`: ready-made flows.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::flows::{Deployment, deploy_document};
use crate::input::Fields;
use crate::problem::{Code, Problem};
use crate::{App, Template};

/// `GET /v1/templates`
pub async fn list(State(app): State<App>) -> Json<Value> {
    let templates: Vec<Value> = app.templates().iter().map(summary).collect();
    Json(json!({"templates": templates}))
}

/// `GET /v1/templates/{slug}`: with its text.
pub async fn show(State(app): State<App>, Path(slug): Path<String>) -> Result<Json<Value>, Problem> {
    let template = find(&app, &slug)?;
    let mut document = summary(template);
    document["text"] = template.document.text().into();
    Ok(Json(document))
}

/// `POST /v1/templates/{slug}/install` `{settings?, connections?: {name in the template: name of yours},
/// dry_run?}`: deploys it as a flow.
pub async fn install(
    State(app): State<App>,
    Path(slug): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let template = find(&app, &slug)?;
    let mut fields = Fields::read(body).await?;
    let deployment =
        Deployment { settings: fields.object("settings"), connections: fields.texts("connections") };
    let dry_run = fields.optional_flag("dry_run").unwrap_or_default();
    fields.finish(&["settings", "connections", "dry_run"])?;
    deploy_document(&app, &template.document, deployment, dry_run).await
}

fn find<'a>(app: &'a App, slug: &str) -> Result<&'a Template, Problem> {
    app.templates().iter().find(|template| template.slug == slug).ok_or_else(|| {
        let slugs: Vec<&str> = app.templates().iter().map(|template| template.slug.as_str()).collect();
        let guess = flow::nearest::nearest(slug, slugs.iter().copied());
        let guess = guess.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        Problem::new(
            Code::TemplateUnknown,
            format!("there is no template `{slug}`.{guess} There are: {}", slugs.join(", ")),
        )
    })
}

fn summary(template: &Template) -> Value {
    let document = &template.document;
    let settings: Map<String, Value> = document
        .settings()
        .iter()
        .map(|(name, setting)| {
            let shown = json!({
                "description": setting.description,
                "default": setting.default,
                "required": setting.default.is_none(),
            });
            (name.clone(), shown)
        })
        .collect();
    json!({
        "slug": template.slug,
        "version": document.version(),
        "title": document.title(),
        "summary": document.summary(),
        "connections": document.connections(),
        "settings": settings,
    })
}
