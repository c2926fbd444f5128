//! Where alerts go beyond the log: a message through a connection, or a POST to a web address.

use std::sync::{Arc, Mutex, PoisonError};

use connect::auth::Lender;
use connect::{Catalog, Connection, Transport, wire};
use flow::WorkspaceId;
use flow::clock::Clock;
use futures_util::future::BoxFuture;
use serde_json::Value;
use store::Store;

use super::{Alert, AlertSink};
use crate::connections::{self, Connections, NotOpen};
use crate::limits::{ALERT_ANSWER_BYTES_MAX, ALERT_TIME_MAX};

/// An operation of a connector as an alert's way: any that posts a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The operation's full name.
    pub operation: String,
    /// Its arguments, `connection` among them; `{text}` in any string stands for the alert's text.
    pub with: Value,
}

/// Sends alerts as messages through a connection of the alert's workspace. One attempt: an alert that comes hours
/// late, or twice, is worse than the log.
pub struct ByConnection {
    store: Store,
    catalog: Arc<Catalog>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    message: Message,
    /// The connection as it was last known: that the store is away is to be told, too.
    known: Mutex<Option<Arc<Connection>>>,
    /// Who has the tokens that vendors granted.
    lender: Option<Lender>,
}

impl ByConnection {
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        message: Message,
    ) -> Self {
        Self { store, catalog, transport, clock, message, known: Mutex::default(), lender: None }
    }

    /// Shows the tokens that this lender has.
    #[must_use]
    pub fn lent_by(self, lender: Lender) -> Self {
        Self { lender: Some(lender), ..self }
    }

    /// The connection that an alert of this workspace goes through.
    async fn connection(&self, workspace: &WorkspaceId, name: &str) -> Result<Arc<Connection>, String> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match Connections::default().open(&self.store, workspace, name, self.lender.as_ref()).await {
            Ok(connection) => {
                *known() = Some(connection.clone());
                Ok(connection)
            }
            Err(not @ NotOpen::Store(_)) if *workspace == WorkspaceId::default() => {
                known().clone().ok_or_else(|| not.into_fault(name).to_string())
            }
            Err(not) => Err(not.into_fault(name).to_string()),
        }
    }

    async fn send(&self, alert: &Alert) -> Result<(), String> {
        let Message { operation, with } = &self.message;
        let (manifest, operation) = self.catalog.operation(operation).ok_or("there is no such operation")?;
        let with = fill(with, &[("text", &alert.text())]);
        let name = with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
        let connection = self.connection(&WorkspaceId::new(&alert.workspace), name).await?;
        connections::check(&connection, manifest).map_err(|fault| fault.to_string())?;
        let key = format!("{}-{}", alert.subject(), alert.at.as_millisecond());
        let prepared =
            connect::prepare(manifest, operation, &with, &key).map_err(|error| error.to_string())?;
        let now = self.clock.now();
        connect::perform(self.transport.as_ref(), &connection, manifest, operation, &prepared, now)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

impl AlertSink for ByConnection {
    fn make_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some((manifest, _)) = self.catalog.operation(&self.message.operation) else { return };
            let name = self.message.with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
            // What is wrong with it is told with the first alert.
            drop(self.connection(&WorkspaceId::default(), name).await);
        })
    }

    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.send(alert).await {
                tracing::warn!(
                    about = alert.subject(),
                    operation = self.message.operation,
                    error,
                    "an alert was not delivered"
                );
            }
        })
    }
}

/// Posts alerts as JSON to a web address of the operator's.
pub struct ByWebhook {
    pub transport: Arc<dyn Transport>,
    pub url: url::Url,
}

impl AlertSink for ByWebhook {
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut body = serde_json::to_value(alert).unwrap_or_default();
            body["text"] = alert.text().into();
            let request = wire::Request {
                method: "POST".to_owned(),
                url: self.url.clone(),
                headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
                body: body.to_string().into_bytes().into(),
                timeout: ALERT_TIME_MAX,
                body_bytes_max: ALERT_ANSWER_BYTES_MAX,
            };
            // The address itself may be a secret, so it is not logged.
            match self.transport.send(request).await {
                Ok(answer) if answer.status < 300 => {}
                Ok(answer) => {
                    tracing::warn!(
                        about = alert.subject(),
                        status = answer.status,
                        "an alert was refused by its web address"
                    );
                }
                Err(error) => tracing::warn!(about = alert.subject(), %error, "an alert was not delivered"),
            }
        })
    }
}

/// Arguments with words such as `{text}` filled in, each in one go: what is filled in is not looked at again.
pub fn fill(value: &Value, words: &[(&str, &str)]) -> Value {
    match value {
        Value::String(pattern) => Value::String(filled(pattern, words)),
        Value::Array(items) => items.iter().map(|item| fill(item, words)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, item)| (name.clone(), fill(item, words))).collect()
        }
        other => other.clone(),
    }
}

fn filled(pattern: &str, words: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let word = words.iter().find_map(|(name, text)| {
            let after = from.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
            Some((*text, after))
        });
        let (text, after) = word.unwrap_or(("{", &from[1..]));
        out.push_str(text);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_take_the_text_anywhere() {
        let words = [("text", "T {who}"), ("who", "ann")];
        let filled = fill(&json!({"a": ["x {text} {{who}} {other} {"], "b": 1}), &words);
        assert_eq!(filled, json!({"a": ["x T {who} {ann} {other} {"], "b": 1}));
    }
}
