//! `tributary key …`

use clap::Subcommand;
use serde_json::json;

use super::{Exit, Global, answer, open};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put another master key in the place of the present one, while the server serves
    #[command(after_help = "Example:
  tributary key rotate

The key seals the data key of each connection's credentials and tokens; those are sealed anew, and the old
key opens nothing any more, nor do backups that were made before open with the new one: keep the old key
for as long as you keep them. If it is cut off, run it again. Where several servers share a database, copy
the file `key` to the data directories of the others afterwards: until then they can open nothing new, and
change no connection.")]
    Rotate,
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    let Command::Rotate = command;
    let document = open(global).await?.post("/v1/keys/rotate", json!({})).await?;
    answer(global, &document, |d| {
        let mut words = format!("There is a new master key; {} envelopes are sealed by it.", d["resealed"]);
        if d["shared"] == true {
            words += "\nCopy the file `key` of this data directory to those of the other servers.";
        }
        words
    });
    Ok(Exit::Done)
}
