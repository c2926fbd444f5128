//! Histories small enough to check by hand.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

/// (second, customer, item, currency, cents)
fn truth(rows: &[(i64, &str, &str, &str, i64)]) -> Truth {
    let history: Vec<MrrChange> = rows
        .iter()
        .map(|(second, customer, item, currency, mrr_cents)| MrrChange {
            at: at(*second),
            customer: (*customer).to_owned(),
            subscription: format!("sub_{item}"),
            item: (*item).to_owned(),
            currency: (*currency).to_owned(),
            mrr_cents: *mrr_cents,
        })
        .collect();
    Truth::new(&history, Rates::default())
}

fn kinds(truth: &Truth) -> Vec<(Kind, i64)> {
    truth.movements().into_iter().map(|movement| (movement.kind, movement.cents)).collect()
}

#[test]
fn each_kind_of_movement() {
    let truth = truth(&[
        (10, "cus_1", "si_1", "usd", 1_000),
        (20, "cus_1", "si_1", "usd", 1_500),
        (30, "cus_1", "si_1", "usd", 700),
        (40, "cus_1", "si_1", "usd", 0),
        (50, "cus_1", "si_2", "usd", 900),
    ]);
    let expected = [
        (Kind::NewBusiness, 1_000),
        (Kind::Expansion, 500),
        (Kind::Contraction, -800),
        (Kind::Churn, -700),
        (Kind::Reactivation, 900),
    ];
    assert_eq!(kinds(&truth), expected);
}

#[test]
fn a_second_subscription_is_expansion_and_its_end_contraction() {
    let truth = truth(&[
        (10, "cus_1", "si_1", "usd", 1_000),
        (20, "cus_1", "si_2", "usd", 400),
        (30, "cus_1", "si_1", "usd", 0),
    ]);
    let expected = [(Kind::NewBusiness, 1_000), (Kind::Expansion, 400), (Kind::Contraction, -1_000)];
    assert_eq!(kinds(&truth), expected);
}

#[test]
fn changes_of_one_instant_are_netted() {
    // Moved from one item to another, and a change to the same value: one movement, then none.
    let truth = truth(&[
        (10, "cus_1", "si_1", "usd", 1_000),
        (20, "cus_1", "si_1", "usd", 0),
        (20, "cus_1", "si_2", "usd", 1_200),
        (30, "cus_1", "si_2", "usd", 1_200),
        (40, "cus_1", "si_2", "usd", 0),
        (40, "cus_1", "si_3", "usd", 1_200),
    ]);
    assert_eq!(kinds(&truth), [(Kind::NewBusiness, 1_000), (Kind::Expansion, 200)]);
}

#[test]
fn euros_are_converted_per_customer_and_movements_add_up() {
    let truth = truth(&[
        (10, "cus_1", "si_1", "eur", 1_005),
        (20, "cus_2", "si_2", "eur", 1_005),
        (30, "cus_3", "si_3", "usd", 500),
        (120, "cus_1", "si_1", "eur", 0),
    ]);
    let days = truth.days(&[at(0), at(100), at(200)]);
    // 10.05 EUR are 11.055 USD, half a cent up, for each customer.
    assert_eq!(days[0].total, 1_106 + 1_106 + 500);
    assert_eq!(days[0].mrr, Amounts::from([("eur".to_owned(), 2_010), ("usd".to_owned(), 500)]));
    assert_eq!(days[1].movements, Movements::from([(Kind::Churn, -1_106)]));
    assert_eq!(sum(&days).values().sum::<i64>(), days[1].total);
}

#[test]
fn a_day_has_its_first_instant_and_not_its_last() {
    let truth = truth(&[(0, "cus_1", "si_1", "usd", 100), (100, "cus_2", "si_2", "usd", 200)]);
    let days = truth.days(&[at(0), at(100), at(200)]);
    assert_eq!(days.iter().map(|day| day.total).collect::<Vec<_>>(), [100, 300]);
    assert_eq!(days[1].movements, Movements::from([(Kind::NewBusiness, 200)]));
    assert_eq!(truth.at("cus_2", at(99)), Amounts::new());
    assert_eq!(truth.at("cus_2", at(100)), Amounts::from([("usd".to_owned(), 200)]));
}

#[test]
fn what_was_before_the_first_day_counts_without_moving() {
    let truth = truth(&[(-50, "cus_1", "si_1", "usd", 100), (20, "cus_1", "si_1", "usd", 0)]);
    let days = truth.days(&[at(0), at(10), at(30)]);
    assert_eq!((days[0].total, days[0].movements.len()), (100, 0));
    assert_eq!((days[1].total, days[1].movements.get(&Kind::Churn)), (0, Some(&-100)));
}
