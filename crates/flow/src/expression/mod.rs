//! Expressions: a strict, bounded subset of jq, compiled once and evaluated over borrowed JSON.
//!
//! jaq's parser reads the text ([`check`]); an evaluator of our own runs it ([`eval`]), because jaq's can't be
//! bounded in steps or memory: `reduce range(60) as $i ("a"; . + .)` is a valid program of a few characters. The
//! same inputs give the same result: there is no clock, no environment, no randomness. jaq itself is the reference
//! that the tests compare with.
//!
//! An expression gives one value. None is `null`; several are an error, since which one was meant is a guess.

mod builtins;
mod check;
mod closure;
mod eval;
mod guard;
mod list;
pub mod meter;
mod names;
mod node;
mod operator;
mod plain;
mod value;
mod walk;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Fault;
use eval::{Run, Stop};
use meter::Meter;
pub use node::Variable;
use node::{Node, Step, Term};
use value::Val;

/// Gives the variables of an evaluation; what is not there is null.
pub trait Scope {
    /// The value of a variable.
    fn get(&self, variable: &Variable) -> Option<&Value>;
}

impl Scope for BTreeMap<String, Value> {
    /// By name without `$`; steps are the fields of `steps`.
    fn get(&self, variable: &Variable) -> Option<&Value> {
        let name = match variable {
            Variable::Step(step) => return BTreeMap::get(self, "steps").and_then(|steps| steps.get(step)),
            Variable::Named(name) => name.as_str(),
            standard => {
                names::STANDARD.iter().find(|(_, known)| known == standard).map_or("", |(name, _)| *name)
            }
        };
        BTreeMap::get(self, name)
    }
}

/// What an expression may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// Names that a `for`, a `catch` or the caller gives.
    pub named: &'a [String],
    /// The tasks whose outputs `$steps` has; `None` lets any name pass.
    pub steps: Option<&'a BTreeSet<String>>,
    /// The settings that `$settings` has; `None` lets any name pass.
    pub settings: Option<&'a BTreeSet<String>>,
    /// Whether any other variable passes too.
    pub open: bool,
}

impl Names<'_> {
    /// Lets every name pass.
    pub const ANY: Names<'static> = Names { named: &[], steps: None, settings: None, open: true };
}

/// A compiled expression; cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression {
    inner: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    text: String,
    node: Node,
}

/// An expression that only names a value, which need not be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole<'a> {
    /// `.`
    Input,
    /// `$name`, `$steps.name`
    Variable(&'a Variable),
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where in the text as given, in bytes.
    pub offset: usize,
    /// As in [`crate::CODES`].
    pub code: &'static str,
    pub message: String,
    pub suggestion: Option<String>,
}

impl Problem {
    fn new(offset: usize, code: &'static str, message: String) -> Self {
        Self { offset, code, message, suggestion: None }
    }
}

impl Expression {
    /// Compiles the text of an expression, with or without `${ … }` around it; any variable may be named.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        Self::compile(text, &Names::ANY)
    }

    /// Compiles the text of an expression, with or without `${ … }` around it, and checks the names in it.
    pub fn compile(text: &str, names: &Names<'_>) -> Result<Self, Vec<Problem>> {
        let (inner, start) = strip(text);
        let node = check::compile(inner, names).map_err(|mut problems| {
            for problem in &mut problems {
                problem.offset += start;
            }
            problems
        })?;
        Ok(Self { inner: Arc::new(Compiled { text: text.to_owned(), node }) })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The value that the expression names, if it does nothing else.
    pub fn whole(&self) -> Option<Whole<'_>> {
        match &self.inner.node.term {
            Term::Identity => Some(Whole::Input),
            Term::Variable(variable) => Some(Whole::Variable(variable)),
            _ => None,
        }
    }

    /// Evaluates with `.` = `input`. The fault is of type …/expression.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, Fault> {
        let node = &self.inner.node;
        if let Some(value) = plain_path(node, input, scope) {
            return Ok(value.clone());
        }
        let meter = Meter::default();
        let run = Run::new(scope, &meter);
        let input = Val::from(input);
        let value = self.result(&run, node, &input)?;
        value.to_json(&meter).map_err(|limit| self.fault(Stop::Limit(limit)))
    }

    /// Whether the result is true by jq's rule: neither null nor false.
    pub fn test(&self, input: &Value, scope: &dyn Scope) -> Result<bool, Fault> {
        let node = &self.inner.node;
        let meter = Meter::default();
        let run = Run::new(scope, &meter);
        Ok(self.result(&run, node, &Val::from(input))?.is_true())
    }

    fn result<'v>(&self, run: &Run<'_, 'v>, node: &'v Node, input: &Val<'v>) -> Result<Val<'v>, Fault> {
        if node.single {
            return run.one(node, input, None).map_err(|stop| self.fault(stop));
        }
        let mut result = None;
        let outcome = run.each(node, input, None, &mut |value| {
            if result.replace(value).is_some() {
                return Err(Stop::error(
                    "the expression gives several values; put it in `[ … ]` or `first(…)`".to_owned(),
                ));
            }
            Ok(())
        });
        outcome.map_err(|stop| self.fault(stop))?;
        Ok(result.unwrap_or(Val::Null))
    }

    fn fault(&self, stop: Stop<'_>) -> Fault {
        const LONGEST: usize = 120;
        let (detail, data) = match stop {
            Stop::Error(Val::Text(text)) => (text.as_str().to_owned(), None),
            Stop::Error(other) => {
                let message = other.to_json(&Meter::default()).unwrap_or_default();
                (message.to_string(), Some(message))
            }
            Stop::Limit(limit) => (limit.message(), None),
            Stop::Enough(_) => ("the expression ended early".to_owned(), None),
        };
        let text: String = self.text().chars().take(LONGEST).collect();
        let more = if text.len() < self.text().len() { "…" } else { "" };
        let mut fault = Fault::expression(format!("{detail} in `{text}{more}`"));
        fault.data = data;
        fault
    }
}

/// The inside of `${ … }`, and where it starts; other text is taken as it is.
fn strip(text: &str) -> (&str, usize) {
    let trimmed = text.trim();
    match trimmed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(inner) => (inner, text.len() - text.trim_start().len() + 2),
        None => (text, 0),
    }
}

/// Whether text is a whole expression: `${ … }`.
pub fn is_expression(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.starts_with("${") && trimmed.ends_with('}')
}

/// `.a.b`, `$x.a.b` and `$steps.x.a` go straight to the value, without a meter.
fn plain_path<'v>(node: &'v Node, input: &'v Value, scope: &'v dyn Scope) -> Option<&'v Value> {
    let base = |node: &'v Node| match &node.term {
        Term::Identity => Some(input),
        Term::Variable(variable) => scope.get(variable),
        _ => None,
    };
    let Term::Path(head, parts) = &node.term else { return base(node) };
    let mut value = base(head)?;
    for part in parts {
        let Step::Field(name) = &part.step else { return None };
        value = value.as_object()?.get(name)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests;
