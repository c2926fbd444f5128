//! A vendor of which only its manifest is known: it keeps records, and answers as the manifest says that it does.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /things` of an operation with pages | the records, page by page; a parameter that is a record's member narrows them |
//! | `POST /things` | makes a record: the body, and an id where it has none |
//! | `GET /things/{thing}` | that record |
//! | `PUT`, `PATCH`, `POST /things/{thing}` | writes the body's members into it |
//! | `DELETE /things/{thing}` | takes it away |
//! | `POST /things/{thing}/cancel` | writes the body's members and `last_action: cancel` into it |
//! | anything else | a record of its own at its address |
//!
//! Besides: credentials are looked at, tokens are granted, a key that came before is answered as then, a record whose
//! natural key is taken is a conflict, and errors have the manifest's shape. What it can't know are the vendor's
//! own rules: a flow that works here may still be refused there.
//!
//! The manifest comes as JSON and is read here in this twin's own way: no line is shared with what makes the requests.
//! [`crate::faults::Faults`] puts an unreliable network before it, as before any twin.

mod access;
mod body;
mod page;
mod plan;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::Twin;
use crate::wire::{Request, Response};
use plan::Plan;
use records::Records;

/// Answers that are remembered by their keys.
const KEYS_MAX: usize = 10_000;
/// Requests that are kept to be looked at.
const SEEN_MAX: usize = 10_000;

/// A simulated vendor, made from a manifest. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Generic(Arc<Shared>);

struct Shared {
    slug: String,
    plan: Plan,
    credentials: BTreeMap<String, String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Records,
    remembered: BTreeMap<String, Response>,
    /// Requests that were answered, as `POST /things`.
    seen: Vec<String>,
}

/// Why a manifest makes no twin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest cannot be simulated: {0}")]
pub struct Unfit(pub String);

impl Generic {
    /// A vendor without records.
    ///
    /// # Errors
    /// When the manifest is not of the form that manifests have.
    pub fn new(manifest: &Value) -> Result<Generic, Unfit> {
        let plan = Plan::of(manifest)?;
        let slug = manifest["slug"].as_str().unwrap_or_default().to_owned();
        let credentials = access::credentials(&slug, manifest);
        Ok(Generic(Arc::new(Shared { slug, plan, credentials, state: Mutex::default() })))
    }

    /// What a connection to it holds, by the names of the manifest.
    pub fn credentials(&self) -> &BTreeMap<String, String> {
        &self.0.credentials
    }

    /// Everything that it keeps: records by their collection's address, in the order of their making.
    pub fn world(&self) -> Value {
        self.state().records.world()
    }

    /// Requests that were answered, the first of them, in order, as `POST /things`.
    pub fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, request: &Request) -> Response {
        let Shared { plan, credentials, .. } = &*self.0;
        if let Some(granted) = access::grant(plan, credentials, request) {
            return granted;
        }
        if !access::admits(plan, credentials, request) {
            return plan.refusal("auth", 401, "unauthorized", "these are not the credentials");
        }
        let mut state = self.state();
        if state.seen.len() < SEEN_MAX {
            state.seen.push(format!("{} {}", request.method, request.path));
        }
        let Some((operation, parameters)) = plan.operation(request) else {
            return plan.refusal("not_found", 404, "unknown_address", "no operation has this address");
        };
        let key = operation.key_header.as_ref().and_then(|name| request.header(name));
        if let Some(answer) = key.and_then(|key| state.remembered.get(key)) {
            return answer.clone();
        }
        let given = match body::read(operation, request) {
            Ok(given) => given,
            Err(why) => return plan.refusal("user", 400, "unreadable", &why),
        };
        let answer = state.records.act(plan, operation, &parameters, given, request);
        if let Some(key) = key.filter(|_| state.remembered.len() < KEYS_MAX) {
            state.remembered.insert(key.to_owned(), answer.clone());
        }
        answer
    }
}

impl Twin for Generic {
    fn name(&self) -> &str {
        &self.0.slug
    }

    fn handle(&self, request: &Request) -> Response {
        self.act(request)
    }
}
