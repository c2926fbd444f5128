//! The write path: one committer drains whatever is pending into one transaction.
//!
//! | unit | transaction |
//! |---|---|
//! | all expectations met | its savepoint is released, it is answered after the commit |
//! | an expectation unmet, a uniqueness violated | its savepoint is rolled back, `Conflict`; the others go on |
//! | a statement refused | its savepoint is rolled back, `Statement`; the others go on |
//! | the disk is full | everything is rolled back, every unit is answered `Full`; later ones are tried |
//! | reading or writing failed | nobody knows what is durable: `on_fatal`, every unit is answered `Closed`, the end |

use rusqlite::{CachedStatement, Connection, ErrorCode, ffi};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

use crate::database;
use crate::directory::Lock;
use crate::health::Pulse;
use crate::row::Row;
use crate::unit::{By, Statement, Tally};
use crate::{Error, OnFatal, Result, Unit, UnitResult, postgres};

/// Units that may wait for the committer; more callers wait for a place.
const MAX_PENDING: usize = 4096;
/// Units put into one transaction: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 512;

/// Where a commit is cut off, as a crash would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of the transaction is durable.
    Before,
    /// It is durable, but nobody is told.
    After,
}

/// Asked at every commit, with its number from 1, whether it is cut off.
pub type Cuts = Arc<dyn Fn(u64) -> Option<Cut> + Send + Sync>;

pub(crate) struct Pending {
    pub unit: Unit,
    answer: oneshot::Sender<Result<UnitResult>>,
}

/// The callers' end.
#[derive(Clone)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Pending>,
    /// Where units wait for [`Queue::release`]; none once that was called.
    gathered: Option<Arc<Mutex<Option<Vec<Pending>>>>>,
}

/// The committer's end.
pub(crate) struct Inbox(pub mpsc::Receiver<Pending>);

/// A unit that is on its way.
pub(crate) struct Ticket(oneshot::Receiver<Result<UnitResult>>);

pub(crate) fn queue() -> (Queue, Inbox) {
    let (sender, receiver) = mpsc::channel(MAX_PENDING);
    (Queue { sender, gathered: None }, Inbox(receiver))
}

impl Queue {
    pub async fn send(&self, unit: Unit) -> Result<Ticket> {
        let (answer, ticket) = oneshot::channel();
        if let Some(pending) = self.gather(Pending { unit, answer }) {
            self.sender.send(pending).await.map_err(|_| Error::Closed)?;
        }
        Ok(Ticket(ticket))
    }

    /// Keeps what is pending if this handle gathers still.
    fn gather(&self, pending: Pending) -> Option<Pending> {
        let Some(gathered) = &self.gathered else { return Some(pending) };
        match &mut *gathered.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(units) => {
                units.push(pending);
                None
            }
            None => Some(pending),
        }
    }

    /// A handle whose units wait until they are released together.
    pub fn gathering(&self) -> Queue {
        Queue { sender: self.sender.clone(), gathered: Some(Arc::new(Mutex::new(Some(Vec::new())))) }
    }

    /// Sends what this handle has gathered, with nothing of others in between; later units are sent as they come.
    pub async fn release(&self) -> Result<()> {
        let take = |gathered: &Arc<Mutex<Option<Vec<Pending>>>>| {
            gathered.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let units = self.gathered.as_ref().and_then(take).unwrap_or_default();
        let places = self.sender.reserve_many(units.len()).await.map_err(|_| Error::Closed)?;
        for (place, pending) in places.zip(units) {
            place.send(pending);
        }
        Ok(())
    }
}

impl Ticket {
    pub async fn wait(self) -> Result<UnitResult> {
        self.0.await.unwrap_or(Err(Error::Closed))
    }
}

/// Commits what is pending. Whoever holds it decides where and when it runs.
pub struct Committer(pub(crate) Underneath);

pub(crate) enum Underneath {
    Sqlite(Sqlite),
    Postgres(Box<postgres::Committer>),
}

impl Committer {
    /// Commits until every [`crate::Store`] is dropped or a commit fails. Blocks: give it a thread of its own.
    pub fn run(self) {
        match self.0 {
            Underneath::Sqlite(committer) => committer.run(),
            Underneath::Postgres(committer) => committer.run(),
        }
    }

    /// Commits all that is pending; returns how many units that were. On SQLite inline; on PostgreSQL it blocks until
    /// the database has answered, so call it outside of the runtime.
    pub fn step(&mut self) -> usize {
        match &mut self.0 {
            Underneath::Sqlite(committer) => committer.step(),
            Underneath::Postgres(committer) => committer.step(),
        }
    }

    /// Transactions committed so far.
    pub fn commits(&self) -> u64 {
        match &self.0 {
            Underneath::Sqlite(committer) => committer.commits,
            Underneath::Postgres(committer) => committer.commits,
        }
    }

    /// Units that wait.
    pub fn pending(&self) -> usize {
        match &self.0 {
            Underneath::Sqlite(committer) => committer.inbox.0.len(),
            Underneath::Postgres(committer) => committer.inbox.0.len(),
        }
    }
}

/// The committer of an embedded database.
pub(crate) struct Sqlite {
    connection: Connection,
    inbox: Inbox,
    on_fatal: OnFatal,
    cuts: Option<Cuts>,
    pulse: Arc<Pulse>,
    pages_max: Option<Arc<AtomicU32>>,
    commits: u64,
    /// Statements of the present transaction.
    statements: Cell<usize>,
    dead: bool,
    _lock: Arc<Lock>,
}

/// Why a transaction did not come to its end.
enum Failure {
    Full,
    Fatal(Error),
}

impl Sqlite {
    pub fn new(
        connection: Connection,
        inbox: Inbox,
        on_fatal: OnFatal,
        cuts: Option<Cuts>,
        pulse: Arc<Pulse>,
        lock: Arc<Lock>,
    ) -> Self {
        Self {
            connection,
            inbox,
            on_fatal,
            cuts,
            pulse,
            pages_max: None,
            commits: 0,
            statements: Cell::new(0),
            dead: false,
            _lock: lock,
        }
    }

    /// The same, with a database that is full at so many pages.
    pub(crate) fn bounded(mut self, pages_max: Option<Arc<AtomicU32>>) -> Self {
        self.pages_max = pages_max;
        self
    }

    fn run(mut self) {
        while let Some(first) = self.inbox.0.blocking_recv() {
            self.commit_with(first);
            if self.dead {
                return;
            }
        }
    }

    fn step(&mut self) -> usize {
        let mut done = 0;
        while !self.dead {
            let Ok(first) = self.inbox.0.try_recv() else { break };
            done += self.commit_with(first);
        }
        done
    }

    /// One transaction of `first` and whatever else is pending.
    fn commit_with(&mut self, first: Pending) -> usize {
        let mut batch = Vec::with_capacity(MAX_BATCH.min(self.inbox.0.len() + 1));
        batch.push(first);
        while batch.len() < MAX_BATCH {
            let Ok(next) = self.inbox.0.try_recv() else { break };
            batch.push(next);
        }
        let count = batch.len();
        match self.transact(&batch) {
            Ok(results) => {
                // A transaction of refused units wrote nothing, and proves nothing.
                if results.iter().any(Result::is_ok) {
                    self.pulse.good(self.statements.get());
                }
                for (pending, result) in batch.into_iter().zip(results) {
                    answer(pending, result);
                }
            }
            Err(Failure::Full) => {
                self.pulse.bad(&Error::Full("the database"));
                for pending in batch {
                    answer(pending, Err(Error::Full("the database")));
                }
            }
            Err(Failure::Fatal(error)) => {
                self.dead = true;
                self.pulse.closed();
                (self.on_fatal)(&error);
                self.inbox.0.close();
                for pending in batch {
                    answer(pending, Err(Error::Closed));
                }
            }
        }
        count
    }

    fn transact(&mut self, batch: &[Pending]) -> Result<Vec<Result<UnitResult>>, Failure> {
        let outcome = self.attempt(batch);
        if outcome.is_err() && !self.connection.is_autocommit() {
            // The failure itself is what is reported; a rollback that fails as well adds nothing to it.
            if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::warn!(%error, "rollback failed");
            }
        }
        outcome
    }

    fn attempt(&mut self, batch: &[Pending]) -> Result<Vec<Result<UnitResult>>, Failure> {
        if let Some(pages) = &self.pages_max {
            let pages = pages.load(Ordering::Relaxed);
            self.connection.pragma_update(None, "max_page_count", pages).map_err(failure)?;
        }
        self.statements.set(0);
        self.plain("BEGIN IMMEDIATE")?;
        let mut results = Vec::with_capacity(batch.len());
        let mut counts = BTreeMap::new();
        for pending in batch {
            let result = self.savepoint(&pending.unit)?;
            if let Ok(done) = &result {
                add(&mut counts, &pending.unit.tallies, done);
            }
            results.push(result);
        }
        for ((workspace, counter), by) in counts {
            self.prepared(crate::stats::COUNT)
                .and_then(|mut statement| statement.execute((workspace, counter, by)))
                .map_err(failure)?;
        }
        self.commits += 1;
        let cut = self.cuts.as_ref().and_then(|cuts| cuts(self.commits));
        if cut == Some(Cut::Before) {
            return Err(Failure::Fatal(Error::Closed));
        }
        self.plain("COMMIT")?;
        if cut == Some(Cut::After) {
            return Err(Failure::Fatal(Error::Closed));
        }
        Ok(results)
    }

    /// Runs one unit inside the transaction. The outer error ends the transaction, the inner one only the unit.
    fn savepoint(&self, unit: &Unit) -> Result<Result<UnitResult>, Failure> {
        self.plain("SAVEPOINT unit")?;
        let result = self.statements(unit)?;
        if result.is_err() {
            self.plain("ROLLBACK TO unit")?;
        }
        self.plain("RELEASE unit")?;
        Ok(result)
    }

    fn statements(&self, unit: &Unit) -> Result<Result<UnitResult>, Failure> {
        let mut rows = Vec::with_capacity(unit.statements.len());
        let mut returned = Vec::new();
        for statement in &unit.statements {
            match self.statement(statement) {
                Ok((touched, found)) => {
                    if !statement.expect.met(touched) {
                        return Ok(Err(Error::Conflict { what: first_words(statement.sql) }));
                    }
                    rows.push(touched);
                    returned.extend(found);
                }
                Err(error) if is_unique_violation(&error) => {
                    return Ok(Err(Error::Conflict { what: first_words(statement.sql) }));
                }
                Err(error) if is_of_the_statement(&error) => {
                    tracing::error!(%error, sql = statement.sql, "statement refused");
                    return Ok(Err(Error::Statement(error.to_string())));
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(Ok(UnitResult { rows, returned }))
    }

    /// The rows that a statement touched, and those that it answers.
    fn statement(&self, statement: &Statement) -> rusqlite::Result<(u64, Vec<Row>)> {
        let mut prepared = self.prepared(statement.sql)?;
        if prepared.column_count() == 0 {
            let touched = prepared.execute(rusqlite::params_from_iter(&statement.params))?;
            return Ok((touched as u64, Vec::new()));
        }
        let columns = prepared.column_names().map(Into::into).collect();
        let rows = database::fetched(&mut prepared, &columns, &statement.params)?;
        Ok((rows.len() as u64, rows))
    }

    fn plain(&self, sql: &str) -> Result<(), Failure> {
        self.prepared(sql).and_then(|mut statement| statement.execute(())).map(|_| ()).map_err(failure)
    }

    /// A statement that is about to run, and is counted.
    fn prepared(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.statements.update(|count| count + 1);
        self.connection.prepare_cached(sql)
    }
}

/// A caller that has gone away does not need its answer.
pub(crate) fn answer(pending: Pending, result: Result<UnitResult>) {
    pending.answer.send(result).ok();
}

pub(crate) fn add(
    counts: &mut BTreeMap<(Arc<str>, &'static str), i64>,
    tallies: &[Tally],
    done: &UnitResult,
) {
    for tally in tallies {
        let rows = |index: usize| done.rows.get(index).copied().unwrap_or_default().cast_signed();
        let by = match tally.by {
            By::Fixed(by) => by,
            By::Rows(index) => rows(index),
            By::Missed(index) => i64::from(rows(index) == 0),
        };
        if by != 0 {
            *counts.entry((tally.workspace.clone(), tally.counter)).or_default() += by;
        }
    }
}

fn failure(error: rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full,
        _ => Failure::Fatal(Error::Database(error)),
    }
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|inner| inner.extended_code),
        Some(
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID
        )
    )
}

/// Whether the statement itself is at fault (a type, a check, its text), not the database under it.
fn is_of_the_statement(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::Unknown
                | ErrorCode::ParameterOutOfRange
        ),
        None => true,
    }
}

/// `INSERT INTO runs …` → `INSERT INTO runs`: enough to tell in a message what was not as expected.
pub(crate) fn first_words(sql: &'static str) -> &'static str {
    let end = sql.match_indices([' ', '\n']).nth(2).map_or(sql.len(), |(at, _)| at);
    sql[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: &str = "INSERT INTO pile (bytes) VALUES (zeroblob(20000))";

    #[test]
    fn a_full_disk_is_told_and_survived() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Arc::new(Lock::take(directory.path()).unwrap());
        let connection = database::open_writer(&directory.path().join("full.db")).unwrap();
        connection.execute_batch("CREATE TABLE pile (bytes BLOB)").unwrap();
        connection.pragma_update(None, "max_page_count", 8).unwrap();
        let (queue, inbox) = queue();
        let on_fatal: OnFatal = Arc::new(|error| panic!("{error}"));
        let mut committer = Sqlite::new(connection, inbox, on_fatal, None, Arc::default(), lock);
        let mut commit = |sqls: &[&'static str]| -> Vec<Result<UnitResult>> {
            let mut answers = Vec::new();
            for sql in sqls {
                let (answer, ticket) = oneshot::channel();
                queue
                    .sender
                    .try_send(Pending { unit: Unit::new().then(sql, Vec::new()), answer })
                    .ok()
                    .unwrap();
                answers.push(ticket);
            }
            committer.step();
            answers.into_iter().map(|mut ticket| ticket.try_recv().unwrap()).collect()
        };
        let full = commit(&["DELETE FROM pile", FILL, FILL, FILL]);
        assert!(full.iter().all(|result| matches!(result, Err(Error::Full(_)))), "{full:?}");
        let after = commit(&[FILL]);
        assert!(after[0].is_ok(), "{after:?}");
    }
}
