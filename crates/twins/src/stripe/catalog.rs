//! Products, prices, plans (the older name of prices) and coupons.

use std::sync::Arc;

use serde_json::{Value, json};

use super::errors::Error;
use super::form::Params;
use super::model::*;
use super::router::Call;
use super::world::{World, found};
use super::{NewCoupon, NewPrice};

const INTERVALS: &str = "day, month, week, or year";

impl World {
    pub(super) fn product(&self, id: &str) -> Result<Arc<Product>, Error> {
        found(&self.products, "product", id)
    }

    pub(super) fn price(&self, id: &str, param: &str) -> Result<Arc<Price>, Error> {
        self.prices.get(id).cloned().ok_or_else(|| Error::missing_param("price", id, param))
    }

    pub(super) fn add_product(&mut self, id: Option<String>, name: &str) -> Result<Arc<Product>, Error> {
        let Some(id) = id else { return Ok(self.new_product(name)) };
        if self.products.get(&id).is_some() {
            let message = format!("Product already exists with ID '{id}'");
            return Err(Error::coded("resource_already_exists", message));
        }
        Ok(self.insert_product(id, name))
    }

    pub(super) fn new_product(&mut self, name: &str) -> Arc<Product> {
        let id = self.ids.short("prod_");
        self.insert_product(id, name)
    }

    fn insert_product(&mut self, id: String, name: &str) -> Arc<Product> {
        self.products.insert(Product {
            id,
            created: self.now,
            updated: self.now,
            name: name.to_owned(),
            description: None,
            active: true,
            metadata: Metadata::new(),
            default_price: None,
            unit_label: None,
            statement_descriptor: None,
            tax_code: None,
            url: None,
            images: Vec::new(),
        })
    }

    /// A recurring price; `edit` sets what is rare.
    pub(super) fn add_price(
        &mut self,
        id: Option<String>,
        new: &NewPrice,
        one_time: bool,
        edit: impl FnOnce(&mut Price),
    ) -> Result<Arc<Price>, Error> {
        let product = self.products.get(&new.product).cloned();
        let product = product.ok_or_else(|| Error::missing_param("product", &new.product, "product"))?;
        let id = id.unwrap_or_else(|| self.ids.long("price_1"));
        if self.prices.get(&id).is_some() {
            return Err(Error::coded("resource_already_exists", "Plan already exists."));
        }
        let recurring = Recurring { interval: new.interval, count: new.interval_count };
        let mut price = Price {
            id,
            created: self.now,
            active: true,
            product: product.id.clone(),
            product_name: product.name.clone(),
            currency: new.currency.to_lowercase(),
            unit_amount: new.unit_amount,
            recurring: (!one_time).then_some(recurring),
            trial_period_days: None,
            nickname: new.nickname.clone(),
            lookup_key: None,
            tax_behavior: "unspecified".to_owned(),
            metadata: Metadata::new(),
        };
        edit(&mut price);
        let price = self.prices.insert(price);
        self.tell("price.created", Arc::clone(&price));
        if price.recurring.is_some() {
            self.tell("plan.created", super::events::Snapshot::Plan(Arc::clone(&price)));
        }
        Ok(price)
    }

    pub(super) fn add_coupon(
        &mut self,
        new: NewCoupon,
        edit: impl FnOnce(&mut Coupon),
    ) -> Result<Arc<Coupon>, Error> {
        let id = new.id.unwrap_or_else(|| self.ids.word("", 8));
        if self.coupons.get(&id).is_some() {
            return Err(Error::coded("resource_already_exists", "Coupon already exists.").at("id"));
        }
        let mut coupon = Coupon {
            id,
            created: self.now,
            name: None,
            off: new.amount,
            duration: new.duration,
            max_redemptions: None,
            redeem_by: None,
            times_redeemed: 0,
            metadata: Metadata::new(),
        };
        edit(&mut coupon);
        let coupon = self.coupons.insert(coupon);
        self.tell("coupon.created", Arc::clone(&coupon));
        Ok(coupon)
    }
}

// Products

pub(super) fn create_product(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (id, name) = (params.string("id")?, params.need("name")?);
    params.ignore(&["type", "shippable", "package_dimensions", "marketing_features", "tax_details"]);
    let default_price = params.map("default_price_data")?;
    let edit = product_edit(params)?;
    params.done()?;
    let product = call.world.add_product(id, &name)?;
    call.world.edit(|world| &mut world.products, &product.id, edit)?;
    if let Some(price) = default_price {
        let (mut new, one_time) = new_price(price, product.id.clone())?;
        new.nickname = None;
        let price = call.world.add_price(None, &new, one_time, |_| ())?;
        call.world.edit(
            |world| &mut world.products,
            &product.id,
            |product| {
                product.default_price = Some(price.id.clone());
            },
        )?;
    }
    let product = call.world.product(&product.id)?;
    call.world.tell("product.created", Arc::clone(&product));
    Ok(call.show(product))
}

fn product_edit(params: &mut Params) -> Result<impl FnOnce(&mut Product) + use<>, Error> {
    let active = params.flag("active")?;
    let (description, unit_label) = (params.clearable("description")?, params.clearable("unit_label")?);
    let (url, tax_code) = (params.clearable("url")?, params.clearable("tax_code")?);
    let descriptor = params.clearable("statement_descriptor")?;
    let images = params.strings("images")?;
    let metadata = params.metadata_change()?;
    Ok(move |product: &mut Product| {
        set(&mut product.active, active);
        set(&mut product.description, description);
        set(&mut product.unit_label, unit_label);
        set(&mut product.url, url);
        set(&mut product.tax_code, tax_code);
        set(&mut product.statement_descriptor, descriptor);
        set(&mut product.images, images);
        metadata.apply(&mut product.metadata);
    })
}

/// Sets a field that was given.
pub(super) fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

pub(super) fn update_product(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.world.product(id)?;
    let params = &mut call.params;
    let name = params.string("name")?;
    let default_price = params.clearable("default_price")?;
    params.ignore(&["shippable", "package_dimensions", "marketing_features", "tax_details"]);
    let edit = product_edit(params)?;
    params.done()?;
    let now = call.world.now;
    let product = call.world.update(
        |world| &mut world.products,
        "product.updated",
        id,
        |product| {
            let before = product.clone();
            set(&mut product.name, name);
            set(&mut product.default_price, default_price);
            edit(product);
            if *product != before {
                product.updated = now;
            }
        },
    )?;
    Ok(call.show(product))
}

pub(super) fn delete_product(call: &mut Call, id: &str) -> Result<Value, Error> {
    let product = call.world.product(id)?;
    if call.world.prices.of(id).next().is_some() {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(Error::invalid(message));
    }
    call.world.products.remove(id);
    call.world.tell("product.deleted", product);
    Ok(json!({ "id": id, "object": "product", "deleted": true }))
}

pub(super) fn list_products(call: &mut Call) -> Result<Value, Error> {
    let active = call.params.flag("active")?;
    let ids = call.params.strings("ids")?;
    call.params.ignore(&["shippable", "type", "url"]);
    call.list(
        "/v1/products",
        |world| &world.products,
        None,
        |product| {
            active.is_none_or(|active| product.active == active)
                && ids.as_ref().is_none_or(|ids| ids.contains(&product.id))
        },
    )
}

// Prices and plans

fn interval(params: &mut Params) -> Result<(Interval, u32), Error> {
    let interval = params.word("interval", Interval::parse, INTERVALS)?;
    let interval = interval.ok_or_else(|| Error::required("interval"))?;
    let count = params.int("interval_count")?.unwrap_or(1);
    let count = u32::try_from(count).ok().filter(|count| (1..=1095).contains(count));
    let count = count.ok_or_else(|| Error::integer("interval_count", "out of range"))?;
    Ok((interval, count))
}

/// The parts that `prices`, `price_data` and `default_price_data` have in common; (price, one-time).
pub(super) fn new_price(mut params: Params, product: String) -> Result<(NewPrice, bool), Error> {
    let currency = params.need("currency")?;
    params.refuse(&[
        "tiers",
        "tiers_mode",
        "transform_quantity",
        "currency_options",
        "custom_unit_amount",
    ])?;
    if params.string("billing_scheme")?.is_some_and(|scheme| scheme != "per_unit") {
        return Err(Error::not_simulated("billing_scheme"));
    }
    params.ignore(&["tax_behavior"]);
    let unit_amount = match (params.int("unit_amount")?, params.string("unit_amount_decimal")?) {
        (Some(amount), _) => amount,
        (None, Some(text)) => {
            text.parse().map_err(|_| Error::not_simulated("unit_amount_decimal with a fraction"))?
        }
        (None, None) => return Err(Error::required("unit_amount")),
    };
    if unit_amount < 0 {
        return Err(
            Error::coded("parameter_invalid_integer", "Invalid non-negative integer").at("unit_amount")
        );
    }
    let mut new = NewPrice {
        product,
        unit_amount,
        currency,
        interval: Interval::Month,
        interval_count: 1,
        nickname: None,
    };
    let Some(mut recurring) = params.map("recurring")? else {
        params.done()?;
        return Ok((new, true));
    };
    if recurring.string("usage_type")?.is_some_and(|usage| usage != "licensed") {
        return Err(Error::not_simulated("recurring[usage_type]=metered"));
    }
    recurring.refuse(&["meter", "aggregate_usage"])?;
    recurring.ignore(&["trial_period_days"]);
    (new.interval, new.interval_count) = interval(&mut recurring)?;
    recurring.done()?;
    params.done()?;
    Ok((new, false))
}

pub(super) fn create_price(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (nickname, lookup_key) = (params.string("nickname")?, params.string("lookup_key")?);
    let (active, tax_behavior) = (params.flag("active")?, params.string("tax_behavior")?);
    params.ignore(&["transfer_lookup_key"]);
    let metadata = params.metadata()?;
    let product = params.string("product")?;
    let product_data = params.map("product_data")?;
    let given = std::mem::take(params);
    let (mut new, one_time) = new_price(given, product.clone().unwrap_or_default())?;
    new.nickname = nickname;
    if let Some(mut data) = product_data {
        let (id, name) = (data.string("id")?, data.need("name")?);
        let edit = product_edit(&mut data)?;
        data.done()?;
        let made = call.world.add_product(id, &name)?;
        call.world.edit(|world| &mut world.products, &made.id, edit)?;
        let made = call.world.product(&made.id)?;
        new.product.clone_from(&made.id);
        call.world.tell("product.created", made);
    } else if product.is_none() {
        return Err(Error::required("product"));
    }
    let price = call.world.add_price(None, &new, one_time, |price| {
        price.lookup_key = lookup_key;
        price.metadata = metadata;
        set(&mut price.active, active);
        set(&mut price.tax_behavior, tax_behavior);
    })?;
    Ok(call.show(price))
}

pub(super) fn update_price(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.prices, "price", id)?;
    let params = &mut call.params;
    let (active, nickname) = (params.flag("active")?, params.clearable("nickname")?);
    let (lookup_key, tax_behavior) = (params.clearable("lookup_key")?, params.string("tax_behavior")?);
    params.ignore(&["transfer_lookup_key"]);
    params.refuse(&["currency_options"])?;
    let metadata = params.metadata_change()?;
    params.done()?;
    let price = call.world.update(
        |world| &mut world.prices,
        "price.updated",
        id,
        |price| {
            set(&mut price.active, active);
            set(&mut price.nickname, nickname);
            set(&mut price.lookup_key, lookup_key);
            set(&mut price.tax_behavior, tax_behavior);
            metadata.apply(&mut price.metadata);
        },
    )?;
    Ok(call.show(price))
}

pub(super) fn list_prices(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (active, currency) = (params.flag("active")?, params.string("currency")?);
    let (product, kind) = (params.string("product")?, params.string("type")?);
    let keys = params.strings("lookup_keys")?;
    params.ignore(&["recurring"]);
    call.list(
        "/v1/prices",
        |world| &world.prices,
        product.as_deref(),
        |price| {
            let recurring = if price.recurring.is_some() { "recurring" } else { "one_time" };
            active.is_none_or(|active| price.active == active)
                && currency.as_ref().is_none_or(|currency| price.currency == *currency)
                && kind.as_ref().is_none_or(|kind| kind == recurring)
                && keys
                    .as_ref()
                    .is_none_or(|keys| price.lookup_key.as_ref().is_some_and(|key| keys.contains(key)))
        },
    )
}

pub(super) fn create_plan(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (id, nickname) = (params.string("id")?, params.string("nickname")?);
    let (currency, amount) = (params.need("currency")?, params.int("amount")?);
    let active = params.flag("active")?;
    let trial_days = params.int("trial_period_days")?;
    params.refuse(&["tiers", "tiers_mode", "transform_usage", "meter", "amount_decimal"])?;
    for (key, only) in [("usage_type", "licensed"), ("billing_scheme", "per_unit")] {
        if params.string(key)?.is_some_and(|given| given != only) {
            return Err(Error::not_simulated(key));
        }
    }
    let metadata = params.metadata()?;
    let (interval, interval_count) = interval(params)?;
    let product = match params.scalar("product")? {
        Some(id) => id,
        None => {
            let mut data = params.map("product")?.ok_or_else(|| Error::required("product"))?;
            let (id, name) = (data.string("id")?, data.need("name")?);
            data.done()?;
            let product = call.world.add_product(id, &name)?;
            call.world.tell("product.created", Arc::clone(&product));
            product.id.clone()
        }
    };
    call.params.done()?;
    let unit_amount = amount.ok_or_else(|| Error::required("amount"))?;
    let new = NewPrice { product, unit_amount, currency, interval, interval_count, nickname };
    let price = call.world.add_price(id, &new, false, |price| {
        price.metadata = metadata;
        price.trial_period_days = trial_days;
        set(&mut price.active, active);
    })?;
    Ok(call.show(super::events::Snapshot::Plan(price)))
}

pub(super) fn retrieve_plan(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let price = call.world.prices.get(id).filter(|price| price.recurring.is_some()).cloned();
    let price = price.ok_or_else(|| Error::missing("plan", id, "plan"))?;
    Ok(call.show(super::events::Snapshot::Plan(price)))
}

pub(super) fn list_plans(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (active, product) = (params.flag("active")?, params.string("product")?);
    let keep =
        |price: &Price| price.recurring.is_some() && active.is_none_or(|active| price.active == active);
    call.list_as("/v1/plans", |world| &world.prices, product.as_deref(), keep, super::events::Snapshot::Plan)
}

// Coupons

/// `12.5` → 1250 hundredths of a percent.
fn percent(text: &str) -> Result<u32, Error> {
    let wrong = || Error::invalid(format!("Invalid decimal: {text}")).at("percent_off");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 2 {
        return Err(Error::not_simulated("percent_off with more than two decimals"));
    }
    let hundredths: u32 = format!("{whole}{fraction:0<2}").parse().map_err(|_| wrong())?;
    if (1..=10_000).contains(&hundredths) { Ok(hundredths) } else { Err(wrong()) }
}

pub(super) fn create_coupon(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (id, name) = (params.string("id")?, params.string("name")?);
    let (max_redemptions, redeem_by) = (params.int("max_redemptions")?, params.int("redeem_by")?);
    params.refuse(&["applies_to", "currency_options"])?;
    let currency = params.string("currency")?;
    let amount = match (params.string("percent_off")?, params.int("amount_off")?) {
        (Some(text), None) => Off::Percent(percent(&text)?),
        (None, Some(amount)) => {
            let currency = currency.ok_or_else(|| Error::required("currency"))?;
            Off::Amount(amount, currency.to_lowercase())
        }
        _ => {
            return Err(Error::coded(
                "parameter_missing",
                "Must provide percent_off or amount_off, not both.",
            ));
        }
    };
    let months = params.int("duration_in_months")?;
    let duration = match (params.string("duration")?.as_deref(), months) {
        (None | Some("once"), _) => Duration::Once,
        (Some("forever"), _) => Duration::Forever,
        (Some("repeating"), Some(months)) => Duration::Repeating(u32::try_from(months).unwrap_or(1)),
        (Some("repeating"), None) => return Err(Error::required("duration_in_months")),
        (Some(other), _) => return Err(Error::choice("duration", other, "forever, once, or repeating")),
    };
    let metadata = params.metadata()?;
    params.done()?;
    let coupon = call.world.add_coupon(NewCoupon { id, amount, duration }, |coupon| {
        coupon.name = name;
        coupon.max_redemptions = max_redemptions;
        coupon.redeem_by = redeem_by;
        coupon.metadata = metadata;
    })?;
    Ok(call.show(coupon))
}

pub(super) fn update_coupon(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.coupons, "coupon", id)?;
    let name = call.params.clearable("name")?;
    let metadata = call.params.metadata_change()?;
    call.params.done()?;
    let coupon = call.world.update(
        |world| &mut world.coupons,
        "coupon.updated",
        id,
        |coupon| {
            set(&mut coupon.name, name);
            metadata.apply(&mut coupon.metadata);
        },
    )?;
    Ok(call.show(coupon))
}

/// Discounts already given go on.
pub(super) fn delete_coupon(call: &mut Call, id: &str) -> Result<Value, Error> {
    let coupon = found(&call.world.coupons, "coupon", id)?;
    call.params.done()?;
    call.world.coupons.remove(id);
    call.world.tell("coupon.deleted", coupon);
    Ok(json!({ "id": id, "object": "coupon", "deleted": true }))
}
