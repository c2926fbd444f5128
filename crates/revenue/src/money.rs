//! Exact arithmetic on cents: ratios in `i128`, one rounding at the end.

/// `numerator / denominator` rounded to the nearest integer, halves away from zero.
///
/// # Panics
/// If `denominator` is not positive; callers divide by interval lengths and by 100.
pub fn divide_rounded(numerator: i128, denominator: i128) -> i64 {
    assert!(denominator > 0, "a denominator is positive");
    let half = denominator / 2;
    let rounded =
        if numerator >= 0 { (numerator + half) / denominator } else { -((-numerator + half) / denominator) };
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

/// A percentage in ten-thousandths of a percent, so that `12.5` and `33.3333` are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(i64);

impl Percent {
    const SCALE: i128 = 10_000;

    /// Parses a JSON number such as `25` or `12.5`; more than four decimals are rounded to four.
    pub fn parse(number: &serde_json::Number) -> Option<Percent> {
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let mut digits: String = fraction.chars().take(4).collect();
        while digits.len() < 4 {
            digits.push('0');
        }
        let whole: i64 = whole.parse().ok()?;
        let fraction: i64 = digits.parse().ok()?;
        (0..=100).contains(&whole).then_some(Percent(whole * 10_000 + fraction))
    }

    /// This share of an amount in cents, rounded half away from zero to whole cents.
    pub fn of(self, cents: i64) -> i64 {
        divide_rounded(i128::from(cents) * i128::from(self.0), 100 * Self::SCALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_round_away_from_zero() {
        for (numerator, denominator, expected) in [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (-4, 3, -1), (0, 7, 0)]
        {
            assert_eq!(divide_rounded(numerator, denominator), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn percentages_are_exact() {
        let percent = |text: &str| Percent::parse(&serde_json::from_str(text).unwrap());
        assert_eq!(percent("25").unwrap().of(1999), 500); // 499.75
        assert_eq!(percent("12.5").unwrap().of(1000), 125);
        assert_eq!(percent("33.3333").unwrap().of(30_000), 10_000); // 9999.99
        assert_eq!(percent("100.0").unwrap().of(777), 777);
        assert_eq!(percent("101"), None);
        assert_eq!(percent("-1"), None);
    }

    proptest! {
        #[test]
        fn a_share_never_exceeds_the_whole(cents in 0i64..1_000_000_000, percent in 0u32..=100) {
            let share = Percent::parse(&percent.into()).unwrap().of(cents);
            prop_assert!((0..=cents).contains(&share));
        }
    }
}
