//! What exists in a Stripe account. Amounts are in the currency's smallest unit, times in Unix seconds.
//!
//! Every object is self-contained (it holds the price or coupon it was made with), so that an `Arc` of it is a
//! snapshot that an event can be rendered from later, at any API version.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub(super) type Metadata = BTreeMap<String, String>;

/// A word of a fixed vocabulary, as it stands on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $name { $($variant),+ }
        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
            /// The variant for a word on the wire.
            #[allow(dead_code, reason = "not every vocabulary is read from requests")]
            pub(super) fn parse(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// How often a price recurs.
    pub enum Interval { Day = "day", Week = "week", Month = "month", Year = "year" }
}
words! {
    /// The state of a subscription.
    pub enum SubscriptionStatus {
        Active = "active", Canceled = "canceled", Incomplete = "incomplete",
        IncompleteExpired = "incomplete_expired", PastDue = "past_due", Trialing = "trialing", Unpaid = "unpaid",
    }
}
words! {
    /// The state of an invoice.
    pub enum InvoiceStatus {
        Draft = "draft", Open = "open", Paid = "paid", Uncollectible = "uncollectible", Void = "void",
    }
}
words! {
    /// Why an invoice exists.
    pub(super) enum Reason {
        Manual = "manual", Create = "subscription_create", Cycle = "subscription_cycle",
        Update = "subscription_update", Upcoming = "upcoming",
    }
}
words! {
    /// What a trial does at its end without a payment method.
    pub(super) enum MissingCard { Cancel = "cancel", CreateInvoice = "create_invoice" }
}
words! {
    /// What becomes of the time that is used or unused when a subscription changes in mid-period.
    pub enum Proration { Create = "create_prorations", Invoice = "always_invoice", None = "none" }
}
words! {
    pub(super) enum Collection { Automatic = "charge_automatically", Send = "send_invoice" }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Customer {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// Negative: the account owes the customer; applied to the next invoices.
    pub balance: i64,
    pub currency: Option<String>,
    pub default_payment_method: Option<String>,
    pub default_source: Option<String>,
    pub payment_methods: Vec<String>,
    pub address: Value,
    pub shipping: Value,
    pub custom_fields: Value,
    pub footer: Option<String>,
    pub delinquent: bool,
    pub invoice_prefix: String,
    pub next_invoice: i64,
    pub discount: Option<Arc<Discount>>,
    pub tax_exempt: String,
    pub preferred_locales: Vec<String>,
    pub test_clock: Option<String>,
    pub deleted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub id: String,
    pub created: i64,
    pub updated: i64,
    pub name: String,
    pub description: Option<String>,
    pub active: bool,
    pub metadata: Metadata,
    pub default_price: Option<String>,
    pub unit_label: Option<String>,
    pub statement_descriptor: Option<String>,
    pub tax_code: Option<String>,
    pub url: Option<String>,
    pub images: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recurring {
    pub interval: Interval,
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Price {
    pub id: String,
    pub created: i64,
    pub active: bool,
    pub product: String,
    /// The product's name when the price was made: what invoice lines call it.
    pub product_name: String,
    pub currency: String,
    pub unit_amount: i64,
    pub recurring: Option<Recurring>,
    pub trial_period_days: Option<i64>,
    pub nickname: Option<String>,
    pub lookup_key: Option<String>,
    pub tax_behavior: String,
    pub metadata: Metadata,
}

/// What a coupon takes off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Off {
    /// In hundredths of a percent: 12.5 % = 1250.
    Percent(u32),
    /// An amount in a currency.
    Amount(i64, String),
}

/// How long a coupon's discount lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    Once,
    Forever,
    /// So many months.
    Repeating(u32),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coupon {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub off: Off,
    pub duration: Duration,
    pub max_redemptions: Option<i64>,
    pub redeem_by: Option<i64>,
    pub times_redeemed: i64,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Discount {
    pub id: String,
    pub coupon: Arc<Coupon>,
    pub customer: String,
    pub subscription: Option<String>,
    pub start: i64,
    pub end: Option<i64>,
}

/// How the issuing bank answers charges of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bank {
    Approves,
    Declines(&'static str),
    DeclinesNext(u32),
    NeedsAction,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PaymentMethod {
    pub id: String,
    pub created: i64,
    pub customer: Option<String>,
    pub brand: &'static str,
    pub last4: &'static str,
    pub bank: Bank,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub id: String,
    pub created: i64,
    pub price: Arc<Price>,
    pub quantity: i64,
    pub metadata: Metadata,
    /// A whole period's amount after the discounts in force in the current period: the base of prorations and MRR.
    pub net: i64,
    /// The discounts in force in the current period.
    pub in_force: Vec<Arc<Discount>>,
}

impl Item {
    pub(super) fn gross(&self) -> i64 {
        self.price.unit_amount * self.quantity
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subscription {
    pub id: String,
    pub customer: String,
    pub created: i64,
    pub start: i64,
    pub status: SubscriptionStatus,
    pub items: Vec<Item>,
    pub currency: String,
    pub anchor: i64,
    pub period_start: i64,
    pub period_end: i64,
    pub trial_start: Option<i64>,
    pub trial_end: Option<i64>,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub cancellation_comment: Option<String>,
    pub cancellation_feedback: Option<String>,
    pub cancellation_reason: Option<&'static str>,
    pub collection: Collection,
    pub days_until_due: Option<i64>,
    pub default_payment_method: Option<String>,
    pub discounts: Vec<Arc<Discount>>,
    pub latest_invoice: Option<String>,
    pub metadata: Metadata,
    pub description: Option<String>,
    pub missing_card: MissingCard,
    pub flexible: bool,
    pub test_clock: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub id: String,
    pub amount: i64,
    pub description: Option<String>,
    pub price: Option<Arc<Price>>,
    pub quantity: i64,
    pub period: (i64, i64),
    pub proration: bool,
    pub subscription: Option<String>,
    pub item: Option<String>,
    pub invoice_item: Option<String>,
    pub discountable: bool,
    /// (discount, amount taken off), in the order applied.
    pub discounts: Vec<(Arc<Discount>, i64)>,
    pub metadata: Metadata,
}

/// One attempt to collect an invoice through a payment intent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InvoicePayment {
    pub id: String,
    pub created: i64,
    pub payment_intent: String,
    pub requested: i64,
    pub paid_at: Option<i64>,
    pub canceled_at: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invoice {
    pub id: String,
    pub number: Option<String>,
    pub created: i64,
    pub customer: String,
    pub customer_name: Option<String>,
    pub customer_email: Option<String>,
    pub customer_phone: Option<String>,
    pub subscription: Option<String>,
    pub subscription_metadata: Metadata,
    pub status: InvoiceStatus,
    pub reason: Reason,
    pub currency: String,
    pub lines: Vec<Line>,
    pub discounts: Vec<Arc<Discount>>,
    pub subtotal: i64,
    pub total: i64,
    pub starting_balance: i64,
    pub ending_balance: Option<i64>,
    pub amount_due: i64,
    pub amount_paid: i64,
    pub attempt_count: i64,
    pub attempted: bool,
    pub auto_advance: bool,
    pub next_attempt: Option<i64>,
    pub finalizes_at: Option<i64>,
    pub finalized_at: Option<i64>,
    pub paid_at: Option<i64>,
    pub voided_at: Option<i64>,
    pub uncollectible_at: Option<i64>,
    pub period: (i64, i64),
    pub due_date: Option<i64>,
    pub collection: Collection,
    pub default_payment_method: Option<String>,
    pub payment: Option<InvoicePayment>,
    pub charge: Option<String>,
    pub paid_out_of_band: bool,
    pub description: Option<String>,
    pub footer: Option<String>,
    pub metadata: Metadata,
    pub test_clock: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct InvoiceItem {
    pub id: String,
    pub date: i64,
    pub customer: String,
    pub subscription: Option<String>,
    pub item: Option<String>,
    pub invoice: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub description: Option<String>,
    pub price: Option<Arc<Price>>,
    pub unit_amount: i64,
    pub quantity: i64,
    pub period: (i64, i64),
    pub proration: bool,
    pub discountable: bool,
    /// What a proration's amount is already after.
    pub discounts: Vec<Arc<Discount>>,
    pub metadata: Metadata,
    pub test_clock: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PaymentIntent {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub received: i64,
    pub currency: String,
    pub customer: Option<String>,
    pub invoice: Option<String>,
    pub payment_method: Option<String>,
    pub status: &'static str,
    pub charges: Vec<String>,
    pub secret: String,
    pub description: Option<String>,
    pub last_error: Option<Decline>,
    pub canceled_at: Option<i64>,
    pub receipt_email: Option<String>,
    pub shipping: Value,
    pub setup_future_usage: Option<String>,
    pub metadata: Metadata,
}

/// Why a bank refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decline {
    pub code: &'static str,
    pub decline_code: Option<&'static str>,
    pub message: &'static str,
    pub payment_method: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Charge {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub refunded: i64,
    pub currency: String,
    pub customer: Option<String>,
    pub customer_name: Option<String>,
    pub customer_email: Option<String>,
    pub invoice: Option<String>,
    pub payment_intent: String,
    pub payment_method: Option<String>,
    pub brand: &'static str,
    pub last4: &'static str,
    pub failure: Option<Decline>,
    pub balance_transaction: Option<String>,
    pub description: Option<String>,
    pub shipping: Value,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refund {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub charge: String,
    pub payment_intent: String,
    pub customer: Option<String>,
    pub payment_method: Option<String>,
    pub balance_transaction: String,
    pub reason: Option<String>,
    pub metadata: Metadata,
}

/// A webhook endpoint as configured in the account.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub id: String,
    pub created: i64,
    pub url: String,
    /// The signing secret, `whsec_…`.
    pub secret: String,
    /// Event types, or `*`.
    pub enabled_events: Vec<String>,
    /// The version its events are rendered at; `None` = the account's default.
    pub api_version: Option<String>,
    pub enabled: bool,
    pub(super) description: Option<String>,
    pub(super) metadata: Metadata,
}

impl Endpoint {
    /// Whether this endpoint is sent events of that type.
    pub fn wants(&self, r#type: &str) -> bool {
        self.enabled && self.enabled_events.iter().any(|wanted| wanted == "*" || wanted == r#type)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TestClock {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub frozen: i64,
    pub deletes_after: i64,
}
