//! Credentials of a simulated account, and the tokens that it grants.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::plan::{Plan, path, put};
use crate::wire::{Request, Response};

/// The ways in which a vendor grants tokens, and where it does.
const GRANTS: [(&str, &str); 3] = [("oauth2", "token"), ("jwt_bearer", "token"), ("session", "login")];

/// What a connection holds: a text of its own for each credential, which opens nothing else.
pub fn credentials(slug: &str, manifest: &Value) -> BTreeMap<String, String> {
    let fields = manifest["credentials"].as_object().into_iter().flatten();
    let text = |name: &str, field: &Value| {
        let test = match &field["test"] {
            Value::Array(all) => all.first().and_then(Value::as_str).unwrap_or_default(),
            one => one.as_str().unwrap_or_default(),
        };
        format!("{test}simulated-{slug}-{name}")
    };
    fields.map(|(name, field)| (name.clone(), text(name, field))).collect()
}

/// The token that every grant gives.
fn token(credentials: &BTreeMap<String, String>) -> String {
    let names: Vec<&str> = credentials.values().map(String::as_str).collect();
    format!("granted-{}", names.join("-"))
}

/// The answer to a request for a token, if that is what it is.
pub fn grant(plan: &Plan, credentials: &BTreeMap<String, String>, request: &Request) -> Option<Response> {
    let (way, at) = GRANTS.iter().find(|(way, _)| plan.auth[*way].is_object())?;
    let address = plan.auth[*way][*at].as_str()?;
    let address = match address.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => address,
    };
    if request.method != "POST" || request.path != address {
        return None;
    }
    let token = token(credentials);
    let mut body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
    if *way == "oauth2" && plan.auth[*way]["grant"] == "authorization_code" {
        body["refresh_token"] = format!("{token}-again").into();
    }
    if let Some(place) = plan.auth[*way]["token"].as_str().filter(|_| *way == "session") {
        put(&mut body, &path(place), token.clone().into());
    }
    let answer = Response::json(200, &body);
    Some(match plan.auth[*way]["cookie"].as_str() {
        Some(cookie) => answer.with_header("set-cookie", &format!("{cookie}={token}; Path=/")),
        None => answer,
    })
}

/// Whether a request shows what a connection holds.
pub fn admits(plan: &Plan, credentials: &BTreeMap<String, String>, request: &Request) -> bool {
    let auth = &plan.auth;
    let held = |name: &Value| name.as_str().and_then(|name| credentials.get(name)).map(String::as_str);
    let shown = |name: &str| request.header(name).unwrap_or_default();
    if let Some(secret) = held(&auth["bearer"]) {
        return shown("authorization") == format!("Bearer {secret}");
    }
    if let Some(user) = held(&auth["basic_user"]) {
        return shown("authorization") == basic(user, "");
    }
    if let (Some(user), Some(password)) = (held(&auth["basic"]["user"]), held(&auth["basic"]["password"])) {
        return shown("authorization") == basic(user, password);
    }
    if let (Some(name), Some(secret)) = (auth["header"]["name"].as_str(), held(&auth["header"]["field"])) {
        return shown(name) == format!("{}{secret}", auth["header"]["prefix"].as_str().unwrap_or_default());
    }
    if let (Some(name), Some(secret)) = (auth["query"]["name"].as_str(), held(&auth["query"]["field"])) {
        let mut parameters = form_urlencoded::parse(request.query.as_bytes());
        return parameters.any(|(given, value)| given == name && value == secret);
    }
    if GRANTS.iter().any(|(way, _)| auth[*way].is_object()) {
        let token = token(credentials);
        return request.headers.iter().any(|(_, value)| value.contains(&token));
    }
    true
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
