//! A store that takes no writes: people are told once, everything holds, and goes on by itself when it does again.
//!
//! | the store says | here |
//! |---|---|
//! | a write failed for want of room, or the database is away | one alert; a probe every [`HEALTH_PROBE`] |
//! | writes go through again | dispatcher and workers go on at once |
//! | … and have done so for [`HEALTH_STEADY`] | one more alert, that it is over |
//! | a commit failed so that nobody knows what is on the disk | the process ends: not here |

use std::future::Future;

use flow::Fault;
use jiff::Timestamp;
use store::Health;
use tokio::sync::watch;

use crate::Node;
use crate::alert::{About, Alert};
use crate::limits::{HEALTH_PROBE, HEALTH_STEADY, STORE_PAUSE};

/// Watches the store until `over` turns true.
pub(crate) async fn watch(node: &Node, mut over: watch::Receiver<bool>) {
    let work = async {
        // Once the store is closed the process ends, if it is not a test's.
        while let Health::Bad(why) = node.store.health_becomes(|health| *health != Health::Good).await {
            tracing::error!(why, "the store takes no writes: deliveries are answered 503, runs hold");
            tell(node, Some(why));
            recovery(node).await;
            tracing::warn!("the store takes writes again");
            tell(node, None);
        }
    };
    tokio::select! {
        biased;
        _ = over.wait_for(|over| *over) => {}
        () = work => {}
    }
}

/// Asks again and again; completes when writes have gone through for a while.
async fn recovery(node: &Node) {
    let mut good_since: Option<Timestamp> = None;
    loop {
        node.timer.sleep(HEALTH_PROBE).await;
        let now = node.clock.now();
        let present = node.store.health();
        if present == Health::Closed {
            return;
        }
        if present == Health::Good {
            let since = *good_since.get_or_insert_with(|| {
                node.events.notify_one();
                node.runs.notify_one();
                now
            });
            if now.duration_since(since) >= HEALTH_STEADY {
                return;
            }
        } else {
            good_since = None;
            if let Err(error) = node.store.probe().await {
                tracing::debug!(%error, "the store still takes no writes");
            }
        }
    }
}

fn tell(node: &Node, problem: Option<String>) {
    let fault = problem.map(|why| Fault::coded("store_unavailable", 503, "The store takes no writes", why));
    let about = About::Store { node: node.config.node.clone(), fault };
    let workspace = flow::WorkspaceId::default().as_str().to_owned();
    let alert = Alert { workspace, about, at: node.clock.now(), target: None };
    if node.alerts.try_send(alert).is_err() {
        tracing::warn!("too many alerts wait; this one is only in the log");
    }
}

impl Node {
    /// Waits until writes go through again, at least a moment: some may go through while others do not.
    pub(crate) async fn until_good(&self) {
        self.timer.sleep(STORE_PAUSE).await;
        self.store.health_becomes(|health| !matches!(health, Health::Bad(_))).await;
    }

    /// Reads, as often as it takes while the database is away.
    pub(crate) async fn read<T, F: Future<Output = store::Result<T>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> store::Result<T> {
        loop {
            match ask().await {
                Err(error) if error.passes() => self.timer.sleep(HEALTH_PROBE).await,
                answer => return answer,
            }
        }
    }
}
