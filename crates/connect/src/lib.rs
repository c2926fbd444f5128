//! Connector manifests made into calls.
//!
//! A manifest (`connectors/<slug>.yaml`) says everything this room knows about a vendor: where it lives, how a
//! request is signed, encoded, paged and repeated safely, what its errors mean, which shape its objects take over
//! its API versions, and how its webhooks prove where they come from. The code here is the same for all of them.
//!
//! What it is not: it never sees the store, the clock or a flow. Credentials, the time and the transport are handed
//! in; one call of [`perform`] is one attempt, and whether to try again is the caller's decision, made from
//! [`Class`] and [`Error::unknown`].
//!
//! Start at [`prepare`] (pure: arguments to an exact request, without credentials), [`perform`] (one attempt) and
//! [`lookup`] (was this effect already done?). [`Manifest::parse`] is the lint of the format.

mod answer;
pub mod auth;
mod before;
mod catalog;
mod credentials;
pub mod describe;
mod encode;
mod error;
pub mod lint;
mod lookup;
mod manifest;
mod multipart;
mod pages;
mod path;
mod perform;
pub mod plain;
mod prepare;
mod signature;
mod transport;
mod upsert;
mod view;
pub mod wire;

pub use before::{Gap, Said, Step};
pub use catalog::{Catalog, Source, text as manifest_text};
pub use credentials::{Connection, Credentials, Secret};
pub use error::{Class, Error};
pub use lookup::lookup;
pub use manifest::asking::{Asking, Pressed};
pub use manifest::poll::Poll;
pub use manifest::selftest::{Failure, run as selftest};
pub use manifest::webhook::{Incoming, NotAnEvent, Registration, Webhook};
pub use manifest::{
    CredentialField, Effects, Idempotency, Kind, Limits, Location, Manifest, Operation, Param,
};
pub use perform::perform;
pub use prepare::{Prepared, prepare};
pub use signature::{Rejection, SECRETS_MAX as SIGNING_SECRETS_MAX};
pub use transport::{BoxFuture, HttpTransport, Transport, TransportError};
pub use upsert::{Chosen, Upserted, upsert};
pub use view::View;
