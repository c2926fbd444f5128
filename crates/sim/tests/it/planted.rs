//! What is wrong is seen, and told with the faults that it takes.

use jiff::SignedDuration;
use sim::fault::Fault;
use sim::plan::Plan;

use crate::{NAMES, PAYMENTS, REVENUE, setting, target, verify};

/// A flow without the key of its fact tells a payment again that two events tell of, or one event told twice.
#[test]
fn a_fact_told_twice_is_seen_with_the_fault_that_it_takes() {
    let careless = PAYMENTS.replace("${ $event.data.data.object.attempt_count }", "0");
    assert_ne!(careless, PAYMENTS);
    let failure = verify(&target(&careless), 1).failure.unwrap();
    assert_eq!((failure.invariant.as_str(), failure.faults.as_slice()), ("alert", [].as_slice()));
    assert!(failure.timeline.iter().any(|line| line.contains("VIOLATION alert")), "{:#?}", failure.timeline);
}

/// A flow that is content with what it reads first misses what changes while it reads.
#[test]
fn a_state_flow_that_forgets_something_is_seen() {
    let careless =
        REVENUE.replace("      - with: {source: stripe, type: stripe.customer.subscription.*}\n", "");
    assert_ne!(careless, REVENUE);
    let found = (1..=4).find_map(|seed| verify(&target(&careless), seed).failure).unwrap();
    assert!(["mrr", "movements", "customer_mrr"].contains(&found.invariant.as_str()), "{found:#?}");
}

/// Shrinking keeps only what a failure takes: here the few events of a customer that come too late.
#[test]
fn a_failure_is_told_by_its_fewest_faults() {
    // All customers in one lane: what is told of one is taken for older news of another.
    let muddled = NAMES.replace("key: ${ .data.data.object.id }", "key: '${ \"all\" }'");
    assert_ne!(muddled, NAMES);
    // Every event is late, each by another time.
    let hours = |event: u64| SignedDuration::from_hours((event * 7 % 90).cast_signed());
    let faults = (1..=230).map(|event| Fault::Late { event, by: hours(event) }).collect();
    let plan = Plan { nodes: 1, faults };
    let verdict = |seed| sim::verify_plan(&setting(), &target(&muddled), seed, &plan, false).unwrap();
    let failure = (1..=12).find_map(|seed| verdict(seed).failure).unwrap();
    assert_eq!(failure.invariant, "customer_name");
    assert!((1..=4).contains(&failure.faults.len()), "{failure:#?}");
    for fault in &failure.faults {
        assert!(failure.timeline.iter().any(|line| line.contains(fault)), "{failure:#?}");
    }
}
