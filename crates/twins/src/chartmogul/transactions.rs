//! Transactions: payments and refunds of invoices. They don't move MRR.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::input::{self, Query};
use super::invoices;
use super::model::{Disabled, Transaction};
use super::reply::{self, Errors, Reply, message};
use super::state::State;
use super::table::Seq;
use super::time;
use crate::wire::Response;

/// Reads a transaction; what is wrong goes to `errors` under `prefix`.
pub fn read(
    state: &mut State,
    source: &str,
    map: &Map<String, Value>,
    prefix: &str,
    errors: &mut Errors,
) -> Option<Transaction> {
    let field = |key: &str| format!("{prefix}{key}");
    let kind = input::text(map, "type").unwrap_or_default();
    if !["payment", "refund"].contains(&kind.as_str()) {
        errors.add(&field("type"), "must be payment or refund");
    }
    let result = input::text(map, "result").unwrap_or_default();
    if !["successful", "failed"].contains(&result.as_str()) {
        errors.add(&field("result"), "must be successful or failed");
    }
    let date = input::instant(map, "date", &field("date"), errors);
    if date.is_none() {
        errors.add(&field("date"), message::BLANK);
    }
    let external_id = input::text(map, "external_id");
    let taken = |id: &&String| state.transaction_ids.contains_key(&((*id).clone(), source.to_owned()));
    if let Some(external_id) = external_id.as_ref().filter(taken) {
        state.counters.duplicate("transaction", external_id);
        errors.add(&field("external_id"), message::TAKEN);
    }
    Some(Transaction {
        uuid: String::new(),
        external_id,
        kind,
        date: date?,
        result,
        amount_in_cents: input::integer(map, "amount_in_cents"),
        transaction_fees_in_cents: input::integer(map, "transaction_fees_in_cents"),
        transaction_fees_currency: input::text(map, "transaction_fees_currency"),
        disabled: Disabled::default(),
    })
}

/// Gives a transaction its place in an invoice.
pub fn place(state: &mut State, invoice: Seq, source: &str, mut transaction: Transaction) -> Transaction {
    transaction.uuid = state.uuid("tr_");
    state.transaction_uuids.insert(transaction.uuid.clone(), invoice);
    if let Some(external_id) = &transaction.external_id {
        state.transaction_ids.insert((external_id.clone(), source.to_owned()), invoice);
    }
    transaction
}

pub fn json(transaction: &Transaction) -> Value {
    let mut body = json!({
        "uuid": transaction.uuid,
        "external_id": transaction.external_id,
        "amount_in_cents": transaction.amount_in_cents,
        "type": transaction.kind,
        "date": time::millis(transaction.date),
        "result": transaction.result,
        "transaction_fees_in_cents": transaction.transaction_fees_in_cents,
        "transaction_fees_currency": transaction.transaction_fees_currency,
    });
    if transaction.disabled.0.is_some() {
        body["disabled"] = json!(true);
    }
    body
}

/// `POST /import/invoices/{uuid}/transactions`.
pub fn create(state: &mut State, invoice_uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = invoices::seq(state, invoice_uuid)?;
    let source = invoices::get(state, seq)?.source.clone();
    let mut errors = Errors::default();
    let transaction = read(state, &source, body, "", &mut errors);
    let (Some(transaction), true) = (transaction, errors.is_empty()) else {
        return Err(reply::invalid(&errors));
    };
    let transaction = place(state, seq, &source, transaction);
    let answer = json(&transaction);
    invoices::get_mut(state, seq)?.transactions.push(transaction);
    reply::created(&answer)
}

fn missing() -> Response {
    reply::not_found("transaction", "Transaction not found")
}

fn locate(state: &State, uuid: Option<&str>, query: &Query) -> Result<(Seq, usize), Response> {
    let key = || Some((query.get("external_id")?.to_owned(), query.get("data_source_uuid")?.to_owned()));
    let invoice = match uuid {
        Some(uuid) => state.transaction_uuids.get(uuid),
        None => key().and_then(|key| state.transaction_ids.get(&key)),
    };
    let seq = *invoice.ok_or_else(missing)?;
    let rows = &invoices::get(state, seq)?.transactions;
    let index = rows.iter().position(|row| match uuid {
        Some(uuid) => row.uuid == uuid,
        None => row.external_id.as_deref() == query.get("external_id"),
    });
    Ok((seq, index.ok_or_else(missing)?))
}

fn show(state: &State, invoice: Seq, index: usize) -> Reply {
    let row = &invoices::get(state, invoice)?.transactions[index];
    let mut body = json(row);
    body["disabled"] = json!(row.disabled.0.is_some());
    reply::ok(&body)
}

/// `GET /transactions/{uuid}`.
pub fn retrieve(state: &State, uuid: &str, query: &Query) -> Reply {
    let (invoice, index) = locate(state, Some(uuid), query)?;
    show(state, invoice, index)
}

/// `GET /transactions?data_source_uuid=&external_id=`.
pub fn list(state: &State, query: &Query) -> Reply {
    let rows = match locate(state, None, query) {
        Ok((invoice, index)) => vec![json(&invoices::get(state, invoice)?.transactions[index])],
        Err(_) => Vec::new(),
    };
    reply::ok(&json!({"transactions": rows, "cursor": null, "has_more": false}))
}

/// `PATCH /transactions/{uuid}`, or by external id.
pub fn update(state: &mut State, uuid: Option<&str>, query: &Query, body: &Map<String, Value>) -> Reply {
    let (invoice, index) = locate(state, uuid, query)?;
    let mut errors = Errors::default();
    let date: Option<Timestamp> = input::instant(body, "date", "date", &mut errors);
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let row = &mut invoices::get_mut(state, invoice)?.transactions[index];
    row.date = date.unwrap_or(row.date);
    if let Some(result) = input::text(body, "result") {
        row.result = result;
    }
    if let Some(amount) = input::integer(body, "amount_in_cents") {
        row.amount_in_cents = Some(amount);
    }
    show(state, invoice, index)
}

/// `DELETE /transactions/{uuid}`, or by external id.
pub fn delete(state: &mut State, uuid: Option<&str>, query: &Query) -> Reply {
    let (seq, index) = locate(state, uuid, query)?;
    let invoice = invoices::get_mut(state, seq)?;
    let source = invoice.source.clone();
    let row = invoice.transactions.remove(index);
    forget(state, &source, &row);
    reply::no_content()
}

/// Takes a transaction out of the indexes.
pub fn forget(state: &mut State, source: &str, row: &Transaction) {
    state.transaction_uuids.remove(&row.uuid);
    if let Some(external_id) = &row.external_id {
        state.transaction_ids.remove(&(external_id.clone(), source.to_owned()));
    }
}

/// `PATCH /transactions/{uuid}/disabled_state`, or by external id.
pub fn set_disabled(
    state: &mut State,
    uuid: Option<&str>,
    query: &Query,
    body: &Map<String, Value>,
) -> Reply {
    let (invoice, index) = locate(state, uuid, query)?;
    let disabled = invoices::disabled_from(state, body);
    invoices::get_mut(state, invoice)?.transactions[index].disabled = disabled;
    show(state, invoice, index)
}
