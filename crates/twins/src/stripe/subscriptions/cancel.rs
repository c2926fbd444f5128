//! How a subscription ends, and how an announced end is taken back.

use std::sync::Arc;

use super::super::Cancel;
use super::super::calendar::HOUR;
use super::super::errors::Error;
use super::super::invoices::Draft;
use super::super::model::*;
use super::super::proration::unused;
use super::super::world::{Timer, World};
use super::cycle::DRAFT_HOURS;

impl World {
    /// `cancel_at` is reached, in or at the end of a period.
    pub(in super::super) fn cancel_at_reached(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        if subscription.ended_at.is_none() && subscription.cancel_at == Some(self.now) {
            return self.end_at_its_time(id);
        }
        Ok(())
    }

    /// An announced end: what is still to be billed is billed.
    pub(super) fn end_at_its_time(&mut self, id: &str) -> Result<(), Error> {
        self.end_subscription(id, SubscriptionStatus::Canceled, None)?;
        let subscription = self.subscription(id)?;
        if self.pending_for(&subscription.customer, Some(id)).is_empty() {
            return Ok(());
        }
        let period = (subscription.period_start, self.now);
        let draft = Draft {
            take_pending: true,
            finalizes_at: Some(self.now + DRAFT_HOURS * HOUR),
            ..Draft::of(&subscription, Reason::Cycle, period)
        };
        let invoice = self.draw(draft)?;
        self.edit_subscription(id, |subscription| subscription.latest_invoice = Some(invoice.id.clone()))
    }

    /// Ends a subscription now. Its invoices are no longer collected by themselves.
    pub(in super::super) fn end_subscription(
        &mut self,
        id: &str,
        status: SubscriptionStatus,
        reason: Option<&'static str>,
    ) -> Result<(), Error> {
        let now = self.now;
        self.edit_subscription(id, |subscription| {
            subscription.status = status;
            subscription.ended_at = Some(now);
            subscription.canceled_at = subscription.canceled_at.or(Some(now));
            subscription.cancellation_reason = subscription.cancellation_reason.or(reason);
        })?;
        let invoices: Vec<String> = self
            .invoices
            .of(id)
            .filter(|(_, invoice)| invoice.auto_advance)
            .map(|(_, one)| one.id.clone())
            .collect();
        for invoice in invoices {
            self.update_invoice(&invoice, |invoice| {
                if matches!(invoice.status, InvoiceStatus::Draft | InvoiceStatus::Open) {
                    invoice.auto_advance = false;
                    invoice.next_attempt = None;
                    invoice.finalizes_at = None;
                }
            })?;
        }
        let subscription = self.subscription(id)?;
        self.tell("customer.subscription.deleted", subscription);
        self.note_mrr(id)
    }

    pub(in super::super) fn cancel(&mut self, id: &str, cancel: Cancel) -> Result<(), Error> {
        let before = self.live(id)?;
        let now = self.now;
        let at = match cancel {
            Cancel::Now => {
                return self.end_subscription(
                    id,
                    SubscriptionStatus::Canceled,
                    Some("cancellation_requested"),
                );
            }
            Cancel::AtPeriodEnd => before.period_end,
            Cancel::At(time) => time.as_second(),
        };
        self.edit_subscription(id, |subscription| {
            announce(subscription, at, cancel == Cancel::AtPeriodEnd, now)
        })?;
        self.at(at, Timer::CancelAt(id.to_owned()));
        self.subscription_changed(before).map(drop)
    }

    pub(in super::super) fn undo_cancel(&mut self, id: &str) -> Result<(), Error> {
        let before = self.live(id)?;
        self.edit_subscription(id, take_back)?;
        self.subscription_changed(before).map(drop)
    }

    /// A subscription that has not ended.
    pub(super) fn live(&self, id: &str) -> Result<Arc<Subscription>, Error> {
        let subscription = self.subscription(id)?;
        if subscription.ended_at.is_some() {
            Err(Error::missing("subscription", id, "id"))
        } else {
            Ok(subscription)
        }
    }

    /// Cancels at once as the API does: with a credit for unused time, with a last invoice, where asked.
    pub(super) fn cancel_now(&mut self, id: &str, prorate: bool, invoice_now: bool) -> Result<(), Error> {
        let subscription = self.live(id)?;
        let counts = matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue);
        if prorate && counts {
            let period = (subscription.period_start, subscription.period_end);
            for item in &subscription.items {
                self.add_piece(&subscription, unused(item, period, self.now));
            }
        }
        self.end_subscription(id, SubscriptionStatus::Canceled, Some("cancellation_requested"))?;
        if invoice_now && !self.pending_for(&subscription.customer, Some(id)).is_empty() {
            let period = (subscription.period_start, self.now);
            let draft = Draft { take_pending: true, ..Draft::of(&subscription, Reason::Update, period) };
            let invoice = self.draw(draft)?;
            self.edit_subscription(id, |subscription| {
                subscription.latest_invoice = Some(invoice.id.clone())
            })?;
            self.finalize(&invoice.id)?;
            self.collect(&invoice.id, None)?;
        }
        Ok(())
    }
}

/// Sets an end in the future.
pub(super) fn announce(subscription: &mut Subscription, at: i64, at_period_end: bool, now: i64) {
    subscription.cancel_at = Some(at);
    subscription.cancel_at_period_end = at_period_end;
    subscription.canceled_at = Some(now);
    subscription.cancellation_reason = Some("cancellation_requested");
}

/// Takes an announced end back.
pub(super) fn take_back(subscription: &mut Subscription) {
    subscription.cancel_at = None;
    subscription.cancel_at_period_end = false;
    subscription.canceled_at = None;
    subscription.cancellation_reason = None;
}
