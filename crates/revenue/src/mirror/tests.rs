use serde_json::{Value, json};

use crate::call;

/// 2026-06-01, -15 and 2026-07-01, all at midnight UTC.
const JUNE: i64 = 1_780_272_000;
const MID: i64 = JUNE + 14 * 86_400;
const JULY: i64 = JUNE + 30 * 86_400;

fn item(price: &str, unit: i64, quantity: i64) -> Value {
    json!({"id": "si_1", "price": price, "unit_amount": unit, "currency": "usd", "interval": "month",
           "interval_count": 1, "usage_type": "licensed", "quantity": quantity,
           "current_period_start": JUNE, "current_period_end": JULY})
}

fn subscription(status: &str, item: Value) -> Value {
    json!({"id": "sub_1", "status": status, "cancel_at_period_end": false, "discounts": [], "items": [item]})
}

fn line(id: &str, price: &str, amount: i64, proration: bool, start: i64) -> Value {
    json!({"id": id, "description": id, "amount": amount, "period_start": start, "period_end": JULY,
           "proration": proration, "subscription": "sub_1", "subscription_item": "si_1", "price": price,
           "quantity": 1, "discount_amount": 0, "tax_amount": 0, "tax_exclusive_amount": 0, "discounts": []})
}

fn invoice(id: &str, status: &str, lines: Vec<Value>) -> Value {
    json!({"id": id, "status": status, "subscription": "sub_1", "created": JUNE, "currency": "usd",
           "finalized_at": JUNE, "paid_at": (status == "paid").then_some(JUNE + 5), "amount_paid": 1000,
           "payment_intents": ["pi_1"], "lines": lines})
}

fn price(id: &str, unit: Value) -> Value {
    json!({"id": id, "unit_amount": unit, "currency": "usd", "interval": "month", "interval_count": 1,
           "usage_type": "licensed"})
}

/// A customer who pays 10.00 a month.
fn basic() -> Value {
    json!({"subscriptions": [subscription("active", item("basic", 1000, 1))],
           "invoices": [invoice("in_1", "paid", vec![line("il_1", "basic", 1000, false, JUNE)])],
           "pending": [], "refunds": [], "prices": [price("basic", json!(1000)), price("pro", json!(3000))]})
}

fn empty() -> Value {
    json!({"invoices": [], "subscriptions": [], "plans": []})
}

fn plan(billing: &Value, ledger: &Value) -> Value {
    planned(billing, ledger, true).expect("a plan")
}

fn planned(billing: &Value, ledger: &Value, stable: bool) -> Result<Value, crate::Error> {
    let with = json!({"billing": billing, "ledger": ledger, "as_of": MID, "stable": stable});
    call("revenue.mirror.plan", &with).expect("the operation exists")
}

/// Does to a ledger what a plan says, as the ledger itself would.
fn write(ledger: &mut Value, plan: &Value) {
    let list = |value: &Value, key: &str| value[key].as_array().expect("a list").clone();
    let mut plans = list(ledger, "plans");
    plans.extend(list(plan, "plans").iter().map(|p| {
        json!({"uuid": format!("pl_{}", p["external_id"].as_str().unwrap()), "external_id": p["external_id"]})
    }));
    let removed: Vec<Value> = list(plan, "remove").iter().map(|r| r["uuid"].clone()).collect();
    let mut invoices = list(ledger, "invoices");
    invoices.retain(|i| !removed.contains(&i["uuid"]));
    let mut subscriptions = list(ledger, "subscriptions");
    for mut invoice in list(plan, "invoices") {
        invoice["uuid"] = json!(format!("inv_{}", invoice["external_id"].as_str().unwrap()));
        for line in invoice["line_items"].as_array_mut().unwrap() {
            if let Some(external) = line["plan"].as_str() {
                line["plan_uuid"] = json!(format!("pl_{external}"));
            }
            let id = line["subscription_external_id"].clone();
            if id.is_string() && !subscriptions.iter().any(|s| s["external_id"] == id) {
                subscriptions.push(json!({"uuid": "sub_x", "external_id": id, "cancellation_dates": []}));
            }
        }
        invoices.push(invoice);
    }
    for transaction in list(plan, "transactions") {
        let invoice = invoices.iter_mut().find(|i| i["uuid"] == transaction["invoice_uuid"]).unwrap();
        invoice["transactions"].as_array_mut().unwrap().push(transaction);
    }
    for cancellation in list(plan, "cancellations") {
        let id = &cancellation["subscription_external_id"];
        let held = subscriptions.iter_mut().find(|s| s["external_id"] == *id).expect("a known subscription");
        held["cancellation_dates"] = cancellation["cancellation_dates"].clone();
    }
    *ledger = json!({"invoices": invoices, "subscriptions": subscriptions, "plans": plans});
}

/// Plans, writes, and requires that nothing is left to do.
fn converge(billing: &Value, ledger: &mut Value) -> Value {
    let first = plan(billing, ledger);
    write(ledger, &first);
    let second = plan(billing, ledger);
    assert_eq!(second["unchanged"], true, "a second plan is not empty: {second:#}");
    first
}

fn amounts(plan: &Value) -> Vec<(String, String, i64)> {
    let mut amounts = Vec::new();
    for invoice in plan["invoices"].as_array().unwrap() {
        for line in invoice["line_items"].as_array().unwrap() {
            amounts.push((
                invoice["external_id"].as_str().unwrap().to_owned(),
                line["type"].as_str().unwrap().to_owned(),
                line["amount_in_cents"].as_i64().unwrap(),
            ));
        }
    }
    amounts
}

fn row(id: &str, kind: &str, amount: i64) -> (String, String, i64) {
    (id.to_owned(), kind.to_owned(), amount)
}

#[test]
fn a_paid_invoice_is_mirrored_with_its_payment() {
    let first = converge(&basic(), &mut empty());
    assert_eq!(amounts(&first), [row("in_1", "subscription", 1000)]);
    let invoice = &first["invoices"][0];
    assert_eq!(invoice["currency"], "USD");
    assert_eq!(invoice["line_items"][0]["subscription_external_id"], "si_1");
    assert_eq!(invoice["line_items"][0]["subscription_set_external_id"], "sub_1");
    assert_eq!(invoice["transactions"][0]["external_id"], "in_1:payment");
    assert_eq!(
        first["plans"],
        json!([{"external_id": "basic", "interval_count": 1, "interval_unit": "month"}])
    );
}

#[test]
fn an_uninvoiced_upgrade_shows_at_once_and_not_again_when_billed() {
    let mut ledger = empty();
    let mut billing = basic();
    converge(&billing, &mut ledger);

    billing["subscriptions"][0]["items"][0] = item("pro", 3000, 1);
    let mut credit = line("ii_1", "basic", -533, true, MID);
    let mut charge = line("ii_2", "pro", 1600, true, MID);
    credit["currency"] = json!("usd");
    charge["currency"] = json!("usd");
    billing["pending"] = json!([credit, charge]);
    let upgrade = converge(&billing, &mut ledger);
    let id = format!("change:si_1:{MID}");
    assert_eq!(amounts(&upgrade), [row(&id, "subscription", 3000), row(&id, "one_time", -3000)]);
    assert_eq!(upgrade["invoices"][0]["date"], "2026-06-15T00:00:00Z");

    let lines = vec![
        line("il_2", "basic", -533, true, MID),
        line("il_3", "pro", 1600, true, MID),
        line("il_4", "pro", 3000, false, JULY),
    ];
    billing["pending"] = json!([]);
    billing["invoices"].as_array_mut().unwrap().push(invoice("in_2", "paid", lines));
    let renewal = converge(&billing, &mut ledger);
    assert_eq!(
        amounts(&renewal),
        [row("in_2", "one_time", -533), row("in_2", "one_time", 1600), row("in_2", "subscription", 3000)]
    );
}

#[test]
fn a_change_takes_the_discount_in_force() {
    let mut billing = basic();
    billing["subscriptions"][0]["items"][0] = item("pro", 2999, 3);
    billing["prices"][1]["unit_amount"] = json!(2999);
    billing["subscriptions"][0]["discounts"] = json!([{"id": "di_1", "percent_off": 25}]);
    let mut charge = line("ii_2", "pro", 3600, true, MID);
    charge["currency"] = json!("usd");
    charge["quantity"] = json!(3);
    charge["discounts"] = json!([{"id": "di_1"}]);
    billing["pending"] = json!([charge]);
    let change = converge(&billing, &mut empty());
    // 8997 less 2249.25, rounded to 2249
    assert_eq!(amounts(&change)[1].2, 6748);

    billing["subscriptions"][0]["discounts"] = json!([]);
    let error = planned(&billing, &empty(), true).expect_err("an unexpanded discount is no zero");
    assert!(error.detail.contains("di_1") && error.detail.contains("expand"), "{error}");
}

#[test]
fn a_charge_that_names_no_discount_tells_by_its_amount_whether_it_is_after_one() {
    let mut billing = basic();
    billing["subscriptions"][0]["items"][0] = item("pro", 3000, 1);
    billing["subscriptions"][0]["discounts"] = json!([{"id": "di_1", "percent_off": 50}]);
    // 16 of 30 days are left: 1600 in full, 800 after the discount.
    for (charge, amount) in [(800, 1500), (1600, 3000)] {
        let mut charge = line("ii_2", "pro", charge, true, MID);
        charge["currency"] = json!("usd");
        billing["pending"] = json!([charge]);
        assert_eq!(amounts(&converge(&billing, &mut empty()))[1].2, amount);
    }
}

#[test]
fn an_untraced_change_is_told_once_and_only_if_seen_stable() {
    let mut ledger = empty();
    let mut billing = basic();
    converge(&billing, &mut ledger);
    billing["subscriptions"][0]["items"][0] = item("basic", 1000, 4);
    let racing = planned(&billing, &ledger, false).unwrap();
    assert_eq!(racing["unchanged"], true);
    let seen = converge(&billing, &mut ledger);
    assert_eq!(amounts(&seen)[0], row(&format!("state:si_1:{MID}"), "subscription", 4000));
}

#[test]
fn a_void_invoice_is_removed_and_a_draft_is_not_sent() {
    let mut ledger = empty();
    let mut billing = basic();
    billing["invoices"][0]["status"] = json!("draft");
    assert_eq!(plan(&billing, &ledger)["invoices"], json!([]));
    billing["invoices"][0]["status"] = json!("open");
    billing["invoices"][0]["paid_at"] = json!(null);
    converge(&billing, &mut ledger);
    billing["invoices"][0]["status"] = json!("void");
    let voided = converge(&billing, &mut ledger);
    assert_eq!(voided["remove"][0]["external_id"], "in_1");
    assert_eq!(ledger["invoices"], json!([]));
}

#[test]
fn a_late_payment_and_a_refund_are_added_to_the_held_invoice() {
    let mut ledger = empty();
    let mut billing = basic();
    billing["invoices"][0]["status"] = json!("open");
    billing["invoices"][0]["paid_at"] = json!(null);
    converge(&billing, &mut ledger);
    billing["invoices"][0]["status"] = json!("paid");
    billing["invoices"][0]["paid_at"] = json!(MID);
    billing["refunds"] = json!([
        {"id": "re_1", "amount": 400, "created": MID + 9, "status": "succeeded", "payment_intent": "pi_1"},
        {"id": "re_2", "amount": 400, "created": MID + 9, "status": "failed", "payment_intent": "pi_1"},
        {"id": "re_3", "amount": 400, "created": MID + 9, "status": "succeeded", "payment_intent": "pi_2"}]);
    let paid = converge(&billing, &mut ledger);
    let ids: Vec<_> =
        paid["transactions"].as_array().unwrap().iter().map(|t| t["external_id"].clone()).collect();
    assert_eq!(ids, ["in_1:payment", "re_1"]);
    assert_eq!(paid["invoices"], json!([]));
}

#[test]
fn cancellations_are_set_moved_and_undone() {
    let mut ledger = empty();
    let mut billing = basic();
    converge(&billing, &mut ledger);
    let dates = |plan: &Value| plan["cancellations"][0]["cancellation_dates"].clone();

    billing["subscriptions"][0]["cancel_at_period_end"] = json!(true);
    assert_eq!(dates(&converge(&billing, &mut ledger)), json!(["2026-07-01T00:00:00Z"]));
    billing["subscriptions"][0]["cancel_at_period_end"] = json!(false);
    assert_eq!(dates(&converge(&billing, &mut ledger)), json!([]));
    billing["subscriptions"][0]["cancel_at"] = json!(MID);
    assert_eq!(dates(&converge(&billing, &mut ledger)), json!(["2026-06-15T00:00:00Z"]));
    billing["subscriptions"][0]["status"] = json!("canceled");
    billing["subscriptions"][0]["ended_at"] = json!(MID - 86_400);
    assert_eq!(dates(&converge(&billing, &mut ledger)), json!(["2026-06-14T00:00:00Z"]));
}

#[test]
fn a_trial_brings_no_invoice_but_its_start() {
    let mut billing = basic();
    billing["subscriptions"][0]["status"] = json!("trialing");
    billing["subscriptions"][0]["trial_start"] = json!(JUNE);
    billing["invoices"][0]["lines"][0]["amount"] = json!(0);
    let trial = plan(&billing, &empty());
    assert_eq!(
        (&trial["unchanged"], &trial["free_trial_started_at"]),
        (&json!(true), &json!("2026-06-01T00:00:00Z"))
    );
}

#[test]
fn a_subscription_that_never_started_is_no_revenue() {
    let mut billing = basic();
    billing["subscriptions"][0]["status"] = json!("incomplete_expired");
    billing["invoices"][0]["status"] = json!("open");
    assert_eq!(plan(&billing, &empty())["unchanged"], true);
}

#[test]
fn tax_is_told_apart_and_discounts_are_taken_off() {
    let mut billing = basic();
    let line = &mut billing["invoices"][0]["lines"][0];
    line["discount_amount"] = json!(250);
    line["tax_amount"] = json!(150);
    line["tax_exclusive_amount"] = json!(150);
    let sent = converge(&billing, &mut empty());
    let line = &sent["invoices"][0]["line_items"][0];
    assert_eq!(
        (&line["amount_in_cents"], &line["tax_amount_in_cents"], &line["discount_amount_in_cents"]),
        (&json!(900), &json!(150), &json!(250))
    );
}

#[test]
fn an_item_that_left_a_living_subscription_ended_with_its_credit() {
    let mut ledger = empty();
    let mut billing = basic();
    converge(&billing, &mut ledger);
    let mut other = item("pro", 3000, 1);
    other["id"] = json!("si_2");
    billing["subscriptions"][0]["items"] = json!([other]);
    let mut credit = line("ii_1", "basic", -533, true, MID);
    credit["currency"] = json!("usd");
    billing["pending"] = json!([credit]);
    let left = converge(&billing, &mut ledger);
    assert_eq!(left["cancellations"][0]["cancellation_dates"], json!(["2026-06-15T00:00:00Z"]));
}

#[test]
fn what_is_missing_is_an_error_that_names_it() {
    let mut billing = basic();
    billing["invoices"][0]["lines"][0].as_object_mut().unwrap().remove("amount");
    let error = planned(&billing, &empty(), true).expect_err("no amount is no zero");
    assert!(error.field == "billing" && error.detail.contains("amount"), "{error}");

    let mut billing = basic();
    billing["invoices"][0]["lines"][0]["price"] = json!("unread");
    let error = planned(&billing, &empty(), true).expect_err("an unread price");
    assert!(error.detail.contains("unread"), "{error}");
}
