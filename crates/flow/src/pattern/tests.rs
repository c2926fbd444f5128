use std::convert::Infallible;

use proptest::prelude::*;

use super::{Dialect, Pattern};

type Match = Vec<Option<(usize, usize)>>;

fn all(pattern: &Pattern, text: &str) -> Vec<Match> {
    let mut found = Vec::new();
    let counted = |_| Ok::<(), Infallible>(());
    let done = pattern.each(text, true, counted, |caught| {
        let place = |group: usize| {
            let part = caught.group(group)?;
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            Some((start, start + part.len()))
        };
        found.push((0..caught.groups()).map(place).collect());
        Ok(())
    });
    done.unwrap();
    found
}

fn oracle(pattern: &str, text: &str) -> Vec<Match> {
    let regex = regex_lite::Regex::new(pattern).unwrap();
    let places = |caught: regex_lite::Captures<'_>| {
        caught.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect()
    };
    regex.captures_iter(text).map(places).collect()
}

/// Patterns from small parts, so that they often match.
fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", "é", ".", "[ab]", "[^a]", "^", "$", r"\b", r"\B", "(?m:^)", "(?m:$)", "ab", "\n",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let times =
            prop::sample::select(vec!["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"]);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            (inner.clone(), times).prop_map(|(a, times)| format!("(?:{a}){times}")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Another implementation of the same rules is the oracle: every match, every group. Classes that know Unicode
    /// differ from it, so words are of ASCII here.
    #[test]
    fn finds_what_the_oracle_finds(text in "[ab\né ]{0,12}", pattern in patterns()) {
        let ours = Pattern::new(&pattern, "", Dialect::Schema).unwrap();
        prop_assert_eq!(all(&ours, &text), oracle(&pattern, &text), "{} in {:?}", pattern, text);
        let counted = |_| Ok::<(), Infallible>(());
        let matched = ours.is_match(&text, counted).unwrap();
        prop_assert_eq!(matched, regex_lite::Regex::new(&pattern).unwrap().is_match(&text));
    }
}

#[test]
fn says_what_is_wrong_with_a_pattern() {
    for (pattern, flags, part) in [
        ("(", "", "unclosed group"),
        ("a{2,1}", "", "invalid repetition count"),
        (r"(a)\1", "", "backreferences are not supported"),
        ("(?=a)", "", "look-around"),
        ("a{2000}", "", "more than 1024 steps"),
        ("((((((){99}){99}){99}){99}){99}){99}x", "", ""),
        ("a", "q", "`q` is not a flag"),
        (&"a".repeat(3_000), "", "at most 2048 bytes"),
    ] {
        match Pattern::new(pattern, flags, Dialect::Jq) {
            Ok(_) => assert_eq!(part, "", "{pattern}"),
            Err(why) => {
                assert!(!part.is_empty() && why.contains(part) && !why.contains('\n'), "{pattern}: {why}")
            }
        }
    }
}

#[test]
fn flags_names_and_unicode() {
    let is = |pattern: &str, flags: &str, text: &str| {
        let pattern = Pattern::new(pattern, flags, Dialect::Jq).unwrap();
        pattern.is_match(text, |_| Ok::<(), Infallible>(())).unwrap()
    };
    assert!(is("ÉTÉ", "i", "été") && !is("ÉTÉ", "", "été"));
    assert!(is("a b", "x", "ab") && is("a.b", "s", "a\nb") && !is("a.b", "", "a\nb"));
    assert!(is(r"^\w+$", "", "Zoë") && is(r"^\d$", "", "١"));
    let pattern = Pattern::new("(?<n>a)(b)(?P<m>c)?", "", Dialect::Jq).unwrap();
    assert_eq!(pattern.names().collect::<Vec<_>>(), [(1, "n"), (3, "m")]);
    assert_eq!(all(&pattern, "ab"), [vec![Some((0, 2)), Some((0, 1)), Some((1, 2)), None]]);
}

/// What is counted is what is done: a pattern and a text that are twice as long are four times the work.
#[test]
fn work_is_counted() {
    let steps = |pattern: &str, text: &str| {
        let pattern = Pattern::new(pattern, "", Dialect::Jq).unwrap();
        let counted = std::cell::Cell::new(0);
        let count = |steps| {
            counted.set(counted.get() + steps);
            Ok::<(), Infallible>(())
        };
        pattern.each(text, true, count, |_| Ok(())).unwrap();
        counted.get()
    };
    let (once, text) = ("a".repeat(4_000), "a".repeat(8_000));
    assert!(steps("a{400}b", &text) > 3 * steps("a{200}b", &once));
    assert!(steps("a(.*z)?", &text) > 3 * steps("a(.*z)?", &once));
    assert!(steps("[^b]*", &text) < text.len() * 3);
    let enough = Pattern::new("a{400}b", "", Dialect::Jq).unwrap();
    assert_eq!(enough.is_match(&text, |_| Err("enough")), Err("enough"));
}
