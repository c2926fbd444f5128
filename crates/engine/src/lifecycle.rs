//! Events of runs' own lives, by the specification's names, of flows that say `document.metadata.lifecycle: true`; with
//! `tasks`, of those of their tasks too.
//!
//! | type | is told |
//! |---|---|
//! | `io.serverlessworkflow.workflow.started.v1` | before the first effect |
//! | `….completed.v1`, `….faulted.v1` | once nothing can change the outcome any more, before the commit that ends the run |
//! | `….cancelled.v1` | by the unit that cancels the run, if its start was told (`store::lives`) |
//! | `io.serverlessworkflow.task.*.v1` | in the commit of the entries that it came of, and so once |
//!
//! They come to the inbox like events that flows emit. An id says which run it is, and after how many retries: so each is
//! there once, whatever dies between. A run that such an event started tells nothing, and the others keep the limit of
//! events in a row: what listens to lives does not go on for ever.

use flow::EventId;
use flow::event::{LIFE_SOURCE, LIFE_TYPES};
use flow::journal::Outcome;
use flow::machine::{Change, TaskChange};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{NewEvent, life_key};

use crate::journal::Lost;
use crate::limits::{HOPS_MAX, TASK_EVENTS_MAX, TASK_OUTPUT_MAX};
use crate::run::Run;

impl Run<'_> {
    /// The run begins, or may have died before anybody was told.
    pub async fn tell_start(&self, at: Timestamp) -> Result<(), Lost> {
        if !self.tells_life() {
            return Ok(());
        }
        self.tell_life("started", at, json!({"startedAt": at})).await
    }

    /// Ends the run.
    pub async fn end(&self, outcome: Outcome) -> Result<(), Lost> {
        if self.tells_life() {
            // Whoever takes it up after a crash comes to the same end.
            self.journal.save().await?;
            let now = self.node.clock.now();
            match &outcome {
                Outcome::Output(output) => {
                    self.tell_life("completed", now, json!({"completedAt": now, "output": output})).await?;
                }
                Outcome::Fault(fault) => {
                    let told = json!({"faultedAt": now, "error": fault.to_value()});
                    self.tell_life("faulted", now, told).await?;
                }
            }
        }
        self.journal.finish(outcome).await
    }

    fn tells_life(&self) -> bool {
        let of_a_life = match (&self.batch, &self.claim.event) {
            (Some(batch), _) => batch.is_of_lives(),
            (None, Some(event)) => event.r#type.starts_with(LIFE_TYPES),
            (None, None) => false,
        };
        self.document().tells_life() && !of_a_life
    }

    /// Whether what becomes of its tasks is told too.
    pub fn tells_tasks(&self) -> bool {
        self.document().tells_tasks() && self.tells_life()
    }

    async fn tell_life(&self, what: &str, at: Timestamp, told: Value) -> Result<(), Lost> {
        let (node, claim, document) = (self.node, self.claim, self.document());
        let hops = self.hops().await? + 1;
        if hops > HOPS_MAX {
            tracing::warn!(run = %claim.run, what, "not told: events led to each other {HOPS_MAX} times in a row");
            return Ok(());
        }
        let mut data = json!({
            "name": claim.run.as_str(),
            "definition": {
                "namespace": document.namespace(),
                "name": document.name(),
                "version": document.version(),
            },
        });
        if let (Some(data), Value::Object(told)) = (data.as_object_mut(), told) {
            data.extend(told);
        }
        self.journal.save_writes().await?;
        let tell = || {
            let key = life_key(&claim.run, what, claim.retries);
            let event = self.life(&format!("workflow.{what}"), key, at, data.clone());
            node.store.tell_life(&claim.workspace, (&claim.run, claim.epoch), event, hops, node.clock.now())
        };
        self.hold(tell).await?;
        node.events.notify_one();
        Ok(())
    }

    fn life(&self, what: &str, dedupe_key: String, at: Timestamp, data: Value) -> NewEvent {
        NewEvent {
            id: self.node.with_rng(|rng| EventId::random(rng)),
            connection: LIFE_SOURCE.to_owned(),
            dedupe_key,
            r#type: format!("{LIFE_TYPES}{what}.v1"),
            time: at,
            live: self.live(),
            subject: Some(self.claim.flow.clone()),
            data,
        }
    }
}

/// Tells what becomes of a run's tasks.
#[derive(Debug)]
pub struct Tasks {
    /// How far what is told is from what came from outside.
    hops: u32,
    /// When this pass began: a state flow that was put aside does its tasks anew.
    began: Timestamp,
    /// What was told in this pass, and by those that it goes on from.
    told: usize,
}

impl Tasks {
    pub fn new(hops: u32, began: Timestamp) -> Tasks {
        Tasks { hops, began, told: 0 }
    }

    /// Tells of changes in the commit of what they came of; what came of durable entries was told with them.
    pub fn tell(&mut self, run: &Run<'_>, changes: Vec<Change>, durable: bool) {
        for change in changes {
            self.told += 1;
            if durable || self.told > TASK_EVENTS_MAX || self.hops > HOPS_MAX {
                if !durable && (self.told == TASK_EVENTS_MAX + 1 || self.told == 1) {
                    tracing::warn!(run = %run.claim.run, "no more of its tasks is told: it is too much, or in a circle");
                }
                continue;
            }
            let at = change.at;
            let (what, when, told) = match change.what {
                TaskChange::Created => ("created", "createdAt", None),
                TaskChange::Started => ("started", "startedAt", None),
                TaskChange::Retried => ("retried", "retriedAt", None),
                TaskChange::Completed(output) => {
                    let output = output.filter(|output| is_small(output));
                    (
                        "completed",
                        "completedAt",
                        output.map(|output| ("output", Arc::unwrap_or_clone(output))),
                    )
                }
                TaskChange::Faulted(fault) => ("faulted", "faultedAt", Some(("error", fault.to_value()))),
                TaskChange::Cancelled => ("cancelled", "cancelledAt", None),
            };
            let mut data = json!({"workflow": run.claim.run.as_str(), "task": change.task.path, when: at});
            if let (Some(data), Some((name, value))) = (data.as_object_mut(), told) {
                data.insert(name.to_owned(), value);
            }
            // A retried run tells again of what it does again.
            let pass = format!("{}.{}", run.claim.retries, self.began.as_microsecond());
            let key = format!("{}.task.{pass}.{}", run.claim.run, self.told);
            run.journal.tell(run.life(&format!("task.{what}"), key, at, data), self.hops);
        }
    }
}

/// Whether an output is one that an event carries.
fn is_small(output: &Value) -> bool {
    serde_json::to_vec(output).is_ok_and(|bytes| bytes.len() <= TASK_OUTPUT_MAX)
}
