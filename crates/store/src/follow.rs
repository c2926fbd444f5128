//! What is done about an event in the very commit that accepts it.
//!
//! A node that has a free worker when an event comes in need not wait for the event to be durable before it decides
//! what is to happen: a [`Follow`]er sends the units of that decision while the event's own unit still waits, and all
//! of them go to the committer together. None of them assumes that the others succeed; each one's expectations
//! do: an event that turns out to be a duplicate, a lane that is taken, a flow that was deployed meanwhile let
//! [`Store::dispatch_at_once`] fail, and every write of the run that it would have created is fenced out. The event
//! is then dispatched as any other, by whoever reads what is undispatched.

use flow::{RunId, WorkspaceId};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError, Weak};

use crate::committer::Ticket;
use crate::dispatch::{OUTCOME, TELL, WORKS_FOR, creating};
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{Dispatch, Event, OnFailure, Result, Store, Unit};

/// Told of events while they are being accepted.
pub trait Follow: Send + Sync {
    /// Whether everything that is to happen about this event was sent to `store`, which gathers units until this
    /// returns. Must not block.
    fn accepting(&self, store: &Store, event: &Event) -> bool;

    /// An event is durable that nobody has done anything about.
    fn accepted(&self);
}

/// A dispatch whose run begins in the same unit.
#[derive(Clone, Debug)]
pub struct AtOnce {
    pub dispatch: Dispatch,
    /// The flow's own version.
    pub version: String,
}

/// Whether what was sent has been committed.
pub struct Sure(Ticket);

impl Sure {
    /// Fails if it was overtaken, or nothing can be written.
    pub async fn wait(self) -> Result<()> {
        self.0.wait().await.map(drop)
    }
}

/// Flows and connections are as they were when `generation` was read, and no event waits that was accepted before:
/// lanes go in the order of acceptance.
const DISPATCHED: &str = "UPDATE events SET status = 'dispatched' \
    WHERE workspace = ?1 AND id = ?2 AND status = 'accepted' AND replays = 0 \
    AND EXISTS (SELECT 1 FROM counters WHERE workspace = '' AND name = 'generation' AND value = ?3) \
    AND seq = (SELECT min(first.seq) FROM events AS first WHERE first.status = 'accepted')";
/// An index allows one turn in a lane: if somebody has it, this fails. Nobody waits for one either, and the flow is not
/// paused: a pause in the same transaction has not changed the generation yet.
const BEGIN: &str = "INSERT INTO runs (workspace, id, flow, revision, version, status, turn, lane, keyed, latest, \
    hold, event, event_type, event_time, subject, node, epoch, lease_until, retries, entries, created_at, started_at) \
    SELECT ?1, ?2, ?3, ?4, ?5, 'running', 1, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, 1, ?14, 0, 0, ?15, ?15 \
    WHERE NOT EXISTS (SELECT 1 FROM runs WHERE workspace = ?1 AND flow = ?3 AND lane = ?6 AND status = 'queued') \
    AND NOT EXISTS (SELECT 1 FROM flows WHERE workspace = ?1 AND name = ?3 AND paused = 1)";

impl Store {
    /// Has `follower` told of every event that is accepted from now on, as long as it lives. Of several, the first is
    /// asked to do something about it, and all are told if it does not.
    pub fn follow(&self, follower: Weak<dyn Follow>) {
        let mut followers = self.inner.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(follower);
    }

    pub(crate) fn followers(&self) -> Vec<Arc<dyn Follow>> {
        let followers = self.inner.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.iter().filter_map(Weak::upgrade).collect()
    }

    /// A handle whose units wait for [`Store::release`].
    pub(crate) fn gathering(&self) -> Store {
        Store { inner: self.inner.clone(), queue: self.queue.gathering() }
    }

    /// Sends what this handle has gathered, all of it in one go.
    pub(crate) async fn release(&self) -> Result<()> {
        self.queue.release().await
    }

    /// Gives an event that is being accepted to the flows that ask for it (none of them a state flow), whose runs are
    /// claimed by `node` until `lease_until`: in one unit, which fails if anything is not as it was seen at
    /// `generation`. Nothing is read.
    pub async fn dispatch_at_once(
        &self,
        event: &Event,
        flows: &[AtOnce],
        node: &str,
        lease_until: Timestamp,
        generation: u64,
    ) -> Result<Sure> {
        let (ws, now) = (&event.workspace, event.received_at);
        let mut unit = Unit::new().one(DISPATCHED, values![ws, &event.id, generation]);
        for AtOnce { dispatch, version } in flows {
            if let Some(fact) = &dispatch.fact {
                unit = unit.one(TELL, values![ws, &dispatch.flow, fact, &event.id, now]);
            }
            let lane = dispatch.lane.as_deref();
            let begin = values![
                ws,
                &dispatch.run,
                &dispatch.flow,
                dispatch.revision,
                version,
                lane.unwrap_or(dispatch.run.as_str()),
                lane.is_some(),
                dispatch.on_failure == OnFailure::Hold,
                &event.id,
                &event.r#type,
                event.time,
                event.subject.as_deref(),
                node,
                lease_until,
                now,
            ];
            unit = creating(unit, ws, &dispatch.flow, lane)
                .one(BEGIN, begin)
                .then(WORKS_FOR, values![ws, &dispatch.run, &event.id, &event.connection, event.time])
                .one(OUTCOME, outcome(ws, event, &dispatch.flow, "run", Some(&dispatch.run)))
                .tally(ws, counter::CREATED, By::Fixed(1));
        }
        if flows.is_empty() {
            unit = unit.one(OUTCOME, outcome(ws, event, "", "no_match", None)).tally(
                ws,
                counter::NO_MATCH,
                By::Fixed(1),
            );
        }
        Ok(Sure(self.queue.send(unit).await?))
    }
}

fn outcome(
    ws: &WorkspaceId,
    event: &Event,
    flow: &str,
    name: &str,
    run: Option<&RunId>,
) -> Vec<crate::Param> {
    values![ws, &event.id, event.replays, flow, name, run, false]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [DISPATCHED, BEGIN] {
            crate::database::check_plan(sql);
        }
    }
}
