//! What came of a trial, from the run's journal: fed to a machine again, it tells every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::journal::{Entry, Outcome};
use flow::machine::StepState;
use flow::{Document, Fault, Machine, RunId, Start, StepRecord, WorkspaceId};
use serde_json::{Value, json};
use store::Store;

use crate::Broken;

/// How a run stands after a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Completed(Value),
    Failed(Fault),
    /// It waits for something that did not come.
    Waiting,
}

/// Something that the run asked the world for, as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    pub step: String,
    pub operation: String,
    pub with: Value,
}

/// One run, told.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub status: Status,
    pub steps: Vec<StepRecord>,
    pub calls: Vec<Called>,
    /// Why what was to happen later could not.
    pub missed: Vec<String>,
}

impl Report {
    /// The report of a run that will not go on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(store: &Store, run: &RunId, document: &Arc<Document>) -> Result<Report, Broken> {
        let journal = store.journal(&WorkspaceId::default(), run).await.map_err(Broken::of)?;
        let mut machine: Option<Machine> = None;
        let mut report =
            Report { status: Status::Waiting, steps: Vec::new(), calls: Vec::new(), missed: Vec::new() };
        for (_, entry) in journal {
            match entry {
                Entry::Started { input, settings, at, .. } => {
                    let (document, run) = (document.clone(), run.clone());
                    machine =
                        Some(Machine::start(Start { document, run, input, settings, started_at: at }).0);
                    report.calls.clear();
                }
                Entry::Finished { outcome, .. } => {
                    report.status = match outcome {
                        Outcome::Output(output) => Status::Completed(output),
                        Outcome::Fault(fault) => Status::Failed(fault),
                    };
                }
                entry => {
                    if let Entry::Resolved { step, operation, input, .. } = &entry
                        && !is_pure(operation)
                    {
                        let (step, operation, with) = (step.clone(), operation.clone(), input.clone());
                        report.calls.push(Called { step, operation, with });
                    }
                    if let (Some(machine), Some(input)) = (machine.as_mut(), entry.replay()) {
                        machine.advance(input);
                    }
                }
            }
        }
        report.steps = machine.map(|machine| machine.steps().to_vec()).unwrap_or_default();
        Ok(report)
    }

    /// `{"status", "output", "error", "steps"}`.
    pub fn document(&self) -> Value {
        let (status, output, error) = match &self.status {
            Status::Completed(output) => ("completed", output.clone(), Value::Null),
            Status::Failed(fault) => ("failed", Value::Null, fault.to_value()),
            Status::Waiting => ("waiting", Value::Null, Value::Null),
        };
        let steps: Vec<Value> = self.steps.iter().map(step).collect();
        json!({"status": status, "output": output, "error": error, "steps": steps})
    }

    /// The last output of each step, by name.
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        let done = self.steps.iter().filter_map(|step| match &step.state {
            StepState::Done(Some(output)) => Some((step.name.clone(), Value::clone(output))),
            _ => None,
        });
        done.collect()
    }
}

/// Whether a call reaches nothing outside the run.
pub fn is_pure(operation: &str) -> bool {
    operation == "script" || operation.starts_with("revenue.")
}

/// A step's state as it is told.
pub fn state(step: &StepRecord) -> &'static str {
    match step.state {
        StepState::Running => "running",
        StepState::Skipped => "skipped",
        StepState::Done(_) => "completed",
        StepState::Failed(_) => "failed",
        StepState::Cancelled => "cancelled",
    }
}

fn step(step: &StepRecord) -> Value {
    let (output, error) = match &step.state {
        StepState::Done(output) => (output.as_ref().map(|output| Value::clone(output)), None),
        StepState::Failed(fault) => (None, Some(fault.to_value())),
        _ => (None, None),
    };
    let took = step.ended_at.map(|ended| ended.duration_since(step.started_at).as_millis());
    json!({
        "name": step.name,
        "path": step.at.path,
        "task": step.action,
        "call": step.call.as_ref().map(|(operation, _)| operation),
        "status": state(step),
        "duration_ms": took.and_then(|ms| i64::try_from(ms).ok()),
        "output": output,
        "error": error,
    })
}
