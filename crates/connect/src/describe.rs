//! What editors and people read of the language and the installed connectors: a JSON Schema of flows, so that editors
//! complete operations and their arguments, and a page of reference.
//!
//! The language's own part is `describe/language.yaml`; the operations are put in from the manifests.

use std::fmt::Write as _;

use flow::Diagnostic;
use serde_json::{Map, Value, json};

use crate::lint::BUILT_IN;
use crate::manifest::{Idempotency, Manifest, Operation, Param};
use crate::{Catalog, Effects};

const LANGUAGE: &str = include_str!("describe/language.yaml");
/// What the language itself calls, and the name of its arguments in `language.yaml`.
const OWN: [(&str, &str); 3] = [("http", "http"), ("openapi", "openapi"), ("data.map", "map")];

/// The JSON Schema (draft 2020-12) of flows that call the installed connectors.
pub fn schema(catalog: &Catalog) -> Result<Value, Vec<Diagnostic>> {
    let mut schema = flow::yaml::parse("language.yaml", LANGUAGE)?.to_value();
    let mut names = vec![];
    let mut arguments = vec![];
    for (name, part) in OWN {
        names.push(json!({"const": name}));
        arguments.push(only_for(name, part, true));
    }
    names.extend(BUILT_IN.iter().map(|name| json!({"const": name})));
    let mut parts = Map::new();
    for manifest in catalog.manifests() {
        for operation in manifest.operations() {
            let name = operation.name.as_str();
            names.push(json!({"const": name, "description": operation.summary}));
            let needed = operation.params.iter().any(|param| param.required);
            arguments.push(only_for(name, name, needed));
            parts.insert(name.to_owned(), arguments_of(manifest, operation));
        }
    }
    // A function of the flow has no dot in its name; `:1@default` names the catalog that is meant anyway.
    let others =
        [json!({"type": "string", "pattern": "^[^.:@]+$"}), json!({"type": "string", "pattern": ":[^:]*$"})];
    names.extend(others);
    let defs = &mut schema["$defs"];
    defs["operation"] = json!({"description": "An operation or a function.", "anyOf": names});
    defs["called"] = json!({"allOf": arguments});
    if let Some(defs) = defs.as_object_mut() {
        defs.extend(parts);
    }
    Ok(schema)
}

/// Where `call` is this one, `with` is that part of the schema.
fn only_for(name: &str, part: &str, needed: bool) -> Value {
    let mut then = json!({"properties": {"with": {"$ref": format!("#/$defs/{part}")}}});
    if needed {
        then["required"] = json!(["with"]);
    }
    json!({"if": {"required": ["call"], "properties": {"call": {"const": name}}}, "then": then})
}

fn arguments_of(manifest: &Manifest, operation: &Operation) -> Value {
    let mut schema = operation.input_schema();
    let expression = json!({"$ref": "#/$defs/expression"});
    if let Some(properties) = schema["properties"].as_object_mut() {
        for property in properties.values_mut() {
            let description = property["description"].take();
            if let Some(property) = property.as_object_mut() {
                property.shift_remove("description");
            }
            *property =
                json!({"description": description, "anyOf": [property.take(), {"type": "null"}, expression]});
        }
        let connection = format!("The connection, by name; `{}` without it.", manifest.slug);
        let mut add = |name: &str, value: Value| {
            if !properties.contains_key(name) {
                properties.insert(name.to_owned(), value);
            }
        };
        add("connection", json!({"description": connection, "type": "string"}));
        let views: Vec<&str> = manifest.views_of(operation).collect();
        if !views.is_empty() {
            let description = "The shape of what it answers, the same for all versions of the vendor.";
            add("view", json!({"description": description, "anyOf": [{"enum": views}, expression]}));
        }
        if operation.paginated() {
            let description = "All pages, or only the first.";
            add(
                "page",
                json!({"description": description, "anyOf": [{"enum": ["all", "first"]}, expression]}),
            );
        }
    }
    schema["description"] = operation.summary.as_str().into();
    schema
}

/// All operations of the installed connectors, as a page.
pub fn reference(catalog: &Catalog) -> String {
    let mut page = String::from(
        "# Operations\n\nGenerated from the connectors' manifests by `cargo xtask gen`. An operation is called by its name, with its arguments and a connection; \
         an argument in **bold** must be given.\n",
    );
    for manifest in catalog.manifests() {
        line(&mut page, format_args!("\n## {}\n\n{}\n", manifest.title, manifest.summary));
        for operation in manifest.operations() {
            describe(&mut page, manifest, operation);
        }
    }
    page
}

fn describe(page: &mut String, manifest: &Manifest, operation: &Operation) {
    line(page, format_args!("### `{}`\n", operation.name));
    let again = match (&operation.effects, &operation.idempotency) {
        (Effects::Read, _) => "reads",
        (_, Idempotency::Header { .. }) => "writes; repeated under the vendor's key",
        (_, Idempotency::NaturalKey(_)) => "writes; repeated by the record's own key",
        (_, Idempotency::Lookup(_)) => "writes; looked up before it is repeated",
        (_, Idempotency::Repeatable) => "writes; may be repeated",
        (Effects::Destructive, Idempotency::None) => "writes what cannot be taken back; never repeated",
        (_, Idempotency::None) => "writes, at least once",
    };
    let mut notes = vec![again.to_owned()];
    if operation.paginated() {
        notes.push("all pages, or `page: first`".to_owned());
    }
    let views: Vec<String> = manifest.views_of(operation).map(|view| format!("`{view}`")).collect();
    if !views.is_empty() {
        notes.push(format!("views: {}", views.join(", ")));
    }
    line(page, format_args!("{}. *{}*\n", operation.summary.trim_end_matches('.'), notes.join(" · ")));
    if operation.params.is_empty() {
        return;
    }
    line(page, format_args!("| argument | is | |\n|---|---|---|"));
    for param in &operation.params {
        let name = if param.required { format!("**`{}`**", param.name) } else { format!("`{}`", param.name) };
        line(page, format_args!("| {name} | {} | {} |", kind_of(param), cell(&param.description)));
    }
    page.push('\n');
}

fn kind_of(param: &Param) -> String {
    if !param.choices.is_empty() {
        let choices: Vec<String> = param.choices.iter().map(|choice| format!("`{choice}`")).collect();
        return choices.join(", ");
    }
    let kinds: Vec<&str> = param.kinds.iter().filter_map(|kind| kind.json_name()).collect();
    if kinds.is_empty() { "anything".to_owned() } else { kinds.join(" or ") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    page.write_fmt(text).ok();
    page.push('\n');
}
