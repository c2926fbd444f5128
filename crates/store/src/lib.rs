//! All that is durable: inbox, queue, lanes, journal, timers, sealed secrets, history. Every line of SQL stands here.
//!
//! **What it is.** A [`Store`] over one data directory: an embedded SQLite database, a history file per month, the
//! master key and the lock that makes one process its owner. Reads are statements with their values; on SQLite they
//! are answered where they are asked, on read-only connections. Writes are [`Unit`]s, statements with the row counts
//! they must have; the one [`Committer`] puts whatever is pending into one transaction and answers once that is on
//! the disk.
//!
//! **What it is not.** It knows no vendor and no HTTP, has no clock, no randomness and no thread of its own: the
//! wiring places [`Committer::run`] on a thread that it names, a simulation calls [`Committer::step`].
//!
//! **Where to start.** `schema/` for what is kept, [`runs`] for the states of a run, [`dispatch`] for how an event
//! becomes runs, [`committer`] for how writes become durable.

mod ahead;
pub mod approvals;
pub mod backup;
pub mod budgets;
pub mod committer;
pub mod connections;
mod database;
mod directory;
pub mod dispatch;
mod error;
pub mod event;
pub mod flows;
mod follow;
pub mod grants;
pub mod health;
mod history;
mod inbox;
mod keys;
pub mod listening;
pub mod lives;
pub mod manifests;
pub mod notices;
mod page;
mod payload;
pub mod polls;
pub mod postgres;
mod row;
pub mod runs;
pub mod schedules;
mod schema;
mod seal;
pub mod stats;
mod unit;
pub mod waits;
pub mod windows;

use row::{Query, Row};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use budgets::Budget;
pub use committer::{Committer, Cut, Cuts};
pub use connections::{Along, Connection, ConnectionInfo, Hook, NewConnection};
pub use error::Error;
pub use event::{
    Accepted, Event, EventOutcome, EventQuery, EventStatus, EventSummary, FlowOutcome, NewEvent,
    NewQuarantine,
};
pub use flow::{Mode, OnFailure};
pub use flows::{Change, Deployed, Flow, NewFlow};
pub use follow::{AtOnce, Follow, Sure};
pub use grants::{Grant, NewGrant, Turn};
pub use health::Health;
pub use history::{DEDUPE_LIFE, FACT_LIFE};
pub use listening::{Answers, LookBack};
pub use lives::{Lives, life_key};
pub use page::{Listed, MAX_PAGE, Page};
pub use polls::Poll;
pub use runs::{
    ClaimedRun, Dispatch, Dispatching, Ended, NewRun, Parked, Progress, Run, RunQuery, RunStatus,
};
pub use schedules::{Firing, Scheduled};
pub use seal::{MasterKey, Secrets};
pub use stats::Stats;
pub use unit::{Expect, Kind, Param, Statement, Unit, UnitResult};
pub use waits::{Signal, Told, Wait, place_of};
pub use windows::Window;

/// What the store's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Called when a commit failed so that nobody knows what is on the disk: production ends the process at once, since
/// going on could acknowledge what is lost.
pub type OnFatal = Arc<dyn Fn(&Error) + Send + Sync>;

/// How to open a store.
pub struct Options {
    /// The data directory; made if it is missing, readable by its owner only.
    pub path: PathBuf,
    /// What the credentials are sealed with.
    pub key: MasterKey,
    /// Idle read-only connections kept open.
    pub readers: usize,
    pub on_fatal: OnFatal,
    /// Ends the committer at chosen commits, for tests and simulation.
    pub cuts: Option<Cuts>,
    /// Pages of the main database at most, looked at before every transaction: beyond them it is full, as on a full
    /// disk. For tests and simulation; SQLite only.
    pub pages_max: Option<Arc<AtomicU32>>,
}

impl Options {
    /// The usual options; a failed commit is logged and stops the committer.
    pub fn new(path: impl Into<PathBuf>, key: MasterKey) -> Self {
        Self {
            path: path.into(),
            key,
            readers: 4,
            on_fatal: Arc::new(|error| tracing::error!(%error, "the store stops")),
            cuts: None,
            pages_max: None,
        }
    }
}

/// Everything durable of a node. Clones share one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    queue: committer::Queue,
}

struct Inner {
    directory: PathBuf,
    pulse: Arc<health::Pulse>,
    backend: Backend,
    committer: Mutex<Option<Committer>>,
    followers: Mutex<Vec<Weak<dyn Follow>>>,
    keys: keys::Keys,
    /// Held as long as anything of the store is in use.
    _lock: Arc<directory::Lock>,
}

/// The database underneath.
enum Backend {
    Sqlite(Sqlite),
    Postgres(postgres::Postgres),
}

/// The embedded database.
struct Sqlite {
    readers: database::Readers,
    history: history::Files,
    /// Held while something moves between the hot tables and history.
    moving: tokio::sync::Mutex<()>,
}

impl Store {
    /// Takes the data directory's lock, opens the embedded database there and brings its schema up to date.
    pub fn open(options: Options) -> Result<Self> {
        let lock = Arc::new(directory::Lock::take(&options.path)?);
        let path = options.path.join(database::FILE);
        let mut connection = database::open_writer(&path)?;
        schema::migrate(&mut connection, schema::MAIN)?;
        directory::sync(&options.path)?;
        let noted = seal::noted(&connection, &options.key)?;
        let keys = keys::Keys::load(&options.path, options.key)?;
        keys.settle(&noted)?;
        let (queue, pending) = committer::queue();
        let pulse = Arc::new(health::Pulse::default());
        let committer = committer::Sqlite::new(
            connection,
            pending,
            options.on_fatal,
            options.cuts,
            pulse.clone(),
            lock.clone(),
        )
        .bounded(options.pages_max);
        let backend = Backend::Sqlite(Sqlite {
            readers: database::Readers::new(path, options.readers),
            history: history::Files::new(options.path.clone())?,
            moving: tokio::sync::Mutex::new(()),
        });
        let committer = Committer(committer::Underneath::Sqlite(committer));
        Ok(Self::put_together(options.path, backend, queue, committer, keys, pulse, lock))
    }

    /// Takes the directory's lock, connects to PostgreSQL and brings its schema up to date. To be called on the runtime
    /// that stays: its connections live there.
    pub async fn connect(options: postgres::Options) -> Result<Self> {
        let lock = Arc::new(directory::Lock::take(&options.path)?);
        let keys = keys::Keys::load(&options.path, options.key.clone())?;
        let postgres = postgres::Postgres::open(&options, &keys).await?;
        let (queue, pending) = committer::queue();
        let path = options.path.clone();
        let pulse = Arc::new(health::Pulse::default());
        let committer = postgres.committer(options, pending, pulse.clone(), lock.clone());
        Ok(Self::put_together(path, Backend::Postgres(postgres), queue, committer, keys, pulse, lock))
    }

    fn put_together(
        directory: PathBuf,
        backend: Backend,
        queue: committer::Queue,
        committer: Committer,
        keys: keys::Keys,
        pulse: Arc<health::Pulse>,
        lock: Arc<directory::Lock>,
    ) -> Self {
        let committer = Mutex::new(Some(committer));
        let followers = Mutex::default();
        let inner = Inner { directory, pulse, backend, committer, followers, keys, _lock: lock };
        Self { inner: Arc::new(inner), queue }
    }

    /// The one committer of this store, to be placed on a thread. Without it nothing is ever written.
    pub fn committer(&self) -> Result<Committer> {
        let mut slot = self.inner.committer.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
            .ok_or_else(|| Error::Refused("the store has one committer, which was taken already".into()))
    }

    /// Commits a unit; the answer comes once it is durable.
    pub async fn commit(&self, unit: Unit) -> Result<UnitResult> {
        let changes = unit.tallies.iter().any(|tally| tally.counter == stats::counter::GENERATION);
        let result = self.queue.send(unit).await?.wait().await;
        if let (true, Backend::Postgres(postgres)) = (changes, &self.inner.backend) {
            postgres.changed();
        }
        result
    }

    /// Commits units, in their order and as a rule in one transaction; each succeeds or fails by itself.
    pub async fn commit_all(&self, units: Vec<Unit>) -> Vec<Result<UnitResult>> {
        let mut tickets = Vec::with_capacity(units.len());
        for unit in units {
            tickets.push(self.queue.send(unit).await);
        }
        let mut results = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            results.push(match ticket {
                Ok(ticket) => ticket.wait().await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Answers queries in one go: on SQLite from one snapshot, where they are asked.
    pub(crate) async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.readers.read(queries),
            Backend::Postgres(postgres) => postgres.read(queries).await,
        }
    }

    /// Every row that a query finds.
    pub(crate) async fn rows(&self, sql: &'static str, params: Vec<Param>) -> Result<Vec<Row>> {
        Ok(self.read(&[Query::new(sql, params)]).await?.pop().unwrap_or_default())
    }

    /// The first row that a query finds.
    pub(crate) async fn first(&self, sql: &'static str, params: Vec<Param>) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }
}
