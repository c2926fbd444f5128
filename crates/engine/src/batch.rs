//! What runs of several events have in common with runs of one: what they begin with, and what stands for the event
//! where a run is told from others.
//!
//! Flows that say `document.metadata.batch` have such runs; the store gathers the events (`store::windows`).

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::event::LIFE_TYPES;
use flow::{EventId, Fault};
use serde_json::Value;
use store::{ClaimedRun, Event};

use crate::deployments::Deployment;
use crate::history::History;
use crate::{Node, fault, key};

/// The events that a run works for.
#[derive(Debug)]
pub struct Batch {
    /// As flows see them, oldest first.
    pub events: Arc<Value>,
    pub ids: Vec<EventId>,
}

impl Batch {
    /// The events of a claimed run, if its flow gathers events. Those of a run that has begun are in its journal.
    pub async fn of(
        node: &Node,
        claim: &ClaimedRun,
        deployment: &Deployment,
        history: &History,
    ) -> store::Result<Option<Batch>> {
        if deployment.document.batch().is_none() || claim.event.is_none() {
            return Ok(None);
        }
        let (workspace, run) = (&claim.workspace, &claim.run);
        let found = node.read(|| node.store.run(workspace, run)).await?;
        let ids = found.map(|run| run.events).unwrap_or_default();
        let events = match &history.started {
            Some(started) => started.input.clone(),
            None => {
                let events = node.read(|| node.store.gathered(workspace, run)).await?;
                // Fewer would be another run, under other keys.
                if events.len() != ids.len() {
                    let gone = ids.len().saturating_sub(events.len());
                    let detail = format!("{gone} of {} are not stored any more", ids.len());
                    return Err(store::Error::Corrupt { what: "events", detail });
                }
                let value = |event: &Event| event.to_cloud_event().to_value();
                Arc::new(events.iter().map(value).collect())
            }
        };
        Ok(Some(Batch { events, ids }))
    }

    fn each(&self, attribute: &'static str) -> impl Iterator<Item = &str> {
        self.events.as_array().into_iter().flatten().filter_map(move |event| event[attribute].as_str())
    }

    /// What its effects are for: these events, whichever way they came together. One event is what it would be alone.
    pub fn trigger(&self) -> String {
        let names = self.each("source").zip(self.each("id")).map(|(source, id)| format!("{source}/{id}"));
        let mut names: Vec<String> = names.collect();
        match &mut names[..] {
            [name] => std::mem::take(name),
            names => {
                names.sort();
                key::digest(names)
            }
        }
    }

    /// Where the events came from, each once.
    pub fn sources(&self) -> BTreeSet<&str> {
        self.each("source").collect()
    }

    /// Whether one of them tells of a run's own life.
    pub fn is_of_lives(&self) -> bool {
        self.each("type").any(|r#type| r#type.starts_with(LIFE_TYPES))
    }

    /// Live or test mode of the connections that the events came by, where it is known; the one never feeds the other.
    pub async fn mode(&self, node: &Node, claim: &ClaimedRun) -> Result<Option<(bool, String)>, Fault> {
        let mut mode: Option<(bool, String)> = None;
        for source in self.sources() {
            let Some((live, name)) = node.mode(&claim.workspace, source).await else { continue };
            match &mode {
                Some((other, first)) if *other != live => {
                    return Err(fault::mode_mismatch(format!(
                        "the events of connections `{first}` and `{name}` were gathered, of which one is of live mode \
                         and the other of test mode: the one never feeds the other"
                    )));
                }
                _ => mode = Some((live, name)),
            }
        }
        Ok(mode)
    }
}
