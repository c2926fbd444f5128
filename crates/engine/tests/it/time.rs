//! Time that stands still until the test moves it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Timer;
use flow::clock::Clock;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

pub struct Time {
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    /// By when they wake, then by when they went to sleep.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    next: u64,
}

impl Time {
    pub fn new() -> Arc<Time> {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        Arc::new(Time { state: Mutex::new(State { now, sleepers: BTreeMap::new(), next: 0 }) })
    }

    /// Goes to when the next sleeper wakes, and wakes it; not past `limit`. False: nobody sleeps until then.
    pub fn skip(&self, limit: Timestamp) -> bool {
        let mut state = self.state.lock().unwrap();
        while let Some(entry) = state.sleepers.first_entry() {
            let at = entry.key().0;
            if entry.get().is_closed() {
                entry.remove();
                continue;
            }
            if at > limit {
                return false;
            }
            let sleeper = entry.remove();
            state.now = state.now.max(at);
            sleeper.send(()).unwrap();
            return true;
        }
        false
    }

    pub fn advance(&self, by: SignedDuration) {
        let mut state = self.state.lock().unwrap();
        state.now += by;
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }
}

impl Timer for Time {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        let at = state.now + SignedDuration::try_from(duration).unwrap();
        let number = state.next;
        state.next += 1;
        state.sleepers.insert((at, number), sender);
        Box::pin(async move {
            // A sender that is gone belongs to a world that is over.
            if receiver.await.is_err() {
                std::future::pending().await
            }
        })
    }
}
