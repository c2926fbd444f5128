//! Lists `connectors/*.yaml`, each with its second part, so that a new connector is part of the program without a line
//! of Rust.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let folder = root.join("../../connectors").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    let mut list = String::from("[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = whole(path, &out)?;
        list.push_str(&format!("    ({:?}, include_str!({whole:?})),\n", format!("connectors/{name}")));
    }
    list.push(']');
    fs::write(out.join("connectors.rs"), list)
}

/// The manifest itself, or a file of both its parts.
fn whole(path: &Path, out: &Path) -> io::Result<PathBuf> {
    let second = path.with_extension("").join("operations.yaml");
    if !second.is_file() {
        return Ok(path.to_owned());
    }
    let both = out.join(path.file_name().unwrap_or_default());
    fs::write(&both, format!("{}\n---\n{}", fs::read_to_string(path)?, fs::read_to_string(&second)?))?;
    Ok(both)
}
