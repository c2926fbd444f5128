//! What a request's body says: JSON, or a form with nested brackets.

use serde_json::{Map, Value};

use super::plan::Operation;
use crate::wire::Request;

/// Deeper nesting is not read.
const DEPTH_MAX: usize = 8;

/// The body's members, without what they are wrapped in.
pub fn read(operation: &Operation, request: &Request) -> Result<Map<String, Value>, String> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let kind = request.header("content-type").unwrap_or_default();
    let members = if kind.starts_with("application/x-www-form-urlencoded") {
        form(operation, &request.body)?
    } else if kind.starts_with("multipart/") {
        Map::from_iter([("bytes".to_owned(), request.body.len().into())])
    } else {
        match serde_json::from_slice(&request.body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err("the body is not an object".to_owned()),
            Err(error) => return Err(format!("the body is not JSON: {error}")),
        }
    };
    let Some(wrap) = &operation.wrap else { return Ok(members) };
    match members.get(wrap) {
        Some(Value::Object(inside)) => Ok(inside.clone()),
        _ => Err(format!("the body has no `{wrap}`")),
    }
}

fn form(operation: &Operation, body: &[u8]) -> Result<Map<String, Value>, String> {
    let mut members = Map::new();
    for (name, text) in form_urlencoded::parse(body) {
        let (head, rest) = name.split_once('[').map_or((&*name, ""), |(head, rest)| (head, rest));
        let inside = rest.trim_end_matches(']').split("][").filter(|part| !part.is_empty());
        let way: Vec<&str> = std::iter::once(head).chain(inside).collect();
        if way.len() > DEPTH_MAX {
            return Err(format!("`{name}` is nested too deep"));
        }
        let kind = operation.kinds.get(head).filter(|_| way.len() == 1).map_or("string", String::as_str);
        put(&mut members, &way, typed(kind, &text));
    }
    let mut members = Value::Object(members);
    lists(&mut members);
    match members {
        Value::Object(members) => Ok(members),
        _ => Err("the form names no members".to_owned()),
    }
}

fn put(members: &mut Map<String, Value>, way: &[&str], value: Value) {
    let Some((last, way)) = way.split_last() else { return };
    let mut here = members;
    for name in way {
        let next = here.entry(*name).or_insert_with(|| Value::Object(Map::new()));
        if !next.is_object() {
            *next = Value::Object(Map::new());
        }
        let Value::Object(inside) = next else { return };
        here = inside;
    }
    here.insert((*last).to_owned(), value);
}

/// A form has texts only; the manifest says what they stand for.
fn typed(kind: &str, text: &str) -> Value {
    match kind {
        "integer" | "number" => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        "boolean" => (text == "true").into(),
        _ => text.into(),
    }
}

/// What is numbered from 0 on is a list.
fn lists(value: &mut Value) {
    let Value::Object(members) = value else { return };
    members.values_mut().for_each(lists);
    let numbered = members.keys().enumerate().all(|(place, name)| *name == place.to_string());
    if numbered && !members.is_empty() {
        let items = members.values_mut().map(Value::take).collect();
        *value = Value::Array(items);
    }
}
