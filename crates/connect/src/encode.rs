//! Bodies and query strings: nested brackets, as form-encoding vendors read them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Everything but RFC 3986's unreserved characters.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same but for brackets, which form-encoding vendors read either way and their own clients leave.
const FORM: &AsciiSet = &COMPONENT.remove(b'[').remove(b']');
/// The same but for the sub-delimiters that JavaScript leaves, and RFC 3986 allows, in a segment of a path.
const SEGMENT: &AsciiSet = &COMPONENT.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// Whole numbers up to this are exact as floating point.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Percent-encodes one path segment.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn form(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string()
}

/// A number in its shortest form: 12, not 12.0.
pub(crate) fn number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_MAX => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// Appends `name=value` pairs: maps as `a[b]`, lists as `a[0]`, null as the empty text (Stripe: unset), booleans as
/// `true` and `false`. An empty list is the empty text too, for otherwise it could not be said at all; an empty
/// map says nothing.
pub(crate) fn pairs(out: &mut String, name: &str, value: &Value) {
    nested(out, &form(name), value);
}

fn nested(out: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                nested(out, &format!("{name}[{}]", form(key)), item);
            }
        }
        Value::Array(items) if items.is_empty() => pair(out, name, ""),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                nested(out, &format!("{name}[{index}]"), item);
            }
        }
        Value::Null => pair(out, name, ""),
        Value::Bool(flag) => pair(out, name, if *flag { "true" } else { "false" }),
        Value::Number(number) => pair(out, name, &form(&self::number(number))),
        Value::String(text) => pair(out, name, &form(text)),
    }
}

fn pair(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(name);
    out.push('=');
    out.push_str(value);
}

/// The query with parameter `name` set to `value`, whatever it was before.
pub(crate) fn with_param(query: &str, name: &str, value: &str) -> String {
    let mut out = without_param(query, name);
    pair(&mut out, &form(name), &form(value));
    out
}

/// The query without a parameter.
pub(crate) fn without_param(query: &str, name: &str) -> String {
    let name = form(name);
    let others = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(&name));
    others.collect::<Vec<_>>().join("&")
}
