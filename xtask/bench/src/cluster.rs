//! A throwaway PostgreSQL server, on the same machine and with every commit synced: what is measured is what a
//! server that is meant to keep data takes.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process;

/// As Debian ships it, but for where it listens and how much it logs.
const SETTINGS: &str = "-c listen_addresses= -c log_min_messages=fatal -c shared_buffers=128MB";
const REMEDY: &str = "PostgreSQL 14 or later is needed: apt install postgresql";

pub struct Cluster {
    directory: TempDir,
    /// As long as this process holds its standard input, the server runs.
    keeper: Child,
    programs: PathBuf,
    databases: AtomicU32,
}

impl Cluster {
    pub fn start(scratch: Option<&Path>) -> Result<Cluster> {
        let programs = programs().context(REMEDY)?;
        let directory = match scratch {
            Some(scratch) => TempDir::with_prefix_in("tributary-bench-pg-", scratch)?,
            None => TempDir::with_prefix("tributary-bench-pg-")?,
        };
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700))?;
        let script = format!(
            "cd '{dir}' && {{ '{bin}/initdb' -D data -U postgres -A trust -E UTF8 --locale=C >log 2>&1 \
             && '{bin}/postgres' -D data -k '{dir}' {SETTINGS} >>log 2>&1 & }} && server=$! && \
             for _ in $(seq 600); do '{bin}/pg_isready' -q -h '{dir}' && break; sleep 0.05; done; \
             if '{bin}/pg_isready' -q -h '{dir}'; then echo ready; else cat log; exit 1; fi; \
             cat >/dev/null; kill -QUIT $(head -1 data/postmaster.pid); wait $server",
            dir = directory.path().display(),
            bin = programs.display(),
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.process_group(0).env("LC_ALL", "C");
        if let Some((uid, gid)) = unprivileged()? {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid))?;
            command.uid(uid).gid(gid);
        }
        let mut keeper = command.spawn().context("sh")?;
        let mut out = keeper.stdout.take().context("no output")?;
        let mut told = [0; 6];
        if out.read_exact(&mut told).is_err() || &told != b"ready\n" {
            let mut rest = String::new();
            out.read_to_string(&mut rest)?;
            bail!("PostgreSQL does not start: {}{rest}\n{REMEDY}", String::from_utf8_lossy(&told));
        }
        Ok(Cluster { directory, keeper, programs, databases: AtomicU32::new(0) })
    }

    /// Makes an empty database; answers its address. Each server under test has one of its own, as it has a data
    /// directory of its own with the key that seals what the database holds.
    pub fn database(&self) -> Result<String> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(self.programs.join("createdb"))
            .arg("--host")
            .arg(self.directory.path())
            .args(["--username", "postgres", &name])
            .output()
            .context("createdb")?;
        if !made.status.success() {
            bail!("createdb: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let host = self.directory.path().display().to_string().replace('/', "%2F");
        Ok(format!("postgres:///{name}?host={host}&user=postgres"))
    }

    /// What all of its processes took.
    pub fn cpu(&self) -> Result<Duration> {
        let file = self.directory.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file)?;
        process::family_cpu(text.lines().next().unwrap_or_default().parse()?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Its directory is removed next.
        self.keeper.wait().map(drop).unwrap_or_default();
    }
}

/// Where the newest installed server's programs are.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(version, bin)| *version >= 14 && bin.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}

/// Who runs the server if this is root, whom PostgreSQL refuses.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    found.map(Some).context("no user `postgres` or `nobody` to run PostgreSQL as")
}
