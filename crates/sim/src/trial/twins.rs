//! Accounts at the simulated vendors, joined in memory, without a network between that loses things.

use std::sync::Arc;

use connect::{BoxFuture, Transport, TransportError, wire};
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::{NewConnection, Secrets};

use crate::time::Time;
use crate::vendors::{CHARTMOGUL_KEY, SLACK_TOKEN, STRIPE_KEY, VENDORS, Vendors, incoming};

/// Decides the twins' ids; the same in each trial, so that tests can name them.
const SEED: u64 = 1;

/// Empty accounts, whose time is the trial's.
#[derive(Clone)]
pub struct Accounts {
    vendors: Vendors,
    time: Arc<Time>,
}

impl Accounts {
    pub fn new(time: Arc<Time>) -> Accounts {
        Accounts { vendors: Vendors::new(SEED, time.truth(), Timestamp::MAX), time }
    }

    /// Whether a connector's vendor is simulated.
    pub fn knows(connector: &str) -> bool {
        VENDORS.iter().any(|(slug, _)| *slug == connector)
    }

    /// The connectors that are simulated.
    pub fn connectors() -> impl Iterator<Item = &'static str> {
        VENDORS.iter().map(|(slug, _)| *slug)
    }

    /// A connection of this name to the simulated vendor of a connector, if there is one.
    pub fn connection(name: &str, connector: &str) -> Option<NewConnection> {
        let (slug, port) = VENDORS.iter().find(|(slug, _)| *slug == connector)?;
        let (credential, secret) = match *slug {
            "stripe" => ("api_key", STRIPE_KEY),
            "chartmogul" => ("api_key", CHARTMOGUL_KEY),
            _ => ("token", SLACK_TOKEN),
        };
        Some(NewConnection {
            name: name.to_owned(),
            connector: connector.to_owned(),
            live: false,
            base_url: Some(Vendors::base_url(*port)),
            credentials: Secrets::new(BTreeMap::from([(credential.to_owned(), secret.to_owned())])),
        })
    }
}

impl Transport for Accounts {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        let vendor = VENDORS.iter().find(|(_, port)| Some(*port) == request.url.port());
        let answer = match vendor {
            Some((vendor, _)) => {
                let answer = self.vendors.answer(vendor, &incoming(&request), self.time.truth());
                Ok(wire::Response { status: answer.status, headers: answer.headers, body: answer.body })
            }
            None => {
                let host = request.url.host_str().unwrap_or_default();
                Err(TransportError { sent: false, detail: format!("{host} is not simulated") })
            }
        };
        Box::pin(std::future::ready(answer))
    }
}
