//! Payment intents, charges, refunds.

use serde_json::{Value, json};

use super::super::model::*;
use super::super::version::Version;
use super::super::world::World;
use super::{customer, embedded, extend, metadata, no_address, shipping, snapshot};

fn last_error(decline: &Decline, charge: Option<&String>, world: &World, version: &Version) -> Value {
    let method = decline.payment_method.as_deref().and_then(|id| world.payment_methods.get(id)).cloned();
    let page = decline.code.replace('_', "-");
    json!({
        "charge": charge,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": format!("https://stripe.com/docs/error-codes/{page}"),
        "message": decline.message,
        "payment_method": method.map(|method| snapshot(&method.into(), version, world)),
        "type": "card_error",
    })
}

pub(super) fn intent(intent: &PaymentIntent, version: &Version, world: &World) -> Value {
    let last = intent.charges.last();
    let mut value = json!({
        "id": intent.id,
        "object": "payment_intent",
        "allowed_payment_method_types": null,
        "amount": intent.amount,
        "amount_capturable": 0,
        "amount_details": { "tip": {} },
        "amount_received": intent.received,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.canceled_at.map(|_| "void_invoice"),
        "capture_method": "automatic",
        "client_secret": intent.secret,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": intent.customer,
        "customer_account": null,
        "description": intent.description,
        "excluded_payment_method_types": null,
        "last_payment_error": intent.last_error.as_ref().map(|error| last_error(error, last, world, version)),
        "latest_charge": last,
        "livemode": false,
        "managed_payments": null,
        "metadata": metadata(&intent.metadata),
    });
    extend(&mut value, intent_rest(intent));
    if !version.basil() {
        value["invoice"] = json!(intent.invoice);
    }
    if !version.lean_payments() {
        let charges = intent.charges.iter().rev().filter_map(|id| world.charges.get(id));
        let charges = charges.map(|one| charge(one, version, world)).collect();
        value["charges"] = embedded(charges, &format!("/v1/charges?payment_intent={}", intent.id));
        if let Value::Object(map) = &mut value {
            map.shift_remove("latest_charge");
        }
    }
    value
}

fn intent_rest(intent: &PaymentIntent) -> Value {
    json!({
        "next_action": (intent.status == "requires_action").then(|| json!({
            "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "stripe_3ds2_fingerprint" },
        })),
        "on_behalf_of": null,
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": null,
        "payment_method_options": {
            "card": {
                "installments": null, "mandate_options": null, "network": null,
                "request_three_d_secure": "automatic",
            },
        },
        "payment_method_types": ["card"],
        "payment_record": null,
        "processing": null,
        "receipt_email": intent.receipt_email,
        "review": null,
        "setup_future_usage": intent.setup_future_usage,
        "shipping": shipping(&intent.shipping),
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": intent.status,
        "transfer_data": null,
        "transfer_group": null,
    })
}

fn outcome(charge: &Charge) -> Value {
    let declined = charge.failure.as_ref();
    let reason = declined.and_then(|decline| decline.decline_code);
    json!({
        "advice_code": reason.map(|_| "try_again_later"),
        "network_advice_code": null,
        "network_decline_code": reason.map(|_| "02"),
        "network_status": if declined.is_some() { "declined_by_network" } else { "approved_by_network" },
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 19,
        "seller_message": if declined.is_some() {
            "The bank did not return any further details with this decline."
        } else {
            "Payment complete."
        },
        "type": if declined.is_some() { "issuer_declined" } else { "authorized" },
    })
}

pub(super) fn charge(charge: &Charge, version: &Version, world: &World) -> Value {
    let paid = charge.failure.is_none();
    let mut card = customer::card(charge.brand, charge.last4);
    extend(
        &mut card,
        json!({
            "amount_authorized": charge.amount,
            "authorization_code": paid.then_some("123456"),
            "extended_authorization": { "status": "disabled" },
            "incremental_authorization": { "status": "unavailable" },
            "installments": null,
            "mandate": null,
            "multicapture": { "status": "unavailable" },
            "network": charge.brand,
            "network_token": { "used": false },
            "network_transaction_id": null,
            "overcapture": { "maximum_amount_capturable": charge.amount, "status": "unavailable" },
            "regulated_status": "unregulated",
            "three_d_secure": null,
        }),
    );
    let mut value = json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": if paid { charge.amount } else { 0 },
        "amount_refunded": charge.refunded,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": charge.balance_transaction,
        "billing_details": {
            "address": no_address(), "email": charge.customer_email, "name": charge.customer_name, "phone": null,
            "tax_id": null,
        },
        "calculated_statement_descriptor": "TWIN",
        "captured": paid,
        "created": charge.created,
        "currency": charge.currency,
        "customer": charge.customer,
        "description": charge.description,
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": charge.failure.as_ref().map(|decline| decline.code),
        "failure_message": charge.failure.as_ref().map(|decline| decline.message),
        "fraud_details": {},
        "livemode": false,
        "metadata": metadata(&charge.metadata),
        "on_behalf_of": null,
        "outcome": outcome(charge),
    });
    extend(&mut value, charge_rest(charge, card, world));
    if !version.basil() {
        value["invoice"] = json!(charge.invoice);
    }
    if !version.lean_payments() {
        extend(&mut value, json!({ "destination": null, "dispute": null, "order": null }));
        value["refunds"] = refunds(&charge.id, world);
    }
    value
}

fn charge_rest(charge: &Charge, card: Value, world: &World) -> Value {
    let paid = charge.failure.is_none();
    let receipt = format!("https://pay.stripe.com/receipts/{}/{}", world.account, charge.id);
    json!({
        "paid": paid,
        "payment_intent": charge.payment_intent,
        "payment_method": charge.payment_method,
        "payment_method_details": { "card": card, "type": "card" },
        "radar_options": {},
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": if paid { json!(receipt) } else { Value::Null },
        "refunded": charge.refunded == charge.amount,
        "review": null,
        "shipping": shipping(&charge.shipping),
        "source": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": if paid { "succeeded" } else { "failed" },
        "transfer_data": null,
        "transfer_group": null,
    })
}

/// The list that `expand[]=refunds` adds to a charge.
pub(in super::super) fn refunds(charge: &str, world: &World) -> Value {
    let refunds = world.refunds.of(charge).rev().map(|(_, one)| refund(one)).collect();
    embedded(refunds, &format!("/v1/charges/{charge}/refunds"))
}

pub(super) fn refund(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": refund.balance_transaction,
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency,
        "customer": refund.customer,
        "customer_account": null,
        "destination_details": {
            "card": { "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund" },
            "type": "card",
        },
        "metadata": metadata(&refund.metadata),
        "payment_intent": refund.payment_intent,
        "payment_method": refund.payment_method,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": "succeeded",
        "transfer_reversal": null,
    })
}

/// The balance transaction of a paid charge. Fees are those of a standard account: 2.9 % and 30 cents.
pub(in super::super) fn balance_transaction(charge: &Charge) -> Value {
    let fee = (charge.amount * 29 + 500) / 1000 + 30;
    json!({
        "id": charge.balance_transaction,
        "object": "balance_transaction",
        "amount": charge.amount,
        "available_on": charge.created + 2 * super::super::calendar::DAY,
        "balance_type": "payments",
        "created": charge.created,
        "currency": charge.currency,
        "description": charge.description,
        "exchange_rate": null,
        "fee": fee,
        "fee_details": [{
            "amount": fee, "application": null, "currency": charge.currency,
            "description": "Stripe processing fees", "type": "stripe_fee",
        }],
        "net": charge.amount - fee,
        "reporting_category": "charge",
        "source": charge.id,
        "status": "pending",
        "type": "charge",
    })
}
