//! Accounts at the simulated vendors, joined in memory, without a network between that loses things.

use std::sync::Arc;

use connect::{BoxFuture, Catalog, Transport, TransportError, wire};
use jiff::Timestamp;
use store::{NewConnection, Secrets};

use crate::time::Time;
use crate::vendors::{Vendors, incoming};

/// Decides the twins' ids; the same in each trial, so that tests can name them.
const SEED: u64 = 1;

/// Empty accounts, whose time is the trial's.
#[derive(Clone)]
pub struct Accounts {
    vendors: Vendors,
    time: Arc<Time>,
}

impl Accounts {
    /// Accounts at every vendor of a catalog.
    pub fn new(time: Arc<Time>, catalog: &Catalog) -> Accounts {
        let vendors = Vendors::new(SEED, time.truth(), Timestamp::MAX).beside(catalog);
        Accounts { vendors, time }
    }

    /// The connectors that are simulated.
    pub fn connectors(&self) -> impl Iterator<Item = &str> {
        self.vendors.ports().map(|(slug, _)| slug)
    }

    /// A connection of this name to the simulated vendor of a connector, if there is one.
    pub fn connection(&self, name: &str, connector: &str) -> Option<NewConnection> {
        let (slug, port) = self.vendors.ports().find(|(slug, _)| *slug == connector)?;
        Some(NewConnection {
            name: name.to_owned(),
            connector: connector.to_owned(),
            live: false,
            base_url: Some(Vendors::base_url(port)),
            credentials: Secrets::new(self.vendors.credentials(slug)),
        })
    }
}

impl Transport for Accounts {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        let answer = match self.vendors.at(request.url.port()) {
            Some(vendor) => {
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
