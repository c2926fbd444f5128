//! Events that are asked for, of connections whose manifest says how: beside the webhook, they fill what it missed; without
//! one, they are all there is.
//!
//! | | |
//! |---|---|
//! | no gap | a window begins at the newest event that was read, less the manifest's look-back: by the vendor's clock, whatever ours says; it counts once its events are durable |
//! | no double | an event has the same dedupe key whichever way it comes |
//! | order | the older first |
//! | too many for one answer | the window is halved, where the vendor takes an end |
//! | older than the vendor keeps | what can't be had any more is said on the connection and in the log, once; the rest is read |
//! | very many that were missed | they are taken in as fast as they are worked on: who is live waits for few of them |
//! | a vendor that refuses | is asked again at the next time, and the reason stands on the connection |
//!
//! One node asks: it moves the time on before it does. If it dies, the next time finds everything again.

use std::collections::BTreeMap;
use std::time::Duration;

use connect::{Catalog, Connection, Incoming, Manifest, Poll};
use flow::{EventId, Fault, WorkspaceId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Accepted, NewEvent, NewQuarantine};
use tokio::sync::watch;

use crate::Node;
use crate::gate::{Gated, Urgency};
use crate::limits::POLL_LOOK;

/// The shortest window that is asked for: one that has too many events even so is told, and passed by.
const WINDOW_MIN: SignedDuration = SignedDuration::from_secs(1);
/// Windows of one question: as many halves as a month has of a second, and then some.
const WINDOWS_MAX: u32 = 400;
/// New events after which it is looked whether live ones would have to wait for them…
const GIVE_WAY_EVERY: u64 = 64;
/// … because so many events and runs of the workspace wait already, …
const WAITING_MAX: i64 = 256;
/// … and how often, and how many times. Runs of a flow that is paused wait for ever.
const GIVE_WAY_LOOK: Duration = Duration::from_millis(500);
const GIVE_WAY_LOOKS: u32 = 20;
/// The codes of a list that has more than one call may fetch.
const TOO_MUCH: [&str; 2] = ["list_too_long", "answer_too_large"];
/// A connection that is older than this when it is asked for first was served by its webhook alone until now: it is asked
/// from now on.
const NEW: SignedDuration = SignedDuration::from_hours(24);

/// Asks until `stop` turns true.
pub async fn watch(node: &Node, mut stop: watch::Receiver<bool>) {
    if !node.config.polls {
        return;
    }
    let mut known = Known::default();
    loop {
        // Given up in the middle, it is asked again from where the last one ended.
        let look = async {
            let asked = node.ask_due(&mut known).await;
            if let Err(error) = &asked {
                tracing::warn!(%error, "events are asked for later");
            }
            node.timer.sleep(POLL_LOOK).await;
            asked
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            asked = look => if matches!(asked, Err(store::Error::Closed)) { return },
        }
    }
}

/// Which connections' events are asked for, as of a generation of what is stored.
#[derive(Default)]
struct Known {
    generation: Option<u64>,
    /// When each was made, and how much time is between two questions.
    connections: BTreeMap<(WorkspaceId, String), (Timestamp, SignedDuration)>,
}

/// A window of time, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    from: Timestamp,
    to: Timestamp,
}

/// How reading a window went.
enum Went {
    /// So many of its events had come in no other way; and when the newest of all of them happened, as the vendor says.
    Read {
        found: u64,
        newest: Option<Timestamp>,
    },
    /// It has more events than one call may fetch.
    TooMany,
    Failed(String),
}

impl Node {
    async fn ask_due(&self, known: &mut Known) -> store::Result<()> {
        // Of several nodes the one that dispatches asks.
        if !self.store.is_on_duty().await? {
            return Ok(());
        }
        let generation = self.store.generation().await?;
        if known.generation != Some(generation) {
            known.connections = self.asked().await?;
            known.generation = Some(generation);
        }
        if known.connections.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let polls = self.store.polls().await?;
        for ((workspace, name), (made, every)) in &known.connections {
            let begun = |poll: &&store::Poll| poll.workspace == *workspace && poll.connection == *name;
            match polls.iter().find(begun) {
                None => self.store.begin_poll(workspace, name, first(*made, now), now).await?,
                Some(poll) if is_due(poll.due_at, *every, now) => self.ask_once(poll).await?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The connections whose manifest says how to ask. Sandbox twins have a time of their own, which ours says nothing of.
    async fn asked(&self) -> store::Result<BTreeMap<(WorkspaceId, String), (Timestamp, SignedDuration)>> {
        let mut asked = BTreeMap::new();
        for (workspace, info) in self.store.all_connections().await? {
            let poll = self.catalog.get(&info.connector).and_then(|manifest| manifest.poll());
            if let Some(poll) = poll.filter(|_| info.base_url.is_none() || self.config.poll_sandboxes) {
                asked.insert((workspace, info.name), (info.created_at, every(poll)));
            }
        }
        Ok(asked)
    }

    async fn ask_once(&self, due: &store::Poll) -> store::Result<()> {
        let (name, now) = (&due.connection, self.clock.now());
        let Ok(connection) = self.connection(&due.workspace, name).await else { return Ok(()) };
        let Some((manifest, poll)) =
            self.catalog.get(&connection.connector).and_then(|manifest| Some((manifest, manifest.poll()?)))
        else {
            return Ok(());
        };
        match self.store.take_poll(due, now.saturating_add(every(poll)).unwrap_or(Timestamp::MAX)).await {
            Err(store::Error::Conflict { .. }) => return Ok(()),
            taken => taken?,
        }
        let transport = self.gated(&due.workspace, &connection, manifest, None, Urgency::Background);
        let asking = Asking {
            node: self,
            transport: &transport,
            catalog: &self.catalog,
            workspace: &due.workspace,
            connection: &connection,
            manifest,
            poll,
        };
        match asking.since(due, now).await {
            Err(store::Error::Conflict { .. }) => Ok(()),
            other => other,
        }
    }
}

struct Asking<'a> {
    node: &'a Node,
    transport: &'a Gated<'a>,
    catalog: &'a Catalog,
    workspace: &'a WorkspaceId,
    connection: &'a Connection,
    manifest: &'a Manifest,
    poll: &'a Poll,
}

impl Asking<'_> {
    /// Reads everything since the last time, window by window.
    async fn since(&self, due: &store::Poll, now: Timestamp) -> store::Result<()> {
        let (from, mut lost) = begins(due, self.poll, now);
        let mut at = due.clone();
        let mut window = Window { from, to: now };
        for _ in 0..WINDOWS_MAX {
            match self.read(window).await? {
                Went::Read { found, newest } => {
                    let upto = read_upto(at.upto, newest, window);
                    self.note(&at, upto, found, lost.as_deref()).await?;
                    if window.to >= now {
                        return Ok(());
                    }
                    at.upto = upto;
                    window = Window { from: window.to, to: now };
                }
                Went::TooMany if self.poll.can_end() && window.length() > WINDOW_MIN => {
                    window.to = window.from + window.length() / 2;
                }
                Went::TooMany => {
                    let detail = format!(
                        "more events than one call may fetch between {} and {}: some of them are not here",
                        window.from, window.to
                    );
                    tracing::error!(connection = at.connection, "{detail}");
                    lost = Some(detail);
                    self.note(&at, window.to, 0, lost.as_deref()).await?;
                    at.upto = window.to;
                    window = Window { from: window.to, to: now };
                    if window.from >= now {
                        return Ok(());
                    }
                }
                Went::Failed(why) => {
                    tracing::warn!(connection = at.connection, why, "its events could not be asked for");
                    return self.node.store.poll_failed(&at, &why, self.node.clock.now()).await;
                }
            }
        }
        Ok(())
    }

    async fn note(
        &self,
        at: &store::Poll,
        upto: Timestamp,
        found: u64,
        lost: Option<&str>,
    ) -> store::Result<()> {
        if found > 0 {
            tracing::info!(connection = at.connection, found, "events that came in no other way");
            self.node.events.notify_one();
        }
        self.node.store.polled(at, upto, found, lost, self.node.clock.now()).await
    }

    async fn read(&self, window: Window) -> store::Result<Went> {
        let Some((_, operation)) = self.catalog.operation(&self.poll.operation) else {
            return Ok(Went::Failed(format!("there is no operation {}", self.poll.operation)));
        };
        let (mut found, mut newest) = (0, None);
        for arguments in self.poll.arguments(window.from, window.to) {
            let now = self.node.clock.now();
            let called = async {
                let prepared = connect::prepare(self.manifest, operation, &arguments, "")?;
                connect::perform(self.transport, self.connection, self.manifest, operation, &prepared, now)
                    .await
            };
            let mut output = match called.await {
                Ok(output) => output,
                Err(error) if TOO_MUCH.contains(&error.code.as_str()) => return Ok(Went::TooMany),
                Err(error) => return Ok(Went::Failed(error.to_string())),
            };
            let Some(Value::Array(mut records)) = output.get_mut("items").map(Value::take) else {
                return Ok(Went::Failed("the answer has no list of events".to_owned()));
            };
            if self.poll.newest_first {
                records.reverse();
            }
            let (count, mut not) = (records.len(), Vec::new());
            for record in records {
                match self.poll.incoming(record.clone()) {
                    Ok(incoming) => {
                        newest = newest.max(Some(incoming.time));
                        let new = self.accept(incoming).await?;
                        found += u64::from(new);
                        if new && found.is_multiple_of(GIVE_WAY_EVERY) {
                            self.give_way().await?;
                        }
                    }
                    Err(why) => not.push((record, why.detail)),
                }
            }
            if let Some((_, why)) = not.first().filter(|_| not.len() == count) {
                return Ok(Went::Failed(format!("none of {count} records is an event: {why}")));
            }
            for (record, why) in not {
                self.quarantine(&record, why).await?;
            }
        }
        Ok(Went::Read { found, newest })
    }

    /// Lets live events come before many that were missed: those wait at the vendor's until most of what is here was
    /// worked on, for a while.
    async fn give_way(&self) -> store::Result<()> {
        self.node.events.notify_one();
        for _ in 0..GIVE_WAY_LOOKS {
            let stats = self.node.store.stats(Some(self.workspace)).await?;
            if stats.events_undispatched + stats.runs_queued < WAITING_MAX {
                return Ok(());
            }
            self.node.timer.sleep(GIVE_WAY_LOOK).await;
        }
        Ok(())
    }

    /// Keeps what is no event where it is seen, as a delivery that is none.
    async fn quarantine(&self, record: &Value, why: String) -> store::Result<()> {
        let (name, now) = (&self.connection.name, self.node.clock.now());
        tracing::warn!(connection = name, why, "a record of the list is no event: quarantined");
        let quarantined = NewQuarantine {
            id: self.node.with_rng(|rng| EventId::timed(now, rng)),
            connection: name.clone(),
            body: record.to_string().into_bytes(),
            problem: Fault::coded("not_an_event", 422, "The record is no event", why),
        };
        self.node.store.quarantine_event(self.workspace, quarantined, now).await.map(drop)
    }

    /// Makes an event durable; whether it is new.
    async fn accept(&self, incoming: Incoming) -> store::Result<bool> {
        let name = &self.connection.name;
        if incoming.live.is_some_and(|live| live != self.connection.live) {
            return Ok(false);
        }
        let now = self.node.clock.now();
        let event = NewEvent {
            id: self.node.with_rng(|rng| EventId::timed(now, rng)),
            connection: name.clone(),
            dedupe_key: incoming.dedupe_key,
            r#type: incoming.r#type,
            time: incoming.time,
            live: incoming.live,
            subject: incoming.subject,
            data: incoming.data,
        };
        let accepted = self.node.store.accept_event(self.workspace, event, now).await?;
        Ok(matches!(accepted, Accepted::Stored(_)))
    }
}

impl Window {
    fn length(self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

/// From when on a connection is asked for that never was.
fn first(made: Timestamp, now: Timestamp) -> Timestamp {
    if now.duration_since(made) > NEW { now } else { made.min(now) }
}

/// Whether a question is due; one that is due later than any can be was dated by a clock that has been set back since.
fn is_due(due_at: Timestamp, every: SignedDuration, now: Timestamp) -> bool {
    due_at <= now || due_at.duration_since(now) > every
}

fn every(poll: &Poll) -> SignedDuration {
    SignedDuration::try_from(poll.every).unwrap_or(SignedDuration::MAX)
}

/// Until when everything is read after a window. Not until the window's end, which is by our clock: one that is ahead of
/// the vendor's by more than the look-back would never ask for what happens now.
fn read_upto(before: Timestamp, newest: Option<Timestamp>, window: Window) -> Timestamp {
    newest.map_or(before, |newest| before.max(newest.min(window.to)))
}

/// Where the next question begins, and what can't be had any more.
fn begins(due: &store::Poll, poll: &Poll, now: Timestamp) -> (Timestamp, Option<String>) {
    let from = due.upto.min(now).saturating_sub(poll.look_back).unwrap_or(Timestamp::MIN);
    let Some(oldest) = poll.retention.and_then(|kept| now.saturating_sub(kept).ok()) else {
        return (from, None);
    };
    if from >= oldest {
        return (from, None);
    }
    // Where nothing happens for long, it is the last question that tells.
    let lost = (due.asked_at.unwrap_or(due.upto).max(due.upto) < oldest).then(|| {
        let detail = format!("events between {} and {oldest} are older than the vendor keeps them", due.upto);
        tracing::error!(connection = due.connection, "{detail}");
        detail
    });
    (oldest, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let text = "
manifest: 1
slug: acme
title: Acme
version: 1.0.0
summary: For tests
base_url: https://api.acme.example
hosts: [api.acme.example]
credentials: {key: {title: Key, help: There}}
auth: {bearer: key}
errors: {rules: [{status: 5xx, class: retry}]}
pagination: {pages: {items: data, more: more, next: {last: id}, send: after}}
operations:
  events.list:
    summary: List events
    request: GET /events
    effects: read
    pages: true
    params:
      created: {type: object, description: Between these}
      new: {type: boolean, description: Only new ones}
triggers:
  poll:
    operation: events.list
    first: {new: true}
    since: created[from]
    until: created[to]
    times: unix_s
    look_back_s: 100
    retention_h: 1
    is_event: {object: event}
    dedupe_key: id
    type: type
    time: at
";
        Manifest::parse("acme.yaml", text).unwrap_or_else(|found| panic!("{found:#?}"))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// By the vendor's clock, so that one of ours that is wrong by hours neither skips nor stops anything.
    #[test]
    fn what_is_read_counts_by_the_vendors_clock() {
        let window = Window { from: at(100), to: at(900) };
        for (before, newest, upto) in [
            (50, Some(300), 300),
            (50, None, 50),
            (400, Some(300), 400),
            // A date that is no good does not move it past what was asked for.
            (50, Some(9_999), 900),
        ] {
            assert_eq!(read_upto(at(before), newest.map(at), window), at(upto), "{newest:?}");
        }
        let hour = 3600;
        assert_eq!(first(at(5), at(5 + hour)), at(5), "new");
        assert_eq!(first(at(9), at(5)), at(5), "made by a clock that was ahead");
        assert_eq!(first(at(5), at(5 + 25 * hour)), at(5 + 25 * hour), "old: its webhook served it");
        let due = |due_at| is_due(at(due_at), SignedDuration::from_secs(300), at(5));
        assert!(due(5) && !due(6) && !due(305));
        assert!(due(306), "the clock was ahead when it was asked last");
    }

    #[test]
    fn a_window_begins_where_the_last_one_ended_less_the_look_back() {
        let manifest = manifest();
        let poll = manifest.poll().unwrap();
        let due = |upto: i64| store::Poll {
            workspace: WorkspaceId::default(),
            connection: "acme".into(),
            upto: at(upto),
            due_at: at(0),
            asked_at: None,
            found: 0,
            problem: None,
        };
        // Nothing happened since, but it was asked.
        let asked = store::Poll { asked_at: Some(at(9_990)), ..due(0) };
        assert_eq!(begins(&asked, poll, at(10_000)), (at(6_400), None));
        // Our clock was ahead for a while.
        assert_eq!(begins(&due(90_000), poll, at(10_000)), (at(9_900), None));
        // The vendor keeps an hour: at 10 000 that is from 6 400 on.
        for (upto, begins_at, loses) in [
            (9_000, 8_900, false),
            (6_500, 6_400, false),
            (6_450, 6_400, false),
            (6_399, 6_400, true),
            (0, 6_400, true),
        ] {
            let (from, lost) = begins(&due(upto), poll, at(10_000));
            assert_eq!((from, lost.is_some()), (at(begins_at), loses), "{upto}");
        }
        assert_eq!(
            poll.arguments(at(5), at(7)),
            [
                serde_json::json!({"new": true, "created": {"from": 5, "to": 7}}),
                serde_json::json!({"created": {"from": 5, "to": 7}}),
            ]
        );
    }
}
