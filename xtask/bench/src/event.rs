//! The events that are delivered: one body of 3 KB, made many by its numbers, signed ahead of time.

use anyhow::{Context, Result, bail};
use ring::hmac;

/// As a vendor writes it, but for white space.
const BODY: &str = include_str!("../event.json");
/// What the connection under test verifies with.
pub const SECRET: &str = "whsec_bench";
/// What W1 makes of the body: 3 × 49.00 a month and 1188.00 a year.
pub const MRR_CENTS: &str = "\"mrr\":24600";
/// Customers, each with a lane of its own.
const CUSTOMERS: u64 = 4096;
/// Digits of the numbers in the body.
const DIGITS: usize = 10;
/// What stands before a number in the body.
const MARKS: [(&str, Number); 3] =
    [("evt_", Number::Event), ("cus_", Number::Customer), ("sub_", Number::Customer)];

#[derive(Clone, Copy)]
enum Number {
    Event,
    Customer,
}

/// Which events are made.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// The flow under test asks for it.
    Asked,
    /// No flow asks for it: it is accepted, and that is all.
    Unasked,
}

/// A body whose numbers can be set.
pub struct Template {
    body: Vec<u8>,
    places: Vec<(usize, Number)>,
}

impl Template {
    pub fn new(kind: Kind) -> Result<Template> {
        let event: serde_json::Value = serde_json::from_str(BODY).context("event.json")?;
        let mut text = event.to_string();
        if kind == Kind::Unasked {
            text = text.replace("customer.subscription.updated", "customer.subscription.resumed");
        }
        let mut places = Vec::new();
        for (mark, number) in MARKS {
            let zeros = format!("{mark}{}", "0".repeat(DIGITS));
            places.extend(text.match_indices(&zeros).map(|(at, _)| (at + mark.len(), number)));
        }
        if places.len() < MARKS.len() {
            bail!("event.json lacks a number to be set");
        }
        Ok(Template { body: text.into_bytes(), places })
    }

    /// Bytes of a body.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    fn body(&self, event: u64) -> Vec<u8> {
        let mut body = self.body.clone();
        for (at, number) in &self.places {
            let number = match number {
                Number::Event => event,
                Number::Customer => event % CUSTOMERS,
            };
            body[*at..*at + DIGITS].copy_from_slice(format!("{number:0DIGITS$}").as_bytes());
        }
        body
    }

    /// Whole requests for the events of these numbers, signed as of `now` (Unix seconds).
    pub fn requests(&self, path: &str, host: &str, numbers: std::ops::Range<u64>, now: u64) -> Vec<Vec<u8>> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        numbers.map(|number| request(path, host, &key, &self.body(number), now)).collect()
    }
}

fn request(path: &str, host: &str, key: &hmac::Key, body: &[u8], now: u64) -> Vec<u8> {
    let mut signed = format!("{now}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(key, &signed);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench\r\ncontent-type: application/json\r\n\
         stripe-signature: t={now},v1={hex}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The number of the event that a body mentions first.
pub fn number(body: &[u8]) -> Option<usize> {
    let mark = b"evt_";
    let at = body.windows(mark.len()).position(|window| window == mark)? + mark.len();
    std::str::from_utf8(body.get(at..at + DIGITS)?).ok()?.parse().ok()
}
