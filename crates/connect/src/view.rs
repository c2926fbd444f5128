//! One shape for a vendor's object, over all its API versions.
//!
//! Each field lists where it stands in each version; the first place that exists wins. A field that stands nowhere is
//! an error that names the object, the field and the places tried: it never becomes a zero or an empty list.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use crate::error::Error;
use crate::manifest::Kind;
use crate::path::{Found, Path};

/// Shapes inside shapes; a manifest that nests deeper is refused when it runs into this.
const DEPTH_MAX: usize = 8;

/// A named mapping: object → shape.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(crate) shapes: BTreeMap<String, Shape>,
}

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Where an object says its id, for errors.
    pub identity: Path,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: String,
    /// In the order of preference.
    pub sources: Vec<Source>,
    pub kind: Kind,
    /// Null may be the value.
    pub nullable: bool,
    /// Null where no source exists: the vendor leaves the member out.
    pub optional: bool,
    /// A source that is null gives way to the next.
    pub skip_null: bool,
    /// In the place of null.
    pub when_null: Option<Value>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The value there.
    At(Path),
    /// Always `value`, where the condition holds.
    Constant { value: Value, when: Condition },
    /// Whether the value there is `value`.
    Equals { path: Path, value: Value },
    /// The sum of integers of a list's elements.
    Sum { list: List, of: Path, only: Option<Condition> },
    /// One value of each element.
    Collect { list: List, take: Vec<Path>, only: Option<Condition> },
    /// Each element in its shape. Where an element is a bare id, this source does not exist, unless `bare`.
    Each { list: List, shape: String, bare: bool },
    /// A single value or object as a list of one; null is the empty list. With `among`, only while that list has at
    /// most one element.
    One { path: Path, shape: Option<String>, among: Option<Path> },
}

#[derive(Clone, Debug)]
pub(crate) struct List {
    pub path: Path,
    /// Where the vendor says that the list is cut off here.
    pub more: Option<Path>,
}

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub path: Path,
    pub is: Value,
}

impl Condition {
    fn holds(&self, value: &Value) -> bool {
        self.path.get(value) == Some(&self.is)
    }
}

/// What a source came to.
enum Taken {
    Value(Value),
    Null,
    /// Not in this object; a remark says why, where it is not simply absent.
    Missing(Option<&'static str>),
}

/// Where the mapping stands.
struct Here<'a> {
    object: &'a str,
    value: &'a Value,
    outer: Option<&'a Value>,
    depth: usize,
}

impl View {
    /// Whether this view has a shape for `object`.
    pub fn maps(&self, object: &str) -> bool {
        self.shapes.contains_key(object)
    }

    /// `value` in the shape of `object`. Errors are `mapping_missing`, `mapping_null`, `mapping_type` and
    /// `mapping_incomplete`; their body is `{object, id, field, tried}`.
    pub fn apply(&self, object: &str, value: &Value) -> Result<Value, Error> {
        self.shape(&Here { object, value, outer: None, depth: 0 })
    }

    fn shape(&self, here: &Here<'_>) -> Result<Value, Error> {
        let Some(shape) = self.shapes.get(here.object).filter(|_| here.depth < DEPTH_MAX) else {
            return Err(Error::fatal("view_unknown", format!("there is no shape `{}` here", here.object)));
        };
        let mut out = Map::with_capacity(shape.fields.len());
        for field in &shape.fields {
            out.insert(field.name.clone(), self.field(shape, field, here)?);
        }
        Ok(Value::Object(out))
    }

    fn field(&self, shape: &Shape, field: &Field, here: &Here<'_>) -> Result<Value, Error> {
        let problem =
            |code: &str, what: &str, tried: &[String]| problem(shape, field, here, code, what, tried);
        let mut tried = Vec::new();
        let mut found = None;
        for source in &field.sources {
            match self.take(shape, field, source, here)? {
                Taken::Missing(remark) => {
                    let remark = remark.map(|remark| format!(" ({remark})")).unwrap_or_default();
                    tried.push(format!("{}{remark}", source.describe()));
                }
                Taken::Null => {
                    tried.push(format!("{} (null)", source.describe()));
                    found = Some(Value::Null);
                    if !field.skip_null {
                        break;
                    }
                }
                Taken::Value(value) => {
                    found = Some(value);
                    break;
                }
            }
        }
        match found {
            None if field.optional => Ok(Value::Null),
            None => Err(problem("mapping_missing", "is nowhere", &tried)),
            Some(Value::Null) => match &field.when_null {
                Some(value) => Ok(value.clone()),
                None if field.nullable || field.optional => Ok(Value::Null),
                None => Err(problem("mapping_null", "is null", &tried)),
            },
            Some(value) if field.kind.admits(&value) => Ok(value),
            Some(_) => Err(problem("mapping_type", &format!("is not {}", field.kind.name()), &tried)),
        }
    }

    fn take(&self, shape: &Shape, field: &Field, source: &Source, here: &Here<'_>) -> Result<Taken, Error> {
        let Here { value, outer, .. } = *here;
        let (list, rest) = match source {
            Source::At(path) => return Ok(Taken::from(path.find(value, outer))),
            Source::Constant { value: constant, when } => {
                return Ok(if when.holds(value) {
                    Taken::of(constant.clone())
                } else {
                    Taken::Missing(None)
                });
            }
            Source::Equals { path, value: other } => {
                return Ok(match path.find(value, outer) {
                    Found::Value(found) => Taken::Value(Value::Bool(found == other)),
                    Found::Null => Taken::Null,
                    Found::Missing => Taken::Missing(None),
                });
            }
            Source::One { path, shape, among } => {
                return self.one(path, shape.as_deref(), among.as_ref(), here);
            }
            Source::Sum { list, .. } | Source::Collect { list, .. } | Source::Each { list, .. } => {
                (list, source)
            }
        };
        let items = match list.path.find(value, outer) {
            Found::Value(Value::Array(items)) => items,
            Found::Value(_) => return Ok(Taken::Missing(Some("not a list"))),
            Found::Null => return Ok(Taken::Null),
            Found::Missing => return Ok(Taken::Missing(None)),
        };
        let fail = |code: &str, what: &str| problem(shape, field, here, code, what, &[source.describe()]);
        if let Some(more) = &list.more
            && more.find(value, outer) == Found::Value(&Value::Bool(true))
        {
            return Err(fail("mapping_incomplete", "is cut off: the list goes on"));
        }
        match rest {
            Source::Sum { of, only, .. } => {
                let counted = items.iter().filter(|item| only.as_ref().is_none_or(|only| only.holds(item)));
                let sum = counted
                    .map(|item| of.get(item).and_then(Value::as_i64))
                    .try_fold(0_i64, |sum, amount| amount.and_then(|amount| sum.checked_add(amount)));
                let sum =
                    sum.ok_or_else(|| fail("mapping_missing", "is a sum over something else than integers"))?;
                Ok(Taken::Value(Value::Number(Number::from(sum))))
            }
            Source::Collect { take, only, .. } => {
                let chosen = items.iter().filter(|item| only.as_ref().is_none_or(|only| only.holds(item)));
                let values = chosen.map(|item| take.iter().find_map(|path| path.get(item)).cloned());
                let values: Option<Vec<Value>> = values.collect();
                values
                    .map(|values| Taken::Value(Value::Array(values)))
                    .ok_or_else(|| fail("mapping_missing", "lacks a value in one of its elements"))
            }
            Source::Each { shape, bare, .. } => self.each(items, shape, *bare, here),
            Source::At(_) | Source::Constant { .. } | Source::Equals { .. } | Source::One { .. } => {
                Ok(Taken::Missing(None))
            }
        }
    }

    fn each(&self, items: &[Value], shape: &str, bare: bool, here: &Here<'_>) -> Result<Taken, Error> {
        if !bare && items.iter().any(|item| !item.is_object()) {
            return Ok(Taken::Missing(Some("bare ids; read it with `expand`")));
        }
        let inner = items.iter().map(|item| {
            self.shape(&Here { object: shape, value: item, outer: Some(here.value), depth: here.depth + 1 })
        });
        Ok(Taken::Value(Value::Array(inner.collect::<Result<_, _>>()?)))
    }

    fn one(
        &self,
        path: &Path,
        shape: Option<&str>,
        among: Option<&Path>,
        here: &Here<'_>,
    ) -> Result<Taken, Error> {
        let several = among.and_then(|path| path.get(here.value)).and_then(Value::as_array);
        if several.is_some_and(|list| list.len() > 1) {
            return Ok(Taken::Missing(Some("one of several")));
        }
        let found = match path.find(here.value, here.outer) {
            Found::Missing => return Ok(Taken::Missing(None)),
            Found::Null => return Ok(Taken::Value(Value::Array(Vec::new()))),
            Found::Value(found) => found,
        };
        let inner = match shape {
            None => found.clone(),
            Some(_) if !found.is_object() => {
                return Ok(Taken::Missing(Some("a bare id; read it with `expand`")));
            }
            Some(shape) => self.shape(&Here {
                object: shape,
                value: found,
                outer: Some(here.value),
                depth: here.depth + 1,
            })?,
        };
        Ok(Taken::Value(Value::Array(vec![inner])))
    }
}

impl Taken {
    fn of(value: Value) -> Taken {
        if value.is_null() { Taken::Null } else { Taken::Value(value) }
    }
}

impl From<Found<'_>> for Taken {
    fn from(found: Found<'_>) -> Taken {
        match found {
            Found::Value(value) => Taken::Value(value.clone()),
            Found::Null => Taken::Null,
            Found::Missing => Taken::Missing(None),
        }
    }
}

impl Source {
    /// The place, as an error names it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Source::At(path) | Source::Equals { path, .. } | Source::One { path, .. } => {
                path.as_str().to_owned()
            }
            Source::Constant { when, .. } => format!("({} is {})", when.path.as_str(), when.is),
            Source::Sum { list, of, .. } => format!("{}[].{}", list.path.as_str(), of.as_str()),
            Source::Collect { list, .. } | Source::Each { list, .. } => format!("{}[]", list.path.as_str()),
        }
    }
}

fn problem(shape: &Shape, field: &Field, here: &Here<'_>, code: &str, what: &str, tried: &[String]) -> Error {
    let id = match shape.identity.get(here.value).or(here.outer.and_then(|outer| shape.identity.get(outer))) {
        Some(Value::String(id)) => id.clone(),
        _ => "without id".to_owned(),
    };
    let Here { object, .. } = here;
    let detail = format!("{object} {id}: `{}` {what}; tried {}", field.name, tried.join(", "));
    Error::fatal(code, detail)
        .with_body(json!({"object": object, "id": id, "field": field.name, "tried": tried}))
}
