use super::*;
use crate::transport::BoxFuture;
use serde_json::json;
use std::sync::Mutex;

mod tokens;

/// Answers by path, and remembers what came.
struct Web {
    seen: Mutex<Vec<wire::Request>>,
    answer: fn(&wire::Request) -> (u16, &'static str, String),
}

impl Transport for Web {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        let (status, kind, body) = (self.answer)(&request);
        self.seen.lock().unwrap().push(request);
        // What is no content type is the question of a refusal.
        let name = if status == 401 && !kind.contains('/') { "WWW-Authenticate" } else { "Content-Type" };
        let headers = vec![(name.to_owned(), kind.to_owned())];
        Box::pin(std::future::ready(Ok(wire::Response { status, headers, body: body.into() })))
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}

fn egress(hosts: &[&str]) -> Egress {
    Egress::new(hosts.iter().map(|host| (*host).to_owned())).unwrap()
}

#[test]
fn only_allowed_hosts_are_called() {
    let egress = egress(&["api.example.com", "*.shop.test", "127.0.0.1:8080"]);
    for (address, allowed) in [
        ("https://api.example.com/x", true),
        ("https://API.example.com/x", true),
        ("https://api.example.com:443/x", true),
        ("https://api.example.com:8443/x", false),
        ("http://api.example.com/x", false),
        ("https://evil.test/?api.example.com", false),
        ("https://api.example.com.evil.test/", false),
        ("https://api.example.com@evil.test/", false),
        ("https://user:pass@api.example.com/", false),
        ("https://eu.shop.test/", true),
        ("https://a.eu.shop.test/", true),
        ("https://shop.test/", false),
        ("https://evilshop.test/", false),
        ("http://127.0.0.1:8080/", true),
        ("http://127.0.0.1:8081/", false),
        ("http://2130706433:8080/", true),
        ("http://localhost:8080/", false),
        ("http://169.254.169.254/latest/meta-data", false),
        ("http://[::1]:8080/", false),
        ("file:///etc/passwd", false),
        ("ftp://api.example.com/", false),
    ] {
        assert_eq!(egress.check(&Url::parse(address).unwrap()).is_ok(), allowed, "{address}");
    }
    assert!(Egress::new(["https://x.test".to_owned()]).is_err());
    assert!(Egress::default().check(&Url::parse("https://x.test").unwrap()).is_err());
}

fn call(
    operation: &str,
    with: Value,
    answer: fn(&wire::Request) -> (u16, &'static str, String),
) -> (Result<Value, Error>, Vec<wire::Request>) {
    let web = Web { seen: Mutex::default(), answer };
    let egress = egress(&["x.test", "api.x.test"]);
    let result = ready(async {
        let request = Request::prepare(&web, &egress, operation, &with).await?;
        perform(&web, &egress, &request, &with).await
    });
    (result, web.seen.into_inner().unwrap())
}

#[test]
fn a_call_is_sent_as_it_says() {
    let with = json!({
        "method": "POST",
        "uri": "https://x.test/a?b=1",
        "query": {"q": "ä b", "n": 2, "none": null},
        "headers": {"X-Own": "y"},
        "body": {"a": [1]},
        "authentication": {"basic": {"username": "u", "password": "p"}},
    });
    let (output, seen) =
        call("http", with.clone(), |_| (201, "application/json; charset=utf-8", r#"{"id":7}"#.to_owned()));
    assert_eq!(output.unwrap(), json!({"id": 7}));
    let request = &seen[0];
    assert_eq!(request.url.as_str(), "https://x.test/a?b=1&q=%C3%A4+b&n=2");
    assert_eq!((request.method.as_str(), &request.body[..]), ("POST", &br#"{"a":[1]}"#[..]));
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    assert_eq!((header("x-own"), header("content-type")), (Some("y"), Some("application/json")));
    assert_eq!(header("authorization"), Some("Basic dTpw"));
    // What is journalled has no credentials.
    let web = Web { seen: Mutex::default(), answer: |_| (200, "", String::new()) };
    let prepared = ready(Request::prepare(&web, &egress(&[]), "http", &with)).unwrap();
    assert!(prepared.writes() && !serde_json::to_string(&prepared).unwrap().contains("dTpw"));
}

#[test]
fn outputs_are_content_raw_or_the_whole_response() {
    let with = |output: &str| json!({"method": "GET", "uri": "https://x.test/a", "output": output, "redirect": true});
    let answer: fn(&wire::Request) -> (u16, &'static str, String) = |_| (200, "text/plain", "hi".to_owned());
    assert_eq!(call("http", with("content"), answer).0.unwrap(), json!("hi"));
    assert_eq!(call("http", with("raw"), answer).0.unwrap(), json!("aGk="));
    let whole = call("http", with("response"), answer).0.unwrap();
    assert_eq!(
        (&whole["statusCode"], &whole["content"], &whole["request"]["method"]),
        (&json!(200), &json!("hi"), &json!("get"))
    );
    assert_eq!(call("http", with("content"), |_| (302, "", String::new())).0.unwrap(), Value::Null);
}

#[test]
fn refusals_keep_their_status_and_redirects_are_not_followed() {
    let get = json!({"method": "GET", "uri": "https://x.test/a"});
    for (status, class, unknown) in
        [(404, Class::NotFound, false), (302, Class::User, false), (503, Class::Retry { after: None }, false)]
    {
        let answer: fn(&wire::Request) -> (u16, &'static str, String) = match status {
            404 => |_| (404, "application/json", r#"{"why":"gone"}"#.to_owned()),
            302 => |_| (302, "", String::new()),
            _ => |_| (503, "", String::new()),
        };
        let (result, seen) = call("http", get.clone(), answer);
        let error = result.unwrap_err();
        assert_eq!((error.status, error.class, error.unknown, seen.len()), (Some(status), class, unknown, 1));
    }
    for (with, code) in [
        (json!({"method": "GET", "uri": "https://evil.test/"}), "host_refused"),
        (json!({"method": "GET", "uri": 3}), "argument_type"),
        (
            json!({"method": "GET", "uri": "https://x.test", "headers": {"Host": "evil.test"}}),
            "argument_choice",
        ),
        (json!({"method": "GET", "uri": "https://x.test", "headers": {"X": "a\r\nb"}}), "argument_choice"),
        (json!({"method": "GET", "uri": "https://x.test", "query": [1]}), "argument_type"),
    ] {
        let (result, seen) = call("http", with, |_| (200, "", String::new()));
        assert_eq!((result.unwrap_err().code.as_str(), seen.len()), (code, 0));
    }
}

const SERVICE: &str = "
openapi: 3.0.3
servers: [{url: 'https://api.x.test/{version}', variables: {version: {default: v3}}}]
paths:
  /things/{id}:
    parameters: [{$ref: '#/components/parameters/Id'}]
    post:
      operationId: changeThing
      parameters:
      - {name: tags, in: query, schema: {type: array}}
      - {name: X-Trace, in: header}
      requestBody: {content: {application/json: {}}}
components: {parameters: {Id: {name: id, in: path, required: true}}}
";

#[test]
fn an_openapi_operation_becomes_a_request() {
    let answer: fn(&wire::Request) -> (u16, &'static str, String) = |request| match request.url.path() {
        "/openapi.yaml" => (200, "application/yaml", SERVICE.to_owned()),
        _ => (200, "application/json", "[1]".to_owned()),
    };
    let with = |parameters: Value| json!({"document": "https://x.test/openapi.yaml", "operation": "changeThing", "parameters": parameters});
    let (output, seen) =
        call("openapi", with(json!({"id": "a/b", "tags": ["x", "y"], "X-Trace": 1, "name": "n"})), answer);
    assert_eq!(output.unwrap(), json!([1]));
    assert_eq!(seen[1].url.as_str(), "https://api.x.test/v3/things/a%2Fb?tags=x&tags=y");
    assert_eq!(&seen[1].body[..], br#"{"name":"n"}"#);
    assert!(seen[1].headers.contains(&("X-Trace".to_owned(), "1".to_owned())));
    assert_eq!(call("openapi", with(json!({})), answer).0.unwrap_err().code, "argument_missing");
    let other = json!({"document": "https://x.test/openapi.yaml", "operation": "none"});
    assert_eq!(call("openapi", other, answer).0.unwrap_err().code, "unknown_operation");
}

#[test]
fn an_older_openapi_document_says_its_host_itself() {
    let answer: fn(&wire::Request) -> (u16, &'static str, String) = |request| {
        match request.url.path() {
        "/swagger.json" => (200, "application/json", json!({
            "swagger": "2.0", "host": "api.x.test", "basePath": "/v2", "schemes": ["http", "https"],
            "paths": {"/login": {"post": {"operationId": "login", "parameters": [{"name": "user", "in": "formData"}]}}},
        }).to_string()),
        _ => (200, "", String::new()),
    }
    };
    let with = json!({"document": "https://x.test/swagger.json", "operation": "login", "parameters": {"user": "a&b"}});
    let (output, seen) = call("openapi", with, answer);
    assert_eq!(output.unwrap(), Value::Null);
    assert_eq!(
        (seen[1].url.as_str(), &seen[1].body[..]),
        ("https://api.x.test/v2/login", &b"user=a%26b"[..])
    );
}

const ACME: &str = "manifest: 1
slug: acme
title: Acme
version: 1.0.0
summary: Things.
base_url: https://api.acme.example
hosts: [api.acme.example, id.acme.example]
credentials:
  key: {title: Key, help: Somewhere.}
  id: {title: Id, help: Somewhere.}
auth: {bearer: key}
errors: {rules: [{status: 4xx, class: user}]}
operations:
  things.list: {summary: List things, request: GET /things, effects: read}
check: things.list
";
const KEY: &str = "the-key-of-acme-1234";

fn wallet() -> Wallet {
    let manifest = crate::Manifest::parse("acme.yaml", ACME).unwrap();
    let credentials = [("key", KEY), ("id", "client-7")];
    let connection = crate::Connection {
        name: "acme-live".to_owned(),
        connector: "acme".to_owned(),
        live: true,
        base_url: None,
        credentials: credentials.map(|(name, text)| (name.to_owned(), crate::Secret::new(text))).into(),
        access: None,
    };
    let mut wallet = Wallet::default();
    wallet.add("acme", std::sync::Arc::new(connection), &manifest);
    wallet
}

fn call_as(
    with: Value,
    answer: fn(&wire::Request) -> (u16, &'static str, String),
) -> (Result<Value, Error>, Vec<wire::Request>, Value) {
    let web = Web { seen: Mutex::default(), answer };
    let (egress, wallet) = (egress(&["x.test"]), wallet());
    assert_eq!(connections(&with).into_iter().collect::<Vec<_>>(), ["acme"]);
    let request = ready(Request::prepare(&web, &egress, "http", &with)).unwrap();
    let kept = serde_json::to_value(&request).unwrap();
    let result = ready(perform_as(&web, &egress, &wallet, &request, &with));
    (result, web.seen.into_inner().unwrap(), kept)
}

fn sent<'r>(request: &'r wire::Request, name: &str) -> Option<&'r str> {
    request
        .headers
        .iter()
        .find(|(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn secret(field: &str) -> Value {
    json!({"$secret": {"connection": "acme", "field": field}})
}

/// An answer that says everything that it was asked.
fn echo(request: &wire::Request) -> (u16, &'static str, String) {
    (200, "application/json", json!({"heard": request.headers}).to_string())
}

#[test]
fn a_secret_is_opened_for_its_own_hosts_kept_nowhere_and_masked() {
    for with in [
        json!({"authentication": {"bearer": {"token": secret("key")}}}),
        json!({"authentication": {"basic": {"username": "me", "password": secret("key")}}}),
        json!({"headers": {"X-Api-Key": secret("key"), "X-Kind": "a"}}),
    ] {
        let at = |uri: &str| {
            let mut with = with.clone();
            with["method"] = "POST".into();
            with["uri"] = uri.into();
            call_as(with, echo)
        };
        let (result, seen, kept) = at("https://api.acme.example/things");
        let heard = result.unwrap().to_string();
        assert!(!heard.contains(KEY) && !kept.to_string().contains(KEY), "{heard} {kept}");
        let said = sent(&seen[0], "authorization").or(sent(&seen[0], "x-api-key")).unwrap();
        let pair = format!(
            "Basic {}",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("me:{KEY}"))
        );
        assert!([KEY, &format!("Bearer {KEY}"), &pair].contains(&said), "{said}");
        // Allowed by the operator, and not the connector's: the secret stays.
        let (result, seen, _) = at("https://x.test/things");
        let error = result.unwrap_err();
        assert_eq!((error.code.as_str(), seen.len()), ("host_refused", 0));
        assert!(error.detail.contains("api.acme.example") && !error.detail.contains(KEY), "{}", error.detail);
        for elsewhere in
            ["http://api.acme.example/", "https://api.acme.example:8443/", "https://acme.example/"]
        {
            assert_eq!(at(elsewhere).0.unwrap_err().code, "host_refused", "{elsewhere}");
        }
    }
    let with = json!({"method": "GET", "uri": "https://api.acme.example/", "headers": {"a": secret("kee")}});
    assert_eq!(call_as(with, echo).0.unwrap_err().code, "credential_missing");
}

#[test]
fn a_token_is_asked_for_as_the_client_itself() {
    let with = |method: &str| {
        json!({
            "method": "GET",
            "uri": "https://api.acme.example/things",
            "authentication": {"oauth2": {
                "token": "https://id.acme.example/oauth2/token",
                "grant": "client_credentials",
                "client": {"id": secret("id"), "secret": secret("key"), "method": method},
                "scope": "read write",
            }},
        })
    };
    let give = |request: &wire::Request| {
        let kind = "application/json";
        match request.url.host_str() {
            Some("id.acme.example") => {
                (200, kind, json!({"access_token": "t0k3n", "token_type": "Bearer"}).to_string())
            }
            _ => (200, kind, "{}".to_owned()),
        }
    };
    let (result, seen, _) = call_as(with("client_secret_basic"), give);
    assert_eq!((result.unwrap(), seen.len()), (json!({}), 2));
    assert_eq!(seen[0].body, "grant_type=client_credentials&scope=read+write");
    assert!(sent(&seen[0], "authorization").unwrap().starts_with("Basic "));
    assert_eq!(sent(&seen[1], "authorization"), Some("Bearer t0k3n"));
    let (_, seen, _) = call_as(with("client_secret_post"), give);
    let body = String::from_utf8_lossy(&seen[0].body).into_owned();
    assert!(body.ends_with(&format!("&client_id=client-7&client_secret={KEY}")), "{body}");
    let refuse =
        |_: &wire::Request| (401, "application/json", json!({"error": format!("not {KEY}")}).to_string());
    let (result, seen, _) = call_as(with("client_secret_basic"), refuse);
    let error = result.unwrap_err();
    assert_eq!((&error.class, error.unknown, seen.len()), (&Class::Auth, false, 1));
    assert!(!error.to_string().contains(KEY), "{error}");
}
