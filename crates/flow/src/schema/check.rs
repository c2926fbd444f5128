//! Applies rules to a value.

use serde_json::Value;
use std::cell::Cell;

use super::{KINDS, Kind, MAX_DEPTH, MAX_LISTED, MAX_WORK, Rule, Rules, Test};
use crate::pattern::Pattern;

/// Checks a value against the rules' root.
pub fn value(rules: &Rules, value: &Value) -> Result<(), String> {
    let mut checker = Checker { rules, work: MAX_WORK, found: Vec::new(), silent: 0 };
    let holds = checker.rule(&rules.root, value, "", 0);
    if checker.work == 0 {
        return Err("it takes too many steps to check".to_owned());
    }
    if holds {
        return Ok(());
    }
    let more = checker.found.len().saturating_sub(MAX_LISTED);
    checker.found.truncate(MAX_LISTED);
    let mut message = checker.found.join("; ");
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    Err(message)
}

struct Checker<'a> {
    rules: &'a Rules,
    work: u32,
    found: Vec<String>,
    /// Inside rules that may fail (`anyOf`, `not`, `if`): what is found there is no violation.
    silent: usize,
}

impl<'a> Checker<'a> {
    fn fail(&mut self, path: &str, message: impl FnOnce() -> String) -> bool {
        if self.silent == 0 {
            let place = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
            self.found.push(format!("{place} {}", message()));
        }
        false
    }

    fn quietly(&mut self, rule: &'a Rule, value: &Value, path: &str, depth: usize) -> bool {
        self.silent += 1;
        let holds = self.rule(rule, value, path, depth);
        self.silent -= 1;
        holds
    }

    fn rule(&mut self, rule: &'a Rule, value: &Value, path: &str, depth: usize) -> bool {
        if depth > MAX_DEPTH || self.work == 0 {
            self.work = 0;
            return false;
        }
        match rule {
            Rule::Constant(true) => true,
            Rule::Constant(false) => self.fail(path, || "is not allowed here".to_owned()),
            Rule::Tests(tests) => {
                let mut holds = true;
                for test in tests {
                    self.work = self.work.saturating_sub(1);
                    holds &= self.test(test, value, path, depth + 1);
                }
                holds
            }
        }
    }

    fn test(&mut self, test: &'a Test, value: &Value, path: &str, depth: usize) -> bool {
        match test {
            Test::Type(kinds) => {
                kinds.iter().any(|kind| is(value, *kind)) || self.fail(path, || wrong_kind(value, kinds))
            }
            Test::Enum(values) => {
                values.iter().any(|allowed| equal(allowed, value))
                    || self.fail(path, || format!("is {}, not one of {}", short(value), list(values)))
            }
            Test::Const(only) => {
                equal(only, value) || self.fail(path, || format!("is {}, not {}", short(value), short(only)))
            }
            Test::Reference(target) => match self.rules.targets.get(target) {
                Some(rule) => self.rule(rule, value, path, depth),
                None => true,
            },
            Test::All(rules) => {
                // Each of them is told what it is that differs.
                let failing = rules.iter().filter(|rule| !self.rule(rule, value, path, depth)).count();
                failing == 0
            }
            Test::Any(rules) => {
                rules.iter().any(|rule| self.quietly(rule, value, path, depth))
                    || self.fail(path, || "fits none of the forms that `anyOf` allows".to_owned())
            }
            Test::One(rules) => {
                let fitting = rules.iter().filter(|rule| self.quietly(rule, value, path, depth)).count();
                fitting == 1
                    || self.fail(path, || format!("fits {fitting} of the forms of `oneOf`, not exactly one"))
            }
            Test::Not(rule) => {
                !self.quietly(rule, value, path, depth)
                    || self.fail(path, || "is of a form that `not` excludes".to_owned())
            }
            Test::If { condition, then, otherwise } => {
                let branch = if self.quietly(condition, value, path, depth) { then } else { otherwise };
                branch.as_ref().is_none_or(|rule| self.rule(rule, value, path, depth))
            }
            _ => match value {
                Value::Number(number) => self.number(test, number.as_f64().unwrap_or(f64::NAN), path),
                Value::String(text) => self.text(test, text, path),
                Value::Array(items) => self.array(test, items, path, depth),
                Value::Object(fields) => self.object(test, fields, path, depth),
                _ => true,
            },
        }
    }

    fn number(&mut self, test: &Test, number: f64, path: &str) -> bool {
        let (holds, what) = match test {
            Test::Minimum(limit) => (number >= *limit, format!("less than {limit}")),
            Test::Maximum(limit) => (number <= *limit, format!("more than {limit}")),
            Test::ExclusiveMinimum(limit) => (number > *limit, format!("not more than {limit}")),
            Test::ExclusiveMaximum(limit) => (number < *limit, format!("not less than {limit}")),
            Test::MultipleOf(unit) => {
                let times = number / unit;
                (
                    (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0),
                    format!("not a multiple of {unit}"),
                )
            }
            _ => return true,
        };
        holds || self.fail(path, || format!("is {number}, {what}"))
    }

    fn text(&mut self, test: &Test, text: &str, path: &str) -> bool {
        match test {
            Test::Length { min, max } => {
                let length = text.chars().count();
                (*min..=*max).contains(&length)
                    || self.fail(path, || format!("has {length} characters, not {}", between(*min, *max)))
            }
            Test::Pattern(pattern, regex) => {
                self.matches(regex, text) || self.fail(path, || format!("does not match `{pattern}`"))
            }
            _ => true,
        }
    }

    /// Whether a text matches; one that takes too much work does not, and there is none left then.
    fn matches(&mut self, pattern: &Pattern, text: &str) -> bool {
        let work = Cell::new(self.work);
        let matched = pattern.is_match(text, |steps| {
            let left = work.get().saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
            work.set(left);
            if left == 0 { Err(()) } else { Ok(()) }
        });
        self.work = work.get();
        matched.unwrap_or(false)
    }

    fn array(&mut self, test: &'a Test, items: &[Value], path: &str, depth: usize) -> bool {
        match test {
            Test::ItemCount { min, max } => {
                (*min..=*max).contains(&items.len())
                    || self.fail(path, || format!("has {} items, not {}", items.len(), between(*min, *max)))
            }
            Test::Items { prefix, rest } => {
                let mut holds = true;
                for (index, item) in items.iter().enumerate() {
                    if let Some(rule) = prefix.get(index).or(rest.as_deref()) {
                        holds &= self.rule(rule, item, &format!("{path}/{index}"), depth);
                    }
                }
                holds
            }
            Test::Unique => {
                let work = items.len().saturating_mul(items.len()) / 2;
                self.work = self.work.saturating_sub(u32::try_from(work).unwrap_or(u32::MAX));
                if self.work == 0 {
                    return false;
                }
                let twice = (1..items.len())
                    .find(|index| items[..*index].iter().any(|item| equal(item, &items[*index])));
                twice.is_none_or(|index| {
                    self.fail(&format!("{path}/{index}"), || "is in the list twice".to_owned())
                })
            }
            Test::Contains { rule, min, max } => {
                let count = items.iter().filter(|item| self.quietly(rule, item, path, depth)).count();
                (*min..=*max).contains(&count)
                    || self.fail(path, || {
                        format!("has {count} items of the form of `contains`, not {}", between(*min, *max))
                    })
            }
            _ => true,
        }
    }

    fn object(
        &mut self,
        test: &'a Test,
        fields: &serde_json::Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> bool {
        match test {
            Test::Required(names) => {
                let mut holds = true;
                for name in names.iter().filter(|name| !fields.contains_key(*name)) {
                    holds = self.fail(path, || format!("lacks `{name}`"));
                }
                holds
            }
            Test::PropertyCount { min, max } => {
                (*min..=*max).contains(&fields.len())
                    || self.fail(path, || format!("has {} fields, not {}", fields.len(), between(*min, *max)))
            }
            Test::Properties { known, patterns, others } => {
                let mut holds = true;
                for (name, field) in fields {
                    let below = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let mut met = false;
                    if let Some(rule) = known.get(name) {
                        met = true;
                        holds &= self.rule(rule, field, &below, depth);
                    }
                    for (pattern, rule) in patterns {
                        if self.matches(pattern, name) {
                            met = true;
                            holds &= self.rule(rule, field, &below, depth);
                        }
                    }
                    if let (false, Some(rule)) = (met, others) {
                        holds &= self.rule(rule, field, &below, depth);
                    }
                }
                holds
            }
            Test::PropertyNames(rule) => {
                let mut holds = true;
                for name in fields.keys() {
                    holds &= self.rule(rule, &Value::String(name.clone()), &format!("{path}/{name}"), depth);
                }
                holds
            }
            Test::Dependent(lists) => {
                let mut holds = true;
                for (name, needed) in lists.iter().filter(|(name, _)| fields.contains_key(*name)) {
                    for other in needed.iter().filter(|other| !fields.contains_key(*other)) {
                        holds = self.fail(path, || format!("has `{name}` and lacks `{other}`"));
                    }
                }
                holds
            }
            Test::DependentSchemas(rules) => {
                let whole = Value::Object(fields.clone());
                rules
                    .iter()
                    .filter(|(name, _)| fields.contains_key(*name))
                    .fold(true, |holds, (_, rule)| self.rule(rule, &whole, path, depth) && holds)
            }
            _ => true,
        }
    }
}

fn is(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Null => value.is_null(),
        Kind::Boolean => value.is_boolean(),
        Kind::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Kind::Number => value.is_number(),
        Kind::String => value.is_string(),
        Kind::Array => value.is_array(),
        Kind::Object => value.is_object(),
    }
}

/// Equality as JSON Schema has it: 1 and 1.0 are the same number, the order of fields does not count.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

fn wrong_kind(value: &Value, kinds: &[Kind]) -> String {
    let name = |kind: Kind| KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| *name);
    let wanted = kinds.iter().map(|kind| name(*kind)).collect::<Vec<_>>().join(" or ");
    format!("is {}, not {wanted}", short(value))
}

fn between(min: usize, max: usize) -> String {
    match (min, max) {
        (0, max) => format!("at most {max}"),
        (min, usize::MAX) => format!("at least {min}"),
        (min, max) => format!("{min} to {max}"),
    }
}

/// A value in a message: whole if it is short, else what kind of thing it is.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        other => other.to_string(),
    }
}

fn list(values: &[Value]) -> String {
    let mut texts: Vec<String> = values.iter().take(8).map(short).collect();
    if values.len() > texts.len() {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}
