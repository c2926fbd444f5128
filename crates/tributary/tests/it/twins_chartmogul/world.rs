//! A twin in which every recorded request has something to be asked of.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use twins::Twin as _;
use twins::chartmogul::{ChartMogul, Config};
use twins::wire::{Request, Response};

const KEY: &str = "cm_shapes";

/// The twin, and the uuids in it by kind, as recorded requests name them: `cus`, `inv`, …
pub struct World {
    twin: ChartMogul,
    pub uuids: BTreeMap<&'static str, Vec<String>>,
}

impl World {
    /// Two of everything.
    pub fn new() -> World {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut world = World { twin: ChartMogul::new(Config::new(KEY, 3, now)), uuids: BTreeMap::new() };
        for name in ["First", "Second"] {
            world.add("ds", "/data_sources", json!({"name": name}));
        }
        for index in 0..2 {
            let (name, unit) = [("Gold annual", "year"), ("Test Plan", "month")][index];
            let source = world.uuid("ds", 0);
            let plan =
                json!({"name": name, "interval_count": 1, "interval_unit": unit, "data_source_uuid": source});
            world.add("pl", "/plans", plan);
        }
        for index in 0..2 {
            world.customer(index);
        }
        let plans = world.uuids["pl"].clone();
        for name in ["Group", "Other group"] {
            world.add("plg", "/plan_groups", json!({"name": name, "plans": plans}));
        }
        world
    }

    fn customer(&mut self, index: usize) {
        let external_id = ["test_cus_ext_id", "cus_002"][index];
        let customer = self.add(
            "cus",
            "/customers",
            json!({
                "external_id": external_id, "data_source_uuid": self.uuid("ds", index), "name": "Gavin Belson",
                "email": "gavin@example.com", "country": "US", "state": "CA", "city": "Palo Alto", "zip": "12345",
                "company": "Hooli", "lead_created_at": "2026-01-01", "free_trial_started_at": "2026-01-02",
                "owner": "owner@example.com", "attributes": {"tags": ["managed", "test-tag"]},
            }),
        );
        let line = |number: usize, start: &str, end: &str, cents: i64| {
            json!({
                "type": "subscription", "subscription_external_id": format!("si_{index}_{number}"),
                "subscription_set_external_id": format!("set_{index}"), "plan_uuid": self.uuid("pl", 1),
                "external_id": format!("li_{index}_{number}"), "service_period_start": start,
                "service_period_end": end, "amount_in_cents": cents, "quantity": 5,
            })
        };
        let payment = json!({"date": "2026-01-03", "type": "payment", "result": "successful"});
        let one_time = json!({"type": "one_time", "description": "Setup", "amount_in_cents": 4500});
        let invoices = json!({"invoices": [
            {"external_id": format!("in_{index}_1"), "date": "2026-01-03", "due_date": "2026-01-10", "currency": "EUR",
             "line_items": [line(1, "2026-01-03", "2026-02-03", 1000), one_time], "transactions": [payment]},
            {"external_id": format!("in_{index}_2"), "date": "2026-01-04", "currency": "USD",
             "line_items": [line(2, "2026-01-04", "2026-02-04", 1000)], "transactions": [payment]},
        ]});
        let imported = self.write("POST", &format!("/import/customers/{customer}/invoices"), &invoices);
        for invoice in imported["invoices"].as_array().unwrap() {
            self.remember("inv", &invoice["uuid"]);
        }
        let held = self.get(&format!("/import/customers/{customer}/subscriptions"));
        let uuid = held["subscriptions"][0]["uuid"].as_str().unwrap().to_owned();
        let dates = json!({"cancellation_dates": ["2026-02-01"]});
        self.write("PATCH", &format!("/import/subscriptions/{uuid}"), &dates);
        let customer_uuid = json!(customer);
        for number in 0..2 {
            let contact = json!({"customer_uuid": customer_uuid, "email": "a@example.com", "first_name": "A",
                "external_id": format!("contact_{index}_{number}"), "custom": [{"key": "Toggle", "value": false}]});
            self.add("con", "/contacts", contact);
            let note =
                json!({"customer_uuid": customer_uuid, "type": "call", "text": "Hi", "call_duration": 60});
            self.add("note", "/customer_notes", note);
            let opportunity = json!({"customer_uuid": customer_uuid, "owner": "o@example.com", "pipeline": "New",
                "pipeline_stage": "Discovery", "estimated_close_date": "2026-03-30", "currency": "USD",
                "amount_in_cents": 100, "type": "recurring", "forecast_category": "best_case", "win_likelihood": 30});
            self.add("opportunities", "/opportunities", opportunity);
            let task = json!({"customer_uuid": customer_uuid, "task_details": "Call", "assignee": "a@example.com",
                "due_date": "2026-04-30"});
            let task = self.write("POST", "/tasks", &task);
            self.remember("tasks", &task["task_uuid"]);
        }
    }

    fn add(&mut self, kind: &'static str, path: &str, body: Value) -> String {
        let answer = self.write("POST", path, &body);
        self.remember(kind, &answer["uuid"])
    }

    fn remember(&mut self, kind: &'static str, uuid: &Value) -> String {
        let uuid = uuid.as_str().unwrap().to_owned();
        self.uuids.entry(kind).or_default().push(uuid.clone());
        uuid
    }

    pub fn uuid(&self, kind: &str, index: usize) -> &str {
        &self.uuids[kind][index]
    }

    pub fn get(&self, target: &str) -> Value {
        let response = self.send("GET", target, None, KEY);
        assert_eq!(response.status, 200, "{target}: {:?}", response.body);
        serde_json::from_slice(&response.body).unwrap()
    }

    pub fn write(&self, method: &str, target: &str, body: &Value) -> Value {
        let response = self.send(method, target, Some(body), KEY);
        assert!(response.status < 300, "{method} {target}: {:?}", response.body);
        serde_json::from_slice(&response.body).unwrap_or(Value::Null)
    }

    /// With the right key, or a wrong one.
    pub fn ask(&self, method: &str, target: &str, body: Option<&Value>, authorized: bool) -> Response {
        self.send(method, target, body, if authorized { KEY } else { "wrong" })
    }

    fn send(&self, method: &str, target: &str, body: Option<&Value>, key: &str) -> Response {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{key}:")));
        let request =
            Request::new(method, &format!("/v1{target}")).with_header("authorization", &authorization);
        self.twin.handle(&match body {
            Some(body) => request.with_body(body.to_string()),
            None => request,
        })
    }
}
