//! The command line: what can be asked, and how answers are shown. Every command but `serve`, `sandbox` and
//! `demo` is a few REST calls; [`crate::client`] finds the server to ask.

mod approvals;
mod backup;
mod connection;
mod connector;
mod doctor;
mod events;
mod flow;
mod key;
mod runs;
mod template;
mod trial;
mod verify;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::client::{Client, Failure};
use crate::{demo, sandbox, serve};

/// How a command ended. The numbers are a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what was asked.
    Done,
    /// 1: it did not.
    Failed,
    /// 2: what was asked makes no sense.
    Usage,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        })
    }
}

/// Bad usage that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Tributary automates subscription revenue: what happens in Stripe, made right everywhere else.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Start here:
  tributary demo                     a month of billing in seconds, no account needed
  tributary serve                    run the server
  tributary connection add stripe    connect an account
  tributary template list            see the ready-made flows

Exit codes: 0 done, 1 it failed, 2 bad usage.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Print one JSON document on stdout; logs stay on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// The data directory; the server's socket, token and database lie there
    #[arg(long, global = true, env = "TRIBUTARY_DATA", default_value = "tributary-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Keep everything in PostgreSQL: postgres://user:password@host:5432/database. Then the data directory holds this
    /// node's key, token, socket and name
    #[arg(long, global = true, env = "TRIBUTARY_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Speak to a server elsewhere instead, for example https://tributary.example.com (its token in $TRIBUTARY_TOKEN)
    #[arg(long, global = true, env = "TRIBUTARY_SERVER", value_name = "URL")]
    pub server: Option<url::Url>,
    /// A directory of further templates, beside the built-in ones
    #[arg(long, global = true, value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// A directory of further connectors (manifests, *.yaml), beside the built-in ones
    #[arg(long, global = true, env = "TRIBUTARY_CONNECTORS", value_name = "DIR")]
    pub connectors: Option<PathBuf>,
    /// Programs that flows may start on this machine, with its user's rights: `shell`, `container` (docker or podman),
    /// `container=/path/to/podman`. None without it
    #[arg(long, global = true, env = "TRIBUTARY_ALLOW_RUN", value_name = "KIND", value_delimiter = ',')]
    pub allow_run: Vec<script::Allowed>,
}

impl Global {
    /// What flows can call here.
    pub fn catalog(&self) -> anyhow::Result<connect::Catalog> {
        crate::node::catalog(self.connectors.as_deref(), &self.allow_run)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A month of billing in seconds, against simulated Stripe, ChartMogul and Slack
    Demo(demo::Args),
    /// Run the server: receive webhooks, run flows, answer the REST API
    Serve(serve::Args),
    /// Run only the simulated Stripe, ChartMogul and Slack
    Sandbox(sandbox::Args),
    /// Accounts that flows may use
    #[command(subcommand)]
    Connection(connection::Command),
    /// What can be connected, and the operations each connector offers
    #[command(subcommand)]
    Connector(connector::Command),
    /// Ready-made flows
    #[command(subcommand)]
    Template(template::Command),
    /// Check, deploy and control flows
    #[command(subcommand)]
    Flow(flow::Command),
    /// Live through simulated months under every kind of fault, and see that a flow converges
    Verify(verify::Verify),
    /// What came in, and what became of it
    #[command(subcommand)]
    Events(events::Command),
    /// What flows did, step by step
    #[command(subcommand)]
    Runs(runs::Command),
    /// What flows ask people, and deciding it
    #[command(subcommand)]
    Approvals(approvals::Command),
    Doctor(doctor::Doctor),
    /// The master key that credentials are sealed by
    #[command(subcommand)]
    Key(key::Command),
    Backup(backup::Backup),
    Restore(backup::Restore),
    /// Run one script, told on standard input; the server starts it for each script of a flow
    #[command(hide = true)]
    Worker,
}

/// Does what was asked and tells how it ended; errors are printed here and nowhere else.
pub async fn run(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let outcome = match command {
        Command::Demo(args) => demo::run(args, &global).await.map(|good| match good {
            true => Exit::Done,
            false => Exit::Failed,
        }),
        Command::Serve(args) => serve::run(&global, args).await,
        Command::Sandbox(args) => sandbox::run(&global, args).await,
        Command::Connection(command) => connection::run(&global, command).await,
        Command::Connector(command) => connector::run(&global, command).await,
        Command::Template(command) => template::run(&global, command).await,
        Command::Flow(command) => flow::run(&global, command).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Events(command) => events::run(&global, command).await,
        Command::Runs(command) => runs::run(&global, command).await,
        Command::Approvals(command) => approvals::run(&global, command).await,
        Command::Key(command) => key::run(&global, command).await,
        Command::Doctor(args) => doctor::run(&global, args).await,
        Command::Backup(args) => backup::backup(&global, args).await,
        Command::Restore(args) => backup::restore(&global, args).await,
        // It needs no executor, and is over before there is one.
        Command::Worker => Ok(Exit::Usage),
    };
    outcome.unwrap_or_else(|error| explain(&global, &error))
}

/// An error and what caused it, each said once: some name their cause themselves.
fn words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for told in error.chain().map(ToString::to_string) {
        match words.is_empty() {
            true => words = told,
            false if words.ends_with(&told) => {}
            false => words = format!("{words}: {told}"),
        }
    }
    words
}

/// Says what went wrong on stderr and, with `--json`, as the one document on stdout.
fn explain(global: &Global, error: &anyhow::Error) -> Exit {
    let failure = error.downcast_ref::<Failure>();
    eprintln!("error: {}", words(error));
    if let Some(Failure::Problem { document, .. }) = failure {
        for line in diagnostics(document) {
            eprintln!("  {line}");
        }
    }
    if global.json {
        let document = match failure {
            Some(Failure::Problem { document, .. }) => document.clone(),
            _ => {
                serde_json::json!({"title": "The command failed", "detail": words(error), "code": "failed"})
            }
        };
        println!("{document}");
    }
    if error.is::<Usage>() { Exit::Usage } else { Exit::Failed }
}

/// The lines of a problem's `diagnostics` member: `file:line:column: message`.
fn diagnostics(document: &Value) -> Vec<String> {
    let list = document["diagnostics"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|d| {
            let place = format!("{}:{}:{}", d["file"].as_str().unwrap_or("-"), d["line"], d["column"]);
            let suggestion = d["suggestion"].as_str().map(|s| format!(" ({s})")).unwrap_or_default();
            format!("{place}: {}{suggestion}", d["message"].as_str().unwrap_or("is not right"))
        })
        .collect()
}

/// One answer: the document with `--json`, otherwise the words made of it.
pub fn answer(global: &Global, document: &Value, words: impl FnOnce(&Value) -> String) {
    let text = if global.json { document.to_string() } else { words(document).trim_end().to_owned() };
    // Whoever reads only the beginning (`| head`) has read what they wanted.
    writeln!(std::io::stdout(), "{text}").ok();
}

/// `key=value` pairs of an option that may be given several times.
fn pairs(option: &str, given: &[String]) -> Result<Vec<(String, String)>, Usage> {
    given
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Usage(format!("{option} {pair}: write it as {option} name=value"))),
        })
        .collect()
}

/// `/v1/events` and the like with the filters that were given.
fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A name as one path segment.
fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A server for a command that looks at or changes what is there.
async fn open(global: &Global) -> anyhow::Result<Client> {
    Client::open(global, false).await
}

/// A server for a command that may be the first one ever: it makes the data directory.
async fn open_or_create(global: &Global) -> anyhow::Result<Client> {
    Client::open(global, true).await
}
