//! Connections with their credentials opened, kept as long as the stored ones do not change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connect::auth::Lender;
use connect::{Connection, Manifest, Secret};
use flow::{Fault, WorkspaceId};
use store::Store;

use crate::fault;
use crate::limits::CONNECTIONS_CACHED_MAX;

/// Opened connections, good for one generation of what is stored.
#[derive(Default)]
pub struct Connections {
    opened: Mutex<Opened>,
}

/// Why a connection cannot be used.
pub enum NotOpen {
    /// The store did not answer.
    Store(store::Error),
    /// It is missing, or not as it should be.
    Fault(Fault),
}

impl NotOpen {
    /// As the failure of whoever wanted it.
    pub fn into_fault(self, name: &str) -> Fault {
        match self {
            NotOpen::Store(error) => fault::connection(format!("connection `{name}`: {error}")),
            NotOpen::Fault(fault) => fault,
        }
    }
}

/// A generation, and the connections of it by (workspace, name).
type Opened = (u64, BTreeMap<(WorkspaceId, String), Arc<Connection>>);

impl Connections {
    /// The connection of this name, opened again if any connection was changed since.
    pub async fn open(
        &self,
        store: &Store,
        workspace: &WorkspaceId,
        name: &str,
        lender: Option<&Lender>,
    ) -> Result<Arc<Connection>, NotOpen> {
        let generation = store.generation().await.map_err(NotOpen::Store)?;
        let key = (workspace.clone(), name.to_owned());
        if let (seen, opened) = &*self.lock()
            && *seen == generation
            && let Some(connection) = opened.get(&key)
        {
            return Ok(connection.clone());
        }
        let stored = store.connection(workspace, name).await.map_err(NotOpen::Store)?;
        let missing = || NotOpen::Fault(fault::connection(format!("there is no connection `{name}`")));
        let mut connection = connection(stored.ok_or_else(missing)?).map_err(NotOpen::Fault)?;
        connection.access = lender.and_then(|lend| lend(workspace, &connection));
        let connection = Arc::new(connection);
        let mut opened = self.lock();
        // Read before the connection was: what changed in between is opened again.
        if opened.0 != generation || opened.1.len() >= CONNECTIONS_CACHED_MAX {
            *opened = (generation, BTreeMap::new());
        }
        opened.1.insert(key, connection.clone());
        Ok(connection)
    }

    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stored connection as `connect` takes it.
pub(crate) fn connection(stored: store::Connection) -> Result<Connection, Fault> {
    let store::Connection { info, credentials } = stored;
    let base_url = match info.base_url.as_deref().map(str::parse) {
        None => None,
        Some(Ok(url)) => Some(url),
        Some(Err(error)) => {
            return Err(fault::connection(format!("connection `{}`: base_url: {error}", info.name)));
        }
    };
    Ok(Connection {
        name: info.name,
        connector: info.connector,
        live: info.live,
        base_url,
        credentials: credentials
            .iter()
            .map(|(name, secret)| (name.to_owned(), Secret::new(secret)))
            .collect(),
        access: None,
    })
}

/// Whether a connection can serve calls of this connector.
pub fn check(connection: &Connection, manifest: &Manifest) -> Result<(), Fault> {
    let problems = manifest.problems(connection);
    if problems.is_empty() { Ok(()) } else { Err(fault::connection(problems.join("; "))) }
}
