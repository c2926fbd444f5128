//! What holds for every life.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalogue::{Coupon, Currency, Interval, Product};
use super::plan::{Act, Config, HOUR_FIRST, HOUR_LAST, Plan, Proration, plan};
use super::story::Story;

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
