//! Reads `use`, and what refers to it: retry policies, errors, timeouts, functions and extensions.
//!
//! A function or extension is read again wherever it is used, so that each use has effects of its own.

use super::parse::{At, Extending, Reader, escape};
use super::task::{Action, Delay, Extension, Template};
use crate::nearest::nearest;
use crate::yaml::{Kind, Node};
use std::collections::BTreeMap;

/// What `extend` may say, and the tasks that it stands for.
const EXTENDED: &[(&str, &[&str])] = &[
    ("all", &[]),
    ("call", &["call"]),
    ("composite", &["do", "fork"]),
    ("do", &["do"]),
    ("emit", &["emit"]),
    ("for", &["for"]),
    ("fork", &["fork"]),
    ("listen", &["listen"]),
    ("raise", &["raise"]),
    ("run", &["run"]),
    ("set", &["set"]),
    ("switch", &["switch"]),
    ("try", &["try"]),
    ("wait", &["wait"]),
];

impl<'a> Reader<'a> {
    /// `use`.
    pub fn reusable(&mut self, root: &At<'a>) {
        let Some(at) = root.get("use") else { return };
        let known =
            ["errors", "retries", "timeouts", "functions", "extensions", "authentications", "secrets"];
        self.only(&at, "`use`", &known, &["catalogs"]);
        if let Some(secrets) = at.get("secrets") {
            if !matches!(secrets.node.kind, Kind::List(_)) {
                self.expected(&secrets, "`use.secrets`", "a list of names of connections");
            }
            for name in secrets.items() {
                let text = self.literal(&name, "a name in `use.secrets`").map(str::to_owned);
                self.reusable.secrets.extend(text);
            }
        }
        self.reusable.retries = self.named_parts(&at, "retries");
        self.reusable.errors = self.named_parts(&at, "errors");
        self.reusable.timeouts = self.named_parts(&at, "timeouts");
        self.reusable.functions = self.named_parts(&at, "functions");
        self.reusable.authentications = self.named_parts(&at, "authentications");
        for (name, _, function) in at.get("functions").iter().flat_map(At::fields) {
            self.steps.insert(name.to_owned());
            self.gather_inner_steps(&function);
        }
        if let Some(extensions) = at.get("extensions") {
            self.read_extensions(&extensions);
        }
    }

    fn named_parts(&mut self, at: &At<'a>, part: &str) -> BTreeMap<String, &'a Node> {
        let Some(part_at) = at.get(part) else { return BTreeMap::new() };
        if !matches!(part_at.node.kind, Kind::Map(_)) {
            self.expected(&part_at, &format!("`use.{part}`"), "a mapping");
        }
        part_at.fields().into_iter().map(|(name, _, item)| (name.to_owned(), item.node)).collect()
    }

    fn read_extensions(&mut self, at: &At<'a>) {
        if !matches!(at.node.kind, Kind::List(_)) {
            self.expected(at, "`use.extensions`", "a list of named extensions (`- name: …`)");
        }
        for item in at.items() {
            let fields = item.fields();
            let [(name, place, extension)] = fields.as_slice() else {
                let message = "an item of `use.extensions` is one name with its extension: `- name: …`";
                self.problem(&item, "wrong_type", message.to_owned());
                continue;
            };
            let what = format!("extension `{name}`");
            if self.reusable.extensions.iter().any(|other| other.name == *name) {
                let message = format!("an extension named `{name}` is there already");
                self.report(*place, &extension.path, "duplicate_task", message, None);
            }
            self.only(extension, &what, &["extend", "when", "before", "after"], &[]);
            for list in ["before", "after"] {
                if let Some(list) = extension.get(list) {
                    self.gather_steps(&list);
                }
            }
            let Some(extend) = extension.get("extend") else {
                self.missing(extension, &what, "extend");
                continue;
            };
            let Some(text) = self.literal(&extend, "`extend`") else { continue };
            match EXTENDED.iter().find(|(name, _)| *name == text) {
                Some((_, words)) => self.reusable.extensions.push(Extending {
                    name: (*name).to_owned(),
                    words,
                    at: extension.clone(),
                }),
                None => {
                    let suggestion = nearest(text, EXTENDED.iter().map(|(name, _)| *name)).map(str::to_owned);
                    let message = format!("`{text}` is no kind of task that can be extended");
                    self.report(extend.node.place, &extend.path, "unknown_task", message, suggestion);
                }
            }
        }
    }

    /// The extensions of a task that `word` says.
    pub(super) fn extensions(&mut self, word: &str, task: &At<'a>, depth: usize) -> Vec<Extension> {
        if self.extending {
            return Vec::new();
        }
        let all = self.reusable.extensions.clone();
        let applying =
            all.iter().filter(|extension| extension.words.is_empty() || extension.words.contains(&word));
        let place = self.place_in_run(&task.path);
        let mut extensions = Vec::new();
        for extension in applying {
            let used = format!("{place}/extensions/{}", escape(&extension.name));
            self.extending = true;
            let read = self.elsewhere(&extension.at, used, |reader| Extension {
                when: extension.at.get("when").and_then(|when| reader.expression(&when, "`when`")),
                before: extension.at.get("before").map(|list| reader.tasks(&list, "`before`", depth + 1)),
                after: extension.at.get("after").map(|list| reader.tasks(&list, "`after`", depth + 1)),
            });
            self.extending = false;
            extensions.push(read);
        }
        extensions
    }

    /// Reads what is defined at one place for its use at another, where no variables of that place are known.
    fn elsewhere<T>(&mut self, definition: &At<'a>, used: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let named = std::mem::take(&mut self.named);
        let before = self.used_at.replace((definition.path.clone(), used));
        let result = read(self);
        self.used_at = before;
        self.named = named;
        result
    }

    /// A call of a function of the document.
    pub(super) fn function(
        &mut self,
        at: &At<'a>,
        name: &str,
        with: Template,
        task: &At<'a>,
        depth: usize,
    ) -> Option<Action> {
        self.reusable.called.insert(name.to_owned());
        if self.functions.iter().any(|open| open == name) {
            let mut circle = self.functions.clone();
            circle.push(name.to_owned());
            let message = format!("functions call each other in a circle: `{}`", circle.join("` → `"));
            self.problem(at, "recursive_function", message);
            return None;
        }
        let used = format!("{}/call/{}", self.place_in_run(&task.path), escape(name));
        let read = self.read_function(name, used, depth)?;
        Some(Action::Function { name: name.to_owned(), with, tasks: std::sync::Arc::from([read]) })
    }

    fn read_function(&mut self, name: &str, used: String, depth: usize) -> Option<super::task::Task> {
        let node = self.reusable.functions.get(name).copied()?;
        let definition = At { node, path: format!("/use/functions/{}", escape(name)) };
        if depth >= super::tasks::MAX_DEPTH {
            let message = format!("tasks are nested deeper than {}", super::tasks::MAX_DEPTH);
            self.problem(&definition, "document_too_large", message);
            return None;
        }
        self.functions.push(name.to_owned());
        let read =
            self.elsewhere(&definition, used, |reader| reader.task(name, &definition, &[name], depth + 1));
        self.functions.pop();
        read
    }

    /// Functions that no task calls are read for their mistakes.
    pub fn functions_not_called(&mut self) {
        let names: Vec<String> = self.reusable.functions.keys().cloned().collect();
        for name in
            names.iter().filter(|name| !self.reusable.called.contains(*name)).cloned().collect::<Vec<_>>()
        {
            let calls = self.calls.len();
            drop(self.read_function(&name, format!("/use/functions/{}", escape(&name)), 0));
            self.calls.truncate(calls);
        }
    }

    /// `timeout: {after}`, or its name in `use.timeouts`.
    pub(super) fn timeout(&mut self, task: &At<'a>) -> Option<Delay> {
        let mut at = task.get("timeout")?;
        if let Kind::String(name) = &at.node.kind {
            let Some(node) = self.reusable.timeouts.get(name).copied() else {
                let suggestion =
                    nearest(name, self.reusable.timeouts.keys().map(String::as_str)).map(str::to_owned);
                let message = format!("`use.timeouts` has no timeout named `{name}`");
                self.report(at.node.place, &at.path, "unknown_reference", message, suggestion);
                return None;
            };
            at = At { node, path: format!("/use/timeouts/{}", escape(name)) };
        }
        self.only(&at, "`timeout`", &["after"], &[]);
        match at.get("after") {
            Some(after) => self.delay(&after, "`timeout.after`"),
            None => {
                self.missing(&at, "`timeout`", "after");
                None
            }
        }
    }

    /// `evaluate`: jq is the language, and an expression is read with or without `${ … }`, whatever the mode.
    pub fn evaluate(&mut self, root: &At<'a>) {
        let Some(at) = root.get("evaluate") else { return };
        self.only(&at, "`evaluate`", &["language", "mode"], &[]);
        for (name, allowed) in [("language", &["jq"][..]), ("mode", &["strict", "loose"][..])] {
            let Some(field) = at.get(name) else { continue };
            let Some(text) = self.literal(&field, &format!("`evaluate.{name}`")) else { continue };
            if !allowed.contains(&text) {
                let message =
                    format!("`evaluate.{name}: {text}` is not supported; `{}` is", allowed.join("` or `"));
                self.problem(&field, "unsupported", message);
            }
        }
    }
}
