//! What can go wrong with durable things, told apart by what the caller should do.

use flow::RunId;
use std::path::PathBuf;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the unit relied on is no longer so; nothing of it was written. Read again, decide again.
    #[error("what was expected of {what} is no longer so")]
    Conflict { what: &'static str },
    /// The run is no longer the caller's (its lease ran out, it was cancelled, somebody else has it): drop it.
    #[error("{run} is no longer held under epoch {epoch}")]
    Fenced { run: RunId, epoch: u64 },
    /// There is no such thing.
    #[error("no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    /// The thing is there, but in a state that does not allow this.
    #[error("{name} is {state}: {detail}")]
    State { name: String, state: String, detail: &'static str },
    /// The caller asked for more than a named limit allows, or for something that makes no sense.
    #[error("{0}")]
    Refused(String),
    /// Another process owns the data directory.
    #[error("data directory {} is in use by process {holder}", path.display())]
    Locked { path: PathBuf, holder: String },
    /// The master key is not the one that this data was sealed with, or it cannot be read.
    #[error("master key: {0}")]
    Key(String),
    /// A sealed secret does not open: other key, other place, or changed bytes.
    #[error("the credentials of {0} do not open: they were changed, moved or sealed with another key")]
    Unsealed(String),
    /// The database was written by a newer version of the program.
    #[error("the database has schema {found}, this program knows up to {known}: use a newer program")]
    Newer { found: i64, known: i64 },
    /// The disk is full: nothing was written, later attempts may succeed.
    #[error("no space left for {0}")]
    Full(&'static str),
    /// The database cannot be asked at the moment: nothing was done, later attempts may succeed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database went away while it committed: nobody knows whether it did. Whoever asks reads what is there.
    #[error("the database went away in mid-commit, it is not known whether this is stored")]
    Unsettled,
    /// The database refused a statement: a defect.
    #[error("the database refused a statement: {0}")]
    Statement(String),
    /// The committer is gone (shut down, or stopped by a failed commit): nothing is written any more.
    #[error("the store no longer accepts writes")]
    Closed,
    /// Stored bytes that do not decode.
    #[error("stored {what} does not decode: {detail}")]
    Corrupt { what: &'static str, detail: String },
    /// The database itself failed.
    #[error("database: {0}")]
    Database(rusqlite::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full("the database"),
            _ => Self::Database(error),
        }
    }
}

impl Error {
    /// Nothing was written and nothing is broken: the same write may go through later.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }

    /// The same would fail again: what was asked for, or what is stored, is at fault.
    pub fn lasts(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NotFound { .. } | Self::Statement(_) | Self::Corrupt { .. })
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    pub(crate) fn corrupt(what: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
