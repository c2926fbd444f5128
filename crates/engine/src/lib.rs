//! Drives runs: dispatches accepted events, claims runs, advances their state machines, performs their effects, and
//! commits what came of them.
//!
//! **What it is.** The only room that advances a run. It joins the pure language ([`flow`]), the vendors
//! ([`connect`]) and what is durable ([`store`]): everything a run does is in its journal before or right after it
//! happens, so that any node can take it up where another one fell.
//!
//! **What it is not.** It writes no SQL, knows no vendor and no HTTP server. It reads no clock of its own, draws no
//! chance of its own and starts no thread: all of that, the transport and the passing of time are handed in
//! ([`Deps`]), so that a node runs on one thread from a seed as well.
//!
//! **Where to start.** [`Engine::run`], then `claim.rs` (the loops), `run.rs` (one run), `effect.rs` (one call, and
//! what happens when nobody knows whether it took effect), `history.rs` (what a journal means), `retry.rs` (when an
//! attempt is repeated).

pub mod alert;
mod approval;
mod asking;
mod batch;
mod begin;
mod claim;
mod connections;
mod contain;
mod deployments;
mod dispatch;
mod earlier;
mod effect;
pub mod fault;
mod gate;
pub mod grants;
mod health;
mod held;
pub mod history;
pub mod housekeeping;
mod journal;
pub mod key;
mod lifecycle;
pub mod limits;
mod manifests;
mod notices;
mod plain;
mod poll;
mod rehearsal;
pub mod retry;
mod run;
mod schedule;
mod script;
mod subflow;
mod timer;
mod waits;
mod work;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use connect::auth::Lender;
use connect::{Catalog, Connection, Transport};
use connections::NotOpen;
use flow::chance::Rng;
use flow::clock::Clock;
use flow::{Fault, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use store::{ClaimedRun, Store};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

pub use alert::{Alert, AlertSink};
pub use contain::is_contained;
pub use housekeeping::{Housekeeper, Retention};
pub use limits::Config;
pub use rehearsal::Rehearsal;
pub use script::{NoScripts, Scripts};
pub use timer::{RuntimeTimer, Timer};

/// What a node is made of.
pub struct Deps {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub timer: Arc<dyn Timer>,
    pub rng: Box<dyn Rng>,
    pub alerts: Arc<dyn AlertSink>,
    pub scripts: Arc<dyn Scripts>,
    /// Stands between runs and the world, where a flow is only tried.
    pub rehearsal: Option<Arc<dyn Rehearsal>>,
    pub config: Config,
}

/// Told, for each run that ends, how long ago its event had come in.
pub type Observer = Arc<dyn Fn(SignedDuration) + Send + Sync>;

/// One node's engine.
pub struct Engine {
    node: Arc<Node>,
    alerts: mpsc::Receiver<Alert>,
    works: mpsc::UnboundedReceiver<begin::Work>,
}

/// Pokes the engine: something was accepted, retried, replayed, or told to a run. Never blocks; pokes that come together are one.
#[derive(Clone)]
pub struct WakeHandle {
    node: Arc<Node>,
}

impl WakeHandle {
    /// Has the store looked at as soon as possible.
    pub fn wake(&self) {
        self.node.events.notify_one();
        self.node.asked.notify_one();
        self.node.poke();
    }
}

/// What all parts of a node share.
pub(crate) struct Node {
    store: Store,
    catalog: Arc<Catalog>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    scripts: Arc<dyn Scripts>,
    rehearsal: Option<Arc<dyn Rehearsal>>,
    rng: Arc<Mutex<Box<dyn Rng>>>,
    /// Who has the tokens that vendors granted: this node, unless somebody else lends them.
    lender: Lender,
    lent: OnceLock<Lender>,
    config: Config,
    sink: Arc<dyn AlertSink>,
    throttle: alert::Throttle,
    observer: OnceLock<Observer>,
    alerts: mpsc::Sender<Alert>,
    deployments: deployments::Deployments,
    deployed: deployments::Deployed,
    connections: connections::Connections,
    gates: gate::Gates,
    /// Tokens of calls of plain HTTP.
    tokens: Arc<connect::plain::Tokens>,
    /// There may be events to dispatch.
    events: Notify,
    /// There may be runs to claim.
    runs: Notify,
    /// Runs may have been told something.
    told: Notify,
    /// Somebody may have pressed a button, or decided a question.
    asked: Notify,
    /// A place for each run that may be worked on at once.
    places: Arc<Semaphore>,
    /// Work that began elsewhere than in the claimer, for it to look after.
    begun: mpsc::UnboundedSender<begin::Work>,
    /// Events or runs wait in the store that have to be taken up before newer ones.
    behind: begin::Behind,
    lanes: held::Lanes,
    /// Runs are to be let go of at their next safe point.
    stopping: watch::Sender<bool>,
    /// Turns true when the node stops and what is not finished is to go back to the queue.
    abandon: watch::Sender<bool>,
}

impl Engine {
    /// Puts a node together; nothing happens before [`Engine::run`].
    pub fn new(deps: Deps) -> Engine {
        let (sender, alerts) = mpsc::channel(limits::ALERTS_WAITING_MAX);
        let (begun, works) = mpsc::unbounded_channel();
        let workers = deps.config.workers;
        let rng = Arc::new(Mutex::new(deps.rng));
        let keeper = grants::Keeper {
            store: deps.store.clone(),
            catalog: deps.catalog.clone(),
            transport: deps.transport.clone(),
            clock: deps.clock.clone(),
            timer: deps.timer.clone(),
            rng: rng.clone(),
        };
        let node = Node {
            store: deps.store,
            catalog: deps.catalog,
            transport: deps.transport,
            clock: deps.clock,
            timer: deps.timer,
            scripts: deps.scripts,
            rehearsal: deps.rehearsal,
            rng,
            lender: Arc::new(keeper).lender(),
            lent: OnceLock::new(),
            config: deps.config,
            sink: deps.alerts,
            throttle: alert::Throttle::default(),
            observer: OnceLock::new(),
            alerts: sender,
            deployments: deployments::Deployments::default(),
            deployed: deployments::Deployed::default(),
            connections: connections::Connections::default(),
            gates: gate::Gates::default(),
            tokens: Arc::default(),
            events: Notify::new(),
            runs: Notify::new(),
            told: Notify::new(),
            asked: Notify::new(),
            places: Arc::new(Semaphore::new(workers)),
            begun,
            behind: begin::Behind::default(),
            lanes: held::Lanes::default(),
            stopping: watch::Sender::new(false),
            abandon: watch::Sender::new(false),
        };
        Engine { node: Arc::new(node), alerts, works }
    }

    /// What keeps the store small; nobody else does. The wiring runs it beside the engine.
    pub fn housekeeper(&self) -> Housekeeper {
        Housekeeper { node: self.node.clone() }
    }

    /// Has the runs that end from now on told to `observer`; only the first one is kept.
    pub fn observe(&self, observer: Observer) {
        self.node.observer.get_or_init(|| observer);
    }

    /// Takes the tokens that vendors granted from elsewhere than from its own store. The first lender stays.
    pub fn borrow(&self, lender: Lender) {
        if self.node.lent.set(lender).is_err() {
            tracing::warn!("the tokens of connections are lent by somebody else already");
        }
    }

    /// For whoever accepts events or changes runs.
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle { node: self.node.clone() }
    }

    /// Works until `stop` turns true (or its sender is gone): then claims nothing more, lets runs in progress finish
    /// for a while, and releases the rest to the queue.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        // The store knows it as long as this lives.
        let beginner: Arc<dyn store::Follow> = Arc::new(begin::Beginner::new(self.node.clone()));
        let (over, is_over) = watch::channel(false);
        let polls_stop = stop.clone();
        let work = async {
            manifests::note(&self.node).await;
            self.node.store.follow(Arc::downgrade(&beginner));
            self.node.take_up_own().await;
            futures_util::future::join(
                claim::dispatcher(self.node.clone(), stop.clone()),
                claim::claimer(self.node.clone(), self.works, stop),
            )
            .await;
            over.send_replace(true);
        };
        let asked = asking::watch(&self.node, polls_stop.clone());
        let polls = poll::watch(&self.node, polls_stop);
        let health = health::watch(&self.node, is_over.clone());
        let alerts = alert::deliver(&self.node, self.alerts, is_over);
        futures_util::future::join5(work, health, alerts, polls, asked).await;
    }
}

impl Node {
    /// What this node held when it died is taken up at once; a lease would only make it wait.
    async fn take_up_own(&self) {
        while let Err(error) = self.store.release_node(&self.config.node).await {
            if !error.passes() {
                tracing::error!(%error, "runs left by this node wait until their leases end");
                return;
            }
            self.until_good().await;
        }
    }

    /// Replayed events and runs retried by hand came in long ago: how long they took says nothing.
    fn observe_end(&self, claim: &ClaimedRun) {
        let event = claim.event.as_ref().filter(|event| event.replays == 0 && claim.retries == 0);
        if let (Some(event), Some(observer)) = (event, self.observer.get()) {
            observer(self.clock.now().duration_since(event.received_at));
        }
    }

    /// Has runs that wait for signals look: those that were put aside are claimed, those at work read what there is.
    fn poke(&self) {
        self.runs.notify_one();
        self.told.notify_waiters();
    }

    fn with_rng<T>(&self, draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
        draw(&mut **self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn retry_after(&self, error: &connect::Error, open: &history::Open, now: Timestamp) -> retry::Next {
        let since = open.since.unwrap_or(now);
        self.with_rng(|rng| self.config.retry.next(error, open.attempts, since, now, rng))
    }

    /// The revision that a run began with, parsed.
    async fn deployment(&self, claim: &ClaimedRun) -> store::Result<deployments::Parsed> {
        let ClaimedRun { workspace, flow, revision, .. } = claim;
        if let Some(kept) = self.deployments.kept(workspace, flow, *revision) {
            return Ok(kept);
        }
        match self.read(|| self.store.flow_revision(workspace, flow, *revision)).await? {
            Some(flow) => Ok(self.deployments.of(&flow)),
            None => Ok(Err("it is not stored any more".to_owned())),
        }
    }

    /// Live or test mode of a connection, where it still exists.
    async fn mode(&self, workspace: &WorkspaceId, connection: &str) -> Option<(bool, String)> {
        let opened = self.connection(workspace, connection).await.ok()?;
        Some((opened.live, opened.name.clone()))
    }

    /// Who has the tokens that vendors granted.
    fn lender(&self) -> &Lender {
        self.lent.get().unwrap_or(&self.lender)
    }

    /// A connection, as soon as the database can say.
    async fn connection(&self, workspace: &WorkspaceId, name: &str) -> Result<Arc<Connection>, Fault> {
        let lender = self.lender();
        let mut told = false;
        loop {
            match self.connections.open(&self.store, workspace, name, Some(lender)).await {
                Err(NotOpen::Store(error)) if error.passes() => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(connection = name, %error, "what needs it waits");
                    }
                    self.timer.sleep(limits::HEALTH_PROBE).await;
                }
                opened => return opened.map_err(|not| not.into_fault(name)),
            }
        }
    }

    /// Where a flow's document wants its failures told; none where it cannot be read.
    fn target(&self, workspace: &WorkspaceId, flow: &str, revision: u32) -> Option<alert::Target> {
        let deployment = self.deployments.kept(workspace, flow, revision)?.ok()?;
        alert::Target::of(&deployment)
    }

    /// Logs a failure, and has people told unless they were just told of another one of the flow.
    fn alert(&self, failure: alert::Failure<'_>) {
        let alert::Failure { workspace, flow, revision, run, event, fault } = failure;
        tracing::error!(%workspace, flow, %run, event, r#type = fault.r#type, %fault, "a run failed");
        let now = self.clock.now();
        let Some(untold) = self.throttle.admit(workspace.as_str(), flow, now) else { return };
        let alert = Alert {
            workspace: workspace.as_str().to_owned(),
            about: alert::About::Run {
                flow: flow.to_owned(),
                run: run.as_str().to_owned(),
                event: event.map(str::to_owned),
                fault: fault.clone(),
                untold,
            },
            at: now,
            target: self.target(workspace, flow, revision),
        };
        if self.alerts.try_send(alert).is_err() {
            tracing::warn!(%run, "too many alerts wait; this one is only in the log");
        }
    }
}
