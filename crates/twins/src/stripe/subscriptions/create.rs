//! How a subscription begins.

use std::sync::Arc;

use super::super::calendar::{HOUR, next_turn};
use super::super::errors::Error;
use super::super::invoices::{Draft, Outcome};
use super::super::model::*;
use super::super::proration::{regular_line, share, trial_line};
use super::super::world::{Timer, World};
use super::{Behavior, Grant};

/// How long a first invoice may stay unpaid.
const INCOMPLETE_HOURS: i64 = 23;

/// What a new subscription is made of.
#[derive(Debug)]
pub(in super::super) struct Opening {
    pub customer: String,
    /// (price, quantity, metadata)
    pub items: Vec<(String, i64, Metadata)>,
    pub trial_end: Option<i64>,
    pub grants: Vec<Grant>,
    pub anchor: Option<i64>,
    pub proration: Proration,
    pub behavior: Behavior,
    pub collection: Collection,
    pub days_until_due: Option<i64>,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    pub default_payment_method: Option<String>,
    pub missing_card: MissingCard,
    pub flexible: bool,
    pub metadata: Metadata,
    pub description: Option<String>,
}

impl Opening {
    pub(in super::super) fn new(customer: &str) -> Opening {
        Opening {
            customer: customer.to_owned(),
            items: Vec::new(),
            trial_end: None,
            grants: Vec::new(),
            anchor: None,
            proration: Proration::Create,
            behavior: Behavior::Allow,
            collection: Collection::Automatic,
            days_until_due: None,
            cancel_at: None,
            cancel_at_period_end: false,
            default_payment_method: None,
            missing_card: MissingCard::CreateInvoice,
            flexible: true,
            metadata: Metadata::new(),
            description: None,
        }
    }
}

impl World {
    pub(in super::super) fn open_subscription(&mut self, new: Opening) -> Result<String, Error> {
        let customer = self
            .customer(&new.customer)
            .map_err(|_| Error::missing_param("customer", &new.customer, "customer"))?;
        let mut subscription = self.prepare(new.items, &customer)?;
        let trialing = new.trial_end.is_some_and(|end| end > self.now);
        let every = subscription.items[0].price.recurring.ok_or_else(|| Error::required("items"))?;
        subscription.collection = new.collection;
        subscription.days_until_due = new.days_until_due;
        subscription.default_payment_method = new.default_payment_method;
        subscription.missing_card = new.missing_card;
        subscription.flexible = new.flexible;
        subscription.metadata = new.metadata;
        subscription.description = new.description;
        if let Some(end) = new.trial_end.filter(|_| trialing) {
            subscription.status = SubscriptionStatus::Trialing;
            (subscription.trial_start, subscription.trial_end) = (Some(self.now), Some(end));
            (subscription.anchor, subscription.period_end) = (end, end);
        } else {
            let anchor = new.anchor.unwrap_or(self.now);
            subscription.anchor = anchor;
            subscription.period_end = next_turn(anchor, every, self.now);
        }
        for grant in &new.grants {
            if let Grant::Coupon(id) = grant {
                self.redeemable(id, "coupon")?;
            }
        }
        self.check_payable(&subscription, new.behavior, trialing)?;
        subscription.id = self.ids.long("sub_1");
        let id = subscription.id.clone();
        subscription.cancel_at_period_end = new.cancel_at_period_end;
        subscription.cancel_at =
            if new.cancel_at_period_end { Some(subscription.period_end) } else { new.cancel_at };
        if subscription.cancel_at.is_some() {
            subscription.canceled_at = Some(self.now);
            subscription.cancellation_reason = Some("cancellation_requested");
        }
        subscription.discounts = self.grant(&new.grants, &customer.id, &id, &[])?;
        for item in &subscription.items {
            self.items.insert(item.id.clone(), id.clone());
        }
        let mut discounts = self.discounts_now(&subscription);
        if trialing {
            discounts.clear();
        }
        super::super::discounts::put_in_force(&mut subscription.items, &discounts);
        let subscription = self.subscriptions.insert(subscription);
        if customer.currency.is_none() {
            self.update_customer(&customer.id, |customer| {
                customer.currency = Some(subscription.currency.clone());
            })?;
        }
        self.first_invoice(&subscription, discounts, new.proration, new.behavior)?;
        self.opened(&id)?;
        Ok(id)
    }

    /// The subscription as far as its items decide it.
    fn prepare(
        &mut self,
        items: Vec<(String, i64, Metadata)>,
        customer: &Customer,
    ) -> Result<Subscription, Error> {
        if items.is_empty() {
            return Err(Error::required("items"));
        }
        let mut kept: Vec<Item> = Vec::with_capacity(items.len());
        for (price, quantity, metadata) in items {
            let price = self.price(&price, "items[0][price]")?;
            super::items::check_fits(&price, quantity, kept.first())?;
            if kept.iter().any(|item| item.price.id == price.id) {
                let message =
                    format!("Cannot add multiple subscription items with the same price: {}", price.id);
                return Err(Error::invalid(message));
            }
            kept.push(self.new_item(price, quantity, metadata));
        }
        let currency = kept[0].price.currency.clone();
        if let Some(other) = customer.currency.as_ref().filter(|other| **other != currency) {
            let message = format!(
                "You cannot combine currencies on a single customer. This customer has had a subscription, coupon, \
                 or invoice item with currency {other}"
            );
            return Err(Error::invalid(message));
        }
        Ok(Subscription {
            id: String::new(),
            customer: customer.id.clone(),
            created: self.now,
            start: self.now,
            status: SubscriptionStatus::Incomplete,
            items: kept,
            currency,
            anchor: self.now,
            period_start: self.now,
            period_end: self.now,
            trial_start: None,
            trial_end: None,
            cancel_at: None,
            cancel_at_period_end: false,
            canceled_at: None,
            ended_at: None,
            cancellation_comment: None,
            cancellation_feedback: None,
            cancellation_reason: None,
            collection: Collection::Automatic,
            days_until_due: None,
            default_payment_method: None,
            discounts: Vec::new(),
            latest_invoice: None,
            metadata: Metadata::new(),
            description: None,
            missing_card: MissingCard::CreateInvoice,
            flexible: true,
            test_clock: customer.test_clock.clone(),
        })
    }

    /// Before anything exists: is there a card, and would it pay, where that decides.
    fn check_payable(
        &self,
        subscription: &Subscription,
        behavior: Behavior,
        trialing: bool,
    ) -> Result<(), Error> {
        let costs = subscription.items.iter().any(|item| item.gross() > 0);
        if trialing || !costs || subscription.collection == Collection::Send {
            return Ok(());
        }
        match (self.paying_card(subscription), behavior) {
            (_, Behavior::Defer) => Ok(()),
            (None, _) => {
                let message = "This customer has no attached payment source or default payment method. Please \
                               consider adding a default payment method.";
                Err(Error::coded("resource_missing", message))
            }
            (Some(card), Behavior::Refuse) => {
                self.bank_would_say(&card).map_err(|decline| Error::declined(&decline))
            }
            (Some(_), Behavior::Allow) => Ok(()),
        }
    }

    fn first_invoice(
        &mut self,
        subscription: &Arc<Subscription>,
        discounts: Vec<Arc<Discount>>,
        proration: Proration,
        behavior: Behavior,
    ) -> Result<(), Error> {
        let id = &subscription.id;
        let trialing = subscription.status == SubscriptionStatus::Trialing;
        let period = (subscription.period_start, subscription.period_end);
        // With an anchor in the future the first period is only a part of a whole one.
        let stub = !trialing && subscription.anchor > subscription.period_start;
        let mut lines = Vec::new();
        for item in &subscription.items {
            if trialing {
                lines.push(trial_line(id, item, period));
            } else if !stub {
                lines.push(regular_line(id, item, period));
            } else if proration != Proration::None {
                let whole = whole_period_before(subscription.anchor, item.price.recurring);
                let amount =
                    share(item.gross(), (subscription.anchor - whole, subscription.anchor), period.0);
                lines.push(Line { amount, proration: true, ..regular_line(id, item, period) });
            }
        }
        let draft =
            Draft { lines, discounts, ..Draft::of(subscription, Reason::Create, (self.now, self.now)) };
        let invoice = self.draw(draft)?;
        self.edit_subscription(id, |subscription| subscription.latest_invoice = Some(invoice.id.clone()))?;
        if invoice.subtotal > 0 {
            self.spend_discounts(&invoice.discounts)?;
        }
        self.finalize(&invoice.id)?;
        let outcome = match behavior {
            Behavior::Defer if self.invoice(&invoice.id)?.amount_due > 0 => Outcome::NoCard,
            _ => self.collect(&invoice.id, None)?,
        };
        let paid = matches!(outcome, Outcome::Paid | Outcome::Sent);
        if !trialing && paid {
            self.edit_subscription(id, |subscription| subscription.status = SubscriptionStatus::Active)?;
        }
        Ok(())
    }

    /// Tells the new subscription and sets what is due.
    fn opened(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        self.tell("customer.subscription.created", Arc::clone(&subscription));
        self.note_mrr(id)?;
        self.set_period_timers(&subscription);
        self.set_trial_timer(&subscription);
        if subscription.status == SubscriptionStatus::Incomplete {
            let expires = self.now + INCOMPLETE_HOURS * HOUR;
            self.at(expires, Timer::IncompleteExpires(id.to_owned()));
        }
        if let Some(at) = subscription.cancel_at {
            self.at(at, Timer::CancelAt(id.to_owned()));
        }
        Ok(())
    }
}

/// The length in seconds of the whole period that ends at `anchor`.
fn whole_period_before(anchor: i64, every: Option<Recurring>) -> i64 {
    let Some(every) = every else { return 1 };
    // Counted from the other side: the period that begins at the anchor has the same nominal length.
    next_turn(anchor, every, anchor) - anchor
}
