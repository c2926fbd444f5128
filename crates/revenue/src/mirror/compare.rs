//! The invoices that the ledger should hold against those that it holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{self, Held, HeldLine};

use super::cancellations::seconds;
use super::{NewTransaction, Plan, Removal, STATE_PREFIX};

/// Removes what should not be there, rewrites what differs, adds what is missing.
///
/// An observation of an untraced change is kept for ever: nothing else remembers it.
pub(super) fn invoices(desired: &[ledger::Invoice], held: &ledger::Snapshot) -> Plan {
    let mut plan = Plan::default();
    let plans: BTreeMap<&str, &str> =
        held.plans.iter().filter_map(|p| Some((p.uuid.as_str(), p.external_id.as_deref()?))).collect();
    let wanted: BTreeMap<&str, &ledger::Invoice> =
        desired.iter().map(|i| (i.external_id.as_str(), i)).collect();
    let mut agreed = BTreeSet::new();
    for invoice in &held.invoices {
        let reason = match wanted.get(invoice.external_id.as_str()) {
            Some(want) if same(want, invoice, &plans) => {
                agreed.insert(want.external_id.as_str());
                plan.transactions.extend(missing_transactions(want, invoice));
                continue;
            }
            Some(_) => "it differs from the vendor's invoice",
            None if invoice.external_id.starts_with(STATE_PREFIX) => continue,
            None => "the vendor voided or never issued it",
        };
        plan.remove.push(Removal {
            uuid: invoice.uuid.clone(),
            external_id: invoice.external_id.clone(),
            reason,
        });
    }
    plan.invoices =
        desired.iter().filter(|invoice| !agreed.contains(invoice.external_id.as_str())).cloned().collect();
    plan
}

fn missing_transactions<'a>(
    want: &'a ledger::Invoice,
    held: &'a Held,
) -> impl Iterator<Item = NewTransaction> + 'a {
    let known: BTreeSet<&str> = held.transactions.iter().filter_map(|t| t.external_id.as_deref()).collect();
    want.transactions.iter().filter(move |transaction| !known.contains(transaction.external_id.as_str())).map(
        |transaction| NewTransaction { invoice_uuid: held.uuid.clone(), transaction: transaction.clone() },
    )
}

/// Whether the ledger's invoice says the same, whatever the form of its times and the order of its lines.
fn same(want: &ledger::Invoice, held: &Held, plans: &BTreeMap<&str, &str>) -> bool {
    if !want.currency.eq_ignore_ascii_case(&held.currency)
        || seconds(&want.date) != seconds(&held.date)
        || want.line_items.len() != held.line_items.len()
    {
        return false;
    }
    let by_id: BTreeMap<&str, &HeldLine> =
        held.line_items.iter().filter_map(|line| Some((line.external_id.as_deref()?, line))).collect();
    want.line_items
        .iter()
        .all(|line| by_id.get(line.external_id.as_str()).is_some_and(|held| same_line(line, held, plans)))
}

fn same_line(want: &ledger::Line, held: &HeldLine, plans: &BTreeMap<&str, &str>) -> bool {
    let plan = held.plan_uuid.as_deref().and_then(|uuid| plans.get(uuid).copied());
    let at = |date: &Option<String>| date.as_deref().and_then(seconds);
    want.r#type.as_str() == held.r#type
        && want.amount_in_cents == held.amount_in_cents
        && want.tax_amount_in_cents == held.tax_amount_in_cents.unwrap_or(0)
        && want.quantity == held.quantity.unwrap_or(1)
        && want.subscription_external_id == held.subscription_external_id
        && want.plan.as_deref() == plan
        && at(&want.service_period_start) == at(&held.service_period_start)
        && at(&want.service_period_end) == at(&held.service_period_end)
}
