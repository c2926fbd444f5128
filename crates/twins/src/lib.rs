//! Simulated vendors: Stripe, ChartMogul and Slack as they look from the wire, and any other as its manifest says
//! ([`generic`]).
//!
//! A twin answers real requests of the vendor's official client in the vendor's own format, keeps state, owns a
//! clock that is moved by hand, and says what is true in its world (its oracle). It runs in process, without
//! threads, sockets or ambient time: [`http::serve`] puts it on a socket, a test may join it in memory.
//!
//! What is absent: no line is shared with the connectors. A twin that used the code it is meant to test would
//! agree with its mistakes.
//!
//! Start at [`Twin`], then at the vendor's own module.

pub mod chartmogul;
pub mod faults;
pub mod generic;
pub mod http;
pub mod life;
pub mod oracle;
pub mod slack;
pub mod stripe;
pub mod webhook;
pub mod wire;

/// A simulated vendor.
pub trait Twin: Send + Sync {
    /// The vendor's slug: `stripe`, `chartmogul`, `slack`.
    fn name(&self) -> &str;

    /// Answers one request. Never blocks on anything but the twin's own state.
    fn handle(&self, request: &wire::Request) -> wire::Response;

    /// Answers one request as the network would deliver it: perhaps late, perhaps not at all.
    /// Only [`faults::Faults`] has a reason to override it.
    fn answer(&self, request: &wire::Request) -> wire::Answer {
        wire::Answer::prompt(self.handle(request))
    }
}
