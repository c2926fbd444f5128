//! Connections: accounts with vendors, their credentials sealed; and the webhook addresses that lead to them.

use flow::chance::Rng;
use flow::{ConnectionId, HookId, WorkspaceId};
use jiff::Timestamp;
use serde::Serialize;

use crate::row::Row;
use crate::seal::Sealed;
use crate::stats::{NODE, counter};
use crate::unit::{By, values};
use crate::{Error, MasterKey, NewGrant, Result, Secrets, Store, Unit, budgets, grants, polls, seal};

/// A connection to be made or replaced (by name).
#[derive(Debug)]
pub struct NewConnection {
    pub name: String,
    /// The connector's slug.
    pub connector: String,
    pub live: bool,
    pub base_url: Option<String>,
    /// Every credential, webhook signing secrets too.
    pub credentials: Secrets,
}

/// What changes together with a connection.
#[derive(Debug, Default)]
pub struct Along {
    /// What was granted is over: it was granted to other credentials, or by another address.
    pub over: bool,
    /// What it is granted from now on.
    pub grant: Option<NewGrant>,
    /// A webhook address that it is given.
    pub hook: Option<HookId>,
    /// An address of its own, and the vendor's name for it.
    pub registered: Option<(HookId, String)>,
}

/// A connection without its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionInfo {
    pub id: ConnectionId,
    pub name: String,
    pub connector: String,
    pub live: bool,
    pub base_url: Option<String>,
    /// The names of the credentials that are set.
    pub credentials: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A connection with its credentials opened.
#[derive(Debug)]
pub struct Connection {
    pub info: ConnectionInfo,
    pub credentials: Secrets,
}

/// A webhook address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    pub id: HookId,
    pub workspace: WorkspaceId,
    pub connection: String,
    pub created_at: Timestamp,
    /// The vendor's name for it, where its API registered it.
    pub registered: Option<String>,
}

const PUT: &str = "INSERT INTO connections (workspace, name, id, connector, live, base_url, names, sealed, \
    created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) \
    ON CONFLICT (workspace, name) DO UPDATE SET connector = excluded.connector, live = excluded.live, \
    base_url = excluded.base_url, names = excluded.names, sealed = excluded.sealed, updated_at = excluded.updated_at";
const ONE: &str = "SELECT id, name, connector, live, base_url, names, sealed, created_at, updated_at \
    FROM connections WHERE workspace = ?1 AND name = ?2";
const LIST: &str = "SELECT id, name, connector, live, base_url, names, created_at, updated_at \
    FROM connections WHERE workspace = ?1 ORDER BY name";
const REMOVE: &str = "DELETE FROM connections WHERE workspace = ?1 AND name = ?2";
const PUT_HOOK: &str = "INSERT INTO hooks (id, workspace, connection, created_at) VALUES (?1, ?2, ?3, ?4)";
const HOOK: &str = "SELECT id, workspace, connection, created_at, registered FROM hooks WHERE id = ?1";
const HOOKS: &str = "SELECT id, workspace, connection, created_at, registered FROM hooks \
    WHERE workspace = ?1 ORDER BY connection, created_at, id";
const REGISTER: &str = "UPDATE hooks SET registered = ?3 WHERE workspace = ?1 AND id = ?2";
const ALL: &str = "SELECT workspace, id, name, connector, live, base_url, names, created_at, updated_at \
    FROM connections ORDER BY workspace, name";
const REMOVE_HOOKS: &str = "DELETE FROM hooks WHERE workspace = ?1 AND connection = ?2";

impl Store {
    /// Makes a connection, or replaces the one of its name (its id and its hooks stay). The credentials given are
    /// all that it has from now on.
    pub async fn put_connection(
        &self,
        ws: &WorkspaceId,
        connection: NewConnection,
        rng: &mut dyn Rng,
        now: Timestamp,
    ) -> Result<ConnectionInfo> {
        self.put_connection_along(ws, connection, &Along::default(), rng, now).await
    }

    /// The same, together with what changes with it.
    pub async fn put_connection_along(
        &self,
        ws: &WorkspaceId,
        connection: NewConnection,
        along: &Along,
        rng: &mut dyn Rng,
        now: Timestamp,
    ) -> Result<ConnectionInfo> {
        let NewConnection { name, connector, live, base_url, credentials } = connection;
        let names: Vec<&str> = credentials.names().collect();
        let names =
            serde_json::to_string(&names).map_err(|error| Error::corrupt("credential names", error))?;
        let id = ConnectionId::random(rng);
        let put = |key: &MasterKey| {
            let sealed = seal::seal(key, Sealed::Credentials, ws, &name, &credentials, rng)?;
            let put = values![ws, &name, &id, &connector, live, base_url.as_ref(), &names, sealed, now];
            let mut unit = Unit::new().one(PUT, put).tally(NODE, counter::GENERATION, By::Fixed(1));
            unit = match along.over {
                true => unit.then(grants::END, values![ws, &name, now]),
                false => unit.then(grants::FORGIVE, values![ws, &name]),
            };
            if let Some(grant) = &along.grant {
                unit = grants::put(unit, key, (ws, &name), grant, rng, now)?;
            }
            if let Some(hook) = &along.hook {
                unit = unit.one(PUT_HOOK, values![hook, ws, &name, now]);
            }
            if let Some((hook, registered)) = &along.registered {
                unit = unit.one(REGISTER, values![ws, hook, registered]);
            }
            Ok(unit)
        };
        self.commit_sealed(put).await?;
        let stored = self.first(ONE, values![ws, &name]).await?;
        info_of(&stored.ok_or_else(|| Error::not_found("connection", name))?)
    }

    /// Every connection of a workspace, by name.
    pub async fn connections(&self, ws: &WorkspaceId) -> Result<Vec<ConnectionInfo>> {
        self.rows(LIST, values![ws]).await?.iter().map(info_of).collect()
    }

    /// A connection with its credentials. Fails closed: an envelope that does not open is an error, not absence.
    pub async fn connection(&self, ws: &WorkspaceId, name: &str) -> Result<Option<Connection>> {
        let Some(row) = self.first(ONE, values![ws, name]).await? else { return Ok(None) };
        let credentials = self.open_sealed(Sealed::Credentials, ws, name, row.bytes("sealed")?).await?;
        Ok(Some(Connection { info: info_of(&row)?, credentials }))
    }

    /// Forgets a connection, its credentials, its hooks and what it was granted.
    pub async fn remove_connection(&self, ws: &WorkspaceId, name: &str) -> Result<()> {
        let unit = Unit::new()
            .one(REMOVE, values![ws, name])
            .then(REMOVE_HOOKS, values![ws, name])
            .then(grants::REMOVE, values![ws, name])
            .then(polls::REMOVE, values![ws, name])
            .then(budgets::REMOVE, values![ws, name])
            .then(budgets::REMOVE_NODES, values![ws, name])
            .tally(NODE, counter::GENERATION, By::Fixed(1));
        match self.commit(unit).await {
            Err(Error::Conflict { .. }) => Err(Error::not_found("connection", name)),
            other => other.map(|_| ()),
        }
    }

    /// Gives a connection a webhook address.
    pub async fn put_hook(
        &self,
        ws: &WorkspaceId,
        id: &HookId,
        connection: &str,
        now: Timestamp,
    ) -> Result<()> {
        let unit = Unit::new().one(PUT_HOOK, values![id, ws, connection, now]).tally(
            NODE,
            counter::GENERATION,
            By::Fixed(1),
        );
        self.commit(unit).await.map(|_| ())
    }

    /// What a webhook address leads to, in whatever workspace.
    pub async fn hook(&self, id: &HookId) -> Result<Option<Hook>> {
        self.first(HOOK, values![id]).await?.as_ref().map(hook_of).transpose()
    }

    /// Notes the vendor's name for an address, or that the vendor does not have it any more.
    pub async fn register_hook(&self, ws: &WorkspaceId, id: &HookId, name: Option<&str>) -> Result<()> {
        self.commit(Unit::new().one(REGISTER, values![ws, id, name])).await.map(drop)
    }

    /// Every connection of every workspace.
    pub async fn all_connections(&self) -> Result<Vec<(WorkspaceId, ConnectionInfo)>> {
        let rows = self.rows(ALL, Vec::new()).await?;
        rows.iter().map(|row| Ok((row.get("workspace")?, info_of(row)?))).collect()
    }

    /// Every webhook address of a workspace, by connection.
    pub async fn hooks(&self, ws: &WorkspaceId) -> Result<Vec<Hook>> {
        self.rows(HOOKS, values![ws]).await?.iter().map(hook_of).collect()
    }
}

fn info_of(row: &Row) -> Result<ConnectionInfo> {
    let names: String = row.get("names")?;
    Ok(ConnectionInfo {
        id: row.get("id")?,
        name: row.get("name")?,
        connector: row.get("connector")?,
        live: row.get("live")?,
        base_url: row.get("base_url")?,
        credentials: serde_json::from_str(&names)
            .map_err(|error| Error::corrupt("credential names", error))?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn hook_of(row: &Row) -> Result<Hook> {
    Ok(Hook {
        id: row.get("id")?,
        workspace: row.get("workspace")?,
        connection: row.get("connection")?,
        created_at: row.get("created_at")?,
        registered: row.get("registered")?,
    })
}
