//! Values while an expression runs: what comes from outside is borrowed, what is made is shared, and every walk and
//! every copy is counted.

use indexmap::IndexMap;
use serde_json::{Number, Value};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::meter::{Limit, MAX_RESULT, MAX_VALUE_DEPTH, Meter};

/// Text, borrowed or shared.
#[derive(Clone, Debug)]
pub enum Text<'v> {
    Borrowed(&'v str),
    Shared(Rc<str>),
}

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// The fields of an object that an expression made, in the order of making.
pub type Fields<'v> = IndexMap<Text<'v>, Val<'v>>;

/// Something that an expression made, and how deep it is: what is too deep overflows the stack when it is dropped.
#[derive(Debug)]
pub struct Made<T> {
    depth: usize,
    inner: T,
}

impl<T> std::ops::Deref for Made<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

/// A value. `Outside` holds only lists and objects.
#[derive(Clone, Debug)]
pub enum Val<'v> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'v>),
    Outside(&'v Value),
    List(Rc<Made<Vec<Val<'v>>>>),
    Object(Rc<Made<Fields<'v>>>),
}

/// A value's kind, in jq's order of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl<'v> From<&'v Value> for Val<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Text::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Outside(value),
        }
    }
}

impl From<i64> for Val<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl<'v> Val<'v> {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Boolean,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::String,
            Self::Outside(Value::Array(_)) | Self::List(_) => Kind::Array,
            Self::Outside(_) | Self::Object(_) => Kind::Object,
        }
    }

    /// How deep it was made; what comes from outside counts as one.
    fn depth(&self) -> usize {
        match self {
            Self::List(items) => items.depth,
            Self::Object(fields) => fields.depth,
            Self::Outside(_) => 1,
            _ => 0,
        }
    }

    /// jq's truth: everything but `null` and `false`.
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Makes text, counted.
    pub fn text(text: &str, meter: &Meter) -> Result<Self, Limit> {
        meter.make(text.len() + 16)?;
        Ok(Self::Text(Text::Shared(text.into())))
    }

    /// Makes a list, counted.
    pub fn list(items: Vec<Val<'v>>, meter: &Meter) -> Result<Self, Limit> {
        meter.make(items.len() * size_of::<Val<'_>>() + 16)?;
        let depth = deeper(items.iter())?;
        Ok(Self::List(Rc::new(Made { depth, inner: items })))
    }

    /// Makes an object, counted.
    pub fn object(fields: Fields<'v>, meter: &Meter) -> Result<Self, Limit> {
        meter.make(fields.len() * 2 * size_of::<Val<'_>>() + 64)?;
        let depth = deeper(fields.values())?;
        Ok(Self::Object(Rc::new(Made { depth, inner: fields })))
    }

    /// The length of a list or object.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Outside(Value::Array(items)) => Some(items.len()),
            Self::Outside(Value::Object(fields)) => Some(fields.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(fields) => Some(fields.len()),
            _ => None,
        }
    }

    /// An element of a list.
    pub fn item(&self, index: usize) -> Option<Val<'v>> {
        match self {
            Self::Outside(Value::Array(items)) => items.get(index).map(Val::from),
            Self::List(items) => items.get(index).cloned(),
            _ => None,
        }
    }

    /// A field of an object.
    pub fn field(&self, name: &str) -> Option<Val<'v>> {
        match self {
            Self::Outside(Value::Object(fields)) => fields.get(name).map(Val::from),
            Self::Object(fields) => fields.get(name).cloned(),
            _ => None,
        }
    }

    /// The elements of a list; `None` for anything else.
    pub fn items(&self, meter: &Meter) -> Result<Option<Rc<Made<Vec<Val<'v>>>>>, Limit> {
        Ok(match self {
            Self::Outside(Value::Array(items)) => {
                copied(items.len(), meter)?;
                Some(Rc::new(Made { depth: 1, inner: items.iter().map(Val::from).collect() }))
            }
            Self::List(items) => Some(items.clone()),
            _ => None,
        })
    }

    /// The fields of an object; `None` for anything else.
    pub fn fields(&self, meter: &Meter) -> Result<Option<Rc<Made<Fields<'v>>>>, Limit> {
        Ok(match self {
            Self::Outside(Value::Object(fields)) => {
                copied(2 * fields.len(), meter)?;
                let fields =
                    fields.iter().map(|(name, value)| (Text::Borrowed(name.as_str()), Val::from(value)));
                Some(Rc::new(Made { depth: 1, inner: fields.collect() }))
            }
            Self::Object(fields) => Some(fields.clone()),
            _ => None,
        })
    }

    /// The fields of an object ordered by name; `None` for anything else.
    pub fn sorted_fields(&self, meter: &Meter) -> Result<Option<Vec<(Text<'v>, Val<'v>)>>, Limit> {
        let Some(fields) = self.fields(meter)? else { return Ok(None) };
        copied(2 * fields.len(), meter)?;
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        fields.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        Ok(Some(fields))
    }

    /// Turns it into JSON, counted; a value that shares parts with itself grows here, so the result has its own limit.
    pub fn to_json(&self, meter: &Meter) -> Result<Value, Limit> {
        let mut left = MAX_RESULT;
        self.write_json(meter, &mut left)
    }

    fn write_json(&self, meter: &Meter, left: &mut u64) -> Result<Value, Limit> {
        meter.step(1)?;
        let size = match self {
            Self::Text(text) => text.as_str().len() + 2,
            _ => ROOM,
        };
        *left = left.checked_sub(size as u64).ok_or(Limit::Result)?;
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.as_str().to_owned()),
            Self::Outside(value) => {
                weigh(value, left)?;
                (*value).clone()
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.write_json(meter, left)).collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => {
                let mut object = serde_json::Map::with_capacity(fields.len());
                for (name, value) in fields.iter() {
                    let size = name.as_str().len() as u64 + 7;
                    *left = left.checked_sub(size).ok_or(Limit::Result)?;
                    object.insert(name.as_str().to_owned(), value.write_json(meter, left)?);
                }
                Value::Object(object)
            }
        })
    }

    /// jq's total order: null, false, true, numbers, strings, arrays, objects (by their sorted names, then values).
    pub fn compare(&self, other: &Self, meter: &Meter) -> Result<Ordering, Limit> {
        meter.step(1)?;
        let kinds = self.kind().cmp(&other.kind());
        if kinds.is_ne() {
            return Ok(kinds);
        }
        Ok(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => compare_numbers(a, b),
            (Self::Text(a), Self::Text(b)) => {
                meter.step(a.as_str().len().min(b.as_str().len()) / 16)?;
                a.as_str().cmp(b.as_str())
            }
            _ if self.kind() == Kind::Array => {
                let (a, b) = (self.len().unwrap_or(0), other.len().unwrap_or(0));
                for index in 0..a.min(b) {
                    if let (Some(x), Some(y)) = (self.item(index), other.item(index)) {
                        let order = x.compare(&y, meter)?;
                        if order.is_ne() {
                            return Ok(order);
                        }
                    }
                }
                a.cmp(&b)
            }
            _ if self.kind() == Kind::Object => {
                let a = self.sorted_fields(meter)?.unwrap_or_default();
                let b = other.sorted_fields(meter)?.unwrap_or_default();
                let names =
                    a.iter().map(|(name, _)| name.as_str()).cmp(b.iter().map(|(name, _)| name.as_str()));
                if names.is_ne() {
                    return Ok(names);
                }
                for ((_, x), (_, y)) in a.iter().zip(&b) {
                    let order = x.compare(y, meter)?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ordering::Equal
            }
            _ => Ordering::Equal,
        })
    }

    /// A few characters of it, for messages.
    pub fn preview(&self) -> String {
        const LONGEST: usize = 40;
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(bool) => format!("boolean ({bool})"),
            Self::Number(number) => format!("number ({number})"),
            Self::Text(text) => {
                let short: String = text.as_str().chars().take(LONGEST).collect();
                let more = if short.len() < text.as_str().len() { "…" } else { "" };
                format!("string (\"{short}{more}\")")
            }
            _ => match (self.kind(), self.len().unwrap_or(0)) {
                (Kind::Array, count) => format!("array of {count}"),
                (_, count) => format!("object with {count} fields"),
            },
        }
    }
}

/// How deep something is that is made of these.
fn deeper<'a, 'v: 'a>(parts: impl Iterator<Item = &'a Val<'v>>) -> Result<usize, Limit> {
    let depth = 1 + parts.map(Val::depth).max().unwrap_or(0);
    if depth > MAX_VALUE_DEPTH { Err(Limit::Depth) } else { Ok(depth) }
}

/// Counts the copying of `count` elements.
pub fn copied(count: usize, meter: &Meter) -> Result<(), Limit> {
    meter.step(count / 8 + 1)?;
    meter.make(count * size_of::<Val<'_>>())
}

/// Bytes that a number or an empty list counts for: more than its text, since it needs far more room in memory.
const ROOM: usize = 16;

/// Counts the size of a value from outside; its depth is bounded by whoever read it.
fn weigh(value: &Value, left: &mut u64) -> Result<(), Limit> {
    let size = match value {
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(items) => {
            items.iter().try_for_each(|item| weigh(item, left))?;
            ROOM as u64
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                weigh(field, left)?;
                *left = left.checked_sub(name.len() as u64 + 7).ok_or(Limit::Result)?;
            }
            ROOM as u64
        }
        _ => ROOM as u64,
    };
    *left = left.checked_sub(size).ok_or(Limit::Result)?;
    Ok(())
}

/// A number as an integer, if it is one.
pub fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// A number as a float.
pub fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// The number of a float: an integer where it is one exactly (as jq prints it), nothing if it is not finite.
pub fn from_float(float: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^53 fits")]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

/// The number that decimal text means, exactly: serde_json's own reading of floats may be off in the last bit.
pub fn from_text(text: &str) -> Option<Number> {
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| text.parse::<f64>().ok().and_then(from_float))
}

/// The number of an integer: exactly where 64 bits hold it, else the nearest float.
pub fn from_integer(int: i128) -> Number {
    i64::try_from(int)
        .map(Number::from)
        .or_else(|_| u64::try_from(int).map(Number::from))
        .unwrap_or_else(|_| Number::from_f64(int as f64).unwrap_or_else(|| 0.into()))
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_is_jqs() {
        let ascending = json!([
            null, false, true, -1, 0, 0.5, 1, "", "a", "b", [], [1], [1, 2], [2], {}, {"a": 1}, {"a": 2}, {"b": 0}
        ]);
        let values = ascending.as_array().unwrap();
        let meter = Meter::default();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(Val::from(a).compare(&b.into(), &meter), Ok(i.cmp(&j)), "{a} {b}");
            }
        }
        let (a, b) = (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1.0}));
        assert_eq!(Val::from(&a).compare(&Val::from(&b), &meter), Ok(Ordering::Equal));
    }

    #[test]
    fn what_shares_itself_does_not_explode() {
        let meter = Meter::default();
        let mut value = Val::from(1);
        for _ in 0..60 {
            value = Val::list(vec![value.clone(), value], &meter).unwrap();
        }
        assert_eq!(value.to_json(&Meter::default()), Err(Limit::Result));
        assert_eq!(value.compare(&value.clone(), &Meter::default()), Err(Limit::Steps));
    }

    #[test]
    fn what_is_too_deep_is_not_made() {
        let meter = Meter::default();
        let mut value = Ok(Val::Null);
        for _ in 0..=MAX_VALUE_DEPTH {
            value = value.and_then(|value| Val::list(vec![value], &meter));
        }
        assert_eq!(value.err(), Some(Limit::Depth));
    }
}
