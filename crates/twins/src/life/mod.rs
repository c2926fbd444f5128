//! A seeded month of billing: who subscribes to what, and everything that then goes well or badly.
//!
//! [`plan`] is pure: the same [`Config`] is the same life, act by act. [`Life`] performs it on Stripe's twin, day by
//! day. Some customers are older than the month: they exist, with months of invoices, before anybody listens.
//!
//! Start at [`story`] for what can happen to a customer, at [`plan::Act`] for the single acts.

pub mod catalogue;
mod live;
pub mod plan;
pub mod story;

pub use live::{Life, Mishap};
pub use plan::{Act, Config, Person, Plan, Planned, plan};

#[cfg(test)]
mod tests;
