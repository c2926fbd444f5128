//! Numbers that are cheap to read: counters that move with the units that they count, and the present queues.

use flow::WorkspaceId;
use serde::Serialize;

use crate::row::Query;
use crate::unit::values;
use crate::{Backend, Result, Store};

/// The workspace of counters that are not of a workspace.
pub(crate) const NODE: &str = "";

/// The counters' names.
pub(crate) mod counter {
    pub const RECEIVED: &str = "events_received";
    pub const DUPLICATE: &str = "events_duplicate";
    pub const QUARANTINED: &str = "events_quarantined";
    pub const REPLAYED: &str = "events_replayed";
    pub const STALE: &str = "events_stale";
    pub const JOINED: &str = "events_joined";
    pub const DUPLICATE_FACT: &str = "events_duplicate_fact";
    pub const NO_MATCH: &str = "events_no_match";
    pub const CREATED: &str = "runs_created";
    pub const COMPLETED: &str = "runs_completed";
    pub const FAILED: &str = "runs_failed";
    pub const CANCELLED: &str = "runs_cancelled";
    pub const RETRIED: &str = "runs_retried";
    pub const ATTEMPTS_RETRIED: &str = "attempts_retried";
    /// Of the node, not of a workspace: moves whenever flows or connections change.
    pub const GENERATION: &str = "generation";
}

pub(crate) const COUNT: &str = "INSERT INTO counters (workspace, name, value) VALUES (?1, ?2, ?3) \
    ON CONFLICT (workspace, name) DO UPDATE SET value = counters.value + excluded.value";
const COUNTERS: &str = "SELECT name, CAST(sum(value) AS BIGINT) AS value FROM counters \
    WHERE (?1 IS NULL OR workspace = ?1) GROUP BY name";
const GENERATION: &str = "SELECT CAST(coalesce(sum(value), 0) AS BIGINT) AS value FROM counters \
    WHERE workspace = '' AND name = 'generation'";
const WAITING: &str =
    "SELECT count(*) AS n FROM events WHERE status = 'accepted' AND (?1 IS NULL OR workspace = ?1)";
const QUEUED: &str =
    "SELECT count(*) AS n FROM runs WHERE status = 'queued' AND (?1 IS NULL OR workspace = ?1)";
const RUNNING: &str =
    "SELECT count(*) AS n FROM runs WHERE status = 'running' AND (?1 IS NULL OR workspace = ?1)";
const PARKED: &str =
    "SELECT count(*) AS n FROM runs WHERE status = 'parked' AND (?1 IS NULL OR workspace = ?1)";

/// Counts since the database was made, and what is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Events stored, quarantined ones apart.
    pub events_received: i64,
    /// Deliveries of what had come before.
    pub events_duplicate: i64,
    pub events_quarantined: i64,
    pub events_replayed: i64,
    /// Outcomes: one event can have one in each flow.
    pub events_stale: i64,
    pub events_joined: i64,
    pub events_duplicate_fact: i64,
    pub events_no_match: i64,
    /// Now waiting for the dispatcher.
    pub events_undispatched: i64,
    pub runs_created: i64,
    pub runs_completed: i64,
    /// Runs that stand failed: a retry takes one off.
    pub runs_failed: i64,
    pub runs_cancelled: i64,
    /// Retries of failed runs by hand.
    pub runs_retried: i64,
    /// Attempts of calls that failed and were tried again.
    pub attempts_retried: i64,
    pub runs_queued: i64,
    pub runs_running: i64,
    pub runs_parked: i64,
}

impl Store {
    /// The numbers of one workspace, or of all.
    pub async fn stats(&self, ws: Option<&WorkspaceId>) -> Result<Stats> {
        let queries = [WAITING, QUEUED, RUNNING, PARKED, COUNTERS].map(|sql| Query::new(sql, values![ws]));
        let answers = self.read(&queries).await?;
        let count = |index: usize| -> Result<i64> {
            answers.get(index).and_then(|rows| rows.first()).map_or(Ok(0), |row| row.get("n"))
        };
        let mut stats = Stats {
            events_undispatched: count(0)?,
            runs_queued: count(1)?,
            runs_running: count(2)?,
            runs_parked: count(3)?,
            ..Stats::default()
        };
        for row in answers.last().into_iter().flatten() {
            let (name, value) = (row.get::<String>("name")?, row.get("value")?);
            match name.as_str() {
                counter::RECEIVED => stats.events_received = value,
                counter::DUPLICATE => stats.events_duplicate = value,
                counter::QUARANTINED => stats.events_quarantined = value,
                counter::REPLAYED => stats.events_replayed = value,
                counter::STALE => stats.events_stale = value,
                counter::JOINED => stats.events_joined = value,
                counter::DUPLICATE_FACT => stats.events_duplicate_fact = value,
                counter::NO_MATCH => stats.events_no_match = value,
                counter::CREATED => stats.runs_created = value,
                counter::COMPLETED => stats.runs_completed = value,
                counter::FAILED => stats.runs_failed = value,
                counter::CANCELLED => stats.runs_cancelled = value,
                counter::RETRIED => stats.runs_retried = value,
                counter::ATTEMPTS_RETRIED => stats.attempts_retried = value,
                _ => {}
            }
        }
        Ok(stats)
    }

    /// A number that moves whenever a flow or a connection changes: what was made from them is good until then. What
    /// another node changes moves it a moment later.
    pub async fn generation(&self) -> Result<u64> {
        match &self.inner.backend {
            Backend::Sqlite(_) => {
                self.first(GENERATION, Vec::new()).await?.map_or(Ok(0), |row| row.get("value"))
            }
            Backend::Postgres(postgres) => postgres.generation(Query::new(GENERATION, Vec::new())).await,
        }
    }
}
