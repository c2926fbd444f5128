//! `tributary template …`

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Exit, Global, answer, open, open_or_create, pairs, segment};
use crate::print;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the ready-made flows
    #[command(after_help = "Example:\n  tributary template list")]
    List,
    /// Show one: what it does, its settings, its text
    #[command(after_help = "Example:\n  tributary template show stripe-to-chartmogul")]
    Show {
        /// The template's slug
        slug: String,
    },
    /// Deploy one as a flow
    #[command(after_help = "Examples:
  tributary template install stripe-to-chartmogul
  tributary template install failed-payment-alert --set channel=#billing --connection slack=slack-ops

A template names the connections it needs (`stripe`, `slack`); --connection says which of yours to use
where the names differ. A value of --set is read as JSON where it is JSON, otherwise as text.")]
    Install(Install),
    /// Run the tests that come with them
    #[command(after_help = "Examples:
  tributary template test                         of all that have tests
  tributary template test failed-payment-alert --json
  tributary template test mine --templates ./templates

What a test may say is in `tributary flow test --help`. Exit code 1: a test failed.")]
    Test {
        /// Templates' slugs [default: all]
        #[arg(value_name = "SLUG")]
        slugs: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Install {
    /// The template's slug
    slug: String,
    /// A setting of the template; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Which of your connections stands for one the template names; may be given several times
    #[arg(long, value_name = "NAME=MINE")]
    connection: Vec<String>,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List => answer(global, &open(global).await?.get("/v1/templates").await?, list),
        Command::Show { slug } => {
            let document = open(global).await?.get(&format!("/v1/templates/{}", segment(&slug))).await?;
            answer(global, &document, show);
        }
        Command::Test { slugs } => return super::trial::test_templates(global, slugs).await,
        Command::Install(args) => {
            let body = json!({
                "settings": settings(&args.set)?,
                "connections": connections(&args.connection)?,
            });
            let client = open_or_create(global).await?;
            let document =
                client.post(&format!("/v1/templates/{}/install", segment(&args.slug)), body).await?;
            answer(global, &document, super::flow::deployed);
        }
    }
    Ok(Exit::Done)
}

/// `--set` pairs: JSON where it is JSON, text otherwise.
pub fn settings(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let pairs = pairs("--set", given)?;
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, serde_json::from_str(&value).unwrap_or(Value::String(value))))
        .collect())
}

/// `--connection` pairs.
pub fn connections(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    Ok(pairs("--connection", given)?.into_iter().map(|(name, mine)| (name, mine.into())).collect())
}

fn list(document: &Value) -> String {
    let rows: Vec<Vec<String>> = document["templates"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| {
            let needs: Vec<&str> =
                t["connections"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            vec![
                print::cell(&t["slug"]),
                print::cell(&t["version"]),
                needs.join(", "),
                print::cell(&t["title"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no templates here".to_owned();
    }
    print::table(&["slug", "version", "connections", "what it does"], &rows)
}

fn show(document: &Value) -> String {
    let mut words = format!("{}\n{}\n", print::cell(&document["title"]), print::cell(&document["summary"]));
    let settings: Vec<Vec<String>> = document["settings"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, s)| vec![name.clone(), print::cell(&s["default"]), print::cell(&s["description"])])
        .collect();
    if !settings.is_empty() {
        words += &format!("\n{}", print::table(&["setting", "default", "meaning"], &settings));
    }
    words += &format!("\n{}\n", document["text"].as_str().unwrap_or_default().trim_end());
    words += &format!("\nNext: tributary template install {}", print::cell(&document["slug"]));
    words
}
