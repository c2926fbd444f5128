//! What vendors granted to connections: tokens that end. One renewal at a time, whatever the number of nodes, and none
//! whose answer could be lost without a trace.
//!
//! | what happens | begun, answered | tokens |
//! |---|---|---|
//! | [`Store::begin_renewal`], durable before the vendor is asked | 1, 0 | the old ones |
//! | the answer is kept: [`Store::renewed`] | 1, 1 | the new ones |
//! | the vendor refuses: [`Store::not_renewed`] | 1, 1 | the old ones |
//! | no answer came, or the node died | 1, 0 | the old ones: the next renewal tries them, and knows ([`Grant::unanswered`]) |

use flow::WorkspaceId;
use flow::chance::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::seal::Sealed;
use crate::stats::{NODE, counter};
use crate::unit::{By, values};
use crate::{Error, MasterKey, Result, Secrets, Store, Unit, seal};

/// Tokens to be kept.
#[derive(Debug)]
pub struct NewGrant {
    pub tokens: Secrets,
    /// What may be done with them, where the vendor said so.
    pub scopes: Option<Vec<String>>,
    pub expires_at: Option<Timestamp>,
}

/// One renewal: of which grant, and the how-manieth of all that were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub n: u64,
    pub begun: u64,
}

/// What a connection was granted.
#[derive(Debug)]
pub struct Grant {
    /// How often it was granted; 0: a first renewal was begun and not answered.
    pub n: u64,
    pub tokens: Option<Secrets>,
    pub scopes: Option<Vec<String>>,
    pub expires_at: Option<Timestamp>,
    /// Renewals that were begun so far.
    pub begun: u64,
    /// How many of them, at the end, have no answer that anybody knows.
    pub unanswered: u64,
    /// Why it was not renewed last, and when that was.
    pub problem: Option<(String, Timestamp)>,
    pub updated_at: Timestamp,
}

const ONE: &str = "SELECT n, sealed, scopes, expires_at, begun, answered, problem, problem_at, updated_at FROM grants \
    WHERE workspace = ?1 AND connection = ?2";
/// Only of a connection that is there: one that comes later under the same name is another one.
const PUT: &str = "INSERT INTO grants (workspace, connection, n, sealed, scopes, expires_at, begun, answered, \
    renew_until, problem, problem_at, updated_at) \
    SELECT ?1, ?2, 1, ?3, ?4, ?5, 0, 0, NULL, NULL, NULL, ?6 FROM connections WHERE workspace = ?1 AND name = ?2 \
    ON CONFLICT (workspace, connection) DO UPDATE SET n = grants.n + 1, sealed = excluded.sealed, \
    scopes = excluded.scopes, expires_at = excluded.expires_at, answered = grants.begun, renew_until = NULL, \
    problem = NULL, problem_at = NULL, updated_at = excluded.updated_at";
/// Only of a connection that is there, of the tokens that were seen, and if nobody else is at it.
const BEGIN: &str = "INSERT INTO grants (workspace, connection, n, sealed, scopes, expires_at, begun, answered, \
    renew_until, problem, problem_at, updated_at) \
    SELECT ?1, ?2, 0, NULL, NULL, NULL, 1, 0, /*clock*/?4 + ?5, NULL, NULL, ?4 FROM connections \
    WHERE workspace = ?1 AND name = ?2 \
    ON CONFLICT (workspace, connection) DO UPDATE SET begun = grants.begun + 1, renew_until = excluded.renew_until \
    WHERE grants.n = ?3 AND (grants.renew_until IS NULL OR grants.renew_until <= /*clock*/?4)";
const RENEWED: &str = "UPDATE grants SET n = n + 1, sealed = ?4, scopes = ?5, expires_at = ?6, answered = begun, \
    renew_until = NULL, problem = NULL, problem_at = NULL, updated_at = ?7 \
    WHERE workspace = ?1 AND connection = ?2 AND n = ?3 AND begun >= ?8";
const NOT_RENEWED: &str = "UPDATE grants SET renew_until = NULL, problem = ?4, problem_at = ?5, \
    answered = CASE WHEN ?6 = 1 THEN begun ELSE answered END \
    WHERE workspace = ?1 AND connection = ?2 AND n = ?3 AND begun = ?7";
/// What was granted to other credentials is over. The number fences off a renewal that is under way.
pub(crate) const END: &str = "UPDATE grants SET n = n + 1, sealed = NULL, scopes = NULL, expires_at = NULL, \
    answered = begun, renew_until = NULL, problem = NULL, problem_at = NULL, updated_at = ?3 \
    WHERE workspace = ?1 AND connection = ?2";
/// Other credentials deserve another try.
pub(crate) const FORGIVE: &str =
    "UPDATE grants SET problem = NULL, problem_at = NULL WHERE workspace = ?1 AND connection = ?2";
pub(crate) const REMOVE: &str = "DELETE FROM grants WHERE workspace = ?1 AND connection = ?2";

impl Grant {
    /// The renewal that was begun last.
    pub fn turn(&self) -> Turn {
        Turn { n: self.n, begun: self.begun }
    }
}

impl Store {
    /// What a connection was granted, if anything was. Fails closed, as [`Store::connection`] does.
    pub async fn grant(&self, ws: &WorkspaceId, connection: &str) -> Result<Option<Grant>> {
        let Some(row) = self.first(ONE, values![ws, connection]).await? else { return Ok(None) };
        let tokens = match row.maybe_bytes("sealed")? {
            Some(sealed) => Some(self.open_sealed(Sealed::Grant, ws, connection, sealed).await?),
            None => None,
        };
        let scopes: Option<String> = row.get("scopes")?;
        let scopes = scopes.map(|text| serde_json::from_str(&text)).transpose();
        let (problem, problem_at): (Option<String>, Option<Timestamp>) =
            (row.get("problem")?, row.get("problem_at")?);
        Ok(Some(Grant {
            n: row.get("n")?,
            tokens,
            scopes: scopes.map_err(|error| Error::corrupt("scopes", error))?,
            expires_at: row.get("expires_at")?,
            begun: row.get("begun")?,
            unanswered: row.get::<u64>("begun")?.saturating_sub(row.get("answered")?),
            problem: problem.zip(problem_at),
            updated_at: row.get("updated_at")?,
        }))
    }

    /// Keeps what a person agreed to, in the place of whatever was granted before. A conflict: there is no such connection.
    pub async fn put_grant(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        grant: NewGrant,
        rng: &mut dyn Rng,
        now: Timestamp,
    ) -> Result<()> {
        let put = |key: &MasterKey| {
            let unit = Unit::new().tally(NODE, counter::GENERATION, By::Fixed(1));
            put(unit, key, (ws, connection), &grant, rng, now)
        };
        self.commit_sealed(put).await.map(drop)
    }

    /// Takes the renewal of the `n`th grant on: nobody else does until the lease is over. A conflict: somebody else
    /// has it, or there is a newer grant. [`Error::Key`]: this node could not store what comes of it.
    pub async fn begin_renewal(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        n: u64,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<()> {
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let begin = |_: &MasterKey| Ok(Unit::new().one(BEGIN, values![ws, connection, n, now, lease]));
        self.commit_sealed(begin).await.map(drop)
    }

    /// Keeps what the vendor granted, in the place of what there was when the renewal was begun. A conflict: there is a
    /// newer one already, or the connection was made anew. After any other error the same may be tried again: whoever drops
    /// the tokens loses them.
    pub async fn renewed(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        turn: Turn,
        grant: &NewGrant,
        rng: &mut dyn Rng,
        now: Timestamp,
    ) -> Result<()> {
        let scopes = scopes_of(grant)?;
        let renewed = |key: &MasterKey| {
            let sealed = seal::seal(key, Sealed::Grant, ws, connection, &grant.tokens, rng)?;
            let Turn { n, begun } = turn;
            let renewed = values![ws, connection, n, sealed, scopes.as_ref(), grant.expires_at, now, begun];
            Ok(Unit::new().one(RENEWED, renewed))
        };
        self.commit_sealed(renewed).await.map(drop)
    }

    /// Gives a renewal back that brought nothing, if nobody has begun another one. `answered`: the vendor said so; otherwise
    /// its answer may be lost.
    pub async fn not_renewed(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        turn: Turn,
        problem: &str,
        answered: bool,
        now: Timestamp,
    ) -> Result<()> {
        let Turn { n, begun } = turn;
        let given = values![ws, connection, n, problem, now, answered, begun];
        self.commit(Unit::new().then(NOT_RENEWED, given)).await.map(drop)
    }
}

/// Adds what puts a grant in the place of whatever was granted before.
pub(crate) fn put(
    unit: Unit,
    key: &MasterKey,
    (ws, connection): (&WorkspaceId, &str),
    grant: &NewGrant,
    rng: &mut dyn Rng,
    now: Timestamp,
) -> Result<Unit> {
    let sealed = seal::seal(key, Sealed::Grant, ws, connection, &grant.tokens, rng)?;
    Ok(unit.one(PUT, values![ws, connection, sealed, scopes_of(grant)?, grant.expires_at, now]))
}

fn scopes_of(grant: &NewGrant) -> Result<Option<String>> {
    let scopes = grant.scopes.as_ref().map(serde_json::to_string).transpose();
    scopes.map_err(|error| Error::corrupt("scopes", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [ONE, PUT, BEGIN, RENEWED, NOT_RENEWED, END, FORGIVE, REMOVE] {
            crate::database::check_plan(sql);
        }
    }
}
