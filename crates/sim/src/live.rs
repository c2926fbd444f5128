//! One life: a month of billing, its webhooks, the process that takes them, and everything that goes wrong.
//!
//! The loop of [`Sim::run`] is the only thing that makes time pass. Whenever nothing can go on without it, pending
//! writes are committed; when there are none, time goes to whatever comes next: somebody's act, a delivery, a sleep
//! that ends, a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Cuts;
use tokio::task::JoinHandle;
use twins::life;

use crate::chance::{Chance, Stream};
use crate::check::{self, Evidence, Peaks, Violation};
use crate::disk::Disk;
use crate::fault::{Fault, Faults, Kind};
use crate::idle::Idle;
use crate::node::{PUBLIC_URL, Parts, Process, Told, ask};
use crate::people::People;
use crate::plan;
use crate::post::{Post, Sent};
use crate::target::Target;
use crate::time::Time;
use crate::trace::Trace;
use crate::vendors::{self, Network, Vendors};
use crate::{Broken, Setting};

/// The unit of what happens in the vendor: an act is over by the end of its second.
const TICK: SignedDuration = SignedDuration::from_secs(1);
/// Everything must be over so long after the life: an event may be four days late, and is sent again for three.
const SETTLE_MAX: SignedDuration = SignedDuration::from_hours(9 * 24);
/// Runs that ended so long ago leave the hot tables each midnight.
const HOT: SignedDuration = SignedDuration::from_hours(48);
/// Runs and events moved to history in one go.
const RETIRED_MAX: usize = 64;
/// A supervisor starts a process again that ended, after this time, but not for ever.
const RESTART: SignedDuration = SignedDuration::from_secs(5);
const STARTS_MAX: u64 = 300;
/// A commit waits for something that happens within this time, now and then.
const COMMIT_WAIT: SignedDuration = SignedDuration::from_millis(25);

/// What came of a life.
#[derive(Debug, Default)]
pub struct Lived {
    pub violations: Vec<Violation>,
    /// The faults that struck.
    pub struck: Vec<Fault>,
    pub counts: BTreeMap<Kind, u64>,
    pub trace: Vec<String>,
    pub numbers: Numbers,
    /// What the vendors held in the end, to be compared with another life.
    pub end: Value,
}

/// How large a life was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub customers: usize,
    pub events: usize,
    pub commits: u64,
    pub reads: u64,
    pub writes: u64,
    pub runs: usize,
    pub starts: u64,
    pub disk_writes: u64,
    pub disk_syncs: u64,
}

/// Lives a seed's life with these faults.
///
/// # Errors
/// When the simulation itself cannot go on.
pub fn live(
    setting: &Setting,
    target: &Target,
    seed: u64,
    plan: &plan::Plan,
    traced: bool,
) -> Result<Lived, Broken> {
    // What a node logs while everything fails around it is told by the trace.
    let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let (runtime, idle) = Idle::runtime().map_err(|error| Broken(format!("no executor: {error}")))?;
    runtime.block_on(async {
        let mut sim = Sim::new(setting, target, seed, plan, idle, traced)?;
        sim.set_up(target).await?;
        let stuck = sim.run().await?;
        sim.judge(target, stuck).await
    })
}

/// A life under way.
struct Sim {
    time: Arc<Time>,
    idle: Idle,
    trace: Trace,
    faults: Arc<Mutex<Faults>>,
    commits: Arc<Mutex<Commits>>,
    chance: Chance,
    parts: Parts,
    vendors: Vendors,
    network: Arc<Network>,
    life: life::Life,
    post: Post,
    people: People,
    asks: bool,
    clocked: bool,
    data: tempfile::TempDir,
    disk: Disk,
    process: Option<Process>,
    starts: u64,
    /// When the process starts again, and each of its engines.
    restart: Option<Timestamp>,
    engine_restarts: BTreeMap<usize, Timestamp>,
    midnight: u32,
    housekeeping: Option<JoinHandle<()>>,
    back_filled: bool,
    quiet: Option<bool>,
    peaks: Peaks,
}

/// Commits since faults are injected.
#[derive(Debug, Default)]
struct Commits {
    armed: bool,
    count: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    fn new(
        setting: &Setting,
        target: &Target,
        seed: u64,
        plan: &plan::Plan,
        idle: Idle,
        traced: bool,
    ) -> Result<Sim, Broken> {
        let config = life::Config::new(seed, setting.customers, setting.days);
        let time = Time::new(config.start);
        let trace = Trace::new(time.clone(), traced);
        let faults = Arc::new(Mutex::new(Faults::new(plan.faults.clone())));
        let commits = Arc::new(Mutex::new(Commits::default()));
        let vendors = Vendors::new(seed, config.dawn(), config.end()).beside(&setting.catalog);
        let mut life = life::Life::begin(config, vendors.stripe.clone()).map_err(Broken::of)?;
        life.past().map_err(Broken::of)?;
        // Nobody listened yet: what the old customers did so far was never told to anybody.
        drop(vendors.stripe.drain_events());
        let network = Network::new(seed, vendors.clone(), time.clone(), faults.clone(), trace.clone());
        let network = Arc::new(network);
        let parts = Parts {
            seed,
            nodes: plan.nodes,
            catalog: setting.catalog.clone(),
            templates: target
                .documents()
                .map(|document| server::Template {
                    slug: document.name().to_owned(),
                    document: document.clone(),
                })
                .collect(),
            transport: network.clone(),
            time: time.clone(),
            alerts: Arc::new(Told(trace.clone())),
            cuts: cuts(commits.clone(), faults.clone(), trace.clone()),
            trace: trace.clone(),
        };
        let data = tempfile::Builder::new()
            .prefix("tributary-sim-")
            .tempdir()
            .map_err(|error| Broken(format!("no directory for the data: {error}")))?;
        let disk = Disk::new(data.path(), seed, time.clone(), faults.clone(), trace.clone())?;
        Ok(Sim {
            post: Post::new(seed, time.clone(), faults.clone(), trace.clone()),
            people: People::new(seed, time.clone(), trace.clone()),
            asks: target.asks(),
            clocked: target.is_clocked(),
            chance: Chance::new(seed, Stream::Commits),
            time,
            idle,
            trace,
            faults,
            commits,
            parts,
            vendors,
            network,
            life,
            data,
            disk,
            process: None,
            starts: 0,
            restart: None,
            engine_restarts: BTreeMap::new(),
            midnight: 0,
            housekeeping: None,
            back_filled: false,
            quiet: None,
            peaks: Peaks::default(),
        })
    }

    /// What a person does on the first day, with nothing going wrong: connect the accounts, deploy the flow, register
    /// the webhook.
    async fn set_up(&mut self, target: &Target) -> Result<(), Broken> {
        self.start().await?;
        let wanted = target.vendors();
        let vendors = self.vendors.clone();
        for (vendor, port) in vendors.ports().filter(|(vendor, _)| wanted.contains(*vendor)) {
            let body = json!({"connector": vendor, "live": false, "base_url": Vendors::base_url(port),
                "credentials": vendors.credentials(vendor)});
            let made = self.rest("PUT", &format!("/v1/connections/{vendor}"), &body).await?;
            let Some(path) = made["hook"]["path"].as_str().filter(|_| vendor == "stripe") else { continue };
            let endpoint = self.vendors.stripe.create_endpoint(&format!("{PUBLIC_URL}{path}"), &["*"], None);
            self.post.address(path, &endpoint.secret);
            let body = json!({"connector": vendor, "live": false, "base_url": Vendors::base_url(port),
                "credentials": {"api_key": vendors::STRIPE_KEY, "webhook_secret": endpoint.secret}});
            self.rest("PUT", "/v1/connections/stripe", &body).await?;
        }
        // What it starts is there before it is.
        for document in target.companions.iter().chain([&target.document]) {
            let path = format!("/v1/templates/{}/install", document.name());
            let connections = Target::connections(document);
            self.rest("POST", &path, &json!({"settings": {}, "connections": connections})).await?;
        }
        lock(&self.commits).armed = true;
        self.disk.arm(true);
        Ok(())
    }

    /// One call of the REST API.
    async fn rest(&mut self, method: &'static str, path: &str, body: &Value) -> Result<Value, Broken> {
        let Some(process) = &self.process else { return Err(Broken("no process".to_owned())) };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (router, sent) = (process.router.clone(), Bytes::from(body.to_string()));
        let path = path.to_owned();
        let asked = path.clone();
        let answer = self.drive(async move { ask(router, method, &asked, headers, sent).await }).await?;
        match answer {
            Some((status, body)) if status < 300 => serde_json::from_slice(&body).map_err(Broken::of),
            Some((status, body)) => {
                Err(Broken(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body))))
            }
            None => Err(Broken(format!("{method} {path}: no answer"))),
        }
    }

    /// Lets a future run to its end, committing and letting time go by.
    async fn drive<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Broken> {
        let task = tokio::spawn(future);
        loop {
            self.idle.wait().await;
            if task.is_finished() {
                return task.await.map_err(Broken::of);
            }
            if self.process.as_mut().is_some_and(|process| process.commit() > 0) {
                continue;
            }
            if self.time.next().is_none() {
                return Err(Broken("something waits for nothing".to_owned()));
            }
            self.time.wake_next();
        }
    }

    /// Starts the process on what is durable.
    async fn start(&mut self) -> Result<(), Broken> {
        self.starts += 1;
        self.restart = None;
        self.engine_restarts.clear();
        self.quiet = None;
        match Process::start(&self.parts, self.data.path(), self.starts) {
            Ok(process) => {
                self.process = Some(process);
                self.trace.say(|| format!("start {}", self.starts));
                Ok(())
            }
            // Whoever supervises the process starts it again.
            Err(error) => {
                self.trace.say(|| format!("start {} failed: {error}", self.starts));
                self.bury().await;
                Ok(())
            }
        }
    }

    /// Lives until everything is over; says what is not, if that takes too long.
    async fn run(&mut self) -> Result<Option<String>, Broken> {
        let end = self.life.plan().config.end();
        loop {
            self.idle.wait().await;
            self.peaks.tasks = self.peaks.tasks.max(tasks());
            if self.post.settle() | self.people.settle() {
                continue;
            }
            if self.process.as_ref().is_some_and(|process| process.is_dead() || self.disk.is_off()) {
                self.bury().await;
                continue;
            }
            if self.commit() {
                continue;
            }
            if self.starts > STARTS_MAX {
                return Ok(Some(format!("the process was started {STARTS_MAX} times and does not stay up")));
            }
            let Some(next) = self.next_happening().await? else {
                if self.back_filled {
                    return Ok(None);
                }
                self.back_filled = true;
                self.post.back_fill();
                continue;
            };
            if next > end.saturating_add(SETTLE_MAX).unwrap_or(end) {
                let stats = self.stats().await?;
                return Ok(Some(format!("{stats:?}")));
            }
            self.happen(next).await?;
        }
    }

    /// Commits what is pending; now and then it waits, so that more comes together.
    fn commit(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        let soon = self.time.next().is_some_and(|next| next.duration_since(self.time.truth()) < COMMIT_WAIT);
        if soon && self.chance.hit(30) {
            return false;
        }
        let units = process.commit();
        if units == 0 {
            return false;
        }
        self.peaks.units = self.peaks.units.max(units);
        self.quiet = None;
        let commit = lock(&self.commits).count;
        self.trace.say(|| format!("commit {commit} ({units} units)"));
        let deaths =
            lock(&self.faults).all(|fault| matches!(fault, Fault::Node { commit: at, .. } if *at == commit));
        for fault in deaths {
            self.trace.say(|| format!("FAULT {fault}"));
            if let Fault::Node { node, down, .. } = fault {
                process.kill_engine(node);
                let back = self.time.truth().saturating_add(down).unwrap_or(Timestamp::MAX);
                self.engine_restarts.insert(node, back);
            }
        }
        true
    }

    /// The process has died, or its machine: nothing of it goes on, and it starts again after a while.
    async fn bury(&mut self) {
        let power = self.disk.is_off();
        self.disk.cut();
        if let Some(process) = self.process.take() {
            process.kill();
        }
        if let Some(task) = self.housekeeping.take() {
            task.abort();
        }
        self.post.cut_off();
        self.people.cut_off();
        // The tasks end at their next turn, and with them what holds the store.
        self.idle.wait().await;
        self.disk.restore(power);
        let down = lock(&self.faults).take_down().unwrap_or(RESTART);
        self.restart = self.time.truth().saturating_add(down).ok();
        self.trace.say(|| (if power { "the machine is off" } else { "the process is gone" }).to_owned());
    }

    /// When the next thing happens; nothing if everything is over.
    async fn next_happening(&mut self) -> Result<Option<Timestamp>, Broken> {
        let config = self.life.plan().config;
        let end = config.end();
        let life = match self.life.next().map(|next| next.saturating_add(TICK).unwrap_or(next)) {
            Some(next) if next < end => Some(next),
            _ => None,
        };
        let midnight = (self.midnight < config.days).then(|| config.midnight(i64::from(self.midnight) + 1));
        let clock = lock(&self.faults).next_jump();
        let engines = self.engine_restarts.values().min().copied();
        let outside = [life, midnight, clock, self.post.next(), self.people.next(), self.restart, engines];
        let outside = outside.into_iter().flatten().min();
        let Some(sleeper) = self.time.next() else { return Ok(outside) };
        if outside.is_some_and(|outside| outside <= sleeper) {
            return Ok(outside);
        }
        if !self.is_quiet().await? {
            return Ok(Some(sleeper));
        }
        // Nothing is to be done before: who sleeps only to look for work sleeps on.
        let due = self.next_due(end).await?;
        Ok(match (outside, due) {
            (outside, None) => outside,
            (Some(outside), Some(due)) if outside <= due => Some(outside),
            (_, Some(due)) => Some(sleeper.max(due)),
        })
    }

    /// When the process has something to do by itself: a run that wakes, or until the end a flow that the clock starts.
    async fn next_due(&self, end: Timestamp) -> Result<Option<Timestamp>, Broken> {
        let Some(process) = &self.process else { return Ok(None) };
        let woken = process.store.next_wake().await.map_err(Broken::of)?;
        if !self.clocked {
            return Ok(woken);
        }
        let schedules = process.store.schedules().await.map_err(Broken::of)?;
        // One that is not due waits for its run to be seen to be over.
        let due = schedules.into_iter().map(|scheduled| scheduled.due_at.unwrap_or(self.time.truth()));
        Ok(woken.into_iter().chain(due.filter(|due| *due < end)).min())
    }

    /// Whether there is nothing to do now: no delivery under way, no run that could be worked on.
    async fn is_quiet(&mut self) -> Result<bool, Broken> {
        let at_rest = self.post.is_idle() && self.people.is_idle();
        if !at_rest || self.housekeeping.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(false);
        }
        if let Some(quiet) = self.quiet {
            return Ok(quiet);
        }
        let stats = self.stats().await?;
        let at_work = stats.as_ref().map_or(0, |stats| stats.runs_running.cast_unsigned() as usize);
        self.peaks.at_work = self.peaks.at_work.max(at_work);
        let quiet =
            stats.is_none_or(|stats| stats.events_undispatched + stats.runs_queued + stats.runs_running == 0);
        self.quiet = Some(quiet);
        Ok(quiet)
    }

    async fn stats(&self) -> Result<Option<store::Stats>, Broken> {
        match &self.process {
            Some(process) => process.store.stats(None).await.map(Some).map_err(Broken::of),
            None => Ok(None),
        }
    }

    /// Time goes to `at`, and what is due then happens.
    async fn happen(&mut self, at: Timestamp) -> Result<(), Broken> {
        self.time.advance_to(at);
        let now = self.time.truth();
        if self.asks {
            self.people.look(&self.vendors.slack);
        }
        if self.time.next().is_some_and(|next| next <= now) {
            self.time.wake_next();
            return Ok(());
        }
        self.jump_clock(now);
        self.restart_what_is_due(now).await?;
        let config = self.life.plan().config;
        self.life.until(now.min(config.end())).map_err(Broken::of)?;
        self.tell_what_happened()?;
        if self.midnight < config.days && now >= config.midnight(i64::from(self.midnight) + 1) {
            self.midnight += 1;
            self.keep_house(now);
        }
        let router = self.process.as_ref().map(|process| &process.router);
        self.post.send(router);
        self.people.act(router);
        Ok(())
    }

    fn jump_clock(&mut self, now: Timestamp) {
        let jumps = lock(&self.faults).jumps(now);
        for fault in jumps {
            self.trace.say(|| format!("FAULT {fault}"));
            if let Fault::Clock { offset, .. } = fault {
                self.time.set_offset(offset);
                self.quiet = None;
            }
        }
    }

    async fn restart_what_is_due(&mut self, now: Timestamp) -> Result<(), Broken> {
        if self.restart.is_some_and(|restart| restart <= now) {
            return self.start().await;
        }
        let due: Vec<usize> =
            self.engine_restarts.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.engine_restarts.remove(&node);
            self.starts += 1;
            if let Some(process) = &mut self.process {
                process.restart_engine(&self.parts, node, self.starts);
                self.trace.say(|| format!("node-{} starts again", node + 1));
            }
        }
        Ok(())
    }

    /// Plans the delivery of what happened in the vendor.
    fn tell_what_happened(&mut self) -> Result<(), Broken> {
        for event in self.vendors.stripe.drain_events() {
            let body = self.vendors.stripe.event_body(&event.id, &self.vendors.stripe_version);
            let body = body.ok_or_else(|| Broken(format!("{} has no body", event.id)))?;
            self.post.plan(Sent { id: event.id, r#type: event.r#type, created: event.created, body });
        }
        Ok(())
    }

    /// What is over leaves the hot tables, while everything else goes on.
    fn keep_house(&mut self, now: Timestamp) {
        self.peaks.log_bytes = self.peaks.log_bytes.max(self.disk.log_bytes());
        let Some(process) = &self.process else { return };
        let store = process.store.clone();
        let before = now.saturating_sub(HOT).unwrap_or(now);
        self.housekeeping = Some(tokio::spawn(async move {
            // It is done again the next night.
            while store.retire(before, RETIRED_MAX).await.is_ok_and(|moved| moved > 0) {}
            store.prune(now).await.ok();
        }));
    }

    /// All that is over leaves the hot tables. It has to end, and to lose nothing of what is looked at next.
    async fn retire_everything(&mut self) -> Result<(), Broken> {
        let Some(process) = &self.process else { return Ok(()) };
        let store = process.store.clone();
        let work = async move {
            while store.retire(Timestamp::MAX, RETIRED_MAX).await? > 0 {}
            Ok::<(), store::Error>(())
        };
        self.drive(work).await?.map_err(Broken::of)
    }

    /// What is to be said of a life in which the process does not come up any more.
    fn lost(&self, stuck: Option<String>) -> Lived {
        let violation = Violation::new("settled", "the process", json!("up"), json!(stuck));
        self.trace.say(|| format!("VIOLATION {violation}"));
        let faults = lock(&self.faults);
        Lived {
            violations: vec![violation],
            struck: faults.struck(),
            counts: faults.counts().clone(),
            trace: self.trace.lines(),
            ..Lived::default()
        }
    }

    /// Looks at everything that is left of the life.
    async fn judge(mut self, target: &Target, stuck: Option<String>) -> Result<Lived, Broken> {
        self.peaks.log_bytes = self.peaks.log_bytes.max(self.disk.log_bytes());
        // The life is over: nothing goes wrong any more.
        lock(&self.commits).armed = false;
        self.disk.arm(false);
        if stuck.is_none() {
            self.retire_everything().await?;
        } else if self.starts > STARTS_MAX {
            self.bury().await;
        }
        let Some(process) = &self.process else { return Ok(self.lost(stuck)) };
        let (reads, writes) = self.network.requests();
        let config = self.life.plan().config;
        let evidence = Evidence {
            config,
            vendors: &self.vendors,
            sent: &self.post.sent,
            acknowledged: &self.post.acknowledged,
            given_up: &self.post.given_up,
            people: &self.people,
            store: process.store.clone(),
            secrets: [vendors::STRIPE_KEY, vendors::CHARTMOGUL_KEY, vendors::SLACK_TOKEN, self.post.secret()]
                .map(str::to_owned)
                .to_vec(),
            stuck,
            peaks: self.peaks,
            nodes: self.parts.nodes,
            clock_jumped: lock(&self.faults).counts().contains_key(&Kind::Clock),
        };
        let (mut violations, runs) = check::all(target, &evidence).await?;
        let end = check::end_state(&self.vendors, config.end());
        drop(evidence);
        self.process.take().into_iter().for_each(Process::kill);
        self.idle.wait().await;
        // What a process leaves behind would grow with every life of one that goes on.
        if tasks() > 0 {
            violations.push(Violation::new("bounded", "tasks after the end", json!(0), json!(tasks())));
        }
        for violation in &violations {
            self.trace.say(|| format!("VIOLATION {violation}"));
        }
        let (disk_writes, disk_syncs) = self.disk.counts();
        let numbers = Numbers {
            customers: self.vendors.stripe.customers().len(),
            events: self.post.sent.len(),
            commits: lock(&self.commits).count,
            reads,
            writes,
            runs,
            starts: self.starts,
            disk_writes,
            disk_syncs,
        };
        let (struck, counts) = {
            let faults = lock(&self.faults);
            (faults.struck(), faults.counts().clone())
        };
        Ok(Lived { violations, struck, counts, trace: self.trace.lines(), numbers, end })
    }
}

/// Tasks that are not over.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Cuts the commits off that a crash is planned for.
fn cuts(commits: Arc<Mutex<Commits>>, faults: Arc<Mutex<Faults>>, trace: Trace) -> Cuts {
    Arc::new(move |_| {
        let mut commits = lock(&commits);
        if !commits.armed {
            return None;
        }
        commits.count += 1;
        let count = commits.count;
        let fault =
            lock(&faults).find(|fault| matches!(fault, Fault::Crash { commit, .. } if *commit == count))?;
        trace.say(|| format!("FAULT {fault}"));
        match fault {
            Fault::Crash { cut, .. } => Some(cut),
            _ => None,
        }
    })
}
