//! The truth as ChartMogul has it: MRR by day, movements, customers.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::fx::{Kind, Movement, movements};
use super::mrr::{self, Amounts, Step};
use super::state::State;
use super::time;

/// Cents by currency code.
pub type Cents = BTreeMap<String, i64>;

/// MRR over a span of time. Days are UTC. What happens at `from` or at `to` itself is in. A day's MRR is the MRR
/// at its end, of the last day the MRR at `to`.
///
/// Amounts "in the account's currency" are converted customer by customer and rounded half away from zero, so that
/// movements add up to the MRR to the cent in the account's currency too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The account's currency.
    pub currency: String,
    /// MRR just before `from`.
    pub opening: Day,
    pub days: Vec<Day>,
    /// The sum of all days' movements.
    pub movements: Movements,
    /// MRR at `to` by customer (external id of its first data source), then by currency; customers without MRR
    /// are there with an empty map.
    pub customers: BTreeMap<String, Cents>,
}

/// One day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    pub date: Date,
    /// By currency, in its own cents.
    pub mrr: Cents,
    /// In the account's currency.
    pub total_cents: i64,
    pub movements: Movements,
}

/// Movements by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Movements {
    /// `new_business` … → cents of the account's currency; churn and contraction are negative. All five are there.
    pub total_cents: Cents,
    /// The same by currency, in its own cents: currency → kind → cents.
    pub by_currency: BTreeMap<String, Cents>,
}

impl Movements {
    fn none() -> Movements {
        let total_cents = Kind::ALL.iter().map(|kind| (kind.as_str().to_owned(), 0)).collect();
        Movements { total_cents, by_currency: BTreeMap::new() }
    }

    fn add(&mut self, movement: &Movement) {
        let kind = movement.kind.as_str();
        *self.total_cents.entry(kind.to_owned()).or_default() += movement.account_change;
        for (currency, cents) in &movement.change {
            let kinds = self.by_currency.entry(currency.to_string()).or_default();
            *kinds.entry(kind.to_owned()).or_default() += cents;
        }
    }
}

/// What all customers have together, at an instant.
fn together(
    histories: &[Vec<Step>],
    state: &State,
    at: impl Fn(&[Step]) -> Option<&Amounts>,
) -> (Cents, i64) {
    let mut by_currency = Cents::new();
    let mut total = 0;
    for amounts in histories.iter().filter_map(|history| at(history)) {
        total += state.fx.total(amounts);
        for (currency, cents) in amounts {
            *by_currency.entry(currency.to_string()).or_default() += cents;
        }
    }
    (by_currency, total)
}

/// The MRR before an instant: what begins at it does not count.
fn before(history: &[Step], instant: Timestamp) -> Option<&Amounts> {
    let after = history.partition_point(|step| step.at < instant);
    after.checked_sub(1).map(|index| &history[index].amounts)
}

pub fn of(state: &State, from: Timestamp, to: Timestamp) -> Report {
    let customers: Vec<_> = state.customers.iter().map(|(_, customer)| customer).collect();
    let histories: Vec<Vec<Step>> = customers.iter().map(|customer| state.history(customer)).collect();

    let mut by_day: BTreeMap<Date, Movements> = BTreeMap::new();
    let mut movements_total = Movements::none();
    for history in &histories {
        let all = movements(history, &state.fx);
        for movement in all.iter().filter(|movement| from <= movement.at && movement.at <= to) {
            by_day.entry(time::date(movement.at)).or_insert_with(Movements::none).add(movement);
            movements_total.add(movement);
        }
    }

    let (first, last) = (time::date(from), time::date(to));
    let (mrr, total_cents) = together(&histories, state, |history| before(history, from));
    let opening = Day { date: first, mrr, total_cents, movements: Movements::none() };
    let day = |date: Date| {
        let (mrr, total_cents) = if date == last {
            together(&histories, state, |history| mrr::at(history, to))
        } else {
            let end = time::midnight(date.saturating_add(1.day()));
            together(&histories, state, |history| before(history, end))
        };
        let movements = by_day.get(&date).cloned().unwrap_or_else(Movements::none);
        Day { date, mrr, total_cents, movements }
    };
    let days = first.series(1.day()).take_while(|date| *date <= last).map(day).collect();

    let at_end = |history: &[Step]| -> Cents {
        let amounts = mrr::at(history, to).cloned().unwrap_or_default();
        amounts.into_iter().map(|(currency, cents)| (currency.to_string(), cents)).collect()
    };
    let ends = customers.iter().zip(&histories);
    Report {
        currency: state.fx.account().to_string(),
        opening,
        days,
        movements: movements_total,
        customers: ends.map(|(row, history)| (row.primary().1.to_owned(), at_end(history))).collect(),
    }
}
