//! Events of runs' own lives: in the inbox like any other, written with what they tell of.
//!
//! | told | with |
//! |---|---|
//! | a run's start and end | a proof that the run is the caller's: who was cancelled meanwhile tells nothing |
//! | what became of its tasks | the journal entries that it came of |
//! | that it was cancelled | the cancelling itself, if this attempt at the run had told its start |

use flow::event::{LIFE_SOURCE, LIFE_TYPES};
use flow::{EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use ring::digest;
use serde_json::json;

use crate::inbox::{STORE, stored, storing};
use crate::unit::values;
use crate::waits::{NOTE_HOPS, PROVE};
use crate::{Error, NewEvent, Result, Store, Unit};

/// What came of what has the key ?6 is remembered.
const REMEMBER_AFTER: &str = "INSERT INTO dedupe (workspace, connection, key, event, deliveries, at) \
    SELECT ?1, ?2, ?3, ?4, 1, ?5 WHERE EXISTS (SELECT 1 FROM dedupe \
    WHERE workspace = ?1 AND connection = ?2 AND key = ?6) ON CONFLICT (workspace, connection, key) DO NOTHING";

/// What is told of a run's life together with something else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lives<'a> {
    pub events: &'a [NewEvent],
    /// How far they are from what came from outside; see [`Store::hops`].
    pub hops: u32,
}

/// The key of what a run tells: `what` of this attempt at it.
pub fn life_key(run: &RunId, what: &str, retries: u32) -> String {
    format!("{run}.{what}.{retries}")
}

impl Store {
    /// Tells of the life of a claimed run, once by the event's dedupe key; nothing if it is the caller's no more.
    pub async fn tell_life(
        &self,
        ws: &WorkspaceId,
        (run, epoch): (&RunId, u64),
        event: NewEvent,
        hops: u32,
        now: Timestamp,
    ) -> Result<()> {
        let unit = noting_hops(Unit::new().one(PROVE, values![ws, run, epoch]), ws, &event.id, hops, now);
        match self.accept_with(ws, event, unit, now).await {
            Err(Error::Conflict { .. }) => Err(Error::Fenced { run: run.clone(), epoch }),
            other => other.map(drop),
        }
    }

    /// Adds to a unit that cancels a run, in its `retries`th attempt, that this is told if its start was.
    pub(crate) async fn cancelling(
        &self,
        unit: Unit,
        ws: &WorkspaceId,
        run: &RunId,
        (flow, retries): (&str, u32),
        now: Timestamp,
    ) -> Result<Unit> {
        let began = life_key(run, "started", retries);
        let key = life_key(run, "cancelled", retries);
        let mut event = NewEvent {
            id: id_of(ws, &key),
            connection: LIFE_SOURCE.to_owned(),
            dedupe_key: key,
            r#type: format!("{LIFE_TYPES}workflow.cancelled.v1"),
            time: now,
            live: None,
            subject: Some(flow.to_owned()),
            data: json!({"name": run.as_str(), "cancelledAt": now}),
        };
        let mut unit = unit;
        if let Some(start) = self.remembered(ws, LIFE_SOURCE, &began).await? {
            event.live = self.event(ws, &start).await?.and_then(|start| start.live);
            let hops = self.hops(ws, start.as_str()).await?;
            unit = noting_hops(unit, ws, &event.id, hops, now);
        }
        let remember = values![ws, LIFE_SOURCE, &event.dedupe_key, &event.id, now, &began];
        Ok(unit.then(REMEMBER_AFTER, remember).then(STORE, stored(ws, &event, now)?))
    }

    /// What is in the inbox now has to be dispatched.
    pub(crate) fn told(&self) {
        self.followers().iter().for_each(|follower| follower.accepted());
    }
}

/// Adds to a unit what is told of a run's life.
pub(crate) fn telling(mut unit: Unit, ws: &WorkspaceId, lives: Lives<'_>) -> Result<Unit> {
    for event in lives.events {
        unit = storing(unit, ws, event, event.time)?;
        unit = noting_hops(unit, ws, &event.id, lives.hops, event.time);
    }
    Ok(unit)
}

fn noting_hops(unit: Unit, ws: &WorkspaceId, event: &EventId, hops: u32, now: Timestamp) -> Unit {
    match hops {
        0 | 1 => unit,
        hops => unit.then(NOTE_HOPS, values![ws, event.as_str(), hops, now]),
    }
}

/// Who cancels has no chance of its own at hand: the id comes of what is told.
fn id_of(ws: &WorkspaceId, key: &str) -> EventId {
    let digest = digest::digest(&digest::SHA256, format!("{ws}/{key}").as_bytes());
    let hex: String = digest.as_ref().iter().take(13).map(|byte| format!("{byte:02x}")).collect();
    EventId::new(format!("evt_{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        crate::database::check_plan(REMEMBER_AFTER);
    }
}
