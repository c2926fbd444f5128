//! The truth about a life: MRR by day, by currency and per customer, and the movements that explain it.
//!
//! It is computed from the states that subscriptions had on Stripe's twin ([`crate::stripe::MrrChange`]), under
//! ChartMogul's published definition, and never from what was sent anywhere. What was sent is in
//! [`crate::chartmogul`], whose arithmetic is its own: two accounts that must agree.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::stripe::MrrChange;

/// Cents by currency, in lower-case codes; no zeros.
pub type Amounts = BTreeMap<String, i64>;

/// Fixed rates into one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The account's currency, in lower case.
    pub account: String,
    /// One unit of the currency is worth numerator ÷ denominator units of the account's.
    pub table: BTreeMap<String, (i64, i64)>,
}

impl Default for Rates {
    /// US dollars; 1 EUR = 1.10 USD throughout.
    fn default() -> Rates {
        Rates { account: "usd".to_owned(), table: BTreeMap::from([("eur".to_owned(), (110, 100))]) }
    }
}

impl Rates {
    /// Cents of the account's currency, each currency rounded half away from zero for itself.
    ///
    /// # Panics
    /// On a currency without a rate: a sum without it would be silently wrong.
    pub fn total(&self, amounts: &Amounts) -> i64 {
        amounts.iter().map(|(currency, cents)| self.convert(currency, *cents)).sum()
    }

    fn convert(&self, currency: &str, cents: i64) -> i64 {
        if currency == self.account {
            return cents;
        }
        let Some((numerator, denominator)) = self.table.get(currency) else {
            panic!("no rate for {currency:?}");
        };
        let product = i128::from(cents) * i128::from(*numerator);
        let (doubled, denominator) = (2 * product.abs(), i128::from(*denominator));
        let rounded = (doubled + denominator) / (2 * denominator) * product.signum();
        i64::try_from(rounded).unwrap_or(i64::MAX)
    }
}

/// Why a customer's MRR changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    NewBusiness,
    Expansion,
    Contraction,
    Churn,
    Reactivation,
}

impl Kind {
    /// Every kind, in the usual order of reports.
    pub const ALL: [Kind; 5] =
        [Kind::NewBusiness, Kind::Expansion, Kind::Contraction, Kind::Churn, Kind::Reactivation];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NewBusiness => "new_business",
            Kind::Expansion => "expansion",
            Kind::Contraction => "contraction",
            Kind::Churn => "churn",
            Kind::Reactivation => "reactivation",
        }
    }
}

/// Cents of the account's currency by kind of movement; churn and contraction are negative, no zeros.
pub type Movements = BTreeMap<Kind, i64>;

/// From `at` on the customer's MRR is `amounts`, netted over its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Timestamp,
    pub amounts: Amounts,
}

/// One movement of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub at: Timestamp,
    pub customer: String,
    pub kind: Kind,
    /// In cents of the account's currency.
    pub cents: i64,
}

/// One day's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// At the day's end.
    pub mrr: Amounts,
    /// At the day's end, in cents of the account's currency: each customer's MRR converted for itself.
    pub total: i64,
    /// Within the day.
    pub movements: Movements,
}

/// The history of everybody's MRR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    pub rates: Rates,
    /// By Stripe's customer id; in order of time, one step per instant, each different from the one before.
    pub customers: BTreeMap<String, Vec<Step>>,
}

impl Truth {
    /// The truth of a history in which each entry sets one subscription item's MRR.
    pub fn new(history: &[MrrChange], rates: Rates) -> Truth {
        let mut items: BTreeMap<&str, Amounts> = BTreeMap::new();
        let mut customers: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        let mut ordered: Vec<&MrrChange> = history.iter().collect();
        ordered.sort_by_key(|change| change.at);
        for change in ordered {
            let currency = change.currency.to_ascii_lowercase();
            let item = items.entry(&change.item).or_default();
            let before = item.insert(currency.clone(), change.mrr_cents).unwrap_or_default();
            let steps = customers.entry(change.customer.clone()).or_default();
            let mut amounts = steps.last().map(|step| step.amounts.clone()).unwrap_or_default();
            add(&mut amounts, &currency, change.mrr_cents - before);
            push(steps, Step { at: change.at, amounts });
        }
        Truth { rates, customers }
    }

    /// A customer's MRR at an instant, in each currency; what begins at that instant counts.
    pub fn at(&self, customer: &str, instant: Timestamp) -> Amounts {
        let Some(steps) = self.customers.get(customer) else { return Amounts::new() };
        let after = steps.partition_point(|step| step.at <= instant);
        after.checked_sub(1).map(|index| steps[index].amounts.clone()).unwrap_or_default()
    }

    /// Every movement, in order of time.
    pub fn movements(&self) -> Vec<Movement> {
        let mut all = Vec::new();
        for (customer, steps) in &self.customers {
            let (mut before, mut was_subscribed) = (0, false);
            for step in steps {
                let after = self.rates.total(&step.amounts);
                let kind = match (before > 0, after > 0) {
                    (false, true) if was_subscribed => Kind::Reactivation,
                    (false, true) => Kind::NewBusiness,
                    (true, false) => Kind::Churn,
                    _ if after >= before => Kind::Expansion,
                    _ => Kind::Contraction,
                };
                all.push(Movement { at: step.at, customer: customer.clone(), kind, cents: after - before });
                was_subscribed |= after > 0;
                before = after;
            }
        }
        all.sort_by(|one, other| one.at.cmp(&other.at).then_with(|| one.customer.cmp(&other.customer)));
        all
    }

    /// The account of each span between neighbouring `borders` (days: one midnight more than days). A span has
    /// its beginning and not its end.
    pub fn days(&self, borders: &[Timestamp]) -> Vec<Day> {
        let spans = borders.windows(2);
        let mut days: Vec<Day> = spans.clone().map(|_| Day::default()).collect();
        for (day, span) in days.iter_mut().zip(spans) {
            for steps in self.customers.values() {
                let after = steps.partition_point(|step| step.at < span[1]);
                let Some(step) = after.checked_sub(1).map(|index| &steps[index]) else { continue };
                day.total += self.rates.total(&step.amounts);
                for (currency, cents) in &step.amounts {
                    add(&mut day.mrr, currency, *cents);
                }
            }
        }
        for movement in self.movements() {
            let after = borders.partition_point(|border| *border <= movement.at);
            if let Some(day) = after.checked_sub(1).and_then(|index| days.get_mut(index)) {
                *day.movements.entry(movement.kind).or_default() += movement.cents;
            }
        }
        for day in &mut days {
            day.movements.retain(|_, cents| *cents != 0);
        }
        days
    }
}

/// The sum of several days' movements.
pub fn sum(days: &[Day]) -> Movements {
    let mut total = Movements::new();
    for (kind, cents) in days.iter().flat_map(|day| &day.movements) {
        *total.entry(*kind).or_default() += cents;
    }
    total
}

/// Several changes at one instant are one step; what changes nothing is none.
fn push(steps: &mut Vec<Step>, step: Step) {
    if steps.last().is_some_and(|last| last.at == step.at) {
        steps.pop();
    }
    let unchanged = match steps.last() {
        Some(last) => last.amounts == step.amounts,
        None => step.amounts.is_empty(),
    };
    if !unchanged {
        steps.push(step);
    }
}

fn add(amounts: &mut Amounts, currency: &str, cents: i64) {
    let sum = amounts.get(currency).copied().unwrap_or_default() + cents;
    if sum == 0 {
        amounts.remove(currency);
    } else {
        amounts.insert(currency.to_owned(), sum);
    }
}
