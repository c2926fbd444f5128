//! Tasks as they were understood: a tree whose expressions are compiled and whose names are resolved.

use jiff::SignedDuration;
use serde_json::Value;
use std::sync::Arc;

use crate::Expression;
use crate::schema::Schema;

/// A value of a document in which some parts are expressions.
#[derive(Clone, Debug)]
pub enum Template {
    Literal(Arc<Value>),
    Expression(Expression),
    List(Vec<Template>),
    Object(Vec<(String, Template)>),
    /// An address with fields of the task's input in it.
    Uri(Vec<UriPart>),
}

/// A part of an address.
#[derive(Clone, Debug)]
pub enum UriPart {
    Text(String),
    /// `{name}`: a field of the task's input, percent-encoded.
    Field(String),
}

/// A list of tasks: one scope of `then`.
pub type Tasks = Arc<[Task]>;

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    pub name: String,
    /// Where it stands: a JSON pointer in the document, or below the task that uses the function or extension which the
    /// task is a part of.
    pub path: Arc<str>,
    /// JSON pointer of its definition.
    pub pointer: Arc<str>,
    /// The number of the task in the document, for counting visits.
    pub index: usize,
    /// The number after those of the tasks inside it.
    pub end: usize,
    pub when: Option<Expression>,
    pub input: Option<Template>,
    pub output: Option<Template>,
    pub export: Option<Template>,
    pub schemas: Option<Box<Schemas>>,
    pub timeout: Option<Delay>,
    /// What is done before and after it.
    pub extensions: Vec<Extension>,
    pub then: Then,
    pub action: Action,
}

/// What a task's data must look like.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    /// Of the whole context.
    pub export: Option<Schema>,
}

impl Schemas {
    /// Whether there is one at all.
    pub fn any(&self) -> bool {
        self.input.is_some() || self.output.is_some() || self.export.is_some()
    }
}

/// An extension as it applies to one task.
#[derive(Clone, Debug)]
pub struct Extension {
    pub when: Option<Expression>,
    pub before: Option<Tasks>,
    pub after: Option<Tasks>,
}

/// Where a flow goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next task of the list.
    Continue,
    /// The list is over.
    Exit,
    /// The run is over.
    End,
    /// Another task of the same list, by position.
    Task(usize),
}

/// What a task does.
#[derive(Clone, Debug)]
pub enum Action {
    Do(Tasks),
    Set(Template),
    Call {
        operation: String,
        with: Template,
    },
    /// A function of the document: its one task, with these arguments as input.
    Function {
        name: String,
        with: Template,
        tasks: Tasks,
    },
    Switch(Vec<Case>),
    For(For),
    Fork(Fork),
    Map(Arc<Map>),
    Try(Try),
    Raise(Raise),
    Wait(Delay),
    Listen(Listen),
}

impl Action {
    /// The word of the language for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Do(_) => "do",
            Self::Set(_) => "set",
            Self::Call { operation, .. } if operation == "emit" => "emit",
            Self::Call { operation, .. } if operation == "script" || operation.starts_with("run.") => "run",
            Self::Call { .. } | Self::Function { .. } | Self::Map(_) => "call",
            Self::Switch(_) => "switch",
            Self::For(_) => "for",
            Self::Fork(_) => "fork",
            Self::Try(_) => "try",
            Self::Raise(_) => "raise",
            Self::Wait(_) => "wait",
            Self::Listen(_) => "listen",
        }
    }
}

/// One case of a `switch`; without a condition it always holds.
#[derive(Clone, Debug)]
pub struct Case {
    pub when: Option<Expression>,
    pub then: Then,
}

#[derive(Clone, Debug)]
pub struct For {
    pub each: String,
    pub at: String,
    pub items: Expression,
    pub condition: Option<Expression>,
    pub tasks: Tasks,
}

/// Tasks that go on at the same time.
#[derive(Clone, Debug)]
pub struct Fork {
    /// Each a list of one task.
    pub branches: Vec<Tasks>,
    /// The first one that is over ends the others.
    pub compete: bool,
}

/// One call for each item of a list, some at the same time.
#[derive(Clone, Debug)]
pub struct Map {
    pub items: Expression,
    /// At most so many at once.
    pub concurrency: usize,
    /// A call that fails leaves its fault in its place, instead of ending all.
    pub keep: bool,
    /// The call.
    pub tasks: Tasks,
}

#[derive(Clone, Debug)]
pub struct Try {
    pub tasks: Tasks,
    pub catch: Catch,
}

#[derive(Clone, Debug)]
pub struct Catch {
    pub filter: Filter,
    /// The variable that has the fault.
    pub name: String,
    pub when: Option<Expression>,
    pub except_when: Option<Expression>,
    pub retry: Option<Retry>,
    pub tasks: Option<Tasks>,
    /// Where to go on after a caught fault, instead of where the `try` leads.
    pub then: Option<Then>,
}

/// Which faults are caught: those equal in all that is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub r#type: Option<String>,
    pub status: Option<u16>,
    pub title: Option<String>,
    pub detail: Option<String>,
    pub instance: Option<String>,
}

/// When and how often a `try` begins again.
#[derive(Clone, Debug)]
pub struct Retry {
    pub when: Option<Expression>,
    pub except_when: Option<Expression>,
    pub delay: SignedDuration,
    pub backoff: Backoff,
    /// How many times it begins again at most.
    pub count: u32,
    /// How long after the first fault it still begins again.
    pub within: Option<SignedDuration>,
    /// How long one attempt may take.
    pub attempt: Option<SignedDuration>,
    /// A random addition to the delay, from the run's id.
    pub jitter: Option<(SignedDuration, SignedDuration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Always the delay.
    Constant,
    /// The delay, twice, three times it, …
    Linear,
    /// The delay, twice, four times it, …
    Exponential,
}

/// A fault to raise; its parts may be expressions.
#[derive(Clone, Debug)]
pub struct Raise {
    pub r#type: Template,
    pub status: Template,
    pub title: Option<Template>,
    pub detail: Option<Template>,
    pub instance: Option<Template>,
}

/// How long a `wait` lasts, or what a timeout bounds.
#[derive(Clone, Debug)]
pub enum Delay {
    Fixed(SignedDuration),
    /// Gives a duration in either form.
    Computed(Template),
}

/// Events that a task waits for.
#[derive(Clone, Debug)]
pub struct Listen {
    pub to: Strategy,
    pub until: Option<Until>,
    pub read: Read,
    pub each: Option<EachEvent>,
}

/// Which events, and how many of them.
#[derive(Clone, Debug)]
pub struct Strategy {
    pub how: How,
    /// At least one; to listen for everything is one filter that asks for nothing.
    pub filters: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One event that any of the filters takes.
    Any,
    /// An event for each of the filters.
    All,
}

/// What ends listening for any number of events.
#[derive(Clone, Debug)]
pub enum Until {
    /// It holds for the list of what was heard.
    When(Expression),
    /// These events, which are not of the output.
    Heard(Strategy),
}

/// An event that is waited for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A type or a family of types.
    pub r#type: Option<String>,
    /// Other attributes, each with what it must be.
    pub attributes: Vec<(String, Template)>,
    pub correlate: Vec<Correlation>,
}

/// What an event must have in common with the run, or with the first event of the task.
#[derive(Clone, Debug)]
pub struct Correlation {
    pub name: String,
    pub from: Expression,
    /// None: what the first event gave.
    pub expect: Option<Template>,
}

/// How an event stands in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Data,
    /// The whole event.
    Envelope,
    /// The data as text.
    Raw,
}

/// What is done with each event as it comes.
#[derive(Clone, Debug)]
pub struct EachEvent {
    pub item: String,
    pub at: String,
    pub tasks: Option<Tasks>,
    pub output: Option<Template>,
    pub export: Option<Template>,
    pub schemas: Option<Box<Schemas>>,
}
