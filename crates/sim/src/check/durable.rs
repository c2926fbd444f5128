//! What is durable: each acknowledged event has its outcome, no run is left, lanes keep their order, journals hold
//! no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flow::{Document, EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use serde_json::json;
use store::{EventOutcome, EventQuery, EventSummary, MAX_PAGE, Page, Run, RunQuery, RunStatus, Store};

use super::{Evidence, Violation};
use crate::Broken;
use crate::target::{Meaning, Target};

/// Checks what the store holds; answers how many runs there were.
pub async fn check(
    target: &Target,
    evidence: &Evidence<'_>,
    found: &mut Vec<Violation>,
) -> Result<usize, Broken> {
    let workspace = WorkspaceId::default();
    let events = events(&evidence.store, &workspace).await?;
    let runs = runs(&evidence.store, &workspace).await?;
    acknowledged(target, evidence, &events, found);
    outcomes(&events, &runs, found);
    gathered(target, evidence, &events, &runs, found).await?;
    for run in runs.values() {
        let expected = if target.fails(&run.flow) { RunStatus::Failed } else { RunStatus::Completed };
        if run.status != expected {
            let why = run.fault.as_ref().map(|fault| fault.to_string());
            let state = json!({"status": run.status, "why": why});
            found.push(Violation::new("run_completed", run.id.as_str(), json!(expected), state));
        }
    }
    if !evidence.clock_jumped {
        lanes(target, &runs, found);
    }
    secrets(evidence, &workspace, &runs, found).await?;
    Ok(runs.len())
}

async fn events(store: &Store, workspace: &WorkspaceId) -> Result<Vec<EventSummary>, Broken> {
    let (mut all, mut page) = (Vec::new(), Page { before: None, limit: MAX_PAGE });
    loop {
        let listed = store.events(workspace, &EventQuery::default(), page).await.map_err(Broken::of)?;
        all.extend(listed.items);
        match listed.next {
            Some(next) => page.before = Some(next),
            None => return Ok(all),
        }
    }
}

async fn runs(store: &Store, workspace: &WorkspaceId) -> Result<BTreeMap<RunId, Run>, Broken> {
    let (mut all, mut page) = (BTreeMap::new(), Page { before: None, limit: MAX_PAGE });
    loop {
        let listed = store.runs(workspace, &RunQuery::default(), page).await.map_err(Broken::of)?;
        all.extend(listed.items.into_iter().map(|run| (run.id.clone(), run)));
        match listed.next {
            Some(next) => page.before = Some(next),
            None => return Ok(all),
        }
    }
}

/// What the sender saw acknowledged is there, once, with an outcome, in the flow if that asks for it.
fn acknowledged(
    target: &Target,
    evidence: &Evidence<'_>,
    events: &[EventSummary],
    found: &mut Vec<Violation>,
) {
    let mut stored: BTreeMap<&str, Vec<&EventSummary>> = BTreeMap::new();
    for event in events {
        stored.entry(&event.dedupe_key).or_default().push(event);
    }
    for sent in evidence.sent.iter().filter(|sent| evidence.acknowledged.contains(&sent.id)) {
        let copies = stored.get(sent.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let [event] = copies else {
            let count = json!(format!("stored {} times", copies.len()));
            found.push(Violation::new("acknowledged", &sent.id, json!("stored once"), count));
            continue;
        };
        if event.outcomes.is_empty() {
            let stands = json!(event.status);
            found.push(Violation::new("acknowledged", &sent.id, json!("an outcome"), stands));
            continue;
        }
        let asked = target.meaning != Meaning::Own && asks_for(target, &sent.r#type);
        let met = event.outcomes.iter().any(|outcome| outcome.flow.as_deref() == Some(&target.name));
        if asked && !met {
            let outcomes = json!(event.outcomes);
            found.push(Violation::new(
                "acknowledged",
                &sent.id,
                json!(format!("for {}", target.name)),
                outcomes,
            ));
        }
    }
}

/// Whether a trigger of the flow names this type, told by its text alone.
fn asks_for(target: &Target, r#type: &str) -> bool {
    target.document.triggers().iter().filter_map(|filter| filter.r#type.as_deref()).any(|wanted| {
        let wanted = wanted.strip_prefix("stripe.").unwrap_or(wanted);
        wanted.strip_suffix('*').map_or(wanted == r#type, |prefix| r#type.starts_with(prefix))
    })
}

/// Each event has one outcome per flow, and the run that it names exists.
fn outcomes(events: &[EventSummary], runs: &BTreeMap<RunId, Run>, found: &mut Vec<Violation>) {
    for event in events {
        let mut flows = BTreeSet::new();
        for outcome in &event.outcomes {
            if !flows.insert(outcome.flow.clone()) {
                let all = json!(event.outcomes);
                found.push(Violation::new("one_outcome", &event.dedupe_key, json!("one per flow"), all));
            }
            let named = match &outcome.outcome {
                EventOutcome::Run(run) | EventOutcome::Joined(run) | EventOutcome::Failed(run) => Some(run),
                _ => None,
            };
            if let Some(run) = named.filter(|run| !runs.contains_key(*run)) {
                let gone = json!(format!("{run} does not exist"));
                found.push(Violation::new("acknowledged", &event.dedupe_key, json!("a run"), gone));
            }
        }
    }
}

/// Of a flow that gathers events, each event is in one run, which is the one that its outcome names.
async fn gathered(
    target: &Target,
    evidence: &Evidence<'_>,
    events: &[EventSummary],
    runs: &BTreeMap<RunId, Run>,
    found: &mut Vec<Violation>,
) -> Result<(), Broken> {
    for flow in target.documents().filter(|document| document.batch().is_some()) {
        let mut expected: BTreeSet<(EventId, RunId)> = BTreeSet::new();
        for event in events {
            let of_flow =
                event.outcomes.iter().filter(|outcome| outcome.flow.as_deref() == Some(flow.name()));
            let named = of_flow.filter_map(|outcome| match &outcome.outcome {
                EventOutcome::Run(run) | EventOutcome::Joined(run) | EventOutcome::Failed(run) => Some(run),
                _ => None,
            });
            expected.extend(named.map(|run| (event.id.clone(), run.clone())));
        }
        let mut in_runs = BTreeSet::new();
        for run in runs.values().filter(|run| run.flow == flow.name()) {
            let whole = evidence.store.run(&WorkspaceId::default(), &run.id).await.map_err(Broken::of)?;
            in_runs.extend(
                whole.into_iter().flat_map(|whole| whole.events).map(|event| (event, run.id.clone())),
            );
        }
        for (event, run) in expected.symmetric_difference(&in_runs) {
            let (expected, got) = (json!("in the run that its outcome names"), json!(run));
            found.push(Violation::new("gathered", event.as_str(), expected, got));
        }
    }
    Ok(())
}

/// Runs of a lane begin in the order in which they were made; where a flow has several windows open in one lane, in the
/// order in which these end, of which nothing is said here.
fn lanes(target: &Target, runs: &BTreeMap<RunId, Run>, found: &mut Vec<Violation>) {
    let keyed = |document: &Arc<Document>| document.batch().is_some_and(|batch| batch.by.is_some());
    let several: BTreeSet<&str> =
        target.documents().filter(|document| keyed(document)).map(|document| document.name()).collect();
    let mut lanes: BTreeMap<(&str, &str), Vec<&Run>> = BTreeMap::new();
    for run in runs.values().filter(|run| !several.contains(run.flow.as_str())) {
        if let Some(lane) = &run.lane {
            lanes.entry((&run.flow, lane)).or_default().push(run);
        }
    }
    for ((_, lane), mut line) in lanes {
        line.sort_by_key(|run| run.created_at);
        for pair in line.windows(2) {
            let began = |run: &Run| run.started_at.unwrap_or(Timestamp::MAX);
            if pair[0].created_at < pair[1].created_at && began(pair[1]) < began(pair[0]) {
                let (first, second) = (pair[0].id.as_str(), pair[1].id.as_str());
                let (expected, got) = (json!([first, second]), json!([second, first]));
                found.push(Violation::new("lane_order", lane, expected, got));
            }
        }
    }
}

/// No credential in any journal.
async fn secrets(
    evidence: &Evidence<'_>,
    workspace: &WorkspaceId,
    runs: &BTreeMap<RunId, Run>,
    found: &mut Vec<Violation>,
) -> Result<(), Broken> {
    for run in runs.keys() {
        for (n, entry) in evidence.store.journal(workspace, run).await.map_err(Broken::of)? {
            let text = serde_json::to_string(&entry).map_err(Broken::of)?;
            if evidence.secrets.iter().any(|secret| text.contains(secret)) {
                let what = format!("{run}, entry {n}");
                found.push(Violation::new("secrets", what, json!("no credential"), json!("a credential")));
            }
        }
    }
    Ok(())
}
