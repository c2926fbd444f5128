//! `/customers/{uuid}/attributes`: tags and custom attributes.

use serde_json::{Map, Value, json};

use super::customers;
use super::input;
use super::reply::{self, Errors, Reply};
use super::state::State;
use super::table::Seq;
use super::time;
use crate::wire::Response;

/// `GET /customers/{uuid}/attributes`.
pub fn retrieve(state: &State, uuid: &str) -> Reply {
    let customer = customers::get(state, customers::seq(state, uuid)?)?;
    reply::ok(&json!({"tags": customer.tags, "stripe": {}, "custom": customer.custom}))
}

/// Adds the tags that are not there yet, in order.
pub fn add_tags(tags: &mut Vec<String>, more: &Value) {
    for tag in more.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !tag.is_empty() && !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
}

/// Sets attributes of a map. Times are kept in the form the API answers with.
pub fn merge(custom: &mut Map<String, Value>, map: &Map<String, Value>) {
    for (key, value) in map {
        let was_time = custom.get(key).and_then(Value::as_str).is_some_and(is_answered_time);
        let value = match value.as_str().and_then(time::parse) {
            Some(at) if was_time => Value::from(time::millis(at)),
            _ => value.clone(),
        };
        custom.insert(key.clone(), value);
    }
}

fn is_answered_time(text: &str) -> bool {
    time::parse(text).is_some_and(|at| time::millis(at) == text)
}

/// Sets attributes of a list of `{type, key, value}`.
pub fn add_typed(custom: &mut Map<String, Value>, typed: &[Value], errors: &mut Errors) {
    for attribute in typed {
        let key = attribute["key"].as_str().unwrap_or_default();
        let value = &attribute["value"];
        let fits = match attribute["type"].as_str() {
            Some("String") | None => value.as_str().map(|text| json!(text)),
            Some("Integer") => value.as_i64().map(|number| json!(number)),
            Some("Decimal") => value.is_number().then(|| value.clone()),
            Some("Timestamp") => value.as_str().and_then(time::parse).map(|at| json!(time::millis(at))),
            Some("Boolean") => value.as_bool().map(|flag| json!(flag)),
            Some(_) => None,
        };
        match fits {
            Some(value) if !key.is_empty() => {
                custom.insert(key.to_owned(), value);
            }
            _ => errors.add("custom", &format!("the value of {key:?} does not have its type")),
        }
    }
}

/// `POST /customers/{uuid}/attributes/tags`: the full list comes back.
pub fn post_tags(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let customer = customers::get_mut(state, seq)?;
    add_tags(&mut customer.tags, body.get("tags").unwrap_or(&Value::Null));
    reply::ok(&json!({"tags": customer.tags}))
}

/// `DELETE /customers/{uuid}/attributes/tags`: the remaining ones come back.
pub fn delete_tags(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let customer = customers::get_mut(state, seq)?;
    let gone: Vec<&str> = names(body, "tags");
    customer.tags.retain(|tag| !gone.contains(&tag.as_str()));
    reply::ok(&json!({"tags": customer.tags}))
}

/// `POST /customers/{uuid}/attributes/custom`: a typed list.
pub fn post_custom(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let custom = &mut customers::get_mut(state, seq)?.custom;
    set_typed(custom, body)?;
    reply::ok(&json!({"custom": custom}))
}

fn set_typed(custom: &mut Map<String, Value>, body: &Map<String, Value>) -> Result<(), Response> {
    let mut errors = Errors::default();
    match body.get("custom") {
        Some(Value::Array(typed)) => add_typed(custom, typed, &mut errors),
        _ => errors.add("custom", "must be a list of attributes with type, key and value"),
    }
    if errors.is_empty() { Ok(()) } else { Err(reply::invalid(&errors)) }
}

/// `PUT /customers/{uuid}/attributes/custom`: a map.
pub fn put_custom(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let custom = &mut customers::get_mut(state, seq)?.custom;
    let Some(Value::Object(map)) = body.get("custom") else {
        return Err(reply::invalid_field("custom", "must be a map"));
    };
    merge(custom, map);
    reply::ok(&json!({"custom": custom}))
}

/// `DELETE /customers/{uuid}/attributes/custom`.
pub fn delete_custom(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let custom = &mut customers::get_mut(state, seq)?.custom;
    for key in names(body, "custom") {
        custom.shift_remove(key);
    }
    reply::no_content()
}

fn names<'a>(body: &'a Map<String, Value>, key: &str) -> Vec<&'a str> {
    body.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `POST /customers/attributes/tags` and `…/custom` with an `email`: for all customers who have it.
pub fn post_by_email(state: &mut State, kind: &str, body: &Map<String, Value>) -> Reply {
    let email = input::text(body, "email").unwrap_or_default().to_lowercase();
    let bounds = (email.clone(), 0)..=(email.clone(), Seq::MAX);
    let found: Vec<Seq> = state.customer_emails.range(bounds).map(|(_, seq)| *seq).collect();
    if email.is_empty() || found.is_empty() {
        let text = format!("Can't find any customers with email: \"{email}\"");
        return Err(reply::coded(404, &text, Some("email")));
    }
    for seq in &found {
        let customer = customers::get_mut(state, *seq)?;
        match kind {
            "tags" => add_tags(&mut customer.tags, body.get("tags").unwrap_or(&Value::Null)),
            _ => set_typed(&mut customer.custom, body)?,
        }
    }
    let rows = found.iter().filter_map(|seq| Some(customers::json(state, *seq, state.customers.get(*seq)?)));
    reply::ok(&json!({"entries": rows.collect::<Vec<_>>()}))
}
