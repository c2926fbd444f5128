//! What is wrong with a document: where, what, and how to mend it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file's name as it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// JSON pointer of the place in the document, `""` for the whole.
    pub path: String,
    /// A stable name of the kind of problem; see [`CODES`].
    pub code: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to write instead, where that can be guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Every code that this room gives, with its meaning and remedy; a page is made of each.
pub const CODES: &[(&str, &str)] = &[
    (
        "ambiguous_task",
        "A task, or a schedule, says two things where one is possible. Keep one, and make another task of the other.",
    ),
    (
        "document_too_large",
        "A document is larger, deeper or has more tasks than the limits allow. Split it into several flows.",
    ),
    (
        "duplicate_field",
        "A field is given twice in one mapping; which of them counts would be a guess. Keep one.",
    ),
    (
        "duplicate_task",
        "Two tasks of one list have the same name, so `then` and `$steps` could mean either. Rename one.",
    ),
    ("empty_list", "A list of tasks has no task. Add one, or remove what the list belongs to."),
    (
        "expression_refused",
        "An expression uses a part of jq that is not allowed here: it may go on without end, reads the world outside the run, or changes values in place. The message says what to write instead.",
    ),
    (
        "expression_syntax",
        "An expression can't be read. The message shows where; mind quotes in YAML: text with `: ` or `#` needs them.",
    ),
    (
        "expression_too_large",
        "An expression is longer or more deeply nested than the limits allow. Split it over several `set` tasks.",
    ),
    (
        "missing_expression",
        "An expression is needed here, in `${ … }`; plain text would be the same for every event.",
    ),
    ("missing_field", "A field that is needed is not there. Add it."),
    (
        "not_literal",
        "This must be written out and can't be computed, so that what a flow uses can be seen before it runs.",
    ),
    (
        "partial_expression",
        "`${ … }` stands inside longer text, where it is not evaluated. Make the whole value an expression: `${ \"Hello \\(.name)\" }`.",
    ),
    (
        "plain_secret",
        "A password or token is written into the flow, where everybody who reads it would know it. Take it from the input by an expression, or call an operation of a connection, whose credentials are sealed.",
    ),
    (
        "recursive_function",
        "Functions of a flow call each other in a circle, which would never end. Repeat with `for`, or with `then`.",
    ),
    ("reserved_name", "A name has a meaning of its own in the language. Choose another."),
    (
        "unknown_field",
        "A field is not one of those that are possible here. Often a slip of the pen: see the suggestion.",
    ),
    (
        "unknown_function",
        "An expression calls a function that does not exist, or with a wrong number of arguments.",
    ),
    ("unknown_operation", "The name after `call` is not of the form `connector.resource.verb`."),
    ("unknown_reference", "A name refers to nothing under `use`. Add it there, or correct the name."),
    (
        "unknown_setting",
        "An expression reads a setting that `document.metadata.settings` does not declare. Declare it, or correct the name.",
    ),
    ("unknown_step", "An expression reads the output of a task that does not exist. Correct the name."),
    (
        "unknown_target",
        "`then` names a task that is not in the same list. It leads only to tasks of its own list, or to `continue`, `exit` or `end`.",
    ),
    ("unknown_task", "A task has no word that says what it does, or one that does not exist."),
    (
        "unknown_variable",
        "An expression reads a variable that does not exist there. The items of a `for` and the fault of a `catch` exist only inside them.",
    ),
    (
        "unreachable_case",
        "A case of a `switch` without `when` always holds, so that the cases after it never do. Move it to the end.",
    ),
    (
        "unreachable_task",
        "Nothing leads to a task: the one before it always ends the list or the run, fails, or goes elsewhere, and no `then` names it. Remove it, or lead to it.",
    ),
    (
        "unsupported",
        "A part of the Open Workflow DSL that is not supported yet. It is refused rather than ignored.",
    ),
    (
        "wrong_cron",
        "A `cron` has five fields: minute, hour, day of the month, month, day of the week (`0 9 * * MON-FRI`), in UTC or, with `CRON_TZ=Europe/Berlin` before them, in another time zone.",
    ),
    (
        "wrong_duration",
        "A duration is not one: write `PT30S`, `P1DT12H` or `{seconds: 30}`. Months and years have no fixed length.",
    ),
    ("wrong_name", "A name, version or event type is not of the form that it must have."),
    (
        "wrong_schema",
        "A schema is not JSON Schema (draft 2020-12), or uses a keyword that is not checked here. The message names the keyword.",
    ),
    (
        "wrong_type",
        "A value is of another kind than is needed here: text instead of a list, a number instead of text (quote it) and the like.",
    ),
    (
        "yaml_syntax",
        "The file is not YAML (or JSON). The message shows where reading stopped; the mistake is there or just above.",
    ),
    (
        "yaml_trap",
        "A value is read otherwise than it looks: `0123` is the number 123 (older YAML reads it as octal 83), and a postal code or an account's number loses its zeros. Quote what is text; write `0o123` for octal.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_diagnostic_reads_as_compilers_do() {
        let diagnostic = Diagnostic {
            file: "a.yaml".to_owned(),
            line: 3,
            column: 7,
            path: "/do/0/a/cal".to_owned(),
            code: "unknown_task".to_owned(),
            message: "`cal` is not a task".to_owned(),
            suggestion: Some("call".to_owned()),
        };
        assert_eq!(diagnostic.to_string(), "a.yaml:3:7: `cal` is not a task; did you mean `call`?");
    }
}
