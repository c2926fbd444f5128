//! What is run against a mutant, cheapest first, until something notices.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Fate;
use super::tree::Tree;

/// A test binary that takes longer hangs, and a hang is noticed.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);
const TURN: Duration = Duration::from_millis(50);
/// Seeds that each template is verified with.
const SEEDS: &str = "60";
/// Rooms whose own tests come first, where they are touched.
const ROOMS: &[&str] = &["flow", "revenue", "connect", "store", "server", "twins"];

/// Packages to test, in this order, each with its name in the report.
pub struct Trial(Vec<(&'static str, &'static str)>);

/// A test binary.
struct Binary {
    path: PathBuf,
    directory: PathBuf,
}

impl Trial {
    /// For a patch that changes these files: the tests of the rooms it touches, then the engine's, then `verify`, then
    /// the end-to-end suite.
    pub fn of(files: &[String]) -> Trial {
        let touches = |prefix: &str| files.iter().any(|file| file.starts_with(prefix));
        let mut stages: Vec<(&str, &str)> = ROOMS
            .iter()
            .filter(|room| {
                touches(&format!("crates/{room}/")) || (**room == "connect" && touches("connectors/"))
            })
            .map(|room| (*room, *room))
            .collect();
        stages.extend([("engine", "engine"), ("sim", "verify"), ("tributary", "the end-to-end suite")]);
        Trial(stages)
    }

    /// Everything, for a tree without a patch.
    pub fn everything() -> Trial {
        let rooms = ROOMS.iter().map(|room| (*room, *room));
        let last = [("engine", "engine"), ("sim", "verify"), ("tributary", "the end-to-end suite")];
        Trial(rooms.chain(last).collect())
    }

    /// Runs them until one fails.
    pub fn run(&self, tree: &Tree) -> Result<Fate> {
        for (package, name) in &self.0 {
            let binaries = match build(tree, package)? {
                Ok(binaries) => binaries,
                Err(why) => return Ok(Fate::Broken(format!("it does not compile: {why}"))),
            };
            for binary in binaries {
                if let Some(by) = fails(&binary)? {
                    return Ok(Fate::Caught(format!("{name}: {by}")));
                }
            }
        }
        Ok(Fate::Survived)
    }
}

/// Builds the tests of a package; the inner error is what the compiler says first.
fn build(tree: &Tree, package: &str) -> Result<Result<Vec<Binary>, String>> {
    let mut command =
        super::super::cargo(&["test", "--no-run", "--quiet", "--message-format", "json", "-p", package]);
    command.current_dir(&tree.root).env("CARGO_TARGET_DIR", &tree.target).stderr(Stdio::null());
    // The checkout's own task set these; they are not of the copy.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    let built = command.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (mut binaries, mut error) = (Vec::new(), None);
    for message in messages {
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            error = error.or_else(|| message["message"]["message"].as_str().map(str::to_owned));
        }
        let (Some(path), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] == true {
            let directory = PathBuf::from(manifest).parent().map(PathBuf::from).unwrap_or_default();
            binaries.push(Binary { path: path.into(), directory });
        }
    }
    Ok(match built.status.success() {
        true => Ok(binaries),
        false => Err(error.unwrap_or_else(|| "cargo says no more".to_owned())),
    })
}

/// The first test that fails, if one does.
fn fails(binary: &Binary) -> Result<Option<String>> {
    let log = tempfile::tempfile()?;
    let mut child = Command::new(&binary.path)
        .current_dir(&binary.directory)
        .env("TRIBUTARY_VERIFY_SEEDS", SEEDS)
        .env("CARGO_MANIFEST_DIR", &binary.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.path.display()))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > TEST_TIME_MAX {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!("a test that hangs for {} s", TEST_TIME_MAX.as_secs())));
        }
        std::thread::sleep(TURN);
    };
    if status.success() {
        return Ok(None);
    }
    Ok(Some(first_failure(log)?.unwrap_or_else(|| format!("a test binary that ends with {status}"))))
}

fn first_failure(mut log: std::fs::File) -> Result<Option<String>> {
    use std::io::{Read, Seek};
    log.rewind()?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let failed = text.lines().find_map(|line| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.to_owned())
    });
    Ok(failed)
}
