//! What expressions of a run see.

use serde_json::{Value, json};
use std::cell::OnceCell;
use std::sync::Arc;

use super::Machine;
use super::frame::{Current, Frame, Owner};
use super::listen::Hearing;
use crate::document::task::{Template, UriPart};
use crate::expression::{Scope, Variable, Whole};
use crate::{Expression, Fault};

/// What an expression sees beyond the state of the run.
#[derive(Clone, Copy, Default)]
pub struct Extra<'a> {
    /// The raw output, for `output.as`; the transformed one, for `export.as`.
    pub output: Option<&'a Arc<Value>>,
    /// The fault that may be caught, by its name.
    pub fault: Option<(&'a str, &'a Value)>,
    /// The event that something was done with.
    pub hearing: Option<&'a Hearing>,
}

struct View<'a> {
    machine: &'a Machine,
    extra: Extra<'a>,
    /// Descriptions are made only for expressions that mention them.
    task: OnceCell<Value>,
    workflow: OnceCell<Value>,
    runtime: OnceCell<Value>,
}

impl Scope for View<'_> {
    fn get(&self, variable: &Variable) -> Option<&Value> {
        let machine = self.machine;
        match variable {
            Variable::Context => Some(&machine.context),
            Variable::Settings => Some(&machine.settings),
            Variable::Event => Some(&machine.event),
            Variable::Input => Some(machine.current().map_or(&*machine.event, |current| &*current.input)),
            Variable::Output => self.extra.output.map(|output| &**output),
            Variable::Step(name) => machine.output_of(name).map(|output| &**output),
            Variable::Task => Some(self.task.get_or_init(|| machine.describe_task(self.extra.output))),
            Variable::Workflow => Some(self.workflow.get_or_init(|| machine.describe_flow())),
            Variable::Runtime => Some(self.runtime.get_or_init(describe_runtime)),
            Variable::Named(name) => self.named(name),
        }
    }
}

impl View<'_> {
    /// A name that a `for` or `catch` around the task gives; the innermost counts.
    fn named(&self, name: &str) -> Option<&Value> {
        if let Some((fault_name, fault)) = self.extra.fault
            && fault_name == name
        {
            return Some(fault);
        }
        if let Some(value) = self.extra.hearing.and_then(|hearing| hearing.named(name)) {
            return Some(value);
        }
        self.machine.around().find_map(|frame| match &frame.owner {
            Owner::For(state) if state.each == name => state.item(),
            Owner::For(state) if state.at == name => Some(&state.index_value),
            Owner::Catch { name: fault_name, fault } if fault_name == name => Some(&**fault),
            Owner::Event(hearing) => hearing.named(name),
            Owner::Item { item, .. } if name == "item" => Some(item),
            Owner::Item { index, .. } if name == "index" => Some(index),
            _ => None,
        })
    }
}

impl Machine {
    pub(super) fn current(&self) -> Option<&Current> {
        self.here.frames.last().and_then(|frame| frame.current.as_ref())
    }

    /// A step's output: of the same scope, else of those around it.
    fn output_of(&self, name: &str) -> Option<&Arc<Value>> {
        self.here.scope.numbers().find_map(|number| self.outputs.get(&number)?.get(name))
    }

    /// The transformed input of the current task.
    pub(super) fn input_of_current(&self) -> Arc<Value> {
        self.current().map_or_else(|| self.event.clone(), |current| current.input.clone())
    }

    /// The frames around what is being done, innermost first: of a branch, then those around its `fork`.
    fn around(&self) -> impl Iterator<Item = &Frame> {
        let strands = std::iter::successors(Some(&self.here), |strand| {
            strand.parent.and_then(|(number, _)| self.others.get(&number))
        });
        strands.flat_map(|strand| strand.frames.iter().rev())
    }

    fn view<'a>(&'a self, extra: Extra<'a>) -> View<'a> {
        View {
            machine: self,
            extra,
            task: OnceCell::new(),
            workflow: OnceCell::new(),
            runtime: OnceCell::new(),
        }
    }

    /// Whether a condition holds.
    pub(super) fn holds(
        &self,
        condition: &Expression,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<bool, Fault> {
        condition.test(input, &self.view(extra))
    }

    /// The value of an expression; one that only names a value shares it.
    pub(super) fn value(
        &self,
        expression: &Expression,
        input: &Arc<Value>,
        extra: Extra<'_>,
    ) -> Result<Arc<Value>, Fault> {
        let shared = match expression.whole() {
            Some(Whole::Input) => Some(input.clone()),
            Some(Whole::Variable(Variable::Step(name))) => self.output_of(name).cloned(),
            Some(Whole::Variable(Variable::Context)) => Some(self.context.clone()),
            Some(Whole::Variable(Variable::Settings)) => Some(self.settings.clone()),
            Some(Whole::Variable(Variable::Event)) => Some(self.event.clone()),
            Some(Whole::Variable(Variable::Input)) => Some(self.input_of_current()),
            Some(Whole::Variable(Variable::Output)) => extra.output.cloned(),
            _ => None,
        };
        match shared {
            Some(value) => Ok(value),
            None => expression.evaluate(input, &self.view(extra)).map(Arc::new),
        }
    }

    /// The value of a template.
    pub(super) fn evaluate(
        &self,
        template: &Template,
        input: &Arc<Value>,
        extra: Extra<'_>,
    ) -> Result<Arc<Value>, Fault> {
        match template {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expression(expression) => self.value(expression, input, extra),
            _ => self.fill(template, input, &self.view(extra)).map(Arc::new),
        }
    }

    fn fill(&self, template: &Template, input: &Value, view: &View<'_>) -> Result<Value, Fault> {
        match template {
            Template::Literal(value) => Ok((**value).clone()),
            Template::Expression(expression) => expression.evaluate(input, view),
            Template::Uri(parts) => address(parts, input).map(Value::String),
            Template::List(items) => items
                .iter()
                .map(|item| self.fill(item, input, view))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Template::Object(fields) => {
                let fields =
                    fields.iter().map(|(name, field)| Ok((name.clone(), self.fill(field, input, view)?)));
                fields.collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }

    /// `$task`, as the specification describes it; within an extension, the task that it extends.
    fn describe_task(&self, output: Option<&Arc<Value>>) -> Value {
        let extended = self.around().zip(self.around().skip(1)).find_map(|(frame, below)| {
            matches!(frame.owner, Owner::Before(_) | Owner::After { .. }).then_some(below)
        });
        let Some(frame) = extended.or(self.here.frames.last()) else { return Value::Null };
        let (Some(task), Some(current)) = (Frame::task(frame), &frame.current) else { return Value::Null };
        let output = if extended.is_some() { None } else { output };
        let definition = self.document.definition().pointer(&task.pointer).unwrap_or(&Value::Null);
        json!({
            "name": task.name,
            "reference": &*task.path,
            "definition": definition,
            // The specification's own example of an extension reads these two here.
            "call": definition.get("call"),
            "with": definition.get("with"),
            "input": &*current.raw_input,
            "output": output.map(|output| &**output),
            "startedAt": describe_time(current.started_at),
        })
    }

    /// `$workflow`, as the specification describes it.
    fn describe_flow(&self) -> Value {
        json!({
            "id": self.run.as_str(),
            "definition": self.document.definition(),
            "input": &*self.event,
            "startedAt": describe_time(self.started_at),
        })
    }
}

/// An address whose fields are filled in (RFC 6570, level 1: only unreserved characters stay as they are).
fn address(parts: &[UriPart], input: &Value) -> Result<String, Fault> {
    let mut text = String::new();
    for part in parts {
        let name = match part {
            UriPart::Text(part) => {
                text.push_str(part);
                continue;
            }
            UriPart::Field(name) => name,
        };
        let value = match input.get(name) {
            Some(Value::String(value)) => value.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            other => {
                let is = if other.is_some_and(|value| !value.is_null()) {
                    "neither text nor a number"
                } else {
                    "not there"
                };
                return Err(Fault::expression(format!(
                    "`{{{name}}}` of the address: `.{name}` of the input is {is}"
                )));
            }
        };
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte))
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    Ok(text)
}

/// `$runtime`. It names no version of ours: a run that an upgrade interrupts must see the same when it is replayed.
fn describe_runtime() -> Value {
    json!({"name": "tributary", "version": "1.0.3", "metadata": {}})
}

fn describe_time(time: jiff::Timestamp) -> Value {
    json!({
        "iso8601": time.to_string(),
        "epoch": {"seconds": time.as_second(), "milliseconds": time.as_millisecond()},
    })
}
