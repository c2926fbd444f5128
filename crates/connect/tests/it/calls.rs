//! Arguments made into requests.

use connect::{Class, Connection, Prepared, Secret, lookup, perform, prepare};
use serde_json::{Value, json};

use crate::stage::{SECRET, Stage, catalog, connection, now};

fn prepared(name: &str, args: Value) -> Result<Prepared, connect::Error> {
    let catalog = catalog();
    let (manifest, operation) = catalog.operation(name).expect("the operation");
    prepare(manifest, operation, &args, "tby_key")
}

/// What the official Node client (23.1.0) was seen to send for the same arguments, but for the order of parameters,
/// which is the manifest's here, and for empty lists, which it leaves out: here they empty the list.
#[test]
fn form_bodies_are_what_the_official_client_sends() {
    for (name, args, body) in [
        (
            "stripe.subscriptions.create",
            json!({"customer": "cus_1", "items": [{"price": "price_1", "quantity": 2}, {"price": "p 2"}],
                "cancel_at_period_end": true, "off_session": false, "description": null, "trial_end": "now",
                "expand": ["latest_invoice", "a.b"], "metadata": {"a b": "c&d=é", "x": null}}),
            "customer=cus_1&items[0][price]=price_1&items[0][quantity]=2&items[1][price]=p%202\
             &cancel_at_period_end=true&description=&off_session=false&trial_end=now&expand[0]=latest_invoice\
             &expand[1]=a.b&metadata[a%20b]=c%26d%3D%C3%A9&metadata[x]=",
        ),
        (
            "stripe.subscriptions.update",
            json!({"subscription": "sub_1", "items": [{"id": "si_1", "deleted": true}], "metadata": ""}),
            "items[0][id]=si_1&items[0][deleted]=true&metadata=",
        ),
        (
            "stripe.customers.create",
            json!({"description": "~tilde*(star)'!", "address": {"line1": "x", "city": null}, "shipping": {},
                "invoice_settings": {"default_payment_method": "pm"}}),
            "address[line1]=x&address[city]=&description=~tilde%2A%28star%29%27%21\
             &invoice_settings[default_payment_method]=pm",
        ),
        ("stripe.subscriptions.update", json!({"subscription": "s", "discounts": []}), "discounts="),
        ("stripe.invoices.void", json!({"invoice": "in_1"}), ""),
    ] {
        assert_eq!(prepared(name, args).expect(name).body.as_deref(), Some(body), "{name}");
    }
}

#[test]
fn queries_are_what_the_official_client_sends() {
    for (name, args, path, query) in [
        (
            "stripe.invoices.list",
            json!({"customer": "cus_1", "limit": 3, "expand": ["data.discounts"], "created": {"gte": 1, "lt": 2}}),
            "/v1/invoices",
            "customer=cus_1&limit=3&expand[0]=data.discounts&created[gte]=1&created[lt]=2",
        ),
        (
            "stripe.customers.search",
            json!({"query": "email:'a@b.c'"}),
            "/v1/customers/search",
            "query=email%3A%27a%40b.c%27&limit=100",
        ),
        (
            "stripe.subscriptions.cancel",
            json!({"subscription": "sub_1", "prorate": true, "cancellation_details": {"comment": "x"}}),
            "/v1/subscriptions/sub_1",
            "prorate=true&cancellation_details[comment]=x",
        ),
        (
            "stripe.customers.retrieve",
            json!({"customer": "cus/../1 ?#"}),
            "/v1/customers/cus%2F..%2F1%20%3F%23",
            "",
        ),
        ("chartmogul.invoices.list", json!({"external_id": null}), "/v1/invoices", "per_page=200"),
    ] {
        let prepared = prepared(name, args).expect(name);
        assert_eq!((prepared.path.as_str(), prepared.query.as_str()), (path, query), "{name}");
    }
}

#[test]
fn wrong_arguments_name_the_argument() {
    for (name, args, code, words) in [
        ("stripe.customers.retrieve", json!({}), "argument_missing", "argument `customer` is missing"),
        ("stripe.customers.retrieve", json!({"customer": null}), "argument_missing", "`customer` is missing"),
        (
            "stripe.customers.retrieve",
            json!({"custmer": "c"}),
            "argument_unknown",
            "did you mean `customer`?",
        ),
        ("stripe.customers.retrieve", json!({"customer": 7}), "argument_type", "`customer` is not string"),
        ("stripe.customers.retrieve", json!({"customer": ".."}), "argument_type", "cannot stand in a path"),
        ("stripe.customers.retrieve", json!({"customer": ""}), "argument_type", "cannot stand in a path"),
        (
            "stripe.invoices.list",
            json!({"status": "payed"}),
            "argument_choice",
            "`status` is none of \"draft\"",
        ),
        ("stripe.invoices.list", json!({"created": "now"}), "argument_type", "integer or object"),
        ("stripe.invoices.list", json!({"page": 2}), "argument_choice", "`page` is `first` or `all`"),
        ("stripe.invoices.list", json!({"cursor": ""}), "argument_choice", "`cursor` is the `next`"),
        (
            "stripe.invoices.retrieve",
            json!({"invoice": "in", "cursor": "c"}),
            "argument_choice",
            "only lists",
        ),
        (
            "stripe.invoices.retrieve",
            json!({"invoice": "in", "page": "first"}),
            "argument_choice",
            "only lists",
        ),
        ("stripe.invoices.list", json!({"view": "biling"}), "view_unknown", "no view `biling`"),
        ("stripe.events.list", json!({"view": "billing"}), "view_unknown", "no view `billing`"),
        (
            "chartmogul.invoices.import",
            json!({"customer_uuid": "c", "invoices": [{}]}),
            "argument_missing",
            "`external_id` is needed to repeat this safely",
        ),
        ("stripe.invoices.list", json!([]), "argument_type", "not an object"),
    ] {
        let error = prepared(name, args.clone()).expect_err(name);
        assert_eq!((error.code.as_str(), &error.class), (code, &Class::User), "{name} {args}");
        assert!(error.detail.contains(words), "{name} {args}: {}", error.detail);
    }
}

#[test]
fn keys_that_a_header_cannot_hold_are_refused() {
    let catalog = catalog();
    let (manifest, operation) = catalog.operation("stripe.refunds.create").expect("the operation");
    for (key, sound) in
        [("tby_1", true), (&"k".repeat(255), true), (&"k".repeat(256), false), ("a\r\nb", false)]
    {
        assert_eq!(prepare(manifest, operation, &json!({"charge": "ch"}), key).is_ok(), sound, "{key:?}");
    }
}

#[test]
fn a_prepared_request_survives_the_journal() {
    for (name, args) in [
        ("stripe.refunds.create", json!({"charge": "ch_1", "amount": 5})),
        ("slack.messages.post", json!({"channel": "C1", "text": "é\n"})),
        ("chartmogul.customers.create", json!({"data_source_uuid": "ds", "external_id": "x"})),
        ("stripe.customers.list", json!({"view": "billing", "page": "first"})),
    ] {
        let prepared = prepared(name, args).expect(name);
        let text = serde_json::to_string(&prepared).expect("JSON");
        assert_eq!(serde_json::from_str::<Prepared>(&text).expect("itself"), prepared, "{name}");
    }
}

#[test]
fn an_unmarked_request_gets_its_key_on_every_attempt() {
    let one = prepared("stripe.refunds.create", json!({"charge": "ch_1"})).expect("a request");
    let two = prepared("stripe.refunds.create", json!({"charge": "ch_1"})).expect("a request");
    assert_eq!(one, two);
    assert!(one.headers.contains(&("Idempotency-Key".into(), "tby_key".into())));
    let read = prepared("stripe.charges.list", json!({})).expect("a request");
    assert!(read.headers.iter().all(|(name, _)| name != "Idempotency-Key"));
}

#[tokio::test]
async fn credentials_stay_out_of_everything_but_the_wire() {
    let catalog = catalog();
    let echo = format!("Invalid API Key provided: {SECRET}");
    for (name, args, body) in [
        (
            "stripe.customers.retrieve",
            json!({"customer": "cus_1"}),
            json!({"error": {"message": echo, "code": echo}}),
        ),
        ("chartmogul.customers.list", json!({}), json!({"code": 401, "message": echo, "param": null})),
        ("slack.auth.test", json!({}), json!({"ok": false, "error": echo, "more": [{"deep": echo}]})),
    ] {
        let (manifest, operation) = catalog.operation(name).expect("the operation");
        let connection = connection(manifest);
        let prepared = prepare(manifest, operation, &args, "tby_key").expect("a request");
        let journal = serde_json::to_string(&prepared).expect("JSON");
        let stage = Stage::json([body.clone()]);
        let status_401 = Stage::new([crate::stage::answer(401, &body.to_string())]);
        let lost = Stage::new([Err(connect::TransportError { sent: true, detail: echo.clone() })]);
        for stage in [&stage, &status_401, &lost] {
            let result = perform(stage, &connection, manifest, operation, &prepared, now()).await;
            let Err(error) = result else { continue };
            let seen = format!("{error} {error:?} {}", error.body.clone().unwrap_or_default());
            assert!(!seen.contains(SECRET), "{name}: {seen}");
        }
        let request = format!("{:?}", stage.asked()[0]);
        let shown = format!("{journal} {connection:?} {request} {:?}", Secret::new(SECRET));
        assert!(!shown.contains(SECRET), "{name}: {shown}");
        let sent = &stage.asked()[0].headers;
        assert!(sent.iter().any(|(name, value)| name == "Authorization" && value.len() > 6), "{name}");
    }
}

#[tokio::test]
async fn calls_go_to_the_manifests_hosts_or_to_loopback() {
    let catalog = catalog();
    let (manifest, operation) = catalog.operation("stripe.balance.retrieve").expect("the operation");
    let prepared = prepare(manifest, operation, &Value::Null, "").expect("a request");
    for (base, host) in [
        (None, Some("https://api.stripe.com/v1/balance")),
        (Some("http://127.0.0.1:4242"), Some("http://127.0.0.1:4242/v1/balance")),
        (Some("http://localhost:4242/ignored?x=1"), Some("http://localhost:4242/v1/balance")),
        (Some("http://[::1]:4242"), Some("http://[::1]:4242/v1/balance")),
        (Some("https://127.0.0.1:4242"), None),
        (Some("http://127.0.0.1.evil.example"), None),
        (Some("http://10.0.0.1"), None),
        (Some("https://api.stripe.com.evil.example"), None),
    ] {
        let mut connection = connection(manifest);
        connection.base_url = base.map(|base| base.parse().expect("a URL"));
        assert_eq!(manifest.problems(&connection).is_empty(), host.is_some(), "{base:?}");
        let stage = Stage::json([json!({"object": "balance"})]);
        let result = perform(&stage, &connection, manifest, operation, &prepared, now()).await;
        let asked = stage.asked().first().map(|request| request.url.to_string());
        assert_eq!(asked.as_deref(), host, "{base:?}");
        assert_eq!(result.is_ok(), host.is_some(), "{base:?}");
    }
}

#[tokio::test]
async fn a_missing_credential_is_an_auth_error_before_anything_is_sent() {
    let catalog = catalog();
    let (manifest, operation) = catalog.operation("stripe.balance.retrieve").expect("the operation");
    let prepared = prepare(manifest, operation, &Value::Null, "").expect("a request");
    for (secret, code) in [
        (None, "credential_missing"),
        (Some(""), "credential_missing"),
        (Some("a\r\nX: b"), "credential_invalid"),
    ] {
        let mut connection = connection(manifest);
        connection.credentials.remove("api_key");
        connection.credentials.extend(secret.map(|secret| ("api_key".to_owned(), Secret::new(secret))));
        let stage = Stage::json([json!({})]);
        let error =
            perform(&stage, &connection, manifest, operation, &prepared, now()).await.expect_err("refused");
        assert_eq!((error.class, error.code.as_str()), (Class::Auth, code));
        assert!(stage.asked().is_empty());
    }
}

#[test]
fn keys_show_their_mode() {
    let catalog = catalog();
    let stripe = catalog.get("stripe").expect("the manifest");
    for (key, live) in [
        ("sk_test_1", Some(false)),
        ("rk_test_1", Some(false)),
        ("sk_live_1", Some(true)),
        ("rk_live_1", Some(true)),
        ("whatever", None),
    ] {
        let credentials = [("api_key".to_owned(), Secret::new(key))].into();
        assert_eq!(stripe.live(&credentials), live, "{key}");
    }
}

#[test]
fn problems_of_a_connection_are_said_without_its_secrets() {
    let catalog = catalog();
    let stripe = catalog.get("stripe").expect("the manifest");
    let mut connection = connection(stripe);
    assert_eq!(stripe.problems(&connection), Vec::<String>::new());
    connection.credentials.remove("webhook_secret");
    assert_eq!(stripe.problems(&connection), Vec::<String>::new(), "it is optional");
    connection.credentials = [("token".to_owned(), Secret::new(SECRET))].into();
    connection.connector = "slack".into();
    let problems = stripe.problems(&connection).join("\n");
    for words in ["not a Stripe connection", "`api_key` is missing", "`token` is not a credential"] {
        assert!(problems.contains(words), "{problems}");
    }
    assert!(!problems.contains(SECRET));
}

/// What may have been sent is looked for where it would be, and since it was sent; a twin's time is not ours.
#[tokio::test]
async fn a_lost_answer_is_looked_for_since_it_was_sent() {
    let catalog = catalog();
    let (manifest, post) = catalog.operation("slack.messages.post").expect("it is there");
    let sent = now();
    let from = sent.as_second() - 24 * 3600;
    let found = |with: Value, base_url: Option<&str>| {
        let stage = Stage::json([json!({"ok": true, "messages": []})]);
        let connection =
            Connection { base_url: base_url.map(|url| url.parse().expect("a URL")), ..connection(manifest) };
        let prepared = prepare(manifest, post, &with, "tby_1").expect("it can be sent");
        async move {
            let found = lookup(&stage, &connection, manifest, post, &prepared, Some(sent), sent).await;
            assert_eq!(found.expect("an answer"), None);
            stage.lines()
        }
    };
    let channel = json!({"channel": "C0123456789", "text": "x"});
    let lines = found(channel.clone(), None).await;
    assert!(
        lines[0].starts_with("GET /api/conversations.history?")
            && lines[0].contains(&format!("oldest={from}")),
        "{lines:?}"
    );
    let lines = found(channel, Some("http://127.0.0.1:9")).await;
    assert!(
        lines[0].starts_with("GET /api/conversations.history?") && !lines[0].contains("oldest"),
        "{lines:?}"
    );
    let thread = json!({"channel": "C0123456789", "text": "x", "thread_ts": "1.2"});
    let lines = found(thread, None).await;
    assert!(
        lines[0].starts_with("GET /api/conversations.replies?") && lines[0].contains("ts=1.2"),
        "{lines:?}"
    );
}
