//! The schema, as steps that are only ever added: a database of any earlier version is brought forward on opening.

use rusqlite::{Connection, TransactionBehavior};

use crate::{Error, Result};

/// The steps of the main database, oldest first. One that was released is never edited.
pub(crate) const MAIN: &[&str] = &[
    concat!(
        "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;\n",
        include_str!("schema/001-main.sql")
    ),
    include_str!("schema/002-waits.sql"),
    include_str!("schema/003-schedules.sql"),
    include_str!("schema/004-versions.sql"),
    include_str!("schema/005-approvals.sql"),
    include_str!("schema/006-awaited.sql"),
    include_str!("schema/007-grants.sql"),
    include_str!("schema/008-notices.sql"),
    include_str!("schema/009-heard.sql"),
    include_str!("schema/010-budgets.sql"),
    include_str!("schema/011-windows.sql"),
];

/// The steps of a history file.
pub(crate) const HISTORY: &[&str] = &[concat!(
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;\n",
    include_str!("schema/history-001.sql")
)];

/// Takes the steps that the database has not taken, in one transaction.
pub(crate) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    for step in steps.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES ('schema', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [known.to_string()],
    )?;
    transaction.commit()?;
    Ok(())
}

/// The step that a database is at; 0 where there is none.
pub(crate) fn version(connection: &Connection) -> Result<i64> {
    if !connection.table_exists(None, "meta")? {
        return Ok(0);
    }
    let text: String =
        connection.query_row("SELECT value FROM meta WHERE name = 'schema'", (), |row| row.get(0))?;
    text.parse().map_err(|error| Error::corrupt("schema version", error))
}
