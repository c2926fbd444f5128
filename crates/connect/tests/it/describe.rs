//! What is generated of the language and the connectors: fresh, and true of every flow that there is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use connect::Catalog;
use flow::Document;
use flow::schema::Schema;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generated() -> Vec<(PathBuf, String)> {
    let catalog = Catalog::embedded();
    let pretty = |schema: Value| serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let mut files = vec![
        (root().join("schemas/flow.json"), pretty(connect::describe::schema(&catalog).unwrap())),
        (root().join("schemas/connector.json"), pretty(connect::describe::manifests().unwrap())),
    ];
    let pages = root().join("docs/reference/connectors");
    files.extend(
        catalog
            .manifests()
            .map(|manifest| (pages.join(format!("{}.md", manifest.slug)), connect::describe::page(manifest))),
    );
    files
}

/// `cargo xtask gen` has it write what is not there.
#[test]
fn what_is_generated_is_what_is_there() {
    let writes = std::env::var_os("TRIBUTARY_GEN").is_some();
    for (path, text) in generated() {
        if writes {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is not what the code says: `cargo xtask gen` writes it", path.display());
    }
}

/// Every flow of the templates, the scenarios and the documents, with whether the language takes it.
fn flows() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["templates", "conformance", "docs/reference", "docs/guide"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            match path.extension().and_then(|ending| ending.to_str()) {
                // What lies beside a flow to test it is none.
                Some("yaml") if name.ends_with(".test.yaml") => {}
                Some("yaml") => found.push((name, text)),
                Some("feature") => found.extend(between(&name, &text, "\"\"\"yaml", "\"\"\"")),
                Some("md") => found.extend(between(&name, &text, "```yaml", "```")),
                _ => {}
            }
        }
    }
    found
}

/// The texts between two lines.
fn between(name: &str, text: &str, from: &str, until: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == from => open = Some(Vec::new()),
            Some(lines) if line.trim() == until => {
                let name = format!("{name}:{}", number + 1 - lines.len());
                found.push((name, lines.join("\n")));
                open = None;
            }
            Some(lines) => lines.push(line),
            None => {}
        }
    }
    found
}

fn value(text: &str) -> Option<Value> {
    flow::yaml::parse("text", text).ok().map(|node| node.to_value())
}

fn schema() -> Schema {
    let schema = connect::describe::schema(&Catalog::embedded()).unwrap();
    Schema::compile(&schema).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

/// Operations that only the kit has.
fn is_kits(catalog: &Catalog, document: &Document) -> bool {
    document.calls().iter().any(|call| {
        catalog.operation(&call.operation).is_none()
            && !connect::lint::BUILT_IN.contains(&call.operation.as_str())
    })
}

/// What the language takes, the schema takes.
#[test]
fn the_schema_is_true_of_every_flow() {
    let (schema, catalog) = (schema(), Catalog::embedded());
    let mut checked = 0;
    for (name, text) in flows() {
        let Ok(document) = Document::parse(&name, &text) else { continue };
        if is_kits(&catalog, &document) {
            continue;
        }
        let said = schema.check(&value(&text).unwrap());
        assert!(said.is_ok(), "{name}: {said:?}\n{text}");
        checked += 1;
    }
    assert!(checked > 30, "only {checked} flows");
}

/// Each mapping of a manifest with one member more, which none of them knows.
fn with_one_more(value: &Value) -> Vec<Value> {
    let inside: Vec<(Value, Vec<Value>)> = match value {
        Value::Object(map) => {
            map.iter().map(|(name, inner)| (name.as_str().into(), with_one_more(inner))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, inner)| (index.into(), with_one_more(inner))).collect()
        }
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    if let Value::Object(map) = value {
        let mut map = map.clone();
        map.insert("x_unknown".to_owned(), 1.into());
        found.push(Value::Object(map));
    }
    for (at, changed) in inside {
        for inner in changed {
            let mut whole = value.clone();
            match &at {
                Value::String(name) => whole[name.as_str()] = inner,
                at => whole[usize::try_from(at.as_u64().unwrap()).unwrap()] = inner,
            }
            found.push(whole);
        }
    }
    found
}

/// The schema of manifests and their reader take the same, as far as a schema can.
#[test]
fn manifests_have_the_schema_that_is_told() {
    let schema = connect::describe::manifests().unwrap();
    let schema = Schema::compile(&schema).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let skeleton = root().join("crates/tributary/src/cli/connector/new.yaml");
    let mut texts =
        vec![crate::lint::SOUND.to_owned(), crate::lint::with_steps(), fs::read_to_string(skeleton).unwrap()];
    for source in Catalog::embedded().sources() {
        let first = source.text.split("\n---\n").next().unwrap();
        let said = schema.check(&value(first).unwrap());
        assert!(said.is_ok(), "{}: {said:?}", source.file);
        if first.len() < 20_000 {
            texts.push(first.to_owned());
        }
    }
    let mut refused = 0;
    for text in texts {
        let sound = value(&text).unwrap();
        assert!(schema.check(&sound).is_ok(), "{:?}", schema.check(&sound));
        for changed in with_one_more(&sound) {
            let read = connect::Manifest::parse("m.yaml", &changed.to_string());
            let told = schema.check(&changed);
            let unknown = |problem: &flow::Diagnostic| problem.message.contains("is not part of");
            if read.as_ref().is_err_and(|problems| problems.iter().any(unknown)) {
                assert!(told.is_err(), "the schema takes {changed}");
                refused += 1;
            }
            assert!(
                told.is_ok() || read.is_err(),
                "the reader takes what the schema refuses ({told:?}): {changed}"
            );
        }
    }
    assert!(refused > 50, "only {refused} changes were refused");
}

/// Every YAML block of the documents that is a flow, and every template, has no mistakes.
#[test]
fn flows_of_the_documents_are_without_mistakes() {
    let mut catalog = Catalog::embedded();
    catalog.allow(flow::Program::Shell);
    let mut checked = 0;
    for (name, text) in flows().into_iter().filter(|(name, _)| !name.contains(".feature")) {
        if value(&text).is_none_or(|value| value.get("do").is_some()) {
            let wrong = connect::lint::check(&catalog, &name, &text);
            assert!(wrong.is_empty(), "{wrong:#?}");
            checked += 1;
        }
    }
    assert!(checked >= 4, "only {checked} flows");
}

#[test]
fn the_schema_refuses_what_lint_refuses() {
    let (schema, catalog) = (schema(), Catalog::embedded());
    let flow = |tasks: &str| {
        format!("document: {{dsl: '1.0.3', namespace: n, name: n, version: '1.0.0'}}\ndo:\n{tasks}\n")
    };
    let call = |with: &str| flow(&format!("- a: {{call: slack.messages.post, with: {with}}}"));
    let good = call("{connection: team, channel: '#x', text: '${ .text }'}");
    assert!(schema.check(&value(&good).unwrap()).is_ok());
    for text in [
        flow("- a: {cal: slack.messages.post}"),
        flow("- a: {call: slack.mesages.post, with: {channel: x, text: y}}"),
        flow("- a: {set: {x: 1}, wait: PT1S}"),
        flow("- a: {with: {x: 1}}"),
        flow("- a: {wait: 5 minutes}"),
        flow("- a: {for: {each: x}, do: [{b: {set: {x: 1}}}]}"),
        flow("- a: {call: data.map, with: {items: .x, call: slack.messages.post, with: {chanel: x}}}"),
        flow("- a: {call: http, with: {method: get}}"),
        flow("  []"),
        flow("- a: {call: stripe.customers.retrieve}"),
        call("{channel: '#x', text: a, txet: b}"),
        call("{channel: '#x', text: [1]}"),
        good.replace("do:", "dos:"),
        good.replace("'1.0.3'", "'2.0.0'"),
    ] {
        assert!(!connect::lint::check(&catalog, "f", &text).is_empty(), "lint takes {text}");
        assert!(schema.check(&value(&text).unwrap()).is_err(), "the schema takes {text}");
    }
}

/// A mistake in the language hides none in what is called.
#[test]
fn everything_is_told_at_once() {
    let catalog = Catalog::embedded();
    let text = "document: {dsl: '1.0.3', namespace: n, name: n, version: '1.0.0'}
do:
- a: {call: slack.mesages.post, with: {channel: x, text: y}, then: b}
- never: {set: {zip: 0123}, thn: end}
- b: {call: slack.messages.post, with: {channel: 5, txt: y}}
- c: {call: revenue.mirror.plam}
- d: {call: stripe.customers.list, with: {view: billling}}
- e: {call: stripe.customers.retrieve}
";
    let found = connect::lint::check(&catalog, "f.yaml", text);
    let told: Vec<String> =
        found.iter().map(|one| format!("{}:{} {} {}", one.line, one.column, one.code, one.path)).collect();
    assert_eq!(
        told,
        [
            "3:13 operation_unknown /do/0/a",
            "4:3 unreachable_task /do/1/never",
            "4:22 yaml_trap /do/1/never/set/zip",
            "4:29 unknown_field /do/1/never/thn",
            "5:41 argument_type /do/2/b/with/channel",
            "5:53 argument_unknown /do/2/b/with/txt",
            "6:13 operation_unknown /do/3/c",
            "7:43 view_unknown /do/4/d/with/view",
            "8:13 argument_missing /do/5/e/with",
        ]
    );
    let near = |code: &str| found.iter().find(|one| one.code == code).unwrap().suggestion.clone();
    assert_eq!(near("argument_unknown").as_deref(), Some("text"));
    assert_eq!(near("view_unknown").as_deref(), Some("billing"));
}
