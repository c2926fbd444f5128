//! The hosts that kits call, answered in memory: a pet store, a service that asks for a password, one that echoes.

use connect::wire::{Request, Response};
use connect::{BoxFuture, Transport, TransportError};
use serde_json::{Value, json};

/// The hosts that stand here.
pub const HOSTS: &[&str] = &["petstore.swagger.io", "httpbin.org", "service.test", "issuer.test"];

pub struct StandIn;

impl Transport for StandIn {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let (status, body) = answer(&request);
        let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        if status == 401 && request.url.path().starts_with("/digest") {
            let question = "Digest realm=\"kit\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
            headers.push(("WWW-Authenticate".to_owned(), question.to_owned()));
        }
        Box::pin(std::future::ready(Ok(Response {
            status,
            headers,
            body: body.to_string().into_bytes().into(),
        })))
    }
}

/// The result of a future that waits for nothing.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn answer(request: &Request) -> (u16, Value) {
    let path: Vec<&str> = request.url.path().trim_matches('/').split('/').collect();
    match (request.url.host_str().unwrap_or_default(), path.as_slice()) {
        ("petstore.swagger.io", ["v2", rest @ ..]) => pets(request, rest),
        ("httpbin.org", ["basic-auth", user, password]) => {
            use base64::Engine as _;
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            if header(request, "authorization") == Some(&format!("Basic {pair}")) {
                (200, json!({"authenticated": true, "user": user}))
            } else {
                (401, json!({"authenticated": false}))
            }
        }
        ("service.test", ["digest"]) => match header(request, "authorization") {
            Some(said) if said.starts_with("Digest username=\"u\", realm=\"kit\"") => {
                (200, json!({"known": true}))
            }
            _ => (401, Value::Null),
        },
        ("issuer.test", [".well-known", "openid-configuration"]) => {
            (200, json!({"issuer": "https://issuer.test", "token_endpoint": "https://issuer.test/token"}))
        }
        ("issuer.test", ["token"]) => {
            (200, json!({"access_token": "token-of-the-issuer", "asked": request.body.len()}))
        }
        ("service.test", ["status", status]) => (status.parse().unwrap_or(500), json!({"status": status})),
        ("service.test", path) => {
            let query: serde_json::Map<String, Value> =
                request.url.query_pairs().map(|(name, value)| (name.into_owned(), value.into())).collect();
            let body: Value = serde_json::from_slice(&request.body)
                .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into_owned().into());
            (
                200,
                json!({
                    "method": request.method,
                    "path": path.join("/"),
                    "query": query,
                    "kind": header(request, "x-kind"),
                    "authorization": header(request, "authorization"),
                    "body": body,
                }),
            )
        }
        _ => (404, json!({"message": "no such address"})),
    }
}

fn header<'r>(request: &'r Request, wanted: &str) -> Option<&'r String> {
    request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

fn pets(request: &Request, path: &[&str]) -> (u16, Value) {
    let pet = |id: u64, status: &str| json!({"id": id, "name": format!("Pet {id}"), "status": status, "photoUrls": []});
    match path {
        ["swagger.json"] => (200, description()),
        ["pet", "findByStatus"] => {
            let status = request.url.query_pairs().find(|(name, _)| name == "status");
            match status {
                Some((_, status)) => (200, json!([pet(1, &status), pet(2, &status)])),
                None => (400, json!({"message": "which status?"})),
            }
        }
        ["pet", id] => match id.parse() {
            Ok(id) => (200, pet(id, "available")),
            Err(_) => (404, json!({"message": "no such pet"})),
        },
        _ => (404, json!({"message": "no such address"})),
    }
}

/// The pet store in OpenAPI 2.0, as far as kits call it.
fn description() -> Value {
    let status = json!({"name": "status", "in": "query", "required": true, "type": "array", "collectionFormat": "multi"});
    json!({
        "swagger": "2.0",
        "host": "petstore.swagger.io",
        "basePath": "/v2",
        "schemes": ["https"],
        "paths": {
            "/pet/findByStatus": {"get": {"operationId": "findPetsByStatus", "parameters": [status]}},
            "/pet/{petId}": {"get": {
                "operationId": "getPetById",
                "parameters": [{"name": "petId", "in": "path", "required": true, "type": "integer"}],
            }},
        },
    })
}
