//! Which endpoint a request means.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::crm::Kind;
use super::input::{self, Query};
use super::reply::{self, Reply};
use super::state::State;
use super::{
    activities, attributes, catalog, crm, customers, events, invoices, lines, merge, metrics, sources,
    subscriptions, transactions,
};
use crate::wire::{Request, Response};

/// Answers a request whose key was right, and counts it.
pub fn answer(state: &mut State, request: &Request) -> Response {
    state.counters.requests += 1;
    let segments: Vec<String> = request
        .path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", path @ ..] = segments.as_slice() else {
        return reply::coded(404, "Not found", None);
    };
    let query = Query::of(request);
    if request.method == "GET" {
        return read(state, path, &query).unwrap_or_else(|refused| refused);
    }
    let written = input::object(request).and_then(|body| write(state, &request.method, path, &query, &body));
    if written.is_ok() {
        *state.counters.writes.entry(endpoint(&request.method, path)).or_default() += 1;
    }
    written.unwrap_or_else(|refused| refused)
}

fn unknown() -> Response {
    reply::coded(404, "Not found", None)
}

fn read(state: &State, path: &[&str], query: &Query) -> Reply {
    match *path {
        ["ping"] => sources::ping(),
        ["account"] => sources::account(state),
        ["data_sources"] => sources::list(state, query),
        ["data_sources", uuid] => sources::retrieve(state, uuid, query),
        ["customers"] => customers::list(state, query),
        ["customers", "search"] => customers::search(state, query),
        ["customers", uuid] => customers::retrieve(state, uuid),
        ["customers", uuid, "attributes"] => attributes::retrieve(state, uuid),
        ["customers", uuid, "contacts"] => crm::list(state, Kind::Contact, Some(uuid), query),
        ["customers", uuid, "activities"] => activities::list_of_customer(state, uuid, query),
        ["customers", uuid, "subscriptions"] => subscriptions::list_metrics(state, uuid, query),
        ["activities"] => activities::list(state, query),
        ["plans"] => catalog::list_plans(state, query),
        ["plans", uuid] => catalog::retrieve_plan(state, uuid),
        ["plan_groups"] => catalog::list_groups(state, query),
        ["plan_groups", uuid] => catalog::retrieve_group(state, uuid),
        ["plan_groups", uuid, "plans"] => catalog::list_group_plans(state, uuid, query),
        ["invoices"] => invoices::list(state, query),
        ["invoices", uuid] => invoices::retrieve(state, uuid),
        ["import", "customers", uuid, "invoices"] => invoices::list_of_customer(state, uuid, query),
        ["import", "customers", uuid, "subscriptions"] => subscriptions::list_imported(state, uuid, query),
        ["line_items"] => lines::retrieve(state, None, query),
        ["line_items", uuid] => lines::retrieve(state, Some(uuid), query),
        ["transactions"] => transactions::list(state, query),
        ["transactions", uuid] => transactions::retrieve(state, uuid, query),
        ["subscription_events"] => events::list(state, query),
        ["metrics", metric] => metrics::answer(state, metric, query),
        [first] => crm::list(state, Kind::of(first).ok_or_else(unknown)?, None, query),
        [first, uuid] => crm::retrieve(state, Kind::of(first).ok_or_else(unknown)?, uuid),
        _ => Err(unknown()),
    }
}

fn write(state: &mut State, method: &str, path: &[&str], query: &Query, body: &Map<String, Value>) -> Reply {
    match method {
        "POST" => post(state, path, body),
        "PATCH" => patch(state, path, query, body),
        "PUT" => put(state, path, body),
        "DELETE" => delete(state, path, query, body),
        _ => Err(unknown()),
    }
}

fn post(state: &mut State, path: &[&str], body: &Map<String, Value>) -> Reply {
    match *path {
        ["data_sources"] => sources::create(state, body),
        ["customers"] => customers::create(state, body),
        ["customers", "merges"] => merge::merge(state, body),
        ["customers", "unmerges"] => merge::unmerge(state, body),
        ["customers", "attributes", kind @ ("tags" | "custom")] => {
            attributes::post_by_email(state, kind, body)
        }
        ["customers", uuid, "attributes", "tags"] => attributes::post_tags(state, uuid, body),
        ["customers", uuid, "attributes", "custom"] => attributes::post_custom(state, uuid, body),
        ["customers", uuid, "contacts"] => crm::create(state, Kind::Contact, Some(uuid), body),
        ["customers", uuid, "connect_subscriptions" | "disconnect_subscriptions"] => {
            subscriptions::connect(state, uuid, body)
        }
        ["contacts", into, "merge", from] => crm::merge(state, into, from),
        ["plans"] => catalog::create_plan(state, body),
        ["plan_groups"] => catalog::create_group(state, body),
        ["import", "customers", uuid, "invoices"] => invoices::import(state, uuid, body),
        ["import", "invoices", uuid, "transactions"] => transactions::create(state, uuid, body),
        ["import", "invoices", uuid, "line_items"] => lines::create(state, uuid, body),
        ["subscription_events"] => events::create(state, body),
        [first] => crm::create(state, Kind::of(first).ok_or_else(unknown)?, None, body),
        _ => Err(unknown()),
    }
}

fn patch(state: &mut State, path: &[&str], query: &Query, body: &Map<String, Value>) -> Reply {
    match *path {
        ["customers", uuid] => customers::update(state, uuid, body),
        ["plans", uuid] => catalog::update_plan(state, uuid, body),
        ["plan_groups", uuid] => catalog::update_group(state, uuid, body),
        ["invoices"] => invoices::update(state, None, query, body),
        ["invoices", "disabled_state"] => invoices::set_disabled(state, None, query, body),
        ["invoices", uuid] => invoices::update(state, Some(uuid), query, body),
        ["invoices", uuid, "disabled_state"] => invoices::set_disabled(state, Some(uuid), query, body),
        ["import", "subscriptions", uuid] => subscriptions::patch(state, uuid, body),
        ["line_items"] => lines::update(state, None, query, body),
        ["line_items", "disabled_state"] => lines::set_disabled(state, None, query, body),
        ["line_items", uuid] => lines::update(state, Some(uuid), query, body),
        ["line_items", uuid, "disabled_state"] => lines::set_disabled(state, Some(uuid), query, body),
        ["transactions"] => transactions::update(state, None, query, body),
        ["transactions", "disabled_state"] => transactions::set_disabled(state, None, query, body),
        ["transactions", uuid] => transactions::update(state, Some(uuid), query, body),
        ["transactions", uuid, "disabled_state"] => {
            transactions::set_disabled(state, Some(uuid), query, body)
        }
        ["subscription_events"] => events::update(state, body),
        ["subscription_events", id, "disabled_state"] => events::set_disabled(state, id, body),
        [first, uuid] => crm::update(state, Kind::of(first).ok_or_else(unknown)?, uuid, body),
        _ => Err(unknown()),
    }
}

fn put(state: &mut State, path: &[&str], body: &Map<String, Value>) -> Reply {
    match *path {
        ["customers", uuid, "attributes", "custom"] => attributes::put_custom(state, uuid, body),
        ["data_sources", source, "invoices", external_id, "status"] => {
            invoices::set_status(state, source, external_id, body)
        }
        _ => Err(unknown()),
    }
}

fn delete(state: &mut State, path: &[&str], query: &Query, body: &Map<String, Value>) -> Reply {
    match *path {
        ["data_sources", uuid] => sources::delete(state, uuid),
        ["data_sources", source, "customers", customer, "invoices"] => {
            invoices::delete_all(state, source, customer)
        }
        ["customers", uuid] => customers::delete(state, uuid),
        ["customers", uuid, "attributes", "tags"] => attributes::delete_tags(state, uuid, body),
        ["customers", uuid, "attributes", "custom"] => attributes::delete_custom(state, uuid, body),
        ["plans", uuid] => catalog::delete_plan(state, uuid),
        ["plan_groups", uuid] => catalog::delete_group(state, uuid),
        ["invoices"] => invoices::delete(state, None, query),
        ["invoices", uuid] => invoices::delete(state, Some(uuid), query),
        ["line_items"] => lines::delete(state, None, query),
        ["line_items", uuid] => lines::delete(state, Some(uuid), query),
        ["transactions"] => transactions::delete(state, None, query),
        ["transactions", uuid] => transactions::delete(state, Some(uuid), query),
        ["subscription_events"] => events::delete(state, body),
        [first, uuid] => crm::delete(state, Kind::of(first).ok_or_else(unknown)?, uuid),
        _ => Err(unknown()),
    }
}

/// Path segments that are words of the API; any other is an id.
const WORDS: [&str; 27] = [
    "attributes",
    "connect_subscriptions",
    "contacts",
    "custom",
    "customer_notes",
    "customers",
    "data_sources",
    "disabled_state",
    "disconnect_subscriptions",
    "import",
    "invoices",
    "line_items",
    "merge",
    "merges",
    "opportunities",
    "plan_groups",
    "plans",
    "search",
    "status",
    "subscription_events",
    "subscriptions",
    "tags",
    "tasks",
    "transactions",
    "unmerges",
    "activities",
    "metrics",
];

/// `POST /import/customers/:id/invoices`.
fn endpoint(method: &str, path: &[&str]) -> String {
    let mut name = format!("{method} ");
    for segment in path {
        name.push('/');
        name.push_str(if WORDS.contains(segment) { segment } else { ":id" });
    }
    name
}
