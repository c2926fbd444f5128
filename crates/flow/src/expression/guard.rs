//! What stands before the parser, and what is refused by name: text that is too much, words of jq that may never end
//! or that read the world.

use super::Problem;
use super::meter::{MAX_DEPTH, MAX_OPERATORS, MAX_TEXT};

/// Words of jq that exist but not here, and why.
pub const REFUSED: &[(&str, &str)] = &[
    ("recurse", "it may give results without end; name the fields"),
    ("repeat", "it may give results without end; use `range` or `reduce`"),
    ("while", "it may go on without end; use `reduce` over a list"),
    ("until", "it may go on without end; use `reduce` over a list"),
    ("walk", "it visits values of any depth; name the fields"),
    ("paths", "it visits values of any depth; name the fields"),
    ("leaf_paths", "it visits values of any depth; name the fields"),
    ("tostream", "it visits values of any depth; name the fields"),
    ("combinations", "its results grow without bounds; use `for`"),
    ("input", "an expression reads nothing but its variables"),
    ("inputs", "an expression reads nothing but its variables"),
    ("input_filename", "an expression reads nothing but its variables"),
    ("input_line_number", "an expression reads nothing but its variables"),
    ("env", "flows don't see the environment; use `$settings`"),
    ("halt", "use `error(\"…\")` or a `raise` task"),
    ("halt_error", "use `error(\"…\")` or a `raise` task"),
    ("now", "a replayed run must see the same time; use `$workflow.startedAt` or `$task.startedAt`"),
    ("localtime", "the server's time zone is no part of a flow; use `todate`"),
    ("strflocaltime", "the server's time zone is no part of a flow; use `strftime`"),
    ("mktime", "use `fromdate`"),
    ("gmtime", "use `strftime`"),
    ("debug", "runs show every step's input and output"),
    ("stderr", "runs show every step's input and output"),
    ("infinite", "numbers of a flow are finite"),
    ("nan", "numbers of a flow are finite"),
    ("path", "build the value that you want"),
    ("setpath", "build the value that you want with `. + {…}`"),
    ("delpaths", "use `del(.a, .b)`"),
    ("import", "expressions have no modules"),
    ("include", "expressions have no modules"),
    ("modulemeta", "expressions have no modules"),
    ("get_search_list", "expressions have no modules"),
    ("builtins", "see the reference of expressions"),
    ("splits", "use `split(…)[]`"),
    ("match", "use `test`, `capture` or `scan`"),
    ("implode", "use string interpolation"),
    ("explode", "use slices: `.[0:3]`"),
];

/// Bounds what the parser is given: it recurses, and its depth is at most the number of operators.
pub fn measure(text: &str) -> Result<(), Vec<Problem>> {
    let too_large = |message| Err(vec![Problem::new(0, "expression_too_large", message)]);
    if text.len() > MAX_TEXT {
        return too_large(format!("an expression has at most {MAX_TEXT} bytes; split it over `set` tasks"));
    }
    let mut operators = 0;
    let mut word_before = false;
    // What is open: a bracket, or a quote, in which nothing counts but `\\(`.
    let mut open: Vec<char> = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let quoted = open.last() == Some(&'"');
        match c {
            '\\' if quoted => {
                if let Some((_, '(')) = chars.next() {
                    open.push('(');
                    operators += 1;
                }
            }
            '"' if quoted => drop(open.pop()),
            _ if quoted => {}
            '#' => {
                return Err(vec![Problem::new(
                    at,
                    "expression_syntax",
                    "an expression has no comments".to_owned(),
                )]);
            }
            '(' | '[' | '{' | '"' => {
                open.push(c);
                operators += 1;
            }
            ')' | ']' | '}' => drop(open.pop()),
            '|' | ',' | '-' | '+' | '*' | '/' | '%' | '=' | '<' | '>' | ';' | '?' => operators += 1,
            _ => {}
        }
        let word = c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@');
        operators += usize::from(word && !word_before && !quoted);
        word_before = word;
        if open.len() > MAX_DEPTH {
            return too_large(format!("brackets are nested deeper than {MAX_DEPTH}"));
        }
    }
    if operators > MAX_OPERATORS {
        return too_large(format!(
            "an expression has at most {MAX_OPERATORS} operators and words; split it over `set` tasks"
        ));
    }
    Ok(())
}

pub fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

pub fn syntax(text: &str, at: usize) -> Problem {
    let rest = text.get(at..).unwrap_or_default();
    let near: String = rest.chars().take(12).collect();
    let message = if near.trim().is_empty() {
        "this expression is not complete".to_owned()
    } else {
        format!("this expression can't be read from `{near}` on")
    };
    Problem::new(at, "expression_syntax", message)
}
