//! What is told, when, and in which shape.

use serde_json::json;

use super::*;

fn body(shop: &Shop, r#type: &str, version: &str) -> Value {
    let events = shop.stripe.drain_events();
    let event =
        events.iter().rfind(|event| event.r#type == r#type).unwrap_or_else(|| panic!("{type} in {events:?}"));
    serde_json::from_slice(&shop.stripe.event_body(&event.id, version).unwrap()).unwrap()
}

#[test]
fn a_first_payment_and_a_renewal_tell_all_they_do() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    shop.happened();
    let id = shop.subscribe(&ada, "basic", 1);
    let expected = [
        "customer.updated",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.created",
    ];
    assert_eq!(shop.happened(), expected);
    shop.to_renewal(&id);
    let expected = [
        "invoice.upcoming",
        "invoice.created",
        "customer.subscription.updated",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ];
    assert_eq!(shop.happened(), expected);
}

#[test]
fn a_failed_payment_tells_who_is_past_due() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    shop.stripe.set_card(&ada, Card::Declines).unwrap();
    shop.stripe.advance_to(shop.view(&id).current_period_end);
    shop.happened();
    shop.advance(Span::new().hours(1));
    let expected = [
        "payment_intent.created",
        "invoice.finalized",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.updated",
        "invoice.payment_failed",
        "customer.updated",
        "customer.subscription.updated",
    ];
    assert_eq!(shop.happened(), expected);
}

#[test]
fn an_update_carries_what_was() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "seat", 2);
    shop.happened();
    shop.change(&id, None, Some(5), Proration::None);
    let event = body(&shop, "customer.subscription.updated", API_VERSION);
    let before = &event["data"]["previous_attributes"];
    assert_eq!(before["items"]["data"][0]["quantity"], 2);
    assert_eq!(before["quantity"], 2);
    assert_eq!(event["data"]["object"]["items"]["data"][0]["quantity"], 5);
    assert_eq!(before.get("status"), None);
    assert_eq!(event["request"], json!({ "id": null, "idempotency_key": null }));

    shop.ask("POST", &format!("/v1/subscriptions/{id}"), "metadata[seats]=5");
    let event = body(&shop, "customer.subscription.updated", API_VERSION);
    assert_eq!(event["data"]["previous_attributes"], json!({ "metadata": { "seats": null } }));
    assert!(event["request"]["id"].as_str().unwrap().starts_with("req_"));
}

#[test]
fn a_change_that_changes_nothing_is_not_told() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "seat", 2);
    shop.happened();
    shop.change(&id, Some("seat"), Some(2), Proration::Create);
    shop.stripe.rename(&ada, "Ada").unwrap();
    assert_eq!(shop.happened(), Vec::<String>::new());
}

#[test]
fn the_snapshot_is_of_its_moment_at_any_version() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    shop.subscribe(&ada, "basic", 1);
    let events = shop.stripe.drain_events();
    let find = |wanted: &str| events.iter().find(|event| event.r#type == wanted).unwrap();
    let read = |wanted: &str, version: &str| -> Value {
        serde_json::from_slice(&shop.stripe.event_body(&find(wanted).id, version).unwrap()).unwrap()
    };
    assert_eq!(read("invoice.created", API_VERSION)["data"]["object"]["status"], "draft");
    assert_eq!(read("invoice.finalized", API_VERSION)["data"]["object"]["status"], "open");
    let old = read("invoice.paid", "2024-06-20");
    assert_eq!(
        (old["api_version"].clone(), old["data"]["object"]["paid"].clone()),
        ("2024-06-20".into(), true.into())
    );
    assert_eq!(old["data"]["object"].get("parent"), None);
    let new = read("invoice.paid", API_VERSION);
    assert_eq!(new["data"]["object"].get("paid"), None);
    assert_eq!(new["data"]["object"]["parent"]["type"], "subscription_details");
    let created = read("customer.subscription.created", "2020-08-27");
    assert!(created["data"]["object"]["current_period_end"].is_i64());
}

#[test]
fn events_are_listed_for_thirty_days_and_by_delivery() {
    let shop = Shop::new();
    let endpoint = shop.stripe.create_endpoint("http://127.0.0.1:1/hook", &["customer.created"], None);
    assert!(endpoint.wants("customer.created") && !endpoint.wants("customer.updated"));
    let ada = shop.stripe.create_customer(NewCustomer::default());
    shop.stripe.rename(&ada, "Ada").unwrap();
    let undelivered = shop.get("/v1/events?delivery_success=false");
    assert_eq!(undelivered["data"].as_array().unwrap().len(), 1);
    let event = undelivered["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(undelivered["data"][0]["pending_webhooks"], 1);
    shop.stripe.mark_delivered(&event, &endpoint.id);
    assert_eq!(shop.get("/v1/events?delivery_success=false")["data"], json!([]));
    let of_customers = shop.get("/v1/events?type=customer.*&limit=100");
    assert_eq!(of_customers["data"].as_array().unwrap().len(), 2);
    shop.happened();
    shop.days(31);
    assert_eq!(shop.get("/v1/events")["data"], json!([]));
    assert_eq!(shop.ask("GET", &format!("/v1/events/{event}"), "").0, 404);
}
