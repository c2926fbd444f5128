//! One vendor after its manifest alone, in the two ways in which manifests differ most.

use serde_json::json;

use super::*;
use crate::faults::{Fault, Faults, Rates};

/// JSON, a bearer, the last record's id as the cursor, a natural key.
fn plain() -> Value {
    json!({
        "slug": "acme",
        "credentials": {"api_key": {"title": "Key", "test": ["test_"]}},
        "auth": {"bearer": "api_key"},
        "pagination": {"pages": {
            "items": "data", "more": "has_more", "next": {"last": "id"}, "send": "after", "size": {"limit": 100},
        }},
        "errors": {
            "code": ["error.code"],
            "detail": ["error.message"],
            "rules": [
                {"status": [401, 403], "class": "auth"},
                {"status": 404, "class": "not_found"},
                {"status": 422, "class": "conflict"},
                {"status": "5xx", "class": "retry"},
            ],
        },
        "operations": {
            "things.list": {"request": "GET /things", "pages": true, "params": {"limit": "integer", "color": "string"}},
            "things.retrieve": {"request": "GET /things/{thing}"},
            "things.create": {
                "request": "POST /things",
                "idempotency": {"natural_key": {"operation": "things.retrieve", "with": {"thing": "$args.id"}}},
            },
            "things.update": {"request": "PATCH /things/{thing}"},
            "things.delete": {"request": "DELETE /things/{thing}"},
            "things.cancel": {"request": "POST /things/{thing}/cancel"},
            "parts.list": {"request": "GET /things/{thing}/parts", "pages": {"items": "parts", "more": null, "next": {"at": "next"}, "send": "page"}},
            "parts.create": {"request": "POST /things/{thing}/parts", "idempotency": {"header": {"name": "Key"}}},
            "settings.read": {"request": "GET /settings"},
            "settings.write": {"request": "PUT /settings"},
            "things.upsert": {"upsert": {"find": {"operation": "things.list"}, "create": "things.create"}},
        },
    })
}

struct Client(Generic);

impl Client {
    fn of(manifest: &Value) -> Client {
        Client(Generic::new(manifest).unwrap())
    }

    fn request(&self, method: &str, target: &str, body: Value) -> Request {
        let key = &self.0.credentials()["api_key"];
        let request = Request::new(method, target).with_header("authorization", &format!("Bearer {key}"));
        if body.is_null() { request } else { request.with_body(body.to_string()) }
    }

    fn send(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        read(&self.0.handle(&self.request(method, target, body)))
    }
}

fn read(response: &Response) -> (u16, Value) {
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

#[test]
fn records_are_made_read_changed_and_taken_away() {
    let acme = Client::of(&plain());
    assert_eq!(
        acme.send("POST", "/things", json!({"id": "a", "color": "red"})),
        (201, json!({"id": "a", "color": "red"}))
    );
    assert_eq!(acme.send("GET", "/things/a", Value::Null).1["color"], "red");
    assert_eq!(
        acme.send("PATCH", "/things/a", json!({"size": 2})).1,
        json!({"id": "a", "color": "red", "size": 2})
    );
    assert_eq!(acme.send("POST", "/things/a/cancel", json!({})).1["last_action"], "cancel");
    let (status, taken) = acme.send("POST", "/things", json!({"id": "a"}));
    assert_eq!((status, &taken["error"]["code"]), (422, &json!("taken")), "as the manifest reads a conflict");
    assert_eq!(acme.send("DELETE", "/things/a", Value::Null).0, 200);
    let (status, gone) = acme.send("GET", "/things/a", Value::Null);
    assert_eq!((status, &gone["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(acme.send("POST", "/things", json!({"color": "blue"})).1["id"], "things_2", "it gives ids");
    assert_eq!(acme.send("PUT", "/settings", json!({"on": true})).0, 200);
    assert_eq!(acme.send("GET", "/settings", Value::Null).1, json!({"on": true}));
    assert_eq!(acme.send("GET", "/nowhere", Value::Null).0, 404);
}

#[test]
fn lists_go_on_as_the_manifest_says() {
    let acme = Client::of(&plain());
    for (id, color) in [("a", "red"), ("b", "blue"), ("c", "red"), ("d", "red")] {
        acme.send("POST", "/things", json!({"id": id, "color": color}));
    }
    let list = |target: &str| {
        let (_, page) = acme.send("GET", target, Value::Null);
        let ids: Vec<String> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        (ids.join(""), page["has_more"].clone())
    };
    assert_eq!(list("/things"), ("abcd".to_owned(), json!(false)));
    assert_eq!(list("/things?limit=3"), ("abc".to_owned(), json!(true)));
    assert_eq!(list("/things?limit=3&after=c"), ("d".to_owned(), json!(false)));
    assert_eq!(list("/things?color=red&limit=2"), ("ac".to_owned(), json!(true)));
    // What no record has does not narrow a list.
    assert_eq!(list("/things?expand=all"), ("abcd".to_owned(), json!(false)));
    for n in 0..25 {
        acme.send("POST", "/things/a/parts", json!({"n": n}));
    }
    let (_, first) = acme.send("GET", "/things/a/parts", Value::Null);
    assert_eq!((first["parts"].as_array().map(Vec::len), &first["next"]), (Some(20), &json!("20")));
    assert_eq!(first["parts"][0]["thing"], "a", "a part knows whose it is");
    let (_, second) = acme.send("GET", "/things/a/parts?page=20", Value::Null);
    assert_eq!((second["parts"].as_array().map(Vec::len), &second["next"]), (Some(5), &Value::Null));
    assert_eq!(acme.0.world()["/things"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_key_that_came_before_is_answered_as_then() {
    let acme = Client::of(&plain());
    acme.send("POST", "/things", json!({"id": "a"}));
    let make = |key: &str| {
        let request = acme.request("POST", "/things/a/parts", json!({"n": 1})).with_header("key", key);
        read(&acme.0.handle(&request)).1["id"].clone()
    };
    let first = make("k1");
    assert_eq!(make("k1"), first);
    assert_ne!(make("k2"), first);
}

#[test]
fn strangers_are_refused() {
    let acme = Client::of(&plain());
    let (status, body) = read(&acme.0.handle(&Request::new("GET", "/things")));
    assert_eq!((status, &body["error"]["code"]), (401, &json!("unauthorized")));
    assert_eq!(acme.0.credentials()["api_key"], "test_simulated-acme-api_key", "it looks like test mode");
    assert!(acme.0.seen().is_empty());
}

/// Forms, calls by name, everything a 200, a token that is granted, a body that is wrapped.
#[test]
fn another_kind_of_vendor() {
    let odd = Generic::new(&json!({
        "slug": "odd",
        "credentials": {"id": {}, "secret": {}},
        "auth": {"oauth2": {"grant": "client_credentials", "token": "/token", "client_id": "id", "client_secret": "secret"}},
        "errors": {
            "success": {"ok": true},
            "code": "error",
            "rules": [{"at": "error", "is": ["gone", "away"], "class": "not_found", "status": 200}],
        },
        "operations": {
            "notes.post": {"request": "POST /api/notes.post", "wrap": "note", "params": {"size": "integer!", "loud": "boolean"}},
            "notes.read": {"request": "GET /api/notes/{note}"},
        },
    }))
    .unwrap();
    let asks = |user: &str| {
        let client = access::basic(user, &odd.credentials()["secret"]);
        let request = Request::new("POST", "/token").with_header("authorization", &client);
        read(&odd.handle(&request.with_body("grant_type=client_credentials")))
    };
    assert_eq!(asks("somebody").0, 401);
    assert_eq!(read(&odd.handle(&Request::new("POST", "/token"))).0, 401);
    let granted = asks(&odd.credentials()["id"]).1;
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let send = |request: Request| read(&odd.handle(&request.with_header("authorization", &bearer)));
    let elsewhere = Request::new("GET", "/api/notes/7").with_header("x-token", &bearer);
    assert_eq!(read(&odd.handle(&elsewhere)).0, 401, "a token counts where the manifest shows it");
    let form = Request::new("POST", "/api/notes.post")
        .with_header("content-type", "application/x-www-form-urlencoded")
        .with_body("note[size]=3&note[tags][0]=a&note[tags][1]=b");
    let (status, made) = send(form);
    assert_eq!((status, &made["ok"], &made["tags"]), (201, &json!(true), &json!(["a", "b"])));
    let (status, refused) = send(Request::new("GET", "/api/notes/7"));
    assert_eq!((status, &refused["error"]), (200, &json!("gone")));
    assert_eq!(send(Request::new("POST", "/api/notes.post").with_body("[1]")).0, 400);
    assert!(Generic::new(&json!({"slug": "none"})).is_err());
}

/// What goes wrong before any twin goes wrong before this one.
#[test]
fn faults_come_between() {
    let acme = Client::of(&plain());
    let faulty = Faults::new(Arc::new(acme.0.clone()), 1, Rates::default());
    faulty.next(Fault::FailedAfterEffect(500));
    faulty.next(Fault::RateLimited { retry_after_s: Some(3) });
    assert_eq!(faulty.handle(&acme.request("POST", "/things", json!({"id": "a"}))).status, 500);
    let limited = faulty.handle(&acme.request("GET", "/things/a", Value::Null));
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("3")));
    assert_eq!(faulty.handle(&acme.request("GET", "/things/a", Value::Null)).status, 200, "it took effect");
}
