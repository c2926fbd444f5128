//! Regular expressions whose work is counted: what flows match can be long, and who wrote the pattern is not asked.
//!
//! regex-syntax reads a pattern; it becomes a short program of steps over characters ([`program`]), and all ways through
//! the text are followed at once ([`search`]), so that one search takes at most steps of the program times characters. A
//! search for the next match may read on to the end of the text before it is certain, which makes all matches of a
//! text quadratic: so every step that is taken is told to a counter, which can end it.
//!
//! There is no look-around and there are no back-references; `\w`, `\d`, `\s` and `\b` know all of Unicode, as in jq,
//! unless the pattern is read as one of JSON Schema.

mod program;
mod search;

use std::ops::Range;

use program::Program;
use search::Search;

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 2 * 1024;

/// Whose words a pattern is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Classes know all of Unicode.
    Jq,
    /// `\w`, `\d` and `\b` are of ASCII, as in JavaScript's.
    Schema,
}

/// A regular expression, compiled.
#[derive(Debug)]
pub struct Pattern {
    program: Program,
}

/// One match: where it and its groups are.
pub struct Caught<'c, 't> {
    text: &'t str,
    slots: &'c [Option<usize>],
}

impl Pattern {
    /// Compiles a pattern; flags are jq's `g i n s x`, of which `g` and `n` mean nothing here.
    pub fn new(pattern: &str, flags: &str, dialect: Dialect) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN {
            return Err(format!("a regular expression has at most {MAX_PATTERN} bytes"));
        }
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.nest_limit(32);
        for flag in flags.chars() {
            match flag {
                'i' => parser.case_insensitive(true),
                'x' => parser.ignore_whitespace(true),
                's' => parser.dot_matches_new_line(true),
                'g' | 'n' => &mut parser,
                _ => {
                    return Err(format!(
                        "`{flag}` is not a flag of a regular expression: g, i, n, s and x are"
                    ));
                }
            };
        }
        let wrong = |why: String| format!("the regular expression `{pattern}` is wrong: {why}");
        let tree = match dialect {
            Dialect::Jq => parser.build().parse(pattern),
            Dialect::Schema => parser.build().parse(&of_ascii(pattern)),
        };
        let tree = tree.map_err(|error| wrong(reason(&error)))?;
        Ok(Self { program: Program::new(&tree).map_err(wrong)? })
    }

    /// The names of its groups that have one, in their order, with their numbers.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.program.names.iter().enumerate();
        names.filter_map(|(number, name)| name.as_deref().map(|name| (number, name)))
    }

    /// Whether it matches anywhere in a text. Steps are told to `count`, which may end the search.
    pub fn is_match<E>(&self, text: &str, count: impl Fn(usize) -> Result<(), E>) -> Result<bool, E> {
        Search::new(&self.program, text, 0).run(0, &count)
    }

    /// Hands over each match in turn, or the first one only. Matches don't overlap, and an empty one does not touch the
    /// match before it.
    pub fn each<E>(
        &self,
        text: &str,
        every: bool,
        count: impl Fn(usize) -> Result<(), E>,
        mut take: impl FnMut(&Caught<'_, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut search = Search::new(&self.program, text, 2 * self.program.names.len());
        let (mut at, mut before) = (0, None);
        while search.run(at, &count)? {
            let caught = Caught { text, slots: search.slots() };
            let whole = caught.whole();
            let touches = whole.is_empty() && before == Some(whole.end);
            if !touches {
                take(&caught)?;
                if !every {
                    break;
                }
            }
            (at, before) = (whole.end, Some(whole.end));
            if touches {
                let Some(next) = text[at..].chars().next() else { break };
                at += next.len_utf8();
            }
        }
        Ok(())
    }
}

impl Caught<'_, '_> {
    /// Where the match is, in bytes.
    pub fn whole(&self) -> Range<usize> {
        self.slots[0].unwrap_or(0)..self.slots[1].unwrap_or(0)
    }

    /// What a group caught; the whole is number 0.
    pub fn group(&self, number: usize) -> Option<&str> {
        let (start, end) = (*self.slots.get(2 * number)?, *self.slots.get(2 * number + 1)?);
        self.text.get(start?..end?)
    }

    /// How many groups there are, the whole with them.
    pub fn groups(&self) -> usize {
        self.slots.len() / 2
    }
}

/// What is wrong, without the picture that the parser draws.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

/// The same pattern with its classes of ASCII.
fn of_ascii(pattern: &str) -> String {
    let mut ascii = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            ascii.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => ascii.push_str("[0-9]"),
            Some('D') => ascii.push_str("[^0-9]"),
            Some('w') => ascii.push_str("[0-9A-Za-z_]"),
            Some('W') => ascii.push_str("[^0-9A-Za-z_]"),
            Some('b') => ascii.push_str("(?-u:\\b)"),
            Some('B') => ascii.push_str("(?-u:\\B)"),
            // JavaScript lets a slash be escaped, which regex-syntax does too.
            Some(other) => ascii.extend(['\\', other]),
            None => ascii.push('\\'),
        }
    }
    ascii
}

#[cfg(test)]
mod tests;
