//! Telling people that a run failed, or that nothing can be stored: always the log, and a message or a web address where configured.

mod sinks;
mod target;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use flow::Fault;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::limits::{ALERT_DETAIL_MAX, ALERT_INTERVAL, ALERT_TIME_MAX};

pub use target::Target;

pub(crate) use sinks::fill;
pub use sinks::{ByConnection, ByWebhook, Message};

/// Something that people are told. Holds no input, output or credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    pub workspace: String,
    #[serde(flatten)]
    pub about: About,
    pub at: Timestamp,
    /// Where the flow's own document wants it.
    #[serde(skip)]
    pub target: Option<Target>,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum About {
    /// A run failed.
    Run {
        flow: String,
        run: String,
        /// What the run was for, by the vendor's event id.
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        fault: Fault,
        /// Failures of the same flow that were not told, to keep the noise down.
        untold: u32,
    },
    /// A node's store takes no writes; without a fault, it does again.
    Store { node: String, fault: Option<Fault> },
}

impl Alert {
    /// What it is about, in a word: a run's id, a node's name.
    pub fn subject(&self) -> &str {
        match &self.about {
            About::Run { run, .. } => run,
            About::Store { node, .. } => node,
        }
    }

    /// One paragraph for a chat or a mail.
    pub fn text(&self) -> String {
        match &self.about {
            About::Run { flow, run, event, fault, untold } => {
                let mut text = format!("Flow {flow} failed: {}", told(fault));
                if let Some(at) = &fault.instance {
                    text.push_str(&format!(" At {at}."));
                }
                text.push_str(&format!(" Run {run}"));
                if let Some(event) = event {
                    text.push_str(&format!(", event {event}"));
                }
                if *untold > 0 {
                    text.push_str(&format!(" ({untold} more failed since the last message)"));
                }
                text + "."
            }
            About::Store { node, fault: Some(fault) } => format!(
                "Tributary ({node}) takes no events now: {}. Vendors are told to deliver again later, runs wait. It \
                 goes on by itself once writing works again.",
                told(fault)
            ),
            About::Store { node, fault: None } => {
                format!("Tributary ({node}) takes events again: writing works, runs go on.")
            }
        }
    }
}

fn told(fault: &Fault) -> String {
    let detail: String = fault.detail.chars().take(ALERT_DETAIL_MAX).collect();
    let text = format!("{} ({})", fault.title, fault.code());
    if detail.is_empty() { text } else { format!("{text}: {detail}") }
}

/// A failure, before it is known whether it is told.
#[derive(Debug)]
pub struct Failure<'a> {
    pub workspace: &'a flow::WorkspaceId,
    pub flow: &'a str,
    pub revision: u32,
    pub run: &'a flow::RunId,
    /// The vendor's id of the event that the run was for.
    pub event: Option<&'a str>,
    pub fault: &'a Fault,
}

/// Takes alerts to where people see them. An alert that cannot be delivered is logged by the sink, once.
pub trait AlertSink: Send + Sync {
    /// Delivers. The run is finished already: what goes wrong here changes nothing about it.
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()>;

    /// Has at hand what it takes to deliver while the store is away. Called at the start, and when a connection has
    /// changed.
    fn make_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
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

    fn make_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for sink in self {
                sink.make_ready().await;
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
            () = everywhere(node, &alert) => {}
            () = node.timer.sleep(ALERT_TIME_MAX) => {
                tracing::warn!(about = alert.subject(), "an alert took too long to deliver and was given up");
            }
        }
    }
}

/// To the flow's own target, and to the server's unless the flow wants only its own.
async fn everywhere(node: &crate::Node, alert: &Alert) {
    if let Some(target) = &alert.target {
        let (catalog, transport) = (node.catalog.clone(), node.transport.clone());
        let message = target.message.clone();
        let by = ByConnection::new(node.store.clone(), catalog, transport, node.clock.clone(), message)
            .lent_by(node.lender().clone());
        by.deliver(alert).await;
    }
    if alert.target.as_ref().is_none_or(|target| !target.only) {
        node.sink.deliver(alert).await;
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
            about: About::Run {
                flow: "sync".into(),
                run: "run_1".into(),
                event: Some("evt_9".into()),
                fault: Fault::timeout("slow").at("/do/0/get"),
                untold: 2,
            },
            at: Timestamp::UNIX_EPOCH,
            target: None,
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
