//! How an event becomes runs: all that it means to every flow is decided on what is read, and written in one unit
//! whose expectations hold the decision to be still right. If it no longer is, it is made again.
//!
//! | flow | found | outcome |
//! |---|---|---|
//! | any, its keys could not be worked out | – | run, created as failed |
//! | fact flow | the fact was told before | duplicate fact |
//! | state flow (`latest`) | the lane has come further than the event | stale |
//! | state flow (`latest`) | a run of the lane that nobody claimed yet | joined; the newest event is its trigger |
//! | any | else | run |
//!
//! A replayed event is neither stale nor a duplicate fact: who replays it wants it to be handled again.

use flow::{EventId, Fault, Mode, OnFailure, RunId, WorkspaceId};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

use crate::committer::Ticket;
use crate::database::{first, instant};
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{
    Dispatch, Dispatching, Error, EventOutcome, EventStatus, FlowOutcome, NewRun, Result, Store, Unit,
    payload,
};

/// How often a decision is made again that was overtaken by others.
const MAX_DECISIONS: usize = 16;
/// Flows that one event may go to.
const MAX_FLOWS: usize = 256;

const EVENT: &str = "SELECT connection, type, time, subject, status, replays FROM events \
    WHERE workspace = ?1 AND id = ?2";
const VERSION: &str =
    "SELECT version FROM flow_revisions WHERE workspace = ?1 AND name = ?2 AND revision = ?3";
const FACT: &str = "SELECT event FROM facts WHERE workspace = ?1 AND flow = ?2 AND key = ?3";
const APPLIED: &str = "SELECT time FROM applied \
    WHERE workspace = ?1 AND flow = ?2 AND connection = ?3 AND lane = ?4";
/// A run that has never been claimed, so that nothing was read for it yet.
const UNCLAIMED: &str = "SELECT id FROM runs WHERE workspace = ?1 AND flow = ?2 AND lane = ?3 \
    AND status = 'queued' AND epoch = 0 ORDER BY seq LIMIT 1";

const DISPATCHED: &str = "UPDATE events SET status = 'dispatched' \
    WHERE workspace = ?1 AND id = ?2 AND status = 'accepted' AND replays = ?3";
const TELL: &str = "INSERT INTO facts (workspace, flow, key, event, at) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (workspace, flow, key) DO NOTHING";
/// ?18 is 1 for a state flow: then there must be nothing to join. A paused flow gives no turns.
const CREATE: &str = "INSERT INTO runs (workspace, id, flow, revision, version, status, turn, lane, keyed, latest, \
    hold, event, event_type, event_time, subject, input, epoch, retries, entries, created_at, finished_at, fault) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, CASE WHEN ?6 <> 'queued' \
    OR EXISTS (SELECT 1 FROM runs WHERE workspace = ?1 AND flow = ?3 AND lane = ?7 AND turn = 1) \
    OR EXISTS (SELECT 1 FROM flows WHERE workspace = ?1 AND name = ?3 AND paused = 1) THEN 0 ELSE 1 END, \
    ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 0, 0, 0, ?16, CASE WHEN ?6 = 'queued' THEN NULL ELSE ?16 END, ?17 \
    WHERE ?18 = 0 OR NOT EXISTS (SELECT 1 FROM runs WHERE workspace = ?1 AND flow = ?3 AND lane = ?7 \
    AND status = 'queued' AND epoch = 0)";
const JOIN: &str = "UPDATE runs SET \
    event = CASE WHEN event_time > ?5 THEN event ELSE ?3 END, \
    event_type = CASE WHEN event_time > ?5 THEN event_type ELSE ?4 END, \
    subject = CASE WHEN event_time > ?5 THEN subject ELSE ?6 END, \
    event_time = CASE WHEN event_time > ?5 THEN event_time ELSE ?5 END, \
    version = CASE WHEN revision > ?7 THEN version ELSE ?8 END, \
    revision = CASE WHEN revision > ?7 THEN revision ELSE ?7 END \
    WHERE workspace = ?1 AND id = ?2 AND status = 'queued' AND epoch = 0";
const WORKS_FOR: &str = "INSERT INTO run_events (workspace, run, event, source, time) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (workspace, run, event) DO NOTHING";
const OUTCOME: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// What is known of an event when its dispatch is decided.
struct Header {
    connection: String,
    r#type: String,
    time: Timestamp,
    subject: Option<String>,
    replays: u32,
}

/// A decision as it stands, ready to be committed.
struct Plan {
    unit: Unit,
    outcomes: Vec<FlowOutcome>,
}

impl Store {
    /// Gives an event to every flow that asks for it, and marks it dispatched.
    pub async fn dispatch(&self, dispatching: Dispatching, now: Timestamp) -> Result<Vec<FlowOutcome>> {
        let mut results = self.dispatch_all(vec![dispatching], now).await;
        results.pop().unwrap_or(Err(Error::Closed))
    }

    /// Dispatches events in their order, as a rule in one transaction; each succeeds or fails by itself.
    pub async fn dispatch_all(
        &self,
        dispatchings: Vec<Dispatching>,
        now: Timestamp,
    ) -> Vec<Result<Vec<FlowOutcome>>> {
        let mut sent = Vec::with_capacity(dispatchings.len());
        for dispatching in &dispatchings {
            sent.push(self.send(dispatching, now).await);
        }
        let mut results = Vec::with_capacity(sent.len());
        for (dispatching, sent) in dispatchings.iter().zip(sent) {
            let mut result = settle(sent).await;
            for _ in 1..MAX_DECISIONS {
                if !matches!(result, Err(Error::Conflict { .. })) {
                    break;
                }
                result = settle(self.send(dispatching, now).await).await;
            }
            results.push(result);
        }
        results
    }

    async fn send(&self, dispatching: &Dispatching, now: Timestamp) -> Result<(Ticket, Vec<FlowOutcome>)> {
        let plan = self.read(|db| plan(db, dispatching, now))?;
        let ticket = self.inner.queue.send(plan.unit).await?;
        Ok((ticket, plan.outcomes))
    }

    /// Starts a run that no event asks for.
    pub async fn start_run(&self, ws: &WorkspaceId, run: NewRun, now: Timestamp) -> Result<RunId> {
        let version = self.read(|db| version(db, ws, &run.flow, run.revision))?;
        let unit = Unit::new()
            .one(
                CREATE,
                values![
                    ws,
                    &run.id,
                    &run.flow,
                    run.revision,
                    version,
                    "queued",
                    run.lane.as_deref().unwrap_or(run.id.as_str()),
                    run.lane.is_some(),
                    false,
                    run.on_failure == OnFailure::Hold,
                    None::<&str>,
                    None::<&str>,
                    None::<i64>,
                    None::<&str>,
                    payload::encode(&run.input)?,
                    now,
                    None::<&str>,
                    false,
                ],
            )
            .tally(ws, counter::CREATED, By::Fixed(1));
        self.commit(unit).await?;
        Ok(run.id)
    }

    /// How far a lane of a state flow has come, by the clock of a source.
    pub fn applied(
        &self,
        ws: &WorkspaceId,
        flow: &str,
        connection: &str,
        lane: &str,
    ) -> Result<Option<Timestamp>> {
        self.read(|db| applied(db, ws, flow, connection, lane))
    }
}

async fn settle(sent: Result<(Ticket, Vec<FlowOutcome>)>) -> Result<Vec<FlowOutcome>> {
    let (ticket, outcomes) = sent?;
    ticket.wait().await?;
    Ok(outcomes)
}

/// Decides on one snapshot what the event means to each flow.
fn plan(db: &Connection, dispatching: &Dispatching, now: Timestamp) -> Result<Plan> {
    let Dispatching { workspace: ws, event, flows } = dispatching;
    let header = header(db, ws, event)?;
    let mut names = BTreeSet::new();
    if flows.len() > MAX_FLOWS || !flows.iter().all(|dispatch| names.insert(&dispatch.flow)) {
        return Err(Error::Refused(format!("an event goes to at most {MAX_FLOWS} flows, to each once")));
    }
    let mut plan = Plan {
        unit: Unit::new().one(DISPATCHED, values![ws, event, header.replays]),
        outcomes: Vec::with_capacity(flows.len().max(1)),
    };
    for dispatch in flows {
        plan = decide(db, plan, dispatching, &header, dispatch, now)?;
    }
    if flows.is_empty() {
        plan = plan.outcome(dispatching, &header, None, EventOutcome::NoMatch);
    }
    Ok(plan)
}

fn decide(
    db: &Connection,
    mut plan: Plan,
    dispatching: &Dispatching,
    header: &Header,
    dispatch: &Dispatch,
    now: Timestamp,
) -> Result<Plan> {
    let (ws, flow) = (&dispatching.workspace, Some(dispatch.flow.as_str()));
    let replay = header.replays > 0;
    if let Some(fault) = &dispatch.fault {
        return plan.create(db, dispatching, header, dispatch, Some(fault), now);
    }
    if let Some(fact) = &dispatch.fact {
        if !replay && is_told(db, ws, &dispatch.flow, fact)? {
            return Ok(plan.outcome(dispatching, header, flow, EventOutcome::DuplicateFact));
        }
        let params = values![ws, &dispatch.flow, fact, &dispatching.event, now];
        plan.unit = if replay { plan.unit.then(TELL, params) } else { plan.unit.one(TELL, params) };
    }
    if let (Mode::Latest, Some(lane)) = (dispatch.mode, &dispatch.lane) {
        let come = applied(db, ws, &dispatch.flow, &header.connection, lane)?;
        if !replay && come.is_some_and(|come| come > header.time) {
            return Ok(plan.outcome(dispatching, header, flow, EventOutcome::Stale));
        }
        if let Some(run) = unclaimed(db, ws, &dispatch.flow, lane)? {
            let version = version(db, ws, &dispatch.flow, dispatch.revision)?;
            return Ok(plan.join(dispatching, header, dispatch, version, run));
        }
    }
    plan.create(db, dispatching, header, dispatch, None, now)
}

impl Plan {
    fn create(
        mut self,
        db: &Connection,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
        fault: Option<&Fault>,
        now: Timestamp,
    ) -> Result<Self> {
        let (ws, event) = (&dispatching.workspace, &dispatching.event);
        let version = version(db, ws, &dispatch.flow, dispatch.revision)?;
        let lane = if fault.is_some() { None } else { dispatch.lane.as_deref() };
        let latest = dispatch.mode == Mode::Latest && lane.is_some();
        let problem =
            fault.map(serde_json::to_string).transpose().map_err(|error| Error::corrupt("fault", error))?;
        self.unit = self
            .unit
            .one(
                CREATE,
                values![
                    ws,
                    &dispatch.run,
                    &dispatch.flow,
                    dispatch.revision,
                    version,
                    if fault.is_some() { "failed" } else { "queued" },
                    lane.unwrap_or(dispatch.run.as_str()),
                    lane.is_some(),
                    latest,
                    dispatch.on_failure == OnFailure::Hold,
                    event,
                    &header.r#type,
                    header.time,
                    header.subject.as_deref(),
                    None::<Vec<u8>>,
                    now,
                    problem,
                    latest,
                ],
            )
            .then(WORKS_FOR, values![ws, &dispatch.run, event, &header.connection, header.time])
            .tally(ws, counter::CREATED, By::Fixed(1));
        let outcome = if fault.is_some() {
            self.unit = self.unit.tally(ws, counter::FAILED, By::Fixed(1));
            EventOutcome::Failed(dispatch.run.clone())
        } else {
            EventOutcome::Run(dispatch.run.clone())
        };
        Ok(self.outcome(dispatching, header, Some(&dispatch.flow), outcome))
    }

    fn join(
        mut self,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
        version: String,
        run: RunId,
    ) -> Self {
        let (ws, event) = (&dispatching.workspace, &dispatching.event);
        self.unit = self
            .unit
            .one(
                JOIN,
                values![
                    ws,
                    &run,
                    event,
                    &header.r#type,
                    header.time,
                    header.subject.as_deref(),
                    dispatch.revision,
                    version,
                ],
            )
            .then(WORKS_FOR, values![ws, &run, event, &header.connection, header.time]);
        self.outcome(dispatching, header, Some(&dispatch.flow), EventOutcome::Joined(run))
    }

    fn outcome(
        mut self,
        dispatching: &Dispatching,
        header: &Header,
        flow: Option<&str>,
        outcome: EventOutcome,
    ) -> Self {
        let ws = &dispatching.workspace;
        let (name, run, counted) = match &outcome {
            EventOutcome::Run(run) | EventOutcome::Failed(run) => ("run", Some(run), None),
            EventOutcome::Joined(run) => ("joined", Some(run), Some(counter::JOINED)),
            EventOutcome::Stale => ("stale", None, Some(counter::STALE)),
            EventOutcome::DuplicateFact => ("duplicate_fact", None, Some(counter::DUPLICATE_FACT)),
            EventOutcome::NoMatch => ("no_match", None, Some(counter::NO_MATCH)),
            EventOutcome::Quarantined => ("quarantined", None, None),
        };
        let failed = matches!(outcome, EventOutcome::Failed(_));
        self.unit = self.unit.one(
            OUTCOME,
            values![ws, &dispatching.event, header.replays, flow.unwrap_or_default(), name, run, failed],
        );
        if let Some(counter) = counted {
            self.unit = self.unit.tally(ws, counter, By::Fixed(1));
        }
        self.outcomes.push(FlowOutcome { flow: flow.map(str::to_owned), outcome, replay: header.replays });
        self
    }
}

fn header(db: &Connection, ws: &WorkspaceId, event: &EventId) -> Result<Header> {
    let found = first(db, EVENT, params![ws.as_str(), event.as_str()], |row| {
        let header = Header {
            connection: row.get("connection")?,
            r#type: row.get("type")?,
            time: instant(row, "time")?,
            subject: row.get("subject")?,
            replays: row.get("replays")?,
        };
        Ok((row.get::<_, String>("status")?, header))
    })?;
    match found {
        Some((status, header)) if status == EventStatus::Accepted.as_str() => Ok(header),
        Some((state, _)) => Err(Error::State {
            name: event.to_string(),
            state,
            detail: "only an accepted event is dispatched",
        }),
        None => Err(Error::not_found("event", event)),
    }
}

fn version(db: &Connection, ws: &WorkspaceId, flow: &str, revision: u32) -> Result<String> {
    first(db, VERSION, params![ws.as_str(), flow, revision], |row| Ok(row.get("version")?))?
        .ok_or_else(|| Error::not_found("flow revision", format!("{flow}#{revision}")))
}

fn is_told(db: &Connection, ws: &WorkspaceId, flow: &str, fact: &str) -> Result<bool> {
    Ok(first(db, FACT, params![ws.as_str(), flow, fact], |_| Ok(()))?.is_some())
}

fn applied(
    db: &Connection,
    ws: &WorkspaceId,
    flow: &str,
    connection: &str,
    lane: &str,
) -> Result<Option<Timestamp>> {
    first(db, APPLIED, params![ws.as_str(), flow, connection, lane], |row| Ok(instant(row, "time")?))
}

fn unclaimed(db: &Connection, ws: &WorkspaceId, flow: &str, lane: &str) -> Result<Option<RunId>> {
    first(db, UNCLAIMED, params![ws.as_str(), flow, lane], |row| Ok(RunId::new(row.get::<_, String>("id")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in
            [EVENT, VERSION, FACT, APPLIED, UNCLAIMED, DISPATCHED, TELL, CREATE, JOIN, WORKS_FOR, OUTCOME]
        {
            crate::database::check_plan(sql);
        }
    }
}
