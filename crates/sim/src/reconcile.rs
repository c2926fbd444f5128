//! Lays two accounts side by side and names every difference.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use twins::chartmogul::Report;
use twins::oracle::{Day, Kind, Truth};

/// One difference between what is true and what arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// What is compared: `mrr`, `movements`, `customer_mrr`, `customer_name`, `alert`, `sent_twice`, `lost_event`.
    pub about: &'static str,
    /// Which one: a day and currency, a customer, an invoice.
    pub what: String,
    /// What is true.
    pub expected: Value,
    /// What arrived.
    pub found: Value,
}

impl Discrepancy {
    /// A difference, or `None` where there is none.
    fn between(
        about: &'static str,
        what: impl Into<String>,
        expected: Value,
        found: Value,
    ) -> Option<Discrepancy> {
        (expected != found).then(|| Discrepancy { about, what: what.into(), expected, found })
    }
}

/// Compares MRR and movements of every day, by currency and in total, and every customer's MRR at the end. The
/// report's span must be the borders'.
pub fn revenue(truth: &Truth, borders: &[Timestamp], report: &Report) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    let days = truth.days(borders);
    if days.len() != report.days.len() {
        let (expected, got) = (json!(days.len()), json!(report.days.len()));
        found.extend(Discrepancy::between("mrr", "number of days", expected, got));
    }
    for ((day, theirs), midnight) in days.iter().zip(&report.days).zip(borders) {
        let date = midnight.to_zoned(TimeZone::UTC).date();
        let mrr = lower(&theirs.mrr);
        let currencies: BTreeSet<&String> = day.mrr.keys().chain(mrr.keys()).collect();
        for currency in currencies {
            let cents =
                |amounts: &BTreeMap<String, i64>| json!(amounts.get(currency).copied().unwrap_or_default());
            found.extend(Discrepancy::between(
                "mrr",
                format!("{date} {currency}"),
                cents(&day.mrr),
                cents(&mrr),
            ));
        }
        let totals = (json!(day.total), json!(theirs.total_cents));
        found.extend(Discrepancy::between("mrr", format!("{date} total"), totals.0, totals.1));
        found.extend(movements(&date.to_string(), day, &theirs.movements.total_cents));
    }
    let end = borders.last().copied().unwrap_or_default();
    let customers: BTreeSet<&String> = truth.customers.keys().chain(report.customers.keys()).collect();
    for customer in customers {
        let expected = truth.at(customer, end);
        let got = report.customers.get(customer).map(lower).unwrap_or_default();
        found.extend(Discrepancy::between("customer_mrr", customer, json!(expected), json!(got)));
    }
    found
}

fn movements(date: &str, day: &Day, theirs: &BTreeMap<String, i64>) -> Vec<Discrepancy> {
    let compare = |kind: Kind| {
        let expected = day.movements.get(&kind).copied().unwrap_or_default();
        let got = theirs.get(kind.as_str()).copied().unwrap_or_default();
        Discrepancy::between("movements", format!("{date} {}", kind.as_str()), json!(expected), json!(got))
    };
    Kind::ALL.into_iter().filter_map(compare).collect()
}

/// Codes in lower case, zeros left out.
fn lower(amounts: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    amounts
        .iter()
        .filter(|(_, cents)| **cents != 0)
        .map(|(code, cents)| (code.to_lowercase(), *cents))
        .collect()
}

/// A failed attempt to collect an invoice: what F3 has to tell once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// The invoice's number, or its id where it has none.
    invoice: String,
    attempt: u64,
}

impl Alert {
    /// The attempt that an `invoice.payment_failed` event tells of.
    pub fn of_event(event: &Value) -> Result<Alert, &'static str> {
        let invoice = &event["data"]["object"];
        let name = invoice["number"].as_str().or_else(|| invoice["id"].as_str());
        let attempt = invoice["attempt_count"].as_u64();
        Ok(Alert {
            invoice: name.ok_or("an invoice without number and id")?.to_owned(),
            attempt: attempt.ok_or("an invoice without attempt_count")?,
        })
    }

    /// The attempt that a message of the template `failed-payment-alert` tells of.
    fn of_message(text: &str) -> Option<Alert> {
        let (_, rest) = text.split_once("invoice ")?;
        let (invoice, rest) = rest.split_once(" · attempt ")?;
        let digits = rest.split(|char: char| !char.is_ascii_digit()).next()?;
        Some(Alert { invoice: invoice.to_owned(), attempt: digits.parse().ok()? })
    }
}

/// Compares failed attempts with the messages in Slack: exactly one for each.
pub fn alerts<'a>(attempts: &BTreeSet<Alert>, messages: impl Iterator<Item = &'a str>) -> Vec<Discrepancy> {
    let mut told: BTreeMap<Alert, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for text in messages {
        match Alert::of_message(text) {
            Some(alert) => *told.entry(alert).or_default() += 1,
            None => found.extend(Discrepancy::between("alert", "unknown message", Value::Null, json!(text))),
        }
    }
    let all: BTreeSet<&Alert> = attempts.iter().chain(told.keys()).collect();
    for alert in all {
        let expected = u64::from(attempts.contains(alert));
        let got = told.get(alert).copied().unwrap_or_default();
        let what = format!("invoice {} attempt {}", alert.invoice, alert.attempt);
        found.extend(Discrepancy::between("alert", what, json!(expected), json!(got)));
    }
    found
}

/// Compares names by Stripe's customer id. `theirs` may lack customers whom nobody told of: then they have no name.
pub fn names(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<Discrepancy> {
    let compare = |(customer, name): (&String, &String)| {
        Discrepancy::between("customer_name", customer, json!(name), json!(theirs.get(customer)))
    };
    ours.iter().filter_map(compare).collect()
}

/// What was created again although one flow's lane alone writes it, and events that Stripe gave up.
///
/// A server that was killed can't know whether its last request took effect: it asks before it sends again.
pub fn transport(refused: &BTreeMap<(String, String), u64>, given_up: &[String]) -> Vec<Discrepancy> {
    // Customers, plans and data sources may be found missing by two flows or lanes at once; whoever comes second is
    // refused and finds the first one's.
    let shared = ["customer", "plan", "data_source"];
    let twice = refused.iter().filter(|((kind, _), _)| !shared.contains(&kind.as_str()));
    let twice = twice.filter_map(|((kind, id), count)| {
        Discrepancy::between("sent_twice", format!("{kind} {id}"), json!(1), json!(count + 1))
    });
    let lost = given_up.iter().filter_map(|id| Discrepancy::between("lost_event", id, json!(1), json!(0)));
    twice.chain(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: Option<&str>, attempt: u64) -> Value {
        json!({"data": {"object": {"id": "in_1", "number": number, "attempt_count": attempt}}})
    }

    fn message(invoice: &str, attempt: u64) -> String {
        format!(
            "Payment failed: Onyx Labs · 19.00 USD · invoice {invoice} · attempt {attempt}. Stripe won't try again."
        )
    }

    #[test]
    fn one_alert_per_failed_attempt() {
        let attempts: BTreeSet<Alert> = [event(Some("AB-1"), 1), event(Some("AB-1"), 2), event(None, 1)]
            .iter()
            .map(|event| Alert::of_event(event).unwrap())
            .collect();
        let told = |texts: &[String]| alerts(&attempts, texts.iter().map(String::as_str));
        let right = [message("AB-1", 1), message("in_1", 1), message("AB-1", 2)];
        assert_eq!(told(&right), []);
        let missing = told(&right[..2]);
        assert_eq!((missing.len(), missing[0].what.as_str()), (1, "invoice AB-1 attempt 2"));
        let twice = told(&[right.as_slice(), &right[..1]].concat());
        assert_eq!((twice.len(), &twice[0].found), (1, &json!(2)));
        let unknown = told(&[right.as_slice(), &["hello".to_owned()]].concat());
        assert_eq!((unknown.len(), &unknown[0].found), (1, &json!("hello")));
    }

    #[test]
    fn names_must_be_equal_and_there() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
        };
        let ours = map(&[("cus_1", "A"), ("cus_2", "B"), ("cus_3", "C")]);
        let found = names(&ours, &map(&[("cus_1", "A"), ("cus_2", "b"), ("cus_9", "Z")]));
        let what: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(what, ["cus_2", "cus_3"]);
    }

    #[test]
    fn a_race_of_two_flows_is_no_double_sending() {
        let key = |kind: &str| (kind.to_owned(), "x".to_owned());
        let duplicates = BTreeMap::from([(key("customer"), 3), (key("invoice"), 1)]);
        let about: Vec<&str> =
            transport(&duplicates, &["evt_1".to_owned()]).iter().map(|one| one.about).collect();
        assert_eq!(about, ["sent_twice", "lost_event"]);
    }
}
