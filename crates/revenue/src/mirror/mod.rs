//! Converges an invoice-based analytics ledger on what a billing system says of one customer.
//!
//! [`plan`] compares both sides and answers what to write; a second plan after those writes is empty.
//! Two kinds of facts are kept apart, so that monthly recurring revenue is exact to the cent *and* cash
//! totals equal the vendor's:
//!
//! - **Invoices** are mirrored one to one ([`invoices`]). Their regular subscription lines carry MRR;
//!   their proration lines are cash only (`one_time`), since a prorated amount is rounded to cents and the
//!   ledger would multiply that rounding by up to the number of hours in a month.
//! - **Changes** in mid-cycle ([`changes`]) are told by a zero-total invoice of their own, dated at the
//!   change: a subscription line with the full new recurring amount, and a one-time line that takes it back.
//!
//! Which fact becomes which record is tabled, with sources, in `docs/reference/stripe-to-chartmogul.md`.

mod cancellations;
mod changes;
mod compare;
mod invoices;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Error;
use crate::billing::{self, Interval};
use crate::ledger;

/// Prefix of the external ids of invoices that tell a change which the vendor prorated.
pub const CHANGE_PREFIX: &str = "change:";
/// Prefix of the external ids of invoices that tell a change of which only the result was seen.
pub const STATE_PREFIX: &str = "state:";

/// When and how surely the billing side was read.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// The instant at which a change that left no trace is taken to have happened, unix seconds.
    pub as_of: i64,
    /// Whether subscriptions read before and after the rest were equal, so that a difference
    /// between a subscription and its lines is a fact and not a race.
    pub stable: bool,
}

/// What to write to the ledger, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub plans: Vec<NewPlan>,
    pub remove: Vec<Removal>,
    pub invoices: Vec<ledger::Invoice>,
    pub transactions: Vec<NewTransaction>,
    pub cancellations: Vec<Cancellation>,
    /// Start of the first free trial, RFC 3339.
    pub free_trial_started_at: Option<String>,
    /// Whether the ledger already agrees.
    pub unchanged: bool,
}

/// A plan that the ledger lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewPlan {
    pub external_id: String,
    pub interval_count: u32,
    pub interval_unit: Interval,
}

/// An invoice that the ledger holds and should not, or not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    pub uuid: String,
    pub external_id: String,
    pub reason: &'static str,
}

/// A payment or refund of an invoice that the ledger already holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTransaction {
    pub invoice_uuid: String,
    #[serde(flatten)]
    pub transaction: ledger::Transaction,
}

/// The cancellation dates that a subscription of the ledger should have: one, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    pub subscription_external_id: String,
    pub cancellation_dates: Vec<String>,
}

/// Compares a customer's billing with the ledger and says what to write.
///
/// Errors name the field that is missing or that can't be carried over, such as a tiered price.
pub fn plan(billing: &billing::Snapshot, held: &ledger::Snapshot, seen: &Observation) -> Result<Plan, Error> {
    let prices = Prices::of(billing)?;
    let mut desired = invoices::mirror(billing, &prices)?;
    let timeline = changes::timeline(billing, held, &prices, seen)?;
    desired.extend(timeline.invoices);

    let mut plan = compare::invoices(&desired, held);
    plan.cancellations = cancellations::differing(billing, &timeline.revenue_items, held, seen);
    plan.plans = missing_plans(&plan.invoices, held, &prices)?;
    plan.free_trial_started_at =
        billing.subscriptions.iter().filter_map(|s| s.trial_start).min().map(instant).transpose()?;
    plan.unchanged = plan.plans.is_empty()
        && plan.remove.is_empty()
        && plan.invoices.is_empty()
        && plan.transactions.is_empty()
        && plan.cancellations.is_empty();
    Ok(plan)
}

/// A recurring or one-off price as far as the ledger needs it.
#[derive(Debug, Clone)]
struct Terms {
    unit_amount: Option<i64>,
    currency: String,
    every: Option<(u32, Interval)>,
    metered: bool,
}

/// Every price that the snapshot mentions, by id.
struct Prices(BTreeMap<String, Terms>);

impl Prices {
    fn of(billing: &billing::Snapshot) -> Result<Prices, Error> {
        let mut prices = BTreeMap::new();
        for price in &billing.prices {
            let every = price.interval.map(|unit| (price.interval_count.unwrap_or(1), unit));
            let metered = price.usage_type == Some(billing::UsageType::Metered);
            let terms =
                Terms { unit_amount: price.unit_amount, currency: price.currency.clone(), every, metered };
            prices.insert(price.id.clone(), terms);
        }
        for item in billing.subscriptions.iter().flat_map(|s| &s.items) {
            if item.interval_count == 0 {
                return Err(Error {
                    field: format!("billing.subscriptions.items[{}].interval_count", item.id),
                    detail: "a recurring price repeats every 1 or more intervals, not 0".into(),
                });
            }
            let terms = Terms {
                unit_amount: item.unit_amount,
                currency: item.currency.clone(),
                every: Some((item.interval_count, item.interval)),
                metered: item.usage_type == billing::UsageType::Metered,
            };
            prices.insert(item.price.clone(), terms);
        }
        Ok(Prices(prices))
    }

    fn get(&self, id: &str) -> Result<&Terms, Error> {
        self.0.get(id).ok_or_else(|| Error {
            field: "billing.prices".into(),
            detail: format!("price `{id}` is mentioned by a line but was not read; retrieve it and pass it"),
        })
    }
}

fn missing_plans(
    invoices: &[ledger::Invoice],
    held: &ledger::Snapshot,
    prices: &Prices,
) -> Result<Vec<NewPlan>, Error> {
    let known: BTreeSet<&str> = held.plans.iter().filter_map(|p| p.external_id.as_deref()).collect();
    let needed: BTreeSet<&str> =
        invoices.iter().flat_map(|i| &i.line_items).filter_map(|line| line.plan.as_deref()).collect();
    needed
        .difference(&known)
        .map(|id| {
            let (interval_count, interval_unit) = prices.get(id)?.every.ok_or_else(|| Error {
                field: "billing.prices".into(),
                detail: format!("price `{id}` is of a subscription line but does not recur"),
            })?;
            let (interval_count, interval_unit) = match interval_unit {
                // The ledger knows days, months and years.
                Interval::Week => (interval_count * 7, Interval::Day),
                unit => (interval_count, unit),
            };
            Ok(NewPlan { external_id: (*id).to_owned(), interval_count, interval_unit })
        })
        .collect()
}

/// Unix seconds as RFC 3339 in UTC, the form in which the ledger takes times.
fn instant(seconds: i64) -> Result<String, Error> {
    jiff::Timestamp::from_second(seconds)
        .map(|t| t.to_string())
        .map_err(|e| Error { field: "time".into(), detail: format!("{seconds} is no time: {e}") })
}
