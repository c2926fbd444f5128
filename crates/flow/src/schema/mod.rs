//! JSON Schema, as flows describe their data with: draft 2020-12 without what needs other documents or hidden state.
//!
//! Compiled once, when a flow is read. `format` is a remark, as the draft has it by default. What is not understood is
//! refused when the flow is read, never ignored. The work of one check is bounded, that of patterns too.

mod check;
mod compile;

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pattern::Pattern;

/// The most steps of one check; each rule that is applied to a value is one.
const MAX_WORK: u32 = 2_000_000;
/// The deepest nesting that a check follows, references counted.
const MAX_DEPTH: usize = 200;
/// How many violations a message lists.
const MAX_LISTED: usize = 3;

/// A schema that values can be checked against.
#[derive(Clone, Debug)]
pub struct Schema {
    rules: Arc<Rules>,
}

/// The rules of a document: the root's, and those that references lead to.
#[derive(Debug)]
struct Rules {
    root: Rule,
    targets: BTreeMap<String, Rule>,
}

/// What one schema object asks for.
#[derive(Debug)]
enum Rule {
    /// `true` and `false`.
    Constant(bool),
    Tests(Vec<Test>),
}

/// One keyword, with those that it works together with.
#[derive(Debug)]
enum Test {
    Type(Vec<Kind>),
    Enum(Vec<Value>),
    Const(Value),
    Minimum(f64),
    Maximum(f64),
    ExclusiveMinimum(f64),
    ExclusiveMaximum(f64),
    MultipleOf(f64),
    Length { min: usize, max: usize },
    Pattern(String, Pattern),
    Items { prefix: Vec<Rule>, rest: Option<Box<Rule>> },
    ItemCount { min: usize, max: usize },
    Unique,
    Contains { rule: Box<Rule>, min: usize, max: usize },
    Properties { known: BTreeMap<String, Rule>, patterns: Vec<(Pattern, Rule)>, others: Option<Box<Rule>> },
    PropertyNames(Box<Rule>),
    PropertyCount { min: usize, max: usize },
    Required(Vec<String>),
    Dependent(BTreeMap<String, Vec<String>>),
    DependentSchemas(BTreeMap<String, Rule>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    One(Vec<Rule>),
    Not(Box<Rule>),
    If { condition: Box<Rule>, then: Option<Box<Rule>>, otherwise: Option<Box<Rule>> },
    Reference(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

const KINDS: &[(&str, Kind)] = &[
    ("null", Kind::Null),
    ("boolean", Kind::Boolean),
    ("integer", Kind::Integer),
    ("number", Kind::Number),
    ("string", Kind::String),
    ("array", Kind::Array),
    ("object", Kind::Object),
];

/// What is wrong with a schema itself.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    /// JSON pointer below the schema.
    pub path: String,
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl Schema {
    /// Compiles a schema; everything that is wrong comes back at once.
    pub fn compile(document: &Value) -> Result<Self, Vec<Wrong>> {
        compile::document(document).map(|rules| Self { rules: Arc::new(rules) })
    }

    /// Checks a value; the error says where it differs and how, at most three times.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        check::value(&self.rules, value)
    }
}

#[cfg(test)]
mod tests;
