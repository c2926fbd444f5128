//! What answers mean.

use connect::{Class, TransportError};
use serde_json::{Value, json};

use crate::stage::{Stage, answer, call};

struct Row {
    operation: &'static str,
    args: Value,
    status: u16,
    body: &'static str,
    class: &'static str,
    code: &'static str,
    detail: &'static str,
    unknown: bool,
}

fn row(
    (operation, args): (&'static str, Value),
    status: u16,
    body: &'static str,
    (class, code, detail): (&'static str, &'static str, &'static str),
    unknown: bool,
) -> Row {
    Row { operation, args, status, body, class, code, detail, unknown }
}

#[tokio::test]
async fn errors_are_classified() {
    let read = || ("stripe.customers.retrieve", json!({"customer": "cus_1"}));
    let write = || ("stripe.refunds.create", json!({"charge": "ch_1"}));
    let mogul = || ("chartmogul.data_sources.create", json!({"name": "Stripe"}));
    let post = || ("slack.messages.post", json!({"channel": "C1", "text": "Hello"}));
    for row in [
        row(
            read(),
            400,
            r#"{"error":{"code":"parameter_invalid_integer","message":"No.","type":"invalid_request_error"}}"#,
            ("user", "parameter_invalid_integer", "No."),
            false,
        ),
        row(
            read(),
            401,
            r#"{"error":{"message":"Invalid API Key","type":"invalid_request_error"}}"#,
            ("auth", "invalid_request_error", "Invalid API Key"),
            false,
        ),
        row(
            read(),
            403,
            r#"{"error":{"message":"No permission","type":"invalid_request_error"}}"#,
            ("auth", "invalid_request_error", "No permission"),
            false,
        ),
        row(
            read(),
            404,
            r#"{"error":{"code":"resource_missing","message":"No such customer"}}"#,
            ("not_found", "resource_missing", "No such customer"),
            false,
        ),
        row(
            write(),
            402,
            r#"{"error":{"code":"card_declined","message":"Declined","type":"card_error"}}"#,
            ("user", "card_declined", "Declined"),
            false,
        ),
        row(
            write(),
            409,
            r#"{"error":{"code":"idempotency_key_in_use","message":"Busy"}}"#,
            ("retry", "idempotency_key_in_use", "Busy"),
            true,
        ),
        row(
            write(),
            409,
            r#"{"error":{"type":"invalid_request_error","message":"Changed"}}"#,
            ("conflict", "invalid_request_error", "Changed"),
            false,
        ),
        row(
            write(),
            400,
            r#"{"error":{"type":"idempotency_error","message":"Other parameters"}}"#,
            ("fatal", "idempotency_error", "Other parameters"),
            false,
        ),
        row(
            write(),
            429,
            r#"{"error":{"code":"lock_timeout","message":"Locked"}}"#,
            ("retry", "lock_timeout", "Locked"),
            false,
        ),
        row(
            write(),
            500,
            r#"{"error":{"type":"api_error","message":"Oops"}}"#,
            ("retry", "api_error", "Oops"),
            true,
        ),
        row(
            write(),
            502,
            "<html>Bad gateway</html>",
            ("retry", "http_502", "<html>Bad gateway</html>"),
            true,
        ),
        row(read(), 503, "", ("retry", "http_503", ""), false),
        row(write(), 418, "{}", ("user", "http_418", ""), false),
        row(write(), 302, "", ("fatal", "http_302", ""), false),
        row(write(), 200, "<html>", ("retry", "answer_unreadable", "the answer is not JSON"), true),
        row(
            mogul(),
            401,
            r#"{"code":401,"message":"No valid API key provided","param":null}"#,
            ("auth", "http_401", "No valid API key provided"),
            false,
        ),
        row(
            mogul(),
            422,
            r#"{"errors":{"name":"A name is required for each data source."}}"#,
            ("user", "http_422", "name: A name is required for each data source."),
            false,
        ),
        row(
            mogul(),
            422,
            r#"{"name":["Name can't be blank"],"error_details":[{"param":"name","code":"blank"}]}"#,
            ("user", "blank", "name: Name can't be blank; error_details: param: name; code: blank"),
            false,
        ),
        row(
            mogul(),
            422,
            r#"{"errors":{"name":"Has already been taken."}}"#,
            ("conflict", "http_422", "name: Has already been taken."),
            false,
        ),
        row(
            mogul(),
            404,
            r#"{"error":"Data source not found"}"#,
            ("not_found", "http_404", "Data source not found"),
            false,
        ),
        row(
            mogul(),
            504,
            "504 Gateway Timeout Error",
            ("retry", "http_504", "504 Gateway Timeout Error"),
            true,
        ),
        row(mogul(), 429, r#"{"code":429,"message":"Slow down"}"#, ("retry", "http_429", "Slow down"), false),
        row(
            post(),
            200,
            r#"{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] no"]}}"#,
            ("user", "invalid_blocks", "[ERROR] no"),
            false,
        ),
        row(
            post(),
            200,
            r#"{"ok":false,"error":"token_revoked"}"#,
            ("auth", "token_revoked", "token_revoked"),
            false,
        ),
        row(
            post(),
            200,
            r#"{"ok":false,"error":"fatal_error"}"#,
            ("retry", "fatal_error", "fatal_error"),
            true,
        ),
        row(
            post(),
            200,
            r#"{"ok":false,"error":"ratelimited"}"#,
            ("retry", "ratelimited", "ratelimited"),
            false,
        ),
        row(post(), 200, r#"{"hello":1}"#, ("fatal", "http_200", "hello: 1"), false),
    ] {
        let stage = Stage::new([answer(row.status, row.body)]);
        let error = call(&stage, row.operation, row.args).await.expect_err(row.body);
        let actual =
            (error.class.name(), error.code.as_str(), error.detail.as_str(), error.unknown, error.status);
        let expected = (row.class, row.code, row.detail, row.unknown, Some(row.status));
        assert_eq!(actual, expected, "{} {}", row.status, row.body);
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_write_open_only_if_it_was_sent() {
    for (operation, args, sent, code, unknown) in [
        ("stripe.refunds.create", json!({"charge": "ch"}), true, "no_answer", true),
        ("stripe.refunds.create", json!({"charge": "ch"}), false, "not_reached", false),
        ("stripe.charges.list", json!({}), true, "no_answer", false),
    ] {
        let stage = Stage::new([Err(TransportError { sent, detail: "gone".into() })]);
        let error = call(&stage, operation, args).await.expect_err("no answer");
        assert_eq!((error.code.as_str(), error.unknown), (code, unknown), "{operation}");
        assert_eq!(error.class, Class::Retry { after: None });
    }
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date_and_has_a_limit() {
    for (header, seconds) in [
        ("3", Some(3)),
        ("0", Some(0)),
        ("1.5", Some(2)),
        ("999999999", Some(3600)),
        ("Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
        ("soon", None),
        ("-5", None),
        ("NaN", None),
    ] {
        let response = connect::wire::Response {
            status: 429,
            headers: vec![("retry-after".into(), header.into())],
            body: "{}".into(),
        };
        let error =
            call(&Stage::new([Ok(response)]), "stripe.charges.list", json!({})).await.expect_err("too fast");
        let Class::Retry { after } = error.class else { panic!("{header}: {:?}", error.class) };
        assert_eq!(after.map(|after| after.as_millis().unsigned_abs().div_ceil(1000)), seconds, "{header}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let long = format!("\"{}\"", "x".repeat(33_554_432));
    let stage = Stage::new([answer(200, &long)]);
    let error = call(&stage, "stripe.refunds.create", json!({"charge": "ch"})).await.expect_err("too long");
    assert_eq!((error.code.as_str(), error.unknown), ("answer_too_large", true));
    assert_eq!(error.class, Class::Fatal);
}

#[tokio::test]
async fn what_is_gone_is_deleted() {
    let stage = Stage::new([answer(404, r#"{"error":"not found"}"#)]);
    let output = call(&stage, "chartmogul.invoices.delete", json!({"uuid": "inv_1"})).await;
    assert_eq!(output.expect("done"), Value::Null);
    let stage = Stage::new([answer(204, "")]);
    let output = call(&stage, "chartmogul.invoices.delete", json!({"uuid": "inv_1"})).await;
    assert_eq!(output.expect("done"), Value::Null);
}

/// Some invoices exist, others are wrong: not a conflict, for looking up would not find them all.
#[tokio::test]
async fn a_mixture_of_refusals_is_the_callers_matter() {
    let exists = json!({"external_id": "The external ID for this invoice already exists in our system."});
    for (errors, class) in [
        (vec![exists.clone(), exists.clone()], "conflict"),
        (vec![json!({}), exists.clone()], "conflict"),
        (vec![exists.clone(), json!({"currency": "is invalid"})], "user"),
    ] {
        for status in [201, 422] {
            let invoices: Vec<Value> = errors.iter().map(|errors| json!({"errors": errors})).collect();
            let stage = Stage::new([answer(status, &json!({"invoices": invoices}).to_string())]);
            let args =
                json!({"customer_uuid": "c", "invoices": [{"external_id": "a"}, {"external_id": "b"}]});
            let error = call(&stage, "chartmogul.invoices.import", args).await.expect_err("refused");
            assert_eq!(
                (error.class.name(), error.code.as_str()),
                (class, "partly_refused"),
                "{status} {errors:?}"
            );
        }
    }
}
