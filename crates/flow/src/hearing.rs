//! What is asked of an event before a run that listens hears of it.
//!
//! A filter becomes a [`Form`], what is asked of every event of a type, and a key, what a certain run expects for an
//! answer. The form is known when a flow is read, so that an event's answers can be kept for runs that listen later; and
//! whatever many runs listen, an event is found by its key. What depends on the run itself the machine checks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::Expression;

/// The longest type of an event that a filter can name, in bytes.
pub const MAX_TYPE: usize = 255;
/// Questions of one filter that are asked at dispatch; the others are asked by the run.
pub const MAX_ASKS: usize = 16;
/// Families that a type belongs to, the nearest first: more are not looked at.
pub const MAX_FAMILIES: usize = 16;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// What an attribute is.
    Is(String),
    /// Whether an expression holds for an attribute: it gives true, or what the attribute is.
    Holds(String, String),
    /// What an expression over the event gives.
    Gives(String),
}

/// What is asked of every event of a type.
pub type Form = Vec<Ask>;

/// A filter of a run that listens: a type or family of types (`*`: every type), and each question with the answer that
/// is expected. The source is named as in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    pub r#type: String,
    pub asks: Vec<(Ask, String)>,
}

impl Interest {
    /// The form and the key, where the document's name of a connection stands for `connection(name)`.
    pub fn form_and_key(&self, connection: impl Fn(&str) -> String) -> (Form, String) {
        let form = self.asks.iter().map(|(ask, _)| ask.clone()).collect();
        let expected = self.asks.iter().map(|(ask, expected)| match ask {
            Ask::Is(name) if name == "source" => connection(expected),
            _ => expected.clone(),
        });
        (form, key_of(expected.collect()))
    }
}

/// A form that is ready to be asked.
#[derive(Clone, Debug)]
pub struct Asked(Vec<(Ask, Option<Expression>)>);

impl Asked {
    /// Compiles a form's expressions; one that is refused by now is answered by nothing.
    pub fn new(form: &Form) -> Self {
        let compiled = form.iter().map(|ask| {
            let expression = match ask {
                Ask::Is(_) => None,
                Ask::Holds(_, text) | Ask::Gives(text) => Expression::parse(text).ok(),
            };
            (ask.clone(), expression)
        });
        Self(compiled.collect())
    }

    /// The answers of an event, as a key; none if it has no answer to one of the questions.
    pub fn key(&self, event: &Value) -> Option<String> {
        let scope = BTreeMap::<String, Value>::new();
        let answer = |(ask, expression): &(Ask, Option<Expression>)| match ask {
            Ask::Is(name) => text_of(event.get(name)?),
            Ask::Holds(name, _) => {
                let attribute = event.get(name)?;
                let verdict = expression.as_ref()?.evaluate(attribute, &scope).ok()?;
                Some(holds(&verdict, attribute).to_string())
            }
            Ask::Gives(_) => text_of(&expression.as_ref()?.evaluate(event, &scope).ok()?),
        };
        self.0.iter().map(answer).collect::<Option<Vec<_>>>().map(key_of)
    }
}

/// Whether an expression's value says yes about an attribute.
pub(crate) fn holds(verdict: &Value, attribute: &Value) -> bool {
    match verdict {
        Value::Bool(verdict) => *verdict,
        wanted => contains(attribute, wanted),
    }
}

/// Whether a value has all that is wanted: every given field of an object, anything else as it is.
pub(crate) fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| fields.get(name).is_some_and(|field| contains(field, wanted)))
        }
        _ => value == wanted,
    }
}

/// A value as correlations compare it: text as it is, other values as JSON, whole numbers without a fraction. Null is
/// no answer.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    /// Whole numbers up to here are exact as floating-point numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                Some(format!("{float:.0}"))
            }
            _ => Some(number.to_string()),
        },
        other => Some(other.to_string()),
    }
}

/// Whether an expression says nothing of the run: it names no variable.
pub(crate) fn is_free(expression: &Expression) -> bool {
    let text = expression.text().trim();
    !text.strip_prefix("${").unwrap_or(text).contains('$')
}

fn key_of(answers: Vec<String>) -> String {
    Value::from(answers).to_string()
}

/// The names under which an event of a type may be listened for: the type, its families from the nearest, every type.
pub fn names_of_type(r#type: &str) -> Vec<String> {
    let mut names = vec![r#type.to_owned()];
    let dots = r#type.char_indices().rev().filter(|(place, c)| *c == '.' && *place + 1 < r#type.len());
    names.extend(dots.take(MAX_FAMILIES).map(|(place, _)| format!("{}.*", &r#type[..place])));
    names.push("*".to_owned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_type_is_listened_for_by_its_families_too() {
        assert_eq!(names_of_type("a.b.c"), ["a.b.c", "a.b.*", "a.*", "*"]);
        assert_eq!(names_of_type("a"), ["a", "*"]);
        assert_eq!(names_of_type("a."), ["a.", "*"]);
    }

    #[test]
    fn an_event_answers_with_the_key_that_is_expected_of_it() {
        let interest = Interest {
            r#type: "a.b".into(),
            asks: vec![
                (Ask::Is("source".into()), "billing".into()),
                (Ask::Holds("data".into(), ".n > 3".into()), "true".into()),
                (Ask::Gives(".data.id".into()), "7".into()),
            ],
        };
        let (form, key) = interest.form_and_key(|name| format!("{name}-live"));
        let asked = Asked::new(&form);
        let event = |source: &str, n: i64, id: Value| json!({"source": source, "data": {"n": n, "id": id}});
        assert_eq!(asked.key(&event("billing-live", 4, json!(7))), Some(key.clone()));
        assert_eq!(asked.key(&event("billing-live", 4, json!("7"))), Some(key.clone()));
        assert_eq!(asked.key(&event("billing-live", 4, json!(7.0))), Some(key.clone()));
        assert_ne!(asked.key(&event("billing-live", 3, json!(7))), Some(key.clone()));
        assert_ne!(asked.key(&event("billing", 4, json!(7))), Some(key.clone()));
        assert_eq!(asked.key(&event("billing-live", 4, Value::Null)), None);
        assert_eq!(asked.key(&json!({"source": "billing-live", "data": "text"})), None);
        // As it is kept.
        let kept: Form = serde_json::from_str(&serde_json::to_string(&form).unwrap()).unwrap();
        assert_eq!(kept, form);
    }

    #[test]
    fn literal_data_must_be_there_with_all_its_fields() {
        let data = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        for (wanted, expected) in [
            (json!({}), true),
            (json!({"a": {"b": 1}}), true),
            (json!({"a": {"b": 2}}), false),
            (json!({"d": [1]}), true),
            (json!({"d": []}), false),
            (json!({"e": null}), false),
        ] {
            assert_eq!(contains(&data, &wanted), expected, "{wanted}");
        }
    }
}
