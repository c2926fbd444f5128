//! Arguments made into an exact request: pure, and without credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::before::{self, Gap, Step};
use crate::encode;
use crate::error::Error;
use crate::manifest::{
    Encoding, Idempotency, Kind, Location, Lookup, Manifest, Next, Operation, Param, Piece, Template,
};
use crate::multipart;
use crate::pages;
use crate::path::{Found, Path};
use crate::upsert::Chosen;

/// The longest effect key; Stripe takes no more than this many characters.
const KEY_BYTES_MAX: usize = 255;
/// Elements that a `for_each` lookup asks for one by one.
const LOOKUPS_MAX: usize = 100;
/// Arguments that every operation takes, besides its own.
pub(crate) const COMMON: [&str; 4] = ["connection", "view", "page", "cursor"];

/// A request as it will go out, but for its credentials: journalled before it is sent, and sent again byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    pub method: String,
    /// From the root of the manifest's base URL, already encoded.
    pub path: String,
    /// Without `?`, already encoded; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body is in base64, for it is no text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
    /// What is asked before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Step>,
    /// Nulls in the body that what is asked before is put in the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The view that the output is mapped to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Only the first page is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_page: bool,
    /// What [`crate::lookup`] asks to find out whether this was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Ask>,
    /// What an upsert came down to this for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upsert: Option<Chosen>,
}

impl Prepared {
    /// The body as it goes out; empty where there is none.
    pub fn bytes(&self) -> Result<Bytes, Error> {
        let Some(body) = &self.body else { return Ok(Bytes::new()) };
        if !self.base64 {
            return Ok(Bytes::copy_from_slice(body.as_bytes()));
        }
        let decoded = STANDARD.decode(body).map(Bytes::from);
        decoded
            .map_err(|error| Error::fatal("request_unreadable", format!("the body is not base64: {error}")))
    }
}

/// One question of a lookup: the arguments of its read, and what a found record must say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub with: Value,
    /// Asked by the lookup's other read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instead: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub r#where: Vec<(String, Value)>,
}

/// Makes `args` into the operation's request. `key` is the effect's key: the same for every attempt at one effect.
pub fn prepare(
    manifest: &Manifest,
    operation: &Operation,
    args: &Value,
    key: &str,
) -> Result<Prepared, Error> {
    let empty = Map::new();
    let given = match args {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => return Err(argument(operation, "", "argument_type", "the arguments are not an object".into())),
    };
    check(operation, given)?;
    if operation.upsert.is_some() {
        let detail = format!("{} reads before it is known what it sends", operation.name);
        return Err(Error::fatal("operation_composite", detail));
    }
    if key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::fatal(
            "key_invalid",
            format!("an effect key is 1 to {KEY_BYTES_MAX} ASCII characters"),
        ));
    }
    let (made, gaps) = before::members(operation, args)?;
    let body = body(operation, given, made, key)?;
    if body.as_ref().is_some_and(|body| body.len() > manifest.limits.request_bytes_max) {
        let detail = format!("the body is longer than {} bytes", manifest.limits.request_bytes_max);
        return Err(argument(operation, "", "request_too_large", detail));
    }
    let first_page = page(operation, given)?;
    let view = view(manifest, operation, given)?;
    let (path, query) = from_cursor(operation, given, path(operation, given)?, query(operation, given))?;
    Ok(Prepared {
        method: operation.method.clone(),
        path,
        query,
        headers: headers(manifest, operation, body.is_some(), key),
        base64: operation.encoding == Encoding::Multipart && body.is_some(),
        body,
        before: before::steps(manifest, operation, args, key)?,
        gaps,
        view,
        first_page,
        lookups: lookups(operation, args, key)?,
        upsert: None,
    })
}

pub(crate) fn argument(operation: &Operation, name: &str, code: &str, detail: String) -> Error {
    Error::user(code, format!("{}: {detail}", operation.name))
        .with_body(serde_json::json!({"operation": operation.name, "argument": name}))
}

pub(crate) fn check(operation: &Operation, given: &Map<String, Value>) -> Result<(), Error> {
    for name in given.keys() {
        let known = || operation.params.iter().map(|param| param.name.as_str()).chain(COMMON);
        if !known().any(|other| other == name) {
            let meant = flow::nearest::nearest(name, known());
            let hint = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            let detail = format!("there is no argument `{name}`{hint}");
            return Err(argument(operation, name, "argument_unknown", detail));
        }
    }
    for param in &operation.params {
        match given.get(&param.name) {
            None | Some(Value::Null) if param.required => {
                let detail = format!("argument `{}` is missing", param.name);
                return Err(argument(operation, &param.name, "argument_missing", detail));
            }
            None | Some(Value::Null) => {}
            Some(value) => check_value(operation, param, value)?,
        }
    }
    Ok(())
}

fn check_value(operation: &Operation, param: &Param, value: &Value) -> Result<(), Error> {
    if !param.kinds.is_empty() && !param.kinds.iter().any(|kind| kind.admits(value)) {
        let kinds: Vec<&str> = param.kinds.iter().map(|kind| Kind::name(*kind)).collect();
        let detail = format!("argument `{}` is not {}", param.name, kinds.join(" or "));
        return Err(argument(operation, &param.name, "argument_type", detail));
    }
    if !param.choices.is_empty() && !param.choices.contains(value) {
        let choices: Vec<String> = param.choices.iter().map(Value::to_string).collect();
        let detail = format!("argument `{}` is none of {}", param.name, choices.join(", "));
        return Err(argument(operation, &param.name, "argument_choice", detail));
    }
    Ok(())
}

fn path(operation: &Operation, given: &Map<String, Value>) -> Result<String, Error> {
    let mut out = String::new();
    for piece in &operation.path {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Param(name) => {
                let text = match given.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Number(number)) => number.to_string(),
                    _ => String::new(),
                };
                // `.` and `..` would be taken as steps in the path by URL parsers on the way.
                if text.is_empty() || text.chars().all(|c| c == '.') {
                    let detail = format!("argument `{name}` cannot stand in a path");
                    return Err(argument(operation, name, "argument_type", detail));
                }
                out.push_str(&encode::segment(&text));
            }
        }
    }
    Ok(out)
}

/// Query parameters in the order of the manifest; those that are null are left out.
fn query(operation: &Operation, given: &Map<String, Value>) -> String {
    let mut out = String::new();
    for param in operation.params.iter().filter(|param| param.location == Location::Query) {
        if let Some(value) = given.get(&param.name).filter(|value| !value.is_null()) {
            encode::pairs(&mut out, &param.name, value);
        }
    }
    if operation.method == "GET" {
        for (name, value) in &operation.constants {
            encode::pairs(&mut out, name, value);
        }
    }
    if let Some((name, size)) = operation.pages.as_ref().and_then(|pages| pages.size.as_ref())
        && operation.params.iter().any(|param| param.name == *name && param.location == Location::Query)
        && given.get(name).is_none_or(Value::is_null)
    {
        encode::pairs(&mut out, name, &Value::from(*size));
    }
    out
}

/// Body parameters in the order of the manifest, `None` where the operation sends no body.
fn body(
    operation: &Operation,
    given: &Map<String, Value>,
    made: Map<String, Value>,
    key: &str,
) -> Result<Option<String>, Error> {
    let takes_body = operation.method != "GET"
        && (operation.params.iter().any(|param| param.location == Location::Body)
            || !operation.constants.is_empty()
            || operation.method != "DELETE");
    if !takes_body {
        return Ok(None);
    }
    let mut members = Map::new();
    for param in operation.params.iter().filter(|param| param.location == Location::Body) {
        if let Some(value) = given.get(&param.name) {
            members.insert(param.name.clone(), value.clone());
        }
    }
    for (name, value) in &operation.constants {
        members.insert(name.clone(), value.clone());
    }
    members.extend(made);
    if let Some(mark) = operation.idempotency.lookup().and_then(|lookup| lookup.mark.as_ref()) {
        write(operation, &mut members, &mark.at, Value::String(key.to_owned()))?;
        for (path, value) in &mark.defaults {
            if path.segments().first().and_then(|first| members.get(first)).is_none_or(|at| lacks(at, path)) {
                write(operation, &mut members, path, value.clone())?;
            }
        }
    }
    if let Some(wrap) = &operation.wrap {
        members = Map::from_iter([(wrap.clone(), Value::Object(members))]);
    }
    Ok(Some(match operation.encoding {
        Encoding::Json => Value::Object(members).to_string(),
        Encoding::Form => {
            let mut out = String::new();
            members.iter().for_each(|(name, value)| encode::pairs(&mut out, name, value));
            out
        }
        Encoding::Multipart => {
            let parts = multipart::body(&members, &multipart::boundary(key));
            STANDARD.encode(parts.map_err(|detail| argument(operation, "", "argument_type", detail))?)
        }
    }))
}

/// Whether nothing stands at the rest of `path` within its first member.
fn lacks(first: &Value, path: &Path) -> bool {
    path.segments()
        .iter()
        .skip(1)
        .try_fold(first, |here, segment| here.get(segment))
        .is_none_or(Value::is_null)
}

/// Writes into the body, beside what the arguments put there.
fn write(
    operation: &Operation,
    members: &mut Map<String, Value>,
    at: &Path,
    value: Value,
) -> Result<(), Error> {
    let Some((last, way)) = at.segments().split_last() else { return Ok(()) };
    let mut here = members;
    for segment in way {
        let next = here.entry(segment.clone()).or_insert(Value::Null);
        if next.is_null() {
            *next = Value::Object(Map::new());
        }
        here = next.as_object_mut().ok_or_else(|| {
            argument(
                operation,
                segment,
                "argument_type",
                format!("`{segment}` of `{}` is not an object", at.as_str()),
            )
        })?;
    }
    here.insert(last.clone(), value);
    Ok(())
}

fn headers(manifest: &Manifest, operation: &Operation, body: bool, key: &str) -> Vec<(String, String)> {
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    if body {
        let kind = match operation.encoding {
            Encoding::Json => "application/json; charset=utf-8".to_owned(),
            Encoding::Form => "application/x-www-form-urlencoded".to_owned(),
            Encoding::Multipart => format!("multipart/form-data; boundary={}", multipart::boundary(key)),
        };
        headers.push(("Content-Type".to_owned(), kind));
    }
    if let Idempotency::Header { name, .. } = &operation.idempotency
        && !key.is_empty()
    {
        headers.push((name.clone(), key.to_owned()));
    }
    headers.extend(manifest.headers.iter().cloned());
    headers
}

fn page(operation: &Operation, given: &Map<String, Value>) -> Result<bool, Error> {
    match given.get("page").filter(|_| !operation.params.iter().any(|param| param.name == "page")) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::String(text)) if text == "first" && operation.pages.is_some() => Ok(true),
        Some(Value::String(text)) if text == "all" && operation.pages.is_some() => Ok(false),
        Some(_) => {
            let detail = "`page` is `first` or `all`, where a flow goes over the list also `stream`; only lists have pages".to_owned();
            Err(argument(operation, "page", "argument_choice", detail))
        }
    }
}

/// The request for the page that `cursor` leads to, as the page before it said: the first that is read.
fn from_cursor(
    operation: &Operation,
    given: &Map<String, Value>,
    path: String,
    query: String,
) -> Result<(String, String), Error> {
    let own = operation.params.iter().any(|param| param.name == "cursor");
    let cursor = given.get("cursor").filter(|cursor| !own && !cursor.is_null());
    match (cursor, &operation.pages) {
        (None, _) => Ok((path, query)),
        (Some(Value::String(cursor)), Some(pages)) if !cursor.is_empty() => Ok(match &pages.next {
            Next::Url(_) => pages::address(cursor),
            Next::At(_) | Next::Last(_) => (path, encode::with_param(&query, &pages.send, cursor)),
        }),
        _ => {
            let detail = "`cursor` is the `next` of a page of it, and only lists have pages".to_owned();
            Err(argument(operation, "cursor", "argument_choice", detail))
        }
    }
}

fn view(
    manifest: &Manifest,
    operation: &Operation,
    given: &Map<String, Value>,
) -> Result<Option<String>, Error> {
    let name = match given.get("view") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(name)) => name,
        Some(_) => return Err(argument(operation, "view", "argument_type", "`view` is not a text".into())),
    };
    let maps = |object: &String| manifest.view(name).is_some_and(|view| view.maps(object));
    if operation.returns.as_ref().is_some_and(maps) {
        return Ok(Some(name.clone()));
    }
    let detail = format!("there is no view `{name}` of what it answers");
    Err(argument(operation, "view", "view_unknown", detail))
}

fn lookups(operation: &Operation, args: &Value, key: &str) -> Result<Vec<Ask>, Error> {
    let Some(lookup) = operation.idempotency.lookup() else { return Ok(Vec::new()) };
    let Some(each) = &lookup.for_each else {
        return Ok(vec![ask(operation, lookup, args, &Value::Null, key)?]);
    };
    let Some(Value::Array(elements)) = each.get(args) else {
        let detail = format!("argument `{}` is not a list", each.as_str());
        return Err(argument(operation, each.as_str(), "argument_type", detail));
    };
    if elements.len() > LOOKUPS_MAX {
        let detail = format!("argument `{}` has more than {LOOKUPS_MAX} elements", each.as_str());
        return Err(argument(operation, each.as_str(), "argument_too_long", detail));
    }
    elements.iter().map(|element| ask(operation, lookup, args, element, key)).collect()
}

/// A name that the lookup needs and the arguments lack is an error now: later nobody could tell whether it was done.
pub(crate) fn ask(
    operation: &Operation,
    lookup: &Lookup,
    args: &Value,
    each: &Value,
    key: &str,
) -> Result<Ask, Error> {
    let fill = |template: &Template| -> Result<Value, Error> {
        let (from, path) = match template {
            Template::Constant(value) => return Ok(value.clone()),
            Template::Key => return Ok(Value::String(key.to_owned())),
            Template::Args(path) => (args, path),
            Template::Each(path) => (each, path),
            Template::Since => return Ok(Value::Null),
        };
        match path.find(from, None) {
            Found::Value(value) => Ok(value.clone()),
            Found::Null | Found::Missing => {
                let detail = format!("`{}` is needed to repeat this safely", path.as_str());
                Err(argument(operation, path.as_str(), "argument_missing", detail))
            }
        }
    };
    let given = |path: &Path| path.get(args).is_some_and(|value| value.as_str() != Some(""));
    let instead = lookup.instead.as_ref().filter(|other| given(&other.when));
    let with = instead.map_or(&lookup.with, |other| &other.with).iter();
    let with = with.filter(|(_, template)| !matches!(template, Template::Since));
    let with = with.map(|(name, value)| Ok((name.clone(), fill(value)?)));
    let wheres = lookup.r#where.iter().map(|(path, value)| Ok((path.as_str().to_owned(), fill(value)?)));
    Ok(Ask {
        with: Value::Object(with.collect::<Result<Map<_, _>, Error>>()?),
        instead: instead.is_some(),
        r#where: wheres.collect::<Result<Vec<_>, Error>>()?,
    })
}
