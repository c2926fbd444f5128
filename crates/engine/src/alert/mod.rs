//! Telling people that a run failed: always the log, and a message or a web address where configured.

mod sinks;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use flow::Fault;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::limits::{ALERT_DETAIL_MAX, ALERT_INTERVAL, ALERT_TIME_MAX};

pub use sinks::{ByConnection, ByWebhook, Message};

/// A failed run, as people are told of it. Holds no input, output or credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    pub workspace: String,
    pub flow: String,
    pub run: String,
    /// What the run was for, by the vendor's event id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    pub fault: Fault,
    /// Failures of the same flow that were not told, to keep the noise down.
    pub untold: u32,
    pub at: Timestamp,
}

impl Alert {
    /// One paragraph for a chat or a mail.
    pub fn text(&self) -> String {
        let detail: String = self.fault.detail.chars().take(ALERT_DETAIL_MAX).collect();
        let mut text = format!("Flow {} failed: {} ({})", self.flow, self.fault.title, self.fault.code());
        if !detail.is_empty() {
            text.push_str(&format!(": {detail}"));
        }
        if let Some(at) = &self.fault.instance {
            text.push_str(&format!(" At {at}."));
        }
        text.push_str(&format!(" Run {}", self.run));
        if let Some(event) = &self.event {
            text.push_str(&format!(", event {event}"));
        }
        if self.untold > 0 {
            text.push_str(&format!(" ({} more failed since the last message)", self.untold));
        }
        text.push('.');
        text
    }
}

/// A failure, before it is known whether it is told.
#[derive(Debug)]
pub struct Failure<'a> {
    pub workspace: &'a flow::WorkspaceId,
    pub flow: &'a str,
    pub run: &'a flow::RunId,
    /// The vendor's id of the event that the run was for.
    pub event: Option<&'a str>,
    pub fault: &'a Fault,
}

/// Takes alerts to where people see them. An alert that cannot be delivered is logged by the sink, once.
pub trait AlertSink: Send + Sync {
    /// Delivers. The run is finished already: what goes wrong here changes nothing about it.
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()>;
}

/// Nothing beyond the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOnly;

impl AlertSink for LogOnly {
    fn deliver<'a>(&'a self, _alert: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// Several sinks, one after the other.
impl AlertSink for Vec<Box<dyn AlertSink>> {
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for sink in self {
                sink.deliver(alert).await;
            }
        })
    }
}

/// Takes alerts from the queue to the sink, one after the other, until `over` turns true and none waits.
pub(crate) async fn deliver(
    node: &crate::Node,
    mut alerts: mpsc::Receiver<Alert>,
    mut over: watch::Receiver<bool>,
) {
    loop {
        let alert = tokio::select! {
            biased;
            Some(alert) = alerts.recv() => alert,
            _ = over.wait_for(|over| *over) => return,
        };
        tokio::select! {
            biased;
            () = node.sink.deliver(&alert) => {}
            () = node.timer.sleep(ALERT_TIME_MAX) => {
                tracing::warn!(run = alert.run, "an alert took too long to deliver and was given up");
            }
        }
    }
}

/// Lets one alert per flow through in a while and counts the rest.
#[derive(Default)]
pub struct Throttle {
    flows: Mutex<BTreeMap<(String, String), (Timestamp, u32)>>,
}

impl Throttle {
    /// `Some(untold)`: tell it, and that so many were not told. `None`: not now.
    pub fn admit(&self, workspace: &str, flow: &str, now: Timestamp) -> Option<u32> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        match flows.get_mut(&(workspace.to_owned(), flow.to_owned())) {
            Some((told, untold)) if now.duration_since(*told) < ALERT_INTERVAL => {
                *untold += 1;
                None
            }
            Some((told, untold)) => {
                *told = now;
                Some(std::mem::take(untold))
            }
            None => {
                flows.insert((workspace.to_owned(), flow.to_owned()), (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_and_where() {
        let alert = Alert {
            workspace: "default".into(),
            flow: "sync".into(),
            run: "run_1".into(),
            event: Some("evt_9".into()),
            fault: Fault::timeout("slow").at("/do/0/get"),
            untold: 2,
            at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            alert.text(),
            "Flow sync failed: Timeout (timeout): slow At /do/0/get. Run run_1, event evt_9 (2 more failed since the \
             last message)."
        );
    }

    #[test]
    fn throttle_counts_what_it_holds_back() {
        let throttle = Throttle::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert_eq!(throttle.admit("w", "f", at(0)), Some(0));
        assert_eq!(throttle.admit("w", "f", at(1)), None);
        assert_eq!(throttle.admit("w", "g", at(1)), Some(0));
        assert_eq!(throttle.admit("w", "f", at(59)), None);
        assert_eq!(throttle.admit("w", "f", at(60)), Some(2));
        assert_eq!(throttle.admit("w", "f", at(120)), Some(0));
    }
}
