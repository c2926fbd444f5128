//! What is over leaves the hot tables, what is old is forgotten: in small steps beside the work, and only when there
//! is something to do.
//!
//! | what | leaves | when |
//! |---|---|---|
//! | runs that ended, events that no hot run works for | the hot tables, for the history of their month | [`Retention::hot`] after they ended or came |
//! | dedupe keys, told facts | the database | after [`store::DEDUPE_LIFE`] and [`store::FACT_LIFE`] |
//! | questions to people of runs that left for that history | the database | with it |
//! | a month's history | the disk | whole, [`Retention::history`] after the month |
//!
//! After a step it rests four times as long as the step took, so that work has four fifths of the store at the
//! least.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::Node;
use crate::limits::{
    HOUSEKEEPING_BATCH, HOUSEKEEPING_INTERVAL, HOUSEKEEPING_INTERVAL_MIN, HOUSEKEEPING_PAUSE,
};

/// How long is kept what is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long ended runs stay in the hot tables. Retrying or replaying what has left them brings it back.
    pub hot: SignedDuration,
    /// How long history is kept; none: for ever.
    pub history: Option<SignedDuration>,
}

/// Long enough that what is looked at and retried by hand is mostly still there.
const HOT: SignedDuration = SignedDuration::from_hours(1);
/// A year and a month: last year's same month can be looked up.
const HISTORY: SignedDuration = SignedDuration::from_hours(400 * 24);

impl Default for Retention {
    fn default() -> Retention {
        Retention { hot: HOT, history: Some(HISTORY) }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Runs and events that left the hot tables.
    pub retired: usize,
    /// Dedupe keys, facts and questions to people forgotten.
    pub pruned: u64,
    /// Months of history deleted.
    pub dropped: usize,
}

impl Step {
    /// Nothing was left to do.
    pub fn is_nothing(&self) -> bool {
        *self == Step::default()
    }
}

/// Keeps one node's store small. Runs by itself beside the engine, where the wiring places it: on a thread of its
/// own, or, in a simulation, step by step.
#[derive(Clone)]
pub struct Housekeeper {
    pub(crate) node: Arc<Node>,
}

impl Housekeeper {
    /// One small step: at most [`HOUSEKEEPING_BATCH`] runs and as many events.
    pub async fn step(&self) -> store::Result<Step> {
        let node = &self.node;
        // Where several nodes share a database, the one that dispatches keeps house for all.
        if !node.store.is_on_duty().await? {
            return Ok(Step::default());
        }
        let now = node.clock.now();
        let before = |age: SignedDuration| now.saturating_sub(age).unwrap_or(Timestamp::MIN);
        let retention = node.config.retention;
        let retired = node.store.retire(before(retention.hot), HOUSEKEEPING_BATCH).await?;
        let mut pruned = node.store.prune(now).await?;
        if let Some(age) = retention.history {
            pruned += node.store.drop_approvals(before(age)).await?;
        }
        // Last: what cannot be dropped must not keep the hot tables from being cleared.
        let dropped = match retention.history {
            Some(age) => node.store.drop_history(before(age)).await?,
            None => 0,
        };
        Ok(Step { retired, pruned, dropped })
    }

    /// Steps until `stop` turns true, or nobody is left who could tell.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let begun = self.node.clock.now();
            let rest = match self.step().await {
                Ok(step) if step.is_nothing() => self.interval(),
                Ok(step) => {
                    tracing::debug!(?step, "housekeeping");
                    let took = self.node.clock.now().duration_since(begun).max(SignedDuration::ZERO);
                    HOUSEKEEPING_PAUSE.max(took.unsigned_abs() * 4).min(HOUSEKEEPING_INTERVAL)
                }
                Err(store::Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "housekeeping is put off");
                    HOUSEKEEPING_INTERVAL
                }
            };
            if self.stopped_within(rest, &mut stop).await {
                return;
            }
        }
    }

    /// No longer than what is over may stay, so that it does not stay twice as long.
    fn interval(&self) -> Duration {
        let hot = self.node.config.retention.hot.max(SignedDuration::ZERO).unsigned_abs();
        hot.clamp(HOUSEKEEPING_INTERVAL_MIN, HOUSEKEEPING_INTERVAL)
    }

    async fn stopped_within(&self, rest: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => true,
            () = self.node.timer.sleep(rest) => false,
        }
    }
}
