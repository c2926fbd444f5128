//! The `asking` section: people are asked by messages with buttons, in a chat that tells of clicks.
//!
//! What stands in a message is the vendor's affair: expressions in the manifest say it, of the question as
//! [`Asking::message`] and [`Asking::outcome`] are given it.

use std::collections::BTreeMap;

use flow::Fault;
use flow::expression::Expression;
use serde_json::{Map, Value, json};

use super::Manifest;
use super::reader::{At, Fields, Reader};
use crate::path::Path;

/// How people are asked by buttons.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The operation that asks, by full name.
    operation: String,
    with: Expression,
    /// What is kept of its answer, to change the message by.
    place: Vec<(String, Path)>,
    clicked: Clicked,
    person: PersonRead,
    outcome: Call,
    refused: Call,
}

/// Which event a click is, and what it says.
#[derive(Clone, Debug)]
struct Clicked {
    /// With the slug.
    r#type: String,
    value: Path,
    person: Path,
}

/// Who it is that clicked.
#[derive(Clone, Debug)]
struct PersonRead {
    operation: String,
    argument: String,
    names: Expression,
}

/// An operation, and the expression of its arguments.
#[derive(Clone, Debug)]
struct Call {
    operation: String,
    with: Expression,
}

/// A button that was pressed: what it carries, and the vendor's name for who did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed<'a> {
    pub value: &'a str,
    pub person: &'a str,
}

impl Asking {
    /// The operation that asks, by full name.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The arguments of the message that asks. `question`: `{with, title, body, text, note, choices: [{n, label, value}]}`,
    /// where `with` is what the flow gives.
    pub fn message(&self, question: &Value) -> Result<Value, Fault> {
        evaluate(&self.with, question)
    }

    /// Where the message stands, by the answer to what sent it.
    pub fn place(&self, answer: &Value) -> Value {
        let found = |(name, path): &(String, Path)| Some((name.clone(), path.get(answer)?.clone()));
        Value::Object(self.place.iter().filter_map(found).collect())
    }

    /// The button that an event tells of, if it does.
    pub fn pressed<'a>(&self, r#type: &str, data: &'a Value) -> Option<Pressed<'a>> {
        let Clicked { r#type: wanted, value, person } = &self.clicked;
        let text = |path: &Path| path.get(data)?.as_str();
        (r#type == wanted).then_some(())?;
        Some(Pressed { value: text(value)?, person: text(person)? })
    }

    /// The operation that says who somebody is, and its arguments.
    pub fn who(&self, person: &str) -> (&str, Value) {
        let argument = Map::from_iter([(self.person.argument.clone(), Value::from(person))]);
        (&self.person.operation, Value::Object(argument))
    }

    /// The names that somebody can be believed to have, by what the vendor says of them; `about` is null where it does
    /// not say.
    pub fn names(&self, person: &str, about: &Value, place: &Value) -> Result<Vec<String>, Fault> {
        let known = json!({"person": person, "about": about, "place": place});
        let names = evaluate(&self.person.names, &known)?;
        let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(names.filter(|name| !name.trim().is_empty()).map(str::to_owned).collect())
    }

    /// The operation that has the message show what became of the question, and its arguments. `question`: `{place,
    /// title, body, note}`.
    pub fn outcome(&self, question: &Value) -> Result<(&str, Value), Fault> {
        Ok((&self.outcome.operation, evaluate(&self.outcome.with, question)?))
    }

    /// The operation that tells somebody that their click does not count, and its arguments. `refused`: `{place, person,
    /// detail}`.
    pub fn refused(&self, refused: &Value) -> Result<(&str, Value), Fault> {
        Ok((&self.refused.operation, evaluate(&self.refused.with, refused)?))
    }
}

fn evaluate(expression: &Expression, input: &Value) -> Result<Value, Fault> {
    expression.evaluate(input, &BTreeMap::new())
}

pub(super) fn section(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Asking> {
    let fields = reader.fields(
        at,
        "`asking`",
        &["operation", "with", "place", "clicked", "who", "outcome", "refused"],
    );
    let operation = format!("{slug}.{}", reader.required_text(&fields, "operation"));
    let with = expression(reader, &fields, "with");
    let place = reader.required(&fields, "place").map(|at| at.entries()).unwrap_or_default();
    let place: Vec<_> =
        place.into_iter().filter_map(|(field, at)| Some((field.name.clone(), reader.path(&at)?))).collect();
    let clicked = reader.required(&fields, "clicked").and_then(|at| clicked(reader, &at, slug));
    let person = reader.required(&fields, "who").and_then(|at| person(reader, &at, slug));
    let mut call = |name: &str| reader.required(&fields, name).and_then(|at| call(reader, &at, slug));
    let (outcome, refused) = (call("outcome"), call("refused"));
    Some(Asking {
        operation,
        with: with?,
        place,
        clicked: clicked?,
        person: person?,
        outcome: outcome?,
        refused: refused?,
    })
}

fn clicked(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Clicked> {
    let fields = reader.fields(at, "`clicked`", &["type", "value", "person"]);
    let r#type = format!("{slug}.{}", reader.required_text(&fields, "type"));
    let mut path = |name: &str| reader.required(&fields, name).and_then(|at| reader.path(&at));
    let (value, person) = (path("value"), path("person"));
    Some(Clicked { r#type, value: value?, person: person? })
}

fn person(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<PersonRead> {
    let fields = reader.fields(at, "`who`", &["operation", "argument", "names"]);
    let operation = format!("{slug}.{}", reader.required_text(&fields, "operation"));
    let argument = reader.required_text(&fields, "argument");
    Some(PersonRead { operation, argument, names: expression(reader, &fields, "names")? })
}

fn call(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Call> {
    let fields = reader.fields(at, "a call", &["operation", "with"]);
    let operation = format!("{slug}.{}", reader.required_text(&fields, "operation"));
    Some(Call { operation, with: expression(reader, &fields, "with")? })
}

fn expression(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<Expression> {
    let at = reader.required(fields, name)?;
    let text = reader.text(&at)?;
    match Expression::parse(&text) {
        Ok(expression) => Some(expression),
        Err(problems) => {
            for problem in problems {
                reader.problem(&at, "manifest_expression", problem.message);
            }
            None
        }
    }
}

/// Operations that the section names and the manifest must have.
pub(super) fn references(reader: &mut Reader<'_>, at: &At<'_>, manifest: &Manifest) {
    let Some(asking) = &manifest.asking else { return };
    let Asking { operation, person, outcome, refused, .. } = asking;
    let prefix = format!("{}.", manifest.slug);
    let names = manifest.operations.names();
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(prefix.as_str())).collect();
    for name in [operation, &person.operation, &outcome.operation, &refused.operation] {
        if manifest.operations.get(name).is_none() {
            let short = name.strip_prefix(prefix.as_str()).unwrap_or(name);
            reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", short, &names);
        }
    }
    if manifest.webhook.is_none() {
        reader.problem(at, "manifest_missing", "nobody tells of clicks: `triggers` have no `webhook`");
    }
}
