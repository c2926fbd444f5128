//! Who works on which run: claims, leases and wake-ups.

use flow::{EventId, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{ClaimedRun, PASS_ON};
use crate::database::{all, first, instant, maybe_instant, natural};
use crate::unit::values;
use crate::{Error, Result, Store, Unit, inbox, payload};

/// Runs claimed, woken or released in one go.
const MAX_CLAIMS: usize = 256;

const READY: &str =
    "SELECT workspace, id, epoch FROM runs WHERE status = 'queued' AND turn = 1 ORDER BY seq LIMIT ?1";
const CLAIM: &str = "UPDATE runs SET status = 'running', epoch = epoch + 1, node = ?4, lease_until = ?5, \
    started_at = CASE WHEN started_at IS NULL THEN ?6 ELSE started_at END \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'queued' AND turn = 1";
const CLAIMED: &str = "SELECT workspace, id, epoch, flow, revision, lane, keyed, event, input, entries, retries, \
    created_at, lease_until FROM runs WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const RENEW: &str = "UPDATE runs SET lease_until = ?4 \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const RELEASE: &str = "UPDATE runs SET status = 'queued', node = NULL, lease_until = NULL \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const EXPIRED: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'running' AND lease_until <= ?1 \
    ORDER BY lease_until, seq LIMIT ?2";
const OF_NODE: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'running' AND node = ?1 \
    AND lease_until IS NOT NULL ORDER BY lease_until, seq LIMIT ?2";
const DUE: &str = "SELECT workspace, id, epoch FROM runs WHERE status = 'parked' AND ready_at <= ?1 \
    ORDER BY ready_at, seq LIMIT ?2";
const WAKE: &str = "UPDATE runs SET status = 'queued', ready_at = NULL \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'parked'";
const NEXT_WAKE: &str =
    "SELECT min(ready_at) AS at FROM runs WHERE status = 'parked' AND ready_at IS NOT NULL";
const NEXT_EXPIRY: &str =
    "SELECT min(lease_until) AS at FROM runs WHERE status = 'running' AND lease_until IS NOT NULL";

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
        self.wake_due(now).await?;
        let until = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        let limit = limit.min(MAX_CLAIMS) as i64;
        let ready = self.read(|db| all(db, READY, [limit], seen))?;
        let units = ready
            .iter()
            .map(|(ws, run, epoch)| Unit::new().one(CLAIM, values![ws, run, *epoch, node, until, now]));
        let results = self.commit_all(units.collect()).await;
        let mut claimed = Vec::with_capacity(ready.len());
        for ((ws, run, epoch), result) in ready.iter().zip(results) {
            match result {
                Ok(_) => claimed.push((ws, run, epoch + 1)),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.read(|db| {
            let mut runs = Vec::with_capacity(claimed.len());
            for (ws, run, epoch) in claimed {
                // A run that was cancelled since is nobody's.
                runs.extend(claimed_run(db, ws, run, epoch)?);
            }
            Ok(runs)
        })
    }

    /// Keeps a claimed run until `until`.
    pub async fn renew_lease(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        until: Timestamp,
    ) -> Result<()> {
        self.fenced(Unit::new().one(RENEW, values![ws, run, epoch, until]), run, epoch).await
    }

    /// Gives a claimed run back: it keeps its lane's turn, and whoever claims it goes on from its journal.
    pub async fn release_run(&self, ws: &WorkspaceId, run: &RunId, epoch: u64) -> Result<()> {
        self.fenced(Unit::new().one(RELEASE, values![ws, run, epoch]), run, epoch).await
    }

    /// Gives back the runs whose lease is over; returns how many.
    pub async fn release_expired(&self, now: Timestamp) -> Result<usize> {
        let limit = MAX_CLAIMS as i64;
        let expired = self.read(|db| all(db, EXPIRED, params![now.as_microsecond(), limit], seen))?;
        self.each(expired, RELEASE).await
    }

    /// Gives back every run that this node held: called when it starts, for what it held when it died.
    pub async fn release_node(&self, node: &str) -> Result<usize> {
        let mut released = 0;
        loop {
            let held = self.read(|db| all(db, OF_NODE, params![node, MAX_CLAIMS as i64], seen))?;
            if held.is_empty() {
                return Ok(released);
            }
            released += self.each(held, RELEASE).await?;
        }
    }

    /// When the next parked run is due: nothing has to be asked before, unless something is written.
    pub fn next_wake(&self) -> Result<Option<Timestamp>> {
        self.read(|db| earliest(db, NEXT_WAKE))
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>> {
        self.read(|db| earliest(db, NEXT_EXPIRY))
    }

    async fn wake_due(&self, now: Timestamp) -> Result<()> {
        let limit = MAX_CLAIMS as i64;
        let due = self.read(|db| all(db, DUE, params![now.as_microsecond(), limit], seen))?;
        if !due.is_empty() {
            self.each(due, WAKE).await?;
        }
        Ok(())
    }

    /// The same change of each run that is still as it was seen; returns how many were.
    async fn each(&self, runs: Vec<Seen>, sql: &'static str) -> Result<usize> {
        let units = runs
            .iter()
            .map(|(ws, run, epoch)| {
                Unit::new().one(sql, values![ws, run, *epoch]).then(PASS_ON, values![ws, run])
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

fn seen(row: &Row<'_>) -> Result<Seen> {
    Ok((
        WorkspaceId::new(row.get::<_, String>("workspace")?),
        RunId::new(row.get::<_, String>("id")?),
        natural(row, "epoch")?,
    ))
}

fn earliest(db: &Connection, sql: &str) -> Result<Option<Timestamp>> {
    Ok(first(db, sql, (), |row| Ok(maybe_instant(row, "at")?))?.flatten())
}

fn claimed_run(db: &Connection, ws: &WorkspaceId, run: &RunId, epoch: u64) -> Result<Option<ClaimedRun>> {
    let found = first(db, CLAIMED, params![ws.as_str(), run.as_str(), epoch.cast_signed()], |row| {
        let lane = if row.get("keyed")? { Some(row.get("lane")?) } else { None };
        let input = row.get_ref("input")?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let claimed = ClaimedRun {
            workspace: ws.clone(),
            run: run.clone(),
            epoch,
            flow: row.get("flow")?,
            revision: row.get("revision")?,
            lane,
            event: None,
            input: input.map(|bytes| payload::decode("input", bytes)).transpose()?,
            begun: row.get::<_, i64>("entries")? > 0,
            retries: row.get("retries")?,
            created_at: instant(row, "created_at")?,
            lease_until: instant(row, "lease_until")?,
        };
        Ok((claimed, row.get::<_, Option<String>>("event")?.map(EventId::new)))
    })?;
    let Some((mut claimed, event)) = found else { return Ok(None) };
    if let Some(event) = event {
        claimed.event = inbox::event_by_id(db, ws, &event)?;
        if claimed.event.is_none() {
            return Err(Error::corrupt("run", format!("{run} is for {event}, which is gone")));
        }
    }
    Ok(Some(claimed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            READY,
            CLAIM,
            CLAIMED,
            RENEW,
            RELEASE,
            EXPIRED,
            OF_NODE,
            DUE,
            WAKE,
            NEXT_WAKE,
            NEXT_EXPIRY,
            PASS_ON,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
