//! Invoices over the wire.

use serde_json::{Value, json};

use super::super::errors::Error;
use super::super::events::Snapshot;
use super::super::model::*;
use super::super::paging::Range;
use super::super::render;
use super::super::router::Call;
use super::{Draft, Outcome};

pub(in super::super) fn create(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (customer, subscription) = (params.string("customer")?, params.string("subscription")?);
    let (currency, description) = (params.string("currency")?, params.string("description")?);
    let auto_advance = params.flag("auto_advance")?;
    let collection =
        params.word("collection_method", Collection::parse, "charge_automatically or send_invoice")?;
    let days = params.int("days_until_due")?;
    let card = params.string("default_payment_method")?;
    let pending = params.word(
        "pending_invoice_items_behavior",
        |word| matches!(word, "include" | "exclude").then(|| word == "include"),
        "include or exclude",
    )?;
    let metadata = params.metadata()?;
    params.refuse(&[
        "discounts",
        "default_tax_rates",
        "from_invoice",
        "shipping_cost",
        "transfer_data",
        "due_date",
    ])?;
    params.ignore(&[
        "automatic_tax",
        "footer",
        "payment_settings",
        "rendering",
        "statement_descriptor",
        "custom_fields",
    ]);
    params.done()?;
    let world = &mut *call.world;
    let subscription = subscription.map(|id| world.subscription(&id)).transpose()?;
    let customer = customer.or_else(|| subscription.as_ref().map(|one| one.customer.clone()));
    let customer = customer.ok_or_else(|| Error::required("customer"))?;
    let owner =
        world.customer(&customer).map_err(|_| Error::missing_param("customer", &customer, "customer"))?;
    let currency = currency.or_else(|| owner.currency.clone()).unwrap_or_else(|| "usd".to_owned());
    let discounts = owner.discount.iter().cloned().collect();
    let draft = Draft {
        customer,
        subscription,
        reason: Reason::Manual,
        lines: Vec::new(),
        discounts,
        period: (world.now, world.now),
        currency: currency.to_lowercase(),
        take_pending: pending.unwrap_or(false),
        finalizes_at: auto_advance.unwrap_or(false).then_some(world.now + super::super::calendar::HOUR),
        auto_advance: auto_advance.unwrap_or(false),
        collection: collection.unwrap_or(Collection::Automatic),
        days_until_due: days,
    };
    let invoice = world.draw(draft)?;
    world.edit_invoice(&invoice.id, |invoice| {
        invoice.description = description;
        invoice.metadata = metadata;
        invoice.default_payment_method = card;
    })?;
    show(call, &invoice.id)
}

fn show(call: &Call, id: &str) -> Result<Value, Error> {
    let invoice = call.world.invoice(id)?;
    Ok(call.show(invoice))
}

pub(in super::super) fn retrieve(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    show(call, id)
}

pub(in super::super) fn update(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.world.invoice(id)?;
    let params = &mut call.params;
    let description = params.clearable("description")?;
    let auto_advance = params.flag("auto_advance")?;
    let card = params.clearable("default_payment_method")?;
    let metadata = params.metadata_change()?;
    params.ignore(&["footer", "custom_fields", "payment_settings"]);
    params.done()?;
    call.world.update_invoice(id, |invoice| {
        super::super::catalog::set(&mut invoice.description, description);
        super::super::catalog::set(&mut invoice.auto_advance, auto_advance);
        super::super::catalog::set(&mut invoice.default_payment_method, card);
        metadata.apply(&mut invoice.metadata);
    })?;
    show(call, id)
}

pub(in super::super) fn delete(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let invoice = call.world.invoice(id)?;
    if invoice.status != InvoiceStatus::Draft || invoice.subscription.is_some() {
        return Err(Error::invalid("You can only delete draft invoices that belong to no subscription."));
    }
    for line in &invoice.lines {
        if let Some(item) = &line.invoice_item {
            call.world.invoice_items.remove(item);
        }
    }
    call.world.invoices.remove(id);
    call.world.tell("invoice.deleted", invoice);
    Ok(json!({ "id": id, "object": "invoice", "deleted": true }))
}

pub(in super::super) fn finalize(call: &mut Call, id: &str) -> Result<Value, Error> {
    let auto_advance = call.params.flag("auto_advance")?;
    call.params.done()?;
    call.world.invoice(id)?;
    call.world.finalize(id)?;
    if auto_advance == Some(true) || call.world.invoice(id)?.auto_advance {
        let outcome = call.world.collect(id, None)?;
        call.world.settle(id, outcome)?;
    } else if call.world.invoice(id)?.status == InvoiceStatus::Paid {
        call.world.settle(id, Outcome::Paid)?;
    }
    show(call, id)
}

pub(in super::super) fn pay(call: &mut Call, id: &str) -> Result<Value, Error> {
    let params = &mut call.params;
    let method = params.string("payment_method")?;
    let out_of_band = params.flag("paid_out_of_band")?.unwrap_or(false);
    params.ignore(&["off_session", "forgive", "mandate", "source"]);
    params.done()?;
    call.world.invoice(id)?;
    call.world.pay_now(id, method.as_deref(), out_of_band)?;
    show(call, id)
}

pub(in super::super) fn void(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    call.world.void(id)?;
    show(call, id)
}

pub(in super::super) fn give_up(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    call.world.give_up(id)?;
    show(call, id)
}

pub(in super::super) fn list(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (customer, subscription) = (params.string("customer")?, params.string("subscription")?);
    let (status, collection) = (params.string("status")?, params.string("collection_method")?);
    let due = Range::take(params, "due_date")?;
    let owner = subscription.as_deref().or(customer.as_deref());
    call.list(
        "/v1/invoices",
        |world| &world.invoices,
        owner,
        |invoice| {
            customer.as_ref().is_none_or(|customer| invoice.customer == *customer)
                && status.as_ref().is_none_or(|status| invoice.status.as_str() == status)
                && collection.as_ref().is_none_or(|collection| invoice.collection.as_str() == collection)
                && due.has(invoice.due_date.unwrap_or(0))
        },
    )
}

pub(in super::super) fn lines(call: &mut Call, id: &str) -> Result<Value, Error> {
    let cursor = call.cursor()?;
    call.params.done()?;
    let invoice = call.world.invoice(id)?;
    let lines = invoice.lines.iter().map(|line| render::line(line, &invoice, call.version));
    let lines: Vec<Value> = lines.collect();
    cursor.slice(lines, &call.path)
}

// Invoice payments

pub(in super::super) fn retrieve_payment(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let invoice = call.world.payments.get(id).ok_or_else(|| Error::missing("invoice_payment", id, "id"))?;
    let invoice = call.world.invoice(invoice)?;
    Ok(call.show(Snapshot::InvoicePayment(invoice)))
}

pub(in super::super) fn list_payments(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (invoice, status) = (params.string("invoice")?, params.string("status")?);
    let mut intent = None;
    if let Some(mut payment) = params.map("payment")? {
        intent = payment.string("payment_intent")?;
        payment.ignore(&["type", "payment_record"]);
        payment.done()?;
    }
    let cursor = call.cursor()?;
    let created = Range::take(&mut call.params, "created")?;
    call.params.done()?;
    let world = &*call.world;
    let of_intent =
        intent.as_deref().map(|id| world.payment_intents.get(id).and_then(|intent| intent.invoice.clone()));
    let invoices: Vec<_> = match (invoice.as_deref(), of_intent) {
        (Some(id), _) => vec![world.invoice(id)?],
        (None, Some(of)) => of.and_then(|id| world.invoices.get(&id).cloned()).into_iter().collect(),
        (None, None) => world.invoices.all().rev().map(|(_, invoice)| invoice.clone()).collect(),
    };
    let values =
        invoices.into_iter().filter(|one| one.payment.as_ref().is_some_and(|paid| created.has(paid.created)));
    let values = values.map(|invoice| call.render(Snapshot::InvoicePayment(invoice)));
    let values =
        values.filter(|value| status.as_ref().is_none_or(|status| value["status"] == status.as_str()));
    let values: Vec<Value> = values.collect();
    cursor.slice(values, "/v1/invoice_payments")
}
