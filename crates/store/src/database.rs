//! SQLite underneath: how connections are opened, and the pool of those that only read.

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Error, Result, directory};

/// The main database's file in the data directory.
pub(crate) const FILE: &str = "tributary.db";

/// Prepared statements kept per connection; there are fewer texts than this.
const STATEMENTS: usize = 128;
/// Page cache of a connection, KiB.
const CACHE_KIB: i64 = 16 << 10;
/// A reader can meet a lock only while the log is being recovered or truncated.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the connection that writes: write-ahead log, synced at every commit.
///
/// The file is made before SQLite opens it, so that its log, which takes its permissions, is its owner's from the
/// beginning as well.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    directory::private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(path)
        .map_err(Error::io(path))?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Refused(format!("{} cannot have a write-ahead log ({mode})", path.display())));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Larger than the usual 1000 pages: a checkpoint syncs twice, and commits wait for it.
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
    Ok(connection)
}

fn settle(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Connections that only read, used by whoever reads, where it reads.
pub(crate) struct Readers {
    path: PathBuf,
    keep: usize,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(path: PathBuf, keep: usize) -> Self {
        Self { path, keep: keep.max(1), idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` on one snapshot of the database. Opens another connection if all are in use: there are never
    /// more than threads that read.
    pub fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let pooled = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        connection.prepare_cached("BEGIN")?.execute(())?;
        let result = work(&connection);
        // A connection that cannot end its snapshot is dropped, not pooled.
        connection.prepare_cached("COMMIT")?.execute(())?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.keep {
            idle.push(connection);
        }
        drop(idle);
        result
    }
}

/// An instant as it is stored.
pub(crate) fn instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    let stored: i64 = row.get(column)?;
    Timestamp::from_microsecond(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, stored))
}

/// An instant that may be missing.
pub(crate) fn maybe_instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    match row.get::<_, Option<i64>>(column)? {
        Some(_) => instant(row, column).map(Some),
        None => Ok(None),
    }
}

/// A number that is never negative.
pub(crate) fn natural(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Every row of a query, each made into a `T`.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut make: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut made = Vec::new();
    while let Some(row) = rows.next()? {
        made.push(make(row)?);
    }
    Ok(made)
}

/// The first row of a query, if there is one.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    make: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(make).transpose()
}

/// How SQLite goes about a statement of the hot path, for tests: nothing may look at a whole table or sort.
#[cfg(test)]
pub(crate) fn check_plan(sql: &str) {
    let mut connection = Connection::open_in_memory().unwrap();
    crate::schema::migrate(&mut connection, crate::schema::MAIN).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps: Vec<String> =
        statement.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().unwrap();
    for step in &steps {
        let scans = step.starts_with("SCAN ") && !step.contains("USING ") && step != "SCAN CONSTANT ROW";
        assert!(!scans && !step.contains("TEMP B-TREE"), "{sql}\n{steps:#?}");
    }
}
