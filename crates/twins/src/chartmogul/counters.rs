//! How often what was written: for tests that crash a writer and look for what it sent twice.

use std::collections::BTreeMap;

/// What the twin counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Every request that was let in, refused ones too.
    pub requests: u64,
    /// Writes that took effect, by endpoint: `POST /customers`, `PATCH /customers/:id`.
    pub writes: BTreeMap<String, u64>,
    /// Creations refused because the external id was taken, by kind (`customer`, `plan`, `invoice`,
    /// `line_item`, `transaction`, `subscription_event`) and external id.
    pub duplicates: BTreeMap<(String, String), u64>,
    /// Requests refused by a limit.
    pub limited: u64,
}

impl Counters {
    pub(super) fn duplicate(&mut self, kind: &str, external_id: &str) {
        *self.duplicates.entry((kind.to_owned(), external_id.to_owned())).or_default() += 1;
    }

    /// How many creations were refused as duplicates, of all kinds.
    pub fn duplicates_total(&self) -> u64 {
        self.duplicates.values().sum()
    }
}
