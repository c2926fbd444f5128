//! Runs that listen for events, and the events that they may have missed.
//!
//! What is listened for is noted before the first run that can listen exists. From then on each event of such a type
//! leaves its answers when it is dispatched, and is told to the runs that listen for these; a run that begins to listen
//! registers first and looks back then. Both take the type's lock before, so that an event is either told or found.

use flow::hearing::Form;
use flow::{EffectRef, EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use ring::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::row::Query;
use crate::unit::{Lock, values};
use crate::waits::{place_of, short, waiting};
use crate::{Error, Result, Store, Unit};

/// Events of one filter that a run finds when it looks back; the oldest.
pub const LOOK_BACK_MAX: i64 = 1_000;

const NOTE: &str = "INSERT INTO listened (workspace, type, form, asked) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (workspace, type, form) DO NOTHING";
const LISTENED: &str = "SELECT type, asked FROM listened WHERE workspace = ?1 ORDER BY type, form";
const LISTEN: &str = "INSERT INTO listeners (workspace, type, form, key, run, effect) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (workspace, type, form, key, run, effect) DO NOTHING";
const FOUND: &str = "SELECT seq, event FROM heard \
    WHERE workspace = ?1 AND type = ?2 AND form = ?3 AND key = ?4 AND at >= ?5 ORDER BY seq LIMIT ?6";
/// The run is still the caller's.
const PROVE: &str = "UPDATE runs SET entries = entries \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
const TELL: &str = "INSERT INTO signals (workspace, run, effect, name, payload, at) \
    SELECT workspace, run, effect, ?4, NULL, ?5 FROM waits WHERE workspace = ?1 AND run = ?2 AND effect = ?3 \
    ON CONFLICT (workspace, run, effect, name) DO NOTHING";
const LOOKED: &str = "UPDATE waits SET looked = 1 WHERE workspace = ?1 AND run = ?2 AND effect = ?3";

const HEAR: &str = "INSERT INTO heard (workspace, type, form, key, event, at) \
    SELECT ?1, ?2, ?3, ?4, id, received_at FROM events WHERE workspace = ?1 AND id = ?5 \
    ON CONFLICT (workspace, event, type, form) DO NOTHING";
const TELL_LISTENERS: &str = "INSERT INTO signals (workspace, run, effect, name, payload, at) \
    SELECT workspace, run, effect, ?5, NULL, ?6 FROM listeners \
    WHERE workspace = ?1 AND type = ?2 AND form = ?3 AND key = ?4 \
    ON CONFLICT (workspace, run, effect, name) DO NOTHING";
/// Writes the rows in any case: whoever parks a run meanwhile comes before or after.
const DUE_LISTENERS: &str = "UPDATE runs SET ready_at = CASE WHEN status = 'parked' THEN ?5 ELSE ready_at END \
    WHERE workspace = ?1 AND id IN (SELECT run FROM listeners \
    WHERE workspace = ?1 AND type = ?2 AND form = ?3 AND key = ?4) AND finished_at IS NULL";
const OUTCOMES: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    SELECT ?1, ?5, ?6, r.flow, 'heard', r.id, 0 FROM listeners AS l \
    JOIN runs AS r ON r.workspace = l.workspace AND r.id = l.run \
    WHERE l.workspace = ?1 AND l.type = ?2 AND l.form = ?3 AND l.key = ?4 \
    ON CONFLICT (workspace, event, replay, flow) DO NOTHING";

/// What an event answers to a form that is listened for; or what a run that listens expects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answers {
    /// A type, a family of types, or `*`.
    pub r#type: String,
    pub form: Form,
    pub key: String,
}

/// Who looks back, and how far.
#[derive(Clone, Copy, Debug)]
pub struct LookBack<'a> {
    /// Events that came before are not found.
    pub since: Timestamp,
    /// Nor are these.
    pub except: &'a BTreeSet<String>,
    pub now: Timestamp,
}

impl Store {
    /// Notes what flows listen for, before the first of their runs.
    pub async fn note_listened(&self, ws: &WorkspaceId, listened: &[(String, Form)]) -> Result<()> {
        let mut unit = Unit::new();
        for (r#type, form) in listened {
            unit = unit.then(NOTE, values![ws, r#type, digest_of(form)?, text_of(form)?]);
        }
        if listened.is_empty() { Ok(()) } else { self.commit(unit).await.map(drop) }
    }

    /// Everything that flows of a workspace have ever listened for.
    pub async fn listened(&self, ws: &WorkspaceId) -> Result<Vec<(String, Form)>> {
        let rows = self.rows(LISTENED, values![ws]).await?;
        let one = |row: &crate::row::Row| {
            let asked: String = row.get("asked")?;
            let form = serde_json::from_str(&asked).map_err(|error| Error::corrupt("form", error))?;
            Ok((row.get("type")?, form))
        };
        rows.iter().map(one).collect()
    }

    /// Has an effect of a claimed run told of events that give these answers, from now until the effect is over.
    pub async fn listen(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        at: &EffectRef,
        wanted: &[Answers],
    ) -> Result<()> {
        let mut unit = waiting(Unit::new(), ws, run, epoch, at, None);
        let place = place_of(at);
        for Answers { r#type, form, key } in wanted {
            let key = short(key.clone());
            unit = unit
                .then(LISTEN, values![ws, r#type, digest_of(form)?, key, run, &place])
                .locking(Lock::Listen { workspace: ws.as_str().into(), r#type: r#type.as_str().into() });
        }
        self.fenced(unit, run, epoch).await
    }

    /// Tells an effect that listens of the events that had come before, in their order; how many.
    pub async fn look_back(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        at: &EffectRef,
        wanted: &[Answers],
        back: LookBack<'_>,
    ) -> Result<usize> {
        let query = |Answers { r#type, form, key }: &Answers| {
            let key = short(key.clone());
            Ok(Query::new(FOUND, values![ws, r#type, digest_of(form)?, key, back.since, LOOK_BACK_MAX]))
        };
        let queries: Vec<Query> = wanted.iter().map(query).collect::<Result<_>>()?;
        let mut found = BTreeMap::new();
        for row in self.read(&queries).await?.iter().flatten() {
            let event: String = row.get("event")?;
            if !back.except.contains(&event) {
                let first: i64 = row.get("seq")?;
                found.entry(event).and_modify(|seq: &mut i64| *seq = first.min(*seq)).or_insert(first);
            }
        }
        let mut found: Vec<(i64, String)> = found.into_iter().map(|(event, seq)| (seq, event)).collect();
        found.sort_unstable();
        let place = place_of(at);
        let mut unit = Unit::new().one(PROVE, values![ws, run, epoch]);
        for (_, event) in &found {
            unit = unit.then(TELL, values![ws, run, &place, event, back.now]);
        }
        self.fenced(unit.then(LOOKED, values![ws, run, &place]), run, epoch).await?;
        Ok(found.len())
    }
}

/// Adds to an event's dispatch what it answers: who listens is told, who will listen finds it.
pub(crate) fn hearing(
    mut unit: Unit,
    ws: &WorkspaceId,
    event: &EventId,
    replay: u32,
    answers: &[Answers],
    now: Timestamp,
) -> Result<Unit> {
    let name = match replay {
        0 => event.as_str().to_owned(),
        number => format!("{event}#{number}"),
    };
    for Answers { r#type, form, key } in answers {
        let (form, key) = (digest_of(form)?, short(key.clone()));
        unit = unit
            .locking(Lock::Hear { workspace: ws.as_str().into(), r#type: Arc::from(r#type.as_str()) })
            .then(HEAR, values![ws, r#type, &form, &key, event])
            .then(TELL_LISTENERS, values![ws, r#type, &form, &key, &name, now])
            .then(DUE_LISTENERS, values![ws, r#type, &form, &key, now])
            .then(OUTCOMES, values![ws, r#type, &form, &key, event, replay]);
    }
    Ok(unit)
}

fn text_of(form: &Form) -> Result<String> {
    serde_json::to_string(form).map_err(|error| Error::corrupt("form", error))
}

fn digest_of(form: &Form) -> Result<String> {
    let digest = digest::digest(&digest::SHA256, text_of(form)?.as_bytes());
    Ok(digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            NOTE,
            LISTENED,
            LISTEN,
            FOUND,
            PROVE,
            TELL,
            LOOKED,
            HEAR,
            TELL_LISTENERS,
            DUE_LISTENERS,
            OUTCOMES,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
