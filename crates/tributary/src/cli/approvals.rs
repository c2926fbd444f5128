//! `tributary approvals …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, Global, Usage, answer, open, segment, with_query};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what flows ask people, newest first
    #[command(after_help = "Examples:
  tributary approvals list
  tributary approvals list --all --flow refunds --json")]
    List(List),
    /// Show one question: what is asked, who answered what, when and from where, and the links to decide
    #[command(after_help = "Example:\n  tributary approvals show appr_01j…")]
    Show {
        /// The question's id
        approval: String,
    },
    /// Choose `approve`
    #[command(after_help = "Examples:
  tributary approvals approve appr_01j…
  tributary approvals approve appr_01j… --by ann --comment 'checked with the bank'")]
    Approve(Decide),
    /// Choose `reject`
    #[command(after_help = "Example:\n  tributary approvals reject appr_01j… --comment 'wrong amount'")]
    Reject(Decide),
    /// Choose one of the question's own choices
    #[command(after_help = "Example:\n  tributary approvals decide appr_01j… later --by ann")]
    Decide {
        #[command(flatten)]
        decide: Decide,
        /// The choice
        choice: String,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Those that are decided, expired or dropped, too
    #[arg(long, conflicts_with = "status")]
    all: bool,
    /// Only with this status: open, decided, expired, dropped [default: open]
    #[arg(long)]
    status: Option<String>,
    /// Only of this flow
    #[arg(long)]
    flow: Option<String>,
    /// Only of this run
    #[arg(long)]
    run: Option<String>,
    /// How many at most [default: 50]
    #[arg(long)]
    limit: Option<u32>,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "decision")]
pub struct Decide {
    /// The question's id
    approval: String,
    /// Who decides [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List(filter) => {
            let status = if filter.all { None } else { Some(filter.status.unwrap_or("open".to_owned())) };
            let path = with_query(
                "/v1/approvals",
                &[
                    ("status", status),
                    ("flow", filter.flow),
                    ("run", filter.run),
                    ("limit", filter.limit.map(|n| n.to_string())),
                    ("cursor", filter.cursor),
                ],
            );
            answer(global, &open(global).await?.get(&path).await?, list);
        }
        Command::Show { approval } => {
            let path = format!("/v1/approvals/{}", segment(&approval));
            answer(global, &open(global).await?.get(&path).await?, show);
        }
        Command::Approve(args) => decide(global, args, "approve").await?,
        Command::Reject(args) => decide(global, args, "reject").await?,
        Command::Decide { decide: args, choice } => decide(global, args, &choice).await?,
    }
    Ok(Exit::Done)
}

async fn decide(global: &Global, args: Decide, choice: &str) -> anyhow::Result<()> {
    let by = args.by.or_else(|| std::env::var("USER").ok()).filter(|by| !by.trim().is_empty());
    let by = by.ok_or_else(|| Usage("say who decides: --by NAME".to_owned()))?;
    let client = open(global).await?;
    let body = json!({"choice": choice, "by": by, "comment": args.comment, "command": true});
    let document = client.post(&format!("/v1/approvals/{}/decide", segment(&args.approval)), body).await?;
    let note = client.offline_note();
    answer(global, &document, |document| match document["choice"].as_str() {
        Some(choice) => format!("{} is decided: {choice}.{note}", args.approval),
        None => format!("Taken; {} still waits for others.", args.approval),
    });
    Ok(())
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["approvals"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| {
            let people: Vec<&str> =
                a["assignees"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            vec![
                print::cell(&a["id"]),
                print::cell(&a["title"]),
                match a["choice"].as_str() {
                    Some(choice) => format!("{} ({choice})", print::cell(&a["status"])),
                    None => print::cell(&a["status"]),
                },
                if people.is_empty() { "anybody".to_owned() } else { people.join(", ") },
                print::cell(&a["flow"]),
                print::time(&a["deadline"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "nothing is asked: no flow waits for people".to_owned();
    }
    let mut words = print::table(&["approval", "title", "status", "for", "flow", "until"], &rows);
    if let Some(cursor) = document["next"].as_str() {
        words += &format!("\nmore: --cursor {cursor}");
    }
    words
}

fn show(document: &Value) -> String {
    let names = |member: &str| -> String {
        let names: Vec<&str> =
            document[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(", ") }
    };
    let mut words = format!("{}\n", print::cell(&document["title"]));
    if let Some(body) = document["body"].as_str() {
        words += &format!("{}\n", body.trim_end());
    }
    words.push('\n');
    for (label, value) in [
        ("approval", print::cell(&document["id"])),
        ("status", print::cell(&document["status"])),
        ("decided", print::cell(&document["choice"])),
        ("choices", names("choices")),
        ("for", names("assignees")),
        ("needed", print::cell(&document["needed"])),
        ("asked by", print::cell(&document["requester"])),
        ("flow", print::cell(&document["flow"])),
        ("run", print::cell(&document["run"])),
        ("since", print::time(&document["created_at"])),
        ("until", print::time(&document["deadline"])),
        ("then", print::cell(&document["otherwise"])),
        ("told", print::cell(&document["told"])),
    ] {
        if value != "-" {
            words += &format!("{label:<12}{value}\n");
        }
    }
    for decision in document["decisions"].as_array().into_iter().flatten() {
        words += &format!(
            "\n{} · {} chose {} · by {}{}\n",
            print::time(&decision["at"]),
            print::cell(&decision["by"]),
            print::cell(&decision["choice"]),
            print::cell(&decision["via"]),
            decision["origin"].as_str().map(|origin| format!(" from {origin}")).unwrap_or_default(),
        );
        if let Some(comment) = decision["comment"].as_str() {
            words += &format!("  {comment}\n");
        }
    }
    for link in document["links"].as_array().into_iter().flatten() {
        let address = link["url"].as_str().or(link["path"].as_str()).unwrap_or_default();
        words += &format!("\nlink for {}: {address}\n", link["who"].as_str().unwrap_or("anybody"));
    }
    words
}
