//! What holds for every address: who may ask, and how mistakes are told.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::app::TestApp;

#[tokio::test]
async fn the_network_needs_the_token() {
    let app = TestApp::start().await;
    let right = format!("Bearer {}", app.token);
    let wrong = format!("{right}x");
    for path in ["/v1/connections", "/v1/runs", "/v1/stats", "/metrics", "/v1/flows"] {
        for (header, expected) in [
            (None, 401),
            (Some(wrong.as_str()), 401),
            (Some("Bearer "), 401),
            (Some(app.token.as_str()), 401),
            (Some("Basic Zm9vOmJhcg=="), 401),
        ] {
            let mut request = Request::get(path).header("host", "localhost");
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let answer = app.request(request.body(Bytes::new()).expect("a request")).await;
            assert_eq!(answer.status, expected, "{path} {header:?}");
            assert_eq!(answer.problem(), "unauthorized");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(!answer.text.contains(&app.token));
        }
    }
    for path in ["/healthz", "/readyz"] {
        let request = Request::get(path).header("host", "localhost").body(Bytes::new()).expect("a request");
        assert_eq!(app.request(request).await.status, 200, "{path} needs none");
    }
    assert_eq!(app.get("/v1/stats").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn unknown_addresses_methods_and_bodies_are_problems() {
    let app = TestApp::start().await;
    for (method, path, body, status, code) in [
        (Method::GET, "/v1/nothing", Value::Null, 404, "route_unknown"),
        (Method::GET, "/", Value::Null, 404, "route_unknown"),
        (Method::DELETE, "/v1/stats", Value::Null, 405, "method_not_allowed"),
        (Method::POST, "/v1/flows", json!([1]), 400, "malformed_json"),
        (Method::POST, "/v1/flows", json!({"text": "x".repeat(1024 * 1024)}), 413, "body_too_large"),
        (Method::GET, "/v1/flows/none", Value::Null, 404, "flow_unknown"),
        (Method::POST, "/v1/flows/none/pause", Value::Null, 404, "flow_unknown"),
        (Method::GET, "/v1/runs/run_none", Value::Null, 404, "run_unknown"),
        (Method::POST, "/v1/runs/run_none/retry", Value::Null, 404, "run_unknown"),
        (Method::GET, "/v1/events/evt_none", Value::Null, 404, "event_unknown"),
        (Method::POST, "/v1/events/evt_none/replay", Value::Null, 404, "event_unknown"),
        (Method::GET, "/v1/templates/none", Value::Null, 404, "template_unknown"),
        (Method::GET, "/v1/connectors/strpe", Value::Null, 404, "connector_unknown"),
        (Method::GET, "/v1/events?limit=0", Value::Null, 422, "invalid_input"),
        (Method::GET, "/v1/events?outcome=lost", Value::Null, 422, "invalid_input"),
        (Method::GET, "/v1/events?since=yesterday", Value::Null, 422, "invalid_input"),
        (Method::GET, "/v1/runs?status=done", Value::Null, 422, "invalid_input"),
        (Method::GET, "/v1/runs?flows=x", Value::Null, 422, "invalid_input"),
        (Method::GET, "/v1/runs?cursor=x", Value::Null, 422, "invalid_input"),
    ] {
        let answer = app.rest(method.clone(), path, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{method} {path}");
    }
    let guess = app.get("/v1/connectors/strpe").await.json();
    assert!(guess["detail"].as_str().expect("text").contains("did you mean `stripe`"), "{guess}");
    app.stop().await;
}

#[tokio::test]
async fn numbers_are_there_for_people_and_for_prometheus() {
    let app = TestApp::start().await;
    let stats = app.get("/v1/stats").await.expect(200);
    for group in ["hooks", "events", "runs"] {
        assert!(stats[group].is_object(), "{stats}");
    }
    let metrics = app.get("/metrics").await;
    assert!(metrics.headers["content-type"].to_str().expect("text").starts_with("text/plain"));
    for name in
        ["tributary_hook_deliveries_total 0", "tributary_events_received_total 0", "tributary_runs_queued 0"]
    {
        assert!(metrics.text.contains(name), "{name}: {}", metrics.text);
    }
    app.stop().await;
}
