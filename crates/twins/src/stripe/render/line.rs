//! Invoice lines and invoice items.

use serde_json::{Value, json};

use super::super::model::*;
use super::super::version::Version;
use super::{catalog, extend, metadata};

pub(super) fn discount_amounts(discounts: &[(std::sync::Arc<Discount>, i64)]) -> Vec<Value> {
    discounts.iter().map(|(discount, cents)| json!({ "amount": cents, "discount": discount.id })).collect()
}

fn pricing(price: Option<&Price>, unit_amount: i64) -> Value {
    let Some(price) = price else { return Value::Null };
    json!({
        "price_details": { "price": price.id, "product": price.product },
        "type": "price_details",
        "unit_amount_decimal": unit_amount.to_string(),
    })
}

/// What the line stands for: a subscription item, or an invoice item.
fn parent(line: &Line) -> Value {
    let proration_details = json!({ "credited_items": null });
    match (&line.item, &line.invoice_item) {
        (Some(item), from) => json!({
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": from,
                "proration": line.proration,
                "proration_details": proration_details,
                "subscription": line.subscription,
                "subscription_item": item,
            },
            "type": "subscription_item_details",
        }),
        (None, Some(from)) => json!({
            "invoice_item_details": {
                "invoice_item": from,
                "proration": line.proration,
                "proration_details": proration_details,
                "subscription": line.subscription,
            },
            "subscription_item_details": null,
            "type": "invoice_item_details",
        }),
        (None, None) => Value::Null,
    }
}

pub(in super::super) fn line(line: &Line, invoice: &Invoice, version: &Version) -> Value {
    let taken = discount_amounts(&line.discounts);
    // A subscription's discounts show in the amounts of regular lines; prorations name theirs.
    let prorated = line.discounts.iter().filter(|_| line.proration);
    let named: Vec<&str> = prorated.map(|(discount, _)| discount.id.as_str()).collect();
    let mut value = json!({
        "id": line.id,
        "object": "line_item",
        "amount": line.amount,
        "currency": invoice.currency,
        "description": line.description,
        "discount_amounts": taken,
        "discountable": line.discountable,
        "discounts": named,
        "invoice": if invoice.id.is_empty() { Value::Null } else { json!(invoice.id) },
        "livemode": false,
        "metadata": metadata(&line.metadata),
        "period": { "end": line.period.1, "start": line.period.0 },
        "pretax_credit_amounts": [],
        "quantity": line.quantity,
        "subscription": line.subscription,
    });
    let price = line.price.as_deref();
    if version.acacia() {
        let unit_amount = price.map_or(line.amount, |price| price.unit_amount);
        extend(
            &mut value,
            json!({ "parent": parent(line), "pricing": pricing(price, unit_amount), "taxes": [] }),
        );
    }
    if version.dahlia() {
        extend(&mut value, json!({ "quantity_decimal": line.quantity.to_string(), "subtotal": line.amount }));
    }
    if !version.basil() {
        older(&mut value, line, price, version);
    }
    value
}

fn older(value: &mut Value, line: &Line, price: Option<&Price>, version: &Version) {
    let kind = if line.invoice_item.is_some() { "invoiceitem" } else { "subscription" };
    extend(
        value,
        json!({
            "amount_excluding_tax": line.amount,
            "plan": price.filter(|price| price.recurring.is_some()).map(|price| catalog::plan(price, version)),
            "price": price.map(|price| catalog::price(price, version)),
            "proration": line.proration,
            "proration_details": { "credited_items": null },
            "tax_amounts": [],
            "tax_rates": [],
            "type": kind,
            "unit_amount_excluding_tax": price.map_or(line.amount, |price| price.unit_amount).to_string(),
        }),
    );
    if let Some(from) = &line.invoice_item {
        value["invoice_item"] = json!(from);
    }
    if let Some(item) = &line.item {
        value["subscription_item"] = json!(item);
    }
}

pub(super) fn invoice_item(item: &InvoiceItem, version: &Version) -> Value {
    let mut value = json!({
        "id": item.id,
        "object": "invoiceitem",
        "amount": item.amount,
        "currency": item.currency,
        "customer": item.customer,
        "customer_account": null,
        "date": item.date,
        "description": item.description,
        "discountable": item.discountable,
        "discounts": item.discounts.iter().map(|discount| discount.id.as_str()).collect::<Vec<_>>(),
        "invoice": item.invoice,
        "livemode": false,
        "metadata": metadata(&item.metadata),
        "period": { "end": item.period.1, "start": item.period.0 },
        "proration": item.proration,
        "quantity": item.quantity,
        "tax_rates": [],
        "test_clock": item.test_clock,
    });
    let price = item.price.as_deref();
    if version.basil() {
        let parent = item.subscription.as_ref().map(|subscription| {
            let mut details = json!({ "subscription": subscription });
            if let Some(one) = &item.item {
                details["subscription_item"] = json!(one);
            }
            json!({ "subscription_details": details, "type": "subscription_details" })
        });
        extend(
            &mut value,
            json!({ "net_amount": item.amount, "parent": parent, "pricing": pricing(price, item.unit_amount) }),
        );
        if item.proration {
            value["proration_details"] = json!({ "credited_items": null, "discount_amounts": [] });
        }
    } else {
        extend(
            &mut value,
            json!({
                "plan": price.filter(|price| price.recurring.is_some()).map(|price| catalog::plan(price, version)),
                "price": price.map(|price| catalog::price(price, version)),
                "subscription": item.subscription,
                "unit_amount": item.unit_amount,
                "unit_amount_decimal": item.unit_amount.to_string(),
            }),
        );
        if let Some(one) = &item.item {
            value["subscription_item"] = json!(one);
        }
    }
    if version.dahlia() {
        value["quantity_decimal"] = json!(item.quantity.to_string());
    }
    value
}
