//! Contacts, notes, opportunities and tasks: records beside the billing, kept and handed back.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::customers;
use super::input::{self, Query};
use super::model::Entry;
use super::page::{self, Order, Wanted};
use super::reply::{self, Reply};
use super::state::State;
use super::table::{Seq, Table};
use super::time;
use crate::wire::Response;

/// What kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Contact,
    Note,
    Opportunity,
    Task,
}

const KINDS: [Kind; 4] = [Kind::Contact, Kind::Note, Kind::Opportunity, Kind::Task];

impl Kind {
    /// From the path's first segment.
    pub fn of(segment: &str) -> Option<Kind> {
        match segment {
            "contacts" => Some(Kind::Contact),
            "customer_notes" => Some(Kind::Note),
            "opportunities" => Some(Kind::Opportunity),
            "tasks" => Some(Kind::Task),
            _ => None,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Contact => "con_",
            Kind::Note => "note_",
            Kind::Opportunity | Kind::Task => "",
        }
    }

    /// The fields a client may set.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Contact => &[
                "external_id",
                "position",
                "first_name",
                "last_name",
                "title",
                "email",
                "phone",
                "linked_in",
                "twitter",
                "notes",
                "custom",
            ],
            Kind::Note => &["type", "text", "call_duration", "author_email"],
            Kind::Opportunity => &[
                "owner",
                "pipeline",
                "pipeline_stage",
                "estimated_close_date",
                "currency",
                "amount_in_cents",
                "type",
                "forecast_category",
                "win_likelihood",
                "custom",
            ],
            Kind::Task => &["task_details", "assignee", "due_date", "completed_at"],
        }
    }

    fn table(self, state: &State) -> &Table<Entry> {
        match self {
            Kind::Contact => &state.contacts,
            Kind::Note => &state.notes,
            Kind::Opportunity => &state.opportunities,
            Kind::Task => &state.tasks,
        }
    }

    fn table_mut(self, state: &mut State) -> &mut Table<Entry> {
        match self {
            Kind::Contact => &mut state.contacts,
            Kind::Note => &mut state.notes,
            Kind::Opportunity => &mut state.opportunities,
            Kind::Task => &mut state.tasks,
        }
    }

    fn missing(self) -> Response {
        let (param, title) = match self {
            Kind::Contact => ("contact", "Contact not found"),
            Kind::Note => ("note", "Note not found"),
            Kind::Opportunity => ("opportunity", "Opportunity not found"),
            Kind::Task => ("task", "Task not found"),
        };
        reply::coded(404, title, Some(param))
    }
}

fn find(state: &State, kind: Kind, uuid: &str) -> Result<Seq, Response> {
    kind.table(state).seq_of(uuid).ok_or_else(|| kind.missing())
}

fn json(state: &State, kind: Kind, entry: &Entry) -> Value {
    let customer = state.customers.get(entry.customer);
    let mut body = Map::new();
    let uuid_key = if kind == Kind::Task { "task_uuid" } else { "uuid" };
    body.insert(uuid_key.to_owned(), json!(entry.uuid));
    body.insert("customer_uuid".to_owned(), json!(customer.map(|customer| &customer.uuid)));
    if kind == Kind::Contact {
        let (source, external_id) = customer.map_or(("", ""), |customer| customer.primary());
        body.insert("customer_external_id".to_owned(), json!(external_id));
        body.insert("data_source_uuid".to_owned(), json!(source));
    }
    for field in kind.fields() {
        let value = entry.fields.get(*field).cloned().unwrap_or(Value::Null);
        match *field {
            "author_email" => {
                let email = value.as_str().unwrap_or("api@example.com");
                body.insert("author".to_owned(), json!(format!("Tributary ({email})")));
            }
            "call_duration" => {
                body.insert("call_duration".to_owned(), json!(value.as_i64().unwrap_or(0)));
            }
            "custom" => {
                let map = if value.is_null() { json!({}) } else { value };
                body.insert("custom".to_owned(), map);
            }
            _ => {
                body.insert((*field).to_owned(), value);
            }
        }
    }
    if kind != Kind::Contact {
        body.insert("created_at".to_owned(), json!(time::millis(entry.created_at)));
        body.insert("updated_at".to_owned(), json!(time::millis(entry.updated_at)));
    }
    Value::Object(body)
}

/// Sets what the body names. Custom fields come as a list of key and value and are shown as a map.
fn apply(kind: Kind, fields: &mut Map<String, Value>, body: &Map<String, Value>) {
    for field in kind.fields() {
        let Some(value) = body.get(*field) else { continue };
        let value = match (*field, value) {
            ("custom", Value::Array(list)) => {
                let mut map = fields.get("custom").and_then(Value::as_object).cloned().unwrap_or_default();
                for one in list {
                    if let Some(key) = one["key"].as_str() {
                        map.insert(key.to_owned(), one["value"].clone());
                    }
                }
                Value::Object(map)
            }
            ("due_date" | "completed_at", Value::String(text)) => {
                time::parse(text).map_or(Value::Null, |at| json!(time::millis(at)))
            }
            _ => value.clone(),
        };
        fields.insert((*field).to_owned(), value);
    }
}

/// `GET /contacts`, `GET /customers/{uuid}/contacts` and the like; newest first.
pub fn list(state: &State, kind: Kind, customer: Option<&str>, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let customer = customer.or_else(|| query.get("customer_uuid")).map(|uuid| state.customers.seq_of(uuid));
    let email = query.get("email");
    let fits = |entry: &Entry| {
        customer.is_none_or(|customer| customer == Some(entry.customer))
            && email.is_none_or(|email| entry.fields.get("email").and_then(Value::as_str) == Some(email))
    };
    let rows = kind.table(state).iter().filter(|(_, entry)| fits(entry));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, entry)| json(state, kind, entry)).collect();
    let cursor = page.cursor(|entry| entry.created_at);
    reply::ok(&Value::Object(page.body("entries", rows, cursor)))
}

pub fn retrieve(state: &State, kind: Kind, uuid: &str) -> Reply {
    let entry = kind.table(state).find(uuid).ok_or_else(|| kind.missing())?;
    reply::ok(&json(state, kind, entry))
}

/// `POST /contacts`, `POST /customers/{uuid}/contacts` and the like.
pub fn create(state: &mut State, kind: Kind, customer: Option<&str>, body: &Map<String, Value>) -> Reply {
    let named = input::text(body, "customer_uuid").unwrap_or_default();
    let customer = customers::seq(state, customer.unwrap_or(&named))?;
    let needed = match kind {
        Kind::Contact => None,
        Kind::Note => Some("type"),
        Kind::Opportunity => Some("pipeline"),
        Kind::Task => Some("task_details"),
    };
    if let Some(field) = needed.filter(|field| input::text(body, field).is_none()) {
        return Err(reply::coded(422, &format!("Parameter {field} is missing"), Some(field)));
    }
    let now: Timestamp = state.now;
    let uuid = state.uuid(kind.prefix());
    let mut fields = Map::new();
    if kind == Kind::Contact {
        let others = state.contacts.iter().filter(|(_, entry)| entry.customer == customer).count();
        fields.insert("position".to_owned(), json!(others + 1));
    }
    apply(kind, &mut fields, body);
    let entry = Entry { uuid, customer, fields, created_at: now, updated_at: now };
    let answer = json(state, kind, &entry);
    let seq = state.next();
    kind.table_mut(state).insert(seq, &entry.uuid.clone(), entry);
    reply::created(&answer)
}

pub fn update(state: &mut State, kind: Kind, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = find(state, kind, uuid)?;
    let now = state.now;
    let entry = kind.table_mut(state).get_mut(seq).ok_or_else(|| kind.missing())?;
    apply(kind, &mut entry.fields, body);
    entry.updated_at = now;
    retrieve(state, kind, uuid)
}

/// Deletions of these records are answered 200 with an empty object.
pub fn delete(state: &mut State, kind: Kind, uuid: &str) -> Reply {
    let seq = find(state, kind, uuid)?;
    kind.table_mut(state).remove(seq, uuid);
    reply::ok(&json!({}))
}

/// `POST /contacts/{into}/merge/{from}`: what `into` lacks comes from `from`.
pub fn merge(state: &mut State, into: &str, from: &str) -> Reply {
    let (kept, gone) = (find(state, Kind::Contact, into)?, find(state, Kind::Contact, from)?);
    if kept == gone {
        return Err(reply::coded(422, "A contact can't be merged into itself", Some("contact")));
    }
    let Some(gone) = state.contacts.remove(gone, from) else { return Err(Kind::Contact.missing()) };
    if let Some(kept) = state.contacts.get_mut(kept) {
        for (key, value) in gone.fields {
            if kept.fields.get(&key).is_none_or(Value::is_null) {
                kept.fields.insert(key, value);
            }
        }
    }
    retrieve(state, Kind::Contact, into)
}

/// A deleted customer's records go with it.
pub fn remove_of(state: &mut State, customer: Seq) {
    for kind in KINDS {
        let table = kind.table_mut(state);
        let rows = table.iter().filter(|(_, entry)| entry.customer == customer);
        let gone: Vec<(Seq, String)> = rows.map(|(seq, entry)| (seq, entry.uuid.clone())).collect();
        for (seq, uuid) in gone {
            table.remove(seq, &uuid);
        }
    }
}

/// A merged customer's records go to the one that is kept.
pub fn move_to(state: &mut State, from: Seq, to: Seq) {
    for kind in KINDS {
        let table = kind.table_mut(state);
        let rows = table.iter().filter(|(_, entry)| entry.customer == from);
        let moved: Vec<Seq> = rows.map(|(seq, _)| seq).collect();
        for seq in moved {
            if let Some(entry) = table.get_mut(seq) {
                entry.customer = to;
            }
        }
    }
}
