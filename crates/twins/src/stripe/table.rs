//! One kind of object: by id, by owner, and in the order of creation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a table needs to know of its rows. Owners never change after insertion.
pub(super) trait Record: Clone + PartialEq {
    fn id(&self) -> &str;
    fn created(&self) -> i64;
    /// Ids of the objects it is listed under.
    fn owners(&self) -> [Option<&str>; 2] {
        [None, None]
    }
}

/// An object before and after a change.
pub(super) struct Change<T> {
    pub before: Arc<T>,
    pub after: Arc<T>,
}

pub(super) struct Table<T> {
    rows: BTreeMap<u64, Arc<T>>,
    positions: BTreeMap<String, u64>,
    owned: BTreeMap<String, BTreeSet<u64>>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { rows: BTreeMap::new(), positions: BTreeMap::new(), owned: BTreeMap::new(), next: 0 }
    }
}

impl<T: Record> Table<T> {
    pub(super) fn get(&self, id: &str) -> Option<&Arc<T>> {
        self.rows.get(self.positions.get(id)?)
    }

    /// Where an object stands in the order of creation.
    pub(super) fn position(&self, id: &str) -> Option<u64> {
        self.positions.get(id).copied()
    }

    pub(super) fn insert(&mut self, row: T) -> Arc<T> {
        let position = self.next;
        self.next += 1;
        self.positions.insert(row.id().to_owned(), position);
        for owner in row.owners().into_iter().flatten() {
            self.owned.entry(owner.to_owned()).or_default().insert(position);
        }
        let row = Arc::new(row);
        self.rows.insert(position, Arc::clone(&row));
        row
    }

    /// Changes an object in place; snapshots taken earlier keep what they saw.
    pub(super) fn edit(&mut self, id: &str, change: impl FnOnce(&mut T)) -> Option<Change<T>> {
        let row = self.rows.get_mut(self.positions.get(id)?)?;
        let before = Arc::clone(row);
        change(Arc::make_mut(row));
        Some(Change { before, after: Arc::clone(row) })
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<T>> {
        let position = self.positions.remove(id)?;
        let row = self.rows.remove(&position)?;
        for owner in row.owners().into_iter().flatten() {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(&position);
            }
        }
        Some(row)
    }

    /// All, oldest first, with their positions.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (u64, &Arc<T>)> {
        self.rows.iter().map(|(position, row)| (*position, row))
    }

    /// Those before a position, newest first.
    pub(super) fn below(&self, position: u64) -> impl Iterator<Item = (u64, &Arc<T>)> {
        self.rows.range(..position).rev().map(|(position, row)| (*position, row))
    }

    /// Those after a position, oldest first.
    pub(super) fn above(&self, position: u64) -> impl Iterator<Item = (u64, &Arc<T>)> {
        self.rows.range(position + 1..).map(|(position, row)| (*position, row))
    }

    /// Those of an owner, oldest first.
    pub(super) fn of(&self, owner: &str) -> impl DoubleEndedIterator<Item = (u64, &Arc<T>)> {
        let positions = self.owned.get(owner).into_iter().flatten();
        positions.filter_map(|position| Some((*position, self.rows.get(position)?)))
    }
}
