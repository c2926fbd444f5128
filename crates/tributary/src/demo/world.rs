//! The three twins, each on a loopback port.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use twins::Twin;
use twins::chartmogul::{self, ChartMogul};
use twins::slack::{self, Slack};
use twins::stripe::{self, Stripe};

/// Keys of the simulated accounts: they open nothing but the twins of this process.
pub const CHARTMOGUL_KEY: &str = "cm_demo_0123456789abcdef0123456789abcdef";
/// Slack's.
pub const SLACK_TOKEN: &str = "xoxb-demo-000000000000-sandbox";
/// What Slack signs clicks on buttons with.
pub const SLACK_SIGNING_SECRET: &str = "demo0123456789abcdef0123456789ab";

/// The simulated vendors. Dropping it closes their ports.
pub struct World {
    pub stripe: Stripe,
    pub stripe_key: String,
    /// The version that events are rendered at.
    pub stripe_version: String,
    pub stripe_url: String,
    pub chartmogul: ChartMogul,
    pub chartmogul_url: String,
    pub slack: Slack,
    pub slack_url: String,
    _ports: JoinSet<()>,
}

impl World {
    /// Starts the twins; Stripe's clock stands at `dawn`.
    pub async fn start(seed: u64, dawn: Timestamp) -> anyhow::Result<World> {
        let config = stripe::Config::new(seed, dawn);
        let (stripe_key, stripe_version) = (config.secret_key.clone(), config.api_version.clone());
        let stripe = Stripe::new(config);
        let chartmogul = ChartMogul::new(chartmogul::Config::new(CHARTMOGUL_KEY, seed, dawn));
        let slack = Slack::new(slack::Config::new(SLACK_TOKEN));
        let mut ports = JoinSet::new();
        Ok(World {
            stripe_url: open(Arc::new(stripe.clone()), &mut ports).await?,
            chartmogul_url: open(Arc::new(chartmogul.clone()), &mut ports).await?,
            slack_url: open(Arc::new(slack.clone()), &mut ports).await?,
            stripe,
            stripe_key,
            stripe_version,
            chartmogul,
            slack,
            _ports: ports,
        })
    }
}

async fn open(twin: Arc<dyn Twin>, ports: &mut JoinSet<()>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no loopback port")?;
    let address = listener.local_addr()?;
    ports.spawn(async move {
        if let Err(error) = twins::http::serve(listener, twin, std::future::pending()).await {
            tracing::error!(%error, "a twin stopped");
        }
    });
    Ok(format!("http://{address}"))
}
