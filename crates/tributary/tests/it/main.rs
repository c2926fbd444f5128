//! The one end-to-end suite. Files are named after the addresses that they ask, or after what they prove.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod alerts;
mod app;
mod approvals;
mod buttons;
mod clients;
#[path = "../../../store/tests/suite/cluster.rs"]
mod cluster;
mod command_line;
mod connections;
mod crash;
mod demo;
mod events;
mod flow_schema;
mod hooks;
mod interactions;
mod nodes;
mod nodes_access;
mod oauth;
mod operation;
mod polls;
mod requests;
mod rest;
mod runs;
mod templates;
mod trials;
mod twins_chartmogul;
mod twins_slack;
mod twins_stripe;
mod upserts;
mod verify;
mod versions;
