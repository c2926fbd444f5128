//! Reads `run`: what a flow starts beside itself.
//!
//! A script becomes a call of the operation `script` with `language, code, arguments, environment, stdin, return`. It is
//! a pure function, so that one that is not awaited could change nothing, and is not run at all.

use serde_json::Value;
use std::sync::Arc;

use super::parse::{At, Reader};
use super::task::{Action, Template};
use crate::Expression;
use crate::expression::is_expression;
use crate::nearest::nearest;
use crate::yaml::Kind;

/// What a process may give.
const RETURNS: &[&str] = &["stdout", "stderr", "code", "all", "none"];
/// What scripts are written in; the second is the specification's other name of the first.
const LANGUAGES: &[&str] = &["js", "javascript", "jq"];
/// What can be started, and is not, and why.
const REFUSED: &[(&str, &str)] = &[
    ("shell", "a flow starts no programs on the server; call an operation, `http`, or write a `script`"),
    ("container", "a flow starts no containers on the server; call the service by `http`"),
];

impl<'a> Reader<'a> {
    /// `run`.
    pub(super) fn run(&mut self, at: &At<'a>) -> Option<Action> {
        self.only(at, "`run`", &["script", "shell", "container", "workflow", "await", "return"], &[]);
        let mut refused = false;
        for (word, why) in REFUSED {
            if let Some(found) = at.get(word) {
                self.problem(&found, "unsupported", format!("`run: {word}` is not available: {why}"));
                refused = true;
            }
        }
        let returns = self.returns(at);
        let awaited = self.awaited(at);
        if let Some(workflow) = at.get("workflow") {
            return self.subflow(&workflow, awaited);
        }
        let Some(script) = at.get("script") else {
            if !refused {
                self.problem(at, "missing_field", "`run` needs `script` or `workflow`".to_owned());
            }
            return None;
        };
        let with = self.script(&script, returns)?;
        if awaited {
            return Some(Action::Call { operation: "script".to_owned(), with });
        }
        Expression::parse(".").ok().map(Template::Expression).map(Action::Set)
    }

    fn awaited(&mut self, at: &At<'a>) -> bool {
        let Some(awaited) = at.get("await") else { return true };
        if !matches!(awaited.node.kind, Kind::Bool(_)) {
            self.expected(&awaited, "`await`", "true or false");
        }
        awaited.node.kind != Kind::Bool(false)
    }

    fn returns(&mut self, at: &At<'a>) -> Option<&'a str> {
        let returns = at.get("return")?;
        let text = self.literal(&returns, "`return`")?;
        if !RETURNS.contains(&text) {
            let message = format!("`return: {text}`: it is one of `{}`", RETURNS.join("`, `"));
            let suggestion = nearest(text, RETURNS.iter().copied()).map(str::to_owned);
            self.report(returns.node.place, &returns.path, "wrong_type", message, suggestion);
        }
        Some(text)
    }

    fn script(&mut self, at: &At<'a>, returns: Option<&'a str>) -> Option<Template> {
        let known = ["language", "code", "arguments", "environment", "stdin"];
        self.only(at, "`script`", &known, &["source"]);
        let mut fields = Vec::new();
        let mut literal = |name: &str, text: &str| {
            fields.push((name.to_owned(), Template::Literal(Arc::new(Value::String(text.to_owned())))));
        };
        match at.get("language") {
            Some(language) => literal("language", self.language(&language)?),
            None => self.missing(at, "`script`", "language"),
        }
        match at.get("code") {
            Some(code) => literal("code", self.literal(&code, "`code`")?),
            None if at.get("source").is_none() => self.missing(at, "`script`", "code"),
            None => {}
        }
        if let Some(returns) = returns {
            literal("return", returns);
        }
        for (name, expected) in [("arguments", "a list"), ("environment", "a mapping"), ("stdin", "")] {
            let Some(field) = at.get(name) else { continue };
            let fits = match &field.node.kind {
                Kind::List(_) => expected == "a list",
                Kind::Map(_) => expected == "a mapping",
                Kind::String(text) => is_expression(text),
                _ => false,
            };
            if !fits && !expected.is_empty() {
                self.expected(&field, &format!("`{name}` of a script"), expected);
            }
            fields.push((name.to_owned(), self.template(&field)?));
        }
        Some(Template::Object(fields))
    }

    fn language(&mut self, at: &At<'a>) -> Option<&'a str> {
        let text = self.literal(at, "`language`")?;
        if !LANGUAGES.contains(&text) {
            let message = format!("scripts in `{text}` are not supported; `js` and `jq` are");
            let suggestion = nearest(text, LANGUAGES.iter().copied()).map(str::to_owned);
            self.report(at.node.place, &at.path, "unsupported", message, suggestion);
            return None;
        }
        Some(text)
    }
}
