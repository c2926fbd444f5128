//! Cursor paging: newest first, `limit`, `starting_after`, `ending_before`, `created[…]`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::errors::Error;
use super::form::Params;
use super::table::{Record, Table};

const LIMIT_DEFAULT: i64 = 10;
const LIMIT_MAX: i64 = 100;

/// A range of times, from `created[gte]` and its like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    from: i64,
    to: i64,
}

impl Range {
    pub(super) fn take(params: &mut Params, key: &str) -> Result<Range, Error> {
        let mut range = Range { from: i64::MIN, to: i64::MAX };
        if let Some(text) = params.scalar(key)? {
            let exact = text.parse().map_err(|_| Error::integer(key, &text))?;
            return Ok(Range { from: exact, to: exact });
        }
        let Some(mut bounds) = params.map(key)? else { return Ok(range) };
        if let Some(time) = bounds.int("gte")? {
            range.from = range.from.max(time);
        }
        if let Some(time) = bounds.int("gt")? {
            range.from = range.from.max(time + 1);
        }
        if let Some(time) = bounds.int("lte")? {
            range.to = range.to.min(time);
        }
        if let Some(time) = bounds.int("lt")? {
            range.to = range.to.min(time - 1);
        }
        bounds.done()?;
        Ok(range)
    }

    pub(super) fn has(&self, time: i64) -> bool {
        (self.from..=self.to).contains(&time)
    }
}

/// What page is wanted.
#[derive(Debug)]
pub(super) struct Cursor {
    limit: usize,
    after: Option<String>,
    before: Option<String>,
}

/// One page and whether more follow in its direction.
pub(super) struct Page<T> {
    pub rows: Vec<Arc<T>>,
    pub has_more: bool,
}

impl Cursor {
    pub(super) fn take(params: &mut Params) -> Result<Cursor, Error> {
        let limit = params.int("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("This value must be between 1 and {LIMIT_MAX}.");
            return Err(Error::coded("parameter_invalid_integer", message).at("limit"));
        }
        let (after, before) = (params.string("starting_after")?, params.string("ending_before")?);
        if after.is_some() && before.is_some() {
            let message = "You cannot parameterize starting_after and ending_before in one request.";
            return Err(Error::invalid(message));
        }
        let limit = usize::try_from(limit).unwrap_or(1);
        Ok(Cursor { limit, after, before })
    }

    /// The page of a table, or of what an owner has in it.
    pub(super) fn page<T: Record>(
        &self,
        table: &Table<T>,
        owner: Option<&str>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, Error> {
        let locate = |id: &str, param: &str| {
            table.position(id).ok_or_else(|| Error::missing_param("object", id, param))
        };
        let keep = |row: &(u64, &Arc<T>)| keep(row.1);
        let take = self.limit + 1;
        let mut rows: Vec<Arc<T>>;
        if let Some(id) = &self.before {
            let bound = locate(id, "ending_before")?;
            rows = match owner {
                Some(owner) => {
                    let owned = table.of(owner).filter(|(position, _)| *position > bound);
                    owned.filter(keep).take(take).map(|(_, row)| Arc::clone(row)).collect()
                }
                None => table.above(bound).filter(keep).take(take).map(|(_, row)| Arc::clone(row)).collect(),
            };
            let has_more = rows.len() > self.limit;
            rows.truncate(self.limit);
            rows.reverse();
            return Ok(Page { rows, has_more });
        }
        let bound = self.after.as_deref().map_or(Ok(u64::MAX), |id| locate(id, "starting_after"))?;
        rows = match owner {
            Some(owner) => {
                let owned = table.of(owner).rev().filter(|(position, _)| *position < bound);
                owned.filter(keep).take(take).map(|(_, row)| Arc::clone(row)).collect()
            }
            None => table.below(bound).filter(keep).take(take).map(|(_, row)| Arc::clone(row)).collect(),
        };
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        Ok(Page { rows, has_more })
    }

    /// A page of values that are already in order (nested lists such as an invoice's lines).
    pub(super) fn slice(&self, values: Vec<Value>, url: &str) -> Result<Value, Error> {
        let find = |id: &str, param: &str| {
            let at = values.iter().position(|value| value["id"] == id);
            at.ok_or_else(|| Error::missing_param("object", id, param))
        };
        let (from, to) = match (&self.after, &self.before) {
            (Some(id), _) => {
                let from = find(id, "starting_after")? + 1;
                (from, (from + self.limit).min(values.len()))
            }
            (None, Some(id)) => {
                let to = find(id, "ending_before")?;
                (to.saturating_sub(self.limit), to)
            }
            (None, None) => (0, self.limit.min(values.len())),
        };
        let has_more = if self.before.is_some() { from > 0 } else { to < values.len() };
        let data: Vec<Value> = values.into_iter().take(to).skip(from).collect();
        Ok(list(data, has_more, url))
    }
}

pub(super) fn list(data: Vec<Value>, has_more: bool, url: &str) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more, "url": url })
}
