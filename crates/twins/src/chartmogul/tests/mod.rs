//! The twin from the wire, without a socket.

mod examples;
mod imports;
mod report;
mod wire;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ChartMogul, Config};
use crate::Twin;
use crate::wire::{Request, Response};

pub const KEY: &str = "cm_test";

pub fn at(text: &str) -> Timestamp {
    super::time::parse(text).unwrap()
}

/// A twin with a data source, one customer, and monthly and yearly plans.
pub struct Desk {
    pub twin: ChartMogul,
    pub source: String,
    pub customer: String,
    invoices: u32,
}

impl Desk {
    pub fn new() -> Desk {
        Desk::with(Config::new(KEY, 7, at("2026-01-15")))
    }

    pub fn with(config: Config) -> Desk {
        let mut desk = Desk {
            twin: ChartMogul::new(config),
            source: String::new(),
            customer: String::new(),
            invoices: 0,
        };
        desk.source =
            desk.post("/v1/data_sources", json!({"name": "Stripe"}))["uuid"].as_str().unwrap().to_owned();
        desk.customer = desk.new_customer("cus_1");
        desk
    }

    pub fn send(&self, method: &str, target: &str, body: Option<Value>) -> Response {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:"));
        let request = Request::new(method, target).with_header("Authorization", &format!("Basic {key}"));
        self.twin.handle(&match body {
            Some(body) => request.with_body(body.to_string()),
            None => request,
        })
    }

    /// Sends and returns status and body.
    pub fn call(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let response = self.send(method, target, Some(body));
        let body = if response.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&response.body).unwrap()
        };
        (response.status, body)
    }

    pub fn get(&self, target: &str) -> Value {
        let response = self.send("GET", target, None);
        assert_eq!(response.status, 200, "{target}: {:?}", response.body);
        serde_json::from_slice(&response.body).unwrap()
    }

    pub fn post(&self, target: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", target, body);
        assert!((200..300).contains(&status), "{target}: {status} {answer}");
        answer
    }

    pub fn new_customer(&self, external_id: &str) -> String {
        let body = json!({"data_source_uuid": self.source, "external_id": external_id, "name": external_id});
        self.post("/v1/customers", body)["uuid"].as_str().unwrap().to_owned()
    }

    pub fn plan(&self, unit: &str, count: u32) -> String {
        let body = json!({
            "data_source_uuid": self.source, "name": format!("{count} {unit}"), "interval_unit": unit,
            "interval_count": count,
        });
        self.post("/v1/plans", body)["uuid"].as_str().unwrap().to_owned()
    }

    /// A subscription line of `si_1`.
    pub fn line(&self, plan: &str, start: &str, end: &str, cents: i64) -> Value {
        json!({
            "type": "subscription", "subscription_external_id": "si_1", "plan_uuid": plan,
            "service_period_start": start, "service_period_end": end, "amount_in_cents": cents, "quantity": 1,
        })
    }

    /// Imports an invoice of these lines for the first customer.
    pub fn bill(&mut self, lines: Vec<Value>) -> Value {
        self.bill_as("USD", lines)
    }

    pub fn bill_as(&mut self, currency: &str, lines: Vec<Value>) -> Value {
        self.invoices += 1;
        let invoice = json!({
            "external_id": format!("in_{}", self.invoices), "date": "2026-01-01", "currency": currency,
            "line_items": lines,
        });
        let target = format!("/v1/import/customers/{}/invoices", self.customer);
        self.post(&target, json!({"invoices": [invoice]}))["invoices"][0].clone()
    }

    /// MRR of the account at an instant, in its cents.
    pub fn mrr_at(&self, instant: &str) -> i64 {
        self.twin.report(at(instant), at(instant)).days[0].total_cents
    }

    /// Sets the cancellation dates of the first customer's only subscription.
    pub fn cancel(&self, dates: &[&str]) {
        let target = format!("/v1/import/customers/{}/subscriptions", self.customer);
        let uuid = self.get(&target)["subscriptions"][0]["uuid"].as_str().unwrap().to_owned();
        let target = format!("/v1/import/subscriptions/{uuid}");
        let (status, body) = self.call("PATCH", &target, json!({"cancellation_dates": dates}));
        assert_eq!((status, body["cancellation_dates"].as_array().unwrap().len()), (202, dates.len()));
    }
}

/// Adds members to a JSON object.
pub fn with(mut value: Value, more: Value) -> Value {
    for (key, member) in more.as_object().unwrap() {
        value[key] = member.clone();
    }
    value
}
