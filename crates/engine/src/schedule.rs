//! Flows that the clock starts. A start is an event of the clock's own, accepted in the commit that moves the clock on:
//! nodes that come to it at the same time find that it has moved, and what was missed while no node ran is one start.
//!
//! | the flow | its clock |
//! |---|---|
//! | is deployed, or its clock says something else | begins at the time of the deployment |
//! | is deployed with the same clock | goes on |
//! | is paused | stands; what comes due meanwhile is one start when the flow is resumed |
//! | is removed | is forgotten |

use std::collections::BTreeMap;
use std::time::Duration;

use flow::event::{CLOCK_SOURCE, CLOCK_TYPE};
use flow::schedule::Due;
use flow::{EventId, Schedule};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use store::{Firing, NewEvent, Scheduled};

use crate::Node;
use crate::limits::{RUN_OVER_INTERVAL, STARTS_AT_ONCE};

/// The flows that the clock starts, as they were at a generation of what is stored.
#[derive(Default)]
pub struct Clocks {
    /// `None`: to be read.
    generation: Option<u64>,
    waiting: Vec<Waiting>,
    /// When it is asked again which runs are over.
    ask_at: Timestamp,
}

struct Waiting {
    scheduled: Scheduled,
    schedule: Schedule,
}

impl Waiting {
    /// Its next start waits for a run to end.
    fn on_run(&self) -> bool {
        let after = matches!(self.schedule, Schedule::After(_));
        after && self.scheduled.due_at.is_none() && self.scheduled.event.is_some()
    }
}

impl Clocks {
    /// How long nothing is to be started, and no longer than work is looked for unasked.
    pub fn rest(&self, node: &Node) -> Duration {
        let due = self.waiting.iter().filter_map(|waiting| waiting.scheduled.due_at);
        let ask = self.waiting.iter().any(Waiting::on_run).then_some(self.ask_at);
        let Some(next) = due.chain(ask).min() else { return node.config.poll_interval };
        let rest = next.duration_since(node.clock.now());
        if rest.is_positive() { rest.unsigned_abs().min(node.config.poll_interval) } else { Duration::ZERO }
    }
}

impl Node {
    /// Starts every flow whose time has come.
    pub async fn start_due(&self, clocks: &mut Clocks) -> store::Result<()> {
        let generation = self.store.generation().await?;
        if clocks.generation != Some(generation) {
            self.sink.make_ready().await;
            clocks.waiting = self.clocks().await?;
            clocks.generation = Some(generation);
        }
        self.go_on_after_runs(clocks).await?;
        let now = self.clock.now();
        let due: Vec<(usize, Due)> = clocks
            .waiting
            .iter()
            .enumerate()
            .filter_map(|(place, waiting)| {
                let due = waiting.schedule.due(waiting.scheduled.due_at?, now)?;
                Some((place, due))
            })
            .collect();
        for some in due.chunks(STARTS_AT_ONCE) {
            let starts = some.iter().map(|(place, due)| self.start(&clocks.waiting[*place], *due));
            let started = join_all(starts).await;
            for ((place, due), started) in some.iter().zip(started) {
                let scheduled = &mut clocks.waiting[*place].scheduled;
                match started {
                    Ok(event) => {
                        scheduled.due_at = due.next;
                        scheduled.event = Some(event);
                    }
                    // Another node was faster, or the flow is deployed anew.
                    Err(store::Error::Conflict { .. }) => clocks.generation = None,
                    Err(error @ (store::Error::Closed | store::Error::Unsettled)) => return Err(error),
                    Err(error) if error.passes() => return Err(error),
                    Err(error) => tracing::error!(flow = scheduled.flow, %error, "the clock cannot start it"),
                }
            }
        }
        Ok(())
    }

    /// Reads which flows have clocks, begins those that are new and forgets those that are gone.
    async fn clocks(&self) -> store::Result<Vec<Waiting>> {
        let known = self.store.schedules().await?;
        let mut known: BTreeMap<_, _> = known
            .into_iter()
            .map(|scheduled| ((scheduled.workspace.clone(), scheduled.flow.clone()), scheduled))
            .collect();
        let mut waiting = Vec::new();
        for flow in self.store.all_flows().await? {
            let key = (flow.workspace.clone(), flow.name.clone());
            if !may_have_clock(&flow.text) {
                continue;
            }
            let Ok(deployment) = self.deployments.of(&flow) else {
                // Another version of the program may read it, and its clock goes on.
                known.remove(&key);
                continue;
            };
            let Some(schedule) = deployment.document.schedule().cloned() else { continue };
            let clock = schedule.text();
            let scheduled = match known.remove(&key).filter(|scheduled| scheduled.clock == clock) {
                Some(scheduled) => scheduled,
                None => {
                    let due_at = schedule.first(flow.deployed_at);
                    self.store.begin_schedule(&flow.workspace, &flow.name, &clock, due_at).await?;
                    let (workspace, flow) = key;
                    Scheduled { workspace, flow, clock, due_at, event: None }
                }
            };
            if !flow.paused {
                waiting.push(Waiting { scheduled, schedule });
            }
        }
        for gone in known.into_values() {
            self.store.end_schedule(&gone.workspace, &gone.flow, &gone.clock).await?;
        }
        Ok(waiting)
    }

    /// Sets the next start of flows that start again after a run, where that run is over.
    async fn go_on_after_runs(&self, clocks: &mut Clocks) -> store::Result<()> {
        let now = self.clock.now();
        if now < clocks.ask_at && clocks.ask_at.duration_since(now) <= RUN_OVER_INTERVAL {
            return Ok(());
        }
        clocks.ask_at = now.saturating_add(RUN_OVER_INTERVAL).unwrap_or(Timestamp::MAX);
        for Waiting { scheduled, schedule } in clocks.waiting.iter_mut().filter(|waiting| waiting.on_run()) {
            let Scheduled { workspace, flow, event, .. } = &*scheduled;
            let Some(event) = event else { continue };
            let Some(ended) = self.store.over_at(workspace, flow, event, now).await? else { continue };
            let due_at = schedule.after_run(ended);
            if due_at.is_some() {
                self.store.go_on(workspace, flow, event, due_at).await?;
            }
            scheduled.due_at = due_at;
        }
        Ok(())
    }

    async fn start(&self, waiting: &Waiting, due: Due) -> store::Result<EventId> {
        let Scheduled { workspace, flow, clock, due_at, .. } = &waiting.scheduled;
        let now = self.clock.now();
        let id = self.with_rng(|rng| EventId::timed(now, rng));
        let event = NewEvent {
            id: id.clone(),
            connection: CLOCK_SOURCE.to_owned(),
            dedupe_key: format!("{flow}@{}", due.at),
            r#type: CLOCK_TYPE.to_owned(),
            time: due.at,
            live: None,
            subject: Some(flow.clone()),
            data: json!({"scheduled": due.at, "missed": due.missed}),
        };
        let firing = Firing {
            flow: flow.clone(),
            clock: clock.clone(),
            due_at: due_at.unwrap_or(due.at),
            next: due.next,
            event,
        };
        self.store.fire(workspace, firing, now).await?;
        Ok(id)
    }
}

/// Whether a document is worth reading for its clock: a word of one stands in it, or something is written in escapes.
fn may_have_clock(text: &str) -> bool {
    ["cron", "every", "after", "\\"].iter().any(|word| text.contains(word))
}
