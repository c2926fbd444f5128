//! What a run is about to write: entries wait here for the next commit that is needed anyway.

use std::sync::{Mutex, MutexGuard, PoisonError};

use connect::BoxFuture;
use flow::EffectRef;
use flow::journal::{Entry, Outcome};
use jiff::Timestamp;
use store::ClaimedRun;

use crate::Node;
use crate::held::Held;
use crate::limits::ENTRIES_WAITING_MAX;

/// The run is no longer ours, or nothing can be written: whoever holds it drops it without a further effect.
#[derive(Debug)]
pub enum Lost {
    /// Somebody else has it by now, or it was cancelled.
    Fenced,
    /// The store does not take writes; the lease will end and the run be taken up again.
    Store(store::Error),
}

/// The end of a run's journal that is not durable yet. What goes on at the same time in a run shares it.
pub struct Journal<'a> {
    node: &'a Node,
    held: &'a Held,
    waiting: Mutex<Waiting>,
    /// Held while a commit is under way. A commit whose caller was dropped stays here, and is ended by the next one.
    commit: tokio::sync::Mutex<Option<BoxFuture<'a, Result<(), Lost>>>>,
}

#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    /// Writes whose intent is in the journal and whose result is not.
    writing: Vec<EffectRef>,
    /// The result of a write waits: no further request may be sent before it is durable.
    results: bool,
}

/// What ends the present work on a run.
enum Close {
    Not,
    Park(Timestamp),
    Finish(Outcome),
}

impl<'a> Journal<'a> {
    pub fn new(node: &'a Node, held: &'a Held) -> Journal<'a> {
        Journal { node, held, waiting: Mutex::default(), commit: tokio::sync::Mutex::default() }
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

    /// Makes everything durable.
    pub async fn save(&self) -> Result<(), Lost> {
        self.commit(Close::Not, |waiting| !waiting.entries.is_empty()).await
    }

    /// What a request without an intent needs: that the result of a write before it is durable, and the claim.
    pub async fn save_writes(&self) -> Result<(), Lost> {
        self.commit(Close::Not, |waiting| waiting.results).await?;
        self.held.sure().await
    }

    /// Makes everything durable if much is waiting.
    pub async fn save_much(&self) -> Result<(), Lost> {
        let much = self.waiting().entries.len() >= ENTRIES_WAITING_MAX;
        if much { self.save().await } else { Ok(()) }
    }

    /// Makes everything durable and puts the run aside until `until`.
    pub async fn park(&self, until: Timestamp) -> Result<(), Lost> {
        self.commit(Close::Park(until), |_| true).await
    }

    /// Makes everything durable and ends the run.
    pub async fn finish(&self, outcome: Outcome) -> Result<(), Lost> {
        self.push(Entry::Finished { outcome: outcome.clone(), at: self.node.clock.now() });
        self.commit(Close::Finish(outcome), |_| true).await?;
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
        let entries = {
            let mut waiting = self.waiting();
            if !needed(&waiting) {
                return Ok(());
            }
            waiting.results = false;
            std::mem::take(&mut waiting.entries)
        };
        let written = commit.insert(Box::pin(write(self.node, self.held, entries, close))).await;
        *commit = None;
        written
    }
}

/// One commit, tried again for as long as there may be room later.
async fn write(node: &Node, held: &Held, entries: Vec<Entry>, close: Close) -> Result<(), Lost> {
    loop {
        let Err(error) = attempt(node, held, &entries, &close).await else { return Ok(()) };
        match error {
            store::Error::Fenced { .. } | store::Error::Conflict { .. } => return Err(Lost::Fenced),
            // A full disk may have room again, a database be back; until then the run holds its place, and nothing is
            // sent.
            error if error.passes() => {
                tracing::debug!(run = %held.claim.run, %error, "the run holds");
                node.until_good().await;
            }
            error => return Err(Lost::Store(error)),
        }
    }
}

async fn attempt(node: &Node, held: &Held, entries: &[Entry], close: &Close) -> Result<(), store::Error> {
    let Held { store, claim, .. } = held;
    let ClaimedRun { workspace, run, epoch, .. } = claim;
    let passed_on = match close {
        Close::Not => {
            store.journal_append(workspace, run, *epoch, entries).await?;
            false
        }
        Close::Park(until) => store.park(workspace, run, *epoch, entries, *until, false).await?,
        Close::Finish(outcome) => {
            store.finish(workspace, run, *epoch, entries, outcome, node.clock.now()).await?
        }
    };
    if passed_on {
        node.runs.notify_one();
    }
    Ok(())
}
