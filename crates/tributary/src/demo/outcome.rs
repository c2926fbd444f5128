//! What came of the month: the numbers of the table and of `--json`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use twins::Twin as _;
use twins::life::Config;
use twins::oracle::{self, Day, Kind, Movements, Rates, Truth};
use twins::wire;

use super::Args;
use super::month::Lived;
use super::setup::Ready;
use super::world::{CHARTMOGUL_KEY, World};
use sim::reconcile::{self, Discrepancy};

/// Everything the demo found out.
pub struct Outcome {
    pub seed: u64,
    pub customers: u32,
    pub elapsed: Duration,
    pub lived: Lived,
    /// First midnight of each day.
    pub midnights: Vec<Timestamp>,
    /// Stripe's truth.
    pub days: Vec<Day>,
    /// ChartMogul's, in the same order: total in the account's currency.
    pub theirs: Vec<i64>,
    /// Currency → (Stripe, ChartMogul) at the end, in its cents.
    pub by_currency: BTreeMap<String, (i64, i64)>,
    pub movements: Movements,
    pub customers_compared: usize,
    pub slack_messages: usize,
    pub discrepancies: Vec<Discrepancy>,
    pub currency: String,
    pub addresses: Value,
}

impl Outcome {
    /// Reconciles.
    pub fn new(
        args: &Args,
        config: Config,
        world: &World,
        ready: &Ready,
        lived: Lived,
        elapsed: Duration,
    ) -> Outcome {
        let rates = Rates::default();
        let borders: Vec<Timestamp> = (0..=i64::from(config.days)).map(|day| config.midnight(day)).collect();
        let truth = Truth::new(&world.stripe.mrr_history(), rates.clone());
        let days = truth.days(&borders);
        // The report has its end; a life has not: nothing happens in its last second.
        let report = world.chartmogul.report(config.start, config.end() - SignedDuration::from_secs(1));

        let mut discrepancies = reconcile::revenue(&truth, &borders, &report);
        let messages = world.slack.messages();
        discrepancies
            .extend(reconcile::alerts(&lived.failed_attempts, messages.iter().map(|one| one.text.as_str())));
        let customers = world.stripe.customers().into_iter().filter(|customer| !customer.deleted);
        let names: BTreeMap<String, String> =
            customers.filter_map(|customer| Some((customer.id, customer.name?))).collect();
        discrepancies.extend(reconcile::names(&names, &chartmogul_names(world)));
        let counters = world.chartmogul.counters();
        discrepancies.extend(reconcile::transport(&counters.duplicates, &lived.records.given_up));

        let mut by_currency: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (currency, cents) in days.last().map(|day| &day.mrr).into_iter().flatten() {
            by_currency.entry(currency.clone()).or_default().0 = *cents;
        }
        for (currency, cents) in report.days.last().map(|day| &day.mrr).into_iter().flatten() {
            by_currency.entry(currency.to_lowercase()).or_default().1 = *cents;
        }
        Outcome {
            seed: args.seed,
            customers: args.customers,
            elapsed,
            lived,
            theirs: report.days.iter().map(|day| day.total_cents).collect(),
            midnights: borders[..borders.len() - 1].to_vec(),
            movements: oracle::sum(&days),
            days,
            by_currency,
            customers_compared: truth.customers.len(),
            slack_messages: messages.len(),
            discrepancies,
            currency: rates.account,
            addresses: ready.addresses.clone(),
        }
    }

    /// Whether everything arrived and nothing failed.
    pub fn is_good(&self) -> bool {
        self.discrepancies.is_empty() && self.count("runs", "failed") == 0
    }

    /// A number of the server's statistics; a sum where it is by reason.
    pub fn count(&self, group: &str, name: &str) -> u64 {
        let value = &self.lived.stats[group][name];
        let parts = value.as_object().map(|parts| parts.values().filter_map(Value::as_u64).sum());
        value.as_u64().or(parts).unwrap_or_default()
    }

    /// Webhook requests that were acknowledged: events, those that had come before, and what was no event.
    pub fn received(&self) -> u64 {
        ["received", "duplicate", "quarantined"].into_iter().map(|name| self.count("events", name)).sum()
    }

    /// (Stripe's, ChartMogul's) MRR at the end, in cents of the account's currency.
    pub fn mrr(&self) -> (i64, i64) {
        (self.days.last().map_or(0, |day| day.total), self.theirs.last().copied().unwrap_or_default())
    }

    /// Milliseconds until the endpoint acknowledged, p50 and p99.
    pub fn ack_ms(&self) -> (f64, f64) {
        let mut sorted = self.lived.records.ack_us.clone();
        sorted.sort_unstable();
        (percentile_ms(&sorted, 50), percentile_ms(&sorted, 99))
    }

    /// Milliseconds from an event's acceptance to its run's end, p50 and p99, as the server measured.
    pub fn e2e_ms(&self) -> (f64, f64) {
        let of = |name: &str| self.lived.stats["e2e_ms"][name].as_f64().unwrap_or_default();
        (of("p50"), of("p99"))
    }

    /// The document of `--json`.
    pub fn document(&self) -> Value {
        let (stripe, chartmogul) = self.mrr();
        let by_currency: BTreeMap<&String, Value> = self
            .by_currency
            .iter()
            .map(|(currency, (ours, theirs))| {
                (currency, json!({"stripe_cents": ours, "chartmogul_cents": theirs}))
            })
            .collect();
        let movements: BTreeMap<&str, i64> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.as_str(), self.movements.get(&kind).copied().unwrap_or_default()))
            .collect();
        let (ack, e2e) = (self.ack_ms(), self.e2e_ms());
        json!({
            "seed": self.seed,
            "customers": self.customers,
            "days": self.days.len(),
            "elapsed_s": (self.elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            "events": {
                "sent": self.lived.sent,
                "received": self.received(),
                "duplicates": self.count("events", "duplicate"),
                "stale": self.count("events", "stale"),
                "rejected": self.count("hooks", "rejected"),
            },
            "runs": {
                "completed": self.count("runs", "completed"),
                "failed": self.count("runs", "failed"),
                "retried": self.count("attempts", "retried"),
            },
            "ack_ms": {"p50": ack.0, "p99": ack.1},
            "e2e_ms": {"p50": e2e.0, "p99": e2e.1},
            "mrr": {
                "currency": self.currency.to_uppercase(),
                "stripe_cents": stripe,
                "chartmogul_cents": chartmogul,
                "by_currency": by_currency,
                "movements": movements,
            },
            "discrepancies": self.discrepancies,
            "slack_messages": self.slack_messages,
            "addresses": self.addresses,
        })
    }
}

/// The nearest-rank percentile of sorted microseconds, in milliseconds.
fn percentile_ms(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |micros| *micros as f64 / 1_000.0)
}

/// Names by external id, read the way a client reads them.
fn chartmogul_names(world: &World) -> BTreeMap<String, String> {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(format!("{CHARTMOGUL_KEY}:"));
    let mut names = BTreeMap::new();
    let mut target = "/v1/customers?per_page=200".to_owned();
    loop {
        let request =
            wire::Request::new("GET", &target).with_header("authorization", &format!("Basic {key}"));
        let response = world.chartmogul.handle(&request);
        let page: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        for entry in page["entries"].as_array().into_iter().flatten() {
            if let (Some(id), Some(name)) = (entry["external_id"].as_str(), entry["name"].as_str()) {
                names.insert(id.to_owned(), name.to_owned());
            }
        }
        match page["cursor"].as_str() {
            Some(cursor) if page["has_more"] == json!(true) => {
                target = format!("/v1/customers?per_page=200&cursor={cursor}");
            }
            _ => return names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percentile_ms;

    #[test]
    fn percentiles_are_nearest_rank() {
        let micros: Vec<u64> = (1..=200).map(|ms| ms * 1_000).collect();
        assert_eq!((percentile_ms(&micros, 50), percentile_ms(&micros, 99)), (100.0, 198.0));
        assert_eq!((percentile_ms(&[7_500], 50), percentile_ms(&[7_500], 99)), (7.5, 7.5));
        assert_eq!(percentile_ms(&[], 50), 0.0);
    }
}
