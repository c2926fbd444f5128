//! What is delivered when: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One event as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    /// When it happened, in twin time.
    pub created: Timestamp,
    /// The event's JSON: the same bytes in every attempt.
    pub body: Bytes,
}

/// How unreliable delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Share of events sent a second time, in parts per million.
    pub duplicated_ppm: u32,
    /// Share of events that are late by hours to days, in parts per million.
    pub late_ppm: u32,
    /// The latest of the late, in seconds of twin time.
    pub late_s_max: i64,
    /// Every event waits up to this long, in seconds of twin time, so that neighbours change places.
    pub spread_s_max: i64,
}

impl Default for Policy {
    /// 5 % twice, 3 % late by up to four days, the rest within two minutes.
    fn default() -> Policy {
        Policy { duplicated_ppm: 50_000, late_ppm: 30_000, late_s_max: 4 * 86_400, spread_s_max: 120 }
    }
}

impl Policy {
    /// Everything at once, in order, and once.
    pub fn prompt() -> Policy {
        Policy { duplicated_ppm: 0, late_ppm: 0, late_s_max: 0, spread_s_max: 0 }
    }
}

/// What a late event waits at least, in seconds.
const LATE_S_MIN: i64 = 3_600;
/// The second copy comes within this many seconds of the first.
const COPY_S_MAX: i64 = 6 * 3_600;

/// Stripe tries again with exponential back-off for up to three days. After each failed attempt: how long until the
/// next in twin time (seconds), and in a compressed month at least in wall time (milliseconds), so that an endpoint
/// that restarts has the time to.
pub const RETRIES: [(i64, u64); 10] = [
    (5 * 60, 50),
    (30 * 60, 100),
    (2 * 3_600, 200),
    (5 * 3_600, 400),
    (10 * 3_600, 800),
    (10 * 3_600, 1_000),
    (11 * 3_600, 1_500),
    (11 * 3_600, 2_000),
    (11 * 3_600, 3_000),
    (11 * 3_600, 4_000),
];

/// One attempt to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub message: Arc<Message>,
    /// 0 for the first delivery, 1 for the duplicate.
    pub copy: u32,
    /// Failed attempts so far.
    pub failed: usize,
    /// When it is sent, in twin time.
    pub due: Timestamp,
}

/// The deliveries that are still to be made, in order of twin time.
#[derive(Debug)]
pub struct Plan {
    seed: u64,
    policy: Policy,
    due: BTreeMap<(Timestamp, u64), Delivery>,
    ordinal: u64,
    events: u64,
}

impl Plan {
    /// An empty plan; the same seed and events are delivered in the same order.
    pub fn new(seed: u64, policy: Policy) -> Plan {
        Plan { seed, policy, due: BTreeMap::new(), ordinal: 0, events: 0 }
    }

    /// Plans one event's delivery or two. Answers how many.
    pub fn add(&mut self, message: Message) -> u32 {
        self.events += 1;
        // A stream per event: what happens to one doesn't depend on the others.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.events);
        let policy = self.policy;
        let mut hit = |ppm: u32| rng.random_range(0..1_000_000) < ppm;
        let (late, twice) = (hit(policy.late_ppm), hit(policy.duplicated_ppm));
        let wait = if late {
            rng.random_range(LATE_S_MIN..=policy.late_s_max.max(LATE_S_MIN))
        } else {
            rng.random_range(0..=policy.spread_s_max)
        };
        let again = rng.random_range(0..=COPY_S_MAX);
        let message = Arc::new(message);
        let first = after(message.created, wait);
        self.put(Delivery { message: Arc::clone(&message), copy: 0, failed: 0, due: first });
        if twice {
            self.put(Delivery { message, copy: 1, failed: 0, due: after(first, again) });
        }
        1 + u32::from(twice)
    }

    /// The next delivery that is due at `now`, taken from the plan.
    pub fn take(&mut self, now: Timestamp) -> Option<Delivery> {
        let next = self.due.first_entry()?;
        if next.key().0 > now { None } else { Some(next.remove()) }
    }

    /// When the next delivery is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Plans the next attempt of a delivery that failed. False: Stripe has given up.
    pub fn failed(&mut self, mut delivery: Delivery) -> bool {
        let Some((wait, _)) = RETRIES.get(delivery.failed) else { return false };
        delivery.due = after(delivery.due, *wait);
        delivery.failed += 1;
        self.put(delivery);
        true
    }

    /// Deliveries still to be made.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether everything was delivered.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    fn put(&mut self, delivery: Delivery) {
        self.ordinal += 1;
        self.due.insert((delivery.due, self.ordinal), delivery);
    }
}

/// `at` and some seconds; twin time is far from the end of the calendar.
fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
