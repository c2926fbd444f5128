//! What editors and people read of the language and the installed connectors: a JSON Schema of flows, so that editors
//! complete operations and their arguments; one of manifests; and a page of reference for each connector.
//!
//! The language's own part is `describe/language.yaml`; the operations are put in from the manifests.

mod page;

use flow::Diagnostic;
use serde_json::{Map, Value, json};

use crate::Catalog;
use crate::lint::BUILT_IN;
use crate::manifest::{Manifest, Operation};
pub use page::page;

const LANGUAGE: &str = include_str!("describe/language.yaml");
const MANIFEST: &str = include_str!("describe/manifest.yaml");
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
            let schema = arguments_of(manifest, operation, &mut parts);
            parts.insert(name.to_owned(), schema);
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

/// The JSON Schema (draft 2020-12) of connector manifests.
pub fn manifests() -> Result<Value, Vec<Diagnostic>> {
    Ok(flow::yaml::parse("manifest.yaml", MANIFEST)?.to_value())
}

/// The arguments of an operation. What has no words of its own shares the definition of its types with its like, which
/// is put into `parts`.
fn arguments_of(manifest: &Manifest, operation: &Operation, parts: &mut Map<String, Value>) -> Value {
    let mut schema = operation.input_schema();
    let expression = json!({"$ref": "#/$defs/expression"});
    if let Some(properties) = schema["properties"].as_object_mut() {
        for property in properties.values_mut() {
            if property.get("description").is_none() {
                let name = kinds_of(property);
                let shared = json!({"anyOf": [property.take(), {"type": "null"}, expression]});
                *property = json!({"$ref": format!("#/$defs/{name}")});
                parts.insert(name, shared);
                continue;
            }
            let description = property["description"].take();
            if let Some(property) = property.as_object_mut() {
                property.shift_remove("description");
            }
            *property =
                json!({"description": description, "anyOf": [property.take(), {"type": "null"}, expression]});
        }
        let connection = format!("The connection, by name; `{}` without it.", manifest.slug);
        let brief = !manifest.describes(operation);
        let mut add = |name: &str, value: Value| {
            if !properties.contains_key(name) {
                properties.insert(name.to_owned(), value);
            }
        };
        add(
            "connection",
            if brief {
                json!({"type": "string"})
            } else {
                json!({"description": connection, "type": "string"})
            },
        );
        let views: Vec<&str> = manifest.views_of(operation).collect();
        if !views.is_empty() {
            let description = "The shape of what it answers, the same for all versions of the vendor.";
            add("view", json!({"description": description, "anyOf": [{"enum": views}, expression]}));
        }
        if operation.paginated() {
            let description =
                "All pages, only one, or one after the other while `for` or `data.map` goes over them.";
            let ways = json!({"enum": ["all", "first", "stream"]});
            add("page", json!({"description": description, "anyOf": [ways, expression]}));
            let description = "Where to begin: the `next` of the page before.";
            add("cursor", json!({"description": description, "type": "string"}));
        }
    }
    schema["description"] = operation.summary.as_str().into();
    schema
}

/// `array_or_string`: the types of a schema that says nothing else.
fn kinds_of(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) => format!("any_{kind}"),
        Value::Array(kinds) => {
            format!("any_{}", kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("_or_"))
        }
        _ => "anything".to_owned(),
    }
}
