//! ChartMogul: data sources, customers, plans, invoices, subscriptions and the metrics computed from them.
//!
//! The wire format follows recorded answers of the real API and the official clients; where neither shows a thing,
//! the doc comment at the place says what was assumed. MRR is computed in [`mrr`] from the invoices and
//! cancellations that the twin holds, by ChartMogul's published formula, and by nothing else.
//!
//! Start at [`ChartMogul`]; requests go through `route`.

mod activities;
mod attributes;
mod catalog;
mod counters;
mod crm;
mod customers;
mod events;
pub mod fx;
mod input;
mod invoices;
mod lines;
mod merge;
mod metrics;
mod model;
pub mod mrr;
mod page;
mod reply;
pub mod report;
mod route;
mod sources;
mod state;
mod subscriptions;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod transactions;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

pub use counters::Counters;
pub use fx::Fx;
pub use report::Report;

use crate::wire::{Request, Response};
use crate::{Twin, chartmogul::state::State};

/// The account as `GET /account` shows it.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub time_zone: String,
    pub week_start_on: String,
}

/// Limits of the real API; the twin's own clock stands still between requests, so time is handed in.
#[derive(Clone)]
pub struct Limits {
    /// More than this many requests within one second of `clock` are answered 429.
    pub requests_per_s: u32,
    /// More than this many requests at the same time are answered 503.
    pub parallel: u32,
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Limits {
    /// 40 requests a second, 20 in parallel.
    pub fn published(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Limits {
        Limits { requests_per_s: 40, parallel: 20, clock }
    }
}

/// How a twin is made.
#[derive(Clone)]
pub struct Config {
    pub api_key: String,
    pub seed: u64,
    /// What the twin's clock shows first.
    pub now: Timestamp,
    pub account: Account,
    /// The account's currency and the rates into it.
    pub fx: Fx,
    /// `None`: no limits.
    pub limits: Option<Limits>,
}

impl Config {
    /// An account in US dollars, with the rates of [`Fx::default`] and without limits.
    pub fn new(api_key: &str, seed: u64, now: Timestamp) -> Config {
        let account = Account {
            name: "Tributary Sandbox".to_owned(),
            time_zone: "UTC".to_owned(),
            week_start_on: "monday".to_owned(),
        };
        Config { api_key: api_key.to_owned(), seed, now, account, fx: Fx::default(), limits: None }
    }
}

struct Inner {
    authorization: String,
    limits: Option<Limits>,
    in_flight: AtomicU32,
    /// The second of the limits' clock, and the requests in it.
    window: Mutex<(i64, u32)>,
    state: Mutex<State>,
}

/// The simulated ChartMogul. A clone is another handle to the same one.
#[derive(Clone)]
pub struct ChartMogul(Arc<Inner>);

impl ChartMogul {
    /// An empty account.
    pub fn new(config: Config) -> ChartMogul {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{}:", config.api_key)));
        let state = Mutex::new(State::new(&config));
        ChartMogul(Arc::new(Inner {
            authorization,
            limits: config.limits,
            in_flight: AtomicU32::new(0),
            window: Mutex::new((i64::MIN, 0)),
            state,
        }))
    }

    /// What the clock shows: it dates objects, and MRR "now" is the MRR at it.
    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// Moves the clock, forwards or back.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// The account's currency and rates.
    pub fn fx(&self) -> Fx {
        self.state().fx.clone()
    }

    /// MRR and movements of every day from `from` to `to`, and of every customer at `to`, computed from the
    /// invoices and cancellations held. See [`Report`] for what the bounds include.
    pub fn report(&self, from: Timestamp, to: Timestamp) -> Report {
        report::of(&self.state(), from, to)
    }

    /// What was written, and what was written twice.
    pub fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Some`: the request is refused by a limit.
    fn limit(&self, in_flight: u32) -> Option<Response> {
        let limits = self.0.limits.as_ref()?;
        if in_flight > limits.parallel {
            return Some(Response::text(503, "503 Service Unavailable"));
        }
        let second = (limits.clock)().as_second();
        let mut window = self.0.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 += 1;
        (window.1 > limits.requests_per_s).then(|| Response::text(429, "429 Too Many Requests"))
    }

    fn answer(&self, request: &Request, in_flight: u32) -> Response {
        if let Some(refused) = self.limit(in_flight) {
            self.state().counters.limited += 1;
            return refused;
        }
        if request.header("authorization") != Some(self.0.authorization.as_str()) {
            return reply::coded(401, "No valid API key provided", None);
        }
        route::answer(&mut self.state(), request)
    }
}

impl Twin for ChartMogul {
    fn name(&self) -> &str {
        "chartmogul"
    }

    fn handle(&self, request: &Request) -> Response {
        let in_flight = self.0.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let response = self.answer(request, in_flight);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        response
    }
}
