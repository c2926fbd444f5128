//! A store in a directory of its own, with a clock that is moved and chance from a seed. Nothing runs by itself:
//! futures are polled, and the committer steps when all of them wait.

use flow::chance::Rng;
use flow::journal::{Entry, Outcome};
use flow::{EffectRef, EventId, Fault, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Waker};
use store::postgres::LeaseClock;
use store::{
    Accepted, ClaimedRun, Committer, Cuts, Dispatch, Dispatching, FlowOutcome, MasterKey, Mode,
    NewConnection, NewEvent, NewFlow, OnFailure, OnFatal, Options, Result, Secrets, Store,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::DATABASE;
use crate::Database;
use crate::cluster::cluster;

pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// SplitMix64: small, and the same everywhere.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

impl Rng for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

pub struct World {
    pub store: Store,
    pub ws: WorkspaceId,
    committer: RefCell<Committer>,
    chance: RefCell<Chance>,
    ground: Option<Ground>,
}

/// Where a world is, open or not: a directory, and what a database was made on.
pub struct Ground {
    directory: TempDir,
    postgres: Option<Place>,
}

/// A database of one's own on the throwaway server, and the runtime that its sessions live on.
pub struct Place {
    pub url: String,
    runtime: Runtime,
    client: OnceCell<tokio_postgres::Client>,
}

/// What a world is opened with.
pub struct Settings {
    pub cuts: Option<Cuts>,
    pub on_fatal: OnFatal,
    pub pages_max: Option<Arc<AtomicU32>>,
    pub key: MasterKey,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cuts: None, on_fatal: Arc::new(|_| {}), pages_max: None, key: key() }
    }
}

pub fn key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

/// The file of [`key`].
pub const KEY_TEXT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

/// A test account with one credential.
pub fn account(name: &str, connector: &str, (field, secret): (&str, &str)) -> NewConnection {
    NewConnection {
        name: name.into(),
        connector: connector.into(),
        live: false,
        base_url: None,
        credentials: Secrets::new([(field.to_owned(), secret.to_owned())].into()),
    }
}

/// Whole seconds after 2026-11-01T00:00:00Z.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

impl Ground {
    pub fn new(directory: TempDir) -> Self {
        let postgres = (DATABASE == Database::Postgres).then(|| Place {
            url: cluster().database(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            client: OnceCell::new(),
        });
        Self { directory, postgres }
    }

    pub fn open(&self, settings: Settings) -> Result<Store> {
        let Settings { cuts, on_fatal, pages_max, key } = settings;
        let path = self.directory.path();
        let Some(place) = &self.postgres else {
            return Store::open(Options { cuts, on_fatal, pages_max, ..Options::new(path, key) });
        };
        let options = store::postgres::Options {
            cuts,
            on_fatal,
            clock: LeaseClock::Caller,
            ..store::postgres::Options::new(&place.url, "node", path, key)
        };
        place.runtime.block_on(Store::connect(options))
    }

    /// Runs statements on the bare database; the answer on PostgreSQL.
    pub fn sql(&self, text: &str) -> String {
        match &self.postgres {
            Some(place) => cluster().sql(place.url.split(['/', '?']).nth(3).unwrap(), text),
            None => {
                let file = self.directory.path().join("tributary.db");
                rusqlite::Connection::open(file).unwrap().execute_batch(text).unwrap();
                String::new()
            }
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self::new_in(tempfile::tempdir().unwrap())
    }

    pub fn new_in(directory: TempDir) -> Self {
        Self::of(Ground::new(directory), Settings::default())
    }

    pub fn of(ground: Ground, settings: Settings) -> Self {
        let store = ground.open(settings).unwrap();
        let committer = RefCell::new(store.committer().unwrap());
        let (ws, chance) = (WorkspaceId::default(), RefCell::new(Chance(1)));
        Self { store, ws, committer, chance, ground: Some(ground) }
    }

    fn ground(&self) -> &Ground {
        self.ground.as_ref().unwrap()
    }

    pub fn path(&self) -> &Path {
        self.ground().directory.path()
    }

    /// Drops everything as it is and opens it again, as after a crash.
    pub fn reopen(self, settings: Settings) -> Self {
        Self::of(self.close(), settings)
    }

    /// Drops everything as it is.
    pub fn close(mut self) -> Ground {
        let ground = self.ground.take().unwrap();
        drop(self);
        ground
    }

    /// A connection of one's own to the embedded database, to look at what no interface tells.
    pub fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("tributary.db")).unwrap()
    }

    pub fn count(&self, sql: &str) -> i64 {
        let Some(place) = &self.ground().postgres else {
            return self.sql().query_row(sql, (), |row| row.get(0)).unwrap();
        };
        let client = place.client.get_or_init(|| {
            place.runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&place.url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client
            })
        });
        place.runtime.block_on(client.query_one(sql, &[])).unwrap().get(0)
    }

    /// Changes what no interface changes.
    pub fn change(&self, text: &str) {
        self.ground().sql(text);
    }

    /// Whether there is history of a month.
    pub fn has_month(&self, month: &str) -> bool {
        match &self.ground().postgres {
            None => self.path().join(format!("history-{month}.db")).exists(),
            Some(_) => {
                let table = format!("tributary_history.runs_{}", month.replace('-', "_"));
                self.count(&format!("SELECT count(*) WHERE to_regclass('{table}') IS NOT NULL")) == 1
            }
        }
    }

    /// Polls a future to its end, committing whenever it waits for that.
    pub fn go<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = self.poll(future.as_mut(), 0) {
                return value;
            }
            self.step();
        }
    }

    /// The same, but given up after so many steps of the committer.
    pub fn go_for<T>(&self, steps: usize, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..steps {
            if let Poll::Ready(value) = self.poll(future.as_mut(), 0) {
                return Some(value);
            }
            self.step();
        }
        None
    }

    /// Polls a future until it is ready or has put something beside the `before` units that wait for the committer.
    fn poll<T>(&self, mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>, before: usize) -> Poll<T> {
        let Some(place) = &self.ground().postgres else {
            return future.poll(&mut Context::from_waker(Waker::noop()));
        };
        place.runtime.block_on(std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Poll::Ready(value)),
            Poll::Pending if self.committer.borrow().pending() > before => Poll::Ready(Poll::Pending),
            Poll::Pending => Poll::Pending,
        }))
    }

    /// Polls futures side by side, in order: what they write before they first wait is one transaction.
    pub fn all<T>(&self, mut tasks: Vec<Task<'_, T>>) -> Vec<T> {
        let mut done: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
        loop {
            for (task, slot) in tasks.iter_mut().zip(&mut done) {
                let before = self.committer.borrow().pending();
                if slot.is_none()
                    && let Poll::Ready(value) = self.poll(task.as_mut(), before)
                {
                    *slot = Some(value);
                }
            }
            if done.iter().all(Option::is_some) {
                return done.into_iter().flatten().collect();
            }
            self.step();
        }
    }

    pub fn step(&self) -> usize {
        self.committer.borrow_mut().step()
    }

    pub fn commits(&self) -> u64 {
        self.committer.borrow().commits()
    }

    pub fn run_id(&self) -> RunId {
        RunId::random(&mut *self.chance.borrow_mut())
    }

    pub fn event_id(&self) -> EventId {
        EventId::random(&mut *self.chance.borrow_mut())
    }

    pub fn with_chance<T>(&self, work: impl FnOnce(&mut Chance) -> T) -> T {
        work(&mut self.chance.borrow_mut())
    }

    /// Deploys a flow of that name; its revision.
    pub fn deploy(&self, name: &str) -> u32 {
        let flow = NewFlow {
            name: name.into(),
            version: "1.0.0".into(),
            text: format!("flow {name}"),
            settings: json!({}),
            connections: Default::default(),
        };
        self.go(self.store.deploy_flow(&self.ws, flow, at(0))).unwrap().revision
    }

    pub fn new_event(&self, key: &str, time: Timestamp) -> NewEvent {
        NewEvent {
            id: self.event_id(),
            connection: "stripe".into(),
            dedupe_key: key.into(),
            r#type: "stripe.invoice.paid".into(),
            time,
            live: Some(false),
            subject: Some(format!("in_{key}")),
            data: json!({"id": key, "type": "invoice.paid"}),
        }
    }

    /// Accepts an event that happened at `time`.
    pub fn accept(&self, key: &str, time: Timestamp) -> EventId {
        match self.go(self.store.accept_event(&self.ws, self.new_event(key, time), time)).unwrap() {
            Accepted::Stored(id) => id,
            Accepted::Duplicate(id) => panic!("{key} is a duplicate of {id}"),
        }
    }

    pub fn to_flow(&self, flow: &str, lane: Option<&str>, mode: Mode) -> Dispatch {
        Dispatch {
            run: self.run_id(),
            flow: flow.into(),
            revision: 1,
            lane: lane.map(str::to_owned),
            mode,
            on_failure: OnFailure::Continue,
            fact: None,
            window: None,
            fault: None,
        }
    }

    pub fn dispatching(&self, event: &EventId, flows: Vec<Dispatch>) -> Dispatching {
        Dispatching { workspace: self.ws.clone(), event: event.clone(), flows, answers: Vec::new() }
    }

    pub fn dispatch(&self, event: &EventId, flows: Vec<Dispatch>) -> Result<Vec<FlowOutcome>> {
        self.go(self.store.dispatch(self.dispatching(event, flows), at(1000)))
    }

    /// A new event that starts a run in that lane; the run.
    pub fn queue(&self, key: &str, flow: &str, lane: Option<&str>) -> RunId {
        let event = self.accept(key, at(0));
        let dispatch = self.to_flow(flow, lane, Mode::Queue);
        let run = dispatch.run.clone();
        self.dispatch(&event, vec![dispatch]).unwrap();
        run
    }

    pub fn claim(&self, limit: usize, now: Timestamp) -> Vec<ClaimedRun> {
        self.go(self.store.claim_runs("node-1", limit, SignedDuration::from_secs(30), now)).unwrap()
    }

    pub fn claim_ids(&self, limit: usize) -> Vec<RunId> {
        self.claim(limit, at(2000)).into_iter().map(|claimed| claimed.run).collect()
    }

    pub fn claim_one(&self) -> ClaimedRun {
        self.claim(1, at(2000)).pop().expect("a run is ready")
    }

    pub fn finish(&self, run: &ClaimedRun) -> Result<()> {
        let outcome = Outcome::Output(json!({"done": true}));
        self.go(self.store.finish(&self.ws, &run.run, run.epoch, &[], &outcome, at(3000))).map(drop)
    }

    pub fn fail(&self, run: &ClaimedRun) -> Result<()> {
        let outcome = Outcome::Fault(Fault::communication("no answer"));
        self.go(self.store.finish(&self.ws, &run.run, run.epoch, &[], &outcome, at(3000))).map(drop)
    }
}

pub fn effect(path: &str) -> EffectRef {
    EffectRef { path: path.into(), visit: 1, generation: 0 }
}

pub fn resolved(path: &str, output: Value) -> Entry {
    Entry::Resolved {
        effect: effect(path),
        step: path.rsplit('/').next().unwrap_or_default().into(),
        operation: "stripe.customers.retrieve".into(),
        input: json!({"id": "cus_1"}),
        outcome: Outcome::Output(output),
        attempts: 1,
        started_at: at(1),
        at: at(2),
    }
}
