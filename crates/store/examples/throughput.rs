//! How many events a store takes in with 64 callers at a time, and how many runs go through it, 64 at a time:
//! `cargo run --release -p store --example throughput [seconds] [directory | postgres://… of an empty database]`.

use flow::journal::{Entry, Outcome};
use flow::{EffectRef, EventId, Mode, OnFailure, RunId, WorkspaceId, chance::Rng};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{Dispatch, Dispatching, MasterKey, NewEvent, NewFlow, Options, Store};
use tokio::task::JoinSet;

const CALLERS: u64 = 64;

/// A counter spread over the bits: all that an id needs here.
struct Counter(u64);

impl Rng for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56)
}

/// About the size of an invoice event of Stripe's.
fn body() -> Value {
    let line = json!({"id": "il_1", "amount": 4200, "currency": "eur", "description": "x".repeat(200)});
    json!({"id": "evt_1", "type": "invoice.paid", "data": {"object": {"lines": {"data": vec![line; 12]}}}})
}

fn new_event(rng: &mut Counter, body: &Value) -> NewEvent {
    let id = EventId::random(rng);
    NewEvent {
        dedupe_key: id.to_string(),
        id,
        connection: "stripe".into(),
        r#type: "stripe.invoice.paid".into(),
        time: now(),
        live: Some(true),
        subject: Some("in_1".into()),
        data: body.clone(),
    }
}

/// What the callers counted together, and how long each time took, in microseconds.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    times: std::sync::Mutex<Vec<u64>>,
}

impl Tally {
    fn took(&self, began: Instant) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let time = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.times.lock().expect("nobody panics").push(time);
    }

    fn print(&self, what: &str, seconds: u64) {
        let mut times = self.times.lock().expect("nobody panics");
        times.sort_unstable();
        let quantile =
            |q: usize| times.get(times.len() * q / 1000).copied().unwrap_or_default() as f64 / 1000.0;
        let rate = self.done.load(Ordering::Relaxed) / seconds;
        println!("{what}: {rate}/s, p50 {:.2} ms, p99 {:.2} ms", quantile(500), quantile(990));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let place = arguments.next();
    let url = place.as_deref().filter(|place| place.starts_with("postgres"));
    let directory = match &place {
        Some(parent) if url.is_none() => tempfile::tempdir_in(parent)?,
        _ => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let key = MasterKey::from_bytes([1; 32]);
    let store = match url {
        Some(url) => {
            let options = store::postgres::Options::new(url, "node", directory.path(), key);
            runtime.block_on(Store::connect(options))?
        }
        None => Store::open(Options::new(directory.path(), key))?,
    };
    let committer = store.committer()?;
    let thread = std::thread::Builder::new().name("committer".into()).spawn(|| committer.run())?;
    runtime.block_on(measure(&store, seconds))?;
    drop(store);
    thread.join().map_err(|_| "the committer panicked")?;
    drop(runtime);
    Ok(())
}

async fn measure(store: &Store, seconds: u64) -> store::Result<()> {
    let ws = WorkspaceId::default();
    let flow = NewFlow {
        name: "f".into(),
        version: "1.0.0".into(),
        text: "document: …".into(),
        settings: json!({}),
        connections: Default::default(),
    };
    store.deploy_flow(&ws, flow, now()).await?;
    accept(store, seconds).await?;
    dispatch(store, seconds).await?;
    work(store, seconds).await?;
    let began = Instant::now();
    let mut moved = 0;
    while began.elapsed().as_secs() < seconds {
        let now_moved = store.retire(Timestamp::MAX, 256).await?;
        if now_moved == 0 {
            break;
        }
        moved += now_moved;
    }
    println!("retire: {:.0}/s ({moved} moved)", moved as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

async fn accept(store: &Store, seconds: u64) -> store::Result<()> {
    let tally = Arc::new(Tally::default());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, tally) = (store.clone(), tally.clone());
        callers.spawn(async move {
            let (ws, body, mut rng) = (WorkspaceId::default(), body(), Counter(caller << 40));
            while Instant::now() < until {
                let began = Instant::now();
                store.accept_event(&ws, new_event(&mut rng, &body), now()).await?;
                tally.took(began);
            }
            store::Result::<()>::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.map_err(|_| store::Error::Closed)??;
    }
    tally.print("accept_event", seconds);
    Ok(())
}

/// As the dispatcher does: what waits, a batch at a time.
async fn dispatch(store: &Store, seconds: u64) -> store::Result<()> {
    let began = Instant::now();
    let (mut rng, mut done) = (Counter(1 << 60), 0);
    while began.elapsed().as_secs() < seconds {
        let batch = store.undispatched_events(256).await?;
        if batch.is_empty() {
            break;
        }
        let to_flow = |event: &store::Event, rng: &mut Counter| Dispatching {
            workspace: event.workspace.clone(),
            event: event.id.clone(),
            flows: vec![Dispatch {
                run: RunId::random(rng),
                flow: "f".into(),
                revision: 1,
                lane: Some(format!("cus_{}", event.id)),
                mode: Mode::Queue,
                on_failure: OnFailure::Continue,
                fact: None,
                window: None,
                fault: None,
            }],
            answers: Vec::new(),
        };
        let batch = batch.iter().map(|event| to_flow(event, &mut rng)).collect();
        for result in store.dispatch_all(batch, now()).await {
            result?;
            done += 1;
        }
    }
    println!("dispatch: {:.0}/s", f64::from(done) / began.elapsed().as_secs_f64());
    Ok(())
}

/// As the engine does: one claimer, 64 runs at a time; each journals an intent, then ends.
async fn work(store: &Store, seconds: u64) -> store::Result<()> {
    let tally = Arc::new(Tally::default());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut workers = JoinSet::new();
    while Instant::now() < until {
        let free = CALLERS as usize - workers.len();
        for claimed in store.claim_runs("node", free, SignedDuration::from_secs(60), now()).await? {
            let (store, tally) = (store.clone(), tally.clone());
            workers.spawn(async move {
                let began = Instant::now();
                let intent = Entry::Intent {
                    effect: EffectRef { path: "/do/0/post".into(), visit: 1, generation: 0 },
                    key: "tby_abcdefghijklmnopqrstuvwxyz".into(),
                    attempt: 1,
                    operation: "chartmogul.invoices.import".into(),
                    request: json!({"method": "POST", "path": "/v1/import", "body": "x".repeat(1000)}),
                    at: now(),
                };
                let (ws, run, epoch) = (&claimed.workspace, &claimed.run, claimed.epoch);
                store.journal_append(ws, run, epoch, &[intent]).await?;
                let outcome = Outcome::Output(json!({"ok": true}));
                store.finish(ws, run, epoch, &[], &outcome, now()).await?;
                tally.took(began);
                store::Result::<()>::Ok(())
            });
        }
        match workers.join_next().await {
            Some(ended) => ended.map_err(|_| store::Error::Closed)??,
            None => break,
        }
        while let Some(ended) = workers.try_join_next() {
            ended.map_err(|_| store::Error::Closed)??;
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|_| store::Error::Closed)??;
    }
    tally.print("claim → append → finish", seconds);
    Ok(())
}
