//! What is wrong with a script before it is ever run: its code is read, and not one step of it is taken.
//!
//! JavaScript is compiled behind a `throw`, so that nothing of it runs, whatever it is made of; in a heap and a stack of
//! bounded size. jq is read as the worker reads it, but for text on which a reader that recurses could go too deep:
//! such a script is found out when it runs.

use flow::document::Mistake;
use jaq_core::compile::Undefined;
use jaq_core::load::{Arena, Error as Unread, File, Loader};
use rquickjs::context::EvalOptions;
use rquickjs::{Coerced, Context, Runtime};

use crate::javascript::{Intrinsics, shortened};
use crate::jq;
use crate::limits::{MEMORY_BYTES_MAX, STACK_BYTES_MAX};

/// What stands before the code, on its first line: the whole is read, then this ends it.
const BEFORE: &str = "throw 0; (async () => {";
/// Words and signs of a script in jq that is read here.
const JQ_TOKENS_MAX: usize = 700;

/// The first mistake of a script's code; none if it can be read, or if there is no telling.
pub fn check(language: &str, code: &str) -> Option<Mistake> {
    match language {
        "js" | "javascript" => javascript(code),
        "jq" => (tokens(code) <= JQ_TOKENS_MAX).then(|| in_jq(code)).flatten(),
        _ => None,
    }
}

fn javascript(code: &str) -> Option<Mistake> {
    let (message, place) = read(code)?;
    let (line, column) = match place {
        Some((1, column)) => (1, column.saturating_sub(BEFORE.len()).max(1)),
        Some(place) => place,
        None => place_of_pattern(code, &message)?,
    };
    Some(Mistake { line, column, message: shortened(&message) })
}

/// The first mistake in JavaScript, and its place in the text that is read, where the reader tells it.
fn read(code: &str) -> Option<(String, Option<(usize, usize)>)> {
    let runtime = Runtime::new().ok()?;
    runtime.set_memory_limit(MEMORY_BYTES_MAX);
    runtime.set_max_stack_size(STACK_BYTES_MAX);
    let context = Context::builder().with::<Intrinsics>().build(&runtime).ok()?;
    context.with(|ctx| {
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some("script".to_owned());
        let text = format!("{BEFORE}{code}\n}})");
        // The value that is thrown is no error object: then all of it was read.
        ctx.eval_with_options::<rquickjs::Value<'_>, _>(text, options).err()?;
        let thrown = ctx.catch();
        let stack = thrown.as_exception()?.stack().unwrap_or_default();
        let words = thrown.get::<Coerced<String>>().ok()?.0;
        Some((words.strip_prefix("SyntaxError: ")?.to_owned(), place(&stack)))
    })
}

/// Where a regular expression is that is wrong, of which the reader tells no place: it ends where the code, cut off
/// there, has that mistake for the first time.
fn place_of_pattern(code: &str, message: &str) -> Option<(usize, usize)> {
    let ends: Vec<usize> = code.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let is_read = |end: &usize| read(&code[..*end]).is_none_or(|(found, _)| found != message);
    let end = *ends.get(ends.partition_point(is_read))?;
    let start = code[..end].trim_end_matches('/').rfind('/').unwrap_or(0);
    let before = &code[..start];
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((before.matches('\n').count() + 1, column))
}

/// Line and column of the first line of a stack: `at script:3:5`.
fn place(stack: &str) -> Option<(usize, usize)> {
    let mut numbers = stack.lines().next()?.trim().trim_end_matches(')').rsplit(':');
    let (column, line) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some((line, column))
}

/// Words and signs, those of texts and comments too.
fn tokens(code: &str) -> usize {
    let mut word = false;
    let mut count = 0;
    for c in code.chars() {
        let inside = c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '.');
        count += usize::from(!(c.is_whitespace() || inside && word));
        word = inside;
    }
    count
}

fn in_jq(code: &str) -> Option<Mistake> {
    let mistake = |part: Option<&str>, message: String| {
        let end = code.len();
        let at =
            part.map_or(end, |part| (part.as_ptr() as usize).wrapping_sub(code.as_ptr() as usize).min(end));
        let before = code.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(Mistake { line, column, message })
    };
    let unread = |part: Option<&str>| {
        let near: String = part.unwrap_or_default().chars().take(12).collect();
        let message = match near.trim() {
            "" => "the jq code is not complete".to_owned(),
            near => format!("the jq code can't be read from `{near}` on"),
        };
        mistake(part, message)
    };
    let arena = Arena::default();
    let modules = match Loader::new(jq::definitions()).load(&arena, File { code, path: () }) {
        Ok(modules) => modules,
        Err(errors) => {
            return match errors.into_iter().next()?.1 {
                Unread::Io(files) => {
                    mistake(files.first().map(|(part, _)| *part), "a script has no modules".into())
                }
                Unread::Lex(found) => unread(found.first().map(|(_, part)| *part)),
                Unread::Parse(found) => {
                    unread(found.first().map(|(_, part)| *part).filter(|part| !part.is_empty()))
                }
            };
        }
    };
    let errors = jq::compiler().compile(modules).err()?;
    let (part, undefined) = errors.into_iter().find_map(|(_, found)| found.into_iter().next())?;
    let message = match undefined {
        Undefined::Filter(0) => format!("there is no filter `{part}`"),
        Undefined::Filter(arity) => format!("there is no filter `{part}` of {arity} arguments"),
        other => format!("there is no {} `{part}`", other.as_str()),
    };
    mistake(Some(part), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_their_places() {
        for (language, code, line, column, part) in [
            ("js", "const a = 1;\nreturn a +;\n", 2, 11, "unexpected token"),
            ("js", "return (", 2, 1, ""),
            ("js", "let a; let a;", 1, 13, "redefinition"),
            ("js", "for (;;) {\n  retrun 1 2\n}", 2, 10, ""),
            ("js", "import x from 'fs'", 1, 8, ""),
            ("js", "const a = 1;\nreturn stdin.replace(/a(b/g, '') + a;", 2, 22, ""),
            ("js", "return /[z-a]/.test(stdin)", 1, 8, ""),
            ("js", "return 4 / 2 + /x{2,1}/u.exec('é')", 1, 16, ""),
            ("jq", ".a |", 1, 5, "not complete"),
            ("jq", ".a\n| lenght", 2, 3, "no filter `lenght`"),
            ("jq", ".a | map(.b; .c)", 1, 6, "`map` of 2 arguments"),
            ("jq", "# a\n$arg[0]", 2, 1, "no variable `$arg`"),
            ("jq", ".a | ]", 1, 6, "can't be read from `]`"),
        ] {
            let found = check(language, code).unwrap_or_else(|| panic!("{code}: no mistake is found"));
            assert!(found.message.contains(part), "{code}: {found:?}");
            assert_eq!((found.line, found.column), (line, column), "{code}: {found:?}");
        }
    }

    #[test]
    fn what_runs_has_no_mistakes() {
        for (language, code) in [
            ("js", "return 1 // and no more"),
            ("js", "const x = await Promise.resolve(010); with ({}) {} return x"),
            ("js", "return missing.field"),
            ("js", "return /(?<a>b)/.exec(stdin)?.groups.a ?? args[0]"),
            ("jq", "# a comment\n[limit(3; .. | numbers)] | $args[0], $env.A"),
            ("jq", "def f: if . > 3 then . else (. + 1 | f) end; f"),
            ("jq", ".a |= . + 1"),
            ("cobol", "?"),
        ] {
            assert_eq!(check(language, code), None, "{code}");
        }
    }

    /// Nothing of it is run, and no text breaks the reader.
    #[test]
    fn hostile_code_is_only_read() {
        for code in [
            "}); for (;;) {} (async () => {",
            "})(); while (true) {} (async () => {",
            "}); throw new SyntaxError('x'); ({",
        ] {
            check("js", code);
        }
        let began = std::time::Instant::now();
        for text in ["(", "[", "{", "-", "!", "a?", "`${", "()=>", "if(1)"] {
            check("js", &text.repeat(100_000));
        }
        for text in ["(", "[", "{", "-", "\"\\(", ". as $x | ", "if 1 then ", "def f: ", "reduce ", ".."] {
            check("jq", &text.repeat(100_000));
            check("jq", &text.repeat(230));
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
