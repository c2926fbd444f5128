//! The outcome for people.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::Value;
use twins::oracle::{Kind, Movements, Rates};

use super::outcome::Outcome;
use super::setup::Ready;

/// How many discrepancies are printed in full; `--json` has them all.
const SHOWN_MAX: usize = 25;

/// The whole report.
pub fn render(outcome: &Outcome) -> String {
    let mut out = String::new();
    write_all(&mut out, outcome).expect("a String takes everything");
    out
}

fn write_all(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let count = |group, name| outcome.count(group, name);
    let (ack, e2e) = (outcome.ack_ms(), outcome.e2e_ms());
    writeln!(
        out,
        "\n{} customers, {} days, seed {}: {:.1} s",
        outcome.customers,
        outcome.days.len(),
        outcome.seed,
        outcome.elapsed.as_secs_f64()
    )?;
    writeln!(
        out,
        "  events   {} sent · {} received · {} duplicates · {} stale · {} rejected",
        outcome.lived.sent,
        outcome.received(),
        count("events", "duplicate"),
        count("events", "stale"),
        count("hooks", "rejected")
    )?;
    writeln!(
        out,
        "  runs     {} completed · {} failed · {} attempts retried",
        count("runs", "completed"),
        count("runs", "failed"),
        count("attempts", "retried")
    )?;
    writeln!(out, "  ack      p50 {:.1} ms · p99 {:.1} ms", ack.0, ack.1)?;
    writeln!(out, "  end to end  p50 {:.0} ms · p99 {:.0} ms", e2e.0, e2e.1)?;
    days(out, outcome)?;
    ending(out, outcome)
}

fn days(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let currency = outcome.currency.as_str();
    let mut header = format!("\n{:<12}{:>14}{:>14}  ", "day", "Stripe", "ChartMogul");
    for title in ["new", "expansion", "contraction", "churn", "reactivation"] {
        write!(header, "{title:>13}")?;
    }
    writeln!(out, "{header}")?;
    for ((day, theirs), midnight) in outcome.days.iter().zip(&outcome.theirs).zip(&outcome.midnights) {
        let date = midnight.to_zoned(TimeZone::UTC).date();
        let mark = if day.total == *theirs { ' ' } else { '!' };
        write!(out, "{date:<12}{:>14}{:>14} {mark}", money(day.total, currency), money(*theirs, currency))?;
        writeln!(out, "{}", movements(&day.movements))?;
    }
    writeln!(out, "{:<42}{}", "together", movements(&outcome.movements))
}

fn movements(movements: &Movements) -> String {
    let cell = |kind: &Kind| match movements.get(kind) {
        Some(cents) => format!("{:>13}", plain(*cents)),
        None => format!("{:>13}", "·"),
    };
    Kind::ALL.iter().map(cell).collect()
}

fn ending(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(out, "\n{:<12}{:>14}{:>14}", "MRR at end", "Stripe", "ChartMogul")?;
    for (currency, (ours, theirs)) in &outcome.by_currency {
        writeln!(out, "  {:<10}{:>14}{:>14}", currency.to_uppercase(), plain(*ours), plain(*theirs))?;
    }
    let (ours, theirs) = outcome.mrr();
    let currency = outcome.currency.as_str();
    writeln!(out, "  {:<10}{:>14}{:>14}", "total", money(ours, currency), money(theirs, currency))?;
    let rates = Rates::default();
    for (one, (numerator, denominator)) in &rates.table {
        let (one, account) = (one.to_uppercase(), rates.account.to_uppercase());
        writeln!(
            out,
            "  at a fixed rate: 1 {one} = {:.2} {account}",
            *numerator as f64 / *denominator as f64
        )?;
    }
    writeln!(
        out,
        "{} customers compared one by one; {} failed payments, {} Slack alerts",
        outcome.customers_compared,
        outcome.lived.failed_attempts.len(),
        outcome.slack_messages
    )?;
    if outcome.discrepancies.is_empty() {
        writeln!(out, "\nno discrepancy: Stripe and ChartMogul agree to the cent, every day")?;
    } else {
        writeln!(out, "\n{} discrepancies", outcome.discrepancies.len())?;
        for one in outcome.discrepancies.iter().take(SHOWN_MAX) {
            writeln!(
                out,
                "  {:<14} {:<34} expected {} found {}",
                one.about, one.what, one.expected, one.found
            )?;
        }
        if outcome.discrepancies.len() > SHOWN_MAX {
            writeln!(out, "  … and {} more (--json lists all)", outcome.discrepancies.len() - SHOWN_MAX)?;
        }
    }
    match outcome.count("runs", "failed") {
        0 => Ok(()),
        failed => writeln!(out, "{failed} runs failed"),
    }
}

/// Addresses and keys, one a line.
pub fn addresses(ready: &Ready) -> String {
    let mut out = String::from("\naddresses and keys (all simulated, all on this machine)\n");
    for (name, value) in ready.addresses.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| Value::to_string(value), str::to_owned);
        out.push_str(&format!("  {name:<22} {value}\n"));
    }
    out
}

/// `$1,234.56`, or the currency's code before other amounts.
pub fn money(cents: i64, currency: &str) -> String {
    let plain = plain(cents);
    match currency {
        "usd" => match plain.strip_prefix('-') {
            Some(rest) => format!("-${rest}"),
            None => format!("${plain}"),
        },
        code => format!("{} {plain}", code.to_uppercase()),
    }
}

/// `1,234.56`
fn plain(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let (whole, part) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let digits = whole.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{part:02}")
}

#[cfg(test)]
mod tests {
    use super::money;

    #[test]
    fn amounts_are_grouped_and_signed() {
        for (cents, currency, expected) in [
            (0, "usd", "$0.00"),
            (5, "usd", "$0.05"),
            (-123, "usd", "-$1.23"),
            (100_000, "usd", "$1,000.00"),
            (123_456_789, "eur", "EUR 1,234,567.89"),
        ] {
            assert_eq!(money(cents, currency), expected);
        }
    }
}
