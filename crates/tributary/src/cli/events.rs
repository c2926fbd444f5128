//! `tributary events …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, Global, answer, open, segment, with_query};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what came in, newest first
    #[command(after_help = "Examples:
  tributary events list --type stripe.invoice.paid
  tributary events list --outcome quarantined
  tributary events list --since 2026-11-01T00:00:00Z --limit 200 --json")]
    List(List),
    /// Show one event: where it came from, what it holds, what became of it
    #[command(after_help = "Example:\n  tributary events show evt_01j…")]
    Show {
        /// The event's id
        event: String,
    },
    /// Hand events to the flows once more; what was done already is not done twice
    #[command(after_help = "Example:\n  tributary events replay evt_01j…")]
    Replay {
        /// The events' ids
        #[arg(required = true, value_name = "EVENT")]
        events: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only of this type, for example stripe.invoice.paid
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only from this connection
    #[arg(long)]
    connection: Option<String>,
    /// Only with this outcome: run, joined, stale, duplicate_fact, no_match, quarantined, failed, pending
    #[arg(long)]
    outcome: Option<String>,
    /// Only received at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only received before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
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
                "/v1/events",
                &[
                    ("type", filter.kind),
                    ("connection", filter.connection),
                    ("outcome", filter.outcome),
                    ("since", filter.since),
                    ("until", filter.until),
                    ("limit", filter.limit.map(|n| n.to_string())),
                    ("cursor", filter.cursor),
                ],
            );
            answer(global, &client.get(&path).await?, list);
        }
        Command::Show { event } => {
            answer(global, &client.get(&format!("/v1/events/{}", segment(&event))).await?, show);
        }
        Command::Replay { events } => {
            let mut replayed = Vec::new();
            for event in &events {
                replayed
                    .push(client.post(&format!("/v1/events/{}/replay", segment(event)), json!({})).await?);
            }
            answer(global, &json!({"events": replayed}), |_| {
                let lines = events.iter().map(|event| format!("{event} will be handed to the flows again."));
                let mut words = lines.collect::<Vec<_>>().join("\n");
                words += client.offline_note();
                words
            });
        }
    }
    Ok(Exit::Done)
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            vec![
                print::cell(&e["id"]),
                print::time(&e["received_at"]),
                print::cell(&e["connection"]),
                print::cell(&e["type"]),
                print::cell(&e["subject"]),
                outcomes(e),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no events: nothing came in that fits. `tributary connection list` shows the webhook addresses"
            .to_owned();
    }
    let mut words = print::table(&["event", "received", "connection", "type", "subject", "outcome"], &rows);
    if let Some(cursor) = document["next"].as_str() {
        words += &format!("\nmore: --cursor {cursor}");
    }
    words
}

/// `run run_1, stale`, or `pending` where none is known yet.
fn outcomes(event: &Value) -> String {
    let outcomes: Vec<String> = event["outcomes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|o| {
            let kind = print::cell(&o["outcome"]);
            match (o["run"].as_str(), o["reason"].as_str()) {
                (Some(run), _) => format!("{kind} {run}"),
                (None, Some(reason)) => format!("{kind}: {reason}"),
                (None, None) => kind,
            }
        })
        .collect();
    if outcomes.is_empty() { print::cell(&event["state"]) } else { outcomes.join(", ") }
}

fn show(document: &Value) -> String {
    let mut words = String::new();
    for (label, value) in [
        ("event", print::cell(&document["id"])),
        ("type", print::cell(&document["type"])),
        ("connection", print::cell(&document["connection"])),
        ("subject", print::cell(&document["subject"])),
        ("happened", print::time(&document["time"])),
        ("received", print::time(&document["received_at"])),
        ("outcome", outcomes(document)),
    ] {
        words += &format!("{label:<12}{value}\n");
    }
    words += &format!("\n{}", print::block(&document["data"], 0));
    words
}
