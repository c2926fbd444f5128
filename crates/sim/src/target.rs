//! What is verified: a template, or a flow of somebody's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connect::Catalog;
use flow::Document;

use crate::promise::Promise;
use crate::vendors::is_simulated;

/// What the engine answers itself, without a vendor.
const OWN: [&str; 2] = ["revenue", "human"];

/// What a flow is for, where that is known: then its end state is compared with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// MRR in ChartMogul is MRR in Stripe.
    Revenue,
    /// Customers in ChartMogul are named as in Stripe.
    Names,
    /// Each failed attempt at an invoice is told once in Slack.
    FailedPayments,
    /// What the flow promises of itself: [`crate::promise`].
    Promised,
    /// Unknown: compared with a life without faults.
    Own,
}

/// A flow to verify.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub document: Arc<Document>,
    /// Flows that are deployed beside it: it starts them, or they tell it something.
    pub companions: Vec<Arc<Document>>,
    pub meaning: Meaning,
    /// What each flow promises, by its name.
    promises: BTreeMap<String, Promise>,
}

/// Why something cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("it calls {operation}, of which there is neither a twin nor a manifest (`--connectors DIR`)")]
    Vendor { operation: String },
    #[error("nothing starts it: add `schedule.on` with events of stripe, or a clock")]
    NoTrigger,
    #[error("`document.metadata.verify` of {flow}: {why}")]
    Promise { flow: String, why: String },
    #[error("flow `{flow}` is given twice")]
    Twice { flow: String },
    #[error("the setting `{setting}` has no default; give it one")]
    Setting { setting: String },
}

impl Target {
    /// A flow as it stands in a document.
    ///
    /// # Errors
    /// When it needs something that is not simulated.
    pub fn of(document: Arc<Document>, catalog: &Catalog) -> Result<Target, Unfit> {
        if document.triggers().is_empty() && document.schedule().is_none() {
            return Err(Unfit::NoTrigger);
        }
        let name = document.name().to_owned();
        let meaning = match name.as_str() {
            "stripe-to-chartmogul" => Meaning::Revenue,
            "stripe-customer-to-chartmogul" => Meaning::Names,
            "failed-payment-alert" => Meaning::FailedPayments,
            _ => Meaning::Own,
        };
        let target = Target {
            name,
            document: document.clone(),
            companions: Vec::new(),
            meaning,
            promises: BTreeMap::new(),
        };
        target.with(&document, catalog)
    }

    /// The same with another flow deployed beside it.
    ///
    /// # Errors
    /// When that needs something that is not simulated.
    pub fn beside(mut self, companion: Arc<Document>, catalog: &Catalog) -> Result<Target, Unfit> {
        if self.documents().any(|document| document.name() == companion.name()) {
            return Err(Unfit::Twice { flow: companion.name().to_owned() });
        }
        self.companions.push(companion.clone());
        self.with(&companion, catalog)
    }

    fn with(mut self, document: &Document, catalog: &Catalog) -> Result<Target, Unfit> {
        for call in document.calls() {
            let (slug, _) = call.operation.split_once('.').unwrap_or((&call.operation, ""));
            let ours = OWN.contains(&slug) || is_simulated(catalog, slug);
            if !ours {
                return Err(Unfit::Vendor { operation: call.operation.clone() });
            }
        }
        let missing = document.settings().iter().find(|(_, setting)| setting.default.is_none());
        if let Some((setting, _)) = missing {
            return Err(Unfit::Setting { setting: setting.clone() });
        }
        let unreadable = |why| Unfit::Promise { flow: document.name().to_owned(), why };
        if let Some(promise) = Promise::of(document).map_err(unreadable)? {
            self.promises.insert(document.name().to_owned(), promise);
            self.meaning = Meaning::Promised;
        }
        Ok(self)
    }

    /// The flow, and those beside it.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        std::iter::once(&self.document).chain(&self.companions)
    }

    /// What the flows promise.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.promises.values()
    }

    /// Whether the runs of a flow fail, as it says itself.
    pub fn fails(&self, flow: &str) -> bool {
        self.promises.get(flow).is_some_and(|promise| promise.fails)
    }

    /// Whether the clock starts one of the flows.
    pub fn is_clocked(&self) -> bool {
        self.documents().any(|document| document.schedule().is_some())
    }

    /// Whether people are asked.
    pub fn asks(&self) -> bool {
        self.documents()
            .any(|document| document.calls().iter().any(|call| call.operation.starts_with("human.")))
    }

    /// The same flow, of which nothing is known but its document.
    #[must_use]
    pub fn own(self) -> Target {
        let meaning = if self.promises.is_empty() { Meaning::Own } else { Meaning::Promised };
        Target { meaning, ..self }
    }

    /// Connections as a document names them → as they are named here, by vendor.
    pub fn connections(document: &Document) -> BTreeMap<String, String> {
        let calls = document.calls();
        let vendor = |name: &str| {
            let call = calls.iter().find(|call| call.connection.as_deref() == Some(name));
            let slug =
                call.and_then(|call| call.operation.split_once('.')).map_or("stripe", |(slug, _)| slug);
            slug.to_owned()
        };
        document.connections().into_iter().map(|name| (name.clone(), vendor(&name))).collect()
    }

    /// The vendors that a connection is needed to: the source always.
    pub fn vendors(&self) -> BTreeSet<String> {
        let called = self.documents().flat_map(|document| document.calls());
        let slugs = called.filter_map(|call| call.operation.split_once('.').map(|(slug, _)| slug.to_owned()));
        slugs.filter(|slug| !OWN.contains(&slug.as_str())).chain(["stripe".to_owned()]).collect()
    }
}
