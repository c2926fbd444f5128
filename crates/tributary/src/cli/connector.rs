//! `tributary connector …`

use clap::Subcommand;
use serde_json::Value;

use super::{Exit, Global, answer, open, segment};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what can be connected
    #[command(after_help = "Example:\n  tributary connector list")]
    List,
    /// Show one connector: its credentials and operations
    #[command(after_help = "Example:\n  tributary connector show stripe")]
    Show {
        /// The connector's slug
        slug: String,
    },
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    let client = open(global).await?;
    match command {
        Command::List => answer(global, &client.get("/v1/connectors").await?, list),
        Command::Show { slug } => {
            answer(global, &client.get(&format!("/v1/connectors/{}", segment(&slug))).await?, show);
        }
    }
    Ok(Exit::Done)
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["connectors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let webhook = if c["webhook"] == true { "webhook" } else { "-" };
            vec![
                print::cell(&c["slug"]),
                print::cell(&c["title"]),
                webhook.to_owned(),
                print::cell(&c["operation_count"]),
                print::cell(&c["version"]),
            ]
        })
        .collect();
    print::table(&["slug", "title", "triggers", "operations", "version"], &rows)
}

fn show(document: &Value) -> String {
    let text = |value: &Value, name: &str| print::cell(&value[name]);
    let mut words = format!(
        "{} ({}), version {}\n",
        text(document, "title"),
        text(document, "slug"),
        text(document, "version")
    );
    let fields: Vec<Vec<String>> = document["credentials"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| {
            let required = if f["required"] == true { "required" } else { "optional" };
            vec![text(f, "name"), required.to_owned(), text(f, "title")]
        })
        .collect();
    words += &format!("\n{}", print::table(&["credential", "", "what it is"], &fields));
    let operations: Vec<Vec<String>> = document["operations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|o| vec![text(o, "name"), text(o, "effects"), text(o, "summary")])
        .collect();
    words += &format!("\n{}", print::table(&["operation", "effects", "what it does"], &operations));
    words
}
