//! What runs wait for from outside, and what they are told: an answer, the end of another run, an event.
//!
//! | what | does |
//! |---|---|
//! | a wait | lets signals through to one effect of a run, until the effect is over |
//! | a signal | is told once by its name, in the unit of whatever decided it, and makes a parked run due |
//! | a run that parks | is due at once if it was told something that it has not read |
//! | a run that takes a signal | forgets it in the unit that journals it |
//! | a run that is cancelled | leaves behind what it awaits, until that is cancelled too |
//!
//! Telling and parking both write the run's row before they look at what the other did: neither misses the other. Telling
//! writes it before the signal gets its number, too: whoever has read a number has read all before it.

use flow::{EffectRef, EventId, RunId, WorkspaceId};
use jiff::Timestamp;
use ring::digest;
use serde::Serialize;
use serde_json::Value;

use crate::row::Row;
use crate::unit::values;
use crate::{NewRun, Result, Store, Unit, payload};

/// Signals read in one go; more are read once these are taken.
const MAX_READ: i64 = 256;
/// Longer texts stand in keys as their digest: PostgreSQL's indexes take rows of some 2,700 bytes. So do texts with a
/// U+0000, which PostgreSQL refuses.
const MAX_TEXT: usize = 200;

/// The run is still the caller's.
pub(crate) const PROVE: &str = "UPDATE runs SET entries = entries \
    WHERE workspace = ?1 AND id = ?2 AND epoch = ?3 AND status = 'running'";
/// A pass that began afresh may await another run than the one before.
const WAIT: &str = "INSERT INTO waits (workspace, run, effect, awaited, looked) VALUES (?1, ?2, ?3, ?4, 0) \
    ON CONFLICT (workspace, run, effect) DO UPDATE SET awaited = excluded.awaited \
    WHERE excluded.awaited IS NOT NULL AND waits.awaited <> excluded.awaited";
const WAITS: &str = "SELECT effect, looked FROM waits WHERE workspace = ?1 AND run = ?2";
const TELL: &str = "INSERT INTO signals (workspace, run, effect, name, payload, at) \
    SELECT workspace, run, effect, ?4, ?5, ?6 FROM waits WHERE workspace = ?1 AND run = ?2 AND effect = ?3 \
    ON CONFLICT (workspace, run, effect, name) DO NOTHING";
/// Writes the row in any case: whoever parks the run meanwhile comes before or after.
const DUE: &str = "UPDATE runs SET ready_at = CASE WHEN status = 'parked' THEN ?3 ELSE ready_at END \
    WHERE workspace = ?1 AND id = ?2 AND finished_at IS NULL";
const TELL_PARENTS: &str = "INSERT INTO signals (workspace, run, effect, name, payload, at) \
    SELECT workspace, run, effect, 'ended', ?3, ?4 FROM waits WHERE workspace = ?1 AND awaited = ?2 \
    ON CONFLICT (workspace, run, effect, name) DO NOTHING";
const DUE_PARENTS: &str = "UPDATE runs SET ready_at = CASE WHEN status = 'parked' THEN ?3 ELSE ready_at END \
    WHERE workspace = ?1 AND id IN (SELECT run FROM waits WHERE workspace = ?1 AND awaited = ?2) \
    AND finished_at IS NULL";
/// Of a run that was just parked: it has been told something after signal ?3.
const DUE_AGAIN: &str = "UPDATE runs SET ready_at = 0 WHERE workspace = ?1 AND id = ?2 AND status = 'parked' \
    AND EXISTS (SELECT 1 FROM signals WHERE workspace = ?1 AND run = ?2 AND seq > ?3)";
const SIGNALS: &str = "SELECT seq, effect, name, payload FROM signals \
    WHERE workspace = ?1 AND run = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";
const COUNT: &str = "SELECT count(*) AS n FROM signals WHERE workspace = ?1 AND run = ?2";
const TAKE: &str = "DELETE FROM signals WHERE workspace = ?1 AND run = ?2 AND seq = ?3";
/// An effect that is over, or all of a run.
const FORGET: [&str; 3] = [
    "DELETE FROM waits WHERE workspace = ?1 AND run = ?2 AND effect = ?3",
    "DELETE FROM listeners WHERE workspace = ?1 AND run = ?2 AND effect = ?3",
    "DELETE FROM signals WHERE workspace = ?1 AND run = ?2 AND effect = ?3",
];
const FORGET_ALL: [&str; 3] = [
    "DELETE FROM waits WHERE workspace = ?1 AND run = ?2",
    "DELETE FROM listeners WHERE workspace = ?1 AND run = ?2",
    "DELETE FROM signals WHERE workspace = ?1 AND run = ?2",
];

/// Of a run that was cancelled: what it awaits is to be cancelled too, and forgotten then.
const LEAVE: [&str; 4] = [
    "DELETE FROM waits WHERE workspace = ?1 AND run = ?2 AND awaited IS NULL",
    "UPDATE waits SET looked = 2 WHERE workspace = ?1 AND run = ?2",
    FORGET_ALL[1],
    FORGET_ALL[2],
];
const LEFT: &str =
    "SELECT workspace, run, effect, awaited FROM waits WHERE looked = 2 ORDER BY workspace, run LIMIT ?1";
const AWAITED: &str = "SELECT 1 FROM waits WHERE workspace = ?1 AND awaited = ?2 AND awaited IS NOT NULL AND looked <> 2 LIMIT 1";

pub(crate) const NOTE_HOPS: &str = "INSERT INTO hops (workspace, event, n, at) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (workspace, event) DO NOTHING";
const HOPS: &str = "SELECT n FROM hops WHERE workspace = ?1 AND event = ?2";

const HOPS_OF_GATHERED: &str = "SELECT max(n) AS n FROM hops WHERE workspace = ?1 \
    AND event IN (SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2)";

/// What a run was told and has not taken yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// In the order of telling.
    pub seq: u64,
    /// The effect that it is for: [`place_of`] it.
    pub effect: String,
    /// Told once by this name.
    pub name: String,
    pub told: Told,
}

/// What a signal says.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// This.
    Value(Value),
    /// That this event came.
    Event(EventId),
}

/// What a cancelled run waited for the end of.
pub(crate) struct Left {
    pub workspace: WorkspaceId,
    pub run: RunId,
    pub effect: String,
    pub awaited: RunId,
}

/// An effect that waits for signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// [`place_of`] the effect.
    pub effect: String,
    /// Events that had come before it began were looked for.
    pub looked: bool,
}

/// An effect of a run as it is named in keys.
pub fn place_of(at: &EffectRef) -> String {
    short(format!("{}#{}.{}", at.path, at.visit, at.generation))
}

/// Text as it stands in a key.
pub(crate) fn short(text: String) -> String {
    if text.len() <= MAX_TEXT && !text.contains('\0') {
        return text;
    }
    let mut short = String::from("sha256:");
    for byte in digest::digest(&digest::SHA256, text.as_bytes()).as_ref() {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

impl Store {
    /// Lets signals through to an effect of a claimed run, from now until the effect is over.
    pub async fn wait(&self, ws: &WorkspaceId, run: &RunId, epoch: u64, at: &EffectRef) -> Result<()> {
        self.fenced(waiting(Unit::new(), ws, run, epoch, at, None), run, epoch).await
    }

    /// Starts another run (none: it was started before), for a claimed one; `at` is its effect that waits for the end.
    pub async fn start_child(
        &self,
        ws: &WorkspaceId,
        (parent, epoch): (&RunId, u64),
        at: Option<&EffectRef>,
        child: &RunId,
        new: Option<NewRun>,
        now: Timestamp,
    ) -> Result<()> {
        let unit = match at {
            Some(at) if new.is_some() => {
                // What the effect was told before is of another run.
                let unit = waiting(Unit::new(), ws, parent, epoch, at, Some(child));
                untold(unit, ws, parent, &place_of(at))
            }
            Some(at) => waiting(Unit::new(), ws, parent, epoch, at, Some(child)),
            None => Unit::new().one(PROVE, values![ws, parent, epoch]),
        };
        let unit = match new {
            Some(new) => self.starting(unit, ws, new, now).await?,
            None => unit,
        };
        self.fenced(unit, parent, epoch).await
    }

    /// Notes how far an emitted event, or a run that a run started, is from what came from outside.
    pub async fn note_hops(&self, ws: &WorkspaceId, id: &str, hops: u32, now: Timestamp) -> Result<()> {
        self.commit(Unit::new().then(NOTE_HOPS, values![ws, id, hops, now])).await.map(drop)
    }

    /// How far an emitted event or a run that was started is; 1 where nothing is noted.
    pub async fn hops(&self, ws: &WorkspaceId, id: &str) -> Result<u32> {
        self.first(HOPS, values![ws, id]).await?.map_or(Ok(1), |row| row.get("n"))
    }

    /// The same for a run of several events: as far as the farthest of them.
    pub async fn hops_of_gathered(&self, ws: &WorkspaceId, run: &RunId) -> Result<u32> {
        let row = self.first(HOPS_OF_GATHERED, values![ws, run]).await?;
        let farthest: Option<u32> = row.map_or(Ok(None), |row| row.get("n"))?;
        Ok(farthest.unwrap_or(1))
    }

    /// The effects of a run that wait.
    pub async fn waits(&self, ws: &WorkspaceId, run: &RunId) -> Result<Vec<Wait>> {
        let rows = self.rows(WAITS, values![ws, run]).await?;
        rows.iter().map(|row| Ok(Wait { effect: row.get("effect")?, looked: row.get("looked")? })).collect()
    }

    /// Tells an effect of a run something, once by this name; whether it waits and was not told before. The run is
    /// claimed again if it was put aside.
    pub async fn signal(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        effect: &str,
        name: &str,
        value: &impl Serialize,
        now: Timestamp,
    ) -> Result<bool> {
        let unit = signalling(Unit::new(), ws, run, effect, name, value, now)?;
        Ok(self.commit(unit).await?.rows.last() == Some(&1))
    }

    /// What a run was told after the signal `after` (0: all), in order; some of it if it is much.
    pub async fn signals(&self, ws: &WorkspaceId, run: &RunId, after: u64) -> Result<Vec<Signal>> {
        let rows = self.rows(SIGNALS, values![ws, run, after, MAX_READ]).await?;
        rows.iter().map(signal_of).collect()
    }

    /// Some of what cancelled runs waited for the end of.
    pub(crate) async fn left_behind(&self) -> Result<Vec<Left>> {
        let rows = self.rows(LEFT, values![MAX_READ]).await?;
        let left = |row: &Row| {
            let (workspace, run) = (row.get("workspace")?, row.get("run")?);
            Ok(Left { workspace, run, effect: row.get("effect")?, awaited: row.get("awaited")? })
        };
        rows.iter().map(left).collect()
    }

    /// Whether a run waits for the end of another that was not cancelled.
    pub(crate) async fn is_awaited(&self, ws: &WorkspaceId, run: &RunId) -> Result<bool> {
        Ok(self.first(AWAITED, values![ws, run]).await?.is_some())
    }

    /// Nothing of an effect waits any longer.
    pub(crate) async fn forget_wait(&self, ws: &WorkspaceId, run: &RunId, effect: &str) -> Result<()> {
        let forgetting = |unit: Unit, sql: &'static str| unit.then(sql, values![ws, run, effect]);
        self.commit(FORGET.into_iter().fold(Unit::new(), forgetting)).await.map(drop)
    }

    /// How many signals a run has not taken.
    pub async fn signals_waiting(&self, ws: &WorkspaceId, run: &RunId) -> Result<u64> {
        let row = self.rows(COUNT, values![ws, run]).await?;
        row.first().map_or(Ok(0), |row| row.get("n"))
    }
}

/// Adds to a unit, as its first statement, that the run is the caller's, and that one of its effects waits; for the end
/// of a run where one is awaited.
pub(crate) fn waiting(
    unit: Unit,
    ws: &WorkspaceId,
    run: &RunId,
    epoch: u64,
    at: &EffectRef,
    awaited: Option<&RunId>,
) -> Unit {
    unit.one(PROVE, values![ws, run, epoch]).then(WAIT, values![ws, run, &place_of(at), awaited])
}

/// Adds to a unit that an effect of a run is told something: the last of two statements touches a row if it waits and
/// was not told before.
pub(crate) fn signalling(
    unit: Unit,
    ws: &WorkspaceId,
    run: &RunId,
    effect: &str,
    name: &str,
    value: &impl Serialize,
    now: Timestamp,
) -> Result<Unit> {
    let payload = payload::encode(value)?;
    Ok(unit.then(DUE, values![ws, run, now]).then(TELL, values![ws, run, effect, name, payload, now]))
}

/// Adds to a unit that what an effect was told and has not taken is forgotten.
pub(crate) fn untold(unit: Unit, ws: &WorkspaceId, run: &RunId, place: &str) -> Unit {
    unit.then(FORGET[2], values![ws, run, place])
}

/// Adds to a unit that a run is over, to those that wait for its end.
pub(crate) fn ending(
    unit: Unit,
    ws: &WorkspaceId,
    run: &RunId,
    outcome: &impl Serialize,
    now: Timestamp,
) -> Result<Unit> {
    let payload = payload::encode(outcome)?;
    Ok(unit.then(DUE_PARENTS, values![ws, run, now]).then(TELL_PARENTS, values![ws, run, payload, now]))
}

/// Adds to a unit that parks a run: it is due at once if it was told something after `seen`.
pub(crate) fn parking(unit: Unit, ws: &WorkspaceId, run: &RunId, seen: u64) -> Unit {
    unit.then(DUE_AGAIN, values![ws, run, seen])
}

/// Adds to a unit that a run has taken signals, and that effects of it wait no longer.
pub(crate) fn taking(
    mut unit: Unit,
    ws: &WorkspaceId,
    run: &RunId,
    taken: &[u64],
    over: &[EffectRef],
) -> Unit {
    for seq in taken {
        unit = unit.then(TAKE, values![ws, run, *seq]);
    }
    for at in over {
        let place = place_of(at);
        for sql in FORGET {
            unit = unit.then(sql, values![ws, run, &place]);
        }
    }
    unit
}

/// Adds to a unit that nothing of a run waits any longer.
pub(crate) fn forgetting(mut unit: Unit, ws: &WorkspaceId, run: &RunId) -> Unit {
    for sql in FORGET_ALL {
        unit = unit.then(sql, values![ws, run]);
    }
    unit
}

/// Adds to a unit that cancels a run that it waits for nothing, but what it awaited is remembered.
pub(crate) fn leaving(mut unit: Unit, ws: &WorkspaceId, run: &RunId) -> Unit {
    for sql in LEAVE {
        unit = unit.then(sql, values![ws, run]);
    }
    unit
}

fn signal_of(row: &Row) -> Result<Signal> {
    let name: String = row.get("name")?;
    let told = match row.maybe_bytes("payload")? {
        Some(bytes) => Told::Value(payload::decode("signal", bytes)?),
        // A replayed event is told again, by its number.
        None => Told::Event(EventId::new(name.split('#').next().unwrap_or_default())),
    };
    Ok(Signal { seq: row.get("seq")?, effect: row.get("effect")?, name, told })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        let single = [
            PROVE,
            WAIT,
            WAITS,
            TELL,
            DUE,
            TELL_PARENTS,
            DUE_PARENTS,
            DUE_AGAIN,
            SIGNALS,
            COUNT,
            TAKE,
            NOTE_HOPS,
            HOPS,
            HOPS_OF_GATHERED,
            LEFT,
            AWAITED,
        ];
        for sql in single.into_iter().chain(FORGET).chain(FORGET_ALL).chain(LEAVE) {
            crate::database::check_plan(sql);
        }
    }

    #[test]
    fn long_texts_stand_as_their_digest() {
        let at = |path: &str| EffectRef { path: path.into(), visit: 2, generation: 1 };
        assert_eq!(place_of(&at("/do/0/a")), "/do/0/a#2.1");
        let long = place_of(&at(&"/x".repeat(200)));
        assert_eq!(long.len(), 71);
        assert_ne!(long, place_of(&EffectRef { visit: 3, ..at(&"/x".repeat(200)) }));
        assert_eq!(short("a\0b".into()).len(), 71);
    }
}
