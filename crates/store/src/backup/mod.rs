//! A copy of everything, taken while work goes on, and a data directory made from it.
//!
//! A backup is a directory, or the same in one `.tar` file: the databases as plain SQLite files, and `manifest.json`,
//! which has their lengths and checksums. All databases are as they were at one moment. The master key is left out
//! unless it is asked for: with it, whoever has the backup has every credential.
//!
//! A backup is written beside its place, verified, and renamed: a name that is there is a whole backup.

mod restore;
mod write;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::{Backend, Error, Result, Store, database, schema};

pub use restore::restore;

/// The manifest's name in a backup.
const MANIFEST: &str = "manifest.json";
/// The master key's name, in a data directory as in a backup.
const KEY: &str = "key";
/// What this version writes and reads.
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// How backups are laid out; a newer one is refused.
    pub format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The schema of the main database; one that is newer than the program's is refused.
    pub schema: i64,
    /// Everything acknowledged before this is in it.
    pub taken_at: Timestamp,
    /// Whether the master key is in it.
    pub with_key: bool,
    pub files: Vec<File>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub name: String,
    pub bytes: u64,
    /// In lower-case hex.
    pub sha256: String,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to; a name that ends in `.tar` becomes one file, any other one a directory. Must not exist.
    pub out: PathBuf,
    pub with_key: bool,
    /// Of the program.
    pub version: String,
    pub taken_at: Timestamp,
}

/// How far it is. Every byte counts twice: it is copied, then verified.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    all: AtomicU64,
}

impl Progress {
    /// Bytes done, and bytes in all as far as is known.
    pub fn bytes(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.all.load(Ordering::Relaxed).max(done))
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn expect(&self, bytes: u64) {
        self.all.store(bytes, Ordering::Relaxed);
    }
}

/// The databases as they are at one moment. Work goes on beside it; only their logs cannot be shortened meanwhile.
pub struct Snapshot {
    directory: PathBuf,
    schema: i64,
    databases: Vec<(String, Connection)>,
}

impl Store {
    /// Holds on to the present state of everything.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let Backend::Sqlite(sqlite) = &self.inner.backend else {
            return Err(Error::Refused(
                "everything is kept in PostgreSQL, whose own tools back it up: pg_dump --format=custom \
                 --file=tributary.dump \"$TRIBUTARY_DATABASE\", or base backups with WAL archiving. Keep a copy of the \
                 data directory's file `key` as well, in another place"
                    .into(),
            ));
        };
        // What moves between the hot tables and history must be in one of them.
        let _moving = sqlite.moving.lock().await;
        let directory = self.inner.directory.clone();
        let mut names = vec![database::FILE.to_owned()];
        names.extend(sqlite.history.names());
        let mut databases = Vec::with_capacity(names.len());
        let mut found = 0;
        for name in names {
            let connection = database::open_existing(&directory.join(&name))?;
            connection.execute_batch("BEGIN")?;
            // The first read of a transaction is what fixes its state.
            let version = schema::version(&connection)?;
            if name == database::FILE {
                found = version;
            }
            databases.push((name, connection));
        }
        Ok(Snapshot { directory, schema: found, databases })
    }
}
