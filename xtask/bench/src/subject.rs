//! The server under test: started, set up for W1, asked, stopped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{event, wire};

const FLOW: &str = include_str!("../w1.yaml");
const HOSTILE: &str = include_str!("../hostile.yaml");
const CONNECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/connectors");
/// Whatever is accepted must be done by then.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(120);
/// Between two looks at the server's counters: seldom enough to cost it nothing.
const LOOK: Duration = Duration::from_millis(20);

/// A process that is killed when it is no longer needed.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// A server on a data directory of its own.
pub struct Subject {
    process: Killed,
    pub address: String,
    token: String,
    /// From starting the process to its line that it is ready.
    pub ready: Duration,
    _data: TempDir,
}

/// What a server has counted.
pub struct Counts {
    pub completed: u64,
    pub failed: u64,
    pub received: u64,
    /// What the store did, where the server tells.
    pub store: Value,
}

impl Subject {
    pub fn start(binary: &Path, scratch: Option<&Path>, database: Option<&str>) -> Result<Subject> {
        let data = match scratch {
            Some(directory) => TempDir::with_prefix_in("tributary-bench-", directory)?,
            None => TempDir::with_prefix("tributary-bench-")?,
        };
        let mut command = Command::new(binary);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--connectors", CONNECTORS, "--data"]);
        command.arg(data.path().join("data")).stdout(Stdio::piped());
        for variable in ["TRIBUTARY_DATA", "TRIBUTARY_SERVER", "TRIBUTARY_TOKEN", "TRIBUTARY_CONNECTORS"] {
            command.env_remove(variable);
        }
        match database {
            Some(url) => command.env("TRIBUTARY_DATABASE", url),
            None => command.env_remove("TRIBUTARY_DATABASE"),
        };
        let began = Instant::now();
        let process = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut process = Killed(process);
        let out = process.0.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let ready = began.elapsed();
        let told: Value = serde_json::from_str(&line).context("the server did not become ready")?;
        let text = |name: &str| told[name].as_str().map(str::to_owned).context("an unknown ready line");
        let token = std::fs::read_to_string(text("token_file")?)?.trim().to_owned();
        Ok(Subject { process, address: text("address")?, token, ready, _data: data })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    fn rest(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(wire::call(&self.address, &self.token, method, path, body))
    }

    /// Makes the connections and deploys W1; answers the path of the webhook.
    pub fn set_up(&self, sink: &str) -> Result<String> {
        let source = json!({
            "connector": "stripe",
            "live": false,
            "credentials": {"api_key": "sk_test_bench", "webhook_secret": event::SECRET},
        });
        let source = self.rest("PUT", "/v1/connections/stripe", &source)?;
        let target = json!({
            "connector": "sink",
            "live": false,
            "base_url": format!("http://{sink}"),
            "credentials": {"api_key": "bench"},
        });
        self.rest("PUT", "/v1/connections/sink", &target)?;
        self.rest("POST", "/v1/flows", &json!({"file": "w1.yaml", "text": FLOW}))?;
        Ok(source["hook"]["path"].as_str().context("the connection has no webhook")?.to_owned())
    }

    /// Deploys flows that burn whatever they are given, once a second from now on.
    pub fn burden(&self) -> Result<()> {
        self.rest("POST", "/v1/flows", &json!({"file": "hostile.yaml", "text": HOSTILE})).map(drop)
    }

    pub fn counts(&self) -> Result<Counts> {
        let stats = self.rest("GET", "/v1/stats", &Value::Null)?;
        let count = |group: &str, name: &str| stats[group][name].as_u64().unwrap_or_default();
        Ok(Counts {
            completed: count("runs", "completed"),
            failed: count("runs", "failed"),
            received: count("events", "received"),
            store: stats["store"].clone(),
        })
    }

    /// Waits until so many runs are completed, and none has failed.
    pub fn wait_for(&self, runs: u64) -> Result<()> {
        let began = Instant::now();
        loop {
            let counts = self.counts()?;
            if counts.failed > 0 {
                bail!("{} runs failed; the server's log says why", counts.failed);
            }
            if counts.completed >= runs {
                return Ok(());
            }
            if began.elapsed() > DRAIN_TIME_MAX {
                bail!("only {} of {runs} runs were completed in {DRAIN_TIME_MAX:?}", counts.completed);
            }
            std::thread::sleep(LOOK);
        }
    }
}
