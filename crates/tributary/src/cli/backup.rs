//! `tributary backup` and `tributary restore`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{Exit, Global, Usage, answer, open};

/// Between two questions how far the backup is.
const LOOK: Duration = Duration::from_millis(100);

/// What somebody who restores must know; the same words in `docs/guide/operating.md`.
const AFTER: &[&str] = &[
    "Events that came after the backup are not in it. Stripe delivers again only what was not acknowledged: list the \
     events since then in its dashboard (it keeps them for 30 days) and have them sent again, or touch the customers. \
     State flows such as stripe-to-chartmogul re-read everything, so one event per customer is enough.",
    "What runs did after the backup is known to the vendors, not here. A run that goes on from the backup repeats \
     those writes under the same keys: they are not doubled where the vendor can tell (Stripe for 24 hours by its \
     idempotency key, others by a lookup or a natural key), and may be doubled where it cannot (a chat message).",
];

/// Copies everything to a file or directory, while the server serves
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  tributary backup --out /backup/tributary-2026-11-21.tar
  tributary backup --out /backup/today --json
  tributary backup --out /backup/all.tar --with-key

The copy is of one moment: everything acknowledged before it is in it. It is verified and only then
gets its name. The master key (the file `key` of the data directory) is not in it, so that the copy
alone opens no credential: keep the key elsewhere, it is needed to restore.")]
pub struct Backup {
    /// Where to: a name that ends in .tar becomes one file, any other a directory. Must not exist
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Put the master key in as well: whoever has the backup then has every credential
    #[arg(long)]
    with_key: bool,
}

/// Makes a data directory from a backup
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  tributary restore /backup/tributary-2026-11-21.tar --data /var/lib/tributary

The data directory must be new or empty, and the backup is checked before anything takes its place.
Then copy the master key to DIR/key, and start the server.")]
pub struct Restore {
    /// What `tributary backup` made
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
}

/// `tributary backup`: the server does it, or this process where none runs.
pub async fn backup(global: &Global, args: Backup) -> anyhow::Result<Exit> {
    if global.server.is_some() {
        return Err(Usage(
            "backup writes files on the server's machine: run it there, without --server".to_owned(),
        )
        .into());
    }
    if !global.data.exists() {
        bail!("there is nothing to back up at {}; --data DIR names another place", global.data.display());
    }
    let out = std::path::absolute(&args.out).context("where to")?;
    let client = open(global).await?;
    let mut job = client.post("/v1/backups", json!({"path": out, "with_key": args.with_key})).await?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    while job["state"] == "running" {
        tokio::time::sleep(LOOK).await;
        job = client.get("/v1/backups/last").await?;
        bar.set_length(job["bytes"].as_u64().unwrap_or_default());
        bar.set_position(job["bytes_done"].as_u64().unwrap_or_default());
    }
    bar.finish_and_clear();
    if job["state"] == "failed" {
        bail!("the backup was not made: {}", job["detail"].as_str().unwrap_or_default());
    }
    let manifest = job["manifest"].take();
    let bytes = bytes_of(&manifest);
    let document = json!({"out": out, "bytes": bytes, "manifest": manifest});
    answer(global, &document, |document| {
        let key = if args.with_key {
            "The master key is in it: guard it like the credentials themselves."
        } else {
            "The master key is not in it: keep a copy of the data directory's file `key` elsewhere."
        };
        format!(
            "Backed up to {}\n  taken at {}, {} files, {} MB, verified\n  {key}",
            out.display(),
            document["manifest"]["taken_at"].as_str().unwrap_or_default(),
            document["manifest"]["files"].as_array().map_or(0, Vec::len),
            bytes.div_ceil(1_000_000),
        )
    });
    Ok(Exit::Done)
}

/// `tributary restore`: works on files only.
pub async fn restore(global: &Global, args: Restore) -> anyhow::Result<Exit> {
    let data = std::path::absolute(&global.data).context("where to")?;
    let (from, to) = (args.from.clone(), data.clone());
    let restored = tokio::task::spawn_blocking(move || store::backup::restore(&from, &to)).await?;
    let manifest = restored.map_err(|error| explain(error, &args.from))?;
    let key = data.join("key");
    let next = if manifest.with_key {
        format!("The master key was in the backup; it is at {} now.", key.display())
    } else {
        format!(
            "Copy the master key of the server that was backed up to {} (mode 0600). Without it the stored \
             credentials cannot be opened, and the server does not start.",
            key.display()
        )
    };
    let notes: Vec<String> = std::iter::once(next)
        .chain(["The REST API gets a new token when the server starts.".to_owned()])
        .chain(AFTER.iter().map(|&note| note.to_owned()))
        .collect();
    let document = json!({"data": data, "manifest": manifest, "notes": notes});
    answer(global, &document, |_| {
        let notes: Vec<String> = notes.iter().map(|note| format!("- {note}")).collect();
        format!(
            "Restored to {}, as of {}\n\nBefore you start the server:\n{}",
            data.display(),
            manifest.taken_at,
            notes.join("\n")
        )
    });
    Ok(Exit::Done)
}

fn bytes_of(manifest: &Value) -> u64 {
    let files = manifest["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    files.iter().filter_map(|file| file["bytes"].as_u64()).sum()
}

/// What to do about it.
fn explain(error: store::Error, from: &Path) -> anyhow::Error {
    let remedy = match &error {
        store::Error::Locked { .. } => "a server runs there: stop it, or restore to another directory",
        store::Error::Newer { .. } => {
            "a newer version of tributary made the backup: use that version or a later one"
        }
        store::Error::Corrupt { .. } => "the backup was damaged after it was made: take another one",
        store::Error::Io { .. } | store::Error::Refused(_) => {
            return anyhow::Error::new(error).context(format!("{} was not restored", from.display()));
        }
        _ => "nothing was changed",
    };
    anyhow::Error::new(error).context(format!("{} was not restored; {remedy}", from.display()))
}
