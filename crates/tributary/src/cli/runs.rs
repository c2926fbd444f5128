//! `tributary runs …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, Global, answer, open, segment, with_query};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what flows did, newest first
    #[command(after_help = "Examples:
  tributary runs list --status failed
  tributary runs list --flow stripe-to-chartmogul --limit 200 --json")]
    List(List),
    /// Show one run: every step with input, output, attempts and error
    #[command(after_help = "Example:\n  tributary runs show run_01j…")]
    Show {
        /// The run's id
        run: String,
    },
    /// Let failed runs try again, from the step that failed
    #[command(after_help = "Example:\n  tributary runs retry run_01j…")]
    Retry {
        /// The runs' ids
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<String>,
    },
    /// End runs that are not finished; what they did stays done
    #[command(after_help = "Example:\n  tributary runs cancel run_01j…")]
    Cancel {
        /// The runs' ids
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only of this flow
    #[arg(long)]
    flow: Option<String>,
    /// Only with this status: queued, running, waiting, completed, failed, cancelled
    #[arg(long)]
    status: Option<String>,
    /// Only those that this event started or joined
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// How many at most [default: 50]
    #[arg(long)]
    limit: Option<u32>,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    match command {
        Command::List(filter) => {
            let path = with_query(
                "/v1/runs",
                &[
                    ("flow", filter.flow),
                    ("status", filter.status),
                    ("event", filter.event),
                    ("limit", filter.limit.map(|n| n.to_string())),
                    ("cursor", filter.cursor),
                ],
            );
            answer(global, &client.get(&path).await?, list);
        }
        Command::Show { run } => {
            answer(global, &client.get(&format!("/v1/runs/{}", segment(&run))).await?, show);
        }
        Command::Retry { runs } => {
            let note = client.offline_note();
            change(global, &client, &runs, "retry", &format!("will try again.{note}")).await?;
        }
        Command::Cancel { runs } => change(global, &client, &runs, "cancel", "is cancelled.").await?,
    }
    Ok(Exit::Done)
}

async fn change(
    global: &Global,
    client: &crate::client::Client,
    runs: &[String],
    action: &str,
    said: &str,
) -> anyhow::Result<()> {
    let mut changed = Vec::new();
    for run in runs {
        changed.push(client.post(&format!("/v1/runs/{}/{action}", segment(run)), json!({})).await?);
    }
    answer(global, &json!({"runs": changed}), |_| {
        runs.iter().map(|run| format!("{run} {said}")).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| {
            vec![
                print::cell(&r["id"]),
                print::cell(&r["flow"]),
                status(r),
                print::time(&r["created_at"]),
                print::time(&r["finished_at"]),
                print::cell(&r["error"]["detail"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no runs: no event has started a flow yet. `tributary events list` shows what came in"
            .to_owned();
    }
    let mut words = print::table(&["run", "flow", "status", "created", "finished", "error"], &rows);
    if let Some(cursor) = document["next"].as_str() {
        words += &format!("\nmore: --cursor {cursor}");
    }
    words
}

/// A run that nobody has claimed yet waits for nothing but events.
fn status(run: &Value) -> String {
    match (run["status"].as_str(), run["epoch"].as_u64()) {
        (Some("parked"), Some(0)) => "gathering".to_owned(),
        _ => print::cell(&run["status"]),
    }
}

/// How many events it works for, where they are several.
fn gathered(run: &Value) -> String {
    let count = run["events"].as_array().map_or(0, Vec::len);
    if count > 1 { count.to_string() } else { "-".to_owned() }
}

fn show(document: &Value) -> String {
    let mut words = String::new();
    for (label, value) in [
        ("run", print::cell(&document["id"])),
        (
            "flow",
            format!("{} (version {})", print::cell(&document["flow"]), print::cell(&document["version"])),
        ),
        ("status", status(document)),
        ("events", gathered(document)),
        ("lane", print::cell(&document["lane"])),
        ("created", print::time(&document["created_at"])),
        ("finished", print::time(&document["finished_at"])),
        ("goes on", print::time(&document["ready_at"])),
    ] {
        if value == "-" {
            continue;
        }
        words += &format!("{label:<12}{value}\n");
    }
    if !document["error"].is_null() {
        words += &format!(
            "\nfailed: {}\n{}",
            print::cell(&document["error"]["title"]),
            print::block(&document["error"], 2)
        );
    }
    for (index, step) in document["steps"].as_array().into_iter().flatten().enumerate() {
        words += &self::step(index + 1, step);
    }
    words
}

fn step(number: usize, step: &Value) -> String {
    let mut words = format!(
        "\n{number}. {} · {} · {} · {} · {}\n",
        print::cell(&step["step"]),
        print::cell(&step["operation"]),
        print::cell(&step["status"]),
        plural(step["attempts"].as_u64().unwrap_or(1), "attempt"),
        step["took_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
    );
    words += &format!("   at {}\n", print::cell(&step["path"]));
    for (label, member) in
        [("input", "input"), ("output", "output"), ("error", "error"), ("problems", "problems")]
    {
        let value = &step[member];
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            words += &format!("   {label}:\n{}", print::block(value, 5));
        }
    }
    words
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
