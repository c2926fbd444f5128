//! The house's rules that no compiler checks. Each says what to do instead.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::errors;

/// Lines a source file may have; one that outgrows it becomes a folder of the same name.
const FILE_LINES_MAX: usize = 700;

/// Which rooms a room may use, from ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("flow", &[]),
    ("revenue", &[]),
    ("store", &["flow"]),
    ("connect", &["flow"]),
    ("engine", &["flow", "revenue", "store", "connect"]),
    ("server", &["flow", "store", "connect"]),
    ("twins", &[]),
    ("script", &["flow"]),
    ("sim", &["flow", "revenue", "store", "connect", "engine", "server", "script", "twins"]),
];

/// Words that belong to one vendor, so only in connectors, templates and twins.
const VENDOR_WORDS: &[&str] = &["stripe", "chartmogul", "slack"];
/// Rooms where no vendor may be named in code.
const VENDOR_FREE: &[&str] = &["flow", "revenue", "store", "connect", "engine", "server", "script"];

pub fn check() -> Result<()> {
    let mut problems = Vec::new();
    for (room, allowed) in ARROWS {
        arrows(room, allowed, &mut problems)?;
    }
    for file in sources(Path::new("."))? {
        let text = fs::read_to_string(&file)?;
        let name = file.display().to_string();
        lengths(&name, &text, &mut problems);
        sql(&name, &text, &mut problems);
        vendors(&name, &text, &mut problems);
    }
    errors::check(&mut problems)?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("{} house rule(s) broken", problems.len())
}

fn arrows(room: &str, allowed: &[&str], problems: &mut Vec<String>) -> Result<()> {
    let manifest = format!("crates/{room}/Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let dependencies = text.split("[dev-dependencies]").next().unwrap_or(&text);
    for (other, _) in ARROWS {
        let used = dependencies.lines().any(|line| line.starts_with(&format!("{other}.workspace")));
        if used && !allowed.contains(other) {
            problems.push(format!(
                "{manifest}: `{room}` may not use `{other}`; see the arrows in ARCHITECTURE.md"
            ));
        }
    }
    Ok(())
}

fn lengths(name: &str, text: &str, problems: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        problems.push(format!("{name}: {lines} lines; split it into a folder of the same name"));
    }
}

fn sql(name: &str, text: &str, problems: &mut Vec<String>) {
    if name.contains("crates/store/") || name.contains("xtask/") {
        return;
    }
    for (number, line) in code(text) {
        let shouted = ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM "];
        if shouted.iter().any(|start| line.contains(start)) {
            problems.push(format!("{name}:{number}: SQL stands only in `store`"));
        }
    }
}

fn vendors(name: &str, text: &str, problems: &mut Vec<String>) {
    let vendor_free = VENDOR_FREE.iter().any(|room| name.contains(&format!("crates/{room}/src/")));
    if !vendor_free || name.contains("/tests") {
        return;
    }
    for (number, line) in code(text) {
        let lower = line.to_lowercase();
        let embeds = lower.contains("include_str!");
        if !embeds && VENDOR_WORDS.iter().any(|word| lower.contains(word)) {
            problems.push(format!("{name}:{number}: a vendor is named in code; say it in its manifest"));
        }
    }
}

/// Lines of code with their numbers: no comments, nothing after the file's own tests begin.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name)
            || path == Path::new(".")
        {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
