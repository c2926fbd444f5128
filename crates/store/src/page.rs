//! Lists: newest first, a bounded page at a time.

use serde::Serialize;

/// Items on one page at most.
pub const MAX_PAGE: usize = 500;

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The `next` of the page before; `None` for the first.
    pub before: Option<i64>,
    /// How many items; at most [`MAX_PAGE`].
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { before: None, limit: 50 }
    }
}

impl Page {
    pub(crate) fn limit(&self) -> usize {
        self.limit.clamp(1, MAX_PAGE)
    }

    pub(crate) fn before(&self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }
}

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<i64>,
}

impl<T> Listed<T> {
    /// Cuts numbered rows, one more than asked for if there are any, to the page.
    pub(crate) fn cut(mut rows: Vec<(i64, T)>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|(number, _)| *number) } else { None };
        Self { items: rows.into_iter().map(|(_, item)| item).collect(), next }
    }
}

/// Text as a pattern that finds it anywhere, with the pattern's own signs taken literally.
pub(crate) fn pattern_anywhere(text: &str) -> String {
    format!("%{}%", escaped(&text.to_lowercase()))
}

/// A type or `prefix.*` as a pattern, for types in lower case.
pub(crate) fn pattern_of_type(text: &str) -> String {
    let text = text.to_lowercase();
    match text.strip_suffix('*') {
        Some(prefix) => format!("{}%", escaped(prefix)),
        None => escaped(&text),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
