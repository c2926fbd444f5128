//! One shape for the objects of every API version. The objects here are written by hand after the types of the
//! official clients; recorded ones are read in `recordings.rs`.

use connect::Error;
use serde_json::{Value, json};

use crate::stage::{Stage, call, catalog};

fn apply(object: &str, value: &Value) -> Result<Value, Error> {
    catalog()
        .get("stripe")
        .and_then(|stripe| stripe.view("billing").cloned())
        .expect("the view")
        .apply(object, value)
}

/// `base` with the members of `changes` put over it; null members of `changes` marked "absent" are taken out.
fn changed(base: &Value, changes: Value) -> Value {
    let mut out = base.clone();
    for (name, value) in changes.as_object().expect("a map") {
        if value == "absent" {
            out.as_object_mut().expect("a map").remove(name);
        } else {
            out[name] = value.clone();
        }
    }
    out
}

fn price() -> Value {
    json!({"id": "price_1", "object": "price", "product": "prod_1", "nickname": null, "unit_amount": 1500,
        "billing_scheme": "per_unit", "currency": "usd", "type": "recurring",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}})
}

fn coupon() -> Value {
    json!({"id": "SPRING", "percent_off": 12.5, "amount_off": null, "duration": "forever", "duration_in_months": null})
}

/// A subscription of the newest version; `discounts` expanded.
fn new_subscription() -> Value {
    json!({"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active", "created": 10,
        "start_date": 11, "trial_start": null, "trial_end": null, "cancel_at": 99, "cancel_at_period_end": false,
        "canceled_at": null, "ended_at": null,
        "discounts": [{"id": "di_1", "start": 11, "end": null, "source": {"type": "coupon", "coupon": coupon()}}],
        "items": {"object": "list", "has_more": false, "data": [{"id": "si_1", "quantity": 3, "price": price(),
            "current_period_start": 20, "current_period_end": 30, "discounts": []}]}})
}

/// The same one as 2020-08-27 shows it.
fn old_subscription() -> Value {
    changed(
        &new_subscription(),
        json!({"current_period_start": 20, "current_period_end": 30, "discounts": "absent",
            "discount": {"id": "di_1", "start": 11, "end": null, "coupon": coupon()},
            "items": {"object": "list", "has_more": false,
                "data": [{"id": "si_1", "quantity": 3, "price": price(), "plan": {"id": "price_1"}}]}}),
    )
}

#[test]
fn a_subscription_is_the_same_in_every_version() {
    let expected = json!({"id": "sub_1", "customer": "cus_1", "status": "active", "created": 10, "start_date": 11,
        "trial_start": null, "trial_end": null, "cancel_at": 99, "cancel_at_period_end": false, "canceled_at": null,
        "ended_at": null,
        "discounts": [{"id": "di_1", "coupon": "SPRING", "percent_off": 12.5, "amount_off": null,
            "duration": "forever", "duration_in_months": null, "start": 11, "end": null}],
        "items": [{"id": "si_1", "price": "price_1", "product": "prod_1", "unit_amount": 1500,
            "billing_scheme": "per_unit", "currency": "usd", "interval": "month", "interval_count": 1,
            "usage_type": "licensed", "quantity": 3, "current_period_start": 20, "current_period_end": 30}]});
    let acacia = changed(&old_subscription(), json!({"discounts": ["di_1"]}));
    let expanded = changed(&new_subscription(), json!({"customer": {"id": "cus_1", "object": "customer"}}));
    for (version, subscription) in [
        ("endive", new_subscription()),
        ("2020-08-27", old_subscription()),
        ("acacia, discounts as ids", acacia),
        ("customer expanded", expanded),
    ] {
        assert_eq!(apply("subscription", &subscription).expect(version), expected, "{version}");
    }
    let none = changed(&old_subscription(), json!({"discount": null}));
    assert_eq!(apply("subscription", &none).expect("no discount")["discounts"], json!([]));
    let none = changed(&new_subscription(), json!({"discounts": []}));
    assert_eq!(apply("subscription", &none).expect("no discount")["discounts"], json!([]));
}

#[test]
fn what_is_not_there_is_an_error_that_says_where_it_was_looked_for() {
    let item = |changes: Value| {
        let mut subscription = new_subscription();
        let changed = changed(&subscription["items"]["data"][0], changes);
        subscription["items"]["data"][0] = changed;
        subscription
    };
    for (subscription, code, object, id, field, tried) in [
        (
            changed(&new_subscription(), json!({"ended_at": "absent"})),
            "mapping_missing",
            "subscription",
            "sub_1",
            "ended_at",
            json!(["ended_at"]),
        ),
        (
            changed(&new_subscription(), json!({"status": null})),
            "mapping_null",
            "subscription",
            "sub_1",
            "status",
            json!(["status (null)"]),
        ),
        (
            changed(&new_subscription(), json!({"created": "1"})),
            "mapping_type",
            "subscription",
            "sub_1",
            "created",
            json!([]),
        ),
        (
            changed(&new_subscription(), json!({"discounts": ["di_1"]})),
            "mapping_missing",
            "subscription",
            "sub_1",
            "discounts",
            json!(["discounts[] (bare ids; read it with `expand`)", "discount"]),
        ),
        (
            changed(&old_subscription(), json!({"discounts": ["di_1", "di_2"]})),
            "mapping_missing",
            "subscription",
            "sub_1",
            "discounts",
            json!(["discounts[] (bare ids; read it with `expand`)", "discount (one of several)"]),
        ),
        (
            changed(&old_subscription(), json!({"discount": "di_1"})),
            "mapping_missing",
            "subscription",
            "sub_1",
            "discounts",
            json!(["discounts[]", "discount (a bare id; read it with `expand`)"]),
        ),
        (
            changed(&new_subscription(), json!({"items": "absent"})),
            "mapping_missing",
            "subscription",
            "sub_1",
            "items",
            json!(["items.data[]"]),
        ),
        (
            changed(&new_subscription(), json!({"items": {"has_more": true, "data": []}})),
            "mapping_incomplete",
            "subscription",
            "sub_1",
            "items",
            json!(["items.data[]"]),
        ),
        (
            item(json!({"current_period_end": "absent"})),
            "mapping_missing",
            "subscription_item",
            "si_1",
            "current_period_end",
            json!(["current_period_end", "^.current_period_end"]),
        ),
        (
            item(json!({"price": "price_1"})),
            "mapping_missing",
            "subscription_item",
            "si_1",
            "price",
            json!(["price.id", "plan.id"]),
        ),
        (
            changed(
                &new_subscription(),
                json!({"discounts": [{"id": "di_1", "start": 1, "end": null,
            "source": {"coupon": "SPRING"}}]}),
            ),
            "mapping_missing",
            "discount",
            "di_1",
            "coupon",
            json!(["source.coupon.id", "coupon.id"]),
        ),
    ] {
        let error = apply("subscription", &subscription).expect_err(field);
        let body = error.body.clone().expect("a body");
        assert_eq!(error.code, code, "{error}");
        assert_eq!(body, json!({"object": object, "id": id, "field": field, "tried": tried}), "{error}");
        assert!(error.detail.contains(id) && error.detail.contains(field), "{error}");
    }
}

/// A line of a subscription, with a discount and tax, as the newest version shows it.
fn new_line() -> Value {
    json!({"id": "il_1", "object": "line_item", "description": "3 × Seat", "amount": 4500, "currency": "usd",
        "period": {"start": 20, "end": 30}, "quantity": 3, "subscription": "sub_1",
        "parent": {"type": "subscription_item_details", "invoice_item_details": null,
            "subscription_item_details": {"proration": false, "subscription": "sub_1", "subscription_item": "si_1",
                "invoice_item": null, "proration_details": null}},
        "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_1"}},
        "discount_amounts": [{"amount": 400, "discount": "di_1"}, {"amount": 50, "discount": "di_2"}],
        "discounts": ["di_1", "di_2"],
        "taxes": [{"amount": 300, "tax_behavior": "exclusive"}, {"amount": 70, "tax_behavior": "inclusive"}]})
}

fn old_line() -> Value {
    changed(
        &new_line(),
        json!({"parent": "absent", "pricing": "absent", "taxes": "absent", "proration": false, "type": "subscription",
            "subscription_item": "si_1", "price": price(),
            "tax_amounts": [{"amount": 300, "inclusive": false}, {"amount": 70, "inclusive": true}]}),
    )
}

fn line_view() -> Value {
    json!({"id": "il_1", "description": "3 × Seat", "amount": 4500, "currency": "usd", "period_start": 20,
        "period_end": 30, "proration": false, "subscription": "sub_1", "subscription_item": "si_1",
        "invoice_item": null, "price": "price_1", "is_metered": null, "quantity": 3, "discount_amount": 450,
        "tax_amount": 370, "tax_exclusive_amount": 300,
        "discounts": [{"id": "di_1", "coupon": null, "percent_off": null, "amount_off": null},
            {"id": "di_2", "coupon": null, "percent_off": null, "amount_off": null}]})
}

#[test]
fn an_invoice_line_is_the_same_in_every_version() {
    let both = changed(
        &old_line(),
        json!({"parent": new_line()["parent"], "pricing": new_line()["pricing"],
        "taxes": new_line()["taxes"]}),
    );
    let metered = json!({"is_metered": false});
    for (version, line, known) in [
        ("endive", new_line(), json!({})),
        ("2020-08-27", old_line(), metered.clone()),
        ("acacia", both, metered),
    ] {
        assert_eq!(apply("line", &line).expect(version), changed(&line_view(), known), "{version}");
    }
}

#[test]
fn a_proration_of_an_invoice_item_is_one_in_every_version() {
    let parent = json!({"type": "invoice_item_details", "subscription_item_details": null,
        "invoice_item_details": {"proration": true, "subscription": "sub_1", "invoice_item": "ii_1"}});
    let new = changed(
        &new_line(),
        json!({"parent": parent, "discounts": [], "discount_amounts": [], "taxes": null}),
    );
    let old = changed(
        &old_line(),
        json!({"proration": true, "invoice_item": "ii_1", "discounts": [],
        "discount_amounts": [], "tax_amounts": []}),
    );
    let expected = changed(
        &line_view(),
        json!({"proration": true, "invoice_item": "ii_1", "discounts": [],
        "discount_amount": 0, "tax_amount": 0, "tax_exclusive_amount": 0}),
    );
    let new = apply("line", &new).expect("new");
    assert_eq!(new, changed(&expected, json!({"subscription_item": null})));
    assert_eq!(apply("line", &old).expect("old"), changed(&expected, json!({"is_metered": false})));
}

/// Null says that there is none; a member that is missing says nothing.
#[test]
fn sums_over_missing_lists_are_errors() {
    for (member, field) in
        [("taxes", "tax_amount"), ("discount_amounts", "discount_amount"), ("discounts", "discounts")]
    {
        let line = changed(&new_line(), json!({member: "absent"}));
        let error = apply("line", &line).expect_err(member);
        assert_eq!(
            (error.code.as_str(), &error.body.expect("a body")["field"]),
            ("mapping_missing", &json!(field))
        );
        let line = changed(&new_line(), json!({member: null}));
        assert!(apply("line", &line).is_ok(), "{member} null");
    }
    for broken in [json!([{"amount": "7"}]), json!([{}]), json!([{"amount": 1.5}])] {
        let line = changed(&new_line(), json!({"taxes": broken}));
        assert_eq!(apply("line", &line).expect_err("no integers").code, "mapping_missing");
    }
    let line = changed(&new_line(), json!({"taxes": [{"amount": i64::MAX}, {"amount": 1}]}));
    assert_eq!(apply("line", &line).expect_err("too large").code, "mapping_missing");
    let line = changed(&new_line(), json!({"parent": null}));
    assert_eq!(
        apply("line", &line).expect_err("a line of nothing").body.expect("a body")["field"],
        "proration"
    );
}

fn new_invoice() -> Value {
    json!({"id": "in_1", "object": "invoice", "number": "A-1", "status": "paid",
        "billing_reason": "subscription_cycle", "customer": "cus_1", "created": 1, "due_date": null,
        "effective_at": 2, "period_start": 5, "period_end": 6, "currency": "usd", "total": 4350, "subtotal": 4500,
        "amount_due": 4350, "amount_paid": 4350, "attempt_count": 1, "post_payment_credit_notes_amount": 0,
        "status_transitions": {"finalized_at": 2, "paid_at": 3, "voided_at": null, "marked_uncollectible_at": null},
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}},
        "total_taxes": [{"amount": 300}], "lines": {"object": "list", "has_more": false, "data": [new_line()]},
        "payments": {"object": "list", "has_more": false, "data": [
            {"payment": {"type": "payment_intent", "payment_intent": "pi_1"}},
            {"payment": {"type": "charge", "charge": "ch_1"}},
            {"payment": {"type": "payment_intent", "payment_intent": {"id": "pi_2"}}}]}})
}

#[test]
fn an_invoice_is_the_same_in_every_version() {
    let old = changed(
        &new_invoice(),
        json!({"parent": "absent", "subscription": "sub_1", "total_taxes": "absent", "tax": 300,
            "payments": "absent", "payment_intent": "pi_1", "lines": {"has_more": false, "data": [old_line()]}}),
    );
    let expected = |lines: Value, payments: Value| {
        json!({"id": "in_1", "number": "A-1", "status": "paid", "billing_reason": "subscription_cycle",
            "customer": "cus_1", "subscription": "sub_1", "created": 1, "due_date": null, "effective_at": 2,
            "finalized_at": 2, "paid_at": 3, "voided_at": null, "period_start": 5, "period_end": 6,
            "currency": "usd", "total": 4350, "subtotal": 4500, "tax": 300, "amount_due": 4350, "amount_paid": 4350,
            "attempt_count": 1, "post_payment_credit_notes_amount": 0, "payment_intents": payments, "lines": [lines]})
    };
    let old_lines = changed(&line_view(), json!({"is_metered": false}));
    assert_eq!(
        apply("invoice", &new_invoice()).expect("new"),
        expected(line_view(), json!(["pi_1", "pi_2"]))
    );
    assert_eq!(apply("invoice", &old).expect("old"), expected(old_lines, json!(["pi_1"])));

    let unpaid = changed(&old, json!({"payment_intent": null, "tax": null, "subscription": null}));
    let view = apply("invoice", &unpaid).expect("old, unpaid");
    assert_eq!(
        (&view["payment_intents"], &view["tax"], &view["subscription"]),
        (&json!([]), &json!(0), &json!(null))
    );
    let manual = changed(&new_invoice(), json!({"parent": null, "total_taxes": null}));
    let view = apply("invoice", &manual).expect("new, no subscription");
    assert_eq!((&view["subscription"], &view["tax"]), (&json!(null), &json!(0)));
}

#[test]
fn invoices_without_what_they_need_are_errors() {
    let invoice = |changes| apply("invoice", &changed(&new_invoice(), changes)).expect_err("an error");
    let field = |error: &Error| error.body.as_ref().expect("a body")["field"].clone();
    let error = invoice(json!({"payments": "absent"}));
    assert_eq!((error.code.as_str(), field(&error)), ("mapping_missing", json!("payment_intents")));
    let error = invoice(json!({"total_taxes": "absent"}));
    assert_eq!((error.code.as_str(), field(&error)), ("mapping_missing", json!("tax")));
    let error = invoice(json!({"parent": "absent"}));
    assert_eq!((error.code.as_str(), field(&error)), ("mapping_missing", json!("subscription")));
    let error = invoice(json!({"lines": {"has_more": true, "data": [new_line()]}}));
    assert_eq!((error.code.as_str(), field(&error)), ("mapping_incomplete", json!("lines")));
}

#[test]
fn pending_items_prices_refunds_and_charges_have_a_view() {
    let item = json!({"id": "ii_1", "description": null, "date": 7, "amount": -500, "currency": "usd",
        "customer": "cus_1", "invoice": null, "period": {"start": 20, "end": 30}, "proration": true, "quantity": 1,
        "discounts": [{"id": "di_1", "source": {"coupon": coupon()}}],
        "parent": {"type": "subscription_details",
            "subscription_details": {"subscription": "sub_1", "subscription_item": "si_1"}},
        "pricing": {"price_details": {"price": "price_1"}}});
    let old = changed(
        &item,
        json!({"parent": "absent", "pricing": "absent", "subscription": "sub_1",
        "subscription_item": "si_1", "price": price(), "discounts": [{"id": "di_1", "coupon": coupon()}]}),
    );
    let expected = json!({"id": "ii_1", "description": null, "date": 7, "amount": -500, "currency": "usd",
        "customer": "cus_1", "invoice": null, "period_start": 20, "period_end": 30, "proration": true,
        "subscription": "sub_1", "subscription_item": "si_1", "price": "price_1", "quantity": 1,
        "discounts": [{"id": "di_1", "coupon": "SPRING", "percent_off": 12.5, "amount_off": null}]});
    assert_eq!(apply("invoice_item", &item).expect("new"), expected);
    assert_eq!(apply("invoice_item", &old).expect("old"), expected);

    let view = apply("price", &price()).expect("a price");
    assert_eq!((&view["interval"], &view["usage_type"]), (&json!("month"), &json!("licensed")));
    let once = apply("price", &changed(&price(), json!({"recurring": null, "unit_amount": null})))
        .expect("one time");
    assert_eq!((&once["interval"], &once["unit_amount"]), (&json!(null), &json!(null)));

    let refund = json!({"id": "re_1", "amount": 5, "created": 1, "status": "succeeded", "charge": {"id": "ch_1"},
        "payment_intent": null, "currency": "usd"});
    assert_eq!(apply("refund", &refund).expect("a refund")["charge"], "ch_1");
    let charge = json!({"id": "ch_1", "amount": 5, "amount_refunded": 0, "created": 1, "customer": null,
        "payment_intent": "pi_1", "currency": "usd", "status": "succeeded"});
    assert_eq!(apply("charge", &charge).expect("a charge")["payment_intent"], "pi_1");
}

#[test]
fn a_customer_may_be_deleted() {
    let customer = json!({"id": "cus_1", "object": "customer", "name": null, "email": "a@b.c", "created": 1,
        "metadata": {"k": "v"}});
    let expected = json!({"id": "cus_1", "name": null, "email": "a@b.c", "created": 1, "deleted": false,
        "metadata": {"k": "v"}});
    assert_eq!(apply("customer", &customer).expect("a customer"), expected);
    let error = apply("customer", &changed(&customer, json!({"email": "absent"}))).expect_err("no e-mail");
    assert_eq!(error.code, "mapping_missing");
}

#[tokio::test]
async fn every_record_of_a_list_is_mapped() {
    let page = json!({"has_more": false, "data": [new_subscription(), old_subscription()]});
    let args = json!({"view": "billing", "customer": "cus_1"});
    let output = call(&Stage::json([page]), "stripe.subscriptions.list", args.clone()).await.expect("both");
    assert_eq!(output["items"][0], output["items"][1]);
    let broken = changed(&new_subscription(), json!({"id": "sub_2", "status": "absent"}));
    let page = json!({"has_more": false, "data": [new_subscription(), broken]});
    let error =
        call(&Stage::json([page]), "stripe.subscriptions.list", args).await.expect_err("one is broken");
    assert_eq!(
        (error.code.as_str(), &error.body.expect("a body")["id"]),
        ("mapping_missing", &json!("sub_2"))
    );
}
