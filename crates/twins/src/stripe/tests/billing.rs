//! Cycles, prorations, trials, ends.

use super::*;
use crate::stripe::calendar::next_turn;
use crate::stripe::model::Recurring;

#[test]
fn cycles_turn_on_the_anchors_day_or_the_months_last() {
    for (anchor, interval, count, after, expected) in [
        ("2026-01-31T12:00:00Z", Interval::Month, 1, "2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z"),
        ("2026-01-31T12:00:00Z", Interval::Month, 1, "2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"),
        ("2024-01-31T00:00:00Z", Interval::Month, 1, "2024-02-01T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2024-02-29T00:00:00Z", Interval::Year, 1, "2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z"),
        ("2024-02-29T00:00:00Z", Interval::Year, 1, "2027-05-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2026-01-01T00:00:00Z", Interval::Month, 3, "2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", Interval::Week, 2, "2026-01-01T00:00:00Z", "2026-01-15T00:00:00Z"),
        ("2026-01-01T00:00:00Z", Interval::Day, 10, "2026-01-20T00:00:00Z", "2026-01-21T00:00:00Z"),
        ("2026-06-01T00:00:00Z", Interval::Month, 1, "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"),
    ] {
        let turn =
            next_turn(time(anchor).as_second(), Recurring { interval, count }, time(after).as_second());
        assert_eq!(turn, time(expected).as_second(), "{anchor} every {count} {interval:?} after {after}");
    }
}

#[test]
fn a_renewal_is_a_draft_for_an_hour() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    assert_eq!(shop.bills(&ada), [(1000, "paid")]);
    let end = shop.view(&id).current_period_end;
    assert_eq!(end, time("2026-02-28T12:00:00Z"));
    shop.stripe.advance_to(end);
    assert_eq!(shop.bills(&ada), [(1000, "paid"), (1000, "draft")]);
    assert_eq!(shop.view(&id).current_period_start, end);
    shop.advance(Span::new().minutes(59));
    assert_eq!(shop.bills(&ada)[1], (1000, "draft"));
    shop.advance(Span::new().minutes(1));
    assert_eq!(shop.bills(&ada)[1], (1000, "paid"));
    shop.to_renewal(&id);
    assert_eq!(shop.view(&id).current_period_start, time("2026-03-31T12:00:00Z"));
    assert_eq!(shop.mrr(), [(0, 1000)]);
}

#[test]
fn prorations_are_exact_to_the_second() {
    // February has 28 days: 14 are half, 7 a quarter.
    for (day, from, to, proration, bills) in [
        (14, ("basic", 1), ("pro", 1), Proration::Invoice, vec![(1000, "paid"), (1000, "paid")]),
        (14, ("basic", 1), ("pro", 1), Proration::Create, vec![(1000, "paid")]),
        (14, ("basic", 1), ("pro", 1), Proration::None, vec![(1000, "paid")]),
        (21, ("seat", 3), ("seat", 7), Proration::Invoice, vec![(1500, "paid"), (500, "paid")]),
        (14, ("pro", 1), ("basic", 1), Proration::Invoice, vec![(3000, "paid"), (-1000, "paid")]),
    ] {
        let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, from.0, from.1);
        shop.days(day);
        shop.change(&id, Some(to.0), Some(to.1), proration);
        assert_eq!(shop.bills(&ada), bills, "{from:?} to {to:?} on day {day} by {proration:?}");
    }
}

#[test]
fn pending_prorations_go_on_the_next_invoice_once() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    shop.days(14);
    shop.change(&id, Some("pro"), None, Proration::Create);
    shop.to_renewal(&id);
    assert_eq!(shop.bills(&ada)[1], (3000 + 1500 - 500, "paid"));
    shop.to_renewal(&id);
    assert_eq!(shop.bills(&ada)[2], (3000, "paid"));
}

#[test]
fn credit_of_a_downgrade_pays_the_next_invoices() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "pro", 1);
    shop.change(&id, Some("basic"), None, Proration::Invoice);
    assert_eq!(shop.stripe.customers()[0].balance, -2000);
    for (balance, due) in [(-1000, 0), (0, 0), (0, 1000)] {
        shop.to_renewal(&id);
        let last = shop.stripe.invoices(&ada).pop().unwrap();
        assert_eq!((shop.stripe.customers()[0].balance, last.amount_due), (balance, due));
    }
}

#[test]
fn another_interval_begins_a_new_period_at_once() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    shop.days(14);
    shop.change(&id, Some("year"), None, Proration::Create);
    assert_eq!(shop.bills(&ada)[1], (12_000 - 500, "paid"));
    let view = shop.view(&id);
    assert_eq!(view.current_period_start, time("2026-02-15T00:00:00Z"));
    assert_eq!(view.current_period_end, time("2027-02-15T00:00:00Z"));
    assert_eq!(view.items[0].mrr_cents, 1000);
}

#[test]
fn trials_convert_or_lapse() {
    for (card, cancels, status, mrr) in [
        (true, true, "active", vec![(14, 1000)]),
        (true, false, "active", vec![(14, 1000)]),
        (false, true, "canceled", vec![]),
        (false, false, "past_due", vec![(14, 1000)]),
    ] {
        let shop = Shop::new();
        let ada = shop.stripe.create_customer(NewCustomer::default());
        if card {
            shop.stripe.set_card(&ada, Card::Ok).unwrap();
        }
        let id = shop.subscribe_with(&ada, "basic", 1, |new| {
            (new.trial_days, new.missing_card_cancels) = (Some(14), cancels);
        });
        assert_eq!((shop.status(&id), shop.bills(&ada)), ("trialing", vec![(0, "paid")]));
        shop.days(14);
        shop.advance(Span::new().hours(1));
        assert_eq!((shop.status(&id), shop.mrr()), (status, mrr), "card {card}, cancels {cancels}");
    }
}

#[test]
fn a_trial_ended_by_hand_bills_at_once() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe_with(&ada, "basic", 2, |new| new.trial_days = Some(30));
    shop.days(3);
    shop.stripe.end_trial(&id).unwrap();
    assert_eq!((shop.status(&id), shop.bills(&ada)), ("active", vec![(0, "paid"), (2000, "paid")]));
    assert_eq!(shop.mrr(), [(3, 2000)]);
    assert_eq!(shop.view(&id).current_period_start, shop.stripe.now());
}

#[test]
fn announced_ends_come_at_their_time_unless_taken_back() {
    let end = time("2026-02-28T12:00:00Z");
    for (cancel, ends_on_day) in [
        (Cancel::Now, 5),
        (Cancel::AtPeriodEnd, 28),
        (Cancel::At(end), 28),
        (Cancel::At(time("2026-02-10T12:00:00Z")), 10),
        (Cancel::At(time("2026-03-05T12:00:00Z")), 33),
    ] {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, "basic", 1);
        shop.days(5);
        shop.stripe.cancel(&id, cancel).unwrap();
        assert_eq!(shop.view(&id).cancel_at_period_end, cancel == Cancel::AtPeriodEnd);
        shop.days(60);
        assert_eq!(shop.mrr(), [(0, 1000), (ends_on_day, 0)], "{cancel:?}");
        assert!(shop.stripe.cancel(&id, Cancel::Now).is_err());
        if cancel == Cancel::Now {
            continue;
        }
        let other = shop.subscribe(&ada, "basic", 1);
        shop.stripe.cancel(&other, Cancel::AtPeriodEnd).unwrap();
        shop.stripe.undo_cancel(&other).unwrap();
        shop.days(90);
        assert_eq!((shop.status(&other), shop.view(&other).cancel_at), ("active", None));
    }
}

#[test]
fn deleting_a_customer_ends_everything_at_once() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    shop.days(2);
    shop.stripe.delete_customer(&ada).unwrap();
    assert_eq!((shop.status(&id), shop.mrr()), ("canceled", vec![(0, 1000), (2, 0)]));
    shop.days(90);
    assert_eq!(shop.bills(&ada).len(), 1);
    assert!(shop.stripe.rename(&ada, "Bob").is_err());
}

#[test]
fn mrr_is_per_month_and_half_away_from_zero() {
    for (price, quantity, expected) in [("year", 1, 1000), ("basic", 3, 3000), ("euro", 1, 1000)] {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        shop.subscribe(&ada, price, quantity);
        assert_eq!(shop.mrr(), [(0, expected)], "{price}");
    }
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let price = shop.stripe.create_price(NewPrice {
        product: shop.stripe.create_product("Odd"),
        unit_amount: 10_006,
        currency: "usd".to_owned(),
        interval: Interval::Year,
        interval_count: 1,
        nickname: None,
    });
    let new =
        NewSubscription { customer: ada, items: vec![(price.unwrap(), 1)], ..NewSubscription::default() };
    shop.stripe.create_subscription(new).unwrap();
    // 10006 / 12 = 833.83…
    assert_eq!(shop.mrr(), [(0, 834)]);
}
