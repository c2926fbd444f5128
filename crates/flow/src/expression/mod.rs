//! Expressions.

use serde_json::Value;
use std::collections::BTreeMap;

use crate::Fault;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
}

impl Expression {
    /// Compiles the text of an expression, with or without `${ … }` around it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        Ok(Self { text: text.to_owned() })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates with `.` = `input` and variables by name without `$`.
    pub fn evaluate(&self, _input: &Value, _variables: &BTreeMap<String, Value>) -> Result<Value, Fault> {
        Err(Fault::expression("expressions are not evaluated yet"))
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// As in [`crate::CODES`].
    pub code: &'static str,
    pub message: String,
    pub suggestion: Option<String>,
}
