//! Runs that begin in the commit that accepts their event.
//!
//! The shortest way of an event has two commits: the first one holds the event, its dispatch, the claim of its run and
//! the intent of the run's first write; the second one its result and the end. This is the first one: while the
//! event's own unit still waits for the committer, the event is matched, its runs are made and worked on up to the
//! point where they need something from outside. What they wrote until then is committed together with the event.
//!
//! | found | the event is |
//! |---|---|
//! | events or runs wait that came before, no free worker, the lane is taken here | only accepted |
//! | a run may listen for it | only accepted |
//! | a flow that has to read first (a state flow, one that gathers events), is paused, or whose keys fail | only accepted |
//! | something else was deployed, the fact was told, the lane is taken elsewhere | accepted, the rest fails |
//! | a duplicate | counted, the rest fails |
//! | else | accepted, dispatched, its runs at work |
//!
//! What is only accepted is dispatched from the store, in the order of acceptance.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use store::{AtOnce, ClaimedRun, Event, Mode, Store};
use tokio::sync::OwnedSemaphorePermit;

use crate::held::{Held, Sure};
use crate::{Node, claim};

/// Work that began, to be carried on.
pub type Work = BoxFuture<'static, ()>;

/// What waits in the store, as far as this node has seen.
#[derive(Debug, Default)]
pub struct Behind {
    events: AtomicBool,
    runs: AtomicBool,
    telling: AtomicBool,
}

impl Behind {
    /// Whether events wait to be dispatched.
    pub fn events(&self, waiting: bool) {
        self.events.store(waiting, Ordering::Relaxed);
    }

    /// Whether runs wait for a free worker.
    pub fn runs(&self, waiting: bool) {
        self.runs.store(waiting, Ordering::Relaxed);
    }

    /// Whether more runs listen for an event than were told with its dispatch.
    pub fn telling(&self, on: bool) {
        self.telling.store(on, Ordering::Relaxed);
    }

    pub fn is_telling(&self) -> bool {
        self.telling.load(Ordering::Relaxed)
    }

    fn any(&self) -> bool {
        self.events.load(Ordering::Relaxed) || self.runs.load(Ordering::Relaxed)
    }
}

/// What is to be begun for an event.
struct Plan {
    /// Of what the flows were read from.
    generation: u64,
    begun: Vec<AtOnce>,
    /// One for each run.
    places: Option<OwnedSemaphorePermit>,
    /// The event as flows see it, if one asks for it.
    seen: Option<Arc<Value>>,
}

/// Begins runs for a node.
pub struct Beginner(Arc<Node>);

impl Beginner {
    pub fn new(node: Arc<Node>) -> Beginner {
        Beginner(node)
    }

    /// What is to be begun, if all of it can be.
    fn plan(&self, event: &Event) -> Option<Plan> {
        let node = &self.0;
        if node.behind.any() || node.begun.is_closed() {
            return None;
        }
        let flows = node.deployed.kept(&event.workspace)?;
        // Who listens is in the store.
        if flows.is_listened(&event.r#type) {
            return None;
        }
        let (dispatching, seen) = node.dispatching(event, &flows);
        let wanted = dispatching.flows;
        let free = |dispatch: &store::Dispatch| {
            let lane = dispatch.lane.as_deref();
            dispatch.mode == Mode::Queue
                && dispatch.window.is_none()
                && dispatch.fault.is_none()
                && !lane.is_some_and(|lane| node.lanes.is_taken(&event.workspace, &dispatch.flow, lane))
        };
        if !wanted.iter().all(free) {
            return None;
        }
        let mut begun = Vec::with_capacity(wanted.len());
        for dispatch in wanted {
            let (flow, _) =
                flows.flows.iter().find(|(flow, _)| flow.name == dispatch.flow && !flow.paused)?;
            begun.push(AtOnce { version: flow.version.clone(), dispatch });
        }
        let places = match begun.len() {
            0 => None,
            count => {
                let count = u32::try_from(count).ok()?;
                Some(node.places.clone().try_acquire_many_owned(count).ok()?)
            }
        };
        Some(Plan { generation: flows.generation, begun, places, seen })
    }
}

impl store::Follow for Beginner {
    fn accepting(&self, store: &Store, event: &Event) -> bool {
        let node = &self.0;
        let Some(Plan { generation, begun, places, seen }) = self.plan(event) else {
            // Until the dispatcher has caught up, later events of the same lane must not overtake this one.
            node.behind.events(true);
            return false;
        };
        let until = node.clock.now().saturating_add(node.config.lease).unwrap_or(Timestamp::MAX);
        let sent = store.dispatch_at_once(event, &begun, &node.config.node, until, generation);
        // The store gathers: nothing is waited for.
        let Some(Ok(sure)) = sent.now_or_never() else { return false };
        let poke = node.clone();
        let sure: Sure = async move {
            let sure = sure.wait().await.is_ok();
            if !sure {
                poke.behind.events(true);
                poke.events.notify_one();
            }
            sure
        }
        .boxed()
        .shared();
        let Some(mut places) = places else {
            carry_on(node, Box::pin(sure.map(drop)));
            return true;
        };
        for AtOnce { dispatch, .. } in begun {
            let claim = ClaimedRun {
                workspace: event.workspace.clone(),
                run: dispatch.run,
                epoch: 1,
                flow: dispatch.flow,
                revision: dispatch.revision,
                lane: dispatch.lane,
                event: Some(event.clone()),
                input: None,
                begun: false,
                retries: 0,
                created_at: event.received_at,
                lease_until: until,
                unreadable: None,
            };
            let Some(place) = places.split(1) else { break };
            let held = Held::new(node, claim, store.clone(), Some(sure.clone()), seen.clone(), place);
            carry_on(node, Box::pin(claim::worker(node.clone(), held)));
        }
        true
    }

    fn accepted(&self) {
        self.0.events.notify_one();
    }
}

/// Works as far as it goes without waiting, and leaves the rest to the claimer.
fn carry_on(node: &Arc<Node>, mut work: Pin<Box<dyn Future<Output = ()> + Send>>) {
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        // Nobody takes it: the node stops, and what was claimed is released when it starts again or its lease ends.
        node.begun.send(work).ok();
    }
}
