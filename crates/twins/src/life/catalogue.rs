//! What is sold: three flat plans and one per seat, by month and by year, in two currencies; two coupons.

/// How often a price is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interval {
    Month,
    Year,
}

impl Interval {
    /// Stripe's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Interval::Month => "month",
            Interval::Year => "year",
        }
    }
}

/// A currency, by Stripe's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Currency {
    Usd,
    Eur,
}

impl Currency {
    /// Stripe's code, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Currency::Usd => "usd",
            Currency::Eur => "eur",
        }
    }
}

/// A product; the order is from small to large for the flat ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    Starter,
    Growth,
    Scale,
    /// Sold per seat; the others have quantity 1.
    Team,
}

impl Product {
    /// Every product, in the order of creation.
    pub const ALL: [Product; 4] = [Product::Starter, Product::Growth, Product::Scale, Product::Team];

    /// What customers read on an invoice.
    pub fn title(self) -> &'static str {
        match self {
            Product::Starter => "Starter",
            Product::Growth => "Growth",
            Product::Scale => "Scale",
            Product::Team => "Team",
        }
    }
}

/// One price of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price {
    pub product: Product,
    pub interval: Interval,
    pub currency: Currency,
}

impl Price {
    /// Every price, in the order of creation.
    pub fn all() -> Vec<Price> {
        let mut all = Vec::new();
        for product in Product::ALL {
            for interval in [Interval::Month, Interval::Year] {
                for currency in [Currency::Usd, Currency::Eur] {
                    all.push(Price { product, interval, currency });
                }
            }
        }
        all
    }

    /// Price of one unit for one interval, in cents. No yearly price is a multiple of twelve cents, and percentages
    /// leave fractions: what rounds must round the same way everywhere.
    pub fn unit_cents(self) -> i64 {
        let (month, year) = match (self.product, self.currency) {
            (Product::Starter, Currency::Usd) => (1_900, 19_000),
            (Product::Starter, Currency::Eur) => (1_790, 17_900),
            (Product::Growth, Currency::Usd) => (4_900, 49_000),
            (Product::Growth, Currency::Eur) => (4_590, 45_900),
            (Product::Scale, Currency::Usd) => (14_999, 149_990),
            (Product::Scale, Currency::Eur) => (13_999, 139_990),
            (Product::Team, Currency::Usd) => (1_250, 12_500),
            (Product::Team, Currency::Eur) => (1_175, 11_750),
        };
        match self.interval {
            Interval::Month => month,
            Interval::Year => year,
        }
    }

    /// The price's `lookup_key` in Stripe, which is also how logs name it.
    pub fn key(self) -> String {
        let product = self.product.title().to_ascii_lowercase();
        format!("{product}_{}_{}", self.interval.as_str(), self.currency.as_str())
    }
}

/// A coupon of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coupon {
    /// A percentage off every invoice.
    Forever,
    /// A percentage off the first invoice.
    Once,
}

impl Coupon {
    /// Both coupons, in the order of creation.
    pub const ALL: [Coupon; 2] = [Coupon::Forever, Coupon::Once];

    /// The coupon's id, which is also its code.
    pub fn id(self) -> &'static str {
        match self {
            Coupon::Forever => "LOYAL15",
            Coupon::Once => "WELCOME30",
        }
    }

    /// Percent off.
    pub fn percent(self) -> u32 {
        match self {
            Coupon::Forever => 15,
            Coupon::Once => 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn prices_are_distinct_and_yearly_ones_round() {
        let all = Price::all();
        let keys: BTreeSet<String> = all.iter().map(|price| price.key()).collect();
        assert_eq!(keys.len(), 16);
        let yearly = all.iter().filter(|price| price.interval == Interval::Year);
        assert!(yearly.clone().count() == 8 && yearly.clone().any(|price| price.unit_cents() % 12 != 0));
        for price in all {
            assert!(price.unit_cents() > 0, "{}", price.key());
        }
    }
}
