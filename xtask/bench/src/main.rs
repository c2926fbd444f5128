//! Measures the shipped binary: W1, a signed webhook that becomes a branch, a computation and an HTTP POST.
//! `cargo xtask bench` builds everything and starts this.
//!
//! The server under test is a process of its own on a throwaway data directory; the load generator and the sink are
//! two threads of this process, so that what each takes of the processors can be told apart.
//!
//! Start at [`measure`] for the phases, [`load`] for the generator, [`sink`] for the far end.

mod bare;
mod cluster;
mod event;
mod load;
mod measure;
mod process;
mod report;
mod sink;
mod subject;
mod wire;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures how fast events become effects")]
#[command(after_help = "Examples:
  cargo xtask bench                        a table, with figures of others beside it
  cargo xtask bench --json > bench.json    one document
  cargo xtask bench --rounds 1 --seconds 2 a quick look")]
pub struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Print one JSON document on stdout; progress is on stderr either way
    #[arg(long)]
    json: bool,
    /// The binary under test
    #[arg(long, value_name = "FILE", default_value = "target/release/tributary")]
    binary: PathBuf,
    /// How long each round loads the server
    #[arg(long, value_name = "N", default_value_t = 3)]
    seconds: u64,
    /// Rounds of the throughput figures; the best one counts, since other programs only ever slow it down
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Connections of the load generator
    #[arg(long, value_name = "N", default_value_t = 32)]
    connections: usize,
    /// Events per second while the time from end to end is measured
    #[arg(long, value_name = "N", default_value_t = 20)]
    rate: u64,
    /// For how long that is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    rate_seconds: u64,
    /// Only with the embedded database
    #[arg(long, conflicts_with = "postgres")]
    sqlite: bool,
    /// Only with PostgreSQL; without either, both where PostgreSQL is installed
    #[arg(long)]
    postgres: bool,
    /// Where the throwaway data lies; its disk decides what a synced write takes [default: the system's]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Keep the server under load for this long instead of measuring, and print its process id: for a profiler. On
    /// SQLite, unless --postgres is given
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
}

#[derive(Subcommand)]
enum Role {
    /// The server to compare with: the same HTTP stack, answers each body with itself
    #[command(hide = true)]
    Bare,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Role::Bare) = args.role {
        return bare::serve();
    }
    if let Some(seconds) = args.hold {
        let cluster = args.postgres.then(|| cluster::Cluster::start(args.scratch.as_deref())).transpose()?;
        return measure::hold(&args, cluster.as_ref(), seconds);
    }
    let mut found = Vec::new();
    if !args.postgres {
        found.push(("SQLite", measure::all(&args, None)?));
    }
    match (args.sqlite, cluster::Cluster::start(args.scratch.as_deref())) {
        (true, _) => {}
        (false, Ok(cluster)) => found.push(("PostgreSQL", measure::all(&args, Some(&cluster))?)),
        (false, Err(error)) if args.postgres => return Err(error),
        (false, Err(error)) => eprintln!("bench: without PostgreSQL: {error:#}"),
    }
    if args.json {
        println!("{}", report::document(&found));
    } else {
        println!("{}", report::table(&found));
    }
    Ok(())
}
