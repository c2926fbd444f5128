//! All manifests of an installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow::Diagnostic;

use crate::manifest::{Manifest, Operation};

/// The manifests that are part of the program: file and text of each in `connectors/`, listed by `build.rs`.
const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/connectors.rs"));
/// The largest manifest read from a folder, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Entries of a folder of manifests.
const FOLDER_ENTRIES_MAX: usize = 10_000;
const UNREADABLE: &str = "manifest_unreadable";

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

    /// Adds the manifests of a folder (`*.yaml`, in the order of their names). All of them or none: every mistake comes
    /// back, and a slug that is known already is one, since nobody could say which of the two a flow means.
    pub fn load_dir(&mut self, dir: &Path) -> Result<(), Vec<Diagnostic>> {
        let entries =
            std::fs::read_dir(dir).map_err(|error| vec![problem(dir, UNREADABLE, error.to_string())])?;
        let mut files = Vec::new();
        for entry in entries.take(FOLDER_ENTRIES_MAX + 1) {
            let path = entry.map_err(|error| vec![problem(dir, UNREADABLE, error.to_string())])?.path();
            files.push(path);
        }
        if files.len() > FOLDER_ENTRIES_MAX {
            let message = format!("a folder of connectors has at most {FOLDER_ENTRIES_MAX} entries");
            return Err(vec![problem(dir, UNREADABLE, message)]);
        }
        files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
        files.sort();
        let mut found: BTreeMap<String, (PathBuf, Manifest)> = BTreeMap::new();
        let mut problems = Vec::new();
        for path in files {
            let manifest = match read(&path) {
                Ok(manifest) => manifest,
                Err(wrong) => {
                    problems.extend(wrong);
                    continue;
                }
            };
            let other = match found.get(&manifest.slug) {
                Some((other, _)) => other.display().to_string(),
                None if self.manifests.contains_key(&manifest.slug) => "a built-in connector".to_owned(),
                None => {
                    found.insert(manifest.slug.clone(), (path, manifest));
                    continue;
                }
            };
            let message = format!("the slug `{}` is taken by {other}; choose another one", manifest.slug);
            problems.push(problem(&path, "connector_twice", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.manifests.extend(found.into_iter().map(|(slug, (_, manifest))| (slug, manifest)));
        Ok(())
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

fn problem(path: &Path, code: &str, message: String) -> Diagnostic {
    Diagnostic {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        path: String::new(),
        code: code.into(),
        message,
        suggestion: None,
    }
}

fn read(path: &Path) -> Result<Manifest, Vec<Diagnostic>> {
    let unreadable = |error: std::io::Error| vec![problem(path, UNREADABLE, error.to_string())];
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        let message = format!("a manifest has at most {FILE_BYTES_MAX} bytes");
        return Err(vec![problem(path, UNREADABLE, message)]);
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Manifest::parse(&path.display().to_string(), &text)
}
