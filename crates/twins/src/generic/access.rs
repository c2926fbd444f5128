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
    if !is_shown(&plan.auth[*way], credentials, request) {
        return Some(plan.refusal("auth", 401, "invalid_client", "these are not the credentials"));
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

/// Whether a request for a token shows the credentials that the manifest says are shown: in the header or in the body, for
/// a client; in the body, for a login. An assertion is only looked for: what signs it is not shown.
fn is_shown(auth: &Value, credentials: &BTreeMap<String, String>, request: &Request) -> bool {
    let given = given(request);
    let is_given = |value: &str| given.iter().any(|one| one == value);
    let held = |name: &str| credentials.get(name).map(String::as_str);
    let client = ["client_id", "client_secret"].map(|name| auth[name].as_str().and_then(held));
    let client_fits = match (client, auth["client_auth"] == "body") {
        ([Some(id), Some(secret)], false) => request.header("authorization") == Some(&basic_form(id, secret)),
        (client, _) => client.into_iter().flatten().all(is_given),
    };
    let stated = [&auth["body"], &auth["token_parameters"]];
    let mut named = stated
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|members| members.values())
        .filter_map(|text| held(text.as_str()?.strip_prefix("$credentials.")?));
    let grant = match auth["grant"].as_str() {
        Some("client_credentials") => is_given("client_credentials"),
        Some(_) => is_given("authorization_code") || is_given("refresh_token"),
        None => auth["algorithm"].is_null() || given.iter().any(|one| one.split('.').count() == 3),
    };
    client_fits && named.all(is_given) && grant
}

/// The values in a body, a form's or those of a JSON object.
fn given(request: &Request) -> Vec<String> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(members)) => {
            members.values().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        }
        _ => form_urlencoded::parse(&request.body).map(|(_, value)| value.into_owned()).collect(),
    }
}

/// As OAuth 2 has it: both parts are form-encoded first.
fn basic_form(user: &str, password: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    basic(&encoded(user), &encoded(password))
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
    if let Some((way, _)) = GRANTS.iter().find(|(way, _)| auth[*way].is_object()) {
        let (stated, token) = (&auth[*way], token(credentials));
        if let Some(cookie) = stated["cookie"].as_str() {
            let is = format!("{cookie}={token}");
            return shown("cookie").split(';').any(|one| one.trim() == is);
        }
        let prefix = stated["prefix"].as_str().unwrap_or("Bearer ");
        return shown(stated["header"].as_str().unwrap_or("authorization")) == format!("{prefix}{token}");
    }
    true
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
