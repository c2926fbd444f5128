//! Cursor paging. The cursor is opaque to clients and, as in the real API, never null while there is an entry: the
//! last page has one too, and only `has_more` tells the end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::input::Query;
use super::table::Seq;

const PER_PAGE: usize = 200;

/// What a list request asks for.
pub struct Wanted {
    pub after: Option<Seq>,
    pub per_page: usize,
}

impl Wanted {
    pub fn of(query: &Query) -> Wanted {
        let per_page = query.get("per_page").or_else(|| query.get("per-page"));
        let per_page = per_page.and_then(|text| text.parse().ok()).unwrap_or(PER_PAGE).clamp(1, PER_PAGE);
        Wanted { after: query.get("cursor").and_then(decode), per_page }
    }

    pub fn first(&self) -> bool {
        self.after.is_none()
    }
}

/// In which direction a list runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// One page of rows.
pub struct Page<'a, T> {
    pub rows: Vec<(Seq, &'a T)>,
    pub has_more: bool,
    /// How many rows the list has on all pages; counted for the first page only.
    pub total: usize,
}

/// Cuts a page out of all rows of a list, given in order of creation.
pub fn cut<'a, T>(
    all: impl DoubleEndedIterator<Item = (Seq, &'a T)>,
    order: Order,
    wanted: &Wanted,
) -> Page<'a, T> {
    let past = |seq: Seq| match (wanted.after, order) {
        (None, _) => true,
        (Some(after), Order::OldestFirst) => seq > after,
        (Some(after), Order::NewestFirst) => seq < after,
    };
    let mut page = Page { rows: Vec::new(), has_more: false, total: 0 };
    let mut take = |(seq, row): (Seq, &'a T)| {
        page.total += 1;
        if past(seq) && page.rows.len() < wanted.per_page {
            page.rows.push((seq, row));
        } else if past(seq) {
            page.has_more = true;
        }
    };
    match order {
        Order::OldestFirst => all.for_each(&mut take),
        Order::NewestFirst => all.rev().for_each(&mut take),
    }
    page
}

impl<T> Page<'_, T> {
    /// The cursor after the last row.
    pub fn cursor(&self, created_at: impl Fn(&T) -> Timestamp) -> Value {
        self.rows.last().map_or(Value::Null, |(seq, row)| Value::from(encode(created_at(row), *seq)))
    }

    pub fn pages(&self, wanted: &Wanted) -> usize {
        self.total.div_ceil(wanted.per_page).max(1)
    }

    /// `{root: […], cursor, has_more}`: contacts, notes, later pages.
    pub fn body(&self, root: &str, rows: Vec<Value>, cursor: Value) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert(root.to_owned(), Value::Array(rows));
        body.insert("cursor".to_owned(), cursor);
        body.insert("has_more".to_owned(), json!(self.has_more));
        body
    }

    /// The same with `current_page` and `total_pages` on the first page: plans, invoices, subscriptions.
    pub fn numbered(
        &self,
        root: &str,
        rows: Vec<Value>,
        cursor: Value,
        wanted: &Wanted,
    ) -> Map<String, Value> {
        let mut body = self.body(root, rows, cursor);
        if wanted.first() {
            body.insert("current_page".to_owned(), json!(1));
            body.insert("total_pages".to_owned(), json!(self.pages(wanted)));
        }
        body
    }
}

pub fn encode(at: Timestamp, seq: Seq) -> String {
    STANDARD.encode(format!("{}&{seq}", at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ")))
}

fn decode(cursor: &str) -> Option<Seq> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    text.rsplit_once('&')?.1.parse().ok()
}
