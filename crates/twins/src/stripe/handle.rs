//! Acting on the account without HTTP: the same rules, plain arguments.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::calendar::DAY;
use super::errors::Error;
use super::model::*;
use super::subscriptions::Grant;
use super::subscriptions::create::Opening;
use super::subscriptions::items::ItemChange;
use super::subscriptions::update::Update;
use super::version::Version;
use super::views::Event;
use super::{Config, Stripe};

/// The state of a customer's card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// It pays. After a card that did not, a new one is attached and made the default.
    Ok,
    /// The bank refuses the present card from now on.
    Declines,
    /// The bank refuses the next so many charges, then pays again.
    DeclinesOnce(u32),
}

/// When a subscription is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    Now,
    /// By `cancel_at_period_end`.
    AtPeriodEnd,
    /// By `cancel_at` alone.
    At(Timestamp),
}

#[derive(Clone, Debug, Default)]
pub struct NewCustomer {
    pub email: Option<String>,
    pub name: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// A recurring price per unit.
#[derive(Clone, Debug)]
pub struct NewPrice {
    pub product: String,
    /// In cents.
    pub unit_amount: i64,
    pub currency: String,
    pub interval: Interval,
    pub interval_count: u32,
    pub nickname: Option<String>,
}

#[derive(Clone, Debug)]
pub struct NewCoupon {
    pub id: Option<String>,
    pub amount: Off,
    pub duration: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct NewSubscription {
    pub customer: String,
    /// (price, quantity)
    pub items: Vec<(String, i64)>,
    pub trial_days: Option<u32>,
    pub coupon: Option<String>,
    /// A trial that ends without a card ends the subscription; otherwise it is billed in vain.
    pub missing_card_cancels: bool,
}

/// A change of one item; what is `None` stays.
#[derive(Clone, Debug)]
pub struct Change {
    pub price: Option<String>,
    pub quantity: Option<i64>,
    pub proration: Proration,
}

impl Stripe {
    /// Opens an account; an API version that is none falls back to the newest.
    pub fn new(config: Config) -> Stripe {
        let newest = Config { api_version: super::API_VERSION.to_owned(), ..config.clone() };
        match Stripe::open(config).or_else(|_| Stripe::open(newest)) {
            Ok(stripe) => stripe,
            Err(error) => unreachable!("the newest version is one: {error}"),
        }
    }

    /// Where the twin's clock stands.
    pub fn now(&self) -> Timestamp {
        super::calendar::timestamp(self.world().now)
    }

    /// Moves the clock, doing what falls due on the way in the order of time. Never moves backwards.
    pub fn advance_to(&self, time: Timestamp) {
        self.world().advance_to(time.as_second());
    }

    /// When something happens next by itself (perhaps nothing that can be seen).
    pub fn next_due(&self) -> Option<Timestamp> {
        self.world().next_due().map(super::calendar::timestamp)
    }

    /// The key that requests must carry.
    pub fn secret_key(&self) -> String {
        self.world().secret_key.clone()
    }

    // Events

    /// What happened since the last call, in order.
    pub fn drain_events(&self) -> Vec<Event> {
        let mut world = self.world();
        let outbox = std::mem::take(&mut world.outbox);
        outbox.iter().filter_map(|id| world.events.get(id)).map(|event| Event::of(event)).collect()
    }

    /// The exact body that an endpoint of that version is sent, as it was when it happened.
    pub fn event_body(&self, id: &str, api_version: &str) -> Option<Bytes> {
        let world = self.world();
        let version = Version::parse(api_version).ok()?;
        let event = world.events.get(id)?;
        Some(Bytes::from(event.render(&version, &world).to_string()))
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.world().endpoints.all().map(|(_, endpoint)| endpoint.as_ref().clone()).collect()
    }

    /// Configures a webhook endpoint. `None`, or a version that is none: the account's.
    pub fn create_endpoint(&self, url: &str, enabled_events: &[&str], api_version: Option<&str>) -> Endpoint {
        let events = enabled_events.iter().map(|event| (*event).to_owned()).collect();
        let api_version = api_version.filter(|version| Version::parse(version).is_ok());
        self.world().add_endpoint(url, events, api_version.map(str::to_owned)).as_ref().clone()
    }

    /// An endpoint has taken an event.
    pub fn mark_delivered(&self, event: &str, endpoint: &str) {
        self.world().events.edit(event, |event| {
            event.pending.remove(endpoint);
        });
    }

    /// The next `writes` over the wire take effect and yet answer 500, which their idempotency key remembers.
    pub fn break_next(&self, writes: u32) {
        self.world().to_break += writes;
    }

    // Customers and catalog

    pub fn create_customer(&self, new: NewCustomer) -> String {
        let customer = self.world().add_customer(|customer| {
            (customer.name, customer.email, customer.metadata) = (new.name, new.email, new.metadata);
        });
        customer.id.clone()
    }

    /// Gives a customer another name.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn rename(&self, customer: &str, name: &str) -> Result<(), Error> {
        let mut world = self.world();
        world.customer(customer)?;
        world.update_customer(customer, |customer| customer.name = Some(name.to_owned())).map(drop)
    }

    /// Deletes a customer; its subscriptions end at once.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn delete_customer(&self, customer: &str) -> Result<(), Error> {
        self.world().remove_customer(customer)
    }

    /// Puts a customer's card into a state.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn set_card(&self, customer: &str, card: Card) -> Result<(), Error> {
        self.world().set_card(customer, card)
    }

    pub fn create_product(&self, name: &str) -> String {
        let mut world = self.world();
        let product = world.new_product(name);
        world.tell("product.created", product.clone());
        product.id.clone()
    }

    /// Makes a recurring price.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn create_price(&self, new: NewPrice) -> Result<String, Error> {
        Ok(self.world().add_price(None, &new, false, |_| ())?.id.clone())
    }

    /// Makes a coupon.
    ///
    /// # Errors
    /// When its id is taken.
    pub fn create_coupon(&self, new: NewCoupon) -> Result<String, Error> {
        Ok(self.world().add_coupon(new, |_| ())?.id.clone())
    }

    // Subscriptions

    /// Starts a subscription. A first payment that fails leaves it incomplete; that is no error.
    ///
    /// # Errors
    /// When something named does not exist, or a card is missing.
    pub fn create_subscription(&self, new: NewSubscription) -> Result<String, Error> {
        let mut world = self.world();
        let mut opening = Opening::new(&new.customer);
        opening.items =
            new.items.into_iter().map(|(price, quantity)| (price, quantity, Metadata::new())).collect();
        opening.trial_end = new.trial_days.map(|days| world.now + i64::from(days) * DAY);
        opening.grants = new.coupon.into_iter().map(Grant::Coupon).collect();
        opening.missing_card =
            if new.missing_card_cancels { MissingCard::Cancel } else { MissingCard::CreateInvoice };
        world.open_subscription(opening)
    }

    /// Changes an item: an upgrade, a downgrade, seats.
    ///
    /// # Errors
    /// When something named does not exist or does not fit.
    pub fn change_item(&self, subscription: &str, item: &str, change: Change) -> Result<(), Error> {
        let entry = ItemChange {
            id: Some(item.to_owned()),
            price: change.price,
            quantity: change.quantity,
            ..ItemChange::default()
        };
        let update = Update { items: vec![entry], proration: Some(change.proration), ..Update::default() };
        self.world().update_subscription(subscription, update)
    }

    /// Ends a subscription, now or later.
    ///
    /// # Errors
    /// When it does not exist or has ended.
    pub fn cancel(&self, subscription: &str, cancel: Cancel) -> Result<(), Error> {
        self.world().cancel(subscription, cancel)
    }

    /// Takes an announced end back.
    ///
    /// # Errors
    /// When it does not exist or has ended.
    pub fn undo_cancel(&self, subscription: &str) -> Result<(), Error> {
        self.world().undo_cancel(subscription)
    }

    /// Gives a coupon in place of the discounts there are; it counts from the next invoice or change.
    ///
    /// # Errors
    /// When something named does not exist.
    pub fn apply_coupon(&self, subscription: &str, coupon: &str) -> Result<(), Error> {
        let grants = Some(vec![Grant::Coupon(coupon.to_owned())]);
        self.world().update_subscription(subscription, Update { grants, ..Update::default() })
    }

    /// Takes all discounts from a subscription, from the next invoice or change on.
    ///
    /// # Errors
    /// When it does not exist or has ended.
    pub fn remove_discounts(&self, subscription: &str) -> Result<(), Error> {
        let update = Update { grants: Some(Vec::new()), ..Update::default() };
        self.world().update_subscription(subscription, update)
    }

    /// Ends a trial now, which bills at once.
    ///
    /// # Errors
    /// When it does not exist or has ended.
    pub fn end_trial(&self, subscription: &str) -> Result<(), Error> {
        let update = Update { end_trial: true, ..Update::default() };
        self.world().update_subscription(subscription, update)
    }

    // Money

    /// Tries to collect an invoice now.
    ///
    /// # Errors
    /// When the card is declined, or there is nothing to pay.
    pub fn pay_invoice(&self, invoice: &str) -> Result<(), Error> {
        self.world().pay_now(invoice, None, false)
    }

    /// Withdraws an invoice.
    ///
    /// # Errors
    /// When it is not open.
    pub fn void_invoice(&self, invoice: &str) -> Result<(), Error> {
        self.world().void(invoice)
    }

    /// Gives an invoice up.
    ///
    /// # Errors
    /// When it is not open.
    pub fn mark_uncollectible(&self, invoice: &str) -> Result<(), Error> {
        self.world().give_up(invoice)
    }

    /// Gives a charge back, whole (`None`) or in part.
    ///
    /// # Errors
    /// When it is not paid, or has been given back.
    pub fn refund(&self, charge: &str, amount: Option<i64>) -> Result<String, Error> {
        Ok(self.world().refund(charge, amount, |_| ())?.id.clone())
    }
}
