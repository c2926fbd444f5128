//! A flow tried on the spot: one run of it, by a whole engine on a store that is thrown away afterwards.
//!
//! [`Trial::simulated`] lets time go by as the run waits, on one thread: what `flow test` and `flow run` with twins do.
//! For a run on real accounts, in real time, the wiring drives [`Trial::begin`] itself. What may be called, and what
//! stands for its answer, decides a [`engine::Rehearsal`]: the answers of a test ([`answers`]), or [`dry`] for writes
//! that are shown and not sent.

pub mod answers;
mod difference;
pub mod dry;
pub mod judge;
pub mod later;
pub mod report;
pub mod suite;
pub mod twins;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect::{Catalog, Transport};
use engine::{Alert, AlertSink, Engine, Rehearsal, Scripts, Timer};
use flow::chance::Rng;
use flow::clock::Clock;
use flow::{Document, RunId, WorkspaceId};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Committer, MasterKey, NewConnection, NewFlow, NewRun, OnFailure, Options, RunStatus, Store};
use tokio::sync::watch;

use crate::Broken;
use crate::idle::Idle;
pub use crate::time::Time;
use later::{Happens, Later};
pub use report::Report;

/// A run that waits for longer than this is told as waiting.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Sleeps that end, in simulated time, before a run is told as waiting.
const TURNS_MAX: usize = 200_000;
/// Longer than any trial: nothing is polled for, and no lease ends.
const NEVER: SignedDuration = SignedDuration::from_hours(800 * 24);

/// What a flow is tried with.
pub struct Trial {
    pub catalog: Arc<Catalog>,
    pub document: Arc<Document>,
    /// Setting → value, complete.
    pub settings: Value,
    /// What the run begins with: an event as flows see it, or anything.
    pub input: Value,
    /// Accounts, by the names that the document gives them.
    pub connections: Vec<NewConnection>,
    pub transport: Arc<dyn Transport>,
    pub rehearsal: Option<Arc<dyn Rehearsal>>,
    pub scripts: Arc<dyn Scripts>,
    pub clock: Arc<dyn Clock>,
    pub timer: Arc<dyn Timer>,
    pub chance: Chance,
    pub config: engine::Config,
    /// What happens while the run waits, in order; only in simulated time.
    pub later: Vec<Later>,
}

/// One source of chance for all that a trial draws.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<Box<dyn Rng>>>);

impl Chance {
    pub fn new(rng: Box<dyn Rng>) -> Chance {
        Chance(Arc::new(Mutex::new(rng)))
    }

    /// The same for each trial.
    pub fn seeded() -> Chance {
        Chance::new(Box::new(crate::chance::Chance::new(1, crate::chance::Stream::Nodes)))
    }
}

impl Rng for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

/// A run's failure is told in its report.
struct Unheard;

impl AlertSink for Unheard {
    fn deliver<'a>(&'a self, _: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// A trial that has begun.
pub struct Begun {
    pub store: Store,
    pub run: RunId,
    pub engine: Engine,
}

/// The settings of an engine in simulated time: a wait is over at once, however long.
pub fn patient() -> engine::Config {
    let never = NEVER.unsigned_abs();
    engine::Config {
        node: "trial".to_owned(),
        lease: NEVER,
        poll_interval: never,
        wait_in_place_max: NEVER,
        stop_grace: Duration::ZERO,
        ..engine::Config::default()
    }
}

impl Trial {
    /// The store of a trial, in an empty directory.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn store(&self, data: &Path) -> Result<Store, Broken> {
        let mut key = [0; 32];
        self.chance.clone().fill(&mut key);
        Store::open(Options::new(data, MasterKey::from_bytes(key))).map_err(Broken::of)
    }

    /// Connects the accounts, deploys the flow and starts the run; somebody commits meanwhile.
    ///
    /// # Errors
    /// When the store takes nothing.
    pub async fn begin(self, store: Store) -> Result<Begun, Broken> {
        let (workspace, now, mut chance) = (WorkspaceId::default(), self.clock.now(), self.chance.clone());
        for connection in self.connections {
            store.put_connection(&workspace, connection, &mut chance, now).await.map_err(Broken::of)?;
        }
        let flow = NewFlow {
            name: self.document.name().to_owned(),
            version: self.document.version().to_owned(),
            text: self.document.text().to_owned(),
            settings: self.settings,
            connections: self.document.connections().into_iter().map(|name| (name.clone(), name)).collect(),
        };
        let name = flow.name.clone();
        let deployed = store.deploy_flow(&workspace, flow, now).await.map_err(Broken::of)?;
        let run = RunId::random(&mut chance);
        let new = NewRun {
            id: run.clone(),
            flow: name,
            revision: deployed.revision,
            lane: None,
            on_failure: OnFailure::Continue,
            input: self.input,
        };
        store.start_run(&workspace, new, now).await.map_err(Broken::of)?;
        let engine = Engine::new(engine::Deps {
            store: store.clone(),
            catalog: self.catalog,
            transport: self.transport,
            clock: self.clock,
            timer: self.timer,
            rng: Box::new(chance),
            alerts: Arc::new(Unheard),
            scripts: self.scripts,
            rehearsal: self.rehearsal,
            config: self.config,
        });
        Ok(Begun { store, run, engine })
    }

    /// Lives through the run in simulated time. `time` is the clock and the timer that the trial has.
    ///
    /// # Errors
    /// When the trial itself cannot go on.
    pub fn simulated(self, time: &Time) -> Result<Report, Broken> {
        // What a node logs is in the report.
        let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let (runtime, idle) = Idle::runtime().map_err(|error| Broken(format!("no executor: {error}")))?;
        runtime.block_on(self.live(time, idle))
    }

    async fn live(self, time: &Time, idle: Idle) -> Result<Report, Broken> {
        let data = scratch()?;
        let document = self.document.clone();
        let store = self.store(data.path())?;
        let mut committer = store.committer().map_err(Broken::of)?;
        let mut later = VecDeque::from(self.later.clone());
        let begun = settled(&idle, &mut committer, self.begin(store.clone())).await?;
        let Begun { run, engine, .. } = begun?;
        let wake = engine.wake_handle();
        let (_stop, stopping) = watch::channel(false);
        let engine = tokio::spawn(engine.run(stopping));
        let mut missed = Vec::new();
        let mut since = time.truth();
        let end = since.saturating_add(WAIT_MAX).unwrap_or(Timestamp::MAX);
        for number in 0..TURNS_MAX {
            // Everything that can be done without time going by.
            loop {
                idle.wait().await;
                if committer.step() == 0 {
                    break;
                }
            }
            if is_over(&store, &run).await? {
                break;
            }
            let due = later.front().and_then(|next| since.checked_add(next.after).ok());
            let next = time.next().filter(|next| *next <= end);
            match (due, next) {
                (Some(due), next) if next.is_none_or(|next| next > due) => {
                    let Some(Later { what, .. }) = later.pop_front() else { break };
                    time.advance_to(due);
                    since = due;
                    if matches!(what, Happens::Stop) {
                        break;
                    }
                    let happening = what.happen(store.clone(), run.clone(), number, due);
                    missed.extend(settled(&idle, &mut committer, happening).await?.err());
                    wake.wake();
                }
                (_, Some(_)) => time.wake_next(),
                (_, None) => break,
            }
        }
        if !later.is_empty() {
            missed.push(format!("the run was over before the last {} of `then` happened", later.len()));
        }
        let report = Report::read(&store, &run, &document).await;
        engine.abort();
        // Its tasks end at their next turn, and with them what holds the store.
        idle.wait().await;
        report.map(|report| Report { missed, ..report })
    }
}

/// What comes of something that writes, while somebody else commits.
async fn settled<T: Send + 'static>(
    idle: &Idle,
    committer: &mut Committer,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Broken> {
    let mut work = tokio::spawn(work);
    loop {
        idle.wait().await;
        if work.is_finished() {
            return (&mut work).await.map_err(Broken::of);
        }
        committer.step();
    }
}

/// Whether the run has come to its end.
///
/// # Errors
/// When the store does not answer.
pub async fn is_over(store: &Store, run: &RunId) -> Result<bool, Broken> {
    let found = store.run(&WorkspaceId::default(), run).await.map_err(Broken::of)?;
    let status = found.map(|run| run.status);
    Ok(matches!(status, None | Some(RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled)))
}

/// A directory that is gone afterwards; in memory where the machine has such a place.
///
/// # Errors
/// When there is no room for it.
pub fn scratch() -> Result<tempfile::TempDir, Broken> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("tributary-trial-");
    let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    made.or_else(|_| builder.tempdir()).map_err(|error| Broken(format!("no directory for the data: {error}")))
}

/// The connectors of the connections that a document's calls name, by name.
pub fn needed(document: &Document) -> BTreeMap<String, String> {
    let mut needed = BTreeMap::new();
    for call in document.calls() {
        let slug = call.operation.split('.').next().unwrap_or_default().to_owned();
        needed.entry(call.connection.unwrap_or_else(|| slug.clone())).or_insert(slug);
    }
    needed
}
