//! Timeouts: of the flow, of a task, and of one attempt of a `try`. Each is a wait that runs beside what it bounds.

use jiff::SignedDuration;
use serde_json::Value;
use std::sync::Arc;

use super::drive::Next;
use super::frame::{Frame, Owner};
use super::scope::Extra;
use super::{Effect, EffectRef, Machine, Purpose};
use crate::document::task::Delay;
use crate::{Fault, duration};

impl Frame {
    /// Whether this is the timeout of this frame's task, or of the list itself as an attempt of a `try`.
    pub fn ends_by(&self, at: &EffectRef) -> bool {
        let task = self.current.as_ref().and_then(|current| current.timeout.as_ref());
        self.attempt_ends_by(at) || task == Some(at)
    }

    fn attempt_ends_by(&self, at: &EffectRef) -> bool {
        matches!(&self.owner, Owner::Try(state) if state.timeout.as_ref() == Some(at))
    }
}

impl Machine {
    /// How long a delay is.
    pub(super) fn delay(
        &self,
        delay: &Delay,
        input: &Arc<Value>,
        what: &str,
    ) -> Result<SignedDuration, Fault> {
        match delay {
            Delay::Fixed(duration) => Ok(*duration),
            Delay::Computed(template) => {
                let value = self.evaluate(template, input, Extra::default())?;
                duration::from_value(&value).map_err(|why| Fault::expression(format!("`{what}`: {why}")))
            }
        }
    }

    /// Begins the flow's timeout.
    pub(super) fn begin_timeout(&mut self, delay: &Delay, input: &Arc<Value>) -> Result<EffectRef, Fault> {
        let delay = self.delay(delay, input, "timeout").map_err(|fault| fault.at("/timeout"))?;
        let at = EffectRef { path: "/timeout".to_owned(), visit: 1, generation: 0 };
        self.wait_beside(at.clone(), delay);
        Ok(at)
    }

    /// Asks to be told when the topmost frame's task, or its present attempt, has taken too long.
    pub(super) fn wait_beside_task(&mut self, delay: SignedDuration, purpose: Purpose) -> Option<EffectRef> {
        let at = self.effect_ref(purpose)?;
        self.wait_beside(at.clone(), delay);
        Some(at)
    }

    fn wait_beside(&mut self, at: EffectRef, delay: SignedDuration) {
        let until = self.now.checked_add(delay).unwrap_or(jiff::Timestamp::MAX);
        self.effects.push(Effect::Wait { at, until });
    }

    /// What follows when a timeout has elapsed; nothing if none is known by this reference.
    pub(super) fn expire(&mut self, at: &EffectRef) -> Option<Next> {
        if self.timeout.as_ref() == Some(at) {
            let fault = Fault::timeout("the flow took longer than its timeout allows").at("/timeout");
            return Some(Next::Over(Err(fault)));
        }
        let holds = |frames: &[Frame]| frames.iter().position(|frame| frame.ends_by(at));
        let (number, depth) = match holds(&self.here.frames) {
            Some(depth) => (self.number, depth),
            None => {
                self.others.iter().find_map(|(number, strand)| Some((*number, holds(&strand.frames)?)))?
            }
        };
        self.switch(number);
        let fault = |path: &str, what: &str| {
            Fault::timeout(format!("{what} took longer than its timeout allows")).at(path)
        };
        if self.here.frames[depth].attempt_ends_by(at) {
            let Owner::Try(state) = self.here.frames[depth].owner.clone() else { return None };
            self.cancel_from(depth);
            let task = self.here.frames.last().and_then(Frame::task)?;
            let fault = fault(&task.path, "an attempt of the task");
            return Some(self.caught(fault, state));
        }
        self.cancel_from(depth + 1);
        let task = self.here.frames.last().and_then(Frame::task)?;
        Some(Next::Fault(fault(&task.path, "the task")))
    }
}
