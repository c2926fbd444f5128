//! The command line as scripts use it: documents on stdout, exit codes, and the three ways to a server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use std::sync::Arc;

use serde_json::{Value, json};
use twins::slack::{Config, Slack};

fn tributary(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command
        .args(arguments)
        .env("TRIBUTARY_DATA", data)
        .env_remove("TRIBUTARY_SERVER")
        .env_remove("TRIBUTARY_TOKEN");
    command
}

fn run(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = tributary(data, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that does not read its input may have ended by now.
    stdin.write_all(input.as_bytes()).unwrap_or_default();
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "one document: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).expect("JSON")
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Serving(Child, Value);

impl Serving {
    fn start(data: &Path) -> Serving {
        let mut child = tributary(data, &["serve", "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a ready line");
        let ready = serde_json::from_str(&line).expect("JSON");
        Serving(child, ready)
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ended already in the good case.
        self.0.kill().unwrap_or_default();
    }
}

#[test]
fn without_a_server_commands_do_their_work_themselves() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let empty = run(&data, &["connection", "list"], "");
    assert_eq!(empty.status.code(), Some(0));
    assert!(words(&empty).contains("tributary connection add stripe"), "{}", words(&empty));
    assert!(!data.exists(), "looking makes nothing");

    let added = run(&data, &["connection", "add", "stripe", "--from-stdin", "--json"], "api_key=sk_test_1\n");
    assert_eq!(added.status.code(), Some(0), "{}", words(&added));
    let added = json_of(&added);
    assert_eq!((&added["name"], &added["credentials"]), (&json!("stripe"), &json!(["api_key"])));
    let listed = json_of(&run(&data, &["connection", "list", "--json"], ""));
    assert_eq!(listed["connections"][0]["hook"]["id"], added["hook"]["id"]);

    let file = directory.path().join("more.json");
    std::fs::write(&file, r#"{"webhook_secret": "whsec_1"}"#).expect("written");
    let file = file.to_str().expect("text");
    let changed = run(&data, &["connection", "add", "stripe", "--from-file", file, "--json"], "");
    assert_eq!(json_of(&changed)["credentials"], json!(["api_key", "webhook_secret"]));

    for arguments in
        [["template", "list"], ["flow", "list"], ["events", "list"], ["runs", "list"], ["connector", "list"]]
    {
        let output = run(&data, &arguments, "");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", words(&output));
        assert!(!output.stdout.is_empty(), "{arguments:?} says something");
    }
    let removed = run(&data, &["connection", "remove", "stripe"], "");
    assert_eq!(removed.status.code(), Some(0), "{}", words(&removed));
}

#[test]
fn exit_codes_tell_failure_from_bad_usage() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broken = directory.path().join("broken.yaml");
    std::fs::write(&broken, "document: {}\n").expect("written");
    let broken = broken.to_str().expect("text");
    for (arguments, code) in [
        (vec!["--version"], 0),
        (vec!["connector", "show", "stripe"], 0),
        (vec!["connector", "show", "strpe"], 1),
        (vec!["connection", "check", "stripe"], 1),
        (vec!["runs", "show", "run_none"], 1),
        (vec!["flow", "lint", broken], 1),
        (vec!["flow", "lint", "/does/not/exist.yaml"], 1),
        (vec!["events", "list", "--outcome", "lost"], 1),
        (vec!["flow", "lint"], 2),
        (vec!["fly"], 2),
        (vec!["template", "install", "stripe-to-chartmogul", "--set", "novalue"], 2),
        (vec!["connection", "add", "stripe"], 2),
        (vec!["connection", "add", "stripe", "--api-key", "sk_test_1"], 2),
        (vec!["serve", "--listen", "nowhere"], 2),
    ] {
        let output = run(&data, &arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
    }
    let failed = run(&data, &["runs", "show", "run_none", "--json"], "");
    assert_eq!(json_of(&failed)["code"], "run_unknown");
    let lint = run(&data, &["flow", "lint", broken], "");
    assert!(words(&lint).contains("broken.yaml:1:"), "{}", words(&lint));
}

/// The smallest connector that can do something.
const LEDGER: &str = "manifest: 1
slug: ledger
title: Ledger
version: 1.0.0
summary: A ledger of our own.
base_url: https://ledger.example.com
hosts: [ledger.example.com]
credentials:
  key: {title: Key, help: In the ledger's settings}
auth: {bearer: key}
errors:
  rules: [{status: 5xx, class: retry}, {status: 4xx, class: user}]
operations:
  entries.create:
    summary: Book an entry
    request: POST /entries
    effects: write
    idempotency: {header: {name: Idempotency-Key, life_h: 24}}
    params:
      amount: {type: integer, required: true, description: Cents}
";

#[test]
fn connectors_of_a_folder_are_like_the_built_in_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, folder) = (directory.path().join("data"), directory.path().join("connectors"));
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("ledger.yaml"), LEDGER).expect("written");
    let flow = directory.path().join("book.yaml");
    let call = |amount: &str| {
        format!(
            "document: {{dsl: '1.0.3', namespace: t, name: book, version: '1.0.0'}}\n\
             do: [{{book: {{call: ledger.entries.create, with: {{{amount}: 1}}}}}}]\n"
        )
    };
    std::fs::write(&flow, call("amount")).expect("written");
    let (folder, flow_file) = (folder.to_str().expect("text"), flow.to_str().expect("text"));
    let with =
        |arguments: &[&str], input| run(&data, &[&["--connectors", folder], arguments].concat(), input);

    let listed = json_of(&with(&["connector", "list", "--json"], ""));
    let slugs: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|c| c["slug"].as_str()).collect();
    assert!(listed[0]["operations"].is_u64() && listed[0]["triggers"].is_u64(), "{listed}");
    assert!(slugs.contains(&"ledger") && slugs.contains(&"stripe"), "{slugs:?}");
    let shown = json_of(&with(&["connector", "show", "ledger", "--json"], ""));
    assert_eq!(shown["operations"][0]["name"], "ledger.entries.create");
    let added = with(&["connection", "add", "ledger", "--from-stdin", "--json"], "key=abc\n");
    assert_eq!(json_of(&added)["connector"], "ledger", "{}", words(&added));
    assert_eq!(json_of(&with(&["flow", "lint", flow_file, "--json"], ""))["problems"], json!([]));
    // Of a folder its flows, and not what it is deployed with or tested by.
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::copy(flow_file, folder.path().join("flow.yaml")).expect("copied");
    for beside in ["deploy.yaml", "deploy.prod.yaml", "flow.test.yaml", "flow.test.json"] {
        std::fs::write(folder.path().join(beside), "no: flow\n").expect("written");
    }
    let linted = json_of(&with(&["flow", "lint", &folder.path().display().to_string(), "--json"], ""));
    assert_eq!((&linted["files"], &linted["problems"]), (&json!(1), &json!([])));
    assert_eq!(with(&["flow", "deploy", flow_file], "").status.code(), Some(0));
    let shown = json_of(&with(&["connector", "show", "ledger", "entries.create", "--json"], ""));
    assert_eq!(shown["request"], "POST /entries");
    let unknown = run(&data, &["connector", "show", "ledger"], "");
    assert_eq!(unknown.status.code(), Some(1), "only with the folder");

    std::fs::write(
        directory.path().join("connectors/mine.yaml"),
        LEDGER.replace("slug: ledger", "slug: slack"),
    )
    .expect("written");
    for arguments in [&["connector", "list"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let refused = with(arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
        assert!(words(&refused).contains("mine.yaml:1:1: the slug `slack` is taken"), "{}", words(&refused));
    }
}

/// Deploying may be the first thing ever done: it is kept.
#[test]
fn a_flow_that_is_deployed_before_there_is_a_data_directory_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, file) = (directory.path().join("data"), directory.path().join("first.yaml"));
    let flow =
        "document: {dsl: '1.0.3', namespace: t, name: first, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n";
    std::fs::write(&file, flow).expect("written");
    let file = file.to_str().expect("text");
    let tried = run(&data, &["flow", "deploy", file, "--dry-run"], "");
    assert_eq!((tried.status.code(), data.exists()), (Some(0), false), "{}", words(&tried));
    let deployed = run(&data, &["flow", "deploy", file], "");
    assert_eq!(deployed.status.code(), Some(0), "{}", words(&deployed));
    let listed = json_of(&run(&data, &["flow", "list", "--json"], ""));
    assert_eq!(listed["flows"][0]["name"], "first");
    let missing = run(&data, &["flow", "test", "missing.yaml"], "");
    assert_eq!(missing.status.code(), Some(2));
    assert!(words(&missing).contains("there is no file missing.yaml"), "{}", words(&missing));
}

#[test]
fn every_command_has_help_with_an_example() {
    let directory = tempfile::tempdir().expect("a directory");
    for command in [
        "serve",
        "sandbox",
        "connection add",
        "connection list",
        "connection check",
        "connection remove",
        "connector list",
        "connector show",
        "template list",
        "template show",
        "template install",
        "flow lint",
        "flow schema",
        "flow deploy",
        "flow list",
        "flow pause",
        "flow resume",
        "flow remove",
        "events list",
        "events show",
        "events replay",
        "runs list",
        "runs show",
        "runs retry",
        "runs cancel",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let output = run(directory.path(), &arguments, "");
        assert!(words(&output).contains(&format!("tributary {command}")), "{command}: {}", words(&output));
        assert!(words(&output).contains("Example"), "{command}: {}", words(&output));
    }
}

#[test]
fn commands_speak_to_the_server_that_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let serving = Serving::start(&data);
    assert_eq!(serving.1["ready"], true);
    let url = serving.1["url"].as_str().expect("an address").to_owned();

    let added = run(&data, &["connection", "add", "stripe", "--from-stdin", "--json"], "api_key=sk_test_1\n");
    let hook = json_of(&added)["hook"]["url"].as_str().expect("an address").to_owned();
    assert!(hook.starts_with(&url), "the running server answers, with its address: {hook}");

    let second = run(&data, &["serve", "--listen", "127.0.0.1:0"], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(words(&second).contains("in use"), "{}", words(&second));

    let token = std::fs::read_to_string(serving.1["token_file"].as_str().expect("a path")).expect("a token");
    let elsewhere = directory.path().join("elsewhere");
    for (token, code) in [(token.trim(), 0), ("wrong", 1)] {
        let output = tributary(&elsewhere, &["--server", &url, "connection", "list", "--json"])
            .env("TRIBUTARY_TOKEN", token)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{}", words(&output));
        let document = json_of(&output);
        assert!(code == 1 || document["connections"][0]["name"] == "stripe", "{document}");
    }
    assert_eq!(serving.terminate(), Some(0));
    assert!(!data.join("tributary.sock").exists(), "it tidies up");
    let listed = json_of(&run(&data, &["connection", "list", "--json"], ""));
    assert_eq!(listed["connections"][0]["name"], "stripe");
}

#[cfg(unix)]
#[test]
fn what_must_stay_private_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let serving = Serving::start(&data);
    let mode = |name: &str| std::fs::metadata(data.join(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("tributary.sock"), mode("token"), mode("key")), (0o700, 0o600, 0o600, 0o600));
    assert_eq!(serving.terminate(), Some(0));
}

#[test]
fn a_new_connector_passes_its_own_tests_and_says_what_is_wrong_once_it_is_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, folder) = (directory.path().join("data"), directory.path().join("connectors"));
    let (folder, file) = (folder.to_str().expect("text"), folder.join("ours.yaml"));
    let path = file.to_str().expect("text");
    let made = json_of(&run(&data, &["connector", "new", "ours", "--dir", folder, "--json"], ""));
    assert_eq!(made["file"], path);
    let passed = json_of(&run(&data, &["connector", "test", path, "--json"], ""));
    assert_eq!(passed["connectors"][0]["tests"], 3);
    assert_eq!(passed["connectors"][0]["problems"], json!([]));
    let listed = json_of(&run(&data, &["--connectors", folder, "connector", "test", "--json"], ""));
    assert!(listed["connectors"].as_array().expect("a list").len() >= 4, "all that there are: {listed}");

    for (slug, code) in [("ours", 1), ("stripe", 2), ("Ours", 2)] {
        let refused = run(&data, &["connector", "new", slug, "--dir", folder], "");
        assert_eq!(refused.status.code(), Some(code), "{slug}: {}", words(&refused));
    }
    let text = std::fs::read_to_string(&file).expect("read");
    for (from, to, expected) in [
        ("effects: read", "efects: read", "did you mean `effects`?"),
        (
            "output: {items: [{id: t1}, {id: t2}]}",
            "output: {items: []}",
            "a list is followed to its end: the output is",
        ),
    ] {
        std::fs::write(&file, text.replacen(from, to, 1)).expect("written");
        let failed = run(&data, &["connector", "test", path], "");
        assert_eq!(failed.status.code(), Some(1));
        assert!(words(&failed).contains(expected), "{}", words(&failed));
    }
    assert_eq!(run(&data, &["connector", "test", "nowhere"], "").status.code(), Some(2));
}

/// Credentials stay good under the new key, while the server serves and when it starts again; the old key opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_changed_while_the_server_serves() {
    let url = crate::app::open(Arc::new(Slack::new(Config::new("xoxb-right")))).await;
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let serving = Serving::start(&data);
    let add = ["connection", "add", "slack", "--base-url", url.as_str(), "--from-stdin"];
    let added = run(&data, &add, "token=xoxb-right\n");
    assert!(added.status.success(), "{}", words(&added));
    let check = || run(&data, &["connection", "check", "slack"], "");
    let key = || std::fs::read(data.join("key")).expect("a key");
    let before = key();
    let rotated = json_of(&run(&data, &["key", "rotate", "--json"], ""));
    assert_eq!((&rotated["resealed"], &rotated["shared"]), (&json!(1), &json!(false)), "{rotated}");
    assert_ne!(key(), before);
    assert!(check().status.success(), "while it serves: {}", words(&check()));
    assert_eq!(serving.terminate(), Some(0));
    assert!(check().status.success(), "after a start: {}", words(&check()));
    std::fs::write(data.join("key"), before).expect("written");
    assert_eq!(check().status.code(), Some(1), "the old key: {}", words(&check()));
}

#[cfg(unix)]
#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do_about_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let serving = Serving::start(&data);
    let doctor = || {
        let output = run(&data, &["doctor", "--json"], "");
        let found = json_of(&output);
        assert_eq!(output.status.code(), Some(if found["ok"] == true { 0 } else { 1 }), "{found}");
        found["findings"].as_array().expect("a list").clone()
    };
    let about = |name: &str| {
        doctor().into_iter().find(|one| one["about"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    for name in ["server", "data directory", "database"] {
        assert_eq!(about(name)["ok"], true, "{name}: {}", about(name));
    }
    std::fs::set_permissions(data.join("key"), std::fs::Permissions::from_mode(0o644)).expect("changed");
    let wrong = about("data directory");
    assert_eq!(wrong["ok"], false);
    assert!(wrong["remedy"].as_str().is_some_and(|remedy| remedy.starts_with("chmod go-rwx ")), "{wrong}");
    let told = words(&run(&data, &["doctor"], ""));
    assert!(told.contains("WRONG  data directory") && told.contains("→ chmod"), "{told}");
    assert_eq!(serving.terminate(), Some(0));
    assert_eq!(about("server")["detail"], "none is running");
}
