//! What is verified: a template, or a flow of somebody's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flow::Document;

use crate::vendors::VENDORS;

/// What a flow is for, where that is known: then its end state is compared with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// MRR in ChartMogul is MRR in Stripe.
    Revenue,
    /// Customers in ChartMogul are named as in Stripe.
    Names,
    /// Each failed attempt at an invoice is told once in Slack.
    FailedPayments,
    /// Unknown: compared with a life without faults.
    Own,
}

/// A flow to verify.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub document: Arc<Document>,
    pub meaning: Meaning,
}

/// Why something cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("it calls {operation}, and only {} are simulated", simulated())]
    Vendor { operation: String },
    #[error("nothing starts it: add `schedule.on` with events of stripe")]
    NoTrigger,
    #[error("the setting `{setting}` has no default; give it one")]
    Setting { setting: String },
}

fn simulated() -> String {
    VENDORS.map(|(slug, _)| slug).join(", ")
}

impl Target {
    /// A flow as it stands in a document.
    ///
    /// # Errors
    /// When it needs something that is not simulated.
    pub fn of(document: Arc<Document>) -> Result<Target, Unfit> {
        for call in document.calls() {
            let (slug, _) = call.operation.split_once('.').unwrap_or((&call.operation, ""));
            let ours = slug == "revenue" || VENDORS.iter().any(|(vendor, _)| *vendor == slug);
            if !ours {
                return Err(Unfit::Vendor { operation: call.operation.clone() });
            }
        }
        if document.triggers().is_empty() {
            return Err(Unfit::NoTrigger);
        }
        let missing = document.settings().iter().find(|(_, setting)| setting.default.is_none());
        if let Some((setting, _)) = missing {
            return Err(Unfit::Setting { setting: setting.clone() });
        }
        let name = document.name().to_owned();
        let meaning = match name.as_str() {
            "stripe-to-chartmogul" => Meaning::Revenue,
            "stripe-customer-to-chartmogul" => Meaning::Names,
            "failed-payment-alert" => Meaning::FailedPayments,
            _ => Meaning::Own,
        };
        Ok(Target { name, document, meaning })
    }

    /// The same flow, of which nothing is known but its document.
    #[must_use]
    pub fn own(self) -> Target {
        Target { meaning: Meaning::Own, ..self }
    }

    /// Connections as the document names them → as they are named here, by vendor.
    pub fn connections(&self) -> BTreeMap<String, String> {
        let calls = self.document.calls();
        let vendor = |name: &str| {
            let call = calls.iter().find(|call| call.connection.as_deref() == Some(name));
            let slug =
                call.and_then(|call| call.operation.split_once('.')).map_or("stripe", |(slug, _)| slug);
            slug.to_owned()
        };
        self.document.connections().into_iter().map(|name| (name.clone(), vendor(&name))).collect()
    }

    /// The vendors that a connection is needed to: the source always.
    pub fn vendors(&self) -> BTreeSet<String> {
        let called = self.document.calls().into_iter();
        let slugs = called.filter_map(|call| call.operation.split_once('.').map(|(slug, _)| slug.to_owned()));
        slugs.filter(|slug| slug != "revenue").chain(["stripe".to_owned()]).collect()
    }
}
