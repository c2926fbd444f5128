//! How answers look to people: tables, times, and what to do where nothing is there yet.

use std::fmt::Write as _;

use serde_json::Value;

/// A cell wider than this many characters is cut with an ellipsis, so that a table stays readable.
const CELL_WIDTH_MAX: usize = 100;

/// Columns with a heading, left-aligned, two spaces between; the last column is not padded.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shorten(cell)).collect()).collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let widest =
                cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(heading.chars().count())
        })
        .collect();
    let mut out = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
    for row in std::iter::once(&headings).chain(&cells) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let padding = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn shorten(cell: &str) -> String {
    let line = cell.replace(['\n', '\r', '\t'], " ");
    if line.chars().count() <= CELL_WIDTH_MAX {
        return line;
    }
    let mut short: String = line.chars().take(CELL_WIDTH_MAX - 1).collect();
    short.push('…');
    short
}

/// `2026-11-20T14:03:05.123Z` as `2026-11-20 14:03:05 UTC`; anything else as it is; nothing as `-`.
pub fn time(value: &Value) -> String {
    let Some(text) = value.as_str() else { return "-".to_owned() };
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// A member as a cell: strings bare, nothing as `-`, the rest as JSON.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Pretty JSON, indented by `indent` spaces.
pub fn block(value: &Value, indent: usize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    let mut out = String::new();
    for line in text.lines() {
        // Writing to a String cannot fail.
        writeln!(out, "{:indent$}{line}", "").unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_long_cells_are_cut() {
        let rows = vec![vec!["stripe".to_owned(), "test".to_owned()], vec!["s".to_owned(), "x".repeat(120)]];
        let expected = format!("NAME    MODE\nstripe  test\ns       {}…\n", "x".repeat(99));
        assert_eq!(table(&["name", "mode"], &rows), expected);
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(time(&json!("2026-11-20T14:03:05.5Z")), "2026-11-20 14:03:05 UTC");
        assert_eq!(time(&json!(null)), "-");
        assert_eq!(time(&json!("soon")), "soon");
    }
}
