//! The state machine of one run: which effects to perform next, given what came of those before.
//!
//! A run is one or more strands ([`strand`]), each a stack of task lists ([`frame`]): the run itself, and the branches of
//! a `fork`. The machine walks one strand after the other ([`drive`]) until each needs something from outside or is
//! over. The same document, start and inputs in the same order give the same effects, always: recovery feeds a fresh
//! machine the journal's results. What is between two inputs is never stored.
//!
//! | a strand | input | next |
//! |---|---|---|
//! | waits for a call | `Resolved` with its reference | the task's output, or its fault |
//! | waits for a page of a stream | `Resolved` with its reference | goes over its records |
//! | waits for a time | `Elapsed` with its reference | after the `wait`, or the `try` begins again |
//! | listens | `Heard` with its reference | does something with the event, listens on, or the task's output |
//! | waits for its branches | what they wait for | their outputs, or the first one's; a fault ends them all |
//! | is inside a task with a timeout | `Elapsed` with the timeout's reference | all inside it ends, the task fails |
//! | any | another reference, or over | nothing changes, no effects |
//!
//! Several effects may be awaited at a time. One that is awaited no longer ([`Machine::awaits`]) was overtaken: by a
//! timeout, by a branch that won or failed, or by the end of the run.

mod changes;
mod drive;
mod extend;
mod frame;
mod listen;
mod retry;
mod scope;
mod strand;
mod stream;
mod timeout;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hearing::Interest;
use crate::{Document, Fault, RunId};
pub use changes::{Change, TaskChange};
use drive::Next;
use frame::{Frame, Owner};
use strand::{Strand, Waiting};

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
    /// JSON pointer of the task in the document; of its `catch/retry` for the wait before a `try` begins again, of its
    /// `timeout` for that, of its `pages` for a page of the stream that it goes over. What is inside a function or an extension is named below the task that uses it; the call for
    /// an item of a `data.map` below `/items/`, its visit and the item's place.
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
    /// Tell of events, one at a time, for as long as this is awaited.
    Listen { at: EffectRef, interests: Vec<Interest> },
}

impl Effect {
    /// What it is known by.
    pub fn at(&self) -> &EffectRef {
        match self {
            Self::Call { at, .. } | Self::Wait { at, .. } | Self::Listen { at, .. } => at,
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
    /// An event came that a `listen` takes by a filter ([`Machine::hears`]).
    Heard { at: EffectRef, filter: usize, event: Arc<Value>, now: Timestamp },
}

impl Input {
    /// The effect that it is about.
    pub fn at(&self) -> &EffectRef {
        match self {
            Self::Resolved { at, .. } | Self::Elapsed { at, .. } | Self::Heard { at, .. } => at,
        }
    }

    /// When it is told.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Resolved { now, .. } | Self::Elapsed { now, .. } | Self::Heard { now, .. } => *now,
        }
    }
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
    /// It was begun and overtaken: by a timeout, by another branch, or by the end of the run.
    Cancelled,
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
    /// Each step's output by name, of its latest visit, in each scope.
    outputs: BTreeMap<u32, BTreeMap<String, Arc<Value>>>,
    /// The strand that is being driven, and its number.
    here: Strand,
    number: u32,
    /// The strands that wait.
    others: BTreeMap<u32, Strand>,
    /// Branches that have not begun yet, in order.
    ready: VecDeque<u32>,
    strands: u32,
    /// Asked for since the last input.
    effects: Vec<Effect>,
    /// How often each task was visited, by the task's number, in each scope.
    visits: BTreeMap<u32, Vec<u32>>,
    /// How often each visit's effect was begun, by its path and visit.
    generations: BTreeMap<(String, u32), u32>,
    /// Lists that were called with `page: stream`, by what names them.
    streams: BTreeMap<String, Arc<stream::Stream>>,
    /// The flow's own timeout, while it runs.
    timeout: Option<EffectRef>,
    status: Status,
    steps: Vec<StepRecord>,
    /// What became of tasks since it was last asked for, if it is told.
    changes: Option<Vec<Change>>,
    entered: usize,
    recorded: usize,
}

/// What an effect is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// What the task does.
    Task,
    /// The wait before a `try` begins again.
    Retry,
    /// The task's timeout.
    Timeout,
    /// The timeout of one attempt of a `try`.
    Attempt,
    /// A page of the stream that the task goes over.
    Page,
}

impl Machine {
    /// Begins a run and goes on until it needs something or is over.
    pub fn start(start: Start) -> (Self, Vec<Effect>) {
        let event = start.document.event_of(start.input);
        let mut machine = Self {
            changes: start.document.tells_tasks().then(Vec::new),
            document: start.document,
            run: start.run,
            started_at: start.started_at,
            now: start.started_at,
            event: event.clone(),
            settings: start.settings,
            context: Arc::new(Value::Object(serde_json::Map::new())),
            outputs: BTreeMap::new(),
            here: Strand::new(None),
            number: 0,
            others: BTreeMap::new(),
            ready: VecDeque::new(),
            strands: 1,
            effects: Vec::new(),
            visits: BTreeMap::new(),
            generations: BTreeMap::new(),
            streams: BTreeMap::new(),
            timeout: None,
            status: Status::Running,
            steps: Vec::new(),
            entered: 0,
            recorded: 0,
        };
        let input = machine.document.input_of(&event);
        let next = machine.begin(input);
        let effects = machine.drive(next);
        (machine, effects)
    }

    /// Tells the machine what came of an effect. An effect that it does not wait for changes nothing.
    pub fn advance(&mut self, input: Input) -> Vec<Effect> {
        let (at, now) = (input.at().clone(), input.now());
        let elapsed = matches!(input, Input::Elapsed { .. });
        let next = match self.turn_to(&at) {
            Some(Waiting::Call(waiting)) => match input {
                Input::Resolved { outcome: Ok(value), .. } => {
                    sized(value).map_or_else(Next::Fault, |value| Next::Done(Arc::new(value), None))
                }
                Input::Resolved { outcome: Err(fault), .. } => Next::Fault(fault),
                Input::Elapsed { .. } | Input::Heard { .. } => {
                    self.here.waiting = Waiting::Call(waiting);
                    return Vec::new();
                }
            },
            Some(Waiting::Page(waiting, place)) => match input {
                Input::Resolved { outcome, .. } => {
                    let (reading, reader) = *place;
                    let page = outcome.and_then(sized);
                    page.and_then(|page| self.page(reading, reader, page)).unwrap_or_else(Next::Fault)
                }
                Input::Elapsed { .. } | Input::Heard { .. } => {
                    self.here.waiting = Waiting::Page(waiting, place);
                    return Vec::new();
                }
            },
            Some(Waiting::Events(hearing)) => match input {
                Input::Heard { filter, event, .. } => self.heard(hearing, filter, &event),
                Input::Resolved { .. } | Input::Elapsed { .. } => {
                    self.here.waiting = Waiting::Events(hearing);
                    return Vec::new();
                }
            },
            Some(Waiting::Wait(_)) if elapsed => Next::Done(self.input_of_current(), None),
            Some(Waiting::Retry(_, state)) if elapsed => Next::Retry(state),
            Some(other) => {
                self.here.waiting = other;
                return Vec::new();
            }
            None if elapsed => {
                // The records of what a timeout ends say when.
                let before = self.now;
                self.now = before.max(now);
                match self.expire(&at) {
                    Some(next) => next,
                    None => {
                        self.now = before;
                        return Vec::new();
                    }
                }
            }
            None => return Vec::new(),
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

    /// Pushes the document's list and transforms the run's input for it.
    fn begin(&mut self, input: Arc<Value>) -> Next {
        let document = self.document.clone();
        match self.transformed(&document, input) {
            Ok(input) => {
                if let Some(delay) = document.timeout() {
                    match self.begin_timeout(delay, &input) {
                        Ok(at) => self.timeout = Some(at),
                        Err(fault) => return Next::Over(Err(fault)),
                    }
                }
                self.here.frames.push(Frame::new(document.tasks().clone(), Owner::Flow));
                Next::Enter(input)
            }
            Err(fault) => Next::Over(Err(fault)),
        }
    }

    fn transformed(&self, document: &Document, input: Arc<Value>) -> Result<Arc<Value>, Fault> {
        weigh(&input, &mut (MAX_VALUE as u64))?;
        if let Some(schema) = document.input_schema() {
            schema
                .check(&input)
                .map_err(|why| Fault::validation(format!("the flow's input: {why}")).at("/input/schema"))?;
        }
        match document.input() {
            Some(template) => self.evaluate(template, &input, scope::Extra::default()),
            None => Ok(input),
        }
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
mod concurrent;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod mapping;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod tests;
