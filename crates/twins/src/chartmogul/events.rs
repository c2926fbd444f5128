//! `/subscription_events`: bodies under `subscription_event`, numeric ids.
//!
//! They mark changes for reports of contracted MRR; by the API reference they don't move MRR, and here they
//! don't.

use serde_json::{Map, Value, json};

use super::input::{self, Query};
use super::model::{Disabled, SubscriptionEvent};
use super::page::{self, Order, Wanted};
use super::reply::{self, Errors, Reply, message};
use super::state::State;
use super::table::Seq;
use super::time;
use crate::wire::Response;

const FIELDS: [&str; 13] = [
    "customer_external_id",
    "subscription_set_external_id",
    "subscription_external_id",
    "plan_external_id",
    "event_date",
    "effective_date",
    "event_type",
    "external_id",
    "quantity",
    "currency",
    "amount_in_cents",
    "tax_amount_in_cents",
    "retracted_event_id",
];

const TYPES: [&str; 9] = [
    "subscription_start",
    "subscription_start_scheduled",
    "scheduled_subscription_start_retracted",
    "subscription_cancelled",
    "subscription_cancellation_scheduled",
    "scheduled_subscription_cancellation_retracted",
    "subscription_updated",
    "subscription_update_scheduled",
    "scheduled_subscription_update_retracted",
];

fn missing() -> Response {
    reply::not_found("subscription_event", "Subscription event not found")
}

fn json(event: &SubscriptionEvent) -> Value {
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(event.id));
    body.insert("data_source_uuid".to_owned(), json!(event.source));
    for field in FIELDS {
        body.insert(field.to_owned(), event.fields.get(field).cloned().unwrap_or(Value::Null));
    }
    body.insert("errors".to_owned(), json!({}));
    body.insert("created_at".to_owned(), json!(time::seconds(event.created_at)));
    body.insert("updated_at".to_owned(), json!(time::seconds(event.updated_at)));
    body.insert("disabled".to_owned(), json!(event.disabled.0.is_some()));
    body.insert("disabled_at".to_owned(), json!(event.disabled.0.map(time::millis)));
    body.insert("disabled_by".to_owned(), Value::Null);
    Value::Object(body)
}

/// `GET /subscription_events` with its filters, newest first.
pub fn list(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let filters =
        ["external_id", "customer_external_id", "subscription_external_id", "plan_external_id", "event_type"];
    let fits = |event: &SubscriptionEvent| {
        query.get("data_source_uuid").is_none_or(|source| event.source == source)
            && filters.iter().all(|field| {
                let value = event.fields.get(*field).and_then(Value::as_str);
                query.get(field).is_none_or(|wanted| value == Some(wanted))
            })
    };
    let rows = state.events.iter().map(|(seq, event)| (*seq, event)).filter(|(_, event)| fits(event));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, event)| json(event)).collect();
    let cursor = page.cursor(|event| event.created_at);
    let mut body = page.body("subscription_events", rows, cursor);
    if wanted.first() {
        let next = page.rows.last().filter(|_| page.has_more).map(|(_, event)| event.id);
        body.insert(
            "meta".to_owned(),
            json!({
                "next_key": next,
                "prev_key": null,
                "before_key": time::millis(state.now),
                "page": 1,
                "total_pages": page.pages(&wanted),
            }),
        );
    }
    reply::ok(&Value::Object(body))
}

fn envelope(body: &Map<String, Value>) -> Result<&Map<String, Value>, Response> {
    let event = body.get("subscription_event").and_then(Value::as_object);
    event
        .ok_or_else(|| reply::coded(400, "JSON schema validation hasn't passed.", Some("subscription_event")))
}

/// Checks and sets what the body names.
fn apply(fields: &mut Map<String, Value>, event: &Map<String, Value>, errors: &mut Errors) {
    for field in FIELDS {
        let Some(value) = event.get(field) else { continue };
        let value = match field {
            "event_date" | "effective_date" => match input::instant(event, field, field, errors) {
                Some(at) => json!(time::seconds(at)),
                None => Value::Null,
            },
            "event_type" => {
                if !value.as_str().is_some_and(|text| TYPES.contains(&text)) {
                    errors.add(field, "is not included in the list");
                }
                value.clone()
            }
            _ => value.clone(),
        };
        fields.insert(field.to_owned(), value);
    }
}

/// `POST /subscription_events`.
pub fn create(state: &mut State, body: &Map<String, Value>) -> Reply {
    let event = envelope(body)?;
    let mut errors = Errors::default();
    let source = input::required(event, "data_source_uuid", "data_source_uuid", &mut errors);
    let external_id = input::text(event, "external_id");
    let needed =
        ["customer_external_id", "subscription_external_id", "event_date", "effective_date", "event_type"];
    for field in needed {
        input::required(event, field, field, &mut errors);
    }
    let key = external_id.map(|external_id| (external_id, source.clone()));
    if let Some(key) = key.as_ref().filter(|key| state.event_ids.contains_key(*key)) {
        state.counters.duplicate("subscription_event", &key.0);
        errors.add("external_id", message::TAKEN);
    }
    let mut fields = Map::new();
    apply(&mut fields, event, &mut errors);
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let seq = state.next();
    let event = SubscriptionEvent {
        id: 300_000_000 + seq,
        source,
        fields,
        disabled: Disabled::default(),
        created_at: state.now,
        updated_at: state.now,
    };
    let answer = json(&event);
    state.events.insert(seq, event);
    if let Some(key) = key {
        state.event_ids.insert(key, seq);
    }
    reply::created(&answer)
}

/// By `id`, or by `data_source_uuid` and `external_id`.
fn locate(state: &State, event: &Map<String, Value>) -> Result<Seq, Response> {
    if let Some(id) = input::integer(event, "id") {
        return by_id(state, &id.to_string());
    }
    let external_id = input::text(event, "external_id").unwrap_or_default();
    let source = input::text(event, "data_source_uuid").unwrap_or_default();
    state.event_ids.get(&(external_id, source)).copied().ok_or_else(missing)
}

fn by_id(state: &State, id: &str) -> Result<Seq, Response> {
    let seq = id.parse::<u64>().ok().and_then(|id| id.checked_sub(300_000_000)).ok_or_else(missing)?;
    if state.events.contains_key(&seq) { Ok(seq) } else { Err(missing()) }
}

/// `PATCH /subscription_events`.
pub fn update(state: &mut State, body: &Map<String, Value>) -> Reply {
    let named = envelope(body)?;
    let seq = locate(state, named)?;
    let now = state.now;
    let event = state.events.get_mut(&seq).ok_or_else(missing)?;
    let mut fields = event.fields.clone();
    let mut errors = Errors::default();
    apply(&mut fields, named, &mut errors);
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    event.fields = fields;
    event.updated_at = now;
    reply::ok(&json(event))
}

/// `DELETE /subscription_events`.
pub fn delete(state: &mut State, body: &Map<String, Value>) -> Reply {
    let seq = locate(state, envelope(body)?)?;
    let event = state.events.remove(&seq).ok_or_else(missing)?;
    if let Some(external_id) = event.fields.get("external_id").and_then(Value::as_str) {
        state.event_ids.remove(&(external_id.to_owned(), event.source));
    }
    reply::no_content()
}

/// `PATCH /subscription_events/{id}/disabled_state`.
pub fn set_disabled(state: &mut State, id: &str, body: &Map<String, Value>) -> Reply {
    let seq = by_id(state, id)?;
    let disabled = super::invoices::disabled_from(state, body);
    let event = state.events.get_mut(&seq).ok_or_else(missing)?;
    event.disabled = disabled;
    reply::ok(&json(event))
}
