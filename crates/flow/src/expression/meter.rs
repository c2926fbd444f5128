//! How much an expression may do: every step and every byte that an evaluation makes is counted, and a limit ends it.
//! Limits can't be caught by `try`, `?` or `//`.

use std::cell::Cell;

/// The longest text of an expression, in bytes.
pub const MAX_TEXT: usize = 8 * 1024;
/// The most operators and brackets in the text, so that parsing it stays shallow.
pub const MAX_OPERATORS: usize = 700;
/// The deepest nesting of terms.
pub const MAX_DEPTH: usize = 64;
/// How deep evaluation may go: nested terms, and one after another those that give several results.
pub const MAX_WEIGHT: usize = 160;
/// The most steps of one evaluation; a step is a term evaluated or an element touched.
pub const MAX_STEPS: u64 = 2_000_000;
/// The most bytes that one evaluation makes, counting what it throws away.
pub const MAX_BYTES: u64 = 48 << 20;
/// The largest result, in bytes of JSON, roughly.
pub const MAX_RESULT: u64 = 8 << 20;
/// The most numbers that `range` gives.
pub const MAX_RANGE: u64 = 100_000;
/// The most elements of a list that grows: it is copied into one twice as long, and both are there for a moment.
pub const MAX_ITEMS: usize = 1 << 20;
/// The deepest nesting of a value that an expression makes or walks.
pub const MAX_VALUE_DEPTH: usize = 100;
/// The longest text that is matched with a regular expression, in bytes.
pub const MAX_MATCHED: usize = 64 * 1024;

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Steps,
    Bytes,
    Result,
    Depth,
}

impl Limit {
    /// What to tell the author.
    pub fn message(self) -> String {
        match self {
            Self::Steps => format!("the expression takes more than {MAX_STEPS} steps"),
            Self::Bytes => format!("the expression makes more than {} MiB of values", MAX_BYTES >> 20),
            Self::Result => format!("the result is larger than {} MiB", MAX_RESULT >> 20),
            Self::Depth => format!("a value is nested deeper than {MAX_VALUE_DEPTH} levels"),
        }
    }
}

/// Counts one evaluation.
#[derive(Default)]
pub struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    /// Counts `count` steps.
    pub fn step(&self, count: usize) -> Result<(), Limit> {
        let steps = self.steps.get() + count as u64;
        self.steps.set(steps);
        if steps > MAX_STEPS { Err(Limit::Steps) } else { Ok(()) }
    }

    /// Counts `count` bytes made.
    pub fn make(&self, count: usize) -> Result<(), Limit> {
        let bytes = self.bytes.get() + count as u64;
        self.bytes.set(bytes);
        if bytes > MAX_BYTES { Err(Limit::Bytes) } else { Ok(()) }
    }

    /// Counts another element of `size` bytes for a list that has `count`.
    pub fn grow(&self, count: usize, size: usize) -> Result<(), Limit> {
        if count < MAX_ITEMS { self.make(size) } else { Err(Limit::Bytes) }
    }
}
