//! What goes on at the same time: branches, timeouts, and what they overtake.

use super::tests::{at, start};
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// A run whose effects are answered one by one, in an order of the test's choosing.
pub struct Stage {
    pub machine: Machine,
    /// Asked for and still awaited, in the order in which they were asked for.
    pub open: Vec<Effect>,
    now: Timestamp,
    inputs: Vec<Input>,
}

impl Stage {
    pub fn new(tasks: &str, input: Value) -> Self {
        let (machine, open) = start(tasks, input);
        Self { machine, open, now: at(0), inputs: Vec::new() }
    }

    fn tell(&mut self, input: Input) {
        self.now = self.now.max(input.now());
        if !matches!(input, Input::Heard { .. }) {
            self.open.retain(|effect| effect.at() != input.at());
        }
        self.inputs.push(input.clone());
        let asked = self.machine.advance(input);
        self.open.extend(asked);
        self.open.retain(|effect| self.machine.awaits(effect.at()));
    }

    fn find(&self, path: &str) -> Effect {
        let found = self.open.iter().find(|effect| effect.at().path.ends_with(path));
        found.unwrap_or_else(|| panic!("no {path} in {:?}", self.paths())).clone()
    }

    /// Answers the call of a task.
    pub fn answer(&mut self, path: &str, outcome: Result<Value, Fault>) -> &mut Self {
        let at = self.find(path).at().clone();
        self.tell(Input::Resolved { at, outcome, now: self.now });
        self
    }

    /// Lets the time come for a wait.
    fn elapse(&mut self, path: &str) -> &mut Self {
        let Effect::Wait { at, until } = self.find(path) else { panic!("{path} is no wait") };
        self.tell(Input::Elapsed { at, now: until.max(self.now) });
        self
    }

    pub fn paths(&self) -> Vec<&str> {
        self.open.iter().map(|effect| effect.at().path.as_str()).collect()
    }

    pub fn output(&self) -> Value {
        match self.machine.status() {
            Status::Completed(output) => output,
            other => panic!("{other:?}"),
        }
    }

    pub fn fault(&self) -> Fault {
        match self.machine.status() {
            Status::Failed(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self, name: &str) -> StepState {
        self.machine.steps().iter().rev().find(|step| step.name == name).unwrap().state.clone()
    }
}

pub fn refused(status: u16) -> Fault {
    Fault { status, ..Fault::communication("no") }
}

const TWO: &str = "
do:
- both:
    fork:
      branches:
      - left: {do: [{l1: {call: a.l1, with: {n: '${ .n }'}}}, {l2: {call: a.l2, with: {n: '${ .n }'}}}]}
      - right: {call: a.r, with: {n: '${ .n }'}, then: exit}
- after: {set: {all: '${ . }', left: '${ $steps.l1.n }'}}
";

#[test]
fn branches_go_on_at_the_same_time_and_give_their_outputs_in_order() {
    let mut stage = Stage::new(TWO, json!({"n": 1}));
    assert_eq!(
        stage.paths(),
        ["/do/0/both/fork/branches/0/left/do/0/l1", "/do/0/both/fork/branches/1/right"]
    );
    stage.answer("/right", Ok(json!("R"))).answer("/l1", Ok(json!({"n": 2})));
    assert_eq!(stage.paths(), ["/do/0/both/fork/branches/0/left/do/1/l2"]);
    assert!(matches!(&stage.open[0], Effect::Call { with, .. } if *with == json!({"n": 2})));
    stage.answer("/l2", Ok(json!("L")));
    assert_eq!(stage.output(), json!({"all": ["L", "R"], "left": 2}));
}

#[test]
fn the_first_to_end_wins_and_the_others_are_awaited_no_longer() {
    let tasks = TWO.replace("fork:", "fork:\n      compete: true");
    let mut stage = Stage::new(&tasks, json!({"n": 1}));
    let left = stage.find("/l1");
    stage.answer("/right", Ok(json!("R")));
    assert_eq!(stage.output(), json!({"all": "R", "left": null}));
    assert_eq!((stage.state("left"), stage.state("l1")), (StepState::Cancelled, StepState::Cancelled));
    assert!(!stage.machine.awaits(left.at()));
    let before = stage.machine.clone();
    let late = Input::Resolved { at: left.at().clone(), outcome: Ok(json!(1)), now: at(9) };
    assert_eq!(stage.machine.advance(late), []);
    assert_eq!(before.status(), stage.machine.status());
}

#[test]
fn a_branch_that_needs_nothing_wins_before_the_others_ask() {
    let stage = Stage::new(
        "
do:
- race:
    fork:
      compete: true
      branches:
      - slow: {call: a.slow}
      - quick: {set: {colors: '${ .colors + [\"green\"] }'}}
      - late: {set: {colors: '${ .colors + [\"blue\"] }'}}
",
        json!({}),
    );
    assert_eq!((stage.open.len(), stage.output()), (0, json!({"colors": ["green"]})));
    assert_eq!(stage.machine.steps().len(), 3);
}

#[test]
fn a_fault_in_a_branch_ends_the_others_and_can_be_caught_around_the_fork() {
    let caught = format!(
        "do:\n- guard:\n    try:{}\n    catch: {{as: why, do: [{{note: {{set: {{at: '${{ $why.instance }}', status: '${{ $why.status }}'}}}}}}]}}\n",
        "
    - both:
        fork:
          branches:
          - bad: {do: [{b: {call: a.b}}]}
          - other: {do: [{c: {call: a.c}}]}"
    );
    let mut stage = Stage::new(&caught, json!({}));
    stage.answer("/b", Err(refused(404)));
    assert_eq!(
        stage.output(),
        json!({"at": "/do/0/guard/try/0/both/fork/branches/0/bad/do/0/b", "status": 404})
    );
    assert_eq!(stage.state("c"), StepState::Cancelled);
    let mut stage = Stage::new(TWO, json!({"n": 1}));
    stage.answer("/l1", Err(refused(500)));
    assert_eq!(stage.fault().instance.as_deref(), Some("/do/0/both/fork/branches/0/left/do/0/l1"));
    assert_eq!(stage.open, []);
}

#[test]
fn variables_reach_into_branches_and_end_ends_the_run_from_within() {
    let tasks = "
do:
- each:
    for: {each: who, in: '.names'}
    do:
    - greet:
        fork:
          branches:
          - a: {set: '${ \"a \\($who) \\($index)\" }'}
          - b: {call: a.b, with: {who: '${ $who }'}, if: '$index == 0'}
    - stop: {if: '$index == 1', switch: [{now: {then: continue}}]}
- never:
    fork:
      branches:
      - ends: {do: [{x: {set: {over: true}, then: end}}]}
      - waits: {call: a.never}
- unreached: {set: {x: 1}}
";
    let mut stage = Stage::new(tasks, json!({"names": ["x", "y"]}));
    stage.answer("/b", Ok(json!("B")));
    assert_eq!(stage.output(), json!({"over": true}));
    let greets: Vec<_> = stage.machine.steps().iter().filter(|step| step.name == "greet").collect();
    assert_eq!(greets[0].state, StepState::Done(Some(Arc::new(json!(["a x 0", "B"])))));
    assert!(!stage.machine.steps().iter().any(|step| step.name == "unreached"));
}

#[test]
fn a_retry_in_one_branch_leaves_the_visits_of_the_other_alone() {
    let tasks = "
do:
- both:
    fork:
      branches:
      - again:
          try: [{a: {call: a.a}}]
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 3}}}}
      - loop: {for: {in: '[1, 2, 3]'}, do: [{b: {call: a.b}}]}
";
    let mut stage = Stage::new(tasks, json!({}));
    let mut names = Vec::new();
    let mut answer = |stage: &mut Stage, path: &str, outcome| {
        let at = stage.find(path).at().clone();
        names.push((at.path.clone(), at.visit, at.generation));
        stage.answer(path, outcome);
    };
    answer(&mut stage, "/b", Ok(json!(1)));
    answer(&mut stage, "/a", Err(refused(503)));
    answer(&mut stage, "/b", Ok(json!(2)));
    stage.elapse("/catch/retry");
    answer(&mut stage, "/b", Ok(json!(3)));
    answer(&mut stage, "/a", Ok(json!("A")));
    assert_eq!(stage.output(), json!(["A", 3]));
    let short: Vec<_> = names
        .iter()
        .map(|(path, visit, generation)| (&path[path.len() - 1..], *visit, *generation))
        .collect();
    assert_eq!(short, [("b", 1, 0), ("a", 1, 0), ("b", 2, 0), ("b", 3, 0), ("a", 1, 1)]);
}

const SLOW: &str = "
use: {timeouts: {short: {after: PT5S}}}
do:
- guard:
    try:
    - slow:
        timeout: short
        do: [{first: {call: a.first}}, {second: {call: a.second}}]
    catch:
      errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}}
      do: [{note: {set: {late: '${ $error.instance }', status: '${ $error.status }'}}}]
- last: {set: {was: '${ . }'}}
";

#[test]
fn a_timeout_ends_what_is_inside_and_can_be_caught() {
    let mut stage = Stage::new(SLOW, json!({}));
    assert_eq!(stage.paths(), ["/do/0/guard/try/0/slow/timeout", "/do/0/guard/try/0/slow/do/0/first"]);
    assert!(matches!(&stage.open[0], Effect::Wait { until, .. } if *until == at(5)));
    let late = stage.find("/timeout").at().clone();
    stage.answer("/first", Ok(json!(1)));
    stage.elapse("/timeout");
    assert_eq!(stage.output(), json!({"was": {"late": "/do/0/guard/try/0/slow", "status": 408}}));
    assert_eq!((stage.state("second"), stage.now), (StepState::Cancelled, at(5)));
    let mut stage = Stage::new(SLOW, json!({}));
    stage.answer("/first", Ok(json!(1))).answer("/second", Ok(json!(2)));
    assert_eq!(stage.output(), json!({"was": 2}));
    assert!(!stage.machine.awaits(&late));
    assert_eq!(stage.machine.advance(Input::Elapsed { at: late, now: at(99) }), []);
}

#[test]
fn the_flow_has_a_timeout_too() {
    let tasks = "
timeout: {after: {minutes: '${ .minutes }'}}
do: [{a: {wait: P9D}}]
";
    let mut stage = Stage::new(tasks, json!({"minutes": 2}));
    assert_eq!(stage.paths(), ["/timeout", "/do/0/a"]);
    stage.elapse("/timeout");
    let fault = stage.fault();
    assert_eq!(
        (fault.code(), fault.status, fault.instance.as_deref(), stage.now),
        ("timeout", 408, Some("/timeout"), at(120))
    );
    assert_eq!(stage.state("a"), StepState::Cancelled);
}

#[test]
fn an_attempt_that_takes_too_long_is_tried_again() {
    let tasks = "
do:
- guard:
    try: [{inner: {do: [{slow: {call: a.slow}}]}}]
    catch: {retry: {delay: PT1S, limit: {attempt: {count: 2, duration: PT10S}}}}
";
    let mut stage = Stage::new(tasks, json!({}));
    for generation in 0..2 {
        let timeout = stage.find("/limit/attempt").at().clone();
        assert_eq!((timeout.generation, stage.open.len()), (generation, 2));
        stage.elapse("/limit/attempt");
        assert_eq!(stage.paths(), ["/do/0/guard/catch/retry"]);
        stage.elapse("/catch/retry");
    }
    assert_eq!(stage.find("/slow").at().generation, 2);
    stage.answer("/slow", Ok(json!("at last")));
    assert_eq!((stage.output(), stage.now), (json!("at last"), at(22)));
    let mut stage = Stage::new(tasks, json!({}));
    for _ in 0..2 {
        stage.elapse("/limit/attempt").elapse("/catch/retry");
    }
    stage.elapse("/limit/attempt");
    assert_eq!((stage.fault().code(), stage.open.len()), ("timeout", 0));
}

const EXTENDED: &str = "
use:
  functions:
    charge:
      input: {from: '{id: .customer, amount: (.amount * 100)}'}
      do:
      - ask: {call: pay.charges.create, with: {id: '${ .id }', amount: '${ .amount }'}}
      output: {as: .state}
  extensions:
  - log:
      extend: call
      when: '$task.call != \"charge\" and $task.name != \"quiet\"'
      before: [{say: {call: log.lines.write, with: {text: '${ \"before \\($task.name) \\($task.reference)\" }'}}}]
      after: [{said: {call: log.lines.write, with: {got: '${ . }'}}}]
  - mock:
      extend: call
      when: '$task.name == \"mocked\"'
      before: [{stand: {set: {mocked: true}, then: exit}}]
do:
- first: {call: charge, with: {customer: '${ .who }', amount: 3}}
- quiet: {call: charge, with: {customer: other, amount: 4}, export: {as: '{last: .}'}}
- mocked: {call: never.ever.called}
- final: {set: {input: '${ . }', first: '${ $steps.first }', last: '${ $context.last }'}}
";

#[test]
fn functions_have_their_own_data_and_extensions_take_none_of_it() {
    let mut stage = Stage::new(EXTENDED, json!({"who": "cus_1"}));
    let mut seen = Vec::new();
    while let Some(Effect::Call { at, operation, with, .. }) = stage.open.first().cloned() {
        seen.push(format!("{} {operation} {with}", at.path));
        stage.tell(Input::Resolved { at, outcome: Ok(json!({"state": seen.len()})), now: stage.now });
    }
    assert_eq!(
        seen,
        [
            r#"/do/0/first/call/charge/do/0/ask/extensions/log/before/0/say log.lines.write {"text":"before ask /do/0/first/call/charge/do/0/ask"}"#,
            r#"/do/0/first/call/charge/do/0/ask pay.charges.create {"id":"cus_1","amount":300}"#,
            r#"/do/0/first/call/charge/do/0/ask/extensions/log/after/0/said log.lines.write {"got":{"state":2}}"#,
            r#"/do/1/quiet/call/charge/do/0/ask/extensions/log/before/0/say log.lines.write {"text":"before ask /do/1/quiet/call/charge/do/0/ask"}"#,
            r#"/do/1/quiet/call/charge/do/0/ask pay.charges.create {"id":"other","amount":400}"#,
            r#"/do/1/quiet/call/charge/do/0/ask/extensions/log/after/0/said log.lines.write {"got":{"state":5}}"#,
            r#"/do/2/mocked/extensions/log/before/0/say log.lines.write {"text":"before mocked /do/2/mocked"}"#,
            r#"/do/2/mocked/extensions/log/after/0/said log.lines.write {"got":{"mocked":true}}"#,
        ]
    );
    assert_eq!(stage.output(), json!({"input": {"mocked": true}, "first": 2, "last": 5}));
}

#[test]
fn schemas_are_checked_where_data_comes_and_goes() {
    let flow = |extra: &str| {
        format!(
            "{extra}\ndo:\n- a: {{call: a.a, output: {{as: .n, schema: {{document: {{type: number}}}}}}, export: {{as: '{{n: .}}', schema: {{document: {{properties: {{n: {{maximum: 9}}}}}}}}}}}}\n"
        )
    };
    let run = |extra: &str, input: Value, answer: Value| {
        let mut stage = Stage::new(&flow(extra), input);
        if !stage.open.is_empty() {
            stage.answer("/a", Ok(json!({"n": answer})));
        }
        match stage.machine.status() {
            Status::Completed(output) => Ok(output),
            Status::Failed(fault) => {
                assert_eq!((fault.code(), fault.status), ("validation", 400));
                Err(format!("{}: {}", fault.instance.unwrap(), fault.detail))
            }
            Status::Running => panic!("running"),
        }
    };
    let input = "input: {schema: {format: json, document: {required: [id]}}, from: .id}";
    let output = "output: {as: '[.]', schema: {document: {items: {minimum: 5}}}}";
    assert_eq!(run(input, json!({"id": 1}), json!(4)), Ok(json!(4)));
    assert_eq!(
        run(input, json!({}), json!(4)).unwrap_err(),
        "/input/schema: the flow's input: the value lacks `id`"
    );
    assert_eq!(run(output, json!({}), json!(6)), Ok(json!([6])));
    assert_eq!(
        run(output, json!({}), json!(4)).unwrap_err(),
        "/output/schema: the flow's output: `/0` is 4, less than 5"
    );
    assert_eq!(
        run("", json!({}), json!("4")).unwrap_err(),
        "/do/0/a: the task's output: the value is \"4\", not number"
    );
    assert_eq!(
        run("", json!({}), json!(10)).unwrap_err(),
        "/do/0/a: what the task exports: `/n` is 10, more than 9"
    );
}

/// Everything that goes on at the same time, in one flow.
const MANIFOLD: &str = "
timeout: {after: PT1H}
use:
  functions:
    write: {do: [{send: {call: a.write, with: {n: '${ .n }'}}}]}
  extensions:
  - watch: {extend: wait, before: [{ping: {call: a.ping}}]}
do:
- all:
    fork:
      branches:
      - looped:
          for: {each: n, in: '.items'}
          do:
          - attempt:
              try:
              - put: {call: write, with: {n: '${ $n }'}, timeout: {after: PT20S}}
              catch:
                errors: {with: {status: 503}}
                retry: {delay: PT2S, jitter: {from: PT0S, to: PT3S}, limit: {attempt: {count: 2, duration: PT30S}}}
                do: [{gave: {set: {up: '${ $n }'}}}]
      - raced:
          fork:
            compete: true
            branches:
            - pause: {wait: {seconds: 15}}
            - read: {do: [{one: {call: a.one}}, {two: {call: a.two, export: {as: '{two: .}'}}}]}
      - hears:
          timeout: {after: PT40S}
          listen: {to: {any: [{with: {type: 'a.*'}}, {with: {type: b}, correlate: {n: {from: .data.n}}}], until: {one: {with: {type: over}}}}}
          foreach: {item: event, at: place, do: [{note: {call: a.note, with: {n: '${ $event }'}}}], output: {as: '[$place, .n]'}}
      - nested: {try: [{deep: {timeout: {after: PT9S}, fork: {branches: [{x: {call: a.x}}, {y: {call: a.y}}]}}}], catch: {do: [{lost: {set: {lost: '${ $error.type }'}}}]}}
      - mapped:
          call: data.map
          with: {items: .items, call: write, with: {n: '${ $item }'}, concurrency: 2, onError: keep}
- sum: {set: {all: '${ . }', two: '${ $context.two }'}}
";

proptest! {
    /// Whatever the order of results, the run ends; and feeding a fresh machine any prefix of what it was told gives
    /// the state and the effects that it had there.
    #[test]
    fn a_run_of_many_strands_replays_from_any_prefix(
        items in prop::collection::vec(0u8..4, 0..3),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 60),
        outcomes in prop::collection::vec(0u8..6, 60),
    ) {
        let begin = || start(MANIFOLD, json!({"items": items}));
        let mut stage = Stage::new(MANIFOLD, json!({"items": items}));
        let mut states = vec![(stage.machine.status(), begin().1, stage.machine.steps().to_vec())];
        let (mut choices, mut outcomes) = (choices.into_iter().cycle(), outcomes.into_iter().cycle());
        let mut names = std::collections::BTreeSet::new();
        while let Some(choice) = choices.next().filter(|_| stage.machine.is_running()) {
            prop_assert!(!stage.open.is_empty(), "it waits for nothing");
            prop_assert!(stage.inputs.len() < 400, "it does not end");
            let effect = choice.get(&stage.open).clone();
            let listens = matches!(effect, Effect::Listen { .. });
            if listens && !stage.machine.listens(effect.at()) {
                continue;
            }
            prop_assert!(listens || names.insert(effect.at().clone()), "{:?} is told twice", effect.at());
            let input = match effect {
                Effect::Call { at, .. } => {
                    let outcome = match outcomes.next() {
                        Some(0) => Err(refused(503)),
                        Some(1) if stage.inputs.len() > 3 => Err(refused(404)),
                        n => Ok(json!({"n": n})),
                    };
                    let now = stage.now.checked_add(jiff::SignedDuration::from_millis(700)).unwrap();
                    Input::Resolved { at, outcome, now }
                }
                Effect::Wait { at, until } => Input::Elapsed { at, now: until.max(stage.now) },
                Effect::Listen { at, .. } => {
                    let kinds = ["a.x", "a.y", "b", "b", "c", "over"];
                    let kind = kinds[usize::from(outcomes.next().unwrap_or(0)) % 6];
                    let event = Arc::new(json!({"type": kind, "data": {"n": outcomes.next().map(|n| n % 2)}}));
                    let heard = stage.machine.hears(&at, &event, &str::to_owned);
                    let Some(filter) = heard else { continue };
                    Input::Heard { at, filter, event, now: stage.now }
                }
            };
            if !listens {
                stage.open.retain(|open| open.at() != input.at());
            }
            stage.now = stage.now.max(input.now());
            stage.inputs.push(input.clone());
            let asked = stage.machine.advance(input);
            states.push((stage.machine.status(), asked.clone(), stage.machine.steps().to_vec()));
            stage.open.extend(asked);
            let machine = &stage.machine;
            stage.open.retain(|effect| machine.awaits(effect.at()));
        }
        prop_assert!(!stage.machine.is_running());
        prop_assert!(stage.machine.steps().iter().all(|step| step.state != StepState::Running));
        for (prefix, state) in states.iter().enumerate() {
            let (mut again, mut effects) = begin();
            for input in &stage.inputs[..prefix] {
                effects = again.advance(input.clone());
                // What is told twice changes nothing; of an event, each telling counts.
                if !matches!(input, Input::Heard { .. }) {
                    prop_assert_eq!(again.advance(input.clone()), vec![]);
                }
            }
            prop_assert_eq!(&(again.status(), effects, again.steps().to_vec()), state);
        }
    }
}
