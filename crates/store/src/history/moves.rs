//! Moving what is over to history, bringing it back, and forgetting it.

use flow::{EventId, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

use super::files::{Month, month_of};
use super::rows::{JOURNAL, Moved, OF_EVENT, OF_RUN, OUTCOMES, RUN_EVENTS, Table};
use crate::database::{all, instant};
use crate::unit::values;
use crate::{Error, Result, Store, Unit};

/// Dedupe keys are kept this long after the first delivery. Vendors redeliver for days (Stripe: 3), and back-fills
/// from their event lists reach back a month (Stripe: 30 days).
pub const DEDUPE_LIFE: SignedDuration = SignedDuration::from_hours(45 * 24);
/// Facts are kept this long: a yearly invoice can be told of again when the next one comes.
pub const FACT_LIFE: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Runs or events moved in one go: bounds the memory that their payloads take.
const MAX_MOVED: usize = 256;
/// Rows forgotten in one go.
const MAX_PRUNED: i64 = 1000;

const RUNS_OVER: &str = "SELECT workspace, id, epoch, retries, finished_at FROM runs \
    WHERE finished_at IS NOT NULL AND turn = 0 AND finished_at < ?1 ORDER BY finished_at, seq LIMIT ?2";
const FORGET_RUN: &str = "DELETE FROM runs WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND retries = ?4 \
    AND finished_at IS NOT NULL AND turn = 0";
const EVENTS_OVER: &str = "SELECT workspace, id, replays, received_at FROM events \
    WHERE status <> 'accepted' AND received_at < ?1 AND NOT EXISTS (SELECT 1 FROM run_events AS r \
    WHERE r.workspace = events.workspace AND r.event = events.id) ORDER BY received_at, seq LIMIT ?2";
const FORGET_EVENT: &str = "DELETE FROM events WHERE workspace = ?1 AND id = ?2 AND replays = ?3 \
    AND status <> 'accepted' AND NOT EXISTS (SELECT 1 FROM run_events WHERE workspace = ?1 AND event = ?2)";
const IS_RUN: &str = "SELECT 1 FROM runs WHERE workspace = ?1 AND id = ?2";
const IS_EVENT: &str = "SELECT 1 FROM events WHERE workspace = ?1 AND id = ?2";
const WORKED_FOR: &str = "SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2";
const PRUNE_DEDUPE: &str = "DELETE FROM dedupe WHERE (workspace, connection, key) IN \
    (SELECT workspace, connection, key FROM dedupe WHERE at < ?1 ORDER BY at LIMIT ?2)";
const PRUNE_FACTS: &str = "DELETE FROM facts WHERE (workspace, flow, key) IN \
    (SELECT workspace, flow, key FROM facts WHERE at < ?1 ORDER BY at LIMIT ?2)";

/// Something that is to move: its rows, and what takes it out of the hot tables if it is still as it was read.
struct Leaving {
    month: Month,
    rows: Moved,
    forget: Unit,
}

impl Store {
    /// Moves runs that finished before `older_than`, and events that came before it and that no hot run works for,
    /// to history; at most `limit` of each. Returns how many moved: 0 means that nothing is left to move. Can be
    /// cut off anywhere and called again.
    pub async fn retire(&self, older_than: Timestamp, limit: usize) -> Result<usize> {
        let _moving = self.inner.moving.lock().await;
        let limit = limit.min(MAX_MOVED) as i64;
        let runs = self.read(|db| runs_over(db, older_than, limit))?;
        let moved = self.leave(runs).await?;
        let events = self.read(|db| events_over(db, older_than, limit))?;
        Ok(moved + self.leave(events).await?)
    }

    async fn leave(&self, leaving: Vec<Leaving>) -> Result<usize> {
        let mut months: BTreeMap<Month, Vec<Moved>> = BTreeMap::new();
        let mut units = Vec::with_capacity(leaving.len());
        for Leaving { month, rows, forget } in leaving {
            months.entry(month).or_default().push(rows);
            units.push(forget);
        }
        for (month, moved) in &months {
            self.inner.history.with_new(month, |db| {
                let transaction = db.transaction()?;
                for rows in moved {
                    rows.keep(&transaction)?;
                }
                Ok(transaction.commit()?)
            })?;
        }
        let mut left = 0;
        for result in self.commit_all(units).await {
            match result {
                Ok(_) => left += 1,
                // Retried or replayed meanwhile: it stays, and what was written to history does not count.
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// Brings a run and the events that it works for back to the hot tables, if they are in history.
    pub(crate) async fn restore_run(&self, ws: &WorkspaceId, id: &RunId) -> Result<()> {
        let _moving = self.inner.moving.lock().await;
        let (ws, id) = (ws.as_str(), id.as_str());
        if self.read(|db| is_there(db, IS_RUN, ws, id))? {
            return Ok(());
        }
        let Some((rows, events)) = self.in_history(|db| {
            let Some(rows) = Moved::read(db, OF_RUN, ws, id)? else { return Ok(None) };
            let events = all(db, WORKED_FOR, params![ws, id], |row| Ok(row.get::<_, String>("event")?))?;
            Ok(Some((rows, events)))
        })?
        else {
            return Ok(());
        };
        let mut unit = rows.restore(Unit::new());
        for event in &events {
            if !self.read(|db| is_there(db, IS_EVENT, ws, event))?
                && let Some(rows) = self.in_history(|db| Moved::read(db, OF_EVENT, ws, event))?
            {
                unit = rows.restore(unit);
            }
        }
        self.commit(unit).await?;
        self.forget(OF_RUN, ws, id)?;
        events.iter().try_for_each(|event| self.forget(OF_EVENT, ws, event))
    }

    /// Brings an event back to the hot tables, if it is in history.
    pub(crate) async fn restore_event(&self, ws: &WorkspaceId, id: &EventId) -> Result<()> {
        let _moving = self.inner.moving.lock().await;
        let (ws, id) = (ws.as_str(), id.as_str());
        if self.read(|db| is_there(db, IS_EVENT, ws, id))? {
            return Ok(());
        }
        if let Some(rows) = self.in_history(|db| Moved::read(db, OF_EVENT, ws, id))? {
            self.commit(rows.restore(Unit::new())).await?;
            self.forget(OF_EVENT, ws, id)?;
        }
        Ok(())
    }

    fn in_history<T>(&self, look: impl Fn(&Connection) -> Result<Option<T>>) -> Result<Option<T>> {
        for month in self.inner.history.months() {
            if let Some(found) = self.inner.history.with(&month, |db| look(db))?.flatten() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Deletes from history what the hot tables have again.
    fn forget(&self, tables: &[&Table], ws: &str, id: &str) -> Result<()> {
        for month in self.inner.history.months() {
            self.inner.history.with(&month, |db| {
                let transaction = db.transaction()?;
                for table in tables {
                    transaction.prepare_cached(table.delete)?.execute(params![ws, id])?;
                }
                Ok(transaction.commit()?)
            })?;
        }
        Ok(())
    }

    /// Forgets some dedupe keys and facts whose life is over; returns how many. 0 means that none is left.
    pub async fn prune(&self, now: Timestamp) -> Result<u64> {
        let before = |life: SignedDuration| now.saturating_sub(life).unwrap_or(Timestamp::MIN);
        let unit = Unit::new()
            .then(PRUNE_DEDUPE, values![before(DEDUPE_LIFE), MAX_PRUNED])
            .then(PRUNE_FACTS, values![before(FACT_LIFE), MAX_PRUNED]);
        Ok(self.commit(unit).await?.rows.iter().sum())
    }

    /// Deletes the history of every month that was over before the month of `keep_from`; returns how many.
    pub async fn drop_history(&self, keep_from: Timestamp) -> Result<usize> {
        let _moving = self.inner.moving.lock().await;
        let keep_from = month_of(keep_from);
        let months = self.inner.history.months();
        let over: Vec<&Month> = months.iter().filter(|month| **month < keep_from).collect();
        for month in &over {
            self.inner.history.drop_month(month)?;
        }
        Ok(over.len())
    }
}

fn runs_over(db: &Connection, older_than: Timestamp, limit: i64) -> Result<Vec<Leaving>> {
    let found = all(db, RUNS_OVER, params![older_than.as_microsecond(), limit], |row| {
        let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
        let forget = Unit::new()
            .one(FORGET_RUN, values![&ws, &id, row.get::<_, i64>("epoch")?, row.get::<_, i64>("retries")?])
            .then(RUN_EVENTS.delete, values![&ws, &id])
            .then(JOURNAL.delete, values![&ws, &id]);
        Ok((ws, id, month_of(instant(row, "finished_at")?), forget))
    })?;
    with_rows(db, OF_RUN, found)
}

fn events_over(db: &Connection, older_than: Timestamp, limit: i64) -> Result<Vec<Leaving>> {
    let found = all(db, EVENTS_OVER, params![older_than.as_microsecond(), limit], |row| {
        let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
        let forget = Unit::new()
            .one(FORGET_EVENT, values![&ws, &id, row.get::<_, i64>("replays")?])
            .then(OUTCOMES.delete, values![&ws, &id]);
        Ok((ws, id, month_of(instant(row, "received_at")?), forget))
    })?;
    with_rows(db, OF_EVENT, found)
}

fn with_rows(
    db: &Connection,
    tables: &'static [&'static Table],
    found: Vec<(String, String, Month, Unit)>,
) -> Result<Vec<Leaving>> {
    let mut leaving = Vec::with_capacity(found.len());
    for (ws, id, month, forget) in found {
        if let Some(rows) = Moved::read(db, tables, &ws, &id)? {
            leaving.push(Leaving { month, rows, forget });
        }
    }
    Ok(leaving)
}

fn is_there(db: &Connection, sql: &str, ws: &str, id: &str) -> Result<bool> {
    Ok(crate::database::first(db, sql, params![ws, id], |_| Ok(()))?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            RUNS_OVER,
            FORGET_RUN,
            EVENTS_OVER,
            FORGET_EVENT,
            WORKED_FOR,
            PRUNE_DEDUPE,
            PRUNE_FACTS,
            JOURNAL.delete,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
