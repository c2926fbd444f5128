//! A list's pages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::plan::{Next, Pages, get, put};
use crate::wire::Request;

/// Records on a page where nobody says how many.
const SIZE: usize = 20;
/// Records on a page at most.
const SIZE_MAX: usize = 1000;

/// The page of `records` that a request asks for, in the shape that the manifest says.
pub fn of(pages: &Pages, records: &[Value], query: &BTreeMap<String, String>, request: &Request) -> Value {
    let size = pages.size.as_ref().and_then(|name| query.get(name)).and_then(|size| size.parse().ok());
    let size = size.unwrap_or(SIZE).clamp(1, SIZE_MAX);
    let cursor = query.get(&pages.send).map(String::as_str).unwrap_or_default();
    let from = match &pages.next {
        Next::Last(way) => {
            let last = records.iter().position(|record| text(get(record, way)) == cursor);
            last.map_or(0, |last| last + 1)
        }
        Next::At(_) | Next::Url(_) => cursor.parse().unwrap_or(0),
    };
    let end = (from + size).min(records.len());
    let more = end < records.len();
    let mut body = json!({});
    put(&mut body, &pages.items, records.get(from..end).unwrap_or_default().to_vec().into());
    if let Some(way) = &pages.more {
        put(&mut body, way, more.into());
    }
    match &pages.next {
        Next::Last(_) => {}
        Next::At(way) => put(&mut body, way, if more { end.to_string().into() } else { Value::Null }),
        Next::Url(way) => {
            put(&mut body, way, if more { address(pages, query, end, request).into() } else { Value::Null });
        }
    }
    body
}

/// The next page's whole address.
fn address(pages: &Pages, query: &BTreeMap<String, String>, end: usize, request: &Request) -> String {
    let host = request.header("host").unwrap_or("localhost");
    let mut next = query.clone();
    next.insert(pages.send.clone(), end.to_string());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(next).finish();
    format!("http://{host}{}?{query}", request.path)
}

/// A value as a parameter has it.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
