//! What a run stands in: a stack of task lists, each with the task that is being done.

use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

use super::listen::Hearing;
use super::stream::Reading;
use crate::EffectRef;
use crate::document::task::{Task, Tasks, Then};

/// A list of tasks that has begun.
#[derive(Clone, Debug)]
pub struct Frame {
    pub tasks: Tasks,
    pub position: usize,
    pub owner: Owner,
    /// The task at `position`, once it is entered.
    pub current: Option<Current>,
}

/// The task that is being done.
#[derive(Clone, Debug)]
pub struct Current {
    pub raw_input: Arc<Value>,
    pub input: Arc<Value>,
    pub started_at: Timestamp,
    pub visit: u32,
    /// Where its record stands.
    pub record: usize,
    /// The timeout that ends it.
    pub timeout: Option<EffectRef>,
}

/// What a list belongs to, and so what happens when it is over.
#[derive(Clone, Debug)]
pub enum Owner {
    /// The document: the run is over.
    Flow,
    /// A `do`: the task is done.
    Do,
    /// A `for`: the next item.
    For(Loop),
    /// A `try`: the task is done; a fault may be caught.
    Try(TryState),
    /// A `catch`: the task is done.
    Catch { name: String, fault: Arc<Value> },
    /// The only task of a `fork`'s branch: the branch is over.
    Branch,
    /// A `listen`: the next event.
    Event(Box<Hearing>),
    /// The call for one item of a `data.map`: so is that.
    Item { item: Value, index: Value },
    /// What an extension does before the task: the next extension, or what the task does.
    Before(usize),
    /// What an extension does after the task gave a raw output (and where it leads): the next extension, or the end.
    After { extension: usize, output: Arc<Value>, then: Option<Then> },
}

#[derive(Clone, Debug)]
pub struct Loop {
    pub each: String,
    pub at: String,
    pub items: Arc<Value>,
    /// Among these items.
    pub index: usize,
    /// Items on the pages before.
    pub base: usize,
    /// The index as expressions see it.
    pub index_value: Value,
    /// The stream of which these items are a page.
    pub reading: Option<Box<Reading>>,
}

impl Loop {
    pub fn item(&self) -> Option<&Value> {
        self.items.get(self.index)
    }

    /// Goes to an item; false if there is none.
    pub fn go(&mut self, index: usize) -> bool {
        self.index = index;
        self.index_value = (self.base + index).into();
        self.item().is_some()
    }
}

/// What a `try` remembers from one beginning to the next.
#[derive(Clone, Debug, Default)]
pub struct TryState {
    /// How many times it has begun again.
    pub retries: u32,
    pub first_fault_at: Option<Timestamp>,
    /// The visits of the tasks inside as they were when it began, so that they keep their visits and get a new
    /// generation.
    pub visits: Vec<u32>,
    /// The timeout that ends the present attempt.
    pub timeout: Option<EffectRef>,
}

impl Frame {
    pub fn new(tasks: Tasks, owner: Owner) -> Self {
        Self { tasks, position: 0, owner, current: None }
    }

    /// Whether this is what a `listen` does with an event.
    pub fn listens_by(&self, at: &EffectRef) -> bool {
        matches!(&self.owner, Owner::Event(hearing) if hearing.at == *at)
    }

    /// The task at the position, if the list is not over.
    pub fn task(&self) -> Option<&Task> {
        self.tasks.get(self.position)
    }
}
