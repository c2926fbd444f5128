//! The state machine of one run: which effects to perform next, given what came of those before.
//!
//! A run is a stack of task lists ([`frame`]); the machine walks it ([`drive`]) until it needs something from outside
//! or is over. The same document, start and inputs give the same effects, always: recovery feeds a fresh machine the
//! journal's results. What is between two inputs is never stored.
//!
//! | state | input | next |
//! |---|---|---|
//! | waits for a call | `Resolved` with its reference | the task's output, or its fault |
//! | waits for a time | `Elapsed` with its reference | after the `wait`, or the `try` begins again |
//! | any | another reference, or over | nothing changes, no effects |

mod drive;
mod frame;
mod retry;
mod scope;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Document, Fault, RunId};
use drive::Next;
use frame::{Frame, Owner, TryState};

/// The most tasks that one run enters, loops included.
pub const MAX_STEPS: usize = 50_000;
/// The most items that one `for` goes over.
pub const MAX_ITEMS: usize = 10_000;
/// The largest result of a call, and the largest input of a run, in bytes of JSON, roughly.
pub const MAX_VALUE: usize = 16 << 20;
/// How much of the steps' outputs [`Machine::steps`] keeps, in bytes of JSON, roughly; later outputs are left out.
pub const MAX_RECORDED: usize = 4 << 20;

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Start {
    pub document: Arc<Document>,
    pub run: RunId,
    /// The CloudEvent as JSON for a run that an event started; any JSON otherwise.
    pub input: Arc<Value>,
    pub settings: Arc<Value>,
    pub started_at: Timestamp,
}

/// Names one effect of a run, the same each time the run is replayed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectRef {
    /// JSON pointer of the task in the document; of its `catch/retry` for the wait before a `try` begins again.
    pub path: String,
    /// Which visit of that task, from 1: loops visit their tasks again.
    pub visit: u32,
    /// How many times this visit was begun before, from 0: a `try` that begins again begins its tasks again.
    pub generation: u32,
}

/// Something that the machine asks to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Call an operation with evaluated arguments (`connection` among them).
    Call { at: EffectRef, step: String, operation: String, with: Value },
    /// Come back at a time, which may be past already.
    Wait { at: EffectRef, until: Timestamp },
}

impl Effect {
    /// What it is known by.
    pub fn at(&self) -> &EffectRef {
        match self {
            Self::Call { at, .. } | Self::Wait { at, .. } => at,
        }
    }
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A call is over.
    Resolved { at: EffectRef, outcome: Result<Value, Fault>, now: Timestamp },
    /// A wait is over.
    Elapsed { at: EffectRef, now: Timestamp },
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Running,
    Completed(Value),
    Failed(Fault),
}

/// A task that was entered.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    pub at: EffectRef,
    pub name: String,
    /// The word of the language: `call`, `set`, …
    pub action: &'static str,
    /// The operation and the evaluated arguments of a call.
    pub call: Option<(String, Arc<Value>)>,
    pub state: StepState,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// How a step stands.
#[derive(Clone, Debug, PartialEq)]
pub enum StepState {
    /// It has begun and waits for something, or for the tasks inside it.
    Running,
    /// Its `if` did not hold.
    Skipped,
    /// Its transformed output; `None` once [`MAX_RECORDED`] is used up.
    Done(Option<Arc<Value>>),
    Failed(Fault),
}

/// The state of a run.
#[derive(Clone, Debug)]
pub struct Machine {
    document: Arc<Document>,
    run: RunId,
    started_at: Timestamp,
    /// The time of the last input.
    now: Timestamp,
    event: Arc<Value>,
    settings: Arc<Value>,
    context: Arc<Value>,
    /// Each step's output by name, of its latest visit.
    outputs: BTreeMap<String, Arc<Value>>,
    frames: Vec<Frame>,
    /// How often each task was visited, by the task's number.
    visits: Vec<u32>,
    /// How often each visit's effect was begun; `true` is the wait before a `try` begins again.
    generations: BTreeMap<(usize, bool, u32), u32>,
    waiting: Option<Waiting>,
    status: Status,
    steps: Vec<StepRecord>,
    entered: usize,
    recorded: usize,
}

/// What the run is waiting for.
#[derive(Clone, Debug)]
enum Waiting {
    Call(EffectRef),
    Wait(EffectRef),
    /// The `try` of the topmost frame's task begins again.
    Retry(EffectRef, TryState),
}

impl Machine {
    /// Begins a run and goes on until it needs something or is over.
    pub fn start(start: Start) -> (Self, Vec<Effect>) {
        let event = start.input;
        let mut machine = Self {
            document: start.document,
            run: start.run,
            started_at: start.started_at,
            now: start.started_at,
            event: event.clone(),
            settings: start.settings,
            context: Arc::new(Value::Object(serde_json::Map::new())),
            outputs: BTreeMap::new(),
            frames: Vec::new(),
            visits: Vec::new(),
            generations: BTreeMap::new(),
            waiting: None,
            status: Status::Running,
            steps: Vec::new(),
            entered: 0,
            recorded: 0,
        };
        let next = machine.begin(event);
        let effects = machine.drive(next);
        (machine, effects)
    }

    /// Tells the machine what came of an effect. An effect that it does not wait for changes nothing.
    pub fn advance(&mut self, input: Input) -> Vec<Effect> {
        let (Input::Resolved { at, now, .. } | Input::Elapsed { at, now }) = &input;
        let (at, now) = (at.clone(), *now);
        let next = match (self.waiting.take(), input) {
            (Some(Waiting::Call(waiting)), Input::Resolved { outcome, .. }) if waiting == at => match outcome
            {
                Ok(value) => sized(value).map_or_else(Next::Fault, |value| Next::Done(Arc::new(value), None)),
                Err(fault) => Next::Fault(fault),
            },
            (Some(Waiting::Wait(waiting)), Input::Elapsed { .. }) if waiting == at => {
                Next::Done(self.input_of_current(), None)
            }
            (Some(Waiting::Retry(waiting, state)), Input::Elapsed { .. }) if waiting == at => {
                Next::Retry(state)
            }
            (other, _) => {
                self.waiting = other;
                return Vec::new();
            }
        };
        // Time does not go back within a run, whatever clock wrote the journal.
        self.now = self.now.max(now);
        self.drive(next)
    }

    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Whether the run still waits for something; cheaper than [`Machine::status`], which copies the output.
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// The tasks entered so far, in order.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// What the run is waiting for, if anything.
    pub fn waiting(&self) -> Option<&EffectRef> {
        match self.waiting.as_ref()? {
            Waiting::Call(at) | Waiting::Wait(at) | Waiting::Retry(at, _) => Some(at),
        }
    }

    /// Pushes the document's list and transforms the run's input for it.
    fn begin(&mut self, input: Arc<Value>) -> Next {
        let tasks = self.document.tasks().clone();
        let input = match self.document.clone().input() {
            Some(template) => match self.evaluate(template, &input, scope::Extra::default()) {
                Ok(input) => input,
                Err(fault) => return Next::Over(Err(fault)),
            },
            None => input,
        };
        if let Err(fault) = weigh(&input, &mut (MAX_VALUE as u64)) {
            return Next::Over(Err(fault));
        }
        self.frames.push(Frame::new(tasks, Owner::Flow));
        Next::Enter(input)
    }
}

/// A result of a call, if it is not too large.
fn sized(value: Value) -> Result<Value, Fault> {
    weigh(&value, &mut (MAX_VALUE as u64)).map(|()| value)
}

/// Takes a value's rough size in bytes of JSON from `left`.
fn weigh(value: &Value, left: &mut u64) -> Result<(), Fault> {
    let size = match value {
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(items) => {
            items.iter().try_for_each(|item| weigh(item, left))?;
            2
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                weigh(field, left)?;
                *left = left.saturating_sub(name.len() as u64 + 3);
            }
            2
        }
        _ => 8,
    };
    *left = left.saturating_sub(size);
    if *left == 0 {
        let message =
            format!("a value is larger than {} MiB; ask for less of it, or page by page", MAX_VALUE >> 20);
        return Err(Fault::runtime(message));
    }
    Ok(())
}

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
