//! The inbox: events become durable here before anybody is told that they arrived.

use flow::{EventId, Fault, RunId, WorkspaceId};
use jiff::Timestamp;
use ring::digest;
use serde_json::Value;
use std::sync::Arc;

use crate::committer::Ticket;
use crate::page::{pattern_anywhere, pattern_of_type};
use crate::row::{Query, Row};
use crate::runs::list::MAX_RESTORES;
use crate::stats::counter;
use crate::unit::{By, values};
use crate::{
    Accepted, Backend, Error, Event, EventOutcome, EventQuery, EventStatus, EventSummary, FlowOutcome,
    Listed, MAX_PAGE, NewEvent, NewQuarantine, Page, Param, Result, Store, Unit, payload,
};

/// The columns of an event, in the hot table and in history.
macro_rules! columns {
    () => {
        "seq, workspace, id, connection, dedupe_key, type, time, received_at, live, subject, status, replays, \
         payload, problem"
    };
}
pub(crate) use columns;

const REMEMBER: &str = "INSERT INTO dedupe (workspace, connection, key, event, deliveries, at) \
    VALUES (?1, ?2, ?3, ?4, 1, ?5) \
    ON CONFLICT (workspace, connection, key) DO UPDATE SET deliveries = dedupe.deliveries + 1";
/// Inserts nothing if the key was remembered for another event: that one is the original.
pub(crate) const STORE: &str = "INSERT INTO events (workspace, id, connection, dedupe_key, type, time, received_at, live, \
    subject, status, replays, payload, problem) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12 WHERE EXISTS (SELECT 1 FROM dedupe \
    WHERE workspace = ?1 AND connection = ?3 AND key = ?4 AND event = ?2)";
const QUARANTINED: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    SELECT ?1, ?2, 0, '', 'quarantined', NULL, 0 WHERE EXISTS (SELECT 1 FROM events \
    WHERE workspace = ?1 AND id = ?2)";
const REMEMBERED: &str =
    "SELECT event, deliveries FROM dedupe WHERE workspace = ?1 AND connection = ?2 AND key = ?3";
const WAITING: &str =
    concat!("SELECT ", columns!(), " FROM events WHERE status = 'accepted' ORDER BY seq LIMIT ?1");
const ONE: &str = concat!("SELECT ", columns!(), " FROM events WHERE workspace = ?1 AND id = ?2");
/// What was quarantined by who accepted it is no event.
const REPLAY: &str = "UPDATE events SET status = 'accepted', replays = replays + 1, problem = NULL \
    WHERE workspace = ?1 AND id = ?2 AND (status = 'dispatched' OR status = 'quarantined' AND type <> 'unknown')";
const SET_ASIDE: &str = "UPDATE events SET status = 'quarantined', problem = ?3 \
    WHERE workspace = ?1 AND id = ?2 AND status = 'accepted'";
const SET_ASIDE_OUTCOME: &str = "INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) \
    SELECT workspace, id, replays, '', 'quarantined', NULL, 0 FROM events WHERE workspace = ?1 AND id = ?2";
/// The type of what is no event.
const NO_TYPE: &str = "unknown";
const OUTCOMES: &str = "SELECT flow, outcome, run, failed, replay FROM event_outcomes \
    WHERE workspace = ?1 AND event = ?2 ORDER BY replay, flow";
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE workspace = ?1 AND seq < ?2 AND (?3 IS NULL OR status = ?3) \
     AND (?4 IS NULL OR connection = ?4) AND (?5 IS NULL OR lower(type) LIKE ?5 ESCAPE '\\') \
     AND (?6 IS NULL OR lower(id) LIKE ?6 ESCAPE '\\' OR lower(dedupe_key) LIKE ?6 ESCAPE '\\' \
     OR lower(subject) LIKE ?6 ESCAPE '\\') \
     AND (?7 IS NULL OR received_at >= ?7) AND (?8 IS NULL OR received_at < ?8) \
     AND (?9 IS NULL OR EXISTS (SELECT 1 FROM event_outcomes AS o WHERE o.workspace = events.workspace \
     AND o.event = events.id AND CASE WHEN o.failed = 1 THEN 'failed' ELSE o.outcome END = ?9)) \
     ORDER BY seq DESC LIMIT ?10"
);

/// Adds to a unit that an event is durable, once by its dedupe key.
pub(crate) fn storing(unit: Unit, ws: &WorkspaceId, event: &NewEvent, now: Timestamp) -> Result<Unit> {
    let place = unit.statements().len() + 1;
    Ok(unit
        .one(REMEMBER, values![ws, &event.connection, &event.dedupe_key, &event.id, now])
        .then(STORE, stored(ws, event, now)?)
        .tally(ws, counter::RECEIVED, By::Rows(place))
        .tally(ws, counter::DUPLICATE, By::Missed(place)))
}

/// What [`STORE`] takes.
pub(crate) fn stored(ws: &WorkspaceId, event: &NewEvent, now: Timestamp) -> Result<Vec<Param>> {
    Ok(values![
        ws,
        &event.id,
        &event.connection,
        &event.dedupe_key,
        &event.r#type,
        event.time,
        now,
        event.live,
        event.subject.as_deref(),
        "accepted",
        payload::encode(&event.data)?,
        None::<&str>,
    ])
}

impl Store {
    /// Makes a verified event durable, once: the same dedupe key on the same connection is a duplicate for as long
    /// as dedupe keys are kept.
    pub async fn accept_event(&self, ws: &WorkspaceId, event: NewEvent, now: Timestamp) -> Result<Accepted> {
        self.accept_with(ws, event, Unit::new(), now).await
    }

    /// The same, together with what else must hold or is changed: all of it or nothing.
    pub(crate) async fn accept_with(
        &self,
        ws: &WorkspaceId,
        event: NewEvent,
        with: Unit,
        now: Timestamp,
    ) -> Result<Accepted> {
        let unit = storing(Unit::new(), ws, &event, now)?.and(with);
        let followers = self.followers();
        let Some(first) = followers.first() else {
            let ticket = self.queue.send(unit).await?;
            return self.accepted(ws, event.id, &event.connection, &event.dedupe_key, ticket).await;
        };
        let event = accepting(ws, event, now);
        let gathering = self.gathering();
        let ticket = gathering.queue.send(unit).await?;
        let followed = match &self.inner.backend {
            Backend::Sqlite(_) => first.accepting(&gathering, &event),
            // What other nodes have accepted and not committed cannot be seen: the dispatcher keeps the order.
            Backend::Postgres(_) => false,
        };
        gathering.release().await?;
        let Event { id, connection, dedupe_key, .. } = event;
        let accepted = self.accepted(ws, id, &connection, &dedupe_key, ticket).await;
        if !followed && matches!(accepted, Ok(Accepted::Stored(_))) {
            followers.iter().for_each(|follower| follower.accepted());
        }
        accepted
    }

    /// Keeps a body that was signed rightly and is no event, once, to be looked at.
    pub async fn quarantine_event(
        &self,
        ws: &WorkspaceId,
        body: NewQuarantine,
        now: Timestamp,
    ) -> Result<Accepted> {
        let key = quarantine_key(&body.body);
        let data: Value = serde_json::from_slice(&body.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body.body).into_owned()));
        let problem = serde_json::to_string(&body.problem).map_err(|error| Error::corrupt("fault", error))?;
        let unit = Unit::new()
            .one(REMEMBER, values![ws, &body.connection, &key, &body.id, now])
            .then(
                STORE,
                values![
                    ws,
                    &body.id,
                    &body.connection,
                    &key,
                    NO_TYPE,
                    now,
                    now,
                    None::<bool>,
                    None::<&str>,
                    "quarantined",
                    payload::encode(&data)?,
                    problem,
                ],
            )
            .then(QUARANTINED, values![ws, &body.id])
            .tally(ws, counter::QUARANTINED, By::Rows(1))
            .tally(ws, counter::DUPLICATE, By::Missed(1));
        let ticket = self.queue.send(unit).await?;
        self.accepted(ws, body.id, &body.connection, &key, ticket).await
    }

    async fn accepted(
        &self,
        ws: &WorkspaceId,
        id: EventId,
        connection: &str,
        key: &str,
        ticket: Ticket,
    ) -> Result<Accepted> {
        let done = ticket.wait().await?;
        if done.rows.get(1) == Some(&1) {
            return Ok(Accepted::Stored(id));
        }
        let original = self.remembered(ws, connection, key).await?;
        Ok(Accepted::Duplicate(original.ok_or(Error::Conflict { what: "dedupe" })?))
    }

    /// The event that a dedupe key was first seen with.
    pub(crate) async fn remembered(
        &self,
        ws: &WorkspaceId,
        connection: &str,
        key: &str,
    ) -> Result<Option<EventId>> {
        let row = self.first(REMEMBERED, values![ws, connection, key]).await?;
        row.map(|row| row.get("event")).transpose()
    }

    /// Events that no dispatcher has seen yet, of every workspace, in the order of acceptance; at most
    /// [`MAX_PAGE`](crate::MAX_PAGE) at once, since their bodies come with them. Of several nodes only one finds any. Those that cannot be read are set
    /// aside.
    pub async fn undispatched_events(&self, limit: usize) -> Result<Vec<Event>> {
        let params = values![limit.min(MAX_PAGE) as i64];
        let rows = match &self.inner.backend {
            Backend::Sqlite(_) => self.rows(WAITING, params).await?,
            Backend::Postgres(postgres) => postgres.on_duty(Query::new(WAITING, params)).await?,
        };
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            match event_of(row) {
                Ok(event) => events.push(event),
                Err(error) => self.set_aside_row(row, error).await?,
            }
        }
        Ok(events)
    }

    async fn set_aside_row(&self, row: &Row, error: Error) -> Result<()> {
        let (ws, id): (WorkspaceId, EventId) = (row.get("workspace")?, row.get("id")?);
        tracing::error!(event = %id, %error, "an event that cannot be read is set aside");
        let problem = Fault::runtime(format!("the event cannot be read: {error}"));
        match self.set_aside_event(&ws, &id, &problem).await {
            Err(error) if error.lasts() => tracing::error!(event = %id, %error, "nor can it be set aside"),
            other => other?,
        }
        Ok(())
    }

    /// Whether other nodes may have the same database.
    pub fn is_shared(&self) -> bool {
        matches!(&self.inner.backend, Backend::Postgres(_))
    }

    /// Lets another node do what one of several does for all, as this one is about to stop.
    pub async fn leave_duty(&self) {
        if let Backend::Postgres(postgres) = &self.inner.backend {
            postgres.leave_duty().await;
        }
    }

    /// Whether this node does what one of several does for all: it dispatches and keeps house.
    pub async fn is_on_duty(&self) -> Result<bool> {
        match &self.inner.backend {
            Backend::Sqlite(_) => Ok(true),
            Backend::Postgres(postgres) => postgres.is_on_duty().await,
        }
    }

    /// An event's number, which orders events by acceptance; none if it is kept no longer.
    pub(crate) async fn number_of(&self, ws: &WorkspaceId, id: &EventId) -> Result<Option<i64>> {
        let found = self.search(&[one(ws, id)]).await?;
        found.into_iter().flatten().flatten().next().map(|row| row.get("seq")).transpose()
    }

    /// An event with its body.
    pub async fn event(&self, ws: &WorkspaceId, id: &EventId) -> Result<Option<Event>> {
        let found = self.search(&[one(ws, id)]).await?;
        found.into_iter().flatten().flatten().next().as_ref().map(shown_event).transpose()
    }

    /// What an event led to, replays included, oldest first.
    pub async fn event_outcomes(&self, ws: &WorkspaceId, id: &EventId) -> Result<Vec<FlowOutcome>> {
        let found = self.search(&[Query::new(OUTCOMES, values![ws, id])]).await?;
        found.into_iter().flatten().flatten().map(|row| outcome_of(&row)).collect()
    }

    /// Events, newest first.
    pub async fn events(
        &self,
        ws: &WorkspaceId,
        query: &EventQuery,
        page: Page,
    ) -> Result<Listed<EventSummary>> {
        let params = values![
            ws,
            page.before(),
            query.status.map(EventStatus::as_str),
            query.connection.as_deref(),
            query.r#type.as_deref().map(pattern_of_type),
            query.text.as_deref().map(pattern_anywhere),
            query.since,
            query.until,
            query.outcome.as_deref(),
            page.limit() as i64 + 1,
        ];
        let mut listed = self.gather(page, Query::new(LIST, params), summary_of).await?;
        let outcomes =
            listed.items.iter().map(|event| Query::new(OUTCOMES, values![ws, &event.id])).collect();
        let outcomes = self.search_each(outcomes).await?;
        let deliveries: Vec<Query> = listed
            .items
            .iter()
            .map(|event| Query::new(REMEMBERED, values![ws, &event.connection, &event.dedupe_key]))
            .collect();
        let deliveries = self.read(&deliveries).await?;
        for ((event, outcomes), remembered) in listed.items.iter_mut().zip(outcomes).zip(deliveries) {
            event.outcomes = outcomes.iter().map(outcome_of).collect::<Result<_>>()?;
            event.deliveries = remembered.first().map_or(Ok(0), |row| row.get("deliveries"))?;
        }
        Ok(listed)
    }

    /// Hands a dispatched event to the dispatcher once more, or one that was set aside. Its runs have the effect keys
    /// of the first time, so what was done is not done again; whether it is stale or tells a known fact is not asked.
    pub async fn replay_event(&self, ws: &WorkspaceId, id: &EventId) -> Result<()> {
        let unit = Unit::new().one(REPLAY, values![ws, id]).tally(ws, counter::REPLAYED, By::Fixed(1));
        for _ in 0..MAX_RESTORES {
            self.restore_event(ws, id).await?;
            match self.commit(unit.clone()).await {
                Err(Error::Conflict { .. }) => self.check_replay(ws, id).await?,
                other => return other.map(drop),
            }
            // It may be, so that housekeeping has taken it away again.
        }
        Err(Error::Conflict { what: "the event" })
    }

    /// Why an event may not be replayed.
    async fn check_replay(&self, ws: &WorkspaceId, id: &EventId) -> Result<()> {
        let found = self.search(&[one(ws, id)]).await?.into_iter().flatten().flatten().next();
        let event = summary_of(&found.ok_or_else(|| Error::not_found("event", id))?)?;
        let may = match event.status {
            EventStatus::Accepted => false,
            EventStatus::Dispatched => true,
            EventStatus::Quarantined => event.r#type != NO_TYPE,
        };
        if may {
            return Ok(());
        }
        let (name, state) = (id.to_string(), event.status.as_str().into());
        Err(Error::State { name, state, detail: "only a dispatched event can be replayed" })
    }

    /// Sets aside an accepted event that can never be dispatched, so that it is seen and no others wait behind it.
    pub async fn set_aside_event(&self, ws: &WorkspaceId, id: &EventId, problem: &Fault) -> Result<()> {
        let problem = serde_json::to_string(problem).map_err(|error| Error::corrupt("fault", error))?;
        let unit = Unit::new()
            .one(SET_ASIDE, values![ws, id, problem])
            .one(SET_ASIDE_OUTCOME, values![ws, id])
            .tally(ws, counter::QUARANTINED, By::Fixed(1));
        match self.commit(unit).await {
            // Another node was faster.
            Err(Error::Conflict { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The event as it will be stored.
fn accepting(ws: &WorkspaceId, event: NewEvent, now: Timestamp) -> Event {
    Event {
        workspace: ws.clone(),
        id: event.id,
        connection: event.connection,
        dedupe_key: event.dedupe_key,
        r#type: event.r#type,
        time: event.time,
        received_at: now,
        live: event.live,
        subject: event.subject,
        status: EventStatus::Accepted,
        replays: 0,
        data: Arc::new(event.data),
        problem: None,
    }
}

/// The same bytes are the same body.
fn quarantine_key(body: &[u8]) -> String {
    let mut key = String::from("quarantine:");
    for byte in digest::digest(&digest::SHA256, body).as_ref() {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

/// Reads an event where it stands.
pub(crate) fn one(ws: &WorkspaceId, id: &EventId) -> Query {
    Query::new(ONE, values![ws, id])
}

fn outcome_of(row: &Row) -> Result<FlowOutcome> {
    let name: String = row.get("outcome")?;
    let outcome = match (name.as_str(), row.get::<Option<RunId>>("run")?) {
        (_, Some(run)) if row.get("failed")? => EventOutcome::Failed(run),
        ("run", Some(run)) => EventOutcome::Run(run),
        ("heard", Some(run)) => EventOutcome::Heard(run),
        ("joined", Some(run)) => EventOutcome::Joined(run),
        ("stale", _) => EventOutcome::Stale,
        ("duplicate_fact", _) => EventOutcome::DuplicateFact,
        ("no_match", _) => EventOutcome::NoMatch,
        ("quarantined", _) => EventOutcome::Quarantined,
        _ => return Err(Error::corrupt("outcome", name)),
    };
    let flow = Some(row.get::<String>("flow")?).filter(|flow| !flow.is_empty());
    Ok(FlowOutcome { flow, outcome, replay: row.get("replay")? })
}

pub(crate) fn event_of(row: &Row) -> Result<Event> {
    event_with(row, payload::decode("event", row.bytes("payload")?)?)
}

/// An event to be looked at: one that was set aside since it cannot be read has no data.
fn shown_event(row: &Row) -> Result<Event> {
    match payload::decode("event", row.bytes("payload")?) {
        Err(_) if summary_of(row)?.status == EventStatus::Quarantined => event_with(row, Arc::default()),
        data => event_with(row, data?),
    }
}

fn event_with(row: &Row, data: Arc<Value>) -> Result<Event> {
    let summary = summary_of(row)?;
    let problem: Option<String> = row.get("problem")?;
    Ok(Event {
        workspace: row.get("workspace")?,
        data,
        problem: problem
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| Error::corrupt("fault", error))?,
        id: summary.id,
        connection: summary.connection,
        dedupe_key: summary.dedupe_key,
        r#type: summary.r#type,
        time: summary.time,
        received_at: summary.received_at,
        live: summary.live,
        subject: summary.subject,
        status: summary.status,
        replays: summary.replays,
    })
}

fn summary_of(row: &Row) -> Result<EventSummary> {
    let status: String = row.get("status")?;
    Ok(EventSummary {
        id: row.get("id")?,
        connection: row.get("connection")?,
        dedupe_key: row.get("dedupe_key")?,
        r#type: row.get("type")?,
        time: row.get("time")?,
        received_at: row.get("received_at")?,
        live: row.get("live")?,
        subject: row.get("subject")?,
        status: EventStatus::parse(&status)?,
        replays: row.get("replays")?,
        deliveries: 0,
        outcomes: Vec::new(),
    })
}

impl EventStatus {
    /// The name that it is stored and shown by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dispatched => "dispatched",
            Self::Quarantined => "quarantined",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::Accepted, Self::Dispatched, Self::Quarantined]
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| Error::Refused(format!("`{name}` is no status of an event")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        for sql in [
            REMEMBER,
            STORE,
            QUARANTINED,
            REMEMBERED,
            WAITING,
            ONE,
            REPLAY,
            SET_ASIDE,
            SET_ASIDE_OUTCOME,
            OUTCOMES,
            LIST,
        ] {
            crate::database::check_plan(sql);
        }
    }
}
