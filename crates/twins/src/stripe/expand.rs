//! `expand[]`: ids replaced by the objects they name, along paths such as `data.latest_invoice.payment_intent`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::errors::Error;
use super::events::Snapshot;
use super::render;
use super::version::Version;
use super::world::World;

/// Stripe's limit on the names in a path, `data` included.
const DEPTH_MAX: usize = 4;

pub(super) fn expand(world: &World, version: &Version, value: &mut Value, path: &str) -> Result<(), Error> {
    let names: Vec<&str> = path.split('.').collect();
    if names.len() > DEPTH_MAX {
        let message =
            format!("You cannot expand more than {DEPTH_MAX} levels of a property. Property: {path}");
        return Err(Error::invalid(message).at("expand"));
    }
    Expansion { world, version, path }.walk(value, &names)
}

struct Expansion<'a> {
    world: &'a World,
    version: &'a Version,
    path: &'a str,
}

impl Expansion<'_> {
    fn walk(&self, value: &mut Value, names: &[&str]) -> Result<(), Error> {
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.walk(item, names)),
            Value::Object(map) => {
                if map.get("deleted") == Some(&Value::Bool(true)) {
                    return Ok(());
                }
                if !map.contains_key(*name) {
                    let added = self.add(map, name).ok_or_else(|| self.cannot())?;
                    map.insert((*name).to_owned(), added);
                }
                let Some(child) = map.get_mut(*name) else { return Ok(()) };
                self.resolve(name, child);
                self.walk(child, rest)
            }
            _ => Ok(()),
        }
    }

    fn cannot(&self) -> Error {
        let message = format!(
            "This property cannot be expanded ({}). You may want to try expanding 'data.{}' instead.",
            self.path, self.path
        );
        Error::invalid(message).at("expand")
    }

    fn resolve(&self, name: &str, child: &mut Value) {
        match child {
            Value::String(id) => {
                if let Some(found) = self.find(name, id) {
                    *child = found;
                }
            }
            Value::Array(items) => {
                for item in items.iter_mut().filter(|item| item.is_string()) {
                    self.resolve(name, item);
                }
            }
            _ => {}
        }
    }

    fn show<T>(&self, row: Option<&Arc<T>>) -> Option<Value>
    where
        Snapshot: From<Arc<T>>,
    {
        row.map(|row| render::snapshot(&Arc::clone(row).into(), self.version, self.world))
    }

    /// The object an id stands for: by the name of the field where ids may be chosen freely, else by prefix.
    fn find(&self, name: &str, id: &str) -> Option<Value> {
        let world = self.world;
        match name {
            "product" => return self.show(world.products.get(id)),
            "price" | "default_price" => return self.show(world.prices.get(id)),
            "coupon" => return self.show(world.coupons.get(id)),
            "balance_transaction" => {
                let charge = world.transactions.get(id).and_then(|charge| world.charges.get(charge));
                return charge.map(|charge| render::balance_transaction(charge));
            }
            _ => {}
        }
        match id.split('_').next()? {
            "cus" => self.show(world.customers.get(id)),
            "sub" => self.show(world.subscriptions.get(id)),
            "in" => self.show(world.invoices.get(id)),
            "ch" => self.show(world.charges.get(id)),
            "pi" => self.show(world.payment_intents.get(id)),
            "pm" => self.show(world.payment_methods.get(id)),
            "di" => self.show(world.discounts.get(id)),
            "re" => self.show(world.refunds.get(id)),
            "clock" => self.show(world.clocks.get(id)),
            _ => None,
        }
    }

    /// Fields that an object only has when they are asked for.
    fn add(&self, map: &Map<String, Value>, name: &str) -> Option<Value> {
        let id = map.get("id").and_then(Value::as_str).unwrap_or_default();
        let empty = |url: &str| json!({ "object": "list", "data": [], "has_more": false, "url": url });
        match (map.get("object")?.as_str()?, name) {
            ("customer", "subscriptions") => {
                let live = self.world.subscriptions.of(id).rev().filter(|(_, one)| one.ended_at.is_none());
                let data: Vec<Value> = live.filter_map(|(_, one)| self.show(Some(one))).collect();
                let url = format!("/v1/customers/{id}/subscriptions");
                Some(json!({
                    "object": "list", "total_count": data.len(), "data": data, "has_more": false, "url": url,
                }))
            }
            ("customer", "sources") => Some(empty(&format!("/v1/customers/{id}/sources"))),
            ("customer", "tax_ids") => Some(empty(&format!("/v1/customers/{id}/tax_ids"))),
            ("customer", "tax") => Some(json!({
                "automatic_tax": "unrecognized_location", "ip_address": null, "location": null,
                "provider": "stripe",
            })),
            ("customer", "invoice_credit_balance") => Some(json!({})),
            ("customer", "cash_balance") => Some(Value::Null),
            ("invoice", "payments") if self.version.basil() => {
                self.world.invoices.get(id).map(|invoice| render::invoice_payments(invoice))
            }
            ("invoice", "confirmation_secret") => Some(Value::Null),
            ("charge", "refunds") => Some(render::charge_refunds(id, self.world)),
            ("price" | "plan", "tiers" | "currency_options")
            | ("coupon", "applies_to" | "currency_options") => Some(Value::Null),
            _ => None,
        }
    }
}
