//! What a request brings: query and JSON fields, read with ChartMogul's leniency.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::reply::{Errors, coded, message};
use super::time;
use crate::wire::{Request, Response};

/// The query as pairs; the first of a name counts.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(request: &Request) -> Query {
        Query(form_urlencoded::parse(request.query.as_bytes()).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

/// The body as an object; nothing at all is an empty object.
pub fn object(request: &Request) -> Result<Map<String, Value>, Response> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(coded(400, "JSON schema validation hasn't passed.", None)),
    }
}

/// Text, trimmed; numbers and booleans are taken as text, since external ids often come as numbers.
pub fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An integer, also as a decimal string or a float without a fraction.
pub fn integer(map: &Map<String, Value>, key: &str) -> Option<i64> {
    match map.get(key)? {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and far below 2^53")]
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// An instant; absent or null is `None`, unreadable is an error on `field`.
pub fn instant(map: &Map<String, Value>, key: &str, field: &str, errors: &mut Errors) -> Option<Timestamp> {
    match map.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(value) => {
            let read = value.as_str().and_then(time::parse);
            if read.is_none() {
                errors.add(field, "is invalid");
            }
            read
        }
    }
}

/// A text that must be there.
pub fn required(map: &Map<String, Value>, key: &str, field: &str, errors: &mut Errors) -> String {
    text(map, key).unwrap_or_else(|| {
        errors.add(field, message::BLANK);
        String::new()
    })
}
