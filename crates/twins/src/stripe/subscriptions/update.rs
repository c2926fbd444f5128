//! How a subscription changes while it runs: items, discounts, trial, billing cycle, announced end.

use std::sync::Arc;

use super::super::calendar::next_turn;
use super::super::discounts::put_in_force;
use super::super::errors::Error;
use super::super::invoices::{Draft, Outcome};
use super::super::model::*;
use super::super::proration::{Piece, pieces, regular_line, unused};
use super::super::world::{Timer, World};
use super::cancel::{announce, take_back};
use super::items::ItemChange;
use super::{Behavior, Grant};

/// When an announced end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum EndAt {
    Time(i64),
    /// `min_period_end` and `max_period_end`: the same here, since all items share one period.
    PeriodEnd,
}

/// Everything an update may change; nothing by default.
#[derive(Debug, Default)]
pub(in super::super) struct Update {
    pub items: Vec<ItemChange>,
    pub proration: Option<Proration>,
    pub proration_date: Option<i64>,
    pub behavior: Option<Behavior>,
    pub end_trial: bool,
    pub trial_end: Option<i64>,
    /// `billing_cycle_anchor=now`
    pub restart: bool,
    /// Replaces the discounts.
    pub grants: Option<Vec<Grant>>,
    pub cancel_at_period_end: Option<bool>,
    pub cancel_at: Option<Option<EndAt>>,
    pub cancellation_comment: Option<Option<String>>,
    pub cancellation_feedback: Option<Option<String>>,
    pub default_payment_method: Option<Option<String>>,
    pub collection: Option<Collection>,
    pub days_until_due: Option<i64>,
    pub missing_card: Option<MissingCard>,
    pub description: Option<Option<String>>,
    pub metadata: super::super::form::MetadataChange,
}

/// What changes in a subscription's items do to its period and to what is owed.
pub(in super::super) struct Plan {
    pub items: Vec<Item>,
    pub period: (i64, i64),
    pub anchor: i64,
    /// A new period begins now and is billed at once.
    pub restarts: bool,
    pub pieces: Vec<Piece>,
}

impl World {
    pub(in super::super) fn update_subscription(&mut self, id: &str, update: Update) -> Result<(), Error> {
        let before = self.live(id)?;
        let proration = update.proration.unwrap_or(Proration::Create);
        let had = before.discounts.clone();
        if let Some(grants) = &update.grants {
            for grant in grants {
                if let Grant::Coupon(coupon) = grant {
                    self.redeemable(coupon, "coupon")?;
                }
            }
        }
        let items = self.changed_items(&before, update.items, &before.currency)?;
        if update.behavior == Some(Behavior::Refuse) && proration == Proration::Invoice {
            let card = self.paying_card(&before).unwrap_or_default();
            self.bank_would_say(&card).map_err(|decline| Error::declined(&decline))?;
        }
        if let Some(grants) = &update.grants {
            let discounts = self.grant(grants, &before.customer, id, &had)?;
            self.edit_subscription(id, |subscription| subscription.discounts = discounts)?;
        }
        let customer = self.customer(&before.customer)?;
        if let Some(Some(card)) = &update.default_payment_method {
            self.attached(card, &customer.id)?;
        }
        self.edit_subscription(id, |subscription| {
            use super::super::catalog::set;
            set(&mut subscription.default_payment_method, update.default_payment_method);
            set(&mut subscription.collection, update.collection);
            set(&mut subscription.missing_card, update.missing_card);
            set(&mut subscription.description, update.description);
            set(&mut subscription.cancellation_comment, update.cancellation_comment);
            set(&mut subscription.cancellation_feedback, update.cancellation_feedback);
            if update.days_until_due.is_some() {
                subscription.days_until_due = update.days_until_due;
            }
            update.metadata.apply(&mut subscription.metadata);
        })?;
        self.move_trial_end(id, update.trial_end)?;
        let restart = update.restart || (update.end_trial && before.status == SubscriptionStatus::Trialing);
        let invoice = self.apply_plan(id, items, proration, update.proration_date, restart)?;
        self.announce_end(id, update.cancel_at_period_end, update.cancel_at)?;
        let outcome = invoice.as_deref().map(|invoice| self.bill_now(invoice)).transpose()?;
        for item in &before.items {
            let kept = self.subscription(id)?.items.iter().any(|kept| kept.id == item.id);
            if !kept {
                self.items.remove(&item.id);
                self.note_removed(&before, item);
            }
        }
        let after = self.subscription_changed(before)?;
        if let (Some(outcome), Some(invoice)) = (outcome, invoice) {
            self.settle(&invoice, outcome)?;
        }
        drop(after);
        Ok(())
    }

    fn bill_now(&mut self, invoice: &str) -> Result<Outcome, Error> {
        self.finalize(invoice)?;
        self.collect(invoice, None)
    }

    fn move_trial_end(&mut self, id: &str, end: Option<i64>) -> Result<(), Error> {
        let Some(end) = end else { return Ok(()) };
        let subscription = self.subscription(id)?;
        if subscription.status != SubscriptionStatus::Trialing {
            return Err(Error::not_simulated("trial_end on a subscription that is not in its trial"));
        }
        if end <= self.now {
            return Err(Error::invalid("trial_end must be in the future.").at("trial_end"));
        }
        self.edit_subscription(id, |subscription| {
            subscription.trial_end = Some(end);
            (subscription.period_end, subscription.anchor) = (end, end);
        })?;
        let subscription = self.subscription(id)?;
        self.set_period_timers(&subscription);
        self.set_trial_timer(&subscription);
        Ok(())
    }

    fn announce_end(
        &mut self,
        id: &str,
        at_period_end: Option<bool>,
        cancel_at: Option<Option<EndAt>>,
    ) -> Result<(), Error> {
        let now = self.now;
        let subscription = self.subscription(id)?;
        if subscription.ended_at.is_some() {
            return Ok(());
        }
        let end = subscription.period_end;
        let announced = match (at_period_end, cancel_at) {
            (Some(true), _) => Some((end, true)),
            (_, Some(Some(EndAt::PeriodEnd))) => Some((end, false)),
            (_, Some(Some(EndAt::Time(time)))) => Some((time, false)),
            (Some(false), _) | (_, Some(None)) => {
                return self.edit_subscription(id, |subscription| {
                    if subscription.cancel_at.is_some() {
                        take_back(subscription);
                    }
                });
            }
            (None, None) if subscription.cancel_at_period_end && subscription.cancel_at != Some(end) => {
                Some((end, true))
            }
            (None, None) => None,
        };
        if let Some((at, at_period_end)) = announced {
            if at <= now {
                return Err(Error::invalid("cancel_at must be in the future.").at("cancel_at"));
            }
            self.edit_subscription(id, |subscription| announce(subscription, at, at_period_end, now))?;
            self.at(at, Timer::CancelAt(id.to_owned()));
        }
        Ok(())
    }

    /// What becomes of items, period and prorations; changes nothing.
    pub(in super::super) fn plan_change(
        &self,
        subscription: &Subscription,
        mut items: Vec<Item>,
        proration: Proration,
        date: Option<i64>,
        restart: bool,
    ) -> Plan {
        let at = date.unwrap_or(self.now).clamp(subscription.period_start, subscription.period_end);
        let same = |one: &Item, two: &Item| {
            one.id == two.id && one.price.id == two.price.id && one.quantity == two.quantity
        };
        let changed = items.len() != subscription.items.len()
            || items.iter().zip(&subscription.items).any(|(after, before)| !same(after, before));
        let every = |items: &[Item]| items.first().and_then(|item| item.price.recurring);
        let trialing = subscription.status == SubscriptionStatus::Trialing;
        let other_cycle = every(&items) != every(&subscription.items);
        let restarts = restart || (other_cycle && !trialing);
        if changed || restarts {
            let discounts = if trialing && !restarts { Vec::new() } else { self.discounts_now(subscription) };
            let mut priced = items.clone();
            put_in_force(&mut priced, &discounts);
            for (item, priced) in items.iter_mut().zip(priced) {
                let untouched = subscription.items.iter().any(|before| same(before, item));
                if restarts || !untouched {
                    *item = priced;
                }
            }
        }
        let period = (subscription.period_start, subscription.period_end);
        let billed = matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue);
        let wanted = billed && proration != Proration::None;
        if !restarts {
            let pieces =
                if changed && wanted { pieces(&subscription.items, &items, period, at) } else { Vec::new() };
            return Plan { items, period, anchor: subscription.anchor, restarts, pieces };
        }
        let pieces = if wanted {
            subscription.items.iter().map(|item| unused(item, period, at)).collect()
        } else {
            Vec::new()
        };
        let end = every(&items).map_or(period.1, |every| next_turn(self.now, every, self.now));
        Plan { items, period: (self.now, end), anchor: self.now, restarts, pieces }
    }

    /// Carries a plan out; the result is the invoice to finalize and collect at once, if there is one.
    fn apply_plan(
        &mut self,
        id: &str,
        items: Vec<Item>,
        proration: Proration,
        date: Option<i64>,
        restart: bool,
    ) -> Result<Option<String>, Error> {
        let subscription = self.subscription(id)?;
        let plan = self.plan_change(&subscription, items, proration, date, restart);
        let owes = !plan.pieces.is_empty();
        for piece in plan.pieces {
            self.add_piece(&subscription, piece);
        }
        for item in &plan.items {
            self.items.insert(item.id.clone(), id.to_owned());
        }
        let now = self.now;
        let items = plan.items;
        self.edit_subscription(id, |subscription| {
            subscription.items = items;
            (subscription.period_start, subscription.period_end) = plan.period;
            subscription.anchor = plan.anchor;
            if plan.restarts && subscription.status == SubscriptionStatus::Trialing {
                subscription.status = SubscriptionStatus::Active;
                subscription.trial_end = Some(now);
            }
        })?;
        let bills = plan.restarts || (owes && proration == Proration::Invoice);
        if !bills {
            return Ok(None);
        }
        let after = self.subscription(id)?;
        let behind = (subscription.period_start, now);
        let mut draft = Draft { take_pending: true, ..Draft::of(&after, Reason::Update, behind) };
        if plan.restarts {
            draft.lines = after.items.iter().map(|item| regular_line(id, item, plan.period)).collect();
            draft.discounts = self.discounts_now(&after);
            self.set_period_timers(&after);
        }
        let invoice = self.draw(draft)?;
        if plan.restarts && invoice.subtotal > 0 {
            self.spend_discounts(&invoice.discounts)?;
        }
        self.edit_subscription(id, |subscription| subscription.latest_invoice = Some(invoice.id.clone()))?;
        Ok(Some(invoice.id.clone()))
    }

    /// Makes a piece a pending invoice item.
    pub(super) fn add_piece(&mut self, subscription: &Arc<Subscription>, piece: Piece) {
        let item = InvoiceItem {
            id: self.ids.long("ii_1"),
            date: self.now,
            customer: subscription.customer.clone(),
            subscription: Some(subscription.id.clone()),
            item: Some(piece.item),
            invoice: None,
            amount: piece.amount,
            currency: subscription.currency.clone(),
            description: Some(piece.description),
            unit_amount: piece.price.unit_amount,
            price: Some(piece.price),
            quantity: piece.quantity,
            period: piece.period,
            proration: true,
            discountable: false,
            discounts: piece.discounts,
            metadata: Metadata::new(),
            test_clock: subscription.test_clock.clone(),
        };
        self.add_invoice_item(item);
    }
}
