//! Where templates come from: the built-in ones, and a directory of the operator's.

use std::path::Path;

use anyhow::{Context as _, bail};
use server::Template;

/// The files of `templates/`, as (slug, text, tests).
const BUILT_IN: &[(&str, &str, Option<&str>)] = &include!(concat!(env!("OUT_DIR"), "/templates.rs"));
/// Templates read from a directory at most.
const FILES_MAX: usize = 1000;

/// All templates by slug; one of the directory replaces a built-in one of the same slug.
pub fn load(directory: Option<&Path>) -> anyhow::Result<Vec<Template>> {
    let mut texts: Vec<(String, String)> =
        BUILT_IN.iter().map(|(slug, text, _)| ((*slug).to_owned(), (*text).to_owned())).collect();
    if let Some(directory) = directory {
        let own = read(directory).with_context(|| format!("--templates {}", directory.display()))?;
        texts.retain(|(slug, _)| own.iter().all(|(other, _)| other != slug));
        texts.extend(own);
    }
    texts.sort();
    let mut templates = Vec::with_capacity(texts.len());
    let mut mistakes = Vec::new();
    for (slug, text) in &texts {
        match Template::parse(slug, text) {
            Ok(template) => templates.push(template),
            Err(found) => mistakes.extend(found.iter().map(ToString::to_string)),
        }
    }
    if !mistakes.is_empty() {
        bail!("templates have mistakes:\n  {}", mistakes.join("\n  "));
    }
    Ok(templates)
}

/// The tests of a template: what their file is called, and its text. Those that lie in the directory of the template
/// count, if it is from there.
pub fn tests(directory: Option<&Path>, slug: &str) -> anyhow::Result<Option<(String, String)>> {
    let name = format!("{slug}.test.yaml");
    if let Some(directory) = directory.filter(|directory| directory.join(format!("{slug}.yaml")).is_file()) {
        let path = directory.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        return Ok(Some((path.display().to_string(), text)));
    }
    let built_in = BUILT_IN.iter().find(|(built_in, ..)| *built_in == slug);
    Ok(built_in.and_then(|(.., tests)| *tests).map(|text| (format!("templates/{name}"), text.to_owned())))
}

fn read(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory)?.take(FILES_MAX) {
        let path = entry?.path();
        let Some(slug) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_some_and(|ending| ending == "yaml") && !slug.ends_with(".test") {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            texts.push((slug.to_owned(), text));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_templates_are_without_mistakes_and_named_like_their_file() {
        let templates = load(None).expect("no mistakes");
        assert!(!templates.is_empty());
        for template in templates {
            assert_eq!(template.slug, template.document.name());
        }
    }

    #[test]
    fn a_directory_adds_and_replaces() {
        let directory = tempfile::tempdir().expect("a directory");
        let flow = |name: &str| {
            format!(
                "document: {{dsl: '1.0.3', namespace: t, name: {name}, version: '9.9.9'}}\n\
                 do:\n  - note:\n      set: {{done: true}}\n"
            )
        };
        let (replaced, ..) = BUILT_IN[0];
        for slug in [replaced, "mine"] {
            std::fs::write(directory.path().join(format!("{slug}.yaml")), flow(slug)).expect("written");
        }
        let templates = load(Some(directory.path())).expect("no mistakes");
        assert_eq!(templates.len(), BUILT_IN.len() + 1);
        let find = |slug: &str| templates.iter().find(|t| t.slug == slug).expect("there").document.version();
        assert_eq!((find(replaced), find("mine")), ("9.9.9", "9.9.9"));

        std::fs::write(directory.path().join("broken.yaml"), "do: 7").expect("written");
        let error = load(Some(directory.path())).map(|_| ()).expect_err("a mistake").to_string();
        assert!(error.contains("broken.yaml:"), "{error}");
    }
}
