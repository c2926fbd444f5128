//! PostgreSQL underneath: any number of equal nodes on one database of their own.
//!
//! Reads go over a small fixed set of sessions that everybody shares, pipelined; writes over the one session of the
//! node's [`Committer`]; the events that wait for dispatch over a session that holds the dispatcher's lock, so that one
//! node at a time dispatches and the order of acceptance holds. None of the exclusion is needed for safety: every
//! write says itself what it expects.

mod committer;
pub(crate) mod history;
mod schema;
mod server;
mod session;
mod text;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) use committer::Committer;
pub use committer::{Failpoints, Point};
use server::{Purpose, Server};
use session::{Session, pipelined};
pub use text::LeaseClock;

use crate::committer::Underneath;
use crate::keys::Keys;
use crate::row::{Query, Row};
use crate::{Cuts, Error, MasterKey, OnFatal, Result, directory};

/// Sessions that read. Each is pipelined, so that more of them only help while one answers something long.
const READERS: usize = 3;
/// A read whose session turns out to be lost is asked once more.
const READS: usize = 2;
/// How long a change that another node made may stay unseen.
const GENERATION_LIFE: Duration = Duration::from_millis(200);
const PRESENT: &str = "SELECT true AS present";
/// Whoever has it dispatches and keeps house.
const DUTY: &str = "SELECT pg_try_advisory_lock(7717003) AS mine";

/// How to open a store on PostgreSQL.
pub struct Options {
    /// `postgres://user:password@host:port/database`; `sslmode=require` for TLS, `sslrootcert=FILE` for an authority
    /// of one's own.
    pub url: String,
    /// This node's name: no other node of the database has it.
    pub node: String,
    /// The node's own directory, which one process owns.
    pub path: PathBuf,
    /// What the credentials are sealed with: the same on every node.
    pub key: MasterKey,
    pub on_fatal: OnFatal,
    /// Ends the committer at chosen commits, for tests.
    pub cuts: Option<Cuts>,
    /// Stops transactions between statements, for tests.
    pub failpoints: Option<Failpoints>,
    /// Who times leases.
    pub clock: LeaseClock,
}

impl Options {
    /// The usual options.
    pub fn new(
        url: impl Into<String>,
        node: impl Into<String>,
        path: impl Into<PathBuf>,
        key: MasterKey,
    ) -> Self {
        Self {
            url: url.into(),
            node: node.into(),
            path: path.into(),
            key,
            on_fatal: Arc::new(|error| tracing::error!(%error, "the store stops")),
            cuts: None,
            failpoints: None,
            clock: LeaseClock::Database,
        }
    }
}

/// A node's sessions.
pub(crate) struct Postgres {
    server: Arc<Server>,
    hot: [Slot; READERS],
    old: Slot,
    duty: Slot,
    turn: AtomicUsize,
    generation: Mutex<Option<(Instant, u64)>>,
    /// Raised whenever this node changes flows or connections.
    changes: AtomicU64,
}

/// A place for a session, which is begun again when it is lost.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<Held>>);

#[derive(Clone)]
struct Held {
    session: Arc<Session>,
    /// Whether it holds the dispatcher's lock.
    duty: bool,
}

impl Postgres {
    /// Connects, brings the schema up to date, checks the key.
    pub async fn open(options: &Options, keys: &Keys) -> Result<Self> {
        let server = Arc::new(Server::new(&options.url, &options.node, options.clock)?);
        let session = server.connect(Purpose::Hot).await?;
        server.check(&session).await?;
        schema::migrate(&server, &session, &schema::steps()).await?;
        keys.settle(&schema::noted_key(&server, &session, &options.key.fingerprint()).await?)?;
        Ok(Self {
            server,
            hot: Default::default(),
            old: Slot::default(),
            duty: Slot::default(),
            turn: AtomicUsize::new(0),
            generation: Mutex::new(None),
            changes: AtomicU64::new(0),
        })
    }

    /// The committer of this node.
    pub fn committer(
        &self,
        options: Options,
        inbox: crate::committer::Inbox,
        pulse: Arc<crate::health::Pulse>,
        lock: Arc<directory::Lock>,
    ) -> crate::Committer {
        crate::Committer(Underneath::Postgres(Box::new(Committer {
            server: self.server.clone(),
            session: None,
            inbox,
            pulse,
            node: options.node.into(),
            on_fatal: options.on_fatal,
            cuts: options.cuts,
            failpoints: options.failpoints,
            runtime: tokio::runtime::Handle::current(),
            commits: 0,
            statements: 0,
            dead: false,
            sent: false,
            _lock: lock,
        })))
    }

    /// Answers queries from the hot tables, all of them sent at once; each sees what was committed when it is answered.
    pub async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.ask(&self.hot[turn % READERS], Purpose::Hot, queries).await
    }

    pub async fn read_history(&self, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        self.ask(&self.old, Purpose::History, queries).await
    }

    async fn ask(&self, slot: &Slot, purpose: Purpose, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        let mut last = Error::Closed;
        for _ in 0..READS {
            let session = slot.get(&self.server, purpose).await?.session;
            match answers(&session, queries).await {
                Ok(rows) => return Ok(rows),
                Err(error) => {
                    last = self.server.refused(&error);
                    if !session.client.is_closed() {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Whether this node is the one that dispatches and keeps house; it becomes that if nobody is.
    pub async fn is_on_duty(&self) -> Result<bool> {
        Ok(!self.on_duty(Query::new(PRESENT, Vec::new())).await?.is_empty())
    }

    /// Gives the duty up, with the session that has it.
    pub async fn leave_duty(&self) {
        *self.duty.0.lock().await = None;
    }

    /// Answers a query if this node is the one on duty; it becomes that if nobody is.
    pub async fn on_duty(&self, query: Query) -> Result<Vec<Row>> {
        let refused = |error| self.server.refused(&error);
        let held = self.duty.get(&self.server, Purpose::Hot).await?;
        if !held.duty {
            let asked = answers(&held.session, &[Query::new(DUTY, Vec::new())]).await.map_err(refused)?;
            let mine =
                asked.first().and_then(|rows| rows.first()).map_or(Ok(false), |row| row.get("mine"))?;
            if !mine {
                return Ok(Vec::new());
            }
            tracing::info!("this node dispatches");
            self.duty.hold_duty(&held.session).await;
        }
        // Over the session that has the lock: if it is lost, so is the answer.
        let rows = answers(&held.session, &[query]).await.map_err(refused)?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// The generation as it was read a moment ago, and not before this node's last change.
    pub async fn generation(&self, query: Query) -> Result<u64> {
        let kept = *self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, generation)) = kept
            && at.elapsed() < GENERATION_LIFE
        {
            return Ok(generation);
        }
        let (at, changes) = (Instant::now(), self.changes.load(Ordering::SeqCst));
        let rows = self.read(&[query]).await?;
        let generation = rows.first().and_then(|rows| rows.first()).map_or(Ok(0), |row| row.get("value"))?;
        let mut kept = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if self.changes.load(Ordering::SeqCst) == changes {
            *kept = Some((at, generation));
        }
        Ok(generation)
    }

    /// This node changed flows or connections.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn session(&self, purpose: Purpose) -> Result<Arc<Session>> {
        let slot = match purpose {
            Purpose::Hot => &self.hot[0],
            Purpose::History => &self.old,
        };
        Ok(slot.get(&self.server, purpose).await?.session)
    }
}

impl Slot {
    async fn get(&self, server: &Server, purpose: Purpose) -> Result<Held> {
        let mut slot = self.0.lock().await;
        if let Some(held) = slot.as_ref().filter(|held| !held.session.client.is_closed()) {
            return Ok(held.clone());
        }
        *slot = None;
        let held = Held { session: Arc::new(server.connect(purpose).await?), duty: false };
        *slot = Some(held.clone());
        Ok(held)
    }

    async fn hold_duty(&self, session: &Arc<Session>) {
        if let Some(held) = self.0.lock().await.as_mut().filter(|held| Arc::ptr_eq(&held.session, session)) {
            held.duty = true;
        }
    }
}

async fn answers(session: &Session, queries: &[Query]) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    session.renew_plans().await?;
    let mut ready = Vec::with_capacity(queries.len());
    for query in queries {
        ready.push(session.prepared(query.sql, &query.params).await?);
    }
    let sent = queries.iter().zip(&ready).map(|(query, prepared)| session.run(prepared, &query.params));
    pipelined(sent).await.into_iter().map(|done| Ok(done?.rows)).collect()
}
