//! Planted bugs: each patch of `mutants/` is applied to a copy of the tree, and the tests must notice.
//!
//! The copy and what is built from it lie in `target/mutants` and stay there, so that each patch rebuilds only what it
//! touches. The checkout is only read. Whatever was interrupted is put right by the next start.
//!
//! Start at [`run`]; [`tree`] is the copy, [`trial`] is what is run against it.

mod tree;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use tree::Tree;
use trial::Trial;

/// Where the patches are that belong to the project.
pub const FOLDER: &str = "mutants";

#[derive(Args)]
pub struct Options {
    /// Patches, from anywhere; without any, those of `mutants/`
    patches: Vec<PathBuf>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
    /// Do not see first that the tree without a patch passes everything
    #[arg(long)]
    no_baseline: bool,
}

/// What became of a patch.
enum Fate {
    /// By what, after how long.
    Caught(String),
    Survived,
    /// It is no mutant of this tree: why.
    Broken(String),
}

struct Mutant {
    name: String,
    /// What it plants, as its first line says.
    plants: String,
    fate: Fate,
    took: Duration,
}

/// Plants each patch and looks who notices. 0: all are caught; 1: one survives; 2: one is no mutant of this tree.
pub fn run(options: &Options) -> Result<ExitCode> {
    let patches = if options.patches.is_empty() { ours()? } else { options.patches.clone() };
    let tree = Tree::prepare(Path::new("target/mutants"))?;
    if !options.no_baseline {
        eprintln!("── without a patch");
        let everything = Trial::everything();
        match everything.run(&tree)? {
            Fate::Survived => {}
            Fate::Caught(by) => {
                bail!("without any patch the tree fails {by}: nothing could be told from that")
            }
            Fate::Broken(why) => bail!("without any patch the tree does not build: {why}"),
        }
    }
    let mut mutants = Vec::with_capacity(patches.len());
    for patch in &patches {
        let mutant = plant(&tree, patch)?;
        eprintln!("── {}", line(&mutant));
        mutants.push(mutant);
    }
    tree.restore()?;
    Ok(report(&mutants, options.json))
}

/// The project's own, in the order of their names.
pub fn ours() -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in std::fs::read_dir(FOLDER).with_context(|| format!("no folder `{FOLDER}`"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}

fn plant(tree: &Tree, patch: &Path) -> Result<Mutant> {
    let began = Instant::now();
    let name = patch.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (plants, fate) = match std::fs::read_to_string(patch) {
        Err(error) => (String::new(), Fate::Broken(format!("cannot read {}: {error}", patch.display()))),
        Ok(text) => (header(&text), judge(tree, patch, &text)?),
    };
    Ok(Mutant { name, plants, fate, took: began.elapsed() })
}

fn judge(tree: &Tree, patch: &Path, text: &str) -> Result<Fate> {
    tree.restore()?;
    if let Err(why) = tree.apply(patch) {
        return Ok(Fate::Broken(format!("it does not apply: {why}")));
    }
    Trial::of(&touched(text)).run(tree)
}

/// What a patch plants: its first line, where that is no part of the diff.
fn header(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let is_diff = ["diff ", "--- ", "+++ ", "From ", "Index:"].iter().any(|start| first.starts_with(start));
    if is_diff { String::new() } else { first.trim_start_matches(['#', ' ']).to_owned() }
}

/// The files that a patch changes.
fn touched(text: &str) -> Vec<String> {
    let names =
        text.lines().filter_map(|line| line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- ")));
    let names = names.map(|name| name.split('\t').next().unwrap_or(name));
    let mut files: Vec<String> = names
        .filter(|name| *name != "/dev/null")
        .map(|name| name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(name).to_owned())
        .collect();
    files.sort();
    files.dedup();
    files
}

fn line(mutant: &Mutant) -> String {
    let fate = match &mutant.fate {
        Fate::Caught(by) => format!("caught by {by}"),
        Fate::Survived => "SURVIVED".to_owned(),
        Fate::Broken(why) => format!("BROKEN: {why}"),
    };
    format!("{:<32} {:>5.0} s  {fate}", mutant.name, mutant.took.as_secs_f64())
}

fn report(mutants: &[Mutant], json: bool) -> ExitCode {
    let count = |fits: fn(&Fate) -> bool| mutants.iter().filter(|mutant| fits(&mutant.fate)).count();
    let caught = count(|fate| matches!(fate, Fate::Caught(_)));
    let survived = count(|fate| matches!(fate, Fate::Survived));
    let broken = count(|fate| matches!(fate, Fate::Broken(_)));
    if json {
        let list: Vec<_> = mutants
            .iter()
            .map(|mutant| {
                let (fate, by) = match &mutant.fate {
                    Fate::Caught(by) => ("caught", Some(by)),
                    Fate::Survived => ("survived", None),
                    Fate::Broken(why) => ("broken", Some(why)),
                };
                let seconds = (mutant.took.as_secs_f64() * 10.0).round() / 10.0;
                json!({"patch": mutant.name, "plants": mutant.plants, "fate": fate, "by": by, "seconds": seconds})
            })
            .collect();
        println!("{}", json!({"mutants": list, "caught": caught, "survived": survived, "broken": broken}));
    } else {
        mutants.iter().for_each(|mutant| println!("{}", line(mutant)));
        println!("{caught} caught, {survived} survived, {broken} broken");
    }
    ExitCode::from(if survived > 0 {
        1
    } else if broken > 0 {
        2
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{header, touched};

    const PATCH: &str = "# a fence is lost\n\ndiff --git a/crates/store/src/a.rs b/crates/store/src/a.rs\n\
        --- a/crates/store/src/a.rs\n+++ b/crates/store/src/a.rs\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_patch_says_what_it_plants_and_where() {
        assert_eq!(header(PATCH), "a fence is lost");
        assert_eq!(header("diff --git a/x b/x\n"), "");
        assert_eq!(touched(PATCH), ["crates/store/src/a.rs"]);
    }

    /// A mutant that does not fit any more proves nothing; it is brought up to date with what it mutates.
    #[test]
    fn every_mutant_still_applies() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        std::env::set_current_dir(root).unwrap();
        let patches = super::ours().unwrap();
        assert!(patches.len() >= 15, "{}", patches.len());
        for patch in patches {
            let checked = Command::new("git").args(["apply", "--check"]).arg(&patch).output().unwrap();
            assert!(
                checked.status.success(),
                "{}: {}",
                patch.display(),
                String::from_utf8_lossy(&checked.stderr)
            );
            assert!(!header(&std::fs::read_to_string(&patch).unwrap()).is_empty(), "{}", patch.display());
        }
    }
}
