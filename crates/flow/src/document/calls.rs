//! Reads what reaches the world without a connector: `call: http`, `call: openapi` and `emit`.
//!
//! Each becomes a call of an operation of that name. Its arguments are one form, whatever forms the document may use:
//! `http` has `method, uri, headers, query, body, output, redirect, authentication`; `openapi` has `document` (an
//! address), `operation, parameters, output, redirect, authentication`; `emit` is the event.

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::parse::{At, Reader, escape};
use super::plain_secret;
use super::task::{Action, Template, UriPart};
use crate::expression::is_expression;
use crate::nearest::nearest;
use crate::yaml::{Kind, Node};

/// Methods of `call: http`.
const METHODS: &[&str] = &["get", "head", "options", "post", "put", "patch", "delete"];
const OUTPUTS: &[&str] = &["content", "raw", "response"];
/// Attributes of a CloudEvent; others are extensions, whose names are lower-case letters and digits.
const ATTRIBUTES: &[&str] =
    &["id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data", "specversion"];

impl<'a> Reader<'a> {
    /// `call: http`.
    pub(super) fn http(&mut self, with: &At<'a>) -> Option<Action> {
        let known = ["method", "endpoint", "headers", "query", "body", "output", "redirect"];
        self.only(with, "`with` of `call: http`", &known, &[]);
        let mut fields = Vec::new();
        match with.get("method") {
            Some(at) => {
                let text = self.literal(&at, "`method`").unwrap_or("get").to_ascii_lowercase();
                if !METHODS.contains(&text.as_str()) {
                    let suggestion = nearest(&text, METHODS.iter().copied()).map(str::to_owned);
                    let message = format!("`{text}` is not a method of HTTP that can be called");
                    self.report(at.node.place, &at.path, "wrong_type", message, suggestion);
                }
                fields.push(("method".to_owned(), text_literal(&text.to_ascii_uppercase())));
            }
            None => self.missing(with, "`call: http`", "method"),
        }
        match with.get("endpoint") {
            Some(at) => fields.extend(self.endpoint(&at, "uri")),
            None => self.missing(with, "`call: http`", "endpoint"),
        }
        for name in ["headers", "query"] {
            let Some(at) = with.get(name) else { continue };
            if !matches!(at.node.kind, Kind::Map(_)) && !at.node.as_str().is_some_and(is_expression) {
                self.expected(&at, &format!("`{name}`"), "a mapping");
            }
            if name == "headers" && matches!(at.node.kind, Kind::Map(_)) {
                fields.push((name.to_owned(), self.headers(&at)?));
                continue;
            }
            fields.push((name.to_owned(), self.template(&at)?));
        }
        if let Some(at) = with.get("body") {
            fields.push(("body".to_owned(), self.template(&at)?));
        }
        fields.extend(self.output_of_call(with));
        Some(Action::Call { operation: "http".to_owned(), with: Template::Object(fields) })
    }

    /// `call: openapi`.
    pub(super) fn openapi(&mut self, with: &At<'a>) -> Option<Action> {
        let known = ["document", "operationId", "parameters", "authentication", "output", "redirect"];
        self.only(with, "`with` of `call: openapi`", &known, &[]);
        let mut fields = Vec::new();
        match with.get("document") {
            Some(document) => {
                self.only(&document, "`document`", &["endpoint", "name"], &[]);
                match document.get("endpoint") {
                    Some(at) => {
                        let endpoint = self.endpoint(&at, "document");
                        fields.extend(endpoint.into_iter().filter(|(name, _)| name == "document"));
                    }
                    None => self.missing(&document, "`document`", "endpoint"),
                }
            }
            None => self.missing(with, "`call: openapi`", "document"),
        }
        match with.get("operationId") {
            Some(at) => fields.push(("operation".to_owned(), self.template(&at)?)),
            None => self.missing(with, "`call: openapi`", "operationId"),
        }
        if let Some(at) = with.get("parameters") {
            if !matches!(at.node.kind, Kind::Map(_)) && !at.node.as_str().is_some_and(is_expression) {
                self.expected(&at, "`parameters`", "a mapping");
            }
            fields.push(("parameters".to_owned(), self.template(&at)?));
        }
        if let Some(at) = with.get("authentication") {
            fields.extend(self.authentication(&at).map(|read| ("authentication".to_owned(), read)));
        }
        fields.extend(self.output_of_call(with));
        Some(Action::Call { operation: "openapi".to_owned(), with: Template::Object(fields) })
    }

    /// `emit`.
    pub(super) fn emit(&mut self, at: &At<'a>) -> Option<Action> {
        self.only(at, "`emit`", &["event"], &[]);
        let Some(event) = at.get("event") else {
            self.missing(at, "`emit`", "event");
            return None;
        };
        self.only(&event, "`event`", &["with"], &[]);
        let Some(with) = event.get("with") else {
            self.missing(&event, "`event`", "with");
            return None;
        };
        if !matches!(with.node.kind, Kind::Map(_)) {
            self.expected(&with, "`with` of an event", "a mapping");
            return None;
        }
        for name in ["source", "type"] {
            if with.get(name).is_none() {
                self.missing(&with, "an event", name);
            }
        }
        for (name, place, field) in with.fields() {
            if !ATTRIBUTES.contains(&name)
                && !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            {
                let suggestion = nearest(name, ATTRIBUTES.iter().copied()).map(str::to_owned);
                let message =
                    format!("`{name}` can't be an attribute of an event: lower-case letters and digits can");
                self.report(place, &field.path, "wrong_name", message, suggestion);
            }
        }
        self.template(&with).map(|with| Action::Call { operation: "emit".to_owned(), with })
    }

    fn output_of_call(&mut self, with: &At<'a>) -> Vec<(String, Template)> {
        let mut fields = Vec::new();
        if let Some(at) = with.get("output")
            && let Some(text) = self.literal(&at, "`output`")
        {
            if !OUTPUTS.contains(&text) {
                let suggestion = nearest(text, OUTPUTS.iter().copied()).map(str::to_owned);
                let message = format!("`output: {text}`: it is `content`, `raw` or `response`");
                self.report(at.node.place, &at.path, "wrong_type", message, suggestion);
            }
            fields.push(("output".to_owned(), text_literal(text)));
        }
        if let Some(at) = with.get("redirect") {
            match at.node.kind {
                Kind::Bool(redirect) => {
                    fields.push(("redirect".to_owned(), Template::Literal(Arc::new(redirect.into()))));
                }
                _ => self.expected(&at, "`redirect`", "true or false"),
            }
        }
        fields
    }

    /// An address, as text or as `{uri, authentication}`; it is called `name`.
    fn endpoint(&mut self, at: &At<'a>, name: &str) -> Vec<(String, Template)> {
        let mut fields = Vec::new();
        let address = match &at.node.kind {
            Kind::Map(_) => {
                self.only(at, "`endpoint`", &["uri", "authentication"], &[]);
                if let Some(authentication) = at.get("authentication") {
                    let read = self.authentication(&authentication);
                    fields.extend(read.map(|read| ("authentication".to_owned(), read)));
                }
                match at.get("uri") {
                    Some(uri) => uri,
                    None => {
                        self.missing(at, "`endpoint`", "uri");
                        return fields;
                    }
                }
            }
            _ => at.clone(),
        };
        fields.extend(self.address(&address).map(|address| (name.to_owned(), address)));
        fields
    }

    /// An address: an expression, or text in which `{name}` is a field of the task's input (RFC 6570, level 1).
    fn address(&mut self, at: &At<'a>) -> Option<Template> {
        let text = self.text(at, "an address")?;
        if is_expression(text) {
            return self.template(at);
        }
        if !text.starts_with("https://") && !text.starts_with("http://") {
            self.problem(at, "wrong_name", format!("`{text}` is not an address of the web (`https://…`)"));
            return None;
        }
        if plain_secret::in_address(text) {
            let message = "the address has a password in it: everybody who reads the flow would know it";
            self.advise(at.node.place, &at.path, "plain_secret", message.to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                self.problem(at, "wrong_name", format!("`{text}`: a `{{` is not closed"));
                return None;
            };
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain {
                let message = format!(
                    "`{{{name}}}`: only a field's name can stand in braces; compute the rest with `${{ … }}`"
                );
                self.problem(at, "wrong_name", message);
                return None;
            }
            parts.push(UriPart::Text(before.to_owned()));
            parts.push(UriPart::Field(name.to_owned()));
            rest = after;
        }
        parts.push(UriPart::Text(rest.to_owned()));
        Some(if parts.len() == 1 { text_literal(text) } else { Template::Uri(parts) })
    }

    /// An authentication policy, inline or by its name in `use.authentications`.
    fn authentication(&mut self, at: &At<'a>) -> Option<Template> {
        if let Some(name_at) = at.get("use") {
            self.only(at, "`authentication`", &["use"], &[]);
            let name = self.literal(&name_at, "`use`")?;
            let Some(node) = self.reusable.authentications.get(name).copied() else {
                let known = self.reusable.authentications.keys().map(String::as_str);
                let suggestion = nearest(name, known).map(str::to_owned);
                let message = format!("`use.authentications` has no policy named `{name}`");
                self.report(name_at.node.place, &name_at.path, "unknown_reference", message, suggestion);
                return None;
            };
            return self.policy(&At { node, path: format!("/use/authentications/{}", escape(name)) });
        }
        self.policy(at)
    }

    /// `use.authentications`, for its mistakes even where nothing uses it.
    pub(super) fn authentications(&mut self) {
        let all: BTreeMap<String, &'a Node> = self.reusable.authentications.clone();
        for (name, node) in all {
            drop(self.policy(&At { node, path: format!("/use/authentications/{}", escape(&name)) }));
        }
    }
}

fn text_literal(text: &str) -> Template {
    Template::Literal(Arc::new(Value::String(text.to_owned())))
}
