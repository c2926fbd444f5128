//! One effect performed: arguments to a request, attempts, and what to do when nobody knows whether it happened.
//!
//! | idempotency | before repeating an attempt of unknown outcome |
//! |---|---|
//! | header | nothing: same bytes, same key, as long as the vendor remembers the key; then a person is asked |
//! | repeatable | nothing: same bytes |
//! | natural key, lookup | the vendor is asked; only what is not found is sent |
//! | none | nothing (at least once); a destructive call is not repeated, a person is asked |
//!
//! An upsert reads and compares first; the write that this comes down to is repeated as that operation is.
//!
//! A natural key's conflict, with whoever else wrote the record, is answered by the record that is there; an upsert
//! compares with that one then.
//!
//! A write's intent, its exact request, is durable before each send, and its result before the next step's request.
//! A read leaves nothing before its result, which waits for the next commit.

use std::sync::Arc;

use connect::{Class, Connection, Effects, Error, Idempotency, Manifest, Operation, Prepared, Upserted};
use flow::journal::Entry;
use flow::{EffectRef, Fault, Program};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::earlier::Known;
use crate::fault;
use crate::gate::{Gated, Urgency};
use crate::history::{Intent, Open};
use crate::journal::Lost;
use crate::key::effect_key;
use crate::plain::is_plain;
use crate::retry::Next;
use crate::run::Run;

/// A repetition must reach the vendor while it still remembers the key.
const KEY_LIFE_MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// A call as the machine asks for it.
#[derive(Debug)]
pub struct Call {
    pub at: EffectRef,
    pub step: String,
    pub operation: String,
    /// Evaluated arguments; `connection` is the name in the document.
    pub with: Value,
}

/// What became of a call, for now.
#[derive(Debug)]
pub enum Performed {
    /// It is over.
    Done { result: Result<Value, Fault>, attempts: u32, started_at: Timestamp },
    /// It is to be tried again so late that the run is put aside, or the node stops before that.
    Park(Timestamp),
    /// It waits to be told its outcome (`flow::journal::Outcome`, see [`store::Store::signal`]), at most until a time;
    /// then [`Run::overdue`] says what becomes of it.
    Await { until: Option<Timestamp> },
}

/// Everything that the attempts at one call share.
struct Target<'a> {
    manifest: &'a Manifest,
    /// What is called.
    called: &'a Operation,
    /// What is sent: of an upsert, the write that it comes down to.
    operation: &'a Operation,
    connection: Arc<Connection>,
    transport: Gated<'a>,
    /// None: an upsert that has not read yet.
    prepared: Option<Prepared>,
    key: String,
}

impl Target<'_> {
    /// The call's output, by that of its request.
    fn output(&self, answer: Value) -> Value {
        match self.prepared.as_ref().and_then(|prepared| prepared.upsert.as_ref()) {
            Some(chosen) => chosen.output(answer),
            None => answer,
        }
    }
}

/// How one attempt, or the question before it, went.
enum Attempt {
    Output(Value),
    Refused(Fault),
    Failed(Error),
}

impl Run<'_> {
    /// Performs a call to its end, or until it has to wait for long. It may be dropped at any await: what it had made
    /// durable until then is in the history, too.
    pub async fn call(&self, call: &Call) -> Result<Performed, Lost> {
        let now = self.node.clock.now();
        let done = |result, attempts, started_at| Ok(Performed::Done { result, attempts, started_at });
        let rehearsed = self.node.rehearsal.as_ref();
        if let Some(result) = rehearsed.and_then(|rehearsal| rehearsal.answer(&call.operation, &call.with)) {
            return done(result, 1, now);
        }
        if let Some(result) = revenue::call(&call.operation, &call.with) {
            let result = result.map_err(|error| fault::revenue(&call.operation, &error.field, &error.detail));
            return done(result, 1, now);
        }
        if call.operation == "run.workflow" {
            return self.start_flow(call).await;
        }
        if call.operation == flow::approval::OPERATION {
            return self.ask(call).await;
        }
        if call.operation == "emit" {
            let result = self.emit(&call.with).await?;
            return done(result, 1, now);
        }
        if call.operation == "script" {
            return done(self.node.scripts.run(&call.with).await, 1, now);
        }
        let mut open = self.history().open(&call.at, now);
        match self.known_before(call, &open) {
            Some(Known::Output(output)) => return done(Ok(output), 0, now),
            Some(Known::Unsettled(earlier)) => open = earlier,
            None => {}
        }
        // Whoever overtakes this call while it waits for anything has to know.
        if open.maybe_done() {
            self.history().keep(&call.at, open.clone());
        }
        let program = Program::of(&call.operation).is_some();
        if program || is_plain(&call.operation) {
            let result = match program {
                true => self.program(call, &mut open).await?,
                false => self.plain(call, &mut open).await?,
            };
            self.history().forget(&call.at);
            if result.is_err() {
                self.keep_unsettled(call, &open);
            }
            return done(result, open.attempts, now);
        }
        let mut target = match self.target(call, &open).await {
            Ok(target) => target,
            Err(fault) => {
                self.history().forget(&call.at);
                self.keep_unsettled(call, &open);
                return done(Err(fault), open.attempts, now);
            }
        };
        self.note_cut_off(call, &mut open, now);
        let begun = open.since.unwrap_or(now);
        match self.attempts(call, &mut target, &mut open).await? {
            Settled::Park(until) => {
                open.retry_at = Some(until);
                self.history().keep(&call.at, open);
                Ok(Performed::Park(until))
            }
            Settled::Done(result) => {
                self.history().forget(&call.at);
                if result.is_err() {
                    self.keep_unsettled(call, &open);
                }
                done(result, open.attempts, begun)
            }
        }
    }

    /// What an earlier run of the same event knows of a write that this run has not begun.
    fn known_before(&self, call: &Call, open: &Open) -> Option<Known> {
        // A person who asked for another go meant just that.
        if open.intent.is_some() || self.history().again(&call.at).retry > 0 {
            return None;
        }
        self.earlier.known(&call.at)
    }

    /// Another generation of an effect that may have happened goes on with the same key and bytes.
    fn keep_unsettled(&self, call: &Call, open: &Open) {
        if open.maybe_done() {
            self.history().leave_unsettled(&call.at, open.clone());
        }
    }

    /// An attempt that a stopped node left without an answer is shown as one whose outcome is unknown.
    pub fn note_cut_off(&self, call: &Call, open: &mut Open, now: Timestamp) {
        if open.intent.is_some() && open.attempts > open.answered {
            self.journal.push(Entry::Attempted {
                effect: call.at.clone(),
                attempt: open.attempts,
                problem: Fault::communication(format!(
                    "{}: the node stopped before the answer came",
                    call.operation
                )),
                unknown: true,
                settled: false,
                retry_at: None,
                at: now,
            });
            open.answered = open.attempts;
            open.unknown = true;
            self.history().keep(&call.at, open.clone());
        }
    }

    /// Operation, connection and exact request of a call; a request that was journalled stays as it is.
    async fn target(&self, call: &Call, open: &Open) -> Result<Target<'_>, Fault> {
        let Some((manifest, called)) = self.catalog.operation(&call.operation) else {
            return Err(fault::operation_unknown(&call.operation));
        };
        let name = call.with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
        let connection = self.connection(name, manifest).await?;
        let key = match &open.intent {
            Some(intent) => intent.key.clone(),
            None => effect_key(&self.origin, &call.at, self.history().again(&call.at)),
        };
        let prepared: Option<Prepared> = match &open.intent {
            Some(intent) => Some(serde_json::from_value(intent.request.clone()).map_err(|error| {
                Fault::runtime(format!("{}: the journalled request does not decode: {error}", call.operation))
            })?),
            None if called.is_upsert() => None,
            None => Some(
                connect::prepare(manifest, called, &call.with, &key)
                    .map_err(|error| fault::of_call(&call.operation, &error))?,
            ),
        };
        let operation = prepared.as_ref().and_then(|prepared| sent(manifest, prepared)).unwrap_or(called);
        let (workspace, held) = (&self.claim.workspace, Some(self.held));
        let transport = self.node.gated(workspace, &connection, manifest, held, Urgency::Live);
        Ok(Target { manifest, called, operation, connection, transport, prepared, key })
    }

    async fn attempts(&self, call: &Call, target: &mut Target<'_>, open: &mut Open) -> Result<Settled, Lost> {
        loop {
            if let Some(until) = open.retry_at.take() {
                let wait = until.duration_since(self.node.clock.now());
                if wait > self.node.config.wait_in_place_max {
                    return Ok(Settled::Park(until));
                }
                if wait.is_positive() && self.stopped_within(wait.unsigned_abs()).await {
                    return Ok(Settled::Park(until));
                }
            }
            let error = match self.attempt(call, target, open).await? {
                Attempt::Output(value) => return Ok(Settled::Done(Ok(target.output(value)))),
                Attempt::Refused(fault) => return Ok(Settled::Done(Err(fault))),
                Attempt::Failed(error) => target.transport.told(error),
            };
            if let Some(fault) = self.failed(call, target, open, &error) {
                return Ok(Settled::Done(Err(fault)));
            }
        }
    }

    /// Decides after a failed attempt: `Some` fault ends the call, `None` means once more at `open.retry_at`.
    fn failed(&self, call: &Call, target: &Target<'_>, open: &mut Open, error: &Error) -> Option<Fault> {
        let now = self.node.clock.now();
        open.answered = open.attempts;
        let settled = open.unknown && settles(target.operation, error);
        open.unknown = (open.unknown && !settled) || error.unknown;
        let problem = fault::of_call(&call.operation, error);
        let asks_a_person = error.unknown && !repeatable(target.operation);
        let next = self.node.retry_after(error, open, now);
        let (retry_at, verdict) = match next {
            _ if asks_a_person => (None, Some(unrepeatable(&call.operation))),
            Next::At(at) => (Some(at), None),
            Next::Stop => (None, Some(problem.clone())),
            Next::Exhausted(why) => (None, Some(fault::exhausted(problem.clone(), &why))),
        };
        tracing::debug!(run = %self.claim.run, operation = call.operation, attempt = open.attempts, %error, "attempt failed");
        self.journal.push(Entry::Attempted {
            effect: call.at.clone(),
            attempt: open.attempts,
            problem,
            unknown: error.unknown,
            settled,
            retry_at,
            at: now,
        });
        open.retry_at = retry_at;
        self.history().keep(&call.at, open.clone());
        verdict
    }

    /// One attempt, and what must be durable or known before it.
    async fn attempt(&self, call: &Call, target: &mut Target<'_>, open: &mut Open) -> Result<Attempt, Lost> {
        if target.prepared.is_none() {
            // What runs before this has its results on record.
            self.journal.save_writes().await?;
            if let Some(attempt) = self.compare(call, target).await {
                open.attempts += 1;
                return Ok(attempt);
            }
        }
        let writes = target.operation.effects != Effects::Read;
        if writes && open.maybe_done() {
            match self.settle(call, target, open).await {
                Before::Send => {}
                Before::Known(attempt) => {
                    // A question that failed counts as an attempt: it is bounded as they are.
                    open.attempts += u32::from(matches!(attempt, Attempt::Failed(_)));
                    return Ok(attempt);
                }
            }
        }
        let now = self.node.clock.now();
        open.attempts += 1;
        if writes {
            let request = || serde_json::to_value(&target.prepared).unwrap_or_default();
            self.intend(call, &target.key, request, open, now).await?;
        } else {
            self.journal.save_writes().await?;
        }
        let Target { transport, connection, manifest, operation, prepared, .. } = target;
        let Some(prepared) = prepared else { return Ok(Attempt::Refused(unplanned(&call.operation))) };
        match connect::perform(transport, connection, manifest, operation, prepared, now).await {
            Ok(output) => Ok(Attempt::Output(output)),
            Err(error)
                if error.class == Class::Conflict
                    && matches!(operation.idempotency, Idempotency::NaturalKey(_)) =>
            {
                Ok(self.look_up(call, target, open, error).await)
            }
            Err(error) => Ok(Attempt::Failed(error)),
        }
    }

    /// Reads what an upsert comes down to. None: it is a write, and that is the target from now on.
    async fn compare(&self, call: &Call, target: &mut Target<'_>) -> Option<Attempt> {
        let Target { transport, connection, manifest, called, key, .. } = target;
        let now = self.node.clock.now();
        let found = connect::upsert(transport, connection, manifest, called, &call.with, key, now).await;
        match found {
            Err(error) => Some(Attempt::Failed(error)),
            Ok(Upserted::Done(output)) => Some(Attempt::Output(output)),
            Ok(Upserted::Write(prepared)) => {
                let rehearsal = self.node.rehearsal.as_ref();
                let stands = rehearsal.and_then(|one| one.writes(&call.operation, &call.with, &prepared));
                target.operation = sent(target.manifest, &prepared)?;
                target.prepared = Some(*prepared);
                stands.map(Attempt::Output)
            }
        }
    }

    /// The record that an upsert was to make is there: this call made it before it was cut off (`ours`), or somebody
    /// else did. It is compared anew. None: it differs, and another write is the target from now on.
    async fn overtaken(
        &self,
        call: &Call,
        target: &mut Target<'_>,
        open: &mut Open,
        ours: bool,
    ) -> Option<Attempt> {
        let before = target.prepared.take();
        let operation = std::mem::replace(&mut target.operation, target.called);
        match self.compare(call, target).await {
            Some(Attempt::Output(mut output)) => {
                if ours && output["outcome"] == "unchanged" {
                    let made = before.and_then(|prepared| prepared.upsert);
                    let record = output["record"].take();
                    output = made.map_or(Value::Null, |made| made.output(record));
                }
                Some(Attempt::Output(output))
            }
            Some(attempt) => {
                (target.prepared, target.operation) = (before, operation);
                Some(attempt)
            }
            None => {
                open.intent = None;
                open.unknown = false;
                None
            }
        }
    }

    /// Makes the exact request durable. A repetition refers to the first one's bytes.
    pub async fn intend(
        &self,
        call: &Call,
        key: &str,
        request: impl FnOnce() -> Value,
        open: &mut Open,
        now: Timestamp,
    ) -> Result<(), Lost> {
        let request = match &open.intent {
            Some(intent) if std::mem::take(&mut open.adopted) => intent.request.clone(),
            Some(_) => Value::Null,
            None => {
                let request = request();
                open.intent = Some(Intent { key: key.to_owned(), request: request.clone(), sent_at: now });
                request
            }
        };
        self.journal.push(Entry::Intent {
            effect: call.at.clone(),
            key: key.to_owned(),
            attempt: open.attempts,
            operation: call.operation.clone(),
            request,
            at: now,
        });
        // Whoever overtakes this call knows from here that it may have happened.
        self.history().keep(&call.at, open.clone());
        self.journal.save().await
    }

    /// Whether an effect that may have happened can be sent again, or is known by now.
    async fn settle(&self, call: &Call, target: &mut Target<'_>, open: &mut Open) -> Before {
        let operation = target.operation;
        match &operation.idempotency {
            Idempotency::Header { life, .. } => {
                let now = self.node.clock.now();
                let sent_at = open.intent.as_ref().map_or(now, |intent| intent.sent_at);
                let age = now.duration_since(sent_at);
                if age + KEY_LIFE_MARGIN < *life {
                    return Before::Send;
                }
                let why = format!("the vendor remembers the key for {life:#} only, and it is {age:#} old");
                Before::Known(Attempt::Refused(fault::outcome_unknown(&operation.name, &why)))
            }
            Idempotency::Lookup(_) | Idempotency::NaturalKey(_) => {
                let Target { transport, connection, manifest, operation, prepared, .. } = target;
                let Some(prepared) = prepared else { return Before::Send };
                let (sent, now) = (open.intent.as_ref().map(|intent| intent.sent_at), self.node.clock.now());
                match connect::lookup(transport, connection, manifest, operation, prepared, sent, now).await {
                    Ok(Some(output)) if prepared.upsert.is_none() => Before::Known(Attempt::Output(output)),
                    Ok(Some(_)) => {
                        self.overtaken(call, target, open, true).await.map_or(Before::Send, Before::Known)
                    }
                    Ok(None) => Before::Send,
                    Err(error) => Before::Known(Attempt::Failed(error)),
                }
            }
            _ if !repeatable(operation) => Before::Known(Attempt::Refused(unrepeatable(&operation.name))),
            Idempotency::Repeatable | Idempotency::None => Before::Send,
        }
    }

    /// The record that a conflict is about; the conflict stands where there is none.
    async fn look_up(
        &self,
        call: &Call,
        target: &mut Target<'_>,
        open: &mut Open,
        conflict: Error,
    ) -> Attempt {
        let Target { transport, connection, manifest, operation, prepared, .. } = target;
        let Some(prepared) = prepared else { return Attempt::Failed(conflict) };
        let now = self.node.clock.now();
        match connect::lookup(transport, connection, manifest, operation, prepared, None, now).await {
            Ok(Some(output)) if prepared.upsert.is_none() => Attempt::Output(output),
            Ok(Some(_)) => {
                // What is sent instead has bytes of its own: it is the next attempt.
                let soon = Error { class: Class::Retry { after: None }, ..conflict };
                self.overtaken(call, target, open, false).await.unwrap_or(Attempt::Failed(soon))
            }
            Ok(None) => Attempt::Failed(conflict),
            Err(error) => Attempt::Failed(error),
        }
    }
}

/// How the attempts at a call ended.
enum Settled {
    Done(Result<Value, Fault>),
    Park(Timestamp),
}

/// What is known before an effect that may have happened is sent again.
enum Before {
    Send,
    Known(Attempt),
}

/// The operation that an upsert came down to.
fn sent<'a>(manifest: &'a Manifest, prepared: &Prepared) -> Option<&'a Operation> {
    manifest.operation(&prepared.upsert.as_ref()?.operation)
}

fn unplanned(operation: &str) -> Fault {
    Fault::runtime(format!("{operation}: what it comes down to is not known"))
}

/// Whether an effect that may have happened may be sent again at all.
fn repeatable(operation: &Operation) -> bool {
    !(matches!(operation.idempotency, Idempotency::None) && operation.effects == Effects::Destructive)
}

/// Whether a refusal says that no earlier attempt took effect either: a vendor that remembers the key would have
/// answered with what it did. Refused credentials and limits say nothing, since they are looked at before the key.
fn settles(operation: &Operation, error: &Error) -> bool {
    matches!(operation.idempotency, Idempotency::Header { .. })
        && matches!(error.class, Class::User | Class::NotFound)
        && !error.unknown
}

fn unrepeatable(operation: &str) -> Fault {
    fault::outcome_unknown(
        operation,
        "it cannot be taken back and the vendor cannot tell whether it was done",
    )
}
