//! `tributary flow versions|show|rollback`: every version that was deployed, and the way back.

use serde_json::{Value, json};

use super::deploy::difference;
use crate::cli::{Exit, Global, answer, open, segment};
use crate::print;

pub async fn list(global: &Global, flow: &str) -> anyhow::Result<Exit> {
    let document = open(global).await?.get(&format!("/v1/flows/{}/revisions", segment(flow))).await?;
    answer(global, &document, |document| {
        let rows: Vec<Vec<String>> = document["revisions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| {
                vec![
                    print::cell(&r["revision"]),
                    print::cell(&r["version"]),
                    print::time(&r["deployed_at"]),
                    if r["current"] == true { "deployed".to_owned() } else { String::new() },
                    r["note"].as_str().unwrap_or_default().to_owned(),
                ]
            })
            .collect();
        print::table(&["revision", "version", "since", "state", "note"], &rows)
    });
    Ok(Exit::Done)
}

pub async fn show(global: &Global, flow: &str, revision: Option<u32>) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    let revision = match revision {
        Some(revision) => revision.to_string(),
        None => client.get(&format!("/v1/flows/{}", segment(flow))).await?["revision"].to_string(),
    };
    let path = format!("/v1/flows/{}/revisions/{revision}", segment(flow));
    answer(global, &client.get(&path).await?, |shown| {
        let mut words = format!(
            "{} · version {} · revision {} · {}\n",
            print::cell(&shown["name"]),
            print::cell(&shown["version"]),
            print::cell(&shown["revision"]),
            print::time(&shown["deployed_at"]),
        );
        for (label, member) in [("setting", "settings"), ("connection", "connections")] {
            for (name, value) in shown[member].as_object().into_iter().flatten() {
                words += &format!("{label} {name}: {}\n", print::cell(value));
            }
        }
        let changed = difference(&shown["difference"]);
        if !changed.is_empty() {
            words += &format!("\nIt changed:\n{changed}");
        }
        words + "\n" + shown["text"].as_str().unwrap_or_default()
    });
    Ok(Exit::Done)
}

pub async fn rollback(global: &Global, flow: &str, to: Option<u32>, dry_run: bool) -> anyhow::Result<Exit> {
    let body = json!({"revision": to, "dry_run": dry_run});
    let path = format!("/v1/flows/{}/rollback", segment(flow));
    let document = open(global).await?.post(&path, body).await?;
    answer(global, &document, |document| said(flow, document, dry_run));
    Ok(Exit::Done)
}

fn said(flow: &str, document: &Value, dry_run: bool) -> String {
    let to = print::cell(&document["to"]);
    let mut words = match (document["changed"] == false, dry_run) {
        (true, _) => format!("{flow} is what revision {to} was; nothing differs."),
        (false, true) => format!("{flow} would become what revision {to} was; nothing was done."),
        (false, false) => {
            format!("{flow} is what revision {to} was, as revision {}.", print::cell(&document["revision"]))
        }
    };
    let shown = difference(&document["difference"]);
    if !shown.is_empty() {
        words += &format!("\n{}", shown.trim_end());
    }
    words
}
