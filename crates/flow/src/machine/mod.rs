//! The state machine of one run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

use crate::{Document, Fault, RunId};

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Start {
    pub document: Arc<Document>,
    pub run: RunId,
    /// The CloudEvent as JSON for a run that an event started; any JSON otherwise.
    pub input: Value,
    pub settings: Value,
    pub started_at: Timestamp,
}

/// Names one effect of a run, the same each time the run is replayed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectRef {
    /// JSON pointer of the task in the document.
    pub path: String,
    /// The how-manieth visit of that task, from 1: loops visit their tasks again.
    pub visit: u32,
    /// How many times this visit was begun before, from 0: a retried `try` begins its tasks again.
    pub generation: u32,
}

/// Something that the machine asks to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Call an operation with evaluated arguments (`connection` among them).
    Call { at: EffectRef, step: String, operation: String, with: Value },
    /// Come back at a time.
    Wait { at: EffectRef, until: Timestamp },
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A call is over.
    Resolved { at: EffectRef, outcome: Result<Value, Fault>, now: Timestamp },
    /// A wait is over.
    Elapsed { at: EffectRef, now: Timestamp },
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Running,
    Completed(Value),
    Failed(Fault),
}

/// A task that was finished, or is being waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    pub at: EffectRef,
    pub name: String,
}

/// The state of a run.
#[derive(Clone, Debug)]
pub struct Machine {
    steps: Vec<StepRecord>,
    status: Status,
}

impl Machine {
    /// Begins a run and goes on until it needs something or is over.
    pub fn start(start: Start) -> (Self, Vec<Effect>) {
        let machine = Self { steps: Vec::new(), status: Status::Completed(start.input) };
        (machine, Vec::new())
    }

    /// Tells the machine what came of an effect. An effect that it does not wait for changes nothing.
    pub fn advance(&mut self, _input: Input) -> Vec<Effect> {
        Vec::new()
    }

    pub fn status(&self) -> Status {
        self.status.clone()
    }

    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }
}
