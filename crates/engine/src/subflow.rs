//! Runs that a run starts: `run: workflow`.
//!
//! | the run that is asked for | is |
//! |---|---|
//! | not there | made, in the unit that lets its end through to whoever waits for it |
//! | at work | waited for |
//! | over | read |
//!
//! Its id follows from the effect's key: the same after a crash, and when an event is replayed.

use flow::chance::Rng;
use flow::journal::{Entry, Outcome};
use flow::{Fault, RunId};
use ring::digest;
use serde_json::json;
use std::sync::Arc;
use store::{NewRun, RunStatus, place_of};

use crate::deployments::Deployment;
use crate::effect::{Call, Performed};
use crate::fault;
use crate::journal::Lost;
use crate::key::effect_key;
use crate::limits::{HOPS_MAX, REVISIONS_MAX};
use crate::run::Run;

/// Bytes that follow from a text.
struct Digest(Vec<u8>);

impl Rng for Digest {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(self.0.iter().cycle()).for_each(|(byte, drawn)| *byte = *drawn);
    }
}

impl Run<'_> {
    /// Starts a run of another flow, and waits for its end where that is asked for.
    pub async fn start_flow(&self, call: &Call) -> Result<Performed, Lost> {
        let (node, claim) = (self.node, self.claim);
        let ended = |result| Performed::Done { result, attempts: 1, started_at: node.clock.now() };
        let awaited = call.with["await"].as_bool().unwrap_or(true);
        let key = effect_key(&self.origin, &call.at, self.history().again(&call.at));
        let drawn = digest::digest(&digest::SHA256, key.as_bytes()).as_ref().to_vec();
        let child = RunId::random(&mut Digest(drawn));
        let found = node.read(|| node.store.run(&claim.workspace, &child)).await.map_err(Lost::Store)?;
        let new = match found {
            Some(_) => None,
            None => match self.new_run(call, child.clone()).await? {
                Ok(new) => Some(new),
                Err(fault) => return Ok(ended(Err(fault))),
            },
        };
        let at = awaited.then_some(&call.at);
        if awaited {
            self.journal.waits();
        }
        let store = &self.held.store;
        let start = || {
            let now = node.clock.now();
            store.start_child(&claim.workspace, (&claim.run, claim.epoch), at, &child, new.clone(), now)
        };
        self.hold(start).await?;
        node.runs.notify_one();
        if !awaited {
            return Ok(ended(Ok(json!({"run": child.as_str()}))));
        }
        if let Some(outcome) = self.outcome_of(&child).await? {
            let (now, place) = (node.clock.now(), place_of(&call.at));
            self.hold(|| store.signal(&claim.workspace, &claim.run, &place, "ended", &outcome, now)).await?;
        }
        Ok(Performed::Await { until: None })
    }

    /// The end of a run that is over.
    async fn outcome_of(&self, child: &RunId) -> Result<Option<Outcome>, Lost> {
        let (node, workspace) = (self.node, &self.claim.workspace);
        let run = node.read(|| node.store.run(workspace, child)).await.map_err(Lost::Store)?;
        let status = run.map(|run| run.status);
        if status == Some(RunStatus::Cancelled) {
            return Ok(Some(Outcome::Fault(Fault::runtime("the run was cancelled"))));
        }
        if !matches!(status, Some(RunStatus::Completed | RunStatus::Failed)) {
            return Ok(None);
        }
        let end = node.read(|| node.store.journal_end(workspace, child)).await.map_err(Lost::Store)?;
        Ok(end.and_then(|entry| match entry {
            Entry::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }))
    }

    /// The run to be made, of the flow and version that are asked for.
    async fn new_run(&self, call: &Call, id: RunId) -> Result<Result<NewRun, Fault>, Lost> {
        let hops = self.hops().await? + 1;
        if hops > HOPS_MAX {
            let why =
                format!("flows started each other {HOPS_MAX} times in a row: they may do so without end");
            return Ok(Err(fault::limit(why)));
        }
        let text = |name: &str| call.with[name].as_str().unwrap_or_default().to_owned();
        let (namespace, name, version) = (text("namespace"), text("name"), text("version"));
        let (revision, deployment) = match self.revision(&name, &version).await? {
            Some(found) => found,
            None => {
                let why = format!("no flow `{name}` of version {version} is deployed");
                return Ok(Err(Fault::configuration(why)));
            }
        };
        if deployment.document.namespace() != namespace {
            let is = deployment.document.namespace();
            let why = format!("flow `{name}` is of namespace `{is}`, not `{namespace}`");
            return Ok(Err(Fault::configuration(why)));
        }
        let input = call.with.get("input").cloned().unwrap_or_else(|| json!({}));
        let lane = match deployment.document.lane_key(&input, &deployment.settings) {
            Ok(lane) => lane,
            Err(fault) => return Ok(Err(fault::key(fault, "concurrency.key"))),
        };
        let on_failure = deployment
            .document
            .concurrency()
            .map_or(store::OnFailure::Continue, |concurrency| concurrency.on_failure);
        let (store, workspace, now) = (&self.held.store, &self.claim.workspace, self.node.clock.now());
        // It need not be the version that dispatch knows.
        self.hold(|| store.note_listened(workspace, deployment.document.listens())).await?;
        self.hold(|| store.note_hops(workspace, id.as_str(), hops, now)).await?;
        Ok(Ok(NewRun { id, flow: name, revision, lane, on_failure, input }))
    }

    /// The newest revision of a flow that has a version; `latest` is the present one.
    async fn revision(&self, name: &str, version: &str) -> Result<Option<(u32, Arc<Deployment>)>, Lost> {
        let (node, workspace) = (self.node, &self.claim.workspace);
        let flows = node.read(|| node.store.flows(workspace)).await.map_err(Lost::Store)?;
        let Some(mut flow) = flows.into_iter().find(|flow| flow.name == name) else { return Ok(None) };
        for _ in 0..REVISIONS_MAX {
            if version == "latest" || flow.version == version {
                let revision = flow.revision;
                return Ok(node.deployments.of(&flow).ok().map(|deployment| (revision, deployment)));
            }
            let before = flow.revision.saturating_sub(1);
            let found = node.read(|| node.store.flow_revision(workspace, name, before)).await;
            match found.map_err(Lost::Store)? {
                Some(found) => flow = found,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// How far the run is from what came from outside: through runs that started runs, and events that runs emitted.
    pub async fn hops(&self) -> Result<u32, Lost> {
        let (node, claim) = (self.node, self.claim);
        if let Some(batch) = &self.batch {
            if !batch.sources().iter().any(|source| source.contains(':')) {
                return Ok(0);
            }
            let farthest = || node.store.hops_of_gathered(&claim.workspace, &claim.run);
            return node.read(farthest).await.map_err(Lost::Store);
        }
        let id = match &claim.event {
            // What connections bring has names of connections for its source.
            Some(event) if !event.connection.contains(':') => return Ok(0),
            Some(event) => event.id.as_str(),
            None => claim.run.as_str(),
        };
        node.read(|| node.store.hops(&claim.workspace, id)).await.map_err(Lost::Store)
    }
}
