//! All manifests of an installation. A manifest is read when it is asked for first, and kept: what a node does not use
//! costs it a name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use flow::document::Mistake;
use flow::{Diagnostic, Program};

use crate::manifest::{Manifest, Operation, Text};

/// The manifests that are part of the program: file and text of each in `connectors/`, listed by `build.rs`.
const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/connectors.rs"));
/// The largest file read from a folder, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Entries of a folder of manifests.
const FOLDER_ENTRIES_MAX: usize = 10_000;
const UNREADABLE: &str = "manifest_unreadable";
/// A manifest's second part, in the folder of its name.
const SECOND_PART: &str = "operations.yaml";

/// What flows can call: manifests by slug, and the programs that the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Arc<Entry>>,
    programs: BTreeSet<Program>,
    scripts: Option<ScriptCheck>,
}

#[derive(Debug)]
struct Entry {
    file: String,
    text: Text,
    digest: OnceLock<String>,
    /// `None` where it cannot be read; for what is part of the program the tests see to it, what comes from a folder
    /// is checked when it is added.
    manifest: OnceLock<Option<Manifest>>,
}

/// A manifest as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub slug: &'a str,
    pub file: &'a str,
    pub text: &'a str,
    /// Names the text: 32 hexadecimal digits of its SHA-256.
    pub digest: &'a str,
}

impl Entry {
    fn new(file: &str, text: Cow<'static, str>) -> Entry {
        Entry {
            file: file.to_owned(),
            text: Text::new(text),
            digest: OnceLock::new(),
            manifest: OnceLock::new(),
        }
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.manifest.get_or_init(|| Manifest::read(&self.file, &self.text).ok()).as_ref()
    }
}

/// Tells the first mistake of a script, by language and code.
pub type ScriptCheck = fn(&str, &str) -> Option<Mistake>;

impl Catalog {
    /// The manifests that are part of the program. None of them is read yet.
    pub fn embedded() -> Catalog {
        let entries = EMBEDDED.iter().map(|&(file, text)| {
            let slug = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (slug, Arc::new(Entry::new(file, Cow::Borrowed(text))))
        });
        Catalog { entries: entries.collect(), ..Catalog::default() }
    }

    /// Adds the manifests of a folder (`*.yaml`, in the order of their names). All of them or none: every mistake comes
    /// back, and a slug that is known already is one, since nobody could say which of the two a flow means. They are
    /// read again when they are used.
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
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        let mut problems = Vec::new();
        for path in files {
            let (slug, entry) = match checked(&path) {
                Ok(checked) => checked,
                Err(wrong) => {
                    problems.extend(wrong);
                    continue;
                }
            };
            let other = match found.get(&slug) {
                Some(other) => other.file.clone(),
                None if self.entries.contains_key(&slug) => "a built-in connector".to_owned(),
                None => {
                    found.insert(slug, entry);
                    continue;
                }
            };
            let message = format!("the slug `{slug}` is taken by {other}; choose another one");
            problems.push(problem(&path, "connector_twice", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.entries.extend(found.into_iter().map(|(slug, entry)| (slug, Arc::new(entry))));
        Ok(())
    }

    /// Adds one manifest and the text that it was read from; one of the same slug is replaced.
    pub fn insert(&mut self, manifest: Manifest, text: String) {
        let entry = Entry {
            file: format!("{}.yaml", manifest.slug),
            text: Text::new(Cow::Owned(text)),
            digest: OnceLock::from(manifest.digest().to_owned()),
            manifest: OnceLock::new(),
        };
        let slug = manifest.slug.clone();
        entry.manifest.get_or_init(|| Some(manifest));
        self.entries.insert(slug, Arc::new(entry));
    }

    /// Lets flows start such programs.
    pub fn allow(&mut self, program: Program) {
        self.programs.insert(program);
    }

    /// Has scripts read by somebody who knows their languages.
    pub fn read_scripts(&mut self, check: ScriptCheck) {
        self.scripts = Some(check);
    }

    pub(crate) fn script_check(&self) -> Option<ScriptCheck> {
        self.scripts
    }

    pub fn allows(&self, program: Program) -> bool {
        self.programs.contains(&program)
    }

    pub fn get(&self, slug: &str) -> Option<&Manifest> {
        self.entries.get(slug).and_then(|entry| entry.manifest())
    }

    /// The operation of a full name: `stripe.customers.retrieve`. A version (`:1`, `:1@default`) may follow.
    pub fn operation(&self, name: &str) -> Option<(&Manifest, &Operation)> {
        let name = name.split(':').next().unwrap_or(name);
        let manifest = self.get(name.split('.').next()?)?;
        manifest.operation(name).map(|operation| (manifest, operation))
    }

    /// All slugs, in order.
    pub fn slugs(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// All manifests; this reads those that nobody has asked for yet.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.entries.values().filter_map(|entry| entry.manifest())
    }

    /// All manifests as they were written; none is read for it.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.entries.iter().map(|(slug, entry)| Source {
            slug,
            file: &entry.file,
            text: &entry.text,
            digest: entry.digest.get_or_init(|| crate::manifest::digest(&entry.text)),
        })
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

/// Reads a file for its mistakes, and its second part with it; what was read is let go again.
fn checked(path: &Path) -> Result<(String, Entry), Vec<Diagnostic>> {
    let text = text(path)?;
    let entry = Entry::new(&path.display().to_string(), Cow::Owned(text));
    let manifest = Manifest::read(&entry.file, &entry.text)?;
    let problems = manifest.listed_problems();
    if problems.is_empty() { Ok((manifest.slug.clone(), entry)) } else { Err(problems) }
}

/// A manifest's text with its second part, which stands in the folder of its name.
pub fn text(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let mut text = bounded(path)?;
    let second = path.with_extension("").join(SECOND_PART);
    if second.is_file() {
        text.push_str("\n---\n");
        text.push_str(&bounded(&second)?);
    }
    Ok(text)
}

fn bounded(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let unreadable = |error: std::io::Error| vec![problem(path, UNREADABLE, error.to_string())];
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        let message = format!("a manifest has at most {FILE_BYTES_MAX} bytes");
        return Err(vec![problem(path, UNREADABLE, message)]);
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(catalog: &Catalog) -> Vec<&str> {
        let read = catalog.entries.iter().filter(|(_, entry)| entry.manifest.get().is_some());
        read.map(|(slug, _)| slug.as_str()).collect()
    }

    /// Operations that triggers and look-ups of one manifest call, by far.
    const NAMED_MAX: usize = 8;

    /// Neither start-up nor idle memory grows with what can be connected.
    #[test]
    fn a_manifest_is_read_when_it_is_asked_for() {
        let catalog = Catalog::embedded();
        let all = catalog.sources().count();
        assert!(all >= 3 && read(&catalog).is_empty(), "{:?}", read(&catalog));
        let slug = catalog.slugs().last().unwrap_or_default().to_owned();
        let manifest = catalog.get(&slug).expect("it is sound");
        assert_eq!(read(&catalog), [slug.as_str()]);
        let before = manifest.operations.lines_read();
        assert!(before <= NAMED_MAX, "only what the manifest itself names is read with it, not {before}");
        let names = manifest.operation_names();
        assert_eq!(manifest.operations.lines_read(), before, "names and their number cost no reading");
        let listed = names.iter().find(|name| !manifest.operations.is_own(name)).expect("a line");
        assert!(manifest.operation(listed).is_some());
        assert_eq!(manifest.operations.lines_read(), before + 1);
        assert_eq!(read(&catalog.clone()), [slug.as_str()], "what was read is shared");
    }
}
