//! The flow language: what a flow document means, and what a run of it does next.
//!
//! **What it is.** A pure room. Text becomes a [`Document`] (or every [`Diagnostic`] about it at once); a document
//! and its inputs become a [`Machine`], which says which [`Effect`]s to perform and is told what came of them.
//! The language is a profile of the Open Workflow DSL 1.0.3 with jq expressions ([`expression`]).
//!
//! **What it is not.** It does no I/O, has no clock, no randomness and no threads: time and chance are handed in
//! ([`clock`], [`chance`]), so that a run replayed from its [`journal`] reaches the same state.
//!
//! **Where to start.** [`Document::parse`] for the language, [`Machine::advance`] for a run, `expression/check.rs`
//! for what expressions may do and `expression/meter.rs` for how much of it.

pub mod approval;
pub mod chance;
pub mod clock;
pub mod diagnostic;
pub mod document;
pub mod duration;
pub mod event;
pub mod expression;
pub mod fault;
pub mod hearing;
pub mod id;
pub mod journal;
pub mod machine;
pub mod nearest;
pub mod pattern;
pub mod schedule;
pub mod schema;
pub mod yaml;

pub use diagnostic::{CODES, Diagnostic};
pub use document::{
    Argument, CallSite, Concurrency, Document, EventSite, Inspected, Mode, OnFailure, Program, ProgramSite,
    Setting, SettingKind,
};
pub use event::{CloudEvent, EventFilter};
pub use expression::Expression;
pub use fault::Fault;
pub use id::{ApprovalId, ConnectionId, EventId, HookId, RunId, WorkspaceId};
pub use machine::{Effect, EffectRef, Input, Machine, Start, Status, StepRecord};
pub use schedule::Schedule;
