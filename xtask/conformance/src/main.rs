//! Runs a kit of scenarios in Gherkin, as the Open Workflow Specification has them, against the flow language.
//!
//! A scenario's flow is read by [`flow::Document`], run by [`flow::Machine`], and its calls of plain HTTP are made by
//! `connect` into requests that [`stand_in`] answers in memory; waits end at once. Without `--kit`, the project's own
//! kit in `conformance/` is run, and each property of the language is listed with the scenario that exercises it.

mod coverage;
mod gherkin;
mod scenario;
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use gherkin::Scenario;

#[derive(Parser)]
#[command(name = "cargo xtask conformance", about = "Runs the language's conformance kit")]
struct Args {
    /// A folder of feature files; the project's own kit without it
    #[arg(long, value_name = "DIR")]
    kit: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let own = args.kit.is_none();
    let folder = args.kit.unwrap_or_else(|| PathBuf::from("conformance"));
    let scenarios = read(&folder)?;
    if scenarios.is_empty() {
        bail!("{} has no scenario", folder.display());
    }
    let mut failed = 0;
    for scenario in &scenarios {
        match scenario::run(scenario) {
            Ok(()) => println!("ok      {}: {}", scenario.feature, scenario.name),
            Err(why) => {
                failed += 1;
                println!(
                    "FAILED  {}: {} ({}:{})\n        {why}",
                    scenario.feature, scenario.name, scenario.file, scenario.line
                );
            }
        }
    }
    println!("{} of {} scenarios pass", scenarios.len() - failed, scenarios.len());
    let covered = !own || coverage::report(&folder.join("properties.txt"), &scenarios)?;
    Ok(if failed == 0 && covered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All scenarios below a folder, by file name.
fn read(folder: &Path) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "feature") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut scenarios = Vec::new();
    for file in files {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        scenarios.extend(gherkin::parse(&file.display().to_string(), &text)?);
    }
    Ok(scenarios)
}
