//! Customers and their cards.

use serde_json::{Value, json};

use super::super::model::*;
use super::super::version::Version;
use super::{address, catalog, metadata, no_address, shipping};

pub(super) fn customer(customer: &Customer, version: &Version) -> Value {
    if customer.deleted {
        return json!({ "id": customer.id, "object": "customer", "deleted": true });
    }
    json!({
        "id": customer.id,
        "object": "customer",
        "address": address(&customer.address),
        "balance": customer.balance,
        "created": customer.created,
        "currency": customer.currency,
        "customer_account": null,
        "default_source": customer.default_source,
        "delinquent": customer.delinquent,
        "description": customer.description,
        "discount": customer.discount.as_ref().map(|discount| catalog::discount(discount, version)),
        "email": customer.email,
        "invoice_prefix": customer.invoice_prefix,
        "invoice_settings": {
            "custom_fields": customer.custom_fields,
            "default_payment_method": customer.default_payment_method,
            "footer": customer.footer,
            "rendering_options": null,
        },
        "livemode": false,
        "metadata": metadata(&customer.metadata),
        "name": customer.name,
        "next_invoice_sequence": customer.next_invoice,
        "phone": customer.phone,
        "preferred_locales": customer.preferred_locales,
        "shipping": shipping(&customer.shipping),
        "tax_exempt": customer.tax_exempt,
        "test_clock": customer.test_clock,
    })
}

/// What a card looks like wherever it is shown. Cards of the twin expire at the end of 2034.
pub(super) fn card(brand: &str, last4: &str) -> Value {
    json!({
        "brand": brand,
        "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": format!("{brand}{last4}Twin0000"),
        "funding": "credit",
        "last4": last4,
        "wallet": null,
    })
}

pub(super) fn payment_method(method: &PaymentMethod) -> Value {
    let mut shown = card(method.brand, method.last4);
    super::extend(
        &mut shown,
        json!({
            "display_brand": method.brand,
            "generated_from": null,
            "networks": { "available": [method.brand], "preferred": null },
            "regulated_status": "unregulated",
            "three_d_secure_usage": { "supported": true },
        }),
    );
    json!({
        "id": method.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": { "address": no_address(), "email": null, "name": null, "phone": null, "tax_id": null },
        "card": shown,
        "created": method.created,
        "customer": method.customer,
        "customer_account": null,
        "livemode": false,
        "metadata": metadata(&method.metadata),
        "type": "card",
    })
}
