//! The compiled form of an expression: only what is allowed can be said in it.

use serde_json::Value;
use std::sync::Arc;

use super::builtins::Builtin;

/// A variable from outside the expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    Context,
    Input,
    Output,
    Task,
    Workflow,
    Runtime,
    Event,
    Settings,
    /// A step's output: `$steps.<name>`.
    Step(String),
    /// A name that a `for` or `catch` gives, or a caller.
    Named(String),
}

/// A term, and whether it gives exactly one result (or fails), which is evaluated without callbacks.
#[derive(Clone, Debug)]
pub struct Node {
    pub term: Term,
    pub single: bool,
}

impl Node {
    /// How deep the stack gets at most, in terms: a term with one result is over before the next begins, a term with
    /// several calls the next for each of them.
    pub fn weight(&self) -> usize {
        let mut children = Vec::new();
        self.term.children(&mut children);
        let weights = children.into_iter().map(Node::weight);
        // These give one result, but apply a term while another is still giving its results.
        let nested =
            matches!(self.term, Term::Reduce(_) | Term::Call(Builtin::AnyEach | Builtin::AllEach, ..));
        1 + if self.single && !nested { weights.max().unwrap_or(0) } else { weights.sum() }
    }
}

impl Term {
    fn children<'n>(&'n self, into: &mut Vec<&'n Node>) {
        match self {
            Self::Identity | Self::Constant(_) | Self::Variable(_) | Self::Local(_) | Self::List(None) => {}
            Self::List(Some(node)) | Self::Negate(node) | Self::Try(node, None) => into.push(node),
            Self::Path(head, parts) => {
                into.push(head);
                for part in parts {
                    match &part.step {
                        Step::Index(node) => into.push(node),
                        Step::Slice(from, to) => into.extend(from.iter().chain(to)),
                        Step::Field(_) | Step::Each => {}
                    }
                }
            }
            Self::Object(fields) => into.extend(fields.iter().flat_map(|(key, value)| [key, value])),
            Self::Text(_, parts) => into.extend(parts.iter().filter_map(|part| match part {
                TextPart::Term(node) => Some(node),
                TextPart::Literal(_) => None,
            })),
            Self::Pipe(a, b)
            | Self::Bind(a, _, b)
            | Self::Comma(a, b)
            | Self::Alternative(a, b)
            | Self::And(a, b)
            | Self::Or(a, b)
            | Self::Math(_, a, b)
            | Self::Compare(_, a, b)
            | Self::Try(a, Some(b)) => into.extend([&**a, &**b]),
            Self::If(cases, otherwise) => {
                into.extend(cases.iter().flat_map(|(when, then)| [when, then]));
                into.extend(otherwise.as_deref());
            }
            Self::Reduce(fold) | Self::Foreach(fold) => {
                into.extend([&fold.source, &fold.init, &fold.update]);
                into.extend(&fold.extract);
            }
            Self::Call(_, args, _) => into.extend(args),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Term {
    Identity,
    Constant(Value),
    Variable(Variable),
    /// A variable that the expression binds: how many bindings out.
    Local(usize),
    Path(Box<Node>, Vec<Part>),
    /// `[ … ]`; nothing inside is the empty list.
    List(Option<Box<Node>>),
    Object(Vec<(Node, Node)>),
    Text(Format, Vec<TextPart>),
    Negate(Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    /// `source as pattern | body`.
    Bind(Box<Node>, Pattern, Box<Node>),
    Comma(Box<Node>, Box<Node>),
    /// `//`
    Alternative(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Math(Math, Box<Node>, Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    If(Vec<(Node, Node)>, Option<Box<Node>>),
    Try(Box<Node>, Option<Box<Node>>),
    Reduce(Box<Fold>),
    Foreach(Box<Fold>),
    Call(Builtin, Vec<Node>, Option<Arc<crate::pattern::Pattern>>),
}

/// `reduce` or `foreach`: `source as pattern (init; update; extract)`.
#[derive(Clone, Debug)]
pub struct Fold {
    pub source: Node,
    pub pattern: Pattern,
    pub init: Node,
    pub update: Node,
    pub extract: Option<Node>,
}

/// A part of a path; with `?`, what does not fit is left out instead of failing.
#[derive(Clone, Debug)]
pub struct Part {
    pub step: Step,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`
    Field(String),
    /// `.[index]`
    Index(Node),
    /// `.[]`
    Each,
    /// `.[from:to]`
    Slice(Option<Node>, Option<Node>),
}

/// What a binding takes apart. Its variables are bound in the order of `variables`.
#[derive(Clone, Debug)]
pub enum Pattern {
    Variable,
    List(Vec<Pattern>),
    /// Field names are constant; `{$a}` is the field `a` and a variable.
    Object(Vec<(String, Pattern)>),
}

#[derive(Clone, Debug)]
pub enum TextPart {
    Literal(String),
    Term(Node),
}

/// How `\( … )` is written into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    Uri,
    Base64,
    Csv,
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}
