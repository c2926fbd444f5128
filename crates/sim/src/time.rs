//! Time that only the simulation moves.
//!
//! True time goes forward, for the vendors, the network and every sleep. A machine's clock may be wrong: it shows
//! true time and an offset, which jumps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Timer;
use flow::clock::Clock;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// The clock of the machine, and its timer.
#[derive(Debug)]
pub struct Time(Mutex<State>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    offset: SignedDuration,
    /// By when they wake, then by when they went to sleep.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    ordinal: u64,
}

impl Time {
    /// Time stands at `now`, and the machine's clock is right.
    pub fn new(now: Timestamp) -> Arc<Time> {
        let state = State { now, offset: SignedDuration::ZERO, sleepers: BTreeMap::new(), ordinal: 0 };
        Arc::new(Time(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True time.
    pub fn truth(&self) -> Timestamp {
        self.state().now
    }

    /// Moves true time forward to `at`. Who slept until then still has to be woken.
    pub fn advance_to(&self, at: Timestamp) {
        let mut state = self.state();
        state.now = state.now.max(at);
    }

    /// From now on the machine's clock is wrong by `offset`.
    pub fn set_offset(&self, offset: SignedDuration) {
        self.state().offset = offset;
    }

    /// When the next sleeper wakes.
    pub fn next(&self) -> Option<Timestamp> {
        let mut state = self.state();
        while let Some(entry) = state.sleepers.first_entry() {
            if !entry.get().is_closed() {
                return Some(entry.key().0);
            }
            entry.remove();
        }
        None
    }

    /// Wakes the next sleeper, at its time or now if that is past already.
    pub fn wake_next(&self) {
        let mut state = self.state();
        if let Some(((at, _), sleeper)) = state.sleepers.pop_first() {
            state.now = state.now.max(at);
            // One that gave up waiting needs no wake-up.
            sleeper.send(()).ok();
        }
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        let state = self.state();
        state.now.saturating_add(state.offset).unwrap_or(state.now)
    }
}

impl Timer for Time {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let at = state.now.saturating_add(duration).unwrap_or(Timestamp::MAX);
        state.ordinal += 1;
        let ordinal = state.ordinal;
        state.sleepers.insert((at, ordinal), sender);
        Box::pin(async move {
            // A sender that is gone belongs to a world that is over.
            if receiver.await.is_err() {
                std::future::pending().await
            }
        })
    }
}
