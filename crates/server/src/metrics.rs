//! What the webhook door counts since the process started: deliveries by result, and how long an answer took.
//! Durable counts (events, runs) are the store's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;
use serde_json::{Value, json};

/// Bounds grow by the fourth root of two from here: a quantile is exact to 19 %.
const FIRST_BOUND_US: f64 = 50.0;
/// The last bound is 50 µs × 2^(87/4) ≈ 177 s; slower than that is counted as that.
const BOUNDS: usize = 88;
/// Prometheus sees every fourth bound: 50 µs, 100 µs, 200 µs …
const PROMETHEUS_STRIDE: usize = 4;

fn bound_us(index: usize) -> f64 {
    FIRST_BOUND_US * 2f64.powf(index as f64 / 4.0)
}

/// Durations in buckets of growing width.
#[derive(Debug)]
pub struct Histogram {
    buckets: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: (0..BOUNDS).map(|_| AtomicU64::new(0)).collect(), sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one duration; a negative one (the wall clock was set back) counts as zero.
    pub fn record(&self, took: SignedDuration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(0);
        let index = (0..BOUNDS - 1).find(|i| us as f64 <= bound_us(*i)).unwrap_or(BOUNDS - 1);
        self.buckets[index].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// The upper bound, in milliseconds, of the bucket that holds quantile `q` (0..=1); none when empty.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= rank {
                return Some((bound_us(index) / 10.0).round() / 100.0);
            }
        }
        None
    }

    /// `{count, p50, p99}` in milliseconds.
    pub fn summary_ms(&self) -> Value {
        json!({"count": self.count(), "p50": self.quantile_ms(0.50), "p99": self.quantile_ms(0.99)})
    }

    fn prometheus(&self, name: &str, help: &str, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        let mut cumulative = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            cumulative += bucket.load(Ordering::Relaxed);
            if index % PROMETHEUS_STRIDE == 0 {
                writeln!(out, "{name}_bucket{{le=\"{}\"}} {cumulative}", bound_us(index) / 1e6)?;
            }
        }
        let sum_s = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {cumulative}\n{name}_sum {sum_s}\n{name}_count {cumulative}"
        )
    }
}

/// What became of the deliveries to `/hooks/{hook}`.
#[derive(Debug, Default)]
pub struct Metrics {
    received: AtomicU64,
    duplicates: AtomicU64,
    quarantined: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    /// From the arrival of the request's head to the answer.
    pub ack: Histogram,
}

impl Metrics {
    /// A delivery arrived, whatever becomes of it.
    pub fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// It was known already.
    pub fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// It was signed, but no event.
    pub fn quarantined(&self) {
        self.quarantined.fetch_add(1, Ordering::Relaxed);
    }

    /// It was refused, with this problem code.
    pub fn rejected(&self, reason: &'static str) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        *rejected.entry(reason).or_default() += 1;
    }

    /// The `hooks` member of `/v1/stats`.
    pub fn summary(&self) -> Value {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({
            "received": self.received.load(Ordering::Relaxed),
            "duplicates": self.duplicates.load(Ordering::Relaxed),
            "quarantined": self.quarantined.load(Ordering::Relaxed),
            "rejected": rejected,
            "ack_ms": self.ack.summary_ms(),
        })
    }

    /// The Prometheus text of these counters.
    pub fn prometheus(&self, out: &mut String) -> std::fmt::Result {
        let counters = [
            ("tributary_hook_deliveries_total", "Webhook deliveries that arrived.", &self.received),
            ("tributary_hook_duplicates_total", "Deliveries of an event already stored.", &self.duplicates),
            ("tributary_hook_quarantined_total", "Signed deliveries that are no event.", &self.quarantined),
        ];
        for (name, help, value) in counters {
            writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}",
                value.load(Ordering::Relaxed)
            )?;
        }
        let name = "tributary_hook_rejected_total";
        writeln!(out, "# HELP {name} Deliveries refused, by problem code.\n# TYPE {name} counter")?;
        for (reason, count) in self.rejected.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "{name}{{reason=\"{reason}\"}} {count}")?;
        }
        self.ack.prometheus("tributary_hook_ack_seconds", "From a delivery's arrival to its answer.", out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for ms in 1..=100 {
            histogram.record(SignedDuration::from_millis(ms));
        }
        for (q, exact) in [(0.5, 50.0), (0.99, 99.0), (0.01, 1.0)] {
            let found = histogram.quantile_ms(q).expect("recorded");
            assert!((exact..=exact * 1.2).contains(&found), "q {q}: {found} for {exact}");
        }
    }

    #[test]
    fn extremes_stay_inside() {
        let histogram = Histogram::default();
        histogram.record(SignedDuration::from_secs(-5));
        histogram.record(SignedDuration::from_hours(9));
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.quantile_ms(0.0), Some(0.05));
    }

    #[test]
    fn prometheus_counts_are_cumulative() {
        let metrics = Metrics::default();
        metrics.received();
        metrics.rejected("mode_mismatch");
        metrics.rejected("mode_mismatch");
        metrics.ack.record(SignedDuration::from_millis(2));
        let mut text = String::new();
        metrics.prometheus(&mut text).expect("writes to a string");
        assert!(text.contains("tributary_hook_rejected_total{reason=\"mode_mismatch\"} 2\n"), "{text}");
        assert!(text.contains("tributary_hook_ack_seconds_bucket{le=\"0.0016\"} 0\n"), "{text}");
        assert!(text.contains("tributary_hook_ack_seconds_bucket{le=\"0.0032\"} 1\n"), "{text}");
        assert!(text.contains("tributary_hook_ack_seconds_bucket{le=\"+Inf\"} 1\n"), "{text}");
    }
}
