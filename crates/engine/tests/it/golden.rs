//! Journals as each release wrote them: they decode, ask for the same effects, and lead to the same end from any
//! part of them, for ever.
//!
//! `golden/<release>/<case>.json` holds a flow, its journal, what the vendor was asked meanwhile, and the end.
//! `cargo xtask gen` adds those of this release that are missing; a file that is there is never written again.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow::journal::{Entry, Outcome};
use flow::{Effect, Input, Machine, RunId, Start, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::RunStatus;

use crate::recovery::cases::{Case, Unsure, cases};
use crate::recovery::life::{End, Life, take_up, told, undisturbed};
use crate::vendor::Past;
use crate::world::run;

/// A file.
#[derive(Serialize, Deserialize)]
struct Golden {
    case: String,
    document: String,
    data: Value,
    unsure: Unsure,
    #[serde(default)]
    decides: Option<String>,
    #[serde(default)]
    afresh: bool,
    /// Entries as they were written.
    journal: Vec<Value>,
    /// What the vendor was asked, and what went wrong with it.
    asked: Vec<Past>,
    /// What was true at the vendor's in the end.
    vendor: Value,
    status: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// `0.1` of `0.1.7`: what a release writes does not change within it.
fn this_release() -> String {
    env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0.to_owned()
}

fn files() -> Vec<(String, Golden)> {
    let mut files = Vec::new();
    for release in fs::read_dir(directory()).unwrap() {
        for file in fs::read_dir(release.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let golden = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.push((path.display().to_string(), golden));
        }
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files
}

fn entries(golden: &Golden) -> Vec<Entry> {
    let decode = |entry: &Value| {
        serde_json::from_value(entry.clone())
            .unwrap_or_else(|error| panic!("{}: {error}: {entry}", golden.case))
    };
    golden.journal.iter().map(decode).collect()
}

/// Whether `new` says everything that `old` said.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(name, value)| new.get(name).is_some_and(|new| keeps(value, new)))
        }
        _ => old == new,
    }
}

#[test]
fn old_entries_decode_and_say_the_same_when_written_again() {
    let files = files();
    assert!(!files.is_empty());
    for (path, golden) in files {
        for (old, entry) in golden.journal.iter().zip(entries(&golden)) {
            let new = serde_json::to_value(&entry).unwrap();
            assert!(keeps(old, &new), "{path}:\n{old}\n{new}");
        }
    }
}

/// Feeds a journal's passes to fresh machines: each asks for the very effects whose results follow.
#[test]
fn old_journals_ask_for_the_same_effects() {
    for (path, golden) in files() {
        let document = flow::Document::parse("flow.yaml", &golden.document)
            .unwrap_or_else(|found| panic!("{path}: {found:?}"));
        let document = Arc::new(document);
        let mut machine: Option<(Machine, VecDeque<Effect>)> = None;
        for entry in entries(&golden) {
            match entry {
                Entry::Started { input, settings, at, .. } => {
                    let run = RunId::new("run_golden");
                    let start = Start { document: document.clone(), run, input, settings, started_at: at };
                    let (started, effects) = Machine::start(start);
                    machine = Some((started, effects.into()));
                }
                Entry::Finished { outcome, .. } => {
                    let status = machine.as_ref().unwrap().0.status();
                    let expected = match outcome {
                        Outcome::Output(output) => Status::Completed(output),
                        Outcome::Fault(fault) => Status::Failed(fault),
                    };
                    assert_eq!(status, expected, "{path}");
                }
                entry => {
                    let (machine, effects) = machine.as_mut().unwrap();
                    let place = check_asked(&path, &entry, effects);
                    if let Some(input) = entry.replay() {
                        // A `listen` hears more than once.
                        if !matches!(input, Input::Heard { .. }) {
                            effects.remove(place);
                        }
                        effects.extend(machine.advance(input));
                        effects.retain(|effect| machine.awaits(effect.at()));
                    }
                }
            }
        }
    }
}

/// Which of the effects that are asked for the entry is about; branches ask for several.
fn check_asked(path: &str, entry: &Entry, effects: &VecDeque<Effect>) -> usize {
    let (Entry::Resolved { effect, .. }
    | Entry::Elapsed { effect, .. }
    | Entry::Heard { effect, .. }
    | Entry::Intent { effect, .. }
    | Entry::Attempted { effect, .. }) = entry
    else {
        panic!("{path}: {entry:?} is about no effect")
    };
    let place = effects.iter().position(|asked| asked.at() == effect);
    let place = place.unwrap_or_else(|| panic!("{path}: nothing is asked for at {entry:?}"));
    let asked = &effects[place];
    match (entry, asked) {
        (
            Entry::Resolved { effect, operation, input, .. },
            Effect::Call { at, operation: asked, with, .. },
        ) => assert_eq!((effect, operation, input), (at, asked, with), "{path}"),
        (Entry::Elapsed { effect, .. }, Effect::Wait { at, .. })
        | (Entry::Heard { effect, .. }, Effect::Listen { at, .. }) => assert_eq!(effect, at, "{path}"),
        (Entry::Intent { effect, operation, .. }, Effect::Call { at, operation: asked, .. }) => {
            assert_eq!((effect, operation), (at, asked), "{path}");
        }
        (Entry::Attempted { effect, .. }, Effect::Call { at, .. }) => assert_eq!(effect, at, "{path}"),
        _ => panic!("{path}: {entry:?} answers {asked:?}"),
    }
    place
}

/// A node of today takes up a run of then, wherever it was.
#[test]
fn old_journals_lead_to_the_same_end_from_any_part() {
    for (_, golden) in files() {
        let (case, life) = of(&golden);
        for length in 0..life.journal.len() {
            run(take_up(&case, &life, length));
        }
    }
}

/// The case and the life that a file holds.
fn of(golden: &Golden) -> (Case, Life) {
    let journal = entries(golden);
    let met = golden.asked.iter().filter_map(|past| Some((past.line.clone(), past.trouble.clone()?)));
    let case = Case {
        name: golden.case.clone(),
        document: golden.document.clone(),
        data: golden.data.clone(),
        troubles: met.collect(),
        unsure: golden.unsure,
        decides: golden.decides.clone(),
        afresh: golden.afresh,
    };
    let (mut results, mut outcome) = (BTreeMap::new(), None);
    for entry in &journal {
        match entry {
            Entry::Resolved { effect, outcome, .. } => {
                results.insert(effect.clone(), told(outcome));
            }
            Entry::Finished { outcome: found, .. } => outcome = Some(found.clone()),
            _ => {}
        }
    }
    let end = End {
        vendor: golden.vendor.clone(),
        status: RunStatus::parse(&golden.status).expect("a status"),
        outcome: outcome.expect("an end"),
        results,
    };
    (case, Life { journal, past: golden.asked.clone(), end, commits: (0, 0) })
}

/// `cargo xtask gen` has it write what is missing; what is there stays as it is.
#[test]
fn every_case_has_its_journal_of_this_release() {
    let here = directory().join(this_release());
    let path_of = |case: &Case| here.join(format!("{}.json", case.name));
    if std::env::var_os("TRIBUTARY_GEN").is_some() {
        fs::create_dir_all(&here).unwrap();
        for case in cases() {
            let path = path_of(&case);
            if !path.exists() {
                write(case, &path);
            }
        }
    }
    let missing: Vec<String> =
        cases().into_iter().filter(|case| !path_of(case).is_file()).map(|case| case.name).collect();
    assert!(missing.is_empty(), "`cargo xtask gen` writes {missing:?}");
}

/// Lives a case undisturbed and keeps its journal.
fn write(case: Case, path: &Path) {
    let life = run(undisturbed(&case));
    let golden = Golden {
        journal: life.journal.iter().map(|entry| json!(entry)).collect(),
        asked: life.past,
        vendor: life.end.vendor,
        status: life.end.status.as_str().to_owned(),
        case: case.name,
        document: case.document,
        data: case.data,
        unsure: case.unsure,
        decides: case.decides,
        afresh: case.afresh,
    };
    fs::write(path, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
}
