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

/// Policies that are a few secrets, and which.
const SIMPLE: &[(&str, &[&str])] =
    &[("basic", &["username", "password"]), ("bearer", &["token"]), ("digest", &["username", "password"])];
const POLICIES: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];
/// Exchanging a token for another one (RFC 8693).
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// How a token is asked for, and what that needs.
const GRANTS: &[(&str, &[&str])] = &[
    ("client_credentials", &["client"]),
    ("password", &["username", "password"]),
    ("refresh_token", &["subject"]),
    (EXCHANGE, &["subject"]),
];
/// How a client says who it is, and which of its secrets that needs.
const METHODS: &[(&str, Option<&str>)] = &[
    ("client_secret_basic", Some("secret")),
    ("client_secret_post", Some("secret")),
    ("client_secret_jwt", Some("secret")),
    ("private_key_jwt", Some("assertion")),
    ("none", None),
];
const ENCODINGS: [&str; 2] = ["application/x-www-form-urlencoded", "application/json"];
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

    /// A policy: one of [`POLICIES`].
    pub(super) fn policy(&mut self, at: &At<'a>) -> Option<Template> {
        self.only(at, "`authentication`", &POLICIES, &[]);
        let schemes: Vec<&str> = POLICIES.into_iter().filter(|scheme| at.get(scheme).is_some()).collect();
        let scheme = match schemes.as_slice() {
            [scheme] => *scheme,
            [] => {
                let message = format!("`authentication` needs one of `{}`", POLICIES.join("`, `"));
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
        match SIMPLE.iter().find(|(name, _)| *name == scheme) {
            Some((_, needed)) => {
                let read = self.simple(&body, scheme, needed)?;
                Some(Template::Object(vec![(scheme.to_owned(), read)]))
            }
            // Both are a token that is asked for; where, the one says and the other finds out.
            None => {
                let read = self.oauth2(&body, scheme)?;
                Some(Template::Object(vec![("oauth2".to_owned(), read)]))
            }
        }
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
            match body.get(name) {
                Some(field) => fields.push(((*name).to_owned(), self.credential(&field, name)?)),
                None => self.missing(body, &format!("`{what}`"), name),
            }
        }
        Some(Template::Object(fields))
    }

    /// A handle, or a computed text; a secret that is written out is a mistake.
    fn credential(&mut self, at: &At<'a>, name: &str) -> Option<Template> {
        if let Some(handle) = self.handle(at) {
            return handle;
        }
        let open = matches!(name, "username" | "id");
        if !open && at.node.as_str().is_some_and(|text| !is_expression(text)) {
            let message = format!("`{name}` is written out: everybody who reads the flow would know it");
            self.problem(at, "plain_secret", message);
        }
        self.template(at)
    }

    /// A token of OAuth 2: as `{token | issuer, grant, client, scope, audience, username, password, subject, actor, json,
    /// issuers}`, where `issuer` (`oidc`) is asked where tokens are given.
    fn oauth2(&mut self, body: &At<'a>, scheme: &str) -> Option<Template> {
        let what = format!("`{scheme}`");
        let known = [
            "authority",
            "grant",
            "client",
            "request",
            "issuers",
            "scopes",
            "audiences",
            "username",
            "password",
            "subject",
            "actor",
            "endpoints",
        ];
        // Where the endpoints of OpenID Connect are is found out.
        let known = if scheme == "oidc" { &known[..known.len() - 1] } else { &known[..] };
        self.only(body, &what, known, &["use"]);
        let authority = match body.get("authority") {
            Some(at) => {
                let text = self.literal(&at, "`authority`")?;
                if !text.starts_with("https://") && !text.starts_with("http://127.0.0.1") {
                    self.problem(&at, "wrong_name", format!("`{text}`: an authority begins with `https://`"));
                }
                text.trim_end_matches('/')
            }
            None => {
                self.missing(body, &what, "authority");
                return None;
            }
        };
        let mut fields = Vec::new();
        if scheme == "oidc" {
            fields.push(("issuer".to_owned(), literal(authority.into())));
        } else {
            let path = self.token_path(body);
            let token = format!("{authority}/{}", path.trim_start_matches('/'));
            fields.push(("token".to_owned(), literal(token.into())));
        }
        let grant = self.grant(body, &what)?;
        fields.push(("grant".to_owned(), literal(grant.into())));
        for (name, plural) in [("scope", "scopes"), ("audience", "audiences"), ("issuers", "issuers")] {
            if let Some(at) = body.get(plural) {
                let texts: Option<Vec<&str>> =
                    at.items().iter().map(|item| self.literal(item, &format!("`{plural}`"))).collect();
                let value = if name == "scope" { texts?.join(" ").into() } else { json!(texts?) };
                fields.push((name.to_owned(), literal(value)));
            }
        }
        if let Some(at) = body.get("request") {
            self.only(&at, "`request`", &["encoding"], &[]);
            let encoding = at.get("encoding").and_then(|at| self.one_of(&at, "encoding", &ENCODINGS));
            fields.push(("json".to_owned(), literal((encoding == Some(ENCODINGS[1])).into())));
        }
        for name in ["username", "password"] {
            if let Some(at) = body.get(name) {
                fields.push((name.to_owned(), self.credential(&at, name)?));
            }
        }
        for name in ["subject", "actor"] {
            if let Some(at) = body.get(name) {
                fields.push((name.to_owned(), self.held_token(&at, name)?));
            }
        }
        if let Some(client) = body.get("client") {
            fields.push(("client".to_owned(), self.client(&client)?));
        }
        Some(Template::Object(fields))
    }

    fn token_path(&mut self, body: &At<'a>) -> &'a str {
        let Some(at) = body.get("endpoints") else { return TOKEN_PATH };
        self.only(&at, "`endpoints`", &["token"], &["revocation", "introspection"]);
        at.get("token").and_then(|at| self.literal(&at, "`endpoints.token`")).unwrap_or(TOKEN_PATH)
    }

    /// The grant, and whether all that it needs is there.
    fn grant(&mut self, body: &At<'a>, what: &str) -> Option<&'a str> {
        let Some(at) = body.get("grant") else {
            self.missing(body, what, "grant");
            return None;
        };
        let text = self.literal(&at, "`grant`")?;
        let Some((_, needed)) = GRANTS.iter().find(|(grant, _)| *grant == text) else {
            let known: Vec<&str> = GRANTS.iter().map(|(grant, _)| *grant).collect();
            let why = match text {
                "authorization_code" => {
                    "needs a person in front of a browser: add a connection, whose connector keeps what is granted"
                        .to_owned()
                }
                _ => format!("is not supported; `{}` are", known.join("`, `")),
            };
            let suggestion = nearest(text, known).map(str::to_owned);
            let message = format!("`grant: {text}` {why}");
            self.report(at.node.place, &at.path, "unsupported", message, suggestion);
            return None;
        };
        for name in needed.iter().filter(|name| body.get(name).is_none()) {
            self.missing(body, &format!("`grant: {text}` of {what}"), name);
        }
        Some(text)
    }

    /// A token that is there already: `{token, type}`.
    fn held_token(&mut self, at: &At<'a>, name: &str) -> Option<Template> {
        self.only(at, &format!("`{name}`"), &["token", "type"], &[]);
        let mut fields = Vec::new();
        match at.get("token") {
            Some(token) => fields.push(("token".to_owned(), self.credential(&token, "token")?)),
            None => self.missing(at, &format!("`{name}`"), "token"),
        }
        if let Some(kind) = at.get("type") {
            fields.push(("type".to_owned(), literal(self.literal(&kind, "`type`")?.into())));
        }
        Some(Template::Object(fields))
    }

    /// Who asks: `{id, method, secret | assertion}`.
    fn client(&mut self, client: &At<'a>) -> Option<Template> {
        self.only(client, "`client`", &["id", "secret", "assertion", "authentication"], &[]);
        let names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
        let method = match client.get("authentication") {
            Some(at) => self.one_of(&at, "authentication", &names)?,
            None => names[0],
        };
        let secret = METHODS.iter().find(|(name, _)| *name == method).and_then(|(_, secret)| *secret);
        let needed: Vec<&str> = ["id"].into_iter().chain(secret).collect();
        let Some(Template::Object(mut fields)) = self.credentials(client, "client", &needed) else {
            return None;
        };
        for other in ["secret", "assertion"].into_iter().filter(|other| Some(*other) != secret) {
            if let Some(at) = client.get(other) {
                let message = format!("`authentication: {method}` of a client has no use for `{other}`");
                self.problem(&at, "unknown_field", message);
            }
        }
        fields.push(("method".to_owned(), literal(method.into())));
        Some(Template::Object(fields))
    }

    /// One of a few words.
    fn one_of(&mut self, at: &At<'a>, name: &str, known: &[&str]) -> Option<&'a str> {
        let text = self.literal(at, &format!("`{name}`"))?;
        if !known.contains(&text) {
            let message = format!("`{name}: {text}`: it is one of `{}`", known.join("`, `"));
            let suggestion = nearest(text, known.iter().copied()).map(str::to_owned);
            self.report(at.node.place, &at.path, "unsupported", message, suggestion);
            return None;
        }
        Some(text)
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
