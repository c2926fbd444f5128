//! `tributary doctor`

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, Global, answer, open};
use crate::client::Client;
use crate::print;

/// Below this much room the next commits may find none.
const ROOM_BYTES_MIN: u64 = 1 << 30;
/// Whether only its owner may read a file: the token, and each key that opens envelopes or backups, also those that a
/// rotation left or was given.
fn is_private(name: &str) -> bool {
    matches!(name, "token" | "key" | "links") || name.starts_with("key.")
}

/// Look for whatever keeps Tributary from doing its work, and say what to do about it
#[derive(Debug, Args)]
#[command(
    after_help = "It looks at the data directory, the room on its disk, the database, the clock, the address that vendors
reach, every connection and every flow. It changes nothing, and asks each vendor once.

Examples:
  tributary doctor
  tributary doctor --json        {ok, findings: [{about, ok, detail, remedy}]}

It exits with 1 if anything is wrong."
)]
pub struct Doctor {}

pub async fn run(global: &Global, _: Doctor) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    let mut document = client.get("/v1/doctor").await?;
    let mut findings = Vec::new();
    if !matches!(client, Client::Remote(_)) {
        findings.extend(directory(&global.data));
        findings.push(match client {
            Client::Local(_) => json!({"about": "server", "ok": false, "detail": "none is running",
                "remedy": "start one: `tributary serve`"}),
            _ => json!({"about": "server", "ok": true, "detail": "it is running"}),
        });
    }
    findings.extend(document["findings"].as_array().cloned().unwrap_or_default());
    let ok = findings.iter().all(|finding| finding["ok"] == true);
    document = json!({"ok": ok, "findings": findings});
    answer(global, &document, words);
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn words(document: &Value) -> String {
    let findings = document["findings"].as_array().cloned().unwrap_or_default();
    let line = |finding: &Value| {
        let mark = if finding["ok"] == true { "ok   " } else { "WRONG" };
        let remedy =
            finding["remedy"].as_str().map(|remedy| format!("\n        → {remedy}")).unwrap_or_default();
        format!("{mark}  {}: {}{remedy}", print::cell(&finding["about"]), print::cell(&finding["detail"]))
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What only somebody on this machine can see.
fn directory(data: &Path) -> Vec<Value> {
    let about = "data directory";
    let Ok(metadata) = std::fs::metadata(data) else {
        let detail = format!("{} is not there yet", data.display());
        return vec![json!({"about": about, "ok": true, "detail": detail})];
    };
    let mut found = Vec::new();
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let files = entries.filter(|entry| is_private(&entry.file_name().to_string_lossy()));
    let files = files.filter_map(|entry| Some((entry.path().display().to_string(), entry.metadata().ok()?)));
    let mut open_to_others: Vec<String> = std::iter::once((data.display().to_string(), metadata))
        .chain(files)
        .filter(|(_, metadata)| metadata.permissions().mode() & 0o077 != 0)
        .map(|(name, _)| name)
        .collect();
    open_to_others.sort();
    found.push(match open_to_others.is_empty() {
        true => {
            json!({"about": about, "ok": true, "detail": format!("{} is its owner's only", data.display())})
        }
        false => json!({"about": about, "ok": false,
            "detail": format!("others on this machine may look at {}", open_to_others.join(", ")),
            "remedy": format!("chmod go-rwx {}", open_to_others.join(" "))}),
    });
    if let Ok(disk) = rustix::fs::statvfs(data) {
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        let detail = format!("{} MiB are free", room >> 20);
        found.push(match room >= ROOM_BYTES_MIN {
            true => json!({"about": "disk", "ok": true, "detail": detail}),
            false => json!({"about": "disk", "ok": false, "detail": detail,
                "remedy": "make room, or keep less history: `serve --keep-history 90d`"}),
        });
    }
    found
}
