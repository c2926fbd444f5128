//! History on PostgreSQL: tables of their own, in partitions by month. A move is one statement per table, in one unit,
//! and what moves never leaves the database.

use std::collections::BTreeSet;

use super::Postgres;
use super::server::Purpose;
use crate::history::{Month, month_of};
use crate::row::Row;
use crate::unit::{Lock, Unit, values};
use crate::{Result, inbox, runs};

/// Moves of a table: `$out` to history under month ?3, `$back` from there.
macro_rules! moves {
    ($out:ident, $back:ident, $table:literal, $columns:expr, $of:literal, $still:literal) => {
        const $out: &str = concat!(
            "WITH gone AS (DELETE FROM ",
            $table,
            " WHERE workspace = ?1 AND ",
            $of,
            " = ?2",
            $still,
            " RETURNING ",
            $columns,
            ") INSERT INTO tributary_history.",
            $table,
            " (month, ",
            $columns,
            ") SELECT ?3, ",
            $columns,
            " FROM gone"
        );
        const $back: &str = concat!(
            "WITH gone AS (DELETE FROM tributary_history.",
            $table,
            " WHERE workspace = ?1 AND ",
            $of,
            " = ?2 RETURNING ",
            $columns,
            ") INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $columns,
            " FROM gone ON CONFLICT DO NOTHING"
        );
    };
}

moves!(
    RUN_OUT,
    RUN_BACK,
    "runs",
    runs::list::columns!(),
    "id",
    " AND epoch = ?4 AND retries = ?5 AND finished_at IS NOT NULL AND turn = 0"
);
moves!(LINKS_OUT, LINKS_BACK, "run_events", "workspace, run, event, source, time", "run", "");
moves!(JOURNAL_OUT, JOURNAL_BACK, "journal", "workspace, run, n, entry", "run", "");
moves!(
    EVENT_OUT,
    EVENT_BACK,
    "events",
    inbox::columns!(),
    "id",
    " AND replays = ?4 AND status <> 'accepted' \
     AND NOT EXISTS (SELECT 1 FROM run_events WHERE workspace = ?1 AND event = ?2)"
);
moves!(
    OUTCOMES_OUT,
    OUTCOMES_BACK,
    "event_outcomes",
    "workspace, event, replay, flow, outcome, run, failed",
    "event",
    ""
);

/// The events of a run that comes back come with it.
macro_rules! events_back {
    ($table:literal, $of:literal, $columns:expr) => {
        concat!(
            "WITH gone AS (DELETE FROM tributary_history.",
            $table,
            " WHERE workspace = ?1 AND ",
            $of,
            " IN (SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2) RETURNING ",
            $columns,
            ") INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $columns,
            " FROM gone ON CONFLICT DO NOTHING"
        )
    };
}
const EVENTS_BACK: &str = events_back!("events", "id", inbox::columns!());
const ALL_OUTCOMES_BACK: &str =
    events_back!("event_outcomes", "event", "workspace, event, replay, flow, outcome, run, failed");

const TABLES: [&str; 5] = ["events", "event_outcomes", "runs", "run_events", "journal"];
const MONTHS: &str = "SELECT substr(c.relname, 6) AS month FROM pg_class AS c \
    JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = 'tributary_history' AND c.relname LIKE 'runs\\_20%' AND c.relkind = 'r' ORDER BY 1";

/// The moves of runs that are over.
pub(crate) fn runs(found: &[Row]) -> Result<Vec<(Month, Unit)>> {
    let one = |row: &Row| {
        let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
        let month = month_of(row.get("finished_at")?);
        let (epoch, retries): (i64, i64) = (row.get("epoch")?, row.get("retries")?);
        let unit = Unit::new()
            .locking(Lock::Moving)
            .one(RUN_OUT, values![&ws, &id, &month, epoch, retries])
            .then(LINKS_OUT, values![&ws, &id, &month])
            .then(JOURNAL_OUT, values![&ws, &id, &month]);
        Ok((month, unit))
    };
    found.iter().map(one).collect()
}

/// The moves of events that nobody works for any more.
pub(crate) fn events(found: &[Row]) -> Result<Vec<(Month, Unit)>> {
    let one = |row: &Row| {
        let (ws, id): (String, String) = (row.get("workspace")?, row.get("id")?);
        let month = month_of(row.get("received_at")?);
        let replays: i64 = row.get("replays")?;
        let unit = Unit::new()
            .locking(Lock::Moving)
            .one(EVENT_OUT, values![&ws, &id, &month, replays])
            .then(OUTCOMES_OUT, values![&ws, &id, &month]);
        Ok((month, unit))
    };
    found.iter().map(one).collect()
}

pub(crate) fn restore_run(ws: &str, id: &str) -> Unit {
    Unit::new()
        .locking(Lock::Moving)
        .then(RUN_BACK, values![ws, id])
        .then(LINKS_BACK, values![ws, id])
        .then(JOURNAL_BACK, values![ws, id])
        .then(EVENTS_BACK, values![ws, id])
        .then(ALL_OUTCOMES_BACK, values![ws, id])
}

pub(crate) fn restore_event(ws: &str, id: &str) -> Unit {
    Unit::new().locking(Lock::Moving).then(EVENT_BACK, values![ws, id]).then(OUTCOMES_BACK, values![ws, id])
}

impl Postgres {
    /// Makes the partitions of months that have none yet.
    pub(crate) async fn make_months(&self, months: &BTreeSet<Month>) -> Result<()> {
        let known = self.months().await?;
        let missing: Vec<&Month> = months.iter().filter(|month| !known.contains(&tail(month))).collect();
        let mut ddl = String::new();
        for month in missing {
            for table in TABLES {
                ddl.push_str(&format!(
                    "CREATE TABLE IF NOT EXISTS tributary_history.{table}_{} \
                     PARTITION OF tributary_history.{table} FOR VALUES IN ('{month}');\n",
                    tail(month)
                ));
            }
        }
        if ddl.is_empty() { Ok(()) } else { self.change_months(&ddl).await }
    }

    /// Drops the partitions of every month before this one; returns how many.
    pub(crate) async fn drop_months(&self, keep_from: &str) -> Result<usize> {
        let keep_from = tail(keep_from);
        let over: Vec<String> = self.months().await?.into_iter().filter(|month| *month < keep_from).collect();
        let mut ddl = String::new();
        for month in &over {
            for table in TABLES {
                ddl.push_str(&format!("DROP TABLE IF EXISTS tributary_history.{table}_{month};\n"));
            }
        }
        if !ddl.is_empty() {
            self.change_months(&ddl).await?;
        }
        Ok(over.len())
    }

    /// The months that have partitions, as these are named: `2026_11`.
    async fn months(&self) -> Result<BTreeSet<String>> {
        let session = self.session(Purpose::Hot).await?;
        let found = session.client.query(MONTHS, &[]).await.map_err(|error| self.server.refused(&error))?;
        Ok(found.iter().map(|row| row.get::<_, String>(0)).collect())
    }

    /// One node at a time, in one transaction.
    async fn change_months(&self, ddl: &str) -> Result<()> {
        let session = self.server.connect(Purpose::Hot).await?;
        let text = format!("BEGIN; SELECT pg_advisory_xact_lock(7717002); {ddl} COMMIT");
        session.client.batch_execute(&text).await.map_err(|error| self.server.refused(&error))
    }
}

/// `2026-11` as it stands in a table's name.
fn tail(month: &str) -> String {
    month.replace('-', "_")
}
