//! `tributary verify` as scripts use it.

use std::process::{Command, Output};

use serde_json::Value;

fn verify(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tributary")).arg("verify").args(arguments).output().unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = verify(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}

#[test]
fn the_document_says_what_converged_and_what_was_injected() {
    let output = verify(&["failed-payment-alert", "--seeds", "3", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 1), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(names, ["target", "seeds", "passed", "failed", "seeds_per_s", "injected"]);
    assert_eq!((&document["passed"], &document["failed"]), (&3.into(), &Value::Array(Vec::new())));
    assert!(document["injected"]["crashes"].as_u64().unwrap() >= 15, "{document}");
}

#[test]
fn a_flow_that_does_not_converge_is_told_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("refused.yaml");
    // A text and a number do not add up: the fact's key cannot be worked out, with faults or without.
    let template = include_str!("../../../../templates/failed-payment-alert.yaml");
    std::fs::write(&file, template.replace("tostring) }\nschedule", "tostring) + 1 }\nschedule")).unwrap();
    let output = verify(&[&file.display().to_string(), "--seeds", "1", "--faults", "none", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{document}");
    let failure = &document["failed"][0];
    assert_eq!((&failure["seed"], &failure["faults"]), (&1.into(), &Value::Array(Vec::new())));
    assert_eq!(failure["invariant"], "run_completed");
    assert!(failure["timeline"].as_array().is_some_and(|lines| !lines.is_empty()), "{document}");
}

/// Flows that belong together, held to what they promise.
#[test]
fn flows_stand_beside_each_other() {
    let exercise = |name: &str| format!("{}/../sim/exercises/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let (parent, child, failing) = (exercise("parent"), exercise("child"), exercise("failing"));
    let beside = [parent.as_str(), "--with", &child, "--with", &failing, "--seed", "1", "--json"];
    let output = verify(&beside);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["passed"]), (Some(0), &1.into()), "{document}");
    // Nobody is there to be started.
    let document: Value =
        serde_json::from_slice(&verify(&[&parent, "--seed", "1", "--json"]).stdout).unwrap();
    assert_eq!(document["failed"][0]["invariant"], "run_completed", "{document}");
    refused(&[&parent, "--with", &parent], &["parent.yaml", "given twice"]);
}

#[test]
fn a_seed_is_the_same_life_in_every_process() {
    let arguments = ["stripe-to-chartmogul", "--seed", "2", "--trace"];
    let lines = || -> Vec<String> {
        let text = String::from_utf8(verify(&arguments).stdout).unwrap();
        // The last two lines tell how long it took.
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[..lines.len() - 2].to_vec()
    };
    let (first, second) = (lines(), lines());
    assert!(first.len() > 1_000, "{}", first.len());
    assert_eq!(first, second);
}

#[test]
fn what_cannot_be_verified_is_refused_with_a_remedy() {
    refused(&["stripe-to-chartmogl"], &["stripe-to-chartmogul"]);
    refused(&["nowhere/flow.yaml"], &["cannot read"]);
    refused(&["stripe-to-chartmogul", "--faults", "crash,fire"], &["`fire`", "crash", "power", "clock"]);
    refused(&["stripe-to-chartmogul", "--trace"], &["--seed"]);
    refused(&["stripe-to-chartmogul", "--seeds", "0"], &["--seeds"]);
}
