//! `tributary sandbox`: only the simulated vendors, on loopback ports, their clocks following the wall clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
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
use crate::cli::{Exit, Global};

/// How often the twins' clocks are moved and their webhooks delivered.
const TICK: Duration = Duration::from_secs(1);
/// Keys of the simulated accounts: they open nothing but the twins of this process.
const CHARTMOGUL_KEY: &str = "cm_sandbox_0123456789abcdef0123456789abcdef";
const SLACK_TOKEN: &str = "xoxb-sandbox-000000000000-tributary";

/// Simulated vendors
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  tributary sandbox
  tributary sandbox --listen 127.0.0.1:12111     Stripe on 12111, ChartMogul on 12112, Slack on 12113
  tributary sandbox --json                       one line with addresses and keys, then it stays up

The accounts begin empty. Operate them with the vendors' own clients: point those at the printed
addresses. Webhook endpoints that are registered at the simulated Stripe are delivered to.")]
pub struct Args {
    /// Where to listen; the port is the first of three (0: any free ones)
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

/// One simulated account.
struct Account {
    connector: &'static str,
    url: String,
    credential: &'static str,
    key: String,
}

/// Running twins. Dropping it closes their ports.
pub struct Sandbox {
    accounts: Vec<Account>,
    _tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts the twins; they answer once this returns.
    pub async fn start(args: &Args) -> anyhow::Result<Sandbox> {
        let now = WallClock.now();
        let config = stripe::Config::new(args.seed, now);
        let (key, version) = (config.secret_key.clone(), config.api_version.clone());
        let stripe = Stripe::new(config);
        let chartmogul = ChartMogul::new(chartmogul::Config::new(CHARTMOGUL_KEY, args.seed, now));
        let slack = Slack::new(slack::Config::new(SLACK_TOKEN));
        let twins: [(Arc<dyn Twin>, &str, &str, String); 3] = [
            (Arc::new(stripe.clone()), "stripe", "api_key", key),
            (Arc::new(chartmogul.clone()), "chartmogul", "api_key", CHARTMOGUL_KEY.to_owned()),
            (Arc::new(slack.clone()), "slack", "token", SLACK_TOKEN.to_owned()),
        ];
        let (mut tasks, mut accounts) = (JoinSet::new(), Vec::new());
        for (offset, (twin, connector, credential, key)) in (0u16..).zip(twins) {
            let url = open(twin, args.listen, offset, &mut tasks).await?;
            accounts.push(Account { connector, url, credential, key });
        }
        let post =
            Post::new(stripe.clone(), &version, args.seed, Policy::prompt(), Arc::new(|| WallClock.now()));
        tasks.spawn(follow_the_clock(stripe, chartmogul, slack, post));
        Ok(Sandbox { accounts, _tasks: tasks })
    }

    /// Addresses and keys, by connector.
    pub fn document(&self) -> Value {
        let accounts = self.accounts.iter().map(|account| {
            let shown = json!({"url": account.url, "credentials": {account.credential: account.key}});
            (account.connector.to_owned(), shown)
        });
        Value::Object(accounts.collect())
    }

    /// The same for people, with the commands that connect them.
    pub fn words(&self) -> String {
        let mut words = String::from("Simulated accounts (empty; their keys open nothing else):\n");
        for Account { connector, url, credential, key } in &self.accounts {
            words += &format!("  {connector:<12}{url}  {credential} {key}\n");
        }
        words += "\nConnect them:\n";
        for Account { connector, url, credential, key } in &self.accounts {
            words += &format!(
                "  echo {credential}={key} | tributary connection add {connector} --base-url {url} --from-stdin\n"
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
        address.set_port(listen.port().checked_add(offset).context("--listen: three ports are needed")?);
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

async fn follow_the_clock(stripe: Stripe, chartmogul: ChartMogul, slack: Slack, mut post: Post) {
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
    }
}

/// Runs the twins until SIGTERM or SIGINT.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let sandbox = Sandbox::start(&args).await?;
    if global.json {
        println!("{}", json!({"ready": true, "sandbox": sandbox.document()}));
    } else {
        println!("{}", sandbox.words());
    }
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Exit::Done)
}
