//! Reads tasks: what each may say, what each must say, and where its `then` goes.

use serde_json::Value;
use std::sync::Arc;

use super::parse::{At, Reader};
use super::reach::unreached;
use super::task::{Action, Case, Delay, For, Fork, Schemas, Task, Tasks, Template, Then};
use super::{Argument, CallSite};
use crate::duration;
use crate::expression::is_expression;
use crate::nearest::nearest;
use crate::schema::Schema;
use crate::yaml::Kind;

/// The most tasks of a document.
pub const MAX_TASKS: usize = 2_000;
/// The deepest nesting of tasks.
pub const MAX_DEPTH: usize = 20;
/// The most branches of a `fork`.
pub const MAX_BRANCHES: usize = 100;

/// What every task may have.
const COMMON: &[&str] = &["if", "input", "output", "export", "then", "metadata", "timeout"];
const ACTIONS: &[&str] =
    &["do", "set", "call", "switch", "for", "fork", "try", "raise", "emit", "wait", "listen", "run"];
/// Kinds of `call` of the specification that are not run yet.
const UNSUPPORTED_CALLS: &[&str] = &["grpc", "asyncapi", "a2a", "mcp"];
/// What a variable of a `for` or `catch` must not be called.
const TAKEN: &[&str] = &[
    "context",
    "input",
    "output",
    "task",
    "workflow",
    "runtime",
    "event",
    "settings",
    "steps",
    "secrets",
    "authorization",
    "ENV",
];

impl<'a> Reader<'a> {
    /// Gathers the names of all tasks below, so that expressions can be checked against them.
    pub fn gather_steps(&mut self, list: &At<'a>) {
        for item in list.items() {
            for (name, _, task) in item.fields() {
                self.steps.insert(name.to_owned());
                self.gather_inner_steps(&task);
            }
        }
    }

    /// Gathers the names of the tasks inside one.
    pub fn gather_inner_steps(&mut self, task: &At<'a>) {
        let handler = task.get("catch").and_then(|catch| catch.get("do"));
        let branches = task.get("fork").and_then(|fork| fork.get("branches"));
        let each = task.get("foreach").and_then(|each| each.get("do"));
        for inner in [task.get("do"), task.get("try"), handler, branches, each].into_iter().flatten() {
            self.gather_steps(&inner);
        }
    }

    /// A list of named tasks.
    pub fn tasks(&mut self, list: &At<'a>, what: &str, depth: usize) -> Tasks {
        self.lists(list, what, depth, false).pop().unwrap_or_else(|| Arc::from([]))
    }

    /// A list of named tasks: as one list, or `apart`, each as a list of its own.
    fn lists(&mut self, list: &At<'a>, what: &str, depth: usize, apart: bool) -> Vec<Tasks> {
        if !matches!(list.node.kind, Kind::List(_)) {
            self.expected(list, what, "a list of named tasks (`- name: …`)");
            return Vec::new();
        }
        if list.items().is_empty() {
            self.problem(list, "empty_list", format!("{what} has no task"));
        }
        if depth > MAX_DEPTH {
            self.problem(list, "document_too_large", format!("tasks are nested deeper than {MAX_DEPTH}"));
            return Vec::new();
        }
        let items = list.items();
        let names: Vec<&str> =
            items.iter().map(|item| item.fields().first().map_or("", |field| field.0)).collect();
        let mut tasks: Vec<Task> = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            let fields = item.fields();
            let [(name, place, body)] = fields.as_slice() else {
                let message = "an item of a task list is one name with its task: `- name: …`".to_owned();
                self.problem(item, "wrong_type", message);
                continue;
            };
            if names[..position].contains(name) {
                let message = format!("a task named `{name}` is in this list already");
                self.report(*place, &body.path, "duplicate_task", message, None);
            }
            if matches!(*name, "continue" | "exit" | "end") {
                let message =
                    format!("a task can't be named `{name}`: `then: {name}` has a meaning of its own");
                self.report(*place, &body.path, "reserved_name", message, None);
            }
            let scope = if apart { &names[position..=position] } else { &names[..] };
            tasks.extend(self.task(name, body, scope, depth));
        }
        if apart {
            return tasks.into_iter().map(|task| Arc::from([task])).collect();
        }
        if tasks.len() == items.len() {
            for position in unreached(&tasks) {
                let (name, place, body) = &items[position].fields()[0];
                let message = format!("task `{name}` is never reached: nothing before it leads here");
                self.advise(*place, &body.path, "unreachable_task", message);
            }
        }
        vec![tasks.into()]
    }

    /// Where a task stands in a run: its place in the document, or below the task that uses it.
    pub(super) fn place_in_run(&self, path: &str) -> String {
        match &self.used_at {
            Some((definition, used)) => {
                format!("{used}{}", path.strip_prefix(definition.as_str()).unwrap_or(path))
            }
            None => path.to_owned(),
        }
    }

    pub(super) fn task(&mut self, name: &str, at: &At<'a>, names: &[&str], depth: usize) -> Option<Task> {
        let index = self.tasks;
        self.tasks += 1;
        if self.tasks == MAX_TASKS + 1 {
            self.problem(at, "document_too_large", format!("a document has at most {MAX_TASKS} tasks"));
        }
        if !matches!(at.node.kind, Kind::Map(_)) {
            self.expected(at, &format!("task `{name}`"), "a mapping");
            return None;
        }
        let word = self.word(name, at)?;
        let what = format!("task `{name}` (`{word}`)");
        let own: &[&str] = match word {
            "call" => &["with"],
            "for" => &["while", "do"],
            "try" => &["catch"],
            "listen" => &["foreach"],
            _ => &[],
        };
        let known: Vec<&str> = COMMON.iter().copied().chain([word]).chain(own.iter().copied()).collect();
        self.only(at, &what, &known, &[]);
        let when = at.get("if").and_then(|when| self.expression(&when, "`if`"));
        let (input, input_schema) = self.flow_of_data(at, "input", "from");
        let timeout = self.timeout(at);
        let action = self.action(word, name, at, names, depth);
        let extensions = self.extensions(word, at, depth);
        let (output, output_schema) = self.flow_of_data(at, "output", "as");
        let (export, export_schema) = self.flow_of_data(at, "export", "as");
        let schemas = Schemas { input: input_schema, output: output_schema, export: export_schema };
        let then = at.get("then").map_or(Then::Continue, |then| self.then(&then, names));
        Some(Task {
            name: name.to_owned(),
            path: self.place_in_run(&at.path).into(),
            pointer: at.path.as_str().into(),
            index,
            end: self.tasks,
            when,
            input,
            output,
            export,
            schemas: schemas.any().then(|| Box::new(schemas)),
            timeout,
            extensions,
            then,
            action: action?,
        })
    }

    /// The word that says what a task does.
    fn word(&mut self, name: &str, at: &At<'a>) -> Option<&'static str> {
        let fields = at.fields();
        // `for` and `try` come first: `do` belongs to them where they are.
        let order =
            ["for", "try", "fork", "call", "set", "switch", "raise", "emit", "wait", "listen", "run", "do"];
        if let Some(word) = order.into_iter().find(|word| fields.iter().any(|(field, ..)| field == word)) {
            let rest = ACTIONS.iter().filter(|other| **other != word && !(word == "for" && **other == "do"));
            for other in rest {
                if let Some((_, place, field)) = fields.iter().find(|(field, ..)| field == other) {
                    let message = format!("task `{name}` does one thing: it has both `{word}` and `{other}`");
                    self.report(*place, &field.path, "ambiguous_task", message, None);
                    return None;
                }
            }
            return Some(word);
        }
        let unknown = fields.iter().find(|(field, ..)| !COMMON.contains(field) && *field != "with");
        match unknown {
            Some((word, place, field)) => {
                let suggestion = nearest(word, ACTIONS.iter().copied()).map(str::to_owned);
                self.report(
                    *place,
                    &field.path,
                    "unknown_task",
                    format!("`{word}` is not a task"),
                    suggestion,
                );
            }
            None => {
                let words = ACTIONS.join("`, `");
                self.problem(
                    at,
                    "unknown_task",
                    format!("task `{name}` does nothing: it needs one of `{words}`"),
                );
            }
        }
        None
    }

    fn action(
        &mut self,
        word: &str,
        name: &str,
        at: &At<'a>,
        names: &[&str],
        depth: usize,
    ) -> Option<Action> {
        let body = at.get(word)?;
        match word {
            "do" => Some(Action::Do(self.tasks(&body, "`do`", depth + 1))),
            "set" => self.set(&body),
            "call" => self.call(&body, at, depth),
            "fork" => self.fork(&body, depth),
            "switch" => self.switch(&body, names),
            "for" => self.for_each(&body, at, depth),
            "try" => self.attempt(&body, name, at, names, depth),
            "raise" => self.raise(&body),
            "emit" => self.emit(&body),
            "listen" => self.listen(&body, at, depth),
            "run" => self.run(&body),
            _ => self.wait(&body),
        }
    }

    /// `input: {schema, from}`, `output: {as, schema}`, `export: {as, schema}`.
    pub fn flow_of_data(
        &mut self,
        at: &At<'a>,
        field: &str,
        how: &str,
    ) -> (Option<Template>, Option<Schema>) {
        let Some(part) = at.get(field) else { return (None, None) };
        self.only(&part, &format!("`{field}`"), &[how, "schema"], &[]);
        let schema = part.get("schema").and_then(|schema| self.schema(&schema, field));
        let template =
            part.get(how).and_then(|how_at| self.transformation(&how_at, &format!("`{field}.{how}`")));
        (template, schema)
    }

    fn schema(&mut self, at: &At<'a>, field: &str) -> Option<Schema> {
        let what = format!("`{field}.schema`");
        self.only(at, &what, &["format", "document"], &["resource"]);
        if let Some(format) = at.get("format")
            && let Some(text) = self.literal(&format, "`format`")
            && text != "json"
            && !text.starts_with("json:")
        {
            self.problem(
                &format,
                "unsupported",
                format!("schemas of format `{text}` are not supported; `json` is"),
            );
        }
        let Some(document) = at.get("document") else {
            if at.get("resource").is_none() {
                self.missing(at, &what, "document");
            }
            return None;
        };
        Schema::compile(&document.node.to_value())
            .map_err(|wrong| {
                for wrong in wrong {
                    let place = document.node.pointer(&wrong.path).unwrap_or(document.node).place;
                    let path = format!("{}{}", document.path, wrong.path);
                    self.report(place, &path, "wrong_schema", wrong.message, wrong.suggestion);
                }
            })
            .ok()
    }

    pub(super) fn then(&mut self, at: &At<'a>, names: &[&str]) -> Then {
        match self.literal(at, "`then`") {
            None | Some("continue") => Then::Continue,
            Some("exit") => Then::Exit,
            Some("end") => Then::End,
            Some(target) => {
                if let Some(position) = names.iter().position(|name| *name == target) {
                    return Then::Task(position);
                }
                let elsewhere = self.steps.contains(target);
                let message = if elsewhere {
                    format!(
                        "`then: {target}`: that task is in another list; `then` leads only to a task of the same list"
                    )
                } else {
                    format!("`then: {target}`: there is no task named `{target}` in this list")
                };
                let candidates = names.iter().copied().chain(["continue", "exit", "end"]);
                let suggestion =
                    if elsewhere { None } else { nearest(target, candidates).map(str::to_owned) };
                self.report(at.node.place, &at.path, "unknown_target", message, suggestion);
                Then::Continue
            }
        }
    }

    fn set(&mut self, at: &At<'a>) -> Option<Action> {
        match &at.node.kind {
            Kind::Map(fields) if fields.is_empty() => {
                self.problem(at, "missing_field", "`set` needs at least one field".to_owned());
                None
            }
            Kind::Map(_) => self.template(at).map(Action::Set),
            Kind::String(text) if is_expression(text) => self.template(at).map(Action::Set),
            _ => {
                self.expected(at, "`set`", "a mapping or an expression");
                None
            }
        }
    }

    pub(super) fn call(&mut self, at: &At<'a>, task: &At<'a>, depth: usize) -> Option<Action> {
        let text = self.literal(at, "`call`");
        let with = task.get("with");
        if let Some(kind @ ("http" | "openapi")) = text {
            let Some(with) = with.filter(|with| matches!(with.node.kind, Kind::Map(_))) else {
                self.missing(task, &format!("`call: {kind}`"), "with");
                return None;
            };
            return if kind == "http" { self.http(&with) } else { self.openapi(&with) };
        }
        if text == Some("data.map") {
            return self.map(task, depth);
        }
        let mut connection = None;
        if let Some(with) = &with {
            if !matches!(with.node.kind, Kind::Map(_)) {
                self.expected(with, "`with`", "a mapping");
            }
            connection = with
                .get("connection")
                .and_then(|at| self.literal(&at, "`with.connection`"))
                .map(str::to_owned);
        }
        let arguments = match &with {
            Some(with) => self.template(with),
            None => Some(Template::Literal(Arc::new(Value::Object(serde_json::Map::new())))),
        };
        let text = text?;
        if self.reusable.functions.contains_key(text) {
            return self.function(at, text, arguments?, task, depth);
        }
        if UNSUPPORTED_CALLS.contains(&text) {
            self.problem(at, "unsupported", format!("`call: {text}` is not supported yet"));
            return None;
        }
        let operation = text.strip_suffix(":1@default").unwrap_or(text);
        if !is_operation(operation) {
            if text.contains("://") || text.contains('@') {
                let message = format!("`call: {text}`: functions of other catalogs are not supported");
                self.problem(at, "unsupported", message);
                return None;
            }
            let message = format!(
                "`{text}` is neither the name of an operation, such as `crm.contacts.retrieve`, nor of a function in `use.functions`"
            );
            let suggestion =
                nearest(text, self.reusable.functions.keys().map(String::as_str)).map(str::to_owned);
            self.report(at.node.place, &at.path, "unknown_operation", message, suggestion);
            return None;
        }
        self.calls.push(CallSite {
            operation: operation.to_owned(),
            connection,
            path: task.path.clone(),
            line: at.node.place.line,
            column: at.node.place.column,
            arguments: with.iter().flat_map(At::fields).map(argument).collect(),
            computed: with.as_ref().is_some_and(|with| !matches!(with.node.kind, Kind::Map(_))),
        });
        Some(Action::Call { operation: operation.to_owned(), with: arguments? })
    }

    fn switch(&mut self, at: &At<'a>, names: &[&str]) -> Option<Action> {
        if at.items().is_empty() {
            self.expected(at, "`switch`", "a list of named cases (`- name: {when, then}`)");
            return None;
        }
        let mut cases = Vec::new();
        let items = at.items();
        for (position, item) in items.iter().enumerate() {
            let fields = item.fields();
            let [(name, place, case)] = fields.as_slice() else {
                self.problem(
                    item,
                    "wrong_type",
                    "an item of `switch` is one name with its case: `- name: {when, then}`".to_owned(),
                );
                continue;
            };
            self.only(case, &format!("case `{name}`"), &["when", "then"], &[]);
            let when = case.get("when");
            if when.is_none() && position + 1 < items.len() {
                let message = format!("case `{name}` has no `when`, so the cases after it are never reached");
                self.report(*place, &case.path, "unreachable_case", message, None);
            }
            let when = when.and_then(|when| self.expression(&when, "`when`"));
            let then = match case.get("then") {
                Some(then) => self.then(&then, names),
                None => {
                    self.missing(case, &format!("case `{name}`"), "then");
                    Then::Continue
                }
            };
            cases.push(Case { when, then });
        }
        Some(Action::Switch(cases))
    }

    /// A variable's name given by the document, or its default.
    pub(super) fn variable(&mut self, at: Option<At<'a>>, what: &str, default: &str) -> String {
        let Some(at) = at else { return default.to_owned() };
        let Some(text) = self.literal(&at, what) else { return default.to_owned() };
        let name = text.strip_prefix('$').unwrap_or(text);
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            self.problem(
                &at,
                "reserved_name",
                format!("`{text}` can't name a variable: letters, digits and `_` can"),
            );
        } else if TAKEN.contains(&name) && !(name == "event" && what == "`foreach.item`") {
            // The specification's own examples call the event that a `listen` hears `event`.
            self.problem(
                &at,
                "reserved_name",
                format!("`${name}` has a meaning of its own; choose another name"),
            );
        }
        name.to_owned()
    }

    fn for_each(&mut self, at: &At<'a>, task: &At<'a>, depth: usize) -> Option<Action> {
        self.only(at, "`for`", &["each", "in", "at"], &[]);
        let each = self.variable(at.get("each"), "`for.each`", "item");
        let index = self.variable(at.get("at"), "`for.at`", "index");
        if each == index {
            self.problem(at, "reserved_name", format!("`each` and `at` are both `{each}`"));
        }
        let items = match at.get("in") {
            Some(items) => self.expression(&items, "`for.in`"),
            None => {
                self.missing(at, "`for`", "in");
                None
            }
        };
        let outside = self.named.len();
        self.named.extend([each.clone(), index.clone()]);
        let condition = task.get("while").and_then(|condition| self.expression(&condition, "`while`"));
        let tasks = match task.get("do") {
            Some(list) => Some(self.tasks(&list, "`do`", depth + 1)),
            None => {
                self.missing(task, "`for`", "do");
                None
            }
        };
        self.named.truncate(outside);
        Some(Action::For(For { each, at: index, items: items?, condition, tasks: tasks? }))
    }

    fn fork(&mut self, at: &At<'a>, depth: usize) -> Option<Action> {
        self.only(at, "`fork`", &["branches", "compete"], &[]);
        let compete = match at.get("compete").map(|at| (at.node.kind == Kind::Bool(true), at)) {
            Some((compete, at)) => {
                if !matches!(at.node.kind, Kind::Bool(_)) {
                    self.expected(&at, "`compete`", "true or false");
                }
                compete
            }
            None => false,
        };
        let Some(list) = at.get("branches") else {
            self.missing(at, "`fork`", "branches");
            return None;
        };
        if list.items().len() > MAX_BRANCHES {
            self.problem(
                &list,
                "document_too_large",
                format!("a `fork` has at most {MAX_BRANCHES} branches"),
            );
        }
        // Each branch is a scope of its own: `then` leads from no branch into another.
        let branches = self.lists(&list, "`branches`", depth + 1, true);
        Some(Action::Fork(Fork { branches, compete }))
    }

    pub(super) fn duration(&mut self, at: &At<'a>, what: &str) -> Option<jiff::SignedDuration> {
        duration::from_value(&at.node.to_value())
            .map_err(|why| self.problem(at, "wrong_duration", format!("{what}: {why}")))
            .ok()
    }

    fn wait(&mut self, at: &At<'a>) -> Option<Action> {
        self.delay(at, "`wait`").map(Action::Wait)
    }

    /// A duration, or what gives one.
    pub(super) fn delay(&mut self, at: &At<'a>, what: &str) -> Option<Delay> {
        let computed = |node: &crate::yaml::Node| node.as_str().is_some_and(is_expression);
        if computed(at.node) || at.node.fields().iter().any(|field| computed(&field.node)) {
            return self.template(at).map(Delay::Computed);
        }
        self.duration(at, what).map(Delay::Fixed)
    }
}

fn argument((name, place, at): (&str, crate::yaml::Place, At<'_>)) -> Argument {
    let written = at.node.to_value();
    let value = (!has_expression(at.node)).then(|| written.clone());
    Argument { name: name.to_owned(), value, written, line: place.line, column: place.column }
}

fn has_expression(node: &crate::yaml::Node) -> bool {
    node.as_str().is_some_and(is_expression)
        || node.fields().iter().any(|field| has_expression(&field.node))
        || node.items().iter().any(has_expression)
}

/// `connector.resource.verb`: at least two names of letters, digits, `-` and `_`.
fn is_operation(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    name.split('.').count() >= 2 && name.split('.').all(part)
}
