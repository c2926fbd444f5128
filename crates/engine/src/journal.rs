//! What a run is about to write: entries wait here for the next commit that is needed anyway.

use flow::journal::{Entry, Outcome};
use jiff::Timestamp;
use store::ClaimedRun;

use crate::Node;
use crate::held::Held;
use crate::limits::{COMMIT_TRIES_MAX, ENTRIES_WAITING_MAX, STORE_PAUSE};

/// The run is no longer ours, or nothing can be written: whoever holds it drops it without a further effect.
#[derive(Debug)]
pub enum Lost {
    /// Somebody else has it by now, or it was cancelled.
    Fenced,
    /// The store does not take writes; the lease will end and the run be taken up again.
    Store(store::Error),
}

/// The end of a run's journal that is not durable yet.
pub struct Journal<'a> {
    node: &'a Node,
    held: &'a Held,
    waiting: Vec<Entry>,
    /// An intent was made durable and its result is not there yet.
    writing: bool,
    /// The result of a write waits: no further request may be sent before it is durable.
    write_waits: bool,
}

/// What ends the present work on a run.
enum Close {
    Not,
    Park(Timestamp),
    Finish(Outcome),
}

impl<'a> Journal<'a> {
    pub fn new(node: &'a Node, held: &'a Held) -> Journal<'a> {
        Journal { node, held, waiting: Vec::new(), writing: false, write_waits: false }
    }

    /// Adds an entry to the next commit.
    pub fn push(&mut self, entry: Entry) {
        match &entry {
            Entry::Intent { .. } => self.writing = true,
            Entry::Resolved { .. } if self.writing => {
                self.writing = false;
                self.write_waits = true;
            }
            _ => {}
        }
        self.waiting.push(entry);
    }

    /// Makes everything durable.
    pub async fn save(&mut self) -> Result<(), Lost> {
        if self.waiting.is_empty() { Ok(()) } else { self.commit(Close::Not).await }
    }

    /// What a request without an intent needs: that the result of a write before it is durable, and the claim.
    pub async fn save_writes(&mut self) -> Result<(), Lost> {
        if self.write_waits { self.save().await } else { self.held.sure().await }
    }

    /// Makes everything durable if much is waiting.
    pub async fn save_much(&mut self) -> Result<(), Lost> {
        if self.waiting.len() >= ENTRIES_WAITING_MAX { self.save().await } else { Ok(()) }
    }

    /// Makes everything durable and puts the run aside until `until`.
    pub async fn park(&mut self, until: Timestamp) -> Result<(), Lost> {
        self.commit(Close::Park(until)).await
    }

    /// Makes everything durable and ends the run.
    pub async fn finish(&mut self, outcome: Outcome) -> Result<(), Lost> {
        self.push(Entry::Finished { outcome: outcome.clone(), at: self.node.clock.now() });
        self.commit(Close::Finish(outcome)).await?;
        self.node.observe_end(&self.held.claim);
        Ok(())
    }

    async fn commit(&mut self, close: Close) -> Result<(), Lost> {
        let mut tries = 1;
        loop {
            let Err(error) = self.write(&close).await else { break };
            match error {
                store::Error::Fenced { .. } | store::Error::Conflict { .. } => return Err(Lost::Fenced),
                // A full disk may have room again, a database be back; until then the run holds its place, and nothing is sent.
                store::Error::Full(_) | store::Error::Unavailable(_) if tries < COMMIT_TRIES_MAX => {
                    tracing::warn!(run = %self.held.claim.run, %error, tries, "a commit is tried again");
                    tries += 1;
                    self.node.timer.sleep(STORE_PAUSE).await;
                }
                error => return Err(Lost::Store(error)),
            }
        }
        self.waiting.clear();
        self.write_waits = false;
        Ok(())
    }

    async fn write(&self, close: &Close) -> Result<(), store::Error> {
        let Held { store, claim, .. } = self.held;
        let ClaimedRun { workspace, run, .. } = claim;
        let passed_on = match close {
            Close::Not => {
                store.journal_append(workspace, run, claim.epoch, &self.waiting).await?;
                false
            }
            Close::Park(until) => {
                store.park(workspace, run, claim.epoch, &self.waiting, *until, false).await?
            }
            Close::Finish(outcome) => {
                let now = self.node.clock.now();
                store.finish(workspace, run, claim.epoch, &self.waiting, outcome, now).await?
            }
        };
        if passed_on {
            self.node.runs.notify_one();
        }
        Ok(())
    }
}
