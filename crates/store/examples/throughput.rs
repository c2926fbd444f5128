//! How many events a store takes in, and how many runs go through it, with 64 callers at a time:
//! `cargo run --release -p store --example throughput [seconds] [directory]`.

use flow::journal::{Entry, Outcome};
use flow::{EffectRef, EventId, Mode, OnFailure, RunId, WorkspaceId, chance::Rng};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{Dispatch, Dispatching, MasterKey, NewEvent, NewFlow, Options, Store};

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
    let directory = match arguments.next() {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let store = Store::open(Options::new(directory.path(), MasterKey::from_bytes([1; 32])))?;
    let committer = store.committer()?;
    let thread = std::thread::Builder::new().name("committer".into()).spawn(|| committer.run())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&store, seconds))?;
    drop(runtime);
    drop(store);
    thread.join().map_err(|_| "the committer panicked")?;
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
    callers("accept_event", seconds, |caller, tally, until| accept(store.clone(), caller, tally, until))
        .await?;
    callers("accept → dispatch → claim → append → finish", seconds, |caller, tally, until| {
        cycle(store.clone(), caller, tally, until)
    })
    .await?;
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

async fn callers<F>(
    what: &str,
    seconds: u64,
    mut caller: impl FnMut(u64, Arc<Tally>, Instant) -> F,
) -> store::Result<()>
where
    F: Future<Output = store::Result<()>> + Send + 'static,
{
    let tally = Arc::new(Tally::default());
    let until = Instant::now() + Duration::from_secs(seconds);
    let tasks: Vec<_> =
        (0..CALLERS).map(|number| tokio::spawn(caller(number, tally.clone(), until))).collect();
    for task in tasks {
        task.await.map_err(|_| store::Error::Closed)??;
    }
    tally.print(what, seconds);
    Ok(())
}

async fn accept(store: Store, caller: u64, tally: Arc<Tally>, until: Instant) -> store::Result<()> {
    let (ws, body, mut rng) = (WorkspaceId::default(), body(), Counter(caller << 40));
    while Instant::now() < until {
        let began = Instant::now();
        store.accept_event(&ws, new_event(&mut rng, &body), now()).await?;
        tally.took(began);
    }
    Ok(())
}

/// One event at a time from acceptance to the finished run, each caller with its own lane and whatever is ready.
async fn cycle(store: Store, caller: u64, tally: Arc<Tally>, until: Instant) -> store::Result<()> {
    let (ws, body, mut rng) = (WorkspaceId::default(), body(), Counter((caller + 1) << 50));
    while Instant::now() < until {
        let began = Instant::now();
        let event = new_event(&mut rng, &body);
        let id = event.id.clone();
        store.accept_event(&ws, event, now()).await?;
        let dispatch = Dispatch {
            run: RunId::random(&mut rng),
            flow: "f".into(),
            revision: 1,
            lane: Some(format!("cus_{caller}")),
            mode: Mode::Queue,
            on_failure: OnFailure::Continue,
            fact: None,
            fault: None,
        };
        store
            .dispatch(Dispatching { workspace: ws.clone(), event: id, flows: vec![dispatch] }, now())
            .await?;
        for claimed in store.claim_runs("node", 1, SignedDuration::from_secs(60), now()).await? {
            let intent = Entry::Intent {
                effect: EffectRef { path: "/do/0/post".into(), visit: 1, generation: 0 },
                key: "tby_abcdefghijklmnopqrstuvwxyz".into(),
                attempt: 1,
                operation: "chartmogul.invoices.import".into(),
                request: json!({"method": "POST", "path": "/v1/import", "body": "x".repeat(1000)}),
                at: now(),
            };
            store.journal_append(&ws, &claimed.run, claimed.epoch, &[intent]).await?;
            let outcome = Outcome::Output(json!({"ok": true}));
            store.finish(&ws, &claimed.run, claimed.epoch, &[], &outcome, now()).await?;
            tally.took(began);
        }
    }
    Ok(())
}
