//! What the language says of tasks and data, one document each.

use super::tests::run;
use serde_json::{Value, json};

/// What the conformance kit of the language says of tasks and data, and more, in our own words.
#[test]
fn scenarios() {
    let cases: &[(&str, &str, Value, Value)] = &[
        ("a do runs its tasks in order, each with the output of the one before", "
do:
- paint:
    do:
    - first: {set: {seen: '${ .seen + [1] }'}}
    - second: {set: {seen: '${ .seen + [2] }'}}
    - third: {set: {seen: '${ .seen + [3] }'}}
", json!({}), json!({"seen": [1, 2, 3]})),
        ("set replaces its input", "
do:
- a: {set: {x: '${ .deep.value }', y: literal, z: [1, '${ .n }', {w: '${ .n + 1 }'}]}}
", json!({"deep": {"value": {"k": true}}, "n": 4, "gone": 1}), json!({"x": {"k": true}, "y": "literal", "z": [1, 4, {"w": 5}]})),
        ("set takes one expression for all", "
do:
- a: {set: '${ {total: (.items | add)} }'}
", json!({"items": [1, 2, 3]}), json!({"total": 6})),
        ("switch takes the first case that holds", "
do:
- choose:
    switch:
    - big: {when: '.n > 10', then: big}
    - even: {when: '${ .n % 2 == 0 }', then: even}
- odd: {set: {is: odd}, then: end}
- big: {set: {is: big}, then: end}
- even: {set: {is: even}, then: end}
", json!({"n": 4}), json!({"is": "even"})),
        ("switch without a case that holds goes where its then says", "
do:
- choose:
    switch:
    - big: {when: '.n > 10', then: big}
    then: end
- big: {set: {is: big}}
", json!({"n": 4}), json!({"n": 4})),
        ("switch without a case that holds goes on", "
do:
- choose:
    switch:
    - big: {when: '.n > 10', then: end}
- after: {set: {is: small}}
", json!({"n": 4}), json!({"is": "small"})),
        ("a case without a condition is the rest, and $input is the task's input", "
do:
- choose:
    switch:
    - big: {when: '.n > 10', then: end}
    - other: {then: custom}
- never: {set: {is: never}}
- custom: {set: {is: '${ [$input.n] }'}}
", json!({"n": 4}), json!({"is": [4]})),
        ("for gives each iteration the output of the one before, its item and its index", "
do:
- go:
    for: {each: color, in: .colors}
    do:
    - mark:
        set:
          done: '${ {colors: (.done.colors + [$color]), places: (.done.places + [$index])} }'
", json!({"colors": ["red", "green"]}), json!({"done": {"colors": ["red", "green"], "places": [0, 1]}})),
        ("for names its item and index as told, nested ones apart", "
do:
- rows:
    for: {each: row, in: '${ .rows }', at: y}
    do:
    - cells:
        for: {in: $row, at: x}
        do:
        - take: {set: {out: '${ .out + [\"\\($y)\\($x)\\($item)\"] }'}}
", json!({"rows": [["a", "b"], ["c"]]}), json!({"out": ["00a", "01b", "10c"]})),
        ("for over nothing gives its input", "
do:
- go: {for: {in: '[]'}, do: [{a: {set: {x: 1}}}]}
", json!({"n": 4}), json!({"n": 4})),
        ("while ends a for", "
do:
- go:
    for: {in: '[1, 2, 3, 4]'}
    while: (.sum // 0) < 3
    do: [{a: {set: {sum: '${ .sum + $item }'}}}]
", json!({}), json!({"sum": 3})),
        ("exit ends the iteration, and the for goes on", "
do:
- go:
    for: {in: '[1, 2, 3]'}
    do:
    - skip: {switch: [{two: {when: $item == 2, then: exit}}]}
    - add: {set: {sum: '${ .sum + $item }'}}
", json!({}), json!({"sum": 4})),
        ("exit ends a do, end ends the run", "
do:
- inner:
    do:
    - a: {set: {x: 1}, then: exit}
    - b: {set: {x: 2}}
- c: {set: {y: '${ .x }'}, then: end}
- d: {set: {y: 9}}
", json!({}), json!({"y": 1})),
        ("then leads backwards too", "
do:
- add: {set: {n: '${ .n + 1 }'}}
- again: {switch: [{more: {when: .n < 5, then: add}}]}
", json!({"n": 0}), json!({"n": 5})),
        ("input.from makes the task's input", "
do:
- a: {input: {from: .user.id}, set: {id: '${ . }', same: '${ $input == . }', raw: '${ $task.input.user.id }'}}
", json!({"user": {"id": 7}}), json!({"id": 7, "same": true, "raw": 7})),
        ("output.as makes the task's output, and sees its input", "
do:
- a: {set: {id: 1}, output: {as: .id}}
- b: {set: {id: 2}, output: {as: '{ids: [$input, .id]}'}}
", json!({}), json!({"ids": [1, 2]})),
        ("output.as may be a mapping with expressions", "
do:
- a: {set: {id: 1}, output: {as: {wrapped: '${ .id }', fixed: 2}}}
", json!({}), json!({"wrapped": 1, "fixed": 2})),
        ("export.as sets the context, which later tasks see", "
do:
- a: {set: {id: 1}, export: {as: '$context + {first: .id}'}}
- b: {set: {id: 2}, export: {as: '$context + {second: $output.id}'}}
- c: {set: {all: '${ $context }'}}
", json!({}), json!({"all": {"first": 1, "second": 2}})),
        ("the flow's own input.from and output.as", "
input: {from: .payload}
do:
- a: {set: {n: '${ .n * 2 }', raw: '${ $workflow.input.payload.n }', event: '${ $event.id }'}}
output: {as: '{answer: .n, raw, event}'}
", json!({"payload": {"n": 21}, "id": "evt_1"}), json!({"answer": 42, "raw": 21, "event": "evt_1"})),
        ("a task whose if does not hold is passed by, its then and output with it", "
do:
- a: {if: .n > 10, set: {is: big}, then: end}
- b: {set: {is: '${ \"small \\(.n)\" }', a: '${ $steps.a }'}}
", json!({"n": 4}), json!({"is": "small 4", "a": null})),
        ("if: true and if: false", "
do:
- a: {if: true, set: {a: 1}}
- b: {if: false, set: {b: 1}}
", json!({}), json!({"a": 1})),
        ("$steps has each step's output by name, also from inside", "
do:
- outer:
    do:
    - inner: {set: {id: 5}}
- b: {set: {x: 1}}
- c: {set: {id: '${ $steps.inner.id }', whole: '${ $steps.inner }', b: '${ $steps.b.x }'}}
", json!({}), json!({"id": 5, "whole": {"id": 5}, "b": 1})),
        ("$settings, $runtime, $workflow and $task tell about the run", "
do:
- a:
    set:
      channel: ${ $settings.channel }
      runtime: ${ $runtime.name }
      id: ${ $workflow.id }
      at: ${ $workflow.startedAt.epoch.seconds }
      task: ${ [$task.name, $task.reference] }
", json!({}), json!({"channel": "#billing", "runtime": "tributary", "id": "run_1", "at": 1_800_000_000, "task": ["a", "/do/0/a"]})),
        ("a fault that is caught runs the handler, which knows it", "
do:
- attempt:
    try:
    - fail: {raise: {error: {type: 'https://x.test/gone', status: 404, title: Gone, detail: '${ \"no \\(.id)\" }'}}}
    catch:
      errors: {with: {type: 'https://x.test/gone', status: 404}}
      as: err
      do:
      - note: {set: {was: '${ $err }'}}
- after: {set: {where: '${ .was.instance }', detail: '${ .was.detail }'}}
", json!({"id": 3}), json!({"where": "/do/0/attempt/try/0/fail", "detail": "no 3"})),
        ("a caught fault without handler gives the try's input; catch.then leads on", "
do:
- attempt:
    try: [{fail: {set: {x: '${ .a.b.c }'}}}]
    catch: {then: last}
- between: {set: {x: never}}
- last: {set: {x: '${ .a }'}}
", json!({"a": 7}), json!({"x": 7})),
        ("catch.when and exceptWhen look at the fault", "
do:
- outer:
    try:
    - inner:
        try: [{fail: {raise: {error: {type: t, status: 503}}}}]
        catch: {when: $error.status == 404, do: [{a: {set: {by: inner}}}]}
    catch: {exceptWhen: $error.status == 404, do: [{b: {set: {by: outer}}}]}
", json!({}), json!({"by": "outer"})),
        ("a named error", "
use: {errors: {gone: {type: 'https://x.test/gone', status: 410, title: Gone}}}
do:
- attempt:
    try: [{fail: {raise: {error: gone}}}]
    catch: {do: [{a: {set: {status: '${ $error.status }'}}}]}
", json!({}), json!({"status": 410})),
        ("an expression's failure is a fault like any other", "
do:
- attempt:
    try: [{a: {set: {x: '${ .n + \"a\" }'}}}]
    catch:
      errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/expression', status: 400}}
      do: [{b: {set: {ok: true}}}]
", json!({"n": 1}), json!({"ok": true})),
    ];
    for (name, tasks, input, expected) in cases {
        assert_eq!(run(tasks, input.clone()), Ok(expected.clone()), "{name}");
    }
}

#[test]
fn faults_that_nothing_catches_end_the_run() {
    let cases: &[(&str, Value, &str, u16, &str, &str)] = &[
        (
            "do: [{r: {raise: {error: {type: 'https://x.test/e', status: 422, title: No}}}}]",
            json!({}),
            "https://x.test/e",
            422,
            "",
            "/do/0/r",
        ),
        (
            "do: [{d: {do: [{r: {raise: {error: {type: t, status: '${ .s }', instance: /here}}}}]}}]",
            json!({"s": 418}),
            "t",
            418,
            "",
            "/here",
        ),
        (
            "do: [{f: {for: {in: .x}, do: [{a: {set: {b: 1}}}]}}]",
            json!({}),
            "expression",
            400,
            "must give a list",
            "/do/0/f",
        ),
        (
            "do: [{f: {for: {in: .x}, do: [{a: {set: {b: '${ $item.y }'}}}]}}]",
            json!({"x": [1]}),
            "expression",
            400,
            "cannot take field",
            "/do/0/f/do/0/a",
        ),
        (
            "do: [{s: {if: .a.b, set: {b: 1}}}]",
            json!({"a": 1}),
            "expression",
            400,
            "cannot take field",
            "/do/0/s",
        ),
        (
            "do: [{s: {set: {b: 1}, output: {as: .b.c}}}]",
            json!({}),
            "expression",
            400,
            "cannot take field",
            "/do/0/s",
        ),
        (
            "do: [{t: {try: [{r: {raise: {error: {type: t, status: 503}}}}], catch: {errors: {with: {status: 404}}}}}]",
            json!({}),
            "t",
            503,
            "",
            "/do/0/t/try/0/r",
        ),
        (
            "do: [{t: {try: [{r: {raise: {error: {type: t, status: 503}}}}], catch: {do: [{r2: {raise: {error: {type: u, status: 500}}}}]}}}]",
            json!({}),
            "u",
            500,
            "",
            "/do/0/t/catch/do/0/r2",
        ),
        (
            "do: [{a: {set: {n: '${ .n }'}, then: a}}]",
            json!({}),
            "runtime",
            500,
            "more than 50000 tasks",
            "/do/0/a",
        ),
        (
            "do: [{f: {for: {in: '[range(10001)]'}, do: [{a: {set: {b: 1}}}]}}]",
            json!({}),
            "runtime",
            500,
            "at most 10000",
            "/do/0/f",
        ),
        (
            "do: [{t: {try: [{a: {set: {n: 1}, then: a}}], catch: {}}}]",
            json!({}),
            "runtime",
            500,
            "more than 50000 tasks",
            "/do/0/t/try/0/a",
        ),
        (
            "do: [{w: {wait: '${ .x }'}}]",
            json!({"x": "1 hour"}),
            "expression",
            400,
            "not an ISO 8601 duration",
            "/do/0/w",
        ),
    ];
    for (tasks, input, r#type, status, detail, instance) in cases {
        let fault = run(tasks, input.clone()).expect_err(tasks);
        assert!(fault.r#type.ends_with(r#type) && fault.detail.contains(detail), "{tasks}: {fault:?}");
        assert_eq!((fault.status, fault.instance.as_deref()), (*status, Some(*instance)), "{tasks}");
    }
}
