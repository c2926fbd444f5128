//! What each customer does, and when: pure, from a seed.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::catalogue::{Coupon, Currency, Price};
use super::story::{self, Story};

/// People act from this hour on, UTC …
pub const HOUR_FIRST: i8 = 6;
/// … and before this one: a renewal's draft, which Stripe finalises an hour later, is never open at midnight.
pub const HOUR_LAST: i8 = 20;
/// How far before the month the oldest customer may have begun, in days: a year and a little.
pub const PAST_DAYS: i64 = 400;
/// The first day of every life unless told otherwise.
pub const START: &str = "2026-06-01T00:00:00Z";

/// A life, fully determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub seed: u64,
    pub customers: u32,
    pub days: u32,
    /// Midnight UTC of day 0.
    pub start: Timestamp,
}

impl Config {
    /// A life that begins at [`START`].
    pub fn new(seed: u64, customers: u32, days: u32) -> Config {
        let start = START.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        Config { seed, customers, days, start }
    }

    /// Where Stripe's twin has to begin: before the oldest customer.
    pub fn dawn(&self) -> Timestamp {
        self.midnight(-PAST_DAYS)
    }

    /// Midnight UTC at the beginning of `day` (day 0 is the first; negative days are the past).
    pub fn midnight(&self, day: i64) -> Timestamp {
        shift(self.start, day.days())
    }

    /// The end of the last day.
    pub fn end(&self) -> Timestamp {
        self.midnight(i64::from(self.days))
    }
}

/// How Stripe bills the difference of a change in mid-period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proration {
    /// `always_invoice`
    AtOnce,
    /// `create_prorations`
    NextCycle,
}

/// One act of a customer. Subscription acts concern the customer's newest subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The customer is created in Stripe, with a card that works.
    Appear,
    Subscribe {
        price: Price,
        seats: u32,
        trial_days: Option<u32>,
        coupon: Option<Coupon>,
    },
    ChangePrice {
        price: Price,
        proration: Proration,
    },
    ChangeSeats {
        seats: u32,
        proration: Proration,
    },
    CancelNow,
    /// Sets `cancel_at_period_end`.
    CancelAtPeriodEnd,
    /// Sets `cancel_at` to the period's end, which says the same without the flag.
    CancelAt,
    /// Takes a scheduled cancellation back.
    Stay,
    /// From now on the card is declined.
    CardFails,
    /// From now on the card works again.
    CardWorks,
    /// The newest paid invoice is refunded in full.
    Refund,
    Rename {
        name: String,
    },
    Delete,
}

/// An act and its instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Timestamp,
    /// Index into [`Plan::people`].
    pub person: usize,
    pub act: Act,
}

/// A customer-to-be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub email: String,
    pub currency: Currency,
    pub story: Story,
}

/// Everybody's life, in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub config: Config,
    pub people: Vec<Person>,
    pub acts: Vec<Planned>,
}

/// Plans the life of `config`.
pub fn plan(config: Config) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut plan = Plan { config, people: Vec::new(), acts: Vec::new() };
    for (index, story) in cast(&config, &mut rng).into_iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(index as u64 + 1);
        // Every third story is told in euros, so that each currency has its share whatever the seed.
        let currency = if index % 3 == 2 { Currency::Eur } else { Currency::Usd };
        let (name, email) = name(index, &mut rng);
        plan.people.push(Person { name, email, currency, story });
        let mut teller = Teller { config, rng, currency, person: index, acts: Vec::new() };
        story::tell(story, &mut teller);
        plan.acts.append(&mut teller.acts);
    }
    // Ties are broken by the order of planning: each person's acts stay in their order.
    plan.acts.sort_by_key(|planned| planned.at);
    plan
}

/// One story per customer: first each story that fits the month once, then at random by weight.
fn cast(config: &Config, rng: &mut ChaCha8Rng) -> Vec<Story> {
    let fitting: Vec<Story> =
        Story::ALL.into_iter().filter(|story| story.days_min() <= config.days).collect();
    let weights: u32 = fitting.iter().map(|story| story.weight()).sum();
    let mut cast: Vec<Story> = fitting.iter().copied().take(config.customers as usize).collect();
    while cast.len() < config.customers as usize {
        let mut at = rng.random_range(0..weights.max(1));
        let drawn = fitting.iter().copied().find(|story| {
            let weight = story.weight();
            let hit = at < weight;
            at = at.saturating_sub(weight);
            hit
        });
        cast.push(drawn.unwrap_or(Story::Newcomer));
    }
    cast.shuffle(rng);
    cast
}

const FIRST: [&str; 20] = [
    "Aurora", "Basalt", "Cobalt", "Delta", "Ember", "Fjord", "Garnet", "Harbor", "Indigo", "Juniper",
    "Kestrel", "Lumen", "Meridian", "Nimbus", "Onyx", "Pioneer", "Quartz", "Ridge", "Summit", "Zephyr",
];
const SECOND: [&str; 12] = [
    "Analytics",
    "Bakery",
    "Clinics",
    "Design",
    "Energy",
    "Foods",
    "Labs",
    "Logistics",
    "Media",
    "Robotics",
    "Studio",
    "Works",
];

fn name(index: usize, rng: &mut ChaCha8Rng) -> (String, String) {
    let first = FIRST[rng.random_range(0..FIRST.len())];
    let second = SECOND[rng.random_range(0..SECOND.len())];
    let domain = format!("{}-{}-{index}.example", first.to_ascii_lowercase(), second.to_ascii_lowercase());
    (format!("{first} {second}"), format!("billing@{domain}"))
}

/// Writes one person's acts.
pub struct Teller {
    config: Config,
    rng: ChaCha8Rng,
    pub currency: Currency,
    person: usize,
    acts: Vec<Planned>,
}

impl Teller {
    /// How many days the life has.
    pub fn days(&self) -> i64 {
        i64::from(self.config.days)
    }

    /// A number in `from..=to`; `from` where the range is empty.
    pub fn pick(&mut self, from: i64, to: i64) -> i64 {
        self.rng.random_range(from..=to.max(from))
    }

    /// One of the choices.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.random_range(0..choices.len())]
    }

    /// True in `percent` of the cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// An instant of that day when people act, with room for what follows within two hours.
    pub fn moment(&mut self, day: i64) -> Timestamp {
        let seconds = i64::from(HOUR_LAST - HOUR_FIRST - 2) * 3_600;
        let second = i64::from(HOUR_FIRST) * 3_600 + self.rng.random_range(0..seconds);
        shift(self.config.midnight(day), second.seconds())
    }

    /// That instant some months earlier, when a subscription began that renews at it. The day of the month is
    /// moved to the 28th at most, so that it exists in every month.
    pub fn months_before(&mut self, at: Timestamp, months: i64) -> Timestamp {
        let zoned = at.to_zoned(TimeZone::UTC);
        zoned.checked_sub(months.months()).map_or(at, |earlier: Zoned| earlier.timestamp())
    }

    /// A day of the life in `from..=to` on which a monthly subscription can renew every month.
    pub fn renewal_day(&mut self, from: i64, to: i64) -> i64 {
        let day = self.pick(from, to);
        let date = |day| -> Date { self.config.midnight(day).to_zoned(TimeZone::UTC).date() };
        (from..=day).rev().find(|day| date(*day).day() <= 28).unwrap_or(day)
    }

    /// Something under an hour after `at`.
    pub fn soon(&mut self, at: Timestamp) -> Timestamp {
        shift(at, self.rng.random_range(20_i64..1_800).seconds())
    }

    /// Adds an act.
    pub fn act(&mut self, at: Timestamp, act: Act) {
        self.acts.push(Planned { at, person: self.person, act });
    }
}

/// `at` moved by a span of whole days or seconds in UTC. The life's dates are far from the ends of jiff's range.
fn shift(at: Timestamp, by: Span) -> Timestamp {
    at.to_zoned(TimeZone::UTC).checked_add(by).map_or(at, |moved| moved.timestamp())
}
