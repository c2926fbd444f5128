//! What flows promise of themselves: texts in the chat, starts by the clock, what people decided.

use std::collections::{BTreeMap, BTreeSet};

use flow::WorkspaceId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use store::approvals::ApprovalQuery;
use store::{MAX_PAGE, Page};

use super::{Evidence, Violation};
use crate::Broken;
use crate::people::LINK;
use crate::target::Target;

/// The clock's first start may be counted from so long after the life's beginning.
const SET_UP: SignedDuration = SignedDuration::from_mins(5);
/// Nobody is down for longer, and nothing is put off for longer.
const LATE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// The first choice of a question, how many must take it, the other one, and what counts if nobody decides.
const CHOICES: (&str, usize, &str, &str) = ("approve", 2, "reject", "later");

/// Checks what the flows promise.
pub async fn check(
    target: &Target,
    evidence: &Evidence<'_>,
    found: &mut Vec<Violation>,
) -> Result<(), Broken> {
    let decided = decisions(evidence, found).await?;
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for told in target.promises().flat_map(|promise| &promise.messages) {
        for sent in evidence.sent.iter().filter(|sent| told.each == format!("stripe.{}", sent.r#type)) {
            let data: Value = serde_json::from_slice(&sent.body).map_err(Broken::of)?;
            let event = json!({"id": sent.id, "type": told.each, "data": data});
            for text in told.texts(&event, &decided).map_err(Broken)? {
                *expected.entry(text).or_default() += 1;
            }
        }
    }
    let messages = evidence.vendors.slack.messages();
    let texts = messages.iter().map(|message| message.text.as_str()).filter(|text| !text.contains(LINK));
    let clock = target.promises().find_map(|promise| promise.clock);
    let mut starts = Vec::new();
    for text in texts {
        match start_of(text).filter(|_| clock.is_some()) {
            Some(start) => starts.push(start),
            None => *expected.entry(text.to_owned()).or_default() -= 1,
        }
    }
    for (text, missing) in expected.into_iter().filter(|(_, missing)| *missing != 0) {
        let what = if missing > 0 { "not told" } else { "told too often" };
        found.push(Violation::new(
            "promised",
            text,
            json!("told once"),
            json!(format!("{what}: {}", missing.abs())),
        ));
    }
    if let Some(period) = clock {
        check_starts(period, starts, evidence, found);
    }
    Ok(())
}

/// `due <time> missed <n>`.
fn start_of(text: &str) -> Option<(Timestamp, i32)> {
    let (time, missed) = text.strip_prefix("due ")?.split_once(" missed ")?;
    Some((time.parse().ok()?, missed.parse().ok()?))
}

/// Each start follows the one before by the period, what was missed between counted in.
fn check_starts(
    period: SignedDuration,
    mut starts: Vec<(Timestamp, i32)>,
    evidence: &Evidence<'_>,
    found: &mut Vec<Violation>,
) {
    starts.sort_unstable();
    let mut violated = |what: &str, starts: String| {
        found.push(Violation::new("clock", what, json!("every start once"), json!(starts)));
    };
    let before = |(at, missed): (Timestamp, i32)| at.saturating_sub(period * (missed + 1)).unwrap_or(at);
    for pair in starts.windows(2) {
        if before(pair[1]) != pair[0].0 {
            violated("a start", format!("{pair:?}"));
        }
    }
    let config = evidence.config;
    let first = starts.first().map(|start| before(*start).duration_since(config.start));
    if first.is_none_or(|first| first.is_negative() || first > SET_UP) {
        violated("the first start", format!("{:?}", starts.first()));
    }
    let rest = starts.last().map(|last| config.end().duration_since(last.0));
    if rest.is_none_or(|rest| rest > period + LATE_MAX) {
        violated("the last start", format!("{:?}", starts.last()));
    }
}

/// What became of each question, by the rules, from the decisions on record. What somebody saw taken is on record,
/// nothing else than what somebody sent is, and the outcome follows from it.
async fn decisions(
    evidence: &Evidence<'_>,
    found: &mut Vec<Violation>,
) -> Result<Map<String, Value>, Broken> {
    let workspace = WorkspaceId::default();
    let (mut decided, mut page) = (Map::new(), Page { before: None, limit: MAX_PAGE });
    let nobody = BTreeSet::new();
    let mut untold = evidence.people.taken.clone();
    loop {
        let listed = evidence.store.approvals(&workspace, &ApprovalQuery::default(), page).await;
        let listed = listed.map_err(Broken::of)?;
        for brief in listed.items {
            let approval = evidence.store.approval(&workspace, &brief.id).await.map_err(Broken::of)?;
            let approval = approval.ok_or_else(|| Broken(format!("{} is listed and gone", brief.id)))?;
            let title = approval.asked.title.clone();
            let on_record: BTreeSet<(String, String)> = approval
                .decisions
                .iter()
                .map(|decision| (decision.by.clone(), decision.choice.clone()))
                .collect();
            let taken = untold.remove(&title).unwrap_or_default();
            let sent = evidence.people.sent.get(&title).unwrap_or(&nobody);
            if !taken.is_subset(&on_record) || !on_record.is_subset(sent) {
                let (expected, got) = (json!({"taken": taken, "sent": sent}), json!(on_record));
                found.push(Violation::new("decisions", title.as_str(), expected, got));
            }
            let outcome = outcome(&on_record);
            if approval.choice.as_deref() != Some(outcome) || decided.contains_key(&title) {
                let got = json!({"choice": approval.choice, "decisions": on_record});
                found.push(Violation::new("decided", title.as_str(), json!(outcome), got));
            }
            decided.insert(title, outcome.into());
        }
        match listed.next {
            Some(next) => page.before = Some(next),
            None => break,
        }
    }
    for title in untold.into_keys() {
        found.push(Violation::new("decisions", title, json!("on record"), json!("no such question")));
    }
    Ok(decided)
}

fn outcome(decisions: &BTreeSet<(String, String)>) -> &'static str {
    let (first, needed, other, otherwise) = CHOICES;
    let taken = |choice: &str| decisions.iter().filter(|(_, chosen)| chosen == choice).count();
    match (taken(other), taken(first)) {
        (1.., _) => other,
        (_, first_taken) if first_taken >= needed => first,
        _ => otherwise,
    }
}
