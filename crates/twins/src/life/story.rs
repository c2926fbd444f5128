//! The stories a customer can live: each makes at least one kind of billing fact happen.
//!
//! A *newcomer's* story begins in the month. An *old customer's* subscription began before it and renews in it, at a
//! day the story chooses: so it works in short lives too, and every old customer has at least one event in the month.

use jiff::Timestamp;

use super::catalogue::{Coupon, Interval, Price, Product};
use super::plan::{Act, Proration, Teller};

/// What happens to one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    UpgradeAtOnce,
    OldYearlyRenamed,
    UpgradeNextCycle,
    CancelNow,
    TrialConverts,
    SeatsAtOnce,
    CouponOnce,
    FailureRecovers,
    CancelAtPeriodEnd,
    Reactivation,
    DowngradeNextCycle,
    CouponForever,
    FailureEnds,
    CancelAt,
    Refund,
    Deleted,
    TrialLapses,
    DowngradeAtOnce,
    SeatsNextCycle,
    ChangeOfMind,
    /// Begins and pays: the most frequent.
    Newcomer,
    /// Renews, month after month.
    Regular,
}

impl Story {
    /// Every story; the first twenty cover every kind of fact, the most telling first for very small lives.
    pub const ALL: [Story; 22] = [
        Story::UpgradeAtOnce,
        Story::OldYearlyRenamed,
        Story::UpgradeNextCycle,
        Story::CancelNow,
        Story::TrialConverts,
        Story::SeatsAtOnce,
        Story::CouponOnce,
        Story::FailureRecovers,
        Story::CancelAtPeriodEnd,
        Story::Reactivation,
        Story::DowngradeNextCycle,
        Story::CouponForever,
        Story::FailureEnds,
        Story::CancelAt,
        Story::Refund,
        Story::Deleted,
        Story::TrialLapses,
        Story::DowngradeAtOnce,
        Story::SeatsNextCycle,
        Story::ChangeOfMind,
        Story::Newcomer,
        Story::Regular,
    ];

    /// The shortest life in which the story comes to its end.
    pub fn days_min(self) -> u32 {
        match self {
            Story::OldYearlyRenamed | Story::Newcomer | Story::Regular | Story::CouponOnce => 1,
            Story::CancelNow | Story::CancelAtPeriodEnd | Story::CancelAt | Story::Deleted => 2,
            Story::Refund
            | Story::UpgradeAtOnce
            | Story::DowngradeAtOnce
            | Story::SeatsAtOnce
            | Story::UpgradeNextCycle
            | Story::DowngradeNextCycle
            | Story::SeatsNextCycle
            | Story::CouponForever => 3,
            Story::Reactivation | Story::ChangeOfMind => 4,
            Story::TrialConverts | Story::TrialLapses => 9,
            Story::FailureRecovers => FAILURE_DAYS as u32,
            Story::FailureEnds => FAILURE_DAYS as u32,
        }
    }

    /// How often the story is drawn once each has been told, relative to the others.
    pub fn weight(self) -> u32 {
        match self {
            Story::Newcomer => 30,
            Story::Regular => 10,
            Story::TrialConverts | Story::UpgradeAtOnce | Story::SeatsAtOnce => 6,
            Story::Deleted | Story::Refund | Story::CancelAt | Story::ChangeOfMind => 2,
            _ => 4,
        }
    }
}

/// Stripe tries a failed payment again within about three weeks; a renewal in the first days then comes to its end
/// within this many days.
const FAILURE_DAYS: i64 = 28;
/// The last day on which such a renewal may fall.
const FAILURE_RENEWAL_LAST: i64 = 4;

/// Tells `story`.
pub fn tell(story: Story, to: &mut Teller) {
    match story {
        Story::Newcomer => newcomer(to),
        Story::Regular => regular(to),
        Story::OldYearlyRenamed => old_yearly_renamed(to),
        Story::TrialConverts => trial(to, false),
        Story::TrialLapses => trial(to, true),
        Story::UpgradeAtOnce => change_at_once(to, true),
        Story::DowngradeAtOnce => change_at_once(to, false),
        Story::UpgradeNextCycle => change_next_cycle(to, true),
        Story::DowngradeNextCycle => change_next_cycle(to, false),
        Story::SeatsAtOnce => seats_at_once(to),
        Story::SeatsNextCycle => seats_next_cycle(to),
        Story::CouponForever => coupon_forever(to),
        Story::CouponOnce => coupon_once(to),
        Story::CancelNow => cancel_now(to),
        Story::CancelAtPeriodEnd => scheduled_end(to, Act::CancelAtPeriodEnd, false),
        Story::CancelAt => scheduled_end(to, Act::CancelAt, false),
        Story::ChangeOfMind => {
            let act = if to.chance(50) { Act::CancelAtPeriodEnd } else { Act::CancelAt };
            scheduled_end(to, act, true);
        }
        Story::FailureRecovers => failure(to, true),
        Story::FailureEnds => failure(to, false),
        Story::Refund => refund(to),
        Story::Deleted => deleted(to),
        Story::Reactivation => reactivation(to),
    }
}

fn price(to: &Teller, product: Product, interval: Interval) -> Price {
    Price { product, interval, currency: to.currency }
}

/// A plan at random, mostly monthly, with a number of seats that fits it.
fn any_plan(to: &mut Teller) -> (Price, u32) {
    let product = to.choose(&Product::ALL);
    let interval = if to.chance(25) { Interval::Year } else { Interval::Month };
    let seats = if product == Product::Team { to.pick(2, 25) as u32 } else { 1 };
    (price(to, product, interval), seats)
}

fn subscribe(to: &mut Teller, at: Timestamp, price: Price, seats: u32) {
    to.act(at, Act::Subscribe { price, seats, trial_days: None, coupon: None });
}

/// Appears and subscribes on `day`; answers when the subscription began.
fn begin(to: &mut Teller, day: i64, price: Price, seats: u32) -> Timestamp {
    let at = to.moment(day);
    to.act(at, Act::Appear);
    let at = to.soon(at);
    subscribe(to, at, price, seats);
    at
}

/// Appeared some months before `renewal` and renews at that instant.
fn long_ago(to: &mut Teller, renewal: Timestamp, months: i64, price: Price, seats: u32) {
    let at = to.months_before(renewal, months);
    to.act(at, Act::Appear);
    subscribe(to, at, price, seats);
}

fn newcomer(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.pick(0, to.days() - 1);
    begin(to, day, price, seats);
}

fn regular(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.renewal_day(0, (to.days() - 1).min(30));
    let renewal = to.moment(day);
    let months = if price.interval == Interval::Year { 12 } else { to.pick(1, 9) };
    long_ago(to, renewal, months, price, seats);
}

fn old_yearly_renamed(to: &mut Teller) {
    let product = to.choose(&[Product::Starter, Product::Growth, Product::Scale]);
    let day = to.renewal_day(0, (to.days() - 1).min(30));
    let renewal = to.moment(day);
    let price = price(to, product, Interval::Year);
    long_ago(to, renewal, 12, price, 1);
    let day = to.pick(0, to.days() - 1);
    let at = to.moment(day);
    rename(to, at);
}

fn rename(to: &mut Teller, at: Timestamp) {
    let suffix = to.choose(&["Group", "Holding", "International", "& Sons", "Europe"]);
    let first = to.choose(&["Atlas", "Borealis", "Cascade", "Dynamo", "Equinox", "Façade"]);
    to.act(at, Act::Rename { name: format!("{first} {suffix}") });
}

fn trial(to: &mut Teller, lapses: bool) {
    let (price, seats) = any_plan(to);
    let trial_days = if to.days() >= 18 && to.chance(50) { 14 } else { 7 };
    let day = to.pick(0, to.days() - 2 - trial_days);
    let at = to.moment(day);
    to.act(at, Act::Appear);
    let at = to.soon(at);
    to.act(at, Act::Subscribe { price, seats, trial_days: Some(trial_days as u32), coupon: None });
    if lapses {
        let day = day + to.pick(1, trial_days - 2);
        let at = to.moment(day);
        to.act(at, Act::CancelAtPeriodEnd);
    }
}

fn change_at_once(to: &mut Teller, up: bool) {
    let interval = if to.chance(30) { Interval::Year } else { Interval::Month };
    let (small, large) = two_plans(to, interval);
    let (before, after) = if up { (small, large) } else { (large, small) };
    let day = to.pick(0, to.days() - 3);
    begin(to, day, before, 1);
    let day = to.pick(day + 1, (day + 20).min(to.days() - 1));
    let at = to.moment(day);
    to.act(at, Act::ChangePrice { price: after, proration: Proration::AtOnce });
}

fn two_plans(to: &mut Teller, interval: Interval) -> (Price, Price) {
    let (small, large) = to.choose(&[
        (Product::Starter, Product::Growth),
        (Product::Growth, Product::Scale),
        (Product::Starter, Product::Scale),
    ]);
    (price(to, small, interval), price(to, large, interval))
}

/// The renewal, and days before it: the month in which the change is not yet billed.
fn change_next_cycle(to: &mut Teller, up: bool) {
    let (small, large) = two_plans(to, Interval::Month);
    let (before, after) = if up { (small, large) } else { (large, small) };
    let (at, renewal) = before_renewal(to, 1);
    let months = to.pick(1, 6);
    long_ago(to, renewal, months, before, 1);
    to.act(at, Act::ChangePrice { price: after, proration: Proration::NextCycle });
}

/// An instant in the month, and a renewal at least `gap` days later, both within the life.
fn before_renewal(to: &mut Teller, gap: i64) -> (Timestamp, Timestamp) {
    let renewal = to.renewal_day(gap, (to.days() - 1).min(27));
    let day = to.pick(0, renewal - gap);
    let at = to.moment(day);
    (at, to.moment(renewal))
}

fn seats_at_once(to: &mut Teller) {
    let interval = if to.chance(30) { Interval::Year } else { Interval::Month };
    let seats = to.pick(2, 12) as u32;
    let day = to.pick(0, to.days() - 3);
    let price = price(to, Product::Team, interval);
    begin(to, day, price, seats);
    let more = seats + to.pick(1, 9) as u32;
    let day = to.pick(day + 1, to.days() - 2);
    let at = to.moment(day);
    to.act(at, Act::ChangeSeats { seats: more, proration: Proration::AtOnce });
    if to.chance(50) {
        let day = to.pick(day + 1, to.days() - 1);
        let at = to.moment(day);
        let fewer = more - to.pick(1, 2) as u32;
        to.act(at, Act::ChangeSeats { seats: fewer, proration: Proration::AtOnce });
    }
}

fn seats_next_cycle(to: &mut Teller) {
    let seats = to.pick(4, 20) as u32;
    let price = price(to, Product::Team, Interval::Month);
    let (at, renewal) = before_renewal(to, 1);
    let months = to.pick(1, 6);
    long_ago(to, renewal, months, price, seats);
    let fewer = seats - to.pick(1, 3) as u32;
    to.act(at, Act::ChangeSeats { seats: fewer, proration: Proration::NextCycle });
    if to.chance(50) {
        // A second change in the same period, soon after the first: both wait for the next invoice.
        let at = to.soon(at);
        to.act(at, Act::ChangeSeats { seats: seats + 2, proration: Proration::NextCycle });
    }
}

fn coupon_forever(to: &mut Teller) {
    let interval = if to.chance(30) { Interval::Year } else { Interval::Month };
    let seats = to.pick(3, 15) as u32;
    let day = to.pick(0, to.days() - 3);
    let price = price(to, Product::Team, interval);
    let at = to.moment(day);
    to.act(at, Act::Appear);
    let at = to.soon(at);
    to.act(at, Act::Subscribe { price, seats, trial_days: None, coupon: Some(Coupon::Forever) });
    if to.chance(60) {
        let day = to.pick(day + 1, to.days() - 1);
        let at = to.moment(day);
        let proration = to.choose(&[Proration::AtOnce, Proration::NextCycle]);
        to.act(at, Act::ChangeSeats { seats: seats + 3, proration });
    }
}

/// Subscribed a month before the renewal: the discounted period ends with it.
fn coupon_once(to: &mut Teller) {
    let product = to.choose(&[Product::Starter, Product::Growth, Product::Scale]);
    let price = price(to, product, Interval::Month);
    let day = to.renewal_day(0, (to.days() - 1).min(27));
    let renewal = to.moment(day);
    let at = to.months_before(renewal, 1);
    to.act(at, Act::Appear);
    to.act(at, Act::Subscribe { price, seats: 1, trial_days: None, coupon: Some(Coupon::Once) });
    if day >= 2 && product != Product::Scale && to.chance(40) {
        let day = to.pick(0, day - 1);
        let at = to.moment(day);
        let price = Price { product: Product::Scale, ..price };
        to.act(at, Act::ChangePrice { price, proration: Proration::AtOnce });
    }
}

fn cancel_now(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.pick(0, to.days() - 2);
    begin(to, day, price, seats);
    let day = to.pick(day + 1, to.days() - 1);
    let at = to.moment(day);
    to.act(at, Act::CancelNow);
}

fn scheduled_end(to: &mut Teller, act: Act, stays: bool) {
    let product = to.choose(&Product::ALL);
    let seats = if product == Product::Team { to.pick(2, 25) as u32 } else { 1 };
    let price = price(to, product, Interval::Month);
    let gap = if stays { 3 } else { 1 };
    let (at, renewal) = before_renewal(to, gap);
    let months = to.pick(1, 6);
    long_ago(to, renewal, months, price, seats);
    to.act(at, act);
    if stays {
        let at = to.soon(at);
        to.act(at, Act::Stay);
    }
}

fn failure(to: &mut Teller, recovers: bool) {
    let product = to.choose(&Product::ALL);
    let seats = if product == Product::Team { to.pick(2, 25) as u32 } else { 1 };
    let price = price(to, product, Interval::Month);
    let day = to.renewal_day(1, FAILURE_RENEWAL_LAST);
    let renewal = to.moment(day);
    let months = to.pick(1, 6);
    long_ago(to, renewal, months, price, seats);
    let at = to.moment(day - 1);
    to.act(at, Act::CardFails);
    if recovers {
        // After the renewal's attempt and before the first or second one that follows.
        let day = day + to.pick(1, 4);
        let at = to.moment(day);
        to.act(at, Act::CardWorks);
    }
}

fn refund(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.pick(0, to.days() - 3);
    begin(to, day, price, seats);
    let day = to.pick(day + 1, (day + 6).min(to.days() - 1));
    let at = to.moment(day);
    to.act(at, Act::Refund);
}

fn deleted(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.pick(0, to.days() - 2);
    begin(to, day, price, seats);
    let day = to.pick(day + 1, to.days() - 1);
    let at = to.moment(day);
    if to.chance(50) {
        rename(to, at);
    }
    let at = to.soon(at);
    to.act(at, Act::Delete);
}

fn reactivation(to: &mut Teller) {
    let (price, seats) = any_plan(to);
    let day = to.pick(0, to.days() - 4);
    begin(to, day, price, seats);
    let day = to.pick(day + 1, to.days() - 2);
    let at = to.moment(day);
    to.act(at, Act::CancelNow);
    let day = to.pick(day + 1, to.days() - 1);
    let at = to.moment(day);
    let (price, seats) = any_plan(to);
    subscribe(to, at, price, seats);
}
