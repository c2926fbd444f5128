//! The twin's state: rows, the indexes over them, and the histories computed from them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::counters::Counters;
use super::fx::Fx;
use super::model::{
    Customer, DataSource, Entry, Invoice, LineKind, Plan, PlanGroup, Subscription, SubscriptionEvent,
};
use super::mrr::{self, Proration, Step};
use super::table::{Seq, Table};
use super::{Account, Config};

/// (external id, data source): what the API keeps unique.
pub type ExternalKey = (String, String);

pub struct State {
    rng: ChaCha8Rng,
    last: Seq,
    pub now: Timestamp,
    pub account: Account,
    pub fx: Fx,
    pub data_sources: Table<DataSource>,
    pub customers: Table<Customer>,
    pub plans: Table<Plan>,
    pub plan_groups: Table<PlanGroup>,
    pub invoices: Table<Invoice>,
    pub subscriptions: Table<Subscription>,
    pub events: BTreeMap<Seq, SubscriptionEvent>,
    pub contacts: Table<Entry>,
    pub notes: Table<Entry>,
    pub opportunities: Table<Entry>,
    pub tasks: Table<Entry>,
    pub customer_ids: BTreeMap<ExternalKey, Seq>,
    pub customer_emails: BTreeSet<(String, Seq)>,
    pub plan_ids: BTreeMap<ExternalKey, Seq>,
    pub invoice_ids: BTreeMap<ExternalKey, Seq>,
    pub subscription_ids: BTreeMap<ExternalKey, Seq>,
    pub event_ids: BTreeMap<ExternalKey, Seq>,
    /// The invoice that holds the line or transaction.
    pub line_ids: BTreeMap<ExternalKey, Seq>,
    pub transaction_ids: BTreeMap<ExternalKey, Seq>,
    pub line_uuids: BTreeMap<String, Seq>,
    pub transaction_uuids: BTreeMap<String, Seq>,
    pub counters: Counters,
}

impl State {
    pub fn new(config: &Config) -> State {
        State {
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            last: 0,
            now: config.now,
            account: config.account.clone(),
            fx: config.fx.clone(),
            data_sources: Table::default(),
            customers: Table::default(),
            plans: Table::default(),
            plan_groups: Table::default(),
            invoices: Table::default(),
            subscriptions: Table::default(),
            events: BTreeMap::new(),
            contacts: Table::default(),
            notes: Table::default(),
            opportunities: Table::default(),
            tasks: Table::default(),
            customer_ids: BTreeMap::new(),
            customer_emails: BTreeSet::new(),
            plan_ids: BTreeMap::new(),
            invoice_ids: BTreeMap::new(),
            subscription_ids: BTreeMap::new(),
            event_ids: BTreeMap::new(),
            line_ids: BTreeMap::new(),
            transaction_ids: BTreeMap::new(),
            line_uuids: BTreeMap::new(),
            transaction_uuids: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    pub fn next(&mut self) -> Seq {
        self.last += 1;
        self.last
    }

    /// A random uuid with a prefix: `cus_…`.
    pub fn uuid(&mut self, prefix: &str) -> String {
        let mut bytes: [u8; 16] = self.rng.random();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{prefix}{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// The lines that count for MRR, by subscription: recurring, neither hidden, voided nor written off.
    fn recurring_lines(&self, customer: &Customer) -> BTreeMap<Seq, Vec<mrr::Line>> {
        let mut lines: BTreeMap<Seq, Vec<mrr::Line>> = BTreeMap::new();
        for seq in &customer.subscriptions {
            lines.insert(*seq, Vec::new());
        }
        let invoices = customer.invoices.iter().filter_map(|seq| self.invoices.get(*seq));
        for invoice in invoices.filter(|invoice| invoice.status.is_none() && invoice.disabled.0.is_none()) {
            for line in &invoice.lines {
                let Some(service) = line.service.as_ref() else { continue };
                if line.kind != LineKind::Subscription || line.disabled.0.is_some() {
                    continue;
                }
                let Some(plan) = self.plans.get(service.plan) else { continue };
                let proration = match (service.prorated, service.proration_type.as_deref()) {
                    (false, _) => Proration::None,
                    (true, Some("full")) => Proration::Full,
                    (true, Some("differential_mrr")) => Proration::DifferentialMrr,
                    (true, _) => Proration::Differential,
                };
                lines.entry(service.subscription).or_default().push(mrr::Line {
                    start: service.start,
                    end: service.end,
                    event_order: line.event_order,
                    sequence: line.seq,
                    net_cents: line.amount_in_cents - line.tax_amount_in_cents,
                    currency: invoice.currency,
                    interval: plan.interval,
                    proration,
                });
            }
        }
        lines
    }

    /// The MRR history of each of a customer's subscriptions.
    pub fn subscription_histories(&self, customer: &Customer) -> BTreeMap<Seq, Vec<Step>> {
        let lines = self.recurring_lines(customer);
        let history = |(seq, lines): (Seq, Vec<mrr::Line>)| {
            let dates = self.subscriptions.get(seq).map_or(&[][..], |row| &row.cancellation_dates);
            (seq, mrr::subscription(lines, dates))
        };
        lines.into_iter().map(history).collect()
    }

    /// The MRR history of a customer.
    pub fn history(&self, customer: &Customer) -> Vec<Step> {
        let histories = self.subscription_histories(customer);
        mrr::sum(histories.values().map(Vec::as_slice))
    }

    /// MRR in cents of the account's currency, at an instant.
    pub fn account_mrr(&self, history: &[Step], at: Timestamp) -> i64 {
        mrr::at(history, at).map_or(0, |amounts| self.fx.total(amounts))
    }
}

/// `US` → `United States`, for the countries the recorded answers show and the commonest others; else the code.
pub fn country_name(code: &str) -> &str {
    match code {
        "AL" => "Albania",
        "AT" => "Austria",
        "AU" => "Australia",
        "BR" => "Brazil",
        "CA" => "Canada",
        "CH" => "Switzerland",
        "DE" => "Germany",
        "ES" => "Spain",
        "FR" => "France",
        "GB" => "United Kingdom",
        "IN" => "India",
        "IT" => "Italy",
        "JP" => "Japan",
        "NL" => "Netherlands",
        "US" => "United States",
        other => other,
    }
}

/// `USD` → `$`; the code where there is no sign of its own.
pub fn currency_sign(code: &str) -> &str {
    match code {
        "USD" => "$",
        "EUR" => "€",
        "GBP" => "£",
        "JPY" => "¥",
        other => other,
    }
}
