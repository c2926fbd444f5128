//! Strands: what of a run goes on by itself. The run is one, and each branch of a `fork`, each call of a `data.map`
//! while it lasts.
//!
//! Only one strand is driven at a time, so that what it asks for has an order; the others wait. Branches begin in the
//! order of the document, and go on in the order in which the results come.

use serde_json::{Value, json};
use std::sync::Arc;

use super::drive::Next;
use super::frame::{Frame, Owner, TryState};
use super::listen::Hearing;
use super::scope::Extra;
use super::stream::{Reader, Reading};
use super::{EffectRef, MAX_ITEMS, Machine, StepState};
use crate::Fault;
use crate::document::task::{Action, Fork, Map};

/// A stack of task lists, and what it waits for.
#[derive(Clone, Debug)]
pub struct Strand {
    pub frames: Vec<Frame>,
    /// The strand whose topmost task is the `fork`, and which of its branches this is.
    pub parent: Option<(u32, usize)>,
    pub waiting: Waiting,
    pub scope: Scope,
}

/// What of a document several strands do at the same time, each for itself: its tasks are visited and named apart.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The strand that does it; 0 is the run.
    pub number: u32,
    /// What tells its tasks apart: the length of a path, and what is inserted there, outermost first.
    inserted: Vec<(usize, String)>,
    /// The scopes around it, outermost first.
    outer: Vec<u32>,
}

impl Scope {
    /// The scope, and those around it, innermost first.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.number).chain(self.outer.iter().rev().copied())
    }

    /// A scope for one of several things that this one does at the same time.
    fn inner(&self, number: u32, length: usize, text: String) -> Self {
        let mut inner = Self { number, ..self.clone() };
        inner.inserted.push((length, text));
        inner.outer.push(self.number);
        inner
    }

    /// The path of a task in this scope.
    pub fn path(&self, path: &str) -> String {
        let mut named = String::with_capacity(path.len() + 16);
        let mut from = 0;
        for (until, text) in &self.inserted {
            named.push_str(path.get(from..*until).unwrap_or_default());
            named.push_str(text);
            from = *until;
        }
        named.push_str(path.get(from..).unwrap_or_default());
        named
    }
}

/// What a strand waits for.
#[derive(Clone, Debug)]
pub enum Waiting {
    Nothing,
    Call(EffectRef),
    Wait(EffectRef),
    /// The next page of a stream.
    Page(EffectRef, Box<(Reading, Reader)>),
    /// Its next event.
    Events(Box<Hearing>),
    /// The `try` of the topmost frame's task begins again.
    Retry(EffectRef, TryState),
    /// The branch begins with this input.
    Begin(Arc<Value>),
    /// The outputs of the branches of the topmost frame's `fork` that are over.
    Branches(Vec<Option<Arc<Value>>>),
    /// The same for the calls of its `data.map`, and the items for which none has begun, from one on.
    Items {
        items: Arc<Value>,
        /// Items on the pages before.
        base: usize,
        next: usize,
        /// The stream of which these items are a page.
        reading: Option<Box<Reading>>,
        outputs: Vec<Option<Arc<Value>>>,
    },
}

impl Strand {
    pub fn new(parent: Option<(u32, usize)>) -> Self {
        Self { frames: Vec::new(), parent, waiting: Waiting::Nothing, scope: Scope::default() }
    }

    /// The effect that it waits for, timeouts apart.
    fn effect(&self) -> Option<&EffectRef> {
        match &self.waiting {
            Waiting::Call(at) | Waiting::Wait(at) | Waiting::Retry(at, _) | Waiting::Page(at, _) => Some(at),
            Waiting::Events(hearing) => Some(&hearing.at),
            Waiting::Nothing | Waiting::Begin(_) | Waiting::Branches(_) | Waiting::Items { .. } => None,
        }
    }
}

impl Machine {
    /// Whether an effect that was asked for is still awaited. What was overtaken by a timeout, by another branch or by
    /// the end of the run is not.
    pub fn awaits(&self, at: &EffectRef) -> bool {
        self.timeout.as_ref() == Some(at)
            || self.strands().any(|strand| {
                strand.effect() == Some(at)
                    || strand.frames.iter().any(|frame| frame.ends_by(at) || frame.listens_by(at))
            })
    }

    pub(super) fn strands(&self) -> impl Iterator<Item = &Strand> {
        std::iter::once(&self.here).chain(self.others.values())
    }

    /// Makes the strand that waits for an effect the present one, and takes what it waits for.
    pub(super) fn turn_to(&mut self, at: &EffectRef) -> Option<Waiting> {
        if self.here.effect() != Some(at) {
            let number = self
                .others
                .iter()
                .find(|(_, strand)| strand.effect() == Some(at))
                .map(|(number, _)| *number)?;
            self.switch(number);
        }
        Some(std::mem::replace(&mut self.here.waiting, Waiting::Nothing))
    }

    /// Makes a strand the present one; false if there is none of that number.
    pub(super) fn switch(&mut self, number: u32) -> bool {
        if number == self.number {
            return true;
        }
        let Some(strand) = self.others.remove(&number) else { return false };
        let before = std::mem::replace(&mut self.here, strand);
        self.others.insert(self.number, before);
        self.number = number;
        true
    }

    /// Begins the branches of the `fork` that the topmost frame's task is.
    pub(super) fn fork(&mut self, fork: &Fork, input: &Arc<Value>) -> Next {
        for (place, branch) in fork.branches.iter().enumerate() {
            let mut strand = Strand::new(Some((self.number, place)));
            strand.scope = self.here.scope.clone();
            strand.frames.push(Frame::new(branch.clone(), Owner::Branch));
            strand.waiting = Waiting::Begin(input.clone());
            self.others.insert(self.strands, strand);
            self.ready.push_back(self.strands);
            self.strands += 1;
        }
        self.here.waiting = Waiting::Branches(vec![None; fork.branches.len()]);
        Next::Wait
    }

    /// Goes to the next branch that has not begun.
    pub(super) fn begin_branch(&mut self) -> Option<Next> {
        loop {
            let number = self.ready.pop_front()?;
            // One that was overtaken before it began is not there any more.
            if self.switch(number)
                && let Waiting::Begin(input) = std::mem::replace(&mut self.here.waiting, Waiting::Nothing)
            {
                return Some(Next::Enter(input));
            }
        }
    }

    /// The present strand, a branch, is over: so is the `fork` if it was the last one, or the first to compete.
    pub(super) fn branch_over(&mut self, output: Arc<Value>) -> Next {
        let Some(place) = self.leave_branch() else { return Next::Over(Ok(output)) };
        if let Some(map) = self.map() {
            let output = if map.keep { Arc::new(json!({"output": &*output})) } else { output };
            return self.item_over(place, output);
        }
        let compete = self
            .here
            .frames
            .last()
            .and_then(Frame::task)
            .is_some_and(|task| matches!(&task.action, Action::Fork(fork) if fork.compete));
        if compete {
            self.cancel_branches();
            return Next::Done(output, None);
        }
        let Waiting::Branches(outputs) = &mut self.here.waiting else { return Next::Wait };
        outputs[place] = Some(output);
        if outputs.iter().any(Option::is_none) {
            return Next::Wait;
        }
        let outputs = outputs.drain(..).flatten().map(Arc::unwrap_or_clone).collect();
        self.here.waiting = Waiting::Nothing;
        Next::Done(Arc::new(Value::Array(outputs)), None)
    }

    /// The present strand, a branch, failed: the others are ended and the `fork` fails.
    pub(super) fn branch_failed(&mut self, fault: Fault) -> Next {
        let Some(place) = self.leave_branch() else { return Next::Over(Err(fault)) };
        if self.map().is_some_and(|map| map.keep) {
            return self.item_over(place, Arc::new(json!({"error": fault.to_value()})));
        }
        self.cancel_branches();
        Next::Fault(fault)
    }

    /// The `data.map` that the topmost frame's task is.
    fn map(&self) -> Option<Arc<Map>> {
        match &self.here.frames.last().and_then(Frame::task)?.action {
            Action::Map(map) => Some(map.clone()),
            _ => None,
        }
    }

    /// Begins the calls of the `data.map` that the topmost frame's task is: as many as may go on at once.
    pub(super) fn begin_map(&mut self, map: &Map, input: &Arc<Value>) -> Result<Next, Fault> {
        let items = self.value(&map.items, input, Extra::default())?;
        if let Some(reading) = self.stream_of(&items) {
            return Ok(self.next_page(reading, Reader::Map { outputs: Vec::new() }));
        }
        self.map_over(map, items, Vec::new(), None)
    }

    /// Begins the calls for items of a list, or of a page, as many as may go on at once.
    pub(super) fn map_over(
        &mut self,
        map: &Map,
        items: Arc<Value>,
        mut outputs: Vec<Option<Arc<Value>>>,
        reading: Option<Box<Reading>>,
    ) -> Result<Next, Fault> {
        let Some(here) = items.as_array().map(Vec::len) else {
            let text = map.items.text();
            return Err(Fault::expression(format!(
                "`items` must give a list; `{text}` does not (write `… // []` where there may be nothing)"
            )));
        };
        let base = outputs.len();
        let count = base + here;
        if count > MAX_ITEMS {
            let found =
                if reading.is_some() { "the stream has more".to_owned() } else { format!("not {count}") };
            let message = format!("`data.map` goes over at most {MAX_ITEMS} items, {found}");
            return Err(Fault::runtime(message));
        }
        if here == 0 {
            return Ok(self.page_over(outputs, reading));
        }
        outputs.resize(count, None);
        self.here.waiting = Waiting::Items { items, base, next: base, reading, outputs };
        for _ in 0..map.concurrency {
            self.begin_item(map);
        }
        Ok(Next::Wait)
    }

    /// Makes a strand for the next item of the present strand's `data.map`, if there is one left.
    fn begin_item(&mut self, map: &Map) {
        let visit = self.current().map_or(1, |current| current.visit);
        let Some(path) = self.here.frames.last().and_then(Frame::task).map(|task| task.path.clone()) else {
            return;
        };
        let Waiting::Items { items, base, next, .. } = &mut self.here.waiting else { return };
        let place = *next;
        let Some(item) = items.get(place - *base).cloned() else { return };
        *next += 1;
        let mut strand = Strand::new(Some((self.number, place)));
        strand.scope = self.here.scope.inner(self.strands, path.len(), format!("/items/{visit}/{place}"));
        strand.waiting = Waiting::Begin(Arc::new(item.clone()));
        let owner = Owner::Item { item, index: place.into() };
        strand.frames.push(Frame::new(map.tasks.clone(), owner));
        self.others.insert(self.strands, strand);
        self.ready.push_back(self.strands);
        self.strands += 1;
    }

    /// The call for one item of the present strand's `data.map` is over.
    fn item_over(&mut self, place: usize, output: Arc<Value>) -> Next {
        let Waiting::Items { outputs, .. } = &mut self.here.waiting else { return Next::Wait };
        outputs[place] = Some(output);
        if outputs.iter().any(Option::is_none) {
            if let Some(map) = self.map() {
                self.begin_item(&map);
            }
            return Next::Wait;
        }
        let Waiting::Items { outputs, reading, .. } =
            std::mem::replace(&mut self.here.waiting, Waiting::Nothing)
        else {
            return Next::Wait;
        };
        self.page_over(outputs, reading)
    }

    /// All items of a list, or of a page, are over.
    fn page_over(&mut self, outputs: Vec<Option<Arc<Value>>>, reading: Option<Box<Reading>>) -> Next {
        if let Some(reading) = reading.filter(|reading| reading.has_more()) {
            return self.next_page(*reading, Reader::Map { outputs });
        }
        let outputs = outputs.into_iter().flatten().map(Arc::unwrap_or_clone).collect();
        Next::Done(Arc::new(Value::Array(outputs)), None)
    }

    /// Drops the present strand and goes to the one whose branch it is: which of them.
    fn leave_branch(&mut self) -> Option<usize> {
        let (parent, place) = self.here.parent?;
        let number = self.number;
        if !self.switch(parent) {
            return None;
        }
        self.others.remove(&number);
        self.forget(number);
        Some(place)
    }

    /// Forgets what was done in the scope of a strand, if it had one.
    fn forget(&mut self, number: u32) {
        self.visits.remove(&number);
        self.outputs.remove(&number);
    }

    /// Ends all branches below the present strand.
    pub(super) fn cancel_branches(&mut self) {
        self.here.waiting = Waiting::Nothing;
        let mut above = vec![self.number];
        while let Some(parent) = above.pop() {
            let below: Vec<u32> = self
                .others
                .iter()
                .filter(|(_, strand)| strand.parent.is_some_and(|(number, _)| number == parent))
                .map(|(number, _)| *number)
                .collect();
            for number in below {
                if let Some(strand) = self.others.remove(&number) {
                    self.note_cancelled(&strand.frames);
                }
                self.forget(number);
                above.push(number);
            }
        }
    }

    /// Ends all that is inside the present strand's frames from a depth on.
    pub(super) fn cancel_from(&mut self, depth: usize) {
        self.cancel_branches();
        let frames = self.here.frames.split_off(depth);
        self.note_cancelled(&frames);
    }

    /// Notes the tasks that were being done, the innermost first.
    pub(super) fn note_cancelled(&mut self, frames: &[Frame]) {
        for current in frames.iter().rev().filter_map(|frame| frame.current.as_ref()) {
            self.changed_end(current.record, &StepState::Cancelled);
            if let Some(record) = self.steps.get_mut(current.record) {
                record.state = StepState::Cancelled;
                record.ended_at = Some(self.now);
            }
        }
    }
}
