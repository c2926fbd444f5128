//! Walks a run from one thing to the next, without recursion, until all its strands wait or it is over.

use serde_json::Value;
use std::sync::Arc;

use super::frame::{Current, Frame, Loop, Owner, TryState};
use super::scope::Extra;
use super::strand::Waiting;
use super::stream::Reader;
use super::{
    Effect, EffectRef, MAX_ITEMS, MAX_RECORDED, MAX_STEPS, Machine, Purpose, Status, StepRecord, StepState,
    TaskChange, weigh,
};
use crate::Fault;
use crate::document::task::{Action, Case, Delay, For, Raise, Task, Template, Then, Try};

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
    /// The strand waits.
    Wait,
}

impl Machine {
    /// Goes on until every strand waits for something or the run is over.
    pub(super) fn drive(&mut self, mut next: Next) -> Vec<Effect> {
        loop {
            next = match next {
                Next::Enter(input) => self.enter(input),
                Next::Done(output, then) => self.done(output, then),
                Next::Fault(fault) => self.fault(fault),
                Next::ListOver(output) => self.list_over(output),
                Next::Retry(state) => self.retry(state),
                Next::Over(outcome) => {
                    self.finish(outcome);
                    return Vec::new();
                }
                Next::Wait => match self.begin_branch() {
                    Some(next) => next,
                    None => break,
                },
            };
        }
        let mut effects = std::mem::take(&mut self.effects);
        // What was asked for and overtaken at once is not asked for.
        if effects.len() > 1 {
            effects.retain(|effect| self.awaits(effect.at()));
        }
        effects
    }

    fn finish(&mut self, outcome: Result<Arc<Value>, Fault>) {
        self.switch(0);
        self.cancel_branches();
        let frames = std::mem::take(&mut self.here.frames);
        self.note_cancelled(&frames);
        self.timeout = None;
        let outcome = outcome.and_then(|output| self.output_of_flow(output));
        self.status = match outcome {
            Ok(output) => Status::Completed(Arc::unwrap_or_clone(output)),
            Err(fault) => Status::Failed(fault),
        };
        self.effects.clear();
        self.ready.clear();
        self.generations.clear();
        self.outputs.clear();
        self.streams.clear();
    }

    fn output_of_flow(&self, output: Arc<Value>) -> Result<Arc<Value>, Fault> {
        let document = &self.document;
        let output = match document.output() {
            Some(template) => {
                self.evaluate(template, &output, Extra { output: Some(&output), ..Extra::default() })?
            }
            None => output,
        };
        if let Some(schema) = document.output_schema() {
            schema
                .check(&output)
                .map_err(|why| Fault::validation(format!("the flow's output: {why}")).at("/output/schema"))?;
        }
        Ok(output)
    }

    fn enter(&mut self, input: Arc<Value>) -> Next {
        let Some(frame) = self.here.frames.last_mut() else { return Next::Over(Ok(input)) };
        let tasks = frame.tasks.clone();
        let Some(task) = tasks.get(frame.position) else { return Next::ListOver(input) };
        self.entered += 1;
        if self.entered > MAX_STEPS {
            let fault = Fault::runtime(format!(
                "the run entered more than {MAX_STEPS} tasks: it may loop without end"
            ));
            return Next::Over(Err(fault.at(&task.path)));
        }
        let visits = self.visits.entry(self.here.scope.number).or_default();
        if visits.len() <= task.index {
            visits.resize(task.index + 1, 0);
        }
        visits[task.index] += 1;
        let visit = visits[task.index];
        let record = self.steps.len();
        self.steps.push(StepRecord {
            at: EffectRef { path: self.here.scope.path(&task.path), visit, generation: 0 },
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
            timeout: None,
        });
        self.perform(task, input).unwrap_or_else(Next::Fault)
    }

    /// What comes before what a task does: its condition, its input, its timeout, its extensions.
    fn perform(&mut self, task: &Task, raw_input: Arc<Value>) -> Result<Next, Fault> {
        if let Some(when) = &task.when
            && !self.holds(when, &raw_input, Extra::default())?
        {
            self.note(StepState::Skipped);
            return Ok(self.go(Then::Continue, raw_input));
        }
        self.changed(TaskChange::Created);
        self.changed(TaskChange::Started);
        if let Some(schema) = task.schemas.as_ref().and_then(|schemas| schemas.input.as_ref()) {
            schema.check(&raw_input).map_err(|why| Fault::validation(format!("the task's input: {why}")))?;
        }
        let input = match &task.input {
            Some(template) => self.evaluate(template, &raw_input, Extra::default())?,
            None => raw_input,
        };
        if let Some(current) = self.here.frames.last_mut().and_then(|frame| frame.current.as_mut()) {
            current.input = input.clone();
        }
        if let Some(delay) = &task.timeout {
            let delay = self.delay(delay, &input, "timeout")?;
            let at = self.wait_beside_task(delay, Purpose::Timeout);
            if let Some(current) = self.here.frames.last_mut().and_then(|frame| frame.current.as_mut()) {
                current.timeout = at;
            }
        }
        self.before(task, 0, input)
    }

    /// Does what a task does, as far as it goes.
    pub(super) fn act(&mut self, task: &Task, input: Arc<Value>) -> Result<Next, Fault> {
        Ok(match &task.action {
            Action::Set(template) => Next::Done(self.evaluate(template, &input, Extra::default())?, None),
            Action::Switch(cases) => self.choose(cases, input)?,
            Action::Raise(raise) => Next::Fault(self.raise(raise, &input)?),
            Action::Do(tasks) => {
                self.here.frames.push(Frame::new(tasks.clone(), Owner::Do));
                Next::Enter(input)
            }
            Action::Function { with, tasks, .. } => {
                let input = self.evaluate(with, &input, Extra::default())?;
                self.here.frames.push(Frame::new(tasks.clone(), Owner::Do));
                Next::Enter(input)
            }
            Action::Try(attempt) => self.attempt(task, attempt, TryState::default(), input),
            Action::For(each) => self.begin_loop(each, input)?,
            Action::Fork(fork) => self.fork(fork, &input),
            Action::Map(map) => self.begin_map(map, &input)?,
            Action::Call { operation, with } => self.call(task, operation, with, &input)?,
            Action::Wait(delay) => self.wait(delay, &input)?,
            Action::Listen(listen) => self.listen(listen, &input)?,
        })
    }

    /// Begins an attempt at the tasks of a `try`: the first, or another one with the visits that they had then.
    fn attempt(&mut self, task: &Task, attempt: &Try, mut state: TryState, input: Arc<Value>) -> Next {
        if let Some(policy) = &attempt.catch.retry {
            let inside = task.index + 1..task.end;
            let visits = self.visits.entry(self.here.scope.number).or_default();
            if visits.len() < task.end {
                visits.resize(task.end, 0);
            }
            if state.retries == 0 {
                state.visits = visits[inside].to_vec();
            } else {
                visits[inside].clone_from_slice(&state.visits);
            }
            state.timeout = policy.attempt.and_then(|delay| self.wait_beside_task(delay, Purpose::Attempt));
        }
        self.here.frames.push(Frame::new(attempt.tasks.clone(), Owner::Try(state)));
        Next::Enter(input)
    }

    fn choose(&self, cases: &[Case], input: Arc<Value>) -> Result<Next, Fault> {
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
    ) -> Result<Next, Fault> {
        let mut with = self.evaluate(with, input, Extra::default())?;
        if operation == "emit" {
            with = Arc::new(self.event_to_emit(task, &with)?);
        }
        self.without_streams(&with)?;
        if let Some(output) = self.open_stream(task, operation, &with) {
            if let Some(record) = self.record() {
                record.call = Some((operation.to_owned(), with));
            }
            return Ok(Next::Done(output, None));
        }
        let Some(at) = self.effect_ref(Purpose::Task) else { return Ok(Next::Wait) };
        if let Some(record) = self.record() {
            record.at = at.clone();
            record.call = Some((operation.to_owned(), with.clone()));
        }
        self.here.waiting = Waiting::Call(at.clone());
        self.effects.push(Effect::Call {
            at,
            step: task.name.clone(),
            operation: operation.to_owned(),
            with: Arc::unwrap_or_clone(with),
        });
        Ok(Next::Wait)
    }

    /// The whole CloudEvent: its id is the same whenever the run is replayed.
    fn event_to_emit(&self, task: &Task, with: &Value) -> Result<Value, Fault> {
        let visit = self.current().map_or(1, |current| current.visit);
        let text = |name: &str| with[name].as_str().filter(|text| !text.is_empty());
        let wrong = |why: &str| Err(Fault::expression(format!("`emit`: {why}")));
        // A connection's name is no URI, so that no flow can emit what looks like a vendor's event.
        let Some(source) = text("source").filter(|source| source.contains(':')) else {
            return wrong("`source` must be a URI such as `https://example.com/billing`");
        };
        let Some(r#type) = text("type") else { return wrong("`type` must be text") };
        // A replayed event is told again by another run, and emits the same events.
        let origin = match (self.event["specversion"].as_str(), &self.event["source"], &self.event["id"]) {
            (Some(_), Value::String(source), Value::String(id)) => {
                format!("{}/{source}/{id}", self.document.name())
            }
            _ => self.run.as_str().to_owned(),
        };
        let path = self.here.scope.path(&task.path);
        let id = text("id").map_or_else(|| format!("{origin}{path}#{visit}"), str::to_owned);
        let mut event = serde_json::Map::new();
        for (name, value) in [("specversion", "1.0"), ("id", &id), ("source", source), ("type", r#type)] {
            event.insert(name.to_owned(), value.into());
        }
        event.insert(
            "time".to_owned(),
            text("time").map_or_else(|| self.now.to_string(), str::to_owned).into(),
        );
        for (name, value) in with.as_object().into_iter().flatten() {
            if !event.contains_key(name) {
                event.insert(name.clone(), value.clone());
            }
        }
        Ok(Value::Object(event))
    }

    fn wait(&mut self, delay: &Delay, input: &Arc<Value>) -> Result<Next, Fault> {
        let delay = self.delay(delay, input, "wait")?;
        let until = self.now.checked_add(delay).unwrap_or(jiff::Timestamp::MAX);
        let Some(at) = self.effect_ref(Purpose::Task) else { return Ok(Next::Wait) };
        if let Some(record) = self.record() {
            record.at = at.clone();
        }
        self.here.waiting = Waiting::Wait(at.clone());
        self.effects.push(Effect::Wait { at, until });
        Ok(Next::Wait)
    }

    fn begin_loop(&mut self, each: &For, input: Arc<Value>) -> Result<Next, Fault> {
        let items = self.value(&each.items, &input, Extra::default())?;
        let (name, at) = (each.each.clone(), each.at.clone());
        if let Some(reading) = self.stream_of(&items) {
            return Ok(self.next_page(reading, Reader::Loop { each: name, at, base: 0, input }));
        }
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
        let index_value = 0.into();
        self.go_over(
            each,
            Loop { each: name, at, items, index: 0, base: 0, index_value, reading: None },
            input,
        )
    }

    /// Begins the first iteration over items of a list, or of a page.
    pub(super) fn go_over(&mut self, each: &For, state: Loop, input: Arc<Value>) -> Result<Next, Fault> {
        self.here.frames.push(Frame::new(each.tasks.clone(), Owner::For(state)));
        self.iterate(each, 0, input)
    }

    /// Begins an iteration of the `for` whose list is on top, if its `while` holds.
    fn iterate(&mut self, each: &For, index: usize, input: Arc<Value>) -> Result<Next, Fault> {
        let more = match self.here.frames.last_mut() {
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
        if !more && let Some(next) = self.page_after(&input) {
            return Ok(next);
        }
        let goes_on = more
            && match &each.condition {
                Some(condition) => self.holds(condition, &input, Extra::default()).inspect_err(|_| {
                    self.here.frames.pop();
                })?,
                None => true,
            };
        if goes_on {
            return Ok(Next::Enter(input));
        }
        self.here.frames.pop();
        Ok(Next::Done(input, None))
    }

    /// What follows on the last item of a page: the next page of the stream that the `for` on top goes over, if any.
    fn page_after(&mut self, input: &Arc<Value>) -> Option<Next> {
        let Owner::For(state) = &mut self.here.frames.last_mut()?.owner else { return None };
        let reading = state.reading.take().filter(|reading| reading.has_more())?;
        let base = state.base + state.items.as_array().map_or(0, Vec::len);
        let (each, at) = (state.each.clone(), state.at.clone());
        self.here.frames.pop();
        Some(self.next_page(*reading, Reader::Loop { each, at, base, input: input.clone() }))
    }

    fn done(&mut self, raw: Arc<Value>, elsewhere: Option<Then>) -> Next {
        let Some(frame) = self.here.frames.last() else { return Next::Over(Ok(raw)) };
        let tasks = frame.tasks.clone();
        let Some(task) = tasks.get(frame.position) else { return Next::ListOver(raw) };
        match self.after(task, 0, &raw, elsewhere) {
            Ok(None) => self.complete(task, raw, elsewhere).unwrap_or_else(Next::Fault),
            Ok(Some(next)) => next,
            Err(fault) => Next::Fault(fault),
        }
    }

    /// Makes a task's raw output its output, and goes on.
    fn complete(&mut self, task: &Task, raw: Arc<Value>, elsewhere: Option<Then>) -> Result<Next, Fault> {
        let schemas = task.schemas.as_deref();
        let output = match &task.output {
            Some(template) => {
                self.evaluate(template, &raw, Extra { output: Some(&raw), ..Extra::default() })?
            }
            None => raw,
        };
        if let Some(schema) = schemas.and_then(|schemas| schemas.output.as_ref()) {
            schema.check(&output).map_err(|why| Fault::validation(format!("the task's output: {why}")))?;
        }
        if let Some(template) = &task.export {
            let extra = Extra { output: Some(&output), ..Extra::default() };
            self.context = self.evaluate(template, &output, extra)?;
        }
        if let Some(schema) = schemas.and_then(|schemas| schemas.export.as_ref()) {
            schema
                .check(&self.context)
                .map_err(|why| Fault::validation(format!("what the task exports: {why}")))?;
        }
        let kept = self.keep(&task.action, &output);
        self.note(StepState::Done(kept));
        let outputs = self.outputs.entry(self.here.scope.number).or_default();
        outputs.insert(task.name.clone(), output.clone());
        Ok(self.go(elsewhere.unwrap_or(task.then), output))
    }

    /// The output as the record keeps it, while there is room; tasks of tasks share theirs with what is inside.
    fn keep(&mut self, action: &Action, output: &Arc<Value>) -> Option<Arc<Value>> {
        if matches!(action, Action::Set(_) | Action::Call { .. } | Action::Listen(_)) {
            let mut left = (MAX_RECORDED.saturating_sub(self.recorded) as u64).saturating_add(1);
            let room = weigh(output, &mut left).is_ok();
            self.recorded = MAX_RECORDED.saturating_sub(usize::try_from(left.saturating_sub(1)).unwrap_or(0));
            return room.then(|| output.clone());
        }
        (self.recorded < MAX_RECORDED).then(|| output.clone())
    }

    /// Goes on in the topmost frame's list.
    fn go(&mut self, then: Then, output: Arc<Value>) -> Next {
        let Some(frame) = self.here.frames.last_mut() else { return Next::Over(Ok(output)) };
        frame.current = None;
        match then {
            Then::Continue => frame.position += 1,
            Then::Task(position) => frame.position = position,
            Then::Exit if matches!(frame.owner, Owner::Before(_)) => {
                // What the extension gave stands for the task.
                self.here.frames.pop();
                return Next::Done(output, None);
            }
            Then::Exit => return Next::ListOver(output),
            Then::End => return Next::Over(Ok(output)),
        }
        Next::Enter(output)
    }

    fn list_over(&mut self, output: Arc<Value>) -> Next {
        let Some(mut frame) = self.here.frames.pop() else { return Next::Over(Ok(output)) };
        let below = self.here.frames.last().map(|frame| (frame.tasks.clone(), frame.position));
        let task = below.as_ref().and_then(|(tasks, position)| tasks.get(*position));
        match (frame.owner, task) {
            (Owner::Flow, _) => Next::Over(Ok(output)),
            (Owner::Branch | Owner::Item { .. }, _) => self.branch_over(output),
            (Owner::Catch { .. }, Some(Task { action: Action::Try(attempt), .. })) => {
                Next::Done(output, attempt.catch.then)
            }
            (Owner::For(state), Some(Task { action: Action::For(each), .. })) => {
                let index = state.index + 1;
                frame.owner = Owner::For(state);
                frame.current = None;
                self.here.frames.push(frame);
                self.iterate(each, index, output).unwrap_or_else(Next::Fault)
            }
            (Owner::Event(hearing), Some(Task { action: Action::Listen(listen), .. })) => {
                self.event_done(listen, hearing, output)
            }
            (Owner::Before(place), Some(task)) => {
                let input = self.input_of_current();
                self.before(task, place + 1, input).unwrap_or_else(Next::Fault)
            }
            (Owner::After { extension, output, then }, Some(task)) => {
                match self.after(task, extension + 1, &output, then) {
                    Ok(None) => self.complete(task, output, then).unwrap_or_else(Next::Fault),
                    Ok(Some(next)) => next,
                    Err(fault) => Next::Fault(fault),
                }
            }
            _ => Next::Done(output, None),
        }
    }

    /// The topmost frame's task failed: the nearest `try` around it may catch that.
    fn fault(&mut self, fault: Fault) -> Next {
        let Some(task) = self.here.frames.last().and_then(Frame::task) else {
            return Next::Over(Err(fault));
        };
        let fault = fault.at(&self.here.scope.path(&task.path));
        self.note(StepState::Failed(fault.clone()));
        match self.here.frames.pop().map(|frame| frame.owner) {
            None | Some(Owner::Flow) => Next::Over(Err(fault)),
            Some(Owner::Try(state)) => self.caught(fault, state),
            Some(Owner::Branch | Owner::Item { .. }) => self.branch_failed(fault),
            Some(
                Owner::Do
                | Owner::For(_)
                | Owner::Catch { .. }
                | Owner::Event(_)
                | Owner::Before(_)
                | Owner::After { .. },
            ) => Next::Fault(fault),
        }
    }

    fn retry(&mut self, state: TryState) -> Next {
        self.changed(TaskChange::Retried);
        let input = self.input_of_current();
        let Some(frame) = self.here.frames.last() else { return Next::Over(Ok(input)) };
        let tasks = frame.tasks.clone();
        match tasks.get(frame.position) {
            Some(task @ Task { action: Action::Try(attempt), .. }) => {
                self.attempt(task, attempt, state, input)
            }
            _ => Next::Done(input, None),
        }
    }

    /// Names the next effect of the topmost frame's task.
    pub(super) fn effect_ref(&mut self, purpose: Purpose) -> Option<EffectRef> {
        let frame = self.here.frames.last()?;
        let (task, current) = (frame.task()?, frame.current.as_ref()?);
        let part = match purpose {
            Purpose::Task => "",
            Purpose::Retry => "/catch/retry",
            Purpose::Timeout => "/timeout",
            Purpose::Attempt => "/catch/retry/limit/attempt",
            Purpose::Page => "/pages",
        };
        let mut path = self.here.scope.path(&task.path);
        path.push_str(part);
        let visit = current.visit;
        let generations = self.generations.entry((path.clone(), visit)).or_default();
        let generation = *generations;
        *generations += 1;
        Some(EffectRef { path, visit, generation })
    }

    pub(super) fn record(&mut self) -> Option<&mut StepRecord> {
        let record = self.current()?.record;
        self.steps.get_mut(record)
    }

    /// Notes how the topmost frame's task ended.
    fn note(&mut self, state: StepState) {
        let now = self.now;
        if let Some(place) = self.current().map(|current| current.record) {
            self.changed_end(place, &state);
        }
        if let Some(record) = self.record() {
            record.state = state;
            record.ended_at = Some(now);
        }
    }
}
