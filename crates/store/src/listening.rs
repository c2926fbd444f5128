//! Runs that listen for events, and the events that they may have missed.
//!
//! What is listened for is noted before the first run that can listen exists. From then on each event of such a type
//! leaves its answers when it is dispatched, and is told to the runs that listen for these; a run that begins to listen
//! registers first and looks back then. Both take the type's lock before, so that an event is either told or found.
//! Where very many listen, the first of them are told with the dispatch and the others after it, unit by unit; who began to
//! listen meanwhile may be told of what it has found, and knows it by its name.

use flow::hearing::Form;
use flow::{EffectRef, EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use ring::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::row::Query;
use crate::stats::{NODE, counter};
use crate::unit::{By, Lock, values};
use crate::waits::{PROVE, place_of, short, waiting};
use crate::{Error, Result, Store, Unit};

/// Events of one filter that a run finds when it looks back; the oldest.
pub const LOOK_BACK_MAX: i64 = 1_000;
/// Runs that one unit tells of an event; more are told in units of their own, so that no unit holds the others up.
pub const TELL_MAX: i64 = 500;
/// Events that are told on in one go.
const TELLINGS_MAX: i64 = 4;

const NOTE: &str = "INSERT INTO listened (workspace, type, form, asked) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (workspace, type, form) DO NOTHING";
const LISTENED: &str = "SELECT type, asked FROM listened WHERE workspace = ?1 ORDER BY type, form";
const LISTEN: &str = "INSERT INTO listeners (workspace, type, form, key, run, effect) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (workspace, type, form, key, run, effect) DO NOTHING";
/// After the event of number ?7, where both numbers are known; a clock may have been set back.
const FOUND: &str = "SELECT seq, event FROM heard \
    WHERE workspace = ?1 AND type = ?2 AND form = ?3 AND key = ?4 \
    AND CASE WHEN accepted IS NULL OR ?7 IS NULL THEN at >= ?5 ELSE accepted > ?7 END ORDER BY seq LIMIT ?6";
const TELL: &str = "INSERT INTO signals (workspace, run, effect, name, payload, at) \
    SELECT workspace, run, effect, ?4, NULL, ?5 FROM waits WHERE workspace = ?1 AND run = ?2 AND effect = ?3 \
    ON CONFLICT (workspace, run, effect, name) DO NOTHING";
const LOOKED: &str = "UPDATE waits SET looked = 1 WHERE workspace = ?1 AND run = ?2 AND effect = ?3";

const HEAR: &str = "INSERT INTO heard (workspace, type, form, key, event, at, accepted) \
    SELECT ?1, ?2, ?3, ?4, id, received_at, seq FROM events WHERE workspace = ?1 AND id = ?5 \
    ON CONFLICT (workspace, event, type, form) DO NOTHING";
/// Those who listen for ?2 to ?4 and come after run ?5 and effect ?6, in order.
macro_rules! next {
    () => {
        next!("")
    };
    ($and:literal) => {
        concat!(
            " FROM listeners AS l WHERE l.workspace = ?1 AND l.type = ?2 AND l.form = ?3 AND l.key = ?4 \
             AND (l.run, l.effect) > (?5, ?6) ",
            $and,
            "ORDER BY l.run, l.effect "
        )
    };
}
const TELL_LISTENERS: &str = concat!(
    "INSERT INTO signals (workspace, run, effect, name, payload, at) \
     SELECT l.workspace, l.run, l.effect, ?8, NULL, ?9",
    next!(),
    "LIMIT ?7 ON CONFLICT (workspace, run, effect, name) DO NOTHING"
);
/// Writes the rows in any case: whoever parks a run meanwhile comes before or after.
const DUE_LISTENERS: &str = concat!(
    "UPDATE runs SET ready_at = CASE WHEN status = 'parked' THEN ?8 ELSE ready_at END \
     WHERE workspace = ?1 AND finished_at IS NULL AND id IN (SELECT l.run",
    next!(),
    "LIMIT ?7)"
);
const OUTCOMES: &str = concat!(
    "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) SELECT ?1, ?8, ?9, \
     (SELECT r.flow FROM runs AS r WHERE r.workspace = ?1 AND r.id = l.run), 'heard', l.run, 0",
    // One that was left behind by a run that is gone is nobody's, and stops no dispatch.
    next!("AND EXISTS (SELECT 1 FROM runs AS r WHERE r.workspace = ?1 AND r.id = l.run) "),
    "LIMIT ?7 ON CONFLICT (workspace, event, replay, flow) DO NOTHING"
);
/// ?7 is one less than one unit tells: if it told so many, others may come after the last of them.
const TELL_ON: &str = concat!(
    "INSERT INTO tellings (workspace, event, replay, type, form, key, run, effect) \
     SELECT ?1, ?8, ?9, ?2, ?3, ?4, l.run, l.effect",
    next!(),
    "LIMIT 1 OFFSET ?7"
);
const TELLINGS: &str = "SELECT seq, workspace, event, replay, type, form, key, run, effect FROM tellings \
    ORDER BY seq LIMIT ?1";
const TOLD: &str = "DELETE FROM tellings WHERE seq = ?1";

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
    /// Events that came before are not found: by this event's number, or, where there is none, by the time.
    pub event: Option<&'a EventId>,
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
            let n = unit.statements().len();
            unit = unit.then(NOTE, values![ws, r#type, digest_of(form)?, text_of(form)?]).tally(
                NODE,
                counter::GENERATION,
                By::Rows(n),
            );
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
        let after = match back.event {
            Some(event) => self.number_of(ws, event).await?,
            None => None,
        };
        let query = |Answers { r#type, form, key }: &Answers| {
            let key = short(key.clone());
            let params = values![ws, r#type, digest_of(form)?, key, back.since, LOOK_BACK_MAX, after];
            Ok(Query::new(FOUND, params))
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

impl Store {
    /// Tells events to some more of the many who listen for them; how many events. Nobody is left to tell at 0.
    pub async fn tell_on(&self, now: Timestamp) -> Result<usize> {
        let rows = self.rows(TELLINGS, values![TELLINGS_MAX]).await?;
        let mut units = Vec::with_capacity(rows.len());
        for row in &rows {
            let text = |name: &str| row.get::<String>(name);
            let (ws, event): (WorkspaceId, EventId) = (row.get("workspace")?, row.get("event")?);
            let (r#type, form, key) = (text("type")?, text("form")?, text("key")?);
            let (replay, run, effect) = (row.get("replay")?, text("run")?, text("effect")?);
            let name = name_of(&event, replay);
            let telling =
                Telling { event: &event, replay, name: &name, r#type: &r#type, form: &form, key: &key };
            let unit = Unit::new()
                .locking(Lock::Hear { workspace: ws.as_str().into(), r#type: r#type.as_str().into() })
                .one(TOLD, values![row.get::<i64>("seq")?]);
            units.push(telling.add(unit, &ws, (&run, &effect), now));
        }
        for told in self.commit_all(units).await {
            match told {
                // Another node was faster.
                Ok(_) | Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rows.len())
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
    let name = name_of(event, replay);
    for Answers { r#type, form, key } in answers {
        let (form, key) = (digest_of(form)?, short(key.clone()));
        let telling = Telling { event, replay, name: &name, r#type, form: &form, key: &key };
        unit = unit
            .locking(Lock::Hear { workspace: ws.as_str().into(), r#type: Arc::from(r#type.as_str()) })
            .then(HEAR, values![ws, r#type, &form, &key, event]);
        // Every name comes after the empty one.
        unit = telling.add(unit, ws, ("", ""), now);
    }
    Ok(unit)
}

/// An event, and who is to be told of it.
struct Telling<'a> {
    event: &'a EventId,
    replay: u32,
    /// What signals are told by.
    name: &'a str,
    r#type: &'a str,
    form: &'a str,
    key: &'a str,
}

impl Telling<'_> {
    /// Adds to a unit that the next [`TELL_MAX`] are told who come after a run and its effect, and that others are to be
    /// told after them.
    fn add(&self, unit: Unit, ws: &WorkspaceId, (run, effect): (&str, &str), now: Timestamp) -> Unit {
        let Telling { event, replay, name, r#type, form, key } = *self;
        // The runs' rows first, as in `waits`.
        unit.then(DUE_LISTENERS, values![ws, r#type, form, key, run, effect, TELL_MAX, now])
            .then(TELL_LISTENERS, values![ws, r#type, form, key, run, effect, TELL_MAX, name, now])
            .then(OUTCOMES, values![ws, r#type, form, key, run, effect, TELL_MAX, event, replay])
            .then(TELL_ON, values![ws, r#type, form, key, run, effect, TELL_MAX - 1, event, replay])
    }
}

/// What signals of an event are told by: a replay is told again.
fn name_of(event: &EventId, replay: u32) -> String {
    match replay {
        0 => event.as_str().to_owned(),
        number => format!("{event}#{number}"),
    }
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
            TELL,
            LOOKED,
            HEAR,
            TELL_LISTENERS,
            DUE_LISTENERS,
            OUTCOMES,
            TELL_ON,
            TOLD,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
