//! What can be wrong with a flow beyond its language: calls of operations that no connector has, and arguments that the
//! operations do not take.

use flow::approval::Question;
use flow::schema::Schema;
use flow::{Argument, CallSite, Diagnostic, Document, EventSite};
use serde_json::{Map, Value};

use crate::Catalog;
use crate::manifest::{Manifest, Operation};
use crate::prepare::COMMON;

/// The operations that the engine performs itself.
pub const BUILT_IN: [&str; 1] = ["revenue.mirror.plan"];

/// Everything that is wrong with a text as a flow, at once and in its order.
pub fn check(catalog: &Catalog, file: &str, text: &str) -> Vec<Diagnostic> {
    let inspected = Document::inspect(file, text);
    let mut found = inspected.problems;
    found.extend(inspected.advice);
    found.extend(performable(catalog, file, &inspected.calls));
    found.extend(inspected.programs.iter().filter(|site| !catalog.allows(site.program)).map(|site| {
        let word = site.program.word();
        let message = format!(
            "`run: {word}` is not allowed here: the operator allows it by `tributary serve --allow-run {word}`, and lint then needs `--allow-run {word}` too"
        );
        at(file, (site.line, site.column), site.path.clone(), "program_refused", message, None)
    }));
    found.extend(inspected.events.iter().filter_map(|site| event(catalog, file, site)));
    let scripts = catalog.script_check().into_iter().flat_map(|check| {
        inspected.scripts.iter().filter_map(move |site| Some((site, check(&site.language, &site.code)?)))
    });
    found.extend(scripts.map(|(site, mistake)| {
        let place = site.place(mistake.line, mistake.column);
        at(file, place, site.path.clone(), "script_syntax", mistake.message, None)
    }));
    found.sort();
    found
}

/// Everything that speaks against deploying a document.
pub fn calls(catalog: &Catalog, file: &str, document: &Document) -> Vec<Diagnostic> {
    check(catalog, file, document.text())
}

/// A diagnostic for each call that nobody can perform as it is written.
fn performable(catalog: &Catalog, file: &str, calls: &[CallSite]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for call in calls {
        let set = call.operation.split('.').next().unwrap_or_default();
        if call.operation == flow::approval::OPERATION {
            approval(catalog, file, call, &mut found);
            continue;
        }
        if BUILT_IN.contains(&call.operation.as_str()) {
            continue;
        }
        match catalog.operation(&call.operation) {
            Some((manifest, operation)) => {
                arguments(file, call, &operation.input_schema(), &COMMON, &mut found);
                found.extend(half_written(file, call, operation));
                found.extend(view(file, call, manifest, operation));
                found.extend(pages(file, call, operation));
            }
            None => found.push(unknown(catalog, file, call, set)),
        }
    }
    found
}

/// A type of events that the vendor does not have, where its manifest lists those that there are.
fn event(catalog: &Catalog, file: &str, site: &EventSite) -> Option<Diagnostic> {
    let (slug, name) = site.r#type.split_once('.')?;
    let manifest = catalog.get(slug)?;
    let types = manifest.event_types();
    let family = name.strip_suffix('*');
    let there = |known: &&str| match family {
        Some(family) => known.starts_with(family),
        None => *known == name,
    };
    if types.is_empty() || types.iter().any(there) {
        return None;
    }
    let near = flow::nearest::nearest(name, types.iter().copied()).filter(|_| family.is_none());
    let message = match family {
        Some(family) => format!("{} has no events whose type begins with `{family}`", manifest.title),
        None => format!("{} has no events of type `{name}`", manifest.title),
    };
    let near = near.map(|near| format!("{slug}.{near}"));
    Some(at(file, (site.line, site.column), site.path.clone(), "event_type_unknown", message, near))
}

/// Members that an argument cannot have, where some of it is computed.
fn half_written(file: &str, call: &CallSite, operation: &Operation) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for argument in call.arguments.iter().filter(|argument| argument.value.is_none()) {
        let param = operation.params.iter().find(|param| param.name == argument.name);
        let Some(param) = param.filter(|param| !param.schema.is_null()) else { continue };
        let checked = Schema::compile(&param.schema).map(|schema| schema.check(&argument.written));
        if let Ok(Err(why)) = checked {
            let message = format!("`{}` of `{}`: {why}", argument.name, operation.name);
            let path = format!("{}/with/{}", call.path, argument.name);
            found.push(at(file, (argument.line, argument.column), path, "argument_type", message, None));
        }
    }
    found
}

/// A view that the vendor's manifest does not have.
fn view(file: &str, call: &CallSite, manifest: &Manifest, operation: &Operation) -> Option<Diagnostic> {
    // An operation's own argument of that name is what is meant.
    let own = operation.params.iter().any(|param| param.name == "view");
    let argument = call.arguments.iter().find(|argument| argument.name == "view" && !own)?;
    let name = argument.value.as_ref()?.as_str()?;
    if manifest.views_of(operation).any(|view| view == name) {
        return None;
    }
    let near = flow::nearest::nearest(name, manifest.views_of(operation)).map(str::to_owned);
    let message = format!("there is no view `{name}` of what `{}` answers", operation.name);
    let path = format!("{}/with/view", call.path);
    Some(at(file, (argument.line, argument.column), path, "view_unknown", message, near))
}

/// Pages of what has none, and ways to read them that there are not.
fn pages(file: &str, call: &CallSite, operation: &Operation) -> Vec<Diagnostic> {
    let own = |name: &str| operation.params.iter().any(|param| param.name == name);
    let meant = |name: &&str| !own(name);
    let mut found = Vec::new();
    for name in ["page", "cursor"].iter().filter(|name| meant(name)) {
        let Some(argument) = call.arguments.iter().find(|argument| argument.name == **name) else { continue };
        let given = argument.value.as_ref();
        let (message, near) = match given.and_then(Value::as_str) {
            _ if !operation.paginated() => {
                (format!("`{}` is no list: it has no pages, and takes no `{name}`", operation.name), None)
            }
            Some(way) if *name == "page" && !WAYS.contains(&way) => {
                let near = flow::nearest::nearest(way, WAYS).map(str::to_owned);
                (format!("`page: {way}`: it is `all`, `first` or `stream`"), near)
            }
            _ => continue,
        };
        let path = format!("{}/with/{name}", call.path);
        found.push(at(file, (argument.line, argument.column), path, "argument_choice", message, near));
    }
    found
}

/// How the pages of a list are read.
const WAYS: [&str; 3] = ["all", "first", "stream"];

fn unknown(catalog: &Catalog, file: &str, call: &CallSite, set: &str) -> Diagnostic {
    let (message, suggestion) = match catalog.get(set) {
        None if BUILT_IN.iter().any(|name| name.starts_with(&format!("{set}."))) => {
            let near = flow::nearest::nearest(&call.operation, BUILT_IN).map(str::to_owned);
            (format!("there is no operation `{}`", call.operation), near)
        }
        Some(manifest) => {
            let near = flow::nearest::nearest(&call.operation, manifest.operation_names());
            let near = near.map(str::to_owned);
            (format!("{} has no operation `{}`", manifest.title, call.operation), near)
        }
        None => {
            let slugs = catalog.slugs().collect::<Vec<_>>().join(", ");
            let near = flow::nearest::nearest(set, catalog.slugs());
            let near = near.map(|slug| call.operation.replacen(set, slug, 1));
            (format!("there is no connector for `{}`; there are: {slugs}", call.operation), near)
        }
    };
    let path = call.path.clone();
    at(file, (call.line, call.column), path, "operation_unknown", message, suggestion)
}

/// A question to people: its own arguments, and the operation that tells them.
fn approval(catalog: &Catalog, file: &str, call: &CallSite, found: &mut Vec<Diagnostic>) {
    let before = found.len();
    arguments(file, call, &flow::approval::schema(), &[], found);
    if found.len() == before {
        found.extend(question(file, call));
    }
    let Some(notify) = call.arguments.iter().find(|argument| argument.name == "notify") else { return };
    let told = notify.value.as_ref().and_then(|value| value["call"].as_str());
    if let Some(operation) = told.filter(|operation| catalog.operation(operation).is_none()) {
        let path = format!("{}/with/notify/call", call.path);
        let message = format!("no connector has the operation `{operation}`");
        let all = catalog.manifests().flat_map(Manifest::operation_names);
        let near = flow::nearest::nearest(operation, all);
        let near = near.map(str::to_owned);
        found.push(at(file, (notify.line, notify.column), path, "operation_unknown", message, near));
    }
}

/// The rules between a question's arguments, if all of them are written out; else those of its deadline.
fn question(file: &str, call: &CallSite) -> Option<Diagnostic> {
    let asked = call.arguments.iter().filter(|argument| argument.name != "notify");
    let written = |argument: &Argument| Some((argument.name.clone(), argument.value.clone()?));
    let all: Option<Map<String, Value>> = asked.clone().map(written).collect();
    let why = match all.filter(|_| !call.computed) {
        Some(all) => Question::read(&Value::Object(all)).err()?,
        None => {
            let mut asked = asked;
            let deadline = asked.find(|argument| argument.name == "deadline")?.value.as_ref()?;
            format!("deadline: {}", flow::duration::from_value(deadline).err()?)
        }
    };
    let place = call.arguments.iter().find(|argument| why.starts_with(&format!("{}:", argument.name)));
    let (place, path) = match place {
        Some(argument) => ((argument.line, argument.column), format!("{}/with/{}", call.path, argument.name)),
        None => ((call.line, call.column), format!("{}/with", call.path)),
    };
    Some(at(file, place, path, "argument_type", format!("`human.approve`: {why}"), None))
}

/// Arguments that are unknown, missing, or written out and of the wrong kind; `common` are those of every operation.
fn arguments(file: &str, call: &CallSite, schema: &Value, common: &[&str], found: &mut Vec<Diagnostic>) {
    let operation = &call.operation;
    let properties = schema["properties"].as_object();
    let known = || {
        properties.into_iter().flat_map(|all| all.keys().map(String::as_str)).chain(common.iter().copied())
    };
    for argument in &call.arguments {
        let place = (argument.line, argument.column);
        let path = format!("{}/with/{}", call.path, argument.name);
        let name = argument.name.as_str();
        let Some(property) = properties.and_then(|all| all.get(name)) else {
            if !common.contains(&name) {
                let message = format!("`{operation}` takes no argument `{name}`");
                let near = flow::nearest::nearest(name, known()).map(str::to_owned);
                found.push(at(file, place, path, "argument_unknown", message, near));
            }
            continue;
        };
        let wrong = match (&argument.value, Schema::compile(property)) {
            (Some(value), Ok(schema)) if !value.is_null() => schema.check(value).err(),
            _ => None,
        };
        if let Some(why) = wrong {
            let message = format!("`{name}` of `{operation}`: {why}");
            found.push(at(file, place, path, "argument_type", message, None));
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|_| !call.computed) {
        if !call.arguments.iter().any(|argument| argument.name == name) {
            let message = format!("`{operation}` needs the argument `{name}`");
            let path = format!("{}/with", call.path);
            found.push(at(file, (call.line, call.column), path, "argument_missing", message, None));
        }
    }
}

fn at(
    file: &str,
    (line, column): (usize, usize),
    path: String,
    code: &str,
    message: String,
    suggestion: Option<String>,
) -> Diagnostic {
    Diagnostic { file: file.to_owned(), line, column, path, code: code.to_owned(), message, suggestion }
}
