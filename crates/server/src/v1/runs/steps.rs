//! A run's journal as a list of steps, in the order in which they began.

use flow::EffectRef;
use flow::journal::{Entry, Outcome};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One effect of a run.
struct Step {
    effect: EffectRef,
    step: String,
    operation: String,
    input: Value,
    request: Value,
    outcome: Option<Outcome>,
    attempts: u32,
    problems: Vec<Value>,
    retry_at: Option<Timestamp>,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
}

/// As much of a journal as one answer shows, in bytes as stored; past that, arguments, requests and outputs are left out,
/// and what became of each step stays.
const SHOWN_BYTES_MAX: usize = 16 << 20;

/// A journal as it is shown.
#[derive(Default)]
pub struct Journal {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Journal {
    /// Takes the next entry, of so many bytes.
    pub fn take(&mut self, mut entry: Entry, bytes: usize) {
        if self.bytes + bytes > SHOWN_BYTES_MAX {
            leave_out(&mut entry, bytes);
        } else {
            self.bytes += bytes;
        }
        self.entries.push(entry);
    }

    pub fn read(self) -> (Vec<Value>, Value) {
        read(self.entries.into_iter())
    }
}

/// Puts a word in the place of whatever may be large.
fn leave_out(entry: &mut Entry, bytes: usize) {
    let words = || Value::from(format!("({bytes} bytes that are not shown)"));
    match entry {
        Entry::Resolved { input, outcome, .. } => {
            *input = words();
            if let Outcome::Output(output) = outcome {
                *output = words();
            }
        }
        Entry::Intent { request, .. } if !request.is_null() => *request = words(),
        Entry::Heard { value: Some(value), .. } => *value = words().into(),
        _ => {}
    }
}

/// The steps, and the output of a run that is over (null otherwise).
fn read(journal: impl Iterator<Item = Entry>) -> (Vec<Value>, Value) {
    let mut steps: Vec<Step> = Vec::new();
    let mut output = Value::Null;
    for entry in journal {
        match entry {
            Entry::Started { .. } => {}
            Entry::Intent { effect, attempt, operation, request, at, .. } => {
                let step = entry_of(&mut steps, effect, at);
                step.operation = operation;
                // A repetition refers to the first one's bytes.
                if !request.is_null() {
                    step.request = request;
                }
                step.attempts = step.attempts.max(attempt);
            }
            Entry::Attempted { effect, attempt, problem, unknown, retry_at, at, .. } => {
                let step = entry_of(&mut steps, effect, at);
                step.attempts = step.attempts.max(attempt);
                step.retry_at = retry_at;
                step.problems
                    .push(json!({"attempt": attempt, "problem": problem, "unknown": unknown, "at": at}));
            }
            Entry::Resolved { effect, step: name, operation, input, outcome, attempts, started_at, at } => {
                let step = entry_of(&mut steps, effect, started_at);
                step.step = name;
                step.operation = operation;
                step.input = input;
                step.outcome = Some(outcome);
                step.attempts = step.attempts.max(attempts);
                step.started_at = started_at;
                step.finished_at = Some(at);
                step.retry_at = None;
            }
            Entry::Elapsed { effect, at } => {
                let step = entry_of(&mut steps, effect, at);
                step.operation = "wait".to_owned();
                step.outcome = Some(Outcome::Output(Value::Null));
                step.finished_at = Some(at);
            }
            // What a `listen` took so far; what it does with it are steps of their own.
            Entry::Heard { effect, value: Some(event), at, .. } => {
                let step = entry_of(&mut steps, effect, at);
                step.operation = "listen".to_owned();
                step.finished_at = Some(at);
                match &mut step.outcome {
                    Some(Outcome::Output(Value::Array(events))) => events.push(Value::clone(&event)),
                    outcome => *outcome = Some(Outcome::Output(json!([*event]))),
                }
            }
            Entry::Heard { .. } => {}
            Entry::Finished { outcome, .. } => {
                output = match outcome {
                    Outcome::Output(value) => value,
                    Outcome::Fault(_) => Value::Null,
                };
            }
        }
    }
    (steps.into_iter().map(document).collect(), output)
}

/// The effect's step; a retried run has an effect resolved twice: the later outcome is its outcome.
fn entry_of(steps: &mut Vec<Step>, effect: EffectRef, at: Timestamp) -> &mut Step {
    let index = match steps.iter().position(|step| step.effect == effect) {
        Some(index) => index,
        None => {
            steps.push(Step {
                step: last_name(&effect.path),
                effect,
                operation: String::new(),
                input: Value::Null,
                request: Value::Null,
                outcome: None,
                attempts: 0,
                problems: Vec::new(),
                retry_at: None,
                started_at: at,
                finished_at: None,
            });
            steps.len() - 1
        }
    };
    &mut steps[index]
}

/// A task's name: the end of its path.
fn last_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).replace("~1", "/").replace("~0", "~")
}

fn document(step: Step) -> Value {
    let took = step.finished_at.map(|end| end.duration_since(step.started_at).as_millis());
    let (status, output, error) = match step.outcome {
        None => ("running", Value::Null, Value::Null),
        Some(Outcome::Output(value)) => ("completed", value, Value::Null),
        Some(Outcome::Fault(fault)) => ("failed", Value::Null, json!(fault)),
    };
    json!({
        "step": step.step,
        "path": step.effect.path,
        "visit": step.effect.visit,
        "generation": step.effect.generation,
        // Of a read that was not answered yet only the place is known.
        "operation": Some(step.operation).filter(|operation| !operation.is_empty()),
        "status": status,
        "input": step.input,
        "request": step.request,
        "output": output,
        "error": error,
        "attempts": step.attempts,
        "problems": step.problems,
        "retry_at": step.retry_at,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "took_ms": took.and_then(|ms| i64::try_from(ms).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Fault;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn effect(path: &str) -> EffectRef {
        EffectRef { path: path.to_owned(), visit: 1, generation: 0 }
    }

    fn resolved(path: &str, outcome: Outcome, attempts: u32, from: i64, to: i64) -> Entry {
        Entry::Resolved {
            effect: effect(path),
            step: last_name(path),
            operation: "crm.contacts.create".to_owned(),
            input: json!({"name": "A"}),
            outcome,
            attempts,
            started_at: at(from),
            at: at(to),
        }
    }

    #[test]
    fn a_step_has_its_attempts_and_its_last_outcome() {
        let fault = Fault::communication("no route");
        let journal = vec![
            resolved("/do/0/read", Outcome::Output(json!(1)), 1, 0, 1),
            Entry::Intent {
                effect: effect("/do/1/write"),
                key: "tby_1".into(),
                attempt: 1,
                operation: "crm.contacts.create".into(),
                request: json!({"method": "POST"}),
                at: at(2),
            },
            Entry::Attempted {
                effect: effect("/do/1/write"),
                attempt: 1,
                problem: fault.clone(),
                unknown: true,
                settled: false,
                retry_at: Some(at(4)),
                at: at(3),
            },
            Entry::Intent {
                effect: effect("/do/1/write"),
                key: "tby_1".into(),
                attempt: 2,
                operation: "crm.contacts.create".into(),
                request: Value::Null,
                at: at(4),
            },
            resolved("/do/1/write", Outcome::Fault(fault.clone()), 2, 2, 5),
            Entry::Finished { outcome: Outcome::Fault(fault), at: at(5) },
            resolved("/do/1/write", Outcome::Output(json!({"id": 7})), 3, 8, 10),
            Entry::Finished { outcome: Outcome::Output(json!("done")), at: at(10) },
        ];
        let (steps, output) = read(journal.into_iter());
        assert_eq!(output, "done");
        assert_eq!(steps.len(), 2, "{steps:?}");
        let write = &steps[1];
        assert_eq!(write["status"], "completed");
        assert_eq!(write["attempts"], 3);
        assert_eq!(write["output"], json!({"id": 7}));
        assert_eq!(write["problems"][0]["unknown"], true);
        assert_eq!(write["took_ms"], 2000);
        assert_eq!(write["request"]["method"], "POST");
    }

    #[test]
    fn what_is_too_much_to_show_is_left_out() {
        let mut journal = Journal::default();
        for (place, bytes) in [(0, 100), (1, SHOWN_BYTES_MAX), (2, 200)] {
            journal.take(resolved(&format!("/do/{place}"), Outcome::Output(json!(place)), 1, 0, 1), bytes);
        }
        // What became of a step is told, whatever it weighs.
        let fault = Outcome::Fault(flow::Fault::runtime("no"));
        journal.take(resolved("/do/3", fault, 1, 0, 1), SHOWN_BYTES_MAX);
        let (steps, _) = journal.read();
        let outputs: Vec<&Value> = steps.iter().map(|step| &step["output"]).collect();
        let left_out = json!("(16777216 bytes that are not shown)");
        assert_eq!(outputs, [&json!(0), &left_out, &json!(2), &Value::Null]);
        assert_eq!((&steps[1]["input"], &steps[3]["input"]), (&left_out, &left_out));
        assert_eq!((&steps[3]["status"], &steps[3]["error"]["detail"]), (&json!("failed"), &json!("no")));
    }

    #[test]
    fn what_is_under_way_is_shown_as_such() {
        let journal = vec![Entry::Intent {
            effect: effect("/do/0/a~1b"),
            key: "tby_1".into(),
            attempt: 1,
            operation: "crm.contacts.create".into(),
            request: Value::Null,
            at: at(2),
        }];
        let (steps, output) = read(journal.into_iter());
        assert_eq!((steps[0]["status"].clone(), steps[0]["step"].clone()), (json!("running"), json!("a/b")));
        assert_eq!(output, Value::Null);
    }
}
