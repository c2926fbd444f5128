//! Expressions that would eat the machine: each ends at a limit of its own accord, in time and in bounded memory.

use std::collections::BTreeMap;
use std::time::Duration;

use flow::Expression;
use serde_json::{Value, json};

/// Processor time of one evaluation, the way to its limit included.
const TIME_MAX: Duration = Duration::from_millis(300);

/// What one evaluation may need besides what was there before it.
const MEMORY_KIB_MAX: u64 = 64 * 1024;

/// A figure of this process, in KiB.
fn memory_kib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it has this figure");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// Processor time of this thread: what else the machine does is not counted.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number comes first"))
}

fn input() -> Value {
    json!({
        "long": "a".repeat(64 * 1024),
        "words": "lorem ipsum dolor ".repeat(3_600),
        "list": (0..100_000).collect::<Vec<u32>>(),
        "texts": (0..20_000).map(|n| format!("text number {n}")).collect::<Vec<_>>(),
        "wide": (0..50_000).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>(),
    })
}

const HOSTILE: &[&str] = &[
    "reduce range(60) as $i (\"a\"; . + .)",
    "reduce range(60) as $i ([1]; . + .)",
    "reduce range(60) as $i ({}; {a: ., b: .})",
    "reduce range(99) as $i (1; [., .]) | tojson",
    "reduce range(99) as $i (1; [., .]) | . == .",
    "reduce range(99) as $i (1; [., .]) | flatten | length",
    "[range(100000) | range(100000)]",
    "first(range(100000) | range(100000) | select(false))",
    "any(range(99999); any(range(99999); false))",
    "[range(99999)] | map(tostring) | join(\"x\") as $s | [range(99999)] | map($s + tostring)",
    "[range(99999)] | sort_by([range(99)] | length)",
    "[range(9999)] | map([range(9999)]) | length",
    "[range(9999)] as $x | [range(9999)] | map(. as $n | $x - [$n]) | length",
    "reduce range(99999) as $i (0; . + ([range(100)] | length))",
    "[range(99999) | tostring] | group_by(.) | map(unique) | transpose | length",
    "[range(99999) | {a: ., b: {c: .}}] | map(.b.c) | sort | length",
    ".list | map(. as $n | [$n, $n]) | map(add) | add",
    ".list | sort_by(-.) | group_by(. % 7) | map(length)",
    ".list | map(tostring) | sort | unique | length",
    ".list | [.[] as $a | .[] as $b | $a] | length",
    "[.list, .list, .list, .list] | transpose | length",
    ".list | index(99999) as $i | [range(9999)] | map($i) | length",
    ".list - .list",
    ".list as $l | [range(99)] | map($l - [.]) | length",
    ".list | map(select(. > 5)) | map(select(. > 6)) | map(select(. > 7)) | map(select(. > 8)) | length",
    ".texts | map(split(\"\")) | flatten | group_by(.) | length",
    ".texts | map(ascii_downcase) | map(ascii_upcase) | join(\",\") | split(\",\") | length",
    ".texts | map(test(\"number [0-9]+$\")) | length",
    ".texts | map(gsub(\"[aeiou]\"; \"*\")) | length",
    ".texts | map(capture(\"(?<n>[0-9]+)\")) | length",
    ".texts | map([scan(\"[a-z]+\")]) | length",
    ".texts | map(@base64) | map(@uri) | map(@json) | length",
    ".wide | to_entries | from_entries | keys | length",
    ".wide | with_entries({key: .key, value: (.value + 1)}) | length",
    ".wide | [range(99) as $n | keys] | length",
    ".wide as $w | reduce range(99) as $n ({}; . + $w) | length",
    ".wide as $w | [range(99)] | map($w * $w) | length",
    ".wide | tojson | fromjson | tojson | length",
    ".wide | map_values(. + 1) | map_values(. + 1) | length",
    ".wide | del(.k1, .k2, .k3) | length",
    ". as $x | [range(999)] | map($x == $x) | length",
    ". as $x | [range(99)] | map($x | tojson | length) | length",
    ".long | test(\"(a*)*b\")",
    ".long | test(\"a{500}b\")",
    ".long | test(\"(a?){200}a{200}b\")",
    ".long | [scan(\"a(.*z)?\")] | length",
    ".long | gsub(\"a|a.*z\"; \"b\") | length",
    ".long | gsub(\"\"; \"b\") | length",
    ".long | [range(999)] as $r | [$r[] as $n | . | test(\"a*b\")] | length",
    ".long as $t | [range(999)] | map($t | test(\"[^b]*b\")) | length",
    ".words | [scan(\"\\\\w+\")] | length",
    ".words | gsub(\"(?<w>\\\\w+) \"; \"\\(.w)-\") | length",
    ".words as $t | [range(9999)] | map($t | split(\" \") | length) | length",
    ".words as $t | [range(9999)] | map($t[5:9000]) | length",
    ".words as $t | [range(9999)] | map($t | ascii_downcase | length) | length",
    ".words as $t | [range(9999)] | map($t | length) | length",
    ".words as $t | [range(9999)] | map($t | contains(\"zzz\")) | length",
    ".words as $t | [range(9999)] | map($t | index(\"zzz\")) | length",
    ".words as $t | [range(9999)] | map($t < ($t + \"a\")) | length",
    ".words as $t | [range(9999)] | map($t | ltrimstr(\"lorem\")) | length",
    ".words as $t | [range(9999)] | map($t | @base64 | @base64d) | length",
    ".words as $t | [range(9999)] | map([$t] | index([$t])) | length",
    "[range(99999) | todate] | map(fromdate) | length",
    "[range(99999) | strftime(\"%Y-%m-%dT%H:%M:%SZ\")] | length",
    "[range(99999)] | map(pow(.; 3) | sqrt | floor) | length",
    "[range(99999)] | [limit(99998; .[])] | last",
    "[range(999)] | [.[] as $a | .[] as $b | .[] as $c | select($a * $b == $c)] | length",
    "[foreach range(99999) as $i ([]; . + [$i]; length)] | last",
    "reduce range(99999) as $i ({}; . + {(\"k\\($i)\"): $i}) | length",
    "reduce range(99999) as $i (\"\"; . + \"x\") | length",
    "reduce range(99999) as $i (null; [.])",
    "try error(\"x\") catch (reduce range(60) as $i (\"a\"; . + .))",
    "[(reduce range(60) as $i (\"a\"; . + .))?] | length",
    "(reduce range(60) as $i (\"a\"; . + .)) // 1",
    "[.list[] | (., .) | (., .) | (., .) | (., .)] | length",
    "[.list[] | [.]] | add | length",
    "[.list[] | {\"\\(.)\": .}] | add | length",
    ".list | to_entries? // [.[] | {key: \"\\(.)\", value: .}] | from_entries | length",
    ".list | [limit(50000; .[])] | min_by(-.), max_by(-.) | tostring",
    ".list | flatten | reverse | unique_by(. % 1000) | length",
    "[.list[:20000][] as $n | .texts[$n:$n + 50] | join(\"\")] | length",
    "[range(300) as $n | .wide | keys_unsorted | .[$n]] | length",
];

/// What one evaluation took.
struct Cost {
    took: Duration,
    /// KiB.
    needed: u64,
    end: String,
}

fn evaluated(text: &str, input: &Value, scope: &BTreeMap<String, Value>) -> Cost {
    // The peak begins anew.
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may do that to itself");
    let (before, began) = (memory_kib("VmRSS"), processor_time());
    // What is refused when the flow is read is refused in time too.
    let outcome = match Expression::parse(text) {
        Ok(expression) => expression.evaluate(input, scope).map_err(|fault| fault.detail),
        Err(problems) => Err(problems[0].message.clone()),
    };
    let took = processor_time() - began;
    let needed = memory_kib("VmHWM").saturating_sub(before);
    Cost { took, needed, end: outcome.map_or_else(|why| why, |_| "a result".to_owned()) }
}

#[test]
fn every_hostile_expression_ends_in_time_and_memory() {
    let input = input();
    let scope: BTreeMap<String, Value> = BTreeMap::new();
    let mut over = Vec::new();
    for text in HOSTILE {
        let mut cost = evaluated(text, &input, &scope);
        // Whatever else the machine does at the same time only adds to it: the least is what it takes.
        for _ in 0..2 {
            if cost.took > TIME_MAX {
                let again = evaluated(text, &input, &scope);
                cost = if again.took < cost.took { again } else { cost };
            }
        }
        let Cost { took, needed, end } = cost;
        let said: String = end.chars().take(60).collect();
        println!("{:>6} ms {:>6} KiB  {said:<60}  {text}", took.as_millis(), needed);
        if took > TIME_MAX || needed > MEMORY_KIB_MAX {
            over.push(format!("{text}: {took:?}, {needed} KiB until {end}"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
