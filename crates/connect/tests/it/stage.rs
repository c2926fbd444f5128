//! A vendor made of canned answers.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use connect::{
    BoxFuture, Catalog, Connection, Error, Manifest, Secret, Transport, TransportError, perform, prepare,
    wire,
};
use jiff::Timestamp;
use serde_json::Value;

pub const SECRET: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";

type Answer = Result<wire::Response, TransportError>;

/// Gives its answers in turn and keeps what was asked.
#[derive(Default)]
pub struct Stage {
    state: Mutex<(VecDeque<Answer>, Vec<wire::Request>)>,
}

impl Stage {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Stage {
        Stage { state: Mutex::new((answers.into_iter().collect(), Vec::new())) }
    }

    pub fn json(answers: impl IntoIterator<Item = Value>) -> Stage {
        Stage::new(answers.into_iter().map(|body| answer(200, &body.to_string())))
    }

    pub fn asked(&self) -> Vec<wire::Request> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// `GET /path?query` of each request.
    pub fn lines(&self) -> Vec<String> {
        let line = |request: &wire::Request| {
            let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{} {}{query}", request.method, request.url.path())
        };
        self.asked().iter().map(line).collect()
    }
}

impl Transport for Stage {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Answer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.push(request);
        let next = state.0.pop_front();
        Box::pin(std::future::ready(
            next.unwrap_or(Err(TransportError { sent: true, detail: "no answer is left".into() })),
        ))
    }
}

pub fn answer(status: u16, body: &str) -> Answer {
    Ok(wire::Response { status, headers: Vec::new(), body: Bytes::from(body.to_owned()) })
}

pub fn catalog() -> Catalog {
    Catalog::embedded()
}

pub fn connection(manifest: &Manifest) -> Connection {
    let secrets = manifest.credentials().iter().map(|field| (field.name.clone(), Secret::new(SECRET)));
    Connection {
        name: "acme".into(),
        connector: manifest.slug.clone(),
        live: false,
        base_url: None,
        credentials: secrets.collect(),
        access: None,
    }
}

/// One call by full name.
pub async fn call(stage: &Stage, name: &str, args: Value) -> Result<Value, Error> {
    let catalog = catalog();
    let (manifest, operation) = catalog.operation(name).expect("the operation");
    let prepared = prepare(manifest, operation, &args, "tby_key")?;
    perform(stage, &connection(manifest), manifest, operation, &prepared, now()).await
}

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}
