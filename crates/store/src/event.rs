//! Events as they are stored: what came in by a connection's webhook, and what became of it.

use flow::{CloudEvent, EventId, Fault, RunId, WorkspaceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A verified event that is to be kept.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// A fresh id; unused if the event turns out to be a duplicate.
    pub id: EventId,
    /// The connection that it came by, by name.
    pub connection: String,
    /// The vendor's name of this event, the same at every delivery.
    pub dedupe_key: String,
    /// `stripe.invoice.paid`.
    pub r#type: String,
    /// When it happened, by the vendor's clock.
    pub time: Timestamp,
    /// Whether it is of live mode, where the vendor tells.
    pub live: Option<bool>,
    /// The vendor's id of what it is about.
    pub subject: Option<String>,
    /// The whole body as the vendor sent it.
    pub data: Value,
}

/// A body that was signed rightly and is not an event: kept to be looked at, never dispatched.
#[derive(Clone, Debug)]
pub struct NewQuarantine {
    pub id: EventId,
    pub connection: String,
    /// The body as it came; the same body again is a duplicate.
    pub body: Vec<u8>,
    /// Why it is no event.
    pub problem: Fault,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, and durable.
    Stored(EventId),
    /// It had come before, as this event.
    Duplicate(EventId),
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    /// Stored; the dispatcher has not seen it yet.
    Accepted,
    /// Every flow that wants it has been given it.
    Dispatched,
    /// Not an event, or one that cannot be dispatched; nothing is done with it.
    Quarantined,
}

/// What an event led to in one flow. An event that is dispatched has at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "run", rename_all = "snake_case")]
pub enum EventOutcome {
    /// It started this run.
    Run(RunId),
    /// A run of its lane that had not begun yet will do for it, too.
    Joined(RunId),
    /// It started or joined this run, which failed.
    Failed(RunId),
    /// This run had waited for it; the first one, where several of a flow had.
    Heard(RunId),
    /// Newer state has been applied already.
    Stale,
    /// Another event told the same fact.
    DuplicateFact,
    /// No flow asks for it.
    NoMatch,
    /// It is no event, or one that cannot be dispatched.
    Quarantined,
}

/// An outcome, and the flow that it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowOutcome {
    /// `None` where no flow was asked (no match, quarantined).
    pub flow: Option<String>,
    #[serde(flatten)]
    pub outcome: EventOutcome,
    /// 0 for the first dispatch, then the number of the replay.
    pub replay: u32,
}

/// A stored event, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    pub workspace: WorkspaceId,
    pub id: EventId,
    pub connection: String,
    pub dedupe_key: String,
    pub r#type: String,
    /// By the vendor's clock; for a quarantined body, when it came.
    pub time: Timestamp,
    pub received_at: Timestamp,
    pub live: Option<bool>,
    pub subject: Option<String>,
    pub status: EventStatus,
    /// How many times it has been replayed.
    pub replays: u32,
    /// The vendor's body; for a quarantined body that is no JSON, its text as a string; null if it cannot be read.
    pub data: Arc<Value>,
    /// Why it is quarantined.
    pub problem: Option<Fault>,
}

impl Event {
    /// The event as flows see it.
    pub fn to_cloud_event(&self) -> CloudEvent {
        CloudEvent {
            id: self.dedupe_key.clone(),
            source: self.connection.clone(),
            r#type: self.r#type.clone(),
            time: self.time,
            subject: self.subject.clone(),
            data: self.data.clone(),
        }
    }
}

/// An event and what became of it, without its body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventSummary {
    pub id: EventId,
    pub connection: String,
    pub dedupe_key: String,
    pub r#type: String,
    pub time: Timestamp,
    pub received_at: Timestamp,
    pub live: Option<bool>,
    pub subject: Option<String>,
    pub status: EventStatus,
    pub replays: u32,
    /// How often the vendor delivered it; 0 once that is forgotten with its dedupe key.
    pub deliveries: u32,
    pub outcomes: Vec<FlowOutcome>,
}

/// Which events to list; all conditions hold at once.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub status: Option<EventStatus>,
    pub connection: Option<String>,
    /// A type; one that ends in `.*` stands for all that begin so.
    pub r#type: Option<String>,
    /// The name of an outcome: `run`, `joined`, `heard`, `failed`, `stale`, `duplicate_fact`, `no_match`, `quarantined`.
    pub outcome: Option<String>,
    /// Text to be found in the id, the dedupe key or the subject.
    pub text: Option<String>,
    /// Received at or after this.
    pub since: Option<Timestamp>,
    /// Received before this.
    pub until: Option<Timestamp>,
}
