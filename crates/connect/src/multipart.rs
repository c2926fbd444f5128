//! Bodies of several parts, as file uploads take them (RFC 7578).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::encode;

/// The same for every attempt at one effect, so that a repetition is the same bytes. It follows from the effect's key
/// by a hash: nothing that is sent can have been made to contain it by accident.
pub(crate) fn boundary(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .fold("tributary-".to_owned(), |all, byte| all + &byte)
}

/// The parts: maps and lists as `a[b]` and `a[0]`, what has `data` as a file: `{data (base64), name, type}`.
pub(crate) fn body(members: &Map<String, Value>, boundary: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (name, value) in members {
        part(&mut out, name, value, boundary)?;
    }
    line(&mut out, &format!("--{boundary}--"));
    Ok(out)
}

fn part(out: &mut Vec<u8>, name: &str, value: &Value, boundary: &str) -> Result<(), String> {
    let text = match value {
        Value::Object(map) if map.contains_key("data") => return file(out, name, map, boundary),
        Value::Object(map) => {
            return map
                .iter()
                .try_for_each(|(key, item)| part(out, &format!("{name}[{key}]"), item, boundary));
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            return items
                .try_for_each(|(index, item)| part(out, &format!("{name}[{index}]"), item, boundary));
        }
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => encode::number(number),
        Value::String(text) => text.clone(),
    };
    line(out, &format!("--{boundary}"));
    line(out, &format!("Content-Disposition: form-data; name={}", quoted(name)));
    line(out, "");
    line(out, &text);
    Ok(())
}

fn file(out: &mut Vec<u8>, name: &str, map: &Map<String, Value>, boundary: &str) -> Result<(), String> {
    let text = |member: &str, default: &str| match map.get(member) {
        None | Some(Value::Null) => Ok(default.to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{member}` of the file `{name}` is not a text")),
    };
    let data = STANDARD.decode(text("data", "")?);
    let data = data.map_err(|error| format!("`data` of the file `{name}` is not base64: {error}"))?;
    line(out, &format!("--{boundary}"));
    let filename = quoted(&text("name", "blob")?);
    line(out, &format!("Content-Disposition: form-data; name={}; filename={filename}", quoted(name)));
    line(out, &format!("Content-Type: {}", unbroken(&text("type", "application/octet-stream")?)));
    line(out, "");
    out.extend_from_slice(&data);
    line(out, "");
    Ok(())
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", unbroken(&text.replace('"', "%22")))
}

/// A line break would begin a header of the caller's choosing.
fn unbroken(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\r', '\n'], " ")
}
