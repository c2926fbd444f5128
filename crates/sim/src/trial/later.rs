//! What happens later in a trial: events that the run may listen for, people's decisions, and time that passes first.
//!
//! A thing happens when the run can do nothing more without time going by, `after` the thing before it (at once,
//! without). Waits of the run that are over until then, are over first.

use flow::approval::Decision;
use flow::{CloudEvent, EventId, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::sync::Arc;
use store::approvals::{ApprovalQuery, ApprovalStatus};
use store::{NewEvent, Page, Store};

/// Something, and how long after the thing before it.
#[derive(Clone, Debug)]
pub struct Later {
    pub after: SignedDuration,
    pub what: Happens,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Happens {
    /// Time has passed, and that is all.
    Nothing,
    /// An event, and whether it says its own time.
    Event(CloudEvent, bool),
    Decision(Decides),
    /// The trial ends, whatever the run waits for.
    Stop,
}

/// A person's answer to a question of the run that is open then.
#[derive(Clone, Debug)]
pub struct Decides {
    /// The step that asks; without it, the only one that does.
    pub step: Option<String>,
    pub choice: String,
    pub by: String,
    pub comment: Option<String>,
}

/// Fields of an item of `then`.
pub const ITEM: &[&str] = &["after", "event", "decide", "stop"];
/// Fields of `decide`.
pub const DECIDE: &[&str] = &["step", "choice", "by", "comment"];

impl Later {
    /// Reads an item as it is written, its expressions evaluated. `now` is when the trial begins.
    ///
    /// # Errors
    /// Says what is not right.
    pub fn read(item: &Value, now: Timestamp) -> Result<Later, String> {
        let after = match &item["after"] {
            Value::Null => SignedDuration::ZERO,
            after => flow::duration::from_value(after).map_err(|why| format!("`after`: {why}"))?,
        };
        let what = if item["stop"] == true {
            Happens::Stop
        } else if let Some(event) = item.get("event") {
            Happens::Event(event_of(event, now)?, event.get("time").is_some())
        } else if let Some(decide) = item.get("decide") {
            let text = |name: &str| decide[name].as_str().map(str::to_owned);
            let needed = |name: &str| text(name).ok_or_else(|| format!("`decide` needs `{name}`, a text"));
            Happens::Decision(Decides {
                step: text("step"),
                choice: needed("choice")?,
                by: needed("by")?,
                comment: text("comment"),
            })
        } else {
            Happens::Nothing
        };
        Ok(Later { after, what })
    }
}

/// An event as a test writes it.
///
/// # Errors
/// Its `time` is none.
pub fn event_of(given: &Value, now: Timestamp) -> Result<CloudEvent, String> {
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    let time = match text("time") {
        Some(time) => time.parse().map_err(|_| format!("`time` of the event is no time: {time}"))?,
        None => now,
    };
    Ok(CloudEvent {
        id: text("id").unwrap_or_else(|| "evt_test".to_owned()),
        source: text("source").unwrap_or_default(),
        r#type: text("type").unwrap_or_default(),
        time,
        subject: text("subject"),
        data: Arc::new(given.get("data").cloned().unwrap_or_default()),
    })
}

impl Happens {
    /// Has it happen, for a run. Whoever calls this commits meanwhile.
    ///
    /// # Errors
    /// Says why it could not.
    pub async fn happen(self, store: Store, run: RunId, number: usize, now: Timestamp) -> Result<(), String> {
        let workspace = WorkspaceId::default();
        match self {
            Self::Nothing | Self::Stop => Ok(()),
            Self::Event(event, timed) => {
                let id = format!("evt_later_{number}");
                // Several may be written alike, and each comes.
                let key = if event.id == "evt_test" { id.clone() } else { event.id };
                let new = NewEvent {
                    id: EventId::new(id),
                    connection: event.source,
                    dedupe_key: key,
                    r#type: event.r#type,
                    time: if timed { event.time } else { now },
                    live: Some(false),
                    subject: event.subject,
                    data: Value::clone(&event.data),
                };
                store.accept_event(&workspace, new, now).await.map(drop).map_err(|error| error.to_string())
            }
            Self::Decision(decides) => decide(&store, &workspace, &run, decides, now).await,
        }
    }
}

async fn decide(
    store: &Store,
    workspace: &WorkspaceId,
    run: &RunId,
    decides: Decides,
    now: Timestamp,
) -> Result<(), String> {
    let query = ApprovalQuery {
        status: Some(ApprovalStatus::Open),
        run: Some(run.clone()),
        ..ApprovalQuery::default()
    };
    let open =
        store.approvals(workspace, &query, Page::default()).await.map_err(|error| error.to_string())?;
    let steps: Vec<&str> = open.items.iter().map(|approval| approval.step.as_str()).collect();
    let asked = match &decides.step {
        Some(step) => open.items.iter().find(|approval| approval.step == *step),
        None => open.items.first().filter(|_| open.items.len() == 1),
    };
    let Some(asked) = asked else {
        return Err(match (steps.as_slice(), &decides.step) {
            ([], _) => "nobody is asked anything now".to_owned(),
            (_, Some(step)) => format!("`{step}` asks nothing now; {} do", steps.join(", ")),
            (_, None) => format!("several steps ask: say which by `step` ({})", steps.join(", ")),
        });
    };
    let decision = Decision {
        by: decides.by,
        choice: decides.choice,
        comment: decides.comment,
        at: now,
        via: "test".to_owned(),
        origin: None,
    };
    store.decide(workspace, &asked.id, decision).await.map(drop).map_err(|error| error.to_string())
}
