//! A flow document: immutable, checked, its expressions compiled.

use indexmap::IndexMap;
use serde_json::Value;

use crate::{CloudEvent, Diagnostic, EventFilter, Expression, Fault};

/// A flow, as written and understood.
#[derive(Clone, Debug)]
pub struct Document {
    text: String,
    name: String,
    namespace: String,
    version: String,
    title: Option<String>,
    summary: Option<String>,
    settings: IndexMap<String, Setting>,
    triggers: Vec<EventFilter>,
    calls: Vec<CallSite>,
    concurrency: Option<Concurrency>,
    dedup: Option<Expression>,
    metadata: Value,
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
}

impl Document {
    /// Reads, checks and compiles a document; everything that is wrong comes back at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let node = crate::yaml::parse(file, text)?;
        let name =
            node.get("document").and_then(|document| document.get("name")).and_then(|name| name.as_str());
        Ok(Self {
            text: text.to_owned(),
            name: name.unwrap_or_default().to_owned(),
            namespace: String::new(),
            version: String::new(),
            title: None,
            summary: None,
            settings: IndexMap::new(),
            triggers: Vec::new(),
            calls: Vec::new(),
            concurrency: None,
            dedup: None,
            metadata: Value::Null,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `document.metadata` as written.
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// What whoever installs the flow chooses: `document.metadata.settings`.
    pub fn settings(&self) -> &IndexMap<String, Setting> {
        &self.settings
    }

    /// The connections that the flow needs, by logical name: each literal `with.connection` and trigger `source`.
    pub fn connections(&self) -> Vec<String> {
        Vec::new()
    }

    /// Every call in the document.
    pub fn calls(&self) -> Vec<CallSite> {
        self.calls.clone()
    }

    /// The events that start the flow; any one of them does.
    pub fn triggers(&self) -> &[EventFilter] {
        &self.triggers
    }

    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.concurrency.as_ref()
    }

    /// The key of the fact that an event tells: `document.metadata.dedup.key`.
    pub fn dedup(&self) -> Option<&Expression> {
        self.dedup.as_ref()
    }

    /// The lane that `event` belongs to; `None` if the flow has none or the key is null or false.
    pub fn lane_key(&self, _event: &CloudEvent, _settings: &Value) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    /// `None`: the flow does not deduplicate by fact. `Some(None)`: this event tells no fact.
    pub fn fact_key(&self, _event: &CloudEvent, _settings: &Value) -> Result<Option<Option<String>>, Fault> {
        Ok(None)
    }
}
