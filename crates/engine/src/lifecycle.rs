//! Events of runs' own lives, by the specification's names, of flows that say `document.metadata.lifecycle: true`.
//!
//! | type | is told |
//! |---|---|
//! | `io.serverlessworkflow.workflow.started.v1` | before the first effect |
//! | `….completed.v1`, `….faulted.v1` | once nothing can change the outcome any more, before the commit that ends the run |
//!
//! They come to the inbox like events that flows emit. An id says which run it is, and after how many retries: so each is
//! there once, whatever dies between. A run that such an event started tells nothing, and the others keep the limit of
//! events in a row: what listens to lives does not go on for ever.

use flow::EventId;
use flow::event::{LIFE_SOURCE, LIFE_TYPES};
use flow::journal::Outcome;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::NewEvent;

use crate::journal::Lost;
use crate::limits::HOPS_MAX;
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
        let of_a_life = self.claim.event.as_ref().is_some_and(|event| event.r#type.starts_with(LIFE_TYPES));
        self.document().tells_life() && !of_a_life
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
        let tell = || async {
            let now = node.clock.now();
            let new = NewEvent {
                id: node.with_rng(|rng| EventId::random(rng)),
                connection: LIFE_SOURCE.to_owned(),
                dedupe_key: format!("{}.{what}.{}", claim.run, claim.retries),
                r#type: format!("{LIFE_TYPES}workflow.{what}.v1"),
                time: at,
                live: self.live(),
                subject: Some(claim.flow.clone()),
                data: data.clone(),
            };
            if hops > 1 {
                node.store.note_hops(&claim.workspace, new.id.as_str(), hops, now).await?;
            }
            node.store.accept_event(&claim.workspace, new, now).await
        };
        self.hold(tell).await?;
        node.events.notify_one();
        Ok(())
    }
}
