//! `tributary flow …`

mod deploy;
mod versions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

pub use self::deploy::deployed;

use super::{Exit, Global, Usage, answer, open, segment, trial};
use crate::{folder, print};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check flow files, and those of folders: everything that is wrong, with its line
    #[command(after_help = "Examples:
  tributary flow lint flows/*.yaml
  tributary flow lint flows
  tributary flow lint flows --allow-run shell       where the server allows `run: shell`")]
    Lint {
        /// The files, or folders of files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    Run(trial::Run),
    Test(trial::Test),
    /// Print the JSON Schema of flows with the installed connectors, for editors
    #[command(after_help = "Example:
  tributary flow schema > flow.json
  # then, as the first line of a flow: # yaml-language-server: $schema=flow.json")]
    Schema,
    /// Deploy flow files or a folder of them: from now on their events start runs
    #[command(after_help = "Examples:
  tributary flow deploy flows/*.yaml
  tributary flow deploy alert.yaml --set channel=#billing --connection slack=slack-ops
  tributary flow deploy flows --dry-run                what deploying the folder would change
  tributary flow deploy flows --environment production

A folder is deployed as a whole: what is new or differs is deployed, what came from it once and is gone is
removed; if anything in it is wrong, nothing happens. Its deploy.yaml, and deploy.NAME.yaml with
--environment NAME, say what the flows are deployed with:

  flows:
    invoice-alert:
      settings: {channel: '#billing'}
      connections: {slack: slack-ops}")]
    Deploy(deploy::Deploy),
    /// Show the versions of a flow that were ever deployed
    #[command(after_help = "Example:\n  tributary flow versions stripe-to-chartmogul")]
    Versions {
        /// The flow's name
        flow: String,
    },
    /// Show a version of a flow: its text, and what it changed
    #[command(after_help = "Examples:
  tributary flow show stripe-to-chartmogul
  tributary flow show stripe-to-chartmogul --revision 3")]
    Show {
        /// The flow's name
        flow: String,
        /// Which one [default: the deployed one]
        #[arg(long, value_name = "N")]
        revision: Option<u32>,
    },
    /// Deploy again what was deployed before
    #[command(after_help = "Examples:
  tributary flow rollback stripe-to-chartmogul             to the one before
  tributary flow rollback stripe-to-chartmogul --to 3
  tributary flow rollback stripe-to-chartmogul --dry-run   only show what that changes

Text, settings and connections are those of then, as a new revision. Runs that have begun keep theirs.
A flow that came from a folder is what the folder says again once that changes.")]
    Rollback {
        /// The flow's name
        flow: String,
        /// To this revision, as `flow versions` numbers them [default: the one before]
        #[arg(long, value_name = "N")]
        to: Option<u32>,
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the deployed flows
    #[command(after_help = "Example:\n  tributary flow list")]
    List,
    /// Start no runs of these flows until they are resumed; events wait
    #[command(after_help = "Example:\n  tributary flow pause stripe-to-chartmogul")]
    Pause {
        /// The flows' names
        #[arg(required = true, value_name = "FLOW")]
        flows: Vec<String>,
    },
    /// Let paused flows go on
    #[command(after_help = "Example:\n  tributary flow resume stripe-to-chartmogul")]
    Resume {
        /// The flows' names
        #[arg(required = true, value_name = "FLOW")]
        flows: Vec<String>,
    },
    /// Take flows out of service; what they did stays visible
    #[command(after_help = "Example:\n  tributary flow remove stripe-to-chartmogul")]
    Remove {
        /// The flows' names
        #[arg(required = true, value_name = "FLOW")]
        flows: Vec<String>,
    },
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Lint { files } => lint(global, &files),
        Command::Run(args) => trial::run(global, args).await,
        Command::Test(args) => trial::test(global, args).await,
        Command::Schema => schema(global),
        Command::Deploy(args) => deploy::run(global, &args).await,
        Command::Versions { flow } => versions::list(global, &flow).await,
        Command::Show { flow, revision } => versions::show(global, &flow, revision).await,
        Command::Rollback { flow, to, dry_run } => versions::rollback(global, &flow, to, dry_run).await,
        Command::List => {
            answer(global, &open(global).await?.get("/v1/flows").await?, list);
            Ok(Exit::Done)
        }
        Command::Pause { flows } => change(global, &flows, "pause").await,
        Command::Resume { flows } => change(global, &flows, "resume").await,
        Command::Remove { flows } => remove(global, &flows).await,
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Where each code has its page.
const PAGES: &str = "docs/errors";
/// Files of a folder, and of the folders in it, that are flows.
const FLOW_FILES: [&str; 3] = ["yaml", "yml", "json"];
/// The most files that are checked at once.
const FILES_MAX: usize = 100_000;

/// The files that are named, and those of the folders that are named, in order.
fn found(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut inside = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        let flow =
            |path: &Path| path.extension().is_some_and(|end| FLOW_FILES.iter().any(|flow| end == *flow));
        let other = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Tests lie beside flows, and what a folder is deployed with at its top.
            let values = paths.iter().any(|folder| path.parent() == Some(folder)) && folder::is_values(&name);
            name.starts_with('.') || name.contains(folder::TEST) || values
        };
        inside.retain(|path| !other(path) && (path.is_dir() || flow(path)));
        inside.sort();
        open.extend(inside.into_iter().rev());
        if files.len() + open.len() > FILES_MAX {
            return Err(Usage(format!("there are more than {FILES_MAX} files")).into());
        }
    }
    Ok(files)
}

/// Reads the files here, against the connectors that are built in and those of `--connectors`; no server is asked.
fn lint(global: &Global, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let catalog = global.catalog()?;
    let files = found(files)?;
    let mut problems = Vec::new();
    for file in &files {
        problems.extend(connect::lint::check(&catalog, &file.display().to_string(), &read(file)?));
    }
    let good = problems.is_empty();
    answer(global, &json!({"files": files.len(), "problems": problems}), |_| {
        let mut lines: Vec<String> =
            problems.iter().map(|problem| format!("{problem} [{}]", problem.code)).collect();
        lines.push(match (problems.len(), files.len()) {
            (0, 1) => "no mistakes found".to_owned(),
            (0, count) => format!("no mistakes found in {count} files"),
            (1, _) => "1 mistake".to_owned(),
            (count, _) => format!("{count} mistakes"),
        });
        let codes: BTreeSet<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        lines.extend(codes.iter().map(|code| format!("  {PAGES}/{code}.md")));
        lines.join("\n")
    });
    Ok(if good { Exit::Done } else { Exit::Failed })
}

/// One document either way: it is for programs.
fn schema(global: &Global) -> anyhow::Result<Exit> {
    let catalog = global.catalog()?;
    let schema = connect::describe::schema(&catalog).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("; "))
    })?;
    answer(global, &schema, |schema| serde_json::to_string_pretty(schema).unwrap_or_default());
    Ok(Exit::Done)
}

async fn change(global: &Global, flows: &[String], action: &str) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    let mut changed = Vec::new();
    for flow in flows {
        changed.push(client.post(&format!("/v1/flows/{}/{action}", segment(flow)), json!({})).await?);
    }
    answer(global, &json!({"flows": changed}), |_| {
        let state = if action == "pause" { "paused; its events wait" } else { "active" };
        flows.iter().map(|flow| format!("{flow} is {state}.")).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Done)
}

async fn remove(global: &Global, flows: &[String]) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    for flow in flows {
        client.delete(&format!("/v1/flows/{}", segment(flow))).await?;
    }
    answer(global, &json!({"removed": flows}), |_| {
        flows.iter().map(|flow| format!("{flow} is removed.")).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Done)
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["flows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| {
            let connections: Vec<String> = f["connections"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, mine)| match mine.as_str() {
                    Some(mine) if mine != name => format!("{name}={mine}"),
                    _ => name.clone(),
                })
                .collect();
            vec![
                print::cell(&f["name"]),
                print::cell(&f["version"]),
                print::cell(&f["revision"]),
                print::cell(&f["state"]),
                connections.join(", "),
                print::time(&f["next_start"]),
                print::time(&f["deployed_at"]),
            ]
        })
        .collect();
    let mut words = match rows.is_empty() {
        true => "no flows yet: `tributary template list` shows ready-made ones".to_owned(),
        false => print::table(
            &["flow", "version", "revision", "state", "connections", "next start", "deployed"],
            &rows,
        ),
    };
    let folder = &document["folder"];
    if folder["ok"] == false {
        words += &format!(
            "\nThe folder {} was not deployed: {}",
            print::cell(&folder["path"]),
            print::cell(&folder["problem"]["detail"])
        );
    }
    words
}
