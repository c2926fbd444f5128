//! Runs as people look at them: shown, listed, retried, cancelled.

use flow::{EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{MARK_OUTCOMES, PASS_ON, Run, RunQuery, RunStatus};
use crate::database::{all, first, instant, maybe_instant, natural};
use crate::page::pattern_anywhere;
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{Error, Listed, Page, Result, Store, Unit, payload};

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
const RETRY: &str = "UPDATE runs SET status = 'queued', retries = retries + 1, finished_at = NULL, fault = NULL, \
    node = NULL, ready_at = NULL WHERE workspace = ?1 AND id = ?2 AND status = 'failed'";
const CANCEL: &str = "UPDATE runs SET status = 'cancelled', finished_at = ?3, turn = 0, lease_until = NULL, \
    ready_at = NULL WHERE workspace = ?1 AND id = ?2 AND status IN ('queued', 'running', 'parked')";
/// Of a failed run that keeps its lane closed.
const CANCEL_HELD: &str = "UPDATE runs SET status = 'cancelled', finished_at = ?3, turn = 0 \
    WHERE workspace = ?1 AND id = ?2 AND status = 'failed' AND turn = 1";

impl Store {
    /// A run; its steps are in its journal.
    pub fn run(&self, ws: &WorkspaceId, id: &RunId) -> Result<Option<Run>> {
        self.search(|db| {
            let Some(mut run) = run_by_id(db, ws, id)? else { return Ok(None) };
            run.events = all(db, EVENTS, params![ws.as_str(), id.as_str()], |row| {
                Ok(EventId::new(row.get::<_, String>("event")?))
            })?;
            Ok(Some(run))
        })
    }

    /// Runs, newest first.
    pub fn runs(&self, ws: &WorkspaceId, query: &RunQuery, page: Page) -> Result<Listed<Run>> {
        self.gather(page, |db| {
            let params = params![
                ws.as_str(),
                page.before(),
                query.status.map(RunStatus::as_str),
                query.flow,
                query.event.as_ref().map(EventId::as_str),
                query.text.as_deref().map(pattern_anywhere),
                page.limit() as i64 + 1,
            ];
            all(db, LIST, params, |row| Ok((row.get("seq")?, run_of(row)?)))
        })
    }

    /// Lets a failed run go on from its journal, from history too. It keeps its place: the oldest of its lane.
    pub async fn retry_run(&self, ws: &WorkspaceId, id: &RunId, _now: Timestamp) -> Result<()> {
        self.restore_run(ws, id).await?;
        let unit = Unit::new()
            .one(RETRY, values![ws, id])
            .then(MARK_OUTCOMES, values![ws, id, false])
            .then(PASS_ON, values![ws, id])
            .tally(ws, counter::RETRIED, By::Fixed(1))
            .tally(ws, counter::FAILED, By::Fixed(-1));
        self.intervene(unit, ws, id, "only a failed run can be retried").await
    }

    /// Ends a run that is not over, or opens the lane that its failure keeps closed. Whoever works on it learns it
    /// at its next write.
    pub async fn cancel_run(&self, ws: &WorkspaceId, id: &RunId, now: Timestamp) -> Result<()> {
        let status = self.read(|db| run_by_id(db, ws, id))?.map(|run| run.status);
        let unit = match status {
            Some(RunStatus::Failed) => Unit::new()
                .one(CANCEL_HELD, values![ws, id, now])
                .then(MARK_OUTCOMES, values![ws, id, false])
                .tally(ws, counter::FAILED, By::Fixed(-1)),
            _ => Unit::new().one(CANCEL, values![ws, id, now]),
        };
        let unit = unit.then(PASS_ON, values![ws, id]).tally(ws, counter::CANCELLED, By::Fixed(1));
        self.intervene(unit, ws, id, "it is over").await
    }

    async fn intervene(&self, unit: Unit, ws: &WorkspaceId, id: &RunId, detail: &'static str) -> Result<()> {
        match self.commit(unit).await {
            Err(Error::Conflict { .. }) => {
                let run = self.run(ws, id)?.ok_or_else(|| Error::not_found("run", id))?;
                Err(Error::State { name: id.to_string(), state: run.status.as_str().into(), detail })
            }
            other => other.map(|_| ()),
        }
    }
}

pub(crate) fn run_by_id(db: &Connection, ws: &WorkspaceId, id: &RunId) -> Result<Option<Run>> {
    first(db, ONE, params![ws.as_str(), id.as_str()], run_of)
}

fn run_of(row: &Row<'_>) -> Result<Run> {
    let status: String = row.get("status")?;
    let lane = if row.get("keyed")? { Some(row.get("lane")?) } else { None };
    let input = row.get_ref("input")?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    let fault: Option<String> = row.get("fault")?;
    Ok(Run {
        id: RunId::new(row.get::<_, String>("id")?),
        flow: row.get("flow")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        status: RunStatus::parse(&status)?,
        lane,
        event: row.get::<_, Option<String>>("event")?.map(EventId::new),
        event_type: row.get("event_type")?,
        subject: row.get("subject")?,
        input: input.map(|bytes| payload::decode("input", bytes)).transpose()?,
        node: row.get("node")?,
        epoch: natural(row, "epoch")?,
        retries: row.get("retries")?,
        created_at: instant(row, "created_at")?,
        started_at: maybe_instant(row, "started_at")?,
        finished_at: maybe_instant(row, "finished_at")?,
        ready_at: maybe_instant(row, "ready_at")?,
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
        for sql in [ONE, LIST, RETRY, CANCEL, CANCEL_HELD] {
            crate::database::check_plan(sql);
        }
    }
}
