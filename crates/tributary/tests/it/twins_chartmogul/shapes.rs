//! Every recorded answer of the real API beside the twin's answer to the same kind of request: same status, every
//! recorded key, same JSON types; null goes with any type. The twin may show more only where a list says so.
//!
//! The recordings lie outside the project: `TRIBUTARY_RECORDINGS`, or `../shared/recordings` beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::world::World;

/// Recorded kinds that the twin does not offer.
const NOT_OFFERED: [&str; 1] = ["/activities_export"];

/// Keys the twin shows although a recording of that kind lacks them: the API came to show them later (newer
/// recordings or the official clients' own tests have them), or shows them only where they are set.
const MAY_BE_MORE: [&str; 12] = [
    "balance_transfer",
    "disabled",
    "disabled_at",
    "disabled_by",
    "external_id",
    "percentage-change",
    "status",
    "subscription-set-external-id",
    "subscription_set_external_id",
    "system",
    "tags",
    "website_url",
];

/// Objects whose keys are the account's own.
const OPEN: [&str; 3] = ["custom", "stripe", "clearbit"];

struct Recorded {
    source: String,
    method: String,
    target: String,
    body: Value,
    status: u16,
    answer: String,
}

fn recordings() -> Option<Vec<Recorded>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recordings");
    let folder =
        std::env::var_os("TRIBUTARY_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let file = folder.join("chartmogul.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("no recordings at {}: shapes are not compared (set TRIBUTARY_RECORDINGS)", file.display());
        return None;
    };
    let read = |line: &str| {
        let one: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&one["request"]["url"]);
        Recorded {
            source: text(&one["source"]),
            method: text(&one["request"]["method"]),
            target: url.trim_start_matches("https://api.chartmogul.com/v1").to_owned(),
            body: serde_json::from_str(&text(&one["request"]["body"])).unwrap_or(Value::Null),
            status: u16::try_from(one["response"]["status"].as_u64().unwrap()).unwrap(),
            answer: text(&one["response"]["body"]),
        }
    };
    Some(text.lines().map(read).collect())
}

/// Recorded uuids become the world's: the first of a kind its first, and so on.
struct Names<'a> {
    world: &'a World,
    known: BTreeMap<String, String>,
    used: BTreeMap<&'static str, usize>,
}

impl Names<'_> {
    fn of(&mut self, kind: &'static str, recorded: &str) -> String {
        if let Some(known) = self.known.get(recorded) {
            return known.clone();
        }
        let index = self.used.entry(kind).or_default();
        let uuid = self.world.uuid(kind, *index).to_owned();
        *index += 1;
        self.known.insert(recorded.to_owned(), uuid.clone());
        uuid
    }

    /// A path segment or a value, if it is a uuid with a prefix.
    fn prefixed(&mut self, text: &str) -> Option<String> {
        let (prefix, rest) = text.split_once('_')?;
        if rest.len() != 36 {
            return None;
        }
        let kind =
            ["cus", "inv", "pl", "plg", "ds", "con", "note"].into_iter().find(|kind| *kind == prefix)?;
        Some(self.of(kind, text))
    }

    fn path(&mut self, path: &str) -> String {
        let mut previous = "";
        let mut segments = Vec::new();
        for segment in path.split('/') {
            let bare = ["opportunities", "tasks"].into_iter().find(|kind| *kind == previous);
            let named = match bare {
                Some(kind) => Some(self.of(kind, segment)),
                None => self.prefixed(segment),
            };
            segments.push(named.unwrap_or_else(|| segment.to_owned()));
            previous = segment;
        }
        segments.join("/")
    }

    fn body(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.prefixed(text).unwrap_or_else(|| text.clone())),
            Value::Array(rows) => rows.iter().map(|row| self.body(row)).collect(),
            Value::Object(map) => {
                let members = map.iter().map(|(key, value)| (key.clone(), self.body(value)));
                Value::Object(members.collect::<Map<String, Value>>())
            }
            other => other.clone(),
        }
    }
}

/// Asks the world what was asked when this was recorded.
fn ask(world: &World, recorded: &Recorded) -> (u16, Vec<u8>) {
    let mut names = Names { world, known: BTreeMap::new(), used: BTreeMap::new() };
    let (path, query) = recorded.target.split_once('?').unwrap_or((&recorded.target, ""));
    let path = names.path(path);
    let mut pairs = Vec::new();
    let mut paged = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "cursor" => paged = true,
            _ => pairs.push(format!("{key}={}", names.prefixed(value).unwrap_or_else(|| value.to_owned()))),
        }
    }
    let mut target = if pairs.is_empty() { path.clone() } else { format!("{path}?{}", pairs.join("&")) };
    if paged {
        let cursor = world.get(&target)["cursor"].as_str().unwrap().replace('=', "%3D");
        target = format!("{target}&cursor={cursor}");
    }
    let mut body = names.body(&recorded.body);
    if path == "/customers/unmerges" {
        let merged = json!({"from": {"customer_uuid": world.uuid("cus", 1)}, "into": {"customer_uuid": world.uuid("cus", 0)}});
        world.write("POST", "/customers/merges", &merged);
        body["data_source_uuid"] = json!(world.uuid("ds", 1));
        body["external_id"] = json!("cus_002");
    }
    if path == "/plan_groups" && recorded.status == 422 {
        body = json!({});
    }
    let body = Some(&body).filter(|body| recorded.method != "GET" && !body.is_null());
    let response = world.ask(&recorded.method, &target, body, recorded.status != 401);
    (response.status, response.body.to_vec())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Adds what differs to `found`.
fn compare(real: &Value, ours: &Value, at: &str, found: &mut Vec<String>) {
    match (real, ours) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(real), Value::Object(ours)) => {
            let open = OPEN.iter().any(|key| at.ends_with(&format!("/{key}")));
            for (key, value) in real.iter().filter(|_| !open) {
                match ours.get(key) {
                    Some(mine) => compare(value, mine, &format!("{at}/{key}"), found),
                    None => found.push(format!("{at}/{key} is missing")),
                }
            }
            for key in ours.keys().filter(|key| !open && !real.contains_key(*key)) {
                if !MAY_BE_MORE.contains(&key.as_str()) {
                    found.push(format!("{at}/{key} is not in the recorded answer"));
                }
            }
        }
        (Value::Array(real), Value::Array(ours)) => {
            if ours.is_empty() && !real.is_empty() {
                let rows_missing = !at.ends_with("/tags") && !at.ends_with("/transactions");
                found.extend(rows_missing.then(|| format!("{at} is empty")));
            }
            for (index, mine) in ours.iter().enumerate() {
                // Lines and activities of several types have several shapes.
                let same_type = real.iter().find(|row| row["type"] == mine["type"]);
                let line = at.ends_with("/line_items");
                if let Some(row) = same_type.or_else(|| real.first().filter(|_| !line)) {
                    compare(row, mine, &format!("{at}/{index}"), found);
                }
            }
        }
        _ if kind(real) == kind(ours) => {}
        _ => found.push(format!("{at} is a {} and not a {}", kind(ours), kind(real))),
    }
}

#[test]
fn answers_have_the_shape_of_recorded_ones() {
    let Some(recordings) = recordings() else { return };
    let (mut compared, mut found) = (0, Vec::new());
    for recorded in &recordings {
        // A 500 or 504 says nothing about a twin: its faults are injected.
        if recorded.status >= 500 || NOT_OFFERED.iter().any(|path| recorded.target.starts_with(path)) {
            continue;
        }
        compared += 1;
        let what = format!("{} {} ({})", recorded.method, recorded.target, recorded.source);
        let (status, body) = ask(&World::new(), recorded);
        if status != recorded.status {
            found.push(format!(
                "{what}: {status} and not {}: {}",
                recorded.status,
                String::from_utf8_lossy(&body)
            ));
            continue;
        }
        let parse = |text: &[u8]| serde_json::from_slice(text).unwrap_or(Value::Null);
        let mut differences = Vec::new();
        let (real, ours): (Value, Value) = (parse(recorded.answer.as_bytes()), parse(&body));
        if real.is_null() != ours.is_null() {
            differences.push("one of both has no body".to_owned());
        }
        compare(&real, &ours, "", &mut differences);
        found.extend(differences.into_iter().map(|difference| format!("{what}: {difference}")));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    assert!(compared > 100, "only {compared} recordings were compared");
}
