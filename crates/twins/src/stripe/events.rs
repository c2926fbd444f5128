//! What happened: events with a snapshot of their object, kept for thirty days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::calendar::DAY;
use super::model::*;
use super::render;
use super::table::{Change, Record};
use super::version::Version;
use super::world::World;

/// How long Stripe lists events.
const KEPT_DAYS: i64 = 30;

/// An object as it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Snapshot {
    Customer(Arc<Customer>),
    Product(Arc<Product>),
    Price(Arc<Price>),
    Plan(Arc<Price>),
    Coupon(Arc<Coupon>),
    Discount(Arc<Discount>),
    PaymentMethod(Arc<PaymentMethod>),
    Subscription(Arc<Subscription>),
    Invoice(Arc<Invoice>),
    /// A preview: an invoice without an id.
    Upcoming(Arc<Invoice>),
    InvoicePayment(Arc<Invoice>),
    InvoiceItem(Arc<InvoiceItem>),
    PaymentIntent(Arc<PaymentIntent>),
    Charge(Arc<Charge>),
    Refund(Arc<Refund>),
    TestClock(Arc<TestClock>),
}

macro_rules! snapshots {
    ($($kind:ident),+) => { $(impl From<Arc<$kind>> for Snapshot {
        fn from(row: Arc<$kind>) -> Snapshot { Snapshot::$kind(row) }
    })+ };
}
snapshots!(
    Customer,
    Product,
    Price,
    Coupon,
    Discount,
    PaymentMethod,
    Subscription,
    Invoice,
    InvoiceItem,
    PaymentIntent,
    Charge,
    Refund,
    TestClock
);

impl Snapshot {
    /// (id of the object, its customer).
    fn subject(&self) -> (String, Option<String>) {
        match self {
            Snapshot::Customer(customer) => (customer.id.clone(), Some(customer.id.clone())),
            Snapshot::Product(product) => (product.id.clone(), None),
            Snapshot::Price(price) | Snapshot::Plan(price) => (price.id.clone(), None),
            Snapshot::Coupon(coupon) => (coupon.id.clone(), None),
            Snapshot::Discount(discount) => (discount.id.clone(), Some(discount.customer.clone())),
            Snapshot::PaymentMethod(method) => (method.id.clone(), method.customer.clone()),
            Snapshot::Subscription(subscription) => {
                (subscription.id.clone(), Some(subscription.customer.clone()))
            }
            Snapshot::Invoice(invoice) => (invoice.id.clone(), Some(invoice.customer.clone())),
            Snapshot::Upcoming(invoice) => (String::new(), Some(invoice.customer.clone())),
            Snapshot::InvoicePayment(invoice) => {
                let id = invoice.payment.as_ref().map(|payment| payment.id.clone()).unwrap_or_default();
                (id, Some(invoice.customer.clone()))
            }
            Snapshot::InvoiceItem(item) => (item.id.clone(), Some(item.customer.clone())),
            Snapshot::PaymentIntent(intent) => (intent.id.clone(), intent.customer.clone()),
            Snapshot::Charge(charge) => (charge.id.clone(), charge.customer.clone()),
            Snapshot::Refund(refund) => (refund.id.clone(), refund.customer.clone()),
            Snapshot::TestClock(clock) => (clock.id.clone(), None),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub id: String,
    pub r#type: &'static str,
    pub created: i64,
    pub object: Snapshot,
    pub previous: Option<Snapshot>,
    pub request: Option<String>,
    pub idempotency_key: Option<String>,
    /// Endpoints that have not taken it yet.
    pub pending: BTreeSet<String>,
    /// The account's version at the time.
    pub api_version: Version,
}

impl Record for Event {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Event {
    pub(super) fn subject(&self) -> (String, Option<String>) {
        self.object.subject()
    }

    /// The event as an endpoint of that version receives it.
    pub(super) fn render(&self, version: &Version, world: &World) -> Value {
        let object = render::snapshot(&self.object, version, world);
        let mut data = json!({ "object": object });
        if let Some(previous) = &self.previous {
            let before = render::snapshot(previous, version, world);
            data["previous_attributes"] = difference(&before, &data["object"]);
        }
        json!({
            "id": self.id,
            "object": "event",
            "api_version": version.as_str(),
            "created": self.created,
            "data": data,
            "livemode": false,
            "pending_webhooks": self.pending.len(),
            "request": { "id": self.request, "idempotency_key": self.idempotency_key },
            "type": self.r#type,
        })
    }
}

/// The values of `before` that are no longer so: nested hashes by key, lists whole.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return before.clone() };
    let mut changed = serde_json::Map::new();
    for (key, was) in before {
        let is = after.get(key).unwrap_or(&Value::Null);
        if was == is {
            continue;
        }
        let nested = was.is_object() && is.is_object() && was.get("object") != Some(&json!("list"));
        changed.insert(key.clone(), if nested { difference(was, is) } else { was.clone() });
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        changed.insert(key.clone(), Value::Null);
    }
    Value::Object(changed)
}

impl World {
    /// Tells that something happened to an object.
    pub(super) fn tell(&mut self, r#type: &'static str, object: impl Into<Snapshot>) {
        self.emit(r#type, object.into(), None);
    }

    /// Tells a change, unless nothing changed.
    pub(super) fn tell_change<T: Record>(&mut self, r#type: &'static str, change: &Change<T>)
    where
        Snapshot: From<Arc<T>>,
    {
        if change.before == change.after {
            return;
        }
        let (after, before) = (Arc::clone(&change.after).into(), Arc::clone(&change.before).into());
        self.emit(r#type, after, Some(before));
    }

    fn emit(&mut self, r#type: &'static str, object: Snapshot, previous: Option<Snapshot>) {
        let id = self.ids.long("evt_1");
        let pending = self.endpoints.all().filter(|(_, endpoint)| endpoint.wants(r#type));
        let pending = pending.map(|(_, endpoint)| endpoint.id.clone()).collect();
        self.outbox.push(id.clone());
        self.events.insert(Event {
            id,
            r#type,
            created: self.now,
            object,
            previous,
            request: self.asker.as_ref().map(|asker| asker.request.clone()),
            idempotency_key: self.asker.as_ref().and_then(|asker| asker.key.clone()),
            pending,
            api_version: self.version.clone(),
        });
    }

    pub(super) fn forget_old_events(&mut self) {
        let oldest = self.now - KEPT_DAYS * DAY;
        loop {
            let Some((_, event)) = self.events.all().next() else { return };
            // An event that was never drained is kept: the delivery layer may still ask for its body.
            if event.created >= oldest || self.outbox.first() == Some(&event.id) {
                return;
            }
            let id = event.id.clone();
            self.events.remove(&id);
        }
    }

    /// How many events of each type there are, for tests and reports.
    pub(super) fn event_counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (_, event) in self.events.all() {
            *counts.entry(event.r#type).or_default() += 1;
        }
        counts
    }
}
