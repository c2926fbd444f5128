//! Billing rules as tables, the wire by example, and what must hold after any life.

mod billing;
mod cards;
mod discounts;
mod events;
mod invariants;
mod wire;

use jiff::{Span, Timestamp};
use serde_json::Value;

use super::*;
use crate::wire::Request;

/// A month of 31 days whose successor has 28: noon on the 31st of January 2026.
const START: &str = "2026-01-31T12:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An account with prices `basic` ($10), `pro` ($30), `seat` ($5) a month, `year` ($120 a year), `euro` (€10 a month).
struct Shop {
    stripe: Stripe,
    prices: std::collections::BTreeMap<&'static str, String>,
}

impl Shop {
    fn new() -> Shop {
        Shop::open(Config::new(1, time(START)))
    }

    fn open(config: Config) -> Shop {
        let stripe = Stripe::new(config);
        let product = stripe.create_product("Plan");
        let mut prices = std::collections::BTreeMap::new();
        for (name, unit_amount, currency, interval) in [
            ("basic", 1000, "usd", Interval::Month),
            ("pro", 3000, "usd", Interval::Month),
            ("seat", 500, "usd", Interval::Month),
            ("year", 12_000, "usd", Interval::Year),
            ("euro", 1000, "eur", Interval::Month),
        ] {
            let price = stripe.create_price(NewPrice {
                product: product.clone(),
                unit_amount,
                currency: currency.to_owned(),
                interval,
                interval_count: 1,
                nickname: None,
            });
            prices.insert(name, price.unwrap());
        }
        Shop { stripe, prices }
    }

    fn customer(&self, card: Card) -> String {
        let id = self
            .stripe
            .create_customer(NewCustomer { name: Some("Ada".to_owned()), ..NewCustomer::default() });
        self.stripe.set_card(&id, card).unwrap();
        id
    }

    fn subscribe(&self, customer: &str, price: &str, quantity: i64) -> String {
        self.subscribe_with(customer, price, quantity, |_| ())
    }

    fn subscribe_with(
        &self,
        customer: &str,
        price: &str,
        quantity: i64,
        edit: impl FnOnce(&mut NewSubscription),
    ) -> String {
        let mut new = NewSubscription {
            customer: customer.to_owned(),
            items: vec![(self.prices[price].clone(), quantity)],
            ..NewSubscription::default()
        };
        edit(&mut new);
        self.stripe.create_subscription(new).unwrap()
    }

    fn change(&self, subscription: &str, price: Option<&str>, quantity: Option<i64>, proration: Proration) {
        let item = self.view(subscription).items[0].id.clone();
        let price = price.map(|name| self.prices[name].clone());
        self.stripe.change_item(subscription, &item, Change { price, quantity, proration }).unwrap();
    }

    fn view(&self, subscription: &str) -> SubscriptionView {
        self.stripe.subscription(subscription).unwrap()
    }

    fn status(&self, subscription: &str) -> &'static str {
        self.view(subscription).status.as_str()
    }

    /// (days since the start, MRR) of every change of MRR so far.
    fn mrr(&self) -> Vec<(i64, i64)> {
        let start = time(START).as_second();
        let days = |at: Timestamp| (at.as_second() - start) / 86_400;
        self.stripe.mrr_history().iter().map(|change| (days(change.at), change.mrr_cents)).collect()
    }

    fn advance(&self, span: Span) {
        let zoned = self.stripe.now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).unwrap();
        self.stripe.advance_to(zoned.timestamp());
    }

    fn days(&self, days: i64) {
        self.advance(Span::new().hours(days * 24));
    }

    /// The renewal's draft becomes final an hour after it is drawn.
    fn to_renewal(&self, subscription: &str) {
        let end = self.view(subscription).current_period_end;
        self.stripe.advance_to(end.checked_add(Span::new().hours(1)).unwrap());
    }

    /// (total, status) of a customer's invoices, oldest first.
    fn bills(&self, customer: &str) -> Vec<(i64, &'static str)> {
        let invoices = self.stripe.invoices(customer);
        invoices.iter().map(|invoice| (invoice.total, invoice.status.as_str())).collect()
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.ask_with(method, target, body, &[])
    }

    fn ask_with(&self, method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let key = format!("Bearer {}", self.stripe.secret_key());
        let mut request = Request::new(method, target).with_body(body.to_owned());
        request = request.with_header("authorization", &key);
        for (name, value) in headers {
            request = request.with_header(name, value);
        }
        let response = self.stripe.handle(&request);
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    #[track_caller]
    fn get(&self, target: &str) -> Value {
        let (status, body) = self.ask("GET", target, "");
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// The types of the events since the last look.
    fn happened(&self) -> Vec<String> {
        self.stripe.drain_events().into_iter().map(|event| event.r#type).collect()
    }
}
