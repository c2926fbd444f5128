use super::*;
use proptest::prelude::*;
use serde_json::json;

fn event() -> Value {
    json!({
        "id": "evt_1",
        "a": {"b": {"c": 7}},
        "n": null,
        "t": "Hello, World",
        "list": [3, 1, 2],
        "items": [
            {"id": "x", "amount": 1999, "currency": "usd", "tags": ["a", "b"]},
            {"id": "y", "amount": 500, "currency": "eur", "tags": []},
            {"id": "z", "amount": 1, "currency": "usd", "tags": ["c"]}
        ],
        "price": 12.5,
        "key with space": true
    })
}

fn run(text: &str) -> Result<Value, String> {
    let expression = Expression::parse(text).map_err(|problems| problems[0].message.clone())?;
    let scope = BTreeMap::from([
        ("steps".to_owned(), json!({"fetch": {"id": "s1"}, "my-step": 5})),
        ("settings".to_owned(), json!({"channel": "#billing"})),
        ("item".to_owned(), json!({"id": "i1"})),
    ]);
    expression.evaluate(&event(), &scope).map_err(|fault| fault.detail)
}

/// What jaq says of the same text; `None` if it fails or does not give exactly one value.
fn jaq(text: &str) -> Option<Value> {
    use jaq_core::load::{Arena, File, Loader};
    use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
    use jaq_json::{Val, read};
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(defs).load(&arena, File { code: text, path: () }).ok()?;
    let filter = Compiler::default().with_funs(funs).compile(modules).ok()?;
    let input: Val = read::parse_single(event().to_string().as_bytes()).ok()?;
    let ctx = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let results: Vec<_> = filter.id.run((ctx, input)).map(unwrap_valr).take(2).collect();
    match results.as_slice() {
        [] => Some(Value::Null),
        [Ok(value)] => serde_json::from_str(&value.to_string()).ok(),
        _ => None,
    }
}

/// Numbers are equal if they are the same but for the last bit, which the way through text may change.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Expressions over [`event`] that give one value here and in jaq.
const AGREED: &[&str] = &[
    ".",
    ".a.b.c",
    ".a[\"b\"].c",
    ".a.\"b\".c",
    ".[\"key with space\"]",
    ".missing.deeper",
    ".n.x.y",
    ".list[0]",
    ".list[-1]",
    ".list[9]",
    ".list[1:]",
    ".list[:-1]",
    ".t[0:5]",
    ".t[-5:]",
    "[.items[].id]",
    "[.items[] | .amount, .id]",
    "[.items[].tags[]]",
    "[.items[] | select(.currency == \"usd\") | .id]",
    "[.a.b.c?, (.t | .x?), 1]",
    "[.items[]? | .tags[]?]",
    "1 + 2 * 3 - 4",
    "7 / 2",
    "8 / 2",
    "7 % 3",
    "-7 % 3",
    "-(.price)",
    "1.5 + 1.5",
    "\"a\" + \"b\"",
    "null + 1",
    "[1] + [2]",
    "{a: 1} + {a: 2, b: 3}",
    "{a: {b: 1}} * {a: {c: 2}}",
    "[1, 2, 3, 2] - [2]",
    "\"a,b,c\" / \",\"",
    "1 == 1.0",
    "[1 < 2, 2 <= 2, 3 > 4, 4 >= 5, 1 != 2]",
    "[null, false, true, 0, \"a\", [], {}] | sort",
    "[[], {}, \"a\", 0, true, false, null] | sort",
    "[{b: 1}, {a: 2}, {a: 1}] | sort",
    ".n // \"default\"",
    ".a.b.c // 1",
    "(.n, false) // 3",
    "[(.n, 1, 2) // 3]",
    "[empty // 3]",
    "true and false or true",
    "[true, false | not]",
    "if .price > 10 then \"big\" elif .price > 5 then \"middle\" else \"small\" end",
    "if .n then 1 end",
    "[if (true, false) then 1 else 2 end]",
    "\"total: \\(.price) for \\(.a.b)\"",
    "\"\\(1 + 2) \\(\"x\" + \"y\")\"",
    "@json \"v=\\([1, \"a\"])\"",
    "@uri \"q=\\(\"a b&c/ü\")\"",
    "@base64 \"\\(\"hello\")\"",
    "\"aGVsbG8=\" | @base64d",
    "\"\\u00e9\\n\\t\\\"\"",
    "{a, list: .list, \"x\": 1, (\"y\" + \"z\"): 2}",
    "{t, \"price\"}",
    "[{a: (1, 2), b: (3, 4)}]",
    "[]",
    "{}",
    ".list as [$a, $b] | $a + $b",
    ".items[0] as {id: $id, amount: $n} | \"\\($id)\\($n)\"",
    ".items[0] as {$id, $amount} | {$id, n: $amount}",
    "[.list[] as $x | .list[] as $y | $x * $y]",
    "1 as $x | 2 as $y | [$x, $y, (3 as $x | $x + $y), $x]",
    "reduce .list[] as $x (0; . + $x)",
    "reduce .items[] as {amount: $n} (0; . + $n)",
    "reduce .items[] as $i ({}; . + {($i.id): $i.amount})",
    "[foreach .list[] as $x (0; . + $x)]",
    "[foreach .list[] as $x (0; . + $x; [$x, .])]",
    "[range(5)]",
    "[range(2; 5)]",
    "[range(0; 10; 3)]",
    "[range(5; 0; -2)]",
    "[limit(2; .list[])]",
    "[limit(0; .list[])]",
    "[skip(1; .list[])]",
    "first(.list[])",
    "[first(empty)]",
    "last(.list[])",
    ".list | first, last | select(. == 3)",
    ".list | map(. * 2)",
    ".items | map(.amount) | add",
    "add(.items[].amount)",
    ".a.b | map_values(. + 1)",
    ".list | map_values(select(. > 1))",
    ".items | map(select(.tags | length > 0) | .id)",
    ".items | sort_by(.amount) | map(.id)",
    ".items | sort_by(.currency, -.amount) | map(.id)",
    ".items | group_by(.currency) | map(length)",
    ".items | unique_by(.currency) | map(.id)",
    ".items | min_by(.amount).id",
    ".items | max_by(.amount).id",
    "[] | max_by(.x)",
    "[.list | min, max]",
    "[3, 1, 3, 2] | unique",
    ".list | sort | reverse",
    "[[1, [2]], 3] | flatten",
    "[[1, [2]], 3] | flatten(1)",
    "[true, false] | [any, all]",
    ".list | [any(. > 2), all(. > 2)]",
    "[any(.list[]; . == 1), all(.list[]; . == 1)]",
    ".items | [.[0] | keys]",
    ".list | keys",
    ".a | to_entries",
    "[{key: \"a\", value: 1}] | from_entries",
    "{a: 1, b: 2} | with_entries(.value += 0 // {key, value: (.value + 1)})",
    "[.t, .list, .a, null, 5, -5] | map(length)",
    "\"ü\" | [length, utf8bytelength]",
    "[.a, .list, .t, .price, .n, true] | map(type)",
    "[.a | has(\"b\", \"x\")]",
    ".list | [has(0), has(3)]",
    "\"b\" | in({b: 1})",
    "{a: [1, \"xyz\"]} | contains({a: [\"y\"]})",
    "\"foobar\" | contains(\"bar\")",
    "[\"a\"] | inside([\"a\", \"b\"])",
    ".t | [startswith(\"Hello\"), endswith(\"x\")]",
    ".t | [ltrimstr(\"Hello, \"), rtrimstr(\"World\"), ascii_downcase, ascii_upcase]",
    "\"  x \" | [trim, ltrim, rtrim]",
    ".t | split(\", \")",
    "\"abc\" | split(\"\")",
    "[\"a\", \"b\"] | join(\"-\")",
    ".t | [index(\"o\"), rindex(\"o\"), indices(\"o\")]",
    "[1, 2, 1] | index(1)",
    "[1.4, 1.5, -1.5, 2] | [map(floor), map(ceil), map(round), map(fabs)]",
    "[\"1\", \"1.5\", 2, \"-3\"] | map(tonumber)",
    "[1, \"a\", [1, {\"b\": null}], true] | map(tostring)",
    "{a: [1, 2], b: \"x\"} | tojson | fromjson",
    "[\"{\" | fromjson?]",
    "\"2015-03-05T23:51:47Z\" | fromdate",
    "1425599507 | todate",
    ".t | [test(\"^hello\"; \"i\"), test(\"^x\")]",
    "\"in_12\" | capture(\"^(?<kind>[a-z]+)_(?<n>[0-9]+)$\")",
    "\"a1b22\" | [scan(\"[0-9]+\")]",
    "\"a1b22\" | [scan(\"([a-z])([0-9])\")]",
    "\"a-b-c\" | sub(\"-\"; \"+\")",
    "\"a-b-c\" | gsub(\"-\"; \"+\")",
    "\"ab\" | gsub(\"(?<c>[a-z])\"; \"<\\(.c)>\")",
    "try error(\"no\") catch \"caught \\(.)\"",
    "[.list[] | try (if . == 1 then error(\"x\") else . end) catch \"e\"]",
    "[(1, error(\"x\"), 3)?]",
    "del(.a, .items, .list, .n)",
    "[.list[] | values]",
    "[1, \"a\", null, [1], {}, true | scalars]",
    "[1, \"a\", null | strings, numbers]",
    "[[1, 2], [3]] | transpose",
    "isempty(empty)",
    "[isempty(.list[])]",
    "getpath([\"a\", \"b\", \"c\"])",
    "[.[\"list\"][1], .items[.list[1]].id]",
    "[1, [2]] | tojson",
    "[.items[] | {id, total: (.amount / 100)}]",
    "\"x\" as $x | \"y\" as $y | [$x, $y] | join(\"\")",
    "[.list[] | . as $n | [range($n)] | length]",
    "[limit(3; range(100000))]",
    "[.list[] | select(. > 1)] | length",
    "nth(1; 1) // 2 | . , empty",
    "[9007199254740993, 18446744073709551615]",
    "9223372036854775807 + 1",
    "3 | abs",
];

#[test]
fn agrees_with_jaq() {
    let mut disagreements = Vec::new();
    let mut compared = 0;
    for text in AGREED {
        match (run(text), jaq(text)) {
            (Ok(ours), Some(theirs)) if same(&ours, &theirs) => compared += 1,
            // jaq reads `nth/2` and assignments, which are refused here.
            (Err(why), _) if text.contains("+=") || text.contains("nth(1; 1)") => assert!(!why.is_empty()),
            (ours, theirs) => disagreements.push(format!("{text}\n  ours  {ours:?}\n  jaq's {theirs:?}")),
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(compared >= AGREED.len() - 2);
}

#[test]
fn results_that_differ_from_jaqs_on_purpose() {
    for (text, expected) in [
        // jq prints whole floats as integers; jaq keeps the point.
        ("10 / 2", "5"),
        ("2.5 * 2", "5"),
        ("[\"a\", null, 1] | join(\",\")", "\"a,,1\""),
        ("1425599507.9 | todate", "\"2015-03-05T23:51:47Z\""),
        ("0 | strftime(\"%Y-%m\")", "\"1970-01\""),
        ("[1, \"a\\\"b\", null, true] | @csv", "\"1,\\\"a\\\"\\\"b\\\",,true\""),
        ("\"<a href='x'>\" | @html", "\"&lt;a href=&#39;x&#39;&gt;\""),
        // As jq does: both places are of the value as it was.
        ("{a: [1, 2, 3]} | del(.a[0], .a[1])", "{\"a\":[3]}"),
        (".t | toarray | length", "1"),
        ("\"abc\" | trimstr(\"a\")", "\"bc\""),
    ] {
        assert_eq!(run(text).map(|value| value.to_string()), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn variables_come_from_the_scope() {
    for (text, expected) in [
        ("${ $steps.fetch.id }", json!("s1")),
        ("$steps[\"my-step\"] + 1", json!(6)),
        ("$steps.\"my-step\"", json!(5)),
        ("$steps.unknown.x", json!(null)),
        ("$settings.channel", json!("#billing")),
        ("$item.id + \"!\"", json!("i1!")),
        ("${ .id }", json!("evt_1")),
        ("  ${.id}  ", json!("evt_1")),
        ("empty", json!(null)),
        ("[.items[] | select(.id == $item.id)] | length", json!(0)),
    ] {
        assert_eq!(run(text), Ok(expected), "{text}");
    }
}

#[test]
fn failures_say_what_failed() {
    for (text, part) in [
        ("(.t | .x) // 1", "cannot take field"),
        (".t.x", "cannot take field \"x\" of string"),
        (".items[\"a\"]", "cannot take field \"a\" of array of 3"),
        (".n[]", "cannot iterate over null"),
        (".t + 1", "cannot add string"),
        ("1 / 0", "divided by zero"),
        ("5 % 0", "divided by zero"),
        ("\"ab\" * 3", "strings can't be repeated"),
        ("3 * \"ab\"", "strings can't be repeated"),
        ("1e308 * 10", "not a finite number"),
        (".list[]", "several values"),
        ("[.list[]] | .[0, 1]", "several values"),
        ("\"x\" | tonumber", "is not a number"),
        ("error(\"the customer has no email\")", "the customer has no email"),
        ("error({code: 1})", "{\"code\":1}"),
        ("\"{\" | fromjson", "this is not JSON"),
        ("{(1): 2}", "must be a string"),
        ("reduce .list[] as $x (0; empty)", "gives none"),
        ("\"x\" | todate", "needs a number"),
        ("\"yesterday\" | fromdate", "is not a time"),
        ("1 | ascii_downcase", "needs a string"),
        ("\"a\" | map(.)", "needs an array"),
    ] {
        let detail = run(text).unwrap_err();
        assert!(detail.contains(part), "{text}: {detail}");
        assert!(detail.contains(text), "{text}: {detail}");
    }
}

/// What must be refused before it runs, and why.
const REFUSED: &[(&str, &str)] = &[
    ("recurse", "expression_refused"),
    ("recurse(.a)", "expression_refused"),
    ("..", "expression_refused"),
    ("[repeat(1)]", "expression_refused"),
    ("[limit(1; repeat(1))]", "expression_refused"),
    ("[while(true; .)]", "expression_refused"),
    ("until(false; .)", "expression_refused"),
    ("def f: f; f", "expression_refused"),
    ("def f(x): x | f(x); f(.)", "expression_refused"),
    ("[.[] as $x | def g: $x; g]", "expression_refused"),
    ("input", "expression_refused"),
    ("[inputs]", "expression_refused"),
    ("env", "expression_refused"),
    ("$ENV.HOME", "expression_refused"),
    ("$ENV", "expression_refused"),
    ("$secrets.stripe", "expression_refused"),
    ("$__prog_args", "expression_refused"),
    ("halt", "expression_refused"),
    ("halt_error(1)", "expression_refused"),
    ("now", "expression_refused"),
    ("debug", "expression_refused"),
    ("0 | localtime", "expression_refused"),
    ("walk(.)", "expression_refused"),
    ("[paths]", "expression_refused"),
    ("label $out | break $out", "expression_refused"),
    (".a |= 1", "expression_refused"),
    (".a += 1", "expression_refused"),
    (".a = 1", "expression_refused"),
    (".a //= 1", "expression_refused"),
    ("del(.[])", "expression_refused"),
    ("[1, 2] | combinations", "expression_refused"),
    ("import \"a\" as a; 1", "expression_syntax"),
    ("$steps", "expression_refused"),
    ("[$steps[]]", "expression_refused"),
    (".a |", "expression_syntax"),
    ("(.a", "expression_syntax"),
    (".a ) b", "expression_syntax"),
    ("\"unclosed", "expression_syntax"),
    ("", "expression_syntax"),
    ("1 # comment", "expression_syntax"),
    ("test(\"(\")", "expression_syntax"),
    ("test(\"(a{1000}){1000}\")", "expression_syntax"),
    ("test(\"(((((a{0,9}){0,9}){0,9}){0,9}){0,9}){0,9}\")", "expression_syntax"),
    ("test(\"a\"; \"q\")", "expression_syntax"),
    ("$steps.my-step", "expression_syntax"),
    ("splitt(\",\")", "unknown_function"),
    ("map(.a; .b)", "unknown_function"),
    ("@sh \"\\(.)\"", "unknown_function"),
];

#[test]
fn refuses_what_may_never_end_or_reads_the_world() {
    for (text, code) in REFUSED {
        let problems = Expression::parse(text).expect_err(text);
        assert_eq!(problems[0].code, *code, "{text}: {problems:?}");
    }
}

#[test]
fn says_all_problems_with_places_and_suggestions() {
    let steps = BTreeSet::from(["fetchCustomer".to_owned()]);
    let settings = BTreeSet::from(["slack_channel".to_owned()]);
    let named = ["invoice".to_owned()];
    let names = Names { named: &named, steps: Some(&steps), settings: Some(&settings), open: false };
    let text = "${ $steps.fetchCustmer.id + $settings.slack_chanel + $invoise.id + ($context | lenght) }";
    let found = Expression::compile(text, &names).unwrap_err();
    let found: Vec<_> = found
        .iter()
        .map(|problem| (&text[problem.offset..], problem.code, problem.suggestion.as_deref()))
        .collect();
    assert_eq!(found.len(), 4);
    assert!(found[0].0.starts_with("$steps.fetchCustmer"));
    assert_eq!((found[0].1, found[0].2), ("unknown_step", Some("$steps.fetchCustomer")));
    assert!(found[1].0.starts_with("slack_chanel"));
    assert_eq!((found[1].1, found[1].2), ("unknown_setting", Some("$settings.slack_channel")));
    assert_eq!((found[2].1, found[2].2), ("unknown_variable", Some("$invoice")));
    assert!(found[3].0.starts_with("lenght"));
    assert_eq!((found[3].1, found[3].2), ("unknown_function", Some("length")));
}

/// Valid programs of a few characters that would eat the machine.
#[test]
fn hostile_expressions_end_at_a_limit() {
    let nested = format!("{}1{}", "(".repeat(60), ")".repeat(60));
    let generators = format!("[{}1]", "(0, 1) | ".repeat(30));
    let cases: Vec<(String, &str)> = [
        ("reduce range(60) as $i (\"a\"; . + .)", "makes more than"),
        ("reduce range(60) as $i ([1]; . + .)", "more than"),
        ("reduce range(60) as $i ({}; {a: ., b: .})", "result is larger"),
        ("reduce range(99) as $i (1; [., .]) | tojson", "result is larger"),
        ("reduce range(99) as $i (1; [., .]) | . == .", "steps"),
        ("reduce range(99) as $i (1; [., .]) | flatten | length", "more than"),
        ("reduce range(99999) as $i (null; [.])", "nested deeper"),
        ("reduce range(99999) as $i (null; {a: .})", "nested deeper"),
        ("[range(1e9)]", "at most 100000"),
        ("[range(0; 1; 1e-9)]", "at most 100000"),
        ("[range(1; 2; 0)]", "at most 100000"),
        ("[range(100000) | range(100000)]", "more than"),
        ("first(range(100000) | range(100000) | select(false))", "steps"),
        ("[range(99999) as $a | range(99999) as $b | $a] | length", "more than"),
        ("any(range(99999); any(range(99999); false))", "steps"),
        (
            "[range(99999)] | map(tostring) | join(\"x\") as $s | [range(99999)] | map($s + tostring)",
            "more than",
        ),
        ("[range(99999)] | sort_by([range(99)] | length)", "more than"),
        ("(reduce range(16) as $i (\"a\"; . + .)) | [test(\"(a*)*b\"), gsub(\"a\"; \"bbbb\")] | length", ""),
        ("(reduce range(20) as $i (\"a\"; . + .)) | test(\"a\")", "at most 65536 bytes"),
        ("(reduce range(16) as $i (\"a\"; . + .)) | test(\"a{500}b\")", "steps"),
        ("(reduce range(16) as $i (\"a\"; . + .)) | [scan(\"a(.*z)?\")] | length", "steps"),
        ("[range(9999)] | map([range(9999)]) | length", "more than"),
        ("[range(9999)] as $x | [range(9999)] | map(. as $n | $x - [$n]) | length", "more than"),
        ("try error(\"x\") catch (reduce range(60) as $i (\"a\"; . + .))", "more than"),
        ("(reduce range(60) as $i (\"a\"; . + .)) // 1", "more than"),
        ("[(reduce range(60) as $i (\"a\"; . + .))?] | length", "more than"),
        ("reduce range(30) as $i (\"\\\"a\\\"\"; tojson) | length", "larger than"),
        ("[range(99999)] | reduce range(99) as $i (.; map(. + 1)) | length", "more than"),
        ("[range(99999) | tostring] | group_by(.) | map(unique) | transpose | length", ""),
        ("[limit(1e18; range(9))] | length", ""),
        ("\"a\" | [range(99999) as $n | test(\"a{\\($n)}\")] | length", "more than"),
        (".a | reduce range(99999) as $i (.; . + {(\"k\\($i)\"): $i}) | length", "more than"),
    ]
    .into_iter()
    .map(|(text, part)| (text.to_owned(), part))
    .chain([(nested, ""), (generators, "more than")])
    .collect();
    for (text, part) in cases {
        let outcome = run(&text);
        match (&outcome, part) {
            (Ok(_), "") => {}
            (Err(detail), part) if !part.is_empty() => assert!(detail.contains(part), "{text}: {detail}"),
            _ => panic!("{text}: {outcome:?}"),
        }
    }
}

#[test]
fn text_that_is_too_much_for_a_parser_is_not_given_to_one() {
    for text in [
        "(".repeat(5000),
        format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        format!("{}1", "- ".repeat(3000)),
        format!("{}1", "1 + ".repeat(2000)),
        format!("{}.", ".|".repeat(3000)),
        format!("{}1{}", "if 1 then ".repeat(600), " end".repeat(600)),
        format!("{}.", "try ".repeat(2000)),
        format!("{}1", "1 as $x | ".repeat(700)),
        format!("\"{}1{}\"", "\\(\"".repeat(100), "\")".repeat(100)),
        ".a".repeat(5000),
        format!("\"{}\"", "x".repeat(9000)),
        format!("[{}1]", "(0,1)|".repeat(61)),
    ] {
        let problems = Expression::parse(&text).expect_err("too much");
        assert_eq!(problems[0].code, "expression_too_large", "{}", &text[..20]);
    }
}

#[test]
fn deep_but_allowed_text_fits_the_stack() {
    let parts = [
        format!("{}1", "1 as $x | ".repeat(60)),
        format!("{}1{}", "if true then ".repeat(60), " end".repeat(60)),
        format!("{}1{}", "[".repeat(60), "]".repeat(60)),
        format!("[limit(1; {}1)]", "(0, 1) | ".repeat(30)),
        format!("{}1", "1 + ".repeat(60)),
        format!("{}1{}", "first(".repeat(60), ")".repeat(60)),
        format!("[{}[1][]]", "[1][] as $x | ".repeat(35)),
        format!("[limit(1; {{{}}})]", "a: (1, 2), ".repeat(25)),
        format!("[limit(1; \"{}\")]", "\\((1, 2))".repeat(30)),
        format!("[limit(1; {}1{})]", "try (".repeat(55), ")".repeat(55)),
        format!("{}false{}", "any(range(1); ".repeat(50), ")".repeat(50)),
        format!("{}.{}", "reduce range(1) as $x (0; ".repeat(37), ")".repeat(37)),
    ];
    // A small stack: what fits here fits a worker thread's.
    let outcome = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            parts.iter().map(|text| Expression::parse(text).map(|_| run(text))).filter(Result::is_ok).count()
        })
        .unwrap()
        .join();
    assert_eq!(outcome.ok(), Some(12));
}

proptest! {
    /// Whatever the text, parsing answers and evaluation ends.
    #[test]
    fn any_text_is_answered(text in "[-.|,()\\[\\]{}\"\\\\$a-c0-9 +*/:;?@=<>]{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _outcome = expression.evaluate(&event(), &BTreeMap::new());
        }
    }

    /// Arithmetic, comparison and text agree with jaq on any numbers.
    #[test]
    fn arithmetic_agrees_with_jaq(a in -1_000_000i64..1_000_000, b in -1000i64..1000, x in -1000.0f64..1000.0) {
        for text in [
            format!("{a} + {b} * {x}"),
            format!("[{a} - {b}, {a} * {b}, {x} < {b}, {a} == {b}]"),
            format!("if {b} == 0 then 0 else {a} % {b} end"),
            format!("[{x} | floor, ceil, round]"),
            format!("[{a}, {b}, {x}] | sort"),
        ] {
            let (ours, theirs) = (run(&text), jaq(&text));
            prop_assert!(ours.as_ref().ok().zip(theirs.as_ref()).is_some_and(|(a, b)| same(a, b)), "{text} {ours:?} {theirs:?}");
        }
    }

    /// The fast path and the evaluator say the same.
    #[test]
    fn shortcuts_change_nothing(path in "(\\.(a|b|c|n|t|list)){1,4}") {
        let short = Expression::parse(&path).unwrap().evaluate(&event(), &BTreeMap::new());
        let long = Expression::parse(&format!("{path} | .")).unwrap().evaluate(&event(), &BTreeMap::new());
        prop_assert_eq!(short.is_ok(), long.is_ok());
        if let (Ok(short), Ok(long)) = (short, long) {
            prop_assert_eq!(short, long);
        }
    }
}
