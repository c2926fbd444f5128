//! How Stripe delivers events: signed, mostly at once, in no order, sometimes twice, sometimes days late, and again
//! while the endpoint fails.
//!
//! [`Plan`] decides what is sent when, in twin time: pure, from a seed. [`deliver`] sends what is due to an
//! [`Endpoint`], which is a socket ([`HttpEndpoint`]) or memory. Nothing is lost unless the endpoint fails for as
//! long as Stripe keeps trying, and that is counted.

mod http;
mod plan;
mod post;
mod send;
mod sign;
#[cfg(test)]
mod tests;

pub use http::HttpEndpoint;
pub use plan::{Delivery, Message, Plan, Policy, RETRIES};
pub use post::Post;
pub use send::{Endpoint, PostFuture, Records, Reply, Sender, deliver};
pub use sign::signature;
