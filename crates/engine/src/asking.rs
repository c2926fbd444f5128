//! Clicks become decisions, and messages show what became of their questions.
//!
//! | | |
//! |---|---|
//! | who clicks | is who the vendor says, by the names that its manifest believes; whoever may not decide is told so, alone |
//! | a click counts once | it is forgotten in the unit that adds the decision |
//! | a message is changed | once nothing more can be decided, whoever decided it and wherever, or nobody |
//! | a vendor that is away | is asked again, as runs do; one that refuses is let be, and the log says why |
//!
//! What is to be done stands in the store. One node does it; if that dies, the next one goes on when the lease is over.

use std::sync::Arc;

use connect::{Asking, Class, Connection, Manifest, Prepared};
use flow::approval::Decision;
use flow::{Fault, WorkspaceId};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::approvals::{Approval, ApprovalStatus};
use store::notices::{Click, Notice};
use tokio::sync::watch;

use crate::Node;
use crate::connections::NotOpen;
use crate::gate::Urgency;
use crate::limits::{ASKED_AT_ONCE, ASKED_BATCH, ASKED_LOOKS, DROPPED_INTERVAL, NOTICE_FINDS_MAX};
use crate::notices::{is_found, outcome};
use crate::retry::Next;

/// How an attempt went.
enum Went {
    Done,
    /// Something is to be had later.
    Later(connect::Error),
    /// It never will.
    Never(String),
}

/// Works until `stop` turns true.
pub async fn watch(node: &Node, mut stop: watch::Receiver<bool>) {
    let mut swept = None;
    loop {
        let work = async {
            let done = node.look_after_questions(&mut swept).await;
            if let Err(error) = &done {
                tracing::warn!(%error, "questions to people are looked after later");
            }
            done
        };
        // What is under way may end: whoever starts next would have to wait for its lease.
        let mut told = stop.clone();
        let grace = async {
            drop(told.wait_for(|stop| *stop).await.map(drop));
            node.timer.sleep(node.config.stop_grace).await;
        };
        let done = tokio::select! {
            biased;
            done = work => done,
            () = grace => return,
        };
        if matches!(done, Err(store::Error::Closed)) {
            return;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = node.asked.notified() => {}
            () = node.timer.sleep(node.config.poll_interval.saturating_mul(ASKED_LOOKS)) => {}
        }
    }
}

impl Node {
    async fn look_after_questions(&self, swept: &mut Option<Timestamp>) -> store::Result<()> {
        // Of several nodes the one that dispatches does this.
        if !self.store.is_on_duty().await? {
            return Ok(());
        }
        let now = self.clock.now();
        if swept.is_none_or(|at: Timestamp| now.duration_since(at).abs() >= DROPPED_INTERVAL) {
            self.store.mark_dropped(now).await?;
            *swept = Some(now);
        }
        let clicks = self.store.due_clicks(now, ASKED_BATCH).await?;
        let mut took = futures_util::stream::iter(clicks)
            .map(|click| async move { self.take(&click).await })
            .buffered(ASKED_AT_ONCE);
        while let Some(taken) = took.next().await {
            on_to_the_next(taken)?;
        }
        let notices = self.store.due_notices(self.clock.now(), ASKED_BATCH).await?;
        let mut changed = futures_util::stream::iter(notices)
            .map(|notice| async move { self.change(&notice).await })
            .buffered(ASKED_AT_ONCE);
        while let Some(changed) = changed.next().await {
            on_to_the_next(changed)?;
        }
        Ok(())
    }

    /// The time at which something is tried again that is being tried now, if nobody says otherwise.
    fn asked_until(&self) -> Timestamp {
        let now = self.clock.now();
        now.saturating_add(self.config.lease).unwrap_or(now)
    }

    /// When something is tried again after the `tries`th failure; none: never.
    fn asked_again(&self, error: &connect::Error, tries: u32) -> Option<Timestamp> {
        let now = self.clock.now();
        match self.with_rng(|rng| self.config.retry.next(error, tries, now, now, rng)) {
            Next::At(at) => Some(at),
            Next::Stop | Next::Exhausted(_) => None,
        }
    }

    /// The connection that a message was sent by, and how its vendor asks.
    async fn asked_by(
        &self,
        workspace: &WorkspaceId,
        name: &str,
    ) -> store::Result<Result<(Arc<Connection>, &Manifest, &Asking), Fault>> {
        // One try: others wait for what comes after this one.
        let connection = match self.connections.open(&self.store, workspace, name, Some(self.lender())).await
        {
            Ok(connection) => connection,
            Err(NotOpen::Store(error)) if error.passes() => return Err(error),
            Err(not) => return Ok(Err(not.into_fault(name))),
        };
        let manifest = self.catalog.get(&connection.connector);
        let asking = manifest.and_then(|manifest| Some((manifest, manifest.asking()?)));
        Ok(match asking {
            Some((manifest, asking)) => Ok((connection, manifest, asking)),
            None => {
                Err(crate::fault::connection(format!("`{name}` is no connection that people are asked by")))
            }
        })
    }

    /// Makes a click a decision.
    async fn take(&self, click: &Click) -> store::Result<()> {
        let until = self.asked_until();
        match self.store.take_click(click, until).await {
            Err(store::Error::Conflict { .. }) => return Ok(()),
            taken => taken?,
        }
        let went = match self.decide(click).await {
            Err(error) if error.lasts() => Went::Never(error.to_string()),
            went => went?,
        };
        match went {
            // It is forgotten with the decision.
            Went::Done => return Ok(()),
            Went::Later(error) => match self.asked_again(&error, click.tries + 1) {
                Some(at) => return self.store.put_off_click(click, at).await,
                None => {
                    tracing::error!(approval = %click.approval, event = %click.event, %error, "a click is given up")
                }
            },
            Went::Never(why) => {
                tracing::warn!(approval = %click.approval, event = %click.event, why, "a click counts for nothing");
            }
        }
        self.store.forget_click(click).await
    }

    async fn decide(&self, click: &Click) -> store::Result<Went> {
        let Click { workspace, event, approval, n, choice, .. } = click;
        let never = |why: &str| Ok(Went::Never(why.to_owned()));
        let Some(event) = self.store.event(workspace, event).await? else {
            return never("its event is not stored any more");
        };
        let Some(notice) = self.store.notice(workspace, approval, *n).await? else {
            return never("there is no such message");
        };
        // Another chat's people could have the same names.
        if notice.connection != event.connection {
            return never("it came in by another connection than its question went out");
        }
        let Some(asked) = self.store.approval(workspace, approval).await? else {
            return never("there is no such question");
        };
        let (connection, manifest, asking) = match self.asked_by(workspace, &event.connection).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Went::Never(fault.to_string())),
        };
        let Some(pressed) = asking.pressed(&event.r#type, &event.data) else {
            return never("its event tells of no button");
        };
        let place = notice.place.unwrap_or_default();
        let (operation, with) = asking.who(pressed.person);
        let about = match self.aside(workspace, (manifest, &connection), (operation, &with), "").await {
            Ok(about) => about,
            Err(error) if matches!(error.class, Class::Retry { .. }) => return Ok(Went::Later(error)),
            Err(error) => {
                tracing::warn!(connection = connection.name, %error, "who presses a button is known by id alone");
                Value::Null
            }
        };
        let names = match asking.names(pressed.person, &about, &place) {
            Ok(names) => names,
            Err(fault) => return Ok(Went::Never(fault.to_string())),
        };
        let decision = Decision {
            by: String::new(),
            choice: asked.asked.choices.get(*choice as usize).cloned().unwrap_or_default(),
            comment: None,
            // When it was pressed counts, and that is not long ago where it was taken at once.
            at: event.received_at,
            via: manifest.slug.clone(),
            origin: Some(format!("{} by {}", pressed.person, connection.name)),
        };
        let why = match self.store.decide_as(click, &names, decision).await {
            Ok(approval) => {
                let (by, choice) = (names.first(), approval.choice.as_deref());
                tracing::info!(approval = %approval.id, run = %approval.run, by, choice, via = manifest.slug, "decided by a click");
                self.poke();
                return Ok(Went::Done);
            }
            Err(store::Error::Refused(why)) => why,
            Err(error @ store::Error::State { .. }) => standing(&asked, &error),
            Err(error) if error.lasts() => return Ok(Went::Never(error.to_string())),
            Err(error) => return Err(error),
        };
        let refused = json!({"place": place, "person": pressed.person, "detail": format!("This does not count: {why}.")});
        let (operation, with) = match asking.refused(&refused) {
            Ok(call) => call,
            Err(fault) => return Ok(Went::Never(fault.to_string())),
        };
        let told = self.aside(workspace, (manifest, &connection), (operation, &with), click.event.as_str());
        match told.await {
            Ok(_) => Ok(Went::Never(why)),
            Err(error) if matches!(error.class, Class::Retry { .. }) => Ok(Went::Later(error)),
            Err(error) => Ok(Went::Never(format!("{why}, and nobody could be told: {error}"))),
        }
    }

    /// Has a message show what became of its question.
    async fn change(&self, notice: &Notice) -> store::Result<()> {
        match self.store.take_notice(notice, self.asked_until()).await {
            Err(store::Error::Conflict { .. }) => return Ok(()),
            taken => taken?,
        }
        let went = match self.changed(notice).await {
            Err(error) if error.lasts() => Some(Went::Never(error.to_string())),
            went => went?,
        };
        match went {
            None => return self.store.put_off_notice(notice, None).await,
            Some(Went::Done) => {}
            Some(Went::Later(error)) => match self.asked_again(&error, notice.tries + 1) {
                Some(at) => return self.store.put_off_notice(notice, Some(at)).await,
                None => tracing::error!(approval = %notice.approval, %error, "a message stays as it was"),
            },
            Some(Went::Never(why)) => {
                tracing::warn!(approval = %notice.approval, why, "a message stays as it was");
            }
        }
        self.store.close_notice(notice).await
    }

    /// None: its question stands.
    async fn changed(&self, notice: &Notice) -> store::Result<Option<Went>> {
        let Notice { workspace, approval, n, connection, .. } = notice;
        let never = |why: String| Ok(Some(Went::Never(why)));
        let Some(asked) = self.store.approval(workspace, approval).await? else {
            return never("its question is not stored any more".to_owned());
        };
        if asked.status == ApprovalStatus::Open {
            return Ok(None);
        }
        let (connection, manifest, asking) = match self.asked_by(workspace, connection).await? {
            Ok(found) => found,
            Err(fault) => return never(fault.to_string()),
        };
        let place = match self.place(notice, &asked, manifest, asking, &connection).await? {
            Ok(place) => place,
            Err(went) => return Ok(Some(went)),
        };
        let question = json!({"place": place, "title": asked.asked.title, "body": asked.asked.body,
            "note": outcome(&asked)});
        let (operation, with) = match asking.outcome(&question) {
            Ok(call) => call,
            Err(fault) => return never(fault.to_string()),
        };
        let key = format!("{approval}-{n}-outcome");
        Ok(Some(match self.aside(workspace, (manifest, &connection), (operation, &with), &key).await {
            Ok(_) => Went::Done,
            Err(error) if matches!(error.class, Class::Retry { .. }) || error.unknown => Went::Later(error),
            Err(error) => Went::Never(error.to_string()),
        }))
    }

    /// Where a message stands. One that nobody knows of may still be on its way: it is looked for several times.
    async fn place(
        &self,
        notice: &Notice,
        asked: &Approval,
        manifest: &Manifest,
        asking: &Asking,
        connection: &Connection,
    ) -> store::Result<Result<Value, Went>> {
        if let Some(place) = &notice.place {
            return Ok(Ok(place.clone()));
        }
        let Some(operation) = manifest.operation(&notice.operation).filter(|operation| is_found(operation))
        else {
            return Ok(Err(Went::Never("nobody knows whether it was sent".to_owned())));
        };
        let prepared = json!({"method": "", "path": "", "headers": [], "lookups": notice.find});
        let Ok(prepared) = serde_json::from_value::<Prepared>(prepared) else {
            return Ok(Err(Went::Never("how it is found is not known any more".to_owned())));
        };
        let transport = self.gated(&notice.workspace, connection, manifest, None, Urgency::Live);
        let (sent, now) = (Some(asked.created_at), self.clock.now());
        match connect::lookup(&transport, connection, manifest, operation, &prepared, sent, now).await {
            Ok(Some(answer)) => {
                let place = asking.place(&answer);
                self.store.notice_sent(&notice.workspace, &notice.approval, notice.n, &place).await?;
                Ok(Ok(place))
            }
            Ok(None) if notice.tries < NOTICE_FINDS_MAX => {
                let class = Class::Retry { after: None };
                Ok(Err(Went::Later(connect::Error::of(class, "notice_unsent", "it is not there yet"))))
            }
            Ok(None) => Ok(Err(Went::Never("it was never sent".to_owned()))),
            Err(error) if matches!(error.class, Class::Retry { .. }) => Ok(Err(Went::Later(error))),
            Err(error) => Ok(Err(Went::Never(error.to_string()))),
        }
    }
}

/// What failed at one of them is tried again when its lease is over, and keeps nobody else waiting.
fn on_to_the_next(went: store::Result<()>) -> store::Result<()> {
    match went {
        Err(error) if !matches!(error, store::Error::Closed) => {
            tracing::warn!(%error, "a click or a message is looked after later");
            Ok(())
        }
        went => went,
    }
}

/// Why nothing more can be decided, for whoever tried to.
fn standing(asked: &Approval, error: &store::Error) -> String {
    match asked.status {
        ApprovalStatus::Open => error.to_string(),
        _ => outcome(asked).lines().next().unwrap_or_default().to_owned(),
    }
}
