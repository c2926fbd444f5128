//! Sends what is due, several at a time, and keeps the score.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::plan::{Delivery, Plan, RETRIES};
use super::sign::signature;

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// From the request's first byte to the answer's last.
    pub took: Duration,
}

/// An attempt under way: the answer, or why there is none.
pub type PostFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + 'a>>;

/// Where events go.
pub trait Endpoint: Send + Sync {
    /// The wall clock: signatures carry it, since receivers refuse old ones.
    fn now(&self) -> Timestamp;

    /// Posts one signed event.
    fn post(&self, headers: Vec<(String, String)>, body: Bytes) -> PostFuture<'_>;

    /// Waits, before an attempt that follows a failed one.
    fn pause(&self, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The endpoint's signing secret, `whsec_…`.
    pub secret: String,
    pub in_flight_max: usize,
}

/// What was sent and how it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Requests made, each attempt counted.
    pub attempts: u64,
    /// Deliveries that a 2xx answered.
    pub acked: u64,
    /// Of these, second copies of an event.
    pub duplicates: u64,
    /// Attempts without a 2xx.
    pub failures: u64,
    /// Deliveries given up after the last attempt: lost events.
    pub given_up: Vec<String>,
    /// The last few reasons of failures, for people.
    pub reasons: Vec<String>,
    /// Event ids of acknowledged deliveries, for whoever tells Stripe's twin of them; may be taken out.
    pub delivered: Vec<String>,
    /// One per acknowledged delivery, in order of completion, in microseconds.
    pub ack_us: Vec<u64>,
}

const REASONS_MAX: usize = 20;

/// Delivers everything due up to `until`, retries included that fall due by then. Returns when nothing is in
/// flight and nothing more is due.
pub async fn deliver(
    plan: &mut Plan,
    until: Timestamp,
    endpoint: &dyn Endpoint,
    sender: &Sender,
    records: &mut Records,
) {
    let mut in_flight = FuturesUnordered::new();
    loop {
        while in_flight.len() < sender.in_flight_max.max(1)
            && let Some(delivery) = plan.take(until)
        {
            in_flight.push(attempt(delivery, endpoint, sender));
        }
        let Some((delivery, outcome)) = in_flight.next().await else { return };
        settle(plan, records, delivery, outcome);
    }
}

async fn attempt(
    delivery: Delivery,
    endpoint: &dyn Endpoint,
    sender: &Sender,
) -> (Delivery, Result<Reply, String>) {
    let pause = delivery.failed.checked_sub(1).and_then(|last| RETRIES.get(last));
    if let Some((_, wall_ms)) = pause {
        endpoint.pause(Duration::from_millis(*wall_ms)).await;
    }
    let body = delivery.message.body.clone();
    let headers = [
        ("content-type", "application/json; charset=utf-8".to_owned()),
        ("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)".to_owned()),
        ("stripe-signature", signature(&sender.secret, &body, endpoint.now())),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let outcome = endpoint.post(headers, body).await;
    (delivery, outcome)
}

fn settle(plan: &mut Plan, records: &mut Records, delivery: Delivery, outcome: Result<Reply, String>) {
    records.attempts += 1;
    let reason = match outcome {
        Ok(reply) if (200..300).contains(&reply.status) => {
            records.acked += 1;
            records.delivered.push(delivery.message.id.clone());
            records.duplicates += u64::from(delivery.copy > 0);
            records.ack_us.push(u64::try_from(reply.took.as_micros()).unwrap_or(u64::MAX));
            return;
        }
        Ok(reply) => format!("status {}", reply.status),
        Err(reason) => reason,
    };
    records.failures += 1;
    if records.reasons.len() < REASONS_MAX {
        records.reasons.push(format!("{}: {reason}", delivery.message.id));
    }
    let id = delivery.message.id.clone();
    if !plan.failed(delivery) {
        records.given_up.push(id);
    }
}
