//! Objects as Stripe shows them, per API version. Fields that Stripe only ever added stand at every version; fields
//! that it renamed or removed stand where they stood.

mod billing;
mod catalog;
mod customer;
mod invoice;
mod line;
mod payment;
mod subscription;

use serde_json::{Value, json};

use super::events::Snapshot;
use super::model::{Coupon, Metadata};
use super::version::Version;
use super::world::World;

pub(super) use catalog::coupon_valid;
pub(super) use invoice::payments as invoice_payments;
pub(super) use line::line;
pub(super) use payment::{balance_transaction, refunds as charge_refunds};
pub(super) use subscription::item;

pub(super) fn snapshot(object: &Snapshot, version: &Version, world: &World) -> Value {
    match object {
        Snapshot::Customer(customer) => customer::customer(customer, version),
        Snapshot::Product(product) => catalog::product(product),
        Snapshot::Price(price) => catalog::price(price, version),
        Snapshot::Plan(price) => catalog::plan(price, version),
        Snapshot::Coupon(one) => coupon(one, world),
        Snapshot::Discount(discount) => catalog::discount(discount, version),
        Snapshot::PaymentMethod(method) => customer::payment_method(method),
        Snapshot::Subscription(subscription) => subscription::subscription(subscription, version),
        Snapshot::Invoice(invoice) => invoice::invoice(invoice, version, world),
        Snapshot::Upcoming(invoice) => invoice::upcoming(invoice, version, world),
        Snapshot::InvoicePayment(invoice) => {
            invoice.payment.as_ref().map_or(Value::Null, |payment| invoice::payment(payment, invoice))
        }
        Snapshot::InvoiceItem(item) => line::invoice_item(item, version),
        Snapshot::PaymentIntent(intent) => payment::intent(intent, version, world),
        Snapshot::Charge(charge) => payment::charge(charge, version, world),
        Snapshot::Refund(refund) => payment::refund(refund),
        Snapshot::TestClock(clock) => billing::test_clock(clock),
    }
}

pub(super) fn endpoint(endpoint: &super::model::Endpoint, with_secret: bool) -> Value {
    billing::endpoint(endpoint, with_secret)
}

fn coupon(one: &Coupon, world: &World) -> Value {
    let mut value = catalog::coupon(one);
    value["valid"] = json!(coupon_valid(one, world.now));
    value
}

fn metadata(metadata: &Metadata) -> Value {
    metadata.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect()
}

fn no_address() -> Value {
    json!({ "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null })
}

/// An address as given, with null for what was not.
fn address(given: &Value) -> Value {
    filled(no_address(), given)
}

/// Where and to whom something is shipped, as given.
fn shipping(given: &Value) -> Value {
    let blank =
        json!({ "address": {}, "carrier": null, "name": null, "phone": null, "tracking_number": null });
    let mut shipping = filled(blank, given);
    if !shipping.is_null() {
        shipping["address"] = filled(no_address(), &given["address"]);
    }
    shipping
}

fn filled(mut blank: Value, given: &Value) -> Value {
    if given.is_null() {
        return Value::Null;
    }
    extend(&mut blank, given.clone());
    blank
}

/// Adds fields to an object, after those it has.
fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(map), Value::Object(more)) = (value, more) {
        map.extend(more);
    }
}

/// A whole list inside an object.
fn embedded(data: Vec<Value>, url: &str) -> Value {
    json!({ "object": "list", "total_count": data.len(), "data": data, "has_more": false, "url": url })
}
