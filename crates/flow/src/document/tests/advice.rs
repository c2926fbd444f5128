//! What is advised, and does not stop a flow that is deployed already.

use super::*;

/// What is understood, told, and no reason to refuse a flow that is deployed.
#[test]
fn advises_where_something_is_most_likely_not_meant() {
    for (text, expected) in [
        (
            "do:\n- a: {set: {x: 1}, then: end}\n- b: {set: {x: 2}}",
            "unreachable_task /do/1/b f.yaml:4:3: task `b` is never reached",
        ),
        (
            "do:\n- a: {raise: {error: {type: 'https://x.test/e', status: 400}}}\n- b: {set: {x: 2}}",
            "unreachable_task /do/1/b f.yaml:4:3",
        ),
        (
            "do:\n- a: {switch: [{x: {when: .a, then: c}}, {y: {then: exit}}]}\n- b: {set: {x: 2}}\n- c: {set: {x: 2}}",
            "unreachable_task /do/1/b f.yaml:4:3",
        ),
        (
            "do:\n- a: {do: [{b: {raise: {error: {type: 'https://x.test/e', status: 400}}}}]}\n- c: {set: {x: 2}}",
            "unreachable_task /do/1/c f.yaml:4:3",
        ),
        (
            "do:\n- a: {call: x.y, with: {key: sk_live_4eC39HqLyjWDarjtT1zdp7dc}}",
            "plain_secret /do/0/a/with/key f.yaml:3:30: `sk_live_…` looks like a key",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: 'https://a.test', headers: {authorization: Bearer x}}}",
            "plain_secret /do/0/a/with/headers/authorization f.yaml:3:77: `authorization` is written out",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: 'https://me:pw@a.test'}}",
            "plain_secret /do/0/a/with/endpoint f.yaml:3:49: the address has a password in it",
        ),
        ("do:\n- a: {set: {zip: 01234}}", "yaml_trap /do/0/a/set/zip f.yaml:3:18: `01234` is read as"),
        // Each of these can be reached.
        ("do:\n- a: {if: .x, set: {x: 1}, then: end}\n- b: {set: {x: 2}}", ""),
        ("do:\n- a: {set: {x: 1}, then: c}\n- b: {set: {x: 2}, then: end}\n- c: {set: {x: 1}, then: b}", ""),
        ("do:\n- a: {switch: [{x: {when: .a, then: end}}]}\n- b: {set: {x: 2}}", ""),
        (
            "do:\n- a: {try: [{r: {raise: {error: {type: 'https://x.test/e', status: 400}}}}], catch: {as: e}}\n- b: {set: {x: 2}}",
            "",
        ),
    ] {
        let found = Document::inspect("f.yaml", &format!("{HEAD}{text}"));
        assert_eq!(found.problems, [], "{text}");
        assert!(found.document.is_some());
        let told: Vec<_> =
            found.advice.iter().map(|found| format!("{} {} {found}", found.code, found.path)).collect();
        match expected {
            "" => assert_eq!(told, [""; 0], "{text}"),
            _ => assert!(told.len() == 1 && told[0].starts_with(expected), "{text}: {told:?}"),
        }
    }
}
