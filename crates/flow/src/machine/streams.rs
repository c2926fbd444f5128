//! Streams: a page is asked for when the one before is done with, and nothing else sees them.

use super::concurrent::{Stage, refused};
use super::*;
use serde_json::json;

const EACH: &str = "
do:
- list: {call: a.things.list, with: {kind: new, page: stream}}
- each:
    for: {each: it, in: '${ $steps.list.items }', at: place}
    do: [{write: {call: a.write, with: {id: '${ $it }', place: '${ $place }'}}}]
- last: {set: {last: '${ $steps.write }'}}
";

fn page(items: Value, next: Option<&str>) -> Result<Value, Fault> {
    Ok(json!({"items": items, "more": next.is_some(), "next": next}))
}

/// The one call that is open, in short.
fn asked(stage: &Stage) -> String {
    match stage.open.as_slice() {
        [Effect::Call { at, operation, with, .. }] => {
            format!("{} {}.{} {operation} {with}", at.path, at.visit, at.generation)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_is_asked_for_when_the_one_before_is_done_with() {
    let mut stage = Stage::new(EACH, json!({}));
    assert_eq!(asked(&stage), r#"/do/1/each/pages 1.0 a.things.list {"kind":"new","page":"first"}"#);
    stage.answer("/pages", page(json!(["x", "y"]), Some("c1")));
    assert_eq!(asked(&stage), r#"/do/1/each/do/0/write 1.0 a.write {"id":"x","place":0}"#);
    stage.answer("/write", Ok(json!(1))).answer("/write", Ok(json!(2)));
    assert_eq!(
        asked(&stage),
        r#"/do/1/each/pages 1.1 a.things.list {"kind":"new","page":"first","cursor":"c1"}"#
    );
    // A page may be empty, and not the last.
    stage.answer("/pages", page(json!([]), Some("c2")));
    assert!(asked(&stage).ends_with(r#""cursor":"c2"}"#), "{}", asked(&stage));
    stage.answer("/pages", page(json!(["z"]), None));
    assert_eq!(asked(&stage), r#"/do/1/each/do/0/write 3.0 a.write {"id":"z","place":2}"#);
    stage.answer("/write", Ok(json!(3)));
    assert_eq!(stage.output(), json!({"last": 3}));
}

#[test]
fn pages_can_be_gone_over_whole() {
    let mut stage = Stage::new(&EACH.replace(".items", ".pages"), json!({}));
    stage.answer("/pages", page(json!(["x", "y"]), Some("c1")));
    assert!(asked(&stage).ends_with(r#"{"id":["x","y"],"place":0}"#), "{}", asked(&stage));
    stage.answer("/write", Ok(json!(1))).answer("/pages", page(json!(["z"]), None));
    assert!(asked(&stage).ends_with(r#"{"id":["z"],"place":1}"#), "{}", asked(&stage));
}

#[test]
fn a_condition_ends_it_before_the_next_page() {
    let tasks = EACH.replace("    do: [", "    while: $it != \"y\"\n    do: [");
    let mut stage = Stage::new(&tasks, json!({}));
    stage.answer("/pages", page(json!(["x", "y"]), Some("c1"))).answer("/write", Ok(json!(1)));
    assert_eq!(stage.output(), json!({"last": 1}));
}

#[test]
fn what_goes_wrong_with_a_page_is_a_fault_of_what_goes_over_it() {
    let caught = "
do:
- list: {call: a.things.list, with: {page: stream}}
- guard:
    try:
    - each: {for: {each: it, in: '${ $steps.list.items }'}, do: [{write: {call: a.write, with: {id: '${ $it }'}}}]}
    catch: {as: why, do: [{tell: {set: '${ $why.detail }'}}]}
";
    let ends = |answers: &[Result<Value, Fault>]| {
        let mut stage = Stage::new(caught, json!({}));
        for answer in answers {
            stage.answer("/pages", answer.clone());
        }
        stage.output()
    };
    assert_eq!(ends(&[Err(refused(404))]), "no");
    for (answers, says) in [
        (vec![page(json!([]), Some("c1")), page(json!([]), Some("c1"))], "came back"),
        (vec![Ok(json!({"items": [], "more": true, "next": null}))], "no cursor"),
        (vec![Ok(json!({"id": 1}))], "no page of a list"),
    ] {
        let output = ends(&answers);
        assert!(output.as_str().is_some_and(|text| text.contains(says)), "{output}");
    }
}

/// A `try` that begins again reads the list again, by effects of its own.
#[test]
fn a_repetition_begins_at_the_first_page() {
    let mut stage = Stage::new(
        "
do:
- guard:
    try:
    - list: {call: a.things.list, with: {page: stream}}
    - each: {for: {each: it, in: '${ $steps.list.items }'}, do: [{write: {call: a.write, with: {id: '${ $it }'}}}]}
    catch: {errors: {with: {status: 503}}, retry: {delay: PT0S, limit: {attempt: {count: 2}}}}
",
        json!({}),
    );
    stage.answer("/pages", page(json!(["x"]), Some("c1"))).answer("/write", Ok(json!(1)));
    stage.answer("/pages", Err(refused(503)));
    while let [Effect::Wait { at, until }] = stage.open.as_slice() {
        let (at, now) = (at.clone(), *until);
        stage.open = stage.machine.advance(Input::Elapsed { at, now });
    }
    assert_eq!(asked(&stage), r#"/do/0/guard/try/1/each/pages 1.2 a.things.list {"page":"first"}"#);
    stage.answer("/pages", page(json!(["x"]), None));
    assert_eq!(asked(&stage), r#"/do/0/guard/try/1/each/do/0/write 1.1 a.write {"id":"x"}"#);
}

#[test]
fn a_map_goes_over_a_stream_page_by_page() {
    let mut stage = Stage::new(
        "
do:
- list: {call: a.things.list, with: {page: stream}}
- all: {call: data.map, with: {items: '${ $steps.list.items }', concurrency: 2, call: a.get, with: {id: '${ $item }', nr: '${ $index }'}}}
- sum: {set: {got: '${ . }'}}
",
        json!({}),
    );
    stage.answer("/pages", page(json!(["x", "y", "z"]), Some("c1")));
    assert_eq!(stage.paths(), ["/do/1/all/items/1/0/with", "/do/1/all/items/1/1/with"]);
    stage.answer("/1/1/with", Ok(json!("Y"))).answer("/1/0/with", Ok(json!("X")));
    assert_eq!(stage.paths(), ["/do/1/all/items/1/2/with"], "the next page waits for all of this one");
    stage.answer("/1/2/with", Ok(json!("Z"))).answer("/pages", page(json!(["u"]), None));
    assert!(asked(&stage).ends_with(r#"{"id":"u","nr":3}"#), "{}", asked(&stage));
    stage.answer("/1/3/with", Ok(json!("U")));
    assert_eq!(stage.output(), json!({"got": ["X", "Y", "Z", "U"]}));
}

#[test]
fn a_map_of_a_stream_is_bounded() {
    let mut stage = Stage::new(
        "
do:
- list: {call: a.things.list, with: {page: stream}}
- all: {call: data.map, with: {items: '${ $steps.list.items }', call: a.get, with: {}}}
",
        json!({}),
    );
    let many: Vec<u32> = (0..=10_000).collect();
    stage.answer("/pages", page(json!(many), None));
    assert!(stage.fault().detail.contains("at most 10000 items"), "{}", stage.fault().detail);
}

/// It is a text: an expression that wants a list fails, and a call does not get it.
#[test]
fn a_stream_is_no_list() {
    for tasks in [
        "- use: {set: {n: '${ $steps.list.items | map(.id) }'}}",
        "- use: {call: a.write, with: {deep: [{things: '${ $steps.list.items }'}]}}",
    ] {
        let tasks = format!("do:\n- list: {{call: a.things.list, with: {{page: stream}}}}\n{tasks}\n");
        let stage = Stage::new(&tasks, json!({}));
        assert_eq!(stage.fault().code(), "expression", "{tasks}");
    }
    // A name that this run did not give is a text like any other.
    let stage = Stage::new(
        "do:\n- each: {for: {each: it, in: '${ .name }'}, do: [{w: {call: a.write, with: {}}}]}\n",
        json!({"name": "stream:/do/0/list#1"}),
    );
    assert!(stage.fault().detail.contains("must give a list"), "{}", stage.fault().detail);
}
