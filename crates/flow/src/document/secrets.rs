//! Reads who calls: authentication policies and secrets, which are handles that only `connect` opens.
//!
//! `${ $secrets.<connection>.<field> }` stands alone, where text of a policy or a header is wanted, and becomes
//! `{"$secret": {"connection", "field"}}`. `use: <connection>` in a policy stands for all of its fields.

use serde_json::{Value, json};
use std::sync::Arc;

use super::parse::{At, Reader};
use super::plain_secret;
use super::task::Template;
use crate::expression::is_expression;
use crate::nearest::nearest;

/// Policies, and what each needs.
const SIMPLE: &[(&str, &[&str])] = &[("basic", &["username", "password"]), ("bearer", &["token"])];
/// Where tokens are given, below the authority, unless the flow says otherwise: as the specification has it.
const TOKEN_PATH: &str = "/oauth2/token";

impl<'a> Reader<'a> {
    /// The headers of a call of plain HTTP.
    pub(super) fn headers(&mut self, at: &At<'a>) -> Option<Template> {
        let mut fields = Vec::new();
        for (name, place, value) in at.fields() {
            let read = match self.handle(&value) {
                Some(handle) => handle,
                None => {
                    let written = value.node.as_str().is_some_and(|text| !is_expression(text));
                    if written && plain_secret::is_header(name) {
                        let message = format!(
                            "`{name}` is written out: everybody who reads the flow would know what is in it"
                        );
                        self.advise(place, &value.path, "plain_secret", message);
                    }
                    self.template(&value)
                }
            };
            fields.push((name.to_owned(), read));
        }
        let fields = fields.into_iter().map(|(name, read)| Some((name, read?)));
        fields.collect::<Option<_>>().map(Template::Object)
    }

    /// A policy: `basic`, `bearer` or `oauth2`.
    pub(super) fn policy(&mut self, at: &At<'a>) -> Option<Template> {
        self.only(at, "`authentication`", &["basic", "bearer", "oauth2"], &["digest", "oidc"]);
        let schemes: Vec<&str> =
            ["basic", "bearer", "oauth2"].into_iter().filter(|scheme| at.get(scheme).is_some()).collect();
        let scheme = match schemes.as_slice() {
            [scheme] => *scheme,
            [] => {
                let message = "`authentication` needs `basic`, `bearer` or `oauth2`".to_owned();
                self.problem(at, "missing_field", message);
                return None;
            }
            [first, other, ..] => {
                let message = format!("`authentication` is either `{first}` or `{other}`");
                self.problem(at, "ambiguous_task", message);
                return None;
            }
        };
        let body = at.get(scheme)?;
        let read = match SIMPLE.iter().find(|(name, _)| *name == scheme) {
            Some((_, needed)) => self.simple(&body, scheme, needed),
            None => self.oauth2(&body),
        };
        read.map(|read| Template::Object(vec![(scheme.to_owned(), read)]))
    }

    fn simple(&mut self, body: &At<'a>, scheme: &str, needed: &[&str]) -> Option<Template> {
        let known: Vec<&str> = needed.iter().copied().chain(["use"]).collect();
        self.only(body, &format!("`{scheme}`"), &known, &[]);
        if let Some(name) = body.get("use") {
            let connection = self.literal(&name, "`use`")?;
            self.declared(&name, connection);
            let fields = needed.iter().map(|field| ((*field).to_owned(), handle_of(connection, field)));
            return Some(Template::Object(fields.collect()));
        }
        self.credentials(body, scheme, needed)
    }

    /// Fields that all must be there; all but names of users are secrets.
    fn credentials(&mut self, body: &At<'a>, what: &str, needed: &[&str]) -> Option<Template> {
        let mut fields = Vec::new();
        for name in needed {
            let Some(field) = body.get(name) else {
                self.missing(body, &format!("`{what}`"), name);
                continue;
            };
            let read = match self.handle(&field) {
                Some(handle) => handle,
                None => {
                    let open = matches!(*name, "username" | "id");
                    if !open && field.node.as_str().is_some_and(|text| !is_expression(text)) {
                        let message =
                            format!("`{name}` is written out: everybody who reads the flow would know it");
                        self.problem(&field, "plain_secret", message);
                    }
                    self.template(&field)
                }
            };
            fields.push(((*name).to_owned(), read?));
        }
        Some(Template::Object(fields))
    }

    /// OAuth 2 as the client itself (`client_credentials`): as `{token, client, scope, audience, in_body}`.
    fn oauth2(&mut self, body: &At<'a>) -> Option<Template> {
        let unsupported = ["use", "issuers", "username", "password", "subject", "actor", "request"];
        let known = ["authority", "grant", "client", "scopes", "audiences", "endpoints"];
        self.only(body, "`oauth2`", &known, &unsupported);
        let authority = match body.get("authority") {
            Some(at) => {
                let text = self.literal(&at, "`authority`")?;
                if !text.starts_with("https://") && !text.starts_with("http://127.0.0.1") {
                    self.problem(&at, "wrong_name", format!("`{text}`: an authority begins with `https://`"));
                }
                text.trim_end_matches('/')
            }
            None => {
                self.missing(body, "`oauth2`", "authority");
                return None;
            }
        };
        match body.get("grant") {
            Some(at) => match self.literal(&at, "`grant`") {
                None | Some("client_credentials") => {}
                Some(other) => {
                    let message = format!("`grant: {other}` is not supported; `client_credentials` is");
                    self.problem(&at, "unsupported", message);
                }
            },
            None => self.missing(body, "`oauth2`", "grant"),
        }
        let path = match body.get("endpoints") {
            Some(at) => {
                self.only(&at, "`endpoints`", &["token"], &["revocation", "introspection"]);
                at.get("token").and_then(|at| self.literal(&at, "`endpoints.token`")).unwrap_or(TOKEN_PATH)
            }
            None => TOKEN_PATH,
        };
        let token = format!("{authority}/{}", path.trim_start_matches('/'));
        let mut fields = vec![("token".to_owned(), literal(token.into()))];
        for (name, plural) in [("scope", "scopes"), ("audience", "audiences")] {
            if let Some(at) = body.get(plural) {
                let texts: Option<Vec<&str>> =
                    at.items().iter().map(|item| self.literal(item, &format!("`{plural}`"))).collect();
                fields.push((name.to_owned(), literal(texts?.join(" ").into())));
            }
        }
        fields.extend(self.client(body)?);
        Some(Template::Object(fields))
    }

    fn client(&mut self, body: &At<'a>) -> Option<Vec<(String, Template)>> {
        let Some(client) = body.get("client") else {
            self.missing(body, "`oauth2`", "client");
            return None;
        };
        self.only(&client, "`client`", &["id", "secret", "authentication"], &["assertion"]);
        let mut fields = vec![("client".to_owned(), self.credentials(&client, "client", &["id", "secret"])?)];
        if let Some(at) = client.get("authentication") {
            match self.literal(&at, "`authentication`") {
                None | Some("client_secret_basic") => {}
                Some("client_secret_post") => fields.push(("in_body".to_owned(), literal(true.into()))),
                Some(other) => {
                    let known = "`client_secret_basic` and `client_secret_post` are";
                    let message = format!("`authentication: {other}` of a client is not supported; {known}");
                    self.problem(&at, "unsupported", message);
                }
            }
        }
        Some(fields)
    }

    /// `${ $secrets.<connection>.<field> }` as a handle; `None` if it is something else.
    fn handle(&mut self, at: &At<'a>) -> Option<Option<Template>> {
        let text = at.node.as_str()?.trim();
        let inner = text.strip_prefix("${")?.strip_suffix('}')?.trim().strip_prefix("$secrets.")?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        let (connection, field) = inner.split_once('.').filter(|(one, other)| plain(one) && plain(other))?;
        self.declared(at, connection);
        Some(Some(handle_of(connection, field)))
    }

    fn declared(&mut self, at: &At<'a>, connection: &str) {
        if !self.reusable.secrets.contains(connection) {
            let near =
                nearest(connection, self.reusable.secrets.iter().map(String::as_str)).map(str::to_owned);
            let message = format!("`use.secrets` names no connection `{connection}`");
            self.report(at.node.place, &at.path, "unknown_reference", message, near);
        }
    }
}

fn handle_of(connection: &str, field: &str) -> Template {
    literal(json!({"$secret": {"connection": connection, "field": field}}))
}

fn literal(value: Value) -> Template {
    Template::Literal(Arc::new(value))
}
