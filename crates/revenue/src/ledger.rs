//! What the analytics ledger holds of one customer, and what is to be written to it.
//!
//! The shapes are those of an invoice-based ledger (ChartMogul's import format): invoices with line
//! items and transactions, subscriptions with cancellation dates, plans.

use serde::{Deserialize, Serialize};

/// What the ledger holds of one customer in one data source.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Snapshot {
    pub invoices: Vec<Held>,
    pub subscriptions: Vec<HeldSubscription>,
    pub plans: Vec<HeldPlan>,
}

/// An invoice that the ledger holds.
#[derive(Debug, Clone, Deserialize)]
pub struct Held {
    pub uuid: String,
    pub external_id: String,
    pub date: String,
    pub currency: String,
    pub line_items: Vec<HeldLine>,
    pub transactions: Vec<HeldTransaction>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct HeldLine {
    pub r#type: String,
    #[serde(default)]
    pub subscription_external_id: Option<String>,
    #[serde(default)]
    pub plan_uuid: Option<String>,
    #[serde(default)]
    pub service_period_start: Option<String>,
    #[serde(default)]
    pub service_period_end: Option<String>,
    pub amount_in_cents: i64,
    #[serde(default)]
    pub quantity: Option<i64>,
    #[serde(default)]
    pub discount_amount_in_cents: Option<i64>,
    #[serde(default)]
    pub tax_amount_in_cents: Option<i64>,
    #[serde(default)]
    pub external_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct HeldTransaction {
    #[serde(default)]
    pub external_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct HeldSubscription {
    pub uuid: String,
    pub external_id: String,
    pub cancellation_dates: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct HeldPlan {
    pub uuid: String,
    #[serde(default)]
    pub external_id: Option<String>,
}

/// An invoice to be written; times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invoice {
    pub external_id: String,
    pub date: String,
    pub currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_date: Option<String>,
    pub line_items: Vec<Line>,
    pub transactions: Vec<Transaction>,
}

/// A line to be written. `plan` is the plan's external id: the flow puts the ledger's uuid in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub r#type: LineType,
    pub external_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_set_external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_period_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_period_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub amount_in_cents: i64,
    pub quantity: i64,
    pub discount_amount_in_cents: i64,
    pub tax_amount_in_cents: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineType {
    Subscription,
    OneTime,
}

impl LineType {
    pub fn as_str(self) -> &'static str {
        match self {
            LineType::Subscription => "subscription",
            LineType::OneTime => "one_time",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transaction {
    pub external_id: String,
    pub r#type: &'static str,
    pub date: String,
    pub result: &'static str,
    pub amount_in_cents: i64,
}
