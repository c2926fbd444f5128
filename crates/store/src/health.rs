//! Whether the store takes writes: what the last commit said, and a write that asks.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::unit::values;
use crate::{Error, Result, Store, Unit};

/// What a probe writes: as much as a large event, so that a full disk does not hide behind a free page or two.
const PROBE_BYTES: usize = 64 << 10;

const PROBE: &str = "INSERT INTO meta (name, value) VALUES ('probe', ?1) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const PROBED: &str = "DELETE FROM meta WHERE name = 'probe'";

/// Whether writes go through, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// The last write failed; why, in words for whoever runs the server.
    Bad(String),
    /// Nothing is written any more: a commit failed so that nobody knows what is on the disk.
    Closed,
}

/// What committers say and others look at. Waiters wake in the order in which they began to wait, unlike those of a
/// watch channel, so that a simulation takes the same course each time.
pub(crate) struct Pulse {
    health: Mutex<Health>,
    moved: Notify,
    written: AtomicU64,
    statements: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            health: Mutex::new(Health::Good),
            moved: Notify::new(),
            written: AtomicU64::new(0),
            statements: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// A commit of so many statements is durable, and something of it was not refused.
    pub fn good(&self, statements: usize) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.statements.fetch_add(statements as u64, Ordering::Relaxed);
        self.set(Health::Good);
    }

    /// There will be no further commit.
    pub fn closed(&self) {
        self.set(Health::Closed);
    }

    /// A commit failed; later ones may succeed.
    pub fn bad(&self, error: &Error) {
        self.set(Health::Bad(error.to_string()));
    }

    fn set(&self, health: Health) {
        let mut present = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *present != health {
            *present = health;
            self.moved.notify_waiters();
        }
    }

    fn present(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store {
    /// Whether writes go through.
    pub fn health(&self) -> Health {
        self.inner.pulse.present()
    }

    /// Waits for a state of health; which one it is.
    pub async fn health_becomes(&self, wanted: impl Fn(&Health) -> bool) -> Health {
        loop {
            let mut moved = pin!(self.inner.pulse.moved.notified());
            // Before the look, so that nothing is missed in between.
            moved.as_mut().enable();
            let present = self.health();
            if wanted(&present) {
                return present;
            }
            moved.await;
        }
    }

    /// Transactions that were made durable since the start. If it moves, writing works.
    pub fn written(&self) -> u64 {
        self.inner.pulse.written.load(Ordering::Relaxed)
    }

    /// Statements of those transactions, the ones that begin and end them and their savepoints included.
    pub fn statements(&self) -> u64 {
        self.inner.pulse.statements.load(Ordering::Relaxed)
    }

    /// Writes something, durably, and takes it away again: two commits.
    pub async fn probe(&self) -> Result<()> {
        let bytes = "x".repeat(PROBE_BYTES);
        self.commit(Unit::new().one(PROBE, values![bytes])).await?;
        self.commit(Unit::new().then(PROBED, values![])).await.map(drop)
    }
}
