//! Payment methods: cards, and how their banks answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Card;
use super::errors::Error;
use super::model::*;
use super::router::Call;
use super::world::World;

/// Stripe's test cards: the name that stands in `pm_card_<name>` and `tok_<name>`, brand, last four, bank.
fn test_card(name: &str) -> Option<(&'static str, &'static str, Bank)> {
    Some(match name {
        "visa" | "us" => ("visa", "4242", Bank::Approves),
        "mastercard" => ("mastercard", "4444", Bank::Approves),
        "amex" => ("amex", "8431", Bank::Approves),
        "discover" => ("discover", "9424", Bank::Approves),
        "chargeCustomerFail" => ("visa", "0341", Bank::Declines("generic_decline")),
        "authenticationRequired" => ("visa", "3220", Bank::NeedsAction),
        _ => return None,
    })
}

/// Test cards that cannot even be attached.
fn refused_card(name: &str) -> Option<&'static str> {
    Some(match name {
        "chargeDeclined" => "generic_decline",
        "chargeDeclinedInsufficientFunds" | "visa_chargeDeclinedInsufficientFunds" => "insufficient_funds",
        "chargeDeclinedLostCard" | "visa_chargeDeclinedLostCard" => "lost_card",
        "chargeDeclinedExpiredCard" => "expired_card",
        _ => return None,
    })
}

pub(super) fn decline(reason: &'static str, payment_method: Option<&str>) -> Decline {
    let (code, message) = match reason {
        "insufficient_funds" => ("card_declined", "Your card has insufficient funds."),
        "expired_card" => ("expired_card", "Your card has expired."),
        "authentication_required" => {
            ("authentication_required", "Your card was declined. This transaction requires authentication.")
        }
        _ => ("card_declined", "Your card was declined."),
    };
    Decline { code, decline_code: Some(reason), message, payment_method: payment_method.map(str::to_owned) }
}

fn name_of(id: &str) -> Option<&str> {
    id.strip_prefix("pm_card_").or_else(|| id.strip_prefix("tok_"))
}

fn by_number(number: &str) -> Option<&'static str> {
    Some(match number.replace(' ', "").as_str() {
        "4242424242424242" => "visa",
        "5555555555554444" => "mastercard",
        "378282246310005" => "amex",
        "4000000000000341" => "chargeCustomerFail",
        "4000000000000002" => "chargeDeclined",
        "4000002500003155" | "4000002760003184" => "authenticationRequired",
        _ => return None,
    })
}

impl World {
    /// Whether a test id, token or payment method can be attached at all.
    pub(super) fn check_attachable(&self, id: &str) -> Result<(), Error> {
        if let Some(method) = self.payment_methods.get(id) {
            if method.customer.is_some() {
                let message = "The payment method you provided has already been attached to a customer.";
                return Err(Error::coded("payment_method_unexpected_state", message));
            }
            return Ok(());
        }
        let name = name_of(id);
        if let Some(reason) = name.and_then(refused_card) {
            return Err(Error::declined(&decline(reason, None)));
        }
        let known = name.and_then(test_card).is_some();
        if known { Ok(()) } else { Err(Error::missing("PaymentMethod", id, "payment_method")) }
    }

    fn add_card(&mut self, brand: &'static str, last4: &'static str, bank: Bank) -> Arc<PaymentMethod> {
        self.payment_methods.insert(PaymentMethod {
            id: self.ids.long("pm_1"),
            created: self.now,
            customer: None,
            brand,
            last4,
            bank,
            metadata: Metadata::new(),
        })
    }

    /// Attaches a card to a customer; a test id makes a new card each time.
    pub(super) fn attach(&mut self, id: &str, customer: &str) -> Result<Arc<PaymentMethod>, Error> {
        self.check_attachable(id)?;
        self.customer(customer)?;
        let method = match self.payment_methods.get(id) {
            Some(method) => Arc::clone(method),
            None => {
                let (brand, last4, bank) = name_of(id)
                    .and_then(test_card)
                    .ok_or_else(|| Error::missing("PaymentMethod", id, "payment_method"))?;
                self.add_card(brand, last4, bank)
            }
        };
        let attached = self.edit(
            |world| &mut world.payment_methods,
            &method.id,
            |method| method.customer = Some(customer.to_owned()),
        )?;
        self.edit(
            |world| &mut world.customers,
            customer,
            |customer| {
                customer.payment_methods.push(method.id.clone());
            },
        )?;
        self.tell("payment_method.attached", Arc::clone(&attached.after));
        Ok(attached.after)
    }

    /// A payment method of this customer; a test id is attached on the way.
    pub(super) fn attached(&mut self, id: &str, customer: &str) -> Result<Arc<PaymentMethod>, Error> {
        match self.payment_methods.get(id) {
            Some(method) if method.customer.as_deref() == Some(customer) => Ok(Arc::clone(method)),
            Some(_) => {
                let message = "The customer does not have a payment method with the ID ".to_owned() + id;
                Err(Error::coded("resource_missing", message + ". The payment method must be attached."))
            }
            None if name_of(id).is_some() => self.attach(id, customer),
            None => Err(Error::missing_param("PaymentMethod", id, "payment_method")),
        }
    }

    /// The card that pays by default.
    pub(super) fn default_card(&self, customer: &Customer) -> Option<String> {
        customer.default_payment_method.clone().or_else(|| customer.default_source.clone())
    }

    /// What the bank says to a charge now; counts down [`Bank::DeclinesNext`].
    pub(super) fn ask_bank(&mut self, method: &str) -> Result<(), Decline> {
        let verdict = self.bank_would_say(method);
        if let Some(Bank::DeclinesNext(left)) =
            self.payment_methods.get(method).map(|method| method.bank.clone())
        {
            let bank = if left > 1 { Bank::DeclinesNext(left - 1) } else { Bank::Approves };
            self.payment_methods.edit(method, |method| method.bank = bank);
        }
        verdict
    }

    pub(super) fn bank_would_say(&self, method: &str) -> Result<(), Decline> {
        match self.payment_methods.get(method).map(|method| &method.bank) {
            Some(Bank::Approves) => Ok(()),
            Some(Bank::DeclinesNext(_)) | None => Err(decline("generic_decline", Some(method))),
            Some(Bank::Declines(reason)) => Err(decline(reason, Some(method))),
            Some(Bank::NeedsAction) => Err(decline("authentication_required", Some(method))),
        }
    }

    /// Puts the customer's card into a state; see [`Card`].
    pub(super) fn set_card(&mut self, id: &str, card: Card) -> Result<(), Error> {
        let customer = self.customer(id)?;
        let present = self.default_card(&customer);
        let bank = match card {
            Card::Ok => {
                let fine = present.as_deref().is_some_and(|card| self.bank_would_say(card).is_ok());
                if !fine {
                    let method = self.attach("pm_card_visa", id)?;
                    self.update_customer(id, |customer| {
                        customer.default_payment_method = Some(method.id.clone());
                    })?;
                }
                return Ok(());
            }
            Card::Declines => Bank::Declines("generic_decline"),
            Card::DeclinesOnce(0) => Bank::Approves,
            Card::DeclinesOnce(times) => Bank::DeclinesNext(times),
        };
        let method = match present {
            Some(method) => method,
            None => {
                let method = self.attach("pm_card_visa", id)?;
                self.update_customer(id, |customer| {
                    customer.default_payment_method = Some(method.id.clone());
                })?;
                method.id.clone()
            }
        };
        self.edit(|world| &mut world.payment_methods, &method, |method| method.bank = bank)?;
        Ok(())
    }
}

pub(super) fn create(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let kind = params.need("type")?;
    if kind != "card" {
        return Err(Error::not_simulated(&format!("type={kind}")));
    }
    let mut card = params.map("card")?.ok_or_else(|| Error::required("card"))?;
    let (token, number) = (card.string("token")?, card.string("number")?);
    card.ignore(&["exp_month", "exp_year", "cvc", "networks"]);
    card.done()?;
    params.ignore(&["billing_details", "allow_redisplay"]);
    let metadata = params.metadata()?;
    params.done()?;
    let name = match (token.as_deref(), number.as_deref()) {
        (Some(token), _) => name_of(token).unwrap_or(token),
        (None, Some(number)) => by_number(number)
            .ok_or_else(|| Error::coded("incorrect_number", "Your card number is incorrect.").at("number"))?,
        (None, None) => return Err(Error::required("card[number]")),
    };
    if let Some(reason) = refused_card(name) {
        return Err(Error::declined(&decline(reason, None)));
    }
    let (brand, last4, bank) =
        test_card(name).ok_or_else(|| Error::missing_param("token", name, "card[token]"))?;
    let method = call.world.add_card(brand, last4, bank);
    call.world.edit(|world| &mut world.payment_methods, &method.id, |method| method.metadata = metadata)?;
    retrieve(call, &method.id)
}

pub(super) fn retrieve(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let method = call.world.payment_methods.get(id).cloned();
    Ok(call.show(method.ok_or_else(|| Error::missing("PaymentMethod", id, "payment_method"))?))
}

pub(super) fn attach(call: &mut Call, id: &str) -> Result<Value, Error> {
    let customer = call.params.need("customer")?;
    call.params.done()?;
    call.world.customer(&customer).map_err(|_| Error::missing_param("customer", &customer, "customer"))?;
    let method = call.world.attach(id, &customer)?;
    Ok(call.show(method))
}

pub(super) fn detach(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let method = call.world.payment_methods.get(id).cloned();
    let method = method.ok_or_else(|| Error::missing("PaymentMethod", id, "payment_method"))?;
    let owner = method.customer.clone().ok_or_else(|| {
        Error::invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        )
    })?;
    let detached =
        call.world.edit(|world| &mut world.payment_methods, id, |method| method.customer = None)?.after;
    call.world.tell("payment_method.detached", Arc::clone(&detached));
    call.world.update_customer(&owner, |customer| {
        customer.payment_methods.retain(|method| method != id);
        if customer.default_payment_method.as_deref() == Some(id) {
            customer.default_payment_method = None;
        }
        if customer.default_source.as_deref() == Some(id) {
            customer.default_source = None;
        }
    })?;
    Ok(call.show(detached))
}

pub(super) fn list(call: &mut Call, owner: Option<&str>) -> Result<Value, Error> {
    let customer = match owner {
        Some(owner) => owner.to_owned(),
        None => call.params.need("customer")?,
    };
    call.params.ignore(&["type", "allow_redisplay"]);
    let cursor = call.cursor()?;
    call.params.done()?;
    let customer = call.world.customer(&customer)?;
    let methods = customer.payment_methods.iter().rev();
    let values = methods.filter_map(|id| call.world.payment_methods.get(id).cloned());
    let values: Vec<Value> = values.map(|method| call.render(method)).collect();
    cursor.slice(values, &call.path)
}

/// What a customer never has here: sources (the API before payment methods), tax ids.
pub(super) fn none(call: &mut Call) -> Result<Value, Error> {
    call.params.ignore(&["limit", "object"]);
    call.params.done()?;
    Ok(json!({ "object": "list", "data": [], "has_more": false, "url": call.path }))
}
