//! Line items: reading them from an import, showing them, and `/line_items`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::input::{self, Query};
use super::invoices;
use super::model::{Disabled, Line, LineKind, Service, Subscription};
use super::reply::{self, Errors, Reply, message};
use super::state::State;
use super::table::Seq;
use super::time;
use crate::wire::Response;

/// A line that was read and found right, before it has a place.
pub struct Draft {
    line: Line,
    service: Option<DraftService>,
}

struct DraftService {
    subscription_external_id: String,
    set_external_id: Option<String>,
    plan: Seq,
    prorated: bool,
    proration_type: Option<String>,
    start: Timestamp,
    end: Timestamp,
    cancelled_at: Option<Timestamp>,
}

impl Draft {
    pub fn external_id(&self) -> Option<&str> {
        self.line.external_id.as_deref()
    }
}

/// Reads a line; what is wrong goes to `errors` under `line_items.…`.
pub fn read(
    state: &mut State,
    source: &str,
    customer: Seq,
    map: &Map<String, Value>,
    errors: &mut Errors,
) -> Option<Draft> {
    let kind = match input::text(map, "type").as_deref() {
        Some("subscription") => LineKind::Subscription,
        Some("trial") => LineKind::Trial,
        Some("one_time") => LineKind::OneTime,
        _ => {
            errors.add("line_items.type", "must be subscription, trial or one_time");
            return None;
        }
    };
    let amount = input::integer(map, "amount_in_cents");
    if amount.is_none() {
        errors.add("line_items.amount_in_cents", message::BLANK);
    }
    let external_id = input::text(map, "external_id");
    let taken = |id: &&String| state.line_ids.contains_key(&((*id).clone(), source.to_owned()));
    if let Some(external_id) = external_id.as_ref().filter(taken) {
        state.counters.duplicate("line_item", external_id);
        errors.add("line_items.external_id", message::LINE_EXISTS);
    }
    let service = match kind {
        LineKind::OneTime => None,
        LineKind::Subscription | LineKind::Trial => Some(read_service(state, source, customer, map, errors)?),
    };
    let number = |key: &str| input::integer(map, key).unwrap_or_default();
    let line = Line {
        seq: 0,
        uuid: String::new(),
        external_id,
        kind,
        service: None,
        description: input::text(map, "description"),
        amount_in_cents: amount?,
        quantity: input::integer(map, "quantity").unwrap_or(1),
        discount_code: input::text(map, "discount_code").unwrap_or_default(),
        discount_amount_in_cents: number("discount_amount_in_cents"),
        discount_description: input::text(map, "discount_description"),
        tax_amount_in_cents: number("tax_amount_in_cents"),
        transaction_fees_in_cents: number("transaction_fees_in_cents"),
        transaction_fees_currency: input::text(map, "transaction_fees_currency"),
        account_code: input::text(map, "account_code").unwrap_or_default(),
        event_order: input::integer(map, "event_order"),
        balance_transfer: input::integer(map, "balance_transfer"),
        disabled: Disabled::default(),
    };
    Some(Draft { line, service })
}

fn read_service(
    state: &State,
    source: &str,
    customer: Seq,
    map: &Map<String, Value>,
    errors: &mut Errors,
) -> Option<DraftService> {
    let field = |key: &str| format!("line_items.{key}");
    let subscription =
        input::required(map, "subscription_external_id", &field("subscription_external_id"), errors);
    let known = state.subscription_ids.get(&(subscription.clone(), source.to_owned()));
    if known.and_then(|seq| state.subscriptions.get(*seq)).is_some_and(|row| row.customer != customer) {
        errors.add(&field("subscription_external_id"), message::TAKEN);
    }
    let plan_uuid = input::required(map, "plan_uuid", &field("plan_uuid"), errors);
    let plan = state.plans.seq_of(&plan_uuid);
    if plan.is_none() {
        errors.add(&field("plan_uuid"), "Plan not found");
    }
    let start = input::instant(map, "service_period_start", &field("service_period_start"), errors);
    let end = input::instant(map, "service_period_end", &field("service_period_end"), errors);
    if start.is_none() {
        errors.add(&field("service_period_start"), message::BLANK);
    }
    if end.is_none() {
        errors.add(&field("service_period_end"), message::BLANK);
    }
    if start > end && end.is_some() {
        errors.add(&field("service_period_end"), "must be after service_period_start");
    }
    let proration_type = input::text(map, "proration_type");
    if proration_type
        .as_deref()
        .is_some_and(|text| !["differential", "full", "differential_mrr"].contains(&text))
    {
        errors.add(&field("proration_type"), "must be differential, full or differential_mrr");
    }
    let cancelled_at = input::instant(map, "cancelled_at", &field("cancelled_at"), errors);
    Some(DraftService {
        subscription_external_id: subscription,
        set_external_id: input::text(map, "subscription_set_external_id"),
        plan: plan?,
        prorated: map.get("prorated").and_then(Value::as_bool).unwrap_or(false),
        proration_type,
        start: start?,
        end: end?,
        cancelled_at,
    })
}

/// Gives a draft its place in an invoice; its subscription comes into being with its first line.
pub fn place(state: &mut State, invoice: Seq, source: &str, customer: Seq, draft: Draft) -> Line {
    let Draft { mut line, service } = draft;
    line.seq = state.next();
    line.uuid = state.uuid("li_");
    state.line_uuids.insert(line.uuid.clone(), invoice);
    if let Some(external_id) = &line.external_id {
        state.line_ids.insert((external_id.clone(), source.to_owned()), invoice);
    }
    line.service = service.map(|service| {
        let subscription = subscription_for(state, source, customer, &service);
        Service {
            subscription,
            plan: service.plan,
            prorated: service.prorated,
            proration_type: service.proration_type,
            start: service.start,
            end: service.end,
        }
    });
    line
}

fn subscription_for(state: &mut State, source: &str, customer: Seq, service: &DraftService) -> Seq {
    let key = (service.subscription_external_id.clone(), source.to_owned());
    let seq = match state.subscription_ids.get(&key) {
        Some(seq) => *seq,
        None => {
            let seq = state.next();
            let uuid = state.uuid("sub_");
            let row = Subscription {
                uuid: uuid.clone(),
                external_id: service.subscription_external_id.clone(),
                set_external_id: None,
                customer,
                source: source.to_owned(),
                plan: service.plan,
                cancellation_dates: Vec::new(),
                created_at: state.now,
            };
            state.subscriptions.insert(seq, &uuid, row);
            state.subscription_ids.insert(key, seq);
            if let Some(customer) = state.customers.get_mut(customer) {
                customer.subscriptions.insert(seq);
            }
            seq
        }
    };
    if let Some(row) = state.subscriptions.get_mut(seq) {
        row.plan = service.plan;
        if service.set_external_id.is_some() {
            row.set_external_id.clone_from(&service.set_external_id);
        }
        if let Some(at) = service.cancelled_at.filter(|at| !row.cancellation_dates.contains(at)) {
            row.cancellation_dates.push(at);
            row.cancellation_dates.sort_unstable();
        }
    }
    seq
}

/// A line as imports and invoices show it; the list of all invoices has `balance_transfer` too.
pub fn json(state: &State, line: &Line, with_balance: bool) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("uuid", json!(line.uuid));
    put("external_id", json!(line.external_id));
    put("type", json!(line.kind.as_str()));
    if let Some(service) = &line.service {
        let subscription = state.subscriptions.get(service.subscription);
        put("subscription_uuid", json!(subscription.map(|row| &row.uuid)));
        put("subscription_external_id", json!(subscription.map(|row| &row.external_id)));
        if let Some(set) = subscription.and_then(|row| row.set_external_id.as_ref()) {
            put("subscription_set_external_id", json!(set));
        }
        put("prorated", json!(service.prorated));
        put("proration_type", json!(service.proration_type));
        put("service_period_start", json!(time::millis(service.start)));
        put("service_period_end", json!(time::millis(service.end)));
        put("plan_uuid", json!(state.plans.get(service.plan).map(|plan| &plan.uuid)));
    } else {
        put("description", json!(line.description));
    }
    put("amount_in_cents", json!(line.amount_in_cents));
    put("quantity", json!(line.quantity));
    put("discount_code", json!(line.discount_code));
    put("discount_amount_in_cents", json!(line.discount_amount_in_cents));
    put("tax_amount_in_cents", json!(line.tax_amount_in_cents));
    put("transaction_fees_in_cents", json!(line.transaction_fees_in_cents));
    put("account_code", json!(line.account_code));
    put("transaction_fees_currency", json!(line.transaction_fees_currency));
    put("discount_description", json!(line.discount_description));
    put("event_order", json!(line.event_order));
    if with_balance {
        put("balance_transfer", json!(line.balance_transfer));
    }
    if line.disabled.0.is_some() {
        put("disabled", json!(true));
    }
    Value::Object(body)
}

fn missing() -> Response {
    reply::not_found("line_item", "Line item not found")
}

/// The invoice and place of a line, by uuid or by `data_source_uuid` and `external_id`.
fn locate(state: &State, uuid: Option<&str>, query: &Query) -> Result<(Seq, usize), Response> {
    let key = || Some((query.get("external_id")?.to_owned(), query.get("data_source_uuid")?.to_owned()));
    let invoice = match uuid {
        Some(uuid) => state.line_uuids.get(uuid),
        None => key().and_then(|key| state.line_ids.get(&key)),
    };
    let seq = *invoice.ok_or_else(missing)?;
    let lines = &invoices::get(state, seq)?.lines;
    let index = lines.iter().position(|line| match uuid {
        Some(uuid) => line.uuid == uuid,
        None => line.external_id.as_deref() == query.get("external_id"),
    });
    Ok((seq, index.ok_or_else(missing)?))
}

fn show(state: &State, invoice: Seq, index: usize) -> Reply {
    let invoice = invoices::get(state, invoice)?;
    let mut body = json(state, &invoice.lines[index], true);
    body["disabled"] = json!(invoice.lines[index].disabled.0.is_some());
    body["invoice_uuid"] = json!(invoice.uuid);
    reply::ok(&body)
}

/// `POST /import/invoices/{uuid}/line_items`.
pub fn create(state: &mut State, invoice_uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = invoices::seq(state, invoice_uuid)?;
    let invoice = invoices::get(state, seq)?;
    let (source, customer) = (invoice.source.clone(), invoice.customer);
    let mut errors = Errors::default();
    let draft = read(state, &source, customer, body, &mut errors);
    let (Some(draft), true) = (draft, errors.is_empty()) else { return Err(reply::invalid(&errors)) };
    let line = place(state, seq, &source, customer, draft);
    let answer = json(state, &line, true);
    invoices::get_mut(state, seq)?.lines.push(line);
    reply::created(&answer)
}

/// `GET /line_items/{uuid}`, or by external id.
pub fn retrieve(state: &State, uuid: Option<&str>, query: &Query) -> Reply {
    let (invoice, index) = locate(state, uuid, query)?;
    show(state, invoice, index)
}

/// `PATCH /line_items/{uuid}`, or by external id: amounts, quantity and service period.
pub fn update(state: &mut State, uuid: Option<&str>, query: &Query, body: &Map<String, Value>) -> Reply {
    let (invoice, index) = locate(state, uuid, query)?;
    let mut errors = Errors::default();
    let start = input::instant(body, "service_period_start", "service_period_start", &mut errors);
    let end = input::instant(body, "service_period_end", "service_period_end", &mut errors);
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let line = &mut invoices::get_mut(state, invoice)?.lines[index];
    for (key, target) in [
        ("amount_in_cents", &mut line.amount_in_cents),
        ("quantity", &mut line.quantity),
        ("discount_amount_in_cents", &mut line.discount_amount_in_cents),
        ("tax_amount_in_cents", &mut line.tax_amount_in_cents),
        ("transaction_fees_in_cents", &mut line.transaction_fees_in_cents),
    ] {
        *target = input::integer(body, key).unwrap_or(*target);
    }
    if body.contains_key("event_order") {
        line.event_order = input::integer(body, "event_order");
    }
    if let Some(service) = &mut line.service {
        service.start = start.unwrap_or(service.start);
        service.end = end.unwrap_or(service.end);
        service.prorated = body.get("prorated").and_then(Value::as_bool).unwrap_or(service.prorated);
    }
    show(state, invoice, index)
}

/// `DELETE /line_items/{uuid}`, or by external id.
pub fn delete(state: &mut State, uuid: Option<&str>, query: &Query) -> Reply {
    let (seq, index) = locate(state, uuid, query)?;
    let invoice = invoices::get_mut(state, seq)?;
    let source = invoice.source.clone();
    let line = invoice.lines.remove(index);
    forget(state, &source, &line);
    reply::no_content()
}

/// Takes a line out of the indexes.
pub fn forget(state: &mut State, source: &str, line: &Line) {
    state.line_uuids.remove(&line.uuid);
    if let Some(external_id) = &line.external_id {
        state.line_ids.remove(&(external_id.clone(), source.to_owned()));
    }
}

/// `PATCH /line_items/{uuid}/disabled_state`, or by external id.
pub fn set_disabled(
    state: &mut State,
    uuid: Option<&str>,
    query: &Query,
    body: &Map<String, Value>,
) -> Reply {
    let (invoice, index) = locate(state, uuid, query)?;
    let disabled = invoices::disabled_from(state, body);
    invoices::get_mut(state, invoice)?.lines[index].disabled = disabled;
    show(state, invoice, index)
}
