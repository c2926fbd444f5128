//! Whom a failed run is told to, as the operator said on the command line.

use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use engine::AlertSink;
use engine::alert::{ByConnection, ByWebhook, Message};
use serde_json::json;
use url::Url;

use crate::node::Node;

/// Where alerts go beyond the log.
#[derive(Clone, Debug, Default, Args)]
pub struct Alerts {
    /// Tell a Slack channel of failed runs, through one of your connections: slack:#ops
    #[arg(long = "alert-slack", value_name = "CONNECTION:CHANNEL")]
    pub slack: Vec<Channel>,
    /// POST failed runs as JSON to this address; giving it allows its host
    #[arg(long = "alert-webhook", value_name = "URL")]
    pub webhook: Vec<Url>,
}

/// A channel, reached through a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub connection: String,
    pub channel: String,
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((connection, channel)) if !connection.is_empty() && !channel.is_empty() => {
                Ok(Channel { connection: connection.to_owned(), channel: channel.to_owned() })
            }
            _ => Err("write it as CONNECTION:CHANNEL, for example slack:#ops".to_owned()),
        }
    }
}

impl Alerts {
    /// The sinks, on this node's connections and transport.
    pub fn sinks(&self, node: &Node) -> Arc<dyn AlertSink> {
        let mut sinks: Vec<Box<dyn AlertSink>> = Vec::new();
        for to in &self.slack {
            let with = json!({"connection": to.connection, "channel": to.channel, "text": "{text}"});
            let (catalog, transport) = (node.catalog.clone(), node.transport.clone());
            let message = Message { operation: "slack.messages.post".to_owned(), with };
            let by = ByConnection::new(node.store.clone(), catalog, transport, node.clock.clone(), message)
                .lent_by(node.lender());
            sinks.push(Box::new(by));
        }
        for url in &self.webhook {
            sinks.push(Box::new(ByWebhook { transport: node.transport.clone(), url: url.clone() }));
        }
        Arc::new(sinks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_connection_and_a_name() {
        let channel = Channel { connection: "slack-ops".into(), channel: "#a:b".into() };
        assert_eq!("slack-ops:#a:b".parse(), Ok(channel));
        for wrong in ["#ops", "slack:", ":#ops"] {
            assert!(wrong.parse::<Channel>().is_err(), "{wrong}");
        }
    }
}
