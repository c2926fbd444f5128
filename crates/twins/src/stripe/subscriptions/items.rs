//! The items of a subscription.

use std::sync::Arc;

use super::super::errors::Error;
use super::super::form::MetadataChange;
use super::super::model::*;
use super::super::world::World;

/// One entry of `items` in an update.
#[derive(Debug, Default)]
pub(in super::super) struct ItemChange {
    pub id: Option<String>,
    pub price: Option<String>,
    /// The price was named by its older name, `plan`: so will be the refusal.
    pub as_plan: bool,
    pub quantity: Option<i64>,
    pub deleted: bool,
    pub metadata: MetadataChange,
}

/// Whether a price can stand in a subscription beside `other`.
pub(super) fn check_fits(price: &Price, quantity: i64, other: Option<&Item>) -> Result<(), Error> {
    if quantity < 0 {
        return Err(Error::coded("parameter_invalid_integer", "Invalid non-negative integer").at("quantity"));
    }
    if !price.active {
        return Err(Error::invalid(format!("The price specified is inactive: {}", price.id)));
    }
    let Some(recurring) = price.recurring else {
        let message = "The price specified is set to `type=one_time` but this field only accepts prices with \
                       `type=recurring`.";
        return Err(Error::invalid(message));
    };
    let Some(other) = other else { return Ok(()) };
    if other.price.currency != price.currency {
        return Err(Error::invalid("All prices on a subscription must have the same `currency`."));
    }
    if other.price.recurring != Some(recurring) {
        return Err(Error::not_simulated("items with different intervals"));
    }
    Ok(())
}

impl World {
    pub(super) fn new_item(&mut self, price: Arc<Price>, quantity: i64, metadata: Metadata) -> Item {
        let net = price.unit_amount * quantity;
        let id = self.ids.short("si_");
        Item { id, created: self.now, price, quantity, metadata, net, in_force: Vec::new() }
    }

    /// The price of an item, which requests may also name a plan.
    pub(super) fn named_price(&self, id: &str, as_plan: bool) -> Result<Arc<Price>, Error> {
        let price = self.price(id, "items[0][price]");
        if as_plan { price.map_err(|_| Error::missing_param("plan", id, "plan")) } else { price }
    }

    /// The items after a change; nothing is stored yet.
    pub(in super::super) fn changed_items(
        &mut self,
        subscription: &Subscription,
        changes: Vec<ItemChange>,
        currency: &str,
    ) -> Result<Vec<Item>, Error> {
        let mut items = subscription.items.clone();
        for change in changes {
            let price = change.price.as_deref().map(|id| self.named_price(id, change.as_plan)).transpose()?;
            if let Some(other) = price.as_ref().filter(|price| price.currency != currency) {
                let message = format!(
                    "The price `{}` is in `{}`, the subscription in `{currency}`: a subscription keeps its currency.",
                    other.id, other.currency
                );
                return Err(Error::invalid(message));
            }
            let Some(id) = change.id else {
                let price = price.ok_or_else(|| Error::required("items[0][price]"))?;
                let quantity = change.quantity.unwrap_or(1);
                check_fits(&price, quantity, None)?;
                let mut metadata = Metadata::new();
                change.metadata.apply(&mut metadata);
                let item = self.new_item(price, quantity, metadata);
                items.push(item);
                continue;
            };
            let position = items.iter().position(|item| item.id == id);
            let position =
                position.ok_or_else(|| Error::missing_param("subscription_item", &id, "items[0][id]"))?;
            if change.deleted {
                items.remove(position);
                continue;
            }
            let item = &mut items[position];
            let (before, quantity) = (Arc::clone(&item.price), change.quantity);
            item.price = price.unwrap_or(before);
            item.quantity = quantity.unwrap_or(item.quantity);
            change.metadata.apply(&mut item.metadata);
            check_fits(&item.price, item.quantity, None)?;
        }
        let Some(first) = items.first() else {
            return Err(Error::invalid("A subscription must have at least one active item."));
        };
        for item in &items[1..] {
            check_fits(&item.price, item.quantity, Some(first))?;
        }
        Ok(items)
    }
}
