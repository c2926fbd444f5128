//! Scripts: pure functions that somebody else runs.

use connect::BoxFuture;
use flow::Fault;
use serde_json::Value;

/// Runs the scripts of flows. A script is a pure function: after a crash it is simply run again.
pub trait Scripts: Send + Sync {
    /// What `run: script` gives, `with` being its evaluated parts: `language, code, arguments, environment, stdin,
    /// return`. Dropped, the script is ended.
    fn run<'a>(&'a self, with: &'a Value) -> BoxFuture<'a, Result<Value, Fault>>;
}

/// Runs none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoScripts;

impl Scripts for NoScripts {
    fn run<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(std::future::ready(Err(Fault::configuration("this node runs no scripts"))))
    }
}
