//! Several nodes on one PostgreSQL: whatever one does between two statements of another, nothing is done twice, lost or
//! left standing. Transactions are stopped at chosen statements, so that nothing here is a matter of luck.

use flow::journal::Outcome;
use flow::{EventId, Fault, RunId, WorkspaceId};
use jiff::SignedDuration;
use serde_json::json;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::postgres::{Failpoints, LeaseClock, Options, Point};
use store::{
    Accepted, ClaimedRun, Dispatch, Dispatching, Error, EventOutcome, Firing, Mode, NewEvent, NewFlow,
    OnFailure, Result, RunStatus, Store,
};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::world::{at, key};
use crate::cluster::cluster;

#[path = "nodes_keys.rs"]
mod keys;
#[path = "nodes_waits.rs"]
mod waits;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops a node's transactions before the statement that contains a text, once.
#[derive(Clone, Default)]
struct Gate {
    at: Arc<Mutex<Option<&'static str>>>,
    reached: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    fn stop_at(&self, text: &'static str) {
        *self.at.lock().unwrap() = Some(text);
    }

    fn failpoints(&self) -> Failpoints {
        let gate = self.clone();
        Arc::new(move |point: Point| {
            let gate = gate.clone();
            Box::pin(async move {
                let here = {
                    let mut at = gate.at.lock().unwrap();
                    let here = at.is_some_and(|text| point.sql.contains(text));
                    if here {
                        *at = None;
                    }
                    here
                };
                if here {
                    gate.reached.notify_one();
                    gate.open.notified().await;
                }
            })
        })
    }

    async fn reached(&self) {
        tokio::time::timeout(PATIENCE, self.reached.notified()).await.expect("it comes to the statement");
    }

    fn open(&self) {
        self.open.notify_one();
    }
}

struct Node {
    store: Store,
    gate: Gate,
    name: &'static str,
    database: String,
    directory: TempDir,
}

async fn node(url: &str, name: &'static str, clock: LeaseClock, stops: bool) -> Node {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let mut options = Options::new(url, name, directory.path(), key());
    options.failpoints = stops.then(|| gate.failpoints());
    options.clock = clock;
    let store = Store::connect(options).await.unwrap();
    let committer = store.committer().unwrap();
    std::thread::Builder::new().name(name.into()).spawn(move || committer.run()).unwrap();
    let database = url.split(['/', '?']).nth(3).unwrap().to_owned();
    Node { store, gate, name, database, directory }
}

fn ws() -> WorkspaceId {
    WorkspaceId::default()
}

fn new_event(key: &str) -> NewEvent {
    NewEvent {
        id: EventId::new(format!("evt_{key}")),
        connection: "stripe".into(),
        dedupe_key: key.into(),
        r#type: "stripe.invoice.paid".into(),
        time: at(0),
        live: Some(false),
        subject: None,
        data: json!({"id": key}),
    }
}

fn to_f(event: &EventId, run: &str, lane: Option<&str>, mode: Mode) -> Dispatching {
    let dispatch = Dispatch {
        run: RunId::new(run),
        flow: "f".into(),
        revision: 1,
        lane: lane.map(str::to_owned),
        mode,
        on_failure: OnFailure::Continue,
        fact: None,
        window: None,
        fault: None,
    };
    Dispatching { workspace: ws(), event: event.clone(), flows: vec![dispatch], answers: Vec::new() }
}

impl Node {
    async fn event(&self, key: &str) -> EventId {
        match self.store.accept_event(&ws(), new_event(key), at(0)).await.unwrap() {
            Accepted::Stored(id) | Accepted::Duplicate(id) => id,
        }
    }

    async fn queue(&self, key: &str, lane: Option<&str>) -> RunId {
        let event = self.event(key).await;
        let run = format!("run_{key}");
        self.store.dispatch(to_f(&event, &run, lane, Mode::Queue), at(1)).await.unwrap();
        RunId::new(run)
    }

    async fn claim(&self) -> Vec<ClaimedRun> {
        self.store.claim_runs(self.name, 10, SignedDuration::from_secs(30), at(2)).await.unwrap()
    }

    async fn finish(&self, run: &ClaimedRun) -> Result<()> {
        let outcome = Outcome::Output(json!(1));
        self.store.finish(&ws(), &run.run, run.epoch, &[], &outcome, at(3)).await.map(drop)
    }

    /// Starts something on a copy of the store, to go on beside the test.
    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(Store) -> F,
    ) -> JoinHandle<T> {
        tokio::spawn(work(self.store.clone()))
    }
}

fn new_flow() -> NewFlow {
    NewFlow {
        name: "f".into(),
        version: "1.0.0".into(),
        text: "flow f".into(),
        settings: json!({}),
        connections: Default::default(),
    }
}

/// Two nodes, the first of which can be stopped.
async fn two() -> (Node, Node) {
    let url = cluster().database();
    let first = node(&url, "first", LeaseClock::Caller, true).await;
    let second = node(&url, "second", LeaseClock::Caller, false).await;
    second.store.deploy_flow(&ws(), new_flow(), at(0)).await.unwrap();
    (first, second)
}

async fn done<T>(task: JoinHandle<T>) -> T {
    tokio::time::timeout(PATIENCE, task).await.expect("it comes to its end").unwrap()
}

/// Until a task is over or waits for a lock that another node holds.
async fn over_or_waiting<T>(node: &Node, task: &JoinHandle<T>) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let wait = async {
        while !task.is_finished() && cluster().sql(&node.database, waiting) == "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it ends or waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_delivery_that_comes_to_two_nodes_is_one_event() {
    let (first, second) = two().await;
    first.gate.stop_at("INSERT INTO events");
    let one = first.spawn(|store| async move { store.accept_event(&ws(), new_event("e"), at(0)).await });
    first.gate.reached().await;
    let mut other = new_event("e");
    other.id = EventId::new("evt_other");
    let two = second.spawn(|store| async move { store.accept_event(&ws(), other, at(0)).await });
    over_or_waiting(&second, &two).await;
    assert!(!two.is_finished(), "it waits for what becomes of the key");
    first.gate.open();
    assert_eq!(done(one).await.unwrap(), Accepted::Stored(EventId::new("evt_e")));
    assert_eq!(done(two).await.unwrap(), Accepted::Duplicate(EventId::new("evt_e")));
    assert_eq!(second.store.stats(None).await.unwrap().events_duplicate, 1);
}

/// The second node looks at the clock while the first one has moved it and not committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_start_by_the_clock_that_two_nodes_come_to_is_one_event() {
    let (first, second) = two().await;
    second.store.begin_schedule(&ws(), "f", "every 1m", Some(at(60))).await.unwrap();
    let firing = |id: &str| {
        let event = NewEvent { id: EventId::new(id), ..new_event("f@60") };
        let (flow, clock) = ("f".to_owned(), "every 1m".to_owned());
        Firing { flow, clock, due_at: at(60), next: Some(at(120)), event }
    };
    first.gate.stop_at("UPDATE schedules");
    let mine = firing("evt_1");
    let one = first.spawn(|store| async move { store.fire(&ws(), mine, at(60)).await });
    first.gate.reached().await;
    let theirs = firing("evt_2");
    let two = second.spawn(|store| async move { store.fire(&ws(), theirs, at(60)).await });
    over_or_waiting(&second, &two).await;
    first.gate.open();
    assert_eq!(done(one).await.unwrap(), Accepted::Stored(EventId::new("evt_1")));
    assert!(matches!(done(two).await, Err(Error::Conflict { .. })));
    let schedules = second.store.schedules().await.unwrap();
    assert_eq!(
        (schedules[0].due_at, schedules[0].event.clone()),
        (Some(at(120)), Some(EventId::new("evt_1")))
    );
    assert_eq!(second.store.undispatched_events(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_dispatched_by_two_nodes_is_one_run() {
    for stop in ["UPDATE events", "INSERT INTO runs", "INSERT INTO event_outcomes", "COMMIT"] {
        let (first, second) = two().await;
        let event = second.event("e").await;
        first.gate.stop_at(stop);
        let dispatching = to_f(&event, "run_1", Some("a"), Mode::Latest);
        let one = first.spawn(|store| async move { store.dispatch(dispatching, at(1)).await });
        first.gate.reached().await;
        let dispatching = to_f(&event, "run_2", Some("a"), Mode::Latest);
        let two = second.spawn(|store| async move { store.dispatch(dispatching, at(1)).await });
        over_or_waiting(&second, &two).await;
        first.gate.open();
        let results = [done(one).await, done(two).await];
        let created = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(created, 1, "{stop}: {results:?}");
        let stats = first.store.stats(None).await.unwrap();
        assert_eq!((stats.runs_created, stats.runs_queued, stats.events_undispatched), (1, 1, 0), "{stop}");
        assert_eq!(first.claim().await.len(), 1);
    }
}

/// Two events of one lane of a state flow, each seen by another node at the same moment: one run does for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_flow_gets_one_run_for_two_events_of_two_nodes() {
    let (first, second) = two().await;
    let (a, b) = (second.event("a").await, second.event("b").await);
    first.gate.stop_at("INSERT INTO run_events");
    let dispatching = to_f(&a, "run_1", Some("lane"), Mode::Latest);
    let one = first.spawn(|store| async move { store.dispatch(dispatching, at(1)).await });
    first.gate.reached().await;
    let dispatching = to_f(&b, "run_2", Some("lane"), Mode::Latest);
    let two = second.spawn(|store| async move { store.dispatch(dispatching, at(1)).await });
    over_or_waiting(&second, &two).await;
    first.gate.open();
    assert_eq!(done(one).await.unwrap()[0].outcome, EventOutcome::Run(RunId::new("run_1")));
    assert_eq!(done(two).await.unwrap()[0].outcome, EventOutcome::Joined(RunId::new("run_1")));
}

/// A run is created in a lane while the one before it ends: the turn must not fall between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_not_lost_between_creating_and_passing_on() {
    for stop in ["UPDATE runs SET status", "UPDATE runs SET turn", "COMMIT"] {
        let (first, second) = two().await;
        second.queue("a1", Some("a")).await;
        let claimed = second.claim().await.pop().unwrap();
        let event = second.event("a2").await;
        first.gate.stop_at(stop);
        let (run, epoch) = (claimed.run.clone(), claimed.epoch);
        let ends = first.spawn(move |store| async move {
            store.finish(&ws(), &run, epoch, &[], &Outcome::Output(json!(1)), at(3)).await
        });
        first.gate.reached().await;
        let dispatching = to_f(&event, "run_a2", Some("a"), Mode::Queue);
        let begins = second.spawn(|store| async move { store.dispatch(dispatching, at(3)).await });
        over_or_waiting(&second, &begins).await;
        first.gate.open();
        done(ends).await.unwrap();
        done(begins).await.unwrap();
        let next: Vec<RunId> = second.claim().await.into_iter().map(|claim| claim.run).collect();
        assert_eq!(next, [RunId::new("run_a2")], "stopped at {stop}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_paused_while_a_run_is_created_begins_nothing() {
    let (first, second) = two().await;
    let event = second.event("e").await;
    first.gate.stop_at("INSERT INTO run_events");
    let dispatching = to_f(&event, "run_1", None, Mode::Queue);
    let one = first.spawn(|store| async move { store.dispatch(dispatching, at(1)).await });
    first.gate.reached().await;
    let pause = second.spawn(|store| async move { store.pause_flow(&ws(), "f").await });
    over_or_waiting(&second, &pause).await;
    first.gate.open();
    done(one).await.unwrap();
    done(pause).await.unwrap();
    assert!(second.claim().await.is_empty());
    second.store.resume_flow(&ws(), "f").await.unwrap();
    assert_eq!(second.claim().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_claim_share_the_runs() {
    let (first, second) = two().await;
    for n in 0..6 {
        second.queue(&format!("e{n}"), None).await;
    }
    first.gate.stop_at("COMMIT");
    let one = first.spawn(|store| async move {
        store.claim_runs("first", 3, SignedDuration::from_secs(30), at(2)).await.unwrap()
    });
    first.gate.reached().await;
    // Without waiting for the other node.
    let theirs = tokio::time::timeout(PATIENCE, second.claim()).await.unwrap();
    first.gate.open();
    let mut all: Vec<RunId> = done(one).await.into_iter().chain(theirs).map(|claim| claim.run).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}

/// A lease that ends while its holder finishes, renews or gives up: the run has one holder and one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ends_in_mid_write_fences_or_is_too_late() {
    for (stop, finished) in [("UPDATE runs SET status = 'queued'", true), ("COMMIT", false)] {
        let (first, second) = two().await;
        second.queue("e", None).await;
        let claimed = second.claim().await.pop().unwrap();
        first.gate.stop_at(stop);
        let expiry = first.spawn(|store| async move { store.release_expired(at(1000)).await });
        first.gate.reached().await;
        let (run, epoch) = (claimed.run.clone(), claimed.epoch);
        let ends = second.spawn(move |store| async move {
            store.finish(&ws(), &run, epoch, &[], &Outcome::Output(json!(1)), at(3)).await
        });
        over_or_waiting(&second, &ends).await;
        first.gate.open();
        assert_eq!(done(expiry).await.unwrap(), usize::from(!finished), "{stop}");
        let ended = done(ends).await;
        assert_eq!(ended.is_ok(), finished, "{stop}: {ended:?}");
        if !finished {
            assert!(matches!(ended, Err(Error::Fenced { .. })));
            let again = first.claim().await.pop().unwrap();
            assert_eq!(again.epoch, claimed.epoch + 1);
            first.finish(&again).await.unwrap();
        }
        let run = first.store.run(&ws(), &claimed.run).await.unwrap().unwrap();
        assert_eq!(run.status, RunStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_renewed_in_time_is_not_taken_away() {
    let (first, second) = two().await;
    second.queue("e", None).await;
    let claimed = second.claim().await.pop().unwrap();
    first.gate.stop_at("UPDATE runs SET status = 'queued'");
    let expiry = first.spawn(|store| async move { store.release_expired(at(40)).await });
    first.gate.reached().await;
    let lease = SignedDuration::from_secs(30);
    second.store.renew_lease(&ws(), &claimed.run, claimed.epoch, lease, at(35)).await.unwrap();
    first.gate.open();
    assert_eq!(done(expiry).await.unwrap(), 0);
    second.finish(&claimed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finishing_and_cancelling_at_once_ends_a_run_once() {
    for stop in ["UPDATE runs SET status", "COMMIT"] {
        let (first, second) = two().await;
        second.queue("a1", Some("a")).await;
        second.queue("a2", Some("a")).await;
        let claimed = second.claim().await.pop().unwrap();
        first.gate.stop_at(stop);
        let run = claimed.run.clone();
        let cancel = first.spawn(move |store| async move { store.cancel_run(&ws(), &run, at(3)).await });
        first.gate.reached().await;
        let (run, epoch) = (claimed.run.clone(), claimed.epoch);
        let ends = second.spawn(move |store| async move {
            store.finish(&ws(), &run, epoch, &[], &Outcome::Fault(Fault::runtime("x")), at(3)).await
        });
        over_or_waiting(&second, &ends).await;
        first.gate.open();
        let (cancelled, ended) = (done(cancel).await.is_ok(), done(ends).await.is_ok());
        assert!(cancelled ^ ended, "{stop}: {cancelled} {ended}");
        let next: Vec<RunId> = second.claim().await.into_iter().map(|claim| claim.run).collect();
        assert_eq!(next, [RunId::new("run_a2")], "the lane goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_again_while_it_goes_to_history_is_there_whole() {
    for stop in ["DELETE FROM runs", "DELETE FROM journal", "COMMIT"] {
        let (first, second) = two().await;
        let run = second.queue("e", None).await;
        let claimed = second.claim().await.pop().unwrap();
        let fault = Outcome::Fault(Fault::runtime("x"));
        second.store.finish(&ws(), &run, claimed.epoch, &[], &fault, at(3)).await.unwrap();
        first.gate.stop_at(stop);
        let retire = first.spawn(|store| async move { store.retire(at(1000), 10).await });
        first.gate.reached().await;
        let wanted = run.clone();
        let retry = second.spawn(move |store| async move { store.retry_run(&ws(), &wanted).await });
        over_or_waiting(&second, &retry).await;
        first.gate.open();
        done(retire).await.unwrap();
        done(retry).await.unwrap();
        let again = second.claim().await.pop().expect("it is claimed");
        assert_eq!((&again.run, again.retries, again.event.is_some()), (&run, 1, true), "{stop}");
        assert_eq!(second.store.journal(&ws(), &run).await.unwrap().len(), 1);
        second.finish(&again).await.unwrap();
        while first.store.retire(at(2000), 10).await.unwrap() > 0 {}
        assert_eq!(first.store.run(&ws(), &run).await.unwrap().unwrap().status, RunStatus::Completed);
    }
}

/// Leases are timed by the database, whatever the nodes' clocks say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_ends_by_the_databases_clock() {
    let url = cluster().database();
    let first = node(&url, "first", LeaseClock::Database, false).await;
    first.store.deploy_flow(&ws(), new_flow(), at(0)).await.unwrap();
    first.queue("e", None).await;
    let claimed = first.claim().await.pop().unwrap();
    // A node whose clock is a century ahead takes nothing away.
    let late = at(100 * 365 * 86_400);
    assert_eq!(first.store.release_expired(late).await.unwrap(), 0);
    let ahead = format!("{url}&options=-c%20tributary.clock_shift%3D31000000");
    let second = node(&ahead, "second", LeaseClock::Database, false).await;
    assert_eq!(second.store.release_expired(at(0)).await.unwrap(), 1, "31 s later by the database");
    assert!(matches!(first.finish(&claimed).await, Err(Error::Fenced { .. })));
}

/// Of two nodes one finds the events that wait; when it is gone, the other does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_dispatches_and_another_takes_over() {
    let (first, second) = two().await;
    second.event("e").await;
    assert_eq!(first.store.undispatched_events(10).await.unwrap().len(), 1);
    assert!(second.store.undispatched_events(10).await.unwrap().is_empty());
    drop(first);
    tokio::time::timeout(PATIENCE, async {
        while second.store.undispatched_events(10).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it takes over");
}

/// The database throws every session out: what was acknowledged is there, and the node goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_outlives_its_sessions() {
    let url = cluster().database();
    let node = node(&url, "node", LeaseClock::Caller, true).await;
    node.event("before").await;
    assert_eq!(node.store.undispatched_events(10).await.unwrap().len(), 1);
    node.gate.stop_at("INSERT INTO events");
    let cut = node.spawn(|store| async move { store.accept_event(&ws(), new_event("cut"), at(0)).await });
    node.gate.reached().await;
    let thrown = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ";
    cluster().sql("postgres", &format!("{thrown}'{}'", node.database));
    node.gate.open();
    assert!(matches!(done(cut).await, Err(Error::Unavailable(_))), "nothing of it is durable");
    tokio::time::timeout(PATIENCE, async {
        while node.store.accept_event(&ws(), new_event("after"), at(0)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it connects again");
    let mut keys = Vec::new();
    for _ in 0..1000 {
        match node.store.undispatched_events(10).await {
            Ok(events) if !events.is_empty() => {
                keys = events.into_iter().map(|event| event.dedupe_key).collect();
                break;
            }
            _ => tokio::task::yield_now().await,
        }
    }
    assert_eq!(keys, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_open_it_is_told_why() {
    let (first, _) = two().await;
    let open = async |url: String, key| {
        let directory = tempfile::tempdir().unwrap();
        Store::connect(Options::new(url, "other", directory.path(), key)).await.map(|_| ()).unwrap_err()
    };
    let url = cluster().database();
    let other = node(&url, "n", LeaseClock::Caller, false).await;
    let refused = open(url.clone(), store::MasterKey::from_bytes([9; 32])).await;
    assert!(matches!(refused, Error::Key(_)), "{refused}");
    let name = url.split(['/', '?']).nth(3).unwrap();
    cluster().sql(name, "UPDATE meta SET value = '999' WHERE name = 'schema'");
    let newer = open(url.clone(), key()).await;
    assert!(matches!(newer, Error::Newer { found: 999, .. }), "{newer}");
    let missing = open(cluster().url("nowhere"), key()).await;
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    cluster().sql("postgres", "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'sesame'");
    let empty = cluster().database().replace("user=postgres", "user=guest&password=sesame");
    let forbidden = open(empty, key()).await.to_string();
    assert!(forbidden.contains("CREATE DATABASE") && !forbidden.contains("sesame"), "{forbidden}");
    let away = open("postgres://me:sesame@127.0.0.1:1/d".into(), key()).await;
    assert!(away.to_string().contains("127.0.0.1:1") && !away.to_string().contains("sesame"), "{away}");
    drop((first, other));
}

/// Housekeeping of one node takes away what another has just brought back from history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_again_is_not_lost_to_housekeeping() {
    for wanted in ["a run", "an event"] {
        let (first, second) = two().await;
        let run = second.queue("e", None).await;
        let claimed = second.claim().await.pop().unwrap();
        let fault = Outcome::Fault(Fault::communication("no answer"));
        second.store.finish(&ws(), &run, claimed.epoch, &[], &fault, at(3)).await.unwrap();
        assert_eq!(second.store.retire(at(1000), 10).await.unwrap(), 2);
        let event = EventId::new("evt_e");
        let again = match wanted {
            "a run" => {
                first.gate.stop_at("UPDATE runs SET status = 'queued', retries");
                let run = run.clone();
                first.spawn(move |store| async move { store.retry_run(&ws(), &run).await })
            }
            _ => {
                first.gate.stop_at("UPDATE events SET status = 'accepted', replays");
                first.spawn(move |store| async move { store.replay_event(&ws(), &event).await })
            }
        };
        first.gate.reached().await;
        assert!(second.store.retire(at(1000), 10).await.unwrap() > 0, "{wanted} went away again");
        first.gate.open();
        done(again).await.unwrap();
        let stats = second.store.stats(None).await.unwrap();
        let expected = if wanted == "a run" { (1, 0) } else { (0, 1) };
        assert_eq!((stats.runs_queued, stats.events_undispatched), expected, "{wanted}");
    }
}
