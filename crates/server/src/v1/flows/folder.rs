//! A folder of flows deployed as a whole: what is new or differs is deployed, what is gone is removed, in one unit; or,
//! if anything in it is wrong, nothing happens and every mistake is told.
//!
//! Beside the flows, `deploy.yaml` says what they are deployed with, and further files of its form change that for an
//! environment:
//!
//! ```yaml
//! flows:
//!   invoice-alert:
//!     settings: {channel: '#billing'}
//!     connections: {slack: slack-ops}     # name in the flow: name of a connection there
//! ```

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use flow::yaml::{Node, Place};
use flow::{Diagnostic, Document};
use serde_json::{Map, Value, json};
use store::{Change, Flow, NewFlow};

use super::deploy::{Deployment, planned};
use super::difference::{Side, between};
use super::lint;
use crate::App;
use crate::input::{FOLDER_BODY_BYTES_MAX, Fields};
use crate::problem::{Code, FieldError, Problem};

/// Flows of a folder at most.
pub const FILES_MAX: usize = 2_000;
const WRONG: &str = "folder_invalid";

/// A file's name, for messages, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// One flow each.
    pub files: Vec<File>,
    /// What they are deployed with; a later one changes what an earlier one says.
    pub values: Vec<File>,
}

/// A flow of the folder, read.
struct Read {
    file: String,
    document: Document,
}

/// `PUT /v1/flows` `{files: [{file, text}], values?: [{file, text}], dry_run?}`: makes these the flows that come from
/// the folder.
pub async fn put(State(app): State<App>, body: Body) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read_up_to(body, FOLDER_BODY_BYTES_MAX).await?;
    let folder = Folder { files: files(&mut fields, "files"), values: files(&mut fields, "values") };
    let dry_run = fields.optional_flag("dry_run").unwrap_or_default();
    fields.finish(&["files", "values", "dry_run"])?;
    reconcile(&app, &folder, dry_run).await.map(Json)
}

fn files(fields: &mut Fields, name: &str) -> Vec<File> {
    let mut files = Vec::new();
    for item in fields.list(name) {
        match (item["file"].as_str(), item["text"].as_str()) {
            (Some(file), Some(text)) => files.push(File { name: file.to_owned(), text: text.to_owned() }),
            _ => fields.wrong(name, "an item lacks `file` or `text`", "give {\"file\": …, \"text\": …}"),
        }
    }
    files
}

/// Makes the flows of the folder those that are deployed from it. Answers `{flows: [{name, change, …}], changed}`.
/// Flows that were deployed in another way are left alone, unless the folder has one of their name.
pub async fn reconcile(app: &App, folder: &Folder, dry_run: bool) -> Result<Value, Problem> {
    let mut wrong = Vec::new();
    let documents = documents(app, folder, &mut wrong);
    let mut values = values(folder, &documents, &mut wrong);
    let _turn = app.turn().lock().await;
    let there = app.store().connections(app.workspace()).await?;
    let mut deploy = Vec::new();
    for read in &documents {
        let given = values.remove(read.document.name()).unwrap_or_default();
        match planned(&read.document, given, &there) {
            Ok(new) => deploy.push(new),
            Err(errors) => wrong.extend(errors.iter().map(|error| told(read, error))),
        }
    }
    let current: BTreeMap<String, Flow> =
        app.store().flows(app.workspace()).await?.into_iter().map(|flow| (flow.name.clone(), flow)).collect();
    let owned = current.values().filter(|flow| flow.folder);
    if folder.files.is_empty() && owned.clone().next().is_some() {
        let message = "there is no flow in it, and all that came from it would be removed; `tributary flow remove` \
            takes flows out of use";
        wrong.push(diagnostic("folder", Place { line: 1, column: 1 }, WRONG, message.to_owned()));
    }
    if !wrong.is_empty() {
        wrong.sort();
        return Err(lint::problem(&wrong));
    }
    let names: BTreeSet<&str> = deploy.iter().map(|new| new.name.as_str()).collect();
    let remove: Vec<String> =
        owned.filter(|flow| !names.contains(flow.name.as_str())).map(|flow| flow.name.clone()).collect();
    let mut flows: Vec<Value> = deploy.iter().map(|new| change(new, current.get(&new.name))).collect();
    flows.extend(remove.iter().map(|name| json!({"name": name, "change": "removed"})));
    let changed = flows.iter().filter(|flow| flow["change"] != "unchanged").count();
    if !dry_run {
        let change = Change { deploy, remove, folder: true, note: None };
        let deployed = app.store().change_flows(app.workspace(), change, app.now()).await?;
        for (flow, deployed) in flows.iter_mut().zip(deployed) {
            flow["revision"] = deployed.revision.into();
        }
        app.wake();
    }
    Ok(json!({"flows": flows, "changed": changed, "dry_run": dry_run}))
}

/// The folder's flows as far as they can be read.
fn documents(app: &App, folder: &Folder, wrong: &mut Vec<Diagnostic>) -> Vec<Read> {
    if folder.files.len() > FILES_MAX {
        let message = format!("it has {} flows; at most {FILES_MAX} are taken", folder.files.len());
        wrong.push(diagnostic("folder", Place { line: 1, column: 1 }, WRONG, message));
        return Vec::new();
    }
    let mut documents: Vec<Read> = Vec::new();
    for File { name, text } in &folder.files {
        let document = match Document::parse(name, text) {
            Ok(document) => document,
            Err(found) => {
                wrong.extend(found);
                continue;
            }
        };
        wrong.extend(connect::lint::calls(app.catalog(), name, &document));
        if let Some(other) = documents.iter().find(|read| read.document.name() == document.name()) {
            let message = format!("the flow `{}` is in {} as well", document.name(), other.file);
            wrong.push(diagnostic(name, Place { line: 1, column: 1 }, WRONG, message));
        }
        documents.push(Read { file: name.clone(), document });
    }
    documents
}

/// What the flows are deployed with, by name.
fn values(folder: &Folder, documents: &[Read], wrong: &mut Vec<Diagnostic>) -> BTreeMap<String, Deployment> {
    let mut all: BTreeMap<String, Deployment> = BTreeMap::new();
    for File { name, text } in &folder.values {
        let root = match flow::yaml::parse(name, text) {
            Ok(root) => root,
            Err(found) => {
                wrong.extend(found);
                continue;
            }
        };
        for part in root.fields().iter().filter(|part| part.name != "flows") {
            let message = format!("`{}` is not known here; there is `flows`", part.name);
            wrong.push(diagnostic(name, part.place, WRONG, message));
        }
        for entry in root.get("flows").into_iter().flat_map(Node::fields) {
            // A flow that cannot be read may be the one that is meant.
            let known = || documents.iter().map(|read| read.document.name());
            if !known().any(|flow| flow == entry.name) && documents.len() == folder.files.len() {
                let message = format!("there is no flow `{}` in the folder", entry.name);
                let near = flow::nearest::nearest(&entry.name, known()).map(str::to_owned);
                let found = diagnostic(name, entry.place, WRONG, message);
                wrong.push(Diagnostic { suggestion: near, ..found });
                continue;
            }
            add(name, &entry.node, all.entry(entry.name.clone()).or_default(), wrong);
        }
    }
    all
}

/// Adds what a file says of one flow.
fn add(file: &str, node: &Node, to: &mut Deployment, wrong: &mut Vec<Diagnostic>) {
    for part in node.fields() {
        match part.name.as_str() {
            "settings" => {
                for setting in part.node.fields() {
                    to.settings.insert(setting.name.clone(), setting.node.to_value());
                }
            }
            "connections" => {
                for connection in part.node.fields() {
                    match connection.node.as_str() {
                        Some(mine) => {
                            to.connections.insert(connection.name.clone(), mine.to_owned());
                        }
                        None => {
                            let what = connection.node.describe();
                            let message = format!("a connection's name is a text, this is {what}");
                            wrong.push(diagnostic(file, connection.place, WRONG, message));
                        }
                    }
                }
            }
            other => {
                let message = format!("`{other}` is not known here; there are `settings` and `connections`");
                wrong.push(diagnostic(file, part.place, WRONG, message));
            }
        }
    }
}

/// A flow's change, with what differs.
fn change(new: &NewFlow, current: Option<&Flow>) -> Value {
    let mut shown = json!({"name": new.name, "version": new.version});
    match current {
        None => shown["change"] = "added".into(),
        Some(flow) if new.is(flow) => {
            shown["change"] = "unchanged".into();
            shown["revision"] = flow.revision.into();
        }
        Some(flow) => {
            shown["change"] = "changed".into();
            shown["from"] = flow.revision.into();
            shown["difference"] = between(&Side::revision(flow), &Side::new(new));
        }
    }
    shown
}

/// A mistake in what a flow is deployed with, at the call that it is about where there is one.
fn told(read: &Read, error: &FieldError) -> Diagnostic {
    let connection = error.field.strip_prefix("connections.");
    let call = read.document.calls().into_iter().find(|call| call.connection.as_deref() == connection);
    let place = call
        .filter(|_| connection.is_some())
        .map_or(Place { line: 1, column: 1 }, |call| Place { line: call.line, column: call.column });
    let message = format!("{}: {}; {}", error.field, error.detail, error.remedy);
    let missing = error.detail.starts_with("there is no connection");
    let code = if missing { "connection_missing" } else { Code::InvalidInput.slug() };
    diagnostic(&read.file, place, code, message)
}

fn diagnostic(file: &str, place: Place, code: &str, message: String) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        path: String::new(),
        code: code.to_owned(),
        message,
        suggestion: None,
    }
}

/// How the last reading of a server's own folder went, for `GET /v1/flows`.
pub fn state(app: &App, path: &str, outcome: &Result<Value, Problem>) -> Value {
    let mut state: Map<String, Value> = Map::new();
    state.insert("path".to_owned(), path.into());
    state.insert("at".to_owned(), json!(app.now()));
    state.insert("ok".to_owned(), outcome.is_ok().into());
    if let Err(problem) = outcome {
        state.insert("problem".to_owned(), problem.document());
    }
    Value::Object(state)
}
