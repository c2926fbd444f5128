//! Rows by order of creation and by uuid.

use std::collections::BTreeMap;

/// A row's place in the order of creation, unique in the whole twin.
pub type Seq = u64;

/// Rows of one kind.
#[derive(Debug)]
pub struct Table<T> {
    rows: BTreeMap<Seq, T>,
    by_uuid: BTreeMap<String, Seq>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { rows: BTreeMap::new(), by_uuid: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    pub fn insert(&mut self, seq: Seq, uuid: &str, row: T) {
        self.rows.insert(seq, row);
        self.by_uuid.insert(uuid.to_owned(), seq);
    }

    pub fn remove(&mut self, seq: Seq, uuid: &str) -> Option<T> {
        self.by_uuid.remove(uuid);
        self.rows.remove(&seq)
    }

    pub fn get(&self, seq: Seq) -> Option<&T> {
        self.rows.get(&seq)
    }

    pub fn get_mut(&mut self, seq: Seq) -> Option<&mut T> {
        self.rows.get_mut(&seq)
    }

    pub fn seq_of(&self, uuid: &str) -> Option<Seq> {
        self.by_uuid.get(uuid).copied()
    }

    pub fn find(&self, uuid: &str) -> Option<&T> {
        self.get(self.seq_of(uuid)?)
    }

    /// In order of creation.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Seq, &T)> {
        self.rows.iter().map(|(seq, row)| (*seq, row))
    }
}
