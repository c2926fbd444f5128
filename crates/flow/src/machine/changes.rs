//! What becomes of tasks, told in the order in which it happens: for flows whose runs tell of their tasks' lives.

use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

use super::{Machine, StepState};
use crate::{EffectRef, Fault};

/// Something that became of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The task and its visit.
    pub task: EffectRef,
    pub what: TaskChange,
    pub at: Timestamp,
}

/// What it was. A task whose `if` does not hold has none of these.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskChange {
    Created,
    Started,
    /// A `try` begins again.
    Retried,
    /// With its output, as far as it is kept.
    Completed(Option<Arc<Value>>),
    Faulted(Fault),
    /// It was overtaken, as [`StepState::Cancelled`].
    Cancelled,
}

impl Machine {
    /// What became of tasks since this was asked last; nothing unless the document says that it is told.
    pub fn changes(&mut self) -> Vec<Change> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes what became of the task that the topmost frame is at.
    pub(super) fn changed(&mut self, what: TaskChange) {
        if let Some(record) = self.current().map(|current| current.record) {
            self.changed_of(record, what);
        }
    }

    /// Notes how the task of a record ended.
    pub(super) fn changed_end(&mut self, record: usize, state: &StepState) {
        let what = match state {
            StepState::Running | StepState::Skipped => return,
            StepState::Done(output) => TaskChange::Completed(output.clone()),
            StepState::Failed(fault) => TaskChange::Faulted(fault.clone()),
            StepState::Cancelled => TaskChange::Cancelled,
        };
        self.changed_of(record, what);
    }

    fn changed_of(&mut self, record: usize, what: TaskChange) {
        let at = self.now;
        if let (Some(changes), Some(record)) = (&mut self.changes, self.steps.get(record)) {
            changes.push(Change { task: record.at.clone(), what, at });
        }
    }
}
