//! Invoices: importing, listing, editing, deleting.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::customers;
use super::input::{self, Query};
use super::lines;
use super::model::{Customer, Disabled, Invoice, InvoiceStatus};
use super::mrr::Currency;
use super::page::{self, Order, Wanted};
use super::reply::{self, Errors, Reply, message};
use super::state::State;
use super::table::Seq;
use super::{time, transactions};
use crate::wire::Response;

fn missing() -> Response {
    reply::not_found("invoice", "Invoice not found")
}

pub fn seq(state: &State, uuid: &str) -> Result<Seq, Response> {
    state.invoices.seq_of(uuid).ok_or_else(missing)
}

pub fn get(state: &State, seq: Seq) -> Result<&Invoice, Response> {
    state.invoices.get(seq).ok_or_else(missing)
}

pub fn get_mut(state: &mut State, seq: Seq) -> Result<&mut Invoice, Response> {
    state.invoices.get_mut(seq).ok_or_else(missing)
}

/// Where an invoice is shown; the endpoints differ in what they show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// Under a customer, after an import: without the customer.
    Import,
    Single,
    /// In the list of all: lines with their balance transfer.
    List,
}

fn json(state: &State, invoice: &Invoice, view: View) -> Value {
    let lines = invoice.lines.iter().map(|line| lines::json(state, line, view == View::List));
    let mut body = json!({
        "uuid": invoice.uuid,
        "date": time::millis(invoice.date),
        "due_date": invoice.due_date.map(time::millis),
        "errors": {},
        "external_id": invoice.external_id,
        "currency": invoice.currency.as_str(),
    });
    if view != View::Import {
        body["customer_uuid"] = json!(state.customers.get(invoice.customer).map(|customer| &customer.uuid));
    }
    if let Some(status) = invoice.status {
        body["status"] = json!(status.as_str());
    }
    body["disabled"] = json!(invoice.disabled.0.is_some());
    body["disabled_at"] = json!(invoice.disabled.0.map(time::millis));
    body["disabled_by"] = Value::Null;
    body["line_items"] = lines.collect();
    body["transactions"] = invoice.transactions.iter().map(transactions::json).collect();
    body
}

/// `POST /import/customers/{uuid}/invoices`. Each invoice is taken or refused for itself; a refused one comes back
/// as it was sent, with `errors`. The answer is 201 when all were taken, or some were; 422 when none was. (What
/// the real API answers for a mixture is not published.)
pub fn import(state: &mut State, customer_uuid: &str, body: &Map<String, Value>) -> Reply {
    // The import API names the invoice, not the customer, when the customer is unknown.
    let customer = state.customers.seq_of(customer_uuid).ok_or_else(missing)?;
    let Some(Value::Array(sent)) = body.get("invoices") else {
        return Err(reply::coded(400, "JSON schema validation hasn't passed.", Some("invoices")));
    };
    let mut answers = Vec::with_capacity(sent.len());
    let mut taken = 0;
    for invoice in sent {
        let empty = Map::new();
        match import_one(state, customer, invoice.as_object().unwrap_or(&empty)) {
            Ok(seq) => {
                taken += 1;
                answers.push(json(state, get(state, seq)?, View::Import));
            }
            Err(errors) => {
                let mut refused = invoice.clone();
                refused["errors"] = Value::Object(errors.0);
                answers.push(refused);
            }
        }
    }
    let body = json!({"invoices": answers});
    if taken == 0 && !sent.is_empty() { Err(Response::json(422, &body)) } else { reply::created(&body) }
}

/// The data source an invoice belongs to: the one named, the one of the external id named, or the customer's first.
fn source_of(customer: &Customer, map: &Map<String, Value>, errors: &mut Errors) -> String {
    let external_id = input::text(map, "customer_external_id");
    let source = input::text(map, "data_source_uuid");
    let found = customer.identities.iter().find(|identity| {
        external_id.as_ref().is_none_or(|wanted| identity.external_id == *wanted)
            && source.as_ref().is_none_or(|wanted| identity.source == *wanted)
    });
    match found {
        Some(identity) => identity.source.clone(),
        None => {
            errors.add("customer_external_id", "is not an external ID of this customer");
            String::new()
        }
    }
}

fn currency_of(state: &State, map: &Map<String, Value>, errors: &mut Errors) -> Option<Currency> {
    let code = input::required(map, "currency", "currency", errors);
    let currency = Currency::new(&code).filter(|currency| state.fx.knows(*currency));
    if currency.is_none() {
        errors.add("currency", "is invalid");
    }
    currency
}

fn import_one(state: &mut State, customer: Seq, map: &Map<String, Value>) -> Result<Seq, Errors> {
    let mut errors = Errors::default();
    let external_id = input::required(map, "external_id", "external_id", &mut errors);
    let source = match state.customers.get(customer) {
        Some(customer) => source_of(customer, map, &mut errors),
        None => String::new(),
    };
    let key = (external_id.clone(), source.clone());
    if state.invoice_ids.contains_key(&key) {
        state.counters.duplicate("invoice", &external_id);
        errors.add("external_id", message::INVOICE_EXISTS);
    }
    let date = input::instant(map, "date", "date", &mut errors);
    if date.is_none() {
        errors.add("date", message::BLANK);
    }
    let due_date = input::instant(map, "due_date", "due_date", &mut errors);
    let currency = currency_of(state, map, &mut errors);

    let no_rows = Vec::new();
    let rows = |key: &str| map.get(key).and_then(Value::as_array).unwrap_or(&no_rows);
    let empty = Map::new();
    let mut drafts = Vec::new();
    let mut seen = BTreeSet::new();
    for line in rows("line_items") {
        let line = line.as_object().unwrap_or(&empty);
        let Some(draft) = lines::read(state, &source, customer, line, &mut errors) else { continue };
        if draft.external_id().is_some_and(|id| !seen.insert(id.to_owned())) {
            errors.add("line_items.external_id", message::LINE_EXISTS);
        }
        drafts.push(draft);
    }
    if rows("line_items").is_empty() {
        errors.add("line_items", message::BLANK);
    }
    let mut paid = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows("transactions") {
        let row = row.as_object().unwrap_or(&empty);
        let Some(row) = transactions::read(state, &source, row, "transactions.", &mut errors) else {
            continue;
        };
        if row.external_id.as_ref().is_some_and(|id| !seen.insert(id.clone())) {
            errors.add("transactions.external_id", message::TAKEN);
        }
        paid.push(row);
    }
    let (Some(date), Some(currency), true) = (date, currency, errors.is_empty()) else { return Err(errors) };

    let seq = state.next();
    let uuid = state.uuid("inv_");
    let lines = drafts.into_iter().map(|draft| lines::place(state, seq, &source, customer, draft)).collect();
    let transactions = paid.into_iter().map(|row| transactions::place(state, seq, &source, row)).collect();
    let invoice = Invoice {
        uuid: uuid.clone(),
        external_id,
        customer,
        source,
        date,
        due_date,
        currency,
        status: None,
        disabled: Disabled::default(),
        lines,
        transactions,
        created_at: state.now,
    };
    state.invoices.insert(seq, &uuid, invoice);
    state.invoice_ids.insert(key, seq);
    if let Some(customer) = state.customers.get_mut(customer) {
        customer.invoices.insert(seq);
    }
    Ok(seq)
}

/// `GET /import/customers/{uuid}/invoices`.
pub fn list_of_customer(state: &State, uuid: &str, query: &Query) -> Reply {
    let customer = state.customers.find(uuid);
    let customer = customer.ok_or_else(|| reply::not_found("customer", "Customer not found"))?;
    let wanted = Wanted::of(query);
    let rows = customer.invoices.iter().filter_map(|seq| Some((*seq, state.invoices.get(*seq)?)));
    let rows = rows
        .filter(|(_, invoice)| query.get("external_id").is_none_or(|wanted| invoice.external_id == wanted));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, invoice)| json(state, invoice, View::Import)).collect();
    let cursor = page.cursor(|invoice| invoice.created_at);
    let mut body = page.numbered("invoices", rows, cursor, &wanted);
    body.insert("customer_uuid".to_owned(), json!(uuid));
    reply::ok(&Value::Object(body))
}

/// `GET /invoices` with `customer_uuid`, `data_source_uuid`, `external_id`.
pub fn list(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let customer = query.get("customer_uuid").map(|uuid| state.customers.seq_of(uuid));
    let fits = |invoice: &Invoice| {
        query.get("data_source_uuid").is_none_or(|source| invoice.source == source)
            && query.get("external_id").is_none_or(|id| invoice.external_id == id)
            && customer.is_none_or(|customer| customer == Some(invoice.customer))
    };
    let row = |seq: Seq| state.invoices.get(seq).map(|invoice| (seq, invoice));
    let page = if let Some(external_id) = query.get("external_id") {
        let from = (external_id.to_owned(), String::new());
        let same = state.invoice_ids.range(from..).take_while(|(key, _)| key.0 == external_id);
        let mut seqs: Vec<Seq> = same.map(|(_, seq)| *seq).collect();
        seqs.sort_unstable();
        let rows = seqs.into_iter().filter_map(row).filter(|(_, invoice)| fits(invoice));
        page::cut(rows, Order::NewestFirst, &wanted)
    } else if let Some(customer) = customer {
        let seqs = customer.and_then(|seq| state.customers.get(seq)).map(|row| &row.invoices);
        let rows = seqs.into_iter().flatten().copied().filter_map(row);
        let rows: Vec<_> = rows.filter(|(_, invoice)| fits(invoice)).collect();
        page::cut(rows.into_iter(), Order::NewestFirst, &wanted)
    } else {
        let rows = state.invoices.iter().filter(|(_, invoice)| fits(invoice));
        page::cut(rows, Order::NewestFirst, &wanted)
    };
    let rows = page.rows.iter().map(|(_, invoice)| json(state, invoice, View::List)).collect();
    let cursor = page.cursor(|invoice| invoice.created_at);
    reply::ok(&Value::Object(page.numbered("invoices", rows, cursor, &wanted)))
}

/// By uuid, or by `data_source_uuid` and `external_id`.
fn locate(state: &State, uuid: Option<&str>, query: &Query) -> Result<Seq, Response> {
    match uuid {
        Some(uuid) => seq(state, uuid),
        None => {
            let external_id = query.get("external_id").unwrap_or_default().to_owned();
            let source = query.get("data_source_uuid").unwrap_or_default().to_owned();
            state.invoice_ids.get(&(external_id, source)).copied().ok_or_else(missing)
        }
    }
}

pub fn retrieve(state: &State, uuid: &str) -> Reply {
    reply::ok(&json(state, get(state, seq(state, uuid)?)?, View::Single))
}

/// `PATCH /invoices/{uuid}`, or by external id: date, due date, currency, external id.
pub fn update(state: &mut State, uuid: Option<&str>, query: &Query, body: &Map<String, Value>) -> Reply {
    let seq = locate(state, uuid, query)?;
    let mut errors = Errors::default();
    let date = input::instant(body, "date", "date", &mut errors);
    let due_date = input::instant(body, "due_date", "due_date", &mut errors);
    let currency = if body.contains_key("currency") { currency_of(state, body, &mut errors) } else { None };
    if body.contains_key("line_items") || body.contains_key("transactions") {
        errors.add("line_items", "can't be changed with the invoice");
    }
    let invoice = get(state, seq)?;
    let old_key = (invoice.external_id.clone(), invoice.source.clone());
    let new_key = input::text(body, "external_id").map(|external_id| (external_id, old_key.1.clone()));
    let new_key = new_key.filter(|key| *key != old_key);
    if new_key.as_ref().is_some_and(|key| state.invoice_ids.contains_key(key)) {
        errors.add("external_id", message::INVOICE_EXISTS);
    }
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let invoice = get_mut(state, seq)?;
    invoice.date = date.unwrap_or(invoice.date);
    if body.contains_key("due_date") {
        invoice.due_date = due_date;
    }
    invoice.currency = currency.unwrap_or(invoice.currency);
    if let Some(key) = new_key {
        invoice.external_id.clone_from(&key.0);
        state.invoice_ids.remove(&old_key);
        state.invoice_ids.insert(key, seq);
    }
    reply::ok(&json(state, get(state, seq)?, View::Single))
}

/// `PUT /data_sources/{uuid}/invoices/{external_id}/status`: `voided` and `written_off` take the lines out of MRR.
pub fn set_status(state: &mut State, source: &str, external_id: &str, body: &Map<String, Value>) -> Reply {
    let key = (external_id.to_owned(), source.to_owned());
    let seq = state.invoice_ids.get(&key).copied().ok_or_else(missing)?;
    let status = match input::text(body, "status").as_deref() {
        Some("voided") => InvoiceStatus::Voided,
        Some("written_off") => InvoiceStatus::WrittenOff,
        _ => return Err(reply::invalid_field("status", "must be voided or written_off")),
    };
    get_mut(state, seq)?.status = Some(status);
    reply::ok(&json(state, get(state, seq)?, View::Single))
}

/// What `{"disabled": …}` sets.
pub fn disabled_from(state: &State, body: &Map<String, Value>) -> Disabled {
    let disabled = body.get("disabled").and_then(Value::as_bool).unwrap_or(false);
    Disabled(disabled.then_some(state.now))
}

/// `PATCH /invoices/{uuid}/disabled_state`, or by external id.
pub fn set_disabled(
    state: &mut State,
    uuid: Option<&str>,
    query: &Query,
    body: &Map<String, Value>,
) -> Reply {
    let seq = locate(state, uuid, query)?;
    let disabled = disabled_from(state, body);
    get_mut(state, seq)?.disabled = disabled;
    reply::ok(&json(state, get(state, seq)?, View::Single))
}

/// `DELETE /invoices/{uuid}`, or by external id. The external id is free again.
pub fn delete(state: &mut State, uuid: Option<&str>, query: &Query) -> Reply {
    let seq = locate(state, uuid, query)?;
    remove(state, seq);
    reply::no_content()
}

/// `DELETE /data_sources/{uuid}/customers/{uuid}/invoices`.
pub fn delete_all(state: &mut State, source: &str, customer: &str) -> Reply {
    let customer = customers::get(state, customers::seq(state, customer)?)?;
    let of_source = |seq: &&Seq| state.invoices.get(**seq).is_some_and(|invoice| invoice.source == source);
    let seqs: Vec<Seq> = customer.invoices.iter().filter(of_source).copied().collect();
    for seq in seqs {
        remove(state, seq);
    }
    reply::no_content()
}

pub fn remove(state: &mut State, seq: Seq) {
    let Some(uuid) = state.invoices.get(seq).map(|invoice| invoice.uuid.clone()) else { return };
    let Some(invoice) = state.invoices.remove(seq, &uuid) else { return };
    for line in &invoice.lines {
        lines::forget(state, &invoice.source, line);
    }
    for row in &invoice.transactions {
        transactions::forget(state, &invoice.source, row);
    }
    if let Some(customer) = state.customers.get_mut(invoice.customer) {
        customer.invoices.remove(&seq);
    }
    state.invoice_ids.remove(&(invoice.external_id, invoice.source));
}
