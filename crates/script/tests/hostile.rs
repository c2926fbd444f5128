//! Inputs that mean harm: each ends in a typed error soon after its limit, and this process, which stands for the
//! server, stays as small as it was.
//!
//! A program of its own, which is its own worker too: nobody else's tests move its memory.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use flow::{Expression, Fault};
use script::limits::{Limit, REQUEST_BYTES_MAX};
use script::{Pool, worker};
use serde_json::{Value, json};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The limit of time for what goes on without end.
const TIME: Duration = Duration::from_millis(250);
/// For what must meet another limit, however busy the machine is.
const LONG: Duration = Duration::from_secs(20);
/// How long after a limit the error is there.
const GRACE: Duration = Duration::from_millis(300);
/// How much larger this process may become meanwhile, in KiB.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// How long after the last one it may take until the memory is given back.
const SETTLE: Duration = Duration::from_secs(5);

/// What an input must come to.
enum Wanted {
    /// A limit, one of these.
    Limit(&'static [Limit]),
    /// A fault that says this.
    Says(&'static str),
    /// It does no harm.
    Value(Value),
}

use Limit::{Depth, Input, Memory, Output, Steps, Time};
use Wanted::{Limit as Ends, Says, Value as Gives};

/// Without end, so that only the clock ends them.
const ENDLESS: &[&str] = &[
    "for (;;) {}",
    "while (true) { try { for (;;) {} } catch {} }",
    "try { for (;;) {} } finally { for (;;) {} }",
    "for (const x of (function* () { for (;;) yield 1 })()) {}",
    "[2, 1].sort(() => { for (;;) {} })",
    "return {toJSON() { for (;;) {} }}",
    "throw {toString() { for (;;) {} }}",
    "throw Object.assign(new Error('x'), {get message() { for (;;) {} }})",
    "return new Proxy({}, {ownKeys() { for (;;) {} }})",
    "Object.prototype.toJSON = () => { for (;;) {} }; return {}",
    "Object.defineProperty(Object.prototype, 'then', {get() { for (;;) {} }}); return {}",
    "Promise.prototype.then = () => { for (;;) {} }; await 1; for (;;) await 1",
    "Error.prepareStackTrace = () => { for (;;) {} }; throw new Error('x')",
    "console.log({toJSON() { for (;;) {} }})",
    "const again = {then(resolve) { resolve(again) }}; return again",
    "for (;;) await null",
    "for (;;) new Promise(() => {})",
    "return /^(a+)+$/.test('a'.repeat(60) + '!')",
    "return /(x+x+)+y/.test('x'.repeat(80))",
    "return /^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(80))",
    "JSON.parse('[1, 2]', () => { for (;;) {} })",
    "return 'abc'.replace(/b/, () => { for (;;) {} })",
    "new Function('for (;;) {}')()",
    "(0, eval)('for (;;) {}')",
    "queueMicrotask?.(() => { for (;;) {} }); await null; for (;;) {}",
];

fn scripts() -> Vec<(&'static str, Wanted)> {
    vec![
        // Memory: doubling, index, range, nesting.
        ("let s = 'x'; for (;;) s += s + '1'", Ends(&[Memory])),
        ("let a = [1]; for (;;) a = a.concat(a)", Ends(&[Memory])),
        ("let a = []; for (;;) a = [a, {a}]", Ends(&[Memory])),
        ("const m = new Map(); for (let i = 0; ; i++) m.set(i, [i])", Ends(&[Memory])),
        ("const a = []; for (;;) a.push(() => a)", Ends(&[Memory])),
        ("const kept = []; for (;;) kept.push(new Promise(() => {}))", Ends(&[Memory])),
        ("let b = 3n; for (;;) b *= b", Says("RangeError")),
        ("return Array.from({length: 1e10})", Says("RangeError")),
        ("return Array.from({length: 4e7}, (_, i) => ({i}))", Ends(&[Memory])),
        ("return new Array(2e6).fill(0)", Ends(&[Output])),
        ("return 'x'.repeat(2 ** 28)", Ends(&[Memory])),
        ("return 'a'.repeat(1e5).replace(/a/g, '$`')", Ends(&[Memory])),
        ("return JSON.stringify('x'.repeat(3e7)) + 'x'.repeat(3e7)", Ends(&[Memory])),
        ("return new Uint8Array(1e9).length", Ends(&[Memory])),
        ("return Object.keys('x'.repeat(2e7)).length", Ends(&[Memory])),
        ("let s = 'x'.repeat(1e6); return s.split('').map((c) => [c, {c}]).length", Ends(&[Memory])),
        ("return new ArrayBuffer(2 ** 40)", Says("RangeError")),
        ("return 'x'.repeat(2 ** 31)", Says("RangeError")),
        // Depth.
        ("const f = () => f() + 1; return f()", Says("RangeError")),
        ("const p = new Proxy(() => {}, {apply() { return p() }}); return p()", Says("RangeError")),
        ("const o = {toString() { return '' + o }}; return '' + o", Says("RangeError")),
        ("return {toJSON() { return {a: {toJSON: this.toJSON}} }}", Says("RangeError")),
        ("return JSON.parse('['.repeat(1e6))", Says("the script failed")),
        ("let a = 1; for (let i = 0; i < 1e5; i++) a = [a]; return a", Says("the script failed")),
        ("eval('('.repeat(1e5))", Says("the script failed")),
        ("eval('['.repeat(1e6))", Says("the script failed")),
        ("new RegExp('('.repeat(1e5))", Says("SyntaxError")),
        ("return Math.max.apply(null, new Array(1e7))", Says("the script failed")),
        // Output.
        ("for (;;) console.log('x'.repeat(1e6))", Ends(&[Output])),
        ("for (;;) try { console.log('x'.repeat(1e6)) } catch {}", Ends(&[Steps, Time])),
        ("return 'x'.repeat(9e6)", Ends(&[Output])),
        ("return new Array(5e6).fill(0)", Ends(&[Output, Memory])),
        // The world.
        (
            "return [typeof process.env.HOME, typeof process.env.PATH].join()",
            Gives(json!("undefined,undefined")),
        ),
        (
            "return [typeof std, typeof os, typeof require, typeof Deno, typeof fetch, typeof setTimeout].join()",
            Gives(json!("undefined,undefined,undefined,undefined,undefined,undefined")),
        ),
        ("return await import('/etc/passwd')", Says("the script failed")),
        ("return await import('fs')", Says("the script failed")),
        ("process.exit(0)", Says("not a function")),
        ("quit()", Says("not defined")),
        ("return this.constructor.constructor('return process')().mainModule.require", Says("TypeError")),
        ("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", Says("the script failed")),
        ("return new (new Date(0).constructor)()", Says("no clock")),
        ("return Math.random()", Says("no randomness")),
        // Prototypes.
        (
            "({}).__proto__.polluted = 1; return JSON.parse('{\"__proto__\": {\"x\": 1}}').x ?? 'safe'",
            Gives(json!("safe")),
        ),
        (
            "JSON.stringify = Array.prototype.push = null; console.log({a: 1}); return {b: 2}",
            Gives(json!({"b": 2})),
        ),
        ("Object.freeze(globalThis); Array.prototype[Symbol.iterator] = null; return 1", Gives(json!(1))),
        ("return await {then() {}}", Says("what never comes")),
        ("}); for (const x of [1]) ((async () => {", Says("SyntaxError")),
        ("throw null", Says("the script")),
    ]
}

/// Of jq, all of it.
fn jq() -> Vec<(&'static str, Wanted)> {
    vec![
        ("def f: f; f", Ends(&[Time])),
        ("until(false; .)", Ends(&[Time])),
        ("last(range(1e15))", Ends(&[Time])),
        ("[limit(1; repeat(empty))]", Ends(&[Time, Depth])),
        ("def f: 1 + f; f", Ends(&[Depth, Memory, Time])),
        ("def f: [f]; f", Ends(&[Depth, Memory, Time])),
        ("[repeat(1)]", Ends(&[Memory, Time])),
        ("[recurse([., .])]", Ends(&[Memory, Time])),
        ("reduce range(60) as $i (\"a\"; . + .)", Ends(&[Memory])),
        ("reduce range(60) as $i ([1]; . + .)", Ends(&[Memory])),
        ("[range(1e12)]", Ends(&[Memory, Time])),
        ("\"x\" * 4000000000 | length", Ends(&[Memory])),
        ("[\"x\" * 10000000] | tojson", Ends(&[Output])),
        ("env", Says("reads nothing")),
        ("$ENV", Says("does not exist")),
        ("now", Says("reads nothing")),
        ("halt", Says("reads nothing")),
        ("halt_error(\"x\")", Says("reads nothing")),
        ("debug", Says("reads nothing")),
        ("input", Says("what does not exist")),
        ("0 | localtime", Says("reads nothing")),
        ("import \"a\" as a; a::f", Says("can't be read")),
        (".a |", Says("can't be read")),
        ("1, 2", Says("several values")),
        ("[1, 2] | map(. * 2)", Gives(json!([2, 4]))),
        ("[.. | numbers] | add", Gives(json!(6))),
    ]
}

/// Of expressions, which run in the server itself: steps and bytes are their limits.
const EXPRESSIONS: &[&str] = &[
    "reduce range(60) as $i (\"a\"; . + .)",
    "reduce range(60) as $i ([1]; . + .)",
    "reduce range(60) as $i ({}; {a: ., b: .})",
    "reduce range(99) as $i (1; [., .]) | . == .",
    "reduce range(99999) as $i (null; [.])",
    "[range(1e9)]",
    "[range(100000) | range(100000)]",
    "first(range(100000) | range(100000) | select(false))",
    "any(range(99999); any(range(99999); false))",
    "[range(99999)] | map(tostring) | join(\"x\") as $s | [range(99999)] | map($s + tostring)",
    "[range(9999)] | map([range(9999)]) | length",
    "try error(\"x\") catch (reduce range(60) as $i (\"a\"; . + .))",
    "(reduce range(20) as $i (\"a\"; . + .)) | test(\"a\")",
    "\"a\" | [range(99999) as $n | test(\"a{\\($n)}\")] | length",
    ".a | reduce range(99999) as $i (.; . + {(\"k\\($i)\"): $i}) | length",
    "(\"[\" + (reduce range(12) as $i (\"[\"; . + .))) | fromjson",
    "repeat(1)",
    "def f: f; f",
    "recurse",
    "env",
    "$ENV.HOME",
    "halt",
    "input",
    "now",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--worker") {
        return worker::run();
    }
    // As other tests do, it leaves itself out where others are asked for by name.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if arguments.iter().any(|argument| argument == "--list")
        || filter.is_some_and(|name| !"hostile".contains(name.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an executor");
    let much = "x".repeat(1 << 20);
    let much =
        json!({"language": "js", "code": "return 1", "arguments": vec![much; 1 + (REQUEST_BYTES_MAX >> 20)]});
    let before = resident_kib("VmRSS:");
    let Found { count, failures, most } = runtime.block_on(all(&much));
    let after = settled(before);
    for failure in &failures {
        eprintln!("{failure}");
    }
    println!(
        "{count} hostile inputs, {} misbehave; this process grew by {} KiB at most, and by {} KiB in the end",
        failures.len(),
        most,
        after.saturating_sub(before)
    );
    let small = after.saturating_sub(before) <= GROWTH_KIB_MAX;
    if failures.is_empty() && small { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Memory of this process in KiB: what it has (`VmRSS:`), or had at most since that was last forgotten (`VmHWM:`).
fn resident_kib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with(what)).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// What it has once the allocator has given back what nobody needs: that takes it a moment, and further work.
fn settled(before: u64) -> u64 {
    let start = Instant::now();
    loop {
        let after = resident_kib("VmRSS:");
        if after.saturating_sub(before) <= GROWTH_KIB_MAX || start.elapsed() > SETTLE {
            return after;
        }
        std::thread::sleep(Duration::from_millis(20));
        drop((0..1000).map(|length| "x".repeat(length)).collect::<Vec<_>>());
    }
}

/// Forgets the most that it had.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own");
}

#[derive(Default)]
struct Found {
    count: usize,
    failures: Vec<String>,
    /// What this process grew by at most, for one of them, in KiB.
    most: u64,
}

async fn all(much: &Value) -> Found {
    let program = std::env::current_exe().expect("this program");
    let pool = Pool::new(program, ["--worker"]);
    let mut all = Found::default();
    forget_peak();
    let mut before = resident_kib("VmRSS:");
    let mut judge = |what: &str, found: Result<(), String>| {
        let growth = resident_kib("VmHWM:").saturating_sub(before);
        forget_peak();
        before = resident_kib("VmRSS:");
        let found = match found {
            Ok(()) if growth > GROWTH_KIB_MAX => Err(format!("this process grew by {growth} KiB")),
            found => found,
        };
        all.count += 1;
        all.most = all.most.max(growth);
        all.failures.extend(found.err().map(|why| format!("{what}\n    {why}")));
    };
    for code in ENDLESS {
        judge(code, one(&pool, "js", code, &Ends(&[Time, Steps, Memory])).await);
    }
    for (code, wanted) in scripts() {
        judge(code, one(&pool, "js", code, &wanted).await);
    }
    for (code, wanted) in jq() {
        judge(code, one(&pool, "jq", code, &wanted).await);
    }
    judge("much input", met(&Ends(&[Input]), pool.run(much).await));
    for text in EXPRESSIONS {
        judge(text, expression(text));
    }
    all
}

async fn one(pool: &Pool, language: &str, code: &str, wanted: &Wanted) -> Result<(), String> {
    let endless = matches!(wanted, Ends(limits) if limits.contains(&Time));
    let limit = if endless { TIME } else { LONG };
    let with = json!({"language": language, "code": code, "stdin": {"n": [1, 2, 3]}});
    let start = Instant::now();
    let found = pool.clone().within(limit).run(&with).await;
    let took = start.elapsed();
    if took > limit + GRACE {
        return Err(format!("it took {took:?}"));
    }
    met(wanted, found)
}

fn met(wanted: &Wanted, found: Result<Value, Fault>) -> Result<(), String> {
    match (wanted, &found) {
        (Ends(limits), Err(fault)) => {
            let met = fault.data.as_ref().and_then(|data| data["limit"].as_str());
            if fault.code() == "script_limit" && limits.iter().any(|limit| Some(limit.name()) == met) {
                return Ok(());
            }
        }
        (Says(part), Err(fault)) if fault.detail.contains(part) => return Ok(()),
        (Gives(value), Ok(found)) if value == found => return Ok(()),
        _ => {}
    }
    let mut found = format!("{found:?}");
    found.truncate(300);
    Err(found)
}

fn expression(text: &str) -> Result<(), String> {
    let start = Instant::now();
    let outcome = match Expression::parse(text) {
        Ok(expression) => expression
            .evaluate(&json!({}), &std::collections::BTreeMap::new())
            .map_err(|fault| fault.to_string()),
        Err(problems) => Err(problems[0].message.clone()),
    };
    let took = start.elapsed();
    match outcome {
        Err(_) if took <= Duration::from_secs(2) => Ok(()),
        Err(why) => Err(format!("it took {took:?}: {why}")),
        Ok(value) => Err(format!("it gave {} bytes", value.to_string().len())),
    }
}
