//! What one connection can bear: requests at once, and requests in a time. One gate per connection and node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect::{BoxFuture, Limits, Transport, TransportError, wire};
use flow::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::Node;
use crate::held::Held;
use crate::timer::Timer;

/// The gates of a node, by (workspace, connection).
#[derive(Default)]
pub struct Gates {
    gates: Mutex<BTreeMap<(String, String), Arc<Gate>>>,
}

impl Gates {
    /// The gate of a connection. Its capacity is the manifest's, read once.
    pub fn of(&self, workspace: &str, connection: &str, limits: &Limits) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry((workspace.to_owned(), connection.to_owned()));
        gate.or_insert_with(|| Arc::new(Gate::new(limits))).clone()
    }
}

/// Lets so many requests through at once, and so many in a time.
pub struct Gate {
    in_flight: Semaphore,
    pace: Option<Mutex<Pace>>,
}

impl Gate {
    fn new(limits: &Limits) -> Gate {
        let permits =
            if limits.max_in_flight == 0 { crate::limits::IN_FLIGHT_DEFAULT } else { limits.max_in_flight };
        let pace = (limits.rate_requests > 0 && !limits.rate_per.is_zero())
            .then(|| Mutex::new(Pace::new(limits.rate_requests, limits.rate_per)));
        Gate { in_flight: Semaphore::new(permits), pace }
    }
}

/// A budget as a schedule (the generic cell rate algorithm): each request moves `due` on by one interval, and may be
/// early by `burst`.
#[derive(Debug)]
struct Pace {
    interval: SignedDuration,
    burst: SignedDuration,
    due: Option<Timestamp>,
}

impl Pace {
    /// A quarter of the budget may be spent at once; more, and a window that straddles two bursts would exceed it.
    fn new(requests: u32, per: Duration) -> Pace {
        let per = SignedDuration::try_from(per).unwrap_or(SignedDuration::from_secs(1));
        let requests = i32::try_from(requests).unwrap_or(i32::MAX);
        Pace { interval: per / requests, burst: per / 4, due: None }
    }

    /// Takes the next place; says how long it is until then.
    fn take(&mut self, now: Timestamp) -> SignedDuration {
        let due = self.due.unwrap_or(now).max(now);
        self.due = due.saturating_add(self.interval).ok();
        (due.duration_since(now) - self.burst).max(SignedDuration::ZERO)
    }
}

/// The transport as one connection may use it: every request, pages and lookups too, goes through the gate.
pub struct Gated<'a> {
    pub transport: &'a dyn Transport,
    pub gate: Arc<Gate>,
    pub clock: &'a dyn Clock,
    pub timer: &'a dyn Timer,
    /// For whom requests are sent.
    pub held: &'a Held,
    pub node: &'a Node,
    /// Whether the vendor's budget counts. A sandbox twin has no budget, and its time is not ours.
    pub paced: bool,
}

impl Transport for Gated<'_> {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(async move {
            let permit = self.gate.in_flight.acquire().await;
            let Ok(_permit) = permit else {
                return Err(TransportError { sent: false, detail: "the connection's gate is closed".into() });
            };
            if let Some(pace) = self.gate.pace.as_ref().filter(|_| self.paced) {
                let wait = pace.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now());
                if !wait.is_zero() {
                    self.timer.sleep(wait.unsigned_abs()).await;
                }
            }
            // It may have waited here for longer than the lease.
            if self.held.may_be_lost(self.node) {
                let detail = "another node may have taken the run over meanwhile".to_owned();
                return Err(TransportError { sent: false, detail });
            }
            self.transport.send(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_keeps_the_budget_after_a_burst() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pace = Pace::new(40, Duration::from_secs(1));
        let waits: Vec<i128> = (0..51).map(|_| pace.take(now).as_millis()).collect();
        assert!(waits[..11].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[11], 25);
        // 51 requests: the last one a second after the burst is spent.
        assert_eq!(waits[50], 1000);
        // An idle second does not save up more than one burst.
        let later = now + SignedDuration::from_secs(60);
        assert_eq!((0..12).filter(|_| pace.take(later).is_zero()).count(), 11);
    }
}
