//! Deployed flows. Every deployment is a revision that stays: a run keeps the one it began with.

use flow::WorkspaceId;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::row::Row;
use crate::stats::{NODE, counter};
use crate::unit::{By, Lock, values};
use crate::{Error, MAX_PAGE, Result, Store, Unit};

/// What is to be deployed.
#[derive(Clone, Debug)]
pub struct NewFlow {
    pub name: String,
    /// The document's own version.
    pub version: String,
    /// The document.
    pub text: String,
    /// Setting → value, complete.
    pub settings: Value,
    /// Connection name in the document → name of a connection here.
    pub connections: BTreeMap<String, String>,
}

/// A deployment of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    pub workspace: WorkspaceId,
    pub name: String,
    /// 1, 2, 3, … in order of deployment.
    pub revision: u32,
    pub version: String,
    pub text: String,
    pub settings: Value,
    pub connections: BTreeMap<String, String>,
    pub deployed_at: Timestamp,
    /// How the revision came about, where it was not simply deployed: `rollback to 2`.
    pub note: Option<String>,
    /// Whether new runs wait until it is resumed. A property of the flow, not of the revision.
    pub paused: bool,
    /// Whether a folder deployed it, and removes it once it is gone there. A property of the flow.
    pub folder: bool,
}

/// Deployments and removals that take effect together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub deploy: Vec<NewFlow>,
    /// Names of flows to take out of use.
    pub remove: Vec<String>,
    /// Whether what is deployed belongs to a folder from now on.
    pub folder: bool,
    /// How the new revisions came about.
    pub note: Option<String>,
}

/// What a deployment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deployed {
    pub revision: u32,
    /// False if the very same was deployed already.
    pub changed: bool,
}

const REVISION: &str =
    "SELECT max(revision) AS revision FROM flow_revisions WHERE workspace = ?1 AND name = ?2";
const ADD: &str = "INSERT INTO flow_revisions (workspace, name, revision, version, text, settings, connections, \
    deployed_at, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const SET_CURRENT: &str = "INSERT INTO flows (workspace, name, revision, paused, folder) VALUES (?1, ?2, ?3, 0, ?4) \
    ON CONFLICT (workspace, name) DO UPDATE SET revision = excluded.revision, folder = excluded.folder";
const ADOPT: &str = "UPDATE flows SET folder = ?3 WHERE workspace = ?1 AND name = ?2";
const REMOVE: &str = "DELETE FROM flows WHERE workspace = ?1 AND name = ?2";
const PAUSE: &str = "UPDATE flows SET paused = ?3 WHERE workspace = ?1 AND name = ?2";
/// Runs that have begun go on; a run that has not loses its turn until the flow is resumed.
const HOLD_TURNS: &str = "UPDATE runs SET turn = 0 WHERE workspace = ?1 AND flow = ?2 AND status = 'queued' \
    AND turn = 1 AND epoch = 0";
const GIVE_TURNS: &str = "UPDATE runs SET turn = 1 WHERE turn = 0 AND seq IN (SELECT min(line.seq) FROM runs AS line \
    WHERE line.workspace = ?1 AND line.flow = ?2 AND line.status = 'queued' GROUP BY line.lane) \
    AND NOT EXISTS (SELECT 1 FROM runs AS busy WHERE busy.workspace = ?1 AND busy.flow = ?2 \
    AND busy.lane = runs.lane AND busy.turn = 1)";

/// A revision with what is known of its flow; `paused` is null for a flow that was removed.
macro_rules! select {
    () => {
        "SELECT r.workspace, r.name, r.revision, r.version, r.text, r.settings, r.connections, r.deployed_at, \
         r.note, f.paused, f.folder FROM flow_revisions AS r "
    };
}
macro_rules! current {
    ($condition:literal) => {
        concat!(
            select!(),
            "JOIN flows AS f ON f.workspace = r.workspace AND f.name = r.name AND f.revision = r.revision ",
            $condition,
            " ORDER BY f.workspace, f.name"
        )
    };
}
const CURRENT: &str = current!("WHERE f.workspace = ?1 AND f.name = ?2");
const CURRENT_OF: &str = current!("WHERE f.workspace = ?1");
const CURRENT_ALL: &str = current!("");
const OF_NAME: &str = concat!(
    select!(),
    "LEFT JOIN flows AS f ON f.workspace = r.workspace AND f.name = r.name \
     WHERE r.workspace = ?1 AND r.name = ?2 AND (?3 IS NULL OR r.revision = ?3) ORDER BY r.revision DESC LIMIT ?4"
);

/// A change is tried so often when other nodes deploy the same flows at the same moment.
const CHANGE_ATTEMPTS: u32 = 4;

impl NewFlow {
    /// Whether this is what is deployed.
    pub fn is(&self, flow: &Flow) -> bool {
        flow.version == self.version
            && flow.text == self.text
            && flow.settings == self.settings
            && flow.connections == self.connections
    }
}

impl Store {
    /// Makes this the flow of its name from now on, as a new revision unless the very same is current.
    pub async fn deploy_flow(&self, ws: &WorkspaceId, flow: NewFlow, now: Timestamp) -> Result<Deployed> {
        let change = Change { deploy: vec![flow], ..Change::default() };
        let deployed = self.change_flows(ws, change, now).await?;
        deployed.into_iter().next().ok_or(Error::Conflict { what: "the flow" })
    }

    /// Deploys and removes, all of it in one unit; answers for each deployment, in order. A revision is added unless
    /// the very same is current. A removed flow's runs are finished, its revisions stay.
    pub async fn change_flows(
        &self,
        ws: &WorkspaceId,
        change: Change,
        now: Timestamp,
    ) -> Result<Vec<Deployed>> {
        for _ in 1..CHANGE_ATTEMPTS {
            match self.try_change(ws, &change, now).await {
                // Another node deployed meanwhile: what is current is read again.
                Err(Error::Conflict { .. }) => {}
                other => return other,
            }
        }
        self.try_change(ws, &change, now).await
    }

    async fn try_change(&self, ws: &WorkspaceId, change: &Change, now: Timestamp) -> Result<Vec<Deployed>> {
        let (mut unit, mut deployed) = (Unit::new(), Vec::with_capacity(change.deploy.len()));
        for flow in &change.deploy {
            let current = self.flow(ws, &flow.name).await?;
            if let Some(current) = current.filter(|current| flow.is(current)) {
                if current.folder != change.folder {
                    unit = unit.one(ADOPT, values![ws, &flow.name, change.folder]);
                }
                deployed.push(Deployed { revision: current.revision, changed: false });
                continue;
            }
            let latest = self.first(REVISION, values![ws, &flow.name]).await?;
            let latest: Option<u32> = latest.map_or(Ok(None), |row| row.get("revision"))?;
            let revision = latest.unwrap_or_default() + 1;
            let settings = json("settings", &flow.settings)?;
            let connections = json("connections", &flow.connections)?;
            let (name, version, text) = (&flow.name, &flow.version, &flow.text);
            let note = change.note.as_ref();
            unit = unit
                .one(ADD, values![ws, name, revision, version, text, settings, connections, now, note])
                .one(SET_CURRENT, values![ws, name, revision, change.folder]);
            deployed.push(Deployed { revision, changed: true });
        }
        for name in &change.remove {
            unit = unit
                .locking(Lock::Flow { workspace: ws.as_str().into(), flow: name.as_str().into() })
                .one(REMOVE, values![ws, name])
                .then(GIVE_TURNS, values![ws, name]);
        }
        if !unit.statements().is_empty() {
            self.commit(unit.tally(NODE, counter::GENERATION, By::Fixed(1))).await?;
        }
        Ok(deployed)
    }

    /// A flow as it is deployed now.
    pub async fn flow(&self, ws: &WorkspaceId, name: &str) -> Result<Option<Flow>> {
        self.first(CURRENT, values![ws, name]).await?.as_ref().map(flow_of).transpose()
    }

    /// A flow as it was deployed once, even if it has been removed since.
    pub async fn flow_revision(&self, ws: &WorkspaceId, name: &str, revision: u32) -> Result<Option<Flow>> {
        self.first(OF_NAME, values![ws, name, revision, 1_u32]).await?.as_ref().map(flow_of).transpose()
    }

    /// Every deployed flow of a workspace, as it is now, by name.
    pub async fn flows(&self, ws: &WorkspaceId) -> Result<Vec<Flow>> {
        self.rows(CURRENT_OF, values![ws]).await?.iter().map(flow_of).collect()
    }

    /// Every deployed flow of every workspace.
    pub async fn all_flows(&self) -> Result<Vec<Flow>> {
        self.rows(CURRENT_ALL, Vec::new()).await?.iter().map(flow_of).collect()
    }

    /// The latest revisions of a flow, newest first.
    pub async fn revisions(&self, ws: &WorkspaceId, name: &str) -> Result<Vec<Flow>> {
        let params = values![ws, name, None::<u32>, MAX_PAGE as u64];
        self.rows(OF_NAME, params).await?.iter().map(flow_of).collect()
    }

    /// Lets new runs of a flow wait. Events go on being dispatched to it, and runs that have begun are finished.
    pub async fn pause_flow(&self, ws: &WorkspaceId, name: &str) -> Result<()> {
        let unit = Unit::new().one(PAUSE, values![ws, name, true]).then(HOLD_TURNS, values![ws, name]);
        self.change(ws, unit, name).await
    }

    /// Lets the runs that waited begin.
    pub async fn resume_flow(&self, ws: &WorkspaceId, name: &str) -> Result<()> {
        let unit = Unit::new().one(PAUSE, values![ws, name, false]).then(GIVE_TURNS, values![ws, name]);
        self.change(ws, unit, name).await
    }

    /// Takes a flow out of use: no event reaches it any more. Its runs are finished, its revisions stay.
    pub async fn remove_flow(&self, ws: &WorkspaceId, name: &str) -> Result<()> {
        let unit = Unit::new().one(REMOVE, values![ws, name]).then(GIVE_TURNS, values![ws, name]);
        self.change(ws, unit, name).await
    }

    async fn change(&self, ws: &WorkspaceId, unit: Unit, name: &str) -> Result<()> {
        let unit = unit.locking(Lock::Flow { workspace: ws.as_str().into(), flow: name.into() });
        match self.commit(unit.tally(NODE, counter::GENERATION, By::Fixed(1))).await {
            Err(Error::Conflict { .. }) => Err(Error::not_found("flow", name)),
            other => other.map(|_| ()),
        }
    }
}

fn json(what: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::corrupt(what, error))
}

fn flow_of(row: &Row) -> Result<Flow> {
    let settings: String = row.get("settings")?;
    let connections: String = row.get("connections")?;
    Ok(Flow {
        workspace: row.get("workspace")?,
        name: row.get("name")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        text: row.get("text")?,
        settings: serde_json::from_str(&settings).map_err(|error| Error::corrupt("settings", error))?,
        connections: serde_json::from_str(&connections)
            .map_err(|error| Error::corrupt("connections", error))?,
        deployed_at: row.get("deployed_at")?,
        note: row.get("note")?,
        paused: row.get::<Option<bool>>("paused")?.unwrap_or_default(),
        folder: row.get::<Option<bool>>("folder")?.unwrap_or_default(),
    })
}
