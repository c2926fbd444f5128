//! Connectors as they were when a run began: a node keeps the texts of its manifests, so that whatever takes up a run
//! later, with other manifests, performs it with those.

use std::collections::BTreeMap;
use std::sync::Arc;

use connect::{Catalog, Manifest};
use store::manifests::NewManifest;

use crate::Node;

/// Keeps the manifests of this node, before any run begins with them.
pub async fn note(node: &Node) {
    let noted: Vec<NewManifest> = node
        .catalog
        .sources()
        .map(|source| NewManifest {
            digest: source.digest.to_owned(),
            slug: source.slug.to_owned(),
            text: source.text.to_owned(),
        })
        .collect();
    while let Err(error) = node.store.note_manifests(&noted, node.clock.now()).await {
        if !error.passes() {
            tracing::error!(%error, "the manifests were not kept: runs go on with those of the program");
            return;
        }
        node.until_good().await;
    }
}

/// The node's connectors, but for those whose manifest was another one when the run began.
pub async fn kept(node: &Node, digests: &BTreeMap<String, String>) -> store::Result<Arc<Catalog>> {
    let mut catalog: Option<Catalog> = None;
    for (slug, digest) in digests {
        if node.catalog.get(slug).is_some_and(|manifest| manifest.digest() == digest) {
            continue;
        }
        let text = node.read(|| node.store.manifest(digest)).await?;
        let file = format!("{slug}.yaml");
        match text.map(|text| (Manifest::parse(&file, &text), text)) {
            Some((Ok(manifest), text)) => {
                catalog.get_or_insert_with(|| (*node.catalog).clone()).insert(manifest, text);
            }
            // The present one is the best that there is.
            None => {
                tracing::warn!(slug, digest, "a run's manifest is not kept: it goes on with the present one")
            }
            Some((Err(found), _)) => {
                let why = found.first().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(
                    slug,
                    digest,
                    why,
                    "a run's manifest cannot be read: it goes on with the present one"
                );
            }
        }
    }
    Ok(catalog.map_or_else(|| node.catalog.clone(), Arc::new))
}
