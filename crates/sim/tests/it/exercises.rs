//! Flows made for this: every construct that waits, tells, asks or starts something, under every kind of fault. Each
//! says itself what must hold (`document.metadata.verify`).

use std::path::Path;
use std::sync::Arc;

use sim::target::Target;

use crate::converge::converges;
use crate::{target, verify};

fn exercise(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("exercises/{name}.yaml"));
    std::fs::read_to_string(path).unwrap()
}

/// An exercise, with flows beside it.
fn together(name: &str, companions: &[&str]) -> Target {
    companions.iter().fold(target(&exercise(name)), |target, companion| {
        let companion = flow::Document::parse(companion, &exercise(companion)).unwrap();
        target.beside(Arc::new(companion), &connect::Catalog::embedded()).unwrap()
    })
}

#[test]
fn branches_attempts_limits_and_lists_are_told_once() {
    converges(&together("steps", &[]));
}

#[test]
fn events_are_heard_early_late_and_once() {
    converges(&together("hearer", &["teller"]));
}

#[test]
fn runs_that_start_runs_hear_of_their_end() {
    converges(&together("parent", &["child", "failing"]));
}

#[test]
fn what_people_decide_counts_once() {
    converges(&together("questions", &[]));
}

#[test]
fn gathered_events_are_told_once() {
    converges(&together("gatherer", &[]));
}

#[test]
fn every_start_of_the_clock_is_made_or_counted() {
    converges(&together("clock", &[]));
}

/// What is promised and not kept is seen, whether too little or too much is told.
#[test]
fn a_broken_promise_is_seen() {
    let broken = [
        ("clock", "verify: {clock: PT6H}", "verify: {clock: PT5H}", "clock"),
        ("questions", "$steps.ask.choice }", "\"no\" }", "promised"),
        ("steps", "\"last\"]", "\"last\", \"more\"]", "promised"),
        ("steps", "\"first\", ", "", "promised"),
        ("gatherer", "map(.data.data.object.id)", "map(.data.data.object.id) | .[:1]", "promised"),
    ];
    for (name, old, new, invariant) in broken {
        let text = exercise(name).replace(old, new);
        assert_ne!(text, exercise(name));
        let failure = verify(&target(&text), 1).failure.unwrap();
        assert_eq!((failure.invariant.as_str(), failure.faults.as_slice()), (invariant, [].as_slice()));
    }
}
