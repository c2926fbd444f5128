//! Subscriptions: made by invoices, cancelled here.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::customers;
use super::input::Query;
use super::model::{Line, Service, Subscription};
use super::page::{self, Order, Wanted};
use super::reply::{self, Errors, Reply};
use super::state::{State, currency_sign};
use super::table::Seq;
use super::time;
use crate::wire::Response;

fn missing() -> Response {
    reply::not_found("subscription", "Subscription not found")
}

fn json(state: &State, row: &Subscription, with_customer: bool) -> Value {
    let dates: Vec<String> = row.cancellation_dates.iter().map(|at| time::millis(*at)).collect();
    let mut body = json!({"external_id": row.external_id, "uuid": row.uuid, "cancellation_dates": dates});
    if let Some(set) = &row.set_external_id {
        body["subscription_set_external_id"] = json!(set);
    }
    if with_customer {
        body["customer_uuid"] = json!(state.customers.get(row.customer).map(|customer| &customer.uuid));
    }
    body["plan_uuid"] = json!(state.plans.get(row.plan).map(|plan| &plan.uuid));
    body["data_source_uuid"] = json!(row.source);
    body
}

/// `GET /import/customers/{uuid}/subscriptions`.
pub fn list_imported(state: &State, uuid: &str, query: &Query) -> Reply {
    let customer = state.customers.find(uuid);
    let customer = customer.ok_or_else(|| reply::not_found("customer", "Customer not found"))?;
    let wanted = Wanted::of(query);
    let rows = customer.subscriptions.iter();
    let rows = rows.filter_map(|seq| Some((*seq, state.subscriptions.get(*seq)?)));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, row)| json(state, row, false)).collect();
    let cursor = page.cursor(|row| row.created_at);
    let mut body = page.numbered("subscriptions", rows, cursor, &wanted);
    body.insert("customer_uuid".to_owned(), json!(uuid));
    reply::ok(&Value::Object(body))
}

/// `PATCH /import/subscriptions/{uuid}`, answered 202. `cancellation_dates` replaces all dates, so that an empty
/// list takes every cancellation back; `cancelled_at` adds one date, null clears them. Dates may lie ahead.
pub fn patch(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = state.subscriptions.seq_of(uuid).ok_or_else(missing)?;
    let mut errors = Errors::default();
    let read = |value: &Value| value.as_str().and_then(time::parse);
    let mut replaced: Option<Vec<Timestamp>> = None;
    let mut added: Option<Timestamp> = None;
    match (body.get("cancellation_dates"), body.get("cancelled_at")) {
        (Some(Value::Array(dates)), _) => {
            let dates: Option<Vec<Timestamp>> = dates.iter().map(read).collect();
            if dates.is_none() {
                errors.add("cancellation_dates", "is invalid");
            }
            replaced = dates;
        }
        (Some(Value::Null), _) | (None, Some(Value::Null)) => replaced = Some(Vec::new()),
        (None, Some(value)) => {
            added = read(value);
            if added.is_none() {
                errors.add("cancelled_at", "is invalid");
            }
        }
        (Some(_), _) => errors.add("cancellation_dates", "must be a list of dates"),
        (None, None) => errors.add("cancellation_dates", reply::message::BLANK),
    }
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let row = state.subscriptions.get_mut(seq).ok_or_else(missing)?;
    if let Some(dates) = replaced {
        row.cancellation_dates = dates;
    }
    row.cancellation_dates.extend(added);
    row.cancellation_dates.sort_unstable();
    row.cancellation_dates.dedup();
    let row = state.subscriptions.get(seq).ok_or_else(missing)?;
    reply::accepted(&json(state, row, true))
}

/// `GET /customers/{uuid}/subscriptions`: as the metrics see them, MRR in the account's currency.
pub fn list_metrics(state: &State, uuid: &str, query: &Query) -> Reply {
    let customer = customers::get(state, customers::seq(state, uuid)?)?;
    let histories = state.subscription_histories(customer);
    let wanted = Wanted::of(query);
    let rows = histories.keys().filter_map(|seq| Some((*seq, state.subscriptions.get(*seq)?)));
    let rows: Vec<_> =
        rows.filter(|(seq, _)| service_lines(state, customer, *seq).next().is_some()).collect();
    let page = page::cut(rows.into_iter(), Order::OldestFirst, &wanted);
    let account = state.fx.account();
    let entry = |(seq, row): &(Seq, &Subscription)| {
        let mrr = state.account_mrr(&histories[seq], state.now);
        let lines = || service_lines(state, customer, *seq);
        let start = lines().map(|(service, _)| service.start).min();
        let last = lines().max_by_key(|(service, line)| (service.start, line.seq));
        let plan = last.and_then(|(service, _)| state.plans.get(service.plan));
        let mut body = json!({"id": 30_000_000 + seq, "external_id": row.external_id});
        if let Some(set) = &row.set_external_id {
            body["subscription_set_external_id"] = json!(set);
        }
        body["plan"] = json!(plan.map(|plan| &plan.name));
        body["quantity"] = json!(last.map(|(_, line)| line.quantity));
        body["uuid"] = json!(row.uuid["sub_".len()..]);
        body["mrr"] = json!(mrr);
        body["arr"] = json!(mrr * 12);
        body["status"] = json!(if mrr == 0 { "inactive" } else { "active" });
        body["billing-cycle"] = json!(plan.map(|plan| plan.interval.unit.as_str()));
        body["billing-cycle-count"] = json!(plan.map(|plan| plan.interval.count));
        body["start-date"] = json!(start.map(time::offset));
        body["end-date"] = json!(last.map(|(service, _)| time::offset(service.end)));
        body["currency"] = json!(account.as_str());
        body["currency-sign"] = json!(currency_sign(account.as_str()));
        body
    };
    let rows = page.rows.iter().map(entry).collect();
    let mut body = page.body("entries", rows, page.cursor(|row| row.created_at));
    body.insert("per_page".to_owned(), json!(wanted.per_page));
    body.insert("page".to_owned(), json!(1));
    reply::ok(&Value::Object(body))
}

fn service_lines<'a>(
    state: &'a State,
    customer: &'a super::model::Customer,
    subscription: Seq,
) -> impl Iterator<Item = (&'a Service, &'a Line)> {
    let invoices = customer.invoices.iter().filter_map(|seq| state.invoices.get(*seq));
    let lines = invoices.flat_map(|invoice| &invoice.lines);
    let lines = lines.filter_map(|line| Some((line.service.as_ref()?, line)));
    lines.filter(move |(service, _)| service.subscription == subscription)
}

/// `POST /customers/{uuid}/connect_subscriptions` and `…/disconnect_subscriptions`, answered 202. Connected
/// subscriptions count as one in ChartMogul; changes of one customer are netted per instant here anyway.
pub fn connect(state: &State, uuid: &str, body: &Map<String, Value>) -> Reply {
    customers::seq(state, uuid)?;
    for named in body.get("subscriptions").and_then(Value::as_array).into_iter().flatten() {
        let known = named["uuid"].as_str().and_then(|uuid| state.subscriptions.seq_of(uuid));
        known.ok_or_else(missing)?;
    }
    reply::accepted(&json!({}))
}

/// Takes a deleted customer's subscription out of the tables.
pub fn remove(state: &mut State, seq: Seq) {
    let Some(uuid) = state.subscriptions.get(seq).map(|row| row.uuid.clone()) else { return };
    if let Some(row) = state.subscriptions.remove(seq, &uuid) {
        state.subscription_ids.remove(&(row.external_id, row.source));
    }
}
