//! Reads `run`: what a flow starts beside itself.
//!
//! A script becomes a call of the operation `script` with `language, code, arguments, environment, stdin, return`. It is
//! a pure function, so that one that is not awaited could change nothing, and is not run at all.
//!
//! A program becomes a call of `run.shell` with `command, arguments, environment, stdin, return`, or of `run.container`
//! with `image` and `pull` besides. Where they are allowed is not the document's to know: [`super::Program`].

use serde_json::Value;
use std::sync::Arc;

use super::parse::{At, Reader};
use super::task::{Action, Template};
use super::{Program, ProgramSite, ScriptSite};
use crate::Expression;
use crate::expression::is_expression;
use crate::nearest::nearest;
use crate::yaml::Kind;

/// What a process may give.
const RETURNS: &[&str] = &["stdout", "stderr", "code", "all", "none"];
/// What scripts are written in; the second is the specification's other name of the first.
const LANGUAGES: &[&str] = &["js", "javascript", "jq"];
/// When the image of a container is fetched.
const PULLS: &[&str] = &["ifNotPresent", "always", "never"];

impl<'a> Reader<'a> {
    /// `run`.
    pub(super) fn run(&mut self, at: &At<'a>) -> Option<Action> {
        self.only(at, "`run`", &["script", "shell", "container", "workflow", "await", "return"], &[]);
        let returns = self.returns(at);
        let awaited = self.awaited(at);
        let kinds: Vec<_> = ["workflow", "shell", "container", "script"]
            .into_iter()
            .filter_map(|word| at.get(word).map(|found| (word, found)))
            .collect();
        if let [(first, _), (second, found), ..] = kinds.as_slice() {
            let message = format!("`run` starts one thing: it has both `{first}` and `{second}`");
            self.problem(found, "ambiguous_task", message);
        }
        match kinds.first() {
            Some(("workflow", workflow)) => self.subflow(workflow, awaited),
            Some(("shell", shell)) => self.program(Program::Shell, at, shell, returns),
            Some(("container", container)) => self.program(Program::Container, at, container, returns),
            Some((_, script)) => {
                let with = self.script(script, returns)?;
                if awaited {
                    return Some(Action::Call { operation: "script".to_owned(), with });
                }
                Expression::parse(".").ok().map(Template::Expression).map(Action::Set)
            }
            None => {
                let message = "`run` needs `script`, `workflow`, `shell` or `container`".to_owned();
                self.problem(at, "missing_field", message);
                None
            }
        }
    }

    /// A program of the server's, or a container.
    fn program(
        &mut self,
        kind: Program,
        run: &At<'a>,
        at: &At<'a>,
        returns: Option<&'a str>,
    ) -> Option<Action> {
        let word = format!("`{}`", kind.word());
        let (known, unsupported): (&[&str], &[&str]) = match kind {
            Program::Shell => (&["command", "arguments", "environment", "stdin"], &[]),
            Program::Container => (
                &["image", "command", "arguments", "environment", "stdin", "pullPolicy", "lifetime"],
                &["name", "ports", "volumes"],
            ),
        };
        self.only(at, &word, known, unsupported);
        if let Some(awaited) = run.get("await").filter(|awaited| awaited.node.kind == Kind::Bool(false)) {
            let message = format!("`await: false` of {word} is not supported: a program ends with its task");
            self.problem(&awaited, "unsupported", message);
        }
        let place = at.node.place;
        self.programs.push(ProgramSite {
            program: kind,
            path: at.path.clone(),
            line: place.line,
            column: place.column,
        });
        let needed = if kind == Program::Shell { "command" } else { "image" };
        if at.get(needed).is_none() {
            self.missing(at, &word, needed);
        }
        let mut fields = Vec::new();
        if let Some(returns) = returns {
            fields.push(("return".to_owned(), text_literal(returns)));
        }
        if let Some(pull) = at.get("pullPolicy") {
            let text = self.literal(&pull, "`pullPolicy`")?;
            if !PULLS.contains(&text) {
                let message = format!("`pullPolicy: {text}`: it is one of `{}`", PULLS.join("`, `"));
                let suggestion = nearest(text, PULLS.iter().copied()).map(str::to_owned);
                self.report(pull.node.place, &pull.path, "wrong_type", message, suggestion);
            }
            fields.push(("pull".to_owned(), text_literal(text)));
        }
        self.lifetime(at);
        for name in ["image", "command"] {
            let Some(field) = at.get(name) else { continue };
            self.text(&field, &format!("`{name}` of {word}"))?;
            fields.push((name.to_owned(), self.template(&field)?));
        }
        for (name, expected) in
            [("arguments", "a list or a mapping"), ("environment", "a mapping"), ("stdin", "")]
        {
            let Some(field) = at.get(name) else { continue };
            let fits = match &field.node.kind {
                Kind::List(_) => expected.starts_with("a list"),
                Kind::Map(_) => !expected.is_empty(),
                Kind::String(text) => is_expression(text),
                _ => false,
            };
            if !fits && !expected.is_empty() {
                self.expected(&field, &format!("`{name}` of {word}"), expected);
            }
            fields.push((name.to_owned(), self.template(&field)?));
        }
        Some(Action::Call { operation: kind.operation().to_owned(), with: Template::Object(fields) })
    }

    /// A container is removed when its task is over, and nothing else can be asked for.
    fn lifetime(&mut self, container: &At<'a>) {
        let Some(at) = container.get("lifetime") else { return };
        self.only(&at, "`lifetime`", &["cleanup"], &["after"]);
        match at.get("cleanup") {
            None => self.missing(&at, "`lifetime`", "cleanup"),
            Some(cleanup) => {
                let text = self.literal(&cleanup, "`cleanup`");
                if let Some(text) = text.filter(|text| *text != "always") {
                    let message = format!(
                        "`cleanup: {text}` is not supported: a container is removed when its task is over (`always`)"
                    );
                    self.problem(&cleanup, "unsupported", message);
                }
            }
        }
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
        let mut literal = |name: &str, text: &str| fields.push((name.to_owned(), text_literal(text)));
        match at.get("language") {
            Some(language) => literal("language", self.language(&language)?),
            None => self.missing(at, "`script`", "language"),
        }
        match at.get("code") {
            Some(code) => {
                let text = self.literal(&code, "`code`")?;
                literal("code", text);
                self.note_script(at, &code, text);
            }
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

    fn note_script(&mut self, script: &At<'a>, at: &At<'a>, code: &str) {
        let language = script.get("language").and_then(|language| language.node.as_str());
        let (place, starts) = (at.node.place, self.starts(at.node.place, code));
        self.scripts.push(ScriptSite {
            language: language.unwrap_or_default().to_owned(),
            code: code.to_owned(),
            path: at.path.clone(),
            line: place.line,
            column: place.column,
            starts,
        });
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

fn text_literal(text: &str) -> Template {
    Template::Literal(Arc::new(Value::String(text.to_owned())))
}
