//! Scripts of flows: code that somebody wrote, run where it can hurt nobody.
//!
//! **What it is.** A script is a pure function: from its arguments, environment and standard input to what it returns
//! or prints. It sees no file, no network, no clock, no chance and no environment of the server's. [`pool::Pool`] runs
//! each one in a process of its own ([`worker`], the same binary) that is killed when its time is over; inside,
//! memory, steps and output are bounded ([`limits`]). JavaScript is QuickJS ([`javascript`]), jq is jaq ([`jq`]).
//!
//! **Beside them**, [`program`] starts shells and containers where the operator allows it: these are not confined.
//!
//! **What it is not.** It keeps nothing from one script to the next, and knows nothing of runs: whoever runs a script
//! again gets the same result.
//!
//! **Where to start.** [`Task`] for what a flow says, [`Answer`] for what comes back, `tests/hostile.rs` for what has
//! been tried.

mod check;
mod confine;
pub mod javascript;
pub mod jq;
pub mod limits;
pub mod pool;
pub mod program;
mod task;
pub mod worker;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub use check::check;
pub use limits::Limit;
pub use pool::Pool;
pub use program::{Allowed, Programs};
pub use task::Task;

/// A language that scripts can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    JavaScript,
    Jq,
}

/// What a worker is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub language: Language,
    pub code: String,
    #[serde(default)]
    pub arguments: Vec<Value>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The value of `stdin`; null where there is none.
    #[serde(default)]
    pub stdin: Value,
}

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It came to an end of its own.
    Ended(Ended),
    /// It was ended.
    Limited(Limit),
    /// It could not be begun.
    Refused(String),
}

/// An end of a script's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// What it returned, null perhaps; `None` if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub value: Option<Value>,
    pub stdout: String,
    pub stderr: String,
    /// The error that it ended by.
    pub error: Option<String>,
}

fn there<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(given).map(Some)
}

/// Runs a script in this process: bounded in memory and steps, but not in time. For simulations, where the same input
/// has to take the same way, and for tests.
pub fn here(request: &Request) -> Answer {
    match request.language {
        Language::JavaScript => javascript::run(request),
        Language::Jq => Answer::Refused("jq scripts need a worker of their own".to_owned()),
    }
}
