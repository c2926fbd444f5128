//! A page for every error code: generated for diagnostics, written by hand for the rest, none missing.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

const FOLDER: &str = "docs/errors";

/// Writes the pages of codes that carry their own explanation and have no page yet.
pub fn write() -> Result<()> {
    for (code, text) in flow::CODES {
        let page = page(code);
        if !page.exists() {
            fs::write(&page, rendered(code, text))?;
            println!("wrote {}", page.display());
        }
    }
    Ok(())
}

/// Adds a problem for every code without a page.
pub fn check(problems: &mut Vec<String>) -> Result<()> {
    for (code, _) in flow::CODES {
        if !page(code).exists() {
            problems.push(format!("{FOLDER}/{code}.md is missing; `cargo xtask gen` writes it"));
        }
    }
    Ok(())
}

fn page(code: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{code}.md"))
}

fn rendered(code: &str, text: &str) -> String {
    format!("# `{code}`\n\n{text}\n")
}
