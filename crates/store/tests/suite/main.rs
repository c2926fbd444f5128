//! The one suite of the store: what it promises, whatever the database underneath.

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
