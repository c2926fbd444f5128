//! Connections whose events are asked for: how far that went, and when it is due again. Who begins moves the time on, so
//! that one node asks; what was read counts once its events are durable.

use flow::WorkspaceId;
use jiff::Timestamp;

use crate::row::Row;
use crate::unit::values;
use crate::{Result, Store, Unit};

/// How asking for a connection's events stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    pub workspace: WorkspaceId,
    pub connection: String,
    /// Everything until then was read.
    pub upto: Timestamp,
    pub due_at: Timestamp,
    /// The last time that it went well.
    pub asked_at: Option<Timestamp>,
    /// Events that came in no other way.
    pub found: u64,
    /// Why it did not go well last, or what can't be had any more; and when that was.
    pub problem: Option<(String, Timestamp)>,
}

macro_rules! columns {
    () => {
        "SELECT workspace, connection, upto, due_at, asked_at, found, problem, problem_at FROM polls"
    };
}

const ALL: &str = concat!(columns!(), " ORDER BY workspace, connection");
const ONE: &str = concat!(columns!(), " WHERE workspace = ?1 AND connection = ?2");
const BEGIN: &str = "INSERT INTO polls (workspace, connection, upto, due_at, asked_at, found, problem, problem_at) \
    SELECT ?1, ?2, ?3, ?4, NULL, 0, NULL, NULL FROM connections WHERE workspace = ?1 AND name = ?2 \
    ON CONFLICT (workspace, connection) DO NOTHING";
const TAKE: &str = "UPDATE polls SET due_at = ?4 WHERE workspace = ?1 AND connection = ?2 AND due_at = ?3";
const READ: &str = "UPDATE polls SET upto = ?4, asked_at = ?5, found = found + ?6, problem = ?7, \
    problem_at = CASE WHEN ?7 IS NULL THEN NULL ELSE ?5 END \
    WHERE workspace = ?1 AND connection = ?2 AND upto = ?3";
const FAILED: &str =
    "UPDATE polls SET problem = ?3, problem_at = ?4 WHERE workspace = ?1 AND connection = ?2";
pub(crate) const REMOVE: &str = "DELETE FROM polls WHERE workspace = ?1 AND connection = ?2";

impl Store {
    /// All of them, of every workspace.
    pub async fn polls(&self) -> Result<Vec<Poll>> {
        self.rows(ALL, Vec::new()).await?.iter().map(poll_of).collect()
    }

    /// How asking for one connection's events stands.
    pub async fn poll(&self, ws: &WorkspaceId, connection: &str) -> Result<Option<Poll>> {
        self.first(ONE, values![ws, connection]).await?.as_ref().map(poll_of).transpose()
    }

    /// Has a connection's events asked for from a time on. One that is asked for already goes on as it was.
    pub async fn begin_poll(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        from: Timestamp,
        due_at: Timestamp,
    ) -> Result<()> {
        self.commit(Unit::new().then(BEGIN, values![ws, connection, from, due_at])).await.map(drop)
    }

    /// Takes the question that is due on. A conflict: somebody else has.
    pub async fn take_poll(&self, poll: &Poll, next: Timestamp) -> Result<()> {
        let taken = values![&poll.workspace, &poll.connection, poll.due_at, next];
        self.commit(Unit::new().one(TAKE, taken)).await.map(drop)
    }

    /// Notes that everything until a time was read, and is durable. `lost`: what can't be had any more. A conflict:
    /// somebody else was faster.
    pub async fn polled(
        &self,
        poll: &Poll,
        upto: Timestamp,
        found: u64,
        lost: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let read = values![&poll.workspace, &poll.connection, poll.upto, upto, now, found, lost];
        self.commit(Unit::new().one(READ, read)).await.map(drop)
    }

    /// Notes why it did not go well.
    pub async fn poll_failed(&self, poll: &Poll, problem: &str, now: Timestamp) -> Result<()> {
        let failed = values![&poll.workspace, &poll.connection, problem, now];
        self.commit(Unit::new().then(FAILED, failed)).await.map(drop)
    }
}

fn poll_of(row: &Row) -> Result<Poll> {
    let (problem, problem_at): (Option<String>, Option<Timestamp>) =
        (row.get("problem")?, row.get("problem_at")?);
    Ok(Poll {
        workspace: row.get("workspace")?,
        connection: row.get("connection")?,
        upto: row.get("upto")?,
        due_at: row.get("due_at")?,
        asked_at: row.get("asked_at")?,
        found: row.get("found")?,
        problem: problem.zip(problem_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [ONE, BEGIN, TAKE, READ, FAILED, REMOVE] {
            crate::database::check_plan(sql);
        }
    }
}
