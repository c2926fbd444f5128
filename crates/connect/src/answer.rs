//! What an answer means: a value, or a typed error.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::credentials::Connection;
use crate::error::{Class, Error};
use crate::manifest::{Effects, ItemErrors, Manifest, Operation};
use crate::path::{Found, Path, differs};
use crate::transport::TransportError;
use crate::wire;

/// Longer details of vendors are cut.
const DETAIL_CHARS_MAX: usize = 500;
/// A vendor that asks us to wait longer than this is taken at this.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);

/// How a manifest says what answers mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    /// A 2xx answer is a success only where this member has this value.
    pub success: Option<(Path, Value)>,
    /// Where the vendor's error code may stand; the first text or number there is it.
    pub code: Vec<Path>,
    /// Where the vendor's words may stand; the first that is there is taken, whatever its shape.
    pub detail: Vec<Path>,
    /// Where the vendor may name the scope that the credentials lack.
    pub scope: Vec<Path>,
    /// The first rule that matches decides.
    pub rules: Vec<Rule>,
}

/// When an answer is of a class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    /// Any of these; empty = any status.
    pub statuses: Vec<Statuses>,
    /// A member of the answer and the values it may have.
    pub at: Option<(Path, Vec<Value>)>,
    /// Any text of the answer contains any of these, whatever the case.
    pub says: Vec<String>,
    pub class: Outcome,
    /// Whether the effect of a write may have happened; by default after 5xx only.
    pub unknown: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Statuses {
    One(u16),
    /// `5xx` = 5.
    Hundred(u16),
}

/// The class of a rule, before `Retry-After` is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    Retry,
    Auth,
    User,
    Conflict,
    NotFound,
    #[default]
    Fatal,
}

impl Outcome {
    pub const NAMES: [(&'static str, Outcome); 6] = [
        ("retry", Outcome::Retry),
        ("auth", Outcome::Auth),
        ("user", Outcome::User),
        ("conflict", Outcome::Conflict),
        ("not_found", Outcome::NotFound),
        ("fatal", Outcome::Fatal),
    ];
}

impl Rule {
    fn matches(&self, status: u16, body: Option<&Value>) -> bool {
        let status_fits = self.statuses.is_empty()
            || self.statuses.iter().any(|statuses| match statuses {
                Statuses::One(code) => *code == status,
                Statuses::Hundred(hundred) => status / 100 == *hundred,
            });
        let member_fits = self.at.as_ref().is_none_or(|(path, values)| {
            body.and_then(|body| path.get(body)).is_some_and(|found| values.contains(found))
        });
        let text_fits = self.says.is_empty()
            || body.is_some_and(|body| self.says.iter().any(|needle| contains_text(body, needle)));
        status_fits && member_fits && text_fits
    }
}

fn contains_text(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(needle),
        Value::Array(items) => items.iter().any(|item| contains_text(item, needle)),
        Value::Object(map) => map.values().any(|item| contains_text(item, needle)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Before the name of a scope that is missing.
const LACKS: &str = ": it lacks the scope `";

impl Error {
    /// Whether the vendor said that the credentials are good, and may not do this.
    pub fn lacks_scope(&self) -> bool {
        self.class == Class::Auth && self.detail.contains(LACKS)
    }
}

/// Whether a refusal says that what was asked for is so already.
fn is_done(operation: &Operation, body: Option<&Value>) -> bool {
    let says = |body| differs(&operation.done_where, body).is_none();
    !operation.done_where.is_empty() && body.is_some_and(says)
}

/// What one answer to `operation` means.
pub(crate) fn interpret(
    manifest: &Manifest,
    operation: &Operation,
    connection: &Connection,
    response: wire::Response,
    now: Timestamp,
) -> Result<Value, Error> {
    if response.body.len() > manifest.limits.answer_bytes_max {
        let detail = format!("the answer is longer than {} bytes", manifest.limits.answer_bytes_max);
        return Err(Error {
            status: Some(response.status),
            unknown: operation.effects != Effects::Read,
            ..Error::fatal("answer_too_large", detail)
        });
    }
    let success = (200..300).contains(&response.status);
    if success && operation.answers_bytes {
        let kind = response.header("content-type").unwrap_or("application/octet-stream");
        return Ok(serde_json::json!({"content_type": kind, "data": STANDARD.encode(&response.body)}));
    }
    let parsed = if response.body.is_empty() { None } else { serde_json::from_slice(&response.body).ok() };
    if success {
        let body = match parsed {
            Some(body) => body,
            None if response.body.iter().all(u8::is_ascii_whitespace) => Value::Null,
            None => return Err(unreadable(operation, &response)),
        };
        let declared = manifest.errors.success.as_ref();
        if declared.is_none_or(|(path, value)| path.get(&body) == Some(value)) {
            return refused_items(manifest, operation, connection, response.status, body);
        }
        if is_done(operation, Some(&body)) {
            return Ok(Value::Null);
        }
        return Err(failure(manifest, operation, connection, &response, Some(body), now));
    }
    if (response.status == 404 && operation.absent_is_done) || is_done(operation, parsed.as_ref()) {
        return Ok(Value::Null);
    }
    Err(failure(manifest, operation, connection, &response, parsed, now))
}

/// A 2xx that is not JSON: a proxy's page, or half an answer. The effect may have happened.
fn unreadable(operation: &Operation, response: &wire::Response) -> Error {
    Error {
        status: Some(response.status),
        unknown: operation.effects != Effects::Read,
        ..Error::of(Class::Retry { after: None }, "answer_unreadable", "the answer is not JSON")
    }
}

fn failure(
    manifest: &Manifest,
    operation: &Operation,
    connection: &Connection,
    response: &wire::Response,
    body: Option<Value>,
    now: Timestamp,
) -> Error {
    if let (Some(parts), Some(body)) = (&operation.item_errors, &body)
        && parts.each.get(body).is_some_and(Value::is_array)
    {
        let refused = refused_items(manifest, operation, connection, response.status, body.clone());
        if let Err(error) = refused {
            return error;
        }
    }
    let mut rules = operation.rules.iter().chain(&manifest.errors.rules);
    let rule = rules.find(|rule| rule.matches(response.status, body.as_ref()));
    let outcome = rule.map_or(Outcome::Fatal, |rule| rule.class);
    let may_have_happened = rule.and_then(|rule| rule.unknown).unwrap_or(response.status >= 500);
    let class = match outcome {
        Outcome::Retry => Class::Retry { after: retry_after(response, now) },
        Outcome::Auth => Class::Auth,
        Outcome::User => Class::User,
        Outcome::Conflict => Class::Conflict,
        Outcome::NotFound => Class::NotFound,
        Outcome::Fatal => Class::Fatal,
    };
    let code = body.as_ref().and_then(|body| code(&manifest.errors, body));
    let detail = match &body {
        Some(body) => detail(&manifest.errors, body),
        None => String::from_utf8_lossy(&response.body).trim().to_owned(),
    };
    let lacks = |body: &Value| {
        manifest.errors.scope.iter().find_map(|path| path.get(body)?.as_str().map(str::to_owned))
    };
    let detail = match body.as_ref().filter(|_| outcome == Outcome::Auth).and_then(lacks) {
        Some(scope) => format!("{detail}{LACKS}{scope}`"),
        None => detail,
    };
    let mut body = body;
    if let Some(body) = &mut body {
        connection.mask(body);
    }
    Error {
        class,
        status: Some(response.status),
        code: connection.masked(&code.unwrap_or_else(|| format!("http_{}", response.status))),
        detail: cut(&connection.masked(&detail)),
        body,
        unknown: operation.effects != Effects::Read && may_have_happened,
    }
}

fn code(errors: &Errors, body: &Value) -> Option<String> {
    errors.code.iter().find_map(|path| match path.get(body) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    })
}

fn detail(errors: &Errors, body: &Value) -> String {
    let found = errors.detail.iter().find_map(|path| path.get(body)).unwrap_or(body);
    let mut out = String::new();
    words(found, &mut out);
    out
}

/// Texts as they are; lists and maps as `name: text; name: text`.
fn words(value: &Value, out: &mut String) {
    if out.len() > DETAIL_CHARS_MAX * 4 {
        return;
    }
    let separate = |out: &mut String| {
        if !out.is_empty() && !out.ends_with(": ") {
            out.push_str("; ");
        }
    };
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            separate(out);
            out.push_str(&value.to_string());
        }
        Value::String(text) => {
            separate(out);
            out.push_str(text);
        }
        Value::Array(items) => items.iter().for_each(|item| words(item, out)),
        Value::Object(map) => {
            for (name, item) in map.iter().filter(|(_, item)| !item.is_null()) {
                separate(out);
                out.push_str(name);
                out.push_str(": ");
                words(item, out);
            }
        }
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(DETAIL_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(response: &wire::Response, now: Timestamp) -> Option<SignedDuration> {
    let text = response.header("retry-after")?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            SignedDuration::from_millis((seconds.min(RETRY_AFTER_MAX.as_secs_f64()) * 1000.0).ceil() as i64)
        }
        Ok(_) => return None,
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            at.duration_since(now).max(SignedDuration::ZERO)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Parts of a successful answer that were refused make the call a failure; the accepted parts did happen.
fn refused_items(
    manifest: &Manifest,
    operation: &Operation,
    connection: &Connection,
    status: u16,
    body: Value,
) -> Result<Value, Error> {
    let Some(ItemErrors { each, at }) = &operation.item_errors else { return Ok(body) };
    let Some(Value::Array(items)) = each.get(&body) else {
        let detail = format!("{}: the answer has no `{}`", operation.name, each.as_str());
        return Err(Error { status: Some(status), ..Error::fatal("answer_unexpected", detail) });
    };
    let refused = |item: &&Value| match at.find(item, None) {
        Found::Value(Value::Object(map)) => !map.is_empty(),
        Found::Value(Value::Array(list)) => !list.is_empty(),
        Found::Value(Value::String(text)) => !text.is_empty(),
        Found::Value(_) => true,
        Found::Null | Found::Missing => false,
    };
    let problems: Vec<&Value> = items.iter().filter(refused).filter_map(|item| at.get(item)).collect();
    if problems.is_empty() {
        return Ok(body);
    }
    // The rules for a refused request (422) say what each part's refusal means.
    let rules = || operation.rules.iter().chain(&manifest.errors.rules);
    let class_of =
        |problem: &Value| rules().find(|rule| rule.matches(422, Some(problem))).map(|rule| rule.class);
    let conflict = problems.iter().all(|problem| class_of(problem) == Some(Outcome::Conflict));
    let mut text = String::new();
    problems.iter().for_each(|problem| words(problem, &mut text));
    let detail = format!("{} of {} {} refused: {text}", problems.len(), items.len(), each.as_str());
    let detail = cut(&connection.masked(&detail));
    let mut body = body;
    connection.mask(&mut body);
    Err(Error {
        class: if conflict { Class::Conflict } else { Class::User },
        status: Some(status),
        code: "partly_refused".into(),
        detail,
        body: Some(body),
        unknown: false,
    })
}

/// What a missing answer means: always worth another attempt, and unknown where bytes of a write may have arrived.
pub(crate) fn unanswered(operation: &Operation, connection: &Connection, error: &TransportError) -> Error {
    Error {
        unknown: operation.effects != Effects::Read && error.sent,
        ..Error::of(
            Class::Retry { after: None },
            if error.sent { "no_answer" } else { "not_reached" },
            cut(&connection.masked(&error.detail)),
        )
    }
}
