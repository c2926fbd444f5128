//! How a subscription turns by itself: renewals, the end of trials, notices.

use std::sync::Arc;

use super::super::calendar::{HOUR, next_turn};
use super::super::discounts::put_in_force;
use super::super::errors::Error;
use super::super::events::Snapshot;
use super::super::invoices::Draft;
use super::super::model::*;
use super::super::proration::regular_line;
use super::super::world::World;

/// How long a renewal's invoice stays a draft.
pub(in super::super) const DRAFT_HOURS: i64 = 1;

impl World {
    pub(in super::super) fn period_ended(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        if subscription.ended_at.is_some() || subscription.period_end != self.now {
            return Ok(());
        }
        if subscription.cancel_at_period_end || subscription.cancel_at.is_some_and(|at| at <= self.now) {
            return self.end_at_its_time(id);
        }
        match subscription.status {
            SubscriptionStatus::Trialing => {
                let lapses = subscription.missing_card == MissingCard::Cancel
                    && subscription.collection == Collection::Automatic
                    && self.paying_card(&subscription).is_none();
                if lapses {
                    return self.end_subscription(id, SubscriptionStatus::Canceled, None);
                }
                self.renew(subscription, self.now, true)
            }
            SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                let anchor = subscription.anchor;
                self.renew(subscription, anchor, true)
            }
            // Invoices of an unpaid subscription stay drafts.
            SubscriptionStatus::Unpaid => {
                let anchor = subscription.anchor;
                self.renew(subscription, anchor, false)
            }
            SubscriptionStatus::Incomplete
            | SubscriptionStatus::IncompleteExpired
            | SubscriptionStatus::Canceled => Ok(()),
        }
    }

    fn renew(&mut self, before: Arc<Subscription>, anchor: i64, advance: bool) -> Result<(), Error> {
        let id = before.id.clone();
        let subscription = self.subscription(&id)?;
        let discounts = self.discounts_now(&subscription);
        let Some(every) = subscription.items.first().and_then(|item| item.price.recurring) else {
            return Ok(());
        };
        let period = (self.now, next_turn(anchor, every, self.now));
        let lines = subscription.items.iter().map(|item| regular_line(&id, item, period)).collect();
        let finalizes_at = advance.then_some(self.now + DRAFT_HOURS * HOUR);
        let behind = (before.period_start, before.period_end);
        let draft = Draft {
            lines,
            discounts: discounts.clone(),
            take_pending: true,
            finalizes_at,
            auto_advance: advance,
            ..Draft::of(&subscription, Reason::Cycle, behind)
        };
        let invoice = self.draw(draft)?;
        if invoice.subtotal > 0 {
            self.spend_discounts(&invoice.discounts)?;
        }
        self.edit_subscription(&id, |subscription| {
            put_in_force(&mut subscription.items, &discounts);
            (subscription.period_start, subscription.period_end) = period;
            subscription.anchor = anchor;
            subscription.latest_invoice = Some(invoice.id.clone());
            if subscription.status == SubscriptionStatus::Trialing {
                subscription.status = SubscriptionStatus::Active;
            }
        })?;
        let after = self.subscription_changed(before)?;
        self.set_period_timers(&after);
        Ok(())
    }

    pub(in super::super) fn trial_will_end(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        if subscription.status == SubscriptionStatus::Trialing {
            self.tell("customer.subscription.trial_will_end", subscription);
        }
        Ok(())
    }

    pub(in super::super) fn invoice_upcoming(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        let turns = matches!(
            subscription.status,
            SubscriptionStatus::Active | SubscriptionStatus::Trialing | SubscriptionStatus::PastDue
        );
        let ends = subscription.cancel_at.is_some_and(|at| at <= subscription.period_end);
        if turns && !ends && subscription.period_end > self.now {
            let preview = self.preview_renewal(&subscription)?;
            self.tell("invoice.upcoming", Snapshot::Upcoming(Arc::new(preview)));
        }
        Ok(())
    }

    pub(in super::super) fn incomplete_expires(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        if subscription.status != SubscriptionStatus::Incomplete {
            return Ok(());
        }
        if let Some(invoice) = &subscription.latest_invoice {
            self.void(invoice)?;
        }
        let expired = self.subscription(id)?.status != SubscriptionStatus::Incomplete;
        if expired { Ok(()) } else { self.expire_incomplete(id) }
    }

    /// The first invoice will not be paid any more.
    pub(in super::super) fn expire_incomplete(&mut self, id: &str) -> Result<(), Error> {
        let before = self.subscription(id)?;
        let now = self.now;
        self.edit_subscription(id, |subscription| {
            subscription.status = SubscriptionStatus::IncompleteExpired;
            subscription.ended_at = Some(now);
            subscription.canceled_at = subscription.canceled_at.or(Some(now));
        })?;
        self.subscription_changed(before).map(drop)
    }
}
