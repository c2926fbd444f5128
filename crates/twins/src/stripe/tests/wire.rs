//! The wire by example: errors, idempotency, paging, expansion, versions.

use serde_json::json;

use super::*;

#[test]
fn refusals_have_stripes_shape() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let bare = format!("/v1/customers/{ada}");
    for (method, target, body, status, code, param) in [
        ("GET", "/v1/customers/cus_x", "", 404, json!("resource_missing"), json!("id")),
        ("GET", "/v1/nothing", "", 404, Value::Null, Value::Null),
        ("PATCH", bare.as_str(), "", 404, Value::Null, Value::Null),
        ("POST", "/v1/prices", "product=p", 400, json!("parameter_missing"), json!("currency")),
        ("POST", "/v1/customers", "nam=x", 400, json!("parameter_unknown"), json!("nam")),
        (
            "POST",
            "/v1/customers",
            "invoice_settings[x]=1",
            400,
            json!("parameter_unknown"),
            json!("invoice_settings[x]"),
        ),
        ("GET", "/v1/customers?limit=0", "", 400, json!("parameter_invalid_integer"), json!("limit")),
        ("GET", "/v1/customers?limit=ten", "", 400, json!("parameter_invalid_integer"), json!("limit")),
        (
            "GET",
            "/v1/customers?starting_after=cus_x",
            "",
            400,
            json!("resource_missing"),
            json!("starting_after"),
        ),
        (
            "POST",
            "/v1/subscriptions",
            "customer=cus_x&items[0][price]=p",
            400,
            json!("resource_missing"),
            json!("customer"),
        ),
        (
            "POST",
            "/v1/payment_intents",
            "amount=0&currency=usd",
            400,
            json!("parameter_invalid_integer"),
            json!("amount"),
        ),
        ("GET", "/v1/invoices?customer=cus_x", "", 400, json!("resource_missing"), json!("customer")),
        ("POST", "/v1/coupons", "duration=once", 400, json!("parameter_missing"), Value::Null),
    ] {
        let (got, answer) = shop.ask(method, target, body);
        assert_eq!(got, status, "{method} {target}: {answer}");
        let error = &answer["error"];
        assert_eq!(
            (&error["type"], &error["code"], &error["param"]),
            (&json!("invalid_request_error"), &code, &param),
            "{method} {target}"
        );
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn a_key_is_needed() {
    let shop = Shop::new();
    let plain = shop.stripe.handle(&Request::new("GET", "/v1/balance"));
    assert_eq!(plain.status, 401);
    assert!(plain.header("request-id").is_some_and(|id| id.starts_with("req_")));
    let basic = format!(
        "Basic {}",
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{}:", shop.stripe.secret_key())
        )
    );
    let request = Request::new("GET", "/v1/balance").with_header("Authorization", &basic);
    assert_eq!(shop.stripe.handle(&request).status, 200);
    let wrong = Request::new("GET", "/v1/balance").with_header("authorization", "Bearer sk_test_other");
    assert_eq!(shop.stripe.handle(&wrong).status, 401);
}

#[test]
fn an_idempotency_key_replays_for_a_day() {
    let shop = Shop::new();
    let key = [("Idempotency-Key", "k1")];
    let make = |body: &str| shop.ask_with("POST", "/v1/customers", body, &key);
    let (_, first) = make("name=Ada&email=a%40example.com");
    assert_eq!(
        make("email=a%40example.com&name=Ada"),
        (200, first.clone()),
        "the order of parameters is no difference"
    );
    let (status, other) = make("name=Eve");
    assert_eq!((status, &other["error"]["type"]), (400, &json!("idempotency_error")));
    shop.days(1);
    let (_, later) = make("name=Eve");
    assert_ne!(later["id"], first["id"]);
    assert_eq!(shop.stripe.customers().len(), 2);
}

#[test]
fn a_broken_answer_is_remembered_although_it_took_effect() {
    let shop = Shop::new();
    shop.stripe.break_next(1);
    for _ in 0..2 {
        let (status, answer) =
            shop.ask_with("POST", "/v1/customers", "name=Ada", &[("idempotency-key", "k")]);
        assert_eq!((status, &answer["error"]["type"]), (500, &json!("api_error")));
    }
    assert_eq!(shop.stripe.customers().len(), 1);
    assert_eq!(shop.ask_with("POST", "/v1/customers", "name=Ada", &[("idempotency-key", "k2")]).0, 200);
}

#[test]
fn what_failed_before_it_began_is_not_remembered() {
    let shop = Shop::new();
    let key = [("idempotency-key", "k")];
    assert_eq!(shop.ask_with("POST", "/v1/customers", "nam=Ada", &key).0, 400);
    assert_eq!(shop.ask_with("POST", "/v1/customers", "name=Ada", &key).0, 200);
}

#[test]
fn pages_join_up_in_both_directions() {
    let shop = Shop::new();
    let made: Vec<String> = (0..25).map(|_| shop.stripe.create_customer(NewCustomer::default())).collect();
    let newest: Vec<String> = made.iter().rev().cloned().collect();
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    for limit in [1, 7, 25, 100] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = shop.get(&format!("/v1/customers?limit={limit}{cursor}"));
            seen.extend(ids(&page));
            if page["has_more"] == false {
                break;
            }
            cursor = format!("&starting_after={}", seen.last().unwrap());
        }
        assert_eq!(seen, newest, "forwards by {limit}");
        let (mut seen, mut cursor) = (vec![], format!("&ending_before={}", made[0]));
        loop {
            let page = shop.get(&format!("/v1/customers?limit={limit}{cursor}"));
            let mut page_ids = ids(&page);
            cursor = format!("&ending_before={}", page_ids[0]);
            page_ids.extend(seen);
            seen = page_ids;
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(seen, newest[..24], "backwards by {limit}");
    }
}

#[test]
fn ids_are_expanded_along_paths() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    let one = shop.get(&format!("/v1/subscriptions/{id}?expand[]=customer&expand[]=latest_invoice.payments"));
    assert_eq!(one["customer"]["object"], "customer");
    assert_eq!(one["latest_invoice"]["payments"]["data"][0]["status"], "paid");
    let invoice = one["latest_invoice"]["id"].as_str().unwrap();
    let seen = shop.get(&format!("/v1/invoices/{invoice}?expand[]=payments.data.payment.payment_intent"));
    let intent = &seen["payments"]["data"][0]["payment"]["payment_intent"];
    assert_eq!(intent["status"], "succeeded");
    let target = format!("/v1/invoices/{invoice}/lines?expand[]=data.pricing.price_details.price");
    assert_eq!(shop.get(&target)["data"][0]["pricing"]["price_details"]["price"]["unit_amount"], 1000);
    let list = shop.get("/v1/invoices?expand[]=data.customer.subscriptions");
    assert_eq!(list["data"][0]["customer"]["subscriptions"]["data"][0]["id"], id.as_str());
    let subscriptions = shop.get(&format!("/v1/customers/{ada}?expand[]=subscriptions&expand[]=sources"));
    assert_eq!(subscriptions["subscriptions"]["total_count"], 1);
    for path in ["nothing", "latest_invoice.payment_intent", "a.b.c.d.e"] {
        let (status, answer) = shop.ask("GET", &format!("/v1/subscriptions/{id}?expand[]={path}"), "");
        assert_eq!(status, 400, "{path}: {answer}");
    }
}

#[test]
fn the_version_decides_the_shape() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let coupon =
        NewCoupon { id: Some("TEN".to_owned()), amount: Off::Percent(1000), duration: Duration::Forever };
    shop.stripe.create_coupon(coupon).unwrap();
    let id = shop.subscribe_with(&ada, "basic", 1, |new| new.coupon = Some("TEN".to_owned()));
    let target = format!("/v1/subscriptions/{id}?expand[]=latest_invoice&expand[]=discounts");
    let at = |version: &str| {
        let (status, answer) = shop.ask_with("GET", &target, "", &[("stripe-version", version)]);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    // (version, period on the subscription, on its items, invoice.subscription, invoice.parent, coupon's place)
    for (version, top, item, subscription, parent, coupon) in [
        ("2020-08-27", true, false, true, false, "/discounts/0/coupon/id"),
        ("2024-06-20", true, false, true, false, "/discounts/0/coupon/id"),
        ("2025-02-24.acacia", true, false, true, true, "/discounts/0/coupon/id"),
        ("2025-03-31.basil", false, true, false, true, "/discounts/0/coupon/id"),
        ("2025-09-30.clover", false, true, false, true, "/discounts/0/source/coupon"),
        ("2026-03-25.dahlia", false, true, false, true, "/discounts/0/source/coupon"),
        ("2026-09-30.endive", false, true, false, true, "/discounts/0/source/coupon"),
    ] {
        let seen = at(version);
        let has = |pointer: &str| seen.pointer(pointer).is_some();
        assert_eq!(has("/current_period_end"), top, "{version}");
        assert_eq!(has("/discount"), top, "{version}");
        assert_eq!(has("/items/data/0/current_period_end"), item, "{version}");
        assert_eq!(has("/latest_invoice/subscription"), subscription, "{version}");
        assert_eq!(has("/latest_invoice/parent/subscription_details"), parent, "{version}");
        assert_eq!(has("/latest_invoice/lines/data/0/price"), subscription, "{version}");
        assert_eq!(has("/latest_invoice/lines/data/0/pricing"), parent, "{version}");
        assert_eq!(seen.pointer(coupon), Some(&json!("TEN")), "{version}");
        assert_eq!(has("/latest_invoice/lines/data/0/quantity_decimal"), version > "2026-03", "{version}");
        assert_eq!(has("/items/data/0/current_trial"), version > "2026-09", "{version}");
    }
    let (status, _) = shop.ask_with("GET", &target, "", &[("stripe-version", "yesterday")]);
    assert_eq!(status, 400);
}

#[test]
fn previews_store_nothing() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    let item = shop.view(&id).items[0].id.clone();
    shop.days(14);
    shop.happened();
    let pro = &shop.prices["pro"];
    let ask = |more: &str| {
        let body = format!(
            "subscription={id}&subscription_details[items][0][id]={item}&subscription_details[items][0][price]={pro}{more}"
        );
        shop.ask("POST", "/v1/invoices/create_preview", &body).1
    };
    assert_eq!(ask("")["total"], 3000 + 1500 - 500);
    assert_eq!(ask("&subscription_details[proration_behavior]=always_invoice")["total"], 1000);
    assert_eq!(ask("&subscription_details[proration_behavior]=none")["total"], 3000);
    let plain = shop.ask("POST", "/v1/invoices/create_preview", &format!("customer={ada}")).1;
    assert_eq!((&plain["total"], &plain["billing_reason"]), (&json!(1000), &json!("upcoming")));
    assert_eq!((shop.happened(), shop.bills(&ada).len()), (vec![], 1));
}

#[test]
fn filters_keep_what_they_say() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let (one, two) = (shop.subscribe(&ada, "basic", 1), shop.subscribe(&ada, "pro", 1));
    shop.stripe.cancel(&two, Cancel::Now).unwrap();
    let count = |target: &str| shop.get(target)["data"].as_array().unwrap().len();
    let start = time(START).as_second();
    let pro = &shop.prices["pro"];
    for (target, expected) in [
        ("/v1/subscriptions".to_owned(), 1),
        ("/v1/subscriptions?status=all".to_owned(), 2),
        ("/v1/subscriptions?status=canceled".to_owned(), 1),
        (format!("/v1/subscriptions?status=all&price={pro}"), 1),
        (format!("/v1/subscriptions?customer={ada}"), 1),
        (format!("/v1/invoices?customer={}", shop.stripe.create_customer(NewCustomer::default())), 0),
        (format!("/v1/invoices?created[gte]={start}"), 2),
        (format!("/v1/invoices?created[gt]={start}"), 0),
        (format!("/v1/invoices?subscription={one}&status=paid"), 1),
        (format!("/v1/charges?customer={ada}&created={start}"), 2),
        ("/v1/invoice_payments?status=paid".to_owned(), 2),
        (format!("/v1/subscription_items?subscription={one}"), 1),
    ] {
        assert_eq!(count(&target), expected, "{target}");
    }
}
