//! `data.map`: some calls at the same time, each with effects of its own, and the outputs in the order of the items.

use super::concurrent::{Stage, refused};
use super::*;
use serde_json::json;

fn calls(stage: &Stage) -> Vec<String> {
    let call = |effect: &Effect| match effect {
        Effect::Call { at, operation, with, .. } => format!("{} {operation} {with}", at.path),
        Effect::Wait { .. } | Effect::Listen { .. } => panic!("{effect:?}"),
    };
    stage.open.iter().map(call).collect()
}

const MAP: &str = "
do:
- all: {call: data.map, with: {items: '${ .ids }', concurrency: 2, call: a.get, with: {id: '${ $item.id }', nr: '${ $index }', same: '${ . == $item }'}}}
- sum: {set: {got: '${ . }', first: '${ $steps.all[0] }'}}
";

#[test]
fn so_many_at_once_and_the_outputs_in_order() {
    let mut stage = Stage::new(MAP, json!({"ids": [{"id": "x"}, {"id": "y"}, {"id": "z"}]}));
    assert_eq!(
        calls(&stage),
        [
            r#"/do/0/all/items/1/0/with a.get {"id":"x","nr":0,"same":true}"#,
            r#"/do/0/all/items/1/1/with a.get {"id":"y","nr":1,"same":true}"#,
        ]
    );
    stage.answer("/1/1/with", Ok(json!("Y")));
    assert_eq!(stage.paths(), ["/do/0/all/items/1/0/with", "/do/0/all/items/1/2/with"]);
    stage.answer("/1/2/with", Ok(json!("Z"))).answer("/1/0/with", Ok(json!("X")));
    assert_eq!(stage.output(), json!({"got": ["X", "Y", "Z"], "first": "X"}));
}

/// The order of the answers changes no effect's name: a replayed event repeats nothing.
#[test]
fn effects_are_named_by_the_item_whatever_comes_first() {
    let names = |order: &[&str]| {
        let mut stage = Stage::new(MAP, json!({"ids": [{"id": 0}, {"id": 1}, {"id": 2}, {"id": 3}]}));
        let mut seen = std::collections::BTreeSet::new();
        for path in order {
            seen.extend(calls(&stage));
            stage.answer(&format!("{path}/with"), Ok(json!(1)));
        }
        assert!(!stage.machine.is_running());
        seen
    };
    let one = names(&["/1/0", "/1/1", "/1/2", "/1/3"]);
    assert_eq!(one, names(&["/1/1", "/1/2", "/1/3", "/1/0"]));
    assert_eq!(one.len(), 4);
}

#[test]
fn a_fault_ends_the_others_or_stays_in_its_place() {
    let items = json!({"ids": [{"id": "x"}, {"id": "y"}, {"id": "z"}]});
    let mut stage = Stage::new(MAP, items.clone());
    stage.answer("/1/1/with", Err(refused(404)));
    assert!(stage.open.is_empty());
    let fault = stage.fault();
    assert_eq!((fault.status, fault.instance.as_deref()), (404, Some("/do/0/all/items/1/1/with")));
    let mut stage = Stage::new(&MAP.replace("concurrency: 2", "onError: keep"), items);
    stage.answer("/1/1/with", Err(refused(404))).answer("/1/0/with", Ok(json!(1)));
    stage.answer("/1/2/with", Ok(json!(null)));
    let output = stage.output();
    assert_eq!((&output["got"][0], &output["got"][2]), (&json!({"output": 1}), &json!({"output": null})));
    assert_eq!(output["got"][1]["error"]["status"], 404);
}

#[test]
fn nothing_to_go_over_and_nothing_that_can_be_gone_over() {
    assert_eq!(Stage::new(MAP, json!({"ids": []})).output()["got"], json!([]));
    let fault = Stage::new(MAP, json!({"ids": {"a": 1}})).fault();
    assert!(fault.detail.contains("`items` must give a list"), "{}", fault.detail);
    let many: Vec<u32> = (0..=10_000).collect();
    assert!(Stage::new(MAP, json!({"ids": many})).fault().detail.contains("at most 10000 items"));
}

/// Functions of several tasks, in a loop, with a `try` inside and around: every effect has a name of its own.
#[test]
fn functions_go_over_items_too() {
    let mut stage = Stage::new(
        "
use:
  functions:
    both:
      do:
      - read: {call: a.read, with: {n: '${ .n }'}}
      - guard:
          try: [{write: {call: a.write, with: {n: '${ $steps.read }'}}}]
          catch: {errors: {with: {status: 503}}, retry: {delay: PT0S, limit: {attempt: {count: 2}}}}
do:
- twice:
    for: {each: round, in: '[1, 2]'}
    do:
    - all: {call: data.map, with: {items: '[$round, 10]', call: both, with: {n: '${ $item }'}}}
",
        json!({}),
    );
    let mut seen = std::collections::BTreeSet::new();
    let mut refuse = true;
    while stage.machine.is_running() {
        let Effect::Call { at, operation, with, .. } = stage.open[0].clone() else { panic!("a wait") };
        assert!(seen.insert((at.path.clone(), at.visit, at.generation)), "{at:?} is asked for twice");
        if operation == "a.write" {
            let read = at.path.replace("do/1/guard/try/0/write", "do/0/read");
            assert_eq!(with["n"], read, "what it reads is of its own item");
        }
        let fails = operation == "a.write" && std::mem::replace(&mut refuse, false);
        let outcome = if fails { Err(refused(503)) } else { Ok(json!(at.path.clone())) };
        stage.answer(&at.path, outcome);
    }
    assert_eq!(seen.len(), 9, "two rounds of two items, each read and written, and one repetition");
    let last = "/do/0/twice/do/0/all/items/2/1/with/call/both/do/1/guard/try/0/write".to_owned();
    assert!(seen.contains(&(last, 1, 0)), "{seen:#?}");
    let again = "/do/0/twice/do/0/all/items/1/0/with/call/both/do/1/guard/try/0/write".to_owned();
    assert!(seen.contains(&(again, 1, 1)), "{seen:#?}");
}
