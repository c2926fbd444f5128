//! One flow for each kind of step, and for each way in which a write is made safe to repeat.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::flows::{document, every_way};
use crate::vendor::Trouble;

/// A flow, and the vendor that it meets.
pub struct Case {
    pub name: String,
    pub document: String,
    pub data: Value,
    /// What goes wrong at the vendor, by request line, in turn.
    pub troubles: Vec<(String, Trouble)>,
    /// What follows if nobody knows whether its write happened.
    pub unsure: Unsure,
    /// What a person decides on each question as soon as it stands; none: nobody does.
    pub decides: Option<String>,
    /// It re-reads everything after it was put aside: results are found out anew.
    pub afresh: bool,
}

/// What follows from a write of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsure {
    /// The same end.
    Same,
    /// The write may happen once more.
    Twice,
    /// It is not sent again; the run fails and a person is asked.
    Asks,
}

/// Things that flows read.
pub fn things() -> Vec<(&'static str, Value)> {
    vec![
        ("t", json!({"name": "T", "size": 3, "parts": ["p1", "p2", "p3"]})),
        ("p1", json!({"name": "P1"})),
        ("p2", json!({"name": "P2"})),
        ("p3", json!({"name": "P3"})),
    ]
}

const PLAIN: &str = "  - begin: {set: {n: 0, seen: []}}
  - inner:
      do:
      - count: {set: {n: '${ .n + 1 }', seen: '${ .seen + [.n] }'}}
      - more: {switch: [{yes: {when: .n < 3, then: count}}, {no: {then: exit}}]}
      - never: {set: {n: -1}}
  - skipped: {if: .n > 10, set: {n: -2}}
  - each: {for: {each: it, in: '[1, 2, 3, 4]'}, while: .n < 8, do: [{add: {set: {n: '${ .n + $it }'}}}]}
  - done: {set: {n: '${ .n }', steps: '${ [$steps.count.n, $steps.skipped] }'}, then: end}
  - after: {set: {n: -3}}
";

const READ: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}, output: {as: .name}}
  - keep: {set: {name: '${ . }'}}
";

const BRANCH: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - inner:
      do:
      - choose: {switch: [{big: {when: .size > 5, then: end}}, {small: {then: write}}]}
      - not-this: {call: acme.charges.create, with: {connection: acme, name: never}}
      - write: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.look.name }'}, then: exit}
      - nor-this: {call: acme.charges.create, with: {connection: acme, name: never}}
  - if-so: {if: '$steps.write.id != null', call: acme.states.set, with: {connection: acme, name: s, value: '${ $steps.write.id }'}}
  - if-not: {if: '$steps.write.id == null', call: acme.charges.create, with: {connection: acme, name: never}}
  - over: {set: {id: '${ $steps.write.id }'}, then: end}
  - last: {call: acme.charges.create, with: {connection: acme, name: never}}
";

const LOOP: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}, export: {as: '{names: []}'}}
  - each:
      for: {each: part, in: '${ $steps.look.parts }', at: place}
      while: '($context.names | length) < 2'
      do:
      - read: {call: acme.things.get, with: {connection: acme, id: '${ $part }'}}
      - write: {call: acme.charges.create, with: {connection: acme, name: '${ \"\\($place) \\($steps.read.name)\" }'}, export: {as: '{names: ($context.names + [.name])}'}}
      - second: {if: $place == 1, call: acme.notes.create, with: {connection: acme, name: '${ $part }'}}
  - sum: {set: {names: '${ $context.names }'}}
";

const CAUGHT: &str = "  - attempt:
      try:
      - first: {call: acme.states.set, with: {connection: acme, name: before, value: 1}}
      - refused: {call: acme.charges.create, with: {connection: acme, name: refused}}
      - never: {call: acme.charges.create, with: {connection: acme, name: never}}
      catch:
        errors: {with: {status: 422}}
        as: problem
        do:
        - note: {call: acme.notes.create, with: {connection: acme, name: '${ \"status \\($problem.status)\" }'}}
  - missing:
      try: [{look: {call: acme.things.get, with: {connection: acme, id: nowhere}}}]
      catch: {errors: {with: {status: 404}}, then: last}
  - skipped: {call: acme.charges.create, with: {connection: acme, name: never}}
  - last: {call: acme.charges.create, with: {connection: acme, name: last}}
";

const RETRIED: &str = "  - attempt:
      try:
      - before: {call: acme.charges.create, with: {connection: acme, name: before}}
      - write: {call: acme.charges.create, with: {connection: acme, name: late}}
      catch:
        errors: {with: {status: 422}}
        retry: {delay: PT1S, backoff: {constant: {}}, limit: {attempt: {count: 4}}}
  - after: {set: {id: '${ $steps.write.id }'}}
";

const SETTLED: &str = "  - attempt:
      try: [{write: {call: acme.charges.create, with: {connection: acme, name: late}}}]
      catch: {errors: {with: {status: 422}}, retry: {delay: PT1S, limit: {attempt: {count: 4}}}}
  - after: {set: {id: '${ $steps.write.id }'}}
";

const RETRIED_LATE: &str = "  - attempt:
      try: [{write: {call: acme.charges.create, with: {connection: acme, name: refused}}}]
      catch:
        errors: {with: {status: 422}}
        retry: {delay: PT40S, backoff: {constant: {}}, limit: {attempt: {count: 2}}}
        do: [{give-up: {call: acme.states.set, with: {connection: acme, name: s, value: '${ $error.status }'}}}]
";

const RAISED: &str = "  - attempt:
      try: [{fail: {raise: {error: {type: https://x.test/gone, status: 410, title: Gone}}}}]
      catch: {as: why, do: [{tell: {call: acme.charges.create, with: {connection: acme, name: '${ $why.title }'}}}]}
  - plan:
      try: [{bad: {call: revenue.mirror.plan, with: {billing: 1}}}]
      catch: {as: why, do: [{keep: {set: {status: '${ $why.status }'}}}]}
  - over: {raise: {error: {type: https://x.test/over, status: 409, title: Over, detail: '${ $steps.tell.id }'}}}
";

const WAITS: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - short: {wait: PT2S}
  - second: {call: acme.customers.create, with: {connection: acme, name: second}}
  - long: {wait: PT5M}
  - third: {call: acme.notes.create, with: {connection: acme, name: '${ $steps.second.id }'}}
  - look: {call: acme.things.get, with: {connection: acme, id: p1}}
  - both: {wait: PT1M, then: end}
  - never: {call: acme.charges.create, with: {connection: acme, name: never}}
";

const STATE: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - customer: {call: acme.customers.create, with: {connection: acme, name: '${ $steps.look.name }'}}
  - state: {call: acme.states.set, with: {connection: acme, name: s, value: '${ $steps.customer.id }'}}
  - again: {call: acme.states.set, with: {connection: acme, name: t, value: '${ $steps.look.size }'}}
";

const FORKED: &str = "  - both:
      fork:
        branches:
        - left:
            do:
            - one: {call: acme.charges.create, with: {connection: acme, name: one}}
            - two: {call: acme.notes.create, with: {connection: acme, name: '${ $steps.one.id }'}}
        - right:
            do:
            - look: {call: acme.things.get, with: {connection: acme, id: p1}}
            - pause: {wait: PT2S}
            - three: {call: acme.customers.create, with: {connection: acme, name: three}}
  - after: {call: acme.states.set, with: {connection: acme, name: s, value: '${ [.[].id] }'}}
";

const TIMED: &str = "  - bounded:
      timeout: {after: PT1H}
      do:
      - first: {call: acme.charges.create, with: {connection: acme, name: first}}
      - pause: {wait: PT1M}
  - race:
      fork:
        compete: true
        branches:
        - quick: {do: [{w: {wait: PT1M}}, {won: {call: acme.notes.create, with: {connection: acme, name: won}}}]}
        - long: {wait: PT1H}
";

const SCRIPTED: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - compute: {run: {script: {language: js, code: give, arguments: ['${ .name }', 2]}}}
  - second: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.compute[0] }'}}
  - guard:
      try: [{bad: {run: {script: {language: js, code: fail, arguments: [no]}, return: all}}}]
      catch: {as: why, do: [{tell: {call: acme.notes.create, with: {connection: acme, name: '${ $why.title }'}}}]}
  - unseen: {run: {script: {language: js, code: fail}, await: false}}
  - last: {set: {id: '${ .id }'}}
";

const MAPPED: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - all:
      call: data.map
      with:
        items: '${ $steps.look.parts }'
        concurrency: 1
        call: acme.charges.create
        with: {connection: acme, name: '${ \"\\($index) \\($item)\" }'}
  - some:
      call: data.map
      with: {items: '[\"p1\", \"nowhere\"]', call: acme.things.get, with: {connection: acme, id: '${ . }'}, onError: keep}
  - after: {call: acme.states.set, with: {connection: acme, name: s, value: '${ [$steps.all[].name, (.[1].error.status)] }'}}
";

/// Programs are started once more where nobody knows whether they were.
const PROGRAMS: &str = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - count: {run: {shell: {command: wc, arguments: ['${ .name }', 2]}}}
  - write: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.count[0] }'}}
  - attempt:
      try: [{broken: {run: {container: {image: fail, arguments: ['${ $steps.look.name }']}}}}]
      catch: {errors: {with: {status: 500}}, as: problem, do: [{keep: {set: {detail: '${ $problem.detail }'}}}]}
";

/// Pages too large to be kept in memory, gone over record by record and page by page.
const STREAMED: &str = "  - list: {call: acme.things.list, with: {connection: acme, pad: 9000, page: stream}}
  - each:
      for: {each: it, in: '${ $steps.list.items }'}
      while: $it.id != \"t\"
      do:
      - write: {call: acme.charges.create, with: {connection: acme, name: '${ $it.name }'}}
  - all:
      call: data.map
      with:
        items: '${ $steps.list.pages }'
        concurrency: 1
        call: acme.notes.create
        with: {connection: acme, name: '${ [$item[].id] | join(\" \") }'}
  - after: {set: {ids: '${ [$steps.all[].name] }'}}
";

/// It tells itself what it listens for: events come early, while it does something with another, and late.
const LISTENS: &str = "  - both:
      fork:
        branches:
        - tells:
            do:
            - one: {emit: {event: {with: {source: 'https://tests.example', type: told.first, time: '2026-03-01T00:00:00Z', data: {name: one}}}}}
            - two: {emit: {event: {with: {source: 'https://tests.example', type: told.first, time: '2026-03-01T00:00:00Z', data: {name: two}}}}}
            - pause: {wait: PT1M}
            - over: {emit: {event: {with: {source: 'https://tests.example', type: told.over, time: '2026-03-01T00:00:00Z', data: {run: '${ $event.id }'}}}}}
        - hears:
            timeout: {after: PT1H}
            listen:
              to:
                any: [{with: {type: 'told.first', data: '${ .name != null }'}}]
                until: {one: {with: {type: told.over}, correlate: {run: {from: .data.run, expect: '${ $event.id }'}}}}
            foreach:
              item: it
              do: [{write: {call: acme.charges.create, with: {connection: acme, name: '${ $it.name }'}}}]
              output: {as: .name}
  - later: {wait: PT2M}
  - never: {try: [{again: {timeout: {after: PT1M}, listen: {to: {one: {with: {type: told.first}}}}}}], catch: {then: last}}
  - last: {call: acme.notes.create, with: {connection: acme, name: '${ $steps.both[1] | sort | join(\" \") }'}}
";

const ASKED: &str = "  - first: {call: acme.charges.create, with: {connection: acme, name: first}}
  - ask: {call: human.approve, with: {title: '${ \"May \" + $steps.first.name + \"?\" }', deadline: P2D}}
  - both:
      fork:
        compete: true
        branches:
        - again: {call: human.approve, with: {title: Again?, choices: [approve, other], assignees: [ann], deadline: P1D}}
        - long: {wait: P3D}
  - act: {call: acme.notes.create, with: {connection: acme, name: '${ $steps.ask.choice + \" \" + $steps.both.choice }'}}
";

/// Nobody decides: the clock does, a time limit, or nothing.
const UNASKED: &str = "  - ask: {call: human.approve, with: {title: t, deadline: PT1H, otherwise: reject}}
  - tell: {call: acme.charges.create, with: {connection: acme, name: '${ $steps.ask.choice }'}}
  - limit:
      try: [{bounded: {timeout: {after: PT30M}, call: human.approve, with: {title: t, deadline: PT1H}}}]
      catch: {errors: {with: {status: 408}}, do: [{note: {call: acme.notes.create, with: {connection: acme, name: bounded}}}]}
  - last: {call: human.approve, with: {title: t, deadline: PT1H}}
";

/// Made, left alone, changed in what is owned.
const UPSERTED: &str = "  - made: {call: acme.customers.upsert, with: {connection: acme, name: adam, size: 1, hue: red}}
  - same: {call: acme.customers.upsert, with: {connection: acme, name: adam, size: 1, hue: red}}
  - changed: {call: acme.customers.upsert, with: {connection: acme, name: adam, size: 2, hue: blue, fields: {owned: [size]}}}
  - tell: {call: acme.charges.create, with: {connection: acme, name: '${ [$steps.made, $steps.same, $steps.changed] | map(.outcome) | join(\" \") }'}}
  - result: {set: {record: '${ $steps.changed.record }', changed: '${ [$steps.made.changed, $steps.changed.changed] }'}}
";

/// Two writes of one kind with reads around them, so that a cut can fall before, between and behind.
fn writes(operation: &str) -> String {
    format!(
        "  - look: {{call: acme.things.get, with: {{connection: acme, id: p1}}}}
  - one: {{call: {operation}, with: {{connection: acme, name: '${{ \"one \" + $steps.look.name }}'}}}}
  - again: {{call: acme.things.get, with: {{connection: acme, id: p2}}}}
  - two: {{call: {operation}, with: {{connection: acme, name: '${{ \"two \" + $event.id }}'}}}}
  - result: {{set: {{names: '${{ [$steps.one.name, $steps.two.name] }}'}}}}
"
    )
}

pub fn case(name: &str, tasks: &str) -> Case {
    Case {
        name: name.to_owned(),
        document: document(name, "{}", tasks),
        data: json!({}),
        troubles: Vec::new(),
        unsure: Unsure::Same,
        decides: None,
        afresh: false,
    }
}

/// All of them, by name.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("plain", PLAIN),
        case("read", READ),
        Case { document: every_way(), ..case("every-way", "") },
        case("branch", BRANCH),
        case("loop", LOOP),
        case("caught", CAUGHT),
        case("retried", RETRIED),
        case("retried-late", RETRIED_LATE),
        Case {
            troubles: vec![("POST /charges".to_owned(), Trouble::RequestLost)],
            ..case("settled", SETTLED)
        },
        case("raised", RAISED),
        case("waits", WAITS),
        case("forked", FORKED),
        case("timed", TIMED),
        case("scripted", SCRIPTED),
        case("programs", PROGRAMS),
        case("mapped", MAPPED),
        case("streamed", STREAMED),
        case("listens", LISTENS),
        case("upserted", UPSERTED),
        Case {
            troubles: vec![
                ("GET /records".to_owned(), Trouble::Status(503, None)),
                ("POST /customers".to_owned(), Trouble::AnswerLost),
                ("PATCH /customers/customers-1".to_owned(), Trouble::Broken),
            ],
            ..case("upserted-lost-answer", UPSERTED)
        },
        // What is there by then is compared as well.
        Case {
            troubles: vec![("POST /customers".to_owned(), Trouble::Overtaken)],
            ..case("upserted-overtaken", UPSERTED)
        },
        Case { decides: Some("approve".to_owned()), ..case("asked", ASKED) },
        case("unasked", UNASKED),
        case("none", &writes("acme.pings.send")),
        case("destructive", &writes("acme.refunds.create")),
    ];
    for case in &mut cases {
        match case.name.as_str() {
            "none" => case.unsure = Unsure::Twice,
            "destructive" => case.unsure = Unsure::Asks,
            _ => {}
        }
    }
    // Each way to be repeated, with a vendor that is well and with one that is not.
    let ways = [
        ("header", "acme.charges.create", "POST /charges"),
        ("natural-key", "acme.customers.create", "POST /customers"),
        ("lookup", "acme.notes.create", "POST /notes"),
    ];
    for (name, operation, line) in ways {
        cases.push(case(name, &writes(operation)));
        let troubled = [
            ("lost-answer", vec![Trouble::AnswerLost]),
            ("lost-request", vec![Trouble::RequestLost]),
            ("broken", vec![Trouble::Broken, Trouble::NotReached]),
            ("put-aside", vec![Trouble::Status(429, Some(60)), Trouble::AnswerLost]),
        ];
        for (what, troubles) in troubled {
            let troubles = troubles.into_iter().map(|trouble| (line.to_owned(), trouble)).collect();
            let name = format!("{name}-{what}");
            cases.push(Case { troubles, ..case(&name, &writes(operation)) });
        }
    }
    let repeatable = "  - one: {call: acme.states.set, with: {connection: acme, name: s, value: 1}}
  - two: {call: acme.states.set, with: {connection: acme, name: s, value: 2}}
";
    cases.push(Case {
        troubles: vec![("PUT /states/s".to_owned(), Trouble::AnswerLost)],
        ..case("repeatable", repeatable)
    });
    cases.push(Case {
        document: document("state", "{concurrency: {key: '${ \"c\" }', mode: latest}}", STATE),
        troubles: vec![
            ("POST /customers".to_owned(), Trouble::AnswerLost),
            ("PUT /states/s".to_owned(), Trouble::Status(429, Some(60))),
        ],
        afresh: true,
        ..case("state", "")
    });
    cases
}
