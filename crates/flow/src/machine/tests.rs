use super::*;
use proptest::prelude::*;
use serde_json::json;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn document(tasks: &str) -> Arc<Document> {
    let head = "document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0', metadata: {settings: {channel: {description: d, default: x}}}}\n";
    Arc::new(Document::parse("test.yaml", &format!("{head}{tasks}")).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }))
}

pub fn start(tasks: &str, input: Value) -> (Machine, Vec<Effect>) {
    Machine::start(Start {
        document: document(tasks),
        run: RunId::new("run_1"),
        input: Arc::new(input),
        settings: Arc::new(json!({"channel": "#billing"})),
        started_at: at(0),
    })
}

/// Runs a flow that needs nothing from outside.
pub fn run(tasks: &str, input: Value) -> Result<Value, Fault> {
    let (machine, effects) = start(tasks, input);
    assert_eq!(effects, []);
    match machine.status() {
        Status::Completed(output) => Ok(output),
        Status::Failed(fault) => Err(fault),
        Status::Running => panic!("still running"),
    }
}

/// Runs a flow whose calls are answered by `answer` and whose waits end at once; gives each effect in short.
fn play(
    tasks: &str,
    input: Value,
    answer: &mut dyn FnMut(&str, &Value) -> Result<Value, Fault>,
) -> (Machine, Vec<String>) {
    let (mut machine, mut effects) = start(tasks, input);
    let (mut log, mut now) = (Vec::new(), at(0));
    while let Some(effect) = effects.pop() {
        assert!(effects.is_empty(), "one effect at a time");
        let EffectRef { path, visit, generation } = effect.at().clone();
        let input = match effect {
            Effect::Call { at, operation, with, .. } => {
                log.push(format!("{operation} {with} {path} {visit}.{generation}"));
                Input::Resolved { at, outcome: answer(&operation, &with), now }
            }
            Effect::Wait { at, until } => {
                log.push(format!(
                    "wait {}ms {path} {visit}.{generation}",
                    until.duration_since(now).as_millis()
                ));
                now = until;
                Input::Elapsed { at, now }
            }
            Effect::Listen { .. } => panic!("nothing comes"),
        };
        effects = machine.advance(input);
    }
    (machine, log)
}

fn order(machine: &Machine) -> Vec<&str> {
    machine.steps().iter().map(|step| step.name.as_str()).collect()
}

#[test]
fn tasks_run_in_the_order_that_then_says() {
    let (machine, _) = start(
        "
do:
- red: {set: {c: '${ .c + [\"red\"] }'}, then: green}
- blue: {set: {c: '${ .c + [\"blue\"] }'}, then: end}
- green: {set: {c: '${ .c + [\"green\"] }'}, then: blue}
",
        json!({}),
    );
    assert_eq!(order(&machine), ["red", "green", "blue"]);
    assert_eq!(machine.status(), Status::Completed(json!({"c": ["red", "green", "blue"]})));
}

const SYNC: &str = "
do:
- customer:
    call: stripe.customers.retrieve
    with: {connection: stripe, customer: '${ .data.data.object.customer }'}
- invoices:
    for: {each: invoice, in: '${ .invoices }'}
    do:
    - create:
        call: chartmogul.invoices.create
        with: {connection: chartmogul, invoice: '${ $invoice }', customer: '${ $steps.customer.id }'}
    - pause: {wait: {seconds: 2}}
- done: {set: {last: '${ $steps.create.uuid }'}}
";

#[test]
fn calls_are_asked_for_with_their_arguments_and_each_visit_counts() {
    let event = json!({"data": {"data": {"object": {"customer": "cus_1"}}}});
    let (machine, log) = play(SYNC, event, &mut |operation, with| {
        Ok(match operation {
            "stripe.customers.retrieve" => json!({"id": "cus_1", "invoices": ["in_1", "in_2"]}),
            _ => json!({"uuid": format!("inv_{}", with["invoice"].as_str().unwrap())}),
        })
    });
    assert_eq!(
        log,
        [
            r#"stripe.customers.retrieve {"connection":"stripe","customer":"cus_1"} /do/0/customer 1.0"#,
            r#"chartmogul.invoices.create {"connection":"chartmogul","invoice":"in_1","customer":"cus_1"} /do/1/invoices/do/0/create 1.0"#,
            "wait 2000ms /do/1/invoices/do/1/pause 1.0",
            r#"chartmogul.invoices.create {"connection":"chartmogul","invoice":"in_2","customer":"cus_1"} /do/1/invoices/do/0/create 2.0"#,
            "wait 2000ms /do/1/invoices/do/1/pause 2.0",
        ]
    );
    assert_eq!(machine.status(), Status::Completed(json!({"last": "inv_in_2"})));
    let calls: Vec<_> =
        machine.steps().iter().filter_map(|step| step.call.as_ref().map(|call| call.0.as_str())).collect();
    assert_eq!(calls.len(), 3);
    assert!(machine.steps().iter().all(|step| matches!(step.state, StepState::Done(Some(_)))));
}

#[test]
fn unknown_and_repeated_references_change_nothing() {
    let (mut machine, effects) = start(SYNC, json!({"data": {"data": {"object": {"customer": "c"}}}}));
    let right = effects[0].at().clone();
    assert!(machine.awaits(&right));
    let wrong = EffectRef { visit: 2, ..right.clone() };
    assert!(!machine.awaits(&wrong));
    let resolved = |at: &EffectRef| Input::Resolved {
        at: at.clone(),
        outcome: Ok(json!({"id": 1, "invoices": []})),
        now: at_zero(),
    };
    assert_eq!(machine.advance(resolved(&wrong)), []);
    assert_eq!(machine.advance(Input::Elapsed { at: right.clone(), now: at_zero() }), []);
    assert_eq!(machine.status(), Status::Running);
    assert_eq!(machine.advance(resolved(&right)), []);
    let finished = machine.status();
    assert_ne!(finished, Status::Running);
    assert_eq!(machine.advance(resolved(&right)), []);
    assert_eq!(machine.status(), finished);
}

fn at_zero() -> Timestamp {
    at(0)
}

fn unavailable() -> Fault {
    Fault::of("https://serverlessworkflow.io/spec/1.0.0/errors/communication", 503, "Unavailable", "")
}

/// A flow that retries by a policy, failing so many times first; the waits and the outcome.
fn retried(policy: &str, failures: usize) -> (Vec<String>, Status) {
    let tasks = format!(
        "
do:
- attempt:
    try:
    - before: {{call: a.read, with: {{}}}}
    - call: {{call: a.write, with: {{n: 1}}}}
    catch:
      errors: {{with: {{status: 503}}}}
      retry: {policy}
"
    );
    let mut left = failures;
    let (machine, log) = play(&tasks, json!({}), &mut |operation, _| match operation {
        "a.write" if left > 0 => {
            left -= 1;
            Err(unavailable())
        }
        _ => Ok(json!({"ok": true})),
    });
    (log, machine.status())
}

#[test]
fn a_caught_fault_begins_the_try_again_as_a_new_generation() {
    let (log, status) = retried("{delay: {seconds: 1}, limit: {attempt: {count: 3}}}", 2);
    assert_eq!(
        log,
        [
            "a.read {} /do/0/attempt/try/0/before 1.0",
            r#"a.write {"n":1} /do/0/attempt/try/1/call 1.0"#,
            "wait 1000ms /do/0/attempt/catch/retry 1.0",
            "a.read {} /do/0/attempt/try/0/before 1.1",
            r#"a.write {"n":1} /do/0/attempt/try/1/call 1.1"#,
            "wait 1000ms /do/0/attempt/catch/retry 1.1",
            "a.read {} /do/0/attempt/try/0/before 1.2",
            r#"a.write {"n":1} /do/0/attempt/try/1/call 1.2"#,
        ]
    );
    assert_eq!(status, Status::Completed(json!({"ok": true})));
}

#[test]
fn policies_decide_how_long_and_how_often() {
    let waits = |policy: &str, failures| {
        let (log, status) = retried(policy, failures);
        let waits: Vec<_> = log
            .iter()
            .filter_map(|line| line.strip_prefix("wait ")?.split("ms").next()?.parse::<u64>().ok())
            .collect();
        (waits, matches!(status, Status::Completed(_)))
    };
    for (policy, failures, expected) in [
        ("{delay: PT1S, limit: {attempt: {count: 2}}}", 2, (vec![1000, 1000], true)),
        ("{delay: PT1S, limit: {attempt: {count: 2}}}", 3, (vec![1000, 1000], false)),
        (
            "{delay: PT1S, backoff: {constant: {}}, limit: {attempt: {count: 3}}}",
            3,
            (vec![1000, 1000, 1000], true),
        ),
        (
            "{delay: PT1S, backoff: {linear: {}}, limit: {attempt: {count: 4}}}",
            4,
            (vec![1000, 2000, 3000, 4000], true),
        ),
        (
            "{delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 4}}}",
            4,
            (vec![1000, 2000, 4000, 8000], true),
        ),
        (
            "{delay: PT10S, limit: {attempt: {count: 9}, duration: PT25S}}",
            9,
            (vec![10_000, 10_000, 10_000], false),
        ),
        ("{delay: PT1S}", 9, (vec![1000; 5], false)),
        ("{limit: {attempt: {count: 2}}}", 2, (vec![], true)),
        ("{delay: PT1S, when: $error.status == 404}", 1, (vec![], false)),
        ("{delay: PT1S, exceptWhen: $error.status == 503}", 1, (vec![], false)),
    ] {
        assert_eq!(waits(policy, failures), expected, "{policy}");
    }
    let (jittered, done) =
        waits("{delay: PT1S, jitter: {from: PT0.1S, to: PT0.5S}, limit: {attempt: {count: 9}}}", 9);
    assert!(done && jittered.iter().all(|wait| (1100..=1500).contains(wait)), "{jittered:?}");
    assert!(jittered.iter().any(|wait| *wait != jittered[0]), "{jittered:?}");
    assert_eq!(
        waits("{delay: PT1S, jitter: {from: PT0.1S, to: PT0.5S}, limit: {attempt: {count: 9}}}", 9).0,
        jittered
    );
}

#[test]
fn what_still_fails_after_retries_runs_the_handler_or_fails() {
    let tasks = |handler: &str| {
        format!(
            "
use: {{retries: {{twice: {{limit: {{attempt: {{count: 2}}}}}}}}}}
do:
- attempt:
    try: [{{call: {{call: a.write}}}}]
    catch:
      retry: twice
{handler}
"
        )
    };
    let mut fail = |_: &str, _: &Value| Err(unavailable());
    let (machine, log) = play(&tasks(""), json!({}), &mut fail);
    assert_eq!(log.len(), 3);
    assert!(
        matches!(machine.status(), Status::Failed(fault) if fault.status == 503 && fault.instance.as_deref() == Some("/do/0/attempt/try/0/call"))
    );
    let (machine, log) = play(&tasks("      do: [{note: {set: {gave: up}}}]"), json!({}), &mut fail);
    assert_eq!((log.len(), machine.status()), (3, Status::Completed(json!({"gave": "up"}))));
}

#[test]
fn nested_retries_never_name_two_effects_alike() {
    let tasks = "
do:
- all:
    for: {in: '[1, 2]'}
    do:
    - outer:
        try:
        - inner:
            try: [{call: {call: a.write, with: {n: '${ $item }'}}}]
            catch: {retry: {limit: {attempt: {count: 2}}}}
        catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}}
";
    let mut count = 0;
    let (machine, log) = play(tasks, json!({}), &mut |_, _| {
        count += 1;
        if count % 5 == 0 { Ok(json!(count)) } else { Err(unavailable()) }
    });
    let mut names: Vec<_> = log.iter().map(|line| line.split(" /").nth(1)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), all), (12, 12), "{log:#?}");
    assert_eq!(machine.status(), Status::Completed(json!(10)));
    // The second item's visit is the second, however often the first began again.
    assert!(log.iter().any(|line| line.ends_with("/try/0/call 2.0")), "{log:#?}");
}

#[test]
fn waits_may_be_computed() {
    let (_, log) = play(
        "
do:
- a: {wait: PT1M}
- b: {wait: {seconds: '${ .n }'}}
- c: {wait: '${ \"PT\\(.n)S\" }'}
",
        json!({"n": 5}),
        &mut |_, _| Ok(Value::Null),
    );
    let waits: Vec<_> = log.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(waits, ["60000ms", "5000ms", "5000ms"]);
}

#[test]
fn results_and_records_are_bounded() {
    let large = json!({"text": "x".repeat(MAX_VALUE)});
    let (machine, _) = play("do: [{a: {call: a.read}}]", json!({}), &mut |_, _| Ok(large.clone()));
    assert!(matches!(machine.status(), Status::Failed(fault) if fault.detail.contains("larger than 16 MiB")));
    let (machine, _) = start("do: [{a: {set: {x: 1}}}]", large);
    assert!(matches!(machine.status(), Status::Failed(_)));
    let page = json!({"text": "x".repeat(MAX_RECORDED / 3)});
    let tasks = "do: [{f: {for: {in: '[range(5)]'}, do: [{a: {call: a.read}}]}}]";
    let (machine, _) = play(tasks, json!({}), &mut |_, _| Ok(page.clone()));
    let kept = machine
        .steps()
        .iter()
        .filter(|step| step.action == "call" && step.state != StepState::Done(None))
        .count();
    assert_eq!(kept, 3 - 1);
    assert_eq!(machine.status(), Status::Completed(page));
}

#[test]
fn steps_tell_how_each_task_stands() {
    let (machine, _) = start(
        "
do:
- skipped: {if: false, set: {x: 1}}
- outer: {do: [{set: {set: {x: 1}}}, {call: {call: a.read, with: {x: '${ .x }'}}}]}
",
        json!({}),
    );
    let states: Vec<_> =
        machine.steps().iter().map(|step| (step.name.as_str(), step.action, step.state.clone())).collect();
    assert_eq!(
        states,
        [
            ("skipped", "set", StepState::Skipped),
            ("outer", "do", StepState::Running),
            ("set", "set", StepState::Done(Some(Arc::new(json!({"x": 1}))))),
            ("call", "call", StepState::Running),
        ]
    );
    assert_eq!(machine.steps()[3].call, Some(("a.read".to_owned(), Arc::new(json!({"x": 1})))));
}

/// A flow with everything in it, whose course depends on what its calls give.
const MANIFOLD: &str = "
do:
- list: {call: a.list, with: {n: '${ .n }'}, export: {as: '{count: (.items | length)}'}}
- each:
    for: {each: it, in: '${ $steps.list.items }'}
    do:
    - attempt:
        try:
        - write: {call: a.write, with: {it: '${ $it }', count: '${ $context.count }'}}
        - read: {if: $it > 1, call: a.read, with: {last: '${ $steps.write }'}}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, backoff: {exponential: {}}, jitter: {from: PT0S, to: PT3S}, limit: {attempt: {count: 2}}}
          do: [{note: {set: {gave: '${ $error.status }'}}}]
    - pause: {if: $index == 1, wait: {seconds: '${ $it }'}}
- choose: {switch: [{many: {when: $context.count > 2, then: end}}]}
- last: {set: {all: '${ $steps }'}}
";

fn manifold() -> String {
    MANIFOLD.replace("'${ $steps }'", "'${ [$steps.write, $steps.note, .] }'")
}

proptest! {
    /// Feeding a fresh machine any prefix of a run's inputs gives the state and effects that the run had there.
    #[test]
    fn a_run_replays_from_any_prefix(
        items in prop::collection::vec(0u8..4, 0..4),
        outcomes in prop::collection::vec(0u8..4, 40),
        strays in prop::collection::vec(any::<bool>(), 60),
    ) {
        let tasks = manifold();
        let begin = || start(&tasks, json!({"n": items.len()}));
        let (mut machine, mut effects) = begin();
        let mut inputs = Vec::new();
        let mut states = vec![(machine.status(), effects.clone(), machine.steps().to_vec())];
        let (mut outcomes, mut now) = (outcomes.into_iter().cycle(), at(0));
        while let Some(effect) = effects.first().cloned() {
            prop_assert_eq!(effects.len(), 1);
            now = now.checked_add(jiff::SignedDuration::from_millis(7)).unwrap();
            let input = match effect {
                Effect::Call { at, operation, .. } => {
                    let outcome = match (operation.as_str(), outcomes.next()) {
                        ("a.list", _) => Ok(json!({"items": items})),
                        (_, Some(0)) => Err(unavailable()),
                        (_, Some(1)) if inputs.len() > 6 => Err(Fault::of("t", 404, "Gone", "")),
                        (_, n) => Ok(json!({"n": n})),
                    };
                    Input::Resolved { at, outcome, now }
                }
                Effect::Wait { at, until } => {
                    now = until;
                    Input::Elapsed { at, now }
                }
                Effect::Listen { .. } => unreachable!("no task listens"),
            };
            inputs.push(input.clone());
            effects = machine.advance(input);
            states.push((machine.status(), effects.clone(), machine.steps().to_vec()));
        }
        prop_assert_ne!(machine.status(), Status::Running);
        for prefix in 0..=inputs.len() {
            let (mut again, mut effects) = begin();
            for (index, input) in inputs[..prefix].iter().enumerate() {
                effects = again.advance(input.clone());
                // What is told twice changes nothing.
                if strays[index % strays.len()] {
                    prop_assert_eq!(again.advance(input.clone()), vec![]);
                }
            }
            prop_assert_eq!(&(again.status(), effects, again.steps().to_vec()), &states[prefix]);
        }
    }
}
