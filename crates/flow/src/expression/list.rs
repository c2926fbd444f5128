//! Functions of lists: order, sums, joins.

use std::cmp::Ordering;

use super::builtins::Builtin;
use super::eval::{One, Run, Stop};
use super::node::Math;
use super::operator::{index, math, to_text};
use super::plain::{text_of, wrong};
use super::value::{Kind, Text, Val, copied};

impl<'v> Run<'_, 'v> {
    pub(super) fn list_function(&self, builtin: Builtin, input: &Val<'v>, args: &[Val<'v>]) -> One<'v> {
        let name = builtin.name();
        match builtin {
            Builtin::AddAll => {
                if matches!(input, Val::Null) {
                    return Ok(Val::Null);
                }
                self.sum(self.children(name, input)?)
            }
            Builtin::AllOf => Ok(Val::Bool(self.children(name, input)?.iter().all(Val::is_true))),
            Builtin::AnyOf => Ok(Val::Bool(self.children(name, input)?.iter().any(Val::is_true))),
            Builtin::First => index(input, &Val::from(0)),
            Builtin::Last => index(input, &Val::from(-1)),
            Builtin::Nth => index(input, &args[0]),
            _ if matches!(input, Val::Null) && builtin == Builtin::Reverse => {
                Ok(Val::list(Vec::new(), self.meter)?)
            }
            _ if matches!(input, Val::Null) && builtin == Builtin::Index => Ok(Val::Null),
            _ => {
                let items = self.items(name, input)?;
                copied(items.len(), self.meter)?;
                self.list_of(builtin, &items, args)
            }
        }
    }

    fn list_of(&self, builtin: Builtin, items: &[Val<'v>], args: &[Val<'v>]) -> One<'v> {
        let made = |items: Vec<Val<'v>>| Ok(Val::list(items, self.meter)?);
        match builtin {
            Builtin::Reverse => made(items.iter().rev().cloned().collect()),
            Builtin::Sort => made(self.sorted(items.to_vec(), |item| item)?),
            Builtin::Unique => {
                let mut unique: Vec<Val<'v>> = Vec::new();
                for item in self.sorted(items.to_vec(), |item| item)? {
                    let same = unique.last().map(|last| last.compare(&item, self.meter)).transpose()?;
                    if same.is_none_or(Ordering::is_ne) {
                        unique.push(item);
                    }
                }
                made(unique)
            }
            Builtin::Min => {
                Ok(self.sorted(items.to_vec(), |item| item)?.into_iter().next().unwrap_or(Val::Null))
            }
            Builtin::Max => Ok(self.sorted(items.to_vec(), |item| item)?.pop().unwrap_or(Val::Null)),
            Builtin::Flatten => {
                let depth = args.first().map_or(Ok(i128::MAX), |depth| self.count(depth))?;
                if depth < 0 {
                    return Err(Stop::error("the depth of `flatten` must not be negative".to_owned()));
                }
                let mut flat = Vec::new();
                self.flatten(items, depth, &mut flat)?;
                made(flat)
            }
            Builtin::Join => self.join(items, &args[0]),
            Builtin::Index | Builtin::RightIndex | Builtin::Indices => {
                let mut places = Vec::new();
                for (place, item) in items.iter().enumerate() {
                    if item.compare(&args[0], self.meter)?.is_eq() {
                        places.push(place);
                    }
                }
                self.chosen(builtin, places)
            }
            Builtin::Transpose => self.transpose(items),
            _ => Err(Stop::error(format!("`{}` needs a string, not an array", builtin.name()))),
        }
    }

    /// Adds up values as `+` does; many texts are joined at once.
    pub fn sum(&self, items: Vec<Val<'v>>) -> One<'v> {
        if !items.is_empty() && items.iter().all(|item| item.as_str().is_some()) {
            return self.join(&items, &Val::Text(Text::Borrowed("")));
        }
        if !items.is_empty() && items.iter().all(|item| item.kind() == Kind::Array) {
            let mut all = Vec::new();
            for item in &items {
                let part = self.items("add", item)?;
                copied(part.len(), self.meter)?;
                all.extend(part.iter().cloned());
            }
            return Ok(Val::list(all, self.meter)?);
        }
        items.into_iter().try_fold(Val::Null, |sum, item| math(Math::Add, sum, item, self.meter))
    }

    /// Sorts by a key, stably, counted; `key` picks the key of an element.
    pub fn sorted<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> &Val<'v>) -> Result<Vec<T>, Stop<'v>> {
        let mut reached = None;
        items.sort_by(|a, b| {
            // Once a limit is reached the order no longer matters: the result is dropped.
            if reached.is_some() {
                return Ordering::Equal;
            }
            key(a).compare(key(b), self.meter).unwrap_or_else(|limit| {
                reached = Some(limit);
                Ordering::Equal
            })
        });
        match reached {
            Some(limit) => Err(limit.into()),
            None => Ok(items),
        }
    }

    fn flatten(&self, items: &[Val<'v>], depth: i128, flat: &mut Vec<Val<'v>>) -> Result<(), Stop<'v>> {
        for item in items {
            self.meter.step(1)?;
            match item.items(self.meter)? {
                Some(inner) if depth > 0 => self.flatten(&inner, depth - 1, flat)?,
                _ => {
                    self.meter.grow(flat.len(), size_of::<Val<'_>>())?;
                    flat.push(item.clone());
                }
            }
        }
        Ok(())
    }

    fn join(&self, items: &[Val<'v>], separator: &Val<'v>) -> One<'v> {
        let separator = text_of("join", separator)?;
        let mut text = String::new();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                text.push_str(separator);
            }
            match item {
                Val::Null => {}
                Val::Text(_) | Val::Bool(_) | Val::Number(_) => text.push_str(&to_text(item, self.meter)?),
                other => return Err(wrong("join", "strings, numbers and booleans", other)),
            }
            self.meter.make(separator.len())?;
        }
        Ok(Val::text(&text, self.meter)?)
    }

    fn transpose(&self, rows: &[Val<'v>]) -> One<'v> {
        let width = rows.iter().filter_map(Val::len).max().unwrap_or(0);
        let mut columns = Vec::new();
        for column in 0..width {
            copied(rows.len(), self.meter)?;
            let cells = rows.iter().map(|row| row.item(column).unwrap_or(Val::Null)).collect();
            columns.push(Val::list(cells, self.meter)?);
        }
        Ok(Val::list(columns, self.meter)?)
    }
}
