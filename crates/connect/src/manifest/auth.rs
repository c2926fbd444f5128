//! The `auth` section: how requests say who sends them.

use std::sync::Arc;

use url::Url;

use super::CredentialField;
use super::reader::{At, Fields, Reader};
use crate::auth::{Algorithm, Assertion, Auth, Endpoint, Grant, Kind, Login, Shown, Text};
use crate::manifest::Encoding;
use crate::path::Path;

const KINDS: [&str; 8] =
    ["bearer", "basic_user", "basic", "header", "query", "oauth2", "jwt_bearer", "session"];
/// What the kinds that are granted have in common.
const GRANTED: [&str; 7] =
    ["scopes", "scope_separator", "instance_url", "life_s", "refused", "header", "prefix"];
/// A credential in the place of a constant.
const FIELD: &str = "$credentials.";

/// What the section may refer to.
pub(super) struct Scope<'a> {
    pub credentials: &'a [CredentialField],
    pub hosts: &'a [String],
    pub base_url: Option<&'a Url>,
    pub title: String,
}

pub(super) fn section(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<Auth> {
    let fields = reader.fields(at, "`auth`", &KINDS);
    let known = scope.credentials;
    let mut given = KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?)));
    let Some((kind, at)) = given.next() else {
        reader.problem(at, "manifest_missing", format!("`auth` has one of {}", KINDS.join(", ")));
        return None;
    };
    if let Some((_, second)) = given.next() {
        reader.problem(&second, "manifest_twice", "`auth` has one kind");
    }
    match kind {
        "bearer" => credential(reader, &at, known).map(|field| Auth::Header {
            name: "Authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            field,
        }),
        "basic_user" => {
            credential(reader, &at, known).map(|field| Auth::Basic { user: Some(field), password: None })
        }
        "basic" => {
            let fields = reader.fields(&at, "`basic`", &["user", "password"]);
            let mut side =
                |name: &str| reader.required(&fields, name).and_then(|at| credential(reader, &at, known));
            let (user, password) = (side("user"), side("password"));
            Some(Auth::Basic { user: Some(user?), password: Some(password?) })
        }
        "header" => {
            let fields = reader.fields(&at, "`header`", &["name", "field", "prefix"]);
            let name = reader.required_text(&fields, "name");
            let field = reader.required(&fields, "field").and_then(|at| credential(reader, &at, known));
            let prefix = reader.optional_text(&fields, "prefix").unwrap_or_default();
            Some(Auth::Header { name, prefix, field: field? })
        }
        "query" => {
            let fields = reader.fields(&at, "`query`", &["name", "field"]);
            let name = reader.required_text(&fields, "name");
            let field = reader.required(&fields, "field").and_then(|at| credential(reader, &at, known));
            Some(Auth::Query { name, field: field? })
        }
        "oauth2" => granted(reader, &at, scope, "`oauth2`", &OAUTH2, oauth2),
        "jwt_bearer" => granted(reader, &at, scope, "`jwt_bearer`", &JWT, jwt_bearer),
        _ => granted(reader, &at, scope, "`session`", &SESSION, session),
    }
}

const OAUTH2: [&str; 8] = [
    "grant",
    "authorize",
    "token",
    "client_id",
    "client_secret",
    "client_auth",
    "parameters",
    "token_parameters",
];
const JWT: [&str; 9] = [
    "token",
    "algorithm",
    "key",
    "key_id",
    "issuer",
    "subject",
    "audience",
    "scope_in_assertion",
    "token_parameters",
];
const SESSION: [&str; 5] = ["login", "encoding", "body", "token", "cookie"];

type ReadKind = fn(&mut Reader<'_>, &Fields<'_>, &Scope<'_>, &[String]) -> Option<Kind>;

fn granted(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    scope: &Scope<'_>,
    what: &str,
    own: &[&str],
    read: ReadKind,
) -> Option<Auth> {
    let known: Vec<&str> = own.iter().chain(&GRANTED).copied().collect();
    let fields = reader.fields(at, what, &known);
    let scopes = fields.get("scopes").map(|at| reader.texts(&at)).unwrap_or_default();
    let kind = read(reader, &fields, scope, &scopes);
    let refused = match fields.get("refused") {
        Some(at) => statuses(reader, &at),
        None => vec![401],
    };
    let shown = match reader.optional_text(&fields, "cookie") {
        Some(name) => Shown::Cookie { name },
        None => {
            let name = reader.optional_text(&fields, "header").unwrap_or_else(|| "Authorization".to_owned());
            // A prefix may end in a space, or be nothing at all.
            let prefix = fields.get("prefix").and_then(|at| at.node.as_str().map(str::to_owned));
            Shown::Header { name, prefix: prefix.unwrap_or_else(|| "Bearer ".to_owned()) }
        }
    };
    let life_s = fields.get("life_s").map(|_| reader.count(&fields, "life_s", 1).cast_signed());
    Some(Auth::Granted(Arc::new(Grant {
        title: scope.title.clone(),
        hosts: scope.hosts.to_vec(),
        kind: kind?,
        shown,
        refused,
        life_s,
        instance_url: reader.optional_text(&fields, "instance_url"),
        scopes,
        separator: fields
            .get("scope_separator")
            .and_then(|at| at.node.as_str().map(str::to_owned))
            .unwrap_or_else(|| " ".to_owned()),
    })))
}

fn oauth2(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>, _: &[String]) -> Option<Kind> {
    let code = reader.required(fields, "grant").and_then(|at| {
        reader.choice(&at, "a grant", &[("authorization_code", true), ("client_credentials", false)])
    });
    let token = reader.required(fields, "token").and_then(|at| address(reader, &at, scope));
    let mut field = |name: &str| fields.get(name).and_then(|at| credential(reader, &at, scope.credentials));
    let (client_id, client_secret) = (field("client_id"), field("client_secret"));
    if client_id.is_none() && fields.get("client_id").is_none() {
        reader.required(fields, "client_id");
    }
    let in_body = match fields.get("client_auth") {
        None => false,
        Some(at) => {
            let ways = [("header", false), ("body", true)];
            reader.choice(&at, "where a client's credentials stand", &ways).unwrap_or_default()
        }
    };
    let parameters = texts(reader, fields, "token_parameters", scope);
    let endpoint = Endpoint { url: token?, client_id, client_secret, in_body, parameters };
    if !code? {
        return Some(Kind::Client { endpoint });
    }
    let authorize = reader.required(fields, "authorize").and_then(|at| address(reader, &at, scope));
    let parameters = texts(reader, fields, "parameters", scope);
    Some(Kind::Code { authorize: authorize?, parameters, endpoint })
}

fn jwt_bearer(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    scope: &Scope<'_>,
    scopes: &[String],
) -> Option<Kind> {
    let token = reader.required(fields, "token").and_then(|at| address(reader, &at, scope));
    let algorithm = reader
        .required(fields, "algorithm")
        .and_then(|at| reader.choice(&at, "an algorithm", &Algorithm::NAMES));
    let key = reader.required(fields, "key").and_then(|at| credential(reader, &at, scope.credentials));
    let issuer = reader.required(fields, "issuer").and_then(|at| text(reader, &at, scope));
    let audience = reader.required(fields, "audience").and_then(|at| text(reader, &at, scope));
    let key_id = fields.get("key_id").and_then(|at| text(reader, &at, scope));
    let subject = fields.get("subject").and_then(|at| text(reader, &at, scope));
    let in_assertion = reader.flag(fields, "scope_in_assertion", false);
    let parameters = texts(reader, fields, "token_parameters", scope);
    Some(Kind::Jwt {
        endpoint: Endpoint { url: token?, client_id: None, client_secret: None, in_body: false, parameters },
        assertion: Assertion {
            algorithm: algorithm?,
            key: key?,
            key_id,
            issuer: issuer?,
            subject,
            audience: audience?,
            scope: in_assertion.then(|| scopes.join(" ")),
        },
    })
}

fn session(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>, _: &[String]) -> Option<Kind> {
    let url = reader.required(fields, "login").and_then(|at| address(reader, &at, scope));
    let encoding = fields.get("encoding").and_then(|at| {
        reader.choice(&at, "an encoding", &[("json", Encoding::Json), ("form", Encoding::Form)])
    });
    let body = texts(reader, fields, "body", scope);
    let token: Option<Path> = fields.get("token").and_then(|at| reader.path(&at));
    if token.is_none() && fields.get("cookie").is_none() {
        reader.required(fields, "token");
    }
    Some(Kind::Session(Login { url: url?, encoding: encoding.unwrap_or(Encoding::Json), body, token }))
}

/// `https://…` at one of the manifest's hosts, or a path of its base URL.
fn address(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<Url> {
    let text = reader.text(at)?;
    let url = match (text.starts_with('/'), scope.base_url) {
        (true, Some(base)) => base.join(&text).ok(),
        (true, None) => return None,
        (false, _) => Url::parse(&text).ok(),
    };
    let fits = |url: &Url| {
        url.scheme() == "https" && crate::auth::admits(scope.hosts, url.host_str().unwrap_or_default())
    };
    if url.as_ref().is_none_or(|url| !fits(url)) {
        let message = format!("`{text}` is neither a path nor `https://` and one of `hosts`");
        reader.problem(at, "manifest_host", message);
        return None;
    }
    url
}

fn texts(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str, scope: &Scope<'_>) -> Vec<(String, Text)> {
    let entries = fields.get(name).map(|at| at.entries()).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(field, at)| Some((field.name.clone(), text(reader, &at, scope)?)))
        .collect()
}

fn text(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> Option<Text> {
    let text = reader.text(at)?;
    let Some(field) = text.strip_prefix(FIELD) else { return Some(Text::Constant(text)) };
    known(reader, at, field, scope.credentials).then(|| Text::Field(field.to_owned()))
}

fn statuses(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<u16> {
    let one = |at: &At<'_>| at.node.to_value().as_u64().and_then(|status| u16::try_from(status).ok());
    let items = if at.node.items().is_empty() { vec![at.clone()] } else { at.items() };
    let mut found = Vec::new();
    for item in items {
        match one(&item).filter(|status| (400..500).contains(status)) {
            Some(status) => found.push(status),
            None => reader.mistyped(&item, "a status from 400 to 499"),
        }
    }
    found
}

/// The name of a credential of this manifest.
pub(super) fn credential(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    credentials: &[CredentialField],
) -> Option<String> {
    let name = reader.text(at)?;
    known(reader, at, &name, credentials);
    Some(name)
}

fn known(reader: &mut Reader<'_>, at: &At<'_>, name: &str, credentials: &[CredentialField]) -> bool {
    let found = credentials.iter().any(|field| field.name == name);
    if !found {
        let known: Vec<&str> = credentials.iter().map(|field| field.name.as_str()).collect();
        reader.unknown(at.node.place, &at.pointer, "a credential of this manifest", name, &known);
    }
    found
}
