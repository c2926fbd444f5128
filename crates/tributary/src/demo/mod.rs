//! `tributary demo`: a month of billing in seconds, and whether every cent of it arrived.
//!
//! Stripe, ChartMogul and Slack are twins in this process; the server is a child process of the same binary, on a
//! temporary data directory, and knows nothing of the demo. A seeded life happens in Stripe, its webhooks are
//! delivered as Stripe would, and at the end what Stripe knows is true is laid beside what ChartMogul computes from
//! what it was sent.
//!
//! Start at [`run`]; [`month`] lives, [`sim::reconcile`] compares, [`crash`] is why the server may die meanwhile.

mod crash;
mod month;
mod outcome;
mod progress;
mod server;
mod setup;
mod table;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flow::clock::Clock as _;
use tokio::time::Instant;
use twins::life;
use twins::slack;
use twins::webhook::{Policy, Post};

use crash::Crashes;
use month::Month;
use outcome::Outcome;
use progress::Progress;
use server::Server;
use world::World;

use crate::ambient::WallClock;
use crate::cli::{self, Global};

/// How long runs may take to finish after the last event was delivered.
pub const DRAIN_WAIT: Duration = Duration::from_secs(180);
/// While it stays up, how often new events are looked for.
const TURN: Duration = Duration::from_millis(200);
/// How often the server is killed with `--crash` unless told otherwise.
const KILLS: u32 = 20;

/// What a demo can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many customers live through the month
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub customers: u32,
    /// How many days the month has
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650), value_name = "N")]
    pub days: u32,
    /// The same seed is the same month
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Stay up afterwards, so that anyone can look and recompute
    #[arg(long)]
    pub serve: bool,
    /// Kill the server at random points (kill -9) and start it again on the same data
    #[arg(long)]
    pub crash: bool,
    /// How often it is killed; implies --crash
    #[arg(long, value_name = "N")]
    pub kills: Option<u32>,
}

impl Args {
    fn kills(&self) -> u32 {
        self.kills.unwrap_or(if self.crash { KILLS } else { 0 })
    }
}

/// Lives the month and reconciles it, on the PostgreSQL of `--database` (an empty one) if there is one. True: no discrepancy and no failed run.
///
/// # Errors
/// When the demo itself cannot go on: no port, no child, no answer, or Ctrl-C. The child is gone and the data
/// directory removed on every way out.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<bool> {
    tokio::select! {
        biased;
        signal = interrupted() => Err(signal?),
        done = live(&args, global) => done,
    }
}

async fn live(args: &Args, global: &Global) -> anyhow::Result<bool> {
    let json = global.json;
    let began = Instant::now();
    let config = life::Config::new(args.seed, args.customers, args.days);
    let progress = Progress::new(args.days, json);
    progress.say("starting Stripe, ChartMogul and Slack (simulated) and the server");
    let directory =
        tempfile::Builder::new().prefix("tributary-demo-").tempdir().context("no temporary directory")?;
    let world = World::start(args.seed, config.dawn()).await?;
    let mut past = life::Life::begin(config, world.stripe.clone())?;
    past.past()?;
    // Nobody listened yet: what the old customers did so far was never told to anybody.
    drop(world.stripe.drain_events());

    let server = Server::start(directory.path(), global.database.clone()).await?;
    let ready = setup::connect(&server, &world).await?;
    let crashes = Crashes::new(server, args.seed, args.kills());
    let month = Month { life: past, world: &world, ready: &ready, crashes: &crashes, progress: &progress };
    let lived = tokio::time::timeout(month_wait(args), month.live()).await;
    let lived = lived.context("the month took too long")??;
    let outcome = Outcome::new(args, config, &world, &ready, lived, began.elapsed());
    progress.finish();
    if outcome.lived.kills > 0 {
        eprintln!("the server was killed {} times", outcome.lived.kills);
    }

    cli::answer(global, &outcome.document(), |_| table::render(&outcome));
    if !outcome.is_good() {
        eprintln!("{}", crashes.log_tail().await);
    }
    if args.serve {
        stay(&world, &ready, directory, json).await;
    }
    crashes.stop().await;
    Ok(outcome.is_good())
}

/// A life that hangs is a failure, not a wait: generous for slow machines, and never endless.
fn month_wait(args: &Args) -> Duration {
    let work = u64::from(args.customers) * u64::from(args.days.max(7)) / 10;
    DRAIN_WAIT + Duration::from_secs(300 + work)
}

/// Stays up until Ctrl-C, which [`run`] turns into an error: nothing after this happens. What somebody now does in
/// the simulated Stripe is delivered like what happened before, and so are clicks on buttons in the simulated Slack.
async fn stay(world: &World, ready: &setup::Ready, directory: tempfile::TempDir, json: bool) {
    let kept = directory.keep();
    if !json {
        println!("{}", table::addresses(ready));
    }
    eprintln!("data directory: {} (kept)", kept.display());
    eprintln!("up until Ctrl-C");
    let clock = Arc::new(|| WallClock.now());
    let slack = slack::Post::new(world.slack.clone(), clock.clone());
    let mut post = Post::new(world.stripe.clone(), &world.stripe_version, 0, Policy::prompt(), clock);
    loop {
        post.turn().await;
        slack.turn().await;
        tokio::time::sleep(TURN).await;
    }
}

/// Resolves when the process is asked to end.
async fn interrupted() -> anyhow::Result<anyhow::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        biased;
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(anyhow::anyhow!("interrupted"))
}
