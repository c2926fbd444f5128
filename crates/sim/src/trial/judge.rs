//! Runs a flow's tests and tells where what came of them is not what was expected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connect::{Catalog, Effects};
use flow::{Document, Expression};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answers::Answers;
use super::difference::{Difference, compare, lacking, unexpected};
use super::later::{Later, event_of};
use super::report::{Report, Status, state};
use super::suite::{Begins, Suite, Test, answers};
use super::twins::Accounts;
use super::{Chance, Time, Trial, needed, patient};
use crate::Broken;

/// The clock of a test that names no time.
const NOW: &str = "2026-01-01T00:00:00Z";

/// What came of a test.
#[derive(Debug)]
pub struct Verdict {
    pub name: String,
    pub line: usize,
    /// Empty: it passed.
    pub differences: Vec<Difference>,
}

/// What all tests of a flow share.
pub struct Judge {
    pub catalog: Arc<Catalog>,
    pub document: Arc<Document>,
    pub scripts: Arc<dyn engine::Scripts>,
}

impl Judge {
    /// Runs all tests.
    ///
    /// # Errors
    /// When a trial itself cannot go on.
    pub fn all(&self, suite: &Suite) -> Result<Vec<Verdict>, Broken> {
        suite.tests.iter().map(|test| self.one(test)).collect()
    }

    fn one(&self, test: &Test) -> Result<Verdict, Broken> {
        let differences = match self.tried(test)? {
            Ok((report, expect)) => self.differences(&report, &expect),
            Err(why) => vec![Difference { path: "test".to_owned(), expected: None, found: Some(why.into()) }],
        };
        Ok(Verdict { name: test.name.clone(), line: test.line, differences })
    }

    /// The run of a test and what is expected of it, or why it cannot be run.
    fn tried(&self, test: &Test) -> Result<Result<(Report, Value), String>, Broken> {
        let now = test.now.or_else(|| NOW.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = Time::new(now);
        let accounts = Accounts::new(time.clone(), &self.catalog);
        let mut given = BTreeMap::new();
        if let Some(before) = &test.given {
            let document = Arc::new(before.clone());
            let trial = self.trial(document, json!({}), json!({}), &time, &accounts, None);
            let report = trial.simulated(&time)?;
            if let Status::Failed(fault) = &report.status {
                return Ok(Err(format!("what is `given` failed: {fault}")));
            }
            given.insert("given".to_owned(), json!(report.outputs()));
        }
        let written = match self.read(test, &given, now) {
            Ok(written) => written,
            Err(why) => return Ok(Err(why)),
        };
        let answers = Answers::new(self.catalog.clone(), written.answers, test.twins);
        let answers: Arc<dyn engine::Rehearsal> = Arc::new(answers);
        let document = self.document.clone();
        let trial = self.trial(document, written.settings, written.input, &time, &accounts, Some(answers));
        let trial = Trial { later: written.later, ..trial };
        Ok(Ok((trial.simulated(&time)?, written.expect)))
    }

    fn trial(
        &self,
        document: Arc<Document>,
        settings: Value,
        input: Value,
        time: &Arc<Time>,
        accounts: &Accounts,
        rehearsal: Option<Arc<dyn engine::Rehearsal>>,
    ) -> Trial {
        let connections = needed(&document);
        let connections =
            connections.iter().filter_map(|(name, connector)| accounts.connection(name, connector)).collect();
        Trial {
            catalog: self.catalog.clone(),
            document,
            settings,
            input,
            connections,
            transport: Arc::new(accounts.clone()),
            rehearsal,
            scripts: self.scripts.clone(),
            clock: time.clone(),
            timer: time.clone(),
            chance: Chance::seeded(),
            config: patient(),
            later: Vec::new(),
        }
    }

    fn read(&self, test: &Test, given: &BTreeMap<String, Value>, now: Timestamp) -> Result<Written, String> {
        let chosen = self.document.resolve_settings(&test.settings);
        let settings = chosen.map_err(|wrong| wrong.join("; "))?;
        let input = match &test.begins {
            Begins::Input(input) => filled(input, given)?,
            Begins::Event(event) => self.event(&filled(event, given)?, &settings, now)?,
            Begins::Events(events) => self.events(&filled(events, given)?, &settings, now)?,
        };
        Ok(Written {
            settings,
            input,
            answers: answers(&filled(&test.answers, given)?)?,
            later: later(&filled(&test.then, given)?, now)?,
            expect: filled(&test.expect, given)?,
        })
    }

    /// The event as flows see it, which the flow must listen to.
    fn event(&self, given: &Value, settings: &Value, now: Timestamp) -> Result<Value, String> {
        let event = event_of(given, now)?;
        let same = |name: &str| name.to_owned();
        if !self.document.triggers().iter().any(|filter| filter.matches(&event, settings, &same)) {
            return Err(format!(
                "the flow does not begin with this event of type `{}` from `{}`",
                event.r#type, event.source
            ));
        }
        Ok(event.to_value())
    }

    /// Events that the flow has gathered, each with an id of its own.
    fn events(&self, given: &Value, settings: &Value, now: Timestamp) -> Result<Value, String> {
        let Some(batch) = self.document.batch() else {
            let why = "it begins with one `event`: `document.metadata.batch` would gather several";
            return Err(format!("the flow does not gather events; {why}"));
        };
        let given = given.as_array().map(Vec::as_slice).unwrap_or_default();
        if given.len() > batch.most as usize {
            return Err(format!("{} events are more than the {} of `batch.most`", given.len(), batch.most));
        }
        let numbered = given.iter().enumerate().map(|(index, event)| {
            let mut event = event.clone();
            if let Some(fields) = event.as_object_mut() {
                fields.entry("id").or_insert_with(|| format!("evt_test_{}", index + 1).into());
            }
            self.event(&event, settings, now)
        });
        let events: Vec<Value> = numbered.collect::<Result<_, _>>()?;
        let key =
            |event: &Value| self.document.window_key(event, settings).map_err(|fault| fault.to_string());
        let keys: BTreeSet<Option<String>> = events.iter().map(key).collect::<Result<_, _>>()?;
        match keys.len() {
            0 | 1 => Ok(events.into()),
            _ => Err(format!(
                "`batch.by` gives these events different keys, so they are not gathered together: {keys:?}"
            )),
        }
    }

    fn differences(&self, report: &Report, expect: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        let (status, output, error) = match &report.status {
            Status::Completed(output) => ("completed", Some(output), None),
            Status::Failed(fault) => ("failed", None, Some(fault.to_value())),
            Status::Waiting => ("waiting", None, None),
        };
        let wanted = match (expect.get("status"), expect.get("error")) {
            (Some(status), _) => status.clone(),
            (None, Some(_)) => "failed".into(),
            (None, None) => "completed".into(),
        };
        compare("status", &wanted, &status.into(), false, &mut found);
        for missed in &report.missed {
            found.push(unexpected("then".to_owned(), &missed.as_str().into()));
        }
        // The reason is what whoever reads it wants to know.
        if let Some(error) = error.as_ref().filter(|_| wanted != "failed") {
            found.push(unexpected("error".to_owned(), error));
        }
        if let Some(wanted) = expect.get("output") {
            match output {
                Some(output) => compare("output", wanted, output, false, &mut found),
                None => found.push(lacking("output".to_owned(), wanted)),
            }
        }
        if let (Some(wanted), Some(error)) = (expect.get("error"), &error) {
            compare("error", wanted, error, true, &mut found);
        }
        let writes = |operation: &str| match self.catalog.operation(operation) {
            Some((_, operation)) => operation.effects != Effects::Read,
            None => true,
        };
        for (name, all) in [("calls", true), ("writes", false)] {
            if let Some(wanted) = expect.get(name).and_then(Value::as_array) {
                let calls = report.calls.iter().filter(|call| all || writes(&call.operation));
                let calls: Vec<_> = calls.map(|call| (call.operation.as_str(), &call.with)).collect();
                compare_calls(name, wanted, &calls, &mut found);
            }
        }
        for (name, wanted) in expect.get("steps").and_then(Value::as_object).into_iter().flatten() {
            compare_step(report, name, wanted, &mut found);
        }
        found
    }
}

/// The parts of a test, with nothing left to evaluate.
struct Written {
    settings: Value,
    input: Value,
    answers: Vec<super::answers::Answer>,
    later: Vec<Later>,
    expect: Value,
}

/// What happens later, in order.
fn later(written: &Value, now: Timestamp) -> Result<Vec<Later>, String> {
    let items = written.as_array().into_iter().flatten().enumerate();
    items.map(|(index, item)| Later::read(item, now).map_err(|why| format!("then/{index}: {why}"))).collect()
}

/// Evaluates the whole expressions in a value.
fn filled(value: &Value, given: &BTreeMap<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) if flow::expression::is_expression(text) => {
            let expression =
                Expression::parse(text).map_err(|found| format!("`{text}`: {}", found[0].message))?;
            expression.evaluate(&Value::Null, given).map_err(|fault| fault.detail)?
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, given)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| Ok((name.clone(), filled(field, given)?)));
            Value::Object(fields.collect::<Result<Map<_, _>, String>>()?)
        }
        other => other.clone(),
    })
}

/// Calls in their order: each operation, with the arguments that are given.
fn compare_calls(name: &str, wanted: &[Value], calls: &[(&str, &Value)], found: &mut Vec<Difference>) {
    for index in 0..wanted.len().max(calls.len()) {
        let path = format!("{name}/{index}");
        let call = |(operation, with): &(&str, &Value)| json!({*operation: with});
        match (wanted.get(index), calls.get(index)) {
            (Some(wanted), None) => found.push(lacking(path, wanted)),
            (None, Some(made)) => found.push(unexpected(path, &call(made))),
            (Some(Value::String(operation)), Some((made, _))) => {
                compare(&path, &operation.as_str().into(), &(*made).into(), false, found);
            }
            (Some(wanted), Some(made)) => {
                let named = wanted.as_object().and_then(|fields| fields.iter().next());
                match named {
                    Some((operation, with)) if operation == made.0 => {
                        if !with.is_null() {
                            compare(&format!("{path}/{operation}"), with, made.1, true, found);
                        }
                    }
                    _ => found.push(Difference {
                        path,
                        expected: Some(wanted.clone()),
                        found: Some(call(made)),
                    }),
                }
            }
            (None, None) => {}
        }
    }
}

/// The last visit of a step: its status, or its `status` and `output`.
fn compare_step(report: &Report, name: &str, wanted: &Value, found: &mut Vec<Difference>) {
    let path = format!("steps/{name}");
    let Some(step) = report.steps.iter().rev().find(|step| step.name == name) else {
        return found.push(lacking(path, wanted));
    };
    if let Value::String(_) = wanted {
        return compare(&path, wanted, &state(step).into(), false, found);
    }
    let output = report.outputs().remove(name).unwrap_or_default();
    compare(&path, wanted, &json!({"status": state(step), "output": output}), true, found);
}
