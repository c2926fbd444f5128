//! The second parts of manifests, from the vendors' official client libraries: names, types and addresses, no prose.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Runs each script of `xtask/facts`, which is named after the connector that it reads a library for.
pub fn write() -> Result<()> {
    let scripts = fs::canonicalize("xtask/facts").context("xtask/facts is missing")?;
    let home = tempfile::tempdir()?;
    fs::copy(scripts.join("package.json"), home.path().join("package.json"))?;
    let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    crate::run(Command::new("npm").args(npm).current_dir(home.path()))?;
    for entry in fs::read_dir(&scripts)? {
        let script = entry?.path();
        if script.extension().is_none_or(|ending| ending != "mjs") {
            continue;
        }
        let name = script.file_name().unwrap_or_default();
        fs::copy(&script, home.path().join(name))?;
        let folder = Path::new("connectors").join(script.file_stem().unwrap_or_default());
        fs::create_dir_all(&folder)?;
        let written = fs::canonicalize(&folder)?.join("operations.yaml");
        crate::run(Command::new("node").arg(name).arg(written).current_dir(home.path()))?;
    }
    Ok(())
}
