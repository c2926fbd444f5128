//! Performs a plan on Stripe's twin.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::catalogue::{Coupon, Interval, Price, Product};
use super::plan::{self, Act, Config, Plan, Proration};
use crate::stripe;

/// An act that Stripe refused: the plan and the twin disagree.
#[derive(Debug, thiserror::Error)]
#[error("{name} could not do {act:?} at {at}: {reason}")]
pub struct Mishap {
    pub name: String,
    pub act: Act,
    pub at: Timestamp,
    pub reason: String,
}

/// A life under way.
pub struct Life {
    stripe: stripe::Stripe,
    plan: Plan,
    prices: BTreeMap<Price, String>,
    coupons: BTreeMap<Coupon, String>,
    people: Vec<Ids>,
    /// The first act that is still to come.
    next: usize,
}

/// What Stripe calls somebody.
#[derive(Clone, Debug, Default)]
struct Ids {
    customer: String,
    /// The newest.
    subscription: String,
}

impl Life {
    /// Plans the life and lays down the catalogue. The twin's clock must stand at [`Config::dawn`] or before.
    ///
    /// # Errors
    /// When the twin refuses a product, price or coupon.
    pub fn begin(config: Config, stripe: stripe::Stripe) -> Result<Life, stripe::Error> {
        let plan = plan::plan(config);
        stripe.advance_to(config.dawn());
        let products = products(&stripe);
        let mut prices = BTreeMap::new();
        for price in Price::all() {
            let interval = match price.interval {
                Interval::Month => stripe::Interval::Month,
                Interval::Year => stripe::Interval::Year,
            };
            let id = stripe.create_price(stripe::NewPrice {
                product: products[&price.product].clone(),
                unit_amount: price.unit_cents(),
                currency: price.currency.as_str().to_owned(),
                interval,
                interval_count: 1,
                nickname: Some(price.key()),
            })?;
            prices.insert(price, id);
        }
        let mut coupons = BTreeMap::new();
        for coupon in Coupon::ALL {
            let duration = match coupon {
                Coupon::Forever => stripe::Duration::Forever,
                Coupon::Once => stripe::Duration::Once,
            };
            let id = stripe.create_coupon(stripe::NewCoupon {
                id: Some(coupon.id().to_owned()),
                amount: stripe::Off::Percent(coupon.percent() * 100),
                duration,
            })?;
            coupons.insert(coupon, id);
        }
        let people = vec![Ids::default(); plan.people.len()];
        Ok(Life { stripe, plan, prices, coupons, people, next: 0 })
    }

    /// What is going to happen.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When the next thing happens, be it somebody's act or what falls due by itself.
    pub fn next(&self) -> Option<Timestamp> {
        let act = self.plan.acts.get(self.next).map(|planned| planned.at);
        [act, self.stripe.next_due()].into_iter().flatten().min()
    }

    /// Lives up to midnight of day 0: what the old customers did before anybody listened.
    ///
    /// # Errors
    /// When Stripe refuses an act.
    pub fn past(&mut self) -> Result<(), Mishap> {
        self.until(self.plan.config.start)
    }

    /// Lives one day, to its midnight.
    ///
    /// # Errors
    /// When Stripe refuses an act.
    pub fn day(&mut self, day: u32) -> Result<(), Mishap> {
        self.until(self.plan.config.midnight(i64::from(day) + 1))
    }

    /// Lives up to an instant, which itself is not lived yet.
    ///
    /// # Errors
    /// When Stripe refuses an act.
    pub fn until(&mut self, end: Timestamp) -> Result<(), Mishap> {
        while let Some(planned) = self.plan.acts.get(self.next).filter(|planned| planned.at < end).cloned() {
            self.next += 1;
            self.stripe.advance_to(planned.at);
            self.perform(planned.person, &planned.act).map_err(|reason| Mishap {
                name: self.plan.people[planned.person].name.clone(),
                act: planned.act,
                at: planned.at,
                reason,
            })?;
        }
        self.stripe.advance_to(end);
        Ok(())
    }

    fn perform(&mut self, person: usize, act: &Act) -> Result<(), String> {
        let ids = self.people[person].clone();
        let stripe = &self.stripe;
        match act {
            Act::Appear => {
                let planned = &self.plan.people[person];
                let customer = stripe.create_customer(stripe::NewCustomer {
                    email: Some(planned.email.clone()),
                    name: Some(planned.name.clone()),
                    metadata: BTreeMap::from([("segment".to_owned(), "demo".to_owned())]),
                });
                stripe.set_card(&customer, stripe::Card::Ok).map_err(text)?;
                self.people[person].customer = customer;
            }
            Act::Subscribe { price, seats, trial_days, coupon } => {
                let subscription = stripe.create_subscription(stripe::NewSubscription {
                    customer: ids.customer,
                    items: vec![(self.prices[price].clone(), i64::from(*seats))],
                    trial_days: *trial_days,
                    coupon: coupon.map(|coupon| self.coupons[&coupon].clone()),
                    ..stripe::NewSubscription::default()
                });
                self.people[person].subscription = subscription.map_err(text)?;
            }
            Act::ChangePrice { price, proration } => {
                let price = Some(self.prices[price].clone());
                self.change(&ids, stripe::Change { price, quantity: None, proration: wire(*proration) })?;
            }
            Act::ChangeSeats { seats, proration } => {
                let quantity = Some(i64::from(*seats));
                self.change(&ids, stripe::Change { price: None, quantity, proration: wire(*proration) })?;
            }
            Act::CancelNow => stripe.cancel(&ids.subscription, stripe::Cancel::Now).map_err(text)?,
            Act::CancelAtPeriodEnd => {
                stripe.cancel(&ids.subscription, stripe::Cancel::AtPeriodEnd).map_err(text)?;
            }
            Act::CancelAt => {
                let end = self.subscription(&ids)?.current_period_end;
                stripe.cancel(&ids.subscription, stripe::Cancel::At(end)).map_err(text)?;
            }
            Act::Stay => stripe.undo_cancel(&ids.subscription).map_err(text)?,
            Act::CardFails => stripe.set_card(&ids.customer, stripe::Card::Declines).map_err(text)?,
            Act::CardWorks => stripe.set_card(&ids.customer, stripe::Card::Ok).map_err(text)?,
            Act::Refund => {
                let invoices = stripe.invoices(&ids.customer);
                let newest = invoices.into_iter().rev().find(|invoice| invoice.amount_paid > 0);
                let charge = newest.and_then(|invoice| invoice.charge).ok_or("nothing was paid")?;
                stripe.refund(&charge, None).map_err(text)?;
            }
            Act::Rename { name } => stripe.rename(&ids.customer, name).map_err(text)?,
            Act::Delete => stripe.delete_customer(&ids.customer).map_err(text)?,
        }
        Ok(())
    }

    fn subscription(&self, ids: &Ids) -> Result<stripe::SubscriptionView, String> {
        self.stripe.subscription(&ids.subscription).ok_or_else(|| "no subscription".to_owned())
    }

    fn change(&self, ids: &Ids, change: stripe::Change) -> Result<(), String> {
        let subscription = self.subscription(ids)?;
        let item = subscription.items.first().ok_or("a subscription without items")?;
        self.stripe.change_item(&ids.subscription, &item.id, change).map_err(text)
    }
}

fn products(stripe: &stripe::Stripe) -> BTreeMap<Product, String> {
    Product::ALL.into_iter().map(|product| (product, stripe.create_product(product.title()))).collect()
}

fn wire(proration: Proration) -> stripe::Proration {
    match proration {
        Proration::AtOnce => stripe::Proration::Invoice,
        Proration::NextCycle => stripe::Proration::Create,
    }
}

fn text(error: stripe::Error) -> String {
    error.to_string()
}
