//! Runs that are only tried.

use connect::Prepared;
use flow::Fault;
use serde_json::Value;

/// Stands between a run and the world. A node that serves has none.
pub trait Rehearsal: Send + Sync {
    /// What stands for the answer to a call, which is not performed then; `None` lets it through. It is asked once for
    /// each call that a run makes, in their order.
    fn answer(&self, operation: &str, with: &Value) -> Option<Result<Value, Fault>>;

    /// The same for the write that an upsert comes down to, once it has read: what stands for that write's output.
    fn writes(&self, _operation: &str, _with: &Value, _write: &Prepared) -> Option<Value> {
        None
    }

    /// Whether a message that tells people of a question is shown and not sent.
    fn tells(&self, _operation: &str, _with: &Value) -> bool {
        false
    }
}
