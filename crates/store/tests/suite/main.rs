//! The one suite of the store: what it promises, whatever the database underneath.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod committer;
mod crash;
mod dispatch;
mod flows;
mod history;
mod inbox;
mod journal;
mod lanes;
mod secrets;
mod world;
