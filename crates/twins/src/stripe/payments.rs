//! Payment intents, charges and refunds.

use std::sync::Arc;

use serde_json::Value;

use super::catalog::set;
use super::errors::Error;
use super::model::*;
use super::router::Call;
use super::world::{World, found};

impl World {
    pub(super) fn add_intent(
        &mut self,
        amount: i64,
        currency: &str,
        edit: impl FnOnce(&mut PaymentIntent),
    ) -> Arc<PaymentIntent> {
        let id = self.ids.long("pi_3");
        let secret = self.ids.word(&format!("{id}_secret_"), 25);
        let mut intent = PaymentIntent {
            id,
            created: self.now,
            amount,
            received: 0,
            currency: currency.to_owned(),
            customer: None,
            invoice: None,
            payment_method: None,
            status: "requires_payment_method",
            charges: Vec::new(),
            secret,
            description: None,
            last_error: None,
            canceled_at: None,
            receipt_email: None,
            shipping: Value::Null,
            setup_future_usage: None,
            metadata: Metadata::new(),
        };
        edit(&mut intent);
        let intent = self.payment_intents.insert(intent);
        self.tell("payment_intent.created", Arc::clone(&intent));
        intent
    }

    /// Charges a card for a payment intent. The inner result is the bank's.
    pub(super) fn charge(&mut self, id: &str, method: &str) -> Result<Result<(), Decline>, Error> {
        let intent = found(&self.payment_intents, "payment_intent", id)?;
        let verdict = self.ask_bank(method);
        let card = self.payment_methods.get(method).cloned();
        let customer = intent.customer.as_deref().and_then(|id| self.customers.get(id)).cloned();
        let charge_id = self.ids.long("ch_3");
        let balance_transaction = verdict.is_ok().then(|| self.ids.long("txn_3"));
        let charge = self.charges.insert(Charge {
            id: charge_id.clone(),
            created: self.now,
            amount: intent.amount,
            refunded: 0,
            currency: intent.currency.clone(),
            customer: intent.customer.clone(),
            customer_name: customer.as_ref().and_then(|customer| customer.name.clone()),
            customer_email: customer.as_ref().and_then(|customer| customer.email.clone()),
            invoice: intent.invoice.clone(),
            payment_intent: id.to_owned(),
            payment_method: Some(method.to_owned()),
            brand: card.as_ref().map_or("visa", |card| card.brand),
            last4: card.as_ref().map_or("4242", |card| card.last4),
            failure: verdict.as_ref().err().cloned(),
            balance_transaction,
            description: intent.description.clone(),
            shipping: intent.shipping.clone(),
            metadata: intent.metadata.clone(),
        });
        if let Some(transaction) = &charge.balance_transaction {
            self.transactions.insert(transaction.clone(), charge.id.clone());
        }
        let failed = verdict.as_ref().err().cloned();
        let needs_action = failed.as_ref().is_some_and(|decline| decline.code == "authentication_required");
        let change = self.edit(
            |world| &mut world.payment_intents,
            id,
            |intent| {
                intent.charges.push(charge_id);
                intent.payment_method = Some(method.to_owned());
                if failed.is_none() {
                    intent.status = "succeeded";
                    intent.received = intent.amount;
                } else {
                    intent.status = if needs_action { "requires_action" } else { "requires_payment_method" };
                }
                intent.last_error = failed;
            },
        )?;
        let paid = verdict.is_ok();
        self.tell(if paid { "charge.succeeded" } else { "charge.failed" }, charge);
        self.tell(
            if paid { "payment_intent.succeeded" } else { "payment_intent.payment_failed" },
            change.after,
        );
        Ok(verdict)
    }

    pub(super) fn cancel_intent(&mut self, id: &str) -> Result<(), Error> {
        let now = self.now;
        let change = self.edit(
            |world| &mut world.payment_intents,
            id,
            |intent| {
                intent.status = "canceled";
                intent.canceled_at = Some(now);
            },
        )?;
        self.tell("payment_intent.canceled", change.after);
        Ok(())
    }

    /// Gives a charge back, whole (`None`) or in part.
    pub(super) fn refund(
        &mut self,
        id: &str,
        amount: Option<i64>,
        edit: impl FnOnce(&mut Refund),
    ) -> Result<Arc<Refund>, Error> {
        let charge =
            self.charges.get(id).cloned().ok_or_else(|| Error::missing_param("charge", id, "charge"))?;
        if charge.failure.is_some() {
            return Err(Error::invalid(format!("Charge {id} has not been paid and cannot be refunded.")));
        }
        let left = charge.amount - charge.refunded;
        if left == 0 {
            let message = format!("Charge {id} has already been refunded.");
            return Err(Error::coded("charge_already_refunded", message));
        }
        let amount = amount.unwrap_or(left);
        if amount < 1 {
            return Err(Error::coded("parameter_invalid_integer", "Invalid positive integer").at("amount"));
        }
        if amount > left {
            let shown = |cents| super::proration::money(cents, &charge.currency);
            let message = format!(
                "Refund amount ({}) is greater than unrefunded amount on charge ({})",
                shown(amount),
                shown(left)
            );
            return Err(Error::invalid(message).at("amount"));
        }
        let mut refund = Refund {
            id: self.ids.long("re_3"),
            created: self.now,
            amount,
            currency: charge.currency.clone(),
            charge: id.to_owned(),
            payment_intent: charge.payment_intent.clone(),
            customer: charge.customer.clone(),
            payment_method: charge.payment_method.clone(),
            balance_transaction: self.ids.long("txn_3"),
            reason: None,
            metadata: Metadata::new(),
        };
        edit(&mut refund);
        let refund = self.refunds.insert(refund);
        self.tell("refund.created", Arc::clone(&refund));
        self.update(|world| &mut world.charges, "charge.refunded", id, |charge| charge.refunded += amount)?;
        Ok(refund)
    }
}

// Payment intents

pub(super) fn create_intent(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let amount = params.int("amount")?.ok_or_else(|| Error::required("amount"))?;
    let currency = params.need("currency")?.to_lowercase();
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(Error::coded("parameter_invalid_integer", message).at("amount"));
    }
    let (customer, method) = (params.string("customer")?, params.string("payment_method")?);
    let confirm = params.flag("confirm")?.unwrap_or(false);
    let (description, receipt_email) = (params.string("description")?, params.string("receipt_email")?);
    let (shipping, usage) = (params.raw("shipping"), params.string("setup_future_usage")?);
    let metadata = params.metadata()?;
    params.refuse(&["transfer_data", "application_fee_amount", "on_behalf_of"])?;
    if params.string("capture_method")?.is_some_and(|method| method == "manual") {
        return Err(Error::not_simulated("capture_method=manual"));
    }
    params.ignore(&[
        "automatic_payment_methods",
        "confirmation_method",
        "off_session",
        "payment_method_types",
        "return_url",
        "payment_method_options",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "use_stripe_sdk",
        "error_on_requires_action",
    ]);
    params.done()?;
    let world = &mut *call.world;
    if let Some(customer) = &customer {
        world.customer(customer).map_err(|_| Error::missing_param("customer", customer, "customer"))?;
    }
    let method = match (method, &customer) {
        (Some(method), Some(customer)) => Some(world.attached(&method, customer)?.id.clone()),
        (method, _) => method,
    };
    let intent = world.add_intent(amount, &currency, |intent| {
        intent.customer = customer;
        intent.payment_method.clone_from(&method);
        intent.status = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" };
        intent.description = description;
        intent.receipt_email = receipt_email;
        intent.setup_future_usage = usage;
        intent.shipping = shipping.unwrap_or(Value::Null);
        intent.metadata = metadata;
    });
    if confirm {
        let method = method.ok_or_else(|| Error::required("payment_method"))?;
        return confirmed(call, &intent.id, &method);
    }
    Ok(call.show(intent))
}

/// A decline is a 402 with the payment intent in it; authentication is a state of the intent.
fn confirmed(call: &mut Call, id: &str, method: &str) -> Result<Value, Error> {
    let verdict = call.world.charge(id, method)?;
    let intent = found(&call.world.payment_intents, "payment_intent", id)?;
    match verdict {
        Err(decline) if intent.status != "requires_action" => {
            Err(Error::declined(&decline).of_payment(id, intent.charges.last().map(String::as_str)))
        }
        _ => Ok(call.show(intent)),
    }
}

pub(super) fn confirm_intent(call: &mut Call, id: &str) -> Result<Value, Error> {
    let method = call.params.string("payment_method")?;
    call.params.ignore(&["return_url", "off_session", "use_stripe_sdk"]);
    call.params.done()?;
    let intent = found(&call.world.payment_intents, "payment_intent", id)?;
    if matches!(intent.status, "succeeded" | "canceled") {
        let message = format!("This PaymentIntent's status is {}; it cannot be confirmed.", intent.status);
        return Err(Error::coded("payment_intent_unexpected_state", message));
    }
    let method = match (method, &intent.customer) {
        (Some(method), Some(customer)) => Some(call.world.attached(&method, customer)?.id.clone()),
        (method, _) => method.or_else(|| intent.payment_method.clone()),
    };
    let method = method.ok_or_else(|| Error::required("payment_method"))?;
    confirmed(call, id, &method)
}

pub(super) fn update_intent(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.payment_intents, "payment_intent", id)?;
    let description = call.params.clearable("description")?;
    let metadata = call.params.metadata_change()?;
    call.params.done()?;
    let change = call.world.edit(
        |world| &mut world.payment_intents,
        id,
        |intent| {
            set(&mut intent.description, description);
            metadata.apply(&mut intent.metadata);
        },
    )?;
    Ok(call.show(change.after))
}

pub(super) fn cancel_intent(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.ignore(&["cancellation_reason"]);
    call.params.done()?;
    let intent = found(&call.world.payment_intents, "payment_intent", id)?;
    if matches!(intent.status, "succeeded" | "canceled") {
        let message =
            format!("You cannot cancel this PaymentIntent because it has a status of {}.", intent.status);
        return Err(Error::coded("payment_intent_unexpected_state", message));
    }
    call.world.cancel_intent(id)?;
    let intent = found(&call.world.payment_intents, "payment_intent", id)?;
    Ok(call.show(intent))
}

pub(super) fn list_intents(call: &mut Call) -> Result<Value, Error> {
    let customer = call.params.string("customer")?;
    call.list("/v1/payment_intents", |world| &world.payment_intents, customer.as_deref(), |_| true)
}

// Charges

pub(super) fn update_charge(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.charges, "charge", id)?;
    let description = call.params.clearable("description")?;
    let metadata = call.params.metadata_change()?;
    call.params.ignore(&["receipt_email", "shipping", "fraud_details", "transfer_group"]);
    call.params.done()?;
    let charge = call.world.update(
        |world| &mut world.charges,
        "charge.updated",
        id,
        |charge| {
            set(&mut charge.description, description);
            metadata.apply(&mut charge.metadata);
        },
    )?;
    Ok(call.show(charge))
}

pub(super) fn list_charges(call: &mut Call) -> Result<Value, Error> {
    let (customer, intent) = (call.params.string("customer")?, call.params.string("payment_intent")?);
    let owner = intent.as_deref().or(customer.as_deref());
    call.list(
        "/v1/charges",
        |world| &world.charges,
        owner,
        |charge| customer.is_none() || charge.customer == customer,
    )
}

pub(super) fn retrieve_transaction(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let charge = call.world.transactions.get(id).and_then(|charge| call.world.charges.get(charge));
    let charge = charge.ok_or_else(|| Error::missing("balance transaction", id, "id"))?;
    Ok(super::render::balance_transaction(charge))
}

// Refunds

pub(super) fn create_refund(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (charge, intent) = (params.string("charge")?, params.string("payment_intent")?);
    let (amount, reason) = (params.int("amount")?, params.string("reason")?);
    let metadata = params.metadata()?;
    params.refuse(&["refund_application_fee", "reverse_transfer", "origin"])?;
    params.ignore(&["instructions_email"]);
    params.done()?;
    let charge = match (charge, intent) {
        (Some(charge), _) => charge,
        (None, Some(id)) => {
            let intent = call.world.payment_intents.get(&id).cloned();
            let intent =
                intent.ok_or_else(|| Error::missing_param("payment_intent", &id, "payment_intent"))?;
            intent.charges.last().cloned().filter(|_| intent.status == "succeeded").ok_or_else(|| {
                Error::invalid(format!(
                    "This PaymentIntent ({id}) does not have a successful charge to refund."
                ))
            })?
        }
        (None, None) => {
            let message =
                "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(Error::coded("parameter_missing", message));
        }
    };
    let refund = call.world.refund(&charge, amount, |refund| {
        refund.reason = reason;
        refund.metadata = metadata;
    })?;
    Ok(call.show(refund))
}

pub(super) fn update_refund(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.refunds, "refund", id)?;
    let metadata = call.params.metadata_change()?;
    call.params.done()?;
    let refund = call.world.update(
        |world| &mut world.refunds,
        "refund.updated",
        id,
        |refund| {
            metadata.apply(&mut refund.metadata);
        },
    )?;
    Ok(call.show(refund))
}

pub(super) fn list_refunds(call: &mut Call, charge: Option<&str>) -> Result<Value, Error> {
    let (given, intent) = (call.params.string("charge")?, call.params.string("payment_intent")?);
    let owner = charge.or(given.as_deref()).or(intent.as_deref()).map(str::to_owned);
    let url = call.path.clone();
    call.list(&url, |world| &world.refunds, owner.as_deref(), |_| true)
}
