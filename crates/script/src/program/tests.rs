use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Allowed, Programs};

fn allowed(text: &str) -> Allowed {
    text.parse().unwrap()
}

fn run(programs: &Programs, operation: &str, with: Value) -> Result<Value, flow::Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(programs.run(operation, &with, "flow/evt_1 #1"))
}

fn shell(with: Value) -> Result<Value, flow::Fault> {
    run(&Programs::new(&[allowed("shell")], None).unwrap(), "run.shell", with)
}

#[test]
fn a_command_has_what_the_flow_gives_and_nothing_else() {
    for (with, output) in [
        (json!({"command": "echo hello"}), json!("hello\n")),
        (json!({"command": "echo", "arguments": ["a b", "$(ls)", 3]}), json!("a b $(ls) 3\n")),
        (json!({"command": "echo", "arguments": {"--name": "n", "-v": null}}), json!("--name=n -v\n")),
        (json!({"command": "cat", "stdin": "text"}), json!("text")),
        (json!({"command": "cat", "stdin": {"a": 1}}), json!("{\"a\":1}")),
        // The shell's own variables are not told to what it starts.
        (
            json!({"command": "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=", "environment": {"A": "1", "B": 2}}),
            json!("A=1\nB=2\n"),
        ),
        (json!({"command": "pwd"}), json!("/\n")),
        (json!({"command": "echo out; echo err >&2", "return": "stderr"}), json!("err\n")),
        (json!({"command": "exit 3", "return": "code"}), json!(3)),
        (json!({"command": "kill -9 $$", "return": "code"}), json!(137)),
        (
            json!({"command": "echo out; echo err >&2; exit 4", "return": "all"}),
            json!({"code": 4, "stdout": "out\n", "stderr": "err\n"}),
        ),
        (json!({"command": "echo out", "return": "none"}), json!(null)),
    ] {
        assert_eq!(shell(with.clone()), Ok(output), "{with}");
    }
}

#[test]
fn what_goes_wrong_is_told() {
    for (with, code, part) in [
        (json!({"command": "echo no >&2; exit 7"}), "runtime", "ended with code 7: no"),
        (json!({"command": 1}), "validation", "`command`"),
        (json!({"command": "x", "arguments": 1}), "validation", "`arguments`"),
        (json!({"command": "x", "environment": []}), "validation", "`environment`"),
        (json!({"command": "x", "environment": {"a=b": 1}}), "validation", "`a=b`"),
        (json!({"command": "x", "arguments": ["a\u{0}b"]}), "validation", "zero byte"),
        (json!({"command": "cat", "stdin": "x".repeat(17 << 20)}), "program_limit", "more than 16 MiB"),
        (json!({"command": "cat /dev/zero"}), "program_limit", "prints more than 8 MiB"),
    ] {
        let fault = shell(with).unwrap_err();
        assert_eq!(fault.code(), code);
        assert!(fault.detail.contains(part), "{}", fault.detail);
    }
}

#[test]
fn only_what_the_operator_allows_is_started() {
    let none = Programs::default();
    for operation in ["run.shell", "run.container"] {
        let fault = run(&none, operation, json!({"command": "echo", "image": "alpine"})).unwrap_err();
        assert_eq!((fault.code(), fault.status), ("program_refused", 403));
        let word = &operation[4..];
        assert!(fault.detail.contains(&format!("--allow-run {word}")), "{}", fault.detail);
    }
    for (text, part) in
        [("bash", "`bash` can't be allowed"), ("shell=/bin/zsh", "always /bin/sh"), ("", "`` can't be")]
    {
        let why = text.parse::<Allowed>().unwrap_err();
        assert!(why.contains(part), "{why}");
    }
    let nowhere = Programs::new(&[allowed("container")], Some("/nowhere".into())).unwrap_err();
    assert!(nowhere.contains("neither docker nor podman is installed"), "{nowhere}");
    let gone = Programs::new(&[allowed("container=/nowhere/podman")], None).unwrap_err();
    assert!(gone.contains("there is no /nowhere/podman"), "{gone}");
}

/// A program that is out of time is ended with all that it started.
#[test]
fn time_ends_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("pid");
    let programs = Programs::new(&[allowed("shell")], None).unwrap().within(Duration::from_millis(300));
    let command = format!("sleep 60 & echo $! > {}; wait", mark.display());
    let began = Instant::now();
    let fault = run(&programs, "run.shell", json!({"command": command})).unwrap_err();
    assert_eq!(fault.data, Some(json!({"limit": "time"})));
    assert!(began.elapsed() < Duration::from_secs(10));
    let pid = std::fs::read_to_string(&mark).unwrap();
    let state = PathBuf::from("/proc").join(pid.trim()).join("stat");
    // A zombie, until somebody looks at it, or gone.
    let gone = || !std::fs::read_to_string(&state).is_ok_and(|stat| !stat.contains(") Z "));
    while !gone() {
        assert!(began.elapsed() < Duration::from_secs(10), "the program's child goes on");
        std::thread::yield_now();
    }
}

/// A command line that notes how it is called; `run` does what the container would do.
const DOCKER: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ "$1" = run ] || exit 0
while [ "$1" != IMAGE ]; do shift; done
shift
[ "$1" = -c ] && exec /bin/sh "$@"
exec "$@"
"#;

fn docker() -> (tempfile::TempDir, Programs) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("podman");
    std::fs::write(&path, DOCKER).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let programs = Programs::new(&[allowed("container")], Some(directory.path().into())).unwrap();
    (directory, programs)
}

#[test]
fn a_container_is_named_by_its_key_and_removed_before_it_starts() {
    let (directory, programs) = docker();
    let calls = || std::fs::read_to_string(directory.path().join("calls")).unwrap();
    let with = json!({
        "image": "IMAGE", "command": "cat; echo", "arguments": ["a b"], "stdin": "in ", "environment": {"A": "1"},
        "pull": "never",
    });
    assert_eq!(run(&programs, "run.container", with), Ok(json!("in a b\n")));
    assert_eq!(
        calls(),
        "rm --force tributary-flow_evt_1__1\n\
         run --rm --interactive --name tributary-flow_evt_1__1 --pull never --security-opt no-new-privileges \
         --env A=1 --entrypoint /bin/sh IMAGE -c cat; echo \"$@\" sh a b\n"
    );
    let own = json!({"image": "IMAGE", "arguments": ["echo", "own"]});
    assert_eq!(run(&programs, "run.container", own), Ok(json!("own\n")));
    for image in [json!(null), json!(""), json!("--privileged")] {
        let fault = run(&programs, "run.container", json!({"image": image})).unwrap_err();
        assert!(fault.detail.contains("`image`"), "{}", fault.detail);
    }
}

#[test]
fn a_container_out_of_time_is_removed() {
    let (directory, programs) = docker();
    let programs = programs.within(Duration::from_millis(200));
    let fault =
        run(&programs, "run.container", json!({"image": "IMAGE", "command": "sleep 60"})).unwrap_err();
    assert_eq!(fault.data, Some(json!({"limit": "time"})));
    let began = Instant::now();
    let removed = || {
        let calls = std::fs::read_to_string(directory.path().join("calls")).unwrap();
        calls.lines().filter(|line| line.starts_with("rm --force")).count() == 2
    };
    while !removed() {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody removes the container");
        std::thread::yield_now();
    }
}
