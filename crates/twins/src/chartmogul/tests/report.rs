//! The report: days, movements, customers; and that movements always add up.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{Desk, at, with};
use crate::chartmogul::report::{Cents, Report};

fn cents(pairs: &[(&str, i64)]) -> Cents {
    pairs.iter().map(|(key, cents)| ((*key).to_owned(), *cents)).collect()
}

/// The kinds of a day that are not zero.
fn moved(report: &Report, date: &str) -> Cents {
    let day = report.days.iter().find(|day| day.date.to_string() == date).unwrap();
    day.movements
        .total_cents
        .iter()
        .filter(|(_, cents)| **cents != 0)
        .map(|(kind, cents)| (kind.clone(), *cents))
        .collect()
}

#[test]
fn a_life_has_all_five_movements() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    for (start, amount) in
        [("2026-01-02", 1_000), ("2026-01-05", 1_500), ("2026-01-08", 700), ("2026-01-20", 900)]
    {
        desk.bill(vec![desk.line(&plan, start, "2026-02-02", amount)]);
    }
    desk.cancel(&["2026-01-10 06:00:00"]);
    let report = desk.twin.report(at("2026-01-01"), at("2026-01-31"));
    assert_eq!(report.days.len(), 31);
    assert_eq!(moved(&report, "2026-01-02"), cents(&[("new_business", 1_000)]));
    assert_eq!(moved(&report, "2026-01-05"), cents(&[("expansion", 500)]));
    assert_eq!(moved(&report, "2026-01-08"), cents(&[("contraction", -800)]));
    assert_eq!(moved(&report, "2026-01-10"), cents(&[("churn", -700)]));
    assert_eq!(moved(&report, "2026-01-20"), cents(&[("reactivation", 900)]));
    assert_eq!(report.customers, BTreeMap::from([("cus_1".to_owned(), cents(&[("USD", 900)]))]));
    let later = desk.twin.report(at("2026-01-09"), at("2026-01-09"));
    assert_eq!((later.opening.total_cents, later.days[0].total_cents), (700, 700));
}

/// A second subscription of a customer is expansion, its end contraction; a swap at one instant is the difference.
#[test]
fn movements_are_those_of_the_customer() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    let other = json!({"subscription_external_id": "si_2"});
    desk.bill(vec![desk.line(&plan, "2026-01-02", "2026-02-02", 1_000)]);
    desk.bill(vec![with(desk.line(&plan, "2026-01-03", "2026-02-03", 400), other)]);
    let swapped = json!({"subscription_external_id": "si_3"});
    desk.bill(vec![with(desk.line(&plan, "2026-01-06", "2026-02-06", 1_100), swapped)]);
    let target = format!("/v1/import/customers/{}/subscriptions", desk.customer);
    let held = desk.get(&target)["subscriptions"].clone();
    for (external_id, date) in [("si_1", "2026-01-06"), ("si_2", "2026-01-09")] {
        let row = held.as_array().unwrap().iter().find(|row| row["external_id"] == external_id).unwrap();
        let target = format!("/v1/import/subscriptions/{}", row["uuid"].as_str().unwrap());
        desk.call("PATCH", &target, json!({"cancellation_dates": [date]}));
    }
    let report = desk.twin.report(at("2026-01-01"), at("2026-01-31"));
    assert_eq!(moved(&report, "2026-01-03"), cents(&[("expansion", 400)]));
    assert_eq!(moved(&report, "2026-01-06"), cents(&[("expansion", 100)]));
    assert_eq!(moved(&report, "2026-01-09"), cents(&[("contraction", -400)]));
    assert_eq!(report.days.last().unwrap().total_cents, 1_100);
}

#[test]
fn bounds_are_included_and_a_day_ends_before_the_next() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-02 00:00:00", "2026-02-02", 1_000)]);
    desk.bill(vec![desk.line(&plan, "2026-01-03 00:00:00", "2026-02-02", 2_000)]);
    let report = desk.twin.report(at("2026-01-02"), at("2026-01-03"));
    let totals: Vec<i64> = report.days.iter().map(|day| day.total_cents).collect();
    assert_eq!((report.opening.total_cents, totals), (0, vec![1_000, 2_000]));
    assert_eq!(report.movements.total_cents["new_business"], 1_000);
    assert_eq!(report.movements.total_cents["expansion"], 1_000);
}

#[test]
fn currencies_stay_apart_and_convert_at_fixed_rates() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill_as("EUR", vec![desk.line(&plan, "2026-01-02", "2026-02-02", 1_005)]);
    let other = json!({"subscription_external_id": "si_2"});
    desk.bill_as("USD", vec![with(desk.line(&plan, "2026-01-02", "2026-02-02", 500), other)]);
    let report = desk.twin.report(at("2026-01-02"), at("2026-01-02"));
    assert_eq!(report.days[0].mrr, cents(&[("EUR", 1_005), ("USD", 500)]));
    // 1005 × 1.10 = 1105.5, half away from zero.
    assert_eq!(report.days[0].total_cents, 1_106 + 500);
    assert_eq!(report.movements.by_currency["EUR"], cents(&[("new_business", 1_005)]));
    assert_eq!(report.movements.total_cents["new_business"], 1_606);
}

/// Random lives: on every day the movements so far are the MRR, in each currency and in the account's, and the
/// order in which invoices arrive changes nothing.
#[test]
fn movements_add_up_and_the_order_of_import_does_not_matter() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bills = Vec::new();
        for _ in 0..rng.random_range(1..25) {
            let currency = ["USD", "EUR", "GBP"][rng.random_range(0..3)];
            let customer = rng.random_range(1..4);
            let start = format!(
                "2026-01-{:02} {:02}:{:02}:00",
                rng.random_range(1..29),
                rng.random_range(0..24),
                bills.len()
            );
            let cents = rng.random_range(0..100_000);
            let subscription = format!("{customer}-{}", rng.random_range(0..3));
            let proration = ["", "differential", "full", "differential_mrr"][rng.random_range(0..4)];
            bills.push((currency, customer, start, cents, subscription, proration));
        }
        let cancellations: Vec<String> =
            (0..rng.random_range(0..3)).map(|_| format!("2026-01-{:02}", rng.random_range(1..29))).collect();
        let live = |order: &[usize]| -> Report {
            let mut desk = Desk::new();
            let plan = desk.plan("month", 1);
            let customers = ["cus_1", "cus_2", "cus_3"];
            let first = desk.customer.clone();
            let uuids = [first, desk.new_customer("cus_2"), desk.new_customer("cus_3")];
            assert_eq!(customers.len(), uuids.len());
            for index in order {
                let (currency, customer, start, cents, subscription, proration) = &bills[*index];
                desk.customer.clone_from(&uuids[*customer - 1]);
                let mut line = desk.line(&plan, start, "2026-02-10", *cents);
                line["subscription_external_id"] = json!(subscription);
                if !proration.is_empty() {
                    line = with(line, json!({"prorated": true, "proration_type": proration}));
                }
                desk.bill_as(currency, vec![line]);
            }
            for uuid in &uuids {
                let held =
                    desk.get(&format!("/v1/import/customers/{uuid}/subscriptions"))["subscriptions"].clone();
                for row in held.as_array().unwrap() {
                    let target = format!("/v1/import/subscriptions/{}", row["uuid"].as_str().unwrap());
                    desk.call("PATCH", &target, json!({"cancellation_dates": cancellations}));
                }
            }
            desk.twin.report(at("2026-01-01"), at("2026-02-20"))
        };
        let order: Vec<usize> = (0..bills.len()).collect();
        let report = live(&order);
        let mut total = 0;
        let mut by_currency = Cents::new();
        for day in &report.days {
            total += day.movements.total_cents.values().sum::<i64>();
            for (currency, kinds) in &day.movements.by_currency {
                *by_currency.entry(currency.clone()).or_default() += kinds.values().sum::<i64>();
            }
            assert_eq!(total, day.total_cents, "seed {seed}, {}", day.date);
            by_currency.retain(|_, cents| *cents != 0);
            let mut mrr = day.mrr.clone();
            mrr.retain(|_, cents| *cents != 0);
            assert_eq!(by_currency, mrr, "seed {seed}, {}", day.date);
        }
        let reversed: Vec<usize> = order.into_iter().rev().collect();
        assert_eq!(live(&reversed), report, "seed {seed}");
    }
}
