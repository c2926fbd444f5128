//! Subscriptions over the wire.

use serde_json::Value;

use super::super::calendar::DAY;
use super::super::errors::Error;
use super::super::form::Params;
use super::super::model::*;
use super::super::paging::{Range, list as list_value};
use super::super::render;
use super::super::router::Call;
use super::create::Opening;
use super::items::ItemChange;
use super::update::{EndAt, Update};
use super::{Behavior, Grant};

const BEHAVIORS: &str = "allow_incomplete, default_incomplete, or error_if_incomplete";
const PRORATIONS: &str = "create_prorations, always_invoice, or none";
/// What would change billing and is not simulated.
const REFUSED: &[&str] = &[
    "add_invoice_items",
    "application_fee_percent",
    "backdate_start_date",
    "billing_cycle_anchor_config",
    "billing_schedules",
    "billing_thresholds",
    "default_tax_rates",
    "default_source",
    "on_behalf_of",
    "pause_collection",
    "pending_invoice_item_interval",
    "promotion_code",
    "tax_percent",
    "transfer_data",
];
/// What no client of this twin can see.
const IGNORED: &[&str] =
    &["off_session", "payment_settings", "trial_from_plan", "enable_incomplete_payments", "invoice_settings"];

fn no_automatic_tax(params: &mut Params) -> Result<(), Error> {
    if let Some(mut tax) = params.map("automatic_tax")?
        && tax.flag("enabled")? == Some(true)
    {
        return Err(Error::not_simulated("automatic_tax[enabled]"));
    }
    Ok(())
}

fn missing_card(params: &mut Params) -> Result<Option<MissingCard>, Error> {
    let Some(mut settings) = params.map("trial_settings")? else { return Ok(None) };
    let Some(mut behavior) = settings.map("end_behavior")? else { return Ok(None) };
    behavior.word(
        "missing_payment_method",
        MissingCard::parse,
        "cancel or create_invoice (pause is not simulated)",
    )
}

/// `discounts` (new), or `coupon` (before basil).
fn grants(params: &mut Params) -> Result<Option<Vec<Grant>>, Error> {
    if let Some(coupon) = params.clearable("coupon")? {
        return Ok(Some(coupon.into_iter().map(Grant::Coupon).collect()));
    }
    let Some(list) = params.maps("discounts")? else { return Ok(None) };
    let mut grants = Vec::with_capacity(list.len());
    for mut entry in list {
        entry.refuse(&["promotion_code", "discount_end"])?;
        match (entry.string("coupon")?, entry.string("discount")?) {
            (Some(coupon), _) => grants.push(Grant::Coupon(coupon)),
            (None, Some(discount)) => grants.push(Grant::Keep(discount)),
            (None, None) => return Err(Error::required("discounts[0][coupon]")),
        }
        entry.done()?;
    }
    Ok(Some(grants))
}

/// The entries of `items` in an update.
pub(in super::super) fn item_changes(entries: Vec<Params>) -> Result<Vec<ItemChange>, Error> {
    let mut changes = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let (price, plan) = (entry.string("price")?, entry.string("plan")?);
        let as_plan = price.is_none();
        entry.refuse(&["price_data", "tax_rates", "billing_thresholds", "discounts", "current_trial"])?;
        entry.ignore(&["clear_usage"]);
        changes.push(ItemChange {
            id: entry.string("id")?,
            price: price.or(plan),
            as_plan,
            quantity: entry.int("quantity")?,
            deleted: entry.flag("deleted")?.unwrap_or(false),
            metadata: entry.metadata_change()?,
        });
        entry.done()?;
    }
    Ok(changes)
}

fn end_at(params: &mut Params) -> Result<Option<Option<EndAt>>, Error> {
    let Some(given) = params.clearable("cancel_at")? else { return Ok(None) };
    let Some(text) = given else { return Ok(Some(None)) };
    if matches!(text.as_str(), "min_period_end" | "max_period_end") {
        return Ok(Some(Some(EndAt::PeriodEnd)));
    }
    let time = text.parse().map_err(|_| Error::integer("cancel_at", &text))?;
    Ok(Some(Some(EndAt::Time(time))))
}

pub(in super::super) fn create(call: &mut Call) -> Result<Value, Error> {
    let (now, clover) = (call.world.now, call.version.clover());
    let params = &mut call.params;
    let mut new = Opening::new(&params.need("customer")?);
    let owner = call.world.customer(&new.customer).map(|_| ());
    owner.map_err(|_| Error::missing_param("customer", &new.customer, "customer"))?;
    params.ignore(IGNORED);
    params.refuse(REFUSED)?;
    no_automatic_tax(params)?;
    let entries = item_changes(params.maps("items")?.unwrap_or_default())?;
    for entry in entries {
        let price = entry.price.ok_or_else(|| Error::required("items[0][price]"))?;
        call.world.named_price(&price, entry.as_plan)?;
        let mut metadata = Metadata::new();
        entry.metadata.apply(&mut metadata);
        new.items.push((price, entry.quantity.unwrap_or(1), metadata));
    }
    if let Some(plan) = params.string("plan")? {
        call.world.named_price(&plan, true)?;
        new.items.push((plan, params.int("quantity")?.unwrap_or(1), Metadata::new()));
    }
    let days = params.int("trial_period_days")?;
    new.trial_end = match (params.string("trial_end")?.as_deref(), days) {
        (Some("now"), _) => None,
        (Some(text), _) => Some(text.parse().map_err(|_| Error::integer("trial_end", text))?),
        (None, Some(days)) => Some(now + days * DAY),
        (None, None) => None,
    };
    if new.trial_end.is_some_and(|end| end <= now && days.is_none()) {
        return Err(Error::invalid("trial_end must be in the future.").at("trial_end"));
    }
    new.grants = grants(params)?.unwrap_or_default();
    new.anchor = params.int("billing_cycle_anchor")?;
    new.proration =
        params.word("proration_behavior", Proration::parse, PRORATIONS)?.unwrap_or(Proration::Create);
    let behavior = params.word("payment_behavior", Behavior::parse, BEHAVIORS)?;
    new.behavior = behavior.unwrap_or(Behavior::Allow);
    let collection =
        params.word("collection_method", Collection::parse, "charge_automatically or send_invoice")?;
    new.collection = collection.unwrap_or(Collection::Automatic);
    new.days_until_due = params.int("days_until_due")?;
    new.cancel_at_period_end = params.flag("cancel_at_period_end")?.unwrap_or(false);
    match end_at(params)? {
        Some(Some(EndAt::Time(time))) => new.cancel_at = Some(time),
        Some(Some(EndAt::PeriodEnd)) => return Err(Error::not_simulated("cancel_at by name at creation")),
        _ => {}
    }
    let card = params.string("default_payment_method")?;
    new.missing_card = missing_card(params)?.unwrap_or(MissingCard::CreateInvoice);
    new.flexible = clover;
    if let Some(mut mode) = params.map("billing_mode")? {
        new.flexible = mode.string("type")?.as_deref() != Some("classic");
        mode.ignore(&["flexible"]);
    }
    new.description = params.string("description")?;
    new.metadata = params.metadata()?;
    if let Some(currency) = params.string("currency")? {
        for (price, ..) in &new.items {
            let price = call.world.price(price, "items[0][price]")?;
            if price.currency != currency.to_lowercase() {
                return Err(
                    Error::invalid("The currency of the price does not match `currency`.").at("currency")
                );
            }
        }
    }
    call.params.done()?;
    if let Some(card) = card {
        new.default_payment_method = Some(call.world.attached(&card, &new.customer)?.id.clone());
    }
    let id = call.world.open_subscription(new)?;
    let subscription = call.world.subscription(&id)?;
    Ok(call.show(subscription))
}

pub(in super::super) fn retrieve(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let subscription = call.world.subscription(id)?;
    Ok(call.show(subscription))
}

pub(in super::super) fn update(call: &mut Call, id: &str) -> Result<Value, Error> {
    let subscription = call.world.live(id)?;
    let params = &mut call.params;
    params.ignore(IGNORED);
    params.refuse(REFUSED)?;
    no_automatic_tax(params)?;
    let mut update =
        Update { items: item_changes(params.maps("items")?.unwrap_or_default())?, ..Update::default() };
    // `plan` and `quantity` beside the items: the one item there is.
    let (plan, quantity) = (params.string("plan")?, params.int("quantity")?);
    if plan.is_some() || quantity.is_some() {
        let [only] = subscription.items.as_slice() else {
            return Err(Error::invalid("Use `items` to change a subscription with several items."));
        };
        let id = Some(only.id.clone());
        update.items.push(ItemChange { id, price: plan, as_plan: true, quantity, ..ItemChange::default() });
    }
    update.proration = params.word("proration_behavior", Proration::parse, PRORATIONS)?;
    update.proration_date = params.int("proration_date")?;
    update.behavior = match params.string("payment_behavior")?.as_deref() {
        Some("pending_if_incomplete") => {
            return Err(Error::not_simulated("payment_behavior=pending_if_incomplete"));
        }
        Some(word) => {
            Some(Behavior::parse(word).ok_or_else(|| Error::choice("payment_behavior", word, BEHAVIORS))?)
        }
        None => None,
    };
    match params.string("trial_end")?.as_deref() {
        Some("now") => update.end_trial = true,
        Some(text) => update.trial_end = Some(text.parse().map_err(|_| Error::integer("trial_end", text))?),
        None => {}
    }
    match params.string("billing_cycle_anchor")?.as_deref() {
        Some("now") => update.restart = true,
        Some("unchanged") | None => {}
        Some(_) => return Err(Error::not_simulated("billing_cycle_anchor other than now or unchanged")),
    }
    update.grants = grants(params)?;
    update.cancel_at_period_end = params.flag("cancel_at_period_end")?;
    update.cancel_at = end_at(params)?;
    if let Some(mut details) = params.map("cancellation_details")? {
        update.cancellation_comment = details.clearable("comment")?;
        update.cancellation_feedback = details.clearable("feedback")?;
    }
    let card = params.clearable("default_payment_method")?;
    update.collection =
        params.word("collection_method", Collection::parse, "charge_automatically or send_invoice")?;
    update.days_until_due = params.int("days_until_due")?;
    update.missing_card = missing_card(params)?;
    update.description = params.clearable("description")?;
    update.metadata = params.metadata_change()?;
    params.done()?;
    update.default_payment_method = match card {
        Some(Some(card)) => Some(Some(call.world.attached(&card, &subscription.customer)?.id.clone())),
        other => other,
    };
    call.world.update_subscription(id, update)?;
    let subscription = call.world.subscription(id)?;
    Ok(call.show(subscription))
}

pub(in super::super) fn cancel(call: &mut Call, id: &str) -> Result<Value, Error> {
    let params = &mut call.params;
    let prorate = params.flag("prorate")?.unwrap_or(false);
    let invoice_now = params.flag("invoice_now")?.unwrap_or(false);
    let details = params.map("cancellation_details")?;
    params.done()?;
    call.world.live(id)?;
    if let Some(mut details) = details {
        let (comment, feedback) = (details.string("comment")?, details.string("feedback")?);
        call.world.edit_subscription(id, |subscription| {
            subscription.cancellation_comment = comment;
            subscription.cancellation_feedback = feedback;
        })?;
    }
    call.world.cancel_now(id, prorate, invoice_now)?;
    let subscription = call.world.subscription(id)?;
    Ok(call.show(subscription))
}

pub(in super::super) fn list(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (customer, status) = (params.string("customer")?, params.string("status")?);
    let (price, plan) = (params.string("price")?, params.string("plan")?);
    let collection = params.string("collection_method")?;
    let price = price.or(plan);
    let starts = Range::take(params, "current_period_start")?;
    let ends = Range::take(params, "current_period_end")?;
    params.ignore(&["test_clock", "automatic_tax"]);
    call.list(
        "/v1/subscriptions",
        |world| &world.subscriptions,
        customer.as_deref(),
        |one| {
            let wanted = match status.as_deref() {
                None => one.ended_at.is_none(),
                Some("all") => true,
                Some("ended") => one.ended_at.is_some(),
                Some(status) => one.status.as_str() == status,
            };
            wanted
                && price.as_ref().is_none_or(|price| one.items.iter().any(|item| item.price.id == *price))
                && collection.as_ref().is_none_or(|collection| one.collection.as_str() == collection)
                && starts.has(one.period_start)
                && ends.has(one.period_end)
        },
    )
}

// Items

pub(in super::super) fn list_items(call: &mut Call) -> Result<Value, Error> {
    let id = call.params.need("subscription")?;
    let cursor = call.cursor()?;
    call.params.done()?;
    let subscription = call
        .world
        .subscription(&id)
        .map_err(|_| Error::missing_param("subscription", &id, "subscription"))?;
    let items = subscription.items.iter().map(|item| render::item(item, &subscription, call.version));
    let items: Vec<Value> = items.collect();
    cursor.slice(items, "/v1/subscription_items")
}

pub(in super::super) fn retrieve_item(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let missing = || Error::missing("subscription_item", id, "id");
    let owner = call.world.items.get(id).ok_or_else(missing)?;
    let subscription = call.world.subscription(owner)?;
    let item = subscription.items.iter().find(|item| item.id == id).ok_or_else(missing)?;
    Ok(render::item(item, &subscription, call.version))
}

/// Create, update or delete one item: an update of its subscription.
pub(in super::super) fn change_item(call: &mut Call, id: Option<&str>, delete: bool) -> Result<Value, Error> {
    let params = &mut call.params;
    let owner = match id {
        Some(id) => {
            let owner = call.world.items.get(id).cloned();
            owner.ok_or_else(|| Error::missing("subscription_item", id, "id"))?
        }
        None => params.need("subscription")?,
    };
    params.ignore(&["off_session", "payment_behavior", "clear_usage"]);
    params.refuse(&["price_data", "tax_rates", "billing_thresholds", "discounts"])?;
    let (price, plan) = (params.string("price")?, params.string("plan")?);
    let change = ItemChange {
        id: id.map(str::to_owned),
        as_plan: price.is_none(),
        price: price.or(plan),
        quantity: params.int("quantity")?,
        deleted: delete,
        metadata: params.metadata_change()?,
    };
    let mut update = Update { items: vec![change], ..Update::default() };
    update.proration = params.word("proration_behavior", Proration::parse, PRORATIONS)?;
    update.proration_date = params.int("proration_date")?;
    params.done()?;
    call.world.update_subscription(&owner, update)?;
    let subscription = call.world.subscription(&owner)?;
    let kept = match id {
        Some(id) => subscription.items.iter().find(|item| item.id == id),
        None => subscription.items.last(),
    };
    match kept {
        Some(item) => Ok(render::item(item, &subscription, call.version)),
        None => Ok(serde_json::json!({ "id": id, "object": "subscription_item", "deleted": true })),
    }
}

/// The items as they stand inside a subscription.
pub(in super::super) fn embedded(subscription: &Subscription, values: Vec<Value>) -> Value {
    let url = format!("/v1/subscription_items?subscription={}", subscription.id);
    let total = values.len();
    let mut list = list_value(values, false, &url);
    list["total_count"] = total.into();
    list
}
