//! Importing: what is taken, what is refused, in which shape.

use serde_json::{Value, json};

use super::{Desk, with};

fn invoice(desk: &Desk, plan: &str, id: &str) -> Value {
    json!({
        "external_id": id, "date": "2026-01-01", "currency": "USD",
        "line_items": [with(desk.line(plan, "2026-01-01", "2026-02-01", 1_000), json!({"external_id": format!("{id}-1")}))],
        "transactions": [{"type": "payment", "date": "2026-01-01", "result": "successful", "external_id": format!("{id}-t")}],
    })
}

fn errors(desk: &Desk, invoice: Value) -> Value {
    let target = format!("/v1/import/customers/{}/invoices", desk.customer);
    let (status, body) = desk.call("POST", &target, json!({"invoices": [invoice]}));
    assert_eq!(status, 422, "{body}");
    body["invoices"][0]["errors"].clone()
}

#[test]
fn an_external_id_is_taken_once_and_free_again_after_deletion() {
    let desk = Desk::new();
    let plan = desk.plan("month", 1);
    let target = format!("/v1/import/customers/{}/invoices", desk.customer);
    let sent = json!({"invoices": [invoice(&desk, &plan, "in_1")]});
    let first = desk.post(&target, sent.clone());
    let refused = errors(&desk, invoice(&desk, &plan, "in_1"));
    assert_eq!(
        refused,
        json!({
            "external_id": "The external ID for this invoice already exists in our system.",
            "line_items.external_id": "The external ID for this line item already exists in our system.",
            "transactions.external_id": "has already been taken",
        })
    );
    let counters = desk.twin.counters();
    assert_eq!(counters.duplicates[&("invoice".to_owned(), "in_1".to_owned())], 1);
    assert_eq!(counters.duplicates_total(), 3);
    assert_eq!(counters.writes["POST /import/customers/:id/invoices"], 1);

    let uuid = first["invoices"][0]["uuid"].as_str().unwrap();
    assert_eq!(desk.call("DELETE", &format!("/v1/invoices/{uuid}"), Value::Null).0, 400, "null is no object");
    assert_eq!(desk.send("DELETE", &format!("/v1/invoices/{uuid}"), None).status, 204);
    assert_eq!(desk.send("GET", &format!("/v1/invoices/{uuid}"), None).status, 404);
    desk.post(&target, sent);
}

#[test]
fn of_several_invoices_each_is_taken_or_refused_for_itself() {
    let desk = Desk::new();
    let plan = desk.plan("month", 1);
    let target = format!("/v1/import/customers/{}/invoices", desk.customer);
    let invoices =
        [invoice(&desk, &plan, "in_1"), invoice(&desk, &plan, "in_1"), invoice(&desk, &plan, "in_2")];
    let answer = desk.post(&target, json!({"invoices": invoices}));
    let clean: Vec<bool> =
        answer["invoices"].as_array().unwrap().iter().map(|one| one["errors"] == json!({})).collect();
    assert_eq!(clean, [true, false, true]);
    assert_eq!(desk.get(&target)["invoices"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_wrong_is_named() {
    let desk = Desk::new();
    let plan = desk.plan("month", 1);
    let good = invoice(&desk, &plan, "in_1");
    let line = |more: Value| {
        let mut bad = good.clone();
        bad["line_items"][0] = with(bad["line_items"][0].clone(), more);
        bad
    };
    let cases = [
        (with(good.clone(), json!({"external_id": null})), "external_id"),
        (with(good.clone(), json!({"date": "yesterday"})), "date"),
        (with(good.clone(), json!({"currency": "dollars"})), "currency"),
        (with(good.clone(), json!({"currency": "CHF"})), "currency"),
        (with(good.clone(), json!({"line_items": []})), "line_items"),
        (with(good.clone(), json!({"customer_external_id": "someone"})), "customer_external_id"),
        (line(json!({"type": "gift"})), "line_items.type"),
        (line(json!({"plan_uuid": "pl_none"})), "line_items.plan_uuid"),
        (line(json!({"amount_in_cents": 1.5})), "line_items.amount_in_cents"),
        (line(json!({"subscription_external_id": ""})), "line_items.subscription_external_id"),
        (line(json!({"service_period_end": "2025-01-01"})), "line_items.service_period_end"),
        (line(json!({"service_period_start": null})), "line_items.service_period_start"),
        (line(json!({"proration_type": "half"})), "line_items.proration_type"),
    ];
    for (bad, field) in cases {
        let errors = errors(&desk, bad);
        assert!(errors.get(field).is_some(), "{field}: {errors}");
    }
    assert!(desk.get("/v1/invoices")["invoices"].as_array().unwrap().is_empty(), "nothing was taken");
}

#[test]
fn a_subscription_belongs_to_one_customer() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    desk.customer = desk.new_customer("cus_2");
    let errors = errors(&desk, invoice(&desk, &plan, "in_9"));
    assert_eq!(errors, json!({"line_items.subscription_external_id": "has already been taken"}));
}

#[test]
fn an_unknown_customer_is_refused_as_an_unknown_invoice() {
    let desk = Desk::new();
    let (status, body) = desk.call("POST", "/v1/import/customers/cus_0001/invoices", json!({"invoices": []}));
    let details = json!([{"param": "invoice", "code": "invalid", "message": "Invoice not found"}]);
    assert_eq!((status, body), (404, json!({"error": "Invoice not found", "error_details": details})));
}

#[test]
fn invoices_are_found_by_customer_source_and_external_id() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    for _ in 0..3 {
        desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    }
    let ids = |target: &str| -> Vec<String> {
        let rows = desk.get(target)["invoices"].clone();
        rows.as_array().unwrap().iter().map(|row| row["external_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("/v1/invoices"), ["in_3", "in_2", "in_1"]);
    assert_eq!(ids("/v1/invoices?external_id=in_2"), ["in_2"]);
    assert_eq!(ids(&format!("/v1/invoices?external_id=in_2&data_source_uuid={}", desk.source)), ["in_2"]);
    assert!(ids("/v1/invoices?external_id=in_2&data_source_uuid=ds_other").is_empty());
    assert!(ids("/v1/invoices?customer_uuid=cus_other").is_empty());

    let by_customer = format!("/v1/invoices?customer_uuid={}&per_page=2", desk.customer);
    let first = desk.get(&by_customer);
    assert_eq!((&first["has_more"], &first["total_pages"]), (&json!(true), &json!(2)));
    let cursor = first["cursor"].as_str().unwrap().replace('=', "%3D");
    let last = desk.get(&format!("{by_customer}&cursor={cursor}"));
    assert_eq!((&last["has_more"], last.get("total_pages")), (&json!(false), None));
    assert_eq!(last["invoices"][0]["external_id"], "in_1");
    assert!(last["cursor"].is_string(), "the last page has a cursor too");
}

/// The invoices of merged customers go with them; the external ids of both lead to the one that is kept.
#[test]
fn merging_moves_everything_and_unmerging_moves_it_back() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    let other_source =
        desk.post("/v1/data_sources", json!({"name": "Old"}))["uuid"].as_str().unwrap().to_owned();
    let other = desk.post("/v1/customers", json!({"data_source_uuid": other_source, "external_id": "x"}));
    let merge = json!({
        "from": {"customer_uuid": desk.customer},
        "into": {"data_source_uuid": other_source, "external_id": "x"},
    });
    assert_eq!(desk.call("POST", "/v1/customers/merges", merge), (202, json!({})));
    let kept = desk.get("/v1/customers?external_id=cus_1")["entries"][0].clone();
    assert_eq!((&kept["uuid"], &kept["mrr"]), (&other["uuid"], &json!(1_000)));
    assert_eq!(kept["external_ids"], json!(["x", "cus_1"]));
    assert_eq!(desk.mrr_at("2026-01-02"), 1_000);

    let unmerge = json!({
        "customer_uuid": other["uuid"], "data_source_uuid": desk.source, "external_id": "cus_1",
        "move_to_new_customer": [],
    });
    assert_eq!(desk.call("POST", "/v1/customers/unmerges", unmerge), (202, json!({})));
    let apart = desk.get("/v1/customers?external_id=cus_1")["entries"][0].clone();
    assert_eq!((&apart["mrr"], &apart["external_ids"]), (&json!(1_000), &json!(["cus_1"])));
    let kept = desk.get(&format!("/v1/customers/{}", other["uuid"].as_str().unwrap()));
    assert_eq!((&kept["mrr"], &kept["external_ids"]), (&json!(0), &json!(["x"])));
}

#[test]
fn a_deleted_customer_takes_everything_along() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    assert_eq!(desk.send("DELETE", &format!("/v1/customers/{}", desk.customer), None).status, 204);
    assert_eq!(desk.mrr_at("2026-01-02"), 0);
    assert!(desk.get("/v1/invoices")["invoices"].as_array().unwrap().is_empty());
    desk.customer = desk.new_customer("cus_1");
    let target = format!("/v1/import/customers/{}/invoices", desk.customer);
    desk.post(&target, json!({"invoices": [invoice(&desk, &plan, "in_1")]}));
}
