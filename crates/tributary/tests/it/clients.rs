//! The vendors' official client libraries, installed once into the target directory, operating twins on loopback.
//!
//! The scripts lie in `tests/clients`; versions are pinned in its `package.json` and `requirements.txt`.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use twins::Twin;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Where the libraries are installed.
#[derive(Debug)]
pub struct Clients {
    home: PathBuf,
}

/// Installs the libraries, the first time of a run only, and not at all where nothing changed since the last.
pub async fn ensure() -> &'static Clients {
    static CLIENTS: OnceCell<Clients> = OnceCell::const_new();
    CLIENTS.get_or_init(install).await
}

async fn install() -> Clients {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&home).unwrap();
    if changed(&home, "package.json") {
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&home))
        .await;
        settle(&home, "package.json");
    }
    if changed(&home, "requirements.txt") {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&home)).await;
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        run(Command::new(home.join("venv/bin/python")).args(pip).current_dir(&home)).await;
        settle(&home, "requirements.txt");
    }
    for script in std::fs::read_dir(SOURCE).unwrap() {
        let script = script.unwrap();
        if script.path().extension().is_some_and(|kind| kind == "mjs" || kind == "py") {
            std::fs::copy(script.path(), home.join(script.file_name())).unwrap();
        }
    }
    Clients { home }
}

/// Whether a list of libraries differs from the one that was installed; puts the new one down.
fn changed(home: &Path, list: &str) -> bool {
    let wanted = std::fs::read(Path::new(SOURCE).join(list)).unwrap();
    let installed = std::fs::read(home.join(format!("{list}.installed"))).unwrap_or_default();
    std::fs::write(home.join(list), &wanted).unwrap();
    wanted != installed
}

fn settle(home: &Path, list: &str) {
    std::fs::copy(home.join(list), home.join(format!("{list}.installed"))).unwrap();
}

async fn run(command: &mut Command) {
    let output =
        command.output().await.unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", told(&output));
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Clients {
    /// Runs a JavaScript module of `tests/clients`; it must succeed. Returns what it printed.
    pub async fn node(&self, script: &str, environment: &[(&str, &str)]) -> String {
        self.script(Command::new("node").arg(script), environment).await
    }

    /// The same with a Python script.
    pub async fn python(&self, script: &str, environment: &[(&str, &str)]) -> String {
        let python = self.home.join("venv/bin/python");
        self.script(Command::new(python).args(["-W", "ignore", script]), environment).await
    }

    /// Starts a JavaScript module that runs until its standard input ends; answers the first line that it prints.
    pub async fn keep(&self, script: &str, environment: &[(&str, &str)]) -> (tokio::process::Child, String) {
        use tokio::io::{AsyncBufReadExt as _, BufReader};
        let mut command = Command::new("node");
        command.arg(script).current_dir(&self.home).envs(environment.iter().copied()).kill_on_drop(true);
        let mut process = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        let printed = process.stdout.take().unwrap();
        let line = BufReader::new(printed).lines().next_line().await.unwrap();
        (process, line.unwrap_or_else(|| panic!("{script} prints nothing")))
    }

    async fn script(&self, command: &mut Command, environment: &[(&str, &str)]) -> String {
        let command = command.current_dir(&self.home).envs(environment.iter().copied()).kill_on_drop(true);
        let output =
            command.output().await.unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        assert!(output.status.success(), "{command:?} failed:\n{}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Serves a twin on a loopback port for as long as the tasks live.
pub async fn serve(twin: Arc<dyn Twin>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { twins::http::serve(listener, twin, std::future::pending()).await.unwrap() });
    (url, tasks)
}
