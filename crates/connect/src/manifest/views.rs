//! The `views` section.

use flow::yaml;

use super::Kind;
use super::reader::{At, Fields, Reader};
use crate::path::Path;
use crate::view::{Condition, Field, List, Shape, Source, View};

const FIELD: [&str; 6] = ["from", "type", "nullable", "optional", "skip_null", "when_null"];
const SOURCE: [&str; 14] = [
    "at", "constant", "when", "equals", "is", "sum", "of", "collect", "take", "only", "each", "one", "shape",
    "bare",
];

/// What the reading of one view's sources needs to know.
struct Scope<'s> {
    shapes: &'s [&'s str],
    more: Option<&'s str>,
}

pub(super) fn view(reader: &mut Reader<'_>, at: &At<'_>) -> View {
    let fields = reader.fields(at, "a view", &["more", "objects"]);
    let more = reader.optional_text(&fields, "more");
    let mut view = View::default();
    let Some(objects) = reader.required(&fields, "objects") else { return view };
    let entries = objects.entries();
    let names: Vec<&str> = entries.iter().map(|(field, _)| field.name.as_str()).collect();
    let scope = Scope { shapes: &names, more: more.as_deref() };
    for (field, at) in &entries {
        if let Some(shape) = shape(reader, at, &scope) {
            view.shapes.insert(field.name.clone(), shape);
        }
    }
    view
}

fn shape(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<Shape> {
    let fields = reader.fields(at, "an object of a view", &["identity", "fields"]);
    let identity = reader.required(&fields, "identity").and_then(|at| reader.path(&at));
    let members = reader.required(&fields, "fields")?;
    if members.node.fields().is_empty() {
        reader.mistyped(&members, "a mapping of fields");
    }
    let fields =
        members.entries().iter().map(|(member, at)| field(reader, &member.name, at, scope)).collect();
    Some(Shape { identity: identity?, fields })
}

/// A field is one path, or a mapping with `from`.
fn field(reader: &mut Reader<'_>, name: &str, at: &At<'_>, scope: &Scope<'_>) -> Field {
    let mut field = Field {
        name: name.to_owned(),
        sources: Vec::new(),
        kind: Kind::Any,
        nullable: false,
        optional: false,
        skip_null: false,
        when_null: None,
    };
    if matches!(at.node.kind, yaml::Kind::String(_)) {
        field.sources.extend(reader.path(at).map(Source::At));
        return field;
    }
    let fields = reader.fields(at, "a field of a view", &FIELD);
    field.nullable = reader.flag(&fields, "nullable", false);
    field.optional = reader.flag(&fields, "optional", false);
    field.skip_null = reader.flag(&fields, "skip_null", false);
    field.when_null = fields.get("when_null").map(|at| at.node.to_value());
    if let Some(at) = fields.get("type") {
        field.kind = reader.choice(&at, "a type", &Kind::NAMES).unwrap_or(Kind::Any);
    }
    if let Some(at) = reader.required(&fields, "from") {
        let items = if matches!(at.node.kind, yaml::Kind::List(_)) { at.items() } else { vec![at.clone()] };
        field.sources = items.iter().filter_map(|item| source(reader, item, scope)).collect();
        if field.sources.is_empty() {
            reader.problem(&at, "manifest_missing", "a field comes from at least one place");
        }
    }
    field
}

fn source(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<Source> {
    if matches!(at.node.kind, yaml::Kind::String(_)) {
        return reader.path(at).map(Source::At);
    }
    let known: Vec<&str> = SOURCE.iter().copied().chain(["among"]).collect();
    let fields = reader.fields(at, "a source", &known);
    if let Some(path) = fields.get("at") {
        return reader.path(&path).map(Source::At);
    }
    if let Some(value) = fields.get("constant") {
        let when = reader.required(&fields, "when").and_then(|at| condition(reader, &at))?;
        return Some(Source::Constant { value: value.node.to_value(), when });
    }
    if let Some(path) = fields.get("equals") {
        let value = reader.required(&fields, "is")?.node.to_value();
        return Some(Source::Equals { path: reader.path(&path)?, value });
    }
    if let Some(path) = fields.get("sum") {
        let of = reader.required(&fields, "of").and_then(|at| reader.path(&at))?;
        return Some(Source::Sum { list: list(reader, &path, scope)?, of, only: only(reader, &fields) });
    }
    if let Some(path) = fields.get("collect") {
        let take = reader.required(&fields, "take").map(|at| reader.paths(&at))?;
        return Some(Source::Collect {
            list: list(reader, &path, scope)?,
            take,
            only: only(reader, &fields),
        });
    }
    if let Some(path) = fields.get("each") {
        reader.required(&fields, "shape")?;
        let shape = known_shape(reader, &fields, scope)?;
        let bare = reader.flag(&fields, "bare", false);
        return Some(Source::Each { list: list(reader, &path, scope)?, shape, bare });
    }
    if let Some(path) = fields.get("one") {
        let shape = known_shape(reader, &fields, scope);
        let among = reader.optional_path(&fields, "among");
        return Some(Source::One { path: reader.path(&path)?, shape, among });
    }
    let message = "a source is a path, or has `constant`, `equals`, `sum`, `collect`, `each` or `one`";
    reader.problem(at, "manifest_missing", message);
    None
}

fn known_shape(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>) -> Option<String> {
    let at = fields.get("shape")?;
    let name = reader.text(&at)?;
    if !scope.shapes.contains(&name.as_str()) {
        reader.unknown(at.node.place, &at.pointer, "an object of this view", &name, scope.shapes);
    }
    Some(name)
}

fn only(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Condition> {
    fields.get("only").and_then(|at| condition(reader, &at))
}

fn condition(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Condition> {
    let mut conditions = reader.conditions(at);
    if conditions.len() != 1 {
        reader.problem(at, "manifest_type", "a condition is one path and its value");
        return None;
    }
    conditions.pop().map(|(path, is)| Condition { path, is })
}

/// A list; where it lies in an object, the member `more` beside it says whether it is cut off.
fn list(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<List> {
    let path = reader.path(at)?;
    let more = match (path.as_str().rsplit_once('.'), scope.more) {
        (Some((holder, _)), Some(more)) => Path::parse(&format!("{holder}.{more}")),
        _ => None,
    };
    Some(List { path, more })
}
