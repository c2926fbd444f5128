//! `tributary flow deploy`: files one by one, or a folder as a whole.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use server::File;

use super::read;
use crate::cli::{Exit, Global, Usage, answer, open, open_or_create, template};
use crate::client::Client;
use crate::folder::Source;
use crate::print;

#[derive(Debug, Args)]
pub struct Deploy {
    /// The files, or one folder
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// A setting of the flow; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Which of your connections stands for one the flow names; may be given several times
    #[arg(long, value_name = "NAME=MINE")]
    connection: Vec<String>,
    /// With a folder: what its deploy.NAME.yaml says counts as well
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(global: &Global, args: &Deploy) -> anyhow::Result<Exit> {
    let settings = template::settings(&args.set)?;
    let connections = template::connections(&args.connection)?;
    let given = !(settings.is_empty() && connections.is_empty());
    if let Some(path) = args.files.iter().find(|path| path.is_dir()) {
        if args.files.len() > 1 || given {
            return Err(Usage(
                "a folder is deployed alone; its deploy.yaml says settings and connections".to_owned(),
            )
            .into());
        }
        let source = Source { path: path.clone(), environment: args.environment.clone() };
        return folder(global, &source, args.dry_run).await;
    }
    if args.environment.is_some() {
        return Err(Usage("--environment goes with a folder".to_owned()).into());
    }
    if args.files.len() > 1 && given {
        return Err(
            Usage("--set and --connection go with one file: deploy the files one by one".to_owned()).into()
        );
    }
    let client = way(global, args.dry_run).await?;
    let mut flows = Vec::new();
    for file in &args.files {
        let body = json!({
            "file": file.display().to_string(),
            "text": read(file)?,
            "settings": settings,
            "connections": connections,
            "dry_run": args.dry_run,
        });
        flows.push(client.post("/v1/flows", body).await?);
    }
    answer(global, &json!({"flows": flows}), |document| {
        let lines: Vec<String> = document["flows"].as_array().into_iter().flatten().map(deployed).collect();
        lines.join("\n")
    });
    Ok(Exit::Done)
}

/// What is deployed has to be kept somewhere, even where nothing is yet.
async fn way(global: &Global, dry_run: bool) -> anyhow::Result<Client> {
    if dry_run { open(global).await } else { open_or_create(global).await }
}

async fn folder(global: &Global, source: &Source, dry_run: bool) -> anyhow::Result<Exit> {
    let folder = source.read()?;
    let files = |files: &[File]| -> Vec<Value> {
        files.iter().map(|file| json!({"file": source.path.join(&file.name), "text": file.text})).collect()
    };
    let body = json!({
        "files": files(&folder.files), "values": files(&folder.values), "dry_run": dry_run,
    });
    let report = way(global, dry_run).await?.put("/v1/flows", body).await?;
    answer(global, &report, |report| {
        let mut lines = Vec::new();
        for flow in report["flows"].as_array().into_iter().flatten() {
            let name = print::cell(&flow["name"]);
            match flow["change"].as_str() {
                Some("added") => lines.push(format!("+ {name} (version {})", print::cell(&flow["version"]))),
                Some("removed") => lines.push(format!("- {name}")),
                Some("changed") => {
                    lines.push(format!("~ {name} (version {})", print::cell(&flow["version"])));
                    lines.push(difference(&flow["difference"]).trim_end().to_owned());
                }
                _ => {}
            }
        }
        let count = report["changed"].as_u64().unwrap_or_default();
        lines.push(match (count, dry_run) {
            (0, _) => "Nothing differs from what is deployed.".to_owned(),
            (count, true) => format!("{count} would change; nothing was done."),
            (count, false) => format!("{count} changed."),
        });
        lines.join("\n")
    });
    Ok(Exit::Done)
}

/// What is said of a flow that was just deployed, or would be.
pub fn deployed(flow: &Value) -> String {
    let named = format!("{} (version {})", print::cell(&flow["name"]), print::cell(&flow["version"]));
    let changed = flow["changed"] != false;
    let mut words = match (flow["dry_run"] == true, changed) {
        (true, true) => format!("{named} would be deployed; nothing was done."),
        (_, false) => format!("{named} is deployed already; nothing differs."),
        (false, true) => format!("{named} is deployed."),
    };
    let shown = difference(&flow["difference"]);
    if !shown.is_empty() {
        words += &format!("\n{}", shown.trim_end());
    }
    for warning in flow["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words += &format!("\n  but: {warning}");
    }
    words
}

/// A difference for people, indented; nothing where nothing differs.
pub fn difference(difference: &Value) -> String {
    let mut words = String::new();
    for (what, member) in [("setting", "settings"), ("connection", "connections")] {
        for (name, change) in difference[member].as_object().into_iter().flatten() {
            let (before, after) = (print::cell(&change["before"]), print::cell(&change["after"]));
            words += &format!("    {what} {name}: {before} → {after}\n");
        }
    }
    for line in difference["text"].as_str().unwrap_or_default().lines() {
        words += &format!("    {line}\n");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_and_what_does_not_is_not() {
        let flow = json!({
            "name": "alert", "version": "1.0.1", "changed": true,
            "difference": {
                "version": null, "connections": null, "settings": {"channel": {"before": "#a", "after": "#b"}},
                "text": "--- revision 1\n+++ new\n@@ -1 +1 @@\n-a\n+b\n",
            },
        });
        assert_eq!(
            deployed(&flow),
            "alert (version 1.0.1) is deployed.\n    setting channel: #a → #b\n    --- revision 1\n    +++ new\n    \
             @@ -1 +1 @@\n    -a\n    +b"
        );
        let same = json!({"name": "alert", "version": "1.0.1", "changed": false, "difference": null});
        assert_eq!(deployed(&same), "alert (version 1.0.1) is deployed already; nothing differs.");
    }
}
