//! Runs that are only tried.

use flow::Fault;
use serde_json::Value;

/// Stands between a run and the world. A node that serves has none.
pub trait Rehearsal: Send + Sync {
    /// What stands for the answer to a call, which is not performed then; `None` lets it through. It is asked once for
    /// each call that a run makes, in their order.
    fn answer(&self, operation: &str, with: &Value) -> Option<Result<Value, Fault>>;
}
