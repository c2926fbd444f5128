//! What an operation asks `before` its own request, and the `body` that the answers go into.

use flow::yaml;
use serde_json::Value;

use super::reader::{At, Fields, Reader};
use super::{Effects, Encoding, Idempotency, Kind, Location, Manifest, Operation, Param};
use crate::before::{Asked, Before, Reference, Said};

/// Names of references that are no step's.
const OWN: [&str; 2] = ["args", "size"];
/// Steps of one operation.
const STEPS_MAX: usize = 8;

/// The steps, in their order.
pub(super) fn steps(reader: &mut Reader<'_>, fields: &Fields<'_>, slug: &str) -> Vec<Before> {
    let Some(at) = fields.get("before") else { return Vec::new() };
    if !matches!(at.node.kind, yaml::Kind::Map(_)) || at.entries().len() > STEPS_MAX {
        reader.mistyped(&at, &format!("a mapping of names to at most {STEPS_MAX} steps"));
    }
    let mut steps: Vec<Before> = Vec::new();
    for (field, at) in at.entries() {
        let plain = field.name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !field.name.is_empty();
        if !plain || OWN.contains(&field.name.as_str()) {
            let message = "a step is named by lower-case letters and `_`, and not `args` or `size`";
            reader.problem(&at, "manifest_operation", message);
        }
        let asked = step(reader, &at, slug);
        steps.extend(asked.map(|asked| Before { name: field.name.clone(), asked }));
    }
    steps
}

/// An operation with its arguments, or bytes and their address.
fn step(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Asked> {
    if at.node.fields().iter().any(|field| field.name == "operation") {
        let fields = reader.fields(at, "a step that is an operation", &["operation", "with"]);
        let operation = format!("{slug}.{}", reader.required_text(&fields, "operation"));
        return Some(Asked::Call {
            operation,
            with: fields.get("with").map(|at| at.node.to_value()).unwrap_or_default(),
        });
    }
    let fields = reader.fields(at, "a step", &["to", "bytes"]);
    let to = reader.required(&fields, "to")?;
    let said = match to.node.as_str().and_then(Reference::parse) {
        Some(Reference::Said(said)) => Some(said),
        _ => {
            reader.problem(&to, "manifest_path", "`to` is what an earlier step answered: `$<step>.<path>`");
            None
        }
    };
    let bytes = reader.required(&fields, "bytes")?;
    let named = match bytes.node.as_str().and_then(Reference::parse) {
        Some(Reference::Args(path)) => Some(path.as_str().to_owned()),
        _ => {
            reader.problem(&bytes, "manifest_path", "`bytes` is an argument: `$args.<name>`");
            None
        }
    };
    Some(Asked::Send { to: said?, bytes: named? })
}

/// What must fit between an operation's steps, its body and its parameters.
pub(super) fn check(reader: &mut Reader<'_>, at: &At<'_>, operation: &Operation) {
    let steps = !operation.before.is_empty();
    if !steps && operation.body.is_null() {
        if operation.params.iter().any(|param| param.location == Location::Before) {
            let message = "`in: before` is for operations with `before` or `body`";
            reader.problem(at, "manifest_request", message);
        }
        return;
    }
    let fit = operation.encoding == Encoding::Json && operation.method != "GET" && operation.upsert.is_none();
    if !fit || operation.effects == Effects::Read {
        let message = "`before` and `body` are for writes by other than GET that are encoded as JSON";
        reader.problem(at, "manifest_request", message);
    }
    if !operation.body.is_null() && !operation.body.is_object() {
        reader.problem(at, "manifest_type", "`body` is a mapping of members");
    }
    // Each attempt takes the steps again: its bytes may be others, and a refusal may be a step's.
    if steps && matches!(operation.idempotency, Idempotency::Header { .. } | Idempotency::NaturalKey(_)) {
        let message = "`before` goes with `idempotency: none`, `repeatable` or a `lookup`: under a key, or by a conflict, \
            what a step was answered would be taken for the request's answer";
        reader.problem(at, "manifest_request", message);
    }
    let mut earlier: Vec<&str> = Vec::new();
    for before in &operation.before {
        match &before.asked {
            Asked::Call { with, .. } => references(reader, at, with, &operation.params, &[]),
            Asked::Send { to, bytes } => {
                said(reader, at, to, &earlier);
                argument(reader, at, bytes, &operation.params, true);
            }
        }
        earlier.push(&before.name);
    }
    references(reader, at, &operation.body, &operation.params, &earlier);
}

/// Every reference of a template leads somewhere: to a parameter, or to a step.
fn references(reader: &mut Reader<'_>, at: &At<'_>, template: &Value, params: &[Param], steps: &[&str]) {
    match template {
        Value::String(text) if text.starts_with('$') => match Reference::parse(text) {
            Some(Reference::Args(path)) => {
                let first = path.segments().first().map_or("", String::as_str);
                argument(reader, at, first, params, false);
            }
            Some(Reference::Size(name)) => argument(reader, at, &name, params, true),
            Some(Reference::Said(to)) => said(reader, at, &to, steps),
            None => {
                let message =
                    format!("`{text}`: a reference is `$args.<path>`, `$size.<name>` or `$<step>.<path>`");
                reader.problem(at, "manifest_path", message);
            }
        },
        Value::Array(items) => items.iter().for_each(|item| references(reader, at, item, params, steps)),
        Value::Object(members) => {
            members.values().for_each(|item| references(reader, at, item, params, steps));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn argument(reader: &mut Reader<'_>, at: &At<'_>, name: &str, params: &[Param], bytes: bool) {
    let known: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
    match params.iter().find(|param| param.name == name) {
        None => {
            reader.unknown(at.node.place, &at.pointer, "a parameter of this operation", name, &known);
        }
        Some(param) if bytes => {
            let fits = |kind: &Kind| matches!(kind, Kind::String | Kind::Object);
            if !param.required || param.kinds.is_empty() || !param.kinds.iter().all(fits) {
                let message =
                    format!("`{name}` gives bytes: its type is string, object or both, and it is required");
                reader.problem(at, "manifest_type", message);
            }
        }
        Some(_) => {}
    }
}

fn said(reader: &mut Reader<'_>, at: &At<'_>, said: &Said, steps: &[&str]) {
    if !steps.contains(&said.step.as_str()) {
        reader.unknown(at.node.place, &at.pointer, "an earlier step", &said.step, steps);
    }
}

/// The operations that are asked before are there, may be repeated, and take what they are given.
pub(super) fn operations(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    manifest: &Manifest,
    operation: &Operation,
    names: &[&str],
) {
    for before in &operation.before {
        let Asked::Call { operation: full, with } = &before.asked else { continue };
        let name = full.split_once('.').map_or("", |(_, short)| short);
        match manifest.operations.stated(full) {
            None => reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", name, names),
            Some(asked)
                if !matches!(asked.idempotency, Idempotency::Repeatable)
                    || asked.upsert.is_some()
                    || !asked.before.is_empty() =>
            {
                reader.problem(
                    at,
                    "manifest_request",
                    format!("`{name}` is no request that may be repeated"),
                );
            }
            Some(asked) => {
                let given: Vec<&str> =
                    with.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                super::parse::check_arguments(reader, at, asked, &given);
            }
        }
    }
}
