//! The `errors` section, and the rules of single operations.

use flow::yaml;

use super::reader::{At, Reader};
use crate::answer::{Errors, Outcome, Rule, Statuses};

pub(super) fn section(reader: &mut Reader<'_>, at: &At<'_>) -> Errors {
    let fields = reader.fields(at, "`errors`", &["success", "code", "detail", "scope", "rules"]);
    let success = fields.get("success").and_then(|at| reader.conditions(&at).into_iter().next());
    let code = fields.get("code").map(|at| reader.paths(&at)).unwrap_or_default();
    let detail = fields.get("detail").map(|at| reader.paths(&at)).unwrap_or_default();
    let rules = reader.required(&fields, "rules").map(|at| rules(reader, &at)).unwrap_or_default();
    let scope = fields.get("scope").map(|at| reader.paths(&at)).unwrap_or_default();
    Errors { success, code, detail, scope, rules }
}

pub(super) fn rules(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<Rule> {
    if !matches!(at.node.kind, yaml::Kind::List(_)) {
        reader.mistyped(at, "a list of rules");
    }
    at.items().iter().map(|item| rule(reader, item)).collect()
}

fn rule(reader: &mut Reader<'_>, at: &At<'_>) -> Rule {
    let fields = reader.fields(at, "an error rule", &["status", "at", "is", "says", "class", "unknown"]);
    let statuses = fields.get("status").map(|at| statuses(reader, &at)).unwrap_or_default();
    let member = reader.optional_path(&fields, "at");
    let values = fields.get("is").map(|at| match at.node.to_value() {
        serde_json::Value::Array(values) => values,
        value => vec![value],
    });
    let member = match (member, values) {
        (Some(path), Some(values)) => Some((path, values)),
        (None, None) => None,
        _ => {
            reader.problem(at, "manifest_missing", "`at` and `is` go together");
            None
        }
    };
    let says = fields.get("says").map(|at| reader.texts(&at)).unwrap_or_default();
    let class = reader.required(&fields, "class");
    let class = class.and_then(|at| reader.choice(&at, "a class", &Outcome::NAMES)).unwrap_or_default();
    let unknown = fields.get("unknown").map(|_| reader.flag(&fields, "unknown", false));
    Rule { statuses, at: member, says: says.iter().map(|text| text.to_lowercase()).collect(), class, unknown }
}

fn statuses(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<Statuses> {
    let items = if matches!(at.node.kind, yaml::Kind::List(_)) { at.items() } else { vec![at.clone()] };
    let mut out = Vec::new();
    for item in &items {
        let read = match &item.node.kind {
            yaml::Kind::Number(number) => number
                .as_u64()
                .filter(|code| (100..600).contains(code))
                .map(|code| Statuses::One(code as u16)),
            yaml::Kind::String(text) => match text.as_bytes() {
                [digit @ b'1'..=b'5', b'x', b'x'] => Some(Statuses::Hundred(u16::from(digit - b'0'))),
                _ => None,
            },
            _ => None,
        };
        match read {
            Some(statuses) => out.push(statuses),
            None => reader.problem(item, "manifest_type", "a status is 100 to 599, or `4xx`"),
        }
    }
    out
}
