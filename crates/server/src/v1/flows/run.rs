//! `/v1/flows/run`: a flow run on the spot, and nothing kept of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use flow::Document;
use serde_json::{Value, json};

use super::lint;
use crate::input::Fields;
use crate::problem::{Code, Problem};
use crate::{App, Trial};

/// `POST /v1/flows/run` `{file?, text, input?, settings?, connections?, dry_run?}`: with the workspace's connections, in
/// real time; answers when the run is over or waits.
pub async fn run(State(app): State<App>, body: Body) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let file = fields.optional_text("file").unwrap_or_else(|| "flow.yaml".to_owned());
    let text = fields.text("text", "give the flow's YAML or JSON");
    let input = fields.value("input").unwrap_or_else(|| json!({}));
    let (settings, connections) = (fields.object("settings"), fields.texts("connections"));
    let dry_run = fields.optional_flag("dry_run").unwrap_or(false);
    fields.finish(&["file", "text", "input", "settings", "connections", "dry_run"])?;
    let document = Document::parse(&file, &text).map_err(|found| lint::problem(&found))?;
    let found = connect::lint::calls(app.catalog(), &file, &document);
    if !found.is_empty() {
        return Err(lint::problem(&found));
    }
    let settings = document
        .resolve_settings(&settings)
        .map_err(|wrong| Problem::field("settings", wrong.join("; "), "choose the settings that it has"))?;
    let document = Arc::new(document);
    let trial = Trial { document, settings, input, connections, dry_run };
    let tried = match app.trials() {
        Some(trials) => trials(trial).await,
        None => Err("this process runs no flows".to_owned()),
    };
    tried.map(Json).map_err(|why| Problem::new(Code::WrongState, why))
}
