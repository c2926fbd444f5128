//! Slack, beside npm `@slack/web-api`: every operation that it has. The client sends each method as a form, with JSON where a
//! value is not plain; ours are GETs and JSON, which Slack takes alike. So methods and arguments are compared, not bytes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connect::{Kind, Operation};
use serde_json::{Map, Value, json};

use super::{Case, catalog, told};

/// Arguments by name.
type Arguments = BTreeMap<String, Value>;

/// Something for every argument of an operation.
fn everything(operation: &Operation) -> Value {
    let value = |kinds: &[Kind], name: &str| match (name, kinds.first()) {
        ("metadata", _) => json!({"event_type": "deal", "event_payload": {"id": 7}}),
        (_, Some(Kind::Integer)) => json!(7),
        (_, Some(Kind::Boolean)) => json!(true),
        (_, Some(Kind::Array)) => {
            json!([{"type": "divider"}, {"type": "section", "text": {"type": "mrkdwn", "text": "a&b=c é"}}])
        }
        (_, Some(Kind::Object)) => json!({"a": [1, "b"]}),
        _ => json!("a b&c=é"),
    };
    let params = operation.params.iter();
    let given = |param: &connect::Param| match param.choices.first() {
        Some(choice) => choice.clone(),
        None => value(&param.kinds, &param.name),
    };
    Value::Object(params.map(|param| (param.name.clone(), given(param))).collect::<Map<_, _>>())
}

fn form(text: &[u8]) -> Arguments {
    url::form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), plain(Value::String(value.into_owned()))))
        .collect()
}

/// JSON in a text is what it says, and so are numbers and truths.
fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

fn theirs(sent: &Value) -> (String, Arguments) {
    let path = sent["path"].as_str().unwrap_or_default().to_owned();
    (path, form(&STANDARD.decode(sent["body"].as_str().unwrap_or_default()).unwrap()))
}

fn ours(manifest: &connect::Manifest, case: &Case<'_>) -> (String, Arguments) {
    let prepared = connect::prepare(manifest, case.operation, &case.params, "tby_same").unwrap();
    let mut all = form(prepared.query.as_bytes());
    let body: Value = serde_json::from_slice(&prepared.bytes().unwrap()).unwrap_or_default();
    all.extend(
        body.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), plain(value.clone()))),
    );
    // What our messages are found again by.
    if let Some(payload) = all.get_mut("metadata").and_then(|all| all["event_payload"].as_object_mut()) {
        payload.shift_remove("tributary_key");
    }
    (prepared.path, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_arguments_are_those_of_the_official_client() {
    let catalog = catalog();
    let slack = catalog.get("slack").unwrap();
    let case = |operation| Case { operation, ids: Vec::new(), params: everything(operation) };
    // An upload is three of the client's requests (`twins_slack` compares what comes of them), and `view` is another
    // argument here.
    let other = ["slack.files.upload", "slack.views.open"];
    let single = slack.operations().filter(|operation| !other.contains(&operation.name.as_str()));
    let cases: Vec<_> = single.map(case).collect();
    assert!(cases.len() >= 19, "{}", cases.len());
    let told = told(&cases, "slack_requests.mjs").await;
    for (case, sent) in cases.iter().zip(told["sent"].as_array().unwrap()) {
        assert_eq!(sent["error"], Value::Null, "{}", case.operation.name);
        assert_eq!(ours(slack, case), theirs(sent), "{}", case.operation.name);
    }
}
