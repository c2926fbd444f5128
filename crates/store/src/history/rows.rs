//! Rows as they are moved between the hot tables and history: whole, by the same columns on both sides.

use crate::row::{Query, Row};
use crate::unit::{Param, Unit, values};
use crate::{inbox, runs};

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

/// Rows of several tables that move together, each with its values in the order of its table's columns.
#[derive(Default)]
pub(super) struct Moved(Vec<(&'static Table, Vec<Param>)>);

impl Moved {
    /// What reads everything of one run or event.
    pub fn queries(tables: &[&Table], workspace: &str, id: &str) -> Vec<Query> {
        tables.iter().map(|table| Query::new(table.select, values![workspace, id])).collect()
    }

    /// The rows that those queries found.
    pub fn new(tables: &'static [&'static Table], answers: Vec<Vec<Row>>) -> Self {
        let of_table = |(table, rows): (&&'static Table, Vec<Row>)| {
            let table = *table;
            rows.into_iter().map(move |row| (table, row.into_values()))
        };
        Self(tables.iter().zip(answers).flat_map(of_table).collect())
    }

    /// What writes the rows into a history file.
    pub fn keep(self) -> impl Iterator<Item = (&'static str, Vec<Param>)> {
        self.0.into_iter().map(|(table, values)| (table.keep, values))
    }

    /// Adds to a unit what puts the rows back into the hot tables.
    pub fn restore(self, mut unit: Unit) -> Unit {
        for (table, values) in self.0 {
            unit = unit.then(table.restore, values);
        }
        unit
    }
}
