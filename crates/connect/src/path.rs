//! Paths into JSON: `parent.subscription_details.subscription`, `items.data.0.price`, `^.current_period_start`.

use serde_json::Value;

/// A dotted path. A segment is a member's name or an element's index; a leading `^` means the enclosing object
/// (views only). The path that is a single `.` means the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    outer: bool,
    segments: Vec<String>,
}

/// What a path came upon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    /// A value that is not null.
    Value(&'a Value),
    /// Null there, or null on the way there: the vendor says that there is nothing.
    Null,
    /// No such member: the vendor does not speak of it.
    Missing,
}

impl<'a> Found<'a> {
    /// The value, if there is one that is not null.
    pub fn value(self) -> Option<&'a Value> {
        match self {
            Found::Value(value) => Some(value),
            Found::Null | Found::Missing => None,
        }
    }
}

impl Path {
    /// `None` where the text is not a path.
    pub fn parse(text: &str) -> Option<Path> {
        if text == "." {
            return Some(Path::whole());
        }
        let mut segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        let outer = segments.first().is_some_and(|first| first == "^");
        if outer {
            segments.remove(0);
        }
        let sound = !segments.is_empty()
            && segments.iter().all(|segment| {
                !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            });
        sound.then(|| Path { text: text.into(), outer, segments })
    }

    /// The path to the value itself.
    pub fn whole() -> Path {
        Path { text: ".".into(), outer: false, segments: Vec::new() }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The members on the way, for writing.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// What stands there in `value`; `outer` is the object that encloses it.
    pub fn find<'a>(&self, value: &'a Value, outer: Option<&'a Value>) -> Found<'a> {
        let mut here = if self.outer {
            match outer {
                Some(outer) => outer,
                None => return Found::Missing,
            }
        } else {
            value
        };
        for segment in &self.segments {
            let next = match here {
                Value::Null => return Found::Null,
                Value::Object(map) => map.get(segment),
                Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => return Found::Missing,
            }
        }
        if here.is_null() { Found::Null } else { Found::Value(here) }
    }

    /// The value there, if there is one that is not null.
    pub fn get<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self.find(value, None) {
            Found::Value(found) => Some(found),
            Found::Null | Found::Missing => None,
        }
    }

    pub fn get_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        self.segments.iter().try_fold(value, |here, segment| match here {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        })
    }

    /// Takes the member there away.
    pub fn remove(&self, value: &mut Value) {
        let Some((last, way)) = self.segments.split_last() else { return };
        let inner = way.iter().try_fold(value, |here, segment| here.get_mut(segment.as_str()));
        if let Some(Value::Object(members)) = inner {
            members.shift_remove(last);
        }
    }
}

/// What of these conditions does not hold.
pub(crate) fn differs(conditions: &[(Path, Value)], data: &Value) -> Option<String> {
    let (path, expected) = conditions.iter().find(|(path, expected)| {
        let found = path.get(data);
        found != Some(expected) && !found.is_some_and(|found| one_of(expected, found))
    })?;
    Some(format!("`{}` is not {expected}", path.as_str()))
}

/// Conditions name several values as a list.
fn one_of(expected: &Value, found: &Value) -> bool {
    expected.as_array().is_some_and(|values| values.contains(found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_values_nulls_and_gaps_apart() {
        let value = json!({"a": {"b": [{"c": 7}], "n": null}, "s": "text"});
        let outer = json!({"p": 1});
        for (path, expected) in [
            ("a.b.0.c", Found::Value(&value["a"]["b"][0]["c"])),
            ("a.n", Found::Null),
            ("a.n.deeper", Found::Null),
            ("a.x", Found::Missing),
            ("a.b.1", Found::Missing),
            ("s.length", Found::Missing),
            ("^.p", Found::Value(&outer["p"])),
            ("^.q", Found::Missing),
            (".", Found::Value(&value)),
        ] {
            let parsed = Path::parse(path).expect(path);
            assert_eq!(parsed.find(&value, Some(&outer)), expected, "{path}");
        }
        assert_eq!(Path::parse("^.p").expect("a path").find(&value, None), Found::Missing);
    }

    #[test]
    fn refuses_what_is_not_a_path() {
        for text in ["", "a..b", ".a", "a b", "a[0]", "^", "$args.x"] {
            assert_eq!(Path::parse(text), None, "{text:?}");
        }
    }
}
