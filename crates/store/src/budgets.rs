//! Budgets of requests that vendors give to connections, where several nodes spend them. By the database's clock.

use flow::WorkspaceId;
use jiff::{SignedDuration, Timestamp};

use crate::unit::values;
use crate::{Error, Result, Store, Unit};

/// A node counts as a user of a connection for so long after it took places.
const USES: SignedDuration = SignedDuration::from_secs(60);

/// Places of a budget that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How long it is until the first of them.
    pub ahead: SignedDuration,
    /// How long the vendor wants no request, if it said so.
    pub closed: Option<SignedDuration>,
    /// Nodes that use the connection, the one that asked among them.
    pub nodes: u32,
}

/// ?3: now. ?4: the time that the places take.
const TAKE: &str = "INSERT INTO budgets (workspace, connection, due, closed) VALUES (?1, ?2, /*clock*/?3 + ?4, 0) \
    ON CONFLICT (workspace, connection) DO UPDATE \
    SET due = CASE WHEN budgets.due > /*clock*/?3 THEN budgets.due ELSE /*clock*/?3 END + ?4 \
    RETURNING due - ?4 - /*clock*/?3 AS ahead, closed - /*clock*/?3 AS closed, \
    (SELECT count(*) FROM budget_nodes AS n WHERE n.workspace = ?1 AND n.connection = ?2 AND n.until > /*clock*/?3) \
    AS nodes";
/// ?5: how long it counts as a user.
const USE: &str = "INSERT INTO budget_nodes (workspace, connection, node, until) VALUES (?1, ?2, ?3, /*clock*/?4 + ?5) \
    ON CONFLICT (workspace, connection, node) DO UPDATE SET until = excluded.until";
/// Nodes that have not been here for an hour: each that starts with a new data directory has a new name.
const FORGET: &str =
    "DELETE FROM budget_nodes WHERE workspace = ?1 AND connection = ?2 AND until < /*clock*/?3 - 3600000000";
const CLOSE: &str = "INSERT INTO budgets (workspace, connection, due, closed) VALUES (?1, ?2, 0, /*clock*/?3 + ?4) \
    ON CONFLICT (workspace, connection) DO UPDATE SET closed = excluded.closed \
    WHERE budgets.closed < excluded.closed";
pub(crate) const REMOVE: &str = "DELETE FROM budgets WHERE workspace = ?1 AND connection = ?2";
pub(crate) const REMOVE_NODES: &str = "DELETE FROM budget_nodes WHERE workspace = ?1 AND connection = ?2";

impl Store {
    /// Takes so many places of a connection's budget, each of so many microseconds, for a node.
    pub async fn take_budget(
        &self,
        (ws, connection): (&WorkspaceId, &str),
        node: &str,
        (places, interval): (u32, i64),
        now: Timestamp,
    ) -> Result<Budget> {
        let time = interval.saturating_mul(i64::from(places));
        let unit = Unit::new()
            .one(USE, values![ws, connection, node, now, micros(USES)])
            .then(FORGET, values![ws, connection, now])
            .one(TAKE, values![ws, connection, now, time]);
        let returned = self.commit(unit).await?.returned;
        let row = returned.first().ok_or_else(|| Error::corrupt("budget", "nothing was answered"))?;
        let closed = SignedDuration::from_micros(row.get("closed")?);
        Ok(Budget {
            ahead: SignedDuration::from_micros(row.get("ahead")?),
            closed: Some(closed).filter(|closed| closed.is_positive()),
            nodes: row.get("nodes")?,
        })
    }

    /// Notes that the vendor wants no request of a connection for some time; a longer time that was noted stays.
    pub async fn close_budget(
        &self,
        (ws, connection): (&WorkspaceId, &str),
        wait: SignedDuration,
        now: Timestamp,
    ) -> Result<()> {
        self.commit(Unit::new().then(CLOSE, values![ws, connection, now, micros(wait)])).await.map(drop)
    }
}

fn micros(time: SignedDuration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [TAKE, USE, FORGET, CLOSE, REMOVE, REMOVE_NODES] {
            crate::database::check_plan(sql);
        }
    }
}
