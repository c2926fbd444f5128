//! A process: one store, the routes that webhooks come in by, and one engine or two.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use connect::{Catalog, Transport};
use engine::{Alert, AlertSink, Engine, WakeHandle};
use flow::clock::Clock;
use flow::{Fault, WorkspaceId};
use futures_util::future::BoxFuture;
use serde_json::Value;
use server::{App, Door, Template};
use store::{Committer, Cuts, MasterKey, Options, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::chance::{Chance, Stream};
use crate::time::Time;
use crate::trace::Trace;

/// How often a node looks for work unasked. A real one does it ten times as often; nothing depends on it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Where webhooks and people reach a process.
pub const PUBLIC_URL: &str = "http://sim";
/// Bytes of an answer of the REST API at most.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What every process of a life is made from.
pub struct Parts {
    pub seed: u64,
    pub nodes: usize,
    pub catalog: Arc<Catalog>,
    pub templates: Vec<Template>,
    pub transport: Arc<dyn Transport>,
    pub time: Arc<Time>,
    pub alerts: Arc<Told>,
    pub cuts: Cuts,
    pub trace: Trace,
}

/// Alerts go to the trace.
pub struct Told(pub Trace);

impl AlertSink for Told {
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        self.0.say(|| format!("ALERT {}", alert.text()));
        Box::pin(async {})
    }
}

/// Scripts run on the same thread, at once: bounded in steps, not in time, so that a seed stays the same life.
struct Scripts;

impl engine::Scripts for Scripts {
    fn run<'a>(&'a self, with: &'a Value) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(std::future::ready(script::Task::here(with)))
    }
}

/// A living process.
pub struct Process {
    pub store: Store,
    pub router: Router,
    pub engines: Vec<Option<Running>>,
    committer: Committer,
    dead: Arc<AtomicBool>,
}

/// An engine at work.
pub struct Running {
    task: JoinHandle<()>,
    wake: WakeHandle,
    /// An engine stops when nobody is left who could tell it to.
    _stop: watch::Sender<bool>,
}

impl Process {
    /// Starts on what is durable in `data`. `start` counts the starts of a life.
    pub fn start(parts: &Parts, data: &Path, start: u64) -> store::Result<Process> {
        let dead = Arc::new(AtomicBool::new(false));
        let (died, trace) = (dead.clone(), parts.trace.clone());
        let store = Store::open(Options {
            on_fatal: Arc::new(move |error| {
                trace.say(|| format!("the process ends: {error}"));
                died.store(true, Ordering::SeqCst);
            }),
            cuts: Some(parts.cuts.clone()),
            ..Options::new(data, MasterKey::from_bytes([7; 32]))
        })?;
        let committer = store.committer()?;
        let engines: Vec<Option<Running>> =
            (0..parts.nodes).map(|node| Some(Running::start(parts, &store, node, start))).collect();
        let wakes: Vec<WakeHandle> = engines.iter().flatten().map(|running| running.wake.clone()).collect();
        let app = App::new(server::Deps {
            store: store.clone(),
            catalog: parts.catalog.clone(),
            transport: parts.transport.clone(),
            clock: parts.time.clone(),
            rng: Mutex::new(Box::new(Chance::numbered(parts.seed, Stream::Nodes, start * 4 + 3))),
            workspace: WorkspaceId::default(),
            templates: parts.templates.clone(),
            token: server::access::Token::new("tby_sim", [1; 32]),
            public_url: Some(PUBLIC_URL.to_owned()),
            wake: Arc::new(move || wakes.iter().for_each(WakeHandle::wake)),
            trials: None,
            engine_stats: Arc::new(|| serde_json::Value::Null),
        });
        Ok(Process { router: server::router(app, Door::Socket), store, engines, committer, dead })
    }

    /// Whether a commit failed, so that the process has to end.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Commits what is pending; answers how many units that were.
    pub fn commit(&mut self) -> usize {
        self.committer.step()
    }

    /// Ends one engine as a power cut of its machine does.
    pub fn kill_engine(&mut self, node: usize) {
        if let Some(running) = self.engines.get_mut(node).and_then(Option::take) {
            running.task.abort();
        }
    }

    /// Starts an engine again that had died.
    pub fn restart_engine(&mut self, parts: &Parts, node: usize, start: u64) {
        if let Some(place @ None) = self.engines.get_mut(node) {
            *place = Some(Running::start(parts, &self.store, node, start));
        }
    }

    /// Ends the process at once. Its tasks end, and with them what holds the store, once the thread is idle again.
    pub fn kill(self) {
        for running in self.engines.into_iter().flatten() {
            running.task.abort();
        }
    }
}

impl Running {
    fn start(parts: &Parts, store: &Store, node: usize, start: u64) -> Running {
        let clock: Arc<dyn Clock> = parts.time.clone();
        let engine = Engine::new(engine::Deps {
            store: store.clone(),
            catalog: parts.catalog.clone(),
            transport: parts.transport.clone(),
            clock,
            timer: parts.time.clone(),
            rng: Box::new(Chance::numbered(parts.seed, Stream::Nodes, start * 4 + node as u64)),
            alerts: parts.alerts.clone(),
            scripts: Arc::new(Scripts),
            rehearsal: None,
            config: engine::Config {
                node: format!("node-{}", node + 1),
                poll_interval: POLL_INTERVAL,
                public_url: Some(PUBLIC_URL.to_owned()),
                ..engine::Config::default()
            },
        });
        let (stop, stopping) = watch::channel(false);
        Running { wake: engine.wake_handle(), task: tokio::spawn(engine.run(stopping)), _stop: stop }
    }
}

/// One request to the routes of a process: status and body, or nothing if the answer breaks off.
pub async fn ask(
    router: Router,
    method: &str,
    path: &str,
    headers: Vec<(String, String)>,
    body: Bytes,
) -> Option<(u16, Bytes)> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = router.oneshot(request.body(Body::from(body)).ok()?).await.ok()?;
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.ok()?;
    Some((status, body))
}
