//! Runs that listen: what they take, in which order, and what they make of it.

use super::tests::{at, start};
use super::*;
use serde_json::json;

/// Tells a machine events, as far as it takes them, and answers its calls with their arguments; what is taken.
struct Ear {
    machine: Machine,
    open: Vec<Effect>,
}

impl Ear {
    fn new(tasks: &str, input: Value) -> Self {
        let (machine, open) = start(tasks, input);
        Self { machine, open }.settled()
    }

    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    fn settle(&mut self) {
        while let Some(place) = self.open.iter().position(|effect| matches!(effect, Effect::Call { .. })) {
            let Effect::Call { at: effect, with, .. } = self.open.remove(place) else { unreachable!() };
            let more = self.machine.advance(Input::Resolved { at: effect, outcome: Ok(with), now: at(0) });
            self.open.extend(more);
        }
        let machine = &self.machine;
        self.open.retain(|effect| machine.awaits(effect.at()));
    }

    fn listening(&self) -> Option<(EffectRef, Vec<Interest>)> {
        self.open.iter().find_map(|effect| match effect {
            Effect::Listen { at, interests } if self.machine.listens(at) => {
                Some((at.clone(), interests.clone()))
            }
            _ => None,
        })
    }

    /// Whether it takes the event.
    fn tell(&mut self, r#type: &str, data: Value) -> bool {
        let Some((effect, interests)) = self.listening() else { return false };
        let event = json!({"id": "e", "source": "billing", "type": r#type, "subject": "s", "data": data});
        let heard = self.machine.hears(&effect, &event, &str::to_owned);
        // What the run takes it is told of.
        let found = |interest: &Interest| {
            let (form, key) = interest.form_and_key(str::to_owned);
            crate::hearing::names_of_type(r#type).contains(&interest.r#type)
                && crate::hearing::Asked::new(&form).key(&event) == Some(key)
        };
        assert!(heard.is_none() || interests.iter().any(found), "{interests:?} does not find {event}");
        let Some(filter) = heard else { return false };
        let more =
            self.machine.advance(Input::Heard { at: effect, filter, event: Arc::new(event), now: at(1) });
        self.open.extend(more);
        self.settle();
        true
    }

    fn output(&self) -> Value {
        match self.machine.status() {
            Status::Completed(output) => output,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_event_is_enough_unless_all_are_asked_for() {
    let mut ear = Ear::new("do: [{a: {listen: {to: {one: {with: {type: a.b, subject: s}}}}}}]", json!({}));
    assert!(!ear.tell("a.c", json!(1)));
    assert!(ear.tell("a.b", json!(2)));
    assert_eq!(ear.output(), json!([2]));

    let mut ear =
        Ear::new("do: [{a: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}}}]", json!({}));
    assert!(ear.tell("b", json!(1)));
    assert!(!ear.tell("b", json!(2)), "there is one of each");
    assert!(ear.tell("a", json!(3)));
    assert_eq!(ear.output(), json!([1, 3]));

    let mut ear = Ear::new(
        "do: [{a: {listen: {to: {any: []}, read: envelope}, output: {as: '.[0].type'}}}]",
        json!({}),
    );
    assert!(ear.tell("whatever", json!(1)));
    assert_eq!(ear.output(), json!("whatever"));

    let mut ear = Ear::new("do: [{a: {listen: {to: {one: {with: {type: 'x.*'}}}, read: raw}}}]", json!({}));
    assert!(!ear.tell("x", json!(1)));
    assert!(ear.tell("x.y", json!({"n": 1})));
    assert_eq!(ear.output(), json!(["{\"n\":1}"]));
}

#[test]
fn attributes_are_compared_or_judged() {
    let with = |with: &str| format!("do: [{{a: {{listen: {{to: {{one: {{with: {with}}}}}}}}}}}]");
    for (filter, data, taken) in [
        ("{type: a, data: '${ .n > 3 }'}", json!({"n": 4}), true),
        ("{type: a, data: '${ .n > 3 }'}", json!({"n": 3}), false),
        ("{type: a, data: {n: 3}}", json!({"n": 3, "m": 1}), true),
        ("{type: a, data: {n: 3}}", json!({"m": 1}), false),
        ("{type: a, data: {n: '${ $settings.channel }'}}", json!({"n": "#billing"}), true),
        ("{type: a, data: '${ .n == $input.wanted }'}", json!({"n": 7}), true),
        ("{type: a, data: '${ .n == $input.wanted }'}", json!({"n": 8}), false),
        ("{type: a, data: '${ .n.m.o }'}", json!({"n": "text"}), false),
        ("{type: a, source: billing}", json!(1), true),
        ("{type: a, source: other}", json!(1), false),
        ("{source: billing}", json!(1), true),
        ("{type: a, subject: '${ startswith(\"s\") }'}", json!(1), true),
        ("{type: a, subject: '${ \"s\" }'}", json!(1), true),
        ("{type: a, absent: x}", json!(1), false),
    ] {
        let mut ear = Ear::new(&with(filter), json!({"wanted": 7}));
        assert_eq!(ear.tell("a", data.clone()), taken, "{filter} {data}");
    }
}

#[test]
fn events_are_correlated_with_the_run_or_with_the_first_one() {
    let tasks = "do: [{a: {listen: {to: {all: [
        {with: {type: a}, correlate: {order: {from: .data.order}, who: {from: .data.who, expect: '${ .customer }'}}},
        {with: {type: b}, correlate: {order: {from: .data.id}}}]}}}}]";
    let mut ear = Ear::new(tasks, json!({"customer": 12}));
    assert!(!ear.tell("a", json!({"order": 1, "who": 13})));
    assert!(!ear.tell("a", json!({"who": 12})), "it has no order");
    assert!(ear.tell("a", json!({"order": 1, "who": "12"})));
    assert!(!ear.tell("b", json!({"id": 2})));
    assert!(ear.tell("b", json!({"id": 1.0})));
    assert_eq!(ear.output(), json!([{"order": 1, "who": "12"}, {"id": 1.0}]));
}

#[test]
fn any_number_of_events_until_a_condition_or_an_event() {
    let tasks =
        "do: [{a: {listen: {to: {any: [{with: {type: a}}], until: 'length > 2 or (map(.n) | add) > 5'}}}}]";
    let mut ear = Ear::new(tasks, json!({}));
    assert!(ear.tell("a", json!({"n": 1})));
    assert!(ear.tell("a", json!({"n": 6})));
    assert_eq!(ear.output(), json!([{"n": 1}, {"n": 6}]));

    let tasks = "do: [{a: {listen: {to: {any: [], until: {all: [{with: {type: x}}, {with: {type: y}}]}}}}}]";
    let mut ear = Ear::new(tasks, json!({}));
    for (r#type, n) in [("x", 1), ("a", 2), ("x", 3), ("y", 4)] {
        assert!(ear.tell(r#type, json!(n)));
    }
    assert_eq!(ear.output(), json!([2, 3]), "the second `x` ends nothing");
}

#[test]
fn each_event_is_done_with_before_the_next() {
    let tasks = "
do:
- a:
    listen: {to: {any: [{with: {type: a}}], until: '$context.sum > 4'}}
    foreach:
      item: event
      at: place
      do:
      - call-it: {call: a.a, with: {n: '${ $event.n }', input: '${ .n }', place: '${ $place }'}}
      - after: {set: {n: '${ .n }', place: '${ $place }'}}
      output: {as: '[.n, $place]'}
      export: {as: '{sum: (($context.sum // 0) + .[0])}'}
- b: {set: {got: '${ . }', sum: '${ $context.sum }'}}
";
    let (machine, open) = start(tasks, json!({}));
    let mut ear = Ear { machine, open };
    let (effect, _) = ear.listening().unwrap();
    let event = Arc::new(json!({"type": "a", "data": {"n": 2}}));
    let more =
        ear.machine.advance(Input::Heard { at: effect.clone(), filter: 0, event: event.clone(), now: at(1) });
    assert!(
        matches!(&more[..], [Effect::Call { with, .. }] if *with == json!({"n": 2, "input": 2, "place": 0}))
    );
    assert!(!ear.machine.listens(&effect) && ear.machine.awaits(&effect));
    assert_eq!(ear.machine.advance(Input::Heard { at: effect, filter: 0, event, now: at(1) }), []);
    ear.open.extend(more);
    ear.settle();
    assert!(ear.tell("a", json!({"n": 3})));
    assert_eq!(ear.output(), json!({"got": [[2, 0], [3, 1]], "sum": 5}));
}

#[test]
fn a_fault_on_the_way_and_a_timeout_end_it() {
    let tasks = "
do:
- a:
    try: [{b: {timeout: {after: PT5S}, listen: {to: {any: [{with: {type: a}}], until: '${ false }'}},
      foreach: {do: [{c: {if: .n == 2, raise: {error: {type: https://x.test/no, status: 409}}}}]}}}]
    catch: {as: why, do: [{d: {set: {status: '${ $why.status }'}}}]}
";
    let mut ear = Ear::new(tasks, json!({}));
    assert!(ear.tell("a", json!({"n": 1})));
    assert!(ear.tell("a", json!({"n": 2})));
    assert_eq!(ear.output(), json!({"status": 409}));

    let mut ear = Ear::new(tasks, json!({}));
    assert!(ear.tell("a", json!({"n": 1})));
    let timeout = ear.open.iter().find(|effect| matches!(effect, Effect::Wait { .. })).unwrap().at().clone();
    ear.machine.advance(Input::Elapsed { at: timeout, now: at(5) });
    assert_eq!(ear.output(), json!({"status": 408}));
}
