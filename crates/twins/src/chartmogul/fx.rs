//! Fixed exchange rates into the account's currency, and movements of a customer's MRR in it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::mrr::{Amounts, Currency, Step, add, divide_rounded};

/// Fixed rates. Rates that don't move make no movements, as ChartMogul's own changes of rate make none.
#[derive(Clone, Debug)]
pub struct Fx {
    account: Currency,
    rates: BTreeMap<Currency, (i64, i64)>,
}

impl Fx {
    /// Rates into `account`: one cent of the currency is worth numerator ÷ denominator cents of the account's.
    ///
    /// # Panics
    /// On a code that isn't three letters or a rate that isn't positive: the rates are the program's own constants.
    pub fn new(account: &str, rates: &[(&str, i64, i64)]) -> Fx {
        let code = |code: &str| match Currency::new(code) {
            Some(currency) => currency,
            None => panic!("{code:?} is no currency code"),
        };
        let account = code(account);
        let mut table: BTreeMap<Currency, (i64, i64)> = BTreeMap::from([(account, (1, 1))]);
        for (currency, numerator, denominator) in rates {
            assert!(*numerator > 0 && *denominator > 0, "the rate of {currency} is not positive");
            table.insert(code(currency), (*numerator, *denominator));
        }
        Fx { account, rates: table }
    }

    /// The account's currency.
    pub fn account(&self) -> Currency {
        self.account
    }

    /// Whether there is a rate for that currency.
    pub fn knows(&self, currency: Currency) -> bool {
        self.rates.contains_key(&currency)
    }

    /// Cents of the account's currency, rounded half away from zero. A currency without a rate counts one to one;
    /// the API refuses invoices in such a currency.
    pub fn convert(&self, currency: Currency, cents: i64) -> i64 {
        let (numerator, denominator) = self.rates.get(&currency).copied().unwrap_or((1, 1));
        divide_rounded(i128::from(cents) * i128::from(numerator), i128::from(denominator))
    }

    /// The sum of converted amounts, each rounded for itself.
    pub fn total(&self, amounts: &Amounts) -> i64 {
        amounts.iter().map(|(currency, cents)| self.convert(*currency, *cents)).sum()
    }
}

impl Default for Fx {
    /// US dollars with round, invented rates: 1 EUR = 1.10 USD, 1 GBP = 1.25 USD.
    fn default() -> Fx {
        Fx::new("USD", &[("EUR", 110, 100), ("GBP", 125, 100)])
    }
}

/// The five kinds of MRR movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    NewBusiness,
    Expansion,
    Contraction,
    Churn,
    Reactivation,
}

impl Kind {
    /// Every kind, in the order of ChartMogul's reports.
    pub const ALL: [Kind; 5] =
        [Kind::NewBusiness, Kind::Expansion, Kind::Contraction, Kind::Churn, Kind::Reactivation];

    /// As reports spell it: `new_business`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NewBusiness => "new_business",
            Kind::Expansion => "expansion",
            Kind::Contraction => "contraction",
            Kind::Churn => "churn",
            Kind::Reactivation => "reactivation",
        }
    }

    /// As the activities endpoints spell it: `new_biz`.
    pub fn activity(self) -> &'static str {
        if self == Kind::NewBusiness { "new_biz" } else { self.as_str() }
    }

    /// The key in entries of the MRR metric: `mrr-new-business`.
    pub fn metric_key(self) -> &'static str {
        match self {
            Kind::NewBusiness => "mrr-new-business",
            Kind::Expansion => "mrr-expansion",
            Kind::Contraction => "mrr-contraction",
            Kind::Churn => "mrr-churn",
            Kind::Reactivation => "mrr-reactivation",
        }
    }
}

/// One change of a customer's MRR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub at: Timestamp,
    pub kind: Kind,
    /// The change, per currency, in its cents.
    pub change: Amounts,
    /// The change in cents of the account's currency.
    pub account_change: i64,
    /// The customer's MRR after it, in cents of the account's currency.
    pub account_mrr: i64,
}

/// The movements of a customer's history. Every change is of exactly one kind, so that the movements up to an
/// instant add up to the MRR at it, in each currency and in the account's.
pub fn movements(history: &[Step], fx: &Fx) -> Vec<Movement> {
    let mut found = Vec::new();
    let mut before = Amounts::new();
    let mut before_total = 0;
    let mut was_subscribed = false;
    for step in history {
        let total = fx.total(&step.amounts);
        let kind = match (before_total > 0, total > 0) {
            (false, true) if !was_subscribed => Kind::NewBusiness,
            (false, true) => Kind::Reactivation,
            (true, false) => Kind::Churn,
            _ if total >= before_total => Kind::Expansion,
            _ => Kind::Contraction,
        };
        let mut change = step.amounts.clone();
        for (currency, cents) in &before {
            add(&mut change, *currency, -cents);
        }
        let account_change = total - before_total;
        found.push(Movement { at: step.at, kind, change, account_change, account_mrr: total });
        was_subscribed |= total > 0;
        before.clone_from(&step.amounts);
        before_total = total;
    }
    found
}
