//! ChartMogul's MRR: from invoice lines and cancellations to a history of monthly recurring revenue.
//!
//! Facts and where they are published:
//! - MRR of a line = (amount − tax) × duration ratio × prorate factor, rounded to the nearest cent; the prorate factor
//!   is the plan's full service period over the prorated one, in seconds
//!   (dev.chartmogul.com/docs/how-mrr-is-calculated-from-prorated-invoices).
//! - Lines are processed by start of service period, then event order, then creation
//!   (help.chartmogul.com, "Understanding invoice line items").
//! - A line that isn't prorated is never scaled by the days of its period: 10000 cents of a monthly plan for
//!   1 to 31 May are 10000 cents of MRR (recorded answers of the subscriptions endpoint).
//!
//! Everything is integers: ratios in `i128`, one rounding per line, half away from zero.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{Span, Timestamp, ToSpan, tz::TimeZone};

/// An ISO 4217 code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three ASCII letters in any case, else `None`.
    pub fn new(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Currency(bytes.map(|byte| byte.to_ascii_uppercase())))
    }

    /// The code, `USD`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Cents by currency; a currency at zero is absent.
pub type Amounts = BTreeMap<Currency, i64>;

/// Adds to one currency and keeps zero absent.
pub fn add(amounts: &mut Amounts, currency: Currency, cents: i64) {
    let entry = amounts.entry(currency).or_default();
    *entry += cents;
    if *entry == 0 {
        amounts.remove(&currency);
    }
}

/// The unit of a plan's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    Month,
    Year,
}

impl Unit {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Month => "month",
            Unit::Year => "year",
        }
    }
}

/// How often a plan bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub unit: Unit,
    pub count: u32,
}

impl Interval {
    /// The factor that makes an amount per interval one per month, as a ratio. A month has 365/12 days here:
    /// ChartMogul publishes no number for daily plans.
    fn monthly(self) -> (i128, i128) {
        let count = i128::from(self.count.max(1));
        match self.unit {
            Unit::Day => (365, 12 * count),
            Unit::Month => (1, count),
            Unit::Year => (1, 12 * count),
        }
    }

    /// The start of the interval that ends at `end`, by the calendar in UTC.
    fn start_of_interval_ending(self, end: Timestamp) -> Timestamp {
        let count = i64::from(self.count.max(1));
        let span: Span = match self.unit {
            Unit::Day => count.days(),
            Unit::Month => count.months(),
            Unit::Year => count.years(),
        };
        end.to_zoned(TimeZone::UTC).checked_sub(span).map_or(end, |start| start.timestamp())
    }
}

/// What a subscription line does to its subscription's MRR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proration {
    /// Not prorated: the MRR becomes the line's.
    None,
    /// Prorated for a part of the service: the line's scaled-up MRR is added to the running one.
    Differential,
    /// Prorated, for the whole subscription: the running MRR becomes the line's, scaled up.
    Full,
    /// The API names this type without describing it publicly. It is taken by its name: the amount is the
    /// difference in MRR itself, so it is normalised to a month but not scaled up by the prorated period.
    DifferentialMrr,
}

/// One recurring line of an invoice that counts.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Decides between lines with the same start; those without come last.
    pub event_order: Option<i64>,
    /// Order of creation.
    pub sequence: u64,
    /// Amount after discounts, without tax.
    pub net_cents: i64,
    pub currency: Currency,
    pub interval: Interval,
    pub proration: Proration,
}

/// MRR of a line, in its currency. `full` is the service period it is a part of, where an earlier whole line of
/// the subscription tells it; else the plan's interval that ends with the line is taken.
pub fn line_mrr(line: &Line, full: Option<(Timestamp, Timestamp)>) -> i64 {
    let (numerator, denominator) = line.interval.monthly();
    let (full_s, part_s) = match line.proration {
        Proration::None | Proration::DifferentialMrr => (1, 1),
        Proration::Differential | Proration::Full => {
            let (start, end) =
                full.unwrap_or_else(|| (line.interval.start_of_interval_ending(line.end), line.end));
            match (end.as_second() - start.as_second(), line.end.as_second() - line.start.as_second()) {
                // No time is left to scale by: the amount stands as it is.
                (full, part) if full <= 0 || part <= 0 => (1, 1),
                (full, part) => (i128::from(full), i128::from(part)),
            }
        }
    };
    divide_rounded(i128::from(line.net_cents) * numerator * full_s, denominator * part_s)
}

/// Divides and rounds half away from zero; `denominator` is positive.
pub fn divide_rounded(numerator: i128, denominator: i128) -> i64 {
    let doubled = 2 * numerator.abs() + denominator;
    let magnitude = doubled / (2 * denominator);
    let value = if numerator < 0 { -magnitude } else { magnitude };
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// From `at` on, the MRR is `amounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Timestamp,
    pub amounts: Amounts,
}

/// The history of one subscription. A cancellation takes the MRR to zero from its instant until a later line
/// starts; it wins over a line that starts at the same instant. Steps are in order of time, one per instant.
pub fn subscription(mut lines: Vec<Line>, cancellations: &[Timestamp]) -> Vec<Step> {
    lines.sort_by_key(|line| (line.start, line.event_order.unwrap_or(i64::MAX), line.sequence));
    let mut cancellations: Vec<Timestamp> = cancellations.to_vec();
    cancellations.sort_unstable();
    let mut cancelled = cancellations.into_iter().peekable();

    let mut steps: Vec<Step> = Vec::new();
    let mut running = Amounts::new();
    let mut whole: Option<(Line, Timestamp)> = None;
    for line in &lines {
        while let Some(at) = cancelled.next_if(|at| *at < line.start) {
            running.clear();
            record(&mut steps, at, &running);
        }
        let covering = whole
            .filter(|(earlier, end)| {
                earlier.interval == line.interval && earlier.start <= line.start && line.end <= *end
            })
            .map(|(earlier, end)| (earlier.start, end));
        let mrr = line_mrr(line, covering);
        match line.proration {
            Proration::None | Proration::Full => running.clear(),
            Proration::Differential | Proration::DifferentialMrr => {}
        }
        add(&mut running, line.currency, mrr);
        record(&mut steps, line.start, &running);
        if line.proration == Proration::None {
            whole = Some((*line, line.end));
        }
    }
    for at in cancelled {
        running.clear();
        record(&mut steps, at, &running);
    }
    steps
}

/// Several changes at one instant are one step: the last.
fn record(steps: &mut Vec<Step>, at: Timestamp, amounts: &Amounts) {
    match steps.last_mut() {
        Some(last) if last.at == at => last.amounts.clone_from(amounts),
        Some(last) if last.amounts == *amounts => {}
        None if amounts.is_empty() => {}
        _ => steps.push(Step { at, amounts: amounts.clone() }),
    }
}

/// The history of a customer: the sum of its subscriptions, netted per instant.
pub fn sum<'a>(subscriptions: impl IntoIterator<Item = &'a [Step]>) -> Vec<Step> {
    let mut changes: BTreeMap<Timestamp, Amounts> = BTreeMap::new();
    for steps in subscriptions {
        let mut before = &Amounts::new();
        for step in steps {
            let change = changes.entry(step.at).or_default();
            for (currency, cents) in &step.amounts {
                add(change, *currency, *cents);
            }
            for (currency, cents) in before {
                add(change, *currency, -cents);
            }
            before = &step.amounts;
        }
    }
    let mut running = Amounts::new();
    let mut total: Vec<Step> = Vec::new();
    for (at, change) in changes {
        for (currency, cents) in change {
            add(&mut running, currency, cents);
        }
        record(&mut total, at, &running);
    }
    total
}

/// The MRR at an instant (what begins at that instant counts).
pub fn at(steps: &[Step], instant: Timestamp) -> Option<&Amounts> {
    let after = steps.partition_point(|step| step.at <= instant);
    after.checked_sub(1).map(|index| &steps[index].amounts)
}
