//! A run that this node holds: what was claimed, how surely, and in which lane.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use flow::WorkspaceId;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use serde_json::Value;
use store::{ClaimedRun, Store};
use tokio::sync::OwnedSemaphorePermit;

use crate::Node;
use crate::journal::Lost;

/// Whether a claim that was sent to the committer became durable; every run of one event asks the same.
pub type Sure = Shared<BoxFuture<'static, bool>>;

/// A claimed run while it is worked on.
pub struct Held {
    pub claim: ClaimedRun,
    /// Where its writes go.
    pub store: Store,
    /// The claim, where it is not known yet to be durable.
    sure: Option<Sure>,
    /// The event as flows see it, where that was made already.
    seen: Option<Arc<Value>>,
    /// When the lease was last known to be ours.
    renewed: Mutex<Timestamp>,
    _place: OwnedSemaphorePermit,
    _lane: Option<Lane>,
}

impl Held {
    /// A run that is this node's.
    pub fn certain(node: &Arc<Node>, claim: ClaimedRun, place: OwnedSemaphorePermit) -> Held {
        Held::new(node, claim, node.store.clone(), None, None, place)
    }

    /// A run that is this node's once `sure` says so; its writes to `store` follow its claim.
    pub fn new(
        node: &Arc<Node>,
        claim: ClaimedRun,
        store: Store,
        sure: Option<Sure>,
        seen: Option<Arc<Value>>,
        place: OwnedSemaphorePermit,
    ) -> Held {
        let lane = claim.lane.as_ref().map(|lane| {
            let key = (claim.workspace.clone(), claim.flow.clone(), lane.clone());
            node.lanes.lock().insert(key.clone());
            Lane { node: node.clone(), key }
        });
        let renewed = Mutex::new(node.clock.now());
        Held { claim, store, sure, seen, renewed, _place: place, _lane: lane }
    }

    /// The lease was renewed.
    pub fn renewed(&self, now: Timestamp) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Whether another node may have taken the run over: the lease is over by now, unless it was renewed.
    pub fn may_be_lost(&self, node: &Node) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.is_shared() && node.clock.now().duration_since(renewed) > node.config.lease
    }

    /// The run's input: the event as flows see it, else what it was started with.
    pub fn input(&self) -> Arc<Value> {
        match (&self.seen, &self.claim.event) {
            (Some(seen), _) => seen.clone(),
            (None, Some(event)) => Arc::new(event.to_cloud_event().to_value()),
            (None, None) => Arc::new(self.claim.input.clone().unwrap_or_default()),
        }
    }

    /// Whether work began before the claim was known to be durable.
    pub fn is_early(&self) -> bool {
        self.sure.is_some()
    }

    /// Waits until the claim is durable. No write needs this: each is fenced by what is in the store.
    pub async fn sure(&self) -> Result<(), Lost> {
        match &self.sure {
            Some(sure) if !sure.clone().await => Err(Lost::Fenced),
            _ => Ok(()),
        }
    }
}

type Key = (WorkspaceId, String, String);

/// The lanes in which this node works. Only a hint: the store holds which lane is taken.
#[derive(Default)]
pub struct Lanes {
    taken: Mutex<BTreeSet<Key>>,
}

impl Lanes {
    /// Whether a run of this node works in the lane.
    pub fn is_taken(&self, workspace: &WorkspaceId, flow: &str, lane: &str) -> bool {
        self.lock().contains(&(workspace.clone(), flow.to_owned(), lane.to_owned()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Key>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane as long as a run works in it.
struct Lane {
    node: Arc<Node>,
    key: Key,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.node.lanes.lock().remove(&self.key);
    }
}
