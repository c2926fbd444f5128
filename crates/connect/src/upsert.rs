//! A record made as it is wanted: read, compared, and written only where it differs.
//!
//! | what is there | what is written | outcome |
//! |---|---|---|
//! | nothing | the record, with everything that is given | `created` |
//! | one record, which says all that is given | nothing | `unchanged` |
//! | one record that differs in a field that is owned | those fields, and no others | `updated` |
//! | several records | nothing: which is meant is a guess | `ambiguous` |
//!
//! The write is one of the manifest's own, exact before it is sent, and repeated as that one is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::credentials::Connection;
use crate::encode;
use crate::error::Error;
use crate::lookup::Asking;
use crate::manifest::{Encoding, Manifest, Operation, Upsert};
use crate::prepare::{Prepared, argument, ask, check, prepare};
use crate::transport::Transport;

/// The argument that says which fields are the caller's.
pub(crate) const FIELDS: &str = "fields";
/// Records that are told where several are there.
const TOLD_MAX: usize = 10;

/// What an upsert comes down to.
#[derive(Clone, Debug)]
pub enum Upserted {
    /// Nothing is to be written; this is its output.
    Done(Value),
    /// This is to be sent.
    Write(Box<Prepared>),
}

/// Which write an upsert came down to, and what its output says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Full name of the operation that is sent.
    pub operation: String,
    /// `created` or `updated`.
    pub outcome: String,
    /// The fields that are written.
    pub changed: Vec<String>,
}

impl Chosen {
    /// The upsert's output, by that of its write.
    pub fn output(&self, record: Value) -> Value {
        output(&self.outcome, record, &self.changed)
    }
}

fn output(outcome: &str, record: Value, changed: &[String]) -> Value {
    json!({"outcome": outcome, "record": record, "changed": changed})
}

/// Reads and compares. `key` is the effect's, as for [`prepare`].
pub async fn upsert(
    transport: &dyn Transport,
    connection: &Connection,
    manifest: &Manifest,
    operation: &Operation,
    args: &Value,
    key: &str,
    now: Timestamp,
) -> Result<Upserted, Error> {
    let Some(rule) = &operation.upsert else {
        return Err(Error::fatal("operation_composite", format!("{} is no upsert", operation.name)));
    };
    let empty = Map::new();
    let given = args.as_object().unwrap_or(&empty);
    check(operation, given)?;
    let owned = owned(operation, rule, given)?;
    let question = ask(operation, &rule.find, args, &Value::Null, key)?;
    let asking = Asking { transport, connection, manifest, now };
    let mut found = asking.all(&rule.find, &question).await?;
    if found.len() > 1 {
        found.truncate(TOLD_MAX);
        let mut output = output("ambiguous", Value::Null, &[]);
        output["records"] = found.into();
        return Ok(Upserted::Done(output));
    }
    let Some(record) = found.pop() else {
        let write = |name: &&String| takes(manifest, &rule.create, name);
        let with: Map<String, Value> = fields(given)
            .filter(|(name, _)| write(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let changed = with.keys().filter(|name| rule.is_field(name)).cloned().collect();
        return chosen(manifest, &rule.create, "created", with, changed, key);
    };
    // A form has texts only: whoever takes one answers numbers as texts where it has no type for them.
    let as_text =
        manifest.operation(&rule.update).is_some_and(|update| matches!(update.encoding, Encoding::Form));
    let differs = |name: &String, value: &Value| {
        let there = rule.place(name).find(&record, None).value();
        !says(there.unwrap_or(&Value::Null), value, as_text)
    };
    let changed: Vec<String> = fields(given)
        .filter(|(name, value)| owned.contains(name) && differs(name, value))
        .map(|(name, _)| name.clone())
        .collect();
    if changed.is_empty() {
        return Ok(Upserted::Done(output("unchanged", record, &[])));
    }
    let mut with: Map<String, Value> = rule
        .update_with
        .iter()
        .map(|(name, path)| (name.clone(), path.get(&record).cloned().unwrap_or_default()))
        .collect();
    with.extend(changed.iter().filter_map(|name| Some((name.clone(), given.get(name)?.clone()))));
    chosen(manifest, &rule.update, "updated", with, changed, key)
}

/// What is given, but for what says how. Null is not given: what is not known erases nothing.
fn fields(given: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    given.iter().filter(|(name, value)| !value.is_null() && *name != FIELDS)
}

fn takes(manifest: &Manifest, operation: &str, name: &str) -> bool {
    let operation = manifest.operation(operation);
    operation.is_some_and(|operation| operation.params.iter().any(|param| param.name == name))
}

fn chosen(
    manifest: &Manifest,
    name: &str,
    outcome: &str,
    with: Map<String, Value>,
    changed: Vec<String>,
    key: &str,
) -> Result<Upserted, Error> {
    let operation = manifest
        .operation(name)
        .ok_or_else(|| Error::fatal("operation_composite", format!("there is no operation {name}")))?;
    let mut prepared = prepare(manifest, operation, &Value::Object(with), key)?;
    prepared.upsert = Some(Chosen { operation: name.to_owned(), outcome: outcome.to_owned(), changed });
    Ok(Upserted::Write(Box::new(prepared)))
}

/// The fields that may be changed: those of `fields.owned`, or all that are given.
fn owned<'a>(
    operation: &Operation,
    rule: &Upsert,
    given: &'a Map<String, Value>,
) -> Result<Vec<&'a String>, Error> {
    let all = given.keys().filter(|name| rule.is_field(name));
    let Some(named) = given.get(FIELDS).filter(|fields| !fields.is_null()) else { return Ok(all.collect()) };
    let wrong = |detail: String| argument(operation, FIELDS, "argument_type", detail);
    let members = named.as_object().ok_or_else(|| wrong("`fields` is `{owned: […]}`".to_owned()))?;
    if let Some(other) = members.keys().find(|name| *name != "owned") {
        return Err(wrong(format!("`fields` has `owned`, and no `{other}`")));
    }
    let names = members.get("owned").and_then(Value::as_array);
    let names = names.ok_or_else(|| wrong("`fields.owned` is a list of names".to_owned()))?;
    for name in names {
        let name = name.as_str().ok_or_else(|| wrong("`fields.owned` is a list of names".to_owned()))?;
        if !rule.is_field(name) {
            let near = flow::nearest::nearest(name, rule.fields.iter().map(|(name, _)| name.as_str()));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(wrong(format!("`fields.owned`: there is no field `{name}`{hint}")));
        }
    }
    Ok(all.filter(|name| names.iter().any(|owned| owned.as_str() == Some(name))).collect())
}

/// Whether a record says at least what is wanted: numbers by value, objects by the members that are given, an empty text
/// as nothing; `as_text`: what was sent as a text may be one there.
fn says(there: &Value, wanted: &Value, as_text: bool) -> bool {
    let one = |there: &Value, wanted: &Value| says(there, wanted, as_text);
    match (there, wanted) {
        (Value::Null, Value::String(text)) => text.is_empty(),
        (Value::Null, Value::Object(members)) => members.values().all(|value| one(&Value::Null, value)),
        (Value::Number(there), Value::Number(wanted)) => {
            there == wanted || there.as_f64().zip(wanted.as_f64()).is_some_and(|(one, other)| one == other)
        }
        (Value::String(there), Value::Number(wanted)) if as_text => *there == encode::number(wanted),
        (Value::String(there), Value::Bool(wanted)) if as_text => *there == wanted.to_string(),
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| one(there.get(name).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(there, wanted)| one(there, wanted))
        }
        (there, wanted) => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_is_wanted_or_not() {
        for (there, wanted, same) in [
            (json!("a"), json!("a"), true),
            (json!("a"), json!("A"), false),
            (json!(null), json!(""), true),
            (json!(null), json!("a"), false),
            (json!(""), json!(null), false),
            (json!(1.0), json!(1), true),
            (json!(1), json!("1"), false),
            (json!({"a": 1, "b": 2}), json!({"a": 1}), true),
            (json!({"a": 1}), json!({"a": 1, "b": ""}), true),
            (json!({"a": 1}), json!({"b": 2}), false),
            (json!(null), json!({"a": ""}), true),
            (json!([1, 2]), json!([1, 2]), true),
            (json!([1, 2]), json!([2, 1]), false),
            (json!([1]), json!([]), false),
        ] {
            assert_eq!(says(&there, &wanted, false), same, "{there} {wanted}");
        }
        for (there, wanted, same) in [
            (json!("5"), json!(5), true),
            (json!("5"), json!(6), false),
            (json!({"vip": "true"}), json!({"vip": true}), true),
            (json!("1"), json!(true), false),
            (json!(5), json!("5"), false),
        ] {
            assert_eq!(says(&there, &wanted, true), same, "{there} {wanted}");
        }
    }
}
