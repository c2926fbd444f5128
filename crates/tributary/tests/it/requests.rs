//! What connectors send, beside what the vendors' official clients send for the same arguments: byte for byte.

mod arguments;
mod chartmogul;
mod slack;
mod stripe;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connect::{Catalog, Location, Manifest, Operation};
use serde_json::Value;

use crate::clients;

/// One call: an operation of ours, and its arguments.
struct Case<'m> {
    operation: &'m Operation,
    ids: Vec<String>,
    params: Value,
}

/// `POST /v1/customers/{}`: what both sides know an operation by.
fn address(operation: &Operation) -> String {
    let (method, path) = operation.request();
    let mut out = format!("{method} ");
    for (index, piece) in path.split('{').enumerate() {
        match piece.split_once('}') {
            Some((_, rest)) if index > 0 => out += &format!("{{}}{rest}"),
            _ => out += piece,
        }
    }
    out
}

/// Where parts of a path have their parameters, in order.
fn path_params(operation: &Operation) -> Vec<&str> {
    let names = |name: &str| operation.params.iter().find(|p| p.location == Location::Path && p.name == name);
    let (_, path) = operation.request();
    let named: Vec<String> =
        path.split('{').skip(1).filter_map(|s| s.split('}').next()).map(str::to_owned).collect();
    named.iter().filter_map(|name| names(name)).map(|param| param.name.as_str()).collect()
}

impl Case<'_> {
    /// The arguments as we take them, wherever they go.
    fn flat(&self) -> Value {
        let parts = ["query", "body"].map(|part| self.params.get(part).and_then(Value::as_object));
        if parts.iter().all(Option::is_none)
            || self.operation.params.iter().any(|param| param.name == "query")
        {
            return arguments::plain(&self.params);
        }
        let all = parts.into_iter().flatten().flatten();
        arguments::plain(&all.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Our request: method, path with query, body.
    fn ours(&self, manifest: &Manifest) -> (String, String, Vec<u8>) {
        let mut args = self.flat();
        for (name, id) in path_params(self.operation).into_iter().zip(&self.ids) {
            args[name] = Value::from(id.as_str());
        }
        let prepared = connect::prepare(manifest, self.operation, &args, "tby_same").unwrap();
        let query = if prepared.query.is_empty() { String::new() } else { format!("?{}", prepared.query) };
        let body = prepared.bytes().unwrap().to_vec();
        (prepared.method, format!("{}{query}", prepared.path), body)
    }
}

/// What the client's script printed of the same calls.
async fn told(cases: &[Case<'_>], script: &str) -> Value {
    let asked: Vec<Value> = cases
        .iter()
        .map(|case| {
            serde_json::json!({"operation": case.operation.name, "request": address(case.operation), "ids": case.ids, "params": case.params})
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, Value::from(asked).to_string()).unwrap();
    let told = clients::ensure().await.node(script, &[("CASES", file.to_str().unwrap())]).await;
    serde_json::from_str(&told).unwrap()
}

/// Both sides' requests differ nowhere; returns what the client's script printed.
async fn compare(manifest: &Manifest, cases: &[Case<'_>], script: &str) -> Value {
    let told = told(cases, script).await;
    let mut differences = Vec::new();
    for (case, theirs) in cases.iter().zip(told["sent"].as_array().unwrap()) {
        let (method, path, body) = case.ours(manifest);
        let text = |name: &str| theirs[name].as_str().unwrap_or_default();
        let mut sent = STANDARD.decode(text("body")).unwrap();
        if let Some((_, boundary)) = text("type").split_once("boundary=") {
            sent = with_boundary(&sent, boundary, &body);
        }
        // One client ends a path with `?` where an argument is an empty object.
        let their_path = text("path").strip_suffix('?').unwrap_or(text("path"));
        // One client sends an empty object where there is no body.
        if body.is_empty() && sent == b"{}" {
            sent.clear();
        }
        if (text("method"), their_path) != (method.as_str(), path.as_str()) || sent != body {
            let (sent, body) = (String::from_utf8_lossy(&sent), String::from_utf8_lossy(&body));
            differences.push(format!(
                "{}\n  theirs {theirs} {sent}\n  ours   {method} {path} {body}",
                case.operation.name
            ));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
    told
}

/// Their body with our boundary in the place of theirs, which they draw by lot.
fn with_boundary(theirs: &[u8], boundary: &str, ours: &[u8]) -> Vec<u8> {
    let first = ours.strip_prefix(b"--").and_then(|rest| rest.split(|byte| *byte == b'\r').next()).unwrap();
    let mut out = Vec::new();
    let mut rest = theirs;
    let found = |rest: &[u8]| rest.windows(boundary.len()).position(|window| window == boundary.as_bytes());
    while let Some(at) = found(rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(first);
        rest = &rest[at + boundary.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn catalog() -> Catalog {
    Catalog::embedded()
}
