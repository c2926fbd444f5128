//! `tributary serve`: the listeners, the engine and the store in one process, until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use engine::Housekeeper;
use jiff::SignedDuration;
use serde_json::{Value, json};
use server::metrics::Histogram;
use server::{App, Door, listen};
use store::OnFatal;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::age::{self, Age};
use crate::alerts::Alerts;
use crate::cli::{self, Exit, Global};
use crate::client::SOCKET;
use crate::folder::{self, Source};
use crate::node::{self, AppOptions, Node};
use crate::{sandbox, token};

/// After a signal, before the process ends whatever is still going on. Above what listeners and engine take.
const STOP_TIME_MAX: Duration = Duration::from_secs(25);

/// Runs the server
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  tributary serve
  tributary serve --data /var/lib/tributary --listen 0.0.0.0:7717 --public-url https://hooks.example.com
  tributary serve --database postgres://tributary:…@db.example.com/tributary?sslmode=require
  tributary serve --alert-slack slack:#ops --keep-history 90d
  tributary serve --allow-host api.example.com --allow-host '*.intranet.example.com'
  tributary serve --allow-run shell,container    flows may start programs here, as the server's user
  tributary serve --connectors ./connectors    with connectors of your own beside the built-in ones
  tributary serve --flows ./flows --environment production    what is in the folder is deployed, and stays so
  tributary serve --sandbox          with simulated Stripe, ChartMogul and Slack beside it

With --database (or $TRIBUTARY_DATABASE) everything is kept in PostgreSQL 14 or later, and any number of
servers share it: each with a data directory of its own, all with the same file `key` in it.

The REST API needs the token that lies in the data directory's file `token`; commands on this machine
use the socket there instead. Webhooks come in at PUBLIC-URL/hooks/…; put TLS in front (a reverse
proxy): Tributary itself speaks plain HTTP.

SIGTERM stops it in good order within 25 s: no new requests, those in flight are answered, runs come to
a safe point and go back to the queue. A second one stops it at once, which is safe as well.")]
pub struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7717")]
    pub listen: SocketAddr,
    /// How vendors reach this server; shown as the webhook addresses [default: http://ADDR]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<Url>,
    /// Runs worked on at once
    #[arg(long, value_name = "N", default_value_t = engine::limits::WORKERS)]
    pub workers: usize,
    /// A host that `call: http` and `call: openapi` of flows may call (`api.example.com`, `*.example.com`); may be given
    /// several times. No other host is called without a connector
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Deploy the flows of this folder, and again whenever it changes: what is gone there is removed. If anything in it
    /// is wrong, nothing is changed
    #[arg(long, value_name = "DIR")]
    pub flows: Option<PathBuf>,
    /// Deploy them with `deploy.NAME.yaml` of the folder beside its `deploy.yaml`
    #[arg(long, value_name = "NAME", requires = "flows")]
    pub environment: Option<String>,
    #[command(flatten)]
    pub alerts: Alerts,
    /// How long a run waits for a node that died before another one takes it up, such as 30s. Renewed while the node lives
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = age::parse_lease)]
    pub lease: SignedDuration,
    /// How long history is kept, such as 90d; `forever` keeps it
    #[arg(long, value_name = "TIME", default_value = "400d", value_parser = age::parse)]
    pub keep_history: Age,
    /// How long ended runs stay beside the running ones before they move to history
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = age::parse)]
    pub keep_hot: Age,
    /// Stop when standard input closes: whoever started this server has ended
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
    /// Start simulated Stripe, ChartMogul and Slack as well, and print how to connect them
    #[arg(long)]
    pub sandbox: bool,
}

/// What a server is started with.
pub struct Config {
    pub data: PathBuf,
    /// A PostgreSQL; without it, the data directory holds everything.
    pub database: Option<String>,
    pub listen: SocketAddr,
    pub public_url: Option<Url>,
    pub templates: Option<PathBuf>,
    /// A folder of further connectors.
    pub connectors: Option<PathBuf>,
    pub workers: usize,
    /// Hosts that flows may call without a connector.
    pub allow_host: Vec<String>,
    /// What flows may start on this machine.
    pub allow_run: Vec<script::Allowed>,
    /// A folder whose flows are deployed.
    pub flows: Option<Source>,
    /// Between two looks at it.
    pub flows_look: Duration,
    pub alerts: Alerts,
    /// How long a claim holds without renewal.
    pub lease: SignedDuration,
    /// How long is kept what is over.
    pub retention: engine::Retention,
    /// Asks sandbox twins for their events as well, for tests.
    pub poll_sandboxes: bool,
    /// Makes the database full at so many pages, for tests.
    pub pages_max: Option<Arc<AtomicU32>>,
    pub on_fatal: OnFatal,
}

impl Config {
    /// A server on a free loopback port.
    pub fn new(data: impl Into<PathBuf>) -> Config {
        Config {
            data: data.into(),
            database: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            templates: None,
            connectors: None,
            workers: engine::limits::WORKERS,
            allow_host: Vec::new(),
            allow_run: Vec::new(),
            flows: None,
            flows_look: folder::LOOK,
            alerts: Alerts::default(),
            lease: engine::limits::LEASE,
            retention: engine::Retention::default(),
            poll_sandboxes: false,
            pages_max: None,
            on_fatal: node::log_fatal(),
        }
    }
}

/// A running server.
pub struct Server {
    node: Node,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its socket is.
    pub socket: PathBuf,
    app: App,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    housekeeping: JoinHandle<()>,
}

impl Server {
    /// Takes the data directory, opens the listeners, starts the engine. Once this returns, requests are answered.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        let egress = connect::plain::Egress::new(config.allow_host)
            .map_err(|why| anyhow::anyhow!("--allow-host: {why}"))?;
        let programs = node::programs(&config.allow_run)?;
        let catalog = node::catalog(config.connectors.as_deref(), &config.allow_run)?;
        let database = config.database.as_deref();
        let opened = Node::open(&config.data, database, catalog, config.on_fatal, config.pages_max);
        let mut node = opened.await?;
        node.programs = programs;
        let tcp = TcpListener::bind(config.listen).await.with_context(|| {
            format!("cannot listen on {}; --listen ADDR takes another address", config.listen)
        })?;
        let address = tcp.local_addr().context("the listener has no address")?;
        let socket = node.data.join(SOCKET);
        let unix = listen::bind_unix(&socket).with_context(|| format!("cannot open {}", socket.display()))?;

        let sinks = config.alerts.sinks(&node);
        // The data directory's name for the node: what it held when it died is its own again.
        let public_url = config.public_url.map_or_else(|| format!("http://{address}"), |url| url.to_string());
        let engine_config = engine::Config {
            node: node.name.clone(),
            workers: config.workers,
            egress: egress.clone(),
            public_url: Some(public_url.clone()),
            lease: config.lease,
            retention: config.retention,
            polls: true,
            poll_sandboxes: config.poll_sandboxes,
            ..engine::Config::default()
        };
        let engine = node.engine(sinks, engine_config);
        let wake = engine.wake_handle();
        let end_to_end = Arc::new(Histogram::default());
        let ended = end_to_end.clone();
        engine.observe(Arc::new(move |took| ended.record(took)));
        let app = node.app(AppOptions {
            templates: config.templates,
            public_url: Some(public_url),
            wake: Arc::new(move || wake.wake()),
            egress,
            engine_stats: Arc::new(move || json!({"e2e_ms": end_to_end.summary_ms()})),
        })?;

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen::serve_tcp(tcp, server::router(app.clone(), Door::Network), stopping.clone()));
        tasks.spawn(listen::serve_unix(unix, server::router(app.clone(), Door::Socket), stopping.clone()));
        if let Some(flows) = config.flows {
            tasks.spawn(flows.keep(app.clone(), config.flows_look, stopping.clone()));
        }
        let housekeeping = keep_house(engine.housekeeper(), stopping.clone())?;
        tasks.spawn(engine.run(stopping));
        Ok(Server { node, address, socket, app, stop, tasks, housekeeping })
    }

    /// What is durable, for tests that look from the inside. It has to be gone before the server is stopped.
    pub fn store(&self) -> store::Store {
        self.node.store.clone()
    }

    /// The data directory.
    pub fn data(&self) -> &std::path::Path {
        &self.node.data
    }

    /// Completes when a part of the server ended although nobody told it to.
    async fn broken(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the server broke"),
            _ => anyhow::anyhow!("a part of the server ended by itself"),
        }
    }

    /// Takes no more requests, lets those in flight and runs in progress finish for a while, gives the data
    /// directory back.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.app.stopping();
        self.stop.send_replace(true);
        let ended = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a part of the server broke while it stopped")?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(STOP_TIME_MAX, ended)
            .await
            .with_context(|| format!("not stopped after {} s", STOP_TIME_MAX.as_secs()))??;
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the socket could not be removed");
            }
            _ => {}
        }
        // What holds the store must be gone before it closes.
        drop(self.app);
        let closed = tokio::task::spawn_blocking(move || {
            if self.housekeeping.join().is_err() {
                tracing::error!("housekeeping panicked");
            }
            self.node.close();
        });
        closed.await.context("the store did not close")
    }
}

/// Housekeeping on a thread of its own: it waits for the disk, and must not make requests wait with it. Sessions with
/// a database server that it opens belong to the runtime that everybody else is on.
fn keep_house(housekeeper: Housekeeper, stop: watch::Receiver<bool>) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("housekeeping".to_owned())
        .spawn(move || runtime.block_on(housekeeper.run(stop)))
        .context("cannot start housekeeping's thread")
}

/// Completes when standard input ends. On a thread, since a read of it cannot be taken back; the thread ends with the
/// process.
async fn stdin_closed() {
    let (closed, told) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        if let Err(error) = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()) {
            tracing::debug!(%error, "standard input broke");
        }
        closed.send(()).ok();
    });
    if thread.is_err() || told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs the server until SIGTERM or SIGINT.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    end_on_panic();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut server = Server::start(Config {
        data: global.data.clone(),
        database: global.database.clone(),
        listen: args.listen,
        public_url: args.public_url,
        templates: global.templates.clone(),
        connectors: global.connectors.clone(),
        workers: args.workers,
        allow_host: args.allow_host,
        allow_run: global.allow_run.clone(),
        flows: args.flows.map(|path| Source { path, environment: args.environment }),
        flows_look: folder::LOOK,
        alerts: args.alerts,
        lease: args.lease,
        retention: engine::Retention {
            hot: args.keep_hot.0.unwrap_or(SignedDuration::MAX),
            history: args.keep_history.0,
        },
        poll_sandboxes: false,
        pages_max: None,
        on_fatal: node::exit_on_fatal(),
    })
    .await?;
    let twins = match args.sandbox {
        true => Some(sandbox::Sandbox::start(&sandbox::Args::default(), &global.catalog()?).await?),
        false => None,
    };
    ready(global, &server, twins.as_ref());
    tokio::select! {
        biased;
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        () = stdin_closed(), if args.stop_with_stdin => tracing::info!("standard input closed: stopping"),
        error = server.broken() => return Err(error),
    }
    tokio::select! {
        biased;
        stopped = server.stop() => stopped?,
        _ = terminate.recv() => return Ok(at_once()),
        _ = interrupt.recv() => return Ok(at_once()),
    }
    tracing::info!("stopped; everything acknowledged is on the disk");
    Ok(Exit::Done)
}

/// Ends the process as a crash would: safe, but runs in progress are taken up only by the next start.
fn at_once() -> Exit {
    tracing::warn!("told a second time: stopping at once");
    std::process::exit(1)
}

/// Tells a parent process or a person where the server is.
fn ready(global: &Global, server: &Server, twins: Option<&sandbox::Sandbox>) {
    let token = token::path(server.data());
    if global.json {
        let mut line = json!({
            "ready": true,
            "address": server.address.to_string(),
            "url": format!("http://{}", server.address),
            "socket": server.socket,
            "token_file": token,
            "data": server.data(),
        });
        if let Some(twins) = twins {
            line["sandbox"] = twins.document();
        }
        cli::answer(global, &line, |_| String::new());
        return;
    }
    let (address, data, token) = (server.address, server.data().display(), token.display());
    let mut words = format!("Tributary listens on http://{address}\n  data   {data}\n");
    words += &format!("  token  in {token} (for the REST API over the network)\n\n");
    words += &twins.map_or_else(
        || "Next, in another terminal: tributary connection add stripe".to_owned(),
        sandbox::Sandbox::words,
    );
    cli::answer(global, &Value::Null, |_| words);
}

/// A panic anywhere ends the process: a server without one of its parts would look alive and lose work. The engine
/// contains those of single runs and events, which are then shown as failed.
fn end_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        if !engine::is_contained() {
            std::process::exit(101);
        }
    }));
}
