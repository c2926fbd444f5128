//! Collecting: charging the card, retrying by the account's schedule, and what that does to the subscription.

use std::sync::Arc;

use super::super::Finally;
use super::super::calendar::DAY;
use super::super::errors::Error;
use super::super::events::Snapshot;
use super::super::model::*;
use super::super::world::{Timer, World};

/// How an attempt to collect an invoice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Outcome {
    Paid,
    /// Sent to the customer; nothing to charge.
    Sent,
    Declined(Decline),
    NoCard,
}

impl World {
    /// Makes the payment intent of an invoice.
    pub(super) fn ask_payment(&mut self, invoice: &Invoice, amount: i64) -> Result<InvoicePayment, Error> {
        let description = match invoice.reason {
            Reason::Create => "Subscription creation",
            Reason::Cycle | Reason::Update => "Subscription update",
            Reason::Manual | Reason::Upcoming => "Payment for Invoice",
        };
        let intent = self.add_intent(amount, &invoice.currency, |intent| {
            intent.customer = Some(invoice.customer.clone());
            intent.invoice = Some(invoice.id.clone());
            intent.description = Some(description.to_owned());
        });
        let id = self.ids.long("inpay_1");
        self.payments.insert(id.clone(), invoice.id.clone());
        Ok(InvoicePayment {
            id,
            created: self.now,
            payment_intent: intent.id.clone(),
            requested: amount,
            paid_at: None,
            canceled_at: None,
        })
    }

    /// One attempt to collect an open invoice. The subscription is told by [`World::settle`].
    pub(in super::super) fn collect(&mut self, id: &str, method: Option<&str>) -> Result<Outcome, Error> {
        let invoice = self.invoice(id)?;
        if invoice.status == InvoiceStatus::Paid {
            return Ok(Outcome::Paid);
        }
        let payment = match invoice.payment.clone() {
            Some(payment) => payment,
            None if method.is_some() => {
                let payment = self.ask_payment(&invoice, invoice.amount_due)?;
                self.edit_invoice(id, |invoice| invoice.payment = Some(payment.clone()))?;
                payment
            }
            None => return Ok(Outcome::Sent),
        };
        let subscription = invoice.subscription.as_deref().and_then(|id| self.subscriptions.get(id)).cloned();
        let card = method.map(str::to_owned).or_else(|| invoice.default_payment_method.clone());
        let card = card.or_else(|| match &subscription {
            Some(subscription) => self.paying_card(subscription),
            None => self.customers.get(&invoice.customer).and_then(|customer| self.default_card(customer)),
        });
        let intent = payment.payment_intent;
        let charged = match &card {
            None => Err(None),
            Some(card) => self.charge(&intent, card)?.map_err(Some),
        };
        let charge = self.payment_intents.get(&intent).and_then(|intent| intent.charges.last().cloned());
        self.edit_invoice(id, |invoice| invoice.charge = charge)?;
        match charged {
            Ok(()) => {
                self.mark_paid(id, true)?;
                Ok(Outcome::Paid)
            }
            Err(decline) => {
                self.attempt_failed(id, method.is_some())?;
                Ok(decline.map_or(Outcome::NoCard, Outcome::Declined))
            }
        }
    }

    /// Notes a failed attempt and sets the next one. An attempt made by hand does not move the schedule.
    fn attempt_failed(&mut self, id: &str, by_hand: bool) -> Result<(), Error> {
        let before = self.invoice(id)?;
        let count = if by_hand { before.attempt_count.max(1) } else { before.attempt_count + 1 };
        let retries = before.auto_advance && matches!(before.reason, Reason::Cycle | Reason::Update);
        let next = if by_hand && before.next_attempt.is_some() {
            before.next_attempt
        } else {
            let wait = usize::try_from(count - 1).ok().and_then(|index| self.dunning.retry_days.get(index));
            wait.filter(|_| retries).map(|days| self.now + days * DAY)
        };
        let after = self.update_invoice(id, |invoice| {
            invoice.attempted = true;
            invoice.attempt_count = count;
            invoice.next_attempt = next;
            invoice.auto_advance = invoice.auto_advance && next.is_some();
        })?;
        if let Some(next) = next {
            self.at(next, Timer::Retry(id.to_owned()));
        }
        self.tell("invoice.payment_failed", after);
        Ok(())
    }

    /// An invoice is paid: by a charge, out of band, or because nothing was due.
    pub(in super::super) fn mark_paid(&mut self, id: &str, charged: bool) -> Result<(), Error> {
        let now = self.now;
        let after = self.update_invoice(id, |invoice| {
            invoice.status = InvoiceStatus::Paid;
            invoice.paid_at = Some(now);
            invoice.attempted = true;
            invoice.amount_paid = invoice.amount_due;
            invoice.attempt_count = if charged { invoice.attempt_count + 1 } else { invoice.attempt_count };
            invoice.next_attempt = None;
            invoice.auto_advance = false;
            if let Some(payment) = invoice.payment.as_mut().filter(|_| charged) {
                payment.paid_at = Some(now);
            }
        })?;
        self.tell("invoice.paid", Arc::clone(&after));
        self.tell("invoice.payment_succeeded", Arc::clone(&after));
        if charged && after.payment.is_some() {
            self.tell("invoice_payment.paid", Snapshot::InvoicePayment(after));
        }
        Ok(())
    }

    /// What an attempt to collect an invoice does to its subscription and customer.
    pub(in super::super) fn settle(&mut self, id: &str, outcome: Outcome) -> Result<(), Error> {
        let invoice = self.invoice(id)?;
        let delinquent = match outcome {
            Outcome::Paid => false,
            Outcome::Sent => return Ok(()),
            Outcome::Declined(_) | Outcome::NoCard => true,
        };
        if self.customer(&invoice.customer).is_ok() {
            let owing = delinquent
                || self
                    .invoices
                    .of(&invoice.customer)
                    .any(|(_, one)| one.status == InvoiceStatus::Open && one.attempted);
            self.update_customer(&invoice.customer, |customer| customer.delinquent = owing)?;
        }
        let Some(subscription) = invoice.subscription.as_deref() else { return Ok(()) };
        let status = self.subscription(subscription)?.status;
        if !delinquent {
            let waits = matches!(
                status,
                SubscriptionStatus::Incomplete | SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid
            );
            if waits && !self.owes(subscription) {
                self.set_status(subscription, SubscriptionStatus::Active)?;
            }
            return Ok(());
        }
        if matches!(status, SubscriptionStatus::Active | SubscriptionStatus::Trialing) {
            self.set_status(subscription, SubscriptionStatus::PastDue)?;
        }
        let last = self.dunning.retry_days.len() + 1;
        let over =
            invoice.next_attempt.is_none() && usize::try_from(invoice.attempt_count).is_ok_and(|n| n >= last);
        let retried = matches!(invoice.reason, Reason::Cycle | Reason::Update);
        if over && retried && self.subscription(subscription)?.status == SubscriptionStatus::PastDue {
            match self.dunning.finally {
                Finally::Cancel => {
                    self.end_subscription(
                        subscription,
                        SubscriptionStatus::Canceled,
                        Some("payment_failed"),
                    )?;
                }
                Finally::Unpaid => self.set_status(subscription, SubscriptionStatus::Unpaid)?,
                Finally::PastDue => {}
            }
        }
        Ok(())
    }

    pub(in super::super) fn retry_due(&mut self, id: &str) -> Result<(), Error> {
        let Some(invoice) = self.invoices.get(id) else { return Ok(()) };
        if invoice.status != InvoiceStatus::Open || invoice.next_attempt != Some(self.now) {
            return Ok(());
        }
        let outcome = self.collect(id, None)?;
        self.settle(id, outcome)
    }

    /// Pays an invoice on request.
    pub(in super::super) fn pay_now(
        &mut self,
        id: &str,
        method: Option<&str>,
        out_of_band: bool,
    ) -> Result<(), Error> {
        let invoice = self.invoice(id)?;
        match invoice.status {
            InvoiceStatus::Paid => return Err(Error::invalid("Invoice is already paid")),
            InvoiceStatus::Void => {
                return Err(Error::invalid("Invoice is voided and can no longer be paid."));
            }
            InvoiceStatus::Draft => self.finalize(id)?,
            InvoiceStatus::Open | InvoiceStatus::Uncollectible => {}
        }
        if self.invoice(id)?.status == InvoiceStatus::Paid {
            return self.settle(id, Outcome::Paid);
        }
        if out_of_band {
            self.edit_invoice(id, |invoice| invoice.paid_out_of_band = true)?;
            self.mark_paid(id, false)?;
            return self.settle(id, Outcome::Paid);
        }
        let customer = self.customers.get(&invoice.customer).cloned();
        let subscription = invoice.subscription.as_deref().and_then(|id| self.subscriptions.get(id)).cloned();
        let card = match (method, subscription, customer) {
            (Some(method), ..) => Some(self.attached(method, &invoice.customer)?.id.clone()),
            (None, Some(subscription), _) => self.paying_card(&subscription),
            (None, None, Some(customer)) => self.default_card(&customer),
            (None, None, None) => None,
        };
        let Some(card) = card else {
            let message =
                "There is no `default_payment_method` set on this Customer or Invoice. Please set one.";
            return Err(Error::coded("invoice_payment_intent_requires_action", message));
        };
        let outcome = self.collect(id, Some(&card))?;
        self.settle(id, outcome.clone())?;
        match outcome {
            Outcome::Declined(decline) => {
                let invoice = self.invoice(id)?;
                let intent = invoice
                    .payment
                    .as_ref()
                    .map(|payment| payment.payment_intent.clone())
                    .unwrap_or_default();
                Err(Error::declined(&decline).of_payment(&intent, invoice.charge.as_deref()))
            }
            _ => Ok(()),
        }
    }
}
