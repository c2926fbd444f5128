//! Moving what is over to history, bringing it back, and forgetting it.

use flow::{EventId, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

use super::rows::{JOURNAL, Moved, OF_EVENT, OF_RUN, OUTCOMES, RUN_EVENTS, Table};
use super::{Month, month_of};
use crate::postgres::{self, Postgres};
use crate::row::{Query, Row};
use crate::unit::{Param, values};
use crate::{Backend, Error, Result, Sqlite, Store, Unit};

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
const PRUNE_HEARD: &str =
    "DELETE FROM heard WHERE seq IN (SELECT seq FROM heard WHERE at < ?1 ORDER BY at LIMIT ?2)";
const PRUNE_HOPS: &str = "DELETE FROM hops WHERE (workspace, event) IN \
    (SELECT workspace, event FROM hops WHERE at < ?1 ORDER BY at LIMIT ?2)";

/// Something that is to move: where its rows are, and what takes it out of the hot tables if it is still as it was
/// found.
struct Leaving {
    ws: String,
    id: String,
    month: Month,
    forget: Unit,
}

impl Store {
    /// Moves runs that finished before `older_than`, and events that came before it and that no hot run works for,
    /// to history; at most `limit` of each. Returns how many moved: 0 means that nothing is left to move. Can be
    /// cut off anywhere and called again.
    pub async fn retire(&self, older_than: Timestamp, limit: usize) -> Result<usize> {
        let limit = limit.min(MAX_MOVED) as i64;
        let over = values![older_than, limit];
        let sqlite = match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite,
            Backend::Postgres(postgres) => {
                let runs = self.rows(RUNS_OVER, over.clone()).await?;
                let moved = self.move_all(postgres, postgres::history::runs(&runs)?).await?;
                let events = self.rows(EVENTS_OVER, over).await?;
                return Ok(moved + self.move_all(postgres, postgres::history::events(&events)?).await?);
            }
        };
        let _moving = sqlite.moving.lock().await;
        let runs = self.rows(RUNS_OVER, over.clone()).await?;
        let runs = runs.iter().map(run_over).collect::<Result<_>>()?;
        let moved = self.leave(sqlite, OF_RUN, runs).await?;
        let events = self.rows(EVENTS_OVER, over).await?;
        let events = events.iter().map(event_over).collect::<Result<_>>()?;
        Ok(moved + self.leave(sqlite, OF_EVENT, events).await?)
    }

    /// Moves within the one database: whole in one unit each.
    async fn move_all(&self, postgres: &Postgres, moves: Vec<(Month, Unit)>) -> Result<usize> {
        let mut units = Vec::with_capacity(moves.len());
        let mut months = BTreeSet::new();
        for (month, unit) in moves {
            months.insert(month);
            units.push(unit);
        }
        postgres.make_months(&months).await?;
        self.moved(units).await
    }

    /// How many of the moves were made.
    async fn moved(&self, units: Vec<Unit>) -> Result<usize> {
        let mut moved = 0;
        for result in self.commit_all(units).await {
            match result {
                Ok(_) => moved += 1,
                // Retried or replayed meanwhile: it stays, and what was written to history does not count.
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    async fn leave(
        &self,
        sqlite: &Sqlite,
        tables: &'static [&'static Table],
        leaving: Vec<Leaving>,
    ) -> Result<usize> {
        let mut months: BTreeMap<Month, Vec<(&'static str, Vec<Param>)>> = BTreeMap::new();
        let mut units = Vec::with_capacity(leaving.len());
        for Leaving { ws, id, month, forget } in leaving {
            let rows = self.read(&Moved::queries(tables, &ws, &id)).await?;
            months.entry(month).or_default().extend(Moved::new(tables, rows).keep());
            units.push(forget);
        }
        for (month, rows) in &months {
            sqlite.history.write(month, rows)?;
        }
        self.moved(units).await
    }

    /// Brings a run and the events that it works for back to the hot tables, if they are in history.
    pub(crate) async fn restore_run(&self, ws: &WorkspaceId, id: &RunId) -> Result<()> {
        let (ws, id) = (ws.as_str(), id.as_str());
        let sqlite = match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite,
            // Does nothing to what is not in history.
            Backend::Postgres(_) => {
                return self.commit(postgres::history::restore_run(ws, id)).await.map(|_| ());
            }
        };
        let _moving = sqlite.moving.lock().await;
        if self.is_hot(IS_RUN, ws, id).await? {
            return Ok(());
        }
        let mut queries = Moved::queries(OF_RUN, ws, id);
        queries.push(Query::new(WORKED_FOR, values![ws, id]));
        let Some(mut rows) = sqlite.history.find(&queries)? else { return Ok(()) };
        let events = rows.pop().unwrap_or_default();
        let events: Vec<String> = events.iter().map(|row| row.get("event")).collect::<Result<_>>()?;
        let mut unit = Moved::new(OF_RUN, rows).restore(Unit::new());
        for event in &events {
            if !self.is_hot(IS_EVENT, ws, event).await?
                && let Some(rows) = sqlite.history.find(&Moved::queries(OF_EVENT, ws, event))?
            {
                unit = Moved::new(OF_EVENT, rows).restore(unit);
            }
        }
        self.commit(unit).await?;
        forget(sqlite, OF_RUN, ws, id)?;
        events.iter().try_for_each(|event| forget(sqlite, OF_EVENT, ws, event))
    }

    /// Brings an event back to the hot tables, if it is in history.
    pub(crate) async fn restore_event(&self, ws: &WorkspaceId, id: &EventId) -> Result<()> {
        let (ws, id) = (ws.as_str(), id.as_str());
        let sqlite = match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite,
            // Does nothing to what is not in history.
            Backend::Postgres(_) => {
                return self.commit(postgres::history::restore_event(ws, id)).await.map(|_| ());
            }
        };
        let _moving = sqlite.moving.lock().await;
        if self.is_hot(IS_EVENT, ws, id).await? {
            return Ok(());
        }
        if let Some(rows) = sqlite.history.find(&Moved::queries(OF_EVENT, ws, id))? {
            self.commit(Moved::new(OF_EVENT, rows).restore(Unit::new())).await?;
            forget(sqlite, OF_EVENT, ws, id)?;
        }
        Ok(())
    }

    async fn is_hot(&self, sql: &'static str, ws: &str, id: &str) -> Result<bool> {
        Ok(self.first(sql, values![ws, id]).await?.is_some())
    }

    /// Forgets some dedupe keys, facts and heard events whose life is over; returns how many. 0 means that none is left.
    pub async fn prune(&self, now: Timestamp) -> Result<u64> {
        let before = |life: SignedDuration| now.saturating_sub(life).unwrap_or(Timestamp::MIN);
        let unit = Unit::new()
            .then(PRUNE_DEDUPE, values![before(DEDUPE_LIFE), MAX_PRUNED])
            .then(PRUNE_FACTS, values![before(FACT_LIFE), MAX_PRUNED])
            .then(PRUNE_HEARD, values![before(DEDUPE_LIFE), MAX_PRUNED])
            .then(PRUNE_HOPS, values![before(DEDUPE_LIFE), MAX_PRUNED]);
        Ok(self.commit(unit).await?.rows.iter().sum())
    }

    /// Deletes the history of every month that was over before the month of `keep_from`; returns how many.
    pub async fn drop_history(&self, keep_from: Timestamp) -> Result<usize> {
        let keep_from = month_of(keep_from);
        let sqlite = match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite,
            Backend::Postgres(postgres) => return postgres.drop_months(&keep_from).await,
        };
        let _moving = sqlite.moving.lock().await;
        let months = sqlite.history.months();
        let over: Vec<&Month> = months.iter().filter(|month| **month < keep_from).collect();
        for month in &over {
            sqlite.history.drop_month(month)?;
        }
        Ok(over.len())
    }
}

/// Deletes from history what the hot tables have again.
fn forget(sqlite: &Sqlite, tables: &[&Table], ws: &str, id: &str) -> Result<()> {
    let deletes: Vec<_> = tables.iter().map(|table| (table.delete, values![ws, id])).collect();
    sqlite.history.months().iter().try_for_each(|month| sqlite.history.write(month, &deletes))
}

fn run_over(row: &Row) -> Result<Leaving> {
    let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
    let forget = Unit::new()
        .one(FORGET_RUN, values![&ws, &id, row.get::<i64>("epoch")?, row.get::<i64>("retries")?])
        .then(RUN_EVENTS.delete, values![&ws, &id])
        .then(JOURNAL.delete, values![&ws, &id]);
    Ok(Leaving { ws, id, month: month_of(row.get("finished_at")?), forget })
}

fn event_over(row: &Row) -> Result<Leaving> {
    let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
    let forget = Unit::new()
        .one(FORGET_EVENT, values![&ws, &id, row.get::<i64>("replays")?])
        .then(OUTCOMES.delete, values![&ws, &id]);
    Ok(Leaving { ws, id, month: month_of(row.get("received_at")?), forget })
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
            PRUNE_HEARD,
            PRUNE_HOPS,
            JOURNAL.delete,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
