//! How events get from the vendor to the process: signed, mostly at once, and again until they are acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use engine::Timer as _;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use twins::webhook::{self, Delivery, Message, Policy, signature};

use crate::chance::{Chance, Stream};
use crate::fault::{Fault, Faults};
use crate::node::ask;
use crate::time::Time;
use crate::trace::Trace;

/// An event is under way for so many milliseconds at least and at most.
const LATENCY_MS: (u64, u64) = (300, 3_000);
/// Between events that are sent again by hand after the life.
const BACK_FILL_PACE: SignedDuration = SignedDuration::from_secs(20);

/// An event as the vendor sent it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    pub r#type: String,
    pub created: Timestamp,
    pub body: Bytes,
}

/// The number of a delivery, and the status that came back, if one did.
type Answer = (u64, Option<u16>);

/// The vendor's sender, and what it saw.
pub struct Post {
    time: Arc<Time>,
    trace: Trace,
    faults: Arc<Mutex<Faults>>,
    chance: Chance,
    plan: webhook::Plan,
    /// `/hooks/…`, and the secret that events are signed with.
    path: String,
    secret: String,
    pub sent: Vec<Sent>,
    lost: Vec<Message>,
    /// Events whose delivery was answered with a 2xx that arrived.
    pub acknowledged: BTreeSet<String>,
    pub given_up: Vec<String>,
    deliveries: u64,
    in_flight: BTreeMap<u64, (Delivery, JoinHandle<()>)>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Post {
    pub fn new(seed: u64, time: Arc<Time>, faults: Arc<Mutex<Faults>>, trace: Trace) -> Post {
        Post {
            time,
            trace,
            faults,
            chance: Chance::new(seed, Stream::Post),
            plan: webhook::Plan::new(seed, Policy::prompt()),
            path: String::new(),
            secret: String::new(),
            sent: Vec::new(),
            lost: Vec::new(),
            acknowledged: BTreeSet::new(),
            given_up: Vec::new(),
            deliveries: 0,
            in_flight: BTreeMap::new(),
            answers: Arc::default(),
        }
    }

    /// Where events go, and what they are signed with.
    pub fn address(&mut self, path: &str, secret: &str) {
        self.path = path.to_owned();
        self.secret = secret.to_owned();
    }

    /// What events are signed with.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Plans the delivery of an event that just happened.
    pub fn plan(&mut self, event: Sent) {
        let ordinal = self.sent.len() as u64 + 1;
        let latency = Duration::from_millis(self.chance.pick(LATENCY_MS.0, LATENCY_MS.1));
        let mut due = later(self.time.truth(), SignedDuration::try_from(latency).unwrap_or_default());
        self.trace.say(|| format!("stripe: event {ordinal} {} {}", event.id, event.r#type));
        let message = |due| Message { id: event.id.clone(), created: due, body: event.body.clone() };
        let struck = lock(&self.faults).all(|fault| match fault {
            Fault::Duplicate { event, .. }
            | Fault::Reorder { event, .. }
            | Fault::Late { event, .. }
            | Fault::Lost { event } => *event == ordinal,
            _ => false,
        });
        let (mut lost, mut again) = (false, None);
        for fault in struck {
            self.trace.say(|| format!("FAULT {fault}"));
            match fault {
                Fault::Reorder { by, .. } | Fault::Late { by, .. } => due = later(due, by),
                Fault::Lost { .. } => lost = true,
                Fault::Duplicate { after, .. } => again = Some(after),
                _ => {}
            }
        }
        if lost {
            self.lost.push(message(due));
        } else {
            self.plan.add(message(due));
            if let Some(after) = again {
                self.plan.add(message(later(due, after)));
            }
        }
        self.sent.push(event);
    }

    /// After the life somebody has everything sent again that was never delivered.
    pub fn back_fill(&mut self) {
        let mut due = self.time.truth();
        for message in std::mem::take(&mut self.lost) {
            due = later(due, BACK_FILL_PACE);
            self.trace.say(|| format!("back-filled: {}", message.id));
            self.plan.add(Message { created: due, ..message });
        }
    }

    /// When something is to be sent next.
    pub fn next(&self) -> Option<Timestamp> {
        self.plan.next_due()
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Sends what is due, to a process if there is one.
    pub fn send(&mut self, router: Option<&Router>) {
        while let Some(delivery) = self.plan.take(self.time.truth()) {
            self.deliveries += 1;
            let number = self.deliveries;
            let Some(router) = router else {
                self.failed(delivery, "nobody answers");
                continue;
            };
            let work = attempt(
                router.clone(),
                self.time.clone(),
                Duration::from_millis(self.chance.pick(1, 40)),
                self.path.clone(),
                self.secret.clone(),
                delivery.message.body.clone(),
            );
            let answers = self.answers.clone();
            let task = tokio::spawn(async move {
                let status = work.await;
                lock(&answers).push((number, status));
            });
            self.in_flight.insert(number, (delivery, task));
        }
    }

    /// Takes the answers that arrived; whether there were any.
    pub fn settle(&mut self) -> bool {
        let answers = std::mem::take(&mut *lock(&self.answers));
        let any = !answers.is_empty();
        for (number, status) in answers {
            let Some((delivery, _)) = self.in_flight.remove(&number) else { continue };
            let unheard = lock(&self.faults)
                .find(|fault| matches!(fault, Fault::Unheard { delivery } if *delivery == number));
            match (status, unheard) {
                (_, Some(fault)) => self.failed(delivery, &format!("FAULT {fault}")),
                (Some(status), None) if (200..300).contains(&status) => {
                    self.trace.say(|| format!("delivered: {} → {status}", delivery.message.id));
                    self.acknowledged.insert(delivery.message.id.clone());
                }
                (Some(status), None) => self.failed(delivery, &format!("status {status}")),
                (None, None) => self.failed(delivery, "the answer broke off"),
            }
        }
        any
    }

    /// The process died: whatever it had not answered failed.
    pub fn cut_off(&mut self) {
        self.settle();
        for (_, (delivery, task)) in std::mem::take(&mut self.in_flight) {
            task.abort();
            self.failed(delivery, "the connection broke");
        }
    }

    fn failed(&mut self, mut delivery: Delivery, why: &str) {
        self.trace.say(|| format!("not delivered: {}, {why}", delivery.message.id));
        let id = delivery.message.id.clone();
        delivery.due = delivery.due.max(self.time.truth());
        if !self.plan.failed(delivery) {
            self.given_up.push(id);
        }
    }
}

/// One attempt at a delivery: the status that came back, if one did.
async fn attempt(
    router: Router,
    time: Arc<Time>,
    way: Duration,
    path: String,
    secret: String,
    body: Bytes,
) -> Option<u16> {
    // Signed when it is sent, by the vendor's clock, which is right.
    let signed = signature(&secret, &body, time.truth());
    time.sleep(way).await;
    let headers = vec![
        ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("stripe-signature".to_owned(), signed),
    ];
    let answer = ask(router, "POST", &path, headers, body).await;
    time.sleep(way).await;
    answer.map(|(status, _)| status)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
