//! Lists that come in pages, and lists inside records.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::encode;
use crate::error::Error;
use crate::manifest::{Limits, Nested, Next, Pages};
use crate::path::Found;
use crate::perform::{Call, Wanted};
use crate::prepare::Prepared;

/// The pages that one call collects, in bytes as the vendor sends them: they are in memory together.
const LIST_BYTES_MAX: usize = 16 << 20;

/// What one call may still fetch and keep.
pub(crate) struct Budget {
    pages: usize,
    items: usize,
    bytes: usize,
}

impl Budget {
    pub fn new(limits: &Limits) -> Budget {
        Budget { pages: limits.pages_max, items: limits.items_max, bytes: LIST_BYTES_MAX }
    }

    fn page(&mut self) -> Result<(), Error> {
        self.pages =
            self.pages.checked_sub(1).ok_or_else(|| too_long("more pages than one call may fetch"))?;
        Ok(())
    }

    /// Takes a page of so many records and bytes.
    fn items(&mut self, count: usize, bytes: usize) -> Result<(), Error> {
        self.items =
            self.items.checked_sub(count).ok_or_else(|| too_long("more records than one call may fetch"))?;
        let room = self.bytes.checked_sub(bytes);
        self.bytes = room.ok_or_else(|| too_long(&format!("more than {} MiB", LIST_BYTES_MAX >> 20)))?;
        Ok(())
    }
}

fn too_long(what: &str) -> Error {
    let detail = format!("the list has {what}; narrow it, or go over it with `page: stream`");
    Error::fatal("list_too_long", detail)
}

/// One page, taken apart.
struct Page {
    items: Vec<Value>,
    more: bool,
    next: Option<String>,
}

/// All pages of a list operation, or the first one.
pub(crate) async fn collect(
    call: &Call<'_>,
    prepared: &Prepared,
    pages: &Pages,
    budget: &mut Budget,
    wanted: Option<Wanted<'_>>,
) -> Result<Value, Error> {
    let (mut path, mut query) = (prepared.path.clone(), prepared.query.clone());
    let mut seen = BTreeSet::new();
    let mut all: Vec<Value> = Vec::new();
    loop {
        budget.page()?;
        let (body, bytes) = call.exchange(prepared, &path, &query).await?;
        let mut page = take_page(call, pages, body)?;
        budget.items(page.items.len(), bytes)?;
        for item in &mut page.items {
            complete(call, prepared, item, budget).await?;
        }
        if let Some(wanted) = wanted
            && let Some(found) = page.items.iter().position(wanted)
        {
            return Ok(items_of(vec![page.items.swap_remove(found)]));
        }
        if prepared.first_page {
            let mut output = Map::new();
            output.insert("items".into(), Value::Array(page.items));
            output.insert("more".into(), page.more.into());
            output.insert("next".into(), page.next.filter(|_| page.more).map_or(Value::Null, Value::from));
            return Ok(Value::Object(output));
        }
        if all.is_empty() {
            all = page.items;
        } else {
            all.append(&mut page.items);
        }
        if !page.more {
            return Ok(items_of(all));
        }
        let next = cursor(call, page.next, &mut seen)?;
        match &pages.next {
            Next::Url(_) => (path, query) = address(&next),
            Next::At(_) | Next::Last(_) => query = encode::with_param(&query, &pages.send, &next),
        }
    }
}

/// Path and query of an address; its host is not taken over.
pub(crate) fn address(next: &str) -> (String, String) {
    let rest = next.split_once("://").map_or(next, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (path.to_owned(), query.to_owned())
}

fn items_of(items: Vec<Value>) -> Value {
    Value::Object(Map::from_iter([("items".to_owned(), Value::Array(items))]))
}

/// The cursor of the next page. One that was seen before would lead in a circle.
fn cursor(call: &Call<'_>, next: Option<String>, seen: &mut BTreeSet<String>) -> Result<String, Error> {
    let name = &call.operation.name;
    let next = next.ok_or_else(|| {
        Error::fatal("pages_broken", format!("{name}: there is more, but no cursor leads to it"))
    })?;
    if !seen.insert(next.clone()) {
        return Err(Error::fatal("pages_loop", format!("{name}: the cursor `{next}` came back")));
    }
    Ok(next)
}

fn take_page(call: &Call<'_>, pages: &Pages, mut body: Value) -> Result<Page, Error> {
    let missing = |what: &str| {
        Error::fatal("answer_unexpected", format!("{}: the page has no `{what}`", call.operation.name))
    };
    let stated = match &pages.more {
        Some(path) => match path.get(&body) {
            Some(Value::Bool(more)) => Some(*more),
            _ => return Err(missing(path.as_str())),
        },
        None => None,
    };
    let at = match &pages.next {
        Next::At(path) | Next::Url(path) => path.get(&body).and_then(text),
        Next::Last(_) => None,
    };
    let items = match pages.items.get_mut(&mut body).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => return Err(missing(pages.items.as_str())),
    };
    let next = match &pages.next {
        Next::At(_) => at,
        // An address that the vendor gives may repeat what was shown; the request for it shows that by itself.
        Next::Url(_) => at.map(|next| call.manifest.auth.without_secret(next)),
        Next::Last(path) => items.last().and_then(|last| path.get(last)).and_then(text),
    };
    let more = stated.unwrap_or(next.is_some());
    Ok(Page { items, more, next })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Completes the lists inside one record of the answer.
pub(crate) async fn complete(
    call: &Call<'_>,
    prepared: &Prepared,
    record: &mut Value,
    budget: &mut Budget,
) -> Result<(), Error> {
    for nested in &call.operation.nested {
        complete_one(call, prepared, nested, record, budget).await?;
    }
    Ok(())
}

async fn complete_one(
    call: &Call<'_>,
    prepared: &Prepared,
    nested: &Nested,
    record: &mut Value,
    budget: &mut Budget,
) -> Result<(), Error> {
    let pages = &nested.pages;
    let Some(list) = nested.at.get_mut(record).filter(|list| list.is_object()) else { return Ok(()) };
    let Some(more) = &pages.more else { return Ok(()) };
    if more.get(list) != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let broken = |what: &str| {
        let detail = format!("{}: the list `{}` has no `{what}`", call.operation.name, nested.at.as_str());
        Error::fatal("answer_unexpected", detail)
    };
    let address = match nested.url.find(list, None) {
        Found::Value(Value::String(url)) => url.clone(),
        _ => return Err(broken(nested.url.as_str())),
    };
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let mut seen = BTreeSet::new();
    let mut next = match (&pages.next, pages.items.get(list)) {
        (Next::Last(path), Some(Value::Array(items))) => {
            items.last().and_then(|i| path.get(i)).and_then(text)
        }
        (Next::At(path), _) => path.get(list).and_then(text),
        _ => None,
    };
    let mut fetched: Vec<Value> = Vec::new();
    loop {
        let mut asked = encode::with_param(query, &pages.send, &cursor(call, next, &mut seen)?);
        if let Some((name, size)) = &pages.size {
            asked = encode::with_param(&asked, name, &size.to_string());
        }
        budget.page()?;
        let (body, bytes) = call.exchange(prepared, path, &asked).await?;
        let mut page = take_page(call, pages, body)?;
        budget.items(page.items.len(), bytes)?;
        fetched.append(&mut page.items);
        if !page.more {
            break;
        }
        next = page.next;
    }
    match pages.items.get_mut(list) {
        Some(Value::Array(items)) => items.append(&mut fetched),
        _ => return Err(broken(pages.items.as_str())),
    }
    if let Some(more) = more.get_mut(list) {
        *more = Value::Bool(false);
    }
    Ok(())
}
