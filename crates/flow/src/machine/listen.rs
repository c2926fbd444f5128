//! Listening: a strand waits for events, takes one at a time, and does what is to be done with each before the next.
//!
//! | comes | while it waits | while it does something with an event |
//! |---|---|---|
//! | an event of `until` | counts it; with the last of them the task is over | is not told ([`Machine::listens`]) |
//! | an event of a filter | takes it; the task is over, or waits for the next | is not told |
//! | another event | nothing changes | is not told |

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::drive::Next;
use super::frame::{Frame, Owner};
use super::scope::Extra;
use super::strand::Waiting;
use super::{Effect, EffectRef, MAX_ITEMS, MAX_VALUE, Machine, Purpose, weigh};
use crate::document::task::{
    Action, Correlation, EachEvent, How, Listen, Read, Task, Template, Until, Wanted,
};
use crate::hearing::{Interest, contains, holds, text_of};
use crate::{Fault, event};

/// How far a `listen` has come.
#[derive(Clone, Debug)]
pub struct Hearing {
    pub at: EffectRef,
    /// The list that the task gives.
    heard: Value,
    /// What is left of the size that the list may have, in bytes of JSON, roughly.
    left: u64,
    /// Which filters of an `all` have their event; those of `until` follow.
    met: Vec<bool>,
    /// What the first events gave, by correlation.
    correlations: BTreeMap<String, String>,
    /// The event that something is done with, as it is read.
    pub item: Arc<Value>,
    pub item_name: String,
    pub at_name: String,
    pub index: Value,
}

impl Hearing {
    /// The event that something is done with, or its number, by the names that the task gives them.
    pub fn named(&self, name: &str) -> Option<&Value> {
        if name == self.item_name {
            return Some(&self.item);
        }
        (name == self.at_name).then_some(&self.index)
    }
}

impl Listen {
    /// The filters in the order of their numbers: those of `until` come last.
    fn filters(&self) -> impl Iterator<Item = &Wanted> {
        self.to.filters.iter().chain(self.ending())
    }

    fn ending(&self) -> &[Wanted] {
        match &self.until {
            Some(Until::Heard(strategy)) => &strategy.filters,
            _ => &[],
        }
    }
}

impl Machine {
    /// Begins to listen.
    pub(super) fn listen(&mut self, listen: &Listen, input: &Arc<Value>) -> Result<Next, Fault> {
        let interests =
            listen.filters().map(|wanted| self.interest(wanted, input)).collect::<Result<_, _>>()?;
        let Some(at) = self.effect_ref(Purpose::Task) else { return Ok(Next::Wait) };
        if let Some(record) = self.record() {
            record.at = at.clone();
        }
        let names = listen.each.as_ref().map(|each| (each.item.clone(), each.at.clone())).unwrap_or_default();
        self.here.waiting = Waiting::Events(Box::new(Hearing {
            at: at.clone(),
            heard: Value::Array(Vec::new()),
            left: MAX_VALUE as u64,
            met: vec![false; listen.filters().count()],
            correlations: BTreeMap::new(),
            item: Arc::default(),
            item_name: names.0,
            at_name: names.1,
            index: 0.into(),
        }));
        self.effects.push(Effect::Listen { at, interests });
        Ok(Next::Wait)
    }

    /// What is asked of events for a filter, and what is expected for an answer.
    fn interest(&self, wanted: &Wanted, input: &Arc<Value>) -> Result<Interest, Fault> {
        let asks = wanted.questions().into_iter().map(|(ask, expect)| {
            let expected = match expect {
                Some(template) => self.expected(template, input)?,
                None => true.to_string(),
            };
            Ok((ask, expected))
        });
        Ok(Interest { r#type: wanted.type_or_any().to_owned(), asks: asks.collect::<Result<_, Fault>>()? })
    }

    /// What a correlation or attribute is expected to be. Null is expected of nothing.
    fn expected(&self, template: &Template, input: &Arc<Value>) -> Result<String, Fault> {
        let value = self.evaluate(template, input, Extra::default())?;
        text_of(&value).ok_or_else(|| Fault::expression("`listen`: what is expected of an event is null"))
    }

    /// Whether a `listen` waits for its next event now. It does not while it does something with one.
    pub fn listens(&self, at: &EffectRef) -> bool {
        self.strands().any(|strand| matches!(&strand.waiting, Waiting::Events(hearing) if hearing.at == *at))
    }

    /// Which of its filters a `listen` takes an event by, if it waits for one and takes this; `connection` gives the
    /// deployed name of one of the document's.
    pub fn hears(
        &mut self,
        at: &EffectRef,
        event: &Value,
        connection: &dyn Fn(&str) -> String,
    ) -> Option<usize> {
        let Some(Waiting::Events(hearing)) = self.turn_to(at) else { return None };
        let task = self.here.frames.last().map(|frame| (frame.tasks.clone(), frame.position));
        let found = match task.as_ref().and_then(|(tasks, position)| tasks.get(*position)) {
            Some(Task { action: Action::Listen(listen), .. }) => {
                self.filter(listen, &hearing, event, connection)
            }
            _ => None,
        };
        self.here.waiting = Waiting::Events(hearing);
        found
    }

    /// What ends the task comes before what it gives.
    fn filter(
        &self,
        listen: &Listen,
        hearing: &Hearing,
        event: &Value,
        connection: &dyn Fn(&str) -> String,
    ) -> Option<usize> {
        let first_ending = listen.to.filters.len();
        let ending_once = matches!(&listen.until, Some(Until::Heard(strategy)) if strategy.how == How::All);
        let to_once = listen.to.how == How::All;
        let mut filters: Vec<(usize, &Wanted)> = listen.filters().enumerate().collect();
        filters.rotate_left(first_ending);
        let open = |number: usize| {
            let once = if number < first_ending { to_once } else { ending_once };
            !once || !hearing.met.get(number).copied().unwrap_or(true)
        };
        let taken = filters.into_iter().find(|(number, wanted)| {
            open(*number) && self.takes(wanted, &hearing.correlations, event, connection).unwrap_or(false)
        });
        taken.map(|(number, _)| number)
    }

    /// Whether a filter takes an event. An expression that fails on it does not.
    fn takes(
        &self,
        wanted: &Wanted,
        correlations: &BTreeMap<String, String>,
        event: &Value,
        connection: &dyn Fn(&str) -> String,
    ) -> Result<bool, Fault> {
        let r#type = event["type"].as_str().unwrap_or_default();
        if !event::type_matches(wanted.type_or_any(), r#type) {
            return Ok(false);
        }
        for (name, template) in &wanted.attributes {
            let Some(attribute) = event.get(name) else { return Ok(false) };
            let attribute = Arc::new(attribute.clone());
            let verdict = self.evaluate(template, &attribute, Extra::default())?;
            let takes = match template {
                Template::Expression(_) => holds(&verdict, &attribute),
                Template::Literal(_) if name == "source" => {
                    verdict.as_str().map(connection).as_deref() == attribute.as_str()
                }
                Template::Literal(_) if name != "data" => text_of(&verdict) == text_of(&attribute),
                _ => contains(&attribute, &verdict),
            };
            if !takes {
                return Ok(false);
            }
        }
        let input = self.input_of_current();
        for correlation in &wanted.correlate {
            let Some(answer) = self.answer(correlation, event)? else { return Ok(false) };
            let expected = match &correlation.expect {
                Some(expect) => Some(self.expected(expect, &input)?),
                None => correlations.get(&correlation.name).cloned(),
            };
            if expected.is_some_and(|expected| expected != answer) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn answer(&self, correlation: &Correlation, event: &Value) -> Result<Option<String>, Fault> {
        let event = Arc::new(event.clone());
        Ok(text_of(&*self.value(&correlation.from, &event, Extra::default())?))
    }

    /// Takes an event by a filter.
    pub(super) fn heard(&mut self, mut hearing: Box<Hearing>, number: usize, event: &Value) -> Next {
        let Some((tasks, position)) =
            self.here.frames.last().map(|frame| (frame.tasks.clone(), frame.position))
        else {
            return Next::Over(Ok(Arc::default()));
        };
        let Some(Task { action: Action::Listen(listen), .. }) = tasks.get(position) else {
            return Next::Done(Arc::default(), None);
        };
        if let Some(met) = hearing.met.get_mut(number) {
            *met = true;
        }
        let ending = listen.to.filters.len();
        if number >= ending {
            let over = match &listen.until {
                Some(Until::Heard(strategy)) if strategy.how == How::All => {
                    hearing.met[ending..].iter().all(|met| *met)
                }
                _ => true,
            };
            return if over { Next::Done(Arc::new(hearing.heard), None) } else { self.listen_on(hearing) };
        }
        for correlation in listen.to.filters.get(number).iter().flat_map(|wanted| &wanted.correlate) {
            match self.answer(correlation, event) {
                Ok(Some(answer)) if correlation.expect.is_none() => {
                    hearing.correlations.entry(correlation.name.clone()).or_insert(answer);
                }
                Ok(_) => {}
                Err(fault) => return Next::Fault(fault),
            }
        }
        let item = Arc::new(read(listen.read, event));
        hearing.item = item.clone();
        match &listen.each {
            Some(EachEvent { tasks: Some(tasks), .. }) => {
                self.here.frames.push(Frame::new(tasks.clone(), Owner::Event(hearing)));
                Next::Enter(item)
            }
            Some(_) => self.event_done(listen, hearing, item),
            None => self.keep_event(listen, hearing, &item).unwrap_or_else(Next::Fault),
        }
    }

    fn listen_on(&mut self, hearing: Box<Hearing>) -> Next {
        self.here.waiting = Waiting::Events(hearing);
        Next::Wait
    }

    /// What is to be done with an event is done, and gave `output`. The frame is off by now.
    pub(super) fn event_done(&mut self, listen: &Listen, hearing: Box<Hearing>, output: Arc<Value>) -> Next {
        let Some(each) = &listen.each else { return Next::Done(output, None) };
        self.output_of_event(each, &hearing, output)
            .and_then(|output| self.keep_event(listen, hearing, &output))
            .unwrap_or_else(Next::Fault)
    }

    fn output_of_event(
        &mut self,
        each: &EachEvent,
        hearing: &Hearing,
        raw: Arc<Value>,
    ) -> Result<Arc<Value>, Fault> {
        let schemas = each.schemas.as_deref();
        let extra = |output| Extra { output: Some(output), hearing: Some(hearing), ..Extra::default() };
        let output = match &each.output {
            Some(template) => self.evaluate(template, &raw, extra(&raw))?,
            None => raw,
        };
        if let Some(schema) = schemas.and_then(|schemas| schemas.output.as_ref()) {
            schema.check(&output).map_err(|why| Fault::validation(format!("the event's output: {why}")))?;
        }
        if let Some(template) = &each.export {
            self.context = self.evaluate(template, &output, extra(&output))?;
        }
        if let Some(schema) = schemas.and_then(|schemas| schemas.export.as_ref()) {
            schema
                .check(&self.context)
                .map_err(|why| Fault::validation(format!("what an event exports: {why}")))?;
        }
        Ok(output)
    }

    /// Adds to what the task gives; it is over, or listens on.
    fn keep_event(
        &mut self,
        listen: &Listen,
        mut hearing: Box<Hearing>,
        output: &Arc<Value>,
    ) -> Result<Next, Fault> {
        weigh(output, &mut hearing.left)?;
        let mut count = 0;
        if let Value::Array(heard) = &mut hearing.heard {
            heard.push(Value::clone(output));
            count = heard.len();
        }
        hearing.index = count.into();
        let over = match (&listen.until, listen.to.how) {
            (_, How::All) => hearing.met.iter().all(|met| *met),
            (None, How::Any) => true,
            (Some(Until::When(condition)), How::Any) => {
                self.holds(condition, &hearing.heard, Extra::default())?
            }
            (Some(Until::Heard(_)), How::Any) => false,
        };
        if over {
            return Ok(Next::Done(Arc::new(hearing.heard), None));
        }
        if count >= MAX_ITEMS {
            return Err(Fault::runtime(format!("a `listen` takes at most {MAX_ITEMS} events")));
        }
        Ok(self.listen_on(hearing))
    }
}

/// An event as the task gives it.
fn read(read: Read, event: &Value) -> Value {
    let data = event.get("data").unwrap_or(&Value::Null);
    match (read, data) {
        (Read::Envelope, _) => event.clone(),
        (Read::Data, data) | (Read::Raw, data @ Value::String(_)) => data.clone(),
        (Read::Raw, data) => Value::String(data.to_string()),
    }
}
