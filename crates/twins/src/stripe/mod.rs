//! Stripe's twin: billing as Stripe does it, in its wire format, on a clock of its own.
//!
//! Two ways in, one set of rules behind them: requests ([`Twin::handle`]) and the methods of [`Stripe`]. Time
//! moves only by [`Stripe::advance_to`] (over the wire: a test clock's `advance`), which does what falls due on
//! the way: renewals, trial ends, retries, announced cancellations. Every change is told as an event with a
//! snapshot of its object, rendered at whatever API version is asked for.
//!
//! Simulated: per-unit recurring prices, coupons, trials, prorations to the second, invoices, customer balance,
//! cards, retries, refunds. Not simulated, and refused by name: tiers, metering, tax, several intervals in one
//! subscription, schedules, pauses, promotion codes, Connect.
//!
//! Where to look: `router` (routes), `subscriptions` and `invoices` (the billing rules, with their state tables),
//! `render` (shapes per version), `oracle` (the truth about MRR).

mod account;
mod calendar;
mod cards;
mod catalog;
mod customers;
mod discounts;
mod errors;
mod events;
mod expand;
mod form;
mod handle;
mod idempotency;
mod ids;
mod invoices;
mod model;
mod oracle;
mod paging;
mod payments;
mod proration;
mod render;
mod router;
mod search;
mod subscriptions;
mod table;
#[cfg(test)]
mod tests;
mod version;
mod views;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::Twin;
use crate::wire::{Request, Response};

pub use errors::Error;
pub use handle::{Cancel, Card, Change, NewCoupon, NewCustomer, NewPrice, NewSubscription};
pub use model::{Duration, Endpoint, Interval, InvoiceStatus, Off, Proration, SubscriptionStatus};
pub use oracle::MrrChange;
pub use views::{CustomerView, Event, InvoiceView, ItemView, SubscriptionView};

/// The version of an account that was opened today.
pub const API_VERSION: &str = "2026-09-30.endive";

/// What an account is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// The one key that is accepted.
    pub secret_key: String,
    /// The account's default API version: of requests that name none, and of events.
    pub api_version: String,
    /// Where its clock stands.
    pub start: Timestamp,
    pub dunning: Dunning,
}

impl Config {
    /// The usual account.
    pub fn new(seed: u64, start: Timestamp) -> Config {
        Config {
            seed,
            secret_key: "sk_test_twin_51Sandbox".to_owned(),
            api_version: API_VERSION.to_owned(),
            start,
            dunning: Dunning::default(),
        }
    }
}

/// What the account does about invoices that are not paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dunning {
    /// Days from each failed attempt to the next.
    pub retry_days: Vec<i64>,
    /// What follows the last one.
    pub finally: Finally,
}

impl Default for Dunning {
    fn default() -> Dunning {
        Dunning { retry_days: vec![3, 5, 7], finally: Finally::Cancel }
    }
}

/// What becomes of a subscription whose invoice could not be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finally {
    Cancel,
    Unpaid,
    PastDue,
}

/// A handle to one simulated account; clones share it.
#[derive(Clone)]
pub struct Stripe {
    world: Arc<Mutex<world::World>>,
}

impl Stripe {
    /// Opens an account.
    ///
    /// # Errors
    /// When the configured API version is not one.
    pub fn open(config: Config) -> Result<Stripe, Error> {
        Ok(Stripe { world: Arc::new(Mutex::new(world::World::new(config)?)) })
    }

    fn world(&self) -> MutexGuard<'_, world::World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Twin for Stripe {
    fn name(&self) -> &str {
        "stripe"
    }

    fn handle(&self, request: &Request) -> Response {
        router::answer(&mut self.world(), request)
    }
}
