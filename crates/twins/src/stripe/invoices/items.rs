//! Invoice items: amounts that wait for the next invoice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::errors::Error;
use super::super::model::*;
use super::super::router::Call;
use super::super::world::{World, found};
use super::{add_up, item_line};

impl World {
    /// What waits for an invoice of this subscription (items of no subscription wait for any invoice).
    pub(in super::super) fn pending_for(
        &self,
        customer: &str,
        subscription: Option<&str>,
    ) -> Vec<Arc<InvoiceItem>> {
        let Some(pending) = self.pending_items.get(customer) else { return Vec::new() };
        let items = self.invoice_items.of(customer).filter(|(position, _)| pending.contains(position));
        let fits = |item: &Arc<InvoiceItem>| {
            item.subscription.is_none() || item.subscription.as_deref() == subscription
        };
        items.map(|(_, item)| Arc::clone(item)).filter(fits).collect()
    }

    pub(in super::super) fn add_invoice_item(&mut self, item: InvoiceItem) -> Arc<InvoiceItem> {
        let item = self.invoice_items.insert(item);
        if let (None, Some(position)) = (&item.invoice, self.invoice_items.position(&item.id)) {
            self.pending_items.entry(item.customer.clone()).or_default().insert(position);
        }
        self.tell("invoiceitem.created", Arc::clone(&item));
        item
    }

    /// Puts a pending item on an invoice.
    pub(super) fn place_item(&mut self, id: &str, invoice: &str) -> Result<(), Error> {
        let position = self.invoice_items.position(id);
        let item =
            self.edit(|world| &mut world.invoice_items, id, |item| item.invoice = Some(invoice.to_owned()))?;
        if let (Some(pending), Some(position)) = (self.pending_items.get_mut(&item.after.customer), position)
        {
            pending.remove(&position);
        }
        Ok(())
    }
}

pub(in super::super) fn create(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let customer = params.need("customer")?;
    let (amount, currency) = (params.int("amount")?, params.string("currency")?);
    let (description, quantity) = (params.string("description")?, params.int("quantity")?);
    let (invoice, subscription) = (params.string("invoice")?, params.string("subscription")?);
    let discountable = params.flag("discountable")?;
    let metadata = params.metadata()?;
    let pricing = params.map("pricing")?;
    let price = match pricing {
        Some(mut pricing) => pricing.string("price")?,
        None => params.string("price")?,
    };
    let unit_amount = params.int("unit_amount")?;
    let period = params.map("period")?;
    params.refuse(&["discounts", "price_data", "tax_rates", "unit_amount_decimal", "quantity_decimal"])?;
    params.ignore(&["tax_behavior", "tax_code"]);
    params.done()?;
    let now = call.world.now;
    let period = match period {
        Some(mut period) => (period.int("start")?.unwrap_or(now), period.int("end")?.unwrap_or(now)),
        None => (now, now),
    };
    let owner = call.world.customer(&customer);
    let owner = owner.map_err(|_| Error::missing_param("customer", &customer, "customer"))?;
    let price = price.map(|id| call.world.price(&id, "price")).transpose()?;
    let quantity = quantity.unwrap_or(1);
    let unit = price.as_ref().map(|price| price.unit_amount).or(unit_amount);
    let amount = match (amount, unit) {
        (Some(amount), _) => amount,
        (None, Some(unit)) => unit * quantity,
        (None, None) => return Err(Error::required("amount")),
    };
    let currency = price.as_ref().map(|price| price.currency.clone()).or(currency);
    let currency = currency.ok_or_else(|| Error::required("currency"))?.to_lowercase();
    let draft = invoice.as_deref().map(|id| call.world.invoice(id)).transpose()?;
    if draft.as_ref().is_some_and(|draft| draft.status != InvoiceStatus::Draft) {
        let message = "This invoice is no longer editable because it has already been finalized.";
        return Err(Error::coded("invoice_not_editable", message).at("invoice"));
    }
    let item = InvoiceItem {
        id: call.world.ids.long("ii_1"),
        date: now,
        customer,
        subscription,
        item: None,
        invoice: invoice.clone(),
        amount,
        currency,
        description,
        unit_amount: unit.unwrap_or(amount),
        price,
        quantity,
        period,
        proration: false,
        discountable: discountable.unwrap_or(true),
        discounts: Vec::new(),
        metadata,
        test_clock: owner.test_clock.clone(),
    };
    let item = call.world.add_invoice_item(item);
    if let Some(invoice) = invoice {
        let line = Line { id: call.world.ids.long("il_1"), ..item_line(&item) };
        call.world.update_invoice(&invoice, |invoice| {
            invoice.lines.push(line);
            add_up(invoice);
        })?;
    }
    Ok(call.show(item))
}

pub(in super::super) fn retrieve(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let item = found(&call.world.invoice_items, "invoiceitem", id)?;
    Ok(call.show(item))
}

pub(in super::super) fn delete(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let item = found(&call.world.invoice_items, "invoiceitem", id)?;
    let draft = item.invoice.as_deref().and_then(|id| call.world.invoices.get(id)).cloned();
    if draft.as_ref().is_some_and(|draft| draft.status != InvoiceStatus::Draft) {
        return Err(Error::invalid(
            "The invoice item is attached to a finalized invoice and can't be deleted.",
        ));
    }
    if let (Some(pending), Some(position)) =
        (call.world.pending_items.get_mut(&item.customer), call.world.invoice_items.position(id))
    {
        pending.remove(&position);
    }
    call.world.invoice_items.remove(id);
    if let Some(draft) = draft {
        call.world.update_invoice(&draft.id, |invoice| {
            invoice.lines.retain(|line| line.invoice_item.as_deref() != Some(id));
            add_up(invoice);
        })?;
    }
    call.world.tell("invoiceitem.deleted", item);
    Ok(json!({ "id": id, "object": "invoiceitem", "deleted": true }))
}

pub(in super::super) fn list(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (customer, invoice) = (params.string("customer")?, params.string("invoice")?);
    let pending = params.flag("pending")?;
    call.list(
        "/v1/invoiceitems",
        |world| &world.invoice_items,
        customer.as_deref(),
        |item| {
            (invoice.is_none() || item.invoice == invoice)
                && pending.is_none_or(|pending| item.invoice.is_none() == pending)
        },
    )
}
