//! One run, from claim to finish, park or loss: the journal is told to the machine again, then effects are performed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connect::{Catalog, Connection, Manifest};
use flow::journal::{Entry, Outcome};
use flow::{Fault, Input, Machine, Start};
use jiff::Timestamp;
use store::ClaimedRun;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::deployments::Deployment;
use crate::earlier::Earlier;
use crate::held::Held;
use crate::history::{History, Reader, Started, Told};
use crate::journal::{Journal, Lost};
use crate::key::Origin;
use crate::lifecycle::Tasks;
use crate::limits::CLAIMS_MAX;
use crate::work::Work;
use crate::{Node, connections, fault, manifests};

/// How the work on a claimed run ended.
#[derive(Debug, PartialEq)]
pub enum Ending {
    Completed,
    Failed(Fault),
    /// Until a time, until it is told something, or both.
    Parked(Option<Timestamp>),
    /// The node stops. What is known is in the journal, and the run can go back to the queue.
    Stopped,
}

/// A claimed run at work.
pub struct Run<'a> {
    pub node: &'a Node,
    pub held: &'a Held,
    pub claim: &'a ClaimedRun,
    pub origin: Origin,
    pub earlier: Earlier,
    /// The events that it works for, where its flow gathers several.
    pub batch: Option<Batch>,
    history: Mutex<History>,
    pub journal: Journal<'a>,
    deployment: Arc<Deployment>,
    /// The connectors as they were when the run began.
    pub catalog: Arc<Catalog>,
    /// Live or test mode, fixed by the connection of the event, else by the first connection called.
    live: Mutex<Option<(bool, String)>>,
    stop: watch::Receiver<bool>,
}

/// Works on a claimed run until it is over or has to wait for long.
pub async fn work(node: &Node, held: &Held) -> Result<Ending, Lost> {
    let claim = &held.claim;
    if let Some(detail) = &claim.unreadable {
        let fault = Fault::runtime(format!("the run cannot be read: {detail}"));
        return fail(Journal::new(node, held), fault).await;
    }
    let deployment = match node.deployment(claim).await.map_err(Lost::Store)? {
        Ok(deployment) => deployment,
        Err(detail) => {
            let fault = fault::unusable(&claim.flow, claim.revision, &detail);
            return fail(Journal::new(node, held), fault).await;
        }
    };
    let history = match claim.begun {
        true => read(node, claim).await,
        false => Ok(History::default()),
    };
    let history = match history {
        Ok(history) => history,
        // Trying again would find the same bytes.
        Err(store::Error::Corrupt { what, detail }) => {
            let fault = Fault::runtime(format!("the journal cannot be read: {what}: {detail}"));
            return fail(Journal::new(node, held), fault).await;
        }
        Err(error) => return Err(Lost::Store(error)),
    };
    let most = CLAIMS_MAX + history.effects;
    if claim.epoch > most && claim.epoch > most + told(node, claim).await? {
        let detail = format!("it was taken up {} times and does not come to an end", claim.epoch);
        return fail(Journal::new(node, held), fault::limit(detail)).await;
    }
    let state_flow = deployment.is_state_flow();
    let batch = match Batch::of(node, claim, &deployment, &history).await {
        Ok(batch) => batch,
        Err(store::Error::Corrupt { what, detail }) => {
            let fault = Fault::runtime(format!("its events cannot be read: {what}: {detail}"));
            return fail(Journal::new(node, held), fault).await;
        }
        Err(error) => return Err(Lost::Store(error)),
    };
    // Of several events the first may be one that a later version does not ask for: the others joined it.
    let alone = batch.as_ref().is_none_or(|batch| batch.ids.len() <= 1);
    if alone && claim.retries > 0 && history.started.is_none() && !asked_for(claim, &deployment) {
        return pass_by(Journal::new(node, held)).await;
    }
    let origin = Origin {
        workspace: claim.workspace.as_str().to_owned(),
        flow: claim.flow.clone(),
        trigger: batch.as_ref().map_or_else(|| trigger(claim, state_flow), Batch::trigger),
    };
    let earlier = if state_flow {
        Earlier::default()
    } else {
        let gathered = batch.as_ref().map(|batch| &batch.ids[..]);
        node.read(|| Earlier::read(&node.store, claim, gathered)).await.map_err(Lost::Store)?
    };
    let live = match (&batch, &claim.event) {
        (Some(batch), _) => match batch.mode(node, claim).await {
            Ok(live) => live,
            Err(fault) => return fail(Journal::new(node, held), fault).await,
        },
        (None, Some(event)) => node.mode(&claim.workspace, &event.connection).await,
        (None, None) => None,
    };
    let catalog = match &history.started {
        Some(started) => manifests::kept(node, &started.manifests).await.map_err(Lost::Store)?,
        None => node.catalog.clone(),
    };
    let effects = history.effects;
    let journal = Journal::new(node, held);
    let (history, live) = (Mutex::new(history), Mutex::new(live));
    let stop = node.stopping.subscribe();
    Run { node, held, claim, origin, earlier, batch, history, journal, deployment, catalog, live, stop }
        .drive(effects)
        .await
}

/// Reads a run's journal. What is large is not kept.
async fn read(node: &Node, claim: &ClaimedRun) -> store::Result<History> {
    let ClaimedRun { workspace, run, .. } = claim;
    let read = || async {
        let mut reader = Reader::default();
        let take = |n, entry, bytes| reader.take_sized(n, entry, bytes);
        node.store.journal_each(workspace, run, take).await?;
        Ok(reader.history)
    };
    node.read(read).await
}

/// Fails a run in which the program itself failed. A write in flight stays an intent without an answer.
pub async fn broken(node: &Node, held: &Held) -> Result<Ending, Lost> {
    fail(Journal::new(node, held), Fault::runtime("the program failed in this run; its log says where")).await
}

/// Fails a run of which the store refuses what it would write. A write in flight stays an intent without an answer.
pub async fn unwritable(node: &Node, held: &Held, why: &str) -> Result<Ending, Lost> {
    fail(Journal::new(node, held), fault::limit(format!("what it did cannot be kept: {why}"))).await
}

/// What the effects of a run are for: an event, the same at each replay of it, else the run itself. A state flow
/// re-reads at a replay, so what it then writes is another effect.
fn trigger(claim: &ClaimedRun, state_flow: bool) -> String {
    match &claim.event {
        Some(event) if state_flow && event.replays > 0 => {
            format!("{}/{}#{}", event.connection, event.dedupe_key, event.replays)
        }
        Some(event) => format!("{}/{}", event.connection, event.dedupe_key),
        None => claim.run.as_str().to_owned(),
    }
}

/// Signals that had the run taken up and that it has not taken yet.
async fn told(node: &Node, claim: &ClaimedRun) -> Result<u64, Lost> {
    node.read(|| node.store.signals_waiting(&claim.workspace, &claim.run)).await.map_err(Lost::Store)
}

/// Whether the flow asks for the run's event. A run that failed because nobody could read the flow may be for an
/// event that is none of its business; that shows when it is retried by a program that can.
fn asked_for(claim: &ClaimedRun, deployment: &Deployment) -> bool {
    let Some(event) = &claim.event else { return true };
    let event = event.to_cloud_event();
    let connections = |name: &str| deployment.connection(name);
    deployment.document.asks_for(&event, &deployment.settings, &connections)
}

/// Ends a run that has nothing to do.
async fn pass_by(journal: Journal<'_>) -> Result<Ending, Lost> {
    journal.finish(Outcome::Output(serde_json::Value::Null)).await?;
    Ok(Ending::Completed)
}

async fn fail(journal: Journal<'_>, fault: Fault) -> Result<Ending, Lost> {
    // Nobody knows what it waited for when it broke off.
    journal.waits();
    journal.finish(Outcome::Fault(fault.clone())).await?;
    Ok(Ending::Failed(fault))
}

impl Run<'_> {
    /// Whether the node stops: the run is to be let go of at its next safe point.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Lets time pass; true if the node is told to stop meanwhile.
    pub async fn stopped_within(&self, time: Duration) -> bool {
        let mut stop = self.stop.clone();
        let sleep = self.node.timer.sleep(time);
        tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop) => true,
            () = sleep => false,
        }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine what the journal knows, then goes on; `effects` were performed so far.
    async fn drive(self, effects: u64) -> Result<Ending, Lost> {
        let told = match self.tells_tasks() {
            true => Some(self.hops().await? + 1),
            false => None,
        };
        let (started, fresh) = self.begin();
        let began = started.at;
        let mut tasks = told.map(|hops| Tasks::new(hops, began));
        let (mut machine, asked) = Machine::start(Start {
            document: self.deployment.document.clone(),
            run: self.claim.run.clone(),
            input: started.input,
            settings: started.settings,
            started_at: started.at,
        });
        if let Some(tasks) = &mut tasks {
            tasks.tell(&self, machine.changes(), !fresh);
        }
        let mut work = Work::new(&self, machine, asked, effects, tasks);
        let inputs = std::mem::take(&mut self.history().inputs);
        for told in inputs {
            let Some(input) = self.input_of(told).await? else { continue };
            let at = input.at().clone();
            if !work.replay(input) {
                return self.fail(fault::journal_diverged(&at.path)).await;
            }
        }
        // Past that, it is not known any more that it was told.
        let known = self.node.clock.now().duration_since(began) < store::DEDUPE_LIFE / 2;
        let begins = effects == 0 || self.history().retried;
        if begins && known {
            self.tell_start(began).await?;
        }
        work.go().await
    }

    /// What the machine is to be told; a large result is read again for it.
    async fn input_of(&self, told: Told) -> Result<Option<Input>, Lost> {
        let n = match told {
            Told::Input(input) => return Ok(Some(*input)),
            Told::Entry(n) => n,
        };
        let ClaimedRun { workspace, run, .. } = self.claim;
        let entry = self.node.read(|| self.node.store.journal_entry(workspace, run, n)).await;
        Ok(entry.map_err(Lost::Store)?.replay())
    }

    pub async fn fail(&self, fault: Fault) -> Result<Ending, Lost> {
        self.end(Outcome::Fault(fault.clone())).await?;
        Ok(Ending::Failed(fault))
    }

    /// What this pass works with. A new run begins; a state flow that left its lane begins afresh, since what it had
    /// read may be old by now; any other run goes on where its journal ends. Whether it does not go on.
    fn begin(&self) -> (Started, bool) {
        let mut history = self.history();
        let afresh = self.deployment.is_state_flow() && (history.parked || history.retried);
        if let Some(started) = history.started.as_ref().filter(|_| !afresh) {
            return (started.clone(), false);
        }
        let now = self.node.clock.now();
        let started = match history.started.take() {
            Some(before) => Started { at: now, ..before },
            None => Started {
                version: self.deployment.document.version().to_owned(),
                input: self.batch.as_ref().map_or_else(|| self.held.input(), |batch| batch.events.clone()),
                settings: self.deployment.settings.clone(),
                manifests: self.deployment.manifests(&self.catalog),
                at: now,
            },
        };
        let Started { version, input, settings, manifests, at } = started.clone();
        let flow = self.claim.flow.clone();
        let entry = Entry::Started { flow, version, input, settings, manifests, at };
        history.begin(started.clone(), afresh);
        self.journal.push(entry);
        (started, true)
    }

    pub fn document(&self) -> &flow::Document {
        &self.deployment.document
    }

    /// The connection here that the document's name stands for.
    pub fn deployed(&self, name: &str) -> String {
        self.deployment.connection(name)
    }

    /// Live or test mode, where it is known by now.
    pub fn live(&self) -> Option<bool> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(live, _)| *live)
    }

    /// Whether the flow declares that it uses the secrets of a connection.
    pub fn may_use(&self, name: &str) -> bool {
        self.deployment.document.secrets().contains(name)
    }

    /// The connection that the document calls `name`, whatever its connector is.
    pub async fn secrets_of(&self, name: &str) -> Result<(Arc<Connection>, &Manifest), Fault> {
        let deployed = self.deployment.connection(name);
        let connector = self.node.connection(&self.claim.workspace, &deployed).await?.connector.clone();
        let Some(manifest) = self.node.catalog.get(&connector) else {
            return Err(Fault::configuration(format!("there is no connector `{connector}`")));
        };
        Ok((self.connection(name, manifest).await?, manifest))
    }

    /// Opens the connection that the document calls `name`, for calls of `manifest`'s operations.
    pub async fn connection(&self, name: &str, manifest: &Manifest) -> Result<Arc<Connection>, Fault> {
        let deployed = self.deployment.connection(name);
        let connection = self.node.connection(&self.claim.workspace, &deployed).await?;
        connections::check(&connection, manifest)?;
        let mut mode = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match &*mode {
            None => *mode = Some((connection.live, connection.name.clone())),
            Some((live, source)) if *live != connection.live => {
                let mode = |live: bool| if live { "live" } else { "test" };
                return Err(fault::mode_mismatch(format!(
                    "connection `{source}` is of {} mode and `{}` of {} mode: the one never feeds the other",
                    mode(*live),
                    connection.name,
                    mode(connection.live)
                )));
            }
            Some(_) => {}
        }
        Ok(connection)
    }
}
