//! API versions: a date decides the shape of every object.

use super::errors::Error;

/// An API version such as `2025-03-31.basil`, compared by its date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    name: String,
    /// As a number: `20250331`.
    date: u32,
}

impl Version {
    pub(super) fn parse(name: &str) -> Result<Version, Error> {
        let wrong = || Error::invalid(format!("Invalid Stripe API version: {name}"));
        let date = name.split('.').next().unwrap_or_default();
        let digits: String = date.split('-').collect();
        if date.len() != 10 || digits.len() != 8 {
            return Err(wrong());
        }
        Ok(Version { name: name.to_owned(), date: digits.parse().map_err(|_| wrong())? })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.name
    }

    /// `charge.refunds` and `payment_intent.charges` are no longer included.
    pub(super) fn lean_payments(&self) -> bool {
        self.date >= 20_221_115
    }

    /// Invoices and lines carry `parent`, `pricing` and `taxes` beside the older fields.
    pub(super) fn acacia(&self) -> bool {
        self.date >= 20_240_930
    }

    /// Periods on items only, `invoice.parent`, line `pricing`, `discounts[]`, invoice payments.
    pub(super) fn basil(&self) -> bool {
        self.date >= 20_250_331
    }

    /// `discount.source.coupon`; flexible billing mode by default.
    pub(super) fn clover(&self) -> bool {
        self.date >= 20_250_930
    }

    /// `quantity_decimal`.
    pub(super) fn dahlia(&self) -> bool {
        self.date >= 20_260_325
    }

    /// Item `current_trial`. (`status_details` stands only on paused subscriptions, which this twin has not.)
    pub(super) fn endive(&self) -> bool {
        self.date >= 20_260_930
    }
}
