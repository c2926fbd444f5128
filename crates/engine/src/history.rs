//! What a run's journal says: what the machine is to be told again, and what was begun and not ended.
//!
//! | entry | meaning here |
//! |---|---|
//! | `Started` | a pass begins; a second one means that everything is read afresh |
//! | `Intent` | attempt n of a write may have been sent |
//! | `Attempted` | attempt n failed, surely or `unknown` |
//! | `Resolved`, `Elapsed` | told to the machine again, in this order |
//! | `Heard` with a filter | told to the machine again, in this order; without one, nothing |
//! | `Finished` with a fault | if the run is claimed once more, somebody asked for another go |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flow::journal::{Entry, Outcome};
use flow::{EffectRef, Input};
use jiff::Timestamp;
use serde_json::Value;

use crate::fault;
use crate::key::Again;
use crate::limits::ENTRY_KEPT_MAX;

/// A journal, read.
#[derive(Debug, Default)]
pub struct History {
    /// What the present pass began with.
    pub started: Option<Started>,
    /// Passes begun before the present one.
    pub passes: u32,
    /// Results of the present pass, in order.
    pub inputs: Vec<Told>,
    /// What is known about effects that have no result yet.
    pub open: BTreeMap<EffectRef, Open>,
    /// Effects that ended with nobody knowing whether they happened: another generation continues these.
    unsettled: BTreeMap<(String, u32), Open>,
    /// Definite failures that somebody asked to retry.
    retries: BTreeMap<EffectRef, u32>,
    /// Attempts that earlier passes spent, so that a new pass is not a way round the limits.
    spent: BTreeMap<EffectRef, Open>,
    /// The run was put aside to try again later.
    pub parked: bool,
    /// The run had failed and somebody asked for another go.
    pub retried: bool,
    /// Results in the journal, over all passes.
    pub effects: u64,
    /// Events that the present pass has taken: no later `listen` of it finds them again.
    pub heard: BTreeSet<String>,
    /// What each `listen` was told, by the signal's name: it is not told again.
    pub told: BTreeSet<(EffectRef, String)>,
}

/// A result, to be told to the machine.
#[derive(Debug, PartialEq)]
pub enum Told {
    Input(Box<Input>),
    /// The journal's entry of this number, which is too large to be kept here until then.
    Entry(u64),
}

/// What a pass keeps to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub version: String,
    pub input: Arc<Value>,
    pub settings: Arc<Value>,
    /// Connector → digest of its manifest.
    pub manifests: Arc<BTreeMap<String, String>>,
    pub at: Timestamp,
}

/// An effect that has been tried and has no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Key and exact request; none for a read.
    pub intent: Option<Intent>,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts known to have failed or to be unknown; one less than `attempts` if a send was cut off.
    pub answered: u32,
    /// Some attempt may have taken effect.
    pub unknown: bool,
    /// Key and request are another effect's, which this one continues: its own journal does not have the bytes yet.
    pub adopted: bool,
    /// First attempt, from which the limits count; none once a person asked for another go.
    pub since: Option<Timestamp>,
    /// Not before this.
    pub retry_at: Option<Timestamp>,
}

/// What a write committed before it was first sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub key: String,
    pub request: Value,
    /// When it was first sent: from here on the vendor may remember the key.
    pub sent_at: Timestamp,
}

impl Open {
    /// An effect not tried yet.
    pub fn new(now: Timestamp) -> Open {
        Open {
            intent: None,
            attempts: 0,
            answered: 0,
            unknown: false,
            adopted: false,
            since: Some(now),
            retry_at: None,
        }
    }

    /// A write that another run began and of which nobody knows whether it happened.
    pub fn of_unknown(intent: Intent) -> Open {
        Open { intent: Some(intent), since: None, ..Open::new(Timestamp::UNIX_EPOCH) }.anew()
    }

    /// The same key and bytes for another go, whose limits begin anew.
    fn anew(self) -> Open {
        Open { attempts: 1, answered: 1, unknown: true, adopted: true, since: None, retry_at: None, ..self }
    }

    /// Whether the effect may have happened: an attempt was cut off, or answered by silence.
    pub fn maybe_done(&self) -> bool {
        self.unknown || (self.intent.is_some() && self.attempts > self.answered)
    }
}

impl History {
    /// Reads a journal from its beginning.
    #[cfg(test)]
    pub fn read(entries: impl IntoIterator<Item = Entry>) -> History {
        let mut reader = Reader::default();
        entries.into_iter().for_each(|entry| reader.take(entry));
        reader.history
    }

    fn take(&mut self, entry: Entry, last_fault: &mut Option<Failed>) {
        self.parked = false;
        match entry {
            Entry::Started { version, input, settings, manifests, at, .. } => {
                self.begin_pass(Started { version, input, settings, manifests, at });
            }
            Entry::Intent { effect, key, attempt, request, at, .. } => {
                let open = self.open.entry(effect).or_insert_with(|| Open::new(at));
                // A repetition carries no request of its own: it sends the bytes of the one before. An upsert that was
                // overtaken sends others.
                if open.intent.is_none() || !request.is_null() {
                    open.intent = Some(Intent { key, request, sent_at: at });
                }
                open.since.get_or_insert(at);
                open.attempts = attempt;
                open.retry_at = None;
            }
            Entry::Attempted { effect, attempt, unknown, settled, retry_at, at, .. } => {
                let open = self.open.entry(effect).or_insert_with(|| Open::new(at));
                open.attempts = open.attempts.max(attempt);
                open.answered = attempt;
                open.unknown = (open.unknown && !settled) || unknown;
                open.retry_at = retry_at;
                self.parked = retry_at.is_some();
            }
            Entry::Resolved { effect, outcome, at, .. } => {
                self.effects += 1;
                let open = self.open.remove(&effect);
                *last_fault = match &outcome {
                    Outcome::Fault(fault) => {
                        Some(Failed { effect: effect.clone(), code: fault.code().to_owned(), open })
                    }
                    Outcome::Output(_) => None,
                };
                if let Some(Failed { effect, open: Some(open), .. }) = last_fault.as_ref()
                    && open.maybe_done()
                {
                    self.unsettled.insert((effect.path.clone(), effect.visit), open.clone());
                }
                self.tell(Input::Resolved { at: effect, outcome: outcome.into(), now: at });
            }
            Entry::Elapsed { effect, at } => {
                self.effects += 1;
                *last_fault = None;
                self.tell(Input::Elapsed { at: effect, now: at });
            }
            Entry::Heard { effect, event, filter, value, at } => {
                self.effects += 1;
                *last_fault = None;
                self.told.insert((effect.clone(), event.clone()));
                if let (Some(filter), Some(value)) = (filter, value) {
                    self.heard.insert(event_of(&event));
                    self.tell(Input::Heard { at: effect, filter, event: value, now: at });
                }
            }
            Entry::Finished { .. } => self.reopen(last_fault.take()),
        }
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push(Told::Input(Box::new(input)));
    }

    /// A pass begins now: the first one, or `afresh`.
    pub fn begin(&mut self, started: Started, afresh: bool) {
        if afresh {
            self.started.get_or_insert_with(|| started.clone());
        }
        self.begin_pass(started);
    }

    fn begin_pass(&mut self, started: Started) {
        if self.started.is_some() {
            self.passes += 1;
            self.inputs.clear();
            self.heard.clear();
            self.told.clear();
            self.unsettled.clear();
            self.spent.append(&mut self.open);
            if self.retried {
                self.spent.clear();
            }
        }
        self.retried = false;
        self.started = Some(started);
    }

    /// The run was finished and goes on: the failure that ended it is to be tried again.
    fn reopen(&mut self, failed: Option<Failed>) {
        self.retried = true;
        self.spent.clear();
        let Some(failed) = failed else { return };
        self.inputs.pop();
        self.unsettled.remove(&(failed.effect.path.clone(), failed.effect.visit));
        match failed.open {
            // The key and the bytes stay, the limits begin anew.
            Some(open) if open.maybe_done() && failed.code != fault::OUTCOME_UNKNOWN => {
                self.open.insert(failed.effect, open.anew());
            }
            // Refused for sure, or a person was asked and answers "again".
            _ => *self.retries.entry(failed.effect).or_default() += 1,
        }
    }

    /// What is known about an effect that is to be performed now; the entry is taken out.
    pub fn open(&mut self, effect: &EffectRef, now: Timestamp) -> Open {
        let mut open = if let Some(open) = self.open.remove(effect) {
            open
        } else if let Some(open) = self.unsettled.remove(&(effect.path.clone(), effect.visit)) {
            open.anew()
        } else if let Some(Open { attempts, since, .. }) = self.spent.remove(effect) {
            Open { attempts, answered: attempts, since, ..Open::new(now) }
        } else {
            Open::new(now)
        };
        open.since.get_or_insert(now);
        open
    }

    /// Which go at this effect the present one is.
    pub fn again(&self, effect: &EffectRef) -> Again {
        Again { pass: self.passes, retry: self.retries.get(effect).copied().unwrap_or(0) }
    }

    /// Keeps what is known about an effect that is under way.
    pub fn keep(&mut self, effect: &EffectRef, open: Open) {
        self.open.insert(effect.clone(), open);
    }

    /// The effect is over.
    pub fn forget(&mut self, effect: &EffectRef) {
        self.open.remove(effect);
    }

    /// The effect is awaited no longer. If it may have happened, another generation of it goes on with its key; the
    /// number of its attempt that nobody answered.
    pub fn overtake(&mut self, effect: &EffectRef) -> Option<u32> {
        let open = self.open.remove(effect).filter(Open::maybe_done)?;
        let unanswered = (open.attempts > open.answered).then_some(open.attempts);
        self.leave_unsettled(effect, open);
        unanswered
    }

    /// Keeps in mind that an effect ended with nobody knowing whether it happened.
    pub fn leave_unsettled(&mut self, effect: &EffectRef, open: Open) {
        self.unsettled.insert((effect.path.clone(), effect.visit), open);
    }
}

/// The event that a signal's name is of: a replayed event is told by its number, too.
pub fn event_of(name: &str) -> String {
    name.split('#').next().unwrap_or_default().to_owned()
}

/// A journal while it is read, entry by entry.
#[derive(Default)]
pub struct Reader {
    pub history: History,
    last_fault: Option<Failed>,
}

impl Reader {
    pub fn take(&mut self, entry: Entry) {
        self.history.take(entry, &mut self.last_fault);
    }

    /// Takes an entry of so many bytes; of a large result only the number is kept.
    pub fn take_sized(&mut self, n: u64, entry: Entry, bytes: usize) {
        if bytes <= ENTRY_KEPT_MAX {
            return self.take(entry);
        }
        let before = self.history.inputs.len();
        self.take(entry);
        if let Some(told) = self.history.inputs.get_mut(before) {
            *told = Told::Entry(n);
        }
    }
}

/// The last result, where it was a failure.
struct Failed {
    effect: EffectRef,
    code: String,
    open: Option<Open>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Fault;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn effect(path: &str) -> EffectRef {
        EffectRef { path: path.into(), visit: 1, generation: 0 }
    }

    fn started(seconds: i64) -> Entry {
        let (flow, version) = ("f".to_owned(), "1".to_owned());
        let (input, settings, manifests) = Default::default();
        Entry::Started { flow, version, input, settings, manifests, at: at(seconds) }
    }

    fn intent(path: &str, attempt: u32, request: Value, seconds: i64) -> Entry {
        let (key, operation) = (format!("key of {path}"), "o".to_owned());
        Entry::Intent { effect: effect(path), key, attempt, operation, request, at: at(seconds) }
    }

    fn attempted(path: &str, attempt: u32, unknown: bool, retry_at: Option<i64>) -> Entry {
        let problem = Fault::communication("no");
        Entry::Attempted {
            effect: effect(path),
            attempt,
            problem,
            unknown,
            settled: false,
            retry_at: retry_at.map(at),
            at: at(9),
        }
    }

    fn resolved(path: &str, outcome: Outcome) -> Entry {
        let (step, operation, input) = (String::new(), String::new(), Value::Null);
        let (attempts, started_at) = (1, at(0));
        Entry::Resolved {
            effect: effect(path),
            step,
            operation,
            input,
            outcome,
            attempts,
            started_at,
            at: at(9),
        }
    }

    fn fault(code: &str) -> Outcome {
        Outcome::Fault(Fault::coded(code, 500, "t", "d"))
    }

    fn finished() -> Entry {
        Entry::Finished { outcome: fault("x"), at: at(10) }
    }

    #[test]
    fn an_intent_without_an_answer_may_have_happened() {
        let table = [
            (vec![intent("a", 1, Value::Null, 1)], 1, true),
            (vec![intent("a", 1, Value::Null, 1), attempted("a", 1, false, Some(20))], 1, false),
            (vec![intent("a", 1, Value::Null, 1), attempted("a", 1, true, Some(20))], 1, true),
            (
                vec![
                    intent("a", 1, Value::Null, 1),
                    attempted("a", 1, false, Some(20)),
                    intent("a", 2, Value::Null, 20),
                ],
                2,
                true,
            ),
            // Once unknown, a later sure failure does not settle it.
            (
                vec![
                    intent("a", 1, Value::Null, 1),
                    attempted("a", 1, true, Some(20)),
                    intent("a", 2, Value::Null, 20),
                    attempted("a", 2, false, Some(30)),
                ],
                2,
                true,
            ),
        ];
        for (entries, attempts, maybe_done) in table {
            let open = History::read(entries.clone()).open(&effect("a"), at(50));
            assert_eq!((open.attempts, open.maybe_done()), (attempts, maybe_done), "{entries:?}");
        }
    }

    #[test]
    fn a_refusal_under_the_key_settles_what_was_unknown() {
        let mut entries = vec![intent("a", 1, Value::Null, 1), attempted("a", 1, true, Some(20))];
        entries.push(intent("a", 2, Value::Null, 20));
        let Entry::Attempted { effect, problem, at, .. } = attempted("a", 2, false, None) else { panic!() };
        let attempt = 2;
        entries.push(Entry::Attempted {
            effect,
            attempt,
            problem,
            unknown: false,
            settled: true,
            retry_at: None,
            at,
        });
        assert!(!History::read(entries.clone()).open(&super::tests::effect("a"), at).maybe_done());
        // The next attempt may happen again.
        entries.push(intent("a", 3, Value::Null, 30));
        assert!(History::read(entries).open(&super::tests::effect("a"), at).maybe_done());
    }

    #[test]
    fn a_repetition_keeps_the_first_bytes_and_the_first_time() {
        let mut history = History::read([
            started(0),
            intent("a", 1, "bytes".into(), 1),
            attempted("a", 1, true, Some(20)),
            intent("a", 2, Value::Null, 20),
        ]);
        let intent = history.open(&effect("a"), at(50)).intent.unwrap();
        assert_eq!(
            (intent.request, intent.sent_at, intent.key.as_str()),
            ("bytes".into(), at(1), "key of a")
        );
    }

    #[test]
    fn parked_is_what_ends_with_a_time_to_try_again() {
        assert!(History::read([started(0), attempted("a", 1, false, Some(20))]).parked);
        assert!(!History::read([started(0), attempted("a", 1, false, None)]).parked);
        assert!(
            !History::read([started(0), attempted("a", 1, false, Some(20)), intent("a", 2, Value::Null, 20)])
                .parked
        );
    }

    #[test]
    fn a_definite_failure_is_taken_back_when_the_run_goes_on() {
        let before =
            [started(0), resolved("a", Outcome::Output(Value::Null)), intent("b", 1, Value::Null, 1)];
        let mut history = History::read(before.into_iter().chain([
            attempted("b", 1, false, None),
            resolved("b", fault("no")),
            finished(),
        ]));
        assert!(history.retried);
        assert_eq!(history.inputs.len(), 1);
        assert_eq!(history.again(&effect("b")), Again { pass: 0, retry: 1 });
        assert_eq!(history.open(&effect("b"), at(50)), Open::new(at(50)));
    }

    #[test]
    fn an_unknown_failure_keeps_its_key_unless_a_person_was_asked() {
        for (code, kept, retry) in [("communication", true, 0), (fault::OUTCOME_UNKNOWN, false, 1)] {
            let mut history = History::read([
                started(0),
                intent("b", 1, "bytes".into(), 1),
                attempted("b", 1, true, None),
                resolved("b", super::tests::fault(code)),
                finished(),
            ]);
            assert_eq!(history.again(&effect("b")).retry, retry);
            let open = history.open(&effect("b"), at(50));
            assert_eq!((open.intent.is_some(), open.maybe_done()), (kept, kept), "{code}");
            assert_eq!(open.since, Some(at(50)));
        }
    }

    #[test]
    fn a_second_beginning_forgets_results_and_keeps_the_count_of_attempts() {
        let mut history = History::read([
            started(0),
            resolved("a", Outcome::Output(Value::Null)),
            attempted("b", 3, false, Some(20)),
            started(30),
        ]);
        assert_eq!((history.inputs.len(), history.passes), (0, 1));
        assert_eq!(history.started.as_ref().map(|started| started.at), Some(at(30)));
        let open = history.open(&effect("b"), at(50));
        assert_eq!((open.attempts, open.since, open.maybe_done()), (3, Some(at(9)), false));
    }
}
