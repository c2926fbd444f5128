//! Who works on which run: claims, leases and wake-ups.

use flow::{EventId, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};

use super::{ClaimedRun, PASS_ON};
use crate::row::{Query, Row};
use crate::unit::values;
use crate::{Error, Param, Result, Store, Unit, inbox, payload, windows};

/// Runs claimed, woken or released in one go.
const MAX_CLAIMS: usize = 256;

const READY: &str = "SELECT seq FROM runs WHERE status = 'queued' AND turn = 1 ORDER BY seq LIMIT 1";
/// The lease is of ?3 microseconds. Runs that another node is about to claim are passed over.
const CLAIM: &str = "UPDATE runs SET status = 'running', epoch = epoch + 1, node = ?1, \
    lease_until = /*clock*/?2 + ?3, started_at = CASE WHEN started_at IS NULL THEN ?2 ELSE started_at END \
    WHERE seq IN (SELECT seq FROM runs WHERE status = 'queued' AND turn = 1 ORDER BY seq LIMIT ?4 \
    /*pg FOR UPDATE SKIP LOCKED*/) RETURNING seq, workspace, id, epoch, flow, revision, lane, keyed, event, input, \
    entries, retries, created_at, lease_until";
const RENEW: &str = "UPDATE runs SET lease_until = /*clock*/?4 + ?5 \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const RELEASE: &str = "UPDATE runs SET status = 'queued', node = NULL, lease_until = NULL \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
/// A lease that was renewed meanwhile is not over.
const EXPIRE: &str = "UPDATE runs SET status = 'queued', node = NULL, lease_until = NULL \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running' AND lease_until <= /*clock*/?4";
const EXPIRED: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'running' \
    AND lease_until <= /*clock*/?1 ORDER BY lease_until, seq LIMIT ?2";
const OF_NODE: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'running' AND node = ?1 \
    AND lease_until IS NOT NULL ORDER BY lease_until, seq LIMIT ?2";
const DUE: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'parked' AND ready_at <= ?1 \
    ORDER BY ready_at, seq LIMIT ?2";
const WAKE: &str = "UPDATE runs SET status = 'queued', ready_at = NULL \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'parked'";
const NEXT_WAKE: &str =
    "SELECT min(ready_at) AS at FROM runs WHERE status = 'parked' AND ready_at IS NOT NULL";

/// A run and the epoch that it was seen in.
type Seen = (WorkspaceId, RunId, u64);

impl Store {
    /// Wakes the parked runs that are due, then claims the oldest runs that have their lane's turn, at most
    /// `limit` of them, until `now` + `lease`. Runs that somebody else claims at the same moment are left out.
    pub async fn claim_runs(
        &self,
        node: &str,
        limit: usize,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<Vec<ClaimedRun>> {
        let limit = limit.min(MAX_CLAIMS) as i64;
        let queries = [Query::new(DUE, values![now, MAX_CLAIMS as i64]), Query::new(READY, Vec::new())];
        let answers = self.read(&queries).await?;
        let [due, ready] = &answers[..] else { return Ok(Vec::new()) };
        let woken = self.each(due.iter().map(seen).collect::<Result<_>>()?, WAKE, None).await?;
        if limit == 0 || ready.is_empty() && woken == 0 {
            return Ok(Vec::new());
        }
        let unit = Unit::new().then(CLAIM, values![node, now, micros(lease), limit]);
        self.claimed(self.commit(unit).await?.returned).await
    }

    /// What was claimed, oldest first, with the events that it is for. They are running by now: what cannot be read of
    /// one of them is told with it, and does not hold up the others.
    async fn claimed(&self, mut rows: Vec<Row>) -> Result<Vec<ClaimedRun>> {
        rows.sort_by_cached_key(|row| row.get::<i64>("seq").unwrap_or_default());
        let mut runs = Vec::with_capacity(rows.len());
        let mut queries = Vec::new();
        for row in &rows {
            match claimed_run(row) {
                Ok((run, event)) => {
                    queries.extend(event.as_ref().map(|event| inbox::one(&run.workspace, event)));
                    runs.push((run, event));
                }
                Err(error) => tracing::error!(%error, "a run that cannot be read is left"),
            }
        }
        let mut found = self.read(&queries).await?.into_iter();
        let with_event = |(mut run, event): (ClaimedRun, Option<EventId>)| {
            let Some(event) = event else { return run };
            match found.next().and_then(|rows| rows.into_iter().next()).as_ref().map(inbox::event_of) {
                Some(Ok(event)) => run.event = Some(event),
                Some(Err(error)) => run.unreadable = Some(format!("its event {event}: {error}")),
                None => run.unreadable = Some(format!("its event {event} is gone")),
            }
            run
        };
        Ok(runs.into_iter().map(with_event).collect())
    }

    /// Keeps a claimed run for another `lease` from `now`, by the clock that times leases.
    pub async fn renew_lease(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<()> {
        self.fenced(Unit::new().one(RENEW, values![ws, run, epoch, now, micros(lease)]), run, epoch).await
    }

    /// Gives a claimed run back: it keeps its lane's turn, and whoever claims it goes on from its journal.
    pub async fn release_run(&self, ws: &WorkspaceId, run: &RunId, epoch: u64) -> Result<()> {
        self.fenced(Unit::new().one(RELEASE, values![ws, run, epoch]), run, epoch).await
    }

    /// Gives back the runs whose lease is over; returns how many.
    pub async fn release_expired(&self, now: Timestamp) -> Result<usize> {
        let limit = MAX_CLAIMS as i64;
        let expired = self.seen(EXPIRED, values![now, limit]).await?;
        self.each(expired, EXPIRE, Some(now)).await
    }

    /// Gives back every run that this node held: called when it starts, for what it held when it died.
    pub async fn release_node(&self, node: &str) -> Result<usize> {
        let mut released = 0;
        loop {
            let held = self.seen(OF_NODE, values![node, MAX_CLAIMS as i64]).await?;
            if held.is_empty() {
                return Ok(released);
            }
            released += self.each(held, RELEASE, None).await?;
        }
    }

    /// When the next parked run is due: nothing has to be asked before, unless something is written.
    pub async fn next_wake(&self) -> Result<Option<Timestamp>> {
        self.first(NEXT_WAKE, Vec::new()).await?.map_or(Ok(None), |row| row.get("at"))
    }

    async fn seen(&self, sql: &'static str, params: Vec<Param>) -> Result<Vec<Seen>> {
        let rows = self.rows(sql, params).await?;
        rows.iter().map(seen).collect()
    }

    /// The same change of each run that is still as it was seen; returns how many were.
    async fn each(&self, runs: Vec<Seen>, sql: &'static str, now: Option<Timestamp>) -> Result<usize> {
        let units = runs
            .iter()
            .map(|(ws, run, epoch)| {
                let unit = Unit::new().in_lane_of(ws.as_str(), run.as_str());
                let mut params = values![ws, run, *epoch];
                params.extend(now.map(Param::from));
                let unit = unit.one(sql, params);
                // Nobody has claimed it: it is of a window, which takes in nothing more.
                let unit = if *epoch == 0 { unit.then(windows::SHUT, values![ws, run]) } else { unit };
                unit.then(PASS_ON, values![ws, run])
            })
            .collect();
        let mut changed = 0;
        for result in self.commit_all(units).await {
            match result {
                Ok(_) => changed += 1,
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }
}

fn seen(row: &Row) -> Result<Seen> {
    Ok((row.get("workspace")?, row.get("id")?, row.get("epoch")?))
}

/// A lease as it is added to an instant, in microseconds.
fn micros(lease: SignedDuration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A claimed run, and the event that it is for.
fn claimed_run(row: &Row) -> Result<(ClaimedRun, Option<EventId>)> {
    let lane = if row.get("keyed")? { Some(row.get("lane")?) } else { None };
    let input = row.maybe_bytes("input")?.map(|bytes| payload::decode("input", bytes)).transpose();
    let (input, unreadable) = match input {
        Ok(input) => (input, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let run = ClaimedRun {
        workspace: row.get("workspace")?,
        run: row.get("id")?,
        epoch: row.get("epoch")?,
        flow: row.get("flow")?,
        revision: row.get("revision")?,
        lane,
        event: None,
        input,
        begun: row.get::<i64>("entries")? > 0,
        retries: row.get("retries")?,
        created_at: row.get("created_at")?,
        lease_until: row.get("lease_until")?,
        unreadable,
    };
    Ok((run, row.get("event")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [READY, CLAIM, RENEW, RELEASE, EXPIRE, EXPIRED, OF_NODE, DUE, WAKE, NEXT_WAKE, PASS_ON] {
            crate::database::check_plan(sql);
        }
    }
}
