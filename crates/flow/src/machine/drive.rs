//! Walks a run from one thing to the next, without recursion, until it waits or is over.

use serde_json::Value;
use std::sync::Arc;

use super::frame::{Current, Frame, Loop, Owner, TryState};
use super::scope::Extra;
use super::{
    Effect, EffectRef, MAX_ITEMS, MAX_RECORDED, MAX_STEPS, Machine, Status, StepRecord, StepState, Waiting,
    weigh,
};
use crate::document::task::{Action, Case, Delay, For, Raise, Task, Template, Then};
use crate::{Fault, duration};

/// What happens next.
pub enum Next {
    /// The task at the topmost frame's position begins with this input.
    Enter(Arc<Value>),
    /// The topmost frame's task gave this raw output, and goes on elsewhere than its `then` says if told so.
    Done(Arc<Value>, Option<Then>),
    /// The topmost frame's task failed.
    Fault(Fault),
    /// The topmost frame's list is over.
    ListOver(Arc<Value>),
    /// The `try` that the topmost frame's task is begins again.
    Retry(TryState),
    /// The run is over; a limit ends it here too, where nothing can catch it.
    Over(Result<Arc<Value>, Fault>),
    /// An effect is awaited.
    Wait,
}

impl Machine {
    /// Goes on until an effect is awaited or the run is over.
    pub(super) fn drive(&mut self, mut next: Next) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let (then, effect) = match next {
                Next::Enter(input) => self.enter(input),
                Next::Done(output, then) => (self.done(output, then), None),
                Next::Fault(fault) => self.fault(fault),
                Next::ListOver(output) => (self.list_over(output), None),
                Next::Retry(state) => (self.retry(state), None),
                Next::Over(outcome) => {
                    self.finish(outcome);
                    return effects;
                }
                Next::Wait => return effects,
            };
            effects.extend(effect);
            next = then;
        }
    }

    fn finish(&mut self, outcome: Result<Arc<Value>, Fault>) {
        let document = self.document.clone();
        let outcome = outcome.and_then(|output| {
            self.frames.clear();
            match document.output() {
                Some(template) => {
                    self.evaluate(template, &output, Extra { output: Some(&output), fault: None })
                }
                None => Ok(output),
            }
        });
        self.status = match outcome {
            Ok(output) => Status::Completed(Arc::unwrap_or_clone(output)),
            Err(fault) => Status::Failed(fault),
        };
        self.waiting = None;
        self.frames.clear();
        self.generations.clear();
        self.outputs.clear();
    }

    fn enter(&mut self, input: Arc<Value>) -> (Next, Option<Effect>) {
        let Some(frame) = self.frames.last_mut() else { return (Next::Over(Ok(input)), None) };
        let tasks = frame.tasks.clone();
        let Some(task) = tasks.get(frame.position) else { return (Next::ListOver(input), None) };
        self.entered += 1;
        if self.entered > MAX_STEPS {
            let fault = Fault::runtime(format!(
                "the run entered more than {MAX_STEPS} tasks: it may loop without end"
            ));
            return (Next::Over(Err(fault.at(&task.path))), None);
        }
        if self.visits.len() <= task.index {
            self.visits.resize(task.index + 1, 0);
        }
        self.visits[task.index] += 1;
        let visit = self.visits[task.index];
        let record = self.steps.len();
        self.steps.push(StepRecord {
            at: EffectRef { path: task.path.to_string(), visit, generation: 0 },
            name: task.name.clone(),
            action: task.action.word(),
            call: None,
            state: StepState::Running,
            started_at: self.now,
            ended_at: None,
        });
        frame.current = Some(Current {
            raw_input: input.clone(),
            input: input.clone(),
            started_at: self.now,
            visit,
            record,
        });
        match self.perform(task, input) {
            Ok(outcome) => outcome,
            Err(fault) => (Next::Fault(fault), None),
        }
    }

    /// Does what a task does, as far as it goes.
    fn perform(&mut self, task: &Task, raw_input: Arc<Value>) -> Result<(Next, Option<Effect>), Fault> {
        if let Some(when) = &task.when
            && !self.holds(when, &raw_input, Extra::default())?
        {
            self.note(StepState::Skipped);
            return Ok((self.go(Then::Continue, raw_input), None));
        }
        let input = match &task.input {
            Some(template) => self.evaluate(template, &raw_input, Extra::default())?,
            None => raw_input,
        };
        if let Some(current) = self.frames.last_mut().and_then(|frame| frame.current.as_mut()) {
            current.input = input.clone();
        }
        let next = match &task.action {
            Action::Set(template) => Next::Done(self.evaluate(template, &input, Extra::default())?, None),
            Action::Switch(cases) => self.switch(cases, input)?,
            Action::Raise(raise) => Next::Fault(self.raise(raise, &input)?),
            Action::Do(tasks) => {
                self.frames.push(Frame::new(tasks.clone(), Owner::Do));
                Next::Enter(input)
            }
            Action::Try(attempt) => {
                let visits = if attempt.catch.retry.is_some() { self.visits.clone() } else { Vec::new() };
                let state = TryState { visits, ..TryState::default() };
                self.frames.push(Frame::new(attempt.tasks.clone(), Owner::Try(state)));
                Next::Enter(input)
            }
            Action::For(each) => self.begin_loop(each, input)?,
            Action::Call { operation, with } => return self.call(task, operation, with, &input),
            Action::Wait(delay) => return self.wait(delay, &input),
        };
        Ok((next, None))
    }

    fn switch(&self, cases: &[Case], input: Arc<Value>) -> Result<Next, Fault> {
        for case in cases {
            let holds =
                case.when.as_ref().map_or(Ok(true), |when| self.holds(when, &input, Extra::default()))?;
            if holds {
                return Ok(Next::Done(input, Some(case.then)));
            }
        }
        Ok(Next::Done(input, None))
    }

    fn raise(&self, raise: &Raise, input: &Arc<Value>) -> Result<Fault, Fault> {
        let text = |template: &Template| {
            let value = self.evaluate(template, input, Extra::default())?;
            Ok::<_, Fault>(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let status = self.evaluate(&raise.status, input, Extra::default())?;
        let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
        let status =
            status.ok_or_else(|| Fault::expression("`status` of an error must be a number such as 404"))?;
        let part = |template: &Option<Template>| template.as_ref().map(text).transpose();
        let mut fault = Fault::of(
            text(&raise.r#type)?,
            status,
            part(&raise.title)?.unwrap_or_default(),
            part(&raise.detail)?.unwrap_or_default(),
        );
        fault.instance = part(&raise.instance)?;
        Ok(fault)
    }

    fn call(
        &mut self,
        task: &Task,
        operation: &str,
        with: &Template,
        input: &Arc<Value>,
    ) -> Result<(Next, Option<Effect>), Fault> {
        let with = self.evaluate(with, input, Extra::default())?;
        let Some(at) = self.effect_ref(false) else { return Ok((Next::Wait, None)) };
        if let Some(record) = self.record() {
            record.at = at.clone();
            record.call = Some((operation.to_owned(), with.clone()));
        }
        self.waiting = Some(Waiting::Call(at.clone()));
        let effect = Effect::Call {
            at,
            step: task.name.clone(),
            operation: operation.to_owned(),
            with: Arc::unwrap_or_clone(with),
        };
        Ok((Next::Wait, Some(effect)))
    }

    fn wait(&mut self, delay: &Delay, input: &Arc<Value>) -> Result<(Next, Option<Effect>), Fault> {
        let delay = match delay {
            Delay::Fixed(duration) => *duration,
            Delay::Computed(template) => {
                let value = self.evaluate(template, input, Extra::default())?;
                duration::from_value(&value).map_err(|why| Fault::expression(format!("`wait`: {why}")))?
            }
        };
        let until = self.now.checked_add(delay).unwrap_or(jiff::Timestamp::MAX);
        let Some(at) = self.effect_ref(false) else { return Ok((Next::Wait, None)) };
        if let Some(record) = self.record() {
            record.at = at.clone();
        }
        self.waiting = Some(Waiting::Wait(at.clone()));
        Ok((Next::Wait, Some(Effect::Wait { at, until })))
    }

    fn begin_loop(&mut self, each: &For, input: Arc<Value>) -> Result<Next, Fault> {
        let items = self.value(&each.items, &input, Extra::default())?;
        let Some(count) = items.as_array().map(Vec::len) else {
            let kind = match &*items {
                Value::Null => "null; write `… // []` where there may be nothing",
                Value::Object(_) => "an object; use `to_entries`",
                _ => "a single value",
            };
            return Err(Fault::expression(format!(
                "`for.in` must give a list: `{}` gives {kind}",
                each.items.text()
            )));
        };
        if count > MAX_ITEMS {
            return Err(Fault::runtime(format!("`for` goes over at most {MAX_ITEMS} items, not {count}")));
        }
        if count == 0 {
            return Ok(Next::Done(input, None));
        }
        let state =
            Loop { each: each.each.clone(), at: each.at.clone(), items, index: 0, index_value: 0.into() };
        self.frames.push(Frame::new(each.tasks.clone(), Owner::For(state)));
        self.iterate(each, 0, input)
    }

    /// Begins an iteration of the `for` whose list is on top, if its `while` holds.
    fn iterate(&mut self, each: &For, index: usize, input: Arc<Value>) -> Result<Next, Fault> {
        let more = match self.frames.last_mut() {
            Some(frame) => {
                frame.position = 0;
                frame.current = None;
                match &mut frame.owner {
                    Owner::For(state) => state.go(index),
                    _ => false,
                }
            }
            None => false,
        };
        let goes_on = more
            && match &each.condition {
                Some(condition) => self.holds(condition, &input, Extra::default()).inspect_err(|_| {
                    self.frames.pop();
                })?,
                None => true,
            };
        if goes_on {
            return Ok(Next::Enter(input));
        }
        self.frames.pop();
        Ok(Next::Done(input, None))
    }

    fn done(&mut self, raw: Arc<Value>, elsewhere: Option<Then>) -> Next {
        let Some(frame) = self.frames.last() else { return Next::Over(Ok(raw)) };
        let tasks = frame.tasks.clone();
        let Some(task) = tasks.get(frame.position) else { return Next::ListOver(raw) };
        let output = match &task.output {
            Some(template) => self.evaluate(template, &raw, Extra { output: Some(&raw), fault: None }),
            None => Ok(raw),
        };
        let output = match output {
            Ok(output) => output,
            Err(fault) => return Next::Fault(fault),
        };
        if let Some(template) = &task.export {
            match self.evaluate(template, &output, Extra { output: Some(&output), fault: None }) {
                Ok(context) => self.context = context,
                Err(fault) => return Next::Fault(fault),
            }
        }
        let kept = self.keep(&task.action, &output);
        self.note(StepState::Done(kept));
        self.outputs.insert(task.name.clone(), output.clone());
        self.go(elsewhere.unwrap_or(task.then), output)
    }

    /// The output as the record keeps it, while there is room; tasks of tasks share theirs with what is inside.
    fn keep(&mut self, action: &Action, output: &Arc<Value>) -> Option<Arc<Value>> {
        if matches!(action, Action::Set(_) | Action::Call { .. }) {
            let mut left = (MAX_RECORDED.saturating_sub(self.recorded) as u64).saturating_add(1);
            let room = weigh(output, &mut left).is_ok();
            self.recorded = MAX_RECORDED.saturating_sub(usize::try_from(left.saturating_sub(1)).unwrap_or(0));
            return room.then(|| output.clone());
        }
        (self.recorded < MAX_RECORDED).then(|| output.clone())
    }

    /// Goes on in the topmost frame's list.
    fn go(&mut self, then: Then, output: Arc<Value>) -> Next {
        let Some(frame) = self.frames.last_mut() else { return Next::Over(Ok(output)) };
        frame.current = None;
        match then {
            Then::Continue => frame.position += 1,
            Then::Task(position) => frame.position = position,
            Then::Exit => return Next::ListOver(output),
            Then::End => return Next::Over(Ok(output)),
        }
        Next::Enter(output)
    }

    fn list_over(&mut self, output: Arc<Value>) -> Next {
        let Some(mut frame) = self.frames.pop() else { return Next::Over(Ok(output)) };
        let then = match &frame.owner {
            Owner::Flow => return Next::Over(Ok(output)),
            Owner::Do | Owner::Try(_) => None,
            Owner::Catch { .. } => match self.frames.last().and_then(Frame::task).map(|task| &task.action) {
                Some(Action::Try(attempt)) => attempt.catch.then,
                _ => None,
            },
            Owner::For(state) => {
                let index = state.index + 1;
                let tasks = self.frames.last().map(|frame| (frame.tasks.clone(), frame.position));
                let task = tasks.as_ref().and_then(|(tasks, position)| tasks.get(*position));
                let Some(Action::For(each)) = task.map(|task| &task.action) else {
                    return Next::Done(output, None);
                };
                frame.current = None;
                self.frames.push(frame);
                return self.iterate(each, index, output).unwrap_or_else(Next::Fault);
            }
        };
        Next::Done(output, then)
    }

    /// The topmost frame's task failed: the nearest `try` around it may catch that.
    fn fault(&mut self, fault: Fault) -> (Next, Option<Effect>) {
        let Some(path) = self.frames.last().and_then(Frame::task).map(|task| task.path.clone()) else {
            return (Next::Over(Err(fault)), None);
        };
        let fault = fault.at(&path);
        self.note(StepState::Failed(fault.clone()));
        match self.frames.pop().map(|frame| frame.owner) {
            None | Some(Owner::Flow) => (Next::Over(Err(fault)), None),
            Some(Owner::Try(state)) => self.caught(fault, state),
            Some(Owner::Do | Owner::For(_) | Owner::Catch { .. }) => (Next::Fault(fault), None),
        }
    }

    fn retry(&mut self, state: TryState) -> Next {
        let input = self.input_of_current();
        let Some(frame) = self.frames.last() else { return Next::Over(Ok(input)) };
        let tasks = frame.tasks.clone();
        let Some(Action::Try(attempt)) = tasks.get(frame.position).map(|task| &task.action) else {
            return Next::Done(input, None);
        };
        self.visits.clone_from(&state.visits);
        self.frames.push(Frame::new(attempt.tasks.clone(), Owner::Try(state)));
        Next::Enter(input)
    }

    /// Names the next effect of the topmost frame's task, or the wait before its `try` begins again.
    pub(super) fn effect_ref(&mut self, retry: bool) -> Option<EffectRef> {
        let frame = self.frames.last()?;
        let (task, current) = (frame.task()?, frame.current.as_ref()?);
        let path = if retry { format!("{}/catch/retry", task.path) } else { task.path.to_string() };
        let generations = self.generations.entry((task.index, retry, current.visit)).or_default();
        let generation = *generations;
        *generations += 1;
        Some(EffectRef { path, visit: current.visit, generation })
    }

    fn record(&mut self) -> Option<&mut StepRecord> {
        let record = self.current()?.record;
        self.steps.get_mut(record)
    }

    /// Notes how the topmost frame's task ended.
    fn note(&mut self, state: StepState) {
        let now = self.now;
        if let Some(record) = self.record() {
            record.state = state;
            record.ended_at = Some(now);
        }
    }
}
