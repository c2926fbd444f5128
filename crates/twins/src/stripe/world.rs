//! The state of an account: its objects, its clock, what is due, what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::errors::Error;
use super::events::{Event, Snapshot};
use super::idempotency::Memory;
use super::ids::Ids;
use super::model::*;
use super::oracle::Mrr;
use super::table::{Change, Record, Table};
use super::version::Version;
use super::{Config, Dunning};

/// Something that happens by itself when its time comes. Each is checked against the state when it fires, so that
/// an outdated one does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The current period of a subscription ends (also: its trial).
    PeriodEnd(String),
    /// A subscription's `cancel_at` is reached.
    CancelAt(String),
    TrialWillEnd(String),
    Upcoming(String),
    /// A first invoice that nobody paid expires its subscription.
    IncompleteExpires(String),
    /// A draft invoice is finalized and charged.
    Finalize(String),
    /// A discount that was given for some months ends.
    DiscountEnds(String),
    /// A failed invoice is tried again.
    Retry(String),
}

/// Who asked for the change in hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Asker {
    pub request: String,
    pub key: Option<String>,
}

pub(super) struct World {
    pub secret_key: String,
    pub version: Version,
    pub dunning: Dunning,
    pub account: String,
    pub now: i64,
    pub ids: Ids,
    pub customers: Table<Customer>,
    pub products: Table<Product>,
    pub prices: Table<Price>,
    pub coupons: Table<Coupon>,
    pub discounts: Table<Discount>,
    pub payment_methods: Table<PaymentMethod>,
    pub subscriptions: Table<Subscription>,
    /// Subscription of each item.
    pub items: BTreeMap<String, String>,
    pub invoices: Table<Invoice>,
    pub invoice_items: Table<InvoiceItem>,
    /// Invoice items not on an invoice yet, by customer, in order of creation.
    pub pending_items: BTreeMap<String, BTreeSet<u64>>,
    /// Invoice of each `inpay_…`.
    pub payments: BTreeMap<String, String>,
    /// Charge of each `txn_…`.
    pub transactions: BTreeMap<String, String>,
    pub payment_intents: Table<PaymentIntent>,
    pub charges: Table<Charge>,
    pub refunds: Table<Refund>,
    pub endpoints: Table<Endpoint>,
    pub clocks: Table<TestClock>,
    pub events: Table<Event>,
    pub outbox: Vec<String>,
    pub asker: Option<Asker>,
    pub memory: Memory,
    pub mrr: Mrr,
    /// Writes that will take effect and yet answer 500.
    pub to_break: u32,
    timers: BTreeMap<(i64, u64), Timer>,
    next_timer: u64,
}

impl World {
    pub(super) fn new(config: Config) -> Result<World, Error> {
        let mut ids = Ids::new(config.seed);
        let account = ids.word("acct_1", 15);
        Ok(World {
            secret_key: config.secret_key,
            version: Version::parse(&config.api_version)?,
            dunning: config.dunning,
            account,
            now: config.start.as_second(),
            ids,
            customers: Table::default(),
            products: Table::default(),
            prices: Table::default(),
            coupons: Table::default(),
            discounts: Table::default(),
            payment_methods: Table::default(),
            subscriptions: Table::default(),
            items: BTreeMap::new(),
            invoices: Table::default(),
            invoice_items: Table::default(),
            pending_items: BTreeMap::new(),
            payments: BTreeMap::new(),
            transactions: BTreeMap::new(),
            payment_intents: Table::default(),
            charges: Table::default(),
            refunds: Table::default(),
            endpoints: Table::default(),
            clocks: Table::default(),
            events: Table::default(),
            outbox: Vec::new(),
            asker: None,
            memory: Memory::default(),
            mrr: Mrr::default(),
            to_break: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
        })
    }

    /// Sets a timer, if its time is still to come or is now.
    pub(super) fn at(&mut self, time: i64, timer: Timer) {
        if time >= self.now {
            self.timers.insert((time, self.next_timer), timer);
            self.next_timer += 1;
        }
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        self.timers.keys().next().map(|(time, _)| *time)
    }

    /// Moves the clock, doing what falls due on the way in the order of time. Never moves backwards.
    pub(super) fn advance_to(&mut self, time: i64) {
        let asker = self.asker.take();
        while let Some(entry) = self.timers.first_entry() {
            let due = entry.key().0;
            if due > time {
                break;
            }
            let timer = entry.remove();
            self.now = self.now.max(due);
            self.fire(&timer);
        }
        self.now = self.now.max(time);
        self.forget_old_events();
        self.asker = asker;
    }

    fn fire(&mut self, timer: &Timer) {
        let done = match timer {
            Timer::PeriodEnd(id) => self.period_ended(id),
            Timer::CancelAt(id) => self.cancel_at_reached(id),
            Timer::TrialWillEnd(id) => self.trial_will_end(id),
            Timer::Upcoming(id) => self.invoice_upcoming(id),
            Timer::IncompleteExpires(id) => self.incomplete_expires(id),
            Timer::Finalize(id) => self.finalize_due(id),
            Timer::DiscountEnds(id) => self.discount_ends(id),
            Timer::Retry(id) => self.retry_due(id),
        };
        if let Err(error) = done {
            // A timer only touches what exists; an error here is a defect of the twin.
            debug_assert!(false, "timer {timer:?}: {error}");
            tracing::error!(?timer, %error, "a due change failed");
        }
    }

    pub(super) fn customer(&self, id: &str) -> Result<Arc<Customer>, Error> {
        found(&self.customers, "customer", id).and_then(|customer| {
            if customer.deleted { Err(Error::missing("customer", id, "customer")) } else { Ok(customer) }
        })
    }

    pub(super) fn subscription(&self, id: &str) -> Result<Arc<Subscription>, Error> {
        found(&self.subscriptions, "subscription", id)
    }

    pub(super) fn invoice(&self, id: &str) -> Result<Arc<Invoice>, Error> {
        found(&self.invoices, "invoice", id)
    }

    /// Changes an object and tells the change as an event, unless nothing changed.
    pub(super) fn update<T>(
        &mut self,
        table: fn(&mut World) -> &mut Table<T>,
        event: &'static str,
        id: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<Arc<T>, Error>
    where
        T: Record,
        Snapshot: From<Arc<T>>,
    {
        let change = self.edit(table, id, change)?;
        self.tell_change(event, &change);
        Ok(change.after)
    }

    /// Changes an object without an event (one follows that tells more).
    pub(super) fn edit<T: Record>(
        &mut self,
        table: fn(&mut World) -> &mut Table<T>,
        id: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<Change<T>, Error> {
        table(self).edit(id, change).ok_or_else(|| Error::missing("object", id, "id"))
    }
}

pub(super) fn found<T: Record>(table: &Table<T>, kind: &str, id: &str) -> Result<Arc<T>, Error> {
    table.get(id).cloned().ok_or_else(|| Error::missing(kind, id, "id"))
}

macro_rules! records {
    ($($kind:ident { $created:ident $(, $owner:ident)* })+) => {
        $(impl Record for $kind {
            fn id(&self) -> &str { &self.id }
            fn created(&self) -> i64 { self.$created }
            records!(@owners $($owner)*);
        })+
    };
    (@owners) => {};
    (@owners $one:ident) => {
        fn owners(&self) -> [Option<&str>; 2] { [AsOwner::owner(&self.$one), None] }
    };
    (@owners $one:ident $two:ident) => {
        fn owners(&self) -> [Option<&str>; 2] { [AsOwner::owner(&self.$one), AsOwner::owner(&self.$two)] }
    };
}

trait AsOwner {
    fn owner(&self) -> Option<&str>;
}
impl AsOwner for String {
    fn owner(&self) -> Option<&str> {
        Some(self)
    }
}
impl AsOwner for Option<String> {
    fn owner(&self) -> Option<&str> {
        self.as_deref()
    }
}

records! {
    Customer { created }
    Product { created }
    Price { created, product }
    Coupon { created }
    Discount { start }
    PaymentMethod { created }
    Subscription { created, customer }
    Invoice { created, customer, subscription }
    InvoiceItem { date, customer, subscription }
    PaymentIntent { created, customer }
    Charge { created, customer, payment_intent }
    Refund { created, charge, payment_intent }
    Endpoint { created }
    TestClock { created }
}
