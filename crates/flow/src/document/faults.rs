//! Reads what concerns faults: `try`, `catch`, `retry` and `raise`.

use super::parse::{At, Reader};
use super::task::{Action, Backoff, Catch, Filter, Raise, Retry, Template, Try};
use crate::nearest::nearest;
use crate::yaml::Kind;

/// The most retries that a policy may ask for; one without a limit gets [`DEFAULT_RETRIES`].
pub const MAX_RETRIES: u32 = 1_000;
/// How often a `retry` without `limit.attempt.count` begins again.
pub const DEFAULT_RETRIES: u32 = 5;

impl<'a> Reader<'a> {
    pub(super) fn attempt(
        &mut self,
        at: &At<'a>,
        name: &str,
        task: &At<'a>,
        names: &[&str],
        depth: usize,
    ) -> Option<Action> {
        let tasks = self.tasks(at, "`try`", depth + 1);
        let Some(catch) = task.get("catch") else {
            self.missing(task, &format!("task `{name}` (`try`)"), "catch");
            return None;
        };
        self.only(&catch, "`catch`", &["errors", "as", "when", "exceptWhen", "retry", "do", "then"], &[]);
        let filter = catch.get("errors").map(|errors| self.filter(&errors)).unwrap_or_default();
        let variable = self.variable(catch.get("as"), "`catch.as`", "error");
        let outside = self.named.len();
        self.named.push(variable.clone());
        let when = catch.get("when").and_then(|when| self.expression(&when, "`catch.when`"));
        let except_when =
            catch.get("exceptWhen").and_then(|when| self.expression(&when, "`catch.exceptWhen`"));
        let retry = catch.get("retry").and_then(|retry| self.retry(&retry));
        let handler = catch.get("do").map(|list| self.tasks(&list, "`catch.do`", depth + 1));
        self.named.truncate(outside);
        let then = catch.get("then").map(|then| self.then(&then, names));
        let catch = Catch { filter, name: variable, when, except_when, retry, tasks: handler, then };
        Some(Action::Try(Try { tasks, catch }))
    }

    fn filter(&mut self, at: &At<'a>) -> Filter {
        self.only(at, "`errors`", &["with"], &[]);
        let Some(with) = at.get("with") else { return Filter::default() };
        self.only(&with, "`errors.with`", &["type", "status", "title", "detail", "details", "instance"], &[]);
        let mut text = |name: &str| {
            let at = with.get(name)?;
            self.literal(&at, &format!("`errors.with.{name}`")).map(str::to_owned)
        };
        let (r#type, title, detail, instance) =
            (text("type"), text("title"), text("detail").or_else(|| text("details")), text("instance"));
        let status = with.get("status").and_then(|status| self.status(&status));
        Filter { r#type, status, title, detail, instance }
    }

    fn status(&mut self, at: &At<'a>) -> Option<u16> {
        let status = match &at.node.kind {
            Kind::Number(number) => number.as_u64().and_then(|status| u16::try_from(status).ok()),
            _ => None,
        };
        if status.is_none() {
            self.expected(at, "`status`", "a number such as 404");
        }
        status
    }

    /// A retry policy, inline or by its name in `use.retries`.
    fn retry(&mut self, at: &At<'a>) -> Option<Retry> {
        if let Kind::String(name) = &at.node.kind {
            let Some(node) = self.reusable.retries.get(name).copied() else {
                let suggestion =
                    nearest(name, self.reusable.retries.keys().map(String::as_str)).map(str::to_owned);
                let message = format!("`use.retries` has no policy named `{name}`");
                self.report(at.node.place, &at.path, "unknown_reference", message, suggestion);
                return None;
            };
            return self.retry(&At { node, path: format!("/use/retries/{name}") });
        }
        self.only(at, "`retry`", &["when", "exceptWhen", "delay", "backoff", "limit", "jitter"], &[]);
        let when = at.get("when").and_then(|when| self.expression(&when, "`retry.when`"));
        let except_when = at.get("exceptWhen").and_then(|when| self.expression(&when, "`retry.exceptWhen`"));
        let delay = at.get("delay").and_then(|delay| self.duration(&delay, "`delay`")).unwrap_or_default();
        let backoff = at.get("backoff").map_or(Backoff::Constant, |backoff| self.backoff(&backoff));
        let jitter = at.get("jitter").and_then(|jitter| self.jitter(&jitter));
        let (mut count, mut within, mut each) = (DEFAULT_RETRIES, None, None);
        if let Some(limit) = at.get("limit") {
            self.only(&limit, "`limit`", &["attempt", "duration"], &[]);
            within = limit.get("duration").and_then(|within| self.duration(&within, "`limit.duration`"));
            if let Some(attempt) = limit.get("attempt") {
                self.only(&attempt, "`limit.attempt`", &["count", "duration"], &[]);
                each =
                    attempt.get("duration").and_then(|each| self.duration(&each, "`limit.attempt.duration`"));
                count = attempt.get("count").map_or(count, |count| self.retries_of(&count));
            }
        }
        Some(Retry { when, except_when, delay, backoff, count, within, attempt: each, jitter })
    }

    fn retries_of(&mut self, at: &At<'a>) -> u32 {
        let count = match &at.node.kind {
            Kind::Number(number) => number.as_u64().and_then(|count| u32::try_from(count).ok()),
            _ => None,
        };
        count.filter(|count| (1..=MAX_RETRIES).contains(count)).unwrap_or_else(|| {
            self.problem(at, "wrong_type", format!("`count` must be a whole number from 1 to {MAX_RETRIES}"));
            DEFAULT_RETRIES
        })
    }

    fn backoff(&mut self, at: &At<'a>) -> Backoff {
        self.only(at, "`backoff`", &["constant", "linear", "exponential"], &[]);
        let fields = at.fields();
        let [(name, _, settings)] = fields.as_slice() else {
            self.problem(
                at,
                "wrong_type",
                "`backoff` is one of `constant: {}`, `linear: {}`, `exponential: {}`".to_owned(),
            );
            return Backoff::Constant;
        };
        if !settings.node.fields().is_empty() {
            self.problem(settings, "unknown_field", format!("`{name}` has no settings: `{name}: {{}}`"));
        }
        match *name {
            "linear" => Backoff::Linear,
            "exponential" => Backoff::Exponential,
            _ => Backoff::Constant,
        }
    }

    fn jitter(&mut self, at: &At<'a>) -> Option<(jiff::SignedDuration, jiff::SignedDuration)> {
        self.only(at, "`jitter`", &["from", "to"], &[]);
        let (Some(from), Some(to)) = (at.get("from"), at.get("to")) else {
            self.problem(at, "missing_field", "`jitter` needs `from` and `to`".to_owned());
            return None;
        };
        let (from, to_place) = (self.duration(&from, "`jitter.from`")?, to);
        let to = self.duration(&to_place, "`jitter.to`")?;
        if to < from {
            self.problem(
                &to_place,
                "wrong_type",
                "`jitter.to` must not be shorter than `jitter.from`".to_owned(),
            );
            return None;
        }
        Some((from, to))
    }

    /// An error to raise, inline or by its name in `use.errors`.
    pub(super) fn raise(&mut self, at: &At<'a>) -> Option<Action> {
        self.only(at, "`raise`", &["error"], &[]);
        let Some(error) = at.get("error") else {
            self.missing(at, "`raise`", "error");
            return None;
        };
        if let Kind::String(name) = &error.node.kind {
            let Some(node) = self.reusable.errors.get(name).copied() else {
                let suggestion =
                    nearest(name, self.reusable.errors.keys().map(String::as_str)).map(str::to_owned);
                let message = format!("`use.errors` has no error named `{name}`");
                self.report(error.node.place, &error.path, "unknown_reference", message, suggestion);
                return None;
            };
            return self.error(&At { node, path: format!("/use/errors/{name}") }).map(Action::Raise);
        }
        self.error(&error).map(Action::Raise)
    }

    fn error(&mut self, at: &At<'a>) -> Option<Raise> {
        self.only(at, "`error`", &["type", "status", "title", "detail", "instance"], &[]);
        for name in ["type", "status"] {
            if at.get(name).is_none() {
                self.missing(at, "`error`", name);
            }
        }
        let mut part = |name: &str| at.get(name).and_then(|at| self.template(&at));
        let (r#type, status) = (part("type"), part("status"));
        let (title, detail, instance) = (part("title"), part("detail"), part("instance"));
        if let (Some(Template::Literal(_)), Some(at)) = (&status, at.get("status")) {
            self.status(&at)?;
        }
        Some(Raise { r#type: r#type?, status: status?, title, detail, instance })
    }
}
