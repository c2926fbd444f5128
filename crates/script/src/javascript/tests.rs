use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run;
use crate::{Answer, Ended, Language, Limit, Request};

fn request(code: &str, arguments: Vec<Value>, stdin: Value) -> Request {
    let environment = BTreeMap::from([("REGION".to_owned(), "eu".to_owned())]);
    Request { language: Language::JavaScript, code: code.to_owned(), arguments, environment, stdin }
}

fn ended(code: &str) -> Ended {
    match run(&request(code, vec![json!("a"), json!({"n": 2})], json!({"items": [1, 2, 3]}))) {
        Answer::Ended(ended) => ended,
        other => panic!("{code}: {other:?}"),
    }
}

fn value(code: &str) -> Value {
    let ended = ended(code);
    assert_eq!(ended.error, None, "{code}");
    ended.value.unwrap_or_else(|| panic!("{code}: it returns nothing"))
}

fn error(code: &str) -> String {
    ended(code).error.unwrap_or_else(|| panic!("{code}: it does not fail"))
}

#[test]
fn a_script_has_its_arguments_environment_and_input_and_returns_a_value() {
    for (code, expected) in [
        ("return 1 + 1", json!(2)),
        ("return args", json!(["a", {"n": 2}])),
        ("return process.argv.slice(2)[0] + process.env.REGION", json!("aeu")),
        ("return input.items.reduce((sum, n) => sum + n, 0)", json!(6)),
        ("return JSON.parse(stdin).items.length", json!(3)),
        ("const wait = async (n) => n * 2; return await wait(21)", json!(42)),
        ("return Promise.all([1, Promise.resolve(2)])", json!([1, 2])),
        ("return null", json!(null)),
        ("return {a: undefined, b: NaN, c: 1e21, d: [,1]}", json!({"b": null, "c": 1e21, "d": [null, 1]})),
        ("return new Date('2026-01-31T12:00:00Z').toISOString()", json!("2026-01-31T12:00:00.000Z")),
        ("return new Date(0) instanceof Date && typeof Date.UTC(2026, 0)", json!("number")),
        ("class Day extends Date {}; return new Day(5).getTime()", json!(5)),
        ("return new Map([['a', 1]]).get('a') + [...new Set([1, 1])].length", json!(2)),
        ("return 'a-b'.replaceAll('-', '+') + /(?<x>b)/.exec('ab').groups.x", json!("a+bb")),
        ("return (2n ** 70n).toString()", json!("1180591620717411303424")),
        ("return eval('1 + 2') + new Function('return 3')()", json!(6)),
        ("return 1 // and no more", json!(1)),
    ] {
        assert_eq!(value(code), expected, "{code}");
    }
}

#[test]
fn what_is_printed_is_kept_apart() {
    let ended = ended("console.log('a', 1, {b: [2]}); console.error(new TypeError('no')); console.info()");
    assert_eq!((ended.value, ended.error), (None, None));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("a 1 {\"b\":[2]}\n\n", "TypeError: no\n"));
}

#[test]
fn errors_say_what_and_where() {
    for (code, part) in [
        ("let x = 1;\nthrow new Error('no ' + x)", "Error: no 1"),
        ("let x = 1;\nthrow new Error('no ' + x)", "script:2"),
        ("throw 'text'", "text"),
        ("throw {code: 7}", "[object Object]"),
        ("throw undefined", "undefined"),
        ("return missing", "missing"),
        ("return (", "SyntaxError"),
        ("import x from 'fs'", "SyntaxError"),
        ("return import('fs')", "Error"),
        ("return require('fs')", "require"),
        ("return await new Promise(() => {})", "it waits for what never comes"),
        ("return 1n", "BigInt"),
        ("const a = {}; a.a = a; return a", "circular"),
        ("return Date.now()", "a script has no clock"),
        ("return new Date()", "a script has no clock"),
        ("return Date()", "a script has no clock"),
        ("return Math.random()", "a script has no randomness"),
        ("return '\\ud800'", "not JSON"),
        ("let a = 1; for (let i = 0; i < 120; i++) a = [a]; return a", "nested deeper than 100"),
        ("let a = 1; for (let i = 0; i < 400; i++) a = [a]; return a", "nested deeper than 100"),
        ("const f = () => f(); f()", "RangeError"),
        ("throw new Error('x'.repeat(5000))", "…"),
    ] {
        let found = error(code);
        assert!(found.contains(part), "{code}: {found}");
        assert!(found.len() < 1000);
    }
}

/// The real clock is out of reach, whatever way one goes about it.
#[test]
fn no_way_leads_to_the_clock() {
    for code in [
        "return new (new Date(0).constructor)()",
        "return new (Object.getPrototypeOf(Date))('return Date.now()')()",
        "return Date.prototype.constructor.now()",
        "return Reflect.construct(Date, [], Object)",
        "return Reflect.construct(Object, [], Date).getTime()",
        "class D extends Date {}; return new D()",
        "Array.prototype[Symbol.iterator] = function* () {}; return new Date()",
        "return performance.now()",
        "return (0, eval)('Date').now()",
        "return new (async () => {}).constructor('return Date.now()')()",
        "delete globalThis.Date; return new Date()",
    ] {
        error(code);
    }
}

#[test]
fn limits_are_told_by_name() {
    for (code, limit) in [
        ("for (;;) {}", Limit::Steps),
        ("try { for (;;) {} } finally { return 1 }", Limit::Steps),
        ("const a = []; for (;;) a.push(new Array(1000).fill(1))", Limit::Memory),
        ("let s = 'x'; for (;;) s += s + '1'", Limit::Memory),
        ("return 'x'.repeat(9 << 20)", Limit::Output),
        ("const s = 'x'.repeat(1 << 20); for (let i = 0; i < 20; i++) console.log(s)", Limit::Output),
    ] {
        let answer = run(&request(code, Vec::new(), Value::Null));
        assert_eq!(answer, Answer::Limited(limit), "{code}");
    }
}

#[test]
fn one_script_leaves_nothing_for_the_next() {
    value("globalThis.kept = 1; Object.prototype.kept = 1; Array.prototype.map = null; return 1");
    assert_eq!(
        value("return [typeof kept, ({}).kept ?? null, [1].map((n) => n)]"),
        json!(["undefined", null, [1]])
    );
}
