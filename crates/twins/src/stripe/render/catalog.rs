//! Products, prices, plans, coupons, discounts.

use serde_json::{Value, json};

use super::super::model::*;
use super::super::version::Version;
use super::metadata;

pub(super) fn product(product: &Product) -> Value {
    json!({
        "id": product.id,
        "object": "product",
        "active": product.active,
        "attributes": [],
        "created": product.created,
        "default_price": product.default_price,
        "description": product.description,
        "images": product.images,
        "livemode": false,
        "marketing_features": [],
        "metadata": metadata(&product.metadata),
        "name": product.name,
        "package_dimensions": null,
        "shippable": null,
        "statement_descriptor": product.statement_descriptor,
        "tax_code": product.tax_code,
        "tax_details": null,
        "type": "service",
        "unit_label": product.unit_label,
        "updated": product.updated,
        "url": product.url,
    })
}

pub(super) fn price(price: &Price, version: &Version) -> Value {
    let recurring = price.recurring.map(|every| {
        let mut recurring = json!({
            "interval": every.interval.as_str(),
            "interval_count": every.count,
            "meter": null,
            "trial_period_days": price.trial_period_days,
            "usage_type": "licensed",
        });
        if !version.basil() {
            recurring["aggregate_usage"] = Value::Null;
        }
        recurring
    });
    json!({
        "id": price.id,
        "object": "price",
        "active": price.active,
        "billing_scheme": "per_unit",
        "created": price.created,
        "currency": price.currency,
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": price.lookup_key,
        "metadata": metadata(&price.metadata),
        "nickname": price.nickname,
        "product": price.product,
        "recurring": recurring,
        "tax_behavior": price.tax_behavior,
        "tiers_mode": null,
        "transform_quantity": null,
        "type": if price.recurring.is_some() { "recurring" } else { "one_time" },
        "unit_amount": price.unit_amount,
        "unit_amount_decimal": price.unit_amount.to_string(),
    })
}

/// The older name and shape of a recurring price.
pub(super) fn plan(price: &Price, version: &Version) -> Value {
    let every = price.recurring;
    let mut plan = json!({
        "id": price.id,
        "object": "plan",
        "active": price.active,
        "amount": price.unit_amount,
        "amount_decimal": price.unit_amount.to_string(),
        "billing_scheme": "per_unit",
        "created": price.created,
        "currency": price.currency,
        "interval": every.map(|every| every.interval.as_str()),
        "interval_count": every.map(|every| every.count),
        "livemode": false,
        "metadata": metadata(&price.metadata),
        "meter": null,
        "nickname": price.nickname,
        "product": price.product,
        "tiers_mode": null,
        "transform_usage": null,
        "trial_period_days": price.trial_period_days,
        "usage_type": "licensed",
    });
    if !version.basil() {
        plan["aggregate_usage"] = Value::Null;
    }
    plan
}

/// Whether a coupon can still be given.
pub(in super::super) fn coupon_valid(coupon: &Coupon, now: i64) -> bool {
    coupon.redeem_by.is_none_or(|by| now <= by)
        && coupon.max_redemptions.is_none_or(|most| coupon.times_redeemed < most)
}

/// Hundredths of a percent as the number Stripe shows: whole where it is whole.
fn percent(hundredths: u32) -> Value {
    if hundredths.is_multiple_of(100) {
        json!(hundredths / 100)
    } else {
        json!(f64::from(hundredths) / 100.0)
    }
}

pub(super) fn coupon(coupon: &Coupon) -> Value {
    let (percent_off, amount_off, currency) = match &coupon.off {
        Off::Percent(hundredths) => (percent(*hundredths), None, None),
        Off::Amount(amount, currency) => (Value::Null, Some(*amount), Some(currency)),
    };
    let (duration, months) = match coupon.duration {
        Duration::Once => ("once", None),
        Duration::Forever => ("forever", None),
        Duration::Repeating(months) => ("repeating", Some(months)),
    };
    json!({
        "id": coupon.id,
        "object": "coupon",
        "amount_off": amount_off,
        "created": coupon.created,
        "currency": currency,
        "duration": duration,
        "duration_in_months": months,
        "livemode": false,
        "max_redemptions": coupon.max_redemptions,
        "metadata": metadata(&coupon.metadata),
        "name": coupon.name,
        "percent_off": percent_off,
        "redeem_by": coupon.redeem_by,
        "times_redeemed": coupon.times_redeemed,
        "valid": true,
    })
}

pub(super) fn discount(discount: &Discount, version: &Version) -> Value {
    let mut value = json!({
        "id": discount.id,
        "object": "discount",
        "checkout_session": null,
        "customer": discount.customer,
        "customer_account": null,
        "end": discount.end,
        "invoice": null,
        "invoice_item": null,
        "promotion_code": null,
        "start": discount.start,
        "subscription": discount.subscription,
        "subscription_item": null,
    });
    if version.clover() {
        value["source"] = json!({ "coupon": discount.coupon.id, "type": "coupon" });
    } else {
        value["coupon"] = coupon(&discount.coupon);
    }
    value
}
