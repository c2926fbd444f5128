//! `tributary connection …`

mod authorize;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Exit, Global, Usage, answer, open, open_or_create, segment};
use crate::client::Client;
use crate::{credentials, print};
use authorize::Way;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect an account, or change the credentials of one
    #[command(after_help = "Examples:
  tributary connection add stripe                         asks for each credential
  tributary connection add stripe --name stripe-eu --live
  tributary connection add slack --from-file slack.env    name=value lines or a JSON object
  tributary connection add crm --set subdomain=acme       what is no secret; the rest is asked for
  tributary connection add hubspot                        opens the browser for your agreement
  vault read -format=json … | tributary connection add chartmogul --from-stdin

Secrets are read from a prompt, a file or stdin, never from the command line. They are stored
sealed and are never shown again. Adding a name a second time replaces the credentials given.")]
    Add(Add),
    /// Have a person let the connection in, once more or with other scopes
    #[command(after_help = "Examples:
  tributary connection authorize hubspot
  tributary connection authorize hubspot --no-browser      on a machine without one: open the address elsewhere,
                                                           and paste the address that it comes back to
  tributary connection authorize hubspot --redirect-url https://example.com/callback")]
    Authorize {
        /// The connection's name
        name: String,
        #[command(flatten)]
        way: Way,
    },
    /// Have the vendor send its events here, or no more, where its API can
    #[command(after_help = "Examples:
  tributary connection webhook stripe             registers the connection's address and keeps the signing secret
  tributary connection webhook stripe --remove")]
    Webhook {
        /// The connection's name
        name: String,
        /// Take it back
        #[arg(long)]
        remove: bool,
    },
    /// Show all connections
    #[command(after_help = "Example:\n  tributary connection list --json")]
    List,
    /// Ask the vendor whether the credentials work
    #[command(after_help = "Example:\n  tributary connection check stripe-eu")]
    Check {
        /// The connection's name
        name: String,
    },
    /// Forget a connection and its credentials
    #[command(after_help = "Example:\n  tributary connection remove stripe-eu")]
    Remove {
        /// The connection's name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// What to connect: stripe, chartmogul, slack … (see `tributary connector list`)
    connector: String,
    /// What flows call it [default: the connector's name]
    #[arg(long)]
    name: Option<String>,
    /// The account is live: real money, real customers
    #[arg(long, conflicts_with = "test")]
    live: bool,
    /// The account is a test account [default: as the key tells, else test]
    #[arg(long)]
    test: bool,
    /// Where the API answers; only for sandbox twins on this machine (http://127.0.0.1:PORT)
    #[arg(long, value_name = "URL")]
    base_url: Option<url::Url>,
    /// A field that is no secret; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Read the credentials from this file
    #[arg(long, value_name = "FILE", conflicts_with = "from_stdin")]
    from_file: Option<PathBuf>,
    /// Read the credentials from standard input
    #[arg(long)]
    from_stdin: bool,
    #[command(flatten)]
    way: Way,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    let client = match &command {
        Command::Add(_) => open_or_create(global).await?,
        _ => open(global).await?,
    };
    match command {
        Command::Add(args) => add(global, &client, args).await,
        Command::Authorize { name, way } => {
            let document = authorize::walk(&client, &name, &way).await?;
            Ok(told(global, &name, &document))
        }
        Command::Webhook { name, remove: true } => {
            client.delete(&format!("/v1/connections/{}/hook", segment(&name))).await?;
            answer(global, &json!({"registered": false, "connection": name}), |_| {
                format!("The vendor sends nothing to {name} any more.")
            });
            Ok(Exit::Done)
        }
        Command::Webhook { name, remove: false } => {
            let document =
                client.post(&format!("/v1/connections/{}/hook", segment(&name)), json!({})).await?;
            answer(global, &document, |d| {
                format!(
                    "The vendor sends its events to {}; the signing secret is stored.",
                    print::cell(&d["url"])
                )
            });
            Ok(Exit::Done)
        }
        Command::List => {
            let document = client.get("/v1/connections").await?;
            answer(global, &document, list);
            Ok(Exit::Done)
        }
        Command::Check { name } => {
            let document =
                client.post(&format!("/v1/connections/{}/check", segment(&name)), json!({})).await?;
            let good = document["ok"] == true;
            answer(global, &document, |d| {
                format!("{name}: {}{}", if good { "" } else { "does not work: " }, print::cell(&d["detail"]))
            });
            Ok(if good { Exit::Done } else { Exit::Failed })
        }
        Command::Remove { name } => {
            client.delete(&format!("/v1/connections/{}", segment(&name))).await?;
            answer(global, &json!({"removed": name}), |_| {
                format!("{name} is removed; its credentials are gone.")
            });
            Ok(Exit::Done)
        }
    }
}

async fn add(global: &Global, client: &Client, args: Add) -> anyhow::Result<Exit> {
    let connector = client.get(&format!("/v1/connectors/{}", segment(&args.connector))).await?;
    let fields = fields(&connector);
    let set = credentials::from_flags(&args.set, &fields).map_err(Usage)?;
    let asked: Vec<_> = fields.iter().filter(|field| !set.contains_key(&field.name)).cloned().collect();
    let mut given = match (&args.from_file, args.from_stdin) {
        (Some(path), _) => credentials::from_file(path)?,
        (None, true) => credentials::from_stdin()?,
        (None, false) if asked.is_empty() => Map::new(),
        (None, false) => credentials::from_prompt(&asked).map_err(|error| Usage(format!("{error:#}")))?,
    };
    given.extend(set);
    let name = args.name.unwrap_or_else(|| args.connector.clone());
    let mut body = json!({
        "connector": args.connector,
        "live": match (args.live, args.test) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            // The key tells, or what the connection was before.
            (false, false) => None,
        },
        "credentials": given,
    });
    if let Some(url) = args.base_url {
        body["base_url"] = url.as_str().into();
    }
    let document = client.put(&format!("/v1/connections/{}", segment(&name)), body).await?;
    // Somebody who agreed elsewhere brings the token.
    if connector["authorize"] == true && !given.contains_key("refresh_token") && !args.way.later {
        let agreed = authorize::walk(client, &name, &args.way).await?;
        if agreed["ok"] != true {
            return Ok(told(global, &name, &agreed));
        }
    }
    answer(global, &document, |d| added(d, &fields, &given));
    Ok(Exit::Done)
}

/// How letting a connection in went.
fn told(global: &Global, name: &str, document: &Value) -> Exit {
    let good = document["ok"] == true;
    answer(global, document, |d| {
        let words = print::cell(&d["detail"]);
        if good { format!("{words}.\n\nNext: tributary connection check {name}") } else { words }
    });
    if good { Exit::Done } else { Exit::Failed }
}

fn fields(connector: &Value) -> Vec<credentials::Field> {
    let list = connector["credentials"].as_array().cloned().unwrap_or_default();
    let text = |field: &Value, name: &str| field[name].as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|field| credentials::Field {
            name: text(field, "name"),
            title: text(field, "title"),
            help: text(field, "help"),
            secret: field["secret"] != false,
            required: field["required"] == true,
        })
        .collect()
}

fn added(document: &Value, fields: &[credentials::Field], given: &Map<String, Value>) -> String {
    let name = print::cell(&document["name"]);
    let mut words =
        format!("{name} is connected ({}, {}).\n", print::cell(&document["connector"]), mode(document));
    let hook = &document["hook"];
    if let Some(url) = hook["url"].as_str().or(hook["path"].as_str()) {
        if hook["url"].is_null() {
            words += "\nNo server is running; its public address comes before this path:";
        }
        words += &format!("\nWebhook address (keep it to yourself, and enter it at the vendor):\n  {url}\n");
        let stored: Vec<&str> =
            document["credentials"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let missing = fields
            .iter()
            .filter(|field| !stored.contains(&field.name.as_str()) && !given.contains_key(&field.name))
            .filter(|field| document["hook"]["secret_field"] == field.name.as_str())
            .map(|field| field.title.as_str());
        for title in missing {
            words += &format!(
                "\nUntil it has the {title}, every delivery is refused. When the vendor has shown it to you:\n  \
                 tributary connection add {} --name {name}{}\n",
                print::cell(&document["connector"]),
                if document["live"] == true { " --live" } else { "" },
            );
        }
    }
    words += &format!("\nNext: tributary connection check {name}");
    words
}

fn mode(connection: &Value) -> &'static str {
    if connection["live"] == true { "live" } else { "test" }
}

fn list(document: &Value) -> String {
    let connections = document["connections"].as_array().cloned().unwrap_or_default();
    if connections.is_empty() {
        return "no connections yet: `tributary connection add stripe`".to_owned();
    }
    let rows: Vec<Vec<String>> = connections
        .iter()
        .map(|c| {
            let given: Vec<&str> =
                c["credentials"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            vec![
                print::cell(&c["name"]),
                print::cell(&c["connector"]),
                mode(c).to_owned(),
                given.join(", "),
                print::cell(if c["hook"]["url"].is_string() {
                    &c["hook"]["url"]
                } else {
                    &c["hook"]["path"]
                }),
                print::cell(&c["base_url"]),
            ]
        })
        .collect();
    print::table(&["name", "connector", "mode", "credentials", "webhook", "base url"], &rows)
}
