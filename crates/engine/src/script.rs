//! Scripts and programs, which somebody else runs.

use connect::BoxFuture;
use flow::Fault;
use serde_json::Value;

/// Runs the scripts of flows. A script is a pure function: after a crash it is simply run again.
pub trait Scripts: Send + Sync {
    /// What `run: script` gives, `with` being its evaluated parts: `language, code, arguments, environment, stdin,
    /// return`. Dropped, the script is ended.
    fn run<'a>(&'a self, with: &'a Value) -> BoxFuture<'a, Result<Value, Fault>>;

    /// What a program of the server's gives: `operation` is `run.shell` or `run.container`, `with` has its evaluated
    /// parts, `key` is the same for each repetition. Dropped, the program is ended. Nobody starts any unless they say so.
    fn program<'a>(
        &'a self,
        operation: &'a str,
        with: &'a Value,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Value, Fault>> {
        let (_, _) = (with, key);
        let word = operation.strip_prefix("run.").unwrap_or(operation);
        let why = format!("`run: {word}` is not allowed here");
        let fault = Fault::coded("program_refused", 403, "A program is not allowed", why);
        Box::pin(std::future::ready(Err(fault)))
    }
}

/// Runs none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoScripts;

impl Scripts for NoScripts {
    fn run<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(std::future::ready(Err(Fault::configuration("this node runs no scripts"))))
    }
}
