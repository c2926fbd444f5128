//! What a vendor bears: requests at once and in a time, pages, bytes; and what its answers say of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::reader::{At, Fields, Reader};
use crate::answer;
use crate::wire::Response;

/// Named limits of a vendor's calls.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls under way at once per connection.
    pub max_in_flight: usize,
    /// The vendor's budget: so many requests…
    pub rate_requests: u32,
    /// … in such a time.
    pub rate_per: Duration,
    /// Where answers say what is left of the budget, if they do.
    pub(crate) rate_headers: Option<RateHeaders>,
    /// A refusal for the budget's sake is about the address that was called, not about the whole connection.
    pub refuses_by_address: bool,
    /// Pages that one call follows, nested lists included.
    pub pages_max: usize,
    /// Records that one call collects.
    pub items_max: usize,
    pub request_bytes_max: usize,
    pub answer_bytes_max: usize,
    /// Of one exchange, not of all pages together.
    pub timeout: Duration,
}

/// Headers that say how much of the budget is left, and when there is more.
#[derive(Clone, Debug)]
pub(crate) struct RateHeaders {
    pub remaining: String,
    pub reset: String,
    pub reset_in: Reset,
}

/// How a vendor says when its budget is whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// In so many seconds.
    Seconds,
    /// At this second since 1970.
    UnixS,
    /// At this millisecond since 1970.
    UnixMs,
}

impl Reset {
    pub const NAMES: [(&'static str, Reset); 3] =
        [("seconds", Reset::Seconds), ("unix_s", Reset::UnixS), ("unix_ms", Reset::UnixMs)];
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_in_flight: 8,
            rate_requests: 10,
            rate_per: Duration::from_secs(1),
            rate_headers: None,
            refuses_by_address: false,
            pages_max: 200,
            items_max: 20_000,
            request_bytes_max: 1 << 20,
            answer_bytes_max: 16 << 20,
            timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// How long an answer says that the connection, or the address, is not to be called: by `Retry-After` on a refusal, or
    /// because nothing is left of the budget.
    pub fn closed_for(&self, response: &Response, now: Timestamp) -> Option<SignedDuration> {
        let refused = matches!(response.status, 429 | 503);
        let asked = refused.then(|| answer::retry_after(response, now)).flatten();
        let spent = self.rate_headers.as_ref().and_then(|headers| headers.spent(response, now));
        asked.max(spent).filter(|wait| wait.is_positive())
    }
}

impl RateHeaders {
    /// The longest pause that a header is believed; longer ones are of another budget, or mistaken.
    const BELIEVED_MAX: SignedDuration = SignedDuration::from_hours(1);

    fn spent(&self, response: &Response, now: Timestamp) -> Option<SignedDuration> {
        let number = |name: &str| response.header(name)?.trim().parse::<f64>().ok();
        if number(&self.remaining)? >= 1.0 {
            return None;
        }
        let reset = number(&self.reset).filter(|reset| reset.is_finite())?;
        let millis = |value: f64| SignedDuration::from_millis((value * 1000.0).ceil() as i64);
        let since = now.duration_since(Timestamp::UNIX_EPOCH);
        let wait = match self.reset_in {
            Reset::Seconds => millis(reset),
            Reset::UnixS => millis(reset) - since,
            Reset::UnixMs => millis(reset / 1000.0) - since,
        };
        Some(wait.min(Self::BELIEVED_MAX))
    }
}

/// Reads the section `limits`.
pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Limits {
    let known = [
        "max_in_flight",
        "rate",
        "pages_max",
        "items_max",
        "request_bytes_max",
        "answer_bytes_max",
        "timeout_s",
    ];
    let mut limits = Limits::default();
    let Some(at) = fields.get("limits") else { return limits };
    let fields = reader.fields(&at, "`limits`", &known);
    let mut size = |name: &str, default: usize| {
        usize::try_from(reader.count(&fields, name, default as u64)).unwrap_or(default)
    };
    limits.max_in_flight = size("max_in_flight", limits.max_in_flight);
    limits.pages_max = size("pages_max", limits.pages_max);
    limits.items_max = size("items_max", limits.items_max);
    limits.request_bytes_max = size("request_bytes_max", limits.request_bytes_max);
    limits.answer_bytes_max = size("answer_bytes_max", limits.answer_bytes_max);
    limits.timeout = Duration::from_secs(reader.count(&fields, "timeout_s", limits.timeout.as_secs()));
    if let Some(at) = fields.get("rate") {
        let fields = reader.fields(&at, "`rate`", &["requests", "per_s", "refused", "headers"]);
        limits.rate_requests = u32::try_from(reader.count(&fields, "requests", 10)).unwrap_or(u32::MAX);
        limits.rate_per = Duration::from_secs(reader.count(&fields, "per_s", 1));
        let refused = fields.get("refused");
        let by = refused
            .and_then(|at| reader.choice(&at, "`refused`", &[("connection", false), ("address", true)]));
        limits.refuses_by_address = by.unwrap_or(false);
        limits.rate_headers = fields.get("headers").and_then(|at| rate_headers(reader, &at));
    }
    limits
}

fn rate_headers(reader: &mut Reader<'_>, at: &At<'_>) -> Option<RateHeaders> {
    let fields = reader.fields(at, "`headers`", &["remaining", "reset", "reset_in"]);
    let reset_in = fields.get("reset_in").and_then(|at| reader.choice(&at, "`reset_in`", &Reset::NAMES));
    Some(RateHeaders {
        remaining: reader.required_text(&fields, "remaining"),
        reset: reader.required_text(&fields, "reset"),
        reset_in: reset_in.unwrap_or(Reset::Seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_when_to_come_again() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let limits = |reset_in| Limits {
            rate_headers: Some(RateHeaders {
                remaining: "X-Remaining".into(),
                reset: "X-Reset".into(),
                reset_in,
            }),
            ..Limits::default()
        };
        type Row = (Reset, u16, &'static [(&'static str, &'static str)], Option<i64>);
        let table: [Row; 11] = [
            (Reset::Seconds, 429, &[("retry-after", "7")], Some(7)),
            (Reset::Seconds, 503, &[("Retry-After", "2")], Some(2)),
            (Reset::Seconds, 500, &[("Retry-After", "2")], None),
            (Reset::Seconds, 429, &[], None),
            (Reset::Seconds, 200, &[("X-Remaining", "0"), ("X-Reset", "9")], Some(9)),
            (Reset::Seconds, 200, &[("X-Remaining", "1"), ("X-Reset", "9")], None),
            (Reset::Seconds, 200, &[("X-Remaining", "0")], None),
            (Reset::UnixS, 200, &[("X-Remaining", "0"), ("X-Reset", "1800000030")], Some(30)),
            (Reset::UnixS, 200, &[("X-Remaining", "0"), ("X-Reset", "1799999999")], None),
            (Reset::UnixMs, 200, &[("X-Remaining", "0"), ("X-Reset", "1800000030000")], Some(30)),
            // No vendor's budget is a day's.
            (
                Reset::Seconds,
                429,
                &[("Retry-After", "7"), ("X-Remaining", "0"), ("X-Reset", "1e9")],
                Some(3600),
            ),
        ];
        for (reset_in, status, headers, expected) in table {
            let headers: Vec<(String, String)> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let response = Response { status, headers, body: bytes::Bytes::new() };
            let wait = limits(reset_in).closed_for(&response, now).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{status} {:?}", response.headers);
        }
    }
}
