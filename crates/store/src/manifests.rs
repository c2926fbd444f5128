//! Connectors' manifests, kept by what they say: a run goes on with those that it began with, whatever the program that
//! takes it up brings along.

use jiff::Timestamp;

use crate::unit::values;
use crate::{Result, Store, Unit};

/// A manifest's text under its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewManifest {
    /// Names the text: equal texts have equal digests.
    pub digest: String,
    pub slug: String,
    pub text: String,
}

const NOTE: &str = "INSERT INTO manifests (digest, slug, text, noted_at) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (digest) DO NOTHING";
const KNOWN: &str = "SELECT digest FROM manifests";
const TEXT: &str = "SELECT text FROM manifests WHERE digest = ?1";

impl Store {
    /// Keeps those of the manifests that are not kept yet.
    pub async fn note_manifests(&self, manifests: &[NewManifest], now: Timestamp) -> Result<()> {
        let rows = self.rows(KNOWN, Vec::new()).await?;
        let known: Vec<String> = rows.iter().map(|row| row.get("digest")).collect::<Result<_>>()?;
        let mut unit = Unit::new();
        for NewManifest { digest, slug, text } in manifests {
            if !known.contains(digest) {
                unit = unit.then(NOTE, values![digest, slug, text, now]);
            }
        }
        if unit.statements().is_empty() {
            return Ok(());
        }
        self.commit(unit).await.map(drop)
    }

    /// A manifest's text, where it is kept.
    pub async fn manifest(&self, digest: &str) -> Result<Option<String>> {
        self.first(TEXT, values![digest]).await?.map(|row| row.get("text")).transpose()
    }
}
