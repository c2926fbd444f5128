//! An operation of an OpenAPI document (2.0, 3.0, 3.1) made into a request.

use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{Egress, Output, Request, finish, http, perform, text_of};
use crate::error::Error;
use crate::transport::Transport;

/// References that are followed for one parameter.
const REFERENCES_MAX: usize = 8;
/// All but the unreserved characters of RFC 3986 are encoded in a path.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

pub async fn prepare(transport: &dyn Transport, egress: &Egress, with: &Value) -> Result<Request, Error> {
    let Some(address) = with["document"].as_str() else {
        return Err(Error::user("argument_type", "the OpenAPI document's address is not text"));
    };
    let asked = http(&serde_json::json!({"method": "GET", "uri": address}))?;
    let asked = Request { output: Output::Content, ..asked };
    let document = match perform(transport, egress, &asked, &Value::Null).await? {
        Value::String(text) => parsed(address, &text)?,
        document => document,
    };
    let wanted = with["operation"].as_str().unwrap_or_default();
    let Some((path, method, operation, shared)) = find(&document, wanted) else {
        return Err(Error::user("unknown_operation", format!("{address} has no operation `{wanted}`")));
    };
    let base = base(&document, operation, address)?;
    let empty = Map::new();
    let given = with["parameters"].as_object().unwrap_or(&empty);
    let mut build = Build::new(path, given);
    for parameter in shared.iter().chain(list(operation, "parameters")) {
        build.parameter(&document, resolve(&document, parameter))?;
    }
    if operation.get("requestBody").is_some() {
        build.body = given.get("body").cloned().or_else(|| build.rest());
    }
    let mut url = Url::parse(&format!("{}{}", base.trim_end_matches('/'), build.path))
        .map_err(|error| Error::user("argument_type", format!("{address}: `{base}`: {error}")))?;
    for (name, value) in &build.query {
        url.query_pairs_mut().append_pair(name, value);
    }
    if !build.form.is_empty() && build.body.is_none() {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&build.form).finish();
        build.headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        build.body = Some(form.into());
    }
    finish(method.to_ascii_uppercase(), url, build.headers, build.body.as_ref(), with)
}

/// A document that is not JSON is YAML.
fn parsed(address: &str, text: &str) -> Result<Value, Error> {
    let node = flow::yaml::parse(address, text).map_err(|problems| {
        let why = problems.first().map(ToString::to_string).unwrap_or_default();
        Error::fatal("answer_unreadable", format!("the OpenAPI document can't be read: {why}"))
    })?;
    Ok(node.to_value())
}

type Found<'d> = (&'d str, &'d str, &'d Value, &'d [Value]);

fn find<'d>(document: &'d Value, wanted: &str) -> Option<Found<'d>> {
    document["paths"].as_object()?.iter().find_map(|(path, item)| {
        let (method, operation) = METHODS.iter().find_map(|method| {
            item.get(*method)
                .filter(|operation| operation["operationId"] == *wanted)
                .map(|found| (*method, found))
        })?;
        Some((path.as_str(), method, operation, list(item, "parameters")))
    })
}

fn list<'d>(of: &'d Value, name: &str) -> &'d [Value] {
    of[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn resolve<'d>(document: &'d Value, mut value: &'d Value) -> &'d Value {
    for _ in 0..REFERENCES_MAX {
        let target = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        match target.and_then(|pointer| document.pointer(pointer)) {
            Some(found) => value = found,
            None => break,
        }
    }
    value
}

/// Where the operation's paths begin: the first server (3.x), or scheme, host and base path (2.0).
fn base(document: &Value, operation: &Value, address: &str) -> Result<String, Error> {
    let origin = Url::parse(address).map_err(|error| Error::user("argument_type", error.to_string()))?;
    if document.get("swagger").is_some() {
        let schemes: Vec<&str> = list(document, "schemes").iter().filter_map(Value::as_str).collect();
        let scheme =
            if schemes.contains(&"https") || schemes.is_empty() { origin.scheme() } else { schemes[0] };
        let scheme = if schemes.contains(&"https") { "https" } else { scheme };
        let host = match document["host"].as_str() {
            Some(host) => host.to_owned(),
            None => origin.authority().to_owned(),
        };
        return Ok(format!("{scheme}://{host}{}", document["basePath"].as_str().unwrap_or_default()));
    }
    let server = list(operation, "servers").first().or_else(|| list(document, "servers").first());
    let Some(server) = server else { return Ok(origin.origin().ascii_serialization()) };
    let mut text = server["url"].as_str().unwrap_or("/").to_owned();
    for (name, variable) in server["variables"].as_object().into_iter().flatten() {
        text = text.replace(&format!("{{{name}}}"), variable["default"].as_str().unwrap_or_default());
    }
    let joined =
        origin.join(&text).map_err(|error| Error::user("argument_type", format!("`{text}`: {error}")))?;
    Ok(joined.into())
}

struct Build<'g> {
    given: &'g Map<String, Value>,
    used: Vec<String>,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    form: Vec<(String, String)>,
    body: Option<Value>,
}

impl<'g> Build<'g> {
    fn new(path: &str, given: &'g Map<String, Value>) -> Self {
        Self {
            given,
            used: Vec::new(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            form: Vec::new(),
            body: None,
        }
    }

    fn parameter(&mut self, document: &Value, parameter: &Value) -> Result<(), Error> {
        let name = parameter["name"].as_str().unwrap_or_default();
        let place = parameter["in"].as_str().unwrap_or_default();
        let Some(value) = self.given.get(name).filter(|value| !value.is_null()) else {
            if parameter["required"] == true {
                return Err(Error::user("argument_missing", format!("parameter `{name}` must be given")));
            }
            return Ok(());
        };
        self.used.push(name.to_owned());
        if place == "body" {
            self.body = Some(value.clone());
            return Ok(());
        }
        let schema = resolve(document, &parameter["schema"]);
        let multi = parameter["collectionFormat"] == "multi"
            || (parameter["collectionFormat"].is_null() && (schema["type"] == "array" || place == "query"));
        let texts: Vec<String> = match value {
            Value::Array(items) => items.iter().filter_map(text_of).collect(),
            value => text_of(value).into_iter().collect(),
        };
        if texts.is_empty() {
            return Err(Error::user(
                "argument_type",
                format!("parameter `{name}` is neither text nor a number"),
            ));
        }
        match place {
            "path" => {
                let joined = texts.join(",");
                let text = percent_encoding::utf8_percent_encode(&joined, UNRESERVED).to_string();
                self.path = self.path.replace(&format!("{{{name}}}"), &text);
            }
            "query" if multi => self.query.extend(texts.into_iter().map(|text| (name.to_owned(), text))),
            "query" => self.query.push((name.to_owned(), texts.join(","))),
            "header" => self.headers.push((name.to_owned(), texts.join(","))),
            "formData" => self.form.push((name.to_owned(), texts.join(","))),
            _ => {
                let why = format!("parameter `{name}`: `in: {place}` is not supported");
                return Err(Error::user("argument_choice", why));
            }
        }
        Ok(())
    }

    /// What was given and is no parameter, as the body.
    fn rest(&self) -> Option<Value> {
        let rest: Map<String, Value> = self
            .given
            .iter()
            .filter(|(name, _)| !self.used.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (!rest.is_empty()).then_some(Value::Object(rest))
    }
}
