//! When each subscription of the ledger ends.

use std::collections::BTreeMap;

use crate::billing::{self, Status, Subscription};
use crate::ledger;

use super::{Cancellation, Observation, instant};

/// The cancellation dates that differ from the ledger's.
///
/// An undone cancellation empties them. An item that left a living subscription ended when its unused
/// time was credited.
pub(super) fn differing(
    billing: &billing::Snapshot,
    revenue_items: &BTreeMap<String, String>,
    held: &ledger::Snapshot,
    seen: &Observation,
) -> Vec<Cancellation> {
    let subscriptions: BTreeMap<&str, &Subscription> =
        billing.subscriptions.iter().map(|s| (s.id.as_str(), s)).collect();
    let held: BTreeMap<&str, &ledger::HeldSubscription> =
        held.subscriptions.iter().map(|s| (s.external_id.as_str(), s)).collect();
    let mut differing = Vec::new();
    for (item, subscription) in revenue_items {
        let Some(subscription) = subscriptions.get(subscription.as_str()) else { continue };
        let ends_at = match subscription.items.iter().find(|present| present.id == *item) {
            Some(present) => end(subscription, present),
            None if subscription.ended_at.is_some() => subscription.ended_at,
            None => Some(removed_at(billing, item).unwrap_or(seen.as_of)),
        };
        let held_at: Vec<i64> = held
            .get(item.as_str())
            .map(|s| s.cancellation_dates.iter().filter_map(|date| seconds(date)).collect())
            .unwrap_or_default();
        let wanted: Vec<i64> = ends_at.into_iter().collect();
        if held_at != wanted {
            differing.push(Cancellation {
                subscription_external_id: item.clone(),
                cancellation_dates: wanted.into_iter().filter_map(|at| instant(at).ok()).collect(),
            });
        }
    }
    differing
}

fn end(subscription: &Subscription, item: &billing::Item) -> Option<i64> {
    match subscription.status {
        Status::Canceled | Status::IncompleteExpired => subscription.ended_at,
        _ if subscription.cancel_at.is_some() => subscription.cancel_at,
        _ if subscription.cancel_at_period_end => Some(item.current_period_end),
        _ => None,
    }
}

fn removed_at(billing: &billing::Snapshot, item: &str) -> Option<i64> {
    let invoiced = billing
        .invoices
        .iter()
        .flat_map(|i| &i.lines)
        .filter(|line| line.proration && line.amount <= 0)
        .filter(|line| line.subscription_item.as_deref() == Some(item))
        .map(|line| line.period_start);
    let pending = billing
        .pending
        .iter()
        .filter(|credit| credit.proration && credit.amount <= 0)
        .filter(|credit| credit.subscription_item.as_deref() == Some(item))
        .map(|credit| credit.period_start);
    invoiced.chain(pending).max()
}

/// A time of the ledger in unix seconds.
pub(super) fn seconds(date: &str) -> Option<i64> {
    date.parse::<jiff::Timestamp>().ok().map(|t| t.as_second())
}
