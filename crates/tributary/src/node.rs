//! How the rooms are put together on one data directory: the store with its committer's thread, the connectors, the
//! transport, the real clock and randomness; and from them the server's routes and the engine.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use connect::{Catalog, HttpTransport, Transport};
use flow::WorkspaceId;
use flow::chance::Rng as _;
use flow::clock::Clock;
use script::{Allowed, Programs};
use server::App;
use server::access::Token;
use store::{MasterKey, OnFatal, Options, Store};

use crate::ambient::{SystemRng, WallClock};
use crate::{templates, token, trial};

/// A data directory, owned by this process until [`Node::close`].
pub struct Node {
    pub data: PathBuf,
    pub store: Store,
    /// The node's name among those that share its database.
    pub name: String,
    pub catalog: Arc<Catalog>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// What flows may start here.
    pub programs: Programs,
    /// One for everybody on this node: what it could not store yet is known to it alone.
    lender: OnceLock<connect::auth::Lender>,
    committer: JoinHandle<()>,
}

/// What the server's routes need beyond the node.
pub struct AppOptions {
    /// Further templates.
    pub templates: Option<PathBuf>,
    /// Where vendors reach this server.
    pub public_url: Option<String>,
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Where flows that are tried may call without a connector.
    pub egress: connect::plain::Egress,
    pub engine_stats: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

impl Default for AppOptions {
    fn default() -> Self {
        AppOptions {
            templates: None,
            public_url: None,
            wake: Arc::new(|| {}),
            egress: connect::plain::Egress::default(),
            engine_stats: Arc::new(|| serde_json::Value::Null),
        }
    }
}

/// For a process of which nothing is left to save: says why, and ends it before anything more is acknowledged.
pub fn exit_on_fatal() -> OnFatal {
    Arc::new(|error| {
        tracing::error!(%error, "a commit failed: the process ends, since nobody knows what is on the disk; started again it goes on, with everything acknowledged");
        std::process::exit(1);
    })
}

/// For a command that ends anyway.
pub fn log_fatal() -> OnFatal {
    Arc::new(|error| tracing::error!(%error, "a commit failed"))
}

impl Node {
    /// Takes the data directory, made if it is missing. Fails with [`store::Error::Locked`] inside if another
    /// process has it. With `database`, a PostgreSQL, everything else is kept there, and other nodes may share it. An embedded database is
    /// full at `pages_max`, for tests.
    pub async fn open(
        data: &Path,
        database: Option<&str>,
        catalog: Catalog,
        on_fatal: OnFatal,
        pages_max: Option<Arc<AtomicU32>>,
    ) -> anyhow::Result<Node> {
        let key = MasterKey::load_or_create(data, &mut SystemRng::default())
            .with_context(|| format!("the key of {}", data.display()))?;
        let (store, name) = match database {
            None => {
                (Store::open(Options { on_fatal, pages_max, ..Options::new(data, key) })?, SINGLE.to_owned())
            }
            Some(url) => {
                let name = name(data)?;
                let options = store::postgres::Options {
                    on_fatal,
                    ..store::postgres::Options::new(url, &name, data, key)
                };
                (Store::connect(options).await?, name)
            }
        };
        let committer = store.committer()?;
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .context("cannot start the committer's thread")?;
        if let Err(error) = store.finish_rotation(&mut SystemRng::default()).await {
            tracing::warn!(%error, "a rotation of the master key is still to be ended: `tributary key rotate`");
        }
        Ok(Node {
            data: data.to_owned(),
            store,
            name,
            catalog: Arc::new(catalog),
            transport: Arc::new(HttpTransport::new().context("outgoing HTTP")?),
            clock: Arc::new(WallClock),
            programs: Programs::default(),
            lender: OnceLock::new(),
            committer,
        })
    }

    /// Lends the tokens that vendors granted to this node's connections.
    pub fn lender(&self) -> connect::auth::Lender {
        let new = || {
            let keeper = engine::grants::Keeper {
                store: self.store.clone(),
                catalog: self.catalog.clone(),
                transport: self.transport.clone(),
                clock: self.clock.clone(),
                timer: Arc::new(engine::RuntimeTimer),
                rng: Arc::new(Mutex::new(Box::new(SystemRng::default()))),
            };
            Arc::new(keeper).lender()
        };
        self.lender.get_or_init(new).clone()
    }

    /// The state of the server's routes. Makes the token if there is none.
    pub fn app(&self, options: AppOptions) -> anyhow::Result<App> {
        let mut rng = SystemRng::default();
        let text = token::load_or_create(&self.data, &mut rng)?;
        let mut key = [0; 32];
        rng.fill(&mut key);
        let app = App::new(server::Deps {
            store: self.store.clone(),
            catalog: self.catalog.clone(),
            transport: self.transport.clone(),
            clock: self.clock.clone(),
            rng: Mutex::new(Box::new(rng)),
            workspace: WorkspaceId::default(),
            templates: templates::load(options.templates.as_deref())?,
            token: Token::new(&text, key),
            public_url: options.public_url,
            wake: options.wake,
            trials: Some(trial::trials(self, options.egress)),
            engine_stats: options.engine_stats,
        });
        app.borrow(self.lender());
        Ok(app)
    }

    /// The engine on this node.
    pub fn engine(&self, alerts: Arc<dyn engine::AlertSink>, config: engine::Config) -> engine::Engine {
        let engine = engine::Engine::new(engine::Deps {
            store: self.store.clone(),
            catalog: self.catalog.clone(),
            transport: self.transport.clone(),
            clock: self.clock.clone(),
            timer: Arc::new(engine::RuntimeTimer),
            rng: Box::new(SystemRng::default()),
            alerts,
            scripts: Arc::new(Workers::new(self.programs.clone())),
            rehearsal: None,
            config,
        });
        engine.borrow(self.lender());
        engine
    }

    /// Gives the data directory back. Whatever was made from this node must be gone before.
    pub fn close(self) {
        drop((self.store, self.lender));
        if self.committer.join().is_err() {
            tracing::error!("the committer panicked");
        }
    }
}

/// Scripts are run by processes of this same program; other programs are started where the operator allows it.
pub struct Workers {
    scripts: script::Pool,
    programs: Programs,
}

impl Workers {
    pub fn new(programs: Programs) -> Workers {
        // The running program's own file, even where another version has taken its place meanwhile.
        let program = PathBuf::from("/proc/self/exe");
        let program = if program.exists() { program } else { std::env::current_exe().unwrap_or(program) };
        Workers { scripts: script::Pool::new(program, ["worker"]), programs }
    }

    /// The same for an executor on which time is simulated: it stands still while a script runs.
    pub fn in_place(self) -> InPlace {
        InPlace(Arc::new(self))
    }
}

impl engine::Scripts for Workers {
    fn run<'a>(
        &'a self,
        with: &'a serde_json::Value,
    ) -> connect::BoxFuture<'a, Result<serde_json::Value, flow::Fault>> {
        Box::pin(self.scripts.run(with))
    }

    fn program<'a>(
        &'a self,
        operation: &'a str,
        with: &'a serde_json::Value,
        key: &'a str,
    ) -> connect::BoxFuture<'a, Result<serde_json::Value, flow::Fault>> {
        Box::pin(self.programs.run(operation, with, key))
    }
}

/// Runs scripts and programs while everything else waits.
pub struct InPlace(Arc<Workers>);

impl InPlace {
    /// Performs something on a thread and an executor of its own.
    fn perform<F>(work: F) -> Result<serde_json::Value, flow::Fault>
    where
        F: AsyncFnOnce() -> Result<serde_json::Value, flow::Fault> + Send + 'static,
    {
        let broken = |why: String| flow::Fault::runtime(format!("the script could not be run: {why}"));
        let thread = std::thread::Builder::new().name("script".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(work()))
        });
        match thread.map(std::thread::JoinHandle::join) {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(error))) | Err(error) => Err(broken(error.to_string())),
            Ok(Err(_)) => Err(broken("its thread broke".to_owned())),
        }
    }
}

impl engine::Scripts for InPlace {
    fn run<'a>(
        &'a self,
        with: &'a serde_json::Value,
    ) -> connect::BoxFuture<'a, Result<serde_json::Value, flow::Fault>> {
        let (workers, with) = (self.0.clone(), with.clone());
        Box::pin(std::future::ready(InPlace::perform(async move || workers.scripts.run(&with).await)))
    }

    fn program<'a>(
        &'a self,
        operation: &'a str,
        with: &'a serde_json::Value,
        key: &'a str,
    ) -> connect::BoxFuture<'a, Result<serde_json::Value, flow::Fault>> {
        let (workers, operation) = (self.0.clone(), operation.to_owned());
        let (with, key) = (with.clone(), key.to_owned());
        let result = InPlace::perform(async move || workers.programs.run(&operation, &with, &key).await);
        Box::pin(std::future::ready(result))
    }
}

/// The name of the only node of its database.
const SINGLE: &str = "node";
const NAME_FILE: &str = "node";

/// The data directory's name for its node, made once: what the node held when it died is its own again.
fn name(data: &Path) -> anyhow::Result<String> {
    let path = data.join(NAME_FILE);
    let unusable = || format!("the node's name in {}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(unusable),
    }
    let mut bytes = [0; 8];
    SystemRng::default().fill(&mut bytes);
    let name = bytes.iter().fold("node_".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    std::fs::write(&path, format!("{name}\n")).with_context(unusable)?;
    Ok(name)
}

/// The built-in connectors, those of an operator's folder, and the programs that the operator allows.
pub fn catalog(folder: Option<&Path>, allowed: &[Allowed]) -> anyhow::Result<Catalog> {
    let lines =
        |found: Vec<flow::Diagnostic>| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    let mut catalog = Catalog::embedded();
    if let Some(folder) = folder {
        catalog.load_dir(folder).map_err(|found| {
            anyhow!("--connectors {}: these have mistakes:\n  {}", folder.display(), lines(found))
        })?;
    }
    catalog.read_scripts(script::check);
    for Allowed { program, .. } in allowed {
        catalog.allow(*program);
    }
    Ok(catalog)
}

/// What flows may start here, its parts found where this process finds programs.
pub fn programs(allowed: &[Allowed]) -> anyhow::Result<Programs> {
    Programs::new(allowed, std::env::var_os("PATH")).map_err(|why| anyhow!("--allow-run: {why}"))
}
