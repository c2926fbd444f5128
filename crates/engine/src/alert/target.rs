//! Where a flow's own failures are told: `document.metadata.alerts`.
//!
//! ```yaml
//! alerts:
//!   call: chat.messages.post                 # any operation that takes a text
//!   with: {connection: chat, channel: '#revenue', text: '{text}'}
//!   only: true                               # not where the server tells of all others
//! ```

use serde_json::Value;

use super::Message;
use crate::deployments::Deployment;

/// A flow's own way to people.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub message: Message,
    /// Instead of the server's ways, not beside them.
    pub only: bool,
}

impl Target {
    /// What the document says, with connections by their names here.
    pub fn of(deployment: &Deployment) -> Option<Target> {
        let alerts = deployment.document.metadata().get("alerts")?;
        let operation = alerts.get("call")?.as_str()?.to_owned();
        let mut with = alerts.get("with").cloned().unwrap_or_else(|| serde_json::json!({}));
        if let Some(name) = with.get("connection").and_then(Value::as_str) {
            with["connection"] = deployment.connection(name).into();
        }
        let only = alerts.get("only").and_then(Value::as_bool).unwrap_or(false);
        Some(Target { message: Message { operation, with }, only })
    }
}
