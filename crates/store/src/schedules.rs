//! Flows that the clock starts: when each is due, moved on in the commit that accepts the event of its start. So a
//! start is one event, whichever node makes it and however often it tries.

use flow::{EventId, WorkspaceId};
use jiff::Timestamp;

use crate::row::Row;
use crate::unit::values;
use crate::{Accepted, Error, EventOutcome, NewEvent, Result, Store, Unit};

/// A flow with its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    pub workspace: WorkspaceId,
    pub flow: String,
    /// What the flow says of its clock: [`flow::Schedule::text`].
    pub clock: String,
    /// `None`: once the run of `event` is over, or never.
    pub due_at: Option<Timestamp>,
    /// The event of the latest start.
    pub event: Option<EventId>,
}

/// A start that is to be made durable.
#[derive(Clone, Debug)]
pub struct Firing {
    pub flow: String,
    pub clock: String,
    /// The time that was waited for: if it is another one by now, somebody else was faster.
    pub due_at: Timestamp,
    pub next: Option<Timestamp>,
    pub event: NewEvent,
}

const ALL: &str = "SELECT workspace, flow, clock, due_at, event FROM schedules ORDER BY workspace, flow";
const OF: &str = "SELECT workspace, flow, clock, due_at, event FROM schedules WHERE workspace = ?1";
/// A clock that says the same goes on as it was.
const BEGIN: &str = "INSERT INTO schedules (workspace, flow, clock, due_at, event) VALUES (?1, ?2, ?3, ?4, NULL) \
    ON CONFLICT (workspace, flow) DO UPDATE SET clock = excluded.clock, due_at = excluded.due_at, event = NULL \
    WHERE schedules.clock <> excluded.clock";
const END: &str = "DELETE FROM schedules WHERE workspace = ?1 AND flow = ?2 AND clock = ?3";
const FIRE: &str = "UPDATE schedules SET due_at = ?5, event = ?6 WHERE workspace = ?1 AND flow = ?2 AND clock = ?3 \
    AND due_at = ?4";
const GO_ON: &str = "UPDATE schedules SET due_at = ?4 WHERE workspace = ?1 AND flow = ?2 AND event = ?3 \
    AND due_at IS NULL";

impl Store {
    /// Every flow with a clock, of every workspace.
    pub async fn schedules(&self) -> Result<Vec<Scheduled>> {
        self.rows(ALL, Vec::new()).await?.iter().map(scheduled_of).collect()
    }

    /// Those of one workspace.
    pub async fn schedules_of(&self, ws: &WorkspaceId) -> Result<Vec<Scheduled>> {
        self.rows(OF, values![ws]).await?.iter().map(scheduled_of).collect()
    }

    /// Starts a flow's clock. One that says the same runs already and is left as it is.
    pub async fn begin_schedule(
        &self,
        ws: &WorkspaceId,
        flow: &str,
        clock: &str,
        due_at: Option<Timestamp>,
    ) -> Result<()> {
        self.commit(Unit::new().then(BEGIN, values![ws, flow, clock, due_at])).await.map(drop)
    }

    /// Forgets a flow's clock.
    pub async fn end_schedule(&self, ws: &WorkspaceId, flow: &str, clock: &str) -> Result<()> {
        self.commit(Unit::new().then(END, values![ws, flow, clock])).await.map(drop)
    }

    /// Accepts the event of a start and moves the flow's clock on. A conflict: it was not waiting for that time any
    /// more.
    pub async fn fire(&self, ws: &WorkspaceId, firing: Firing, now: Timestamp) -> Result<Accepted> {
        let Firing { flow, clock, due_at, next, event } = firing;
        let moved = Unit::new().one(FIRE, values![ws, flow, clock, due_at, next, &event.id]);
        self.accept_with(ws, event, moved, now).await
    }

    /// When what an event started in a flow was over; `None` while it is not. What is not stored any more is over.
    pub async fn over_at(
        &self,
        ws: &WorkspaceId,
        flow: &str,
        event: &EventId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let outcomes = self.event_outcomes(ws, event).await?;
        let of_flow = outcomes.iter().find(|outcome| outcome.flow.as_deref() == Some(flow));
        match of_flow.or(outcomes.first()).map(|found| &found.outcome) {
            Some(EventOutcome::Run(run) | EventOutcome::Joined(run) | EventOutcome::Failed(run)) => {
                Ok(self.run(ws, run).await?.map_or(Some(now), |run| run.finished_at))
            }
            // It started nothing.
            Some(_) => Ok(Some(now)),
            None => Ok(self.event(ws, event).await?.is_none().then_some(now)),
        }
    }

    /// Sets the time of the start after the one that made `event`.
    pub async fn go_on(
        &self,
        ws: &WorkspaceId,
        flow: &str,
        event: &EventId,
        due_at: Option<Timestamp>,
    ) -> Result<()> {
        match self.commit(Unit::new().one(GO_ON, values![ws, flow, event, due_at])).await {
            // Another node was faster.
            Err(Error::Conflict { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn scheduled_of(row: &Row) -> Result<Scheduled> {
    Ok(Scheduled {
        workspace: row.get("workspace")?,
        flow: row.get("flow")?,
        clock: row.get("clock")?,
        due_at: row.get("due_at")?,
        event: row.get("event")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [OF, BEGIN, END, FIRE, GO_ON] {
            crate::database::check_plan(sql);
        }
    }
}
