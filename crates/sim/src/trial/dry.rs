//! Writes that are shown and not sent.

use std::sync::{Arc, Mutex, PoisonError};

use connect::{Catalog, Effects, Prepared};
use engine::Rehearsal;
use flow::Fault;
use serde_json::{Value, json};

use super::report::is_pure;

/// Lets reads through, and keeps writes.
pub struct Dry {
    catalog: Arc<Catalog>,
    writes: Mutex<Vec<Value>>,
}

impl Dry {
    pub fn new(catalog: Arc<Catalog>) -> Dry {
        Dry { catalog, writes: Mutex::default() }
    }

    /// What would have been sent: `{"call", "with", "request"}`, the request without credentials.
    pub fn writes(&self) -> Vec<Value> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, operation: &str, with: &Value, request: Value) {
        let shown = json!({"call": operation, "with": without(with, "authentication"), "request": request});
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
    }
}

fn without(with: &Value, name: &str) -> Value {
    let mut with = with.clone();
    if let Some(fields) = with.as_object_mut() {
        fields.shift_remove(name);
    }
    with
}

impl Rehearsal for Dry {
    /// A write that is not sent gives its arguments back, as far as they go the likeness of what it would have made.
    fn answer(&self, operation: &str, with: &Value) -> Option<Result<Value, Fault>> {
        if is_pure(operation) {
            return None;
        }
        if let Some((manifest, called)) = self.catalog.operation(operation) {
            // An upsert reads first: what it writes is asked about then.
            if called.effects == Effects::Read || called.is_upsert() {
                return None;
            }
            let prepared = match connect::prepare(manifest, called, with, "dry-run") {
                Ok(prepared) => serde_json::to_value(prepared).unwrap_or_default(),
                Err(error) => return Some(Err(engine::fault::of_call(operation, &error))),
            };
            self.keep(operation, with, prepared);
            return Some(Ok(without(with, "connection")));
        }
        match operation {
            "http"
                if matches!(
                    with["method"].as_str(),
                    Some("GET" | "HEAD" | "OPTIONS" | "get" | "head" | "options")
                ) =>
            {
                None
            }
            "http" | "openapi" => {
                self.keep(operation, with, Value::Null);
                Some(Ok(with.get("body").cloned().unwrap_or_default()))
            }
            "emit" | "run.shell" | "run.container" => {
                self.keep(operation, with, Value::Null);
                Some(Ok(with.clone()))
            }
            _ => None,
        }
    }

    fn writes(&self, operation: &str, with: &Value, write: &Prepared) -> Option<Value> {
        self.keep(operation, with, serde_json::to_value(write).unwrap_or_default());
        Some(without(with, "connection"))
    }

    /// A question is asked, and waited for; nobody is told of it.
    fn tells(&self, operation: &str, with: &Value) -> bool {
        self.keep(operation, with, Value::Null);
        true
    }
}
