//! SQLite underneath: how connections are opened, and the pool of those that only read.

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::row::{Columns, Query, Row};
use crate::unit::{Kind, Param};
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
    settle_log(&connection)?;
    Ok(connection)
}

/// Takes the log that is there into the database. A process that ended because a sync failed has left pages in it
/// that may never reach the disk, although they can be read: what is written behind such a hole would be lost with the
/// next power cut, however often it is synced.
fn settle_log(connection: &Connection) -> Result<()> {
    match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())) {
        // There is room again later; until then the log stands as it is.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            tracing::warn!("the disk is full: the log is not taken into the database");
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Opens a database that is there, with its log, without changing anything about it.
pub(crate) fn open_existing(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
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
    // A plan stays as it was made: otherwise SQLite makes it anew whenever other values are bound to a statement that
    // a partial index could serve.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// A connection with the column names of what it has prepared.
struct Reader {
    connection: Connection,
    columns: Names,
}

/// Column names by the place of the statement's text, which is constant.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<(usize, usize), Columns>);

impl Names {
    fn of(&mut self, sql: &'static str, statement: &rusqlite::Statement<'_>) -> Columns {
        let names = self.0.entry((sql.as_ptr().addr(), sql.len()));
        names.or_insert_with(|| statement.column_names().map(Into::into).collect()).clone()
    }
}

/// Connections that only read, used by whoever reads, where it reads.
pub(crate) struct Readers {
    path: PathBuf,
    keep: usize,
    idle: Mutex<Vec<Reader>>,
}

impl Readers {
    pub fn new(path: PathBuf, keep: usize) -> Self {
        Self { path, keep: keep.max(1), idle: Mutex::new(Vec::new()) }
    }

    /// Answers queries from one snapshot of the database. Opens another connection if all are in use: there are
    /// never more than threads that read.
    pub fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        let pooled = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match pooled {
            Some(reader) => reader,
            None => Reader { connection: open_reader(&self.path)?, columns: Names::default() },
        };
        let result = snapshot(&reader.connection, &mut reader.columns, queries);
        // A connection that cannot end its snapshot is dropped, not pooled.
        if !reader.connection.is_autocommit() {
            return result;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.keep {
            idle.push(reader);
        }
        drop(idle);
        result
    }
}

/// Answers queries from one snapshot; a single one needs no transaction for that.
pub(crate) fn snapshot(
    connection: &Connection,
    names: &mut Names,
    queries: &[Query],
) -> Result<Vec<Vec<Row>>> {
    if let [query] = queries {
        return Ok(vec![rows(connection, names, query)?]);
    }
    connection.prepare_cached("BEGIN")?.execute(())?;
    let result = queries.iter().map(|query| rows(connection, names, query)).collect();
    connection.prepare_cached("COMMIT")?.execute(())?;
    result
}

/// Every row that a query finds.
fn rows(connection: &Connection, names: &mut Names, query: &Query) -> Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(query.sql)?;
    let columns = names.of(query.sql, &statement);
    Ok(fetched(&mut statement, &columns, &query.params)?)
}

/// Runs a statement that answers rows.
pub(crate) fn fetched(
    statement: &mut rusqlite::Statement<'_>,
    columns: &Columns,
    params: &[Param],
) -> rusqlite::Result<Vec<Row>> {
    let mut found = statement.query(rusqlite::params_from_iter(params))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..columns.len()).map(|index| Ok(value(row.get_ref(index)?)));
        rows.push(Row::new(columns.clone(), values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(rows)
}

fn value(stored: ValueRef<'_>) -> Param {
    match stored {
        ValueRef::Null => Param::Null(Kind::Text),
        ValueRef::Integer(number) => Param::Integer(number),
        // No column is of that type.
        ValueRef::Real(number) => Param::Text(number.to_string().into()),
        ValueRef::Text(text) => Param::Text(String::from_utf8_lossy(text).into()),
        ValueRef::Blob(bytes) => Param::Blob(bytes.into()),
    }
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
