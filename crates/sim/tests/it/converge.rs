//! Whatever goes wrong, the vendors end where they should.

use std::collections::BTreeMap;

use sim::fault::Kind;
use sim::plan::CRASHES_MIN;
use sim::target::Target;

use crate::{NAMES, PAYMENTS, REVENUE, every_kind, setting, target, verify};

/// Seeds of each template; `cargo xtask mutants` asks for more.
fn seeds() -> u64 {
    std::env::var("TRIBUTARY_VERIFY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

pub fn converges(target: &Target) -> BTreeMap<Kind, u64> {
    let mut injected = BTreeMap::new();
    for seed in 1..=seeds() {
        let verdict = verify(target, seed);
        assert_eq!(verdict.failure, None, "seed {seed}");
        assert!(verdict.numbers.customers >= 10 && verdict.numbers.events >= 200, "{:?}", verdict.numbers);
        for (kind, count) in verdict.injected {
            *injected.entry(kind).or_default() += count;
        }
    }
    injected
}

#[test]
fn revenue_converges() {
    let injected = converges(&target(REVENUE));
    assert!(injected[&Kind::Crash] >= CRASHES_MIN * seeds(), "{injected:?}");
    let missing: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !injected.contains_key(kind)).collect();
    assert_eq!(missing, [], "every kind strikes somewhere");
}

#[test]
fn names_converge() {
    converges(&target(NAMES));
}

#[test]
fn each_failed_payment_is_told_once() {
    converges(&target(PAYMENTS));
}

/// Of a flow that nobody knows, the same is asked as of the same life without faults.
#[test]
fn a_flow_of_ones_own_ends_where_it_ends_without_faults() {
    let own = target(NAMES).own();
    for seed in 1..=2 {
        assert_eq!(verify(&own, seed).failure, None);
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    let target = target(REVENUE);
    let trace = || sim::verify(&setting(), &target, 5, &every_kind(), true).unwrap().trace;
    let (first, second) = (trace(), trace());
    assert!(first.len() > 1_000, "{}", first.len());
    assert_eq!(first, second);
}
