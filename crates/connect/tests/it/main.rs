//! Calls, answers, views, webhooks and the transport, seen from outside.

mod answers;
mod auth;
mod calls;
mod describe;
mod flows;
mod lint;
mod manifests;
mod pages;
mod stage;
mod transport;
mod views;
mod webhook;
