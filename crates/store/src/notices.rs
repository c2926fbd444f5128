//! Notices: the messages by which people are asked, and the buttons that they press there.
//!
//! | what happens | place | open, due |
//! |---|---|---|
//! | it is about to be sent: [`Store::begin_notice`] | – | 1, – |
//! | it was sent: [`Store::notice_sent`] | where it stands | 1, – |
//! | nothing more can be decided (in that unit, or found by [`Store::mark_dropped`]) | either | 1, now |
//! | somebody changes it: [`Store::take_notice`] | either | 1, later |
//! | it shows what became of the question: [`Store::close_notice`] | either | 0, – |
//!
//! A notice without buttons is never open: it is only remembered, so that nobody is told twice.
//!
//! A click becomes durable with the event that tells of it, and is forgotten in the unit that makes it a decision: however
//! often a node dies in between, it is taken once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flow::{ApprovalId, EventId, WorkspaceId};
use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::row::Row;
use crate::unit::values;
use crate::{Accepted, NewEvent, Result, Store, Unit, payload};

/// Bytes of a button's signature.
const TAG_BYTES: usize = 32;
/// What is signed begins so, so that no link is a button and no button a link.
const BUTTON: &[u8] = b"button\0";

/// What a button stands for: one choice of a question. It is no right to decide: who may, is who presses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    pub workspace: WorkspaceId,
    pub approval: ApprovalId,
    /// Which of the question's messages it is in.
    pub n: u32,
    /// Which of the question's choices.
    pub choice: u32,
}

/// A message by which people are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub workspace: WorkspaceId,
    pub approval: ApprovalId,
    pub n: u32,
    pub connection: String,
    /// What sends it.
    pub operation: String,
    /// How it is found again.
    pub find: Value,
    /// Where it stands, if that is known.
    pub place: Option<Value>,
    /// It has buttons.
    pub open: bool,
    pub due_at: Option<Timestamp>,
    /// How often somebody tried to change it.
    pub tries: u32,
}

/// A button that somebody pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    pub workspace: WorkspaceId,
    pub event: EventId,
    pub approval: ApprovalId,
    pub n: u32,
    pub choice: u32,
    pub due_at: Timestamp,
    /// How often somebody tried to make it a decision.
    pub tries: u32,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT workspace, approval, n, connection, operation, find, place, open, due_at, tries FROM notices ",
            $rest
        )
    };
}
const ONE: &str = select!("WHERE workspace = ?1 AND approval = ?2 AND n = ?3");
const DUE: &str = select!("WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2");
const BEGIN: &str = "INSERT INTO notices (workspace, approval, n, connection, operation, find, open, tries) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) ON CONFLICT (workspace, approval, n) DO NOTHING";
const SENT: &str = "UPDATE notices SET place = ?4 WHERE workspace = ?1 AND approval = ?2 AND n = ?3";
const TAKE: &str = "UPDATE notices SET due_at = ?5, tries = tries + 1 \
    WHERE workspace = ?1 AND approval = ?2 AND n = ?3 AND due_at = ?4";
const PUT_OFF: &str = "UPDATE notices SET due_at = ?4 WHERE workspace = ?1 AND approval = ?2 AND n = ?3";
const CLOSE: &str =
    "UPDATE notices SET open = 0, due_at = NULL WHERE workspace = ?1 AND approval = ?2 AND n = ?3";
/// To be changed, as nothing more can be decided.
const MARK: &str =
    "UPDATE notices SET due_at = ?3 WHERE workspace = ?1 AND approval = ?2 AND open = 1 AND due_at IS NULL";
/// Whatever nobody said so of: the run went on without its question, or is over.
macro_rules! dropped {
    () => {
        "WHERE open = 1 AND due_at IS NULL AND NOT EXISTS (SELECT 1 FROM approvals AS a JOIN waits AS w \
         ON w.workspace = a.workspace AND w.run = a.run AND w.effect = a.effect \
         WHERE a.workspace = notices.workspace AND a.id = notices.approval AND a.status = 'open')"
    };
}
const ANY_DROPPED: &str = concat!("SELECT 1 AS found FROM notices ", dropped!(), " LIMIT 1");
const MARK_DROPPED: &str = concat!("UPDATE notices SET due_at = ?1 ", dropped!());

/// Only of an event that is new.
const CLICK: &str = "INSERT INTO clicks (workspace, event, approval, n, choice, due_at, tries) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, 0 WHERE EXISTS (SELECT 1 FROM events WHERE workspace = ?1 AND id = ?2)";
const CLICKS: &str = "SELECT workspace, event, approval, n, choice, due_at, tries FROM clicks \
    WHERE due_at <= ?1 ORDER BY due_at, workspace, event LIMIT ?2";
const TAKE_CLICK: &str = "UPDATE clicks SET due_at = ?4, tries = tries + 1 \
    WHERE workspace = ?1 AND event = ?2 AND due_at = ?3";
const PUT_OFF_CLICK: &str = "UPDATE clicks SET due_at = ?3 WHERE workspace = ?1 AND event = ?2";
const FORGET_CLICK: &str = "DELETE FROM clicks WHERE workspace = ?1 AND event = ?2";

impl Store {
    /// A button's text: what it stands for and a signature.
    pub fn sign_button(&self, button: &Button) -> Result<String> {
        let mut bytes = serde_json::to_vec(button).map_err(|error| crate::Error::corrupt("button", error))?;
        let tag = hmac::sign(&self.inner.keys.links(), &[BUTTON, &bytes].concat());
        bytes.extend(tag.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a button's text stands for; none if it was not signed here.
    pub fn read_button(&self, text: &str) -> Option<Button> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (button, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        hmac::verify(&self.inner.keys.links(), &[BUTTON, button].concat(), tag).ok()?;
        serde_json::from_slice(button).ok()
    }

    /// Makes an event durable that tells of a click, and the click with it.
    pub async fn accept_click(
        &self,
        ws: &WorkspaceId,
        event: NewEvent,
        button: &Button,
        now: Timestamp,
    ) -> Result<Accepted> {
        let click = values![ws, &event.id, &button.approval, button.n, button.choice, now];
        self.accept_with(ws, event, Unit::new().then(CLICK, click), now).await
    }

    /// Notes that a notice is about to be sent; whether it is for the first time.
    pub async fn begin_notice(&self, notice: &Notice) -> Result<bool> {
        let Notice { workspace, approval, n, connection, operation, find, open, .. } = notice;
        let find = payload::encode(find)?;
        let begin = values![workspace, approval, *n, connection, operation, find, *open];
        let done = self.commit(Unit::new().then(BEGIN, begin)).await?;
        Ok(done.rows.first() == Some(&1))
    }

    /// A notice of a question.
    pub async fn notice(&self, ws: &WorkspaceId, approval: &ApprovalId, n: u32) -> Result<Option<Notice>> {
        self.first(ONE, values![ws, approval, n]).await?.as_ref().map(notice_of).transpose()
    }

    /// Notes where a notice stands.
    pub async fn notice_sent(
        &self,
        ws: &WorkspaceId,
        approval: &ApprovalId,
        n: u32,
        place: &Value,
    ) -> Result<()> {
        let place = payload::encode(place)?;
        self.commit(Unit::new().then(SENT, values![ws, approval, n, place])).await.map(drop)
    }

    /// Notices that are to be changed, of every workspace.
    pub async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<Notice>> {
        self.rows(DUE, values![now, limit]).await?.iter().map(notice_of).collect()
    }

    /// Has a due notice to oneself until another time. A conflict: somebody else has it.
    pub async fn take_notice(&self, notice: &Notice, until: Timestamp) -> Result<()> {
        let Notice { workspace, approval, n, due_at, .. } = notice;
        self.commit(Unit::new().one(TAKE, values![workspace, approval, *n, *due_at, until])).await.map(drop)
    }

    /// Has a notice changed at another time, or (none) not at all for now.
    pub async fn put_off_notice(&self, notice: &Notice, at: Option<Timestamp>) -> Result<()> {
        let Notice { workspace, approval, n, .. } = notice;
        self.commit(Unit::new().then(PUT_OFF, values![workspace, approval, *n, at])).await.map(drop)
    }

    /// A notice shows what became of its question, or never will.
    pub async fn close_notice(&self, notice: &Notice) -> Result<()> {
        let Notice { workspace, approval, n, .. } = notice;
        self.commit(Unit::new().then(CLOSE, values![workspace, approval, *n])).await.map(drop)
    }

    /// Finds notices whose run waits for their question no longer; how many.
    pub async fn mark_dropped(&self, now: Timestamp) -> Result<u64> {
        // Nearly always there are none, and nothing is to be written for that.
        if self.first(ANY_DROPPED, values![]).await?.is_none() {
            return Ok(0);
        }
        let done = self.commit(Unit::new().then(MARK_DROPPED, values![now])).await?;
        Ok(done.rows.iter().sum())
    }

    /// Clicks that are to become decisions, of every workspace, in the order in which they came.
    pub async fn due_clicks(&self, now: Timestamp, limit: u32) -> Result<Vec<Click>> {
        self.rows(CLICKS, values![now, limit]).await?.iter().map(click_of).collect()
    }

    /// Has a due click to oneself until another time. A conflict: somebody else has it.
    pub async fn take_click(&self, click: &Click, until: Timestamp) -> Result<()> {
        let Click { workspace, event, due_at, .. } = click;
        self.commit(Unit::new().one(TAKE_CLICK, values![workspace, event, *due_at, until])).await.map(drop)
    }

    /// Has a click become a decision at another time.
    pub async fn put_off_click(&self, click: &Click, at: Timestamp) -> Result<()> {
        let Click { workspace, event, .. } = click;
        self.commit(Unit::new().then(PUT_OFF_CLICK, values![workspace, event, at])).await.map(drop)
    }

    /// A click is no decision and won't become one.
    pub async fn forget_click(&self, click: &Click) -> Result<()> {
        self.commit(forgetting(Unit::new(), &click.workspace, &click.event)).await.map(drop)
    }
}

/// Adds to a unit that nothing more can be decided, to the question's notices.
pub(crate) fn closing(unit: Unit, ws: &WorkspaceId, approval: &ApprovalId, now: Timestamp) -> Unit {
    unit.then(MARK, values![ws, approval, now])
}

/// Adds to a unit that a click was taken.
pub(crate) fn forgetting(unit: Unit, ws: &WorkspaceId, event: &EventId) -> Unit {
    unit.then(FORGET_CLICK, values![ws, event])
}

fn notice_of(row: &Row) -> Result<Notice> {
    Ok(Notice {
        workspace: row.get("workspace")?,
        approval: row.get("approval")?,
        n: row.get("n")?,
        connection: row.get("connection")?,
        operation: row.get("operation")?,
        find: payload::decode("notice", row.bytes("find")?)?,
        place: row.maybe_bytes("place")?.map(|bytes| payload::decode("notice", bytes)).transpose()?,
        open: row.get("open")?,
        due_at: row.get("due_at")?,
        tries: row.get("tries")?,
    })
}

fn click_of(row: &Row) -> Result<Click> {
    Ok(Click {
        workspace: row.get("workspace")?,
        event: row.get("event")?,
        approval: row.get("approval")?,
        n: row.get("n")?,
        choice: row.get("choice")?,
        due_at: row.get("due_at")?,
        tries: row.get("tries")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in
            [ONE, DUE, BEGIN, SENT, TAKE, CLOSE, MARK, MARK_DROPPED, CLICK, CLICKS, TAKE_CLICK, FORGET_CLICK]
        {
            crate::database::check_plan(sql);
        }
    }
}
