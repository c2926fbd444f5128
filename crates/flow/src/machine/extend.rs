//! Extensions: what is done before and after a task, without a part in its data.
//!
//! The lists of an extension get the task's input (`before`) or raw output (`after`), and see the task as `$task`. What
//! they give is dropped, so that an extension that only tells something changes nothing; a `before` whose list is left
//! by `then: exit` stands for the task, and what it gave is the task's raw output.

use serde_json::Value;
use std::sync::Arc;

use super::Machine;
use super::drive::Next;
use super::frame::{Frame, Owner};
use super::scope::Extra;
use crate::Fault;
use crate::document::task::{Task, Then};

impl Machine {
    /// Goes on with the extensions before the topmost frame's task, from one on; then does what the task does.
    pub(super) fn before(&mut self, task: &Task, from: usize, input: Arc<Value>) -> Result<Next, Fault> {
        for (place, extension) in task.extensions.iter().enumerate().skip(from) {
            let Some(tasks) = &extension.before else { continue };
            if self.extends(extension.when.as_ref(), &input)? {
                self.here.frames.push(Frame::new(tasks.clone(), Owner::Before(place)));
                return Ok(Next::Enter(input));
            }
        }
        self.act(task, input)
    }

    /// Goes on with the extensions after the topmost frame's task, from one on; `None` when there is none left.
    pub(super) fn after(
        &mut self,
        task: &Task,
        from: usize,
        output: &Arc<Value>,
        then: Option<Then>,
    ) -> Result<Option<Next>, Fault> {
        for (place, extension) in task.extensions.iter().enumerate().skip(from) {
            let Some(tasks) = &extension.after else { continue };
            let input = self.input_of_current();
            if self.extends(extension.when.as_ref(), &input)? {
                let owner = Owner::After { extension: place, output: output.clone(), then };
                self.here.frames.push(Frame::new(tasks.clone(), owner));
                return Ok(Some(Next::Enter(output.clone())));
            }
        }
        Ok(None)
    }

    fn extends(&self, when: Option<&crate::Expression>, input: &Arc<Value>) -> Result<bool, Fault> {
        when.map_or(Ok(true), |when| self.holds(when, input, Extra::default()))
    }
}
