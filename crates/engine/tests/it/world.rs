//! A node with a real store and a made-up vendor, in one thread, in time that the test moves.

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use engine::alert::{Alert, AlertSink};
use engine::{Config, Deps, Engine, Housekeeper, WakeHandle};
use flow::chance::Rng;
use flow::clock::Clock;
use flow::journal::Entry;
use flow::{EventId, RunId, WorkspaceId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{
    Committer, Cut, Cuts, EventOutcome, MasterKey, NewConnection, NewEvent, NewFlow, NewRun, OnFailure,
    Options, Page, Run, RunQuery, Secrets, Store,
};
use tokio::sync::watch;

use crate::time::Time;
use crate::vendor::Vendor;

/// A credential that must be seen nowhere but in a header.
pub const API_KEY: &str = "sk_this_is_the_secret_of_acme";

/// More pages than any test fills.
pub const ROOM: u32 = 1 << 20;

/// What outlives a node: its data directory, the vendor, the time.
pub struct World {
    pub time: Arc<Time>,
    pub vendor: Arc<Vendor>,
    pub told: Arc<Told>,
    pub config: Config,
    /// Pages that the database may have; see [`ROOM`].
    pub pages: Arc<AtomicU32>,
    /// What the next node knows of the vendor.
    pub manifest: Mutex<String>,
    /// The vendor is met as in earnest: its budget counts.
    pub in_earnest: bool,
    directory: tempfile::TempDir,
    seed: Mutex<u64>,
}

/// Alerts that were delivered.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<Alert>>);

impl AlertSink for Told {
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(alert.clone());
        Box::pin(async {})
    }
}

/// Scripts that give their arguments back, or fail with their first one.
struct Scripts;

impl engine::Scripts for Scripts {
    fn run<'a>(&'a self, with: &'a Value) -> BoxFuture<'a, Result<Value, flow::Fault>> {
        let given = with["arguments"].clone();
        let result = match with["code"].as_str() {
            Some("fail") => Err(flow::Fault::runtime(given[0].to_string())),
            _ => Ok(given),
        };
        Box::pin(std::future::ready(result))
    }

    fn program<'a>(
        &'a self,
        operation: &'a str,
        with: &'a Value,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Value, flow::Fault>> {
        assert!(key.starts_with("tby_") && operation.starts_with("run."));
        let given = with["arguments"].clone();
        let result = match with["image"].as_str() {
            Some("fail") => Err(flow::Fault::runtime(given[0].to_string())),
            _ => Ok(given),
        };
        Box::pin(std::future::ready(result))
    }
}

/// Chance from a seed (SplitMix64).
#[derive(Clone)]
struct Seeded(u64);

impl Rng for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A living node.
pub struct Node<'w> {
    pub world: &'w World,
    pub store: Store,
    committer: Committer,
    dead: Arc<AtomicBool>,
    wake: WakeHandle,
    pub housekeeper: Housekeeper,
    stop: watch::Sender<bool>,
    engine: tokio::task::JoinHandle<()>,
    random: Seeded,
}

/// Runs a test on one thread.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

/// A life for each of the commits, cut off before it and after it; the event is sent again once there is a node again.
/// Where it was cut is told beside what is judged.
pub fn cut_at_each(
    commits: RangeInclusive<u64>,
    data: &Value,
    deploy: impl AsyncFn(&mut Node<'_>),
    judge: impl Fn(&Node<'_>, &str),
) {
    for number in commits {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = World::new();
                let cuts: Cuts = Arc::new(move |commit| (commit == number).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                deploy(&mut node).await;
                drop(node.accept("evt_1", data.clone()).await);
                node.quiet().await;
                assert!(node.is_dead(), "commit {number} cut {cut:?}");
                node.kill().await;
                let mut node = world.boot();
                drop(node.accept("evt_1", data.clone()).await);
                node.quiet().await;
                judge(&node, &format!("commit {number} cut {cut:?}"));
            });
        }
    }
}

pub fn default_workspace() -> WorkspaceId {
    WorkspaceId::default()
}

/// In memory where the machine has such a place: these tests are about what is written when, and thousands of them
/// would wait for a disk.
fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl World {
    pub fn new() -> World {
        let time = Time::new();
        let config = Config {
            poll_interval: std::time::Duration::from_secs(10),
            node: "node-1".to_owned(),
            ..Config::default()
        };
        World {
            vendor: Vendor::new(time.clone()),
            time,
            told: Arc::default(),
            config,
            pages: Arc::new(AtomicU32::new(ROOM)),
            manifest: Mutex::new(include_str!("acme.yaml").to_owned()),
            in_earnest: false,
            directory: directory(),
            seed: Mutex::new(0),
        }
    }

    /// Starts a node on what is there.
    pub fn boot(&self) -> Node<'_> {
        self.boot_cut(None)
    }

    /// Starts a node whose store is cut off at chosen commits.
    pub fn boot_cut(&self, cuts: Option<Cuts>) -> Node<'_> {
        self.boot_with(cuts, self.config.clone())
    }

    /// Starts another node.
    pub fn boot_as(&self, config: Config) -> Node<'_> {
        self.boot_with(None, config)
    }

    fn boot_with(&self, cuts: Option<Cuts>, config: Config) -> Node<'_> {
        let dead = Arc::new(AtomicBool::new(false));
        let died = dead.clone();
        let store = Store::open(Options {
            on_fatal: Arc::new(move |_| died.store(true, Ordering::SeqCst)),
            cuts,
            pages_max: Some(self.pages.clone()),
            ..Options::new(self.directory.path(), MasterKey::from_bytes([7; 32]))
        })
        .unwrap();
        let mut seed = self.seed.lock().unwrap();
        *seed += 1;
        let mut catalog = connect::Catalog::default();
        let text = self.manifest.lock().unwrap().clone();
        catalog.insert(connect::Manifest::parse("acme.yaml", &text).unwrap(), text);
        let engine = Engine::new(Deps {
            store: store.clone(),
            catalog: Arc::new(catalog),
            transport: self.vendor.clone(),
            clock: self.time.clone(),
            timer: self.time.clone(),
            rng: Box::new(Seeded(*seed)),
            alerts: self.told.clone(),
            scripts: Arc::new(Scripts),
            rehearsal: None,
            config,
        });
        let (stop, stopped) = watch::channel(false);
        Node {
            world: self,
            committer: store.committer().unwrap(),
            store,
            dead,
            wake: engine.wake_handle(),
            housekeeper: engine.housekeeper(),
            stop,
            engine: tokio::spawn(engine.run(stopped)),
            random: Seeded(*seed << 32),
        }
    }
}

impl Node<'_> {
    /// Lets a future run to its end while the committer works.
    pub async fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            if let Poll::Ready(done) = polled {
                return done;
            }
            self.committer.step();
            tokio::task::yield_now().await;
        }
    }

    /// Lets everything happen that happens without time going by.
    pub async fn settle(&mut self) {
        let mut idle = 0;
        while idle < 30 {
            idle = if self.committer.step() == 0 { idle + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
    }

    /// Lets time go by until `done`.
    pub async fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let limit = self.world.time.now() + SignedDuration::from_hours(24 * 7);
        loop {
            self.settle().await;
            if done(self) {
                return;
            }
            assert!(
                self.world.time.skip(limit),
                "a week goes by, and it is still not done: {:?}",
                read(self.store.stats(None))
            );
        }
    }

    /// Lets time go by until there is nothing to do, or the node has died.
    pub async fn quiet(&mut self) {
        self.until(|node| node.is_quiet()).await;
    }

    pub fn is_quiet(&self) -> bool {
        let stats = read(self.store.stats(None)).unwrap();
        let open = stats.events_undispatched + stats.runs_queued + stats.runs_running + stats.runs_parked;
        open == 0 || self.is_dead()
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst) || self.world.vendor.hung()
    }

    /// Stops a node as a power cut does.
    pub async fn kill(self) {
        self.engine.abort();
        // The tasks end at their next turn, and with them what holds the store's lock.
        drop(self.engine.await);
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
        self.world.vendor.forget_hanging();
    }

    /// Asks the node to stop; it may finish what it is doing.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let limit = self.world.time.now() + SignedDuration::from_hours(1);
        loop {
            self.settle().await;
            if self.engine.is_finished() {
                return;
            }
            assert!(self.world.time.skip(limit), "it does not stop");
        }
    }

    pub fn commits(&self) -> u64 {
        self.committer.commits()
    }

    pub fn wake(&self) {
        self.wake.wake();
    }

    /// A connection `acme` of test mode, and the flow.
    pub async fn deploy(&mut self, text: &str) {
        self.connect("acme", false).await;
        self.deploy_only(text).await;
    }

    pub async fn connect(&mut self, name: &str, live: bool) {
        let connection = NewConnection {
            name: name.to_owned(),
            connector: "acme".to_owned(),
            live,
            base_url: (!self.world.in_earnest).then(|| "http://127.0.0.1:1/".to_owned()),
            credentials: Secrets::new(BTreeMap::from([("api_key".to_owned(), API_KEY.to_owned())])),
        };
        let (store, now) = (self.store.clone(), self.world.time.now());
        let mut random = self.random.clone();
        let workspace = default_workspace();
        self.drive(store.put_connection(&workspace, connection, &mut random, now)).await.unwrap();
    }

    pub async fn deploy_only(&mut self, text: &str) {
        let document = flow::Document::parse("flow.yaml", text).unwrap();
        self.deploy_unread(document.name(), text).await;
    }

    /// What another version of the program took.
    pub async fn deploy_unread(&mut self, name: &str, text: &str) {
        let flow = NewFlow {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            text: text.to_owned(),
            settings: serde_json::json!({}),
            connections: BTreeMap::new(),
        };
        let (store, now) = (self.store.clone(), self.world.time.now());
        let workspace = default_workspace();
        self.drive(store.deploy_flow(&workspace, flow, now)).await.unwrap();
    }

    /// An event by connection `acme`; its time is now.
    pub async fn event(&mut self, key: &str, data: Value) -> EventId {
        self.accept(key, data).await.unwrap()
    }

    /// The same; it fails if the store dies of it.
    pub async fn accept(&mut self, key: &str, data: Value) -> store::Result<EventId> {
        let id = self.store_event(key, data).await?;
        self.wake();
        Ok(id)
    }

    /// An event by another connection.
    pub async fn event_of(&mut self, connection: &str, key: &str, data: Value) -> EventId {
        let id = self.store_event_of(connection, "acme.thing.changed", key, data).await.unwrap();
        self.wake();
        id
    }

    /// An event of which the engine is not told.
    pub async fn event_unseen(&mut self, key: &str) -> EventId {
        self.store_event(key, serde_json::json!({})).await.unwrap()
    }

    async fn store_event(&mut self, key: &str, data: Value) -> store::Result<EventId> {
        self.store_event_of("acme", "acme.thing.changed", key, data).await
    }

    /// An event that no connection brings.
    pub async fn emitted(&mut self, r#type: &str, key: &str, data: Value) -> EventId {
        let id = self.store_event_of("https://tests.example", r#type, key, data).await.unwrap();
        self.wake();
        id
    }

    /// An event that a run emitted, under the id that it had.
    pub async fn emitted_as(&mut self, id: Option<String>, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let now = self.world.time.now();
        let event = NewEvent {
            id: id.map_or_else(|| EventId::random(&mut self.random), EventId::new),
            connection: text("source"),
            dedupe_key: text("id"),
            r#type: text("type"),
            time: now,
            live: None,
            subject: None,
            data: event["data"].clone(),
        };
        let store = self.store.clone();
        self.drive(store.accept_event(&default_workspace(), event, now)).await.unwrap();
        self.wake();
    }

    async fn store_event_of(
        &mut self,
        source: &str,
        r#type: &str,
        key: &str,
        data: Value,
    ) -> store::Result<EventId> {
        let id = EventId::random(&mut self.random);
        let now = self.world.time.now();
        let event = NewEvent {
            id: id.clone(),
            connection: source.to_owned(),
            dedupe_key: key.to_owned(),
            r#type: r#type.to_owned(),
            time: now,
            live: None,
            subject: None,
            data,
        };
        let store = self.store.clone();
        let workspace = default_workspace();
        self.drive(store.accept_event(&workspace, event, now)).await?;
        Ok(id)
    }

    /// Starts a run that no event asks for, without waking the engine.
    pub async fn start(&mut self, flow: &str, input: Value) -> RunId {
        let id = RunId::random(&mut self.random);
        let new = NewRun {
            id: id.clone(),
            flow: flow.to_owned(),
            revision: 1,
            lane: None,
            on_failure: OnFailure::Continue,
            input,
        };
        let (store, now) = (self.store.clone(), self.world.time.now());
        let workspace = default_workspace();
        self.drive(store.start_run(&workspace, new, now)).await.unwrap();
        id
    }

    /// What a node does that takes up a run and dies at once.
    pub async fn claim_and_die(&mut self, run: &RunId) {
        let (store, now) = (self.store.clone(), self.world.time.now());
        let claims =
            self.drive(store.claim_runs("elsewhere", 1, SignedDuration::from_secs(30), now)).await.unwrap();
        assert_eq!(claims.iter().map(|claim| &claim.run).collect::<Vec<_>>(), [run]);
        let workspace = default_workspace();
        self.drive(store.release_run(&workspace, run, claims[0].epoch)).await.unwrap();
    }

    pub async fn retry(&mut self, run: &RunId) {
        let store = self.store.clone();
        let workspace = default_workspace();
        self.drive(store.retry_run(&workspace, run)).await.unwrap();
        self.wake();
    }

    pub async fn replay(&mut self, event: &EventId) {
        let store = self.store.clone();
        let workspace = default_workspace();
        self.drive(store.replay_event(&workspace, event)).await.unwrap();
        self.wake();
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> Vec<Run> {
        let (workspace, query) = (default_workspace(), RunQuery::default());
        let mut runs = read(self.store.runs(&workspace, &query, Page::default())).unwrap().items;
        runs.reverse();
        runs
    }

    /// The only run.
    pub fn the_run(&self) -> Run {
        let mut runs = self.runs();
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }

    pub fn journal(&self, run: &RunId) -> Vec<Entry> {
        let entries = read(self.store.journal(&default_workspace(), run)).unwrap();
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// What a completed run gave.
    pub fn output(&self, run: &RunId) -> Value {
        match self.journal(run).pop() {
            Some(Entry::Finished { outcome: flow::journal::Outcome::Output(output), .. }) => output,
            other => panic!("{other:?}"),
        }
    }

    /// How much of a run waits, and how many signals it has not taken.
    pub fn left_of_waits(&self, run: &RunId) -> (usize, u64) {
        let workspace = default_workspace();
        let waits = read(self.store.waits(&workspace, run)).unwrap().len();
        (waits, read(self.store.signals_waiting(&workspace, run)).unwrap())
    }

    pub fn outcomes(&self, event: &EventId) -> Vec<EventOutcome> {
        let outcomes = read(self.store.event_outcomes(&default_workspace(), event)).unwrap();
        outcomes.into_iter().map(|outcome| outcome.outcome).collect()
    }
}

/// What is read from SQLite is there at once.
pub fn read<T>(reading: impl Future<Output = T>) -> T {
    reading.now_or_never().expect("a read does not wait")
}

/// Kinds of a journal's entries, in short: `s` started, `i` intent, `a` attempted, `r` resolved, `e` elapsed, `h` heard,
/// `f` finished.
pub fn kinds(entries: &[Entry]) -> String {
    let kind = |entry: &Entry| match entry {
        Entry::Started { .. } => 's',
        Entry::Intent { .. } => 'i',
        Entry::Attempted { .. } => 'a',
        Entry::Resolved { .. } => 'r',
        Entry::Elapsed { .. } => 'e',
        Entry::Heard { .. } => 'h',
        Entry::Finished { .. } => 'f',
    };
    entries.iter().map(kind).collect()
}
