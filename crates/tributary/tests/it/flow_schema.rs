//! `tributary flow schema`, by a validator that is not ours.

use std::process::Command;

use serde_json::{Map, Value, json};

use crate::clients;

fn value(name: &str, text: &str) -> Value {
    flow::yaml::parse(name, text).unwrap().to_value()
}

#[tokio::test]
async fn another_validator_takes_the_templates_and_refuses_mistakes_in_them() {
    let printed =
        Command::new(env!("CARGO_BIN_EXE_tributary")).args(["flow", "schema", "--json"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let (mut good, mut bad) = (Map::new(), Vec::new());
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    for entry in std::fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".test.yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("call:", "cal:"), ("connection:", "conection:"), ("dsl:", "dls:"), (".list", ".lst")]
        {
            if text.contains(from) {
                bad.push(value(&name, &text.replace(from, to)));
            }
        }
        good.insert(name.clone(), value(&name, &text));
    }
    let directory = tempfile::tempdir().unwrap();
    let cases = directory.path().join("cases.json");
    std::fs::write(&cases, json!({"schema": schema, "good": good, "bad": bad}).to_string()).unwrap();
    let told = clients::ensure().await.python("flow_schema.py", &[("CASES", cases.to_str().unwrap())]).await;
    let counts: Vec<usize> = told.split_whitespace().map(|count| count.parse().unwrap()).collect();
    assert!(counts[0] >= 3 && counts[1] >= 9, "{told}");
}
