//! Streams: lists that are read while a `for` or a `data.map` goes over them, a page at a time.
//!
//! A list that is called with `page: stream` is not asked for there. Its output only names it (`items`: the records;
//! `pages`: lists of them, as the vendor cuts them); a text, so that nothing that wants a list takes it for one. What
//! goes over it asks for a page when the one before is done with:
//!
//! | the page says | then |
//! |---|---|
//! | records | what goes over them goes on |
//! | none, and more | the next page |
//! | none, and no more | it is over |
//! | a cursor that came before | the task fails: the list leads in a circle |
//!
//! Each page is an effect of the task that goes over it (`…/pages`), so that a run that is taken up again sees the
//! pages that it saw before. No more than one page is kept for each task that goes over a stream.

use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::drive::Next;
use super::frame::Loop;
use super::strand::Waiting;
use super::{Effect, Machine, Purpose};
use crate::Fault;
use crate::document::task::{Action, Task};

/// Begins the text that names a stream.
const NAME: &str = "stream:";

/// A list that is read while something goes over it.
#[derive(Clone, Debug)]
pub struct Stream {
    operation: String,
    with: Arc<Value>,
}

/// How far a stream was read by one task.
#[derive(Clone, Debug)]
pub struct Reading {
    stream: Arc<Stream>,
    /// Pages are gone over, not their records.
    whole: bool,
    /// Where the next page begins; none where this one is the last.
    next: Option<String>,
    seen: BTreeSet<String>,
}

/// What waits for the next page of a stream.
#[derive(Clone, Debug)]
pub enum Reader {
    /// A `for`, with the input of its next item.
    Loop { each: String, at: String, base: usize, input: Arc<Value> },
    /// A `data.map`, with the outputs of the items so far.
    Map { outputs: Vec<Option<Arc<Value>>> },
}

impl Reading {
    /// Whether there is a page after the present one.
    pub fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// Takes what a page says: its items, or itself as the one item.
    fn take(&mut self, mut page: Value) -> Result<Arc<Value>, Fault> {
        let operation = &self.stream.operation;
        let fault = |code: &str, title: &str, what: &str| {
            Fault::coded(code, 500, title, format!("{operation}: {what}"))
        };
        let more = page["more"] == true;
        self.next = match &page["next"] {
            Value::String(next) if more => Some(next.clone()),
            _ if more => {
                let what = "there is more, but no cursor leads to it";
                return Err(fault("pages_broken", "Pages broken", what));
            }
            _ => None,
        };
        if let Some(next) = &self.next
            && !self.seen.insert(next.clone())
        {
            let what = format!("the cursor `{next}` came back: the list leads in a circle");
            return Err(fault("pages_loop", "Pages loop", &what));
        }
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if self.whole && items.is_empty() => Ok(Arc::new(items.into())),
            Some(items @ Value::Array(_)) if self.whole => Ok(Arc::new(Value::Array(vec![items]))),
            Some(items @ Value::Array(_)) => Ok(Arc::new(items)),
            _ => {
                let what = "what it answers is no page of a list: it has no `items`";
                Err(fault("answer_unexpected", "Answer unexpected", what))
            }
        }
    }
}

impl Machine {
    /// The output of a call with `page: stream`: the names under which its list can be gone over.
    pub(super) fn open_stream(
        &mut self,
        task: &Task,
        operation: &str,
        with: &Arc<Value>,
    ) -> Option<Arc<Value>> {
        // What is no connector's operation has no pages.
        let listed = operation.contains('.') && !operation.starts_with("run.");
        if with["page"] != "stream" || !listed || operation == crate::approval::OPERATION {
            return None;
        }
        let visit = self.current().map_or(1, |current| current.visit);
        let name = format!("{NAME}{}#{visit}", self.here.scope.path(&task.path));
        let output = serde_json::json!({"items": name, "pages": format!("{name}:pages")});
        self.streams.insert(name, Arc::new(Stream { operation: operation.to_owned(), with: with.clone() }));
        Some(Arc::new(output))
    }

    /// The stream of this run that a value names, not read yet.
    pub(super) fn stream_of(&self, value: &Value) -> Option<Reading> {
        let name = value.as_str().filter(|name| name.starts_with(NAME))?;
        let (name, whole) = name.strip_suffix(":pages").map_or((name, false), |name| (name, true));
        let stream = self.streams.get(name)?.clone();
        Some(Reading { stream, whole, next: None, seen: BTreeSet::new() })
    }

    /// No call takes a stream: it would get its name.
    pub(super) fn without_streams(&self, with: &Value) -> Result<(), Fault> {
        let holds = match with {
            _ if self.streams.is_empty() => false,
            Value::String(_) => self.stream_of(with).is_some(),
            Value::Array(items) => return items.iter().try_for_each(|item| self.without_streams(item)),
            Value::Object(fields) => {
                return fields.values().try_for_each(|field| self.without_streams(field));
            }
            _ => false,
        };
        match holds {
            true => Err(Fault::expression(
                "a list that was called with `page: stream` can only be gone over, by `for` or `data.map`",
            )),
            false => Ok(()),
        }
    }

    /// Asks for the next page of a stream: the first one of a stream that was not read yet.
    pub(super) fn next_page(&mut self, reading: Reading, reader: Reader) -> Next {
        let Some(at) = self.effect_ref(Purpose::Page) else { return Next::Wait };
        let step = self.task_name();
        let Stream { operation, with } = &*reading.stream;
        let (operation, mut with) = (operation.clone(), Value::clone(with));
        with["page"] = "first".into();
        if let Some(cursor) = &reading.next {
            with["cursor"] = cursor.as_str().into();
        }
        self.here.waiting = Waiting::Page(at.clone(), Box::new((reading, reader)));
        self.effects.push(Effect::Call { at, step, operation, with });
        Next::Wait
    }

    /// Goes on with a page that came.
    pub(super) fn page(&mut self, mut reading: Reading, reader: Reader, page: Value) -> Result<Next, Fault> {
        let items = reading.take(page)?;
        let Some(tasks) = self.here.frames.last().map(|frame| frame.tasks.clone()) else {
            return Ok(Next::Wait);
        };
        let position = self.here.frames.last().map_or(0, |frame| frame.position);
        match (reader, tasks.get(position).map(|task| &task.action)) {
            (Reader::Loop { each, at, base, input }, Some(Action::For(task))) => {
                let reading = Some(Box::new(reading));
                let state = Loop { each, at, items, index: 0, index_value: base.into(), base, reading };
                self.go_over(task, state, input)
            }
            (Reader::Map { outputs }, Some(Action::Map(map))) => {
                let map = map.clone();
                self.map_over(&map, items, outputs, Some(Box::new(reading)))
            }
            _ => Ok(Next::Wait),
        }
    }

    fn task_name(&self) -> String {
        let task = self.here.frames.last().and_then(super::Frame::task);
        task.map(|task| task.name.clone()).unwrap_or_default()
    }
}
