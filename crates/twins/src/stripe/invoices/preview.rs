//! Previews: what the next invoice will be, or would be after a change. Nothing is stored.

use std::sync::Arc;

use serde_json::Value;

use super::super::calendar::next_turn;
use super::super::errors::Error;
use super::super::model::*;
use super::super::proration::{Piece, regular_line};
use super::super::router::Call;
use super::super::subscriptions::wire::item_changes;
use super::super::world::World;
use super::{Draft, Line, add_up};

fn piece_line(subscription: &str, piece: Piece) -> Line {
    Line {
        id: String::new(),
        amount: piece.amount,
        description: Some(piece.description),
        price: Some(piece.price),
        quantity: piece.quantity,
        period: piece.period,
        proration: true,
        subscription: Some(subscription.to_owned()),
        item: Some(piece.item),
        invoice_item: None,
        discountable: false,
        discounts: piece.discounts.into_iter().map(|discount| (discount, 0)).collect(),
        metadata: Metadata::new(),
    }
}

impl World {
    /// The next renewal as it stands.
    pub(in super::super) fn preview_renewal(
        &mut self,
        subscription: &Arc<Subscription>,
    ) -> Result<Invoice, Error> {
        let (start, end) = (subscription.period_start, subscription.period_end);
        let every = subscription.items.first().and_then(|item| item.price.recurring);
        let next = every.map_or(end, |every| next_turn(subscription.anchor, every, end));
        let lines =
            subscription.items.iter().map(|item| regular_line(&subscription.id, item, (end, next))).collect();
        let draft = Draft {
            lines,
            discounts: self.discounts_now(subscription),
            take_pending: true,
            ..Draft::of(subscription, Reason::Upcoming, (start, end))
        };
        let mut invoice = self.outline(draft)?;
        invoice.created = end;
        invoice.next_attempt = Some(end + super::super::calendar::HOUR);
        self.name_fleeting(&mut invoice);
        Ok(invoice)
    }

    fn name_fleeting(&mut self, invoice: &mut Invoice) {
        for line in &mut invoice.lines {
            line.id = self.ids.fleeting("il_tmp_1");
        }
    }
}

/// `POST /v1/invoices/create_preview`, and `GET /v1/invoices/upcoming` before basil.
pub(in super::super) fn create(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (customer, subscription) = (params.string("customer")?, params.string("subscription")?);
    params.refuse(&[
        "schedule",
        "schedule_details",
        "invoice_items",
        "customer_details",
        "discounts",
        "coupon",
    ])?;
    params.ignore(&["preview_mode", "automatic_tax", "currency", "issuer", "on_behalf_of"]);
    let mut details = params.map("subscription_details")?.unwrap_or_default();
    // Before basil these stood beside, not within.
    let mut old = super::super::form::Params::default();
    std::mem::swap(&mut old, params);
    let changes = match details.maps("items")? {
        Some(items) => item_changes(items)?,
        None => item_changes(old.maps("subscription_items")?.unwrap_or_default())?,
    };
    let words = "create_prorations, always_invoice, or none";
    let proration = match details.word("proration_behavior", Proration::parse, words)? {
        Some(proration) => Some(proration),
        None => old.word("subscription_proration_behavior", Proration::parse, words)?,
    };
    let date = details.int("proration_date")?.or(old.int("subscription_proration_date")?);
    details.refuse(&["trial_end", "cancel_at", "cancel_now", "start_date", "resume_at"])?;
    details.ignore(&["billing_cycle_anchor", "billing_mode", "default_tax_rates", "cancel_at_period_end"]);
    details.done()?;
    old.done()?;
    let world = &mut *call.world;
    let id = match (subscription, &customer) {
        (Some(id), _) => id,
        (None, Some(customer)) => {
            let live = world.subscriptions.of(customer).find(|(_, one)| one.ended_at.is_none());
            let none = || Error {
                status: 404,
                ..Error::coded("invoice_upcoming_none", "No upcoming invoices for customer")
            };
            live.map(|(_, one)| one.id.clone()).ok_or_else(none)?
        }
        (None, None) => {
            let message =
                "You must either provide a `customer` or a `subscription` to the upcoming invoice endpoint.";
            return Err(Error::invalid(message));
        }
    };
    let subscription =
        world.subscription(&id).map_err(|_| Error::missing_param("subscription", &id, "subscription"))?;
    let invoice = preview(world, &subscription, changes, proration.unwrap_or(Proration::Create), date)?;
    Ok(call.show(super::super::events::Snapshot::Upcoming(Arc::new(invoice))))
}

fn preview(
    world: &mut World,
    subscription: &Arc<Subscription>,
    changes: Vec<super::super::subscriptions::items::ItemChange>,
    proration: Proration,
    date: Option<i64>,
) -> Result<Invoice, Error> {
    if changes.is_empty() {
        return world.preview_renewal(subscription);
    }
    let items = world.changed_items(subscription, changes, &subscription.currency.clone())?;
    let plan = world.plan_change(subscription, items, proration, date, false);
    let mut changed = subscription.as_ref().clone();
    changed.items = plan.items;
    (changed.period_start, changed.period_end) = plan.period;
    let changed = Arc::new(changed);
    let pieces: Vec<Line> = plan.pieces.into_iter().map(|piece| piece_line(&changed.id, piece)).collect();
    let at_once = plan.restarts || proration == Proration::Invoice;
    let mut invoice = if at_once {
        let draft = Draft { take_pending: true, ..Draft::of(&changed, Reason::Update, plan.period) };
        let mut invoice = world.outline(draft)?;
        if plan.restarts {
            invoice.discounts = world.discounts_now(&changed);
            invoice
                .lines
                .extend(changed.items.iter().map(|item| regular_line(&changed.id, item, plan.period)));
        }
        invoice
    } else {
        world.preview_renewal(&changed)?
    };
    invoice.lines.splice(0..0, pieces);
    add_up(&mut invoice);
    world.name_fleeting(&mut invoice);
    Ok(invoice)
}
