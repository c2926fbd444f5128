//! How it is found out whether an effect was done: the `lookup` of an operation, also that of an upsert.

use super::reader::{At, Reader};
use super::{Instead, Lookup, Made, Mark, Opened, Resolve, Template};
use crate::path::Path;

pub(super) fn lookup(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Lookup> {
    let known = [
        "operation",
        "with",
        "instead",
        "for_each",
        "resolve",
        "within",
        "where",
        "mark",
        "collect",
        "answer",
    ];
    let fields = reader.fields(at, "a lookup", &known);
    let operation = reader.required_text(&fields, "operation");
    let with = fields.get("with").map(|at| templates(reader, &at)).unwrap_or_default();
    let mut wheres = Vec::new();
    for (name, template) in fields.get("where").map(|at| templates(reader, &at)).unwrap_or_default() {
        match (Path::parse(&name), template) {
            (_, Template::Since) => reader.problem(at, "manifest_path", "`$since_s` stands in `with` only"),
            (Some(path), template) => wheres.push((path, template)),
            (None, _) => reader.problem(at, "manifest_path", format!("`{name}` is not a path")),
        }
    }
    Some(Lookup {
        operation: format!("{slug}.{operation}"),
        with,
        instead: fields.get("instead").and_then(|at| instead(reader, &at, slug)),
        for_each: reader.optional_path(&fields, "for_each"),
        resolve: fields.get("resolve").and_then(|at| resolve(reader, &at, slug)),
        within: reader.optional_path(&fields, "within"),
        r#where: wheres,
        mark: fields.get("mark").and_then(|at| mark(reader, &at)),
        collect: reader.optional_text(&fields, "collect"),
        answer: fields.get("answer").map(|at| made(reader, &at)).unwrap_or_default(),
    })
}

/// Another read, for calls that give an argument.
fn instead(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Instead> {
    let fields = reader.fields(at, "`instead`", &["when", "operation", "with"]);
    let operation = reader.required_text(&fields, "operation");
    let with = fields.get("with").map(|at| templates(reader, &at)).unwrap_or_default();
    let at = reader.required(&fields, "when")?;
    let when = reader.text(&at)?;
    let path = when.strip_prefix("$args.").and_then(Path::parse);
    if path.is_none() {
        reader.problem(&at, "manifest_path", "`when` is an argument: `$args.<path>`");
    }
    Some(Instead { when: path?, operation: format!("{slug}.{operation}"), with })
}

/// A lookup for what may have been there before.
pub(super) fn timeless(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Lookup> {
    let lookup = lookup(reader, at, slug)?;
    let other = lookup.instead.iter().flat_map(|other| &other.with);
    if lookup.with.iter().chain(other).any(|(_, template)| matches!(template, Template::Since)) {
        let message = "a record that was there before is older than `$since_s`, which only `lookup` has";
        reader.problem(at, "manifest_path", message);
    }
    Some(lookup)
}

fn mark(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Mark> {
    let fields = reader.fields(at, "`mark`", &["at", "default"]);
    let defaults = fields.get("default").map(|at| reader.conditions(&at)).unwrap_or_default();
    let at = reader.required(&fields, "at").and_then(|at| reader.path(&at));
    Some(Mark { at: at?, defaults })
}

fn resolve(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Resolve> {
    let known = ["argument", "id_alphabet", "strip", "operation", "with", "name", "id", "instead"];
    let fields = reader.fields(at, "`resolve`", &known);
    let name = reader.required(&fields, "name").and_then(|at| reader.path(&at));
    let id = reader.required(&fields, "id").and_then(|at| reader.path(&at));
    Some(Resolve {
        argument: reader.required_text(&fields, "argument"),
        id_alphabet: reader.required_text(&fields, "id_alphabet"),
        strip: reader.optional_text(&fields, "strip").unwrap_or_default(),
        operation: format!("{slug}.{}", reader.required_text(&fields, "operation")),
        with: fields.get("with").map(|at| at.node.to_value()).unwrap_or_default(),
        name: name?,
        id: id?,
        instead: fields.get("instead").and_then(|at| opened(reader, &at, slug)),
    })
}

fn opened(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Opened> {
    let fields = reader.fields(at, "`instead`", &["starts", "operation", "argument", "id"]);
    let id = reader.required(&fields, "id").and_then(|at| reader.path(&at));
    Some(Opened {
        starts: reader.required(&fields, "starts").map(|at| reader.texts(&at)).unwrap_or_default(),
        operation: format!("{slug}.{}", reader.required_text(&fields, "operation")),
        argument: reader.required_text(&fields, "argument"),
        id: id?,
    })
}

fn templates(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<(String, Template)> {
    let mut out = Vec::new();
    for (field, inner) in at.entries() {
        let template = match inner.node.as_str() {
            Some("$key") => Some(Template::Key),
            Some("$since_s") => Some(Template::Since),
            Some(text) if text.starts_with('$') => {
                let args = text.strip_prefix("$args.").and_then(Path::parse).map(Template::Args);
                args.or_else(|| text.strip_prefix("$each.").and_then(Path::parse).map(Template::Each))
            }
            _ => Some(Template::Constant(inner.node.to_value())),
        };
        match template {
            Some(template) => out.push((field.name.clone(), template)),
            None => reader.problem(
                &inner,
                "manifest_path",
                "a reference is `$key`, `$since_s`, `$args.<path>` or `$each.<path>`",
            ),
        }
    }
    out
}

/// What a found record is made into.
fn made(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<(String, Made)> {
    let mut out = Vec::new();
    for (field, inner) in at.entries() {
        let made = match inner.node.as_str() {
            Some("$found") => Path::parse(".").map(Made::Found),
            Some(text) if text.starts_with('$') => {
                let found = text.strip_prefix("$found.").and_then(Path::parse).map(Made::Found);
                found.or_else(|| text.strip_prefix("$with.").and_then(Path::parse).map(Made::With))
            }
            _ => Some(Made::Constant(inner.node.to_value())),
        };
        match made {
            Some(made) => out.push((field.name.clone(), made)),
            None => {
                let message = "a reference is `$found`, `$found.<path>` or `$with.<path>`";
                reader.problem(&inner, "manifest_path", message);
            }
        }
    }
    out
}
