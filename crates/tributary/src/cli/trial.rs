//! `tributary flow run` and `tributary flow test`: flows tried on the spot.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use flow::Document;
use serde_json::{Value, json};
use sim::trial::dry::Dry;
use sim::trial::judge::{Judge, Verdict};
use sim::trial::suite::Suite;
use sim::trial::twins::Accounts;
use sim::trial::{Chance, Time, Trial, needed, patient};

use super::{Exit, Global, Usage, answer, open, template};
use crate::ambient::WallClock;
use crate::node;
use crate::print;

/// Run a flow on the spot and show every step
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tributary flow run flow.yaml --input event.json
  tributary flow run flow.yaml --input '{\"customer\": \"cus_1\"}' --json
  tributary flow run flow.yaml --input event.json --connections --dry-run

The input is what the run begins with: for a flow that begins with events, the event as flows see it
({\"source\": …, \"type\": …, \"data\": …}). Without --connections, calls go to simulated vendors with empty
accounts and waits are over at once. With --connections they go to the real accounts of your server, in
real time; --dry-run then lets reads through and shows what would have been written. Exit code 1: the
flow failed.")]
pub struct Run {
    /// The flow's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the run begins with: JSON or YAML, a file of it, or - for standard input [default: {}]
    #[arg(long, value_name = "FILE|JSON")]
    input: Option<String>,
    /// Call simulated vendors with empty accounts; what happens without --connections
    #[arg(long, conflicts_with = "connections")]
    twins: bool,
    /// Call the real accounts: connections of the server, by the names that the flow gives them
    #[arg(long)]
    connections: bool,
    /// Send no writes: show them, and go on with their arguments as their answers
    #[arg(long)]
    dry_run: bool,
    /// A setting of the flow; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Which of your connections stands for one the flow names; may be given several times
    #[arg(long, value_name = "NAME=MINE", requires = "connections")]
    connection: Vec<String>,
}

/// Run the tests that lie beside flows
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tributary flow test flows/*.yaml
  tributary flow test flows/alert.test.yaml --json

The tests of alert.yaml are in alert.test.yaml beside it:
  tests:
    - name: a failed payment is told
      event: {source: stripe, type: stripe.invoice.payment_failed, data: {…}}
      answers:
        - {call: slack.messages.post, output: {ok: true}}
      expect:
        writes: [{slack.messages.post: {channel: '#billing'}}]
A test begins with an `event` or an `input`. Calls get the first of the `answers` that fits, or, with
`twins: true`, go to simulated vendors, in which `given` is a list of tasks that is done before. Time is
simulated: a wait is over at once. `then` is what happens meanwhile, in order:
      then:
        - event: {source: stripe, type: stripe.invoice.paid, data: {…}}
        - decide: {choice: approve, by: anna}
        - {after: P3D, stop: true}
Exit code 1: a test failed.")]
pub struct Test {
    /// Flows, or their test files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The end of a test file's name.
const TESTS: &str = ".test.yaml";

fn text_of(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A flow that is as right as lint can tell.
fn document(catalog: &connect::Catalog, path: &Path) -> anyhow::Result<Document> {
    let (file, text) = (path.display().to_string(), text_of(path)?);
    let found = match Document::parse(&file, &text) {
        Ok(document) => {
            let found = connect::lint::calls(catalog, &file, &document);
            if found.is_empty() {
                return Ok(document);
            }
            found
        }
        Err(found) => found,
    };
    Err(mistakes(&file, &found))
}

fn mistakes(file: &str, found: &[flow::Diagnostic]) -> anyhow::Error {
    let lines: Vec<String> = found.iter().map(|problem| format!("{problem} [{}]", problem.code)).collect();
    anyhow::anyhow!("{file} has mistakes:\n  {}", lines.join("\n  "))
}

/// `tributary flow run`.
pub async fn run(global: &Global, args: Run) -> anyhow::Result<Exit> {
    let input = input(args.input.as_deref())?;
    let settings = template::settings(&args.set)?;
    let report = if args.connections {
        let body = json!({
            "file": args.file.display().to_string(),
            "text": text_of(&args.file)?,
            "input": input,
            "settings": settings,
            "connections": template::connections(&args.connection)?,
            "dry_run": args.dry_run,
        });
        open(global).await?.post("/v1/flows/run", body).await?
    } else {
        let catalog = Arc::new(global.catalog()?);
        let document = Arc::new(document(&catalog, &args.file)?);
        let settings = document.resolve_settings(&settings).map_err(|wrong| Usage(wrong.join("; ")))?;
        let dry = args.dry_run;
        let programs = node::programs(&global.allow_run)?;
        let given = Given { catalog, document, settings, input, programs, dry };
        let tried = tokio::task::spawn_blocking(move || with_twins(given));
        tried.await.context("the trial broke off")??
    };
    answer(global, &report, told);
    Ok(if report["status"] == "failed" { Exit::Failed } else { Exit::Done })
}

/// JSON or YAML as it stands, or in a file.
fn input(given: Option<&str>) -> anyhow::Result<Value> {
    let Some(given) = given else { return Ok(json!({})) };
    let (name, text) = match given {
        "-" => ("standard input", std::io::read_to_string(std::io::stdin()).context("--input -")?),
        _ if given.trim_start().starts_with(['{', '[', '"']) => ("--input", given.to_owned()),
        path => (path, text_of(Path::new(path)).context("--input takes JSON, a file of it, or -")?),
    };
    let node = flow::yaml::parse(name, &text).map_err(|found| mistakes(name, &found))?;
    Ok(node.to_value())
}

/// What a trial with simulated vendors is made from.
struct Given {
    catalog: Arc<connect::Catalog>,
    document: Arc<Document>,
    settings: Value,
    input: Value,
    programs: script::Programs,
    /// Send no writes.
    dry: bool,
}

fn with_twins(given: Given) -> anyhow::Result<Value> {
    let Given { catalog, document, settings, input, programs, dry } = given;
    let time = Time::new(flow::clock::Clock::now(&WallClock));
    let accounts = Accounts::new(time.clone(), &catalog);
    let mut connections = Vec::new();
    for (name, connector) in needed(&document) {
        match accounts.connection(&name, &connector) {
            Some(connection) => connections.push(connection),
            None if catalog.get(&connector).is_some() => {
                let simulated = accounts.connectors().collect::<Vec<_>>().join(", ");
                return Err(Usage(format!(
                    "{connector} is not simulated ({simulated} are): run it with --connections, or give it answers in a test \
                     (`tributary flow test`)"
                ))
                .into());
            }
            None => {}
        }
    }
    let dry = dry.then(|| Arc::new(Dry::new(catalog.clone())));
    let trial = Trial {
        catalog,
        document,
        settings,
        input,
        connections,
        transport: Arc::new(accounts),
        rehearsal: dry.clone().map(|dry| dry as Arc<dyn engine::Rehearsal>),
        scripts: Arc::new(node::Workers::new(programs).in_place()),
        clock: time.clone(),
        timer: time.clone(),
        chance: Chance::seeded(),
        config: engine::Config { egress: connect::plain::Egress::nowhere(), ..patient() },
        later: Vec::new(),
    };
    let mut report = trial.simulated(&time)?.document();
    if let Some(dry) = dry {
        report["writes"] = dry.writes().into();
    }
    Ok(report)
}

/// A report in words: a line for each step, what would have been written, and how it ended.
fn told(report: &Value) -> String {
    let rows: Vec<Vec<String>> = report["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            let call = if step["call"].is_null() { &step["task"] } else { &step["call"] };
            let shown = if step["error"].is_null() { &step["output"] } else { &step["error"]["detail"] };
            vec![
                print::cell(&step["name"]),
                print::cell(call),
                print::cell(&step["status"]),
                shortened(shown),
            ]
        })
        .collect();
    let mut words = print::table(&["step", "does", "status", "output"], &rows);
    for write in report["writes"].as_array().into_iter().flatten() {
        words += &format!("\nnot sent: {} {}", print::cell(&write["call"]), write["with"]);
    }
    let error = &report["error"];
    words += &match report["status"].as_str() {
        Some("completed") => format!("\ncompleted: {}", report["output"]),
        Some("failed") => {
            let place = error["instance"].as_str().map(|at| format!(" at {at}")).unwrap_or_default();
            format!(
                "\nfailed: {} ({}){place}: {}",
                print::cell(&error["title"]),
                error["status"],
                print::cell(&error["detail"])
            )
        }
        _ => "\nwaiting: for something that does not come in a trial".to_owned(),
    };
    words
}

fn shortened(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = if value.is_null() { String::new() } else { value.to_string() };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A flow's file and that of its tests.
fn pair(given: &Path) -> anyhow::Result<(PathBuf, PathBuf, Suite)> {
    let name = given.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(TESTS);
    let tests = match stem {
        Some(_) => given.to_owned(),
        None => given.with_extension("test.yaml"),
    };
    if !given.exists() {
        return Err(Usage(format!("there is no file {}", given.display())).into());
    }
    if !tests.is_file() {
        return Err(
            Usage(format!("{} has no tests: write {} beside it", given.display(), tests.display())).into()
        );
    }
    let file = tests.display().to_string();
    let suite = Suite::parse(&file, &text_of(&tests)?).map_err(|found| mistakes(&file, &found))?;
    let flow = match (&suite.flow, stem) {
        (Some(flow), _) => tests.with_file_name(flow),
        (None, Some(stem)) => tests.with_file_name(format!("{stem}.yaml")),
        (None, None) => given.to_owned(),
    };
    Ok((flow, tests, suite))
}

/// A flow and its tests, read.
struct Tested {
    /// The file of the tests, as it is told.
    file: String,
    document: Document,
    suite: Suite,
}

/// `tributary flow test`.
pub async fn test(global: &Global, args: Test) -> anyhow::Result<Exit> {
    let catalog = Arc::new(global.catalog()?);
    let mut done = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for file in &args.files {
        let (flow, tests, suite) = pair(file)?;
        if done.insert(tests.clone()) {
            let document = document(&catalog, &flow)?;
            all.push(Tested { file: tests.display().to_string(), document, suite });
        }
    }
    judged(global, catalog, all).await
}

/// `tributary template test`.
pub async fn test_templates(global: &Global, slugs: Vec<String>) -> anyhow::Result<Exit> {
    let catalog = Arc::new(global.catalog()?);
    let folder = global.templates.as_deref();
    let templates = crate::templates::load(folder)?;
    let known = || templates.iter().map(|template| template.slug.as_str());
    if let Some(unknown) = slugs.iter().find(|slug| !known().any(|known| known == slug.as_str())) {
        let near = flow::nearest::nearest(unknown, known());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Usage(format!("there is no template `{unknown}`{near}")).into());
    }
    let mut all = Vec::new();
    for template in templates.iter().filter(|template| slugs.is_empty() || slugs.contains(&template.slug)) {
        let Some((file, text)) = crate::templates::tests(folder, &template.slug)? else {
            if slugs.is_empty() {
                continue;
            }
            let slug = &template.slug;
            return Err(Usage(format!("{slug} has no tests: write {slug}.test.yaml beside it")).into());
        };
        let suite = Suite::parse(&file, &text).map_err(|found| mistakes(&file, &found))?;
        all.push(Tested { file, document: Document::clone(&template.document), suite });
    }
    judged(global, catalog, all).await
}

/// Runs the tests and tells what came of them.
async fn judged(global: &Global, catalog: Arc<connect::Catalog>, all: Vec<Tested>) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let files = all.len();
    let tried = tokio::task::spawn_blocking(move || {
        let mut tests = Vec::new();
        for Tested { file, document, suite } in all {
            // A test answers for programs itself.
            let scripts = Arc::new(node::Workers::new(script::Programs::default()).in_place());
            let judge = Judge { catalog: catalog.clone(), document: Arc::new(document), scripts };
            tests.extend(judge.all(&suite)?.iter().map(|verdict| shown(&file, verdict)));
        }
        anyhow::Ok(tests)
    });
    let tests: Vec<Value> = tried.await.context("the tests broke off")??;
    let failed = tests.iter().filter(|test| test["passed"] == false).count();
    let document = json!({
        "files": files,
        "tests": tests,
        "passed": tests.len() - failed,
        "failed": failed,
        "duration_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    answer(global, &document, verdicts);
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn shown(file: &str, verdict: &Verdict) -> Value {
    json!({
        "file": file,
        "line": verdict.line,
        "name": verdict.name,
        "passed": verdict.differences.is_empty(),
        "differences": verdict.differences,
    })
}

fn verdicts(document: &Value) -> String {
    let mut words = String::new();
    for test in document["tests"].as_array().into_iter().flatten() {
        let name = print::cell(&test["name"]);
        if test["passed"] == true {
            words += &format!("ok      {name}\n");
            continue;
        }
        words += &format!("FAILED  {name} ({}:{})\n", print::cell(&test["file"]), test["line"]);
        for difference in test["differences"].as_array().into_iter().flatten() {
            words += &format!("    {}\n", print::cell(&difference["path"]));
            for (sign, side) in [("-", "expected"), ("+", "found")] {
                if !difference[side].is_null() || difference["path"] == "output" {
                    words += &format!("      {sign} {side} {}\n", difference[side]);
                }
            }
        }
    }
    words + &format!("{} passed, {} failed", document["passed"], document["failed"])
}
