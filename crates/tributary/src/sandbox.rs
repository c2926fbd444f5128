//! `tributary sandbox`: only the simulated vendors, on loopback ports, their clocks following the wall clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connect::Catalog;
use flow::clock::Clock as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use twins::Twin;
use twins::chartmogul::{self, ChartMogul};
use twins::slack::{self, Slack};
use twins::stripe::{self, Stripe};
use twins::webhook::{Policy, Post};

use crate::ambient::WallClock;
use crate::cli::{Exit, Global, answer};

/// How often the twins' clocks are moved and their webhooks delivered.
const TICK: Duration = Duration::from_secs(1);
/// Keys of the simulated accounts: they open nothing but the twins of this process.
const CHARTMOGUL_KEY: &str = "cm_sandbox_0123456789abcdef0123456789abcdef";
const SLACK_TOKEN: &str = "xoxb-sandbox-000000000000-tributary";
const SLACK_SIGNING_SECRET: &str = "sandbox0123456789abcdef012345678";

/// Simulated vendors
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  tributary sandbox
  tributary sandbox --listen 127.0.0.1:12111     Stripe on 12111, ChartMogul on 12112, Slack on 12113
  tributary --connectors ./connectors sandbox    your own connectors too, on the ports after those
  tributary sandbox --json                       one line with addresses and keys, then it stays up

The accounts begin empty. Operate them with the vendors' own clients: point those at the printed
addresses. Webhook endpoints that are registered at the simulated Stripe are delivered to. The simulated
Slack shows its messages to browsers; once it is told where the app is (the command is printed), pressing
a button there tells the app. A connector of your own is simulated as its manifest says: records are made,
read, listed, changed and deleted; rules of the vendor that no manifest tells are not known.")]
pub struct Args {
    /// Where to listen; the port is the first of several in a row (0: any free ones)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Decides every id and choice of the twins
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Args {
    fn default() -> Args {
        Args { listen: SocketAddr::from(([127, 0, 0, 1], 0)), seed: 1 }
    }
}

/// A twin that is not running yet, and what opens it.
struct Vendor {
    twin: Arc<dyn Twin>,
    slug: String,
    credentials: BTreeMap<String, String>,
}

/// One simulated account.
struct Account {
    connector: String,
    url: String,
    credentials: BTreeMap<String, String>,
}

/// Running twins. Dropping it closes their ports.
pub struct Sandbox {
    accounts: Vec<Account>,
    _tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts the twins; they answer once this returns.
    /// What has no twin of its own is simulated as its manifest in `catalog` says.
    pub async fn start(args: &Args, catalog: &Catalog) -> anyhow::Result<Sandbox> {
        let now = WallClock.now();
        let config = stripe::Config::new(args.seed, now);
        let (key, version) = (config.secret_key.clone(), config.api_version.clone());
        let stripe = Stripe::new(config);
        let chartmogul = ChartMogul::new(chartmogul::Config::new(CHARTMOGUL_KEY, args.seed, now));
        let slack = Slack::new(slack::Config::new(SLACK_TOKEN));
        let vendor = |twin: Arc<dyn Twin>, slug: &str, held: &[(&str, &str)]| Vendor {
            twin,
            slug: slug.to_owned(),
            credentials: held.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect(),
        };
        let of_slack = [("token", SLACK_TOKEN), ("signing_secret", SLACK_SIGNING_SECRET)];
        let mut vendors = vec![
            vendor(Arc::new(stripe.clone()), "stripe", &[("api_key", &key)]),
            vendor(Arc::new(chartmogul.clone()), "chartmogul", &[("api_key", CHARTMOGUL_KEY)]),
            vendor(Arc::new(slack.clone()), "slack", &of_slack),
        ];
        for source in catalog.sources() {
            let named = vendors.iter().any(|vendor| vendor.slug == source.slug);
            if let Some(twin) = sim::twin_of(&source).filter(|_| !named) {
                let credentials = twin.credentials().clone();
                vendors.push(Vendor { twin: Arc::new(twin), slug: source.slug.to_owned(), credentials });
            }
        }
        let (mut tasks, mut accounts) = (JoinSet::new(), Vec::new());
        for (offset, Vendor { twin, slug: connector, credentials }) in (0u16..).zip(vendors) {
            let url = open(twin, args.listen, offset, &mut tasks).await?;
            if connector == "slack" {
                slack.reached_at(&url);
            }
            accounts.push(Account { connector, url, credentials });
        }
        let clock = Arc::new(|| WallClock.now());
        let clicks = slack::Post::new(slack.clone(), clock.clone());
        let post = Post::new(stripe.clone(), &version, args.seed, Policy::prompt(), clock);
        tasks.spawn(follow_the_clock(stripe, chartmogul, slack, post, clicks));
        Ok(Sandbox { accounts, _tasks: tasks })
    }

    /// Addresses and keys, by connector.
    pub fn document(&self) -> Value {
        let accounts = self.accounts.iter().map(|account| {
            let shown = json!({"url": account.url, "credentials": account.credentials});
            (account.connector.clone(), shown)
        });
        Value::Object(accounts.collect())
    }

    /// The same for people, with the commands that connect them.
    pub fn words(&self) -> String {
        let mut words = String::from("Simulated accounts (empty; their keys open nothing else):\n");
        for Account { connector, url, credentials } in &self.accounts {
            let keys: Vec<String> = credentials.iter().map(|(name, key)| format!("{name} {key}")).collect();
            words += &format!("  {connector:<12}{url}  {}\n", keys.join("  "));
        }
        words += "\nConnect them:\n";
        for Account { connector, url, credentials } in &self.accounts {
            let lines: Vec<String> = credentials.iter().map(|(name, key)| format!("{name}={key}")).collect();
            words += &format!(
                "  printf '{}\\n' | tributary connection add {connector} --base-url {url} --from-stdin\n",
                lines.join("\\n")
            );
        }
        if let Some(slack) = self.accounts.iter().find(|account| account.connector == "slack") {
            words += &format!(
                "\nMessages and their buttons: {0}/ Tell it where the app is (HOOK: the connection's webhook address):\n  \
                 curl -d url=HOOK -d signing_secret={SLACK_SIGNING_SECRET} {0}/_sandbox/app\n",
                slack.url
            );
        }
        words
    }
}

async fn open(
    twin: Arc<dyn Twin>,
    listen: SocketAddr,
    offset: u16,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<String> {
    let mut address = listen;
    if listen.port() != 0 {
        address.set_port(
            listen.port().checked_add(offset).context("--listen: there are not enough ports after it")?,
        );
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    tasks.spawn(async move {
        if let Err(error) = twins::http::serve(listener, twin, std::future::pending()).await {
            tracing::error!(%error, "a simulated vendor stopped");
        }
    });
    Ok(format!("http://{address}"))
}

async fn follow_the_clock(
    stripe: Stripe,
    chartmogul: ChartMogul,
    slack: Slack,
    mut post: Post,
    clicks: slack::Post,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let now = WallClock.now();
        // A test clock may have moved an account ahead: time never goes back.
        if now > stripe.now() {
            stripe.advance_to(now);
        }
        chartmogul.set_now(now);
        slack.set_now(now);
        post.turn().await;
        for refused in clicks.turn().await.into_iter().filter_map(Result::err) {
            tracing::warn!(refused, "a click in the simulated Slack did not reach the app");
        }
    }
}

/// Runs the twins until SIGTERM or SIGINT.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let sandbox = Sandbox::start(&args, &global.catalog()?).await?;
    answer(global, &json!({"ready": true, "sandbox": sandbox.document()}), |_| sandbox.words());
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Exit::Done)
}
