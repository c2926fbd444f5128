//! What the vendors hold, beside what is true.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use twins::Twin as _;
use twins::oracle::{Rates, Truth};

use super::{Evidence, Violation};
use crate::people::LINK;
use crate::reconcile::{self, Alert};
use crate::target::{Meaning, Target};
use crate::vendors::{CHARTMOGUL_KEY, Vendors};

/// Compares the vendors' end state with the truth, as far as the flow's meaning is known.
pub fn check(target: &Target, evidence: &Evidence<'_>, found: &mut Vec<Violation>) {
    match target.meaning {
        Meaning::Revenue => revenue(evidence, found),
        Meaning::Names => names(evidence, found),
        Meaning::FailedPayments => failed_payments(evidence, found),
        Meaning::Promised | Meaning::Own => {}
    }
    if !evidence.clock_jumped {
        let refused = evidence.vendors.chartmogul.counters().duplicates;
        found.extend(reconcile::transport(&refused, &[]).into_iter().map(Violation::from));
    }
    marks(evidence, found);
}

/// MRR and movements by day and currency, and every customer's MRR at the end.
fn revenue(evidence: &Evidence<'_>, found: &mut Vec<Violation>) {
    let config = evidence.config;
    let borders: Vec<Timestamp> = (0..=i64::from(config.days)).map(|day| config.midnight(day)).collect();
    let truth = Truth::new(&evidence.vendors.stripe.mrr_history(), Rates::default());
    // The report has its end; a life has not: nothing happens in its last second.
    let end = config.end() - SignedDuration::from_secs(1);
    let report = evidence.vendors.chartmogul.report(config.start, end);
    found.extend(reconcile::revenue(&truth, &borders, &report).into_iter().map(Violation::from));
}

/// Customers that were made or changed in the life have their names.
fn names(evidence: &Evidence<'_>, found: &mut Vec<Violation>) {
    let told: BTreeSet<String> = evidence
        .sent
        .iter()
        .filter(|sent| ["customer.created", "customer.updated"].contains(&sent.r#type.as_str()))
        .filter_map(|sent| {
            let body: Value = serde_json::from_slice(&sent.body).ok()?;
            body["data"]["object"]["id"].as_str().map(str::to_owned)
        })
        .collect();
    let customers = evidence.vendors.stripe.customers().into_iter();
    let ours: BTreeMap<String, String> = customers
        .filter(|customer| !customer.deleted && told.contains(&customer.id))
        .filter_map(|customer| Some((customer.id, customer.name?)))
        .collect();
    let theirs = customers_of(evidence.vendors)
        .into_iter()
        .filter_map(|(id, customer)| Some((id, customer["name"].as_str()?.to_owned())))
        .collect();
    found.extend(reconcile::names(&ours, &theirs).into_iter().map(Violation::from));
}

/// One message for each failed attempt.
fn failed_payments(evidence: &Evidence<'_>, found: &mut Vec<Violation>) {
    let mut attempts = BTreeSet::new();
    for sent in evidence.sent.iter().filter(|sent| sent.r#type == "invoice.payment_failed") {
        let attempt = serde_json::from_slice(&sent.body).ok().and_then(|body| Alert::of_event(&body).ok());
        match attempt {
            Some(attempt) => drop(attempts.insert(attempt)),
            None => found.push(Violation::new("alert", &sent.id, json!("an attempt"), json!("unreadable"))),
        }
    }
    let messages = evidence.vendors.slack.messages();
    let told = reconcile::alerts(&attempts, messages.iter().map(|message| message.text.as_str()));
    found.extend(told.into_iter().map(Violation::from));
}

/// Each message carries the mark of one effect; no two carry the same.
fn marks(evidence: &Evidence<'_>, found: &mut Vec<Violation>) {
    let mut marks: BTreeMap<String, u64> = BTreeMap::new();
    // A question may be told again, if nobody noted that it was.
    let messages = evidence.vendors.slack.messages().into_iter();
    for message in messages.filter(|message| !message.text.contains(LINK)) {
        let mark = message.metadata.as_ref().map(|metadata| metadata["event_payload"].to_string());
        *marks.entry(mark.unwrap_or_default()).or_default() += 1;
    }
    for (mark, count) in marks.into_iter().filter(|(mark, count)| *count > 1 && !mark.is_empty()) {
        found.push(Violation::new("effect_twice", mark, json!(1), json!(count)));
    }
}

/// What the vendors hold at `end` that a flow may have written, without ids and times of the vendors' own.
pub fn end_state(vendors: &Vendors, end: Timestamp) -> Value {
    vendors.chartmogul.set_now(end);
    let customers: BTreeMap<String, Value> = customers_of(vendors)
        .into_iter()
        .map(|(id, customer)| {
            let kept = ["name", "email", "attributes", "mrr", "customer-since"];
            (id, kept.into_iter().map(|name| (name.to_owned(), customer[name].clone())).collect())
        })
        .collect();
    let mut messages: Vec<(String, String)> =
        vendors.slack.messages().into_iter().map(|message| (message.channel_name, message.text)).collect();
    messages.sort();
    let records: BTreeMap<&str, Value> =
        vendors.others().map(|(slug, twin)| (slug, without_ids(twin.world()))).collect();
    json!({"customers": customers, "messages": messages, "records": records})
}

/// Records without the ids that their vendor gave them, whatever the order in which they were made.
fn without_ids(world: Value) -> Value {
    let Value::Object(collections) = world else { return Value::Null };
    let bare = |(collection, records): (String, Value)| {
        let kind = collection.rsplit('/').next().unwrap_or_default().to_owned();
        let given = |id: &Value| id.as_str().is_some_and(|id| id.starts_with(&format!("{kind}_")));
        let mut records: Vec<String> = records
            .as_array()
            .into_iter()
            .flatten()
            .map(|record| {
                let mut record = record.clone();
                if given(&record["id"]) {
                    record["id"] = Value::Null;
                }
                record.to_string()
            })
            .collect();
        records.sort();
        (collection, Value::from(records))
    };
    Value::Object(collections.into_iter().map(bare).collect())
}

/// ChartMogul's customers by external id, read the way a client reads them.
fn customers_of(vendors: &Vendors) -> BTreeMap<String, Value> {
    let key = STANDARD.encode(format!("{CHARTMOGUL_KEY}:"));
    let mut customers = BTreeMap::new();
    let mut target = "/v1/customers?per_page=200".to_owned();
    loop {
        let request =
            twins::wire::Request::new("GET", &target).with_header("authorization", &format!("Basic {key}"));
        let response = vendors.chartmogul.handle(&request);
        let page: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        for entry in page["entries"].as_array().into_iter().flatten() {
            if let Some(id) = entry["external_id"].as_str() {
                customers.insert(id.to_owned(), entry.clone());
            }
        }
        match page["cursor"].as_str() {
            Some(cursor) if page["has_more"] == json!(true) => {
                target = format!("/v1/customers?per_page=200&cursor={cursor}");
            }
            _ => return customers,
        }
    }
}
