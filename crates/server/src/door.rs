//! What a webhook address leads to, opened once: reading and unsealing it at every delivery would cost more than the
//! rest of an acknowledgement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use connect::{Connection, Secret};
use flow::HookId;
use store::Hook;

use crate::App;
use crate::problem::Problem;
use crate::v1::connections;

/// Doors kept open; beyond that all are opened anew as they are knocked at.
const DOORS_MAX: usize = 4096;

/// A webhook address with its connection.
pub struct Door {
    pub hook: Hook,
    pub connection: Connection,
    /// What its deliveries may be signed with.
    pub secrets: Vec<Secret>,
}

/// Open doors by address, good for one generation of what is stored.
#[derive(Default)]
pub struct Doors {
    open: Mutex<(u64, BTreeMap<String, Arc<Door>>)>,
}

impl Doors {
    /// The door of an address; none if nobody was given it, or its connection takes no webhooks.
    pub async fn at(&self, app: &App, address: &str) -> Result<Option<Arc<Door>>, Problem> {
        // Read before the rest is: what changes in between is read again.
        let generation = app.store().generation().await?;
        if let (seen, open) = &*self.open.lock().unwrap_or_else(PoisonError::into_inner)
            && *seen == generation
            && let Some(door) = open.get(address)
        {
            return Ok(Some(door.clone()));
        }
        let Some(door) = read(app, address).await? else { return Ok(None) };
        let door = Arc::new(door);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.0 != generation || open.1.len() >= DOORS_MAX {
            *open = (generation, BTreeMap::new());
        }
        open.1.insert(address.to_owned(), door.clone());
        Ok(Some(door))
    }
}

async fn read(app: &App, address: &str) -> Result<Option<Door>, Problem> {
    let Some(hook) = app.store().hook(&HookId::new(address)).await? else { return Ok(None) };
    let stored = app.store().connection(&hook.workspace, &hook.connection).await?;
    let Some(stored) = stored else { return Ok(None) };
    let manifest = app.catalog().get(&stored.info.connector);
    let Some(webhook) = manifest.and_then(|manifest| manifest.webhook()) else { return Ok(None) };
    let connection = connections::opened(&stored)?;
    let secrets = webhook.secrets(&connection.credentials);
    Ok(Some(Door { hook, connection, secrets }))
}
