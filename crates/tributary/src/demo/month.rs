//! Lives the month: each day happens in Stripe, and its webhooks are delivered before the next one begins.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use flow::clock::Clock as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use twins::life::Life;
use twins::oracle::{Rates, Truth};
use twins::webhook::{self, HttpEndpoint, Message, Policy, Records, Sender};

use super::DRAIN_WAIT;
use super::crash::{Counted, Crashes};
use super::progress::Progress;
use super::setup::Ready;
use super::table::money;
use super::world::World;
use crate::ambient::WallClock;
use sim::reconcile::Alert;

/// Webhooks under way at the same time.
const IN_FLIGHT_MAX: usize = 16;
/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(100);
/// So many answers in a row must say that nothing is left.
const IDLE_POLLS: u32 = 2;

/// A month that is about to be lived.
pub struct Month<'a> {
    pub life: Life,
    pub world: &'a World,
    pub ready: &'a Ready,
    pub crashes: &'a Crashes,
    pub progress: &'a Progress,
}

/// How the month went on the way to the server.
pub struct Lived {
    /// Deliveries planned: each event, and the second copy of some.
    pub sent: u64,
    pub records: Records,
    /// The server's `/v1/stats` at the end.
    pub stats: Value,
    pub kills: u32,
    /// One per failed attempt to collect an invoice.
    pub failed_attempts: BTreeSet<Alert>,
}

impl Month<'_> {
    /// Lives it, and waits until every run has ended.
    pub async fn live(self) -> anyhow::Result<Lived> {
        let crashes = self.crashes;
        tokio::select! {
            biased;
            error = crashes.watch() => Err(error.context("the server was killed and did not come back")),
            lived = self.days() => lived,
        }
    }

    async fn days(mut self) -> anyhow::Result<Lived> {
        let config = self.life.plan().config;
        let address = self.ready.endpoint.url.parse().context("the hook's address")?;
        let inner = HttpEndpoint::new(address, || WallClock.now());
        let endpoint = Counted { inner, crashes: self.crashes };
        let sender = Sender { secret: self.ready.endpoint.secret.clone(), in_flight_max: IN_FLIGHT_MAX };
        let mut plan = webhook::Plan::new(config.seed, Policy::default());
        let (mut sent, mut failed_attempts, mut records) = (0, BTreeSet::new(), Records::default());
        for day in 0..config.days {
            self.life.day(day)?;
            let midnight = config.midnight(i64::from(day) + 1);
            self.world.chartmogul.set_now(midnight);
            self.world.slack.set_now(midnight);
            sent += self.plan_deliveries(&mut plan, &mut failed_attempts)?;
            self.crashes.begin_day(plan.len(), config.days - day);
            webhook::deliver(&mut plan, midnight, &endpoint, &sender, &mut records).await;
            self.mark_delivered(&mut records);
            self.crashes.check().await?;
            self.tell(day, sent, midnight).await;
        }
        // The last day's stragglers: Stripe's clock stays, only the deliveries go on.
        webhook::deliver(&mut plan, Timestamp::MAX, &endpoint, &sender, &mut records).await;
        self.mark_delivered(&mut records);
        self.crashes.rest().await?;
        let stats = self.drain().await?;
        Ok(Lived { sent, records, stats, kills: self.crashes.done(), failed_attempts })
    }

    /// Plans what Stripe has to tell since it was asked last. Answers how many deliveries that makes.
    fn plan_deliveries(&self, plan: &mut webhook::Plan, failed: &mut BTreeSet<Alert>) -> anyhow::Result<u64> {
        let stripe = &self.world.stripe;
        let version = self.ready.endpoint.api_version.as_deref().unwrap_or(&self.world.stripe_version);
        let mut sent = 0;
        for event in stripe.drain_events() {
            if !self.ready.endpoint.wants(&event.r#type) {
                continue;
            }
            let body = stripe.event_body(&event.id, version).context("an event without a body")?;
            if event.r#type == "invoice.payment_failed" {
                failed.insert(Alert::of_event(&serde_json::from_slice(&body)?).map_err(anyhow::Error::msg)?);
            }
            sent += u64::from(plan.add(Message { id: event.id, created: event.created, body }));
        }
        Ok(sent)
    }

    fn mark_delivered(&self, records: &mut Records) {
        for event in records.delivered.drain(..) {
            self.world.stripe.mark_delivered(&event, &self.ready.endpoint.id);
        }
    }

    async fn tell(&self, day: u32, sent: u64, midnight: Timestamp) {
        let truth = Truth::new(&self.world.stripe.mrr_history(), Rates::default());
        let total = truth.days(&[Timestamp::MIN, midnight]).first().map_or(0, |day| day.total);
        // While the server is down there is no number to show: the watcher can do without.
        let runs = match self.ready.server.get("/v1/stats").await {
            Ok(stats) => format!(" · {} runs done", stats["runs"]["completed"]),
            Err(_) => String::new(),
        };
        let kills = match self.crashes.done() {
            0 => String::new(),
            kills => format!(" · killed {kills}×"),
        };
        self.progress.day(day, format!("{sent} events{runs} · MRR {}{kills}", money(total, "usd")));
    }

    /// Waits until nothing is queued or running. Answers the server's statistics.
    async fn drain(&self) -> anyhow::Result<Value> {
        let until = Instant::now() + DRAIN_WAIT;
        let mut idle = 0;
        loop {
            self.crashes.check().await?;
            let stats = self.ready.server.get("/v1/stats").await?;
            let left = left(&stats)?;
            idle = if left == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_POLLS {
                return Ok(stats);
            }
            if Instant::now() > until {
                bail!("{left} events or runs are still unfinished after {} s: {stats}", DRAIN_WAIT.as_secs());
            }
            self.progress.say(&format!("the month is over; {left} events and runs to finish"));
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Events not yet dispatched and runs not yet ended. A number that is missing is an error, not a zero.
fn left(stats: &Value) -> anyhow::Result<u64> {
    let mut left = 0;
    for (group, name) in
        [("events", "undispatched"), ("runs", "queued"), ("runs", "running"), ("runs", "parked")]
    {
        let number = stats[group][name].as_u64();
        left += number.with_context(|| format!("the server's statistics lack {group}.{name}: {stats}"))?;
    }
    Ok(left)
}
