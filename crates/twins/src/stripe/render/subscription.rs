//! Subscriptions and their items.

use serde_json::{Value, json};

use super::super::model::*;
use super::super::subscriptions::wire::embedded;
use super::super::version::Version;
use super::{catalog, extend, metadata};

fn ids(discounts: &[std::sync::Arc<Discount>]) -> Vec<&str> {
    discounts.iter().map(|discount| discount.id.as_str()).collect()
}

pub(in super::super) fn item(item: &Item, subscription: &Subscription, version: &Version) -> Value {
    let mut value = json!({
        "id": item.id,
        "object": "subscription_item",
        "billing_thresholds": null,
        "created": item.created,
        "discounts": [],
        "metadata": metadata(&item.metadata),
        "plan": catalog::plan(&item.price, version),
        "price": catalog::price(&item.price, version),
        "quantity": item.quantity,
        "subscription": subscription.id,
        "tax_rates": [],
    });
    if version.basil() {
        value["current_period_end"] = json!(subscription.period_end);
        value["current_period_start"] = json!(subscription.period_start);
    }
    if version.endive() {
        value["current_trial"] = Value::Null;
    }
    value
}

pub(super) fn subscription(one: &Subscription, version: &Version) -> Value {
    let items: Vec<Value> = one.items.iter().map(|kept| item(kept, one, version)).collect();
    let mut value = json!({
        "id": one.id,
        "object": "subscription",
        "application": null,
        "application_fee_percent": null,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": one.anchor,
        "billing_cycle_anchor_config": null,
        "billing_mode": {
            "flexible": if one.flexible { json!({ "proration_discounts": "included" }) } else { Value::Null },
            "type": if one.flexible { "flexible" } else { "classic" },
        },
        "billing_thresholds": null,
        "cancel_at": one.cancel_at,
        "cancel_at_period_end": one.cancel_at_period_end,
        "canceled_at": one.canceled_at,
        "cancellation_details": {
            "comment": one.cancellation_comment,
            "feedback": one.cancellation_feedback,
            "reason": one.cancellation_reason,
        },
        "collection_method": one.collection.as_str(),
        "created": one.created,
        "currency": one.currency,
        "customer": one.customer,
        "customer_account": null,
        "days_until_due": one.days_until_due,
        "default_payment_method": one.default_payment_method,
        "default_source": null,
        "default_tax_rates": [],
        "description": one.description,
        "discounts": ids(&one.discounts),
        "ended_at": one.ended_at,
        "invoice_settings": {
            "account_tax_ids": null, "custom_fields": null, "description": null, "footer": null,
            "issuer": { "type": "self" },
        },
        "items": embedded(one, items),
        "latest_invoice": one.latest_invoice,
        "livemode": false,
        "metadata": metadata(&one.metadata),
        "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "pause_collection": null,
        "payment_settings": {
            "payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
    });
    versioned(&mut value, one, version);
    value
}

fn versioned(value: &mut Value, one: &Subscription, version: &Version) {
    let only = if let [only] = one.items.as_slice() { Some(only) } else { None };
    extend(
        value,
        json!({
            "plan": only.map(|item| catalog::plan(&item.price, version)),
            "quantity": only.map(|item| item.quantity),
            "schedule": null,
            "start_date": one.start,
            "status": one.status.as_str(),
            "test_clock": one.test_clock,
            "transfer_data": null,
            "trial_end": one.trial_end,
            "trial_settings": { "end_behavior": { "missing_payment_method": one.missing_card.as_str() } },
            "trial_start": one.trial_start,
        }),
    );
    if !version.basil() {
        value["current_period_end"] = json!(one.period_end);
        value["current_period_start"] = json!(one.period_start);
        let first = one.discounts.first();
        value["discount"] = first.map_or(Value::Null, |discount| catalog::discount(discount, version));
    }
    if version.dahlia() {
        extend(value, json!({ "billing_schedules": [], "managed_payments": { "enabled": false } }));
    }
    if version.endive() {
        value["cancellation_details"]["feedback_option"] = Value::Null;
    }
}
