//! What earlier runs of a flow did for the same event: a replay repeats none of it.
//!
//! | an earlier run's write | the replay's write at the same place |
//! |---|---|
//! | has a result | is answered by that result, and not sent |
//! | may have happened, nobody knows | is settled as after a crash: same bytes, same key |
//! | failed for sure, or never began | is sent |
//!
//! Runs of several events look at those of the very same events.
//!
//! State flows don't look here: they re-read everything, so a write of theirs at the same place may be another one.

use std::collections::BTreeMap;

use flow::journal::{Entry, Outcome};
use flow::{EffectRef, EventId};
use serde_json::Value;
use store::{ClaimedRun, Page, RunQuery, Store};

use crate::history::{Intent, Open};

/// Earlier runs of one event that a replay looks at; the newest count. What older ones did is in these, too: as what
/// they were answered from memory.
const RUNS_MAX: usize = 20;

/// Writes of earlier runs. By their place in the flow, not by their key: a retry by hand may have changed that.
#[derive(Debug, Default)]
pub struct Earlier {
    outputs: BTreeMap<EffectRef, Value>,
    unsettled: BTreeMap<EffectRef, Intent>,
}

/// Requests of one run that have no result, and whether they may have been done.
type Intents = BTreeMap<EffectRef, (Intent, bool)>;

/// What an earlier run knows of a write.
pub enum Known {
    Output(Value),
    Unsettled(Open),
}

impl Earlier {
    /// Reads the journals of the runs that `claim`'s event had before; of a run that gathered several, of those that had
    /// the same ones.
    pub async fn read(
        store: &Store,
        claim: &ClaimedRun,
        gathered: Option<&[EventId]>,
    ) -> Result<Earlier, store::Error> {
        let mut earlier = Earlier::default();
        let again = |event: &&store::Event| event.replays > 0 || gathered.is_some();
        let Some(event) = claim.event.as_ref().filter(again) else { return Ok(earlier) };
        let query =
            RunQuery { flow: Some(claim.flow.clone()), event: Some(event.id.clone()), ..Default::default() };
        let page = Page { before: None, limit: RUNS_MAX };
        let runs = store.runs(&claim.workspace, &query, page).await?.items;
        // Oldest first: what a later run found out holds.
        for run in runs.iter().rev().filter(|run| run.id != claim.run) {
            if let Some(gathered) = gathered {
                let whole = store.run(&claim.workspace, &run.id).await?;
                if whole.is_none_or(|whole| whole.events != gathered) {
                    continue;
                }
            }
            let mut intents = Intents::new();
            let take = |_, entry, _| earlier.take(entry, &mut intents);
            store.journal_each(&claim.workspace, &run.id, take).await?;
            earlier.leave(intents);
        }
        Ok(earlier)
    }

    fn take(&mut self, entry: Entry, intents: &mut Intents) {
        match entry {
            Entry::Intent { effect, key, request, at, .. } => {
                let intent = Intent { key, request, sent_at: at };
                let (_, maybe_done) = intents.entry(effect).or_insert((intent, true));
                *maybe_done = true;
            }
            // The attempt failed for sure, unless an earlier one may have happened.
            Entry::Attempted { effect, settled: true, .. } => {
                if let Some((_, maybe_done)) = intents.get_mut(&effect) {
                    *maybe_done = false;
                }
            }
            Entry::Attempted { effect, unknown, attempt: 1, .. } => {
                if let Some((_, maybe_done)) = intents.get_mut(&effect) {
                    *maybe_done = unknown;
                }
            }
            Entry::Resolved { effect, outcome: Outcome::Output(output), attempts, .. } => {
                // Without an attempt it was answered by what a run before this one did.
                let was_sent = intents.remove(&effect).is_some();
                if was_sent || attempts == 0 {
                    self.unsettled.remove(&effect);
                    self.outputs.insert(effect, output);
                }
            }
            _ => {}
        }
    }

    /// Keeps what a run left without a result.
    fn leave(&mut self, intents: Intents) {
        for (effect, (intent, _)) in intents.into_iter().filter(|(_, (_, maybe_done))| *maybe_done) {
            if !self.outputs.contains_key(&effect) {
                self.unsettled.insert(effect, intent);
            }
        }
    }

    /// What is known of the write at this place.
    pub fn known(&self, effect: &EffectRef) -> Option<Known> {
        if let Some(output) = self.outputs.get(effect) {
            return Some(Known::Output(output.clone()));
        }
        self.unsettled.get(effect).map(|intent| Known::Unsettled(Open::of_unknown(intent.clone())))
    }
}
