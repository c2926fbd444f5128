//! The two loops of a node: events are dispatched, runs are claimed and worked on, some at once, under leases.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::ClaimedRun;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::begin::Work;
use crate::contain::Contained;
use crate::held::Held;
use crate::journal::Lost;
use crate::limits::{CLAIMS_AT_ONCE, LEASE_RENEWALS, STORE_PAUSE};
use crate::run::{self, Ending};
use crate::schedule::Clocks;
use crate::{Node, alert};

/// How the work on one claim ended.
#[derive(Debug)]
enum Done {
    Over(Result<Ending, Lost>),
    /// The node stops; the run is to go back to the queue.
    Stopped,
}

/// Dispatches accepted events, and starts what the clock starts, until the node stops.
pub async fn dispatcher(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let mut clocks = Clocks::default();
    while !stopping(&stop) {
        let dispatched = match node.start_due(&mut clocks).await {
            Ok(()) => node.dispatch().await,
            Err(error) => Err(error),
        };
        match dispatched {
            Ok(0) => pause(&node, clocks.rest(&node), &node.events, &mut stop).await,
            Ok(_) => node.runs.notify_one(),
            Err(store::Error::Closed) => return,
            Err(error) if error.passes() => until_good(&node, &mut stop).await,
            Err(error) => {
                tracing::error!(%error, "events cannot be dispatched");
                pause(&node, STORE_PAUSE, &node.events, &mut stop).await;
            }
        }
    }
    // Another node dispatches while this one finishes its runs.
    node.store.leave_duty().await;
}

/// Claims runs and works on them until the node stops; then lets them finish, and releases those that do not.
pub async fn claimer(
    node: Arc<Node>,
    mut begun: mpsc::UnboundedReceiver<Work>,
    mut stop: watch::Receiver<bool>,
) {
    let mut working: JoinSet<()> = JoinSet::new();
    let mut sweep = Sweep::default();
    let mut poll = node.timer.sleep(node.config.poll_interval);
    // Runs may be ready: known at a poke and at each polling interval, and after a claim that took all there was room for.
    let mut ready = true;
    while !stopping(&stop) {
        if ready && node.places.available_permits() > 0 {
            match claim(&node, &mut sweep).await {
                Ok((claims, all)) => {
                    ready = !all;
                    for held in claims {
                        working.spawn(worker(node.clone(), held));
                    }
                }
                Err(store::Error::Closed) => break,
                Err(error) if error.passes() => {
                    until_good(&node, &mut stop).await;
                    // Leases could not be renewed either.
                    sweep.put_off(&node);
                }
                Err(error) => {
                    tracing::error!(%error, "runs cannot be claimed");
                    pause(&node, STORE_PAUSE, &node.runs, &mut stop).await;
                }
            }
        }
        node.behind.runs(ready);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(work) = begun.recv() => drop(working.spawn(work)),
            Some(ended) = working.join_next() => report(ended),
            () = node.runs.notified() => ready = true,
            () = &mut poll => {
                poll = node.timer.sleep(node.config.poll_interval);
                ready = true;
            }
        }
    }
    // Runs go on to their next safe point, and are released there.
    node.stopping.send_replace(true);
    // Whatever began until now is carried on; nothing more begins.
    node.places.close();
    while let Ok(work) = begun.try_recv() {
        working.spawn(work);
    }
    let grace = node.timer.sleep(node.config.stop_grace);
    tokio::select! {
        biased;
        () = drain(&mut working) => return,
        () = grace => {}
    }
    node.abandon.send_replace(true);
    drain(&mut working).await;
}

/// Whether the node is to stop: it was told so, or nobody is left who could tell.
fn stopping(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops the node as well.
    drop(stop.wait_for(|stop| *stop).await.map(drop));
}

/// When dead nodes' runs are put back into the queue: once per polling interval, since it looks over all leases.
#[derive(Default)]
struct Sweep {
    at: Option<Timestamp>,
    /// When it was last asked.
    asked: Option<Timestamp>,
}

impl Sweep {
    /// Whoever holds a lease renews it before anybody looks.
    fn put_off(&mut self, node: &Node) {
        self.at = node.clock.now().saturating_add(node.config.lease).ok();
    }

    /// Whether it is time for a sweep.
    fn is_due(&mut self, node: &Node, now: Timestamp) -> bool {
        // The clock was set on, or the machine slept: leases are over that nobody had the time to renew.
        let jumped = self.asked.is_some_and(|asked| now.duration_since(asked) > node.config.lease / 2);
        self.asked = Some(now);
        if jumped {
            self.put_off(node);
        }
        let Some(at) = self.at else { return true };
        // A clock that was set back must not put it off for long.
        now >= at || at.duration_since(now) > longest(node)
    }

    fn done(&mut self, node: &Node, now: Timestamp) {
        self.at = now.saturating_add(node.config.poll_interval).ok();
    }
}

/// Claims what there is room for, after a sweep if that is due. Whether that was all that was ready comes with it.
async fn claim(node: &Arc<Node>, sweep: &mut Sweep) -> store::Result<(Vec<Held>, bool)> {
    let now = node.clock.now();
    if sweep.is_due(node, now) {
        node.store.release_expired(now).await?;
        // What a node that died left undone; the rest at the next sweep.
        node.store.cancel_awaited(now).await?;
        node.store.tell_on(now).await?;
        sweep.done(node, now);
    }
    let mut places = Vec::new();
    while places.len() < CLAIMS_AT_ONCE
        && let Ok(place) = node.places.clone().try_acquire_owned()
    {
        places.push(place);
    }
    let room = places.len();
    let claimed = node.store.claim_runs(&node.config.node, room, node.config.lease, now).await?;
    let all = claimed.len() < room;
    Ok((
        claimed.into_iter().zip(places).map(|(claim, place)| Held::certain(node, claim, place)).collect(),
        all,
    ))
}

/// Holds until the store takes writes again, or the node stops.
async fn until_good(node: &Node, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        biased;
        () = stopped(stop) => {}
        () = node.until_good() => {}
    }
}

/// The longest that a sweep is put off.
fn longest(node: &Node) -> SignedDuration {
    SignedDuration::try_from(node.config.poll_interval).unwrap_or(SignedDuration::MAX).max(node.config.lease)
}

async fn pause(node: &Node, time: Duration, poke: &tokio::sync::Notify, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        biased;
        () = stopped(stop) => {}
        () = poke.notified() => {}
        () = node.timer.sleep(time) => {}
    }
}

async fn drain(working: &mut JoinSet<()>) {
    while let Some(ended) = working.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // The run's lease ends and it is taken up again; a run that always does this is failed by its claims.
        tracing::error!(%error, "a worker broke off");
    }
}

/// Works on one claim, keeping its lease.
pub async fn worker(node: Arc<Node>, held: Held) {
    let claim = &held.claim;
    let done = match Contained(Box::pin(leased(&node, &held))).await {
        Ok(done) => done,
        // A defect of ours that shows in this run: it is failed, and the others go on.
        Err(_) => Done::Over(run::broken(&node, &held).await),
    };
    // Another claim would come to the same point and be refused again.
    let done = match done {
        Done::Over(Err(Lost::Unwritable(why))) => Done::Over(run::unwritable(&node, &held, &why).await),
        done => done,
    };
    match done {
        Done::Over(Ok(Ending::Failed(fault))) => node.alert(alert::Failure {
            workspace: &claim.workspace,
            flow: &claim.flow,
            revision: claim.revision,
            run: &claim.run,
            event: claim.event.as_ref().map(|event| event.dedupe_key.as_str()),
            fault: &fault,
        }),
        Done::Over(Ok(Ending::Completed)) => {
            tracing::debug!(run = %claim.run, flow = claim.flow, "completed")
        }
        Done::Over(Ok(Ending::Parked(until))) => {
            tracing::debug!(run = %claim.run, flow = claim.flow, ?until, "parked");
        }
        // It never was: its event turned out to be a duplicate, or somebody was faster.
        Done::Over(Err(Lost::Fenced)) if held.is_early() && held.sure().await.is_err() => {}
        Done::Over(Err(Lost::Fenced)) => {
            tracing::warn!(run = %claim.run, epoch = claim.epoch, "the run is no longer held here, dropped");
        }
        Done::Over(Err(Lost::Store(error))) => {
            tracing::error!(run = %claim.run, %error, "the run is left until its lease ends");
        }
        Done::Over(Err(Lost::Unwritable(why))) => {
            tracing::error!(run = %claim.run, why, "what the run did cannot be written, nor that it failed");
        }
        Done::Over(Ok(Ending::Stopped)) | Done::Stopped => release(&node, claim).await,
    }
}

async fn release(node: &Node, claim: &ClaimedRun) {
    match node.store.release_run(&claim.workspace, &claim.run, claim.epoch).await {
        Ok(()) => tracing::info!(run = %claim.run, "released"),
        Err(error) => tracing::warn!(run = %claim.run, %error, "not released, its lease will end"),
    }
}

/// The work, renewing the lease meanwhile. Dropping it in mid-request is safe: what was sent is in the journal as
/// an intent without an answer.
async fn leased(node: &Node, held: &Held) -> Done {
    let claim = &held.claim;
    let renewal = node.config.lease.unsigned_abs() / LEASE_RENEWALS;
    let mut abandoned = node.abandon.subscribe();
    let mut work = std::pin::pin!(run::work(node, held));
    loop {
        // The work goes on while the lease is renewed: a slow store must not make a vendor's answer come too late.
        let renewed = async {
            node.timer.sleep(renewal).await;
            let (lease, now) = (node.config.lease, node.clock.now());
            node.store.renew_lease(&claim.workspace, &claim.run, claim.epoch, lease, now).await
        };
        let renewed = tokio::select! {
            biased;
            ended = &mut work => return Done::Over(ended),
            _ = abandoned.wait_for(|abandoned| *abandoned) => return Done::Stopped,
            renewed = renewed => renewed,
        };
        match renewed {
            Ok(()) => held.renewed(node.clock.now()),
            Err(store::Error::Fenced { .. }) => {
                return Done::Over(Err(Lost::Fenced));
            }
            Err(error) if error.passes() => tracing::debug!(run = %claim.run, "the lease waits as well"),
            Err(error) => tracing::warn!(run = %claim.run, %error, "the lease is not renewed"),
        }
    }
}
