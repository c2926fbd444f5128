//! Strands: what of a run goes on by itself. The run is one, and each branch of a `fork` while it lasts.
//!
//! Only one strand is driven at a time, so that what it asks for has an order; the others wait. Branches begin in the
//! order of the document, and go on in the order in which the results come.

use serde_json::Value;
use std::sync::Arc;

use super::drive::Next;
use super::frame::{Frame, Owner, TryState};
use super::listen::Hearing;
use super::{EffectRef, Machine, StepState};
use crate::Fault;
use crate::document::task::{Action, Fork};

/// A stack of task lists, and what it waits for.
#[derive(Clone, Debug)]
pub struct Strand {
    pub frames: Vec<Frame>,
    /// The strand whose topmost task is the `fork`, and which of its branches this is.
    pub parent: Option<(u32, usize)>,
    pub waiting: Waiting,
}

/// What a strand waits for.
#[derive(Clone, Debug)]
pub enum Waiting {
    Nothing,
    Call(EffectRef),
    Wait(EffectRef),
    /// Its next event.
    Events(Box<Hearing>),
    /// The `try` of the topmost frame's task begins again.
    Retry(EffectRef, TryState),
    /// The branch begins with this input.
    Begin(Arc<Value>),
    /// The outputs of the branches of the topmost frame's `fork` that are over.
    Branches(Vec<Option<Arc<Value>>>),
}

impl Strand {
    pub fn new(parent: Option<(u32, usize)>) -> Self {
        Self { frames: Vec::new(), parent, waiting: Waiting::Nothing }
    }

    /// The effect that it waits for, timeouts apart.
    fn effect(&self) -> Option<&EffectRef> {
        match &self.waiting {
            Waiting::Call(at) | Waiting::Wait(at) | Waiting::Retry(at, _) => Some(at),
            Waiting::Events(hearing) => Some(&hearing.at),
            Waiting::Nothing | Waiting::Begin(_) | Waiting::Branches(_) => None,
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
        if self.leave_branch().is_none() {
            return Next::Over(Err(fault));
        }
        self.cancel_branches();
        Next::Fault(fault)
    }

    /// Drops the present strand and goes to the one whose branch it is: which of them.
    fn leave_branch(&mut self) -> Option<usize> {
        let (parent, place) = self.here.parent?;
        let number = self.number;
        if !self.switch(parent) {
            return None;
        }
        self.others.remove(&number);
        Some(place)
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

    /// Notes the tasks that were being done.
    pub(super) fn note_cancelled(&mut self, frames: &[Frame]) {
        for current in frames.iter().filter_map(|frame| frame.current.as_ref()) {
            if let Some(record) = self.steps.get_mut(current.record) {
                record.state = StepState::Cancelled;
                record.ended_at = Some(self.now);
            }
        }
    }
}
