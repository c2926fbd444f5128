//! Read-only views of the account, for whoever plays, delivers or judges.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Stripe;
use super::calendar::timestamp;
use super::model::*;
use super::oracle::{MrrChange, item_mrr};

/// Something that happened. Its body comes from [`Stripe::event_body`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub r#type: String,
    pub created: Timestamp,
    pub object_id: String,
    pub customer: Option<String>,
}

impl Event {
    pub(super) fn of(event: &super::events::Event) -> Event {
        let (object_id, customer) = event.subject();
        let id = event.id.clone();
        Event { id, r#type: event.r#type.to_owned(), created: timestamp(event.created), object_id, customer }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerView {
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub created: Timestamp,
    pub deleted: bool,
    pub delinquent: bool,
    /// Negative: credit.
    pub balance: i64,
    pub currency: Option<String>,
    pub has_card: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionView {
    pub id: String,
    pub customer: String,
    pub status: SubscriptionStatus,
    pub created: Timestamp,
    pub start: Timestamp,
    pub trial_end: Option<Timestamp>,
    pub current_period_start: Timestamp,
    pub current_period_end: Timestamp,
    pub cancel_at: Option<Timestamp>,
    pub cancel_at_period_end: bool,
    pub ended_at: Option<Timestamp>,
    pub currency: String,
    pub items: Vec<ItemView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemView {
    pub id: String,
    pub price: String,
    pub unit_amount: i64,
    pub quantity: i64,
    pub interval: Interval,
    pub interval_count: u32,
    pub currency: String,
    /// A whole period's amount after the discounts in force in the current period.
    pub discounted_cents: i64,
    pub mrr_cents: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceView {
    pub id: String,
    pub status: InvoiceStatus,
    pub total: i64,
    pub amount_due: i64,
    pub amount_paid: i64,
    pub currency: String,
    pub subscription: Option<String>,
    pub charge: Option<String>,
    pub created: Timestamp,
}

fn item_view(subscription: &Subscription, item: &Item) -> ItemView {
    let every = item.price.recurring.unwrap_or(Recurring { interval: Interval::Month, count: 1 });
    ItemView {
        id: item.id.clone(),
        price: item.price.id.clone(),
        unit_amount: item.price.unit_amount,
        quantity: item.quantity,
        interval: every.interval,
        interval_count: every.count,
        currency: subscription.currency.clone(),
        discounted_cents: item.net,
        mrr_cents: item_mrr(subscription, item),
    }
}

fn subscription_view(one: &Subscription) -> SubscriptionView {
    SubscriptionView {
        id: one.id.clone(),
        customer: one.customer.clone(),
        status: one.status,
        created: timestamp(one.created),
        start: timestamp(one.start),
        trial_end: one.trial_end.map(timestamp),
        current_period_start: timestamp(one.period_start),
        current_period_end: timestamp(one.period_end),
        cancel_at: one.cancel_at.map(timestamp),
        cancel_at_period_end: one.cancel_at_period_end,
        ended_at: one.ended_at.map(timestamp),
        currency: one.currency.clone(),
        items: one.items.iter().map(|item| item_view(one, item)).collect(),
    }
}

impl Stripe {
    /// All customers ever, in the order of creation.
    pub fn customers(&self) -> Vec<CustomerView> {
        let world = self.world();
        let view = |customer: &Customer| CustomerView {
            id: customer.id.clone(),
            name: customer.name.clone(),
            email: customer.email.clone(),
            created: timestamp(customer.created),
            deleted: customer.deleted,
            delinquent: customer.delinquent,
            balance: customer.balance,
            currency: customer.currency.clone(),
            has_card: world.default_card(customer).is_some(),
        };
        world.customers.all().map(|(_, customer)| view(customer)).collect()
    }

    /// All subscriptions ever, in the order of creation.
    pub fn subscriptions(&self) -> Vec<SubscriptionView> {
        self.world().subscriptions.all().map(|(_, one)| subscription_view(one)).collect()
    }

    pub fn subscription(&self, id: &str) -> Option<SubscriptionView> {
        self.world().subscriptions.get(id).map(|one| subscription_view(one))
    }

    /// A customer's invoices, oldest first.
    pub fn invoices(&self, customer: &str) -> Vec<InvoiceView> {
        let world = self.world();
        let view = |invoice: &Invoice| InvoiceView {
            id: invoice.id.clone(),
            status: invoice.status,
            total: invoice.total,
            amount_due: invoice.amount_due,
            amount_paid: invoice.amount_paid,
            currency: invoice.currency.clone(),
            subscription: invoice.subscription.clone(),
            charge: invoice.charge.clone(),
            created: timestamp(invoice.created),
        };
        world.invoices.of(customer).map(|(_, invoice)| view(invoice)).collect()
    }

    /// The MRR of every item from every instant on, in the order in which it became true.
    pub fn mrr_history(&self) -> Vec<MrrChange> {
        self.world().mrr.history.clone()
    }

    /// The entries of [`Stripe::mrr_history`] from an index on.
    pub fn mrr_history_since(&self, index: usize) -> Vec<MrrChange> {
        self.world().mrr.history.get(index..).unwrap_or_default().to_vec()
    }

    /// How many events of each type are listed.
    pub fn event_counts(&self) -> BTreeMap<&'static str, usize> {
        self.world().event_counts()
    }
}
