//! Functions of terms: those that apply a term to each element, and those that give any number of results.

use std::cmp::Ordering;
use std::sync::Arc;

use super::builtins::Builtin;
use super::eval::{Env, Many, One, Run, Stop, Take};
use super::meter::MAX_RANGE;
use super::node::{Node, Part, Step, Term};
use super::operator;
use super::plain::text_of;
use super::value::{Fields, Kind, Text, Val, copied, float};
use crate::pattern::{Caught, Pattern};

impl<'v> Run<'_, 'v> {
    /// Calls a function of terms that gives one value.
    pub fn closure(
        &self,
        builtin: Builtin,
        args: &'v [Node],
        regex: Option<&Arc<Pattern>>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> One<'v> {
        let name = builtin.name();
        match builtin {
            Builtin::AddEach => self.sum(self.collect(&args[0], input, env)?),
            Builtin::AnyEach => self.decide(args, input, env, true),
            Builtin::AllEach => self.decide(args, input, env, false),
            Builtin::IsEmpty => {
                let mut empty = true;
                self.until_enough(|enough| {
                    self.each(&args[0], input, env, &mut |_| {
                        empty = false;
                        Err(enough())
                    })
                })?;
                Ok(Val::Bool(empty))
            }
            Builtin::Map => {
                let mut mapped = Vec::new();
                for child in self.children(name, input)? {
                    mapped.extend(self.collect(&args[0], &child, env)?);
                }
                Ok(Val::list(mapped, self.meter)?)
            }
            Builtin::MapValues => self.map_values(&args[0], input, env),
            Builtin::WithEntries => {
                let entries = self.plain(Builtin::ToEntries, input, &[], None)?;
                let mut mapped = Vec::new();
                for entry in self.items(name, &entries)?.iter() {
                    mapped.extend(self.collect(&args[0], entry, env)?);
                }
                self.of_entries(&Val::list(mapped, self.meter)?)
            }
            Builtin::SortBy | Builtin::GroupBy | Builtin::UniqueBy | Builtin::MinBy | Builtin::MaxBy => {
                self.by_key(builtin, &args[0], input, env)
            }
            Builtin::Sub | Builtin::Gsub => self.substitute(builtin, args, regex, input, env),
            Builtin::Del => {
                let mut paths = Vec::new();
                self.places_of(&args[0], input, env, &mut paths)?;
                // From the last to the first, so that indices of a list stay true.
                let paths = self.sorted(paths, |path| path)?;
                paths.iter().rev().try_fold(input.clone(), |value, path| {
                    let path = self.items(name, path)?;
                    self.without(&value, &path)
                })
            }
            _ => Err(Stop::error(format!("`{name}` gives several values"))),
        }
    }

    /// Calls a function that gives any number of values.
    pub fn generator(
        &self,
        builtin: Builtin,
        args: &'v [Node],
        regex: Option<&Arc<Pattern>>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let kind = input.kind();
        let selected = match builtin {
            Builtin::Empty => false,
            Builtin::SelectArrays => kind == Kind::Array,
            Builtin::SelectBooleans => kind == Kind::Boolean,
            Builtin::SelectIterables => kind >= Kind::Array,
            Builtin::SelectNulls => kind == Kind::Null,
            Builtin::SelectNumbers => kind == Kind::Number,
            Builtin::SelectObjects => kind == Kind::Object,
            Builtin::SelectScalars => kind < Kind::Array,
            Builtin::SelectStrings => kind == Kind::String,
            Builtin::SelectValues => kind != Kind::Null,
            Builtin::Select => {
                return self.each(&args[0], input, env, &mut |when| {
                    if when.is_true() { take(input.clone()) } else { Ok(()) }
                });
            }
            Builtin::Range => {
                return self.arguments(args, &mut Vec::new(), input, env, &mut |args| self.range(args, take));
            }
            Builtin::FirstEach => {
                return self.until_enough(|enough| {
                    self.each(&args[0], input, env, &mut |value| {
                        take(value)?;
                        Err(enough())
                    })
                });
            }
            Builtin::LastEach => {
                let mut last = None;
                self.each(&args[0], input, env, &mut |value| {
                    last = Some(value);
                    Ok(())
                })?;
                return last.map_or(Ok(()), take);
            }
            Builtin::Limit | Builtin::Skip => {
                return self.each(&args[0], input, env, &mut |count| {
                    let count = self.count(&count)?;
                    self.some(builtin, count, &args[1], input, env, take)
                });
            }
            Builtin::Capture | Builtin::Scan => return self.matches(builtin, args, regex, input, env, take),
            _ => return take(self.closure(builtin, args, regex, input, env)?),
        };
        if selected { take(input.clone()) } else { Ok(()) }
    }

    /// `limit` takes the first so many, `skip` all but those.
    fn some(
        &self,
        builtin: Builtin,
        count: i128,
        term: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        if builtin == Builtin::Limit && count <= 0 {
            return Ok(());
        }
        let mut seen = 0;
        self.until_enough(|enough| {
            self.each(term, input, env, &mut |value| {
                seen += 1;
                match builtin {
                    Builtin::Skip if seen <= count => Ok(()),
                    Builtin::Skip => take(value),
                    _ => {
                        take(value)?;
                        if seen >= count { Err(enough()) } else { Ok(()) }
                    }
                }
            })
        })
    }

    fn range(&self, args: &[Val<'v>], take: Take<'_, 'v>) -> Many<'v> {
        let number = |value: &Val<'v>| match value {
            Val::Number(number) => Ok(float(number)),
            other => Err(Stop::error(format!("`range` needs numbers, not {}", other.preview()))),
        };
        let (from, to, by) = match args {
            [to] => (0.0, number(to)?, 1.0),
            [from, to] => (number(from)?, number(to)?, 1.0),
            [from, to, by, ..] => (number(from)?, number(to)?, number(by)?),
            [] => (0.0, 0.0, 1.0),
        };
        let count = if from == to { 0.0 } else { ((to - from) / by).ceil() };
        if by == 0.0 || count > MAX_RANGE as f64 {
            return Err(Stop::error(format!("`range` gives at most {MAX_RANGE} numbers")));
        }
        for step in 0..count.max(0.0) as u64 {
            self.meter.step(1)?;
            take(operator::finite(from + step as f64 * by)?)?;
        }
        Ok(())
    }

    fn decide(&self, args: &'v [Node], input: &Val<'v>, env: Option<&Env<'_, 'v>>, when: bool) -> One<'v> {
        let mut outcome = !when;
        self.until_enough(|enough| {
            let mut test = |condition: &'v Node, value: &Val<'v>| {
                self.each(condition, value, env, &mut |held| {
                    if held.is_true() == when {
                        outcome = when;
                        return Err(enough());
                    }
                    Ok(())
                })
            };
            match args {
                [source, condition] => self.each(source, input, env, &mut |value| test(condition, &value)),
                [condition] => {
                    self.children("any", input)?.iter().try_for_each(|value| test(condition, value))
                }
                _ => Ok(()),
            }
        })?;
        Ok(Val::Bool(outcome))
    }

    /// The first result of the term in place of each value; values without a result go.
    fn map_values(&self, term: &'v Node, input: &Val<'v>, env: Option<&Env<'_, 'v>>) -> One<'v> {
        let first = |value: &Val<'v>| {
            let mut first = None;
            self.until_enough(|enough| {
                self.each(term, value, env, &mut |value| {
                    first = Some(value);
                    Err(enough())
                })
            })?;
            Ok::<_, Stop<'v>>(first)
        };
        if let Some(fields) = input.fields(self.meter)? {
            let mut mapped = Fields::with_capacity(fields.len());
            for (name, value) in fields.iter() {
                if let Some(value) = first(value)? {
                    mapped.insert(name.clone(), value);
                }
            }
            return Ok(Val::object(mapped, self.meter)?);
        }
        let mut mapped = Vec::new();
        for item in self.items("map_values", input)?.iter() {
            mapped.extend(first(item)?);
        }
        Ok(Val::list(mapped, self.meter)?)
    }

    fn by_key(&self, builtin: Builtin, key: &'v Node, input: &Val<'v>, env: Option<&Env<'_, 'v>>) -> One<'v> {
        let items = self.items(builtin.name(), input)?;
        let mut keyed = Vec::with_capacity(items.len());
        for item in items.iter() {
            let key = self.collect(key, item, env)?;
            keyed.push((Val::list(key, self.meter)?, item.clone()));
        }
        let sorted = self.sorted(keyed, |(key, _)| key)?;
        match builtin {
            Builtin::SortBy => Ok(Val::list(sorted.into_iter().map(|(_, item)| item).collect(), self.meter)?),
            Builtin::MinBy => Ok(sorted.into_iter().next().map_or(Val::Null, |(_, item)| item)),
            Builtin::MaxBy => Ok(sorted.into_iter().next_back().map_or(Val::Null, |(_, item)| item)),
            _ => {
                let mut groups: Vec<(Val<'v>, Vec<Val<'v>>)> = Vec::new();
                for (key, item) in sorted {
                    let same = groups.last().map(|(last, _)| last.compare(&key, self.meter)).transpose()?;
                    match groups.last_mut() {
                        Some((_, group)) if same.is_some_and(Ordering::is_eq) => group.push(item),
                        _ => groups.push((key, vec![item])),
                    }
                }
                let mut lists = Vec::with_capacity(groups.len());
                for (_, mut group) in groups {
                    lists.push(if builtin == Builtin::UniqueBy {
                        group.swap_remove(0)
                    } else {
                        Val::list(group, self.meter)?
                    });
                }
                Ok(Val::list(lists, self.meter)?)
            }
        }
    }

    fn matches(
        &self,
        builtin: Builtin,
        args: &'v [Node],
        regex: Option<&Arc<Pattern>>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let name = builtin.name();
        let text = text_of(name, input)?;
        let pattern = self.one(&args[0], input, env)?;
        let flags = args.get(1).map(|flags| self.one(flags, input, env)).transpose()?;
        let every = builtin == Builtin::Scan
            || flags.as_ref().and_then(Val::as_str).is_some_and(|flags| flags.contains('g'));
        let regex = self.pattern(name, &pattern, flags.as_ref(), regex, text)?;
        let count = |steps| self.meter.step(steps).map_err(Stop::from);
        regex.each(text, every, count, |caught| {
            self.meter.step(8)?;
            take(if builtin == Builtin::Capture {
                self.named(&regex, caught)?
            } else {
                self.scanned(caught)?
            })
        })
    }

    fn caught(&self, caught: &Caught<'_, '_>, group: usize) -> One<'v> {
        caught.group(group).map_or(Ok(Val::Null), |text| Ok(Val::text(text, self.meter)?))
    }

    /// What the named groups caught, as an object.
    fn named(&self, regex: &Pattern, caught: &Caught<'_, '_>) -> One<'v> {
        let mut object = Fields::new();
        for (group, name) in regex.names() {
            object.insert(Text::Shared(name.into()), self.caught(caught, group)?);
        }
        Ok(Val::object(object, self.meter)?)
    }

    /// The whole match, or what its groups caught as a list.
    fn scanned(&self, caught: &Caught<'_, '_>) -> One<'v> {
        if caught.groups() == 1 {
            return self.caught(caught, 0);
        }
        let groups = (1..caught.groups()).map(|group| self.caught(caught, group));
        Ok(Val::list(groups.collect::<Result<_, _>>()?, self.meter)?)
    }

    fn substitute(
        &self,
        builtin: Builtin,
        args: &'v [Node],
        regex: Option<&Arc<Pattern>>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> One<'v> {
        let name = builtin.name();
        let text = text_of(name, input)?;
        let pattern = self.one(&args[0], input, env)?;
        let flags = args.get(2).map(|flags| self.one(flags, input, env)).transpose()?;
        let every = builtin == Builtin::Gsub
            || flags.as_ref().and_then(Val::as_str).is_some_and(|flags| flags.contains('g'));
        let regex = self.pattern(name, &pattern, flags.as_ref(), regex, text)?;
        let (mut made, mut end) = (String::new(), 0);
        let count = |steps| self.meter.step(steps).map_err(Stop::from);
        regex.each(text, every, count, |caught| {
            let whole = caught.whole();
            let replacement = self.one(&args[1], &self.named(&regex, caught)?, env)?;
            let before = made.len();
            made.push_str(&text[end..whole.start]);
            made.push_str(text_of(name, &replacement)?);
            self.meter.make(made.len() - before)?;
            end = whole.end;
            Ok(())
        })?;
        made.push_str(&text[end..]);
        Ok(Val::text(&made, self.meter)?)
    }

    /// The paths, as lists of names and indices, that a term of plain places names.
    fn places_of(
        &self,
        term: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        paths: &mut Vec<Val<'v>>,
    ) -> Many<'v> {
        match &term.term {
            Term::Comma(left, right) => {
                self.places_of(left, input, env, paths)?;
                self.places_of(right, input, env, paths)
            }
            Term::Path(_, parts) => {
                let mut path = Vec::with_capacity(parts.len());
                for part in parts {
                    path.push(match part {
                        Part { step: Step::Field(name), .. } => Val::Text(Text::Borrowed(name)),
                        Part { step: Step::Index(node), .. } => self.one(node, input, env)?,
                        _ => return Err(Stop::error("`del` takes fields and indices".to_owned())),
                    });
                }
                paths.push(Val::list(path, self.meter)?);
                Ok(())
            }
            _ => Err(Stop::error("`del` takes fields and indices".to_owned())),
        }
    }

    /// A value without what stands at a path.
    fn without(&self, value: &Val<'v>, path: &[Val<'v>]) -> One<'v> {
        let Some((first, rest)) = path.split_first() else { return Ok(Val::Null) };
        match (value.kind(), first) {
            (Kind::Null, _) => Ok(Val::Null),
            (Kind::Object, Val::Text(name)) => {
                let Some(fields) = value.fields(self.meter)? else { return Ok(Val::Null) };
                copied(2 * fields.len(), self.meter)?;
                let mut left = (**fields).clone();
                match left.get(name).cloned() {
                    Some(_) if rest.is_empty() => drop(left.shift_remove(name)),
                    Some(inner) => drop(left.insert(name.clone(), self.without(&inner, rest)?)),
                    None => {}
                }
                Ok(Val::object(left, self.meter)?)
            }
            (Kind::Array, Val::Number(_)) => {
                let place = self.count(first)?;
                let items = self.items("del", value)?;
                copied(items.len(), self.meter)?;
                let place = if place < 0 { place + items.len() as i128 } else { place };
                let mut left = items.to_vec();
                if let Some(place) = usize::try_from(place).ok().filter(|place| *place < left.len()) {
                    if rest.is_empty() {
                        left.remove(place);
                    } else {
                        left[place] = self.without(&left[place].clone(), rest)?;
                    }
                }
                Ok(Val::list(left, self.meter)?)
            }
            _ => Err(Stop::error(format!("cannot delete {} of {}", first.preview(), value.preview()))),
        }
    }
}
