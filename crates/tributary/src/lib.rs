//! The binary as a library: command line, configuration and wiring. It holds no logic of its own: what a flow does
//! is `flow` and `engine`, what is stored is `store`, what HTTP says is `server`.
//!
//! Start at [`cli::run`] for a command's way, at [`node::Node::start`] for how the rooms are put together, and at
//! [`serve::run`] for the process that runs them.

pub mod age;
pub mod alerts;
pub mod ambient;
pub mod cli;
pub mod client;
pub mod credentials;
pub mod demo;
pub mod folder;
pub mod logging;
pub mod node;
pub mod print;
pub mod sandbox;
pub mod serve;
pub mod templates;
pub mod token;
pub mod trial;
