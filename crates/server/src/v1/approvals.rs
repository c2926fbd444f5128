//! `/v1/approvals`: what flows ask people, and what they decide.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use flow::approval::Decision;
use flow::{ApprovalId, RunId};
use serde_json::{Value, json};
use store::Page;
use store::approvals::{Approval, ApprovalLink, ApprovalQuery, ApprovalStatus};

use crate::App;
use crate::input::{Fields, Parameters};
use crate::listen::Peer;
use crate::problem::{Code, Problem};

const FILTERS: [&str; 5] = ["status", "flow", "run", "limit", "cursor"];

/// `GET /v1/approvals?status=&flow=&run=&limit=&cursor=`: newest first.
pub async fn list(
    State(app): State<App>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, Problem> {
    let mut parameters = Parameters::new(query);
    let status = parameters.word("status", &ApprovalStatus::ALL.map(|(word, _)| word));
    let filter = ApprovalQuery {
        status: status.and_then(|word| {
            ApprovalStatus::ALL.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
        }),
        flow: parameters.text("flow"),
        run: parameters.text("run").map(RunId::new),
    };
    let page = Page { before: parameters.cursor(), limit: parameters.limit() as usize };
    parameters.finish(&FILTERS)?;
    let listed = app.store().approvals(app.workspace(), &filter, page).await?;
    let approvals: Vec<Value> = listed.items.iter().map(brief).collect();
    Ok(Json(json!({"approvals": approvals, "next": listed.next.map(|next| next.to_string())})))
}

/// `GET /v1/approvals/{id}`: with its decisions and, while it is open, the links by which it is decided.
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    document(&app, &find(&app, &ApprovalId::new(id)).await?).map(Json)
}

/// `POST /v1/approvals/{id}/decide` `{choice, by, comment?, via?}`: adds a decision. Whoever may use the API may speak
/// for anybody; what was said, when and from where stays on record.
pub async fn decide(
    State(app): State<App>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    let decision = Decision {
        choice: fields.text("choice", "give one of its choices"),
        by: fields.text("by", "say who decides"),
        comment: fields.optional_text("comment").filter(|text| !text.trim().is_empty()),
        at: app.now(),
        via: match fields.optional_flag("command").unwrap_or_default() {
            true => "command".to_owned(),
            false => "api".to_owned(),
        },
        origin: peer.map(|Extension(Peer(peer))| peer),
    };
    fields.finish(&["choice", "by", "comment", "command"])?;
    let approval = decided(&app, &ApprovalId::new(id), decision).await?;
    document(&app, &approval).map(Json)
}

/// Adds a decision and has the engine look.
pub async fn decided(app: &App, id: &ApprovalId, decision: Decision) -> Result<Approval, Problem> {
    find(app, id).await?;
    let (by, choice, via) = (decision.by.clone(), decision.choice.clone(), decision.via.clone());
    let approval = app.store().decide(app.workspace(), id, decision).await?;
    tracing::info!(approval = %id, run = %approval.run, by, choice, via, "decided by a person");
    app.wake();
    Ok(approval)
}

/// A question, or that there is none.
pub async fn find(app: &App, id: &ApprovalId) -> Result<Approval, Problem> {
    app.store().approval(app.workspace(), id).await?.ok_or_else(|| {
        Problem::new(
            Code::ApprovalUnknown,
            format!("there is no approval `{id}`; `tributary approvals list` shows what there is"),
        )
    })
}

fn brief(approval: &Approval) -> Value {
    let mut document = json!(approval);
    if let Some(members) = document.as_object_mut() {
        members.shift_remove("decisions");
    }
    document
}

fn document(app: &App, approval: &Approval) -> Result<Value, Problem> {
    let mut document = json!(approval);
    document["links"] = links(app, approval)?.into();
    Ok(document)
}

/// One for each person who may still decide; one for anybody, if nobody is named.
fn links(app: &App, approval: &Approval) -> Result<Vec<Value>, Problem> {
    if approval.status != ApprovalStatus::Open {
        return Ok(Vec::new());
    }
    let people: Vec<Option<&str>> = match approval.asked.assignees.is_empty() {
        true => vec![None],
        false => approval.asked.open(&approval.decisions).map(Some).collect(),
    };
    let mut links = Vec::new();
    for who in people {
        let link = ApprovalLink {
            workspace: app.workspace().clone(),
            approval: approval.id.clone(),
            who: who.map(str::to_owned),
            until: approval.deadline.unwrap_or(approval.created_at),
        };
        let path = format!("/approve/{}", app.store().sign_link(&link)?);
        links.push(json!({"who": who, "url": app.public_url(&path), "path": path}));
    }
    Ok(links)
}
