//! Delivery in memory: what arrives, in which order, how often.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::*;

const SECRET: &str = "whsec_test";

/// Headers and body of a delivery.
type Arrival = (Vec<(String, String)>, Bytes);

struct Inbox {
    arrived: Mutex<Vec<Arrival>>,
    /// Whether the attempt with that ordinal fails.
    failing: Box<dyn Fn(usize) -> bool + Send + Sync>,
    paused: Mutex<Duration>,
}

impl Inbox {
    fn new(failing: impl Fn(usize) -> bool + Send + Sync + 'static) -> Inbox {
        Inbox { arrived: Mutex::default(), failing: Box::new(failing), paused: Mutex::default() }
    }

    fn ids(&self) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()).collect()
    }
}

impl Endpoint for Inbox {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn post(&self, headers: Vec<(String, String)>, body: Bytes) -> PostFuture<'_> {
        let mut arrived = self.arrived.lock().unwrap();
        arrived.push((headers, body));
        let failed = (self.failing)(arrived.len() - 1);
        let reply =
            if failed { Err("refused".to_owned()) } else { Ok(Reply { status: 200, took: Duration::ZERO }) };
        Box::pin(ready(reply))
    }

    fn pause(&self, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        *self.paused.lock().unwrap() += wait;
        Box::pin(ready(()))
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn message(index: i64) -> Message {
    let id = format!("evt_{index:05}");
    Message { body: Bytes::from(id.clone()), id, created: at(index * 20) }
}

fn filled(seed: u64, events: i64) -> (Plan, u64) {
    let mut plan = Plan::new(seed, Policy::default());
    let planned = (0..events).map(|index| u64::from(plan.add(message(index)))).sum();
    (plan, planned)
}

async fn run(plan: &mut Plan, until: Timestamp, inbox: &Inbox) -> Records {
    let mut records = Records::default();
    let sender = Sender { secret: SECRET.to_owned(), in_flight_max: 8 };
    deliver(plan, until, inbox, &sender, &mut records).await;
    records
}

/// Stripe's documentation fixes the scheme; the value was computed with Python's `hmac`.
#[test]
fn signs_as_stripe_does() {
    let header =
        signature("whsec_abc", b"{\"id\":\"evt_1\"}", Timestamp::from_second(1_700_000_000).unwrap());
    let expected = "t=1700000000,v1=79f159714a0d01d9505691104b38e71f0dbb0d4bdeef387b113d07b870f50db3";
    assert_eq!(header, expected);
}

#[tokio::test]
async fn everything_arrives_some_of_it_twice_late_and_out_of_order() {
    let (mut plan, planned) = filled(3, 4_000);
    let inbox = Inbox::new(|_| false);
    let records = run(&mut plan, Timestamp::MAX, &inbox).await;
    assert!(plan.is_empty());
    let ids = inbox.ids();
    assert_eq!((ids.len() as u64, records.acked, records.attempts), (planned, planned, planned));
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), 4_000);
    assert_eq!(records.duplicates, planned - 4_000);
    assert!((120..=280).contains(&records.duplicates), "{} of 4000", records.duplicates);
    assert!(!ids.is_sorted());
    assert_eq!(records.ack_us.len() as u64, planned);
}

#[tokio::test]
async fn the_same_seed_delivers_in_the_same_order() {
    let order = async |seed| {
        let (mut plan, _) = filled(seed, 500);
        let inbox = Inbox::new(|_| false);
        run(&mut plan, Timestamp::MAX, &inbox).await;
        inbox.ids()
    };
    assert_eq!(order(1).await, order(1).await);
    assert_ne!(order(1).await, order(2).await);
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_due() {
    let (mut plan, planned) = filled(5, 2_000);
    let inbox = Inbox::new(|_| false);
    let noon = at(20_000);
    let records = run(&mut plan, noon, &inbox).await;
    assert_eq!(records.acked + plan.len() as u64, planned);
    let arrived: BTreeSet<String> = inbox.ids().into_iter().collect();
    for index in 0..2_000 {
        let message = message(index);
        assert!(!(arrived.contains(&message.id) && message.created > noon), "{}", message.id);
    }
    // Some of what happened before noon is late.
    assert!((0..990).any(|index| !arrived.contains(&message(index).id)));
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_bytes() {
    let (mut plan, planned) = filled(9, 300);
    let inbox = Inbox::new(|attempt| attempt % 3 != 0);
    let records = run(&mut plan, Timestamp::MAX, &inbox).await;
    assert!(plan.is_empty());
    assert_eq!(records.acked + records.given_up.len() as u64, planned);
    assert_eq!(records.attempts, records.acked + records.failures);
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    for id in inbox.ids() {
        *tries.entry(id).or_default() += 1;
    }
    assert_eq!(tries.len(), 300);
    assert!(*inbox.paused.lock().unwrap() > Duration::ZERO);
}

#[tokio::test]
async fn stripe_gives_up_after_three_days() {
    let mut plan = Plan::new(1, Policy { duplicated_ppm: 0, late_ppm: 0, ..Policy::default() });
    plan.add(message(1));
    let inbox = Inbox::new(|_| true);
    let records = run(&mut plan, Timestamp::MAX, &inbox).await;
    assert_eq!(records.given_up, ["evt_00001"]);
    assert_eq!(records.attempts, RETRIES.len() as u64 + 1);
    let tried_for: i64 = RETRIES.iter().map(|(twin_s, _)| twin_s).sum();
    assert!((2 * 86_400..=3 * 86_400).contains(&tried_for), "{tried_for} s");
    assert!(RETRIES.is_sorted(), "the back-off grows");
}

#[tokio::test]
async fn each_attempt_is_signed_when_it_is_sent() {
    let mut plan = Plan::new(1, Policy { duplicated_ppm: 0, ..Policy::default() });
    plan.add(message(4));
    let inbox = Inbox::new(|_| false);
    run(&mut plan, Timestamp::MAX, &inbox).await;
    let arrived = inbox.arrived.lock().unwrap();
    let (headers, body) = &arrived[0];
    let header = headers.iter().find(|(name, _)| name == "stripe-signature").map(|(_, value)| value.as_str());
    assert_eq!(header, Some(signature(SECRET, body, inbox.now()).as_str()));
}
