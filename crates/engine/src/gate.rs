//! What one connection can bear: requests at once, requests in a time, and the vendor's own word. One gate per connection
//! and node; nodes that share a database share the budget.
//!
//! | | live | background (events that are asked for) |
//! |---|---|---|
//! | at once | all places | at most half of them |
//! | in a time | a quarter of the budget may be spent ahead | nothing is spent ahead: who is live comes first |
//! | the vendor said "not before" | waits for a while here, else is tried again then | the same |
//!
//! On a database of its own a node keeps the budget in memory. On a shared one it takes the next places of the budget
//! there, some at a time ([`store::Store::take_budget`]), and learns how many nodes use the connection, so that each has
//! its part of the places at once, and what the vendor told another node. Where no budget is stated it looks there for
//! these two every [`LOOK`]. Where the store does not answer soon, the node keeps the pace by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connect::{BoxFuture, Class, Connection, Limits, Manifest, Transport, TransportError, wire};
use flow::WorkspaceId;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Node;
use crate::held::Held;
use crate::limits::{CLOSED_IN_PLACE_MAX, IN_FLIGHT_DEFAULT, PLACES_AHEAD, PLACES_AT_ONCE_MAX};

type Key = (WorkspaceId, String);

/// Between two looks at what other nodes know of a connection whose budget is not stated.
const LOOK: SignedDuration = SignedDuration::from_secs(1);
/// A request waits no longer than this for the store to say when its place is.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// The gates of a node, by workspace and connection.
#[derive(Default)]
pub struct Gates {
    gates: Mutex<BTreeMap<Key, Arc<Gate>>>,
}

impl Gates {
    /// The gate of a connection. Its capacity is the manifest's, read once.
    pub fn of(&self, workspace: &WorkspaceId, connection: &str, limits: &Limits) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        let key = (workspace.clone(), connection.to_owned());
        gates.entry(key.clone()).or_insert_with(|| Arc::new(Gate::new(key, limits))).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For what a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody or something waits for it.
    Live,
    /// It makes up for what was missed.
    Background,
}

/// Lets so many requests through at once, and so many in a time.
pub struct Gate {
    key: Key,
    places: u32,
    in_flight: Semaphore,
    background: Semaphore,
    /// Nodes that use the connection, this one among them.
    nodes: AtomicU32,
    pace: Option<Pace>,
    /// Held while places are taken from the store, so that one asks for all that wait.
    taken: tokio::sync::Mutex<Taken>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the next place of the budget is, by this node's own count.
    due: Option<Timestamp>,
    /// The vendor's word: not before then. By the address that it is about; empty: all of them.
    closed: BTreeMap<String, Timestamp>,
}

/// Places of a shared budget that this node has taken.
#[derive(Default)]
struct Taken {
    next: Timestamp,
    left: u32,
    /// When the store was asked last where no budget is stated.
    looked: Timestamp,
}

impl Gate {
    fn new(key: Key, limits: &Limits) -> Gate {
        let places = if limits.max_in_flight == 0 { IN_FLIGHT_DEFAULT } else { limits.max_in_flight };
        let pace = (limits.rate_requests > 0 && !limits.rate_per.is_zero())
            .then(|| Pace::new(limits.rate_requests, limits.rate_per));
        Gate {
            key,
            places: u32::try_from(places).unwrap_or(u32::MAX),
            in_flight: Semaphore::new(places),
            background: Semaphore::new((places / 2).max(1)),
            nodes: AtomicU32::new(1),
            pace,
            taken: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// A place among the requests at once. What other nodes may send counts as places in use.
    async fn enter(&self, urgency: Urgency) -> Option<[Option<SemaphorePermit<'_>>; 2]> {
        let share = self.nodes.load(Ordering::Relaxed).clamp(1, self.places.max(1));
        let background = match urgency {
            Urgency::Live => None,
            Urgency::Background => {
                Some(self.background.acquire_many(share.min((self.places / 2).max(1))).await.ok()?)
            }
        };
        Some([background, Some(self.in_flight.acquire_many(share).await.ok()?)])
    }

    /// How long the vendor has said not to come, to an address.
    fn closed(&self, address: &str, now: Timestamp) -> SignedDuration {
        let mut state = lock(&self.state);
        state.closed.retain(|_, until| *until > now);
        let until = |address: &str| state.closed.get(address).copied();
        until(address).max(until("")).map_or(SignedDuration::ZERO, |until| until.duration_since(now))
    }

    /// The vendor does not want to be asked before a time.
    fn close(&self, address: &str, until: Timestamp) {
        let mut state = lock(&self.state);
        let closed = state.closed.entry(address.to_owned()).or_insert(until);
        *closed = (*closed).max(until);
    }

    /// Takes the next place of the budget; how long it is until then.
    async fn take(&self, node: &Node, urgency: Urgency) -> SignedDuration {
        let Some(pace) = &self.pace else {
            if node.store.is_shared() {
                self.look(node).await;
            }
            return SignedDuration::ZERO;
        };
        let at = match node.store.is_shared() {
            true => self.shared(node, pace).await,
            false => None,
        };
        let now = node.clock.now();
        let at = at.unwrap_or_else(|| pace.next(&mut lock(&self.state).due, now));
        pace.wait(at, now, urgency)
    }

    /// The next place of a budget that nodes share; none if the store does not say.
    async fn shared(&self, node: &Node, pace: &Pace) -> Option<Timestamp> {
        let mut taken = self.taken.lock().await;
        // Places that passed unused are gone: used now, they would come on top of the others'.
        let passed = node.clock.now().duration_since(taken.next) > pace.burst.max(pace.interval);
        if taken.left == 0 || passed {
            let places = pace.at_once();
            let interval = pace.interval.as_micros() as i64;
            let ahead = self.ask(node, (places, interval)).await?;
            // The store's answer is of the time at which it came.
            let now = node.clock.now();
            taken.next = now.saturating_add(ahead).unwrap_or(now);
            taken.left = places;
        }
        let at = taken.next;
        taken.left -= 1;
        taken.next = at.saturating_add(pace.interval).unwrap_or(at);
        Some(at)
    }

    /// Learns, now and then, what other nodes know of the connection.
    async fn look(&self, node: &Node) {
        let mut taken = self.taken.lock().await;
        let now = node.clock.now();
        if now.duration_since(taken.looked).abs() >= LOOK {
            taken.looked = now;
            self.ask(node, (0, 0)).await;
        }
    }

    /// Takes places in the store, and learns what it knows; how long it is until the first of them.
    async fn ask(&self, node: &Node, places: (u32, i64)) -> Option<SignedDuration> {
        let (workspace, connection) = &self.key;
        let asked = node.clock.now();
        let budget = node.store.take_budget((workspace, connection), &node.config.node, places, asked);
        let budget = tokio::select! {
            biased;
            budget = budget => budget.map_err(|error| error.to_string()),
            () = node.timer.sleep(STORE_WAIT) => Err("the store takes too long".to_owned()),
        };
        match budget {
            Ok(budget) => {
                self.nodes.store(budget.nodes, Ordering::Relaxed);
                let now = node.clock.now();
                if let Some(closed) = budget.closed {
                    self.close("", now.saturating_add(closed).unwrap_or(now));
                }
                Some(budget.ahead)
            }
            Err(error) => {
                tracing::debug!(connection, error, "this node keeps the pace by itself");
                None
            }
        }
    }
}

/// A budget as a schedule (the generic cell rate algorithm): each request moves the next place on by one interval, and
/// may be early by `burst`.
#[derive(Debug)]
struct Pace {
    interval: SignedDuration,
    burst: SignedDuration,
}

impl Pace {
    /// A quarter of the budget may be spent at once; more, and a window that straddles two bursts would exceed it.
    fn new(requests: u32, per: Duration) -> Pace {
        let per = SignedDuration::try_from(per).unwrap_or(SignedDuration::from_secs(1));
        let requests = i32::try_from(requests).unwrap_or(i32::MAX);
        Pace { interval: per / requests, burst: per / 4 }
    }

    /// Takes the next place, and moves it on.
    fn next(&self, due: &mut Option<Timestamp>, now: Timestamp) -> Timestamp {
        let at = due.unwrap_or(now).max(now);
        *due = at.saturating_add(self.interval).ok();
        at
    }

    /// How long it is until a place may be used.
    fn wait(&self, at: Timestamp, now: Timestamp, urgency: Urgency) -> SignedDuration {
        let early = if urgency == Urgency::Live { self.burst } else { SignedDuration::ZERO };
        (at.duration_since(now) - early).max(SignedDuration::ZERO)
    }

    /// Places that are taken together of a budget that nodes share.
    fn at_once(&self) -> u32 {
        let places = PLACES_AHEAD.as_micros() / self.interval.as_micros().max(1);
        u32::try_from(places).unwrap_or(u32::MAX).clamp(1, PLACES_AT_ONCE_MAX)
    }
}

/// The transport as one connection may use it: every request, pages and lookups too, goes through the gate.
pub struct Gated<'a> {
    transport: &'a dyn Transport,
    gate: Arc<Gate>,
    node: &'a Node,
    /// What the manifest says of budgets.
    limits: &'a Limits,
    /// For whom requests are sent, if that is a run.
    held: Option<&'a Held>,
    urgency: Urgency,
    /// Whether the vendor's budget counts. A sandbox twin has no budget, and its time is not ours.
    paced: bool,
    /// For how long the vendor has closed, where that kept a request from being sent.
    closed: Mutex<Option<SignedDuration>>,
}

impl Node {
    /// The way to a connection's vendor, through its gate.
    pub fn gated<'a>(
        &'a self,
        workspace: &WorkspaceId,
        connection: &Connection,
        manifest: &'a Manifest,
        held: Option<&'a Held>,
        urgency: Urgency,
    ) -> Gated<'a> {
        let limits = manifest.limits();
        Gated {
            transport: self.transport.as_ref(),
            gate: self.gates.of(workspace, &connection.name, limits),
            node: self,
            limits,
            held,
            urgency,
            paced: connection.base_url.is_none(),
            closed: Mutex::default(),
        }
    }
}

impl Gated<'_> {
    /// An error, and when to come again if the vendor had closed.
    pub fn told(&self, error: connect::Error) -> connect::Error {
        match lock(&self.closed).take() {
            Some(wait) => connect::Error { class: Class::Retry { after: Some(wait) }, ..error },
            None => error,
        }
    }

    /// Waits until the vendor is open again, if that is soon.
    async fn open(&self, address: &str) -> Result<(), TransportError> {
        // What closes it meanwhile is waited for as well.
        loop {
            let wait = self.gate.closed(address, self.node.clock.now());
            if wait.is_zero() {
                return Ok(());
            }
            if wait > CLOSED_IN_PLACE_MAX {
                *lock(&self.closed) = Some(wait);
                let detail = format!("the vendor said not to come for another {} s", wait.as_secs() + 1);
                return Err(TransportError { sent: false, detail });
            }
            self.node.timer.sleep(wait.unsigned_abs()).await;
        }
    }

    /// Keeps what an answer says of the budget.
    async fn note(&self, address: &str, response: &wire::Response) {
        let now = self.node.clock.now();
        let Some(wait) = self.limits.closed_for(response, now) else { return };
        let until = now.saturating_add(wait).unwrap_or(now);
        let of_all = !self.limits.refuses_by_address;
        self.gate.close(if of_all { "" } else { address }, until);
        let (workspace, connection) = &self.gate.key;
        tracing::debug!(connection, seconds = wait.as_secs(), "the vendor wants a pause");
        if of_all && self.node.store.is_shared() {
            let closed = self.node.store.close_budget((workspace, connection), wait, now).await;
            if let Err(error) = closed {
                tracing::debug!(connection, %error, "other nodes are not told of it");
            }
        }
    }
}

impl Transport for Gated<'_> {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(async move {
            let Some(_place) = self.gate.enter(self.urgency).await else {
                return Err(TransportError { sent: false, detail: "the connection's gate is closed".into() });
            };
            let address = request.url.path().to_owned();
            if self.paced {
                self.open(&address).await?;
                let wait = self.gate.take(self.node, self.urgency).await;
                if !wait.is_zero() {
                    self.node.timer.sleep(wait.unsigned_abs()).await;
                    self.open(&address).await?;
                }
            }
            // It may have waited here for longer than the lease.
            if self.held.is_some_and(|held| held.may_be_lost(self.node)) {
                let detail = "another node may have taken the run over meanwhile".to_owned();
                return Err(TransportError { sent: false, detail });
            }
            let answer = self.transport.send(request).await;
            if let Some(response) = answer.as_ref().ok().filter(|_| self.paced) {
                self.note(&address, response).await;
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(
        pace: &Pace,
        due: &mut Option<Timestamp>,
        now: Timestamp,
        urgency: Urgency,
        n: usize,
    ) -> Vec<i128> {
        let wait = |_| pace.wait(pace.next(due, now), now, urgency).as_millis();
        (0..n).map(wait).collect()
    }

    #[test]
    fn pace_keeps_the_budget_after_a_burst() {
        let now = Timestamp::UNIX_EPOCH;
        let (pace, mut due) = (Pace::new(40, Duration::from_secs(1)), None);
        let first = waits(&pace, &mut due, now, Urgency::Live, 51);
        assert!(first[..11].iter().all(|wait| *wait == 0), "{first:?}");
        assert_eq!(first[11], 25);
        // 51 requests: the last one a second after the burst is spent.
        assert_eq!(first[50], 1000);
        // An idle second does not save up more than one burst.
        let later = now + SignedDuration::from_secs(60);
        let then = waits(&pace, &mut due, later, Urgency::Live, 12);
        assert_eq!(then.iter().filter(|wait| **wait == 0).count(), 11);
    }

    #[test]
    fn the_background_spends_nothing_ahead() {
        let now = Timestamp::UNIX_EPOCH;
        let (pace, mut due) = (Pace::new(40, Duration::from_secs(1)), None);
        assert_eq!(waits(&pace, &mut due, now, Urgency::Background, 4), [0, 25, 50, 75]);
        // Who is live is let through before what the background waits for.
        assert_eq!(waits(&pace, &mut due, now, Urgency::Live, 8), [0, 0, 0, 0, 0, 0, 0, 25]);
    }

    #[test]
    fn places_are_taken_together_as_far_as_a_quarter_of_a_second_has_them() {
        for (requests, seconds, places) in [(1, 1, 1), (25, 1, 6), (1000, 1, 16), (1, 60, 1), (100, 60, 1)] {
            assert_eq!(Pace::new(requests, Duration::from_secs(seconds)).at_once(), places, "{requests}");
        }
    }

    #[test]
    fn the_vendors_word_holds_for_all_or_for_an_address() {
        let gate = Gate::new((WorkspaceId::default(), "acme".into()), &Limits::default());
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        gate.close("/a", at(100));
        gate.close("/a", at(50));
        let closed = |address: &str, now| gate.closed(address, at(now)).as_secs();
        assert_eq!((closed("/a", 40), closed("/b", 40)), (60, 0));
        gate.close("", at(70));
        assert_eq!((closed("/a", 40), closed("/b", 40)), (60, 30));
        assert_eq!((closed("/a", 80), closed("/b", 80)), (20, 0));
        assert_eq!(closed("/a", 100), 0);
    }
}
