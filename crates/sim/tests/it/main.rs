//! Lives of each template under every kind of fault, and that what is planted is seen.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod converge;
mod exercises;
mod others;
mod planted;
mod trials;

use std::collections::BTreeSet;
use std::sync::Arc;

use sim::fault::Kind;
use sim::target::Target;
use sim::{Setting, Verdict};

pub const REVENUE: &str = include_str!("../../../../templates/stripe-to-chartmogul.yaml");
pub const NAMES: &str = include_str!("../../../../templates/stripe-customer-to-chartmogul.yaml");
pub const PAYMENTS: &str = include_str!("../../../../templates/failed-payment-alert.yaml");

pub fn target(text: &str) -> Target {
    let document = flow::Document::parse("flow.yaml", text).unwrap();
    Target::of(Arc::new(document), &connect::Catalog::embedded()).unwrap()
}

pub fn setting() -> Setting {
    Setting { catalog: Arc::new(connect::Catalog::embedded()), customers: 14, days: 30 }
}

pub fn every_kind() -> BTreeSet<Kind> {
    Kind::ALL.into_iter().collect()
}

/// Lives one seed under every kind of fault.
pub fn verify(target: &Target, seed: u64) -> Verdict {
    sim::verify(&setting(), target, seed, &every_kind(), false).unwrap()
}
