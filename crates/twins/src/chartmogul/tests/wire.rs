//! Keys, limits, determinism, counters, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Desk, KEY, at};
use crate::chartmogul::{Config, Limits};
use crate::wire::Request;
use crate::{Twin, chartmogul::ChartMogul};

#[test]
fn a_wrong_key_is_refused() {
    let desk = Desk::new();
    for header in [None, Some("Basic d3Jvbmc6"), Some("Bearer cm_test")] {
        let mut request = Request::new("GET", "/v1/ping");
        if let Some(header) = header {
            request = request.with_header("authorization", header);
        }
        let response = desk.twin.handle(&request);
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        let expected = json!({"code": 401, "message": "No valid API key provided", "param": null});
        assert_eq!((response.status, body), (401, expected));
    }
}

#[test]
fn one_seed_gives_one_world() {
    let uuids = |seed| {
        let desk = Desk::with(Config::new(KEY, seed, at("2026-01-15")));
        (desk.source.clone(), desk.customer.clone())
    };
    assert_eq!(uuids(1), uuids(1));
    assert_ne!(uuids(1), uuids(2));
}

#[test]
fn limits_are_those_published_and_off_by_default() {
    let second = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&second);
    let now = move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap();
    let mut config = Config::new(KEY, 1, at("2026-01-15"));
    config.limits = Some(Limits::published(Arc::new(now)));
    let twin = ChartMogul::new(config);
    let statuses = |count: usize| -> Vec<u16> {
        (0..count).map(|_| twin.handle(&Request::new("GET", "/v1/ping")).status).collect()
    };
    assert!(statuses(40).iter().all(|status| *status == 401));
    assert_eq!(statuses(1), [429]);
    second.store(1, Ordering::Relaxed);
    assert_eq!(statuses(1), [401], "a new second");
    assert_eq!(twin.counters().limited, 1);

    let desk = Desk::new();
    assert!((0..200).all(|_| desk.send("GET", "/v1/ping", None).status == 200));
}

#[test]
fn writes_are_counted_by_endpoint() {
    let desk = Desk::new();
    desk.new_customer("cus_2");
    let target = format!("/v1/customers/{}/attributes/tags", desk.customer);
    desk.post(&target, json!({"tags": ["a"]}));
    desk.call("POST", "/v1/customers", json!({"data_source_uuid": desk.source, "external_id": "cus_2"}));
    let counters = desk.twin.counters();
    assert_eq!(counters.writes["POST /customers"], 2);
    assert_eq!(counters.writes["POST /customers/:id/attributes/tags"], 1);
    assert_eq!(counters.duplicates[&("customer".to_owned(), "cus_2".to_owned())], 1);
}

#[test]
fn customers_are_paged_by_cursor_even_while_they_go() {
    let desk = Desk::new();
    for number in 2..8 {
        desk.new_customer(&format!("cus_{number}"));
    }
    let mut seen = Vec::new();
    let mut target = "/v1/customers?per_page=3".to_owned();
    loop {
        let page = desk.get(&target);
        for row in page["entries"].as_array().unwrap() {
            seen.push(row["external_id"].as_str().unwrap().to_owned());
        }
        if page["has_more"] == json!(false) {
            break;
        }
        // The customer the cursor names goes; the next page begins after it all the same.
        let last = page["entries"][2]["uuid"].as_str().unwrap();
        assert_eq!(desk.send("DELETE", &format!("/v1/customers/{last}"), None).status, 204);
        let cursor = page["cursor"].as_str().unwrap().replace('=', "%3D");
        target = format!("/v1/customers?per_page=3&cursor={cursor}");
    }
    assert_eq!(seen, ["cus_1", "cus_2", "cus_3", "cus_4", "cus_5", "cus_6", "cus_7"]);
}

/// Intervals, and the figures of one: rates, ARPA, LTV.
#[test]
fn metrics_of_two_months() {
    let mut desk = Desk::new();
    desk.twin.set_now(at("2026-03-15"));
    let plan = desk.plan("month", 1);
    let first = desk.customer.clone();
    for (customer, amount) in [("cus_2", 3_000), ("cus_3", 2_001), ("cus_4", 1_000)] {
        desk.customer = desk.new_customer(customer);
        let mut line = desk.line(&plan, "2026-01-10", "2026-02-10", amount);
        line["subscription_external_id"] = json!(customer);
        desk.bill(vec![line]);
    }
    desk.cancel(&["2026-02-10"]);
    desk.customer = first;
    let metrics = desk.get("/v1/metrics/all?start-date=2026-01-01&end-date=2026-02-28&interval=month");
    let entries = metrics["entries"].as_array().unwrap();
    assert_eq!((&entries[0]["date"], &entries[1]["date"]), (&json!("2026-01-31"), &json!("2026-02-28")));
    assert_eq!(
        (&entries[0]["mrr"], &entries[0]["customers"], &entries[0]["arpa"]),
        (&json!(6_001), &json!(3), &json!(2_000))
    );
    assert_eq!(entries[0]["asp"], json!(2_000));
    let february = &entries[1];
    assert_eq!((&february["mrr"], &february["arr"]), (&json!(5_001), &json!(60_012)));
    assert_eq!(february["customer-churn-rate"], json!(33.33));
    assert_eq!(february["mrr-churn-rate"], json!(16.66));
    assert_eq!(february["mrr-percentage-change"], json!(-16.66));
    // 5001 ÷ 2 = 2500, over 33.33 %.
    assert_eq!(february["ltv"], json!(7_500));
    assert_eq!(metrics["summary"]["current-mrr"], json!(5_001));

    let dates = |interval: &str| -> Vec<String> {
        let target = format!("/v1/metrics/mrr?start-date=2026-01-28&end-date=2026-02-10&interval={interval}");
        let entries = desk.get(&target)["entries"].clone();
        entries.as_array().unwrap().iter().map(|entry| entry["date"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(dates("day").len(), 14);
    assert_eq!(dates("week"), ["2026-02-01", "2026-02-08", "2026-02-10"]);
    assert_eq!(dates("month"), ["2026-01-31", "2026-02-10"]);
    assert_eq!(dates("quarter"), ["2026-02-10"]);
    let of_plan =
        desk.get(&format!("/v1/metrics/mrr?start-date=2026-01-31&end-date=2026-01-31&plans={plan}"));
    assert_eq!(of_plan["entries"][0]["mrr"], json!(6_001));
    let elsewhere = desk.get("/v1/metrics/mrr?start-date=2026-01-31&end-date=2026-01-31&geo=DE");
    assert_eq!(elsewhere["entries"][0]["mrr"], json!(0));
    assert_eq!(desk.send("GET", "/v1/metrics/mrr?end-date=2026-01-31", None).status, 422);
}

/// Every movement once, over pages, in order of time.
#[test]
fn activities_are_paged_in_order() {
    let mut desk = Desk::new();
    desk.twin.set_now(at("2026-03-15"));
    let plan = desk.plan("month", 1);
    for (start, amount) in
        [("2026-01-02", 1_000), ("2026-01-05", 1_500), ("2026-01-08", 700), ("2026-04-01", 900)]
    {
        desk.bill(vec![desk.line(&plan, start, "2026-05-02", amount)]);
    }
    let mut kinds = Vec::new();
    let mut target = "/v1/activities?per_page=2".to_owned();
    loop {
        let page = desk.get(&target);
        kinds.extend(
            page["entries"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == json!(false) {
            break;
        }
        target = format!(
            "/v1/activities?per_page=2&cursor={}",
            page["cursor"].as_str().unwrap().replace('=', "%3D")
        );
    }
    assert_eq!(kinds, ["new_biz", "expansion", "contraction"], "what lies ahead has not happened");
    let filtered = desk.get("/v1/activities?type=expansion&start-date=2026-01-05&end-date=2026-01-05");
    assert_eq!(filtered["entries"].as_array().unwrap().len(), 1);
}
