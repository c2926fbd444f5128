//! A manifest's own tests: arguments → the wire request; a recorded answer → the output or a typed error.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flow::yaml;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Manifest;
use super::reader::{At, Reader};
use crate::auth::{Fixed, Granted};
use crate::credentials::{Connection, Secret};
use crate::error::Error;
use crate::prepare::{Prepared, check, prepare};
use crate::transport::{BoxFuture, Transport, TransportError};
use crate::{Upserted, lookup, perform, upsert, wire};

/// The effect key of tests that name none.
const KEY: &str = "tby_test";
/// When the effect was sent whose outcome a test asks for: 2026-01-01, midnight.
const SENT_S: i64 = 1_767_225_600;
/// In the place of every credential and token.
const NOT_REAL: &str = "not-a-real-secret";

/// One case of the `tests` section.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    name: String,
    /// Full name.
    pub operation: String,
    args: Value,
    key: String,
    /// Ask for the outcome instead of performing.
    lookup: bool,
    exchanges: Vec<Exchange>,
    expect: Expect,
}

/// A request that is expected, and the answer to it.
#[derive(Clone, Debug)]
struct Exchange {
    /// `GET /v1/customers?limit=100`; unsaid is unchecked, like the other parts.
    request: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    status: u16,
    answer: Value,
    answer_headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Expect {
    Output(Value),
    /// Members that the error has, as JSON.
    Error(Value),
    /// Only the requests matter.
    Any,
}

/// A case that did not come out as written.
#[derive(Clone, Debug)]
pub struct Failure {
    pub case: String,
    pub detail: String,
}

pub(super) fn cases(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Vec<Case> {
    if !matches!(at.node.kind, yaml::Kind::List(_)) {
        reader.mistyped(at, "a list of tests");
    }
    at.items().iter().map(|item| case(reader, item, slug)).collect()
}

fn case(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Case {
    let known = ["name", "operation", "args", "key", "lookup", "exchanges", "output", "error"];
    let fields = reader.fields(at, "a test", &known);
    let exchanges = fields.get("exchanges").map(|at| at.items()).unwrap_or_default();
    let value = |name: &str| fields.get(name).map(|at| at.node.to_value());
    let expect = match (value("output"), value("error")) {
        (Some(output), None) => Expect::Output(output),
        (None, Some(error)) => Expect::Error(error),
        (None, None) => Expect::Any,
        (Some(_), Some(_)) => {
            reader.problem(at, "manifest_type", "a test ends in `output` or in `error`");
            Expect::Any
        }
    };
    Case {
        name: reader.required_text(&fields, "name"),
        operation: format!("{slug}.{}", reader.required_text(&fields, "operation")),
        args: value("args").unwrap_or(Value::Null),
        key: reader.optional_text(&fields, "key").unwrap_or_else(|| KEY.to_owned()),
        lookup: reader.flag(&fields, "lookup", false),
        exchanges: exchanges.iter().map(|item| exchange(reader, item)).collect(),
        expect,
    }
}

fn exchange(reader: &mut Reader<'_>, at: &At<'_>) -> Exchange {
    let known = ["request", "headers", "body", "status", "answer", "answer_headers"];
    let fields = reader.fields(at, "an exchange", &known);
    let headers = |name: &str| {
        let entries = fields.get(name).map(|at| at.entries()).unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        entries.iter().map(|(field, at)| (field.name.clone(), text(at.node.to_value()))).collect()
    };
    let value = |name: &str| fields.get(name).map(|at| at.node.to_value());
    let (wanted, given, body, answer) =
        (headers("headers"), headers("answer_headers"), value("body"), value("answer"));
    Exchange {
        request: reader.optional_text(&fields, "request"),
        headers: wanted,
        body,
        status: u16::try_from(reader.count(&fields, "status", 200)).unwrap_or(200),
        answer: answer.unwrap_or(Value::Null),
        answer_headers: given,
    }
}

/// Runs a manifest's own tests, without a network. Empty = all came out as written.
pub fn run(manifest: &Manifest) -> Vec<Failure> {
    let mut failures = examples(manifest);
    for case in &manifest.tests {
        let mut fail = |detail: String| failures.push(Failure { case: case.name.clone(), detail });
        let Some(operation) = manifest.operation(&case.operation) else {
            fail(format!("there is no operation {}", case.operation));
            continue;
        };
        let stage = Stage::new(case);
        let result = match operation.is_upsert() {
            true => finish(upserted(manifest, operation, case, &stage)),
            false => prepare(manifest, operation, &case.args, &case.key)
                .and_then(|prepared| finish(act(manifest, operation, &prepared, case.lookup, &stage))),
        };
        for detail in stage.problems() {
            fail(detail);
        }
        match (&case.expect, &result) {
            (Expect::Any, Ok(_)) => {}
            (Expect::Output(expected), Ok(output)) if expected == output => {}
            (Expect::Error(expected), Err(error)) if describes(expected, error) => {}
            (_, Ok(output)) => fail(format!("the output is {output}")),
            (_, Err(error)) => {
                fail(format!("the error is {} {error} (unknown: {})", error.class.name(), error.unknown))
            }
        }
    }
    failures
}

/// Every example can be sent.
fn examples(manifest: &Manifest) -> Vec<Failure> {
    let prepared = |operation: &super::Operation| {
        let example = operation.example.as_ref()?;
        let sent = match operation.is_upsert() {
            true => check(operation, example.as_object().unwrap_or(&Map::new())),
            false => prepare(manifest, operation, example, KEY).map(drop),
        };
        let error = sent.err()?;
        Some(Failure { case: format!("example of {}", operation.name), detail: error.to_string() })
    };
    manifest.operations().filter_map(prepared).collect()
}

/// Reads, compares, and sends what that comes down to.
async fn upserted(
    manifest: &Manifest,
    operation: &super::Operation,
    case: &Case,
    stage: &Stage,
) -> Result<Value, Error> {
    let connection = connection(manifest);
    let (now, args) = (Timestamp::UNIX_EPOCH, &case.args);
    let prepared = match upsert(stage, &connection, manifest, operation, args, &case.key, now).await? {
        Upserted::Done(output) => return Ok(output),
        Upserted::Write(prepared) => prepared,
    };
    let chosen = prepared.upsert.clone();
    let write = chosen.and_then(|chosen| Some((manifest.operation(&chosen.operation)?, chosen)));
    let (write, chosen) = write.ok_or_else(|| Error::fatal("operation_composite", "nothing was chosen"))?;
    Ok(chosen.output(act(manifest, write, &prepared, case.lookup, stage).await?))
}

async fn act(
    manifest: &Manifest,
    operation: &super::Operation,
    prepared: &Prepared,
    ask: bool,
    stage: &Stage,
) -> Result<Value, Error> {
    let connection = connection(manifest);
    if ask {
        let (sent, now) = (Timestamp::from_second(SENT_S).ok(), Timestamp::UNIX_EPOCH);
        let found = lookup(stage, &connection, manifest, operation, prepared, sent, now).await?;
        return Ok(found.unwrap_or(Value::Null));
    }
    perform(stage, &connection, manifest, operation, prepared, Timestamp::UNIX_EPOCH).await
}

fn connection(manifest: &Manifest) -> Connection {
    let secrets = manifest.credentials().iter().map(|field| (field.name.clone(), Secret::new(NOT_REAL)));
    Connection {
        name: "test".into(),
        connector: manifest.slug.clone(),
        live: false,
        base_url: None,
        credentials: secrets.collect(),
        access: Some(Arc::new(Fixed(Arc::new(Granted {
            token: Secret::new(NOT_REAL),
            base_url: Some(manifest.base_url.clone()),
            n: 1,
        })))),
    }
}

/// Whether the error has every member that is expected of it.
fn describes(expected: &Value, error: &Error) -> bool {
    let after = match &error.class {
        crate::Class::Retry { after } => after.map(|after| after.as_secs()),
        _ => None,
    };
    let actual = serde_json::json!({"class": error.class.name(), "status": error.status, "code": error.code,
        "detail": error.detail, "unknown": error.unknown, "after_s": after});
    expected
        .as_object()
        .is_some_and(|members| members.iter().all(|(name, value)| actual.get(name) == Some(value)))
}

/// A future over [`Stage`] never waits, so that one poll finishes it.
fn finish<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::fatal("test_waits", "a manifest's test waited for something")),
    }
}

/// Plays the answers of a case, and notes requests that are not the expected ones.
struct Stage {
    state: Mutex<(VecDeque<Exchange>, Vec<String>)>,
}

impl Stage {
    fn new(case: &Case) -> Stage {
        Stage { state: Mutex::new((case.exchanges.iter().cloned().collect(), Vec::new())) }
    }

    fn problems(self) -> Vec<String> {
        let (left, mut problems) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !left.is_empty() {
            problems.push(format!("{} expected requests were not made", left.len()));
        }
        problems
    }
}

impl Transport for Stage {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (exchanges, problems) = &mut *state;
        let answer = match exchanges.pop_front() {
            Some(exchange) => {
                problems.extend(exchange.compare(&request));
                Ok(exchange.response())
            }
            None => {
                problems.push(format!("one more request was made: {} {}", request.method, target(&request)));
                Err(TransportError { sent: false, detail: "no answer is left".into() })
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

fn target(request: &wire::Request) -> String {
    match request.url.query() {
        Some(query) => format!("{}?{query}", request.url.path()),
        None => request.url.path().to_owned(),
    }
}

impl Exchange {
    fn compare(&self, request: &wire::Request) -> Vec<String> {
        let mut problems = Vec::new();
        let line = format!("{} {}", request.method, target(request));
        if self.request.as_ref().is_some_and(|expected| *expected != line) {
            problems.push(format!("the request is `{line}`"));
        }
        for (name, value) in &self.headers {
            let found = request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
            if found.map(|(_, value)| value) != Some(value) {
                problems.push(format!("the header {name} is {:?}", found.map(|(_, value)| value)));
            }
        }
        if let Some(expected) = &self.body {
            let text = String::from_utf8_lossy(&request.body);
            let actual = match expected {
                Value::String(_) => Value::String(text.to_string()),
                _ => serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.to_string())),
            };
            if actual != *expected {
                problems.push(format!("the body is `{text}`"));
            }
        }
        problems
    }

    fn response(self) -> wire::Response {
        let body = match self.answer {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text),
            value => Bytes::from(value.to_string()),
        };
        wire::Response { status: self.status, headers: self.answer_headers, body }
    }
}
