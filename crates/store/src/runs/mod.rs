//! Runs: created at dispatch, claimed under a lease, journalled, parked, finished.
//!
//! | from | by | to | lane |
//! |---|---|---|---|
//! | – | dispatch, start | queued | takes the turn if nobody has it |
//! | – | dispatch, the first event of a window | parked, until the window ends | |
//! | queued, with the turn | claim: epoch + 1 | running | keeps the turn |
//! | running | release, expired lease | queued | keeps the turn |
//! | running | park | parked | passes the turn on (`hold`: keeps it) |
//! | parked | wake, at `ready_at`, or the last event of a window | queued | takes the turn if nobody has it |
//! | running | finish | completed, failed | passes the turn on (a failure under `hold` keeps it) |
//! | failed | retry | queued | takes the turn if nobody has it |
//! | queued, running, parked, failed under `hold` | cancel | cancelled | passes the turn on |
//!
//! A *turn* is the right to work in a lane: at most one run of a lane has it, which an index enforces. It passes to
//! the oldest queued run. A run without a lane is a lane of its own. Only queued runs with a turn are looked at by
//! claims, so that a long queue in one lane costs the others nothing.

use flow::{EventId, Fault, Mode, OnFailure, RunId, WorkspaceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Answers, Error, Event, Result, Window};

mod advance;
mod claim;
pub(crate) mod list;

pub use advance::{Ended, Parked, Progress};

/// What run ?2 of workspace ?1 has in a column, asked once for the whole statement.
macro_rules! of_run {
    ($column:literal) => {
        concat!("(SELECT done.", $column, " FROM runs AS done WHERE done.workspace = ?1 AND done.id = ?2)")
    };
}

/// Gives the turn of a run's lane, if nobody has it, to the oldest queued run of the lane. No join: so that whatever a
/// database thinks of the tables' sizes, the index of the line has the answer at its beginning.
pub(crate) const PASS_ON: &str = concat!(
    "UPDATE runs SET turn = 1 WHERE seq = (SELECT line.seq FROM runs AS line \
     WHERE line.workspace = ?1 AND line.status = 'queued' AND line.flow = ",
    of_run!("flow"),
    " AND line.lane = ",
    of_run!("lane"),
    " AND NOT EXISTS (SELECT 1 FROM runs AS busy WHERE busy.workspace = ?1 AND busy.turn = 1 AND busy.flow = ",
    of_run!("flow"),
    " AND busy.lane = ",
    of_run!("lane"),
    ") AND NOT EXISTS (SELECT 1 FROM flows WHERE flows.workspace = ?1 AND flows.paused = 1 AND flows.name = ",
    of_run!("flow"),
    ") ORDER BY line.seq LIMIT 1)"
);

/// Notes with the events that a run works for whether it has failed.
pub(crate) const MARK_OUTCOMES: &str = "UPDATE event_outcomes SET failed = ?3 WHERE workspace = ?1 AND run = ?2 \
    AND event IN (SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2)";

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    Parked,
    Completed,
    Failed,
    Cancelled,
}

/// What an event means to one flow that asks for it.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// A fresh id, used if a run is created.
    pub run: RunId,
    pub flow: String,
    pub revision: u32,
    /// The lane's key; `None`: runs of this flow don't wait for each other.
    pub lane: Option<String>,
    pub mode: Mode,
    pub on_failure: OnFailure,
    /// The fact that the event tells, for a flow that acts once per fact.
    pub fact: Option<String>,
    /// How the event is gathered with others, for a flow that makes one run for several. Such a flow is no state flow.
    pub window: Option<Window>,
    /// The flow asks for the event, but its lane or fact key could not be worked out: the run is created as failed,
    /// to be seen, alerted and retried, on a lane of its own.
    pub fault: Option<Fault>,
}

/// An event, and what it means to every flow that asks for it.
#[derive(Clone, Debug)]
pub struct Dispatching {
    pub workspace: WorkspaceId,
    pub event: EventId,
    /// Empty: no flow asks for it.
    pub flows: Vec<Dispatch>,
    /// What it answers to those who listen.
    pub answers: Vec<Answers>,
}

impl Dispatching {
    /// The same for an event that cannot be dispatched as it should: every flow that asks for it gets a failed run.
    pub fn failing(mut self, fault: &Fault) -> Self {
        for dispatch in &mut self.flows {
            (dispatch.lane, dispatch.fact, dispatch.window) = (None, None, None);
            dispatch.fault = Some(fault.clone());
        }
        self
    }
}

/// A run that no event started.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub id: RunId,
    pub flow: String,
    pub revision: u32,
    pub lane: Option<String>,
    pub on_failure: OnFailure,
    pub input: Value,
}

/// A run that is the caller's to work on until its lease ends.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    pub workspace: WorkspaceId,
    pub run: RunId,
    /// Fences every write: whoever claims it next has a higher one.
    pub epoch: u64,
    pub flow: String,
    pub revision: u32,
    pub lane: Option<String>,
    /// The event that the run is for: of a run that several joined, the newest.
    pub event: Option<Event>,
    /// The input of a run that no event started.
    pub input: Option<Value>,
    /// Whether the journal has entries: the run was worked on before.
    pub begun: bool,
    /// How often it was retried by hand after a failure.
    pub retries: u32,
    pub created_at: Timestamp,
    pub lease_until: Timestamp,
    /// Why its event or its input cannot be read: it can only be failed.
    pub unreadable: Option<String>,
}

/// A run as it is listed and shown; its steps are in its journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    pub id: RunId,
    pub flow: String,
    pub revision: u32,
    pub version: String,
    pub status: RunStatus,
    pub lane: Option<String>,
    /// The event that it is for, and what that was about.
    pub event: Option<EventId>,
    pub event_type: Option<String>,
    pub subject: Option<String>,
    pub input: Option<Value>,
    pub node: Option<String>,
    pub epoch: u64,
    pub retries: u32,
    pub created_at: Timestamp,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When a parked run goes on.
    pub ready_at: Option<Timestamp>,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// Every event that it works for, oldest first; left empty in lists.
    pub events: Vec<EventId>,
}

/// Which runs to list; all conditions hold at once.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    pub status: Option<RunStatus>,
    pub flow: Option<String>,
    pub event: Option<EventId>,
    /// Text to be found in the id, the lane or the subject.
    pub text: Option<String>,
}

impl RunStatus {
    const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Parked, Self::Completed, Self::Failed, Self::Cancelled];

    /// The name that it is stored and shown by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| Error::Refused(format!("`{name}` is no status of a run")))
    }
}
