//! History: what is over leaves the hot tables for one file per month (on PostgreSQL, a partition), which is dropped
//! whole when its time is up.
//!
//! A run goes to the month in which it finished, an event to the month in which it came, once no hot run works for
//! it. A move is written to the file first and deleted from the hot tables after; a crash in between leaves both,
//! and the hot one counts. Bringing back goes the other way round. Of two files the later month counts. On PostgreSQL
//! a move is one transaction.

mod files;
mod moves;
mod rows;

use std::collections::BTreeSet;

use crate::row::{Query, Row};
use crate::{Backend, Listed, Page, Result, Store};

pub(crate) use files::{Files, Month, month_of};
pub use moves::{DEDUPE_LIFE, FACT_LIFE};

/// How often a search begins again: what it looks for may be brought back between its look at the hot tables and its
/// look at history.
const LOOKS: usize = 2;

impl Store {
    /// Looks for something in the hot tables, then in history, latest month first. It is where the first query
    /// finds a row; every query is answered from there.
    pub(crate) async fn search(&self, queries: &[Query]) -> Result<Option<Vec<Vec<Row>>>> {
        let found = |answers: &Vec<Vec<Row>>| answers.first().is_some_and(|rows| !rows.is_empty());
        for _ in 0..LOOKS {
            let hot = self.read(queries).await?;
            if found(&hot) {
                return Ok(Some(hot));
            }
            let old = match &self.inner.backend {
                Backend::Sqlite(sqlite) => sqlite.history.find(queries)?,
                Backend::Postgres(postgres) => Some(postgres.read_history(queries).await?).filter(found),
            };
            if old.is_some() {
                return Ok(old);
            }
        }
        Ok(None)
    }

    /// Searches by each query alone; nothing for those that find nothing anywhere.
    pub(crate) async fn search_each(&self, queries: Vec<Query>) -> Result<Vec<Vec<Row>>> {
        let mut answers = self.read(&queries).await?;
        for (query, rows) in queries.into_iter().zip(&mut answers).filter(|(_, rows)| rows.is_empty()) {
            *rows = self.search(&[query]).await?.and_then(|mut found| found.pop()).unwrap_or_default();
        }
        Ok(answers)
    }

    /// One page of what the hot tables and history list by `query`: rows numbered by `seq`, newest first, from each
    /// place one more than the page holds if there are any.
    pub(crate) async fn gather<T>(
        &self,
        page: Page,
        query: Query,
        make: impl Fn(&Row) -> Result<T>,
    ) -> Result<Listed<T>> {
        let queries = [query];
        let mut places = self.read(&queries).await?;
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                for month in sqlite.history.months() {
                    places.extend(sqlite.history.read(&month, &queries)?.into_iter().flatten());
                }
            }
            Backend::Postgres(postgres) => places.extend(postgres.read_history(&queries).await?),
        }
        let mut seen = BTreeSet::new();
        let mut rows = Vec::new();
        for row in places.iter().flatten() {
            let seq: i64 = row.get("seq")?;
            if seen.insert(seq) {
                rows.push((seq, make(row)?));
            }
        }
        rows.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        Ok(Listed::cut(rows, page.limit()))
    }
}
