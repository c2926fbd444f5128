//! How two values differ.

use serde_json::Value;

/// One place where what was found is not what was expected.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// `output/customer/name`.
    pub path: String,
    /// `None`: nothing was expected there.
    pub expected: Option<Value>,
    /// `None`: nothing was found there.
    pub found: Option<Value>,
}

/// Whether a value has everything that is expected: of an object the fields that are given, anything else exactly. Null
/// expects nothing.
pub fn fits(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Null, _) => true,
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(name, value)| found.get(name).map_or(value.is_null(), |found| fits_exactly(value, found))),
        _ => fits_exactly(expected, found),
    }
}

fn fits_exactly(expected: &Value, found: &Value) -> bool {
    let mut differences = Vec::new();
    compare("", expected, found, true, &mut differences);
    differences.is_empty()
}

/// Adds every difference; with `partly`, an object may have more fields than are expected.
pub fn compare(path: &str, expected: &Value, found: &Value, partly: bool, differences: &mut Vec<Difference>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    match (expected, found) {
        (Value::Object(wanted), Value::Object(there)) => {
            for (name, value) in wanted {
                match there.get(name) {
                    Some(found) => compare(&below(name), value, found, partly, differences),
                    None => differences.push(lacking(below(name), value)),
                }
            }
            if !partly {
                for (name, value) in there.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                    differences.push(unexpected(below(name), value));
                }
            }
        }
        (Value::Array(wanted), Value::Array(there)) => {
            for index in 0..wanted.len().max(there.len()) {
                let path = below(&index.to_string());
                match (wanted.get(index), there.get(index)) {
                    (Some(value), Some(found)) => compare(&path, value, found, partly, differences),
                    (Some(value), None) => differences.push(lacking(path, value)),
                    (None, Some(found)) => differences.push(unexpected(path, found)),
                    (None, None) => {}
                }
            }
        }
        // 5 and 5.0 are one number.
        (Value::Number(wanted), Value::Number(there)) if wanted.as_f64() == there.as_f64() => {}
        _ if expected == found => {}
        _ => differences.push(Difference {
            path: path.to_owned(),
            expected: Some(expected.clone()),
            found: Some(found.clone()),
        }),
    }
}

/// What was expected and is not there.
pub fn lacking(path: String, expected: &Value) -> Difference {
    Difference { path, expected: Some(expected.clone()), found: None }
}

/// What is there and was not expected.
pub fn unexpected(path: String, found: &Value) -> Difference {
    Difference { path, expected: None, found: Some(found.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_told_by_their_place() {
        let paths = |expected: Value, found: Value, partly: bool| {
            let mut differences = Vec::new();
            compare("output", &expected, &found, partly, &mut differences);
            differences.into_iter().map(|difference| difference.path).collect::<Vec<_>>()
        };
        let found = json!({"a": [1, {"b": 2}], "c": 3.0, "d": null});
        assert_eq!(paths(json!({"a": [1, {"b": 2}], "c": 3, "d": null}), found.clone(), false), [""; 0]);
        assert_eq!(paths(json!({"a": [1]}), found.clone(), true), ["output/a/1"]);
        assert_eq!(
            paths(json!({"a": [1, {"b": 3}, 4], "e": 1}), found.clone(), false),
            ["output/a/1/b", "output/a/2", "output/e", "output/c", "output/d"]
        );
        assert_eq!(paths(json!("x"), found, true), ["output"]);
    }

    #[test]
    fn a_call_fits_by_the_arguments_that_are_given() {
        let call = json!({"connection": "crm", "filter": {"name": "n", "size": 1}, "tags": ["a"]});
        for (expected, holds) in [
            (json!(null), true),
            (json!({}), true),
            (json!({"filter": {"name": "n"}}), true),
            (json!({"filter": {"name": "m"}}), false),
            (json!({"tags": ["a"]}), true),
            (json!({"tags": ["a", "b"]}), false),
            (json!({"absent": null}), true),
            (json!({"absent": 1}), false),
        ] {
            assert_eq!(fits(&expected, &call), holds, "{expected}");
        }
    }
}
