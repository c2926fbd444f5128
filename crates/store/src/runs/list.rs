//! Runs as people look at them: shown, listed, retried, cancelled.

use flow::journal::Outcome;
use flow::{Fault, RunId, WorkspaceId};
use jiff::Timestamp;

use super::{MARK_OUTCOMES, PASS_ON, Run, RunQuery, RunStatus};
use crate::page::pattern_anywhere;
use crate::row::{Query, Row};
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{Error, Listed, Page, Result, Store, Unit, approvals, inbox, payload, waits, windows};

/// The columns of a run, in the hot table and in history.
macro_rules! columns {
    () => {
        "seq, workspace, id, flow, revision, version, status, turn, lane, keyed, latest, hold, event, event_type, \
         event_time, subject, input, node, epoch, lease_until, ready_at, retries, entries, created_at, started_at, \
         finished_at, fault"
    };
}
pub(crate) use columns;

const ONE: &str = concat!("SELECT ", columns!(), " FROM runs WHERE workspace = ?1 AND id = ?2");
const EVENTS: &str = "SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2 ORDER BY time, event";
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM runs WHERE workspace = ?1 AND seq < ?2 AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR flow = ?4) \
     AND (?5 IS NULL OR id IN (SELECT run FROM run_events WHERE workspace = ?1 AND event = ?5)) \
     AND (?6 IS NULL OR lower(id) LIKE ?6 ESCAPE '\\' OR lower(lane) LIKE ?6 ESCAPE '\\' \
     OR lower(subject) LIKE ?6 ESCAPE '\\') ORDER BY seq DESC LIMIT ?7"
);
const STATUS: &str = "SELECT status, flow, retries FROM runs WHERE workspace = ?1 AND id = ?2";
const RETRY: &str = "UPDATE runs SET status = 'queued', retries = retries + 1, finished_at = NULL, fault = NULL, \
    node = NULL, ready_at = NULL WHERE workspace = ?1 AND id = ?2 AND status = 'failed' \
    AND (event IS NULL OR EXISTS (SELECT 1 FROM events WHERE workspace = ?1 AND id = runs.event))";
const CANCEL: &str = "UPDATE runs SET status = 'cancelled', finished_at = ?3, turn = 0, lease_until = NULL, \
    ready_at = NULL WHERE workspace = ?1 AND id = ?2 AND status IN ('queued', 'running', 'parked')";
/// Of a failed run that keeps its lane closed.
const CANCEL_HELD: &str = "UPDATE runs SET status = 'cancelled', finished_at = ?3, turn = 0 \
    WHERE workspace = ?1 AND id = ?2 AND status = 'failed' AND turn = 1";

/// How often something is brought back from history that housekeeping takes away again before it is changed.
pub(crate) const MAX_RESTORES: usize = 8;

impl Store {
    /// A run; its steps are in its journal.
    pub async fn run(&self, ws: &WorkspaceId, id: &RunId) -> Result<Option<Run>> {
        let queries = [ONE, EVENTS].map(|sql| Query::new(sql, values![ws, id]));
        let Some(found) = self.search(&queries).await? else { return Ok(None) };
        let [runs, events] = &found[..] else { return Ok(None) };
        let Some(mut run) = runs.first().map(run_of).transpose()? else { return Ok(None) };
        run.events = events.iter().map(|row| row.get("event")).collect::<Result<_>>()?;
        Ok(Some(run))
    }

    /// Runs, newest first.
    pub async fn runs(&self, ws: &WorkspaceId, query: &RunQuery, page: Page) -> Result<Listed<Run>> {
        let params = values![
            ws,
            page.before(),
            query.status.map(RunStatus::as_str),
            query.flow.as_deref(),
            query.event.as_ref(),
            query.text.as_deref().map(pattern_anywhere),
            page.limit() as i64 + 1,
        ];
        self.gather(page, Query::new(LIST, params), run_of).await
    }

    /// Lets a failed run go on from its journal, from history too. It keeps its place: the oldest of its lane.
    pub async fn retry_run(&self, ws: &WorkspaceId, id: &RunId) -> Result<()> {
        let unit = Unit::new().in_lane_of(ws.as_str(), id.as_str()).one(RETRY, values![ws, id]);
        let unit = approvals::retrying(unit, ws, id)
            .then(MARK_OUTCOMES, values![ws, id, false])
            .then(PASS_ON, values![ws, id])
            .tally(ws, counter::RETRIED, By::Fixed(1))
            .tally(ws, counter::FAILED, By::Fixed(-1));
        for _ in 0..MAX_RESTORES {
            self.restore_run(ws, id).await?;
            match self.commit(unit.clone()).await {
                Err(Error::Conflict { .. }) => self.check_retry(ws, id).await?,
                other => return other.map(drop),
            }
            // It may be, so that housekeeping has taken it away again.
        }
        Err(Error::Conflict { what: "the run" })
    }

    /// Why a run may not be retried.
    async fn check_retry(&self, ws: &WorkspaceId, id: &RunId) -> Result<()> {
        let run = self.run(ws, id).await?.ok_or_else(|| Error::not_found("run", id))?;
        let state =
            |detail| Err(Error::State { name: id.to_string(), state: run.status.as_str().into(), detail });
        if run.status != RunStatus::Failed {
            return state("only a failed run can be retried");
        }
        match &run.event {
            Some(event) if self.search(&[inbox::one(ws, event)]).await?.is_none() => {
                state("it cannot be retried, since the history of its event was deleted")
            }
            _ => Ok(()),
        }
    }

    /// Ends a run that is not over, or opens the lane that its failure keeps closed; and the runs whose end it waits
    /// for, if nobody else does. Whoever works on it learns it at its next write.
    pub async fn cancel_run(&self, ws: &WorkspaceId, id: &RunId, now: Timestamp) -> Result<()> {
        self.cancel_one(ws, id, now).await?;
        // What does not succeed now is done at the next sweep.
        while self.cancel_awaited(now).await.is_ok_and(|cancelled| cancelled > 0) {}
        Ok(())
    }

    async fn cancel_one(&self, ws: &WorkspaceId, id: &RunId, now: Timestamp) -> Result<()> {
        let row = self.first(STATUS, values![ws, id]).await?;
        let status = row.as_ref().map(|row| row.get::<String>("status")).transpose()?;
        let unit = match (status.as_deref(), row) {
            // It has told that it failed.
            (Some("failed"), _) => Unit::new()
                .one(CANCEL_HELD, values![ws, id, now])
                .then(MARK_OUTCOMES, values![ws, id, false])
                .tally(ws, counter::FAILED, By::Fixed(-1)),
            (_, Some(row)) => {
                let (flow, retries): (String, u32) = (row.get("flow")?, row.get("retries")?);
                let unit = Unit::new().one(CANCEL, values![ws, id, now]).then(windows::SHUT, values![ws, id]);
                self.cancelling(unit, ws, id, (&flow, retries), now).await?
            }
            (_, None) => Unit::new().one(CANCEL, values![ws, id, now]),
        };
        let cancelled = Outcome::Fault(Fault::runtime("the run was cancelled"));
        let unit = waits::leaving(unit.in_lane_of(ws.as_str(), id.as_str()), ws, id);
        let unit = waits::ending(unit, ws, id, &cancelled, now)?;
        let unit = unit.then(PASS_ON, values![ws, id]).tally(ws, counter::CANCELLED, By::Fixed(1));
        self.intervene(unit, ws, id, "it is over").await?;
        self.told();
        Ok(())
    }

    /// Cancels some of the runs that only cancelled runs wait for; how many were looked at. Nothing is left to do at 0.
    pub async fn cancel_awaited(&self, now: Timestamp) -> Result<usize> {
        let left = self.left_behind().await?;
        for waits::Left { workspace, run, effect, awaited } in &left {
            if !self.is_awaited(workspace, awaited).await? {
                match self.cancel_one(workspace, awaited, now).await {
                    // Over by now.
                    Ok(()) | Err(Error::State { .. } | Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.forget_wait(workspace, run, effect).await?;
        }
        Ok(left.len())
    }

    async fn intervene(&self, unit: Unit, ws: &WorkspaceId, id: &RunId, detail: &'static str) -> Result<()> {
        match self.commit(unit).await {
            Err(Error::Conflict { .. }) => {
                let run = self.run(ws, id).await?.ok_or_else(|| Error::not_found("run", id))?;
                Err(Error::State { name: id.to_string(), state: run.status.as_str().into(), detail })
            }
            other => other.map(|_| ()),
        }
    }
}

fn run_of(row: &Row) -> Result<Run> {
    let status: String = row.get("status")?;
    let lane = if row.get("keyed")? { Some(row.get("lane")?) } else { None };
    let input = row.maybe_bytes("input")?;
    let fault: Option<String> = row.get("fault")?;
    Ok(Run {
        id: row.get("id")?,
        flow: row.get("flow")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        status: RunStatus::parse(&status)?,
        lane,
        event: row.get("event")?,
        event_type: row.get("event_type")?,
        subject: row.get("subject")?,
        input: input.map(|bytes| payload::decode("input", bytes)).transpose()?,
        node: row.get("node")?,
        epoch: row.get("epoch")?,
        retries: row.get("retries")?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        ready_at: row.get("ready_at")?,
        fault: fault
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| Error::corrupt("fault", error))?,
        events: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [ONE, LIST, STATUS, RETRY, CANCEL, CANCEL_HELD] {
            crate::database::check_plan(sql);
        }
    }
}
