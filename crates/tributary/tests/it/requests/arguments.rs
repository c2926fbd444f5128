//! Arguments of every kind, from a seed: nested lists and maps, empty texts, null, dates, decimals, files, and whatever
//! is hard to encode.

use connect::{Kind, Location, Param};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

const TEXTS: [&str; 7] = [
    "plain",
    "",
    "two words",
    "a&b=c?d#e/f%g+h",
    "Zoë 東京 🙂",
    "it's (a) [list]!*~",
    "2026-11-21T09:00:00Z",
];
const IDS: [&str; 4] = ["id_1", "id 2/ü", "o'id(3)!*", "4%20.5"];

pub fn id(rng: &mut ChaCha8Rng) -> String {
    pick(rng, &IDS).to_owned()
}

fn pick<'a>(rng: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[rng.random_range(0..of.len())]
}

/// A value for a parameter. In a form null can be said, and dates are seconds there on both sides (but not deep within
/// lists: where the client looks for decimals in them, it loses dates).
pub fn value(rng: &mut ChaCha8Rng, param: &Param, form: bool) -> Value {
    if !param.choices.is_empty() {
        return param.choices[rng.random_range(0..param.choices.len())].clone();
    }
    let kinds: &[Kind] = if param.kinds.is_empty() { &[Kind::String] } else { &param.kinds };
    match kinds[rng.random_range(0..kinds.len())] {
        Kind::String if param.name.ends_with("_decimal") => json!({"$decimal": "12.345678901"}),
        Kind::String
            if form && param.location == Location::Body && !param.required && rng.random_ratio(1, 8) =>
        {
            Value::Null
        }
        Kind::String | Kind::Any => pick(rng, &TEXTS).into(),
        Kind::Integer | Kind::Number if form && is_time(&param.name) => {
            json!({"$date": 1_793_000_000 + rng.random_range(0..1000)})
        }
        Kind::Integer => [0, 7, -3, 9_007_199_254_740_991_i64][rng.random_range(0..4)].into(),
        Kind::Number => [json!(0), json!(-12), json!(0.5), json!(12.25)][rng.random_range(0..4)].clone(),
        Kind::Boolean => rng.random_bool(0.5).into(),
        Kind::Array => list(rng, 2),
        Kind::Object if form && is_time(&param.name) => {
            json!({"gte": {"$date": 1_793_000_000}, "lt": 1_793_000_001})
        }
        Kind::Object => map(rng, 2),
    }
}

fn is_time(name: &str) -> bool {
    ["created", "timestamp"].contains(&name) || name.ends_with("_at") || name.ends_with("_date")
}

fn inner(rng: &mut ChaCha8Rng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 6 } else { 8 }) {
        0 | 1 => pick(rng, &TEXTS).into(),
        2 => rng.random_range(-5..5_000_000).into(),
        3 => rng.random_bool(0.5).into(),
        4 | 5 => json!(0.125),
        6 => list(rng, depth - 1),
        _ => map(rng, depth - 1),
    }
}

fn list(rng: &mut ChaCha8Rng, depth: usize) -> Value {
    (0..rng.random_range(1..4)).map(|_| inner(rng, depth)).collect()
}

fn map(rng: &mut ChaCha8Rng, depth: usize) -> Value {
    let mut map = Map::new();
    for name in ["one", "two words", "three[3]", "vier-ü"] {
        if rng.random_bool(0.6) {
            map.insert(name.to_owned(), inner(rng, depth));
        }
    }
    Value::Object(map)
}

/// What the arguments are on our side: dates in seconds, decimals as text.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => match (map.get("$date"), map.get("$decimal")) {
            (Some(time), _) => time.clone(),
            (_, Some(text)) => text.clone(),
            _ => map.iter().map(|(name, inner)| (name.clone(), plain(inner))).collect(),
        },
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}
