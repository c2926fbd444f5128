//! `/metrics/…`: figures per interval, in cents of the account's currency, and their summary.
//!
//! Rules read off recorded answers: ARR is twelve times MRR; ARPA, ASP and LTV are cut to whole cents; rates are
//! percent with two digits; net MRR churn is (churn + contraction − expansion − reactivation) over the MRR at the
//! interval's start; LTV is ARPA over the interval's customer churn rate; a change is relative to the size of the
//! figure before. Not recorded: LTV without churn, which is 0 here.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use super::fx::{Kind, Movement, movements};
use super::input::Query;
use super::model::Customer;
use super::mrr::{self, Step, divide_rounded};
use super::reply::{self, Reply};
use super::state::State;
use super::table::Seq;
use super::time;
use crate::wire::Response;

/// Intervals one answer may have at most.
const ENTRIES_MAX: usize = 4000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Metric {
    Mrr,
    Arr,
    CustomerChurnRate,
    MrrChurnRate,
    Ltv,
    Customers,
    Asp,
    Arpa,
}

impl Metric {
    /// In the order of `/metrics/all`.
    const ALL: [Metric; 8] = [
        Metric::Mrr,
        Metric::Arr,
        Metric::CustomerChurnRate,
        Metric::MrrChurnRate,
        Metric::Ltv,
        Metric::Customers,
        Metric::Asp,
        Metric::Arpa,
    ];

    fn key(self) -> &'static str {
        match self {
            Metric::Mrr => "mrr",
            Metric::Arr => "arr",
            Metric::CustomerChurnRate => "customer-churn-rate",
            Metric::MrrChurnRate => "mrr-churn-rate",
            Metric::Ltv => "ltv",
            Metric::Customers => "customers",
            Metric::Asp => "asp",
            Metric::Arpa => "arpa",
        }
    }

    fn of_path(segment: &str) -> Option<Metric> {
        match segment {
            "customer-count" => Some(Metric::Customers),
            "customers" => None,
            _ => Metric::ALL.into_iter().find(|metric| metric.key() == segment),
        }
    }
}

/// A figure: whole, or in hundredths of a percent.
#[derive(Clone, Copy)]
enum Figure {
    Whole(i64),
    Percent(i64),
}

impl Figure {
    fn size(self) -> i64 {
        match self {
            Figure::Whole(size) | Figure::Percent(size) => size,
        }
    }

    fn json(self) -> Value {
        match self {
            Figure::Whole(size) => json!(size),
            Figure::Percent(hundredths) => json!(hundredths_as_float(hundredths)),
        }
    }

    /// In hundredths of a percent of the figure before.
    fn change_from(self, before: Figure) -> i64 {
        if before.size() == 0 {
            return 0;
        }
        let change = i128::from(self.size()) - i128::from(before.size());
        divide_rounded(change * 10_000, i128::from(before.size()).abs())
    }
}

fn hundredths_as_float(hundredths: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "percentages are far below 2^53")]
    let float = hundredths as f64;
    float / 100.0
}

fn percent(part: i64, whole: i64) -> i64 {
    if whole == 0 { 0 } else { divide_rounded(i128::from(part) * 10_000, i128::from(whole)) }
}

/// What is measured: the customers that pass the filters.
struct World {
    histories: Vec<Vec<Step>>,
    movements: Vec<Vec<Movement>>,
}

impl World {
    /// `plans` keeps the subscriptions on one of those plans, `geo` the customers of those countries.
    fn of(state: &State, query: &Query) -> World {
        let list = |name: &str| -> Option<Vec<String>> {
            query.get(name).map(|text| text.split(',').map(|part| part.trim().to_owned()).collect())
        };
        let (plans, countries) = (list("plans"), list("geo"));
        let on_plan = |seq: Seq| {
            let plan = state.subscriptions.get(seq).and_then(|row| state.plans.get(row.plan));
            plans.as_ref().is_none_or(|wanted| {
                plan.is_some_and(|plan| wanted.contains(&plan.uuid) || wanted.contains(&plan.name))
            })
        };
        let in_country = |customer: &Customer| {
            let country = customer.country.as_ref();
            countries.as_ref().is_none_or(|wanted| country.is_some_and(|country| wanted.contains(country)))
        };
        let customers = state.customers.iter().map(|(_, customer)| customer);
        let histories: Vec<Vec<Step>> = customers
            .filter(|customer| in_country(customer))
            .map(|customer| {
                let mut each = state.subscription_histories(customer);
                each.retain(|seq, _| on_plan(*seq));
                mrr::sum(each.values().map(Vec::as_slice))
            })
            .collect();
        let movements = histories.iter().map(|history| movements(history, &state.fx)).collect();
        World { histories, movements }
    }

    /// Customers and MRR just before an instant.
    fn standing(&self, state: &State, before: Timestamp) -> (i64, i64) {
        let mut standing = (0, 0);
        for history in &self.histories {
            let after = history.partition_point(|step| step.at < before);
            let amounts = after.checked_sub(1).map(|index| &history[index].amounts);
            let mrr = amounts.map_or(0, |amounts| state.fx.total(amounts));
            standing.0 += i64::from(mrr > 0);
            standing.1 += mrr;
        }
        standing
    }

    /// How many movements of a kind there were in `[from, to)`, and their sum.
    fn moved(&self, kind: Kind, from: Timestamp, to: Timestamp) -> (i64, i64) {
        let all = self.movements.iter().flatten();
        let within = all.filter(|one| one.kind == kind && from <= one.at && one.at < to);
        within.fold((0, 0), |(count, sum), one| (count + 1, sum + one.account_change))
    }

    fn figure(&self, state: &State, metric: Metric, from: Timestamp, to: Timestamp) -> Figure {
        let sum = |kind| self.moved(kind, from, to).1;
        let (customers, mrr) = self.standing(state, to);
        let arpa = if customers == 0 { 0 } else { mrr / customers };
        let churned = || percent(self.moved(Kind::Churn, from, to).0, self.standing(state, from).0);
        match metric {
            Metric::Mrr => Figure::Whole(mrr),
            Metric::Arr => Figure::Whole(mrr * 12),
            Metric::Customers => Figure::Whole(customers),
            Metric::Arpa => Figure::Whole(arpa),
            Metric::Asp => {
                let (count, sum) = self.moved(Kind::NewBusiness, from, to);
                Figure::Whole(if count == 0 { 0 } else { sum / count })
            }
            Metric::CustomerChurnRate => Figure::Percent(churned()),
            Metric::MrrChurnRate => {
                let kinds = [Kind::Churn, Kind::Contraction, Kind::Expansion, Kind::Reactivation];
                let net: i64 = kinds.into_iter().map(sum).sum();
                Figure::Percent(percent(-net, self.standing(state, from).1))
            }
            Metric::Ltv => {
                let rate = churned();
                Figure::Whole(if rate == 0 { 0 } else { arpa * 10_000 / rate })
            }
        }
    }
}

/// The intervals from `start-date` to `end-date`; the last one ends with the end date.
fn intervals(query: &Query) -> Result<Vec<(Date, Date)>, Response> {
    let date = |name: &'static str| {
        let read = query.get(name).and_then(time::parse).map(time::date);
        read.ok_or_else(|| reply::coded(422, &format!("{name} is missing or invalid"), Some(name)))
    };
    let (start, end) = (date("start-date")?, date("end-date")?);
    if end < start {
        return Err(reply::coded(422, "end-date must be after start-date", Some("end-date")));
    }
    let interval = query.get("interval").unwrap_or("month");
    let last_of = |date: Date| match interval {
        "day" => Ok(date),
        "week" => Ok(end_of_week(date)),
        "month" => Ok(date.last_of_month()),
        "quarter" => Ok(end_of_quarter(date)),
        "year" => Ok(date.last_of_year()),
        _ => Err(reply::coded(422, "interval must be day, week, month, quarter or year", Some("interval"))),
    };
    let mut found = Vec::new();
    let mut from = start;
    while from <= end {
        let to = last_of(from)?.min(end);
        found.push((from, to));
        if found.len() > ENTRIES_MAX {
            return Err(reply::coded(422, "the range has too many intervals", Some("start-date")));
        }
        from = to.saturating_add(1.day());
    }
    Ok(found)
}

/// The Sunday of the week, whatever the account says of its weeks.
fn end_of_week(date: Date) -> Date {
    let days = 7 - date.weekday().to_monday_one_offset();
    date.saturating_add(i64::from(days).days())
}

fn end_of_quarter(date: Date) -> Date {
    let months = (3 - date.month() % 3) % 3;
    date.first_of_month().saturating_add(i64::from(months).months()).last_of_month()
}

/// The first instant after a day, but not later than now: what lies ahead is not measured.
fn after(state: &State, date: Date) -> Timestamp {
    let past_now = state.now.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(state.now);
    time::midnight(date.saturating_add(1.day())).min(past_now)
}

/// `GET /metrics/{metric}` and `GET /metrics/all`.
pub fn answer(state: &State, segment: &str, query: &Query) -> Reply {
    let all = segment == "all";
    let metrics: Vec<Metric> = match Metric::of_path(segment) {
        Some(metric) => vec![metric],
        None if all => Metric::ALL.to_vec(),
        None => return Err(reply::coded(404, "Not found", None)),
    };
    let intervals = intervals(query)?;
    let world = World::of(state, query);
    let change_key = |metric: Metric| match all {
        true => format!("{}-percentage-change", metric.key()),
        false => "percentage-change".to_owned(),
    };
    let mut entries = Vec::with_capacity(intervals.len());
    let mut latest: Vec<[Option<Figure>; 2]> = vec![[None, None]; metrics.len()];
    for (first, last) in intervals {
        let (from, to) = (time::midnight(first), after(state, last));
        let mut entry = Map::new();
        entry.insert("date".to_owned(), json!(last.to_string()));
        for (metric, latest) in metrics.iter().zip(&mut latest) {
            let figure = world.figure(state, *metric, from, to);
            *latest = [latest[1], Some(figure)];
            let change = latest[0].map_or(0, |before| figure.change_from(before));
            entry.insert(metric.key().to_owned(), figure.json());
            entry.insert(change_key(*metric), json!(hundredths_as_float(change)));
        }
        if metrics == [Metric::Mrr] {
            for kind in Kind::ALL {
                entry.insert(kind.metric_key().to_owned(), json!(world.moved(kind, from, to).1));
            }
        }
        entries.push(Value::Object(entry));
    }
    let mut summary = Map::new();
    for (metric, latest) in metrics.iter().zip(latest) {
        let (current, previous) = summarised(state, &world, *metric, latest);
        let key = |name: &str| match all {
            true => format!("{name}-{}", metric.key()),
            false => name.to_owned(),
        };
        summary.insert(key("current"), current.json());
        summary.insert(key("previous"), previous.json());
        summary.insert(change_key(*metric), json!(hundredths_as_float(current.change_from(previous))));
    }
    reply::ok(&json!({"entries": entries, "summary": summary}))
}

/// The summary compares now with 30 days ago; rates and LTV, which need an interval, the last two intervals.
fn summarised(
    state: &State,
    world: &World,
    metric: Metric,
    [before, last]: [Option<Figure>; 2],
) -> (Figure, Figure) {
    let none = Figure::Whole(0);
    match metric {
        Metric::CustomerChurnRate | Metric::MrrChurnRate | Metric::Ltv => {
            (last.unwrap_or(none), before.unwrap_or(none))
        }
        _ => {
            let days = |count: i64| {
                let past = jiff::SignedDuration::from_hours(24 * count) - jiff::SignedDuration::from_nanos(1);
                state.now.checked_sub(past).unwrap_or(Timestamp::MIN)
            };
            let to = days(0);
            (world.figure(state, metric, days(30), to), world.figure(state, metric, days(60), days(30)))
        }
    }
}
