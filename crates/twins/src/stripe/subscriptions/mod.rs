//! Subscriptions: how they begin, turn, change and end.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | – | created; first invoice paid or free | active |
//! | – | created with a trial | trialing |
//! | – | created; first invoice not paid | incomplete |
//! | incomplete | first invoice paid | active |
//! | incomplete | 23 hours pass, or the first invoice is voided | incomplete_expired |
//! | trialing | trial ends | active, or canceled without a card where so set |
//! | active | an invoice is not paid | past_due |
//! | past_due, unpaid | nothing is owed any more | active |
//! | past_due | last retry fails | canceled, unpaid or past_due, by setting |
//! | any of these | canceled; period end with cancellation set; customer deleted | canceled |

pub(super) mod cancel;
pub(super) mod create;
pub(super) mod cycle;
pub(super) mod items;
pub(super) mod update;
pub(super) mod wire;

use std::sync::Arc;

use super::calendar::DAY;
use super::errors::Error;
use super::model::*;
use super::table::Change;
use super::world::{Timer, World};

/// `invoice.upcoming` comes this long before a renewal.
const UPCOMING_DAYS: i64 = 7;
/// `customer.subscription.trial_will_end` comes this long before the end of a trial.
const TRIAL_NOTICE_DAYS: i64 = 3;

/// What to do when the first payment, or the payment for a change, does not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    /// `allow_incomplete`
    Allow,
    /// `default_incomplete`: no attempt is made.
    Defer,
    /// `error_if_incomplete`: nothing happens.
    Refuse,
}

impl Behavior {
    pub(super) fn parse(word: &str) -> Option<Behavior> {
        Some(match word {
            "allow_incomplete" => Behavior::Allow,
            "default_incomplete" => Behavior::Defer,
            "error_if_incomplete" => Behavior::Refuse,
            _ => return None,
        })
    }
}

/// A coupon to give, or a discount to keep.
#[derive(Clone, Debug)]
pub(super) enum Grant {
    Coupon(String),
    Keep(String),
}

impl World {
    /// Sets what is due in the period a subscription has just entered.
    fn set_period_timers(&mut self, subscription: &Subscription) {
        self.at(subscription.period_end, Timer::PeriodEnd(subscription.id.clone()));
        let notice = subscription.period_end - UPCOMING_DAYS * DAY;
        if notice > subscription.period_start.max(self.now) {
            self.at(notice, Timer::Upcoming(subscription.id.clone()));
        }
    }

    fn set_trial_timer(&mut self, subscription: &Subscription) {
        if let Some(end) = subscription.trial_end.filter(|end| *end > self.now) {
            let notice = (end - TRIAL_NOTICE_DAYS * DAY).max(self.now);
            self.at(notice, Timer::TrialWillEnd(subscription.id.clone()));
        }
    }

    /// Tells what changed since `before`, and notes the MRR.
    fn subscription_changed(&mut self, before: Arc<Subscription>) -> Result<Arc<Subscription>, Error> {
        let after = self.subscription(&before.id)?;
        let id = before.id.clone();
        self.tell_change("customer.subscription.updated", &Change { before, after: Arc::clone(&after) });
        self.note_mrr(&id)?;
        Ok(after)
    }

    fn edit_subscription(&mut self, id: &str, change: impl FnOnce(&mut Subscription)) -> Result<(), Error> {
        self.edit(|world| &mut world.subscriptions, id, change).map(drop)
    }

    /// Changes only the status, if it is another one.
    pub(super) fn set_status(&mut self, id: &str, status: SubscriptionStatus) -> Result<(), Error> {
        let before = self.subscription(id)?;
        self.edit_subscription(id, |subscription| subscription.status = status)?;
        self.subscription_changed(before).map(drop)
    }

    /// The card that pays a subscription's invoices.
    pub(super) fn paying_card(&self, subscription: &Subscription) -> Option<String> {
        let customer = self.customers.get(&subscription.customer)?;
        subscription.default_payment_method.clone().or_else(|| self.default_card(customer))
    }

    /// Turns grants into discounts of a subscription.
    fn grant(
        &mut self,
        grants: &[Grant],
        customer: &str,
        subscription: &str,
        had: &[Arc<Discount>],
    ) -> Result<Vec<Arc<Discount>>, Error> {
        let mut discounts = Vec::with_capacity(grants.len());
        for grant in grants {
            discounts.push(match grant {
                Grant::Keep(id) => had
                    .iter()
                    .find(|discount| discount.id == *id)
                    .cloned()
                    .ok_or_else(|| Error::missing_param("discount", id, "discounts"))?,
                Grant::Coupon(id) => {
                    let coupon = self.redeemable(id, "coupon")?;
                    // The same coupon given again goes on as it is.
                    match had.iter().find(|discount| discount.coupon.id == *id) {
                        Some(discount) => Arc::clone(discount),
                        None => self.add_discount(coupon, customer, Some(subscription)),
                    }
                }
            });
        }
        Ok(discounts)
    }
}
