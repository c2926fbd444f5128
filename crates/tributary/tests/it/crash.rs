//! The server dies twenty times in the month, and nobody can tell from the outcome.

use serde_json::json;

use super::demo::{demo, text};

const LIFE: [&str; 6] = ["--customers", "20", "--days", "30", "--seed", "11"];

#[test]
fn kill_9_changes_nothing() {
    let (_, calm) = demo(&LIFE);
    let (output, crashed) = demo(&[LIFE.as_slice(), &["--crash", "--kills", "20"]].concat());
    let log = text(&output.stderr);
    assert_eq!(crashed["discrepancies"], json!([]), "{log}");
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("killed 20 times"), "{log}");
    // Everything but wall time and retries is as if nothing had happened.
    assert_eq!(crashed["mrr"], calm["mrr"]);
    assert_eq!(crashed["events"]["sent"], calm["events"]["sent"]);
    assert_eq!(crashed["slack_messages"], calm["slack_messages"]);
}
