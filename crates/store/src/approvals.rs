//! Questions to people: asked by a run that then waits, answered by decisions that are only ever added.
//!
//! | status | from | when |
//! |---|---|---|
//! | open | – | a run asks, in the unit that lets signals through to it |
//! | decided | open | the decision that decides, in the unit that tells the run |
//! | expired | open | the run, once the deadline has passed |
//! | dropped | open | the run waits no longer (it ended, was cancelled, or went on): never stored, but seen |

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flow::approval::{self, Asked, Decision};
use flow::journal::Outcome;
use flow::{ApprovalId, EffectRef, RunId, WorkspaceId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::notices::{self, Click};
use crate::row::{Query, Row};
use crate::unit::{Lock, values};
use crate::waits::{self, place_of};
use crate::{Error, Listed, Page, Param, Result, Store, Unit, payload};

/// A decision is tried so often when others decide at the same moment.
const ATTEMPTS: usize = 8;
/// Questions forgotten in one go.
const FORGOTTEN_MAX: i64 = 500;
/// Bytes of a link's signature.
const TAG_BYTES: usize = 32;

/// Whether a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    Open,
    Decided,
    Expired,
    Dropped,
}

impl ApprovalStatus {
    /// All of them, with their names.
    pub const ALL: [(&str, ApprovalStatus); 4] = [
        ("open", ApprovalStatus::Open),
        ("decided", ApprovalStatus::Decided),
        ("expired", ApprovalStatus::Expired),
        ("dropped", ApprovalStatus::Dropped),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("open", |(name, _)| name)
    }

    fn parse(text: &str) -> Result<ApprovalStatus> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, status)| *status).ok_or_else(|| Error::corrupt("approval status", text))
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub status: ApprovalStatus,
    pub flow: String,
    pub run: RunId,
    pub step: String,
    #[serde(flatten)]
    pub asked: Asked,
    /// What was chosen.
    pub choice: Option<String>,
    pub deadline: Option<Timestamp>,
    /// How telling the assignees went.
    pub told: Option<String>,
    pub created_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    /// In the order in which they came.
    pub decisions: Vec<Decision>,
    #[serde(skip)]
    effect: String,
}

/// A question to be asked.
#[derive(Clone, Debug)]
pub struct NewApproval {
    pub id: ApprovalId,
    pub flow: String,
    pub step: String,
    pub asked: Asked,
    pub deadline: Option<Timestamp>,
}

/// Which questions.
#[derive(Clone, Debug, Default)]
pub struct ApprovalQuery {
    pub status: Option<ApprovalStatus>,
    pub flow: Option<String>,
    pub run: Option<RunId>,
}

/// What a link that is no forgery stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalLink {
    pub workspace: WorkspaceId,
    pub approval: ApprovalId,
    /// Whose decision it takes; none: whoever gives a name.
    pub who: Option<String>,
    pub until: Timestamp,
}

macro_rules! waits {
    () => {
        "EXISTS (SELECT 1 FROM waits AS w WHERE w.workspace = a.workspace AND w.run = a.run AND w.effect = a.effect)"
    };
}
macro_rules! status {
    () => {
        concat!("CASE WHEN a.status = 'open' AND NOT ", waits!(), " THEN 'dropped' ELSE a.status END")
    };
}
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.seq, a.id, a.run, a.effect, a.flow, a.step, a.asked, a.deadline, a.choice, a.told, \
             a.created_at, a.closed_at, ",
            status!(),
            " AS status FROM approvals AS a WHERE a.workspace = ?1 AND ",
            $rest
        )
    };
}
const ONE: &str = select!("a.id = ?2");
const OF_EFFECT: &str = select!("a.run = ?2 AND a.effect = ?3");
const LIST_OPEN: &str = select!(
    "a.status = 'open' AND a.seq < ?2 AND (?3 IS NULL OR a.flow = ?3) AND (?4 IS NULL OR a.run = ?4) \
     AND EXISTS (SELECT 1 FROM waits AS v WHERE v.workspace = a.workspace AND v.run = a.run AND v.effect = a.effect) \
     ORDER BY a.seq DESC LIMIT ?5"
);
const LIST: &str = concat!(
    select!("a.seq < ?2 AND (?3 IS NULL OR a.flow = ?3) AND (?4 IS NULL OR a.run = ?4) AND (?6 IS NULL OR "),
    status!(),
    " = ?6) ORDER BY a.seq DESC LIMIT ?5"
);
const DECISIONS: &str = "SELECT who, choice, comment, at, via, origin FROM approval_decisions \
    WHERE workspace = ?1 AND approval = ?2 ORDER BY n";
const ASK: &str = "INSERT INTO approvals (workspace, id, run, effect, flow, step, asked, deadline, status, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'open', ?9)";
/// A question that another one takes the place of: nobody waits for it any longer, and what was decided stays on record.
const SET_ASIDE: &str = "UPDATE approvals SET effect = effect || '~' || id WHERE workspace = ?1 AND id = ?2";
/// Of a run that is retried: what nobody answered, in time or before the run had failed, is asked anew. Its message says
/// by now that it is not asked any more.
const SET_UNANSWERED_ASIDE: &str = "UPDATE approvals SET effect = effect || '~' || id \
    WHERE workspace = ?1 AND run = ?2 AND status IN ('open', 'expired')";
/// The question stands: ?4 is what it is from now on.
const CLOSE: &str = concat!(
    "UPDATE approvals AS a SET status = ?4, choice = ?5, closed_at = ?6 WHERE a.workspace = ?1 AND a.id = ?2 \
     AND a.status = 'open' AND (a.deadline IS NULL OR a.deadline > ?3) AND ",
    waits!()
);
const DECIDE: &str = "INSERT INTO approval_decisions (workspace, approval, n, person, who, choice, comment, at, via, \
    origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const EXPIRE: &str = "UPDATE approvals SET status = 'expired', choice = ?3, closed_at = ?4 \
    WHERE workspace = ?1 AND id = ?2 AND status = 'open'";
/// Questions of runs that are in the hot tables stay, and what was closed since ?1.
macro_rules! over {
    () => {
        "(SELECT a.workspace, a.id FROM approvals AS a WHERE a.created_at < ?1 \
         AND coalesce(a.closed_at, a.created_at) < ?1 \
         AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.workspace = a.workspace AND r.id = a.run) \
         ORDER BY a.created_at, a.seq LIMIT ?2)"
    };
}
const FORGET_DECISIONS: &str =
    concat!("DELETE FROM approval_decisions WHERE (workspace, approval) IN ", over!());
const FORGET_NOTICES: &str = concat!("DELETE FROM notices WHERE (workspace, approval) IN ", over!());
const FORGET: &str = concat!("DELETE FROM approvals WHERE (workspace, id) IN ", over!());
const TOLD: &str = "UPDATE approvals SET told = ?3 WHERE workspace = ?1 AND id = ?2";

impl Store {
    /// Asks, for an effect of a claimed run, and lets the decision through to it; what was asked already stays as it
    /// is. An effect that asks something else than before, since its run has begun afresh, asks anew.
    pub async fn ask(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        epoch: u64,
        at: &EffectRef,
        new: NewApproval,
        now: Timestamp,
    ) -> Result<Approval> {
        let place = place_of(at);
        let before = self.approval_by(OF_EFFECT, values![ws, run, &place]).await?;
        if let Some(asked) = before.as_ref().filter(|before| before.asked == new.asked) {
            if matches!(asked.status, ApprovalStatus::Open | ApprovalStatus::Dropped) {
                // A pass that begins afresh has forgotten what the one before waited for.
                self.wait(ws, run, epoch, at).await?;
            }
            return self
                .approval(ws, &asked.id)
                .await?
                .ok_or_else(|| Error::not_found("approval", &asked.id));
        }
        let NewApproval { id, flow, step, asked, deadline } = new;
        let asked = payload::encode(&asked)?;
        let unit = waits::waiting(Unit::new(), ws, run, epoch, at, None);
        let unit = match before {
            None => unit,
            Some(before) => waits::untold(unit.one(SET_ASIDE, values![ws, &before.id]), ws, run, &place),
        };
        let unit = unit.one(ASK, values![ws, &id, run, &place, flow, step, asked, deadline, now]);
        self.fenced(unit, run, epoch).await?;
        self.approval(ws, &id).await?.ok_or_else(|| Error::not_found("approval", &id))
    }

    /// A question with its decisions.
    pub async fn approval(&self, ws: &WorkspaceId, id: &ApprovalId) -> Result<Option<Approval>> {
        let Some(found) = self.approval_by(ONE, values![ws, id]).await? else { return Ok(None) };
        Ok(Some(Approval { decisions: self.decisions(ws, id).await?, ..found }))
    }

    /// The question that an effect of a run asked.
    pub async fn approval_at(
        &self,
        ws: &WorkspaceId,
        run: &RunId,
        at: &EffectRef,
    ) -> Result<Option<Approval>> {
        let found = self.approval_by(OF_EFFECT, values![ws, run, &place_of(at)]).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(Approval { decisions: self.decisions(ws, &found.id).await?, ..found }))
    }

    /// Questions, newest first, without their decisions.
    pub async fn approvals(
        &self,
        ws: &WorkspaceId,
        query: &ApprovalQuery,
        page: Page,
    ) -> Result<Listed<Approval>> {
        let (limit, flow, run) = (page.limit() as i64 + 1, query.flow.as_deref(), query.run.as_ref());
        let rows = match query.status {
            Some(ApprovalStatus::Open) => {
                self.rows(LIST_OPEN, values![ws, page.before(), flow, run, limit]).await?
            }
            status => {
                let status = status.map(ApprovalStatus::as_str);
                self.rows(LIST, values![ws, page.before(), flow, run, limit, status]).await?
            }
        };
        let numbered = rows.iter().map(|row| Ok((row.get("seq")?, approval_of(row)?)));
        Ok(Listed::cut(numbered.collect::<Result<_>>()?, page.limit()))
    }

    /// Adds a decision, if the rules allow it, and tells the run if that decides.
    pub async fn decide(&self, ws: &WorkspaceId, id: &ApprovalId, decision: Decision) -> Result<Approval> {
        self.decide_by(ws, id, decision, None, Unit::new()).await
    }

    /// The same for somebody who goes by any of these names, by a click, which is forgotten with it. `decision.by` is
    /// left to the rules.
    pub async fn decide_as(&self, click: &Click, names: &[String], decision: Decision) -> Result<Approval> {
        let (ws, id) = (&click.workspace, &click.approval);
        let taken = notices::forgetting(Unit::new(), ws, &click.event);
        self.decide_by(ws, id, decision, Some(names), taken).await
    }

    async fn decide_by(
        &self,
        ws: &WorkspaceId,
        id: &ApprovalId,
        decision: Decision,
        names: Option<&[String]>,
        with: Unit,
    ) -> Result<Approval> {
        for _ in 0..ATTEMPTS {
            let approval = self.approval(ws, id).await?.ok_or_else(|| Error::not_found("approval", id))?;
            let unit = deciding(ws, &approval, &decision, names)?.and(with.clone());
            match self.commit(unit).await {
                // Somebody decided at the same moment: what is allowed is looked at again.
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => return self.approval(ws, id).await?.ok_or_else(|| Error::not_found("approval", id)),
            }
        }
        Err(Error::Conflict { what: "the approval" })
    }

    /// Closes a question whose deadline has passed; the choice that counts then, if there is one. What was decided
    /// before stays.
    pub async fn expire(&self, ws: &WorkspaceId, id: &ApprovalId, now: Timestamp) -> Result<Approval> {
        let approval = self.approval(ws, id).await?.ok_or_else(|| Error::not_found("approval", id))?;
        let otherwise = approval.asked.otherwise.as_ref();
        let unit = Unit::new().then(EXPIRE, values![ws, id, otherwise, now]);
        self.commit(notices::closing(unit, ws, id, now)).await?;
        self.approval(ws, id).await?.ok_or_else(|| Error::not_found("approval", id))
    }

    /// Notes how telling the assignees went, in text that a vendor may have a part in.
    pub async fn note_told(&self, ws: &WorkspaceId, id: &ApprovalId, told: &str) -> Result<()> {
        let told = told.replace('\0', "");
        self.commit(Unit::new().then(TOLD, values![ws, id, told])).await.map(drop)
    }

    /// Forgets questions, with their decisions, of runs that left for the history of months before that of `keep_from`;
    /// how many rows.
    pub async fn drop_approvals(&self, keep_from: Timestamp) -> Result<u64> {
        let month = keep_from.to_zoned(TimeZone::UTC).first_of_month().and_then(|day| day.start_of_day());
        let before = month.map_or(Timestamp::MIN, |day| day.timestamp());
        let params = || values![before, FORGOTTEN_MAX];
        let unit = Unit::new()
            .locking(Lock::Moving)
            .then(FORGET_DECISIONS, params())
            .then(FORGET_NOTICES, params())
            .then(FORGET, params());
        Ok(self.commit(unit).await?.rows.iter().sum())
    }

    /// A link's text: what it stands for and a signature, for the end of an address.
    pub fn sign_link(&self, link: &ApprovalLink) -> Result<String> {
        let mut bytes = serde_json::to_vec(link).map_err(|error| Error::corrupt("link", error))?;
        let tag = hmac::sign(&self.inner.keys.links(), &bytes);
        bytes.extend(tag.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a link's text stands for; none if it was not signed here. Whether its time is over is the caller's to see.
    pub fn read_link(&self, text: &str) -> Option<ApprovalLink> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (link, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        // Takes the same time whatever is presented.
        hmac::verify(&self.inner.keys.links(), link, tag).ok()?;
        serde_json::from_slice(link).ok()
    }

    async fn approval_by(&self, sql: &'static str, params: Vec<Param>) -> Result<Option<Approval>> {
        self.first(sql, params).await?.as_ref().map(approval_of).transpose()
    }

    async fn decisions(&self, ws: &WorkspaceId, id: &ApprovalId) -> Result<Vec<Decision>> {
        let rows = self.read(&[Query::new(DECISIONS, values![ws, id])]).await?;
        rows.iter().flatten().map(decision_of).collect()
    }
}

/// Adds to a unit that a run is retried, to what it asked.
pub(crate) fn retrying(unit: Unit, ws: &WorkspaceId, run: &RunId) -> Unit {
    unit.then(SET_UNANSWERED_ASIDE, values![ws, run])
}

/// The unit that adds a decision, or why there is none. `names` are those of one person who decides.
fn deciding(
    ws: &WorkspaceId,
    approval: &Approval,
    decision: &Decision,
    names: Option<&[String]>,
) -> Result<Unit> {
    let now = decision.at;
    let late = approval.deadline.is_some_and(|deadline| deadline <= now);
    let state = match approval.status {
        ApprovalStatus::Open if late => ApprovalStatus::Expired,
        status => status,
    };
    if state != ApprovalStatus::Open {
        let state = match &approval.choice {
            Some(choice) => format!("{} ({choice})", state.as_str()),
            None => state.as_str().to_owned(),
        };
        let detail = "nothing more can be decided";
        return Err(Error::State { name: approval.id.to_string(), state, detail });
    }
    let refused = |refusal: approval::Refusal| Error::Refused(refusal.to_string());
    let mut decision = decision.clone();
    if let Some(names) = names {
        decision.by = approval.asked.who(names, &approval.decisions).map_err(refused)?;
    }
    approval.asked.allows(&decision, &approval.decisions).map_err(refused)?;
    let mut decisions = approval.decisions.clone();
    decisions.push(decision.clone());
    let choice = approval.asked.decided(&decisions);
    let (status, closed_at) = match choice {
        Some(_) => (ApprovalStatus::Decided, Some(now)),
        None => (ApprovalStatus::Open, None),
    };
    let (id, n) = (&approval.id, decisions.len() as u64);
    let Decision { by, choice: chosen, comment, at, via, origin } = &decision;
    let person = by.trim().to_lowercase();
    let unit = Unit::new().one(CLOSE, values![ws, id, now, status.as_str(), choice, closed_at]).one(
        DECIDE,
        values![ws, id, n, person, by.trim(), chosen, comment.as_ref(), *at, via, origin.as_ref()],
    );
    match choice {
        None => Ok(unit),
        Some(choice) => {
            let unit = notices::closing(unit, ws, id, now);
            let output = approval::output(id.as_str(), choice, &decisions, false);
            waits::signalling(
                unit,
                ws,
                &approval.run,
                &approval.effect,
                "decided",
                &Outcome::Output(output),
                now,
            )
        }
    }
}

fn approval_of(row: &Row) -> Result<Approval> {
    let status: String = row.get("status")?;
    Ok(Approval {
        id: row.get("id")?,
        status: ApprovalStatus::parse(&status)?,
        flow: row.get("flow")?,
        run: row.get("run")?,
        step: row.get("step")?,
        asked: payload::decode("approval", row.bytes("asked")?)?,
        choice: row.get("choice")?,
        deadline: row.get("deadline")?,
        told: row.get("told")?,
        created_at: row.get("created_at")?,
        closed_at: row.get("closed_at")?,
        decisions: Vec::new(),
        effect: row.get("effect")?,
    })
}

fn decision_of(row: &Row) -> Result<Decision> {
    Ok(Decision {
        by: row.get("who")?,
        choice: row.get("choice")?,
        comment: row.get("comment")?,
        at: row.get("at")?,
        via: row.get("via")?,
        origin: row.get("origin")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        let forgetting = [FORGET_DECISIONS, FORGET_NOTICES, FORGET];
        for sql in [ONE, OF_EFFECT, LIST_OPEN, LIST, DECISIONS, ASK, CLOSE, DECIDE, EXPIRE, TOLD]
            .into_iter()
            .chain(forgetting)
        {
            crate::database::check_plan(sql);
        }
    }
}
