//! How an event becomes runs: all that it means to every flow is decided on what is read, and written in one unit
//! whose expectations hold the decision to be still right. If it no longer is, it is made again.
//!
//! | flow | found | outcome |
//! |---|---|---|
//! | any, its keys could not be worked out | – | run, created as failed |
//! | fact flow | the fact was told before | duplicate fact |
//! | state flow (`latest`) | the lane has come further than the event | stale |
//! | state flow (`latest`) | a run of the lane that nobody claimed yet | joined; the newest event is its trigger |
//! | one that gathers events | – | see [`crate::windows`]: run for the first of a window, joined for the others |
//! | any | else | run |
//!
//! Beside that, runs that listen for the event are told of it.
//!
//! A replayed event is neither stale nor a duplicate fact: who replays it wants it to be handled again.

use flow::{EventId, Fault, Mode, OnFailure, RunId, WorkspaceId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ahead::{Ahead, overtaken};
use crate::listening::hearing;
use crate::row::{Query, Row};
use crate::stats::counter;
use crate::unit::{By, Lock, values};
use crate::windows::{self, Gathering, Open};
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
/// By the clock of the source that event ?3 came from.
const APPLIED_BY: &str = "SELECT time FROM applied WHERE workspace = ?1 AND flow = ?2 AND lane = ?4 \
    AND connection = (SELECT connection FROM events WHERE workspace = ?1 AND id = ?3)";
/// A run that has never been claimed, so that nothing was read for it yet.
const UNCLAIMED: &str = "SELECT id FROM runs WHERE workspace = ?1 AND flow = ?2 AND lane = ?3 \
    AND status = 'queued' AND epoch = 0 ORDER BY seq LIMIT 1";

const DISPATCHED: &str = "UPDATE events SET status = 'dispatched' \
    WHERE workspace = ?1 AND id = ?2 AND status = 'accepted' AND replays = ?3";
pub(crate) const TELL: &str = "INSERT INTO facts (workspace, flow, key, event, at) VALUES (?1, ?2, ?3, ?4, ?5) \
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
pub(crate) const WORKS_FOR: &str = "INSERT INTO run_events (workspace, run, event, source, time) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (workspace, run, event) DO NOTHING";
pub(crate) const OUTCOME: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// The outcome of an event that no flow asks for and no run hears.
const UNHEARD: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    SELECT ?1, ?2, ?3, '', 'no_match', NULL, 0 WHERE NOT EXISTS (SELECT 1 FROM event_outcomes \
    WHERE workspace = ?1 AND event = ?2 AND replay = ?3)";

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
        let mut results: Vec<_> =
            dispatchings.iter().map(|_| Err(Error::Conflict { what: "the event" })).collect();
        for _ in 0..MAX_DECISIONS {
            // What others overtook is decided again, all of it together.
            let again = overtaken(&dispatchings, &results);
            if again.is_empty() {
                break;
            }
            let asked: Vec<&Dispatching> =
                again.iter().filter_map(|index| dispatchings.get(*index)).collect();
            for (index, result) in again.iter().zip(self.decide_all(&asked, now).await) {
                if let Some(slot) = results.get_mut(*index) {
                    *slot = result;
                }
            }
        }
        results
    }

    /// Decides once, on what is read in one go, and commits what was decided.
    async fn decide_all(
        &self,
        dispatchings: &[&Dispatching],
        now: Timestamp,
    ) -> Vec<Result<Vec<FlowOutcome>>> {
        let known = match self.known(dispatchings).await {
            Ok(known) => known,
            // One of them asks for what the database cannot even read.
            Err(error) if error.lasts() && dispatchings.len() > 1 => {
                return self.decide_each(dispatchings, now).await;
            }
            Err(error) => {
                let detail = error.to_string();
                let mut results = vec![Err(error)];
                results.resize_with(dispatchings.len(), || Err(Error::Unavailable(detail.clone())));
                return results;
            }
        };
        self.commit_plans(dispatchings, known, now).await
    }

    /// Decides one by one, up to the first that could not be written: what comes after it must not overtake it.
    async fn decide_each(
        &self,
        dispatchings: &[&Dispatching],
        now: Timestamp,
    ) -> Vec<Result<Vec<FlowOutcome>>> {
        let mut results: Vec<Result<_>> = Vec::with_capacity(dispatchings.len());
        for dispatching in dispatchings {
            let over = |error: &Error| error.lasts() || matches!(error, Error::State { .. });
            let result = match (results.last(), self.known(&[*dispatching]).await) {
                (Some(Err(error)), _) if !over(error) => Err(Error::Conflict { what: "the event before" }),
                (_, Err(error)) => Err(error),
                (_, Ok(known)) => {
                    let mut decided = self.commit_plans(&[*dispatching], known, now).await;
                    decided.pop().unwrap_or(Err(Error::Closed))
                }
            };
            results.push(result);
        }
        results
    }

    async fn commit_plans(
        &self,
        dispatchings: &[&Dispatching],
        mut known: Known,
        now: Timestamp,
    ) -> Vec<Result<Vec<FlowOutcome>>> {
        let mut sent = Vec::with_capacity(dispatchings.len());
        for dispatching in dispatchings {
            sent.push(match known.plan(dispatching, now) {
                Ok(plan) => self.queue.send(plan.unit).await.map(|ticket| (ticket, plan.outcomes)),
                Err(error) => Err(error),
            });
        }
        let mut results = Vec::with_capacity(sent.len());
        for sent in sent {
            results.push(match sent {
                Ok((ticket, outcomes)) => ticket.wait().await.map(|_| outcomes),
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Reads whatever the decisions about these events can depend on.
    async fn known(&self, dispatchings: &[&Dispatching]) -> Result<Known> {
        let mut versions = BTreeSet::new();
        let mut queries = Vec::new();
        for Dispatching { workspace: ws, event, flows, .. } in dispatchings {
            queries.push(Query::new(EVENT, values![ws, event]));
            for dispatch in flows {
                versions.insert((ws, &dispatch.flow, dispatch.revision));
                queries.extend(asked(ws, event, dispatch));
            }
        }
        let of_events = queries.len();
        let of_version = |(ws, flow, revision): &(&WorkspaceId, &String, u32)| {
            Query::new(VERSION, values![*ws, *flow, *revision])
        };
        queries.extend(versions.iter().map(of_version));
        let mut answers = self.read(&queries).await?;
        let found = answers.split_off(of_events);
        let versions = versions.into_iter().zip(found).filter_map(|((ws, flow, revision), rows)| {
            let version = rows.first()?.get("version");
            Some(version.map(|version| ((ws.clone(), flow.clone(), revision), version)))
        });
        let versions = versions.collect::<Result<_>>()?;
        Ok(Known { versions, answers: answers.into_iter(), ahead: Ahead::default() })
    }

    /// Starts a run that no event asks for.
    pub async fn start_run(&self, ws: &WorkspaceId, run: NewRun, now: Timestamp) -> Result<RunId> {
        let id = run.id.clone();
        let unit = self.starting(Unit::new(), ws, run, now).await?;
        self.commit(unit).await?;
        Ok(id)
    }

    /// Adds to a unit that a run is started that no event asks for.
    pub(crate) async fn starting(
        &self,
        unit: Unit,
        ws: &WorkspaceId,
        run: NewRun,
        now: Timestamp,
    ) -> Result<Unit> {
        let version = self.first(VERSION, values![ws, &run.flow, run.revision]).await?;
        let version: String = version.ok_or_else(|| unknown(&run.flow, run.revision))?.get("version")?;
        let unit = creating(unit, ws, &run.flow, run.lane.as_deref())
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
        Ok(unit)
    }

    /// How far a lane of a state flow has come, by the clock of a source.
    pub async fn applied(
        &self,
        ws: &WorkspaceId,
        flow: &str,
        connection: &str,
        lane: &str,
    ) -> Result<Option<Timestamp>> {
        let row = self.first(APPLIED, values![ws, flow, connection, lane]).await?;
        row.map(|row| row.get("time")).transpose()
    }
}

/// What is asked about a dispatch, in this order; [`Known::found`] takes the answers in the same.
fn asked(ws: &WorkspaceId, event: &EventId, dispatch: &Dispatch) -> Vec<Query> {
    let flow = &dispatch.flow;
    let mut queries = Vec::new();
    if let Some(fact) = &dispatch.fact {
        queries.push(Query::new(FACT, values![ws, flow, fact]));
    }
    if let (Mode::Latest, Some(lane)) = (dispatch.mode, &dispatch.lane) {
        queries.push(Query::new(APPLIED_BY, values![ws, flow, event, lane]));
        queries.push(Query::new(UNCLAIMED, values![ws, flow, lane]));
    }
    if let Some(window) = &dispatch.window {
        let place = window.place(dispatch.lane.as_deref());
        // What has no place is refused when it is decided.
        queries.push(Query::new(windows::OPEN, values![ws, flow, place.unwrap_or_default()]));
    }
    queries
}

/// What was read for some events.
struct Known {
    versions: BTreeMap<(WorkspaceId, String, u32), String>,
    answers: std::vec::IntoIter<Vec<Row>>,
    ahead: Ahead,
}

/// What was found about one dispatch.
#[derive(Default)]
struct Found {
    told: bool,
    applied: Option<Timestamp>,
    unclaimed: Option<RunId>,
    window: Option<Open>,
}

impl Known {
    /// Decides what the next event means to each flow. Takes all answers about it, whatever comes of them.
    fn plan(&mut self, dispatching: &Dispatching, now: Timestamp) -> Result<Plan> {
        let Dispatching { workspace: ws, event, flows, answers } = dispatching;
        let header = self.answer();
        let found: Vec<Result<Found>> = flows.iter().map(|dispatch| self.found(dispatch)).collect();
        let header = header_of(event, header.as_ref())?;
        let mut names = BTreeSet::new();
        if flows.len() > MAX_FLOWS || !flows.iter().all(|dispatch| names.insert(&dispatch.flow)) {
            return Err(Error::Refused(format!("an event goes to at most {MAX_FLOWS} flows, to each once")));
        }
        let found = found.into_iter().collect::<Result<Vec<Found>>>()?;
        let known = |dispatch: &&Dispatch| {
            self.versions.contains_key(&(ws.clone(), dispatch.flow.clone(), dispatch.revision))
        };
        // Told before anything of this event counts as ahead of the others.
        if let Some(missing) = flows.iter().find(|dispatch| !known(dispatch)) {
            return Err(unknown(&missing.flow, missing.revision));
        }
        let mut plan = Plan {
            unit: Unit::new().one(DISPATCHED, values![ws, event, header.replays]),
            outcomes: Vec::with_capacity(flows.len().max(1)),
        };
        plan.unit = self.ahead.after(plan.unit, dispatching);
        for (dispatch, found) in flows.iter().zip(found) {
            plan = self.decide(plan, dispatching, &header, dispatch, found, now)?;
        }
        if !answers.is_empty() {
            plan.unit = hearing(plan.unit, ws, event, header.replays, answers, now)?;
            let first = plan.unit.statements.len();
            plan.unit = plan.unit.then(UNHEARD, values![ws, event, header.replays]).tally(
                ws,
                counter::NO_MATCH,
                By::Rows(first),
            );
        } else if flows.is_empty() {
            plan = plan.outcome(dispatching, &header, None, EventOutcome::NoMatch);
        }
        Ok(plan)
    }

    fn answer(&mut self) -> Option<Row> {
        self.answers.next().and_then(|rows| rows.into_iter().next())
    }

    fn found(&mut self, dispatch: &Dispatch) -> Result<Found> {
        let mut found = Found::default();
        if dispatch.fact.is_some() {
            found.told = self.answer().is_some();
        }
        if dispatch.mode == Mode::Latest && dispatch.lane.is_some() {
            let (applied, unclaimed) = (self.answer(), self.answer());
            found.applied = applied.map(|row| row.get("time")).transpose()?;
            found.unclaimed = unclaimed.map(|row| row.get("id")).transpose()?;
        }
        if dispatch.window.is_some() {
            found.window = self.answer().as_ref().map(Open::of).transpose()?;
        }
        Ok(found)
    }

    fn decide(
        &mut self,
        mut plan: Plan,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
        found: Found,
        now: Timestamp,
    ) -> Result<Plan> {
        let (ws, flow) = (&dispatching.workspace, Some(dispatch.flow.as_str()));
        let version = self.versions.get(&(ws.clone(), dispatch.flow.clone(), dispatch.revision));
        let version = version.ok_or_else(|| unknown(&dispatch.flow, dispatch.revision))?;
        let replay = header.replays > 0;
        if let Some(fault) = &dispatch.fault {
            return plan.create(version, dispatching, header, dispatch, Some(fault), now);
        }
        if let Some(fact) = &dispatch.fact {
            if !replay && found.told {
                return Ok(plan.outcome(dispatching, header, flow, EventOutcome::DuplicateFact));
            }
            if !replay && self.ahead.tells(ws, &dispatch.flow, fact) {
                plan.unit = plan.unit.one(FACT, values![ws, &dispatch.flow, fact]);
                return Ok(plan.outcome(dispatching, header, flow, EventOutcome::DuplicateFact));
            }
            let params = values![ws, &dispatch.flow, fact, &dispatching.event, now];
            plan.unit = if replay { plan.unit.then(TELL, params) } else { plan.unit.one(TELL, params) };
        }
        if let Some(window) = &dispatch.window {
            let event = Gathering {
                ws,
                event: &dispatching.event,
                r#type: &header.r#type,
                time: header.time,
                subject: header.subject.as_deref(),
                dispatch,
                version,
                window,
            };
            let (unit, outcome) = event.gather(plan.unit, &mut self.ahead, found.window, now)?;
            plan.unit = unit;
            return Ok(plan.works_for(dispatching, header, dispatch, outcome));
        }
        if !replay && found.applied.is_some_and(|come| come > header.time) {
            return Ok(plan.outcome(dispatching, header, flow, EventOutcome::Stale));
        }
        if let Some(run) = found.unclaimed.or_else(|| self.ahead.unclaimed(ws, dispatch)) {
            return Ok(plan.join(version, dispatching, header, dispatch, run));
        }
        self.ahead.creates(ws, dispatch);
        plan.create(version, dispatching, header, dispatch, None, now)
    }
}

impl Plan {
    /// Notes that a run works for an event, and that this is its outcome.
    fn works_for(
        mut self,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
        outcome: EventOutcome,
    ) -> Self {
        let (ws, event) = (&dispatching.workspace, &dispatching.event);
        if let EventOutcome::Run(run) | EventOutcome::Joined(run) = &outcome {
            let works_for = values![ws, run, event, &header.connection, header.time];
            self.unit = self.unit.then(WORKS_FOR, works_for);
        }
        self.outcome(dispatching, header, Some(&dispatch.flow), outcome)
    }

    fn create(
        mut self,
        version: &str,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
        fault: Option<&Fault>,
        now: Timestamp,
    ) -> Result<Self> {
        let (ws, event) = (&dispatching.workspace, &dispatching.event);
        let lane = if fault.is_some() { None } else { dispatch.lane.as_deref() };
        let latest = dispatch.mode == Mode::Latest && lane.is_some();
        let problem =
            fault.map(serde_json::to_string).transpose().map_err(|error| Error::corrupt("fault", error))?;
        self.unit = creating(self.unit, ws, &dispatch.flow, lane)
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
        version: &str,
        dispatching: &Dispatching,
        header: &Header,
        dispatch: &Dispatch,
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
            EventOutcome::Heard(run) => ("heard", Some(run), None),
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

fn header_of(event: &EventId, row: Option<&Row>) -> Result<Header> {
    let row = row.ok_or_else(|| Error::not_found("event", event))?;
    let state: String = row.get("status")?;
    if state != EventStatus::Accepted.as_str() {
        let detail = "only an accepted event is dispatched";
        return Err(Error::State { name: event.to_string(), state, detail });
    }
    Ok(Header {
        connection: row.get("connection")?,
        r#type: row.get("type")?,
        time: row.get("time")?,
        subject: row.get("subject")?,
        replays: row.get("replays")?,
    })
}

/// A new run takes its lane's turn if that is free, unless its flow is paused.
pub(crate) fn creating(unit: Unit, ws: &WorkspaceId, flow: &str, lane: Option<&str>) -> Unit {
    let (workspace, flow): (Arc<str>, Arc<str>) = (ws.as_str().into(), flow.into());
    let unit = unit.locking(Lock::FlowShared { workspace: workspace.clone(), flow: flow.clone() });
    match lane {
        Some(lane) => unit.locking(Lock::Lane { workspace, flow, lane: lane.into() }),
        None => unit,
    }
}

fn unknown(flow: &str, revision: u32) -> Error {
    Error::not_found("flow revision", format!("{flow}#{revision}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            EVENT, VERSION, FACT, APPLIED, APPLIED_BY, UNCLAIMED, DISPATCHED, TELL, CREATE, JOIN, WORKS_FOR,
            OUTCOME, UNHEARD,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
