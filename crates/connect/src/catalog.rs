//! All manifests of an installation.

use std::collections::BTreeMap;
use std::path::Path;

use flow::Diagnostic;

use crate::manifest::{Manifest, Operation};

/// The manifests that are part of the program: file and text of each in `connectors/`, listed by `build.rs`.
const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/connectors.rs"));
/// The largest manifest read from a folder, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Manifests by slug.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    manifests: BTreeMap<String, Manifest>,
}

impl Catalog {
    /// The manifests that are part of the program.
    pub fn embedded() -> Result<Catalog, Vec<Diagnostic>> {
        let mut catalog = Catalog::default();
        let mut problems = Vec::new();
        for &(file, text) in EMBEDDED {
            match Manifest::parse(file, text) {
                Ok(manifest) => drop(catalog.manifests.insert(manifest.slug.clone(), manifest)),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(catalog) } else { Err(problems) }
    }

    /// Adds the manifests of a folder (`*.yaml`, in the order of their names); one of a known slug replaces it.
    pub fn load_dir(&mut self, dir: &Path) -> Result<(), Vec<Diagnostic>> {
        let problem = |path: &Path, message: String| Diagnostic {
            file: path.display().to_string(),
            line: 1,
            column: 1,
            path: String::new(),
            code: "manifest_unreadable".into(),
            message,
            suggestion: None,
        };
        let entries = std::fs::read_dir(dir).map_err(|error| vec![problem(dir, error.to_string())])?;
        let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
        files.sort();
        let mut problems = Vec::new();
        for path in files {
            let size = std::fs::metadata(&path).map_or(0, |found| found.len());
            if size > FILE_BYTES_MAX {
                problems.push(problem(&path, format!("a manifest has at most {FILE_BYTES_MAX} bytes")));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Err(error) => problems.push(problem(&path, error.to_string())),
                Ok(text) => match Manifest::parse(&path.display().to_string(), &text) {
                    Ok(manifest) => drop(self.manifests.insert(manifest.slug.clone(), manifest)),
                    Err(found) => problems.extend(found),
                },
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Adds one manifest; one of the same slug is replaced.
    pub fn insert(&mut self, manifest: Manifest) {
        self.manifests.insert(manifest.slug.clone(), manifest);
    }

    pub fn get(&self, slug: &str) -> Option<&Manifest> {
        self.manifests.get(slug)
    }

    /// The operation of a full name: `stripe.customers.retrieve`. A version (`:1`, `:1@default`) may follow.
    pub fn operation(&self, name: &str) -> Option<(&Manifest, &Operation)> {
        let name = name.split(':').next().unwrap_or(name);
        let manifest = self.get(name.split('.').next()?)?;
        manifest.operation(name).map(|operation| (manifest, operation))
    }

    /// All slugs, in order.
    pub fn slugs(&self) -> impl Iterator<Item = &str> {
        self.manifests.keys().map(String::as_str)
    }

    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }
}
