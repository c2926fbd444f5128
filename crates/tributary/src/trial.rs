//! Flows tried on real accounts, in real time: an engine of their own, on a store that is thrown away afterwards.

use std::sync::Arc;
use std::time::Duration;

use connect::auth::Lender;
use connect::plain::Egress;
use connect::{Catalog, Transport};
use engine::Rehearsal;
use flow::WorkspaceId;
use flow::clock::Clock;
use serde_json::Value;
use server::{Trial as Asked, Trials};
use sim::trial::dry::Dry;
use sim::trial::report::Report;
use sim::trial::{Begun, Chance, Trial, is_over, needed, scratch};
use store::{NewConnection, RunStatus, Store};
use tokio::sync::watch;

use crate::ambient::SystemRng;
use crate::node::{Node, Workers};

/// A run that takes longer is told as waiting. Below what a command waits for an answer.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the run.
const LOOK: Duration = Duration::from_millis(10);

/// What trials share with the node.
struct Shared {
    store: Store,
    catalog: Arc<Catalog>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    egress: Egress,
    programs: script::Programs,
    lender: Lender,
}

/// Tries flows with the connections of a node.
pub fn trials(node: &Node, egress: Egress) -> Trials {
    let shared = Arc::new(Shared {
        store: node.store.clone(),
        catalog: node.catalog.clone(),
        transport: node.transport.clone(),
        clock: node.clock.clone(),
        egress,
        programs: node.programs.clone(),
        lender: node.lender(),
    });
    Arc::new(move |asked| {
        let shared = shared.clone();
        Box::pin(async move { shared.try_once(asked).await })
    })
}

impl Shared {
    async fn try_once(&self, asked: Asked) -> Result<Value, String> {
        let broken = |error: &dyn std::fmt::Display| format!("the trial broke off: {error}");
        let connections = self.connections(&asked).await?;
        let dry = asked.dry_run.then(|| Arc::new(Dry::new(self.catalog.clone())));
        let document = asked.document.clone();
        let lender = self.lender_for(&asked);
        let trial = Trial {
            catalog: self.catalog.clone(),
            document: asked.document,
            settings: asked.settings,
            input: asked.input,
            connections,
            transport: self.transport.clone(),
            rehearsal: dry.clone().map(|dry| dry as Arc<dyn Rehearsal>),
            scripts: Arc::new(Workers::new(self.programs.clone())),
            clock: self.clock.clone(),
            timer: Arc::new(engine::RuntimeTimer),
            // Keys that vendors remember are drawn from it.
            chance: Chance::new(Box::new(SystemRng::default())),
            config: engine::Config {
                node: "trial".to_owned(),
                egress: self.egress.clone(),
                ..engine::Config::default()
            },
            later: Vec::new(),
        };
        let data = scratch().map_err(|error| broken(&error))?;
        let store = trial.store(data.path()).map_err(|error| broken(&error))?;
        let committer = store.committer().map_err(|error| broken(&error))?;
        // It ends with the last handle on the store.
        let thread = std::thread::Builder::new().name("trial".to_owned()).spawn(move || committer.run());
        let thread = thread.map_err(|error| broken(&error))?;
        let report = live(trial, store, &document, lender).await.map_err(|error| broken(&error));
        let closed = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
        if !closed.unwrap_or(false) {
            tracing::error!("the committer of a trial panicked");
        }
        let mut report = report?.document();
        if let Some(dry) = dry {
            report["writes"] = dry.writes().into();
        }
        Ok(report)
    }

    /// The tokens of the accounts themselves: whoever renews one elsewhere would end it for everybody else.
    fn lender_for(&self, asked: &Asked) -> Lender {
        let (names, lender) = (asked.connections.clone(), self.lender.clone());
        Arc::new(move |workspace, connection| {
            let name = names.get(&connection.name).unwrap_or(&connection.name).clone();
            lender(workspace, &connect::Connection { name, ..connection.clone() })
        })
    }

    /// The accounts that the flow's calls name.
    async fn connections(&self, asked: &Asked) -> Result<Vec<NewConnection>, String> {
        let mut connections = Vec::new();
        for (name, connector) in needed(&asked.document) {
            if self.catalog.get(&connector).is_none() {
                continue;
            }
            let mine = asked.connections.get(&name).unwrap_or(&name);
            let found = self.store.connection(&WorkspaceId::default(), mine).await;
            let found = found.map_err(|error| error.to_string())?.ok_or_else(|| {
                format!(
                    "there is no connection `{mine}`: add it with `tributary connection add {connector}`, or say which of \
                     yours it is with `--connection {name}=YOURS`"
                )
            })?;
            let info = found.info;
            connections.push(NewConnection {
                name,
                connector: info.connector,
                live: info.live,
                base_url: info.base_url,
                credentials: found.credentials,
            });
        }
        Ok(connections)
    }
}

/// Until the run is over, waits, or has taken its time.
async fn live(
    trial: Trial,
    store: Store,
    document: &Arc<flow::Document>,
    lender: Lender,
) -> Result<Report, sim::Broken> {
    let Begun { store, run, engine } = trial.begin(store).await?;
    engine.borrow(lender);
    let (stop, stopping) = watch::channel(false);
    let engine = tokio::spawn(engine.run(stopping));
    let watched = async {
        loop {
            let found = store.run(&WorkspaceId::default(), &run).await.map_err(sim::Broken::of)?;
            let parked = found.is_some_and(|run| run.status == RunStatus::Parked);
            if parked || is_over(&store, &run).await? {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let watched = tokio::time::timeout(TIME_MAX, watched).await.unwrap_or(Ok(()));
    stop.send_replace(true);
    // Calls under way come to their answers.
    engine.await.map_err(sim::Broken::of)?;
    watched?;
    Report::read(&store, &run, document).await
}
