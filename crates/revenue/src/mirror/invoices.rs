//! The vendor's invoices as the ledger's: same lines, same totals, same payments.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::billing::{self, InvoiceStatus, Line};
use crate::ledger::{self, LineType};

use super::{Prices, instant};

/// One ledger invoice for each finalised invoice of a subscription that started; drafts may still
/// change, void ones are no revenue.
pub(super) fn mirror(billing: &billing::Snapshot, prices: &Prices) -> Result<Vec<ledger::Invoice>, Error> {
    let never_started: BTreeSet<&str> =
        billing.subscriptions.iter().filter(|s| s.status.never_started()).map(|s| s.id.as_str()).collect();
    let mut once_paying = BTreeSet::new();
    let mut by_age: Vec<_> = billing.invoices.iter().collect();
    by_age.sort_by_key(|invoice| (invoice.created, &invoice.id));
    let mut mirrored = Vec::new();
    for invoice in by_age {
        let counts = matches!(
            invoice.status,
            Some(InvoiceStatus::Open | InvoiceStatus::Paid | InvoiceStatus::Uncollectible)
        );
        let of_unstarted = invoice.subscription.as_deref().is_some_and(|id| never_started.contains(id));
        if !counts || of_unstarted {
            continue;
        }
        let line_items = lines(invoice, prices, &mut once_paying)?;
        if line_items.is_empty() {
            continue; // a trial's invoice over nothing
        }
        mirrored.push(ledger::Invoice {
            external_id: invoice.id.clone(),
            date: instant(invoice.finalized_at.unwrap_or(invoice.created))?,
            currency: invoice.currency.to_uppercase(),
            due_date: invoice.due_date.map(instant).transpose()?,
            line_items,
            transactions: transactions(invoice, &billing.refunds)?,
        });
    }
    Ok(mirrored)
}

fn lines(
    invoice: &billing::Invoice,
    prices: &Prices,
    once_paying: &mut BTreeSet<String>,
) -> Result<Vec<ledger::Line>, Error> {
    let mut lines = Vec::new();
    for line in &invoice.lines {
        match recurring(line, prices)? {
            Some((item, price)) => {
                if line.amount != 0 {
                    once_paying.insert(item.to_owned());
                } else if !once_paying.contains(item) {
                    continue; // a trial or a free plan: no revenue yet, so nothing to take back
                }
                lines.push(subscription_line(line, item, price)?);
            }
            None if line.amount == 0 && line.tax_amount == 0 => {}
            None => lines.push(one_time_line(line)),
        }
    }
    Ok(lines)
}

/// The subscription item and price of a line that carries recurring revenue.
fn recurring<'l>(line: &'l Line, prices: &Prices) -> Result<Option<(&'l str, &'l str)>, Error> {
    let (Some(item), Some(price)) = (line.subscription_item.as_deref(), line.price.as_deref()) else {
        return Ok(None);
    };
    if line.proration {
        return Ok(None);
    }
    let terms = prices.get(price)?;
    Ok((terms.every.is_some() && !terms.metered).then_some((item, price)))
}

fn subscription_line(line: &Line, item: &str, price: &str) -> Result<ledger::Line, Error> {
    Ok(ledger::Line {
        r#type: LineType::Subscription,
        external_id: line.id.clone(),
        subscription_external_id: Some(item.to_owned()),
        subscription_set_external_id: line.subscription.clone(),
        plan: Some(price.to_owned()),
        service_period_start: Some(instant(line.period_start)?),
        service_period_end: Some(instant(line.period_end)?),
        description: None,
        amount_in_cents: charged(line),
        quantity: line.quantity.unwrap_or(1),
        discount_amount_in_cents: line.discount_amount,
        tax_amount_in_cents: line.tax_amount,
    })
}

fn one_time_line(line: &Line) -> ledger::Line {
    ledger::Line {
        r#type: LineType::OneTime,
        external_id: line.id.clone(),
        subscription_external_id: None,
        subscription_set_external_id: None,
        plan: None,
        service_period_start: None,
        service_period_end: None,
        description: line.description.clone(),
        amount_in_cents: charged(line),
        quantity: line.quantity.unwrap_or(1),
        discount_amount_in_cents: line.discount_amount,
        tax_amount_in_cents: line.tax_amount,
    }
}

/// What the customer pays for a line: after discounts, with tax.
fn charged(line: &Line) -> i64 {
    line.amount - line.discount_amount + line.tax_exclusive_amount
}

fn transactions(
    invoice: &billing::Invoice,
    refunds: &[billing::Refund],
) -> Result<Vec<ledger::Transaction>, Error> {
    let mut transactions = BTreeMap::new();
    if let (Some(paid_at), true) = (invoice.paid_at, invoice.amount_paid > 0) {
        let payment =
            transaction(format!("{}:payment", invoice.id), "payment", paid_at, invoice.amount_paid)?;
        transactions.insert((0, paid_at, payment.external_id.clone()), payment);
    }
    for refund in refunds {
        let ours = refund.payment_intent.as_ref().is_some_and(|id| invoice.payment_intents.contains(id));
        if ours && refund.status.as_deref() == Some("succeeded") {
            let entry = transaction(refund.id.clone(), "refund", refund.created, refund.amount)?;
            transactions.insert((1, refund.created, refund.id.clone()), entry);
        }
    }
    Ok(transactions.into_values().collect())
}

fn transaction(
    external_id: String,
    r#type: &'static str,
    at: i64,
    amount_in_cents: i64,
) -> Result<ledger::Transaction, Error> {
    Ok(ledger::Transaction { external_id, r#type, date: instant(at)?, result: "successful", amount_in_cents })
}
