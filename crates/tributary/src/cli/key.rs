//! `tributary key …`

use clap::Subcommand;
use serde_json::json;

use super::{Exit, Global, answer, open};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put another master key in the place of the present one, while the server serves
    #[command(after_help = "Example:
  tributary key rotate
  tributary key rotate --copied

The key seals the data key of each connection's credentials and tokens; those are sealed anew. Backups that
were made before open with the old key only: it stays in the data directory as `key.….old`, to be kept as
long as they are and deleted then. If it is cut off, run it again.

A database on PostgreSQL may have several servers: there the command only makes the new key at first, in the
file `key.new`. Copy that to the data directories of the other servers, then run it with --copied. A server
that has no such copy can open nothing then: its runs wait until it has.")]
    Rotate {
        /// Every other server of the database has the new key
        #[arg(long)]
        copied: bool,
    },
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    let Command::Rotate { copied } = command;
    let document = open(global).await?.post("/v1/keys/rotate", json!({"copied": copied})).await?;
    answer(global, &document, |d| {
        match d["prepared"] == true {
        true => "The new master key lies in `key.new` of this server's data directory, and seals nothing yet. Copy that file to \
            the data directories of the other servers of this database, then: tributary key rotate --copied"
            .to_owned(),
        false => format!(
            "There is a new master key; {} envelopes are sealed by it. The old one lies beside it (`key.….old`): keep it as \
                 long as backups that were made before.",
            d["resealed"]
        ),
    }
    });
    Ok(Exit::Done)
}
