//! HTTP: where webhooks arrive, and the REST API.
//!
//! **What it is.** A [`router`] over a [`App`]. A delivery is verified, stored durably and acknowledged, nothing
//! more; a REST call reads the store or records an intent there. Path = route = module: `/hooks/{hook}` is
//! [`hooks`], `/v1/runs` is [`v1::runs`].
//!
//! **What it is not.** It never advances a run and calls no vendor (but for a connection's check, which is a read):
//! the engine acts, woken by [`Deps::wake`]. It has no clock, no randomness and no thread of its own.
//!
//! **Where to start.** [`hooks::deliver`] for a webhook's way, [`problem::Code`] for everything that can go wrong.

pub mod access;
mod approve;
mod door;
mod health;
mod hooks;
mod input;
pub mod listen;
pub mod metrics;
pub mod problem;
pub mod template;
mod trouble;
mod v1;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use connect::auth::{Access, Lender};
use connect::{Catalog, Transport};
use flow::WorkspaceId;
use flow::chance::Rng;
use flow::clock::Clock;
use jiff::Timestamp;
use store::Store;

use access::Token;
use metrics::Metrics;
use problem::{Code, Problem};
pub use template::Template;
pub use v1::flows::folder::{File, Folder};

/// What the server is made of.
pub struct Deps {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    /// For a connection's check.
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// For ids and nonces.
    pub rng: Mutex<Box<dyn Rng>>,
    pub workspace: WorkspaceId,
    pub templates: Vec<Template>,
    /// Who may use the REST API over the network.
    pub token: Token,
    /// Where vendors reach this server, without a slash at the end; none where no server runs.
    pub public_url: Option<String>,
    /// Tells the engine that there is work.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Tries flows on the spot; none where nobody can.
    pub trials: Option<Trials>,
    /// Counters and durations of the engine, for `/v1/stats`; an object whose members are merged in.
    pub engine_stats: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// A flow to be tried: run once, beside everything that is deployed.
pub struct Trial {
    pub document: Arc<flow::Document>,
    /// Setting → value, complete.
    pub settings: serde_json::Value,
    pub input: serde_json::Value,
    /// Connection named in the document → one of the workspace; those left out have the same name.
    pub connections: std::collections::BTreeMap<String, String>,
    /// Writes are shown and not sent.
    pub dry_run: bool,
}

/// Runs a flow on the spot: `{"status", "output", "error", "steps"}`, or why it cannot be run.
pub type Trials =
    Arc<dyn Fn(Trial) -> connect::BoxFuture<'static, Result<serde_json::Value, String>> + Send + Sync>;

/// The server's state; clones share it.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    deps: Deps,
    metrics: Metrics,
    doors: door::Doors,
    /// REST calls that read, decide and write take turns: there is one server per data directory.
    turn: tokio::sync::Mutex<()>,
    proof: tokio::sync::Mutex<health::Proof>,
    stopping: AtomicBool,
    backup: v1::backups::Slot,
    /// How the last reading of the folder of flows went.
    folder: Mutex<Option<serde_json::Value>>,
    /// Who has the tokens that vendors granted.
    lender: OnceLock<Lender>,
    agreements: v1::connections::Agreements,
}

/// How a caller comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Over the network: the REST API needs the token.
    Network,
    /// Over the Unix socket, or in process: whoever gets here may do everything.
    Socket,
}

/// A source of randomness that is locked for each use only, so that it can be held across an await.
struct Chance<'a>(&'a Mutex<Box<dyn Rng>>);

impl Rng for Chance<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

impl App {
    /// The state of a server.
    pub fn new(deps: Deps) -> App {
        App(Arc::new(Inner {
            deps,
            metrics: Metrics::default(),
            doors: door::Doors::default(),
            turn: tokio::sync::Mutex::default(),
            proof: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            backup: v1::backups::Slot::default(),
            folder: Mutex::default(),
            lender: OnceLock::new(),
            agreements: v1::connections::Agreements::default(),
        }))
    }

    /// Takes the tokens that vendors granted from this lender. The first one stays.
    pub fn borrow(&self, lender: Lender) {
        if self.0.lender.set(lender).is_err() {
            tracing::warn!("the tokens of connections are lent by somebody else already");
        }
    }

    pub(crate) fn access(&self, connection: &connect::Connection) -> Option<Arc<dyn Access>> {
        self.0.lender.get().and_then(|lend| lend(self.workspace(), connection))
    }

    pub(crate) fn agreements(&self) -> &v1::connections::Agreements {
        &self.0.agreements
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.deps.store
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.deps.catalog
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.0.deps.transport
    }

    pub(crate) fn workspace(&self) -> &WorkspaceId {
        &self.0.deps.workspace
    }

    pub(crate) fn templates(&self) -> &[Template] {
        &self.0.deps.templates
    }

    pub(crate) fn token(&self) -> &Token {
        &self.0.deps.token
    }

    /// From now on the server is not ready: nobody should send it anything new.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn backup(&self) -> &v1::backups::Slot {
        &self.0.backup
    }

    /// Makes a folder's flows those that come from it, and remembers how that went; the problem's document if nothing
    /// was done.
    pub async fn reconcile(&self, path: &str, folder: &Folder) -> Result<serde_json::Value, Problem> {
        let outcome = v1::flows::folder::reconcile(self, folder, false).await;
        let state = v1::flows::folder::state(self, path, &outcome);
        *self.0.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        outcome
    }

    /// Moves with every change of flows and connections; 0 where the store cannot say.
    pub async fn generation(&self) -> u64 {
        self.store().generation().await.unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> Option<serde_json::Value> {
        self.0.folder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters of the webhook door.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn doors(&self) -> &door::Doors {
        &self.0.doors
    }

    pub(crate) fn trials(&self) -> Option<&Trials> {
        self.0.deps.trials.as_ref()
    }

    pub(crate) fn engine_stats(&self) -> serde_json::Value {
        (self.0.deps.engine_stats)()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.deps.clock.now()
    }

    pub(crate) fn rng(&self) -> impl Rng + '_ {
        Chance(&self.0.deps.rng)
    }

    pub(crate) fn wake(&self) {
        (self.0.deps.wake)();
    }

    pub(crate) fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.0.turn
    }

    /// A path as vendors reach it, where that is known.
    pub(crate) fn public_url(&self, path: &str) -> Option<String> {
        self.0.deps.public_url.as_ref().map(|base| format!("{}{path}", base.trim_end_matches('/')))
    }
}

/// All routes, for callers that come in by `door`.
pub fn router(app: App, door: Door) -> Router {
    let mut api = v1::routes().route("/metrics", get(health::metrics));
    if door == Door::Socket {
        api = api.merge(v1::backups::routes()).merge(v1::keys::routes());
    }
    if door == Door::Network {
        api = api.route_layer(axum::middleware::from_fn_with_state(app.clone(), access::require_token));
    }
    Router::new()
        .route("/hooks/{hook}", post(hooks::deliver))
        .route("/approve/{link}", get(approve::show).post(approve::decide))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(api)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

async fn no_route(uri: http::Uri) -> Problem {
    Problem::new(Code::RouteUnknown, format!("there is nothing at {}", uri.path()))
}

async fn no_method(method: http::Method, uri: http::Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
