//! Which property of the language which scenario exercises.
//!
//! `properties.txt` lists the properties of the specification's JSON Schema by the object that they belong to, a line
//! each. A scenario exercises a property if it stands in its flow: to be run, or to be refused by name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::gherkin::Scenario;

/// Object, its property, and what that is: another object, or `tasks` (a list of named tasks), `named x` (a mapping
/// from names), `list x` (a list), `items x` (a list of named things).
const INSIDE: &[(&str, &str, &str)] = &[
    ("flow", "document", "document"),
    ("flow", "input", "input"),
    ("flow", "use", "use"),
    ("flow", "do", "items task"),
    ("flow", "timeout", "timeout"),
    ("flow", "output", "output"),
    ("flow", "schedule", "schedule"),
    ("schedule", "on", "listening"),
    ("schedule", "every", "duration"),
    ("schedule", "after", "duration"),
    ("use", "authentications", "named authentication"),
    ("use", "errors", "named error"),
    ("use", "extensions", "items extension"),
    ("use", "functions", "named task"),
    ("use", "retries", "named retry"),
    ("use", "timeouts", "named timeout"),
    ("use", "catalogs", "named catalog"),
    ("task", "input", "input"),
    ("task", "output", "output"),
    ("task", "export", "export"),
    ("task", "timeout", "timeout"),
    ("task", "do", "items task"),
    ("task", "fork", "fork"),
    ("task", "emit", "emit"),
    ("task", "for", "for"),
    ("task", "listen", "listen"),
    ("task", "foreach", "foreach"),
    ("task", "raise", "raise"),
    ("task", "run", "run"),
    ("task", "switch", "items case"),
    ("task", "try", "items task"),
    ("task", "catch", "catch"),
    ("task", "wait", "duration"),
    ("fork", "branches", "items task"),
    ("emit", "event", "emitted"),
    ("emitted", "with", "event"),
    ("listen", "to", "listening"),
    ("listening", "one", "filter"),
    ("listening", "any", "list filter"),
    ("listening", "all", "list filter"),
    ("filter", "with", "event"),
    ("filter", "correlate", "named correlation"),
    ("foreach", "do", "items task"),
    ("foreach", "output", "output"),
    ("foreach", "export", "export"),
    ("raise", "error", "error"),
    ("run", "script", "script"),
    ("run", "shell", "shell"),
    ("run", "container", "container"),
    ("run", "workflow", "subflow"),
    ("catch", "errors", "errors"),
    ("errors", "with", "errorFilter"),
    ("catch", "retry", "retry"),
    ("catch", "do", "items task"),
    ("retry", "delay", "duration"),
    ("retry", "backoff", "backoff"),
    ("retry", "limit", "limit"),
    ("retry", "jitter", "jitter"),
    ("limit", "attempt", "attempt"),
    ("limit", "duration", "duration"),
    ("attempt", "duration", "duration"),
    ("jitter", "from", "duration"),
    ("jitter", "to", "duration"),
    ("timeout", "after", "duration"),
    ("extension", "before", "items task"),
    ("extension", "after", "items task"),
    ("input", "schema", "schema"),
    ("output", "schema", "schema"),
    ("export", "schema", "schema"),
    ("schema", "resource", "resource"),
    ("resource", "endpoint", "endpoint"),
    ("http", "endpoint", "endpoint"),
    ("openapi", "document", "resource"),
    ("openapi", "authentication", "authentication"),
    ("endpoint", "authentication", "authentication"),
    ("authentication", "basic", "basic"),
    ("authentication", "bearer", "bearer"),
    ("authentication", "digest", "digest"),
    ("authentication", "oauth2", "oauth2"),
    ("authentication", "oidc", "oidc"),
];

/// Prints each property with its scenario; false if one has none, or a scenario uses one that is not listed.
pub fn report(file: &Path, scenarios: &[Scenario]) -> Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut met: BTreeMap<String, (&Scenario, bool)> = BTreeMap::new();
    for scenario in scenarios {
        let refused = scenario.steps.iter().any(|step| step.text.contains("should be refused"));
        for step in scenario.steps.iter().filter(|step| step.text.starts_with("a workflow with definition")) {
            let Some(Ok(node)) = step.document.as_deref().map(|text| flow::yaml::parse("flow", text)) else {
                continue;
            };
            let mut found = Vec::new();
            walk(&node.to_value(), "flow", &mut found);
            for property in found {
                let entry = met.entry(property).or_insert((scenario, refused));
                if entry.1 && !refused {
                    *entry = (scenario, refused);
                }
            }
        }
    }
    let mut complete = true;
    let mut count = 0;
    for property in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        count += 1;
        match met.remove(property) {
            Some((scenario, refused)) => {
                let how = if refused { "refused: " } else { "" };
                println!("{property:<28} {how}{}: {}", scenario.feature, scenario.name);
            }
            None => {
                complete = false;
                println!("{property:<28} NO SCENARIO");
            }
        }
    }
    for (property, (scenario, _)) in met {
        complete = false;
        println!("{property:<28} is not listed: {}: {}", scenario.feature, scenario.name);
    }
    println!("{count} properties{}", if complete { ", each with a scenario" } else { "" });
    Ok(complete)
}

fn walk(value: &Value, object: &str, found: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        found.push(format!("{object}.{name}"));
        let inside = match (object, name.as_str(), fields.get("call").and_then(Value::as_str)) {
            ("task", "with", Some(kind @ ("http" | "openapi"))) => Some(kind),
            _ => INSIDE
                .iter()
                .find(|(of, property, _)| *of == object && property == name)
                .map(|(.., inside)| *inside),
        };
        let Some(inside) = inside else { continue };
        match inside.split_once(' ') {
            Some(("named", inside)) => {
                field.as_object().into_iter().flatten().for_each(|(_, value)| walk(value, inside, found));
            }
            Some(("list", inside)) => {
                field.as_array().into_iter().flatten().for_each(|value| walk(value, inside, found));
            }
            Some((_, inside)) => {
                let items = field.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
                items.for_each(|(_, value)| walk(value, inside, found));
            }
            None => walk(field, inside, found),
        }
    }
}
