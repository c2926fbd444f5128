//! The server under demonstration: a child process of this binary, which can be killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take until the ready line.
const START_WAIT: Duration = Duration::from_secs(30);
/// How much of the log is shown when something went wrong.
const LOG_LINES_MAX: usize = 40;

/// The first line of `serve --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct ReadyLine {
    pub address: String,
    pub url: String,
    pub token_file: PathBuf,
    pub socket: PathBuf,
}

/// A running server. Dropping it kills the child.
pub struct Server {
    data: PathBuf,
    database: Option<String>,
    log: PathBuf,
    ready: ReadyLine,
    child: Child,
}

impl Server {
    /// Starts one on a fresh data directory in `directory`, on any free port.
    pub async fn start(directory: &Path, database: Option<String>) -> anyhow::Result<Server> {
        let (data, log) = (directory.join("data"), directory.join("server.log"));
        let (child, ready) = spawn(&data, database.as_deref(), &log, "127.0.0.1:0").await?;
        Ok(Server { data, database, log, ready, child })
    }

    /// Where it listens, and where its token is.
    pub fn ready(&self) -> &ReadyLine {
        &self.ready
    }

    /// `kill -9`, and nothing is left running when it returns.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("the server could not be killed")
    }

    /// Starts again on the same data and port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let (child, ready) =
            spawn(&self.data, self.database.as_deref(), &self.log, &self.ready.address).await?;
        self.child = child;
        self.ready = ready;
        Ok(())
    }

    /// Fails if the child ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the server ended by itself ({status})\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// The last lines the server logged.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

fn log_tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}

async fn spawn(
    data: &Path,
    database: Option<&str>,
    log: &Path,
    listen: &str,
) -> anyhow::Result<(Child, ReadyLine)> {
    let exe = std::env::current_exe().context("this program's own path is unknown")?;
    let stderr = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(exe);
    match database {
        // Not as an argument, which everybody on the machine can read.
        Some(url) => command.env("TRIBUTARY_DATABASE", url),
        None => command.env_remove("TRIBUTARY_DATABASE"),
    };
    let mut child = command
        .args(["serve", "--json", "--stop-with-stdin", "--listen", listen, "--data"])
        .arg(data)
        .env("NO_COLOR", "1")
        // It closes with this process, however that ends, and the server stops by itself.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .context("the server could not be started")?;
    let stdout = child.stdout.take().context("the server has no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let first = tokio::time::timeout(START_WAIT, lines.next_line()).await;
    let first =
        first.with_context(|| format!("the server is not ready after {} s", START_WAIT.as_secs()))??;
    let Some(first) = first else {
        let status = child.wait().await?;
        bail!("the server did not start ({status})\n{}", log_tail(log));
    };
    let ready = serde_json::from_str(&first).with_context(|| format!("not a ready line: {first}"))?;
    // Whatever else it prints is read and dropped, so that it never blocks on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, ready))
}
