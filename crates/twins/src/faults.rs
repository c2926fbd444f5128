//! Faults on demand: what goes wrong between a client and a vendor, from a seed or from a list.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Twin;
use crate::wire::{Answer, Request, Response};

/// One thing that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429, without effect.
    RateLimited { retry_after_s: Option<u32> },
    /// This 5xx status, without effect.
    Unavailable(u16),
    /// This 5xx status, although the request took effect.
    FailedAfterEffect(u16),
    /// The right answer, late.
    Slow(Duration),
    /// The connection closes before the request took effect.
    DroppedBefore,
    /// The connection closes after the request took effect.
    DroppedAfter,
}

/// How many of a million requests meet each fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub rate_limited_ppm: u32,
    pub unavailable_ppm: u32,
    pub failed_after_effect_ppm: u32,
    pub slow_ppm: u32,
    pub dropped_before_ppm: u32,
    pub dropped_after_ppm: u32,
}

impl Rates {
    /// Every fault at the same rate.
    pub fn even(ppm: u32) -> Rates {
        Rates {
            rate_limited_ppm: ppm,
            unavailable_ppm: ppm,
            failed_after_effect_ppm: ppm,
            slow_ppm: ppm,
            dropped_before_ppm: ppm,
            dropped_after_ppm: ppm,
        }
    }
}

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(30);
const PPM: u32 = 1_000_000;

struct State {
    rng: ChaCha8Rng,
    rates: Rates,
    queued: VecDeque<Fault>,
    injected: u64,
}

/// A twin behind an unreliable network. Faults queued by [`Faults::next`] come first, then those of the rates.
pub struct Faults {
    inner: Arc<dyn Twin>,
    state: Mutex<State>,
}

impl Faults {
    /// Wraps `inner`; the same seed and the same requests meet the same faults.
    pub fn new(inner: Arc<dyn Twin>, seed: u64, rates: Rates) -> Faults {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Faults { inner, state: Mutex::new(State { rng, rates, queued: VecDeque::new(), injected: 0 }) }
    }

    /// The next request meets this fault; several calls queue.
    pub fn next(&self, fault: Fault) {
        self.lock().queued.push_back(fault);
    }

    /// Changes the rates from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.lock().rates = rates;
    }

    /// How many requests met a fault so far.
    pub fn injected(&self) -> u64 {
        self.lock().injected
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> Option<Fault> {
        let mut state = self.lock();
        let fault = state.queued.pop_front().or_else(|| {
            let rates = state.rates;
            let mut at = state.rng.random_range(0..PPM);
            let table = [
                (rates.rate_limited_ppm, Fault::RateLimited { retry_after_s: None }),
                (rates.unavailable_ppm, Fault::Unavailable(503)),
                (rates.failed_after_effect_ppm, Fault::FailedAfterEffect(500)),
                (rates.slow_ppm, Fault::Slow(SLOW)),
                (rates.dropped_before_ppm, Fault::DroppedBefore),
                (rates.dropped_after_ppm, Fault::DroppedAfter),
            ];
            for (ppm, fault) in table {
                if at < ppm {
                    return Some(fault);
                }
                at -= ppm;
            }
            None
        });
        state.injected += u64::from(fault.is_some());
        fault
    }
}

impl Twin for Faults {
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// A dropped connection shows as 502 here; [`Twin::answer`] tells it apart.
    fn handle(&self, request: &Request) -> Response {
        self.answer(request).response.unwrap_or_else(|| Response::text(502, "connection dropped"))
    }

    fn answer(&self, request: &Request) -> Answer {
        match self.draw() {
            None => self.inner.answer(request),
            Some(Fault::RateLimited { retry_after_s }) => {
                let response = Response::text(429, "Too Many Requests");
                Answer::prompt(match retry_after_s {
                    Some(seconds) => response.with_header("retry-after", &seconds.to_string()),
                    None => response,
                })
            }
            Some(Fault::Unavailable(status)) => Answer::prompt(Response::text(status, "Service Unavailable")),
            Some(Fault::FailedAfterEffect(status)) => {
                let happened = self.inner.answer(request);
                let response = Response::text(status, "Internal Server Error");
                Answer { delay: happened.delay, response: Some(response) }
            }
            Some(Fault::Slow(delay)) => {
                let answer = self.inner.answer(request);
                Answer { delay: answer.delay + delay, ..answer }
            }
            Some(Fault::DroppedBefore) => Answer::dropped(),
            Some(Fault::DroppedAfter) => Answer { response: None, ..self.inner.answer(request) },
        }
    }
}
