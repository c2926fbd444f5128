//! Changes of a subscription in mid-cycle: upgrades, downgrades, seats.
//!
//! A vendor traces a change by proration lines: a credit for the unused time and a charge for the rest of
//! the period, on an invoice or waiting for one. The charge says when, to which price and quantity. A
//! change without proration leaves no line at all; it is seen as a difference between a subscription's
//! present item and the last line told, and dated when it was observed.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::billing::{self, Discount, Status, Subscription};
use crate::ledger::{self, LineType};
use crate::money::{Percent, divide_rounded};

use super::{CHANGE_PREFIX, Observation, Prices, STATE_PREFIX, instant};

pub(super) struct Timeline {
    /// The zero-total invoices that tell changes.
    pub invoices: Vec<ledger::Invoice>,
    /// Items of which the ledger gets at least one subscription line, with their subscription.
    pub revenue_items: BTreeMap<String, String>,
}

/// What an item is worth from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    price: String,
    quantity: i64,
}

/// A traced change: the charge for the rest of the period.
struct Change<'b> {
    item: &'b str,
    subscription: &'b str,
    at: i64,
    until: i64,
    price: &'b str,
    quantity: i64,
    discounts: &'b [Discount],
    amount: i64,
}

pub(super) fn timeline(
    billing: &billing::Snapshot,
    held: &ledger::Snapshot,
    prices: &Prices,
    seen: &Observation,
) -> Result<Timeline, Error> {
    let subscriptions: BTreeMap<&str, &Subscription> =
        billing.subscriptions.iter().map(|s| (s.id.as_str(), s)).collect();
    let mut segments: BTreeMap<&str, BTreeMap<i64, Segment>> = BTreeMap::new();
    let mut revenue_items = BTreeMap::new();
    let regular = regular_lines(billing, &subscriptions);
    for line in &regular {
        let (Some(item), Some(price), Some(subscription)) =
            (&line.subscription_item, &line.price, &line.subscription)
        else {
            continue;
        };
        if line.amount != 0 {
            revenue_items.insert(item.clone(), subscription.clone());
        }
        let segment = Segment { price: price.clone(), quantity: line.quantity.unwrap_or(1) };
        segments.entry(item).or_default().insert(line.period_start, segment);
    }

    let mut invoices = Vec::new();
    for change in traced(billing, &subscriptions) {
        let terms = prices.get(change.price)?;
        if terms.metered {
            continue;
        }
        let known = subscriptions.get(change.subscription).map_or(&[][..], |s| &s.discounts);
        let discounts = resolve(change.discounts, known, &billing.coupons)?;
        let mut amount = recurring_amount(change.price, terms, change.quantity, &discounts)?;
        if discounts.is_empty() && !known.is_empty() {
            let present = resolve(known, &[], &[])?;
            let discounted = recurring_amount(change.price, terms, change.quantity, &present)?;
            amount = closer_to_charge(&change, &regular, amount, discounted);
        }
        if amount != 0 || revenue_items.contains_key(change.item) {
            let id = format!("{CHANGE_PREFIX}{}:{}", change.item, change.at);
            invoices.push(told(&id, &change, amount, &terms.currency)?);
            revenue_items.insert(change.item.to_owned(), change.subscription.to_owned());
        }
        let segment = Segment { price: change.price.to_owned(), quantity: change.quantity };
        segments.entry(change.item).or_default().insert(change.at, segment);
    }

    let observed = Untraced { held, prices, seen };
    for subscription in billing.subscriptions.iter().filter(|s| s.status.is_paying()) {
        invoices.extend(observed.of(subscription, &segments)?);
    }
    Ok(Timeline { invoices, revenue_items })
}

/// Regular (not prorated) lines of invoices that were or will be issued, oldest first.
fn regular_lines<'b>(
    billing: &'b billing::Snapshot,
    subscriptions: &BTreeMap<&str, &Subscription>,
) -> Vec<&'b billing::Line> {
    let mut lines: Vec<_> = billing
        .invoices
        .iter()
        .filter(|i| i.status != Some(billing::InvoiceStatus::Void))
        .filter(|i| !of_unstarted(i.subscription.as_deref(), subscriptions))
        .flat_map(|i| &i.lines)
        .filter(|line| !line.proration)
        .collect();
    lines.sort_by_key(|line| (line.period_start, &line.id));
    lines
}

fn of_unstarted(subscription: Option<&str>, subscriptions: &BTreeMap<&str, &Subscription>) -> bool {
    subscription.and_then(|id| subscriptions.get(id)).is_some_and(|s| s.status.never_started())
}

/// Changes traced by prorations, one for each item and instant, oldest first.
///
/// A change that was followed by another in the same second leaves two charges; the later line wins.
fn traced<'b>(
    billing: &'b billing::Snapshot,
    subscriptions: &BTreeMap<&str, &Subscription>,
) -> Vec<Change<'b>> {
    let invoiced = billing.invoices.iter().flat_map(|i| &i.lines).filter(|line| line.proration).map(|line| {
        let at = (line.period_start, line.period_end);
        (
            &line.subscription_item,
            &line.subscription,
            &line.price,
            line.quantity,
            at,
            &line.discounts,
            line.amount,
        )
    });
    let pending = billing.pending.iter().filter(|item| item.proration).map(|item| {
        let at = (item.period_start, item.period_end);
        (
            &item.subscription_item,
            &item.subscription,
            &item.price,
            item.quantity,
            at,
            &item.discounts,
            item.amount,
        )
    });
    let mut changes = BTreeMap::new();
    for (item, subscription, price, quantity, (at, until), discounts, amount) in invoiced.chain(pending) {
        let (Some(item), Some(subscription), Some(price)) = (item, subscription, price) else { continue };
        if amount < 0 || of_unstarted(Some(subscription), subscriptions) {
            continue; // the credit for the unused time
        }
        let quantity = quantity.unwrap_or(1);
        let change = Change { item, subscription, at, until, price, quantity, discounts, amount };
        let earlier: Option<&Change> = changes.get(&(at, item));
        // A credit for a free plan is 0 and so no charge: any charge above 0 tells the new state.
        if earlier.is_none_or(|earlier| earlier.amount <= amount) {
            changes.insert((at, item), change);
        }
    }
    changes.into_values().collect()
}

/// What a discount takes off, as a share or in cents.
#[derive(Clone, Copy)]
struct Off<'d> {
    id: &'d str,
    percent: Option<&'d serde_json::Number>,
    cents: Option<i64>,
}

/// Bare discount ids take their terms from the subscription's own discounts, or from their coupon.
fn resolve<'d>(
    mentioned: &'d [Discount],
    known: &'d [Discount],
    coupons: &'d [billing::Coupon],
) -> Result<Vec<Off<'d>>, Error> {
    let own = |d: &'d Discount| {
        let told = d.percent_off.is_some() || d.amount_off.is_some();
        told.then_some(Off { id: &d.id, percent: d.percent_off.as_ref(), cents: d.amount_off })
    };
    let of_coupon = |d: &Discount| {
        let coupon = coupons.iter().find(|c| Some(&c.id) == d.coupon.as_ref())?;
        Some(Off { id: &coupon.id, percent: coupon.percent_off.as_ref(), cents: coupon.amount_off })
    };
    mentioned
        .iter()
        .map(|discount| {
            own(discount)
                .or_else(|| known.iter().find(|k| k.id == discount.id).and_then(own))
                .or_else(|| of_coupon(discount))
                .ok_or_else(|| Error {
                    field: "billing.invoices.lines.discounts".into(),
                    detail: format!(
                        "nothing says what discount `{}` takes off: expand it when reading, or pass its coupon",
                        discount.id
                    ),
                })
        })
        .collect()
}

/// Which of two full amounts a change's charge is the share of, going by the period that it ends.
///
/// A charge that names no discounts may still be after the subscription's own: vendors differ by billing mode.
fn closer_to_charge(change: &Change<'_>, regular: &[&billing::Line], full: i64, discounted: i64) -> i64 {
    let period = regular.iter().rev().find(|line| {
        line.subscription_item.as_deref() == Some(change.item)
            && line.period_end == change.until
            && line.period_start <= change.at
    });
    let Some(period) = period.filter(|line| line.period_end > line.period_start) else { return full };
    let rest = i128::from(change.until - change.at);
    let share = |amount: i64| {
        divide_rounded(i128::from(amount) * rest, i128::from(period.period_end - period.period_start))
    };
    let off = |amount: i64| share(amount).abs_diff(change.amount);
    if off(discounted) < off(full) { discounted } else { full }
}

/// The full amount of one period in cents, after discounts.
fn recurring_amount(
    price: &str,
    terms: &super::Terms,
    quantity: i64,
    discounts: &[Off<'_>],
) -> Result<i64, Error> {
    let unit = terms.unit_amount.ok_or_else(|| Error {
        field: format!("billing.prices[{price}].unit_amount"),
        detail: "the price has no amount per unit (tiers or fractions of a cent), so a change to it can't \
                 be told before it is invoiced"
            .into(),
    })?;
    let mut amount = unit.saturating_mul(quantity);
    for discount in discounts {
        let off = match (discount.percent, discount.cents) {
            (Some(percent), _) => Percent::parse(percent)
                .ok_or_else(|| Error {
                    field: format!("billing.discounts[{}].percent_off", discount.id),
                    detail: format!("{percent} is not a percentage between 0 and 100"),
                })?
                .of(amount),
            (None, Some(cents)) => cents.min(amount),
            (None, None) => 0,
        };
        amount -= off;
    }
    Ok(amount)
}

/// The zero-total invoice that tells a change: the new amount, and the same taken back as no revenue.
fn told(id: &str, change: &Change<'_>, amount: i64, currency: &str) -> Result<ledger::Invoice, Error> {
    let revenue = ledger::Line {
        r#type: LineType::Subscription,
        external_id: format!("{id}:revenue"),
        subscription_external_id: Some(change.item.to_owned()),
        subscription_set_external_id: Some(change.subscription.to_owned()),
        plan: Some(change.price.to_owned()),
        service_period_start: Some(instant(change.at)?),
        service_period_end: Some(instant(change.until)?),
        description: None,
        amount_in_cents: amount,
        quantity: change.quantity,
        discount_amount_in_cents: 0,
        tax_amount_in_cents: 0,
    };
    let mut line_items = vec![revenue];
    if amount != 0 {
        line_items.push(ledger::Line {
            r#type: LineType::OneTime,
            external_id: format!("{id}:balance"),
            subscription_external_id: None,
            subscription_set_external_id: None,
            plan: None,
            service_period_start: None,
            service_period_end: None,
            description: Some("Balances the changed subscription; the vendor's invoice has the cash".into()),
            amount_in_cents: -amount,
            quantity: 1,
            discount_amount_in_cents: 0,
            tax_amount_in_cents: 0,
        });
    }
    Ok(ledger::Invoice {
        external_id: id.to_owned(),
        date: instant(change.at)?,
        currency: currency.to_uppercase(),
        due_date: None,
        line_items,
        transactions: Vec::new(),
    })
}

/// Finds changes that left no trace but their result.
struct Untraced<'a> {
    held: &'a ledger::Snapshot,
    prices: &'a Prices,
    seen: &'a Observation,
}

impl Untraced<'_> {
    fn of(
        &self,
        subscription: &Subscription,
        segments: &BTreeMap<&str, BTreeMap<i64, Segment>>,
    ) -> Result<Vec<ledger::Invoice>, Error> {
        let mut invoices = Vec::new();
        if subscription.status == Status::Trialing || !self.seen.stable {
            return Ok(invoices);
        }
        for item in &subscription.items {
            let Some((&last_at, last)) = segments.get(item.id.as_str()).and_then(|s| s.last_key_value())
            else {
                continue; // nothing was invoiced yet: the first invoice will tell
            };
            let present = Segment { price: item.price.clone(), quantity: item.quantity.unwrap_or(1) };
            let terms = self.prices.get(&item.price)?;
            if terms.metered || *last == present || self.told_since(&item.id, last_at, &present) {
                continue;
            }
            let at = self.seen.as_of.max(last_at + 1);
            let discounts = resolve(&subscription.discounts, &[], &[])?;
            let amount = recurring_amount(&item.price, terms, present.quantity, &discounts)?;
            let change = Change {
                item: &item.id,
                subscription: &subscription.id,
                at,
                until: item.current_period_end.max(at),
                price: &item.price,
                quantity: present.quantity,
                discounts: &[],
                amount,
            };
            invoices.push(told(
                &format!("{STATE_PREFIX}{}:{at}", item.id),
                &change,
                amount,
                &terms.currency,
            )?);
        }
        Ok(invoices)
    }

    /// Whether the newest observation in the ledger after the last line tells the present state.
    fn told_since(&self, item: &str, last_at: i64, present: &Segment) -> bool {
        let prefix = format!("{STATE_PREFIX}{item}:");
        let newest = self
            .held
            .invoices
            .iter()
            .filter_map(|i| Some((i.external_id.strip_prefix(&prefix)?.parse::<i64>().ok()?, i)))
            .filter(|(at, _)| *at > last_at)
            .max_by_key(|(at, _)| *at);
        let plans: BTreeSet<&str> = self
            .held
            .plans
            .iter()
            .filter(|p| p.external_id.as_deref() == Some(&present.price))
            .map(|p| p.uuid.as_str())
            .collect();
        newest.is_some_and(|(_, invoice)| {
            invoice.line_items.iter().any(|line| {
                line.r#type == LineType::Subscription.as_str()
                    && line.plan_uuid.as_deref().is_some_and(|uuid| plans.contains(uuid))
                    && line.quantity.unwrap_or(1) == present.quantity
            })
        })
    }
}
