//! Whole nodes on one thread, against simulated vendors, in simulated time, from one seed: what `tributary verify`
//! runs.
//!
//! **What it is.** A seed is a life: a month of billing in the twins, webhooks that arrive twice, late or not at
//! all, vendors that fail, disks that lie, processes that die between any two writes. [`live::live`] lives it and
//! [`check`] compares what is left with what is true. The same seed is the same life, byte for byte. A life that
//! violates something is shortened to the fewest faults that still do it ([`shrink`]).
//!
//! **What it is not.** It reads no clock, opens no socket and starts no thread: whoever wants several seeds at once
//! gives each a thread of its own. It knows nothing of how the rooms that it tests work, only how they are put
//! together.
//!
//! **Where to start.** [`live`] for the loop, [`fault`] for what can go wrong, [`plan`] for what a seed draws,
//! [`check`] for what must hold.

mod chance;
pub mod check;
mod disk;
pub mod fault;
mod idle;
pub mod live;
mod node;
mod people;
pub mod plan;
mod post;
pub mod promise;
pub mod reconcile;
mod shrink;
pub mod target;
mod time;
mod trace;
pub mod trial;
mod vendors;
mod verify;

use std::sync::Arc;

use connect::Catalog;

pub use vendors::generic as twin_of;
pub use verify::{Failure, Verdict, verify, verify_plan};

/// The simulation itself cannot go on: no fault of what it tests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl Broken {
    pub fn of(error: impl std::fmt::Display) -> Broken {
        Broken(error.to_string())
    }
}

/// What all lives have in common.
#[derive(Clone, Debug)]
pub struct Setting {
    pub catalog: Arc<Catalog>,
    pub customers: u32,
    pub days: u32,
}
