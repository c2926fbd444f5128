//! Coupons applied: which discounts are in force when, and what they take off.

use std::sync::Arc;

use super::calendar::plus_months;
use super::errors::Error;
use super::model::*;
use super::world::{Timer, World};

/// `numerator / denominator`, half away from zero.
pub(super) fn round_ratio(numerator: i128, denominator: i128) -> i64 {
    let half = denominator / 2;
    let rounded =
        if numerator >= 0 { (numerator + half) / denominator } else { (numerator - half) / denominator };
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// What discounts take off amounts, one after the other. A percentage is rounded to whole cents per amount, half
/// up; a fixed amount is spread over the amounts in proportion, the last one taking what rounding leaves.
/// The result names, for each amount, the discounts in order with their cents.
pub(super) fn take_off(discounts: &[Arc<Discount>], amounts: &[i64]) -> Vec<Vec<(Arc<Discount>, i64)>> {
    let mut left: Vec<i64> = amounts.to_vec();
    let mut taken: Vec<Vec<(Arc<Discount>, i64)>> = vec![Vec::new(); amounts.len()];
    for discount in discounts {
        let parts = match &discount.coupon.off {
            Off::Percent(hundredths) => {
                let part = |amount: &i64| {
                    round_ratio(i128::from((*amount).max(0)) * i128::from(*hundredths), 10_000)
                };
                left.iter().map(part).collect()
            }
            Off::Amount(off, _) => spread(*off, &left),
        };
        for (index, part) in parts.into_iter().enumerate() {
            left[index] -= part;
            taken[index].push((Arc::clone(discount), part));
        }
    }
    taken
}

fn spread(off: i64, amounts: &[i64]) -> Vec<i64> {
    let total: i64 = amounts.iter().filter(|amount| **amount > 0).sum();
    let off = off.min(total);
    let last = amounts.iter().rposition(|amount| *amount > 0);
    let mut rest = off;
    let mut parts = vec![0; amounts.len()];
    for (index, amount) in amounts.iter().enumerate().filter(|(_, amount)| **amount > 0) {
        let part = round_ratio(i128::from(off) * i128::from(*amount), i128::from(total)).min(rest);
        parts[index] = if Some(index) == last { rest } else { part };
        rest -= parts[index];
    }
    parts
}

impl World {
    /// A coupon that may be given now.
    pub(super) fn redeemable(&self, id: &str, param: &str) -> Result<Arc<Coupon>, Error> {
        let coupon = self.coupons.get(id).ok_or_else(|| Error::missing_param("coupon", id, param))?;
        if !super::render::coupon_valid(coupon, self.now) {
            return Err(Error::coded("coupon_expired", format!("Coupon expired: {id}")).at(param));
        }
        Ok(Arc::clone(coupon))
    }

    /// Gives a coupon to a customer or to one of its subscriptions.
    pub(super) fn add_discount(
        &mut self,
        coupon: Arc<Coupon>,
        customer: &str,
        subscription: Option<&str>,
    ) -> Arc<Discount> {
        let end = match coupon.duration {
            Duration::Repeating(months) => Some(plus_months(self.now, i64::from(months))),
            Duration::Once | Duration::Forever => None,
        };
        self.coupons.edit(&coupon.id, |coupon| coupon.times_redeemed += 1);
        let discount = self.discounts.insert(Discount {
            id: self.ids.long("di_1"),
            coupon,
            customer: customer.to_owned(),
            subscription: subscription.map(str::to_owned),
            start: self.now,
            end,
        });
        self.tell("customer.discount.created", Arc::clone(&discount));
        if let Some(end) = end {
            self.at(end, Timer::DiscountEnds(discount.id.clone()));
        }
        discount
    }

    /// The discounts an invoice of this moment gets: the subscription's own, else the customer's.
    pub(super) fn discounts_now(&self, subscription: &Subscription) -> Vec<Arc<Discount>> {
        let own = &subscription.discounts;
        let customers =
            || self.customers.get(&subscription.customer).and_then(|customer| customer.discount.clone());
        let all = if own.is_empty() { customers().into_iter().collect() } else { own.clone() };
        all.into_iter().filter(|discount| self.applies(discount, &subscription.currency)).collect()
    }

    fn applies(&self, discount: &Discount, currency: &str) -> bool {
        let fits = match &discount.coupon.off {
            Off::Percent(_) => true,
            Off::Amount(_, of) => of == currency,
        };
        fits && discount.end.is_none_or(|end| self.now < end)
    }

    /// After an invoice was drawn: what was used up or has ended is taken from subscription and customer.
    pub(super) fn spend_discounts(&mut self, used: &[Arc<Discount>]) -> Result<(), Error> {
        for discount in used.iter().filter(|discount| discount.coupon.duration == Duration::Once) {
            self.drop_discount(discount)?;
        }
        Ok(())
    }

    pub(super) fn discount_ends(&mut self, id: &str) -> Result<(), Error> {
        let Some(discount) = self.discounts.get(id).cloned() else { return Ok(()) };
        let given = match &discount.subscription {
            Some(id) => self.subscription(id)?.discounts.iter().any(|kept| kept.id == discount.id),
            None => {
                let customer = self.customers.get(&discount.customer);
                customer
                    .and_then(|customer| customer.discount.as_ref())
                    .is_some_and(|kept| kept.id == discount.id)
            }
        };
        if given { self.drop_discount(&discount) } else { Ok(()) }
    }

    fn drop_discount(&mut self, discount: &Arc<Discount>) -> Result<(), Error> {
        match &discount.subscription {
            Some(id) => {
                self.edit(
                    |world| &mut world.subscriptions,
                    id,
                    |subscription| {
                        subscription.discounts.retain(|kept| kept.id != discount.id);
                    },
                )?;
            }
            None => {
                self.edit(
                    |world| &mut world.customers,
                    &discount.customer,
                    |customer| {
                        customer.discount = customer.discount.take().filter(|kept| kept.id != discount.id);
                    },
                )?;
            }
        }
        self.tell("customer.discount.deleted", Arc::clone(discount));
        Ok(())
    }
}

/// Fixes what each item's period costs under these discounts.
pub(super) fn put_in_force(items: &mut [Item], discounts: &[Arc<Discount>]) {
    let gross: Vec<i64> = items.iter().map(Item::gross).collect();
    for (item, taken) in items.iter_mut().zip(take_off(discounts, &gross)) {
        item.net = item.gross() - taken.iter().map(|(_, cents)| cents).sum::<i64>();
        item.in_force = discounts.to_vec();
    }
}
