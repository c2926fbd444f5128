//! What a run is about to write: entries wait here for the next commit that is needed anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use connect::BoxFuture;
use flow::EffectRef;
use flow::journal::{Entry, Outcome};
use jiff::Timestamp;
use store::{ClaimedRun, Ended, Lives, NewEvent, Parked, Progress};

use crate::Node;
use crate::held::Held;
use crate::limits::{BYTES_WAITING_MAX, ENTRIES_WAITING_MAX};

/// The run is no longer ours, or nothing can be written: whoever holds it drops it without a further effect.
#[derive(Debug)]
pub enum Lost {
    /// Somebody else has it by now, or it was cancelled.
    Fenced,
    /// The store does not take writes; the lease will end and the run be taken up again.
    Store(store::Error),
    /// The store takes writes, and never this one.
    Unwritable(String),
}

impl Lost {
    /// What a write that failed for good means for the run.
    pub fn by(error: store::Error) -> Lost {
        match error {
            store::Error::Fenced { .. } | store::Error::Conflict { .. } => Lost::Fenced,
            error @ (store::Error::Refused(_)
            | store::Error::Statement(_)
            | store::Error::NotFound { .. }) => Lost::Unwritable(error.to_string()),
            error => Lost::Store(error),
        }
    }
}

/// The end of a run's journal that is not durable yet. What goes on at the same time in a run shares it.
pub struct Journal<'a> {
    node: &'a Node,
    held: &'a Held,
    waiting: Mutex<Waiting>,
    /// The run waited for something from outside, some time.
    waited: AtomicBool,
    /// Held while a commit is under way. A commit whose caller was dropped stays here, and is ended by the next one.
    commit: tokio::sync::Mutex<Option<BoxFuture<'a, Result<(), Lost>>>>,
}

#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    /// What calls asked and were answered in them, in bytes of JSON.
    bytes: usize,
    /// Writes whose intent is in the journal and whose result is not.
    writing: Vec<EffectRef>,
    /// The result of a write waits: no further request may be sent before it is durable.
    results: bool,
    /// Signals that were taken, and effects that wait for signals no longer: forgotten with the next commit.
    taken: Vec<u64>,
    over: Vec<EffectRef>,
    /// What became of tasks, and how far that is from what came from outside.
    lives: Vec<NewEvent>,
    hops: u32,
}

/// What ends the present work on a run.
enum Close {
    Not,
    Park(Parked),
    Finish { outcome: Outcome, waited: bool },
}

impl<'a> Journal<'a> {
    pub fn new(node: &'a Node, held: &'a Held) -> Journal<'a> {
        Journal {
            node,
            held,
            waiting: Mutex::default(),
            waited: AtomicBool::new(held.claim.begun),
            commit: tokio::sync::Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry to the next commit.
    pub fn push(&self, entry: Entry) {
        let mut waiting = self.waiting();
        match &entry {
            Entry::Intent { effect, .. } if !waiting.writing.contains(effect) => {
                waiting.writing.push(effect.clone());
            }
            Entry::Resolved { effect, .. } => {
                if let Some(place) = waiting.writing.iter().position(|writing| writing == effect) {
                    waiting.writing.swap_remove(place);
                    waiting.results = true;
                }
            }
            _ => {}
        }
        waiting.entries.push(entry);
    }

    /// Adds a result of so many bytes of JSON to the next commit.
    pub fn push_result(&self, entry: Entry, bytes: usize) {
        self.push(entry);
        self.waiting().bytes += bytes;
    }

    /// Forgets a signal with the entry that says what came of it.
    pub fn take(&self, seq: u64) {
        self.waiting().taken.push(seq);
    }

    /// Something of the run waits for signals from here on.
    pub fn waits(&self) {
        self.waited.store(true, Ordering::Relaxed);
    }

    /// An effect waits for signals no longer.
    pub fn over(&self, at: EffectRef) {
        self.waiting().over.push(at);
    }

    /// Tells of a task's life with the entries that it came of.
    pub fn tell(&self, event: NewEvent, hops: u32) {
        let mut waiting = self.waiting();
        waiting.lives.push(event);
        waiting.hops = hops;
    }

    /// Makes everything durable.
    pub async fn save(&self) -> Result<(), Lost> {
        self.commit(Close::Not, |waiting| !waiting.entries.is_empty() || !waiting.lives.is_empty()).await
    }

    /// What a request without an intent needs: that the result of a write before it is durable, and the claim.
    pub async fn save_writes(&self) -> Result<(), Lost> {
        self.commit(Close::Not, |waiting| waiting.results).await?;
        self.held.sure().await
    }

    /// Whether much waits for a commit.
    pub fn has_much(&self) -> bool {
        let waiting = self.waiting();
        waiting.entries.len() + waiting.lives.len() >= ENTRIES_WAITING_MAX
            || waiting.bytes >= BYTES_WAITING_MAX
    }

    /// Makes everything durable and puts the run aside until `until`, or until it is told something after the signal
    /// `seen`.
    pub async fn park(&self, until: Option<Timestamp>, seen: Option<u64>) -> Result<(), Lost> {
        self.commit(Close::Park(Parked { until, seen, hold: false }), |_| true).await
    }

    /// Makes everything durable and ends the run.
    pub async fn finish(&self, outcome: Outcome) -> Result<(), Lost> {
        if !self.waiting().lives.is_empty() {
            self.save().await?;
        }
        self.push(Entry::Finished { outcome: outcome.clone(), at: self.node.clock.now() });
        let waited = self.waited.load(Ordering::Relaxed);
        self.commit(Close::Finish { outcome, waited }, |_| true).await?;
        self.node.observe_end(&self.held.claim);
        Ok(())
    }

    async fn commit(&self, close: Close, needed: impl Fn(&Waiting) -> bool) -> Result<(), Lost> {
        let mut commit = self.commit.lock().await;
        if let Some(left) = commit.as_mut() {
            let ended = left.await;
            *commit = None;
            ended?;
        }
        let batch = {
            let mut waiting = self.waiting();
            if !needed(&waiting) {
                return Ok(());
            }
            waiting.results = false;
            waiting.bytes = 0;
            Batch {
                entries: std::mem::take(&mut waiting.entries),
                taken: std::mem::take(&mut waiting.taken),
                over: std::mem::take(&mut waiting.over),
                lives: std::mem::take(&mut waiting.lives),
                hops: waiting.hops,
            }
        };
        let written = commit.insert(Box::pin(write(self.node, self.held, batch, close))).await;
        *commit = None;
        written
    }
}

/// What one commit writes.
struct Batch {
    entries: Vec<Entry>,
    taken: Vec<u64>,
    over: Vec<EffectRef>,
    lives: Vec<NewEvent>,
    hops: u32,
}

/// One commit, tried again for as long as there may be room later.
async fn write(node: &Node, held: &Held, batch: Batch, close: Close) -> Result<(), Lost> {
    loop {
        let Err(error) = attempt(node, held, &batch, &close).await else { return Ok(()) };
        // A full disk may have room again, a database be back; until then the run holds its place, and nothing is sent.
        if !error.passes() {
            return Err(Lost::by(error));
        }
        tracing::debug!(run = %held.claim.run, %error, "the run holds");
        node.until_good().await;
    }
}

async fn attempt(node: &Node, held: &Held, batch: &Batch, close: &Close) -> Result<(), store::Error> {
    let Held { store, claim, .. } = held;
    let ClaimedRun { workspace, run, epoch, .. } = claim;
    let Batch { entries, taken, over, lives, hops } = batch;
    let lives = Lives { events: lives, hops: *hops };
    let progress = Progress { entries, taken, over, lives };
    let passed_on = match close {
        Close::Not => {
            store.progress(workspace, run, *epoch, progress).await?;
            false
        }
        Close::Park(parked) => store.put_aside(workspace, run, *epoch, progress, *parked).await?,
        Close::Finish { outcome, waited } => {
            // Only a run that no event started can be another run's.
            let ended = Ended { outcome, waited: *waited, awaited: claim.event.is_none() };
            let passed_on = store.end(workspace, run, *epoch, entries, ended, node.clock.now()).await?;
            if ended.awaited {
                node.poke();
            }
            passed_on
        }
    };
    if passed_on {
        node.runs.notify_one();
    }
    if !lives.events.is_empty() {
        node.events.notify_one();
    }
    Ok(())
}
