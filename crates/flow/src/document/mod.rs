//! A flow document: immutable, checked, its expressions compiled.
//!
//! [`Document::parse`] reads YAML or JSON of the Open Workflow DSL 1.0.3 and answers with the document or with every
//! problem at once. What is not supported is refused by name, never ignored.

mod batch;
mod calls;
mod faults;
mod listen;
mod map;
mod metadata;
mod parse;
mod plain_secret;
mod reach;
mod reusable;
mod runs;
mod schedule;
mod secrets;
mod subflow;
pub mod task;
mod tasks;
mod triggers;

use indexmap::IndexMap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::{CLOCK_SOURCE, Read};
use crate::expression::{Scope, Variable};
use crate::hearing::Form;
use crate::schedule::Schedule;
use crate::schema::Schema;
use crate::yaml::Place;
use crate::{CloudEvent, Diagnostic, EventFilter, Expression, Fault};
pub use batch::Batch;
use parse::{At, Reader};
use task::{Delay, Schemas, Tasks, Template};

/// A flow, as written and understood.
#[derive(Clone, Debug)]
pub struct Document {
    text: String,
    head: Arc<metadata::Head>,
    starts: schedule::Starts,
    calls: Vec<CallSite>,
    listens: Vec<(String, Form)>,
    /// Literal sources of events that tasks listen for.
    sources: BTreeSet<String>,
    secrets: BTreeSet<String>,
    tasks: Tasks,
    timeout: Option<Delay>,
    input: Option<Template>,
    output: Option<Template>,
    schemas: Schemas,
    /// The whole document as JSON, for `$workflow.definition`.
    definition: Arc<Value>,
}

/// Something that whoever installs a flow chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What it is for.
    pub description: String,
    /// What it is when nobody chooses; a setting without a default must be chosen.
    pub default: Option<Value>,
    pub kind: SettingKind,
}

/// What a setting's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    String,
    Number,
    Boolean,
    List,
    Object,
    Any,
}

/// Which runs of a flow must not work at the same time.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// The lane's name, from the event.
    pub key: Expression,
    pub mode: Mode,
    pub on_failure: OnFailure,
}

/// What becomes of events that wait in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each has its run, in order.
    Queue,
    /// A waiting run takes in later ones: only the newest state counts.
    Latest,
}

/// What becomes of a lane when a run fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The next run goes on.
    Continue,
    /// The lane stands until somebody retries or cancels the failed run.
    Hold,
}

/// A call in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// `stripe.customers.retrieve`.
    pub operation: String,
    /// The literal `with.connection`.
    pub connection: Option<String>,
    /// JSON pointer of the task.
    pub path: String,
    pub line: usize,
    pub column: usize,
    /// What `with` gives, by name.
    pub arguments: Vec<Argument>,
    /// `with` as a whole is computed, so that nobody knows its arguments before the flow runs.
    pub computed: bool,
}

/// What a flow may start on the server, where the operator allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Shell,
    Container,
}

impl Program {
    pub const ALL: [Program; 2] = [Program::Shell, Program::Container];

    /// The word of the language for it, which operators use too.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Container => "container",
        }
    }

    /// The call that it becomes.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Shell => "run.shell",
            Self::Container => "run.container",
        }
    }

    /// The program that a call starts.
    pub fn of(operation: &str) -> Option<Program> {
        Self::ALL.into_iter().find(|program| program.operation() == operation)
    }
}

/// Where a document starts a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSite {
    pub program: Program,
    /// JSON pointer of `shell` or `container`.
    pub path: String,
    pub line: usize,
    pub column: usize,
}

/// A script in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptSite {
    /// As it is written: `js`, `javascript`, `jq`.
    pub language: String,
    pub code: String,
    /// JSON pointer of `code`.
    pub path: String,
    pub line: usize,
    pub column: usize,
    /// Where each line of the code begins in the file; none where it is folded or escaped.
    starts: Vec<Place>,
}

impl ScriptSite {
    /// Line and column in the file of a place in the code, as far as that can be said.
    pub fn place(&self, line: usize, column: usize) -> (usize, usize) {
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line));
        start.map_or((self.line, self.column), |start| (start.line, start.column + column.saturating_sub(1)))
    }
}

/// A type of events that is listened for, as it is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSite {
    pub r#type: String,
    pub path: String,
    pub line: usize,
    pub column: usize,
}

/// Something wrong with a script's code, and where in it, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// An argument of a call, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    /// If nothing in it is computed.
    pub value: Option<Value>,
    /// As it stands, what is computed as the text of its expression.
    pub written: Value,
    pub line: usize,
    pub column: usize,
}

/// All that can be said of a text: the document, if it is one, and what is wrong with it either way.
#[derive(Debug, Default)]
pub struct Inspected {
    pub document: Option<Document>,
    /// Every call that was understood.
    pub calls: Vec<CallSite>,
    /// Every program that it starts.
    pub programs: Vec<ProgramSite>,
    /// Every script.
    pub scripts: Vec<ScriptSite>,
    /// Every type of events that starts it or that it waits for.
    pub events: Vec<EventSite>,
    /// What keeps it from being one.
    pub problems: Vec<Diagnostic>,
    /// What is most likely not meant: tasks that nothing leads to, keys that are written out, numbers that lose zeros.
    pub advice: Vec<Diagnostic>,
}

impl Document {
    /// Reads, checks and compiles a document; everything that is wrong comes back at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let inspected = Self::inspect(file, text);
        inspected.document.ok_or(inspected.problems)
    }

    /// The same, with what is said of a document beside its mistakes.
    pub fn inspect(file: &str, text: &str) -> Inspected {
        let (node, yaml) = match crate::yaml::read(file, text) {
            Ok(read) => read,
            Err(problems) => return Inspected { problems, ..Inspected::default() },
        };
        let root = At::root(&node);
        let mut reader = Reader::new(file, text);
        let known = ["document", "input", "use", "do", "output", "schedule", "timeout", "evaluate"];
        reader.only(&root, "a flow", &known, &[]);
        let list = root.get("do");
        if let Some(list) = &list {
            reader.gather_steps(list);
        }
        let head = reader.head(&root);
        reader.reusable(&root);
        reader.evaluate(&root);
        let starts = reader.schedule(&root);
        reader.gathers(&root, &head, &starts);
        let timeout = reader.timeout(&root);
        let (input, input_schema) = reader.flow_of_data(&root, "input", "from");
        let tasks = match &list {
            Some(list) => reader.tasks(list, "`do`", 0),
            None => {
                reader.missing(&root, "a flow", "do");
                Arc::from([])
            }
        };
        let (output, output_schema) = reader.flow_of_data(&root, "output", "as");
        reader.functions_not_called();
        reader.authentications();
        let ordered = |mut diagnostics: Vec<Diagnostic>| {
            diagnostics.sort();
            diagnostics.dedup();
            diagnostics
        };
        let (problems, mut advice) = (ordered(reader.diagnostics), reader.advice);
        advice.extend(yaml);
        let advice = ordered(advice);
        let mut calls = reader.calls;
        // What a function calls is one place, however often the function is called.
        let mut seen = BTreeSet::new();
        calls.retain(|call| seen.insert(call.path.clone()));
        let mut programs = reader.programs;
        programs.retain(|site| seen.insert(site.path.clone()));
        let mut scripts = reader.scripts;
        scripts.retain(|site| seen.insert(site.path.clone()));
        let mut events = reader.events;
        events.retain(|site| seen.insert(site.path.clone()));
        if !problems.is_empty() {
            return Inspected { document: None, calls, programs, scripts, events, problems, advice };
        }
        let definition = Arc::new(node.to_value());
        let schemas = Schemas { input: input_schema, output: output_schema, export: None };
        let mut listens = reader.listens;
        listens.sort();
        listens.dedup();
        let document = Self {
            text: text.to_owned(),
            head: Arc::new(head),
            starts,
            calls: calls.clone(),
            secrets: reader.reusable.secrets,
            listens,
            sources: reader.sources,
            tasks,
            timeout,
            input,
            output,
            schemas,
            definition,
        };
        Inspected { document: Some(document), calls, programs, scripts, events, problems, advice }
    }

    pub fn name(&self) -> &str {
        &self.head.name
    }

    pub fn namespace(&self) -> &str {
        &self.head.namespace
    }

    pub fn version(&self) -> &str {
        &self.head.version
    }

    pub fn title(&self) -> Option<&str> {
        self.head.title.as_deref()
    }

    pub fn summary(&self) -> Option<&str> {
        self.head.summary.as_deref()
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `document.metadata` as written; null if there is none.
    pub fn metadata(&self) -> &Value {
        &self.head.metadata
    }

    /// What whoever installs the flow chooses: `document.metadata.settings`.
    pub fn settings(&self) -> &IndexMap<String, Setting> {
        &self.head.settings
    }

    /// The settings of a deployment: what was chosen, else the defaults. Errors name what is missing, unknown or of
    /// the wrong type.
    pub fn resolve_settings(&self, chosen: &serde_json::Map<String, Value>) -> Result<Value, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = serde_json::Map::new();
        for (name, setting) in self.settings() {
            match chosen.get(name).or(setting.default.as_ref()) {
                Some(value) if setting.kind.allows(value) => {
                    drop(settings.insert(name.clone(), value.clone()))
                }
                Some(value) => {
                    problems.push(format!("setting `{name}` can't be {value}: it is a {:?}", setting.kind))
                }
                None => problems.push(format!("setting `{name}` must be given: {}", setting.description)),
            }
        }
        for name in chosen.keys().filter(|name| !self.settings().contains_key(*name)) {
            problems.push(match crate::nearest::nearest(name, self.settings().keys().map(String::as_str)) {
                Some(near) => format!("`{name}` is not a setting; did you mean `{near}`?"),
                None => format!("`{name}` is not a setting"),
            });
        }
        if problems.is_empty() { Ok(Value::Object(settings)) } else { Err(problems) }
    }

    /// The connections that the flow needs, by logical name and in order: each literal `with.connection` and trigger
    /// `source` and source of an event to listen for.
    pub fn connections(&self) -> Vec<String> {
        let called = self.calls.iter().filter_map(|call| call.connection.clone());
        // What is a URI is no connection's.
        let heard = self.starts.events.iter().filter_map(|trigger| trigger.source.clone());
        let heard = heard.filter(|source| !source.contains(':'));
        called
            .chain(heard)
            .chain(self.sources.iter().chain(&self.secrets).cloned())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// What tasks listen for: types and families of types, and what is asked of events of these.
    pub fn listens(&self) -> &[(String, Form)] {
        &self.listens
    }

    /// The connections whose credentials the flow uses in calls without a connector: `use.secrets`.
    pub fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    /// Every call in the document.
    pub fn calls(&self) -> Vec<CallSite> {
        self.calls.clone()
    }

    /// The events that start the flow; any one of them does.
    pub fn triggers(&self) -> &[EventFilter] {
        &self.starts.events
    }

    /// The clock that starts the flow, beside its events.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.starts.clock.as_ref()
    }

    /// Whether an event starts the flow; `connections` turns a logical connection name into the deployed one. What the
    /// clock makes is for one flow.
    pub fn asks_for(
        &self,
        event: &CloudEvent,
        settings: &Value,
        connections: &dyn Fn(&str) -> String,
    ) -> bool {
        if event.source == CLOCK_SOURCE {
            return self.schedule().is_some() && event.subject.as_deref() == Some(self.name());
        }
        self.triggers().iter().any(|filter| filter.matches(event, settings, connections))
    }

    /// What of an event that starts it is the flow's input: `schedule.read`.
    pub fn read(&self) -> Read {
        self.starts.read
    }

    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.head.concurrency.as_ref()
    }

    /// Whether its runs tell of their lives: `document.metadata.lifecycle`.
    pub fn tells_life(&self) -> bool {
        self.head.lifecycle != metadata::Lifecycle::Nothing
    }

    /// Whether they tell of their tasks' lives too: `lifecycle: tasks`.
    pub fn tells_tasks(&self) -> bool {
        self.head.lifecycle == metadata::Lifecycle::Tasks
    }

    /// The key of the fact that an event tells: `document.metadata.dedup.key`.
    pub fn dedup(&self) -> Option<&Expression> {
        self.head.dedup.as_ref()
    }

    /// The lane that `event` belongs to; `None` if the flow has none or the key is null or false.
    pub fn lane_key(&self, event: &Value, settings: &Value) -> Result<Option<String>, Fault> {
        self.concurrency().map_or(Ok(None), |concurrency| key(&concurrency.key, event, settings))
    }

    /// `None`: the flow does not deduplicate by fact. `Some(None)`: this event tells no fact.
    pub fn fact_key(&self, event: &Value, settings: &Value) -> Result<Option<Option<String>>, Fault> {
        self.dedup().map(|expression| key(expression, event, settings)).transpose()
    }

    /// How the events that start it are gathered, where one run is made for several: `document.metadata.batch`.
    pub fn batch(&self) -> Option<&Batch> {
        self.head.batch.as_ref()
    }

    /// What tells an event's window from others of the flow: `batch.by`; `None` where that is null or false or not there.
    pub fn window_key(&self, event: &Value, settings: &Value) -> Result<Option<String>, Fault> {
        let by = self.batch().and_then(|batch| batch.by.as_ref());
        by.map_or(Ok(None), |by| key(by, event, settings))
    }

    /// What a run sees of what it was started with: of a flow that gathers events, they are always a list.
    pub(crate) fn event_of(&self, given: Arc<Value>) -> Arc<Value> {
        match self.batch() {
            Some(_) if given.get("specversion").is_some() => {
                Arc::new(Value::Array(vec![Arc::unwrap_or_clone(given)]))
            }
            _ => given,
        }
    }

    /// The same as the flow's input.
    pub(crate) fn input_of(&self, event: &Arc<Value>) -> Arc<Value> {
        match (self.batch(), event.as_array()) {
            (Some(_), Some(events)) if self.read() != Read::Envelope => {
                let part = |event: &Value| Arc::unwrap_or_clone(self.read().part(&Arc::new(event.clone())));
                Arc::new(events.iter().map(part).collect())
            }
            _ => self.read().part(event),
        }
    }

    /// The tasks of the flow.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn input(&self) -> Option<&Template> {
        self.input.as_ref()
    }

    pub(crate) fn output(&self) -> Option<&Template> {
        self.output.as_ref()
    }

    pub(crate) fn timeout(&self) -> Option<&Delay> {
        self.timeout.as_ref()
    }

    pub(crate) fn input_schema(&self) -> Option<&Schema> {
        self.schemas.input.as_ref()
    }

    pub(crate) fn output_schema(&self) -> Option<&Schema> {
        self.schemas.output.as_ref()
    }

    pub(crate) fn definition(&self) -> &Value {
        &self.definition
    }
}

/// What the expression of a key or of a trigger sees.
pub(crate) struct KeyScope<'a> {
    pub event: &'a Value,
    pub settings: &'a Value,
}

impl Scope for KeyScope<'_> {
    fn get(&self, variable: &Variable) -> Option<&Value> {
        match variable {
            Variable::Event | Variable::Input => Some(self.event),
            Variable::Settings => Some(self.settings),
            _ => None,
        }
    }
}

/// A key of an event: text as it is, numbers and the like as JSON; null and false are none.
fn key(expression: &Expression, event: &Value, settings: &Value) -> Result<Option<String>, Fault> {
    const LONGEST: usize = 512;
    let key = match expression.evaluate(event, &KeyScope { event, settings })? {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::String(text) => text,
        other => other.to_string(),
    };
    if key.len() > LONGEST {
        return Err(Fault::expression(format!(
            "the key `{}` gives is longer than {LONGEST} bytes",
            expression.text()
        )));
    }
    // One database cannot keep all of them, and nobody sees them.
    if key.chars().any(char::is_control) {
        return Err(Fault::expression(format!(
            "the key `{}` gives has a control character in it: {key:?}",
            expression.text()
        )));
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests;
