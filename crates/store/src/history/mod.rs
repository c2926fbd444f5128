//! History: what is over leaves the hot tables for one file per month, which is dropped whole when its time is up.
//!
//! A run goes to the month in which it finished, an event to the month in which it came, once no hot run works for
//! it. A move is written to the file first and deleted from the hot tables after; a crash in between leaves both,
//! and the hot one counts. Bringing back goes the other way round. Of two files the later month counts.

mod files;
mod moves;
mod rows;

use rusqlite::Connection;
use std::collections::BTreeSet;

use crate::{Listed, Page, Result, Store};

pub(crate) use files::Files;
pub use moves::{DEDUPE_LIFE, FACT_LIFE};

impl Store {
    /// Looks for something in the hot tables, then in history, latest month first.
    pub(crate) fn search<T>(&self, look: impl Fn(&Connection) -> Result<Option<T>>) -> Result<Option<T>> {
        // Twice, since it may be brought back between the look at the hot tables and the look at history.
        for _ in 0..2 {
            if let Some(found) = self.read(&look)? {
                return Ok(Some(found));
            }
            for month in self.inner.history.months() {
                if let Some(found) = self.inner.history.with(&month, |db| look(db))?.flatten() {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// One page of what the hot tables and history list, each giving its own rows in order, one more than the
    /// page holds if there are any.
    pub(crate) fn gather<T>(
        &self,
        page: Page,
        list: impl Fn(&Connection) -> Result<Vec<(i64, T)>>,
    ) -> Result<Listed<T>> {
        let mut rows = self.read(&list)?;
        let mut seen: BTreeSet<i64> = rows.iter().map(|(seq, _)| *seq).collect();
        for month in self.inner.history.months() {
            let more = self.inner.history.with(&month, |db| list(db))?.unwrap_or_default();
            rows.extend(more.into_iter().filter(|(seq, _)| seen.insert(*seq)));
        }
        rows.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        Ok(Listed::cut(rows, page.limit()))
    }
}
