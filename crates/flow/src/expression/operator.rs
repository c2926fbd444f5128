//! Arithmetic, paths and text: what operators do with values.

use base64::Engine;
use serde_json::Value;

use super::eval::{Many, One, Stop};
use super::meter::Meter;
use super::node::{Format, Math};
use super::value::{Fields, Kind, Text, Val, copied, float, from_float, from_integer, integer};

/// `.name`: null of null, null where there is no such field.
pub fn field<'v>(value: &Val<'v>, name: &str) -> One<'v> {
    match value.kind() {
        Kind::Null => Ok(Val::Null),
        Kind::Object => Ok(value.field(name).unwrap_or(Val::Null)),
        _ => Err(Stop::error(format!("cannot take field \"{name}\" of {}", value.preview()))),
    }
}

/// `.[index]`: an element, from the end if negative; a field by a name.
pub fn index<'v>(value: &Val<'v>, index: &Val<'v>) -> One<'v> {
    match (value.kind(), index) {
        (_, Val::Text(name)) => field(value, name.as_str()),
        (Kind::Null, Val::Number(_) | Val::Null) => Ok(Val::Null),
        (Kind::Array, Val::Number(number)) => {
            let place = position(number, value.len().unwrap_or(0));
            Ok(place.and_then(|place| value.item(place)).unwrap_or(Val::Null))
        }
        _ => Err(Stop::error(format!("cannot index {} with {}", value.preview(), index.preview()))),
    }
}

fn position(number: &serde_json::Number, len: usize) -> Option<usize> {
    let index = integer(number).unwrap_or_else(|| float(number).floor() as i128);
    let index = if index < 0 { index + len as i128 } else { index };
    usize::try_from(index).ok()
}

/// `.[from:to]` of a list or text.
pub fn slice<'v>(value: &Val<'v>, from: Option<&Val<'v>>, to: Option<&Val<'v>>, meter: &Meter) -> One<'v> {
    let length = match value {
        Val::Null => return Ok(Val::Null),
        Val::Text(text) => {
            meter.step(text.as_str().len() / 16)?;
            text.as_str().chars().count()
        }
        _ if value.kind() == Kind::Array => value.len().unwrap_or(0),
        _ => return Err(Stop::error(format!("cannot slice {}", value.preview()))),
    };
    let bound = |bound: Option<&Val<'v>>, default: usize, up: bool| match bound {
        None | Some(Val::Null) => Ok(default),
        Some(Val::Number(number)) => {
            let float = float(number);
            let whole = if up { float.ceil() } else { float.floor() } as i128;
            let whole = if whole < 0 { whole + length as i128 } else { whole };
            Ok(usize::try_from(whole.clamp(0, length as i128)).unwrap_or(0))
        }
        Some(other) => Err(Stop::error(format!("cannot slice with {}", other.preview()))),
    };
    let (from, to) = (bound(from, 0, false)?, bound(to, length, true)?);
    let count = to.saturating_sub(from);
    match value {
        Val::Text(text) => {
            let part: String = text.as_str().chars().skip(from).take(count).collect();
            Ok(Val::text(&part, meter)?)
        }
        _ => {
            copied(count, meter)?;
            let items = (from..from + count).filter_map(|index| value.item(index)).collect();
            Ok(Val::list(items, meter)?)
        }
    }
}

/// The name of an object's field.
pub fn key<'v>(value: Val<'v>) -> Result<Text<'v>, Stop<'v>> {
    match value {
        Val::Text(text) => Ok(text),
        other => Err(Stop::error(format!("the name of a field must be a string, not {}", other.preview()))),
    }
}

pub fn negate<'v>(value: &Val<'v>) -> One<'v> {
    match value {
        Val::Number(number) => match integer(number) {
            Some(int) => Ok(Val::Number(from_integer(-int))),
            None => finite(-float(number)),
        },
        other => Err(Stop::error(format!("cannot negate {}", other.preview()))),
    }
}

/// The value of a float; there are no infinite numbers and no NaN.
pub fn finite<'v>(number: f64) -> One<'v> {
    from_float(number)
        .map(Val::Number)
        .ok_or_else(|| Stop::error("the result is not a finite number".to_owned()))
}

pub fn math<'v>(op: Math, left: Val<'v>, right: Val<'v>, meter: &Meter) -> One<'v> {
    match (op, &left, &right) {
        (_, Val::Number(a), Val::Number(b)) => numbers(op, a, b),
        (Math::Add, Val::Null, _) => Ok(right),
        (Math::Add, _, Val::Null) => Ok(left),
        (Math::Add, Val::Text(a), Val::Text(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            meter.make(a.len() + b.len())?;
            Ok(Val::Text(Text::Shared([a, b].concat().into())))
        }
        (Math::Divide, Val::Text(text), Val::Text(separator)) => {
            split(text.as_str(), separator.as_str(), meter)
        }
        _ => match (op, left.kind(), right.kind()) {
            (Math::Add, Kind::Array, Kind::Array) => {
                let (a, b) = (left.items(meter)?, right.items(meter)?);
                let (Some(a), Some(b)) = (a, b) else { return Ok(Val::Null) };
                copied(a.len() + b.len(), meter)?;
                Ok(Val::list(a.iter().chain(b.iter()).cloned().collect(), meter)?)
            }
            (Math::Add, Kind::Object, Kind::Object) => merge(&left, &right, meter, false),
            (Math::Multiply, Kind::Object, Kind::Object) => merge(&left, &right, meter, true),
            (Math::Subtract, Kind::Array, Kind::Array) => {
                let (a, b) = (left.items(meter)?, right.items(meter)?);
                let (Some(a), Some(b)) = (a, b) else { return Ok(Val::Null) };
                let mut rest = Vec::new();
                for item in a.iter() {
                    let mut gone = false;
                    for other in b.iter() {
                        gone = gone || item.compare(other, meter)?.is_eq();
                    }
                    if !gone {
                        rest.push(item.clone());
                    }
                }
                Ok(Val::list(rest, meter)?)
            }
            (Math::Multiply, Kind::String, _) | (Math::Multiply, _, Kind::String) => {
                Err(Stop::error("strings can't be repeated with `*`".to_owned()))
            }
            _ => {
                let verb = match op {
                    Math::Add => "add",
                    Math::Subtract => "subtract",
                    Math::Multiply => "multiply",
                    Math::Divide => "divide",
                    Math::Remainder => "take the remainder of",
                };
                Err(Stop::error(format!("cannot {verb} {} and {}", left.preview(), right.preview())))
            }
        },
    }
}

fn numbers<'v>(op: Math, a: &serde_json::Number, b: &serde_json::Number) -> One<'v> {
    let zero = || Stop::error(format!("{a} cannot be divided by zero"));
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        // 64-bit factors: none of these overflows 128 bits.
        let exact = match op {
            Math::Add => Some(a + b),
            Math::Subtract => Some(a - b),
            Math::Multiply => Some(a * b),
            Math::Divide | Math::Remainder if b == 0 => return Err(zero()),
            Math::Divide => (a % b == 0).then_some(a / b),
            Math::Remainder => Some(a % b),
        };
        if let Some(exact) = exact {
            return Ok(Val::Number(from_integer(exact)));
        }
    }
    let (x, y) = (float(a), float(b));
    match op {
        Math::Add => finite(x + y),
        Math::Subtract => finite(x - y),
        Math::Multiply => finite(x * y),
        Math::Divide if y == 0.0 => Err(zero()),
        Math::Divide => finite(x / y),
        Math::Remainder => {
            let (x, y) = (x.trunc(), y.trunc());
            if y == 0.0 { Err(zero()) } else { finite(x % y) }
        }
    }
}

/// `+` of objects (the right one wins), and `*`, which goes into fields that are objects on both sides.
fn merge<'v>(left: &Val<'v>, right: &Val<'v>, meter: &Meter, deep: bool) -> One<'v> {
    let (Some(a), Some(b)) = (left.fields(meter)?, right.fields(meter)?) else { return Ok(Val::Null) };
    copied(2 * (a.len() + b.len()), meter)?;
    let mut merged: Fields<'v> = (**a).clone();
    for (name, value) in b.iter() {
        let value = match merged.get(name) {
            Some(before) if deep && before.kind() == Kind::Object && value.kind() == Kind::Object => {
                merge(&before.clone(), value, meter, true)?
            }
            _ => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    Ok(Val::object(merged, meter)?)
}

/// Splits text; an empty separator gives the characters.
pub fn split<'v>(text: &str, separator: &str, meter: &Meter) -> One<'v> {
    meter.step(text.len() / 8 + 1)?;
    let made = |part: &str| Val::text(part, meter);
    let parts: Result<Vec<_>, _> = match (text, separator) {
        ("", _) => Ok(Vec::new()),
        (_, "") => text.char_indices().map(|(at, c)| made(&text[at..at + c.len_utf8()])).collect(),
        _ => text.split(separator).map(made).collect(),
    };
    Ok(Val::list(parts?, meter)?)
}

/// Text as it is, anything else as JSON.
pub fn to_text<'v>(value: &Val<'v>, meter: &Meter) -> Result<String, Stop<'v>> {
    match value {
        Val::Text(text) => {
            meter.make(text.as_str().len())?;
            Ok(text.as_str().to_owned())
        }
        other => to_json(other, meter),
    }
}

/// JSON without spaces.
pub fn to_json<'v>(value: &Val<'v>, meter: &Meter) -> Result<String, Stop<'v>> {
    let text = value.to_json(meter)?.to_string();
    meter.make(text.len())?;
    // Writing takes its time, as matching does.
    meter.step(text.len() / 16)?;
    Ok(text)
}

/// Writes a value into text by a format.
pub fn write<'v>(format: Format, value: &Val<'v>, out: &mut String, meter: &Meter) -> Many<'v> {
    let plain = |meter| to_text(value, meter);
    let before = out.len();
    match format {
        Format::Text => out.push_str(&plain(meter)?),
        Format::Json => out.push_str(&to_json(value, meter)?),
        Format::Uri => {
            for byte in plain(meter)?.bytes() {
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                        out.push(byte.into())
                    }
                    _ => out.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        Format::Base64 => out.push_str(&base64::engine::general_purpose::STANDARD.encode(plain(meter)?)),
        Format::Html => {
            for c in plain(meter)?.chars() {
                match c {
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '&' => out.push_str("&amp;"),
                    '\'' => out.push_str("&#39;"),
                    '"' => out.push_str("&quot;"),
                    _ => out.push(c),
                }
            }
        }
        Format::Csv => csv(value, out, meter)?,
    }
    meter.make(out.len() - before)?;
    Ok(())
}

fn csv<'v>(value: &Val<'v>, out: &mut String, meter: &Meter) -> Many<'v> {
    let Some(items) = value.items(meter)? else {
        return Err(Stop::error(format!("`@csv` needs an array, not {}", value.preview())));
    };
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Val::Text(text) => {
                out.push('"');
                out.push_str(&text.as_str().replace('"', "\"\""));
                out.push('"');
            }
            Val::Null => {}
            Val::Bool(_) | Val::Number(_) => out.push_str(&to_json(item, meter)?),
            other => return Err(Stop::error(format!("a cell of CSV can't be {}", other.preview()))),
        }
    }
    Ok(())
}

/// A value read from JSON text, made anew.
pub fn from_json<'v>(text: &str, meter: &Meter) -> One<'v> {
    meter.step(text.len() / 8)?;
    meter.make(4 * text.len())?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| Stop::error(format!("this is not JSON: {error}")))?;
    owned(&value, meter)
}

fn owned<'v>(value: &Value, meter: &Meter) -> One<'v> {
    meter.step(1)?;
    Ok(match value {
        Value::Null => Val::Null,
        Value::Bool(bool) => Val::Bool(*bool),
        Value::Number(number) => Val::Number(number.clone()),
        Value::String(text) => Val::text(text, meter)?,
        Value::Array(items) => {
            let items = items.iter().map(|item| owned(item, meter)).collect::<Result<_, _>>()?;
            Val::list(items, meter)?
        }
        Value::Object(fields) => {
            let mut object = Fields::with_capacity(fields.len());
            for (name, field) in fields {
                object.insert(Text::Shared(name.as_str().into()), owned(field, meter)?);
            }
            Val::object(object, meter)?
        }
    })
}
