//! Windows: the events that a flow gathers, so that one run is made for all of them.
//!
//! A window is a run from its first event on: it is parked until the window's time, before anybody has claimed it. So
//! whatever becomes of runs becomes of windows: the wake-up, a pause, a cancellation, history. While its row in
//! `windows` is there, later events are added to it; the row goes in the unit that lets the run go on, or cancels it.
//!
//! | an event comes, and its window | it |
//! |---|---|
//! | is not open | opens one |
//! | is open, its time has come | opens the next one; the other's run is about to be woken |
//! | is open, and has no room for its bytes | ends it, and opens the next one |
//! | is open | is added; the last that it takes ends it |
//!
//! A window's run is of the newest revision that one of its events was given to.

use flow::{EventId, OnFailure, RunId, WorkspaceId};
use jiff::{SignedDuration, Timestamp};

use crate::ahead::Ahead;
use crate::dispatch::creating;
use crate::inbox::{self, event_of};
use crate::row::Row;
use crate::runs::PASS_ON;
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{Dispatch, Error, Event, EventOutcome, Result, Store, Unit};

/// Events of one window together, in bytes of JSON: they are one input, which a worker holds more than once. A single
/// event may be larger, and is alone then.
pub const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How a flow gathers an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Events of different keys are gathered apart, and so are events of different lanes.
    pub key: Option<String>,
    /// From the window's first event on.
    pub within: SignedDuration,
    /// So many events end it at once; at least two.
    pub most: u32,
    /// What the event counts for, in bytes of JSON.
    pub bytes: u64,
}

/// An open window as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub run: RunId,
    pub revision: u32,
    pub events: u64,
    pub bytes: u64,
    pub due_at: Timestamp,
}

pub(crate) const OPEN: &str = "SELECT run, revision, events, bytes, due_at FROM windows \
    WHERE workspace = ?1 AND flow = ?2 AND key = ?3";
/// The run of a window: nobody has its lane's turn by it.
const GATHER: &str = "INSERT INTO runs (workspace, id, flow, revision, version, status, turn, lane, keyed, latest, \
    hold, event, event_type, event_time, subject, epoch, ready_at, retries, entries, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, 'parked', 0, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, 0, ?13, 0, 0, ?14)";
/// ?8: the run that was there when this was decided.
const BEGIN: &str = "INSERT INTO windows (workspace, flow, key, run, revision, events, bytes, due_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7) ON CONFLICT (workspace, flow, key) DO UPDATE SET run = excluded.run, \
    revision = excluded.revision, events = 1, bytes = excluded.bytes, due_at = excluded.due_at WHERE windows.run = ?8";
const ADD: &str = "UPDATE windows SET events = events + 1, bytes = bytes + ?5, revision = ?6 \
    WHERE workspace = ?1 AND flow = ?2 AND key = ?3 AND run = ?4 AND events = ?7";
const RENEW: &str = "UPDATE runs SET revision = ?3, version = ?4 \
    WHERE workspace = ?1 AND id = ?2 AND status = 'parked' AND epoch = 0";
const END: &str = "UPDATE runs SET status = 'queued', ready_at = NULL \
    WHERE workspace = ?1 AND id = ?2 AND status = 'parked' AND epoch = 0";
const CLOSE: &str =
    "DELETE FROM windows WHERE workspace = ?1 AND flow = ?2 AND key = ?3 AND run = ?4 AND events = ?5";
/// The window of a run that goes on without it, if it has one.
pub(crate) const SHUT: &str = "DELETE FROM windows WHERE workspace = ?1 AND run = ?2";
const GATHERED: &str = concat!(
    "SELECT ",
    inbox::columns!(),
    " FROM events WHERE workspace = ?1 AND id IN (SELECT event FROM run_events WHERE workspace = ?1 AND run = ?2)"
);

impl Store {
    /// The events that a run works for, oldest first by the clocks of their sources, then in the order of acceptance.
    pub async fn gathered(&self, ws: &WorkspaceId, run: &RunId) -> Result<Vec<Event>> {
        let rows = self.rows(GATHERED, values![ws, run]).await?;
        let placed = rows.iter().map(|row| {
            let event = event_of(row)?;
            let seq: i64 = row.get("seq")?;
            Ok(((event.time, seq), event))
        });
        let mut placed = placed.collect::<Result<Vec<_>>>()?;
        placed.sort_by_key(|(place, _)| *place);
        Ok(placed.into_iter().map(|(_, event)| event).collect())
    }
}

impl Window {
    /// What tells the windows of a flow apart.
    pub(crate) fn place(&self, lane: Option<&str>) -> Result<String> {
        serde_json::to_string(&(lane, &self.key)).map_err(|error| Error::corrupt("window", error))
    }
}

impl Open {
    pub fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            run: row.get("run")?,
            revision: row.get("revision")?,
            events: row.get("events")?,
            bytes: row.get("bytes")?,
            due_at: row.get("due_at")?,
        })
    }

    /// Whether an event of so many bytes fits in.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) <= WINDOW_BYTES_MAX
    }
}

/// An event that a flow gathers.
pub(crate) struct Gathering<'a> {
    pub ws: &'a WorkspaceId,
    pub event: &'a EventId,
    pub r#type: &'a str,
    pub time: Timestamp,
    pub subject: Option<&'a str>,
    pub dispatch: &'a Dispatch,
    pub version: &'a str,
    pub window: &'a Window,
}

impl Gathering<'_> {
    /// Adds to a unit that the event comes to its window, which was found like this unless an event ahead of it leaves
    /// it otherwise. What came of it: the run of the window, or that it joined it.
    pub fn gather(
        &self,
        mut unit: Unit,
        ahead: &mut Ahead,
        found: Option<Open>,
        now: Timestamp,
    ) -> Result<(Unit, EventOutcome)> {
        let Self { ws, dispatch, window, .. } = *self;
        let (flow, key) = (&dispatch.flow, window.place(dispatch.lane.as_deref())?);
        let mut before = ahead.window(ws, flow, &key).unwrap_or(found);
        if let Some(open) = before.take_if(|open| open.due_at > now) {
            unit = creating(unit, ws, flow, Some(self.lane(&open.run)));
            if open.has_room(window.bytes) {
                let run = open.run.clone();
                let (unit, left) = self.add(unit, &key, open);
                ahead.leaves(ws, flow, &key, left);
                return Ok((unit, EventOutcome::Joined(run)));
            }
            unit = self.end(unit, &key, &open);
        }
        let due_at = now.saturating_add(window.within).unwrap_or(Timestamp::MAX);
        let (run, revision) = (dispatch.run.clone(), dispatch.revision);
        let open = Open { run: run.clone(), revision, events: 1, bytes: window.bytes, due_at };
        unit = self.open(unit, &key, &open, before.as_ref(), now);
        ahead.leaves(ws, flow, &key, Some(open));
        Ok((unit, EventOutcome::Run(run)))
    }

    /// The lane that a window's run works in.
    fn lane<'b>(&'b self, run: &'b RunId) -> &'b str {
        self.dispatch.lane.as_deref().unwrap_or(run.as_str())
    }

    /// The window takes in the event; how that leaves it.
    fn add(&self, mut unit: Unit, key: &str, open: Open) -> (Unit, Option<Open>) {
        let Self { ws, dispatch, window, version, .. } = *self;
        if dispatch.revision > open.revision {
            unit = unit.one(RENEW, values![ws, &open.run, dispatch.revision, version]);
        }
        if open.events + 1 >= window.most.into() {
            return (self.end(unit, key, &open), None);
        }
        let revision = dispatch.revision.max(open.revision);
        let add = values![ws, &dispatch.flow, key, &open.run, window.bytes, revision, open.events];
        let left = Open { revision, events: open.events + 1, bytes: open.bytes + window.bytes, ..open };
        (unit.one(ADD, add), Some(left))
    }

    /// The window takes in nothing more, and its run goes on.
    fn end(&self, unit: Unit, key: &str, open: &Open) -> Unit {
        let Self { ws, dispatch, .. } = *self;
        unit.one(END, values![ws, &open.run])
            .one(CLOSE, values![ws, &dispatch.flow, key, &open.run, open.events])
            .then(PASS_ON, values![ws, &open.run])
    }

    /// A window opens with the event, in place of one that is over, where that is still noted.
    fn open(&self, unit: Unit, key: &str, open: &Open, before: Option<&Open>, now: Timestamp) -> Unit {
        let Self { ws, dispatch, version, .. } = *self;
        let (flow, lane) = (&dispatch.flow, self.lane(&open.run));
        let gather = values![
            ws,
            &open.run,
            flow,
            open.revision,
            version,
            lane,
            dispatch.lane.is_some(),
            dispatch.on_failure == OnFailure::Hold,
            self.event,
            self.r#type,
            self.time,
            self.subject,
            open.due_at,
            now,
        ];
        let before = before.map_or("", |before| before.run.as_str());
        creating(unit, ws, flow, Some(lane))
            .one(GATHER, gather)
            .one(BEGIN, values![ws, flow, key, &open.run, open.revision, open.bytes, open.due_at, before])
            .tally(ws, counter::CREATED, By::Fixed(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [OPEN, GATHER, BEGIN, ADD, RENEW, END, CLOSE, SHUT, GATHERED] {
            crate::database::check_plan(sql);
        }
    }

    /// What is in the database has to be found again.
    #[test]
    fn places_keep_lanes_and_keys_apart() {
        let window = |key: Option<&str>| Window {
            key: key.map(str::to_owned),
            within: SignedDuration::ZERO,
            most: 1,
            bytes: 0,
        };
        let places = [
            (None, None, r#"[null,null]"#),
            (Some(""), None, r#"["",null]"#),
            (None, Some(""), r#"[null,""]"#),
            (Some("a"), Some("b"), r#"["a","b"]"#),
            (Some("a\",\"b"), None, r#"["a\",\"b",null]"#),
        ];
        for (lane, key, place) in places {
            assert_eq!(window(key).place(lane).unwrap(), place);
        }
    }
}
