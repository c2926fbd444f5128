//! What a billing system says of one customer, in the canonical `billing` views of connector manifests.
//!
//! Amounts are cents of the object's currency, times unix seconds. Optional fields are those that the
//! vendor documents as nullable; everything else must be there, since a missing amount is not zero.

use serde::{Deserialize, Serialize};

/// Everything a billing system holds about one customer, read at one time.
#[derive(Debug, Clone, Deserialize)]
pub struct Snapshot {
    pub subscriptions: Vec<Subscription>,
    pub invoices: Vec<Invoice>,
    /// Invoice items that wait for an invoice.
    pub pending: Vec<InvoiceItem>,
    #[serde(default)]
    pub refunds: Vec<Refund>,
    /// Prices that lines mention and no present subscription item has.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Terms of discounts that lines mention by id and no subscription has any more.
    #[serde(default)]
    pub coupons: Vec<Coupon>,
}

/// What a coupon takes off.
#[derive(Debug, Clone, Deserialize)]
pub struct Coupon {
    pub id: String,
    #[serde(default)]
    pub percent_off: Option<serde_json::Number>,
    #[serde(default)]
    pub amount_off: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub status: Status,
    #[serde(default)]
    pub trial_start: Option<i64>,
    #[serde(default)]
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    #[serde(default)]
    pub ended_at: Option<i64>,
    pub discounts: Vec<Discount>,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Active,
    PastDue,
    Trialing,
    Canceled,
    Unpaid,
    Incomplete,
    IncompleteExpired,
    Paused,
}

impl Status {
    /// Whether the vendor considers the subscription as bringing recurring revenue now.
    pub fn is_paying(self) -> bool {
        matches!(self, Status::Active | Status::PastDue)
    }

    /// Whether the first invoice was never paid, so that nothing of it is revenue.
    pub fn never_started(self) -> bool {
        matches!(self, Status::Incomplete | Status::IncompleteExpired)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Item {
    pub id: String,
    pub price: String,
    pub unit_amount: Option<i64>,
    pub currency: String,
    pub interval: Interval,
    pub interval_count: u32,
    pub usage_type: UsageType,
    pub quantity: Option<i64>,
    pub current_period_end: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageType {
    Licensed,
    Metered,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Discount {
    pub id: String,
    #[serde(default)]
    pub coupon: Option<String>,
    #[serde(default)]
    pub percent_off: Option<serde_json::Number>,
    #[serde(default)]
    pub amount_off: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Invoice {
    pub id: String,
    pub status: Option<InvoiceStatus>,
    #[serde(default)]
    pub subscription: Option<String>,
    pub created: i64,
    #[serde(default)]
    pub due_date: Option<i64>,
    #[serde(default)]
    pub finalized_at: Option<i64>,
    #[serde(default)]
    pub paid_at: Option<i64>,
    pub currency: String,
    pub amount_paid: i64,
    #[serde(default)]
    pub payment_intents: Vec<String>,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    Draft,
    Open,
    Paid,
    Uncollectible,
    Void,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub id: String,
    #[serde(default)]
    pub description: Option<String>,
    pub amount: i64,
    pub period_start: i64,
    pub period_end: i64,
    pub proration: bool,
    #[serde(default)]
    pub subscription: Option<String>,
    #[serde(default)]
    pub subscription_item: Option<String>,
    #[serde(default)]
    pub price: Option<String>,
    #[serde(default)]
    pub quantity: Option<i64>,
    pub discount_amount: i64,
    pub tax_amount: i64,
    pub tax_exclusive_amount: i64,
    #[serde(default)]
    pub discounts: Vec<Discount>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct InvoiceItem {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub period_start: i64,
    pub period_end: i64,
    pub proration: bool,
    #[serde(default)]
    pub subscription: Option<String>,
    #[serde(default)]
    pub subscription_item: Option<String>,
    #[serde(default)]
    pub price: Option<String>,
    #[serde(default)]
    pub quantity: Option<i64>,
    #[serde(default)]
    pub discounts: Vec<Discount>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Refund {
    pub id: String,
    pub amount: i64,
    pub created: i64,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub payment_intent: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Price {
    pub id: String,
    #[serde(default)]
    pub unit_amount: Option<i64>,
    pub currency: String,
    #[serde(default)]
    pub interval: Option<Interval>,
    #[serde(default)]
    pub interval_count: Option<u32>,
    #[serde(default)]
    pub usage_type: Option<UsageType>,
}
