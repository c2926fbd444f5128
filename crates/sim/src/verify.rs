//! A verdict on one seed: its life, and what is wrong with it, told by the fewest faults that show it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::check::Violation;
use crate::fault::{Fault, Kind};
use crate::live::{Lived, Numbers, live};
use crate::plan::{self, Plan};
use crate::shrink::shrink;
use crate::target::{Meaning, Target};
use crate::{Broken, Setting};

/// Lines of a timeline at most; a whole life is told by its trace.
const TIMELINE_MAX: usize = 120;
/// Violations of the rule that are told.
const VIOLATIONS_MAX: usize = 3;
/// Lines around a fault that a timeline shows.
const AROUND: usize = 2;

/// What came of a seed.
#[derive(Debug)]
pub struct Verdict {
    pub seed: u64,
    /// What was injected, by kind, in the life as the seed drew it.
    pub injected: BTreeMap<Kind, u64>,
    pub numbers: Numbers,
    /// The whole life, if it was asked for.
    pub trace: Vec<String>,
    pub failure: Option<Failure>,
}

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub seed: u64,
    /// The fewest faults that it takes, as text.
    pub faults: Vec<String>,
    /// The rule that is broken first.
    pub invariant: String,
    /// What happened, line by line, in simulated time.
    pub timeline: Vec<String>,
}

/// Lives a seed's life under faults of these kinds, and judges it. `traced`: the life is told whole, and not shrunk.
///
/// # Errors
/// When the simulation itself cannot go on.
pub fn verify(
    setting: &Setting,
    target: &Target,
    seed: u64,
    kinds: &BTreeSet<Kind>,
    traced: bool,
) -> Result<Verdict, Broken> {
    let start = twins::life::Config::new(seed, setting.customers, setting.days).start;
    let plan = plan::plan(seed, kinds, start, u64::from(setting.days));
    verify_plan(setting, target, seed, &plan, traced)
}

/// The same under faults of one's own choice.
///
/// # Errors
/// When the simulation itself cannot go on.
pub fn verify_plan(
    setting: &Setting,
    target: &Target,
    seed: u64,
    plan: &Plan,
    traced: bool,
) -> Result<Verdict, Broken> {
    let judge = Judge::new(setting, target, seed)?;
    let lived = judge.live(plan, traced)?;
    let failure = match lived.violations.first() {
        None => None,
        Some(first) if traced => Some(Failure {
            seed,
            faults: lived.struck.iter().map(ToString::to_string).collect(),
            invariant: first.invariant.to_owned(),
            timeline: lived.violations.iter().map(ToString::to_string).collect(),
        }),
        Some(first) => Some(judge.shrunk(plan, &lived, first)?),
    };
    Ok(Verdict { seed, injected: lived.counts, numbers: lived.numbers, trace: lived.trace, failure })
}

/// Judges lives of one seed.
struct Judge<'a> {
    setting: &'a Setting,
    target: &'a Target,
    seed: u64,
    /// For a flow of unknown meaning: how its life ends without faults.
    undisturbed: Option<Lived>,
}

impl<'a> Judge<'a> {
    fn new(setting: &'a Setting, target: &'a Target, seed: u64) -> Result<Judge<'a>, Broken> {
        let undisturbed = match target.meaning {
            Meaning::Own => {
                let none = Plan { nodes: 1, faults: Vec::new() };
                Some(live(setting, target, seed, &none, false)?)
            }
            _ => None,
        };
        Ok(Judge { setting, target, seed, undisturbed })
    }

    fn live(&self, plan: &Plan, traced: bool) -> Result<Lived, Broken> {
        let mut lived = live(self.setting, self.target, self.seed, plan, traced)?;
        if let Some(undisturbed) = &self.undisturbed {
            compare(self.target, undisturbed, &mut lived);
        }
        Ok(lived)
    }

    /// The failure with the fewest faults that still break the same rule.
    fn shrunk(&self, plan: &Plan, lived: &Lived, first: &Violation) -> Result<Failure, Broken> {
        let with = |faults: &[Fault]| Plan { nodes: plan.nodes, faults: faults.to_vec() };
        let broken = |lived: &Lived| lived.violations.iter().any(|one| one.invariant == first.invariant);
        let faults = shrink(lived.struck.clone(), |faults| Ok(broken(&self.live(&with(faults), false)?)))?;
        let told = self.live(&with(&faults), true)?;
        let violations: Vec<&Violation> =
            told.violations.iter().filter(|one| one.invariant == first.invariant).collect();
        Ok(Failure {
            seed: self.seed,
            faults: faults.iter().map(ToString::to_string).collect(),
            invariant: first.invariant.to_owned(),
            timeline: timeline(&told.trace, &violations),
        })
    }
}

/// A state flow of unknown meaning ends where it ends without faults.
fn compare(target: &Target, undisturbed: &Lived, lived: &mut Lived) {
    let latest = target.document.concurrency().is_some_and(|lane| lane.mode == flow::Mode::Latest);
    if latest && undisturbed.end != lived.end {
        let differences = differences(&undisturbed.end, &lived.end);
        if !lived.trace.is_empty() {
            lived.trace.extend(differences.iter().map(|one| format!("VIOLATION {one}")));
        }
        lived.violations.extend(differences);
    }
}

fn differences(expected: &Value, found: &Value) -> Vec<Violation> {
    let mut all = Vec::new();
    let names = |value: &Value| -> BTreeSet<String> {
        value["customers"].as_object().into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    for name in names(expected).union(&names(found)) {
        let (ours, theirs) = (&expected["customers"][name], &found["customers"][name]);
        if ours != theirs {
            all.push(Violation::new("end_state", name, ours.clone(), theirs.clone()));
        }
    }
    let (ours, theirs) = (counted(&expected["messages"]), counted(&found["messages"]));
    let messages: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for message in messages {
        let [ours, theirs] = [&ours, &theirs].map(|counts| counts.get(message).copied().unwrap_or_default());
        if ours != theirs {
            all.push(Violation::new("end_state", format!("times of {message}"), json!(ours), json!(theirs)));
        }
    }
    all
}

/// How often each of a list is in it.
fn counted(list: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for one in list.as_array().into_iter().flatten() {
        *counts.entry(one.to_string()).or_default() += 1;
    }
    counts
}

/// The lines of a trace that tell of the faults and of what is wrong, and a little around each fault.
fn timeline(trace: &[String], violations: &[&Violation]) -> Vec<String> {
    let about: Vec<String> =
        violations.iter().take(VIOLATIONS_MAX).flat_map(|one| ids(&one.to_string())).collect();
    let mut shown = BTreeSet::new();
    for (index, line) in trace.iter().enumerate() {
        if line.contains("FAULT") || line.contains("is off") || line.contains("is gone") {
            shown.extend(index.saturating_sub(AROUND)..=(index + AROUND).min(trace.len() - 1));
        }
        let wrong =
            violations.iter().take(VIOLATIONS_MAX).any(|one| line.ends_with(&format!("VIOLATION {one}")));
        if wrong || about.iter().any(|id| line.contains(id)) {
            shown.insert(index);
        }
    }
    let lines: Vec<&usize> = shown.iter().collect();
    let skipped = lines.len().saturating_sub(TIMELINE_MAX);
    let head = lines.iter().take(TIMELINE_MAX / 2);
    let tail = lines.iter().skip((TIMELINE_MAX / 2).max(lines.len().saturating_sub(TIMELINE_MAX / 2)));
    let mut timeline: Vec<String> = head.map(|index| trace[**index].clone()).collect();
    if skipped > 0 {
        timeline.push(format!("… {skipped} lines left out; --seed N --trace tells all"));
    }
    timeline.extend(tail.map(|index| trace[**index].clone()));
    timeline
}

/// Ids of events, customers and runs in a text.
fn ids(text: &str) -> Vec<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let prefixes = ["evt_", "cus_", "run_", "sub_", "in_"];
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Violation, differences, timeline};

    #[test]
    fn what_differs_at_the_end_is_told_one_by_one() {
        let state = |name: &str, messages: &[&str]| json!({"customers": {"cus_1": {"name": name}}, "messages": messages});
        let all = differences(&state("Ada", &["a", "b", "b"]), &state("Bob", &["b", "c"]));
        let told: Vec<String> = all.iter().map(ToString::to_string).collect();
        let expected = [
            r#"end_state: cus_1: expected {"name":"Ada"}, found {"name":"Bob"}"#,
            r#"end_state: times of "a": expected 1, found 0"#,
            r#"end_state: times of "b": expected 2, found 1"#,
            r#"end_state: times of "c": expected 0, found 1"#,
        ];
        assert_eq!(told, expected);
        assert!(differences(&state("Ada", &["a", "b"]), &state("Ada", &["a", "b"])).is_empty());
    }

    #[test]
    fn a_timeline_tells_of_faults_and_of_what_is_wrong() {
        let mut trace: Vec<String> = (0..400).map(|number| format!("line {number}")).collect();
        trace[200] = "FAULT crash".to_owned();
        trace[300] = "delivered: evt_7".to_owned();
        let violation = Violation::new("acknowledged", "evt_7", json!(1), json!(0));
        let lines = timeline(&trace, &[&violation]);
        let expected = ["line 198", "line 199", "FAULT crash", "line 201", "line 202", "delivered: evt_7"];
        assert_eq!(lines, expected);
    }
}
