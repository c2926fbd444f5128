//! Refusals to renew, as the store notes them. While one stands nobody asks the vendor, on whatever node: it would lock an
//! account whose password is wrong, and an endpoint that is asked too often would never recover.
//!
//! | the vendor | stands for |
//! |---|---|
//! | refuses | [`REFUSED_FOR`], or until the connection is changed |
//! | says when to come back | until then |
//! | has a trouble that passes | a pause that doubles with each such answer in a row |

use connect::{Class, Error};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::failed;

const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// Seconds of the first pause, and of the longest.
const PAUSE_MIN_S: i64 = 2;
const PAUSE_MAX_S: i64 = 64;

#[derive(Serialize, Deserialize)]
struct Refusal {
    code: String,
    detail: String,
    /// As [`Class::name`] has it.
    class: String,
    until: Timestamp,
    /// How long this pause is, where the vendor did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause_s: Option<i64>,
}

/// What is noted of a failed renewal; `before`: of the one before it, if that failed as well.
pub(super) fn noted(error: &Error, before: Option<&str>, now: Timestamp) -> String {
    let (stands, pause_s) = match &error.class {
        Class::Retry { after: Some(after) } => (*after, None),
        Class::Retry { after: None } => {
            let before = before.and_then(|text| serde_json::from_str::<Refusal>(text).ok());
            let pause = before.and_then(|before| before.pause_s).map_or(PAUSE_MIN_S, |pause| pause * 2);
            let pause = pause.clamp(PAUSE_MIN_S, PAUSE_MAX_S);
            (SignedDuration::from_secs(pause), Some(pause))
        }
        _ => (REFUSED_FOR, None),
    };
    let refusal = Refusal {
        code: error.code.clone(),
        detail: error.detail.clone(),
        class: error.class.name().to_owned(),
        until: now.saturating_add(stands).unwrap_or(now),
        pause_s,
    };
    serde_json::to_string(&refusal).unwrap_or_default()
}

/// The refusal that stands at `now`.
pub(super) fn standing(stored: &store::Grant, now: Timestamp) -> Option<Error> {
    let (text, at) = stored.problem.as_ref()?;
    let Refusal { code, detail, class, until, .. } = serde_json::from_str(text).ok()?;
    // A clock that was set back makes nobody wait longer.
    if now >= until || now < *at {
        return None;
    }
    let class = match class.as_str() {
        "retry" => Class::Retry { after: Some(until.duration_since(now)) },
        "auth" => Class::Auth,
        "user" => Class::User,
        _ => Class::Fatal,
    };
    Some(failed(class, &code, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn stored(problem: String, seconds: i64) -> store::Grant {
        store::Grant {
            n: 1,
            tokens: None,
            scopes: None,
            expires_at: None,
            begun: 1,
            unanswered: 0,
            problem: Some((problem, at(seconds))),
            updated_at: at(0),
        }
    }

    fn until(problem: &str, seconds: i64) -> i64 {
        let stored = stored(problem.to_owned(), seconds);
        (seconds..).find(|now| standing(&stored, at(*now)).is_none()).expect("it ends") - seconds
    }

    #[test]
    fn a_refusal_stands_as_long_as_it_makes_sense() {
        let retry = |after: Option<i64>| Class::Retry { after: after.map(SignedDuration::from_secs) };
        for (class, code, stands) in [
            (Class::Auth, "unauthorized", 30),
            (Class::Auth, "grant_refused", 30),
            (Class::Fatal, "answer_unexpected", 30),
            (retry(Some(60)), "grant_unavailable", 60),
            (retry(None), "not_reached", 2),
        ] {
            let problem = noted(&failed(class.clone(), code, "why".into()), None, at(5));
            assert_eq!(until(&problem, 5), stands, "{code}");
            let again = standing(&stored(problem.clone(), 5), at(6)).expect("it stands");
            assert_eq!((again.code.as_str(), again.class.name()), (code, class.name()));
            assert!(standing(&stored(problem, 5), at(4)).is_none(), "before it was: {code}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let trouble = failed(Class::Retry { after: None }, "grant_unavailable", "503".into());
        let (mut problem, mut pauses) = (None, Vec::new());
        for _ in 0..7 {
            let next = noted(&trouble, problem.as_deref(), at(0));
            pauses.push(until(&next, 0));
            problem = Some(next);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 64]);
        let refused = noted(&failed(Class::Auth, "grant_refused", "no".into()), problem.as_deref(), at(0));
        assert_eq!(until(&noted(&trouble, Some(&refused), at(0)), 0), 2, "only one after the other");
    }
}
