//! The `operations` section: parameters, pages, and how a call is repeated.

use flow::schema::Schema;
use flow::yaml;
use serde_json::Value;
use url::Url;

use super::lookups::{lookup, timeless};
use super::reader::{At, Fields, Reader};
use super::{
    Effects, Encoding, Idempotency, ItemErrors, Kind, Location, Nested, Next, Operation, Pages, Param, Piece,
    Template, Upsert, before, errors,
};
use crate::path::Path;
use crate::upsert::FIELDS;

const OPERATION: [&str; 23] = [
    "summary",
    "request",
    "effects",
    "before",
    "body",
    "include",
    "params",
    "encoding",
    "wrap",
    "constants",
    "pages",
    "nested",
    "returns",
    "idempotency",
    "absent_is_done",
    "done_where",
    "upsert",
    "item_errors",
    "errors",
    "base_url",
    "answer",
    "example",
    "scopes",
];
const PARAM: [&str; 6] = ["in", "type", "required", "enum", "description", "schema"];

/// What the operations of a manifest have in common.
#[derive(Clone, Debug)]
pub(super) struct Scope<'n> {
    pub slug: String,
    pub encoding: Encoding,
    pub parameters: Option<At<'n>>,
    pub pages: Option<Pages>,
    pub nested_url: Option<Path>,
    /// Of POST requests that say nothing themselves.
    pub idempotency: Option<Idempotency>,
    /// What addresses may be called.
    pub hosts: Vec<String>,
    /// Of the second part: a program wrote it, without words for its parameters.
    pub listed: bool,
}

impl Scope<'_> {
    /// The same for the lines of the second part, which name no groups of parameters.
    pub fn of_lines(&self) -> Scope<'static> {
        Scope {
            slug: self.slug.clone(),
            encoding: self.encoding,
            parameters: None,
            pages: self.pages.clone(),
            nested_url: self.nested_url.clone(),
            idempotency: self.idempotency.clone(),
            hosts: self.hosts.clone(),
            listed: true,
        }
    }
}

pub(super) fn operation(
    reader: &mut Reader<'_>,
    name: &str,
    at: &At<'_>,
    scope: &Scope<'_>,
) -> Option<Operation> {
    let fields = reader.fields(at, "an operation", &OPERATION);
    let summary = reader.required_text(&fields, "summary");
    let (method, path) = match fields.get("upsert") {
        None => reader.required(&fields, "request").and_then(|at| request_line(reader, &at))?,
        Some(_) => (String::new(), Vec::new()),
    };
    let choices = [("read", Effects::Read), ("write", Effects::Write), ("destructive", Effects::Destructive)];
    let effects =
        reader.required(&fields, "effects").and_then(|at| reader.choice(&at, "an effect", &choices));
    let effects = effects.unwrap_or(Effects::Destructive);
    let encoding = fields.get("encoding").and_then(|at| encoding(reader, &at)).unwrap_or(scope.encoding);
    let mut params = params(reader, at, &fields, scope, &method);
    if scope.listed {
        params.splice(0..0, undeclared(&path, &params));
    }
    check_path(reader, at, &path, &params);
    let upsert = fields.get("upsert").and_then(|at| upserting(reader, &at, scope, &mut params));
    let constants = fields.get("constants").map(|at| {
        at.entries().iter().map(|(field, inner)| (field.name.clone(), inner.node.to_value())).collect()
    });
    let operation = Operation {
        name: format!("{}.{name}", scope.slug),
        summary,
        effects,
        // An upsert's write is repeated as that operation says.
        idempotency: match &upsert {
            Some(_) => Idempotency::Repeatable,
            None => idempotency_of(reader, at, &fields, scope, effects, &method),
        },
        upsert,
        pages: pages_of(reader, &fields, scope, &method),
        nested: nested_of(reader, &fields, scope),
        wrap: reader.optional_text(&fields, "wrap"),
        returns: reader.optional_text(&fields, "returns"),
        absent_is_done: reader.flag(&fields, "absent_is_done", false),
        done_where: fields.get("done_where").map(|at| reader.conditions(&at)).unwrap_or_default(),
        item_errors: fields.get("item_errors").and_then(|at| item_errors(reader, &at)),
        rules: fields.get("errors").map(|at| errors::rules(reader, &at)).unwrap_or_default(),
        base_url: fields.get("base_url").and_then(|at| base_url(reader, &at, &scope.hosts)),
        answers_bytes: fields
            .get("answer")
            .and_then(|at| reader.choice(&at, "an answer", &[("json", false), ("bytes", true)]))
            .unwrap_or(false),
        example: fields.get("example").map(|at| at.node.to_value()),
        scopes: fields.get("scopes").map(|at| reader.texts(&at)).unwrap_or_default(),
        params,
        method,
        path,
        encoding,
        constants: constants.unwrap_or_default(),
        before: before::steps(reader, &fields, &scope.slug),
        body: fields.get("body").map(|at| at.node.to_value()).unwrap_or_default(),
    };
    before::check(reader, at, &operation);
    Some(operation)
}

pub(super) fn encoding(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Encoding> {
    let choices = [("json", Encoding::Json), ("form", Encoding::Form), ("multipart", Encoding::Multipart)];
    reader.choice(at, "an encoding", &choices)
}

/// Another address of the vendor's, such as the one that takes files.
fn base_url(reader: &mut Reader<'_>, at: &At<'_>, hosts: &[String]) -> Option<Url> {
    let url = reader.text(at).and_then(|text| Url::parse(&text).ok());
    let url = url.filter(|url| url.scheme() == "https" && url.path() == "/" && url.query().is_none());
    let known =
        url.as_ref().and_then(Url::host_str).is_some_and(|host| hosts.iter().any(|known| known == host));
    if !known {
        reader.problem(at, "manifest_host", "`base_url` is `https://` and one of `hosts`");
    }
    url
}

/// Parts of a path that no parameter declares are texts that must be given.
fn undeclared(path: &[Piece], params: &[Param]) -> Vec<Param> {
    let name = |piece: &Piece| match piece {
        Piece::Param(name) if !params.iter().any(|param| param.name == *name) => Some(name.clone()),
        Piece::Param(_) | Piece::Literal(_) => None,
    };
    let param = |name| Param {
        name,
        location: Location::Path,
        kinds: vec![Kind::String],
        choices: Vec::new(),
        required: true,
        description: String::new(),
        schema: Value::Null,
    };
    path.iter().filter_map(name).map(param).collect()
}

/// `GET /v1/customers/{id}`.
fn request_line(reader: &mut Reader<'_>, at: &At<'_>) -> Option<(String, Vec<Piece>)> {
    let text = reader.text(at)?;
    let (method, path) = text.split_once(' ').unwrap_or((&text, ""));
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) || !path.starts_with('/') {
        reader.problem(
            at,
            "manifest_request",
            format!("`{text}` is not a request such as `GET /v1/customers/{{id}}`"),
        );
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else {
            reader.problem(at, "manifest_request", "a `{` is not closed");
            return None;
        };
        pieces.push(Piece::Literal(literal.to_owned()));
        pieces.push(Piece::Param(name.to_owned()));
        rest = tail;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Some((method.to_owned(), pieces))
}

fn check_path(reader: &mut Reader<'_>, at: &At<'_>, path: &[Piece], params: &[Param]) {
    let named: Vec<&str> = path
        .iter()
        .filter_map(|piece| match piece {
            Piece::Param(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
        .collect();
    for name in &named {
        if !params
            .iter()
            .any(|param| param.name == *name && param.location == Location::Path && param.required)
        {
            let message =
                format!("`{{{name}}}` needs a parameter of that name with `in: path` and `required: true`");
            reader.problem(at, "manifest_request", message);
        }
    }
    for param in params.iter().filter(|param| param.location == Location::Path) {
        if !named.contains(&param.name.as_str()) {
            reader.problem(at, "manifest_request", format!("the path has no `{{{}}}`", param.name));
        }
    }
}

/// Its own parameters, then those of the groups that it includes.
fn params(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    fields: &Fields<'_>,
    scope: &Scope<'_>,
    method: &str,
) -> Vec<Param> {
    let mut out = Vec::new();
    if let Some(own) = fields.get("params") {
        out.extend(own.entries().iter().map(|(field, at)| param(reader, &field.name, at, method)));
    }
    for include in fields.get("include").map(|at| at.items()).unwrap_or_default() {
        let Some(name) = reader.text(&include) else { continue };
        let groups = scope.parameters.as_ref().map(|at| at.entries()).unwrap_or_default();
        match groups.iter().find(|(field, _)| field.name == name) {
            Some((_, group)) => {
                out.extend(group.entries().iter().map(|(field, at)| param(reader, &field.name, at, method)));
            }
            None => {
                let known: Vec<&str> = groups.iter().map(|(field, _)| field.name.as_str()).collect();
                reader.unknown(
                    include.node.place,
                    &include.pointer,
                    "a group of `parameters`",
                    &name,
                    &known,
                );
            }
        }
    }
    let names: Vec<String> = out.iter().map(|param| param.name.clone()).collect();
    reader.distinct(at, "parameter", &names);
    for reserved in ["connection", "view"] {
        if names.iter().any(|name| name == reserved) {
            reader.problem(
                at,
                "manifest_reserved",
                format!("`{reserved}` is an argument of every operation"),
            );
        }
    }
    out
}

/// Groups of parameters are read once for themselves, so that mistakes in one that nobody includes are told, too.
pub(super) fn groups(reader: &mut Reader<'_>, at: &At<'_>) {
    for (_, group) in at.entries() {
        if !matches!(group.node.kind, yaml::Kind::Map(_)) {
            reader.mistyped(&group, "a mapping of parameters");
        }
        for (field, at) in group.entries() {
            param(reader, &field.name, &at, "POST");
        }
    }
}

/// A parameter goes into the query of a GET and the body of anything else, unless it says otherwise.
fn param(reader: &mut Reader<'_>, name: &str, at: &At<'_>, method: &str) -> Param {
    if let yaml::Kind::String(_) = at.node.kind {
        return brief(reader, name, at, method);
    }
    let fields = reader.fields(at, "a parameter", &PARAM);
    let choices = [
        ("path", Location::Path),
        ("query", Location::Query),
        ("body", Location::Body),
        ("before", Location::Before),
    ];
    let default = if method == "GET" { Location::Query } else { Location::Body };
    let location = fields.get("in").and_then(|at| reader.choice(&at, "a place for a parameter", &choices));
    let location = location.unwrap_or(default);
    if location == Location::Body && method == "GET" {
        reader.problem(at, "manifest_request", "a GET has no body");
    }
    let kinds = match reader.required(&fields, "type") {
        None => Vec::new(),
        Some(at) if matches!(at.node.kind, yaml::Kind::List(_)) => {
            at.items().iter().filter_map(|item| reader.choice(item, "a type", &Kind::NAMES)).collect()
        }
        Some(at) => reader.choice(&at, "a type", &Kind::NAMES).into_iter().collect(),
    };
    let choices = fields.get("enum").map(|at| at.items().iter().map(|item| item.node.to_value()).collect());
    Param {
        name: name.to_owned(),
        location,
        kinds: kinds.into_iter().filter(|kind| *kind != Kind::Any).collect(),
        choices: choices.unwrap_or_default(),
        required: reader.flag(&fields, "required", false),
        description: reader.required_text(&fields, "description"),
        schema: fields.get("schema").map(|at| schema(reader, &at)).unwrap_or_default(),
    }
}

/// What the members of an argument are.
fn schema(reader: &mut Reader<'_>, at: &At<'_>) -> Value {
    let schema = at.node.to_value();
    if !schema.is_object() {
        reader.mistyped(at, "a JSON Schema (a mapping)");
    } else if let Err(wrong) = Schema::compile(&schema) {
        reader.problem(at, "manifest_type", format!("this is no JSON Schema: {wrong:?}"));
    }
    schema
}

/// A parameter written as its type alone: `object|string`, `!` after it where it must be given, `query` or `path` before
/// it where it goes there.
fn brief(reader: &mut Reader<'_>, name: &str, at: &At<'_>, method: &str) -> Param {
    let text = at.node.as_str().unwrap_or_default();
    let (place, kinds) = text.split_once(' ').unwrap_or(("", text));
    let location = match place {
        "path" => Location::Path,
        "query" => Location::Query,
        "" if method == "GET" => Location::Query,
        _ => Location::Body,
    };
    let mut kinds_of = Vec::new();
    let known = Kind::NAMES.map(|(name, _)| name);
    for kind in kinds.trim_end_matches('!').split('|') {
        match Kind::NAMES.iter().find(|(name, _)| *name == kind) {
            Some((_, Kind::Any)) => {}
            Some((_, kind)) => kinds_of.push(*kind),
            None => reader.unknown(at.node.place, &at.pointer, "a type", kind, &known),
        }
    }
    Param {
        name: name.to_owned(),
        location,
        kinds: kinds_of,
        choices: Vec::new(),
        required: kinds.ends_with('!'),
        description: String::new(),
        schema: Value::Null,
    }
}

fn pages_of(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>, method: &str) -> Option<Pages> {
    let at = fields.get("pages")?;
    if method != "GET" {
        reader.problem(&at, "manifest_request", "only a GET has pages");
    }
    pages(reader, &at, scope.pages.as_ref())
}

/// Pages: what is not said here is as `base` has it; `true` is `base` itself.
pub(super) fn pages(reader: &mut Reader<'_>, at: &At<'_>, base: Option<&Pages>) -> Option<Pages> {
    if let (yaml::Kind::Bool(true), Some(base)) = (&at.node.kind, base) {
        return Some(base.clone());
    }
    let fields = reader.fields(at, "`pages`", &["items", "more", "next", "send", "size"]);
    let items = reader.optional_path(&fields, "items").or_else(|| base.map(|base| base.items.clone()));
    let more = match fields.get("more") {
        Some(at) if matches!(at.node.kind, yaml::Kind::Null) => None,
        Some(at) => reader.path(&at),
        None => base.and_then(|base| base.more.clone()),
    };
    let next =
        fields.get("next").and_then(|at| next(reader, &at)).or_else(|| base.map(|base| base.next.clone()));
    let send = reader.optional_text(&fields, "send").or_else(|| base.map(|base| base.send.clone()));
    let size = match fields.get("size") {
        Some(at) if matches!(at.node.kind, yaml::Kind::Null) => None,
        Some(at) => match at.entries().as_slice() {
            [(field, inner)] => {
                Some((field.name.clone(), inner.node.to_value().as_u64().unwrap_or_default()))
            }
            _ => Some((String::new(), 0)),
        },
        None => base.and_then(|base| base.size.clone()),
    };
    if size.as_ref().is_some_and(|(_, size)| *size == 0) {
        reader.problem(at, "manifest_type", "a page size is a parameter and a whole number of at least 1");
    }
    let (Some(items), Some(next), Some(send)) = (items, next, send) else {
        reader.problem(at, "manifest_missing", "pages need `items`, `next` and `send`");
        return None;
    };
    Some(Pages { items, more, next, send, size })
}

fn next(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Next> {
    let fields = reader.fields(at, "`next`", &["last", "at", "url"]);
    let last = reader.optional_path(&fields, "last").map(Next::Last);
    let at_page = last.or_else(|| reader.optional_path(&fields, "at").map(Next::At));
    let found = at_page.or_else(|| reader.optional_path(&fields, "url").map(Next::Url));
    if found.is_none() {
        reader.problem(
            at,
            "manifest_missing",
            "`next` has `last` (of the last record), `at` or `url` (of the page)",
        );
    }
    found
}

fn nested_of(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>) -> Vec<Nested> {
    let Some(at) = fields.get("nested") else { return Vec::new() };
    let (Some(pages), Some(url)) = (&scope.pages, &scope.nested_url) else {
        reader.problem(&at, "manifest_missing", "nested lists need `pagination` with `nested_url`");
        return Vec::new();
    };
    reader.paths(&at).into_iter().map(|at| Nested { at, url: url.clone(), pages: pages.clone() }).collect()
}

fn item_errors(reader: &mut Reader<'_>, at: &At<'_>) -> Option<ItemErrors> {
    let fields = reader.fields(at, "`item_errors`", &["each", "at"]);
    let each = reader.required(&fields, "each").and_then(|at| reader.path(&at));
    let at = reader.required(&fields, "at").and_then(|at| reader.path(&at));
    Some(ItemErrors { each: each?, at: at? })
}

fn idempotency_of(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    fields: &Fields<'_>,
    scope: &Scope<'_>,
    effects: Effects,
    method: &str,
) -> Idempotency {
    match fields.get("idempotency") {
        Some(at) => idempotency(reader, &at, &scope.slug).unwrap_or(Idempotency::None),
        None if effects == Effects::Read => Idempotency::Repeatable,
        None => match &scope.idempotency {
            Some(default) if method == "POST" => default.clone(),
            _ => {
                let message = "a write says how it is repeated: `idempotency`";
                reader.problem(at, "manifest_missing", message);
                Idempotency::None
            }
        },
    }
}

pub(super) fn idempotency(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Idempotency> {
    if let yaml::Kind::String(_) = at.node.kind {
        let name = reader.choice(at, "a way to repeat", &[("none", false), ("repeatable", true)])?;
        return Some(if name { Idempotency::Repeatable } else { Idempotency::None });
    }
    let fields = reader.fields(at, "`idempotency`", &["header", "natural_key", "lookup"]);
    if let Some(at) = fields.get("header") {
        let fields = reader.fields(&at, "`header`", &["name", "life_h"]);
        let name = reader.required_text(&fields, "name");
        return Some(Idempotency::Header { name, life: reader.hours(&fields, "life_h", 24) });
    }
    if let Some(at) = fields.get("natural_key") {
        return timeless(reader, &at, slug).map(Idempotency::NaturalKey);
    }
    if let Some(at) = fields.get("lookup") {
        return lookup(reader, &at, slug).map(Idempotency::Lookup);
    }
    reader.problem(at, "manifest_missing", "`idempotency` has `header`, `natural_key` or `lookup`");
    None
}

/// Its parameters are what is looked for by, and what is written; `fields` is one more.
fn upserting(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    scope: &Scope<'_>,
    params: &mut Vec<Param>,
) -> Option<Upsert> {
    let fields = reader.fields(at, "`upsert`", &["find", "create", "update", "with", "compare"]);
    let find = reader.required(&fields, "find").and_then(|at| timeless(reader, &at, &scope.slug));
    let (create, update) = (reader.required_text(&fields, "create"), reader.required_text(&fields, "update"));
    let with = reader.required(&fields, "with").map(|at| at.entries()).unwrap_or_default();
    let mut update_with = Vec::new();
    for (field, at) in with {
        let path = at.node.as_str().and_then(|text| text.strip_prefix("$found.")).and_then(Path::parse);
        match path {
            Some(path) => update_with.push((field.name.clone(), path)),
            None => reader.problem(&at, "manifest_path", "what the update is given is `$found.<path>`"),
        }
    }
    let mut places = Vec::new();
    for (field, at) in fields.get("compare").map(|at| at.entries()).unwrap_or_default() {
        if !params.iter().any(|param| param.name == field.name) {
            let known: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
            reader.unknown(at.node.place, &at.pointer, "a parameter of this operation", &field.name, &known);
        }
        places.extend(reader.path(&at).map(|path| (field.name.clone(), path)));
    }
    let find = find?;
    let searched = |name: &str| {
        let by = |(_, template): &(String, Template)| matches!(template, Template::Args(path) if path.as_str() == name);
        find.with.iter().any(by)
            || find.r#where.iter().any(|(_, template)| by(&(String::new(), template.clone())))
    };
    let place = |name: &str| {
        let said = places.iter().find(|(field, _)| field == name).map(|(_, path)| path.clone());
        said.or_else(|| Path::parse(name)).unwrap_or_else(Path::whole)
    };
    let written = params.iter().filter(|param| !searched(&param.name));
    let written = written.map(|param| (param.name.clone(), place(&param.name))).collect();
    params.push(Param {
        name: FIELDS.to_owned(),
        location: Location::Body,
        kinds: vec![Kind::Object],
        choices: Vec::new(),
        required: false,
        description: "`{owned: [names]}`: the fields that are changed where they differ; without it, all that are given. \
                      The others are written only where the record is made"
            .to_owned(),
        schema: Value::Null,
    });
    let full = |name: &str| format!("{}.{name}", scope.slug);
    Some(Upsert { find, create: full(&create), update: full(&update), update_with, fields: written })
}
