//! How long something is kept, as it is written on the command line: `90d`, `36h`, `15m`, `30s`, `forever`.

use jiff::SignedDuration;

/// A length of time; none is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Option<SignedDuration>);

/// Reads one.
pub fn parse(text: &str) -> Result<Age, String> {
    if text == "forever" {
        return Ok(Age(None));
    }
    let wrong =
        || "write it as a number with a unit, for example 90d, 36h, 15m, 30s, or `forever`".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 24 * 60 * 60,
        'h' => 60 * 60,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let number: u32 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    Ok(Age(Some(SignedDuration::from_secs(i64::from(number) * seconds))))
}

/// A lease shorter than this would be lost to a slow disk, one longer than that keeps a dead node's runs too long.
const LEASE: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_hours(1));

/// Reads how long a node may keep a run without renewing its lease.
pub fn parse_lease(text: &str) -> Result<SignedDuration, String> {
    match parse(text)?.0 {
        Some(lease) if lease >= LEASE.0 && lease <= LEASE.1 => Ok(lease),
        _ => Err("a lease lasts from 1s to 60m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        for (text, hours) in [("400d", Some(9600)), ("36h", Some(36)), ("120m", Some(2)), ("forever", None)] {
            assert_eq!(parse(text), Ok(Age(hours.map(SignedDuration::from_hours))), "{text}");
        }
        assert_eq!(parse("30s"), Ok(Age(Some(SignedDuration::from_secs(30)))));
        assert_eq!(parse_lease("2s"), Ok(SignedDuration::from_secs(2)));
        for wrong in ["0s", "61m", "forever", "2"] {
            assert!(parse_lease(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "d", "400", "-1d", "1.5d", "10w", "1dd"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
