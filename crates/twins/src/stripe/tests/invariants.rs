//! What must hold after any life: arithmetic of invoices, the oracle beside the state, determinism.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Some months of random acts on a few customers.
fn live(seed: u64) -> Shop {
    let shop = Shop::open(Config::new(seed, time(START)));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (id, duration) in
        [("ONCE", Duration::Once), ("EVER", Duration::Forever), ("TWO", Duration::Repeating(2))]
    {
        let amount = if id == "TWO" { Off::Amount(333, "usd".to_owned()) } else { Off::Percent(1750) };
        shop.stripe.create_coupon(NewCoupon { id: Some(id.to_owned()), amount, duration }).unwrap();
    }
    let customers: Vec<String> = (0..6).map(|_| shop.customer(Card::Ok)).collect();
    for _ in 0..250 {
        shop.advance(Span::new().hours(rng.random_range(0..30)));
        let customer = &customers[rng.random_range(0..customers.len())];
        let live: Vec<SubscriptionView> = shop
            .stripe
            .subscriptions()
            .into_iter()
            .filter(|one| one.customer == *customer && one.ended_at.is_none())
            .collect();
        // Refusals are part of life; what holds afterwards is the point.
        let outcome = match live.first() {
            None => {
                let price = ["basic", "pro", "seat", "year"][rng.random_range(0..4)];
                let coupon = [None, Some("ONCE"), Some("EVER"), Some("TWO")][rng.random_range(0..4)];
                let new = NewSubscription {
                    customer: customer.clone(),
                    items: vec![(shop.prices[price].clone(), rng.random_range(1..9))],
                    trial_days: rng.random_bool(0.3).then(|| rng.random_range(1..20)),
                    coupon: coupon.map(str::to_owned),
                    missing_card_cancels: rng.random_bool(0.5),
                };
                shop.stripe.create_subscription(new).map(drop)
            }
            Some(one) => act(&shop, one, &mut rng),
        };
        if let Err(error) = outcome {
            assert!(error.status < 500, "{error}");
        }
    }
    shop.days(40);
    shop
}

fn act(shop: &Shop, one: &SubscriptionView, rng: &mut ChaCha8Rng) -> Result<(), Error> {
    let stripe = &shop.stripe;
    let proration = [Proration::Create, Proration::Invoice, Proration::None][rng.random_range(0..3)];
    match rng.random_range(0..12) {
        0..=2 => {
            let price = ["basic", "pro", "seat", "year"][rng.random_range(0..4)];
            let change = Change { price: Some(shop.prices[price].clone()), quantity: None, proration };
            stripe.change_item(&one.id, &one.items[0].id, change)
        }
        3..=5 => {
            let change = Change { price: None, quantity: Some(rng.random_range(1..9)), proration };
            stripe.change_item(&one.id, &one.items[0].id, change)
        }
        6 => stripe.cancel(&one.id, [Cancel::Now, Cancel::AtPeriodEnd][rng.random_range(0..2)]),
        7 => stripe.undo_cancel(&one.id),
        8 => stripe.set_card(
            &one.customer,
            [Card::Ok, Card::Declines, Card::DeclinesOnce(2)][rng.random_range(0..3)],
        ),
        9 => stripe.apply_coupon(&one.id, ["ONCE", "EVER", "TWO"][rng.random_range(0..3)]),
        10 => stripe.end_trial(&one.id),
        _ => stripe.set_card(&one.customer, Card::Ok),
    }
}

#[test]
fn invoices_add_up() {
    for seed in 0..8 {
        let shop = live(seed);
        let invoices = shop.get("/v1/invoices?limit=100&expand[]=data.discounts");
        for invoice in invoices["data"].as_array().unwrap() {
            let cents = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("seed {seed}: {invoice}"));
            let lines = invoice["lines"]["data"].as_array().unwrap();
            if lines.len() < 10 {
                let subtotal: i64 = lines.iter().map(|line| cents(&line["amount"])).sum();
                assert_eq!(cents(&invoice["subtotal"]), subtotal, "seed {seed}: {invoice}");
            }
            let off: i64 = invoice["total_discount_amounts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| cents(&one["amount"]))
                .sum();
            assert_eq!(cents(&invoice["total"]), cents(&invoice["subtotal"]) - off, "seed {seed}: {invoice}");
            if let Some(ending) = invoice["ending_balance"].as_i64() {
                let owed = cents(&invoice["total"]) + cents(&invoice["starting_balance"]);
                assert_eq!(owed, cents(&invoice["amount_due"]) + ending, "seed {seed}: {invoice}");
                assert!(ending <= 0 && cents(&invoice["amount_due"]) >= 0);
            }
            if invoice["status"] == "paid" {
                assert_eq!(invoice["amount_remaining"], 0);
            }
        }
    }
}

#[test]
fn the_history_of_mrr_ends_in_the_state() {
    for seed in 0..8 {
        let shop = live(seed);
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for change in shop.stripe.mrr_history() {
            let was = last.insert(change.item.clone(), change.mrr_cents);
            assert_ne!(was.unwrap_or(0), change.mrr_cents, "an entry is a change: {change:?}");
        }
        for one in shop.stripe.subscriptions() {
            for item in one.items {
                let told = last.remove(&item.id).unwrap_or(0);
                assert_eq!(told, item.mrr_cents, "seed {seed}, {}", item.id);
            }
        }
        assert!(last.values().all(|mrr| *mrr == 0), "items that are gone have none: {last:?}");
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let bodies = |shop: &Shop| -> Vec<bytes::Bytes> {
        let events = shop.stripe.drain_events();
        events.iter().filter_map(|event| shop.stripe.event_body(&event.id, API_VERSION)).collect()
    };
    let (one, same, other) = (bodies(&live(3)), bodies(&live(3)), bodies(&live(4)));
    assert!(one.len() > 500, "{}", one.len());
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn time_in_one_leap_or_in_steps_is_the_same_time() {
    let run = |steps: i64| {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        shop.subscribe(&ada, "basic", 2);
        shop.subscribe_with(&ada, "year", 1, |new| new.trial_days = Some(9));
        let failing = shop.customer(Card::DeclinesOnce(1));
        shop.subscribe(&failing, "pro", 1);
        for _ in 0..steps {
            shop.advance(Span::new().hours(120 * 24 / steps));
        }
        let events: Vec<(String, Timestamp)> =
            shop.stripe.drain_events().into_iter().map(|event| (event.r#type, event.created)).collect();
        (events, shop.stripe.mrr_history())
    };
    assert_eq!(run(1), run(60));
}
