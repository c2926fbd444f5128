//! The write path on PostgreSQL: one committer per node drains whatever is pending into one transaction.
//!
//! First all of it is sent at once, in the hope that every expectation is met: one round trip for the statements, one
//! for the commit. If the hope was wrong, the transaction is done again with a savepoint around each unit.
//!
//! | what happens | what the units are told |
//! |---|---|
//! | an expectation unmet, a uniqueness violated | that unit `Conflict`; the others are committed |
//! | a statement refused, or the name of a lock | that unit `Statement`; the others are committed |
//! | a deadlock, a serialization failure | nothing: the transaction is done again, some times |
//! | the disk is full | all of them `Full` |
//! | the connection is lost before the commit was sent | all of them `Unavailable`: nothing is durable |
//! | the connection is lost after it | all of them `Unsettled`: nobody knows |
//!
//! Locks that units ask for are taken first, all in one order, so that nodes never wait for each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;

use super::server::{Purpose, Server};
use super::session::{Done, Failure, Prepared, Session, pipelined};
use crate::committer::{Cut, Cuts, Inbox, Pending, add, answer, first_words};
use crate::health::Pulse;
use crate::unit::{Lock, Param, Statement, values};
use crate::{Error, OnFatal, Result, Unit, UnitResult};

/// Units put into one transaction: bounds its locks and how long the first of them waits for the last.
const MAX_BATCH: usize = 256;
/// How often a transaction is done again that collided with another node's.
const MAX_TRIES: u32 = 8;
/// The statements that begin and end a transaction.
const BRACKETS: usize = 2;
/// A transaction that is not over by then is given up with its connection.
const PATIENCE: Duration = Duration::from_secs(90);

const COUNT: &str = "INSERT INTO counters (workspace, name, node, value) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (workspace, name, node) DO UPDATE SET value = counters.value + excluded.value";
/// $1 and $2: names, and whether each is locked alone; $3 and $4: runs whose lanes are. Taken in the order of the keys.
const LOCK: &str = "SELECT count(CASE WHEN alone THEN pg_advisory_xact_lock(key)::text \
    ELSE pg_advisory_xact_lock_shared(key)::text END) FROM (SELECT key, bool_or(alone) AS alone FROM ( \
    SELECT hashtextextended(asked.name, 0) AS key, asked.alone FROM unnest($1::text[], $2::bool[]) AS asked(name, alone) \
    UNION ALL SELECT hashtextextended(concat_ws(chr(31), 'lane', r.workspace, r.flow, r.lane), 0), true \
    FROM unnest($3::text[], $4::text[]) AS asked(workspace, run) \
    JOIN runs AS r ON r.workspace = asked.workspace AND r.id = asked.run WHERE r.keyed = 1 \
    UNION ALL SELECT hashtextextended(concat_ws(chr(31), 'flow', r.workspace, r.flow), 0), false \
    FROM unnest($3::text[], $4::text[]) AS asked(workspace, run) \
    JOIN runs AS r ON r.workspace = asked.workspace AND r.id = asked.run) AS wanted GROUP BY key ORDER BY key) AS keys";

/// A moment in a transaction, before a statement is sent.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The unit's place in its transaction.
    pub unit: usize,
    /// The statement's place in its unit.
    pub statement: usize,
    /// The statement; `COMMIT` before the end.
    pub sql: &'static str,
}

/// Waited for at every point, for tests: what another node does between two statements is then no matter of luck.
pub type Failpoints = Arc<dyn Fn(Point) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub(crate) struct Committer {
    pub(super) server: Arc<Server>,
    pub(super) session: Option<Session>,
    pub(crate) inbox: Inbox,
    pub(super) pulse: Arc<Pulse>,
    pub(super) node: Arc<str>,
    pub(super) on_fatal: OnFatal,
    pub(super) cuts: Option<Cuts>,
    pub(super) failpoints: Option<Failpoints>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(crate) commits: u64,
    /// Statements of the present transaction.
    pub(super) statements: usize,
    pub(super) dead: bool,
    /// Whether the commit of the present transaction was sent.
    pub(super) sent: bool,
    pub(super) _lock: Arc<crate::directory::Lock>,
}

/// Why a transaction did not come to its end.
enum Broken {
    /// An expectation was not met while all was sent at once.
    Unmet,
    /// The locks that were asked for are refused by themselves: a name that is no text there.
    Locks(Failure),
    /// It collided with another node's.
    Again(Failure),
    /// The database refused, for now.
    Refused(Error),
    Lost(Failure),
    Cut,
}

impl Committer {
    /// Commits until every store is dropped.
    pub fn run(mut self) {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            while let Some(first) = self.inbox.0.recv().await {
                self.commit_with(first).await;
                if self.dead {
                    return;
                }
            }
        });
    }

    /// Commits all that is pending; returns how many units that were.
    pub fn step(&mut self) -> usize {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            let mut done = 0;
            while !self.dead {
                let Ok(first) = self.inbox.0.try_recv() else { break };
                done += self.commit_with(first).await;
            }
            done
        })
    }

    async fn commit_with(&mut self, first: Pending) -> usize {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH {
            let Ok(next) = self.inbox.0.try_recv() else { break };
            batch.push(next);
        }
        let count = batch.len();
        let results = match tokio::time::timeout(PATIENCE, self.transact(&batch)).await {
            Ok(results) => results,
            Err(_) => {
                self.session = None;
                let lost = || match self.sent {
                    true => Error::Unsettled,
                    false => Error::Unavailable(format!("{}: no answer", self.server.place)),
                };
                batch.iter().map(|_| Err(lost())).collect()
            }
        };
        self.tell(&results);
        if self.dead {
            (self.on_fatal)(&Error::Closed);
            self.inbox.0.close();
        }
        for (pending, result) in batch.into_iter().zip(results) {
            answer(pending, result);
        }
        count
    }

    /// Whether writing works, by what came of a transaction. One of refused units proves nothing.
    fn tell(&self, results: &[Result<UnitResult>]) {
        let sick = |error: &&Error| error.passes() || matches!(error, Error::Unsettled);
        if self.dead {
            self.pulse.closed();
        } else if results.iter().any(Result::is_ok) {
            self.pulse.good(self.statements);
        } else if let Some(error) = results.iter().filter_map(|result| result.as_ref().err()).find(sick) {
            self.pulse.bad(error);
        }
    }

    async fn transact(&mut self, batch: &[Pending]) -> Vec<Result<UnitResult>> {
        let all = |error: &dyn Fn() -> Error| batch.iter().map(|_| Err(error())).collect();
        let mut careful = self.failpoints.is_some();
        let mut tries = 0;
        // By place in the batch, what is wrong with the locks that a unit asks for.
        let mut unlockable: BTreeMap<usize, String> = BTreeMap::new();
        loop {
            self.sent = false;
            let sound = batch.iter().enumerate().filter(|(place, _)| !unlockable.contains_key(place));
            let (places, units): (Vec<usize>, Vec<&Unit>) =
                sound.map(|(place, pending)| (place, &pending.unit)).unzip();
            let broken = match self.attempt(&units, careful).await {
                Ok(results) if unlockable.is_empty() => return results,
                Ok(results) => {
                    let mut results: BTreeMap<usize, _> = places.into_iter().zip(results).collect();
                    results.extend(unlockable.into_iter().map(|(at, why)| (at, Err(Error::Statement(why)))));
                    return results.into_values().collect();
                }
                Err(broken) => broken,
            };
            match broken {
                Broken::Locks(error) => {
                    self.roll_back().await;
                    let found = self.unlockable(&units).await;
                    if found.is_empty() {
                        let why = error.to_string();
                        return all(&|| Error::Unavailable(why.clone()));
                    }
                    let place = |(at, why)| Some((*places.get::<usize>(at)?, why));
                    unlockable.extend(found.into_iter().filter_map(place));
                }
                Broken::Unmet => {
                    careful = true;
                    self.roll_back().await;
                }
                Broken::Again(error) if tries < MAX_TRIES => {
                    tries += 1;
                    tracing::debug!(%error, tries, "a transaction is done again");
                    self.roll_back().await;
                }
                Broken::Again(error) => {
                    self.roll_back().await;
                    let why = self.server.refused(&error).to_string();
                    return all(&|| Error::Unavailable(why.clone()));
                }
                Broken::Refused(Error::Full(what)) => {
                    self.roll_back().await;
                    return all(&|| Error::Full(what));
                }
                Broken::Refused(Error::Statement(why)) => {
                    self.roll_back().await;
                    return all(&|| Error::Statement(why.clone()));
                }
                Broken::Refused(error) => {
                    self.roll_back().await;
                    let why = error.to_string();
                    return all(&|| Error::Unavailable(why.clone()));
                }
                Broken::Lost(error) => {
                    self.session = None;
                    let why = self.server.refused(&error).to_string();
                    tracing::warn!(
                        error = why,
                        unsettled = self.sent,
                        "the database was lost in a transaction"
                    );
                    if self.sent {
                        return all(&|| Error::Unsettled);
                    }
                    return all(&|| Error::Unavailable(why.clone()));
                }
                Broken::Cut => {
                    self.session = None;
                    self.dead = true;
                    return all(&|| Error::Closed);
                }
            }
        }
    }

    /// Which units ask for locks that the database refuses by themselves, and why.
    async fn unlockable(&mut self, units: &[&Unit]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (place, unit) in units.iter().enumerate().filter(|(_, unit)| !unit.locks.is_empty()) {
            let Some(session) = &self.session else { break };
            let taken = async { Begin::new(session, &[*unit]).await?.send(session).await }.await;
            self.roll_back().await;
            if let Err(Broken::Locks(error)) = taken {
                let why =
                    error.as_db_error().map_or_else(|| error.to_string(), |told| told.message().to_owned());
                found.push((place, why));
            }
        }
        found
    }

    /// Ends what is left of a transaction; a session that cannot do that is of no use.
    async fn roll_back(&mut self) {
        if let Some(session) = &self.session
            && session.client.batch_execute("ROLLBACK").await.is_err()
        {
            self.session = None;
        }
    }

    async fn attempt(&mut self, units: &[&Unit], careful: bool) -> Result<Vec<Result<UnitResult>>, Broken> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.session = None;
            self.session = Some(self.server.connect(Purpose::Hot).await.map_err(Broken::Refused)?);
        }
        let Some(session) = &self.session else { return Err(Broken::Unmet) };
        session.renew_plans().await.map_err(broken)?;
        let results = match careful {
            true => one_by_one(session, units, self.failpoints.as_ref()).await?,
            false => at_once(session, units).await?,
        };
        self.commits += 1;
        let cut = self.cuts.as_ref().and_then(|cuts| cuts(self.commits));
        if cut == Some(Cut::Before) {
            return Err(Broken::Cut);
        }
        if let Some(failpoints) = &self.failpoints {
            failpoints(Point { unit: units.len(), statement: 0, sql: "COMMIT" }).await;
        }
        let mut counts = BTreeMap::new();
        for (unit, result) in units.iter().zip(&results) {
            if let Ok(done) = result {
                add(&mut counts, &unit.tallies, done);
            }
        }
        let mut ready = Vec::with_capacity(counts.len());
        for ((workspace, counter), by) in counts {
            let params = values![&*workspace, counter, &*self.node, by];
            ready.push((session.prepared(COUNT, &params).await.map_err(broken)?, params));
        }
        let asked = units.iter().map(|unit| unit.statements.len()).sum::<usize>();
        let savepoints = if careful { 2 * units.len() } else { 0 };
        self.statements = asked + savepoints + ready.len() + BRACKETS;
        self.sent = true;
        finish(session, &ready).await.map_err(broken)?;
        if cut == Some(Cut::After) {
            return Err(Broken::Cut);
        }
        Ok(results)
    }
}

/// Counts and commits in one go: where counting fails, PostgreSQL makes a rollback of the commit.
async fn finish(session: &Session, counts: &[(Arc<Prepared>, Vec<Param>)]) -> Result<(), Failure> {
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(counts.len() + 1);
    for (prepared, params) in counts {
        steps.push(Box::pin(async { session.run(prepared, params).await.map(|_| ()) }));
    }
    steps.push(Box::pin(session.client.batch_execute("COMMIT")));
    pipelined(steps).await.into_iter().collect()
}

/// Sends everything before the first answer is there.
async fn at_once(session: &Session, units: &[&Unit]) -> Result<Vec<Result<UnitResult>>, Broken> {
    let mut ready = Vec::new();
    for statement in units.iter().flat_map(|unit| &unit.statements) {
        match session.prepared(statement.sql, &statement.params).await {
            Ok(prepared) => ready.push(prepared),
            Err(error) if is_of_the_statement(&error) => return Err(Broken::Unmet),
            Err(error) => return Err(broken(error)),
        }
    }
    let begin = Begin::new(session, units).await?;
    let statements = units.iter().flat_map(|unit| &unit.statements);
    let sent = statements.zip(&ready).map(|(statement, prepared)| session.run(prepared, &statement.params));
    // Both are sent when they are polled first, the beginning before the rest.
    let (begun, answers) = tokio::join!(biased; begin.send(session), pipelined(sent));
    begun?;
    let mut answers = answers.into_iter();
    let mut results = Vec::with_capacity(units.len());
    for unit in units {
        let mut done = UnitResult::default();
        for statement in &unit.statements {
            match answers.next() {
                Some(Ok(answer)) if statement.expect.met(answer.count) => take(&mut done, answer),
                Some(Err(error)) if !is_of_the_statement(&error) => return Err(broken(error)),
                _ => return Err(Broken::Unmet),
            }
        }
        results.push(Ok(done));
    }
    Ok(results)
}

/// Each unit in a savepoint of its own.
async fn one_by_one(
    session: &Session,
    units: &[&Unit],
    failpoints: Option<&Failpoints>,
) -> Result<Vec<Result<UnitResult>>, Broken> {
    Begin::new(session, units).await?.send(session).await?;
    let mut results = Vec::with_capacity(units.len());
    for (index, one) in units.iter().enumerate() {
        session.client.batch_execute("SAVEPOINT unit").await.map_err(broken)?;
        let result = unit(session, index, one, failpoints).await?;
        let end = if result.is_ok() { "RELEASE unit" } else { "ROLLBACK TO unit; RELEASE unit" };
        session.client.batch_execute(end).await.map_err(broken)?;
        results.push(result);
    }
    Ok(results)
}

/// The outer error ends the transaction, the inner one only the unit.
async fn unit(
    session: &Session,
    index: usize,
    unit: &Unit,
    failpoints: Option<&Failpoints>,
) -> Result<Result<UnitResult>, Broken> {
    let mut done = UnitResult::default();
    for (place, statement) in unit.statements.iter().enumerate() {
        if let Some(failpoints) = failpoints {
            failpoints(Point { unit: index, statement: place, sql: statement.sql }).await;
        }
        let conflict = || Err(Error::Conflict { what: first_words(statement.sql) });
        match statement_done(session, statement).await {
            Ok(answer) if statement.expect.met(answer.count) => take(&mut done, answer),
            Ok(_) => return Ok(conflict()),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => return Ok(conflict()),
            Err(error) if is_of_the_statement(&error) => {
                tracing::error!(%error, told = ?error.as_db_error(), sql = statement.sql, "statement refused");
                let told =
                    error.as_db_error().map_or_else(|| error.to_string(), |told| told.message().to_owned());
                return Ok(Err(Error::Statement(told)));
            }
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(Ok(done))
}

async fn statement_done(session: &Session, statement: &Statement) -> Result<Done, Failure> {
    let prepared: Arc<Prepared> = session.prepared(statement.sql, &statement.params).await?;
    session.run(&prepared, &statement.params).await
}

fn take(done: &mut UnitResult, answer: Done) {
    done.rows.push(answer.count);
    done.returned.extend(answer.rows);
}

/// A step of a pipeline of different things.
type Step<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// The beginning of a transaction, with all the locks that its units ask for.
#[derive(Default)]
struct Begin {
    lock: Option<tokio_postgres::Statement>,
    names: Vec<String>,
    alone: Vec<bool>,
    workspaces: Vec<String>,
    runs: Vec<String>,
}

impl Begin {
    async fn new(session: &Session, units: &[&Unit]) -> Result<Self, Broken> {
        let (mut names, mut runs) = (BTreeMap::<String, bool>::new(), BTreeSet::new());
        for lock in units.iter().flat_map(|unit| &unit.locks) {
            match lock {
                Lock::LaneOf { workspace, run } => {
                    runs.insert((workspace.to_string(), run.to_string()));
                }
                named => *names.entry(named.name()).or_default() |= named.is_alone(),
            }
        }
        if names.is_empty() && runs.is_empty() {
            return Ok(Self::default());
        }
        let (names, alone) = names.into_iter().unzip();
        let (workspaces, runs) = runs.into_iter().unzip();
        let lock = Some(session.lock(LOCK).await.map_err(broken)?);
        Ok(Self { lock, names, alone, workspaces, runs })
    }

    async fn send(&self, session: &Session) -> Result<(), Broken> {
        let mut steps: Vec<Step<'_>> = vec![Box::pin(session.client.batch_execute("BEGIN"))];
        if let Some(lock) = &self.lock {
            steps.push(Box::pin(async move {
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&self.names, &self.alone, &self.workspaces, &self.runs];
                session.client.query(lock, &params).await.map(|_| ())
            }));
        }
        let begun = pipelined(steps).await.into_iter().collect::<Result<(), Failure>>();
        begun.map_err(|error| if is_of_the_statement(&error) { Broken::Locks(error) } else { broken(error) })
    }
}

fn broken(error: Failure) -> Broken {
    let Some(told) = error.as_db_error() else { return Broken::Lost(error) };
    let code = told.code();
    let class = code.code().get(..2).unwrap_or_default();
    match code {
        &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::LOCK_NOT_AVAILABLE => Broken::Again(error),
        &SqlState::DISK_FULL => Broken::Refused(Error::Full("the database")),
        _ if is_of_the_values(&error) => Broken::Refused(Error::Statement(told.message().to_owned())),
        // The server goes down, or throws the session out.
        _ if class == "57" || class == "08" => Broken::Lost(error),
        // 25006: read-only, since another server took over.
        _ => Broken::Refused(Error::Unavailable(format!("{} ({})", told.message(), code.code()))),
    }
}

/// Whether the values that were given are at fault: they are no text there (22), or too much for an index (54).
pub(super) fn is_of_the_values(error: &Failure) -> bool {
    matches!(error.code().and_then(|code| code.code().get(..2)), Some("22" | "54"))
}

/// Whether the statement itself is at fault, not the database under it: data that does not fit, an integrity rule, its
/// text, or a transaction that an earlier one of those has spoilt.
fn is_of_the_statement(error: &Failure) -> bool {
    let class = error.code().and_then(|code| code.code().get(..2));
    let own =
        error.as_db_error().is_none() && !error.is_closed() && error.to_string().contains("serializing");
    own || is_of_the_values(error)
        || matches!(class, Some("21" | "23" | "42" | "0A"))
        || error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

impl Lock {
    /// The name that it is taken by; the same text as in [`LOCK`].
    fn name(&self) -> String {
        match self {
            Self::Lane { workspace, flow, lane } => format!("lane\u{1f}{workspace}\u{1f}{flow}\u{1f}{lane}"),
            Self::FlowShared { workspace, flow } | Self::Flow { workspace, flow } => {
                format!("flow\u{1f}{workspace}\u{1f}{flow}")
            }
            Self::Listen { workspace, r#type } | Self::Hear { workspace, r#type } => {
                format!("listen\u{1f}{workspace}\u{1f}{type}")
            }
            Self::LaneOf { .. } => String::new(),
            Self::Moving => "moving".to_owned(),
        }
    }

    fn is_alone(&self) -> bool {
        !matches!(self, Self::FlowShared { .. } | Self::Hear { .. })
    }
}
