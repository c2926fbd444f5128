//! Revenue arithmetic: pure functions from what a billing system says to what an analytics ledger should hold.
//!
//! Flows reach it as `call: revenue.<what>.<verb>`. It knows no vendor: its inputs are the canonical
//! `billing` views that a connector's manifest maps its objects to, and the ledger's records by their own ids.
//! It does no I/O, reads no clock and draws no random numbers. Money is whole cents (`i64`), times are
//! unix seconds (`i64`), percentages are parsed exactly; every division rounds once.
//!
//! Start at [`mirror::plan`], the heart of `stripe-to-chartmogul`.

pub mod billing;
pub mod ledger;
pub mod mirror;
pub mod money;

use serde_json::Value;

/// Why a revenue operation refused its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct Error {
    /// Path of the offending field, such as `billing.subscriptions[0].items[0].unit_amount`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub detail: String,
}

/// Names of the operations that [`call`] answers, for lint and help.
pub const OPERATIONS: &[&str] = &["revenue.mirror.plan"];

/// Performs a `revenue.*` operation; `None` if there is no operation of that name.
pub fn call(operation: &str, with: &Value) -> Option<Result<Value, Error>> {
    match operation {
        "revenue.mirror.plan" => Some(plan(with)),
        _ => None,
    }
}

fn plan(with: &Value) -> Result<Value, Error> {
    let billing = read::<billing::Snapshot>(with, "billing")?;
    let ledger = read::<ledger::Snapshot>(with, "ledger")?;
    let as_of = with.get("as_of").and_then(Value::as_i64).ok_or_else(|| Error {
        field: "as_of".into(),
        detail: "the instant of the observation in unix seconds is missing".into(),
    })?;
    let stable = with.get("stable").and_then(Value::as_bool).unwrap_or(false);
    let plan = mirror::plan(&billing, &ledger, &mirror::Observation { as_of, stable })?;
    serde_json::to_value(plan).map_err(|e| Error { field: "plan".into(), detail: e.to_string() })
}

fn read<'v, T: serde::Deserialize<'v>>(with: &'v Value, field: &str) -> Result<T, Error> {
    let value = with
        .get(field)
        .ok_or_else(|| Error { field: field.into(), detail: "this argument is missing".into() })?;
    T::deserialize(value).map_err(|e| Error { field: field.into(), detail: e.to_string() })
}
