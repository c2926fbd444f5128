//! Goes into values: along paths, over elements, by patterns, and to the arguments of functions.

use serde_json::Value;
use std::rc::Rc;

use super::eval::{Env, Many, One, Run, Stop, Take};
use super::node::{Node, Part, Pattern, Step};
use super::operator;
use super::value::{Kind, Made, Val, float, integer};

impl<'v> Run<'_, 'v> {
    pub(super) fn part(
        &self,
        value: Val<'v>,
        part: &'v Part,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> One<'v> {
        self.meter.step(1)?;
        match &part.step {
            Step::Field(name) => operator::field(&value, name),
            Step::Index(node) => {
                let index = self.one(node, input, env)?;
                operator::index(&value, &index)
            }
            Step::Slice(from, to) => {
                let from = from.as_ref().map(|from| self.one(from, input, env)).transpose()?;
                let to = to.as_ref().map(|to| self.one(to, input, env)).transpose()?;
                operator::slice(&value, from.as_ref(), to.as_ref(), self.meter)
            }
            Step::Each => Err(Stop::error("`.[]` gives several values".to_owned())),
        }
    }

    pub(super) fn path(
        &self,
        value: Val<'v>,
        parts: &'v [Part],
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let Some((part, rest)) = parts.split_first() else { return take(value) };
        if matches!(part.step, Step::Each) {
            let mut next = |value| self.path(value, rest, input, env, take);
            return match self.iterate(&value, &mut next) {
                Some(outcome) => outcome,
                None if part.optional => Ok(()),
                None => Err(Stop::error(format!("cannot iterate over {}", value.preview()))),
            };
        }
        let step = |next: Take<'_, 'v>, found: One<'v>| match found {
            Ok(found) => next(found),
            Err(Stop::Error(_)) if part.optional => Ok(()),
            Err(stop) => Err(stop),
        };
        let mut next = |value| self.path(value, rest, input, env, take);
        match &part.step {
            Step::Index(node) if !node.single => self.each(node, input, env, &mut |index| {
                self.meter.step(1)?;
                step(&mut next, operator::index(&value, &index))
            }),
            _ => step(&mut next, self.part(value, part, input, env)),
        }
    }

    /// Hands on each element or field of a value; `None` if it has none to give.
    pub fn iterate(&self, value: &Val<'v>, take: Take<'_, 'v>) -> Option<Many<'v>> {
        let mut next = |value: Val<'v>| {
            self.meter.step(1)?;
            take(value)
        };
        Some(match value {
            Val::Outside(Value::Array(items)) => items.iter().try_for_each(|item| next(item.into())),
            Val::Outside(Value::Object(fields)) => fields.values().try_for_each(|field| next(field.into())),
            Val::List(items) => items.iter().try_for_each(|item| next(item.clone())),
            Val::Object(fields) => fields.values().try_for_each(|field| next(field.clone())),
            _ => return None,
        })
    }

    /// The values of a pattern's variables, in their order.
    pub(super) fn bind(&self, pattern: &'v Pattern, value: Val<'v>) -> Result<Vec<Val<'v>>, Stop<'v>> {
        let mut values = Vec::with_capacity(1);
        self.take_apart(pattern, value, &mut values)?;
        Ok(values)
    }

    fn take_apart(&self, pattern: &'v Pattern, value: Val<'v>, values: &mut Vec<Val<'v>>) -> Many<'v> {
        self.meter.step(1)?;
        match pattern {
            Pattern::Variable => values.push(value),
            Pattern::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let index = Val::from(i64::try_from(index).unwrap_or(i64::MAX));
                    self.take_apart(item, operator::index(&value, &index)?, values)?;
                }
            }
            Pattern::Object(fields) => {
                for (name, field) in fields {
                    self.take_apart(field, operator::field(&value, name)?, values)?;
                }
            }
        }
        Ok(())
    }

    /// Every combination of the arguments' results.
    pub fn arguments(
        &self,
        args: &'v [Node],
        taken: &mut Vec<Val<'v>>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: &mut dyn FnMut(&[Val<'v>]) -> Many<'v>,
    ) -> Many<'v> {
        let Some((arg, rest)) = args.split_first() else { return take(taken) };
        self.each(arg, input, env, &mut |value| {
            taken.push(value);
            let outcome = self.arguments(rest, taken, input, env, take);
            taken.pop();
            outcome
        })
    }

    /// A whole number that a function needs.
    pub fn count(&self, value: &Val<'v>) -> Result<i128, Stop<'v>> {
        match value {
            Val::Number(number) => Ok(integer(number).unwrap_or_else(|| float(number).ceil() as i128)),
            other => Err(Stop::error(format!("a number is needed, not {}", other.preview()))),
        }
    }

    /// The elements of a list, or an error that names the function.
    pub fn items(&self, of: &str, value: &Val<'v>) -> Result<Rc<Made<Vec<Val<'v>>>>, Stop<'v>> {
        value
            .items(self.meter)?
            .ok_or_else(|| Stop::error(format!("`{of}` needs an array, not {}", value.preview())))
    }

    /// The elements of a list or the fields' values of an object.
    pub fn children(&self, of: &str, value: &Val<'v>) -> Result<Vec<Val<'v>>, Stop<'v>> {
        if !matches!(value.kind(), Kind::Array | Kind::Object) {
            return Err(Stop::error(format!("`{of}` needs an array or object, not {}", value.preview())));
        }
        let mut children = Vec::with_capacity(value.len().unwrap_or(0));
        let collected = self.iterate(value, &mut |child| {
            self.meter.make(size_of::<Val<'_>>())?;
            children.push(child);
            Ok(())
        });
        collected.unwrap_or(Ok(()))?;
        Ok(children)
    }
}
