//! Prorations, to the second: what is given back for unused time and what remaining time costs.

use std::sync::Arc;

use super::calendar::day_name;
use super::discounts::round_ratio;
use super::model::*;

/// One pending invoice item that a change in mid-period causes.
#[derive(Debug)]
pub(super) struct Piece {
    pub item: String,
    pub price: Arc<Price>,
    pub quantity: i64,
    pub amount: i64,
    pub period: (i64, i64),
    pub description: String,
    /// What the amount is already after.
    pub discounts: Vec<Arc<Discount>>,
}

/// The share of a whole period's `cents` that falls on `[from, period end)`.
pub(super) fn share(cents: i64, period: (i64, i64), from: i64) -> i64 {
    let length = i128::from((period.1 - period.0).max(1));
    let rest = i128::from((period.1 - from).clamp(0, period.1 - period.0));
    round_ratio(i128::from(cents) * rest, length)
}

fn named(item: &Item) -> String {
    let name = &item.price.product_name;
    if item.quantity == 1 { name.clone() } else { format!("{} × {name}", item.quantity) }
}

/// What is given back for an item's unused time, at the price and under the discounts it was billed with.
pub(super) fn unused(item: &Item, period: (i64, i64), at: i64) -> Piece {
    Piece {
        item: item.id.clone(),
        price: Arc::clone(&item.price),
        quantity: item.quantity,
        amount: -share(item.net, period, at),
        period: (at, period.1),
        description: format!("Unused time on {} after {}", named(item), day_name(at)),
        discounts: item.in_force.clone(),
    }
}

/// What an item's remaining time costs.
pub(super) fn remaining(item: &Item, period: (i64, i64), at: i64) -> Piece {
    Piece {
        item: item.id.clone(),
        price: Arc::clone(&item.price),
        quantity: item.quantity,
        amount: share(item.net, period, at),
        period: (at, period.1),
        description: format!("Remaining time on {} after {}", named(item), day_name(at)),
        discounts: item.in_force.clone(),
    }
}

/// The pieces for everything that differs between two states of a subscription's items.
pub(super) fn pieces(before: &[Item], after: &[Item], period: (i64, i64), at: i64) -> Vec<Piece> {
    let same = |one: &Item, other: &Item| {
        one.id == other.id && one.price.id == other.price.id && one.quantity == other.quantity
    };
    let mut pieces = Vec::new();
    for item in before {
        if !after.iter().any(|kept| same(item, kept)) {
            pieces.push(unused(item, period, at));
        }
    }
    for item in after {
        if !before.iter().any(|kept| same(item, kept)) {
            pieces.push(remaining(item, period, at));
        }
    }
    pieces
}

/// The regular line of an item for a whole period.
pub(super) fn regular_line(subscription: &str, item: &Item, period: (i64, i64)) -> Line {
    let Price { unit_amount, currency, product_name, recurring, .. } = item.price.as_ref();
    let every = match recurring {
        Some(Recurring { interval, count: 1 }) => interval.as_str().to_owned(),
        Some(Recurring { interval, count }) => format!("every {count} {}s", interval.as_str()),
        None => "once".to_owned(),
    };
    let description =
        format!("{} × {product_name} (at {} / {every})", item.quantity, money(*unit_amount, currency));
    Line {
        id: String::new(),
        amount: item.gross(),
        description: Some(description),
        price: Some(Arc::clone(&item.price)),
        quantity: item.quantity,
        period,
        proration: false,
        subscription: Some(subscription.to_owned()),
        item: Some(item.id.clone()),
        invoice_item: None,
        discountable: true,
        discounts: Vec::new(),
        metadata: Metadata::new(),
    }
}

/// The free line of a trial.
pub(super) fn trial_line(subscription: &str, item: &Item, period: (i64, i64)) -> Line {
    let description = format!("Trial period for {}", item.price.product_name);
    Line { amount: 0, description: Some(description), ..regular_line(subscription, item, period) }
}

/// `$25.00`.
pub(super) fn money(cents: i64, currency: &str) -> String {
    let amount = format!("{}.{:02}", cents / 100, cents % 100);
    match currency {
        "usd" => format!("${amount}"),
        "eur" => format!("€{amount}"),
        "gbp" => format!("£{amount}"),
        _ => format!("{amount} {}", currency.to_uppercase()),
    }
}
