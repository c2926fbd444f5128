//! What a deployment changes: the document line by line, settings and connections by name.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use similar::TextDiff;
use store::{Flow, NewFlow};

/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// A revision, or what would be one, as far as differences go.
pub struct Side<'a> {
    /// What stands in the head of the difference: `revision 3`.
    pub label: String,
    pub version: &'a str,
    pub text: &'a str,
    pub settings: &'a Value,
    pub connections: Value,
}

impl<'a> Side<'a> {
    pub fn revision(flow: &'a Flow) -> Side<'a> {
        Side {
            label: format!("revision {}", flow.revision),
            version: &flow.version,
            text: &flow.text,
            settings: &flow.settings,
            connections: json!(flow.connections),
        }
    }

    pub fn new(flow: &'a NewFlow) -> Side<'a> {
        Side {
            label: "new".to_owned(),
            version: &flow.version,
            text: &flow.text,
            settings: &flow.settings,
            connections: json!(flow.connections),
        }
    }
}

/// `{version, text, settings, connections}`: the text as a unified difference, the rest as `{before, after}`; null
/// what stays.
pub fn between(before: &Side<'_>, after: &Side<'_>) -> Value {
    let text = (before.text != after.text).then(|| {
        TextDiff::from_lines(before.text, after.text)
            .unified_diff()
            .context_radius(CONTEXT_LINES)
            .header(&before.label, &after.label)
            .to_string()
    });
    let version =
        (before.version != after.version).then(|| json!({"before": before.version, "after": after.version}));
    json!({
        "version": version,
        "text": text,
        "settings": members(before.settings, after.settings),
        "connections": members(&before.connections, &after.connections),
    })
}

/// The members that differ, by name.
fn members(before: &Value, after: &Value) -> Option<Map<String, Value>> {
    let names = |value: &Value| value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
    let (mut all, others): (BTreeSet<String>, BTreeSet<String>) = (names(before), names(after));
    all.extend(others);
    let mut differing = Map::new();
    for name in all {
        let (old, new) = (before.get(&name), after.get(&name));
        if old != new {
            differing.insert(name, json!({"before": old, "after": new}));
        }
    }
    (!differing.is_empty()).then_some(differing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side<'a>(label: &str, text: &'a str, settings: &'a Value, connections: Value) -> Side<'a> {
        Side { label: label.to_owned(), version: "1.0.0", text, settings, connections }
    }

    #[test]
    fn only_what_differs_is_told() {
        let (one, two) =
            (json!({"channel": "#a", "currency": "EUR"}), json!({"channel": "#b", "currency": "EUR"}));
        let before = side("revision 1", "a\nb\nc\n", &one, json!({"chat": "chat"}));
        let after = side("new", "a\nB\nc\n", &two, json!({"chat": "chat-eu", "desk": "desk"}));
        let told = between(&before, &after);
        assert_eq!(told["text"], "--- revision 1\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!(told["version"], Value::Null);
        assert_eq!(told["settings"], json!({"channel": {"before": "#a", "after": "#b"}}));
        let connections = json!({
            "chat": {"before": "chat", "after": "chat-eu"},
            "desk": {"before": null, "after": "desk"},
        });
        assert_eq!(told["connections"], connections);
        let same = between(&before, &side("new", "a\nb\nc\n", &one, json!({"chat": "chat"})));
        assert!(same.as_object().unwrap().values().all(Value::is_null), "{same}");
    }
}
