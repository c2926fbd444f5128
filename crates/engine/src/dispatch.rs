//! Accepted events become runs: which flows ask for an event, in which lane, telling which fact.
//!
//! What cannot be worked out is never dropped: a flow whose key fails gets a failed run, to be seen and retried.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use flow::{CloudEvent, Fault, RunId, WorkspaceId};
use serde_json::Value;
use store::{Dispatch, Dispatching, Event, Mode, OnFailure, Window};

use crate::contain::contained;
use crate::deployments::{Deployment, Flows};
use crate::limits::DISPATCH_BATCH;
use crate::{Node, alert, fault};

/// What a flow makes of an event it asks for.
#[derive(Debug, Default, PartialEq)]
struct Keys {
    lane: Option<String>,
    /// `Some(None)`: the flow acts once per fact, and this event tells none.
    fact: Option<Option<String>>,
    /// Where the flow gathers events.
    window: Option<Window>,
}

/// An event, and the same as expressions see it: made once, for the first flow that asks for it.
struct Seen {
    event: CloudEvent,
    value: OnceCell<Arc<Value>>,
}

impl Seen {
    fn value(&self) -> &Value {
        self.value.get_or_init(|| Arc::new(self.event.to_value()))
    }
}

impl Node {
    /// Dispatches one batch of accepted events, in the order of acceptance; says how many were.
    pub async fn dispatch(&self) -> store::Result<usize> {
        let events = self.store.undispatched_events(DISPATCH_BATCH).await?;
        self.behind.events(!events.is_empty());
        // One reading of the flows per batch: what is deployed meanwhile counts from the next batch on.
        let mut flows: BTreeMap<WorkspaceId, Arc<Flows>> = BTreeMap::new();
        let mut batch = Vec::with_capacity(events.len());
        for event in &events {
            if !flows.contains_key(&event.workspace) {
                let deployed = self.deployed.read(&self.store, &self.deployments, &event.workspace).await?;
                flows.insert(event.workspace.clone(), deployed);
            }
            if let Some(deployed) = flows.get(&event.workspace) {
                batch.push(self.dispatching(event, deployed).0);
            }
        }
        let told = batch.iter().any(|one| !one.answers.is_empty());
        let failures: Vec<Dispatching> =
            batch.iter().filter(|one| one.flows.iter().any(|flow| flow.fault.is_some())).cloned().collect();
        let (mut count, mut put_off) = (0, None);
        for (event, result) in events.iter().zip(self.store.dispatch_all(batch, self.clock.now()).await) {
            match result {
                Ok(_) => {
                    count += 1;
                    failures.iter().filter(|one| one.event == event.id).for_each(|one| self.tell(one, event));
                }
                // A flow or run moved meanwhile: the event stays accepted and is read again.
                Err(store::Error::Conflict { .. }) => {}
                // Whoever accepted it was about to dispatch it, or another node was faster.
                Err(store::Error::State { .. }) => {}
                Err(error @ (store::Error::Closed | store::Error::Unsettled)) => return Err(error),
                // The dispatcher waits; a line for each event and try would only help to fill the disk.
                Err(error) if error.passes() => put_off = Some(error),
                Err(error) if error.lasts() => {
                    let deployed = flows.get(&event.workspace);
                    count += usize::from(self.give_up(event, deployed.map(|flows| &**flows), &error).await?);
                }
                Err(error) => tracing::error!(event = %event.id, %error, "an event cannot be dispatched"),
            }
        }
        if told {
            self.behind.telling(true);
            self.poke();
        }
        count += self.tell_on().await?;
        put_off.filter(|_| count == 0).map_or(Ok(count), Err)
    }

    /// Tells events to more of the many who listen for them, between batches; how many events.
    async fn tell_on(&self) -> store::Result<usize> {
        if !self.behind.is_telling() {
            return Ok(0);
        }
        let told = self.store.tell_on(self.clock.now()).await?;
        self.behind.telling(told > 0);
        if told > 0 {
            self.poke();
        }
        Ok(told)
    }

    /// An event that could never be dispatched would stand at the head of the line for good: every flow that asks for
    /// it gets a failed run; if not even that can be written, the event itself is set aside. Whether one of them was
    /// done.
    async fn give_up(
        &self,
        event: &Event,
        deployed: Option<&Flows>,
        error: &store::Error,
    ) -> store::Result<bool> {
        tracing::error!(event = %event.id, %error, "an event cannot be dispatched");
        let fault = Fault::runtime(format!("the event cannot be dispatched: {error}"));
        if let Some(deployed) = deployed {
            let failing = self.dispatching(event, deployed).0.failing(&fault);
            if !failing.flows.is_empty() {
                match self.store.dispatch(failing.clone(), self.clock.now()).await {
                    Ok(_) => {
                        self.tell(&failing, event);
                        return Ok(true);
                    }
                    Err(error) if error.lasts() => {}
                    Err(error @ (store::Error::Closed | store::Error::Unsettled)) => return Err(error),
                    Err(_) => return Ok(false),
                }
            }
        }
        match self.store.set_aside_event(&event.workspace, &event.id, &fault).await {
            Ok(()) => Ok(true),
            Err(error @ (store::Error::Closed | store::Error::Unsettled)) => Err(error),
            Err(error) => {
                tracing::error!(event = %event.id, %error, "nor set aside");
                Ok(false)
            }
        }
    }

    /// What the event means to each flow; and the event as flows see it, if one of them asks for it.
    pub fn dispatching(&self, event: &Event, deployed: &Flows) -> (Dispatching, Option<Arc<Value>>) {
        let seen = Seen { event: event.to_cloud_event(), value: OnceCell::new() };
        let answers = match deployed.is_listened(&event.r#type) {
            true => deployed.answers(&event.r#type, seen.value()),
            false => Vec::new(),
        };
        let wanted =
            deployed.flows.iter().filter_map(|(flow, deployment)| self.wanted(&seen, flow, deployment));
        let (workspace, id) = (event.workspace.clone(), event.id.clone());
        let dispatching = Dispatching { workspace, event: id, flows: wanted.collect(), answers };
        (dispatching, seen.value.into_inner())
    }

    /// What the event means to one flow; none if the flow does not ask for it.
    fn wanted(
        &self,
        seen: &Seen,
        flow: &store::Flow,
        deployment: &Result<Arc<Deployment>, String>,
    ) -> Option<Dispatch> {
        let deployment = match deployment {
            Ok(deployment) => deployment,
            // A version deployed it that understood it. Which events it asks for cannot be told, so that each may be
            // one: it gets a failed run, to be seen, and to be retried by a program that understands.
            Err(detail) => {
                return Some(Dispatch {
                    run: self.with_rng(|rng| RunId::random(rng)),
                    flow: flow.name.clone(),
                    revision: flow.revision,
                    lane: None,
                    mode: Mode::Queue,
                    on_failure: OnFailure::Continue,
                    fact: None,
                    window: None,
                    fault: Some(fault::unusable(&flow.name, flow.revision, detail)),
                });
            }
        };
        let now = self.clock.now();
        let document = &deployment.document;
        let connections = |name: &str| deployment.connection(name);
        if !document.asks_for(&seen.event, &deployment.settings, &connections) {
            return None;
        }
        // One flow's expression must not stop the events of all others, whatever is wrong with it or with us.
        let keys = contained(|| keys(deployment, seen.value()))
            .unwrap_or_else(|_| Err(Fault::runtime("the program failed at this event; its log says where")));
        let concurrency = document.concurrency();
        let (keys, fault) = match keys {
            Ok(keys) => (keys, None),
            Err(fault) => (Keys::default(), Some(fault)),
        };
        let fact = match keys.fact {
            // The flow acts once per fact and this event tells none: it has no business here.
            Some(None) => return None,
            Some(Some(fact)) => Some(fact),
            None => None,
        };
        Some(Dispatch {
            run: self.with_rng(|rng| RunId::timed(now, rng)),
            flow: flow.name.clone(),
            revision: flow.revision,
            lane: keys.lane,
            mode: concurrency.map_or(Mode::Queue, |concurrency| concurrency.mode),
            on_failure: concurrency.map_or(OnFailure::Continue, |concurrency| concurrency.on_failure),
            fact,
            window: keys.window,
            fault,
        })
    }

    /// Alerts about runs that failed at dispatch already.
    fn tell(&self, dispatching: &Dispatching, event: &Event) {
        for dispatch in &dispatching.flows {
            if let Some(fault) = &dispatch.fault {
                self.alert(alert::Failure {
                    workspace: &dispatching.workspace,
                    flow: &dispatch.flow,
                    revision: dispatch.revision,
                    run: &dispatch.run,
                    event: Some(&event.dedupe_key),
                    fault,
                });
            }
        }
    }
}

fn keys(deployment: &Deployment, event: &Value) -> Result<Keys, Fault> {
    let document = &deployment.document;
    Ok(Keys {
        lane: document
            .lane_key(event, &deployment.settings)
            .map_err(|fault| fault::key(fault, "concurrency.key"))?,
        fact: document
            .fact_key(event, &deployment.settings)
            .map_err(|fault| fault::key(fault, "dedup.key"))?,
        window: window(deployment, event)?,
    })
}

fn window(deployment: &Deployment, event: &Value) -> Result<Option<Window>, Fault> {
    let Some(batch) = deployment.document.batch() else { return Ok(None) };
    let key = deployment
        .document
        .window_key(event, &deployment.settings)
        .map_err(|fault| fault::key(fault, "batch.by"))?;
    let bytes = serde_json::to_vec(event).map_or(0, |json| json.len() as u64);
    Ok(Some(Window { key, within: batch.within, most: batch.most, bytes }))
}
