//! Kills the server at seeded points while everything else goes on.
//!
//! A point is a number of webhook requests within a day, so that kills fall between, into and behind requests; those
//! that a short month has no room for fall while runs are drained. What was in flight fails, and Stripe's rules
//! bring it again.

use std::pin::Pin;
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Mutex, Notify};
use twins::webhook::{Endpoint, PostFuture};

use super::server::Server;

/// The server stays down up to this long, in milliseconds.
const DOWN_MS_MAX: u64 = 150;
/// While draining, the next kill comes within this many milliseconds.
const DRAIN_GAP_MS_MAX: u64 = 400;

/// The server, and when it dies.
pub struct Crashes {
    server: Mutex<Server>,
    plan: StdMutex<Plan>,
    due: Notify,
}

struct Plan {
    rng: ChaCha8Rng,
    /// Kills still to come.
    left: u32,
    done: u32,
    /// Requests posted within the day.
    posted: u64,
    /// At how many posted requests the day's kills are due, the next one last.
    points: Vec<u64>,
}

impl Crashes {
    /// `kills` kills of `server` in a month.
    pub fn new(server: Server, seed: u64, kills: u32) -> Crashes {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let plan = Plan { rng, left: kills, done: 0, posted: 0, points: Vec::new() };
        Crashes { server: Mutex::new(server), plan: StdMutex::new(plan), due: Notify::new() }
    }

    /// Plans the kills of a day with about `posts` requests, when `days` are left with it.
    pub fn begin_day(&self, posts: usize, days: u32) {
        let mut plan = self.plan();
        plan.posted = 0;
        plan.points.clear();
        // A share of the kills stays for the drain at the end.
        let share = plan.left.div_ceil(days.max(1) + 1);
        if plan.left == 0 || posts < 2 {
            return;
        }
        let points: Vec<u64> = (0..share).map(|_| plan.rng.random_range(1..posts as u64)).collect();
        plan.points = points;
        plan.points.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// Kills and restarts whenever a point is reached; ends only with an error.
    pub async fn watch(&self) -> anyhow::Error {
        loop {
            self.due.notified().await;
            if let Err(error) = self.crash().await {
                return error;
            }
        }
    }

    /// Kills what the days had no room for, a moment apart each.
    pub async fn rest(&self) -> anyhow::Result<()> {
        while self.plan().left > 0 {
            let gap = self.plan().rng.random_range(20..=DRAIN_GAP_MS_MAX);
            tokio::time::sleep(Duration::from_millis(gap)).await;
            self.crash().await?;
        }
        Ok(())
    }

    /// How often the server was killed so far.
    pub fn done(&self) -> u32 {
        self.plan().done
    }

    /// Fails if the server ended by itself.
    pub async fn check(&self) -> anyhow::Result<()> {
        self.server.lock().await.check()
    }

    /// The last lines the server logged.
    pub async fn log_tail(&self) -> String {
        self.server.lock().await.log_tail()
    }

    /// Ends the server for good.
    pub async fn stop(&self) {
        if let Err(error) = self.server.lock().await.kill().await {
            tracing::warn!(%error, "the server may still run");
        }
    }

    async fn crash(&self) -> anyhow::Result<()> {
        let down_ms = {
            let mut plan = self.plan();
            if plan.left == 0 {
                return Ok(());
            }
            plan.left -= 1;
            plan.done += 1;
            plan.rng.random_range(0..=DOWN_MS_MAX)
        };
        let mut server = self.server.lock().await;
        server.check()?;
        server.kill().await?;
        tokio::time::sleep(Duration::from_millis(down_ms)).await;
        server.restart().await
    }

    /// One more request was posted.
    fn count(&self) {
        let mut plan = self.plan();
        plan.posted += 1;
        if plan.points.last().is_some_and(|point| *point <= plan.posted) {
            plan.points.pop();
            self.due.notify_one();
        }
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An endpoint that counts requests towards the next kill.
pub struct Counted<'a, E> {
    pub inner: E,
    pub crashes: &'a Crashes,
}

impl<E: Endpoint> Endpoint for Counted<'_, E> {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn post(&self, headers: Vec<(String, String)>, body: Bytes) -> PostFuture<'_> {
        self.crashes.count();
        self.inner.post(headers, body)
    }

    fn pause(&self, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.pause(wait)
    }
}
