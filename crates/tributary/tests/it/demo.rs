//! The demo, as a user runs it: a small month, and every cent of it arrives.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::cluster::cluster;

/// Runs `tributary demo --json …`.
pub fn demo(args: &[&str]) -> (Output, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["demo", "--json"])
        .args(args)
        .output()
        .expect("the demo runs");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "stdout is not one JSON document ({error})\n{}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        )
    });
    (output, document)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_small_month_is_right_to_the_cent() {
    let (output, document) = demo(&["--customers", "25", "--days", "30", "--seed", "7"]);
    assert_eq!(document["discrepancies"], json!([]), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let number =
        |path: &str| document.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("no {path}"));
    assert_eq!((number("/customers"), number("/days"), number("/seed")), (25, 30, 7));
    assert_eq!(number("/mrr/stripe_cents"), number("/mrr/chartmogul_cents"));
    assert!(number("/mrr/stripe_cents") > 0);
    assert_eq!(number("/runs/failed"), 0);
    assert_eq!(number("/events/rejected"), 0);
    assert_eq!(number("/events/received"), number("/events/sent"), "each delivery is acknowledged once");
    assert!(number("/events/duplicates") > 0, "some events come twice");
    assert!(number("/slack_messages") > 0, "some payments fail");
    for kind in ["new_business", "expansion", "contraction", "churn", "reactivation"] {
        assert_ne!(number(&format!("/mrr/movements/{kind}")), 0, "{kind} occurs in a month of 25 customers");
    }
    for currency in ["usd", "eur"] {
        let at = |system: &str| number(&format!("/mrr/by_currency/{currency}/{system}_cents"));
        assert!(at("stripe") > 0 && at("stripe") == at("chartmogul"), "{currency}");
    }
    for key in ["server", "stripe", "chartmogul", "slack", "hook"] {
        assert!(
            document["addresses"][key].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")),
            "{key}"
        );
    }
}

/// The same, with everything kept in PostgreSQL, and the server killed meanwhile.
#[test]
fn a_month_on_postgresql_is_right_to_the_cent() {
    let url = cluster().database();
    let args = ["--customers", "10", "--days", "10", "--seed", "3", "--kills", "3", "--database", &url];
    let (output, document) = demo(&args);
    assert_eq!(document["discrepancies"], json!([]), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(document["runs"]["failed"], json!(0));
    assert_eq!(document["mrr"]["stripe_cents"], document["mrr"]["chartmogul_cents"]);
    assert!(document["mrr"]["stripe_cents"].as_i64() > Some(0));
    let events = cluster().rows(&url, "events");
    assert!(events > 10, "they are in the database: {events}");
}

/// A life of one customer and one day is a life too.
#[test]
fn the_smallest_month_works() {
    let (output, document) = demo(&["--customers", "1", "--days", "1"]);
    assert_eq!(output.status.code(), Some(0), "{document}\n{}", text(&output.stderr));
    assert_eq!(document["mrr"]["stripe_cents"], document["mrr"]["chartmogul_cents"]);
}
