//! Calendar arithmetic in UTC, with the end of the month clamped: 31 January + 1 month = 28 February.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::model::{Interval, Recurring};

pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 86_400;

/// Far beyond any simulated life; what arithmetic saturates at.
const FAR: i64 = 253_402_300_799;

pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn civil(seconds: i64) -> DateTime {
    timestamp(seconds).to_zoned(TimeZone::UTC).datetime()
}

pub(super) fn plus_months(seconds: i64, months: i64) -> i64 {
    let moved = Span::new().try_months(months).ok().and_then(|span| civil(seconds).checked_add(span).ok());
    moved.and_then(|at| at.to_zoned(TimeZone::UTC).ok()).map_or(FAR, |at| at.timestamp().as_second())
}

/// `anchor` moved by `cycles` whole periods.
fn plus_cycles(anchor: i64, every: Recurring, cycles: i64) -> i64 {
    let count = i64::from(every.count) * cycles;
    match every.interval {
        Interval::Day => anchor + count * DAY,
        Interval::Week => anchor + count * 7 * DAY,
        Interval::Month => plus_months(anchor, count),
        Interval::Year => plus_months(anchor, count * 12),
    }
}

/// The first instant after `after` at which the cycle of `anchor` turns.
pub(super) fn next_turn(anchor: i64, every: Recurring, after: i64) -> i64 {
    let longest_days = match every.interval {
        Interval::Day => 1,
        Interval::Week => 7,
        Interval::Month => 31,
        Interval::Year => 366,
    };
    let longest = longest_days * i64::from(every.count.max(1)) * DAY;
    // A lower bound of the cycles that have passed; the loop walks the few that remain.
    let mut cycle = ((after - anchor).div_euclid(longest)).max(0);
    loop {
        let turn = plus_cycles(anchor, every, cycle);
        if turn > after {
            return turn;
        }
        cycle += 1;
    }
}

/// `05 Dec 2026`, as invoice lines say it.
pub(super) fn day_name(seconds: i64) -> String {
    civil(seconds).strftime("%d %b %Y").to_string()
}
