//! The schema on PostgreSQL: the same steps as on SQLite, each in a transaction with its number, so that a start that
//! was killed in the middle is completed by the next.

use super::server::Server;
use super::session::{Failure, Session};
use super::text;
use crate::{Error, Result};

/// What a step adds to the tables that both databases have.
const BESIDE: &[&str] = &[include_str!("../schema/postgres-001.sql")];
const HISTORY: &str = include_str!("../schema/history-001.sql");
/// Nodes that start at the same moment migrate one after the other. Any number that nothing else here locks by.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7717001)";
const NOTE: &str = "INSERT INTO meta (name, value) VALUES ('schema', $1) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The steps, oldest first, in PostgreSQL's words.
pub(super) fn steps() -> Vec<String> {
    let step = |(index, main): (usize, &&str)| {
        let beside = BESIDE.get(index).copied().unwrap_or_default();
        let history = if index == 0 { text::history(HISTORY) } else { String::new() };
        format!("{}\n{beside}\n{history}", text::schema(main))
    };
    crate::schema::MAIN.iter().enumerate().map(step).collect()
}

/// Takes the steps that the database has not taken.
pub(super) async fn migrate(server: &Server, session: &Session, steps: &[String]) -> Result<()> {
    let failed = |error: Failure| server.refused(&error);
    let client = &session.client;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    loop {
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let stepped = step(session, steps, known).await;
        let end = if matches!(stepped, Ok(Ok(true))) { "COMMIT" } else { "ROLLBACK" };
        let ended = client.batch_execute(end).await;
        if !stepped.map_err(failed)?? {
            return Ok(());
        }
        ended.map_err(failed)?;
    }
}

/// Takes the next step; false if there is none.
async fn step(session: &Session, steps: &[String], known: i64) -> Result<Result<bool>, Failure> {
    let client = &session.client;
    client.batch_execute(LOCK).await?;
    let there: bool = client.query_one("SELECT to_regclass('meta') IS NOT NULL", &[]).await?.get(0);
    let mut found = 0;
    if there {
        let noted = client.query_opt("SELECT value FROM meta WHERE name = 'schema'", &[]).await?;
        let noted: String = noted.map_or_else(|| "0".to_owned(), |row| row.get(0));
        found = match noted.parse::<i64>() {
            Ok(found) => found,
            Err(error) => return Ok(Err(Error::corrupt("schema version", error))),
        };
    }
    if found > known {
        return Ok(Err(Error::Newer { found, known }));
    }
    let Some(text) = usize::try_from(found).ok().and_then(|index| steps.get(index)) else {
        return Ok(Ok(false));
    };
    client.batch_execute(text).await?;
    client.execute(NOTE, &[&(found + 1).to_string()]).await?;
    Ok(Ok(true))
}

/// The fingerprint that the database notes; this one in a new database.
pub(super) async fn noted_key(server: &Server, session: &Session, fingerprint: &str) -> Result<String> {
    let failed = |error: Failure| server.refused(&error);
    let note = "INSERT INTO meta (name, value) VALUES ('master_key', $1) ON CONFLICT (name) DO NOTHING";
    session.client.execute(note, &[&fingerprint]).await.map_err(failed)?;
    let noted = "SELECT value FROM meta WHERE name = 'master_key'";
    Ok(session.client.query_one(noted, &[]).await.map_err(failed)?.get(0))
}
