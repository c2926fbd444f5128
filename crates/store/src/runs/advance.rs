//! What the holder of a run writes: journal entries, a wait, the end. Every write is fenced by the run's epoch.

use flow::journal::{Entry, Outcome};
use flow::{EffectRef, RunId, WorkspaceId};
use jiff::Timestamp;

use super::{PASS_ON, RunStatus};
use crate::lives::{Lives, telling};
use crate::row::Query;
use crate::stats::counter;
use crate::unit::{By, Expect, values};
use crate::{Error, Result, Store, Unit, UnitResult, payload, waits};

/// Entries that may be written at once.
const MAX_ENTRIES: usize = 1024;

const EXTEND: &str = "UPDATE runs SET entries = entries + ?4 \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
/// ?5: when it goes on by itself.
const PARK: &str = "UPDATE runs SET status = 'parked', ready_at = ?5, turn = ?6, node = NULL, lease_until = NULL, \
    entries = entries + ?4 WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const FINISH: &str = "UPDATE runs SET status = ?5, finished_at = ?6, fault = ?7, lease_until = NULL, \
    entries = entries + ?4, turn = CASE WHEN ?5 = 'failed' AND hold = 1 THEN 1 ELSE 0 END \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
/// ?3 counts down to 1: the last entry is the number `entries`.
const ENTRY: &str = "INSERT INTO journal (workspace, run, n, entry) \
    SELECT workspace, id, entries + 1 - ?3, ?4 FROM runs WHERE workspace = ?1 AND id = ?2";
/// The same for two of them, the one after ?3 as ?5: a step's intent and its result mostly come together.
const ENTRIES: &str = "INSERT INTO journal (workspace, run, n, entry) \
    SELECT workspace, id, entries + 1 - ?3, ?4 FROM runs WHERE workspace = ?1 AND id = ?2 \
    UNION ALL SELECT workspace, id, entries + 2 - ?3, ?5 FROM runs WHERE workspace = ?1 AND id = ?2";
/// Everything that the run worked for has been applied now; time never goes back.
const APPLY: &str = "INSERT INTO applied (workspace, flow, connection, lane, time) \
    SELECT r.workspace, r.flow, e.source, r.lane, max(e.time) FROM runs AS r \
    JOIN run_events AS e ON e.workspace = r.workspace AND e.run = r.id \
    WHERE r.workspace = ?1 AND r.id = ?2 AND r.latest = 1 GROUP BY r.workspace, r.flow, e.source, r.lane \
    ON CONFLICT (workspace, flow, connection, lane) DO UPDATE SET time = excluded.time \
    WHERE excluded.time > applied.time";
const JOURNAL: &str = "SELECT n, entry FROM journal WHERE workspace = ?1 AND run = ?2 ORDER BY n";
/// Entries of more bytes than this are read one by one.
const LARGE_BYTES: u64 = 16 << 10;

/// ?3: the most bytes that an entry comes with.
const OUTLINE: &str = "SELECT n, CASE WHEN length(entry) > ?3 THEN NULL ELSE entry END AS entry FROM journal \
    WHERE workspace = ?1 AND run = ?2 ORDER BY n";
const LAST_ENTRY: &str =
    "SELECT n, entry FROM journal WHERE workspace = ?1 AND run = ?2 ORDER BY n DESC LIMIT 1";
const ONE_ENTRY: &str = "SELECT n, entry FROM journal WHERE workspace = ?1 AND run = ?2 AND n = ?3";

/// How far a run has come since its last commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress<'a> {
    pub entries: &'a [Entry],
    /// Signals that it has taken.
    pub taken: &'a [u64],
    /// Effects that wait for signals no longer.
    pub over: &'a [EffectRef],
    /// What became of its tasks, where that is told.
    pub lives: Lives<'a>,
}

/// What becomes of a run that is put aside.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    /// When it goes on; none: once it is told something.
    pub until: Option<Timestamp>,
    /// The last signal that it has read: a later one has it go on at once. None: it waits for no signals.
    pub seen: Option<u64>,
    /// Its lane does not go on without it.
    pub hold: bool,
}

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    pub outcome: &'a Outcome,
    /// It waited for something, some time.
    pub waited: bool,
    /// Another run may wait for its end.
    pub awaited: bool,
}

impl Store {
    /// Adds to a run's journal.
    pub async fn journal_append(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        entries: &[Entry],
    ) -> Result<()> {
        self.progress(ws, run, epoch, Progress { entries, ..Progress::default() }).await
    }

    /// Writes how far a run has come.
    pub async fn progress(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        progress: Progress<'_>,
    ) -> Result<()> {
        let Progress { entries, taken, over, lives } = progress;
        if entries.is_empty() && taken.is_empty() && over.is_empty() && lives.events.is_empty() {
            return Ok(());
        }
        let unit = Unit::new().one(EXTEND, values![ws, run, epoch, entries.len() as u64]);
        let unit = waits::taking(written(unit, ws, run, entries)?, ws, run, taken, over);
        self.fenced(telling(unit, ws, lives)?, run, epoch).await?;
        if !lives.events.is_empty() {
            self.told();
        }
        Ok(())
    }

    /// A run's journal, numbered from 1.
    pub async fn journal(&self, ws: &WorkspaceId, run: &RunId) -> Result<Vec<(u64, Entry)>> {
        let found = self.search(&[Query::new(JOURNAL, values![ws, run])]).await?;
        let rows = found.into_iter().flatten().flatten();
        rows.map(|row| Ok((row.get("n")?, payload::decode("journal entry", row.bytes("entry")?)?))).collect()
    }

    /// Reads a run's journal entry by entry, so that only one large one is in memory: its number, what it says, and its
    /// bytes in the store.
    pub async fn journal_each(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        mut take: impl FnMut(u64, Entry, usize),
    ) -> Result<()> {
        let found = self.search(&[Query::new(OUTLINE, values![ws, run, LARGE_BYTES])]).await?;
        for row in found.into_iter().flatten().flatten() {
            let n = row.get("n")?;
            if let Some(bytes) = row.maybe_bytes("entry")? {
                take(n, payload::decode("journal entry", bytes)?, bytes.len());
                continue;
            }
            let (entry, bytes) = self.entry(ws, run, n).await?;
            take(n, entry, bytes);
        }
        Ok(())
    }

    /// The newest entry of a run's journal.
    pub async fn journal_end(&self, ws: &WorkspaceId, run: &RunId) -> Result<Option<Entry>> {
        let found = self.search(&[Query::new(LAST_ENTRY, values![ws, run])]).await?;
        let row = found.into_iter().flatten().flatten().next();
        row.map(|row| payload::decode("journal entry", row.bytes("entry")?)).transpose()
    }

    /// One entry of a run's journal.
    pub async fn journal_entry(&self, ws: &WorkspaceId, run: &RunId, n: u64) -> Result<Entry> {
        self.entry(ws, run, n).await.map(|(entry, _)| entry)
    }

    async fn entry(&self, ws: &WorkspaceId, run: &RunId, n: u64) -> Result<(Entry, usize)> {
        let found = self.search(&[Query::new(ONE_ENTRY, values![ws, run, n])]).await?;
        let row = found.into_iter().flatten().flatten().next();
        let row = row.ok_or_else(|| Error::corrupt("journal", format!("{run} has no entry {n}")))?;
        let bytes = row.bytes("entry")?;
        Ok((payload::decode("journal entry", bytes)?, bytes.len()))
    }

    /// Lets a run wait until `until`; its lane goes on without it unless `hold`. Whether another run got the lane's turn.
    pub async fn park(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        entries: &[Entry],
        until: Timestamp,
        hold: bool,
    ) -> Result<bool> {
        let parked = Parked { until: Some(until), seen: None, hold };
        self.put_aside(ws, run, epoch, Progress { entries, ..Progress::default() }, parked).await
    }

    /// Lets a run wait for a time, or for what it is told, whichever comes first. Whether another run got the lane's
    /// turn.
    pub async fn put_aside(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        progress: Progress<'_>,
        parked: Parked,
    ) -> Result<bool> {
        let Progress { entries, taken, over, lives } = progress;
        let Parked { until, seen, hold } = parked;
        let unit = Unit::new()
            .one(PARK, values![ws, run, epoch, entries.len() as u64, until, hold])
            .in_lane_of(ws.as_str(), run.as_str());
        let unit = waits::taking(written(unit, ws, run, entries)?, ws, run, taken, over);
        let unit = match seen {
            Some(seen) => waits::parking(unit, ws, run, seen),
            None => unit,
        };
        let unit = telling(unit, ws, lives)?.then(PASS_ON, values![ws, run]);
        let passed_on = self.passing_on(unit, run, epoch).await?;
        if !lives.events.is_empty() {
            self.told();
        }
        Ok(passed_on)
    }

    /// Ends a run. Writes `entries`, and [`Entry::Finished`] unless it is the last of them already. Whether another run
    /// got the lane's turn.
    pub async fn finish(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        entries: &[Entry],
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<bool> {
        self.end(ws, run, epoch, entries, Ended { outcome, waited: false, awaited: false }, now).await
    }

    /// Ends a run, as [`Store::finish`] does, and whatever it waited for; tells those that wait for its end.
    pub async fn end(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        entries: &[Entry],
        ended: Ended<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let Ended { outcome, waited, awaited } = ended;
        let end = match entries.last() {
            Some(Entry::Finished { .. }) => None,
            _ => Some(Entry::Finished { outcome: outcome.clone(), at: now }),
        };
        let entries = || entries.iter().chain(&end);
        let (status, fault) = match outcome {
            Outcome::Output(_) => (RunStatus::Completed, None),
            Outcome::Fault(fault) => (RunStatus::Failed, Some(fault)),
        };
        let fault =
            fault.map(serde_json::to_string).transpose().map_err(|error| Error::corrupt("fault", error))?;
        let unit = Unit::new()
            .in_lane_of(ws.as_str(), run.as_str())
            .one(FINISH, values![ws, run, epoch, entries().count() as u64, status.as_str(), now, fault]);
        let mut unit = written(unit, ws, run, entries())?;
        if waited {
            unit = waits::forgetting(unit, ws, run);
        }
        if awaited {
            unit = waits::ending(unit, ws, run, outcome, now)?;
        }
        let unit = if status == RunStatus::Completed {
            unit.then(APPLY, values![ws, run]).tally(ws, counter::COMPLETED, By::Fixed(1))
        } else {
            unit.then(super::MARK_OUTCOMES, values![ws, run, true]).tally(ws, counter::FAILED, By::Fixed(1))
        };
        self.passing_on(unit.then(PASS_ON, values![ws, run]), run, epoch).await
    }

    /// Commits a unit of which the last statement passes the lane's turn on; whether somebody got it.
    async fn passing_on(&self, unit: Unit, run: &RunId, epoch: u64) -> Result<bool> {
        let done = self.proven(unit, run, epoch).await?;
        Ok(done.rows.last().is_some_and(|rows| *rows > 0))
    }

    /// Commits a unit whose first statement proves that the run is the caller's.
    pub(crate) async fn fenced(&self, unit: Unit, run: &RunId, epoch: u64) -> Result<()> {
        self.proven(unit, run, epoch).await.map(drop)
    }

    async fn proven(&self, unit: Unit, run: &RunId, epoch: u64) -> Result<UnitResult> {
        match self.commit(unit).await {
            Err(Error::Conflict { .. }) => Err(Error::Fenced { run: run.clone(), epoch }),
            other => other,
        }
    }
}

fn written<'a>(
    mut unit: Unit,
    ws: &WorkspaceId,
    run: &RunId,
    entries: impl IntoIterator<Item = &'a Entry, IntoIter: Clone>,
) -> Result<Unit> {
    let entries = entries.into_iter();
    let count = entries.clone().count();
    if count > MAX_ENTRIES {
        return Err(Error::Refused(format!("{count} entries at once are more than {MAX_ENTRIES}")));
    }
    let retried = |entry: &&Entry| matches!(entry, Entry::Attempted { retry_at: Some(_), .. });
    let retries = entries.clone().filter(retried).count();
    let mut entries = entries.map(payload::encode);
    let mut from_the_end = count as u64;
    while let Some(entry) = entries.next() {
        match entries.next() {
            Some(after) => {
                let params = values![ws, run, from_the_end, entry?, after?];
                unit = unit.expecting(ENTRIES, params, Expect::Exactly(2));
                from_the_end -= 2;
            }
            None => unit = unit.one(ENTRY, values![ws, run, from_the_end, entry?]),
        }
    }
    Ok(match retries {
        0 => unit,
        _ => unit.tally(ws, counter::ATTEMPTS_RETRIED, By::Fixed(retries as i64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            EXTEND,
            PARK,
            FINISH,
            ENTRY,
            ENTRIES,
            JOURNAL,
            OUTLINE,
            ONE_ENTRY,
            LAST_ENTRY,
            PASS_ON,
            super::super::MARK_OUTCOMES,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
