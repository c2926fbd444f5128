//! Catching faults: which are caught, when a `try` begins again, and how long it waits.

use jiff::SignedDuration;
use serde_json::Value;
use std::sync::Arc;

use super::drive::Next;
use super::frame::{Frame, Owner, TryState};
use super::scope::Extra;
use super::strand::Waiting;
use super::{Effect, EffectRef, Machine, Purpose};
use crate::document::task::{Action, Backoff, Catch, Filter, Retry};
use crate::{Fault, duration};

impl Filter {
    /// Whether a fault is equal in all that is given.
    pub fn matches(&self, fault: &Fault) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        self.r#type.as_deref().is_none_or(|wanted| standard(wanted) == standard(&fault.r#type))
            && self.status.is_none_or(|status| status == fault.status)
            && same(&self.title, &fault.title)
            && same(&self.detail, &fault.detail)
            && same(&self.instance, fault.instance.as_deref().unwrap_or_default())
    }
}

/// A fault's type, with the older addresses of the standard types as the present ones: the specification's own examples
/// and conformance kit use both.
fn standard(r#type: &str) -> &str {
    const OLDER: &str = "https://serverlessworkflow.io/dsl/errors/types/";
    const PRESENT: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";
    [OLDER, PRESENT].iter().find_map(|prefix| r#type.strip_prefix(prefix)).unwrap_or(r#type)
}

impl Retry {
    /// The delay before it begins again, `retry` counted from 1, without jitter; ten years at most.
    pub fn delay(&self, retry: u32) -> SignedDuration {
        let factor = match self.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => retry,
            Backoff::Exponential => 2u32.saturating_pow(retry.saturating_sub(1)),
        };
        let factor = i32::try_from(factor).unwrap_or(i32::MAX);
        self.delay.checked_mul(factor).unwrap_or(duration::MAX).min(duration::MAX)
    }
}

impl Machine {
    /// A fault has left the tasks of the `try` that the topmost frame's task is.
    pub(super) fn caught(&mut self, fault: Fault, state: TryState) -> Next {
        let Some((tasks, position)) =
            self.here.frames.last().map(|frame| (frame.tasks.clone(), frame.position))
        else {
            return Next::Over(Err(fault));
        };
        let Some(Action::Try(attempt)) = tasks.get(position).map(|task| &task.action) else {
            return Next::Fault(fault);
        };
        let catch = &attempt.catch;
        let value = Arc::new(fault.to_value());
        match self.decide(catch, &fault, &value, &state) {
            Err(other) => Next::Fault(other),
            Ok(Decision::Pass) => Next::Fault(fault),
            Ok(Decision::Again(policy)) => self.again(policy, state),
            Ok(Decision::Handle) => match &catch.tasks {
                Some(handler) => {
                    let input = self.input_of_current();
                    let owner = Owner::Catch { name: catch.name.clone(), fault: value };
                    self.here.frames.push(Frame::new(handler.clone(), owner));
                    Next::Enter(input)
                }
                None => Next::Done(self.input_of_current(), catch.then),
            },
        }
    }

    fn decide<'c>(
        &self,
        catch: &'c Catch,
        fault: &Fault,
        value: &Value,
        state: &TryState,
    ) -> Result<Decision<'c>, Fault> {
        let extra = Extra { fault: Some((&catch.name, value)), ..Extra::default() };
        let input = self.input_of_current();
        let holds = |condition: &Option<crate::Expression>, without: bool| {
            condition.as_ref().map_or(Ok(without), |condition| self.holds(condition, &input, extra))
        };
        if !catch.filter.matches(fault) || !holds(&catch.when, true)? || holds(&catch.except_when, false)? {
            return Ok(Decision::Pass);
        }
        let Some(policy) = &catch.retry else { return Ok(Decision::Handle) };
        let since = self.now.duration_since(state.first_fault_at.unwrap_or(self.now));
        let left = state.retries < policy.count && policy.within.is_none_or(|within| since < within);
        if left && holds(&policy.when, true)? && !holds(&policy.except_when, false)? {
            return Ok(Decision::Again(policy));
        }
        // A policy without a handler says "try again or fail": what still fails then is not swallowed.
        Ok(if catch.tasks.is_some() { Decision::Handle } else { Decision::Pass })
    }

    fn again(&mut self, policy: &Retry, mut state: TryState) -> Next {
        state.retries += 1;
        state.first_fault_at.get_or_insert(self.now);
        let Some(at) = self.effect_ref(Purpose::Retry) else {
            return Next::Retry(state);
        };
        let jitter = policy.jitter.map_or(SignedDuration::ZERO, |range| self.jitter(&at, range));
        let delay = policy.delay(state.retries).saturating_add(jitter).min(duration::MAX);
        if delay.is_zero() {
            return Next::Retry(state);
        }
        let until = self.now.checked_add(delay).unwrap_or(jiff::Timestamp::MAX);
        self.here.waiting = Waiting::Retry(at.clone(), state);
        self.effects.push(Effect::Wait { at, until });
        Next::Wait
    }

    /// An addition to the delay that spreads runs apart: random to look at, but the same in every replay.
    fn jitter(&self, at: &EffectRef, (from, to): (SignedDuration, SignedDuration)) -> SignedDuration {
        let text = format!("{}\n{}\n{}\n{}", self.run, at.path, at.visit, at.generation);
        let width = to.saturating_sub(from).as_millis().max(0);
        let part = i128::from(hash(text.as_bytes())) % (width + 1);
        from.saturating_add(SignedDuration::from_millis(i64::try_from(part).unwrap_or(0)))
    }
}

enum Decision<'c> {
    /// Not caught here.
    Pass,
    /// Begin again.
    Again(&'c Retry),
    /// Run the handler, or go on.
    Handle,
}

/// FNV-1a with a last mix: the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compare_all_that_is_given() {
        let fault = Fault::communication("no route").at("/do/0/a");
        let filter = |r#type: Option<&str>, status: Option<u16>, instance: Option<&str>| Filter {
            r#type: r#type.map(str::to_owned),
            status,
            instance: instance.map(str::to_owned),
            ..Filter::default()
        };
        for (filter, expected) in [
            (Filter::default(), true),
            (filter(Some("https://serverlessworkflow.io/spec/1.0.0/errors/communication"), None, None), true),
            (
                filter(Some("https://serverlessworkflow.io/dsl/errors/types/communication"), Some(500), None),
                true,
            ),
            (filter(Some("https://serverlessworkflow.io/spec/1.0.0/errors/timeout"), None, None), false),
            (filter(Some("https://other.test/communication"), None, None), false),
            (filter(None, Some(404), None), false),
            (filter(None, Some(500), Some("/do/0/a")), true),
            (filter(None, None, Some("/do/1/b")), false),
            (Filter { title: Some("Communication error".to_owned()), ..Filter::default() }, true),
            (Filter { detail: Some("route".to_owned()), ..Filter::default() }, false),
        ] {
            assert_eq!(filter.matches(&fault), expected, "{filter:?}");
        }
    }

    #[test]
    fn jitter_does_not_change_between_versions() {
        assert_eq!(hash(b""), 0xecba_3df2_c338_3c52);
        assert_eq!(hash(b"run_1\n/do/0/a/catch/retry\n1\n0"), 0xaa21_35ad_6dd8_d527);
    }
}
