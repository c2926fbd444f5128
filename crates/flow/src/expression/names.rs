//! Checks the names in an expression: variables, steps, settings and functions.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::Term as Tree;
use serde_json::Value;
use std::sync::Arc;

use super::Problem;
use super::builtins::{self, Builtin};
use super::check::{Check, like, literal, single};
use super::guard::{REFUSED, offset};
use super::node::{Node, Term, TextPart, Variable};
use crate::nearest::nearest;
use crate::pattern::{Dialect, Pattern};

impl<'a> Check<'a> {
    pub(super) fn variable(&mut self, name: &'a str) -> Node {
        if let Some(out) = self.locals.iter().rev().position(|local| *local == name) {
            return single(Term::Local(out));
        }
        let bare = name.trim_start_matches('$');
        let variable = match bare {
            "ENV" | "__loc__" | "__prog_args" => {
                let why =
                    format!("`{name}` does not exist here: flows don't see the environment; use `$settings`");
                return self.problem(name, "expression_refused", why);
            }
            "secrets" => {
                let why = "`$secrets.<connection>.<field>` stands alone, as what `authentication` needs or as a header of `call: http`".to_owned();
                return self.problem(name, "expression_refused", why);
            }
            "steps" => {
                let why = "name the step: `$steps.<name>` is its output".to_owned();
                return self.problem(name, "expression_refused", why);
            }
            _ if self.names.named.iter().any(|named| named == bare) => Variable::Named(bare.to_owned()),
            _ => match standard(bare) {
                Some(variable) => variable,
                None if self.names.open => Variable::Named(bare.to_owned()),
                None => {
                    let known = self
                        .names
                        .named
                        .iter()
                        .map(String::as_str)
                        .chain(STANDARD.iter().map(|(name, _)| *name));
                    let locals = self.locals.iter().map(|local| local.trim_start_matches('$'));
                    let suggestion =
                        nearest(bare, known.chain(locals).chain(["steps"])).map(|name| format!("${name}"));
                    let message = format!("`{name}` is not a variable here");
                    let mut problem = Problem::new(offset(self.text, name), "unknown_variable", message);
                    problem.suggestion = suggestion;
                    self.problems.push(problem);
                    return single(Term::Identity);
                }
            },
        };
        single(Term::Variable(variable))
    }

    pub(super) fn step(&mut self, at: &str, step: &str) {
        if let Some(steps) = self.names.steps
            && !steps.iter().any(|known| known == step)
        {
            let mut problem = Problem::new(
                offset(self.text, at),
                "unknown_step",
                format!("`$steps.{step}`: there is no task named `{step}`"),
            );
            problem.suggestion =
                nearest(step, steps.iter().map(String::as_str)).map(|name| format!("$steps.{name}"));
            self.problems.push(problem);
        }
    }

    pub(super) fn setting(&mut self, text: &[StrPart<&'a str, Tree<&'a str>>]) {
        if let (Some(settings), Some(name)) = (self.names.settings, literal(text))
            && !settings.contains(&name)
        {
            let at = text.iter().find_map(|part| {
                if let StrPart::Str(text) = part { Some(offset(self.text, text)) } else { None }
            });
            let message = format!("`$settings.{name}`: `document.metadata.settings` declares no `{name}`");
            let mut problem = Problem::new(at.unwrap_or(0), "unknown_setting", message);
            problem.suggestion =
                nearest(&name, settings.iter().map(String::as_str)).map(|name| format!("$settings.{name}"));
            self.problems.push(problem);
        }
    }

    pub(super) fn call(&mut self, name: &'a str, args: &[Tree<&'a str>], depth: usize) -> Node {
        match (name, args) {
            ("true", []) => return single(Term::Constant(Value::Bool(true))),
            ("false", []) => return single(Term::Constant(Value::Bool(false))),
            ("null", []) => return single(Term::Constant(Value::Null)),
            _ => {}
        }
        if name.starts_with('@') && name != "@base64d" {
            return match self.format(name) {
                Ok(format) => single(Term::Text(format, vec![TextPart::Term(single(Term::Identity))])),
                Err(node) => node,
            };
        }
        let Some(builtin) = builtins::find(name, args.len()) else { return self.unknown(name, args.len()) };
        let before = self.problems.len();
        let args: Vec<Node> = args.iter().map(|arg| self.term(arg, depth)).collect();
        let regex = if self.problems.len() == before { self.regex(name, builtin, &args) } else { None };
        if builtin == Builtin::Del && !args.iter().all(is_place) {
            return self.problem(
                name,
                "expression_refused",
                "`del` takes plain places: `del(.a, .b.c)`".to_owned(),
            );
        }
        let is_single = builtin.is_single(&args);
        like(is_single, Term::Call(builtin, args, regex))
    }

    fn unknown(&mut self, name: &'a str, arity: usize) -> Node {
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return self.problem(name, "expression_refused", format!("`{name}` is not allowed: {why}"));
        }
        let arities = builtins::arities(name);
        if !arities.is_empty() {
            let takes = arities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let message = format!("`{name}` takes {takes} arguments (separated by `;`), not {arity}");
            return self.problem(name, "unknown_function", message);
        }
        let mut problem =
            Problem::new(offset(self.text, name), "unknown_function", format!("`{name}` is not a function"));
        problem.suggestion = nearest(name, builtins::names()).map(str::to_owned);
        self.problems.push(problem);
        single(Term::Identity)
    }

    /// A constant pattern is compiled once, here.
    fn regex(&mut self, name: &str, builtin: Builtin, args: &[Node]) -> Option<Arc<Pattern>> {
        let (index, flags) = builtin.pattern()?;
        let Some(Term::Constant(Value::String(pattern))) = args.get(index).map(|node| &node.term) else {
            return None;
        };
        let flags = match flags.and_then(|flags| args.get(flags)).map(|node| &node.term) {
            None => "",
            Some(Term::Constant(Value::String(flags))) => flags,
            Some(_) => return None,
        };
        match Pattern::new(pattern, flags, Dialect::Jq) {
            Ok(regex) => Some(Arc::new(regex)),
            Err(why) => {
                self.problem(name, "expression_syntax", why);
                None
            }
        }
    }
}

pub const STANDARD: &[(&str, Variable)] = &[
    ("context", Variable::Context),
    ("input", Variable::Input),
    ("output", Variable::Output),
    ("task", Variable::Task),
    ("workflow", Variable::Workflow),
    ("runtime", Variable::Runtime),
    ("event", Variable::Event),
    ("settings", Variable::Settings),
];

pub(super) fn standard(name: &str) -> Option<Variable> {
    STANDARD.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone())
}

/// Places that `del` can take: fields and single indices below `.`, and commas of these.
pub(super) fn is_place(node: &Node) -> bool {
    match &node.term {
        Term::Path(head, parts) => {
            matches!(head.term, Term::Identity)
                && parts.iter().all(|part| !part.optional && part.step.is_single())
        }
        Term::Comma(left, right) => is_place(left) && is_place(right),
        _ => false,
    }
}
