//! The project's own tasks: `cargo xtask test|lint|tidy|gen|facts|conformance|bench|mutants`.
//!
//! `test` is the README's second command: it installs what the tests need (Debian packages, official client
//! libraries), formats, lints, checks the house's rules and runs every test.

mod errors;
mod facts;
mod mutants;
mod setup;
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tributary's own tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must hold: set-up, format, lints, house rules, all tests
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// The same, as continuous integration runs it
    Ci,
    /// Format check and clippy
    Lint,
    /// The house's rules: which room may use what, file lengths, pages for error codes
    Tidy,
    /// Writes what is generated: a page for each diagnostic code, the schemas of flows and manifests, a page for each
    /// connector, this release's journals that are missing
    Gen,
    /// Reads what a vendor's official client library knows (npm is asked for it) and writes the second part of its manifest,
    /// `connectors/<slug>/operations.yaml`
    Facts,
    /// Plants the bugs of `mutants/`, or those of the patches given, one by one: the tests must notice each
    Mutants(mutants::Options),
    /// The language's scenarios: the project's own, or `--kit DIR`; prints which property which scenario exercises
    #[command(disable_help_flag = true)]
    Conformance {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Measures the release binary: builds it, loads it, prints a table (`--json`: one document); `--help` says more
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    let root = root()?;
    std::env::set_current_dir(&root)?;
    match Args::parse().task {
        Task::Test { filter } => test(filter.as_deref()),
        Task::Ci => test(None),
        Task::Lint => lint(),
        Task::Tidy => tidy::check(),
        Task::Gen => {
            errors::write()?;
            by_test("connect", "describe::what_is_generated_is_what_is_there")?;
            by_test("engine", "golden::every_case_has_its_journal_of_this_release")
        }
        Task::Facts => facts::write(),
        Task::Conformance { options } => conformance(&options),
        Task::Bench { options } => bench(&options),
        Task::Mutants(options) => return mutants::run(&options),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// What a room's test compares is written by the same test.
fn by_test(room: &str, test: &str) -> Result<()> {
    let test = &["test", "--quiet", "-p", room, "--test", "it", "--", "--exact", test];
    run(cargo(test).env("TRIBUTARY_GEN", "1"))
}

fn test(filter: Option<&str>) -> Result<()> {
    stage("set-up", setup::prepare)?;
    if filter.is_none() {
        stage("house rules", tidy::check)?;
        stage("lints", lint)?;
    }
    stage("tests", || {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        command.args(filter);
        run(&mut command)
    })?;
    if filter.is_none() { stage("conformance", kits) } else { Ok(()) }
}

fn lint() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn conformance(options: &[String]) -> Result<()> {
    run(cargo(&["run", "--quiet", "--package", "conformance", "--"]).args(options))
}

/// The own kit always; the specification's where it lies (`TRIBUTARY_CTK`, `../shared/ctk`), for it is not ours to copy.
fn kits() -> Result<()> {
    conformance(&[])?;
    let kit = std::env::var("TRIBUTARY_CTK").unwrap_or_else(|_| "../shared/ctk".to_owned());
    let features = PathBuf::from(kit).join("features");
    if !features.is_dir() {
        eprintln!("the specification's kit is not at {}; it is left out", features.display());
        return Ok(());
    }
    conformance(&["--kit".to_owned(), features.display().to_string()])
}

/// Builds what is measured and what measures it, both as they are shipped, and starts the latter.
fn bench(options: &[String]) -> Result<()> {
    run(cargo(&["build", "--release", "--package", "tributary", "--package", "bench", "--bins"])
        .stdout(Stdio::null()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let built = target.join("release");
    run(Command::new(built.join("bench")).arg("--binary").arg(built.join("tributary")).args(options))
}

fn stage(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("── {name}");
    let start = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    eprintln!("── {name}: done in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("can't start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    PathBuf::from(manifest).parent().map(PathBuf::from).context("xtask lies in the workspace")
}
