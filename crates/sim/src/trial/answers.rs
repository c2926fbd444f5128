//! Answers that a test gives in place of the world.

use std::sync::{Arc, Mutex, PoisonError};

use connect::Catalog;
use engine::Rehearsal;
use flow::Fault;
use serde_json::Value;

use super::difference::fits;

/// One answer, to any call that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub operation: String,
    /// Arguments that the call must have; null for any.
    pub with: Value,
    pub outcome: Result<Value, Fault>,
    /// How many calls it answers; `None`: all.
    pub times: Option<u64>,
}

/// The answers of a test: the first that fits and is not used up.
pub struct Answers {
    catalog: Arc<Catalog>,
    answers: Mutex<Vec<Answer>>,
    /// What has no answer goes to the twins.
    twins: bool,
}

impl Answers {
    pub fn new(catalog: Arc<Catalog>, answers: Vec<Answer>, twins: bool) -> Answers {
        Answers { catalog, answers: Mutex::new(answers), twins }
    }

    fn given(&self, operation: &str, with: &Value) -> Option<Result<Value, Fault>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = answers.iter_mut().find(|answer| {
            answer.operation == operation && answer.times != Some(0) && fits(&answer.with, with)
        })?;
        found.times = found.times.map(|times| times - 1);
        Some(found.outcome.clone())
    }
}

impl Rehearsal for Answers {
    fn answer(&self, operation: &str, with: &Value) -> Option<Result<Value, Fault>> {
        if let Some(given) = self.given(operation, with) {
            return Some(given);
        }
        let plain = matches!(operation, "http" | "openapi" | "run.shell" | "run.container");
        let known = self.catalog.operation(operation).is_some();
        match operation {
            // Nobody else is there to hear it.
            "emit" => Some(Ok(with.clone())),
            _ if plain || (known && !self.twins) => {
                let why = format!("the test has no answer to `{operation}` with {with}");
                Some(Err(Fault::coded("unanswered", 500, "No answer in the test", why)))
            }
            _ => None,
        }
    }
}
