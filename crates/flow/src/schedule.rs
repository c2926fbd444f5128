//! When a flow starts by the clock: `cron`, `every`, `after`. Pure: what time it is, the caller says.
//!
//! Time zones come from the database that is built in, not from the machine's, so that nodes agree on them.
//!
//! | clocks go | `cron` with a fixed hour and minute | `cron` with `*` or steps there |
//! |---|---|---|
//! | forward | what would fall into the gap starts at its end | what falls into the gap does not start |
//! | back | the first of the two hours counts | both hours count |

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use std::sync::LazyLock;

use crate::nearest::nearest;

/// Nothing starts more often.
pub const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// Starts that were missed are counted up to this.
pub const MISSED_MAX: u64 = 10_000;
/// A `cron` that does not match within this time of any date never does: leap days are at most 8 years apart.
const LOOK_AHEAD_YEARS: i16 = 9;
const TIME_ZONE: &str = "CRON_TZ=";

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// What makes a flow start without an event from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At these times of a calendar.
    Cron(Box<Cron>),
    /// At this distance from each other, counted from when the schedule began.
    Every(SignedDuration),
    /// So long after the last run ended; the first run starts at once.
    After(SignedDuration),
}

/// Minutes of a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// As written.
    text: String,
    pattern: Pattern,
    zone: TimeZone,
}

/// A start whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time it is for: the latest that has come.
    pub at: Timestamp,
    /// How many earlier ones it stands for as well, up to [`MISSED_MAX`].
    pub missed: u64,
    /// The next one; `None` where a run has to end first, or no calendar has another.
    pub next: Option<Timestamp>,
}

impl Schedule {
    /// Says the same for schedules that start at the same times, and for no others.
    pub fn text(&self) -> String {
        match self {
            Self::Cron(cron) => format!("cron {}", cron.text),
            Self::Every(time) => format!("every {time}"),
            Self::After(time) => format!("after {time}"),
        }
    }

    /// The first start of a schedule that begins at a time.
    pub fn first(&self, began: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.after(began),
            Self::Every(time) => began.checked_add(*time).ok(),
            Self::After(_) => Some(began),
        }
    }

    /// The start after a run that ended at a time.
    pub fn after_run(&self, ended: Timestamp) -> Option<Timestamp> {
        match self {
            Self::After(time) => ended.checked_add(*time).ok(),
            Self::Cron(_) | Self::Every(_) => None,
        }
    }

    /// What is to start at `now`, if `waiting` has come. Starts that were missed are one: the latest of them.
    pub fn due(&self, waiting: Timestamp, now: Timestamp) -> Option<Due> {
        if waiting > now {
            return None;
        }
        Some(match self {
            Self::Cron(cron) => cron.due(waiting, now),
            Self::Every(time) => every(*time, waiting, now),
            Self::After(_) => Due { at: waiting, missed: 0, next: None },
        })
    }
}

fn every(time: SignedDuration, waiting: Timestamp, now: Timestamp) -> Due {
    let step = time.as_millis().max(1);
    let missed = now.duration_since(waiting).as_millis() / step;
    let at = |steps: i128| {
        let millis = i64::try_from(steps * step).unwrap_or(i64::MAX);
        waiting.checked_add(SignedDuration::from_millis(millis)).ok()
    };
    let missed_count = u64::try_from(missed).unwrap_or_default().min(MISSED_MAX);
    Due { at: at(missed).unwrap_or(waiting), missed: missed_count, next: at(missed + 1) }
}

impl Cron {
    /// Reads five fields, with `CRON_TZ=Area/City` before them for another zone than UTC. What is wrong comes with
    /// what may have been meant.
    pub fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let text = text.trim();
        let (zone, fields) = match text.strip_prefix(TIME_ZONE) {
            Some(rest) => {
                let (name, fields) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (self::zone(name)?, fields.trim())
            }
            None => (TimeZone::UTC, text),
        };
        let count = fields.split_whitespace().count();
        if count != 5 && !fields.starts_with('@') {
            let what = "a schedule has five fields: minute, hour, day of the month, month, day of the week";
            return Err((format!("`{text}`: {what}; here are {count}"), None));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(fields).map_err(|why| (format!("`{text}`: {}", told(&why)), None))?;
        let cron = Self { text: text.to_owned(), pattern, zone };
        // Any date does: the calendar repeats itself well within the years that are looked at.
        match cron.after(Timestamp::UNIX_EPOCH) {
            Some(first) if first.to_zoned(TimeZone::UTC).year() < 1970 + LOOK_AHEAD_YEARS => Ok(cron),
            _ => Err((format!("`{text}`: no calendar has such a day"), None)),
        }
    }

    /// The first time after `time`.
    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let from = whole_second(time).to_zoned(self.zone.clone());
        self.pattern.find_next_occurrence(&from, false).ok().map(|found| found.timestamp())
    }

    fn due(&self, waiting: Timestamp, now: Timestamp) -> Due {
        let until = whole_second(now).to_zoned(self.zone.clone());
        let latest = self.pattern.find_previous_occurrence(&until, true).ok();
        let at = latest.map_or(waiting, |found| found.timestamp()).max(waiting);
        let mut missed = 0;
        let mut time = waiting;
        while time < at && missed < MISSED_MAX {
            missed += 1;
            match self.after(time) {
                Some(next) => time = next,
                None => break,
            }
        }
        Due { at, missed, next: self.after(now) }
    }
}

/// The pattern's own words, without those of its library.
fn told(why: &croner::errors::CronError) -> String {
    let text = why.to_string();
    let told = text.split_once(": ").map_or(text.as_str(), |(_, told)| told);
    let told = told.trim_end_matches('.');
    if told.contains("out of bounds") {
        return format!("{told}: minutes are 0–59, hours 0–23, days 1–31, months 1–12, weekdays 0–7");
    }
    told.to_owned()
}

fn zone(name: &str) -> Result<TimeZone, (String, Option<String>)> {
    ZONES.get(name).map_err(|_| {
        let known: Vec<String> = ZONES.available().map(|zone| zone.to_string()).collect();
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        (format!("`{name}` is not a time zone such as `Europe/Berlin`"), near)
    })
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_nanosecond().div_euclid(1_000_000_000) as i64).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(text: &str) -> Schedule {
        Schedule::Cron(Box::new(Cron::parse(text).unwrap()))
    }

    /// The starts of a schedule within a time, one by one as they come.
    fn starts(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut next = schedule.first(at(from));
        while let Some(time) = next.filter(|time| *time <= at(until)) {
            let due = schedule.due(time, time).unwrap();
            assert_eq!((due.at, due.missed), (time, 0));
            found.push(time.to_string());
            next = due.next;
        }
        found
    }

    #[test]
    fn starts_at_the_times_of_the_calendar() {
        for (text, from, until, expected) in [
            (
                "0 9 * * 1-5",
                "2026-03-06T00:00:00Z",
                "2026-03-10T00:00:00Z",
                vec!["2026-03-06T09:00:00Z", "2026-03-09T09:00:00Z"],
            ),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2029-01-01T00:00:00Z", vec!["2028-02-29T00:00:00Z"]),
            ("@daily", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", vec!["2026-03-02T00:00:00Z"]),
            // Either of the two days, as everywhere.
            (
                "0 0 13 * FRI",
                "2026-03-01T00:00:00Z",
                "2026-03-14T00:00:00Z",
                vec!["2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z"],
            ),
            (
                "CRON_TZ=America/New_York 30 8 1 * *",
                "2026-02-15T00:00:00Z",
                "2026-04-02T00:00:00Z",
                vec!["2026-03-01T13:30:00Z", "2026-04-01T12:30:00Z"],
            ),
        ] {
            assert_eq!(starts(&cron(text), from, until), expected, "{text}");
        }
    }

    /// Europe/Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
    #[test]
    fn keeps_its_promise_when_clocks_are_changed() {
        for (text, from, until, expected) in [
            // What falls into the gap starts at its end: no day goes without.
            (
                "30 2 * * *",
                "2026-03-28T00:00:00Z",
                "2026-03-30T12:00:00Z",
                vec!["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            // An hour that comes twice has one start of what is daily …
            (
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                "2026-10-26T12:00:00Z",
                vec!["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            // … and two of what is hourly.
            (
                "30 * * * *",
                "2026-10-25T00:00:00Z",
                "2026-10-25T02:00:00Z",
                vec!["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
            ),
            (
                "*/30 * * * *",
                "2026-03-29T00:29:00Z",
                "2026-03-29T01:30:00Z",
                vec!["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
            ),
        ] {
            let text = format!("CRON_TZ=Europe/Berlin {text}");
            assert_eq!(starts(&cron(&text), from, until), expected, "{text} from {from}");
        }
    }

    #[test]
    fn missed_starts_are_one() {
        let waiting = at("2026-03-01T09:00:00Z");
        let daily = cron("0 9 * * *");
        let due = |now: &str| daily.due(waiting, at(now));
        assert_eq!(due("2026-03-01T08:59:59.9Z"), None);
        let expected =
            |time: &str, missed, next: &str| Some(Due { at: at(time), missed, next: Some(at(next)) });
        let first = "2026-03-01T09:00:00Z";
        assert_eq!(due("2026-03-01T09:00:00.25Z"), expected(first, 0, "2026-03-02T09:00:00Z"));
        assert_eq!(due("2026-03-05T08:00:00Z"), expected("2026-03-04T09:00:00Z", 3, "2026-03-05T09:00:00Z"));
        let every = Schedule::Every(SignedDuration::from_mins(10));
        assert_eq!(
            every.due(waiting, at("2026-03-01T09:35:00Z")),
            expected("2026-03-01T09:30:00Z", 3, "2026-03-01T09:40:00Z")
        );
        let minutely = cron("* * * * *").due(waiting, at("2026-12-01T00:00:30Z")).unwrap();
        assert_eq!((minutely.at, minutely.missed), (at("2026-12-01T00:00:00Z"), MISSED_MAX));
        let after = Schedule::After(SignedDuration::from_mins(1));
        assert_eq!(after.first(waiting), Some(waiting));
        assert_eq!(after.due(waiting, at("2026-12-01T00:00:00Z")).unwrap().next, None);
        assert_eq!(after.after_run(waiting), Some(at("2026-03-01T09:01:00Z")));
    }

    #[test]
    fn refuses_what_is_no_schedule() {
        for (text, message, near) in [
            ("* * * *", "five fields", None),
            ("0 0 0 * * *", "here are 6", None),
            ("60 * * * *", "60", None),
            ("* 25 * * *", "25", None),
            ("a b c d e", "", None),
            ("0 0 30 2 *", "no calendar has such a day", None),
            ("CRON_TZ=Europe/Berln 0 9 * * *", "not a time zone", Some("Europe/Berlin")),
            ("CRON_TZ=Europe/Berlin", "five fields", None),
            ("", "five fields", None),
            ("@sometimes", "", None),
            ("*/0 * * * *", "", None),
            ("5-1 * * * *", "", None),
        ] {
            let (found, suggestion) = Cron::parse(text).expect_err(text);
            assert!(found.contains(message), "{text}: {found}");
            assert_eq!(suggestion.as_deref(), near, "{text}");
        }
    }
}
