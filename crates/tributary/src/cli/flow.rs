//! `tributary flow …`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, Global, Usage, answer, open, segment, template, trial};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check flow files, and those of folders: everything that is wrong, with its line
    #[command(after_help = "Examples:\n  tributary flow lint flows/*.yaml\n  tributary flow lint flows")]
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
    /// Deploy flow files: from now on their events start runs
    #[command(after_help = "Examples:
  tributary flow deploy flows/*.yaml
  tributary flow deploy alert.yaml --set channel=#billing --connection slack=slack-ops")]
    Deploy(Deploy),
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

#[derive(Debug, Args)]
pub struct Deploy {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A setting of the flow; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Which of your connections stands for one the flow names; may be given several times
    #[arg(long, value_name = "NAME=MINE")]
    connection: Vec<String>,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Lint { files } => lint(global, &files),
        Command::Run(args) => trial::run(global, args).await,
        Command::Test(args) => trial::test(global, args).await,
        Command::Schema => schema(global),
        Command::Deploy(args) => deploy(global, &args).await,
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
/// What lies beside a flow to test it.
const TESTS: &str = ".test.yaml";
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
            name.starts_with('.') || name.ends_with(TESTS)
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
    let catalog = crate::node::catalog(global.connectors.as_deref())?;
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
    let catalog = crate::node::catalog(global.connectors.as_deref())?;
    let schema = connect::describe::schema(&catalog).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("; "))
    })?;
    answer(global, &schema, |schema| serde_json::to_string_pretty(schema).unwrap_or_default());
    Ok(Exit::Done)
}

async fn deploy(global: &Global, args: &Deploy) -> anyhow::Result<Exit> {
    let settings = template::settings(&args.set)?;
    let connections = template::connections(&args.connection)?;
    if args.files.len() > 1 && !(settings.is_empty() && connections.is_empty()) {
        return Err(
            Usage("--set and --connection go with one file: deploy the files one by one".to_owned()).into()
        );
    }
    let client = open(global).await?;
    let mut flows = Vec::new();
    for file in &args.files {
        let body = json!({
            "file": file.display().to_string(),
            "text": read(file)?,
            "settings": settings,
            "connections": connections,
        });
        flows.push(client.post("/v1/flows", body).await?);
    }
    answer(global, &json!({"flows": flows}), |document| {
        let lines: Vec<String> = document["flows"].as_array().into_iter().flatten().map(deployed).collect();
        lines.join("\n")
    });
    Ok(Exit::Done)
}

/// What is said of a flow that was just deployed.
pub fn deployed(flow: &Value) -> String {
    let mut words =
        format!("{} (version {}) is deployed.", print::cell(&flow["name"]), print::cell(&flow["version"]));
    for warning in flow["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words += &format!("\n  but: {warning}");
    }
    words
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
                print::cell(&f["state"]),
                connections.join(", "),
                print::time(&f["deployed_at"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no flows yet: `tributary template list` shows ready-made ones".to_owned();
    }
    print::table(&["flow", "version", "state", "connections", "deployed"], &rows)
}
