//! What must hold at the end of every life, judged by what the vendors hold, what the vendor's sender saw
//! acknowledged, and what is durable: never by what the code under test says about itself.

mod durable;
mod promised;
mod vendors;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use store::Store;
use twins::life;

use crate::Broken;
use crate::people::People;
use crate::post::Sent;
use crate::reconcile::Discrepancy;
use crate::target::{Meaning, Target};
use crate::vendors::Vendors;

pub use vendors::end_state;

/// A log is taken into the database at 4,000 pages of 4 KiB; it may be as long again while somebody reads.
const LOG_BYTES_MAX: usize = 2 * 4_000 * 4_200;

/// Tasks of a node that has no run to work on.
const NODE_TASKS_MAX: usize = 16;
/// Of a customer: runs, their requests, and deliveries, several of each after a time without a node. Less than one for each of
/// a customer's events, of which there are 17 and more.
const CUSTOMER_TASKS_MAX: usize = 8;

/// Deliveries that the vendors' sender has under way at a time in a life of that size, by far.
const DELIVERIES_MAX: usize = 256;

/// Something that should hold and does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which rule: `settled`, `acknowledged`, `mrr`, `alert`, `promised`, `sent_twice` …
    pub invariant: &'static str,
    /// Of what: an event, a run, a customer, a day.
    pub what: String,
    pub expected: Value,
    pub found: Value,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: expected {}, found {}", self.invariant, self.what, self.expected, self.found)
    }
}

impl From<Discrepancy> for Violation {
    fn from(from: Discrepancy) -> Violation {
        Violation { invariant: from.about, what: from.what, expected: from.expected, found: from.found }
    }
}

impl Violation {
    pub fn new(invariant: &'static str, what: impl Into<String>, expected: Value, found: Value) -> Violation {
        Violation { invariant, what: what.into(), expected, found }
    }
}

/// The most of something that there was at a time in a life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// The database's log, in bytes.
    pub log_bytes: usize,
    /// Units that waited for one commit.
    pub units: usize,
    /// Runs under a lease.
    pub at_work: usize,
    /// Tasks of the executor: whatever is under way in memory belongs to one.
    pub tasks: usize,
}

impl Peaks {
    /// Each with what it is never above: a worker waits for one unit at a time, and the dispatcher for one batch;
    /// whoever died may have left as many of both again.
    fn beside_their_bounds(&self, nodes: usize, customers: usize) -> [(&'static str, usize, usize); 4] {
        let workers = engine::limits::WORKERS * nodes;
        let units = workers + engine::limits::DISPATCH_BATCH * nodes + DELIVERIES_MAX;
        let tasks = NODE_TASKS_MAX * nodes + CUSTOMER_TASKS_MAX * customers;
        [
            ("bytes of the write-ahead log", self.log_bytes, LOG_BYTES_MAX),
            ("units waiting for one commit", self.units, units),
            ("runs under a lease", self.at_work, 2 * workers),
            ("tasks in memory", self.tasks, tasks),
        ]
    }
}

/// What is left of a life.
pub struct Evidence<'a> {
    pub config: life::Config,
    pub vendors: &'a Vendors,
    /// Everything that happened, as events.
    pub sent: &'a [Sent],
    pub acknowledged: &'a BTreeSet<String>,
    pub given_up: &'a [String],
    pub people: &'a People,
    pub store: Store,
    /// Texts that must stand nowhere in journals.
    pub secrets: Vec<String>,
    /// What was not over in the end.
    pub stuck: Option<String>,
    pub peaks: Peaks,
    pub nodes: usize,
    /// Times written by the machine say nothing, and a lease may have ended under a worker.
    pub clock_jumped: bool,
}

/// Checks everything. Answers what is wrong, and how many runs there were.
///
/// # Errors
/// When what is durable cannot be read.
pub async fn all(target: &Target, evidence: &Evidence<'_>) -> Result<(Vec<Violation>, usize), Broken> {
    let mut found = Vec::new();
    if let Some(stats) = &evidence.stuck {
        found.push(Violation::new("settled", "events and runs", json!("nothing left to do"), json!(stats)));
    }
    for event in evidence.given_up {
        found.push(Violation::new(
            "lost_event",
            event,
            json!("acknowledged"),
            json!("given up by the sender"),
        ));
    }
    for (what, got, most) in
        evidence.peaks.beside_their_bounds(evidence.nodes, evidence.config.customers as usize)
    {
        if got > most {
            found.push(Violation::new("bounded", what, json!(most), json!(got)));
        }
    }
    let runs = durable::check(target, evidence, &mut found).await?;
    // Of what is not over, the end state says nothing.
    if evidence.stuck.is_none() {
        vendors::check(target, evidence, &mut found);
        if target.meaning == Meaning::Promised {
            promised::check(target, evidence, &mut found).await?;
        }
    }
    Ok((found, runs))
}
