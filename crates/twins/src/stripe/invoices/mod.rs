//! Invoices: drawn as drafts, finalized, collected; and the items that wait for one.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | – | drawn | draft |
//! | draft | finalized; something is due | open |
//! | draft | finalized; nothing is due | paid |
//! | open | paid, also out of band | paid |
//! | open | given up | uncollectible |
//! | open, uncollectible | voided | void |
//! | uncollectible | paid after all | paid |

pub(super) mod collect;
pub(super) mod items;
pub(super) mod preview;
pub(super) mod wire;

use std::sync::Arc;

use super::calendar::DAY;
use super::discounts::take_off;
use super::errors::Error;
use super::model::*;
use super::world::{Timer, World};

pub(super) use collect::Outcome;

/// An invoice to be drawn.
pub(super) struct Draft {
    pub customer: String,
    pub subscription: Option<Arc<Subscription>>,
    pub reason: Reason,
    pub lines: Vec<Line>,
    pub discounts: Vec<Arc<Discount>>,
    pub period: (i64, i64),
    pub currency: String,
    /// The customer's pending items go on it.
    pub take_pending: bool,
    /// When it is finalized by itself; `None`: by whoever draws it.
    pub finalizes_at: Option<i64>,
    pub auto_advance: bool,
    pub collection: Collection,
    pub days_until_due: Option<i64>,
}

impl Draft {
    /// An empty draft for a subscription.
    pub(super) fn of(subscription: &Arc<Subscription>, reason: Reason, period: (i64, i64)) -> Draft {
        Draft {
            customer: subscription.customer.clone(),
            subscription: Some(Arc::clone(subscription)),
            reason,
            lines: Vec::new(),
            discounts: Vec::new(),
            period,
            currency: subscription.currency.clone(),
            take_pending: false,
            finalizes_at: None,
            auto_advance: true,
            collection: subscription.collection,
            days_until_due: subscription.days_until_due,
        }
    }
}

/// The line that an invoice item becomes.
pub(super) fn item_line(item: &InvoiceItem) -> Line {
    Line {
        id: String::new(),
        amount: item.amount,
        description: item.description.clone(),
        price: item.price.clone(),
        quantity: item.quantity,
        period: item.period,
        proration: item.proration,
        subscription: item.subscription.clone(),
        item: item.item.clone(),
        invoice_item: Some(item.id.clone()),
        discountable: item.discountable,
        discounts: item.discounts.iter().map(|discount| (Arc::clone(discount), 0)).collect(),
        metadata: item.metadata.clone(),
    }
}

/// Writes the discounts into the lines and adds up.
pub(super) fn add_up(invoice: &mut Invoice) {
    let amounts: Vec<i64> =
        invoice.lines.iter().map(|line| if line.discountable { line.amount } else { 0 }).collect();
    let taken = take_off(&invoice.discounts, &amounts);
    for (line, taken) in invoice.lines.iter_mut().zip(taken) {
        // A proration names the discounts that it is after; nothing more is taken off.
        if line.discountable {
            line.discounts = if line.amount > 0 { taken } else { Vec::new() };
        }
    }
    let off = |line: &Line| line.discounts.iter().map(|(_, cents)| cents).sum::<i64>();
    invoice.subtotal = invoice.lines.iter().map(|line| line.amount).sum();
    invoice.total = invoice.subtotal - invoice.lines.iter().map(off).sum::<i64>();
    invoice.amount_due = (invoice.total + invoice.starting_balance).max(0);
}

impl World {
    /// What a draft would look like; nothing is stored, ids are empty.
    pub(super) fn outline(&self, draft: Draft) -> Result<Invoice, Error> {
        let customer = self.customers.get(&draft.customer);
        let customer = customer.ok_or_else(|| Error::missing("customer", &draft.customer, "customer"))?;
        let subscription = draft.subscription;
        let mut lines = Vec::new();
        if draft.take_pending {
            let owner = subscription.as_ref().map(|subscription| subscription.id.as_str());
            let pending = self.pending_for(&draft.customer, owner);
            lines.extend(
                pending.iter().filter(|item| item.currency == draft.currency).map(|item| item_line(item)),
            );
        }
        lines.extend(draft.lines);
        let due = draft.days_until_due.map(|days| self.now + days * DAY);
        let mut invoice = Invoice {
            id: String::new(),
            number: None,
            created: self.now,
            customer: customer.id.clone(),
            customer_name: customer.name.clone(),
            customer_email: customer.email.clone(),
            customer_phone: customer.phone.clone(),
            subscription: subscription.as_ref().map(|subscription| subscription.id.clone()),
            subscription_metadata: subscription.as_ref().map(|one| one.metadata.clone()).unwrap_or_default(),
            status: InvoiceStatus::Draft,
            reason: draft.reason,
            currency: draft.currency,
            lines,
            discounts: draft.discounts,
            subtotal: 0,
            total: 0,
            starting_balance: customer.balance,
            ending_balance: None,
            amount_due: 0,
            amount_paid: 0,
            attempt_count: 0,
            attempted: false,
            auto_advance: draft.auto_advance,
            next_attempt: draft.finalizes_at,
            finalizes_at: draft.finalizes_at,
            finalized_at: None,
            paid_at: None,
            voided_at: None,
            uncollectible_at: None,
            period: draft.period,
            due_date: if draft.collection == Collection::Send {
                due.or(Some(self.now + 30 * DAY))
            } else {
                None
            },
            collection: draft.collection,
            default_payment_method: None,
            payment: None,
            charge: None,
            paid_out_of_band: false,
            description: None,
            footer: customer.footer.clone(),
            metadata: Metadata::new(),
            test_clock: customer.test_clock.clone(),
        };
        add_up(&mut invoice);
        Ok(invoice)
    }

    /// Draws an invoice as a draft.
    pub(super) fn draw(&mut self, draft: Draft) -> Result<Arc<Invoice>, Error> {
        let mut invoice = self.outline(draft)?;
        invoice.id = self.ids.long("in_1");
        for line in &mut invoice.lines {
            line.id = self.ids.long("il_1");
        }
        let invoice = self.invoices.insert(invoice);
        let items = invoice.lines.iter().filter_map(|line| line.invoice_item.clone());
        for item in items.collect::<Vec<_>>() {
            self.place_item(&item, &invoice.id)?;
        }
        if let Some(at) = invoice.finalizes_at {
            self.at(at, Timer::Finalize(invoice.id.clone()));
        }
        self.tell("invoice.created", Arc::clone(&invoice));
        Ok(invoice)
    }

    pub(super) fn update_invoice(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Invoice),
    ) -> Result<Arc<Invoice>, Error> {
        self.update(|world| &mut world.invoices, "invoice.updated", id, change)
    }

    pub(super) fn edit_invoice(&mut self, id: &str, change: impl FnOnce(&mut Invoice)) -> Result<(), Error> {
        self.edit(|world| &mut world.invoices, id, change).map(drop)
    }

    pub(super) fn finalize_due(&mut self, id: &str) -> Result<(), Error> {
        let Some(invoice) = self.invoices.get(id) else { return Ok(()) };
        let due = invoice.status == InvoiceStatus::Draft
            && invoice.auto_advance
            && invoice.finalizes_at.is_some_and(|at| at <= self.now);
        if !due {
            return Ok(());
        }
        self.finalize(id)?;
        let outcome = self.collect(id, None)?;
        self.settle(id, outcome)
    }

    /// Gives the invoice its number, applies the customer's balance, asks for payment if anything is due.
    pub(super) fn finalize(&mut self, id: &str) -> Result<(), Error> {
        let before = self.invoice(id)?;
        if before.status != InvoiceStatus::Draft {
            let message = "This invoice is already finalized, you can't re-finalize a non-draft invoice.";
            return Err(Error::coded("invoice_not_editable", message));
        }
        let customer = self.customers.get(&before.customer).cloned();
        let customer = customer.ok_or_else(|| Error::missing("customer", &before.customer, "customer"))?;
        let owed = before.total + customer.balance;
        let (due, ending) = (owed.max(0), owed.min(0));
        let number = format!("{}-{:04}", customer.invoice_prefix, customer.next_invoice);
        let counted = self.edit(
            |world| &mut world.customers,
            &customer.id,
            |customer| {
                customer.next_invoice += 1;
                customer.balance = ending;
            },
        )?;
        if counted.before.balance != ending {
            self.tell_change("customer.updated", &counted);
        }
        let payment = if due > 0 && before.collection == Collection::Automatic {
            Some(self.ask_payment(&before, due)?)
        } else {
            None
        };
        let now = self.now;
        self.edit_invoice(id, |invoice| {
            invoice.status = InvoiceStatus::Open;
            invoice.number = Some(number);
            invoice.starting_balance = customer.balance;
            invoice.ending_balance = Some(ending);
            invoice.amount_due = due;
            invoice.finalized_at = Some(now);
            invoice.finalizes_at = None;
            invoice.next_attempt = None;
            invoice.payment = payment;
        })?;
        let invoice = self.invoice(id)?;
        self.tell("invoice.finalized", invoice);
        if due == 0 {
            self.mark_paid(id, false)?;
        }
        Ok(())
    }

    /// Withdraws an invoice; credit it had used goes back to the customer.
    pub(super) fn void(&mut self, id: &str) -> Result<(), Error> {
        let invoice = self.invoice(id)?;
        if !matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
            let message = format!(
                "You can only pass in open invoices. This invoice isn't open ({}).",
                invoice.status.as_str()
            );
            return Err(Error::invalid(message));
        }
        self.close(id, InvoiceStatus::Void)?;
        let used = invoice.starting_balance - invoice.ending_balance.unwrap_or(invoice.starting_balance);
        if used != 0 && self.customer(&invoice.customer).is_ok() {
            self.update_customer(&invoice.customer, |customer| customer.balance += used)?;
        }
        self.given_up(&invoice)
    }

    pub(super) fn give_up(&mut self, id: &str) -> Result<(), Error> {
        let invoice = self.invoice(id)?;
        if invoice.status != InvoiceStatus::Open {
            let message = format!(
                "You can only pass in open invoices. This invoice isn't open ({}).",
                invoice.status.as_str()
            );
            return Err(Error::invalid(message));
        }
        self.close(id, InvoiceStatus::Uncollectible)?;
        self.given_up(&invoice)
    }

    fn close(&mut self, id: &str, status: InvoiceStatus) -> Result<(), Error> {
        let now = self.now;
        let before = self.invoice(id)?;
        let void = status == InvoiceStatus::Void;
        if let Some(payment) = before.payment.as_ref().filter(|payment| void && payment.paid_at.is_none()) {
            self.cancel_intent(&payment.payment_intent)?;
        }
        let after = self.update_invoice(id, |invoice| {
            invoice.status = status;
            invoice.auto_advance = false;
            invoice.next_attempt = None;
            if void {
                invoice.voided_at = Some(now);
                if let Some(payment) = &mut invoice.payment {
                    payment.canceled_at = Some(now);
                }
            } else {
                invoice.uncollectible_at = Some(now);
            }
        })?;
        self.tell(if void { "invoice.voided" } else { "invoice.marked_uncollectible" }, after);
        Ok(())
    }

    /// What a subscription does when an invoice of it is no longer collected.
    fn given_up(&mut self, invoice: &Invoice) -> Result<(), Error> {
        let Some(id) = &invoice.subscription else { return Ok(()) };
        match self.subscription(id)?.status {
            SubscriptionStatus::Incomplete if invoice.reason == Reason::Create => self.expire_incomplete(id),
            SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid if !self.owes(id) => {
                self.set_status(id, SubscriptionStatus::Active)
            }
            _ => Ok(()),
        }
    }

    /// Whether an invoice of a subscription was tried and is still open.
    pub(super) fn owes(&self, subscription: &str) -> bool {
        self.invoices.of(subscription).any(|(_, one)| one.status == InvoiceStatus::Open && one.attempted)
    }
}
