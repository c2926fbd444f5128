//! What was answered under an `Idempotency-Key`, for twenty-four hours.

use std::collections::{BTreeMap, VecDeque};

use super::calendar::HOUR;
use super::errors::Error;
use crate::wire::Response;

const KEPT_HOURS: i64 = 24;
const KEY_LENGTH_MAX: usize = 255;

struct Entry {
    fingerprint: String,
    response: Response,
}

/// The answers by key.
#[derive(Default)]
pub(super) struct Memory {
    entries: BTreeMap<String, Entry>,
    /// (time, key), oldest first.
    order: VecDeque<(i64, String)>,
}

impl Memory {
    /// The answer given before to the same request, if there is one.
    pub(super) fn recall(
        &mut self,
        key: &str,
        fingerprint: &str,
        now: i64,
    ) -> Result<Option<Response>, Error> {
        if key.chars().count() > KEY_LENGTH_MAX {
            let message = format!("Idempotency keys can be at most {KEY_LENGTH_MAX} characters long.");
            return Err(Error::idempotency(message));
        }
        while self.order.front().is_some_and(|(at, _)| at + KEPT_HOURS * HOUR <= now) {
            if let Some((_, old)) = self.order.pop_front() {
                self.entries.remove(&old);
            }
        }
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        if entry.fingerprint != fingerprint {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                 Try using a key other than '{key}' if you meant to execute a different request."
            );
            return Err(Error::idempotency(message));
        }
        Ok(Some(entry.response.clone()))
    }

    pub(super) fn remember(&mut self, key: &str, fingerprint: String, response: &Response, now: i64) {
        self.entries.insert(key.to_owned(), Entry { fingerprint, response: response.clone() });
        self.order.push_back((now, key.to_owned()));
    }
}
