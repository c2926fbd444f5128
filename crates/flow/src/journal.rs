//! What a run leaves behind: an append-only list of entries from which it is rebuilt.
//!
//! Entries are stored for years and read by later versions: fields are added with a default, never renamed or
//! removed, and no variant ever goes. `Started`, `Resolved`, `Elapsed` and `Heard` are what a fresh [`crate::Machine`] is
//! fed on recovery; `Intent` and `Attempted` let the engine finish what it had begun; `Finished` closes the run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{EffectRef, Fault};

/// One entry of a run's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The run began, with the version of the flow and the settings that it keeps to its end.
    Started {
        flow: String,
        version: String,
        input: Arc<Value>,
        settings: Arc<Value>,
        /// The connectors that the flow calls, each with the digest of its manifest, which the run keeps, too.
        #[serde(default, skip_serializing_if = "is_empty")]
        manifests: Arc<BTreeMap<String, String>>,
        at: Timestamp,
    },
    /// A call is about to be sent, exactly as `request` says (credentials apart).
    Intent { effect: EffectRef, key: String, attempt: u32, operation: String, request: Value, at: Timestamp },
    /// An attempt failed, or nobody knows (`unknown`: it may have taken effect); the next one is at `retry_at`.
    Attempted {
        effect: EffectRef,
        attempt: u32,
        problem: Fault,
        #[serde(default)]
        unknown: bool,
        /// The answer came under the effect's key and is a refusal: no earlier attempt took effect either.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        settled: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
        at: Timestamp,
    },
    /// A call is over: `input` is its arguments, `outcome` what the machine was told.
    Resolved {
        effect: EffectRef,
        step: String,
        operation: String,
        input: Value,
        outcome: Outcome,
        attempts: u32,
        started_at: Timestamp,
        at: Timestamp,
    },
    /// A wait is over.
    Elapsed { effect: EffectRef, at: Timestamp },
    /// An event came for a `listen`, which takes it by a filter, or none.
    Heard {
        effect: EffectRef,
        /// Names the event within the workspace.
        event: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<usize>,
        /// The event as the flow sees it, if it is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Arc<Value>>,
        at: Timestamp,
    },
    /// The run is over.
    Finished { outcome: Outcome, at: Timestamp },
}

fn is_empty(manifests: &Arc<BTreeMap<String, String>>) -> bool {
    manifests.is_empty()
}

/// How a call or a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It gave this.
    Output(Value),
    /// It failed so.
    Fault(Fault),
}

impl From<Result<Value, Fault>> for Outcome {
    fn from(result: Result<Value, Fault>) -> Self {
        match result {
            Ok(value) => Self::Output(value),
            Err(fault) => Self::Fault(fault),
        }
    }
}

impl From<Outcome> for Result<Value, Fault> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Output(value) => Ok(value),
            Outcome::Fault(fault) => Err(fault),
        }
    }
}

impl Entry {
    /// When the entry was made.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Started { at, .. }
            | Self::Intent { at, .. }
            | Self::Attempted { at, .. }
            | Self::Resolved { at, .. }
            | Self::Elapsed { at, .. }
            | Self::Heard { at, .. }
            | Self::Finished { at, .. } => *at,
        }
    }

    /// What a machine that is being rebuilt is to be told of this entry, if anything.
    pub fn replay(self) -> Option<crate::Input> {
        match self {
            Self::Resolved { effect, outcome, at, .. } => {
                Some(crate::Input::Resolved { at: effect, outcome: outcome.into(), now: at })
            }
            Self::Elapsed { effect, at } => Some(crate::Input::Elapsed { at: effect, now: at }),
            Self::Heard { effect, filter: Some(filter), value: Some(event), at, .. } => {
                Some(crate::Input::Heard { at: effect, filter, event, now: at })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As written by this version: later versions must go on reading these very lines.
    const GOLDEN: &[&str] = &[
        r#"{"kind":"started","flow":"f","version":"1.0.0","input":{"a":1},"settings":{},"manifests":{"acme":"0a1b"},"at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"started","flow":"f","version":"1.0.0","input":{"a":1},"settings":{},"at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"intent","effect":{"path":"/do/0/a","visit":1,"generation":0},"key":"tby_x","attempt":1,"operation":"stripe.customers.retrieve","request":{"method":"GET"},"at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"attempted","effect":{"path":"/do/0/a","visit":1,"generation":0},"attempt":1,"problem":{"type":"t","status":503,"title":"x"},"unknown":true,"retry_at":"2026-01-02T03:04:06Z","at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"resolved","effect":{"path":"/do/0/a","visit":1,"generation":0},"step":"a","operation":"o.p","input":{},"outcome":{"output":{"id":1}},"attempts":2,"started_at":"2026-01-02T03:04:05Z","at":"2026-01-02T03:04:06Z"}"#,
        r#"{"kind":"elapsed","effect":{"path":"/do/1/w","visit":1,"generation":2},"at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"heard","effect":{"path":"/do/2/l","visit":1,"generation":0},"event":"evt_1","filter":1,"value":{"data":1},"at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"heard","effect":{"path":"/do/2/l","visit":1,"generation":0},"event":"evt_2","at":"2026-01-02T03:04:05Z"}"#,
        r#"{"kind":"finished","outcome":{"fault":{"type":"t","status":400,"title":"x","detail":"d"}},"at":"2026-01-02T03:04:05Z"}"#,
    ];

    #[test]
    fn entries_keep_their_form() {
        for line in GOLDEN {
            let entry: Entry = serde_json::from_str(line).unwrap();
            assert_eq!(&serde_json::to_string(&entry).unwrap(), line);
        }
    }

    /// A price that changes in its last digit when it is read back would make another effect of a replay.
    #[test]
    fn numbers_are_read_as_they_were_written() {
        for text in ["0.1", "51.24817837550540_4", "31.245270191439438", "121.48791951161945", "4.35", "1e-7"]
        {
            let text = text.replace('_', "");
            let number: Value = serde_json::from_str(&text).unwrap();
            let exact: f64 = text.parse().unwrap();
            assert_eq!(number.as_f64(), Some(exact), "{text}");
            let again: Value = serde_json::from_str(&number.to_string()).unwrap();
            assert_eq!(number, again, "{text}");
        }
    }

    #[test]
    fn only_results_are_replayed() {
        let replayed = GOLDEN
            .iter()
            .filter(|line| serde_json::from_str::<Entry>(line).unwrap().replay().is_some())
            .count();
        assert_eq!(replayed, 3);
    }
}
