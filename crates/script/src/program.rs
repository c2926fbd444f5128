//! Programs that flows start on the server: `run: shell` and `run: container`, where the operator allows them.
//!
//! Unlike a script, a program is not confined: it may do what the server's user may do. What is bounded is how long it
//! takes, what it prints, and what it is told: its environment has nothing but what the flow gives. It begins in `/`
//! as the leader of a process group, which is killed as a whole when its time is over or nobody waits for it any more.
//!
//! A container is started by the command line of docker or podman, under a name made from its effect's key: a node
//! that died leaves it running, and the next one removes it before it starts it again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use flow::{Fault, Program};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::javascript::shortened;
use crate::limits::{PROGRAM_INPUT_BYTES_MAX, PROGRAM_OUTPUT_BYTES_MAX, PROGRAM_TIME_MAX};

/// The shell of `run: shell`.
const SHELL: &str = "/bin/sh";
/// Command lines that start containers, the first that is installed.
const CONTAINER_PROGRAMS: [&str; 2] = ["docker", "podman"];
/// What the command line of a container may know of the server's environment: where it finds its service.
const CONTAINER_ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "XDG_RUNTIME_DIR",
];

/// Which programs flows may start here: what `--allow-run` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    shell: bool,
    /// The command line that starts containers.
    container: Option<PathBuf>,
    time: Option<Duration>,
}

/// `shell`, `container` or `container=/usr/bin/podman`: one thing that an operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub program: Program,
    /// The command line for containers, if it is said.
    pub path: Option<PathBuf>,
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Allowed, String> {
        let (word, path) = match text.split_once('=') {
            Some((word, path)) => (word, Some(PathBuf::from(path))),
            None => (text, None),
        };
        let Some(program) = Program::ALL.into_iter().find(|program| program.word() == word) else {
            return Err(format!(
                "`{word}` can't be allowed; `shell`, `container` and `container=/path/to/podman` can"
            ));
        };
        if path.is_some() && program == Program::Shell {
            return Err(format!("`{text}`: the shell is always {SHELL}"));
        }
        Ok(Allowed { program, path })
    }
}

impl Programs {
    /// What is allowed, with the command line for containers found in `search` (the server's `PATH`).
    ///
    /// # Errors
    /// Containers are allowed and nothing is there that starts them.
    pub fn new(allowed: &[Allowed], search: Option<OsString>) -> Result<Programs, String> {
        let mut programs = Programs::default();
        for Allowed { program, path } in allowed {
            match (program, path) {
                (Program::Shell, _) => programs.shell = true,
                (Program::Container, Some(path)) if path.is_file() => programs.container = Some(path.clone()),
                (Program::Container, Some(path)) => return Err(format!("there is no {}", path.display())),
                (Program::Container, None) => {
                    let search = search.clone().unwrap_or_default();
                    let found = CONTAINER_PROGRAMS.iter().find_map(|name| {
                        std::env::split_paths(&search).map(|dir| dir.join(name)).find(|path| path.is_file())
                    });
                    let missing = || {
                        format!(
                            "neither {} is installed: containers need one of them; `container=/path/to/it` says where it is",
                            CONTAINER_PROGRAMS.join(" nor ")
                        )
                    };
                    programs.container = Some(found.ok_or_else(missing)?);
                }
            }
        }
        Ok(programs)
    }

    /// The same with another limit of time.
    #[must_use]
    pub fn within(self, time: Duration) -> Programs {
        Programs { time: Some(time), ..self }
    }

    /// Runs what a call of `run.shell` or `run.container` says. Dropped, the program is ended. `key` is the same for
    /// each repetition.
    ///
    /// # Errors
    /// The program is not allowed, could not be started, failed, or met a limit.
    pub async fn run(&self, operation: &str, with: &Value, key: &str) -> Result<Value, Fault> {
        let task = Task::read(with)?;
        match Program::of(operation) {
            Some(Program::Shell) if self.shell => self.shell(&task).await,
            Some(Program::Container) if self.container.is_some() => self.container(&task, with, key).await,
            Some(program) => Err(refused(program)),
            None => Err(Fault::configuration(format!("`{operation}` is no program"))),
        }
    }

    async fn shell(&self, task: &Task) -> Result<Value, Fault> {
        let command = task.command.as_deref().unwrap_or_default();
        let mut shell = Command::new(SHELL);
        shell.args(in_shell(command, &task.arguments)).env_clear().envs(&task.environment);
        self.finish(shell, task, None).await
    }

    async fn container(&self, task: &Task, with: &Value, key: &str) -> Result<Value, Fault> {
        let Some(program) = self.container.as_deref() else { return Err(refused(Program::Container)) };
        let image = with["image"].as_str().filter(|image| !image.is_empty() && !image.starts_with('-'));
        let Some(image) = image else {
            return Err(Fault::validation("`image` of a container must be its name"));
        };
        let name = named(key);
        // What an earlier attempt left behind would go on beside this one.
        removed(program, &name).await;
        let pull = match with["pull"].as_str() {
            Some("always") => "always",
            Some("never") => "never",
            _ => "missing",
        };
        let mut run = command_line(program);
        run.args(["run", "--rm", "--interactive", "--name", &name, "--pull", pull]);
        run.args(["--security-opt", "no-new-privileges"]);
        for (name, value) in &task.environment {
            run.arg("--env").arg(format!("{name}={value}"));
        }
        match &task.command {
            Some(command) => {
                run.args(["--entrypoint", SHELL, image]).args(in_shell(command, &task.arguments))
            }
            None => run.arg(image).args(&task.arguments),
        };
        self.finish(run, task, Some((program, &name))).await
    }

    async fn finish(
        &self,
        mut command: Command,
        task: &Task,
        container: Option<(&Path, &str)>,
    ) -> Result<Value, Fault> {
        let time = self.time.unwrap_or(PROGRAM_TIME_MAX);
        let child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Fault::runtime(format!("the program could not be started: {error}")))?;
        let mut running = Running {
            group: child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw),
            container: container.map(|(program, name)| (program.to_owned(), name.to_owned())),
            child,
        };
        match tokio::time::timeout(time, running.exchange(&task.stdin)).await {
            Err(_) => Err(limited("time", format!("the program was ended: it took longer than {time:?}"))),
            Ok(Ok(ended)) => task.finish(ended),
            Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                let most = PROGRAM_OUTPUT_BYTES_MAX >> 20;
                Err(limited("output", format!("the program was ended: it prints more than {most} MiB")))
            }
            Ok(Err(error)) => Err(Fault::runtime(format!("the program could not be used: {error}"))),
        }
    }
}

/// The fault of a program that the operator does not allow.
pub fn refused(program: Program) -> Fault {
    let word = program.word();
    Fault::coded(
        "program_refused",
        403,
        "A program is not allowed",
        format!(
            "`run: {word}` is not allowed here: the operator allows it by `tributary serve --allow-run {word}`"
        ),
    )
}

fn limited(limit: &str, detail: String) -> Fault {
    Fault::coded("program_limit", 500, "A program met a limit", detail).with_data(json!({"limit": limit}))
}

/// A shell's arguments: the command, and its arguments as words of their own, which nothing reads as code.
fn in_shell(command: &str, arguments: &[String]) -> Vec<String> {
    let command = if arguments.is_empty() { command.to_owned() } else { format!("{command} \"$@\"") };
    ["-c".to_owned(), command, "sh".to_owned()].into_iter().chain(arguments.iter().cloned()).collect()
}

/// The container's name: every character that its key has and names have not stands as `_`.
fn named(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    format!("tributary-{}", key.chars().map(plain).collect::<String>())
}

/// The command line for containers, with what it may know.
fn command_line(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in CONTAINER_ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Removes a container, if there is one of that name.
async fn removed(program: &Path, name: &str) {
    const TIME_MAX: Duration = Duration::from_secs(30);
    let mut remove = command_line(program);
    remove.args(["rm", "--force", name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whether there was one shows when the next one is started.
    tokio::time::timeout(TIME_MAX, remove.kill_on_drop(true).status()).await.ok();
}

/// A program at work; dropped, it is ended with all that it started.
struct Running {
    child: Child,
    group: Option<Pid>,
    container: Option<(PathBuf, String)>,
}

impl Running {
    /// Tells it its input, takes what it prints, and waits for its end. What it left in the background ends with it.
    async fn exchange(&mut self, stdin: &str) -> io::Result<Ended> {
        let (Some(mut input), Some(out), Some(err)) =
            (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
        else {
            return Err(io::Error::other("it has no pipes"));
        };
        let tell = async move {
            // A program need not read its input.
            input.write_all(stdin.as_bytes()).await.ok();
            Ok(())
        };
        let over = async {
            let status = self.child.wait().await?;
            kill(self.group.take());
            self.container = None;
            Ok(status)
        };
        let ((), stdout, stderr, status) = tokio::try_join!(tell, printed(out), printed(err), over)?;
        Ok(Ended { status, stdout, stderr })
    }
}

/// Ends whoever is left of a group; nobody is, most of the time.
fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        kill_process_group(group, Signal::KILL).ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(self.group);
        let Some((program, name)) = self.container.take() else { return };
        // Its end must not be waited for here: a shell starts what ends it, and is over at once. If that fails, the next
        // attempt removes the container.
        std::process::Command::new(SHELL)
            .args(["-c", "\"$0\" rm --force \"$1\" >/dev/null 2>&1 </dev/null &"])
            .args([program.as_os_str(), name.as_ref()])
            .status()
            .ok();
    }
}

/// What is printed, as text.
async fn printed(from: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(PROGRAM_OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > PROGRAM_OUTPUT_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// What a flow says of a program, evaluated.
#[derive(Debug, PartialEq)]
struct Task {
    command: Option<String>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    stdin: String,
    returns: String,
}

impl Task {
    fn read(with: &Value) -> Result<Task, Fault> {
        let text_of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let command = match &with["command"] {
            Value::Null => None,
            Value::String(command) => Some(command.clone()),
            _ => return Err(Fault::validation("`command` of a program must be text")),
        };
        let arguments = match &with["arguments"] {
            Value::Null => Vec::new(),
            Value::Array(arguments) => arguments.iter().map(text_of).collect(),
            Value::Object(named) => named.iter().map(argument).collect(),
            _ => return Err(Fault::validation("`arguments` of a program must be a list or a mapping")),
        };
        let environment = match &with["environment"] {
            Value::Null => Map::new(),
            Value::Object(environment) => environment.clone(),
            _ => return Err(Fault::validation("`environment` of a program must be a mapping")),
        };
        if let Some(name) = environment.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(Fault::validation(format!("`{name}` can't be the name of a variable")));
        }
        let environment: BTreeMap<_, _> =
            environment.into_iter().map(|(name, value)| (name, text_of(&value))).collect();
        let stdin = match &with["stdin"] {
            Value::Null => String::new(),
            stdin => text_of(stdin),
        };
        let texts = arguments.iter().chain(environment.values()).chain(&command);
        if texts.clone().any(|text| text.contains('\0')) {
            return Err(Fault::validation("a program can't be told text with a zero byte in it"));
        }
        let told: usize = texts.map(String::len).sum();
        if told + stdin.len() > PROGRAM_INPUT_BYTES_MAX {
            let most = PROGRAM_INPUT_BYTES_MAX >> 20;
            let why = format!("command, arguments and stdin of the program are more than {most} MiB");
            return Err(limited("input", why));
        }
        let returns = with["return"].as_str().unwrap_or("stdout").to_owned();
        Ok(Task { command, arguments, environment, stdin, returns })
    }

    /// The output. A code other than 0 is a fault, unless the flow asks for the code.
    fn finish(&self, ended: Ended) -> Result<Value, Fault> {
        // As shells tell it of a program that a signal ended.
        const BY_SIGNAL: i32 = 128;
        let Ended { status, stdout, stderr } = ended;
        let code = status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or_default());
        if code != 0 && !matches!(self.returns.as_str(), "code" | "all") {
            let said = shortened(stderr.trim());
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            return Err(Fault::runtime(format!("the program ended with code {code}{said}"))
                .with_data(json!({"code": code})));
        }
        Ok(match self.returns.as_str() {
            "stderr" => stderr.into(),
            "code" => code.into(),
            "all" => json!({"code": code, "stdout": stdout, "stderr": stderr}),
            "none" => Value::Null,
            _ => stdout.into(),
        })
    }
}

/// A named argument: `name=value`, or the name alone where the value is null.
fn argument((name, value): (&String, &Value)) -> String {
    match value {
        Value::Null => name.clone(),
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    }
}

#[cfg(test)]
mod tests;
