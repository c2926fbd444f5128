//! Durations as documents write them: ISO 8601 (`PT1H30M`, `P2D`) or `{days, hours, minutes, seconds, milliseconds}`.

use jiff::{SignedDuration, Span};
use serde_json::Value;

/// No wait or delay is longer: ten years.
pub const MAX: SignedDuration = SignedDuration::from_hours(24 * 3653);

const UNITS: &[(&str, i128)] = &[
    ("days", 86_400_000),
    ("hours", 3_600_000),
    ("minutes", 60_000),
    ("seconds", 1_000),
    ("milliseconds", 1),
];

/// Reads a duration from a value of either form. A day is 24 hours; months and years are refused, as nobody can
/// say how long they are without a date and a place.
pub fn from_value(value: &Value) -> Result<SignedDuration, String> {
    match value {
        Value::String(text) => from_iso(text),
        Value::Object(fields) if fields.is_empty() => {
            Err("a duration needs at least one of days, hours, minutes, seconds, milliseconds".to_owned())
        }
        Value::Object(fields) => {
            let mut total = 0i128;
            for (name, amount) in fields {
                let Some((_, unit)) = UNITS.iter().find(|(unit, _)| unit == name) else {
                    return Err(format!(
                        "`{name}` is not a unit of a duration: days, hours, minutes, seconds, milliseconds are"
                    ));
                };
                let amount =
                    amount.as_u64().ok_or(format!("`{name}` must be a whole number, not negative"))?;
                total += i128::from(amount) * unit;
            }
            bounded(total)
        }
        _ => Err("a duration is text like `PT30S` or an object like `{seconds: 30}`".to_owned()),
    }
}

fn from_iso(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is not an ISO 8601 duration such as `PT30S` or `P1DT12H`");
    if !text.starts_with('P') {
        return Err(wrong());
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("`{text}` has years or months, whose length depends on the date; write days"));
    }
    if span.is_negative() {
        return Err(format!("`{text}` is negative"));
    }
    let days = i128::from(span.get_weeks()) * 7 + i128::from(span.get_days());
    let milliseconds = days * 86_400_000
        + i128::from(span.get_hours()) * 3_600_000
        + i128::from(span.get_minutes()) * 60_000
        + i128::from(span.get_seconds()) * 1_000
        + i128::from(span.get_milliseconds())
        + i128::from(span.get_microseconds()) / 1_000
        + i128::from(span.get_nanoseconds()) / 1_000_000;
    bounded(milliseconds)
}

fn bounded(milliseconds: i128) -> Result<SignedDuration, String> {
    i64::try_from(milliseconds)
        .ok()
        .map(SignedDuration::from_millis)
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| "a duration is at most ten years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_both_forms() {
        for (value, milliseconds) in [
            (json!("PT30S"), 30_000),
            (json!("PT0.250S"), 250),
            (json!("P1DT12H"), 129_600_000),
            (json!("P1W"), 604_800_000),
            (json!({"seconds": 30}), 30_000),
            (json!({"days": 1, "hours": 2, "minutes": 3, "seconds": 4, "milliseconds": 5}), 93_784_005),
            (json!({"seconds": 0}), 0),
        ] {
            assert_eq!(from_value(&value), Ok(SignedDuration::from_millis(milliseconds)), "{value}");
        }
    }

    #[test]
    fn refuses_what_has_no_length() {
        for value in [
            json!("P1M"),
            json!("30s"),
            json!("-PT1S"),
            json!(""),
            json!({}),
            json!({"second": 1}),
            json!({"seconds": -1}),
            json!({"seconds": 1.5}),
            json!({"days": u64::MAX}),
            json!({"days": 4000}),
            json!(30),
        ] {
            assert!(from_value(&value).is_err(), "{value}");
        }
    }
}
