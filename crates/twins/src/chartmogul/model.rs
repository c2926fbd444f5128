//! What the twin keeps.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::mrr::{Currency, Interval};
use super::table::Seq;

#[derive(Debug)]
pub struct DataSource {
    pub uuid: String,
    pub name: String,
    pub system: String,
    pub created_at: Timestamp,
}

/// A customer's id in one data source; a merged customer has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub source: String,
    pub external_id: String,
}

#[derive(Debug)]
pub struct Customer {
    pub uuid: String,
    pub identities: Vec<Identity>,
    pub name: String,
    pub email: String,
    pub company: String,
    pub country: Option<String>,
    pub state: Option<String>,
    pub city: Option<String>,
    pub zip: Option<String>,
    pub owner: Option<String>,
    pub website_url: Option<String>,
    pub lead_created_at: Option<Timestamp>,
    pub free_trial_started_at: Option<Timestamp>,
    /// The status a sales team gave (`Working Lead`…); subscriptions overrule it.
    pub lead_status: Option<String>,
    pub tags: Vec<String>,
    pub custom: Map<String, Value>,
    pub created_at: Timestamp,
    pub invoices: BTreeSet<Seq>,
    pub subscriptions: BTreeSet<Seq>,
}

impl Customer {
    /// The identity it was created with.
    pub fn primary(&self) -> (&str, &str) {
        self.identities.first().map_or(("", ""), |first| (&first.source, &first.external_id))
    }
}

#[derive(Debug)]
pub struct Plan {
    pub uuid: String,
    pub external_id: String,
    pub name: String,
    pub interval: Interval,
    pub source: String,
    pub created_at: Timestamp,
}

#[derive(Debug)]
pub struct PlanGroup {
    pub uuid: String,
    pub name: String,
    pub plans: Vec<Seq>,
    pub created_at: Timestamp,
}

/// Hidden without being deleted.
#[derive(Clone, Debug, Default)]
pub struct Disabled(pub Option<Timestamp>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceStatus {
    Voided,
    WrittenOff,
}

impl InvoiceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            InvoiceStatus::Voided => "voided",
            InvoiceStatus::WrittenOff => "written_off",
        }
    }
}

#[derive(Debug)]
pub struct Invoice {
    pub uuid: String,
    pub external_id: String,
    pub customer: Seq,
    pub source: String,
    pub date: Timestamp,
    pub due_date: Option<Timestamp>,
    pub currency: Currency,
    pub status: Option<InvoiceStatus>,
    pub disabled: Disabled,
    pub lines: Vec<Line>,
    pub transactions: Vec<Transaction>,
    pub created_at: Timestamp,
}

/// The part of a line that makes a subscription.
#[derive(Clone, Debug)]
pub struct Service {
    pub subscription: Seq,
    pub plan: Seq,
    pub prorated: bool,
    pub proration_type: Option<String>,
    pub start: Timestamp,
    pub end: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    Subscription,
    Trial,
    OneTime,
}

impl LineKind {
    pub fn as_str(self) -> &'static str {
        match self {
            LineKind::Subscription => "subscription",
            LineKind::Trial => "trial",
            LineKind::OneTime => "one_time",
        }
    }
}

#[derive(Debug)]
pub struct Line {
    pub seq: Seq,
    pub uuid: String,
    pub external_id: Option<String>,
    pub kind: LineKind,
    /// `None` for one-time lines.
    pub service: Option<Service>,
    pub description: Option<String>,
    pub amount_in_cents: i64,
    pub quantity: i64,
    pub discount_code: String,
    pub discount_amount_in_cents: i64,
    pub discount_description: Option<String>,
    pub tax_amount_in_cents: i64,
    pub transaction_fees_in_cents: i64,
    pub transaction_fees_currency: Option<String>,
    pub account_code: String,
    pub event_order: Option<i64>,
    pub balance_transfer: Option<i64>,
    pub disabled: Disabled,
}

#[derive(Debug)]
pub struct Transaction {
    pub uuid: String,
    pub external_id: Option<String>,
    pub kind: String,
    pub date: Timestamp,
    pub result: String,
    pub amount_in_cents: Option<i64>,
    pub transaction_fees_in_cents: Option<i64>,
    pub transaction_fees_currency: Option<String>,
    pub disabled: Disabled,
}

/// Made by the lines that name it.
#[derive(Debug)]
pub struct Subscription {
    pub uuid: String,
    pub external_id: String,
    pub set_external_id: Option<String>,
    pub customer: Seq,
    pub source: String,
    /// The plan of the line that was created last.
    pub plan: Seq,
    pub cancellation_dates: Vec<Timestamp>,
    pub created_at: Timestamp,
}

/// A contact, note, opportunity or task: fields that the API hands back as they came.
#[derive(Debug)]
pub struct Entry {
    pub uuid: String,
    pub customer: Seq,
    pub fields: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug)]
pub struct SubscriptionEvent {
    pub id: u64,
    pub source: String,
    pub fields: Map<String, Value>,
    pub disabled: Disabled,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
