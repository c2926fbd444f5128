//! Coupons: what they take off, and for how long.

use super::*;

fn coupon(shop: &Shop, amount: Off, duration: Duration) -> String {
    shop.stripe.create_coupon(NewCoupon { id: None, amount, duration }).unwrap()
}

fn with_coupon(shop: &Shop, price: &str, coupon: &str) -> (String, String) {
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe_with(&ada, price, 1, |new| new.coupon = Some(coupon.to_owned()));
    (ada, id)
}

#[test]
fn a_coupon_lasts_as_long_as_it_says() {
    let ten = || Off::Percent(1000);
    for (duration, bills, mrr) in [
        (Duration::Once, vec![900, 1000, 1000], vec![(0, 900), (28, 1000)]),
        (Duration::Forever, vec![900, 900, 900], vec![(0, 900)]),
        // One month from 31 January is the 28th of February, when the second period begins.
        (Duration::Repeating(1), vec![900, 1000, 1000], vec![(0, 900), (28, 1000)]),
        (Duration::Repeating(2), vec![900, 900, 1000], vec![(0, 900), (59, 1000)]),
    ] {
        let shop = Shop::new();
        let (ada, id) = with_coupon(&shop, "basic", &coupon(&shop, ten(), duration));
        shop.to_renewal(&id);
        shop.to_renewal(&id);
        let totals: Vec<i64> = shop.bills(&ada).into_iter().map(|(total, _)| total).collect();
        assert_eq!((totals, shop.mrr()), (bills, mrr), "{duration:?}");
    }
}

#[test]
fn discounts_are_whole_cents_half_up_before_the_month_is_taken() {
    for (off, price, total, mrr) in [
        (Off::Percent(1250), "basic", 875, 875),
        (Off::Percent(3333), "year", 8000, 667),
        (Off::Amount(250, "usd".to_owned()), "basic", 750, 750),
        (Off::Amount(5000, "usd".to_owned()), "basic", 0, 0),
        (Off::Amount(250, "eur".to_owned()), "basic", 1000, 1000),
        (Off::Percent(10_000), "basic", 0, 0),
    ] {
        let shop = Shop::new();
        let (ada, id) = with_coupon(&shop, price, &coupon(&shop, off.clone(), Duration::Forever));
        let item = &shop.view(&id).items[0];
        assert_eq!((shop.bills(&ada)[0].0, item.mrr_cents), (total, mrr), "{off:?} of {price}");
    }
}

#[test]
fn a_change_after_a_spent_coupon_is_not_discounted() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let (ada, id) = with_coupon(&shop, "basic", &coupon(&shop, Off::Percent(5000), Duration::Once));
    shop.days(14);
    shop.change(&id, Some("pro"), None, Proration::Invoice);
    // Half of the 500 that was paid comes back; half of the full 3000 is due.
    assert_eq!(shop.bills(&ada), [(500, "paid"), (1500 - 250, "paid")]);
    assert_eq!(shop.view(&id).items[0].mrr_cents, 3000);
}

#[test]
fn a_lasting_coupon_holds_through_changes() {
    let shop = Shop::open(Config::new(1, time("2026-02-01T00:00:00Z")));
    let (ada, id) = with_coupon(&shop, "basic", &coupon(&shop, Off::Percent(5000), Duration::Forever));
    shop.days(14);
    shop.change(&id, Some("pro"), None, Proration::Invoice);
    assert_eq!(shop.bills(&ada), [(500, "paid"), (750 - 250, "paid")]);
    assert_eq!(shop.view(&id).items[0].mrr_cents, 1500);
}

#[test]
fn a_coupon_given_in_mid_period_counts_from_the_next_invoice() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    shop.days(3);
    shop.stripe.apply_coupon(&id, &coupon(&shop, Off::Percent(5000), Duration::Forever)).unwrap();
    assert_eq!(shop.mrr(), [(0, 1000)]);
    shop.to_renewal(&id);
    assert_eq!((shop.mrr(), shop.bills(&ada)[1].0), (vec![(0, 1000), (28, 500)], 500));
    shop.stripe.remove_discounts(&id).unwrap();
    shop.to_renewal(&id);
    assert_eq!(shop.bills(&ada)[2].0, 1000);
}

#[test]
fn a_free_trial_does_not_spend_a_coupon() {
    let shop = Shop::new();
    let once = coupon(&shop, Off::Percent(5000), Duration::Once);
    let ada = shop.customer(Card::Ok);
    let id =
        shop.subscribe_with(&ada, "basic", 1, |new| (new.coupon, new.trial_days) = (Some(once), Some(7)));
    shop.to_renewal(&id);
    assert_eq!((shop.bills(&ada), shop.mrr()), (vec![(0, "paid"), (500, "paid")], vec![(7, 500)]));
}
