//! Lists that go on.

use connect::{Connection, Manifest, Secret, perform, prepare};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::stage::{Stage, call};

fn page(ids: &[&str], more: bool) -> Value {
    let data: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    json!({"object": "list", "data": data, "has_more": more})
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let stage = Stage::json([page(&["a", "b"], true), page(&["c"], true), page(&[], false)]);
    let output = call(&stage, "stripe.charges.list", json!({"customer": "cus_1"})).await.expect("all pages");
    assert_eq!(output, json!({"items": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}));
    assert_eq!(
        stage.lines(),
        [
            "GET /v1/charges?customer=cus_1&limit=100",
            "GET /v1/charges?customer=cus_1&limit=100&starting_after=b",
            "GET /v1/charges?customer=cus_1&limit=100&starting_after=c",
        ]
    );
}

#[tokio::test]
async fn only_the_first_page_where_that_is_wanted() {
    let stage = Stage::json([page(&["a", "b"], true)]);
    let output =
        call(&stage, "stripe.charges.list", json!({"page": "first", "limit": 2})).await.expect("a page");
    assert_eq!(output, json!({"items": [{"id": "a"}, {"id": "b"}], "more": true, "next": "b"}));
    let stage = Stage::json([page(&["a"], false)]);
    let output = call(&stage, "stripe.charges.list", json!({"page": "first"})).await.expect("a page");
    assert_eq!(output, json!({"items": [{"id": "a"}], "more": false, "next": null}));
}

/// A page is asked for by what the one before it said.
#[tokio::test]
async fn a_cursor_is_where_reading_begins() {
    let stage = Stage::json([page(&["c"], true), page(&["d"], false)]);
    let with = json!({"page": "first", "cursor": "b c", "customer": "cus_1"});
    let output = call(&stage, "stripe.charges.list", with).await.expect("a page");
    assert_eq!(output, json!({"items": [{"id": "c"}], "more": true, "next": "c"}));
    let rest = call(&stage, "stripe.charges.list", json!({"cursor": "c"})).await.expect("the rest");
    assert_eq!(rest, json!({"items": [{"id": "d"}]}));
    assert_eq!(
        stage.lines(),
        [
            "GET /v1/charges?customer=cus_1&limit=100&starting_after=b%20c",
            "GET /v1/charges?limit=100&starting_after=c",
        ]
    );
}

/// What is in memory together is bounded by its size too.
#[tokio::test]
async fn heavy_lists_end_at_the_limit() {
    let heavy = |id: &str| {
        let text = "x".repeat(5 << 20);
        json!({"object": "list", "data": [{"id": id, "text": text}], "has_more": true})
    };
    let stage = Stage::json(["a", "b", "c", "d", "e"].map(heavy));
    let error = call(&stage, "stripe.charges.list", json!({})).await.expect_err("too heavy");
    assert_eq!((error.code.as_str(), stage.asked().len()), ("list_too_long", 4));
    assert!(error.detail.contains("16 MiB") && error.detail.contains("page: stream"), "{}", error.detail);
}

#[tokio::test]
async fn lists_that_lead_nowhere_are_errors() {
    for (operation, answers, code) in [
        ("stripe.charges.list", vec![page(&["a"], true), page(&["a"], true)], "pages_loop"),
        (
            "stripe.charges.list",
            vec![page(&["a"], true), page(&["b"], true), page(&["a"], true)],
            "pages_loop",
        ),
        ("stripe.charges.list", vec![page(&[], true)], "pages_broken"),
        ("stripe.charges.list", vec![json!({"data": []})], "answer_unexpected"),
        ("stripe.charges.list", vec![json!({"has_more": false})], "answer_unexpected"),
        ("stripe.charges.list", vec![json!({"data": {}, "has_more": false})], "answer_unexpected"),
        (
            "chartmogul.plans.list",
            vec![json!({"plans": [], "cursor": null, "has_more": true})],
            "pages_broken",
        ),
        ("chartmogul.plans.list", vec![json!({"plans": [], "cursor": "c"})], "answer_unexpected"),
    ] {
        let error = call(&Stage::json(answers.clone()), operation, json!({})).await.expect_err(code);
        assert_eq!(error.code, code, "{answers:?}");
        assert_eq!(error.class.name(), "fatal", "{answers:?}");
    }
}

/// One call fetches as many pages as the manifest allows and no more.
#[tokio::test]
async fn endless_lists_end_at_the_limit() {
    let answers = (0..600).map(|n| page(&[&format!("ch_{n}")], true));
    let stage = Stage::json(answers);
    let error = call(&stage, "stripe.charges.list", json!({})).await.expect_err("endless");
    assert_eq!(error.code, "list_too_long");
    assert_eq!(stage.asked().len(), 500);
}

#[tokio::test]
async fn a_failed_page_fails_the_call() {
    let stage = Stage::new([
        crate::stage::answer(200, &page(&["a"], true).to_string()),
        crate::stage::answer(500, "oops"),
    ]);
    let error = call(&stage, "stripe.charges.list", json!({})).await.expect_err("half a list");
    assert_eq!((error.class.name(), error.unknown), ("retry", false));
}

fn nested(id: &str, items: &[&str], more: bool) -> Value {
    let data: Vec<Value> = items.iter().map(|id| json!({"id": id})).collect();
    let url = format!("/v1/subscription_items?subscription={id}");
    json!({"id": id, "items": {"object": "list", "data": data, "has_more": more, "url": url}})
}

#[tokio::test]
async fn lists_inside_records_are_completed() {
    let stage = Stage::json([
        json!({"data": [nested("sub_1", &["si_1"], false), nested("sub_2", &["si_2"], true)], "has_more": false}),
        page(&["si_3"], true),
        page(&["si_4"], false),
    ]);
    let output = call(&stage, "stripe.subscriptions.list", json!({})).await.expect("everything");
    let ids = |index: usize| -> Vec<Value> {
        let items = output["items"][index]["items"]["data"].as_array().expect("a list");
        items.iter().map(|item| item["id"].clone()).collect()
    };
    assert_eq!((ids(0), ids(1)), (vec![json!("si_1")], vec![json!("si_2"), json!("si_3"), json!("si_4")]));
    assert_eq!(output["items"][1]["items"]["has_more"], false);
    assert_eq!(
        stage.lines()[1..],
        [
            "GET /v1/subscription_items?subscription=sub_2&starting_after=si_2&limit=100",
            "GET /v1/subscription_items?subscription=sub_2&starting_after=si_3&limit=100",
        ]
    );
}

/// A vendor that repeats the whole address of a request repeats the credential in it: that is told to nobody.
#[tokio::test]
async fn the_address_of_the_next_page_is_told_without_the_credential() {
    let text = crate::lint::SOUND
        .replace("auth: {bearer: key}", "auth: {query: {name: access_token, field: key}}")
        .replace("more: has_more, next: {last: id}", "next: {url: paging.next}");
    let manifest = Manifest::parse("acme.yaml", &text).expect("sound");
    let next = "https://api.acme.example/things?after=b&access_token=s3cret&limit=2";
    let one = json!({"data": [{"id": "b"}], "paging": {"next": next}});
    let stage = Stage::json([one.clone(), one, json!({"data": [{"id": "c"}], "paging": {}})]);
    let connection = Connection {
        name: "acme".into(),
        connector: "acme".into(),
        live: true,
        base_url: None,
        credentials: [("key".to_owned(), Secret::new("s3cret"))].into(),
        access: None,
    };
    let list = manifest.operation("acme.things.list").expect("a list");
    let called = async |with: Value| {
        let prepared = prepare(&manifest, list, &with, "").expect("it can be sent");
        perform(&stage, &connection, &manifest, list, &prepared, Timestamp::UNIX_EPOCH).await.expect("a page")
    };
    let first = called(json!({"page": "first"})).await;
    assert_eq!(first["next"], "https://api.acme.example/things?after=b&limit=2");
    assert_eq!(called(json!({})).await, json!({"items": [{"id": "b"}, {"id": "c"}]}));
    assert_eq!(stage.lines()[2], "GET /things?after=b&limit=2&access_token=s3cret", "it is shown anew");
}

/// The address comes from the answer: it can name a path, never another host.
#[tokio::test]
async fn an_address_in_an_answer_leads_to_no_other_host() {
    for (url, asked) in [
        ("//evil.example/v1/items", 1),
        ("https://evil.example/v1/items", 1),
        ("@evil.example/", 1),
        ("/v1/@evil.example", 2),
    ] {
        let mut subscription = nested("sub_1", &["si_1"], true);
        subscription["items"]["url"] = url.into();
        let stage = Stage::json([subscription, page(&["si_2"], false)]);
        let result = call(&stage, "stripe.subscriptions.retrieve", json!({"subscription": "sub_1"})).await;
        assert_eq!(stage.asked().len(), asked, "{url}");
        assert_eq!(result.is_ok(), asked == 2, "{url}");
        for request in stage.asked() {
            assert_eq!(request.url.host_str(), Some("api.stripe.com"), "{url}");
        }
    }
}

#[tokio::test]
async fn endless_lists_inside_records_end_too() {
    let answers = std::iter::once(nested("sub_1", &["si_x"], true))
        .chain((0..600).map(|n| page(&[&format!("si_{n}")], true)));
    let stage = Stage::json(answers);
    let error = call(&stage, "stripe.subscriptions.retrieve", json!({"subscription": "s"}))
        .await
        .expect_err("endless");
    assert_eq!(error.code, "list_too_long");
    let stage = Stage::json([nested("sub_1", &["a"], true), page(&["b"], true), page(&["a"], true)]);
    let error = call(&stage, "stripe.subscriptions.retrieve", json!({"subscription": "s"}))
        .await
        .expect_err("a loop");
    assert_eq!(error.code, "pages_loop");
}
