//! The truth about MRR, from the state of subscriptions alone: never from invoices or events.
//!
//! Per item of an active or past-due subscription: unit amount × quantity, less the discount in force in the current
//! period (whole cents, half up), divided by the months of the interval, half away from zero. Everything else is 0.

use std::collections::BTreeMap;

use super::discounts::round_ratio;
use super::errors::Error;
use super::model::*;
use super::world::World;

/// An item's MRR from an instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MrrChange {
    pub at: jiff::Timestamp,
    pub customer: String,
    pub subscription: String,
    pub item: String,
    pub currency: String,
    pub mrr_cents: i64,
}

#[derive(Default)]
pub(super) struct Mrr {
    pub history: Vec<MrrChange>,
    /// (now, ever counted) by item.
    last: BTreeMap<String, (i64, bool)>,
}

pub(super) fn item_mrr(subscription: &Subscription, item: &Item) -> i64 {
    match subscription.status {
        SubscriptionStatus::Active | SubscriptionStatus::PastDue => per_month(item.net, item.price.recurring),
        _ => 0,
    }
}

/// Days and weeks count by the mean month of 365/12 days.
fn per_month(cents: i64, recurring: Option<Recurring>) -> i64 {
    let Some(Recurring { interval, count }) = recurring else { return 0 };
    let (cents, count) = (i128::from(cents), i128::from(count));
    match interval {
        Interval::Month => round_ratio(cents, count),
        Interval::Year => round_ratio(cents, 12 * count),
        Interval::Week => round_ratio(cents * 365, 12 * 7 * count),
        Interval::Day => round_ratio(cents * 365, 12 * count),
    }
}

impl World {
    /// Notes what changed in the MRR of a subscription's items. Called after every change of its state.
    pub(super) fn note_mrr(&mut self, id: &str) -> Result<(), Error> {
        let subscription = self.subscription(id)?;
        for item in &subscription.items {
            self.note_item(&subscription, item, item_mrr(&subscription, item));
        }
        Ok(())
    }

    /// An item that left its subscription.
    pub(super) fn note_removed(&mut self, subscription: &Subscription, item: &Item) {
        self.note_item(subscription, item, 0);
    }

    fn note_item(&mut self, subscription: &Subscription, item: &Item, mrr_cents: i64) {
        let counts = matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue);
        let (was, counted) = self.mrr.last.get(&item.id).copied().unwrap_or_default();
        if counts || was != mrr_cents {
            self.mrr.last.insert(item.id.clone(), (mrr_cents, counted || counts));
        }
        if was == mrr_cents {
            return;
        }
        // A first invoice that is paid late counts from the start of the period that it pays for.
        let first = !counted && subscription.trial_end.is_none() && item.created == subscription.created;
        let late = first && subscription.period_start == subscription.created;
        let at = if late { subscription.period_start } else { self.now };
        self.mrr.history.push(MrrChange {
            at: super::calendar::timestamp(at),
            customer: subscription.customer.clone(),
            subscription: subscription.id.clone(),
            item: item.id.clone(),
            currency: subscription.currency.clone(),
            mrr_cents,
        });
    }
}
