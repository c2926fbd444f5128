//! What holds for every life.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Life;
use super::catalogue::{Coupon, Currency, Interval, Product};
use super::plan::{Act, Config, HOUR_FIRST, HOUR_LAST, Plan, Proration, plan};
use super::story::Story;
use crate::oracle::{Kind, Rates, Truth, sum};
use crate::stripe::{self, InvoiceStatus, Stripe, SubscriptionStatus};

const SHAPES: [(u32, u32); 9] =
    [(1, 1), (3, 1), (7, 2), (20, 3), (25, 8), (20, 30), (25, 30), (60, 31), (40, 90)];

fn lives() -> impl Iterator<Item = Plan> {
    SHAPES
        .into_iter()
        .flat_map(|(customers, days)| (0..12).map(move |seed| plan(Config::new(seed, customers, days))))
}

fn acts_of(plan: &Plan, person: usize) -> Vec<(Timestamp, &Act)> {
    plan.acts.iter().filter(|act| act.person == person).map(|act| (act.at, &act.act)).collect()
}

#[test]
fn the_same_seed_is_the_same_life() {
    let config = Config::new(7, 60, 30);
    assert_eq!(plan(config), plan(config));
    assert_ne!(plan(config).acts, plan(Config { seed: 8, ..config }).acts);
}

#[test]
fn everybody_acts_by_day_and_in_order() {
    for plan in lives() {
        assert_eq!(plan.people.len(), plan.config.customers as usize);
        assert!(plan.acts.is_sorted_by_key(|act| act.at));
        for act in &plan.acts {
            let hour = act.at.to_zoned(TimeZone::UTC).hour();
            assert!((HOUR_FIRST..HOUR_LAST).contains(&hour), "{act:?}");
            assert!(act.at >= plan.config.dawn() && act.at < plan.config.end(), "{act:?}");
        }
    }
}

#[test]
fn no_act_comes_before_what_it_needs() {
    for plan in lives() {
        for person in 0..plan.people.len() {
            let (mut exists, mut subscribed, mut scheduled) = (false, false, false);
            for (_, act) in acts_of(&plan, person) {
                let story = plan.people[person].story;
                match act {
                    Act::Appear => {
                        assert!(!exists, "{story:?}");
                        exists = true;
                    }
                    Act::Subscribe { seats, price, .. } => {
                        assert!(exists && !subscribed && *seats > 0, "{story:?}");
                        assert_eq!(price.currency, plan.people[person].currency);
                        subscribed = true;
                    }
                    Act::ChangePrice { .. } | Act::ChangeSeats { .. } | Act::Refund => {
                        assert!(subscribed && !scheduled, "{story:?}");
                    }
                    Act::CancelAtPeriodEnd | Act::CancelAt => {
                        assert!(subscribed && !scheduled, "{story:?}");
                        scheduled = true;
                    }
                    Act::Stay => {
                        assert!(scheduled, "{story:?}");
                        scheduled = false;
                    }
                    Act::CancelNow => {
                        assert!(subscribed, "{story:?}");
                        subscribed = false;
                    }
                    Act::Rename { .. } | Act::CardFails | Act::CardWorks => assert!(exists, "{story:?}"),
                    Act::Delete => {
                        assert!(exists, "{story:?}");
                        exists = false;
                        subscribed = false;
                    }
                }
            }
            assert!(!acts_of(&plan, person).is_empty());
        }
    }
}

/// Twenty stories suffice for every kind of fact, and each currency and interval.
#[test]
fn every_kind_of_fact_occurs() {
    for (customers, days) in [(20, 30), (25, 30), (200, 30), (20, 45)] {
        for seed in 0..20 {
            let plan = plan(Config::new(seed, customers, days));
            let told: BTreeSet<Story> = plan.people.iter().map(|person| person.story).collect();
            for story in &Story::ALL[..20] {
                assert!(told.contains(story), "{story:?} of seed {seed}");
            }
            let any = |fits: &dyn Fn(&Act) -> bool| plan.acts.iter().any(|act| fits(&act.act));
            let changes = |wanted: Proration| {
                any(&|act| matches!(act, Act::ChangePrice { proration, .. } if *proration == wanted))
                    && any(&|act| matches!(act, Act::ChangeSeats { proration, .. } if *proration == wanted))
            };
            assert!(changes(Proration::AtOnce) && changes(Proration::NextCycle), "seed {seed}");
            for interval in [Interval::Month, Interval::Year] {
                let bought =
                    |act: &Act| matches!(act, Act::Subscribe { price, .. } if price.interval == interval);
                assert!(any(&bought), "{interval:?} of seed {seed}");
            }
            let seats =
                |act: &Act| matches!(act, Act::Subscribe { price, .. } if price.product == Product::Team);
            assert!(any(&seats), "seed {seed}");
            for wanted in Coupon::ALL {
                let used =
                    |act: &Act| matches!(act, Act::Subscribe { coupon, .. } if *coupon == Some(wanted));
                assert!(any(&used), "{wanted:?} of seed {seed}");
            }
            assert!(plan.people.iter().any(|person| person.currency == Currency::Eur));
            assert!(plan.acts.iter().any(|act| act.at < plan.config.start), "nobody is old, seed {seed}");
        }
    }
}

/// Whoever is older than the month renews in it: an event tells of them.
#[test]
fn old_customers_renew_in_the_month() {
    for plan in lives() {
        for person in 0..plan.people.len() {
            let acts = acts_of(&plan, person);
            let Some((began, price)) = acts.iter().find_map(|(at, act)| match act {
                Act::Subscribe { price, .. } if *at < plan.config.start => Some((*at, *price)),
                _ => None,
            }) else {
                continue;
            };
            let months = if price.interval == Interval::Year { 12 } else { 1 };
            let began = began.to_zoned(TimeZone::UTC);
            let renews = (1..=12).map(|times: i64| {
                began.checked_add(jiff::Span::new().months(times * months)).expect("a near date").timestamp()
            });
            let mut within = renews.filter(|at| *at >= plan.config.start && *at < plan.config.end());
            assert!(within.next().is_some(), "{:?}: {acts:?}", plan.people[person].story);
        }
    }
}

/// A life on Stripe's twin, lived to its end; the events of the month by type.
fn lived(config: Config) -> (Stripe, BTreeMap<String, usize>) {
    let stripe = Stripe::new(stripe::Config::new(config.seed, config.dawn()));
    let mut life = Life::begin(config, stripe.clone()).expect("the catalogue fits");
    life.past().expect("the past can be lived");
    drop(stripe.drain_events());
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for day in 0..config.days {
        life.day(day).expect("the day can be lived");
        for event in stripe.drain_events() {
            assert!(event.created < config.midnight(i64::from(day) + 1));
            *types.entry(event.r#type).or_default() += 1;
        }
        let drafts = stripe.customers().into_iter().flat_map(|customer| stripe.invoices(&customer.id));
        let drafts = drafts.filter(|invoice| invoice.status == InvoiceStatus::Draft).count();
        assert_eq!(drafts, 0, "an invoice is a draft at the end of day {day}");
    }
    (stripe, types)
}

#[test]
fn stripe_lets_every_life_happen() {
    for (customers, days) in SHAPES {
        for seed in 0..3 {
            lived(Config::new(seed, customers, days));
        }
    }
}

/// What the plan intends is what Stripe's clock makes of it.
#[test]
fn every_kind_of_fact_occurs_in_stripe() {
    for seed in 0..6 {
        let config = Config::new(seed, 20, 30);
        let (stripe, types) = lived(config);
        for wanted in [
            "customer.created",
            "customer.updated",
            "customer.deleted",
            "customer.subscription.created",
            "customer.subscription.updated",
            "customer.subscription.deleted",
            "customer.subscription.trial_will_end",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_failed",
            "invoiceitem.created",
            "charge.refunded",
        ] {
            assert!(types.contains_key(wanted), "no {wanted} with seed {seed}: {types:?}");
        }
        let midnights: Vec<Timestamp> = (0..=30).map(|day| config.midnight(day)).collect();
        let truth = Truth::new(&stripe.mrr_history(), Rates::default());
        let moved = sum(&truth.days(&midnights));
        for kind in Kind::ALL {
            assert!(moved.get(&kind).is_some_and(|cents| *cents != 0), "no {kind:?} with seed {seed}");
        }
        // The failed payment that nobody mended ended its subscription; the other one is active again.
        let unpaid = |status| stripe.subscriptions().iter().filter(|one| one.status == status).count();
        assert_eq!(unpaid(SubscriptionStatus::PastDue), 0, "seed {seed}");
        assert!(unpaid(SubscriptionStatus::Canceled) >= 7, "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let config = Config::new(5, 30, 12);
    let (one, other) = (lived(config), lived(config));
    assert_eq!(one.1, other.1);
    assert_eq!(one.0.mrr_history(), other.0.mrr_history());
}

/// The truth at the end is the sum of what the subscriptions are then.
#[test]
fn the_truth_ends_where_the_subscriptions_stand() {
    for seed in 0..4 {
        let config = Config::new(seed, 60, 30);
        let (stripe, _) = lived(config);
        let truth = Truth::new(&stripe.mrr_history(), Rates::default());
        let mut expected: BTreeMap<(String, String), i64> = BTreeMap::new();
        for subscription in stripe.subscriptions() {
            for item in subscription.items.iter().filter(|item| item.mrr_cents != 0) {
                *expected.entry((subscription.customer.clone(), item.currency.clone())).or_default() +=
                    item.mrr_cents;
            }
        }
        let mut found: BTreeMap<(String, String), i64> = BTreeMap::new();
        for customer in truth.customers.keys() {
            for (currency, cents) in truth.at(customer, config.end()) {
                found.insert((customer.clone(), currency), cents);
            }
        }
        assert_eq!(found, expected, "seed {seed}");
    }
}
