//! What is easily written in YAML and read otherwise, or not at all.

use super::Stop;

/// Why a plain scalar may not be what its author means.
pub(super) fn scalar(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits.len() > 1 && digits.chars().all(|c| c.is_ascii_digit());
    (number && digits.starts_with('0')).then(|| {
        format!(
            "`{text}` is read as a decimal number without its zeros (older YAML reads it as octal): quote it if it is \
             text, write `0o…` for octal"
        )
    })
}

/// Adds to a mistake what it most likely comes from.
pub(super) fn explain(text: &str, stopped: &mut Stop) {
    let number = stopped.place.line;
    let lines: Vec<&str> = text.lines().collect();
    // The reader often notices only in the line after; a tab, in the line before.
    let until = |end: usize| lines.iter().enumerate().take(end).skip(number.saturating_sub(2)).rev();
    let tabs = until(number + 1).find_map(|(index, line)| Some((index, tab(line)?)));
    let other =
        || until(number).find_map(|(index, line)| Some((index, expression(line).or_else(|| opening(line))?)));
    let Some((index, why)) = tabs.or_else(other) else { return };
    stopped.message = match index + 1 {
        line if line == number => format!("{}: {why}", stopped.message),
        line => format!("{}: in line {line}, {why}", stopped.message),
    };
}

fn tab(line: &str) -> Option<&'static str> {
    let indent: &str = &line[..line.len() - line.trim_start().len()];
    indent.contains('\t').then_some("a tab indents; YAML indents by spaces only")
}

/// An expression that stands without quotes where YAML reads its braces, colons or `#` itself.
fn expression(line: &str) -> Option<&'static str> {
    let (before, rest) = line.split_once("${")?;
    let open = before.chars().filter(|c| matches!(c, '"' | '\'')).count() % 2 == 1;
    let flow = before.contains(['{', '[']);
    let trap = flow || rest.contains(": ") || rest.contains(" #");
    (!open && trap)
        .then_some("an expression with `: `, ` #`, or inside `{ }` or `[ ]` needs quotes: `'${ … }'`")
}

/// Text that begins with a sign that means something to YAML.
fn opening(line: &str) -> Option<&'static str> {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start();
    let value = value.strip_prefix("- ").unwrap_or(value);
    match value.chars().next()? {
        '@' | '`' | '%' | '*' | '&' | '!' | '|' | '>' => {
            Some("text that begins with one of `@ * & ! % | >` or a backtick needs quotes")
        }
        '"' | '\'' if value.len() > 1 && !value.trim_end().ends_with(['"', '\'', ',', '}', ']']) => {
            Some("text in quotes ends with its closing quote: put all of it in quotes")
        }
        _ if value.contains(": ") => Some("text with `: ` in it needs quotes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::{parse, read};

    #[test]
    fn says_what_a_mistake_comes_from() {
        for (text, line, why) in [
            ("a:\n\tb: 1\n", 2, "a tab indents"),
            ("a:\n  b: 1\n\tc: 2\n", 3, "a tab indents"),
            ("set: {x: ${ .a }}\n", 1, "needs quotes: `'${ … }'`"),
            ("x: ${ {a: 1} }\n", 1, "needs quotes: `'${ … }'`"),
            ("x: [${ .a }, 1]\n", 1, "needs quotes: `'${ … }'`"),
            ("title: Invoice: paid\n", 1, "text with `: ` in it needs quotes"),
            ("to: @everybody\n", 1, "begins with one of"),
            ("x: 'a' b\n", 1, "put all of it in quotes"),
            ("- a: *\n", 1, ""),
        ] {
            let problems = parse("f", text).expect_err(text);
            assert_eq!(problems[0].code, "yaml_syntax", "{text}");
            assert!(
                problems[0].line + 1 >= line && problems[0].message.contains(why),
                "{text}: {}",
                problems[0]
            );
        }
    }

    #[test]
    fn numbers_that_lose_their_zeros_are_told() {
        let advice = |text: &str| read("f", text).unwrap().1;
        for text in ["zip: 01234", "a: [0777]", "a: {b: -007}"] {
            let found = advice(text);
            assert_eq!((found.len(), found[0].code.as_str()), (1, "yaml_trap"), "{text}");
        }
        assert_eq!(advice("a: {b: [1, 00]}")[0].path, "/a/b/1");
        for text in
            ["zip: '01234'", "a: 0", "a: 0o17", "a: 0.5", "a: 10", "a: 2026-01-02", "a: 01:30", "a: 0x0F"]
        {
            assert!(advice(text).is_empty(), "{text}");
        }
    }
}
