//! The history files of a data directory.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::row::{Query, Row};
use crate::{Error, Param, Result, database, directory, schema};

/// Files kept open; a list looks at all of them, later months are looked at most.
const MAX_OPEN: usize = 12;

/// `2026-11`: sorts as time does.
pub(crate) type Month = String;

/// The month of an instant, in UTC.
pub(crate) fn month_of(at: Timestamp) -> Month {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

/// The files, by month.
pub(crate) struct Files {
    directory: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    months: BTreeSet<Month>,
    open: BTreeMap<Month, Opened>,
}

struct Opened {
    connection: Connection,
    names: database::Names,
}

impl Files {
    /// The files that are in the directory now; nobody else makes any while this process owns it.
    pub fn new(directory: PathBuf) -> Result<Self> {
        let mut months = BTreeSet::new();
        for entry in fs::read_dir(&directory).map_err(Error::io(&directory))? {
            let name = entry.map_err(Error::io(&directory))?.file_name();
            let month = name.to_str().and_then(|name| name.strip_prefix("history-")?.strip_suffix(".db"));
            months.extend(month.map(str::to_owned));
        }
        Ok(Self { directory, known: Mutex::new(Known { months, open: BTreeMap::new() }) })
    }

    /// The months of which there is history, latest first.
    pub fn months(&self) -> Vec<Month> {
        self.known().months.iter().rev().cloned().collect()
    }

    /// Answers queries from a month's file; `None` if there is none.
    pub fn read(&self, month: &str, queries: &[Query]) -> Result<Option<Vec<Vec<Row>>>> {
        if !self.known().months.contains(month) {
            return Ok(None);
        }
        self.with(month, |opened| database::snapshot(&opened.connection, &mut opened.names, queries))
            .map(Some)
    }

    /// Answers queries from the latest month in which the first of them finds a row.
    pub fn find(&self, queries: &[Query]) -> Result<Option<Vec<Vec<Row>>>> {
        for month in self.months() {
            let found = self.read(&month, queries)?;
            if let Some(answers) =
                found.filter(|answers| answers.first().is_some_and(|rows| !rows.is_empty()))
            {
                return Ok(Some(answers));
            }
        }
        Ok(None)
    }

    /// Writes to a month's file, made if there is none: every statement or none.
    pub fn write(&self, month: &str, statements: &[(&'static str, Vec<Param>)]) -> Result<()> {
        self.with(month, |opened| {
            let transaction = opened.connection.transaction()?;
            for (sql, params) in statements {
                transaction.prepare_cached(sql)?.execute(rusqlite::params_from_iter(params))?;
            }
            Ok(transaction.commit()?)
        })
    }

    fn with<T>(&self, month: &str, work: impl FnOnce(&mut Opened) -> Result<T>) -> Result<T> {
        let mut known = self.known();
        if !known.open.contains_key(month) {
            let path = self.path(month);
            let mut connection = database::open_writer(&path)?;
            schema::migrate(&mut connection, schema::HISTORY)?;
            if known.months.insert(month.to_owned()) {
                directory::sync(&self.directory)?;
            }
            if known.open.len() >= MAX_OPEN {
                known.open.pop_first();
            }
            let names = database::Names::default();
            known.open.insert(month.to_owned(), Opened { connection, names });
        }
        work(known.open.get_mut(month).ok_or(Error::Closed)?)
    }

    /// Deletes a month's file for good, with what a crash may have left beside it; one that is gone already counts.
    pub fn drop_month(&self, month: &str) -> Result<()> {
        let mut known = self.known();
        known.open.remove(month);
        // The log first: a file without its log is whole as of an earlier moment, a log without its file is nothing.
        for end in ["-wal", "-shm", ""] {
            let mut path = self.path(month).into_os_string();
            path.push(end);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                done => done.map_err(Error::io(path))?,
            }
        }
        known.months.remove(month);
        Ok(())
    }

    /// The files' names, in the order of time.
    pub fn names(&self) -> Vec<String> {
        self.known().months.iter().map(|month| format!("history-{month}.db")).collect()
    }

    fn path(&self, month: &str) -> PathBuf {
        self.directory.join(format!("history-{month}.db"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_dropped_with_all_that_is_left_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path().to_owned()).unwrap();
        let path = |month: &str, end: &str| directory.path().join(format!("history-{month}.db{end}"));
        for month in ["2026-10", "2026-11"] {
            files.write(month, &[]).unwrap();
        }
        fs::remove_file(path("2026-10", "")).unwrap();
        for end in ["-wal", "-shm"] {
            fs::write(path("2026-10", end), "left").unwrap();
        }
        files.drop_month("2026-10").unwrap();
        assert_eq!(files.months(), ["2026-11"]);
        let left = ["", "-wal", "-shm"].map(|end| path("2026-10", end).exists());
        assert_eq!(left, [false; 3]);
        files.drop_month("2026-11").unwrap();
        assert!(files.months().is_empty() && !path("2026-11", "").exists());
    }
}
