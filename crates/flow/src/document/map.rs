//! Reads `call: data.map`: one call for each item of a list, some at the same time.

use std::sync::Arc;

use super::parse::{At, Reader};
use super::task::{Action, Map, Task, Then};
use super::tasks::MAX_DEPTH;
use crate::yaml::Kind;

/// Calls at once where the flow does not say how many.
const CONCURRENCY: usize = 8;
/// The most calls at once.
const MAX_CONCURRENCY: u64 = 64;
/// What a call sees of its item.
const NAMES: [&str; 2] = ["item", "index"];

impl<'a> Reader<'a> {
    /// `call: data.map` with `{items, call, with, concurrency, onError}`.
    pub(super) fn map(&mut self, task: &At<'a>, depth: usize) -> Option<Action> {
        let Some(with) = task.get("with").filter(|with| matches!(with.node.kind, Kind::Map(_))) else {
            self.missing(task, "`call: data.map`", "with");
            return None;
        };
        self.only(
            &with,
            "`with` of `call: data.map`",
            &["items", "call", "with", "concurrency", "onError"],
            &[],
        );
        let items = match with.get("items") {
            Some(items) => self.expression(&items, "`items`"),
            None => {
                self.missing(&with, "`call: data.map`", "items");
                None
            }
        };
        let concurrency = with.get("concurrency").map_or(CONCURRENCY, |at| self.concurrency_of_map(&at));
        let keep = with.get("onError").is_some_and(|at| self.keeps_errors(&at));
        let call = self.call_of_map(&with, depth);
        let map = Map { items: items?, concurrency, keep, tasks: Arc::from([call?]) };
        Some(Action::Map(Arc::new(map)))
    }

    fn concurrency_of_map(&mut self, at: &At<'a>) -> usize {
        let number = at.node.to_value().as_u64().filter(|number| (1..=MAX_CONCURRENCY).contains(number));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or_else(|| {
            let message = format!("`concurrency` is a number from 1 to {MAX_CONCURRENCY}, written out");
            self.problem(at, "wrong_type", message);
            CONCURRENCY
        })
    }

    fn keeps_errors(&mut self, at: &At<'a>) -> bool {
        match self.literal(at, "`onError`") {
            Some("keep") => true,
            Some("fail") | None => false,
            Some(other) => {
                let near = crate::nearest::nearest(other, ["fail", "keep"]).map(str::to_owned);
                let message = format!("`onError: {other}`: it is `fail` or `keep`");
                self.report(at.node.place, &at.path, "wrong_type", message, near);
                false
            }
        }
    }

    /// What is called for each item, as the one task of a list.
    fn call_of_map(&mut self, with: &At<'a>, depth: usize) -> Option<Task> {
        let Some(call) = with.get("call") else {
            self.missing(with, "`call: data.map`", "call");
            return None;
        };
        if call.node.as_str() == Some("data.map") || depth >= MAX_DEPTH {
            let message =
                "`data.map` calls an operation or a function; what a function does may be a `data.map`";
            self.problem(&call, "unsupported", message.to_owned());
            return None;
        }
        let index = self.tasks;
        self.tasks += 1;
        let outside = self.named.len();
        self.named.extend(NAMES.map(str::to_owned));
        let action = self.call(&call, with, depth);
        self.named.truncate(outside);
        Some(Task {
            name: call.node.as_str().unwrap_or_default().to_owned(),
            path: self.place_in_run(&with.path).into(),
            pointer: with.path.as_str().into(),
            index,
            end: self.tasks,
            when: None,
            input: None,
            output: None,
            export: None,
            schemas: None,
            timeout: None,
            extensions: Vec::new(),
            then: Then::Continue,
            action: action?,
        })
    }
}
