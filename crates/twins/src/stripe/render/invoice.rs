//! Invoices and their payments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::model::*;
use super::super::version::Version;
use super::super::world::World;
use super::{catalog, embedded, extend, line, metadata};

/// What each discount took off the whole invoice.
fn total_discounts(invoice: &Invoice) -> Vec<Value> {
    let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
    let discountable = invoice.lines.iter().filter(|line| line.discountable);
    for (discount, cents) in discountable.flat_map(|line| &line.discounts) {
        *totals.entry(&discount.id).or_default() += cents;
    }
    totals.into_iter().map(|(discount, amount)| json!({ "amount": amount, "discount": discount })).collect()
}

fn lines(invoice: &Invoice, version: &Version) -> Value {
    /// As many lines as Stripe puts into the invoice itself; the rest is paged.
    const SHOWN: usize = 10;
    let shown = invoice.lines.iter().take(SHOWN).map(|one| line::line(one, invoice, version));
    let url = format!("/v1/invoices/{}/lines", invoice.id);
    let mut list = embedded(shown.collect(), &url);
    list["has_more"] = json!(invoice.lines.len() > SHOWN);
    list["total_count"] = json!(invoice.lines.len());
    list
}

fn pages(invoice: &Invoice, world: &World) -> (Value, Value) {
    if invoice.finalized_at.is_none() {
        return (Value::Null, Value::Null);
    }
    let path = format!("{}/test_{}", world.account, invoice.id);
    let hosted = format!("https://invoice.stripe.com/i/{path}?s=ap");
    let pdf = format!("https://pay.stripe.com/invoice/{path}/pdf?s=ap");
    (json!(hosted), json!(pdf))
}

pub(super) fn invoice(invoice: &Invoice, version: &Version, world: &World) -> Value {
    let mut value = json!({
        "id": invoice.id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Twin",
        "account_tax_ids": null,
        "amount_due": invoice.amount_due,
        "amount_overpaid": 0,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_due - invoice.amount_paid,
        "amount_shipping": 0,
        "application": null,
        "attempt_count": invoice.attempt_count,
        "attempted": invoice.attempted,
        "auto_advance": invoice.auto_advance,
        "automatic_tax": {
            "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null,
        },
        "automatically_finalizes_at": invoice.finalizes_at,
        "billing_reason": invoice.reason.as_str(),
        "collection_method": invoice.collection.as_str(),
        "created": invoice.created,
        "currency": invoice.currency,
    });
    extend(&mut value, middle(invoice, world));
    extend(&mut value, rest(invoice));
    if version.acacia() {
        extend(&mut value, json!({ "parent": parent(invoice), "total_taxes": [] }));
    }
    if !version.basil() {
        extend(&mut value, older(invoice, version));
    }
    value["lines"] = lines(invoice, version);
    value
}

fn middle(invoice: &Invoice, world: &World) -> Value {
    let (hosted, pdf) = pages(invoice, world);
    let discounts: Vec<&str> = invoice.discounts.iter().map(|discount| discount.id.as_str()).collect();
    json!({
        "custom_fields": null,
        "customer": invoice.customer,
        "customer_account": null,
        "customer_address": null,
        "customer_email": invoice.customer_email,
        "customer_name": invoice.customer_name,
        "customer_phone": invoice.customer_phone,
        "customer_shipping": null,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": invoice.default_payment_method,
        "default_source": null,
        "default_tax_rates": [],
        "description": invoice.description,
        "discounts": discounts,
        "due_date": invoice.due_date,
        "effective_at": invoice.finalized_at,
        "ending_balance": invoice.ending_balance,
        "footer": invoice.footer,
        "from_invoice": null,
        "hosted_invoice_url": hosted,
        "invoice_pdf": pdf,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null,
        "lines": null,
        "livemode": false,
        "metadata": metadata(&invoice.metadata),
        "next_payment_attempt": invoice.next_attempt,
        "number": invoice.number,
        "on_behalf_of": null,
    })
}

fn rest(invoice: &Invoice) -> Value {
    let totals = total_discounts(invoice);
    json!({
        "payment_settings": {
            "default_mandate": null, "payment_method_options": null, "payment_method_types": null,
        },
        "period_end": invoice.period.1,
        "period_start": invoice.period.0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": null,
        "rendering": {
            "amount_tax_display": null, "pdf": { "page_size": "letter" }, "template": null,
            "template_version": null,
        },
        "shipping_cost": null,
        "shipping_details": null,
        "starting_balance": invoice.starting_balance,
        "statement_descriptor": null,
        "status": invoice.status.as_str(),
        "status_transitions": {
            "finalized_at": invoice.finalized_at,
            "marked_uncollectible_at": invoice.uncollectible_at,
            "paid_at": invoice.paid_at,
            "voided_at": invoice.voided_at,
        },
        "subtotal": invoice.subtotal,
        "subtotal_excluding_tax": invoice.subtotal,
        "test_clock": invoice.test_clock,
        "total": invoice.total,
        "total_discount_amounts": totals,
        "total_excluding_tax": invoice.total,
        "total_pretax_credit_amounts": [],
        "webhooks_delivered_at": invoice.finalized_at,
    })
}

fn parent(invoice: &Invoice) -> Value {
    let Some(subscription) = &invoice.subscription else { return Value::Null };
    json!({
        "quote_details": null,
        "subscription_details": {
            "metadata": metadata(&invoice.subscription_metadata),
            "subscription": subscription,
        },
        "type": "subscription_details",
    })
}

fn older(invoice: &Invoice, version: &Version) -> Value {
    let first = invoice.discounts.first();
    let details = invoice.subscription.as_ref().map(|_| metadata(&invoice.subscription_metadata));
    json!({
        "application_fee_amount": null,
        "charge": invoice.charge,
        "discount": first.map(|discount| catalog::discount(discount, version)),
        "paid": invoice.status == InvoiceStatus::Paid,
        "paid_out_of_band": invoice.paid_out_of_band,
        "payment_intent": invoice.payment.as_ref().map(|payment| payment.payment_intent.clone()),
        "quote": null,
        "subscription": invoice.subscription,
        "subscription_details": { "metadata": details },
        "tax": null,
        "total_tax_amounts": [],
        "transfer_data": null,
    })
}

/// A preview has no id and no lines of its own to page.
pub(super) fn upcoming(one: &Invoice, version: &Version, world: &World) -> Value {
    let mut value = invoice(one, version, world);
    if let Value::Object(map) = &mut value {
        map.shift_remove("id");
        map.shift_remove("hosted_invoice_url");
        map.shift_remove("invoice_pdf");
    }
    if version.basil() {
        // Previews got an id of their own with `create_preview`.
        value["id"] = json!(format!("upcoming_in_{}", one.subscription.as_deref().unwrap_or("none")));
    }
    let owner = one.subscription.as_deref().unwrap_or_default();
    value["lines"]["url"] =
        json!(format!("/v1/invoices/upcoming/lines?customer={}&subscription={owner}", one.customer));
    value["lines"]["data"] = one.lines.iter().map(|kept| line::line(kept, one, version)).collect();
    value["lines"]["has_more"] = json!(false);
    value
}

pub(super) fn payment(payment: &InvoicePayment, invoice: &Invoice) -> Value {
    let status = match (payment.paid_at, payment.canceled_at) {
        (Some(_), _) => "paid",
        (None, Some(_)) => "canceled",
        (None, None) => "open",
    };
    json!({
        "id": payment.id,
        "object": "invoice_payment",
        "amount_paid": payment.paid_at.map(|_| payment.requested),
        "amount_requested": payment.requested,
        "created": payment.created,
        "currency": invoice.currency,
        "invoice": invoice.id,
        "is_default": true,
        "livemode": false,
        "payment": { "payment_intent": payment.payment_intent, "type": "payment_intent" },
        "status": status,
        "status_transitions": { "canceled_at": payment.canceled_at, "paid_at": payment.paid_at },
    })
}

/// The list that `expand[]=payments` adds to an invoice.
pub(in super::super) fn payments(invoice: &Invoice) -> Value {
    let data = invoice.payment.iter().map(|one| payment(one, invoice)).collect();
    embedded(data, &format!("/v1/invoice_payments?invoice={}", invoice.id))
}
