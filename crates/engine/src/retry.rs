//! When a failed attempt is repeated, and after how long.
//!
//! | class of error | repeated? | after |
//! |---|---|---|
//! | `Retry {after: Some}` | yes | what the vendor asked for, plus a little jitter; longer once it keeps refusing |
//! | `Retry {after: None}` | yes | doubling from `base`, half of it drawn by chance, up to `delay_max` |
//! | outcome unknown, of any class | yes, as the manifest's idempotency allows | as above |
//! | `Auth`, `User`, `Conflict`, `NotFound`, `Fatal` | no | – |
//!
//! Both the number of attempts and the total time are capped, over parks and crashes.

use connect::{Class, Error};
use flow::chance::Rng;
use jiff::{SignedDuration, Timestamp};

/// First pause after a failure for which the vendor named none.
pub const BASE: SignedDuration = SignedDuration::from_millis(500);
/// Longest pause between two attempts that we choose ourselves.
pub const DELAY_MAX: SignedDuration = SignedDuration::from_mins(20);
/// Longest pause a vendor may ask for; one that asks for more gets the run failed, visibly.
pub const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(6);
/// Attempts at one effect. With the pauses above that is about five hours of an unreachable vendor.
pub const ATTEMPTS_MAX: u32 = 24;
/// So many attempts come as early as the vendor asks for. One that refuses for hours and says "in a second" each time
/// would use up all attempts within a minute.
pub const PROMPT_MAX: u32 = 4;
/// Time from the first attempt at an effect to the last; under the shortest key life of a vendor known (24 h).
pub const TOTAL_MAX: SignedDuration = SignedDuration::from_hours(12);

/// The numbers of the table above.
#[derive(Clone, Debug)]
pub struct Policy {
    /// First pause.
    pub base: SignedDuration,
    /// Longest pause that we choose.
    pub delay_max: SignedDuration,
    /// Longest pause that a vendor may ask for.
    pub retry_after_max: SignedDuration,
    /// Attempts at one effect.
    pub attempts_max: u32,
    /// Time from first to last attempt.
    pub total_max: SignedDuration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            base: BASE,
            delay_max: DELAY_MAX,
            retry_after_max: RETRY_AFTER_MAX,
            attempts_max: ATTEMPTS_MAX,
            total_max: TOTAL_MAX,
        }
    }
}

/// What becomes of an effect after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again at this time.
    At(Timestamp),
    /// The error stands.
    Stop,
    /// It could be repeated, but a limit is reached; says which.
    Exhausted(String),
}

impl Policy {
    /// Decides after the `attempts`th attempt (1 = the first) failed with `error` at `now`.
    pub fn next(
        &self,
        error: &Error,
        attempts: u32,
        since: Timestamp,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Next {
        let asked = match &error.class {
            Class::Retry { after } => *after,
            _ if error.unknown => None,
            _ => return Next::Stop,
        };
        if attempts >= self.attempts_max {
            return Next::Exhausted(format!("gave up after {attempts} attempts"));
        }
        let doubled = self.base.saturating_mul(1i32 << attempts.saturating_sub(1).min(20));
        let half = doubled.min(self.delay_max) / 2;
        let delay = match asked {
            Some(after) if after > self.retry_after_max => {
                return Next::Exhausted(format!(
                    "the vendor asked to wait {after:#}, longer than the {:#} allowed",
                    self.retry_after_max
                ));
            }
            // Everybody told the same second would come back in the same second.
            Some(after) => {
                let asked = after.max(SignedDuration::ZERO) + chance(rng, self.base);
                if attempts > PROMPT_MAX { asked.max(half + chance(rng, half)) } else { asked }
            }
            None => half + chance(rng, half),
        };
        let at = now.saturating_add(delay).unwrap_or(now);
        if at.duration_since(since) > self.total_max {
            return Next::Exhausted(format!(
                "gave up {:#} after the first attempt",
                now.duration_since(since)
            ));
        }
        Next::At(at)
    }
}

/// Evenly between zero and `limit`.
fn chance(rng: &mut dyn Rng, limit: SignedDuration) -> SignedDuration {
    let mut bytes = [0u8; 8];
    rng.fill(&mut bytes);
    let range = limit.as_millis().max(0).unsigned_abs() as u64 + 1;
    SignedDuration::from_millis((u64::from_le_bytes(bytes) % range) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the least or the most.
    struct Always(u8);

    impl Rng for Always {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn error(class: Class, unknown: bool) -> Error {
        Error { class, status: None, code: "c".into(), detail: "d".into(), body: None, unknown }
    }

    fn retry(after_ms: Option<i64>) -> Error {
        error(Class::Retry { after: after_ms.map(SignedDuration::from_millis) }, false)
    }

    /// Pause in milliseconds after the `attempts`th attempt; none if there is no next one.
    fn pause(policy: &Policy, error: &Error, attempts: u32) -> Option<i128> {
        match policy.next(error, attempts, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, &mut Always(0)) {
            Next::At(at) => Some(at.duration_since(Timestamp::UNIX_EPOCH).as_millis()),
            Next::Stop | Next::Exhausted(_) => None,
        }
    }

    #[test]
    fn each_class_has_its_pause() {
        let policy = Policy::default();
        let table = [
            (retry(None), 1, Some(250)),
            (retry(None), 2, Some(500)),
            (retry(None), 5, Some(4_000)),
            (retry(None), 23, Some(600_000)),
            (retry(Some(90_000)), 1, Some(90_000)),
            (retry(Some(-5)), 1, Some(0)),
            (retry(Some(1_000)), PROMPT_MAX, Some(1_000)),
            (retry(Some(1_000)), PROMPT_MAX + 1, Some(4_000)),
            (retry(Some(90_000)), PROMPT_MAX + 1, Some(90_000)),
            (retry(Some(1_000)), 23, Some(600_000)),
            (error(Class::Fatal, true), 1, Some(250)),
            (error(Class::Fatal, false), 1, None),
            (error(Class::Auth, false), 1, None),
            (error(Class::User, false), 1, None),
            (error(Class::Conflict, false), 1, None),
            (error(Class::NotFound, false), 1, None),
            (retry(None), ATTEMPTS_MAX, None),
            (retry(Some(7 * 3_600_000)), 1, None),
        ];
        for (error, attempts, expected) in table {
            assert_eq!(pause(&policy, &error, attempts), expected, "{error:?} after {attempts}");
        }
    }

    #[test]
    fn chance_spreads_by_half_and_never_shortens_what_was_asked_for() {
        let policy = Policy::default();
        let most = |error: &Error| {
            policy.next(error, 1, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, &mut Always(250))
        };
        let Next::At(own) = most(&retry(None)) else { panic!("it ends") };
        let own = own.duration_since(Timestamp::UNIX_EPOCH).as_millis();
        assert!((251..=500).contains(&own), "{own}");
        let Next::At(asked) = most(&retry(Some(2_000))) else { panic!("it ends") };
        let asked = asked.duration_since(Timestamp::UNIX_EPOCH).as_millis();
        assert!((2_001..=2_500).contains(&asked), "{asked}");
    }

    #[test]
    fn total_time_is_bounded() {
        let policy = Policy::default();
        let now = Timestamp::UNIX_EPOCH + TOTAL_MAX;
        let next = policy.next(&retry(None), 2, Timestamp::UNIX_EPOCH, now, &mut Always(0));
        assert!(matches!(next, Next::Exhausted(_)), "{next:?}");
    }
}
