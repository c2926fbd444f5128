//! jq itself is the oracle: random expressions of the supported kind over random data say there what they say here.
//!
//! `cargo xtask test` installs jq. Its versions differ in what this grammar leaves out: see the differences that the
//! reference lists.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use flow::Expression;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Expressions asked for in one go: starting jq is what takes time.
const AT_ONCE: usize = 48;
/// The deepest nesting of an expression.
const DEPTH_MAX: usize = 4;

/// Draws expressions from bytes, so that fewer and smaller bytes are simpler expressions.
struct Draw<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl Draw<'_> {
    fn pick(&mut self, of: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % of
    }

    fn small(&mut self) -> usize {
        self.pick(7)
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.pick(4) {
                0 => ".a".to_owned(),
                1 => ".b".to_owned(),
                2 => self.small().to_string(),
                _ => format!("-{}", self.small()),
            };
        }
        let d = depth - 1;
        match self.pick(14) {
            0 => self.number(0),
            1 => format!("({} + {})", self.number(d), self.number(d)),
            2 => format!("({} - {})", self.number(d), self.number(d)),
            3 => format!("({} * {})", self.number(d), self.number(d)),
            4 => format!("({} / 2)", self.number(d)),
            5 => format!("({} % 5)", self.number(d)),
            6 => format!("({} | length)", self.list(d)),
            7 => format!("({} | length)", self.text(d)),
            8 => format!("({} | add // 0)", self.list(d)),
            9 => format!("({} | {} // 7)", self.list(d), ["max", "min", "first", "last"][self.pick(4)]),
            10 => format!("(if {} then {} else {} end)", self.truth(d), self.number(d), self.number(d)),
            11 => format!("(reduce {}[] as $i ({}; . + $i))", self.list(d), self.number(d)),
            12 => format!("({} | index({}) // -1)", self.list(d), self.small()),
            _ => format!("({} / 4 | {})", self.number(d), ["floor", "ceil", "round"][self.pick(3)]),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return [".s", ".t", "\"a,b\"", "\"\"", "\"Zoë\"", ".w[0]"][self.pick(6)].to_owned();
        }
        let d = depth - 1;
        match self.pick(16) {
            0 => self.text(0),
            1 => format!("({} + {})", self.text(d), self.text(d)),
            2 => format!("({} | {})", self.text(d), ["ascii_downcase", "ascii_upcase"][self.pick(2)]),
            3 => format!("({} | {}(\"a\"))", self.text(d), ["ltrimstr", "rtrimstr"][self.pick(2)]),
            4 => format!("({} | floor + 0 | tostring)", self.number(d)),
            5 => format!("\"\\({} | floor + 0)-\\({})\"", self.number(d), self.text(d)),
            6 => format!("(.w | join({}))", ["\",\"", "\"\"", "\"--\""][self.pick(3)]),
            7 => format!("({} | split(\",\") | .[{}] // \"none\")", self.text(d), self.small()),
            8 => format!("({}[{}:{}])", self.text(d), self.small(), self.small()),
            9 => format!("({} | map(floor + 0) | tojson)", self.list(d)),
            10 => format!("({} | {})", self.text(d), ["@base64", "@uri", "@json", "@text"][self.pick(4)]),
            11 => format!("({} | tostring)", self.truth(d)),
            12 => format!("({} | sub(\"a\"; \"<\"))", self.text(d)),
            13 => format!("({} | gsub(\"[ab]\"; \"+\"))", self.text(d)),
            14 => format!("({} | tojson | fromjson)", self.text(d)),
            _ => format!("(try error({}) catch .)", self.text(0)),
        }
    }

    fn truth(&mut self, depth: usize) -> String {
        if depth == 0 {
            return ["true", "false", ".f", "(.n == null)"][self.pick(4)].to_owned();
        }
        let d = depth - 1;
        match self.pick(12) {
            0 => self.truth(0),
            1 => format!(
                "({} {} {})",
                self.number(d),
                ["<", "<=", ">", ">=", "==", "!="][self.pick(6)],
                self.number(d)
            ),
            2 => format!("({} {} {})", self.text(d), ["<", "==", "!=", ">="][self.pick(4)], self.text(d)),
            3 => format!("({} {} {})", self.list(d), ["<", "==", ">"][self.pick(3)], self.list(d)),
            4 => format!("({} | not)", self.truth(d)),
            5 => format!("({} {} {})", self.truth(d), ["and", "or"][self.pick(2)], self.truth(d)),
            6 => format!("({} | {}(. > {}))", self.list(d), ["any", "all"][self.pick(2)], self.small()),
            7 => format!(
                "({} | {}(\"a\"))",
                self.text(d),
                ["startswith", "endswith", "contains"][self.pick(3)]
            ),
            8 => format!("({} | test(\"[a-c]+,?\"))", self.text(d)),
            9 => format!("(.o | has({:?}))", ["k", "a", "zz"][self.pick(3)]),
            10 => format!("({} | contains([{}]))", self.list(d), self.small()),
            _ => format!("({} | inside({}))", self.list(d), self.list(d)),
        }
    }

    fn list(&mut self, depth: usize) -> String {
        if depth == 0 {
            return [".l", "[]", "[1, 3, 2]", "(.x | map(.id))"][self.pick(4)].to_owned();
        }
        let d = depth - 1;
        match self.pick(20) {
            0 => self.list(0),
            1 => format!("[{}, {}]", self.number(d), self.number(d)),
            2 => format!("({} | map(. + {}))", self.list(d), self.small()),
            3 => format!("({} | map(select(. > {})))", self.list(d), self.small()),
            4 => format!("({} | {})", self.list(d), ["sort", "unique", "reverse", "flatten"][self.pick(4)]),
            5 => format!("({} + {})", self.list(d), self.list(d)),
            6 => format!("({} - {})", self.list(d), self.list(d)),
            7 => format!("({}[{}:])", self.list(d), self.small()),
            8 => format!("({}[:-{}])", self.list(d), self.small()),
            9 => format!("[range(0; {} % 4)]", self.small()),
            10 => format!("({} | group_by(. > 2) | map(length))", self.list(d)),
            11 => "(.x | sort_by(.name) | map(.id))".to_owned(),
            12 => "(.x | group_by(.name) | map(map(.id) | add))".to_owned(),
            13 => format!("({} | keys)", self.list(d)),
            14 => format!("[limit({}; {}[])]", 1 + self.small(), self.list(d)),
            15 => format!("[foreach {}[] as $i (0; . + $i)]", self.list(d)),
            16 => format!("({} | indices({}))", self.list(d), self.small()),
            17 => "(.w | map(length))".to_owned(),
            18 => "(.o | to_entries | map(.value))".to_owned(),
            _ => format!("[{}[] as $i | $i, {}]", self.list(d), self.number(d)),
        }
    }

    fn object(&mut self, depth: usize) -> String {
        if depth == 0 {
            return [".o", "{}", "{a: 1}", ".x[0]"][self.pick(4)].to_owned();
        }
        let d = depth - 1;
        match self.pick(11) {
            0 => self.object(0),
            1 => format!("{{a: {}, b: {}}}", self.number(d), self.text(d)),
            2 => format!("({} + {{z: {}}})", self.object(d), self.list(d)),
            3 => format!("{{({}): {}}}", self.text(d), self.number(d)),
            4 => format!("({} | del(.k, .a))", self.object(d)),
            5 => "(.o | map_values(. + 1))".to_owned(),
            6 => "(.x | map({(.name): .id}) | add // {})".to_owned(),
            7 => format!("({} | with_entries(select(.key != \"a\")))", self.object(d)),
            8 => format!("({} * {})", "{a: {b: 1}}", "{a: {c: 2}}"),
            9 => format!("({} | to_entries | from_entries)", self.object(d)),
            _ => format!("({} as {{a: $x}} | {{x: $x}})", self.object(d)),
        }
    }

    fn any(&mut self) -> String {
        let depth = 1 + self.pick(DEPTH_MAX);
        match self.pick(7) {
            0 => self.number(depth),
            1 => self.text(depth),
            2 => self.truth(depth),
            3 => self.list(depth),
            4 => self.object(depth),
            5 => format!("[{}, {}] | sort", self.number(depth), self.text(depth)),
            _ => format!("{} | keys", self.object(depth)),
        }
    }
}

/// What jq says of each: all results, or `None` if it fails.
fn jq(expressions: &[String], input: &Value) -> Vec<Option<Vec<Value>>> {
    let each: Vec<String> = expressions.iter().map(|text| format!("(try [{text}] catch null)")).collect();
    let mut child = Command::new("jq")
        .args(["-c", &format!("[{}]", each.join(",\n"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("jq is there: `cargo xtask test` installs it");
    child.stdin.take().expect("a pipe").write_all(input.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "jq reads {each:#?}");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    all.into_iter().map(|results| results.as_array().cloned()).collect()
}

/// The same, numbers but for their last bits.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("finite"), b.as_f64().expect("finite"));
            (a - b).abs() <= a.abs() * 1e-14
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn data() -> impl Strategy<Value = Value> {
    let number = || -20i64..40;
    let word = || prop::sample::select(vec!["", "a", "b,a", "abc", "Ab", "ü", "x y", "a,b,c", "caba"]);
    let things = prop::collection::vec((number(), word()), 0..4);
    (
        (number(), number(), word(), word(), any::<bool>()),
        (prop::collection::vec(number(), 0..5), prop::collection::vec(word(), 1..4), number(), things),
    )
        .prop_map(|((a, b, s, t, f), (l, w, k, things))| {
            let x: Vec<Value> = things.into_iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
            json!({"a": a, "b": b, "s": s, "t": t, "f": f, "n": null, "l": l, "w": w, "o": {"k": k, "a": b}, "x": x})
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_say_what_jq_says(
        input in data(),
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 4..60), AT_ONCE),
    ) {
        let expressions: Vec<String> = bytes.iter().map(|bytes| Draw { bytes: bytes.iter() }.any()).collect();
        let theirs = jq(&expressions, &input);
        for (text, theirs) in expressions.iter().zip(theirs) {
            let expression = Expression::parse(text);
            prop_assert!(expression.is_ok(), "{text}: {expression:?}");
            let ours = expression.unwrap().evaluate(&input, &BTreeMap::<String, Value>::new());
            match (&ours, theirs.as_deref()) {
                (Ok(ours), Some([theirs])) => prop_assert!(same(ours, theirs), "{text}\n ours {ours}\n jq   {theirs}\n of {input}"),
                (Ok(Value::Null), Some([])) | (Err(_), None) => {}
                // Several results are a fault here.
                (Err(_), Some(theirs)) if theirs.len() > 1 => {}
                _ => prop_assert!(false, "{text}\n ours {ours:?}\n jq   {theirs:?}\n of {input}"),
            }
        }
    }
}
