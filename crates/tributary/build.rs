//! Lists `templates/*.yaml`, each with its tests, so that a new template changes no Rust.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    // Asked when this runs, not when it was compiled: a checkout that was moved keeps its compiled script.
    let crate_folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let folder = Path::new(&crate_folder).join("../../templates");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("templates/ lies beside crates/")
        .map(|entry| entry.expect("templates/ can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        // Tests of templates, beside them.
        .filter(|path| !path.to_string_lossy().ends_with(".test.yaml"))
        .collect();
    files.sort();
    let mut code = String::from("[\n");
    for path in files {
        let path = path.canonicalize().expect("a listed file exists");
        let slug = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        println!("cargo::rerun-if-changed={}", path.display());
        let text = format!("include_str!({:?})", path.display().to_string());
        let tests = path.with_extension("test.yaml");
        let tests = match tests.is_file() {
            true => {
                println!("cargo::rerun-if-changed={}", tests.display());
                format!("Some(include_str!({:?}))", tests.display().to_string())
            }
            false => "None".to_owned(),
        };
        writeln!(code, "    ({slug:?}, {text}, {tests}),").expect("a String takes all");
    }
    code.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("templates.rs");
    fs::write(out, code).expect("OUT_DIR can be written");
}
