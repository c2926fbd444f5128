//! Effects that are told something from outside: an outcome by a person or by another run that ends, or events.
//!
//! | the run | is told |
//! |---|---|
//! | is put aside, since nothing else is under way | claimed again, by whichever node |
//! | is at work on something else | reads it there: at once on the node where it was told, on others within a poll |
//!
//! A signal is durable until the entry that says what came of it is.

use std::sync::Arc;

use flow::hearing::Interest;
use flow::journal::Outcome;
use flow::{EffectRef, EventId, Fault};
use jiff::Timestamp;
use serde_json::Value;
use store::{Answers, LookBack, place_of};

use crate::effect::{Call, Performed};
use crate::journal::Lost;
use crate::run::Run;

/// An effect that waits to be told something.
pub struct Awaiting {
    pub at: EffectRef,
    /// What signals call it.
    pub place: String,
    /// It waits no longer than this.
    pub until: Option<Timestamp>,
    /// What waits for its outcome; none: a `listen`, for events.
    pub call: Option<Call>,
}

impl Awaiting {
    /// A call that waits for its outcome.
    pub fn call(call: Call, until: Option<Timestamp>) -> Awaiting {
        Awaiting { place: place_of(&call.at), at: call.at.clone(), until, call: Some(call) }
    }

    /// A `listen`.
    pub fn events(at: EffectRef) -> Awaiting {
        Awaiting { place: place_of(&at), at, until: None, call: None }
    }
}

impl Run<'_> {
    /// Lets signals through to an effect, durably. Once or again, it is the same.
    #[expect(dead_code, reason = "for calls that a person answers")]
    pub async fn wait_for_signals(&self, at: &EffectRef) -> Result<(), Lost> {
        let (store, claim) = (&self.held.store, self.claim);
        self.journal.waits();
        self.hold(|| store.wait(&claim.workspace, &claim.run, claim.epoch, at)).await
    }

    /// Has the run told of events, those included that came since it began and that it has not taken.
    pub async fn listen(&self, at: &EffectRef, interests: &[Interest]) -> Result<(), Lost> {
        let (store, claim) = (&self.held.store, self.claim);
        self.journal.waits();
        let place = place_of(at);
        let known = match claim.begun {
            true => {
                self.node.read(|| store.waits(&claim.workspace, &claim.run)).await.map_err(Lost::Store)?
            }
            false => Vec::new(),
        };
        let known = known.into_iter().find(|wait| wait.effect == place);
        if known.as_ref().is_some_and(|wait| wait.looked) {
            return Ok(());
        }
        let answers = |interest: &Interest| {
            let (form, key) = interest.form_and_key(|name| self.deployed(name));
            Answers { r#type: interest.r#type.clone(), form, key }
        };
        let wanted: Vec<Answers> = interests.iter().map(answers).collect();
        if known.is_none() {
            self.hold(|| store.listen(&claim.workspace, &claim.run, claim.epoch, at, &wanted)).await?;
        }
        let mut except = self.history().heard.clone();
        let own = claim.event.iter().map(|event| &event.id);
        let gathered = self.batch.iter().flat_map(|batch| &batch.ids);
        except.extend(own.chain(gathered).map(|id| id.as_str().to_owned()));
        let since = claim.event.as_ref().map_or(claim.created_at, |event| event.received_at);
        let event = claim.event.as_ref().map(|event| &event.id);
        let back = LookBack { event, since, except: &except, now: self.node.clock.now() };
        self.hold(|| store.look_back(&claim.workspace, &claim.run, claim.epoch, at, &wanted, back)).await?;
        Ok(())
    }

    /// An event as flows see it; none if it is kept no longer.
    pub async fn event(&self, id: &EventId) -> Result<Option<Arc<Value>>, Lost> {
        let (node, workspace) = (self.node, &self.claim.workspace);
        let event = node.read(|| node.store.event(workspace, id)).await.map_err(Lost::Store)?;
        Ok(event.map(|event| Arc::new(event.to_cloud_event().to_value())))
    }

    /// Writes something beside the journal, tried again for as long as there may be room later.
    pub async fn hold<T, F>(&self, write: impl Fn() -> F) -> Result<T, Lost>
    where
        F: Future<Output = store::Result<T>>,
    {
        loop {
            match write().await {
                Ok(done) => return Ok(done),
                Err(error) if error.passes() => self.node.until_good().await,
                Err(error) => return Err(Lost::by(error)),
            }
        }
    }

    /// What a call that waited was told.
    pub fn told(&self, call: &Call, value: Value) -> Performed {
        let now = self.node.clock.now();
        let outcome = serde_json::from_value::<Outcome>(value).unwrap_or_else(|error| {
            let why = format!("{}: what it was told does not decode: {error}", call.operation);
            Outcome::Fault(Fault::runtime(why))
        });
        Performed::Done { result: outcome.into(), attempts: 1, started_at: now }
    }

    /// What becomes of a call that was told nothing in its time.
    pub async fn overdue(&self, call: &Call) -> Result<Performed, Lost> {
        if call.operation == flow::approval::OPERATION {
            return self.overdue_approval(call).await;
        }
        let result = Err(Fault::timeout(format!("{}: no answer came in time", call.operation)));
        Ok(Performed::Done { result, attempts: 1, started_at: self.node.clock.now() })
    }
}
