//! Rows as they are moved between the hot tables and history: whole, by the same columns on both sides.

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::database::all;
use crate::unit::{Param, Unit};
use crate::{Result, inbox, runs};

/// A row's values, in the order of its table's columns.
pub(super) type Values = Vec<Value>;

/// A table that moves.
pub(super) struct Table {
    /// Reads the rows of ?1, a workspace, and ?2, a run or an event.
    select: &'static str,
    /// Puts a row into history; a copy that is there is replaced.
    keep: &'static str,
    /// Puts a row back into the hot table.
    restore: &'static str,
    /// Deletes the rows of ?1 and ?2, on either side.
    pub delete: &'static str,
}

macro_rules! table {
    ($name:literal, $of:literal, $columns:expr, $places:literal) => {
        Table {
            select: concat!("SELECT ", $columns, " FROM ", $name, " WHERE workspace = ?1 AND ", $of, " = ?2"),
            keep: concat!("INSERT OR REPLACE INTO ", $name, " (", $columns, ") VALUES (", $places, ")"),
            restore: concat!(
                "INSERT INTO ",
                $name,
                " (",
                $columns,
                ") VALUES (",
                $places,
                ") ON CONFLICT DO NOTHING"
            ),
            delete: concat!("DELETE FROM ", $name, " WHERE workspace = ?1 AND ", $of, " = ?2"),
        }
    };
}

pub(super) const RUNS: Table = table!(
    "runs",
    "id",
    runs::list::columns!(),
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, \
     ?24, ?25, ?26, ?27"
);
pub(super) const RUN_EVENTS: Table =
    table!("run_events", "run", "workspace, run, event, source, time", "?1, ?2, ?3, ?4, ?5");
pub(super) const JOURNAL: Table = table!("journal", "run", "workspace, run, n, entry", "?1, ?2, ?3, ?4");
pub(super) const EVENTS: Table =
    table!("events", "id", inbox::columns!(), "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14");
pub(super) const OUTCOMES: Table = table!(
    "event_outcomes",
    "event",
    "workspace, event, replay, flow, outcome, run, failed",
    "?1, ?2, ?3, ?4, ?5, ?6, ?7"
);

/// What moves with a run, and with an event.
pub(super) const OF_RUN: &[&Table] = &[&RUNS, &RUN_EVENTS, &JOURNAL];
pub(super) const OF_EVENT: &[&Table] = &[&EVENTS, &OUTCOMES];

/// Rows of several tables that move together.
#[derive(Default)]
pub(super) struct Moved(Vec<(&'static Table, Values)>);

impl Moved {
    /// Reads everything of one run or event; nothing if it is not here.
    pub fn read(
        db: &Connection,
        tables: &'static [&'static Table],
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>> {
        let mut rows = Vec::new();
        for &table in tables {
            rows.extend(table.read(db, workspace, id)?.into_iter().map(|values| (table, values)));
            if rows.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Self(rows)))
    }

    /// Writes the rows into a history file.
    pub fn keep(&self, db: &Connection) -> Result<()> {
        for (table, values) in &self.0 {
            db.prepare_cached(table.keep)?.execute(rusqlite::params_from_iter(values))?;
        }
        Ok(())
    }

    /// Adds to a unit what puts the rows back into the hot tables.
    pub fn restore(self, mut unit: Unit) -> Unit {
        for (table, values) in self.0 {
            unit = unit.then(table.restore, values.into_iter().map(param).collect());
        }
        unit
    }
}

impl Table {
    fn read(&self, db: &Connection, workspace: &str, id: &str) -> Result<Vec<Values>> {
        all(db, self.select, params![workspace, id], |row| {
            let width = row.as_ref().column_count();
            Ok((0..width).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn param(value: Value) -> Param {
    match value {
        Value::Null => Param::Null,
        Value::Integer(number) => Param::Integer(number),
        // No column is of that type.
        Value::Real(number) => Param::Text(number.to_string().into()),
        Value::Text(text) => Param::Text(text.into()),
        Value::Blob(bytes) => Param::Blob(bytes.into()),
    }
}
