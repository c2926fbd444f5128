//! The vendors, joined in memory: a transport whose other end are the twins, with a network between that takes its
//! time and loses things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connect::{Catalog, Source, Transport, TransportError, wire};
use engine::Timer as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use twins::Twin;
use twins::chartmogul::{self, ChartMogul};
use twins::generic::Generic;
use twins::slack::{self, Slack};
use twins::stripe::{self, Stripe};

use crate::chance::{Chance, Stream};
use crate::fault::{Fault, Faults, Nth, Trouble};
use crate::time::Time;
use crate::trace::Trace;

/// Keys of the simulated accounts. They must be found nowhere but in the requests' headers.
pub const STRIPE_KEY: &str = "sk_test_sim_51Xq7SecretOfStripe";
pub const CHARTMOGUL_KEY: &str = "cm_sim_0f4bSecretOfChartMogul";
pub const SLACK_TOKEN: &str = "xoxb-sim-000-SecretOfSlack";

/// The vendors that have twins of their own: slug and loopback port, which nothing listens on.
pub const VENDORS: [(&str, u16); 3] = [("stripe", 1), ("chartmogul", 2), ("slack", 3)];

/// One way through the network takes so many milliseconds.
const LATENCY_MS: (u64, u64) = (4, 60);

/// The simulated accounts.
#[derive(Clone)]
pub struct Vendors {
    pub stripe: Stripe,
    pub chartmogul: ChartMogul,
    pub slack: Slack,
    /// Those of which only the manifest is known, by slug.
    others: Arc<BTreeMap<String, Generic>>,
    /// The version that events are rendered at.
    pub stripe_version: String,
    /// Stripe's clock stops here: what would happen afterwards is not part of the life.
    end: Timestamp,
}

impl Vendors {
    /// Empty accounts whose clocks stand at `dawn`, for a life that ends at `end`.
    pub fn new(seed: u64, dawn: Timestamp, end: Timestamp) -> Vendors {
        let config = stripe::Config { secret_key: STRIPE_KEY.to_owned(), ..stripe::Config::new(seed, dawn) };
        let stripe_version = config.api_version.clone();
        let slack = Slack::new(slack::Config::new(SLACK_TOKEN));
        // Files are uploaded to an address that the twin gives out.
        VENDORS
            .iter()
            .filter(|(slug, _)| *slug == "slack")
            .for_each(|(_, port)| slack.reached_at(&Vendors::base_url(*port)));
        Vendors {
            stripe: Stripe::new(config),
            chartmogul: ChartMogul::new(chartmogul::Config::new(CHARTMOGUL_KEY, seed, dawn)),
            slack,
            others: Arc::default(),
            stripe_version,
            end,
        }
    }

    /// The same with every other vendor of a catalog, as its manifest says.
    #[must_use]
    pub fn beside(self, catalog: &Catalog) -> Vendors {
        let others = catalog.sources().filter(|source| !is_own(source.slug));
        let twin = |source: Source<'_>| Some((source.slug.to_owned(), generic(&source)?));
        Vendors { others: Arc::new(others.filter_map(twin).collect()), ..self }
    }

    /// Those of which only the manifest is known.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Generic)> {
        self.others.iter().map(|(slug, twin)| (slug.as_str(), twin))
    }

    /// All that are simulated, and the loopback port of each, which nothing listens on.
    pub fn ports(&self) -> impl Iterator<Item = (&str, u16)> {
        let others = self.others.keys().map(String::as_str);
        VENDORS.into_iter().chain(others.zip(VENDORS.len() as u16 + 1..))
    }

    /// The vendor that is reached at a port.
    pub fn at(&self, port: Option<u16>) -> Option<&str> {
        self.ports().find(|(_, own)| Some(*own) == port).map(|(slug, _)| slug)
    }

    /// What a connection to a vendor holds.
    pub fn credentials(&self, vendor: &str) -> BTreeMap<String, String> {
        let one = |name: &str, secret: &str| BTreeMap::from([(name.to_owned(), secret.to_owned())]);
        match (vendor, self.others.get(vendor)) {
            (_, Some(twin)) => twin.credentials().clone(),
            ("stripe", _) => one("api_key", STRIPE_KEY),
            ("chartmogul", _) => one("api_key", CHARTMOGUL_KEY),
            _ => one("token", SLACK_TOKEN),
        }
    }

    /// Where a vendor is reached.
    pub fn base_url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// A vendor answers a request at true time `now`.
    pub fn answer(
        &self,
        vendor: &str,
        request: &twins::wire::Request,
        now: Timestamp,
    ) -> twins::wire::Response {
        if let Some(twin) = self.others.get(vendor) {
            return twin.handle(request);
        }
        match vendor {
            "stripe" => {
                self.stripe.advance_to(now.min(self.end));
                self.stripe.handle(request)
            }
            "chartmogul" => {
                self.chartmogul.set_now(now);
                self.chartmogul.handle(request)
            }
            _ => {
                self.slack.set_now(now);
                self.slack.handle(request)
            }
        }
    }
}

/// Whether a vendor has a twin of its own.
fn is_own(slug: &str) -> bool {
    VENDORS.iter().any(|(own, _)| *own == slug)
}

/// A twin of a vendor of which only the manifest is known; none where that does not say enough, which is logged.
pub fn generic(source: &Source<'_>) -> Option<Generic> {
    let mut parts = source.text.split("\n---\n");
    let mut part = || Some(flow::yaml::parse(source.file, parts.next()?).ok()?.to_value());
    let mut manifest = part()?;
    // The operations of its second part, one to a member.
    if let (Some(Value::Object(more)), Some(own)) = (part(), manifest["operations"].as_object_mut()) {
        for (name, operation) in more.into_iter().filter(|(_, member)| member.is_object()) {
            own.entry(name).or_insert(operation);
        }
    }
    match Generic::new(&manifest) {
        Ok(twin) => Some(twin),
        Err(error) => {
            tracing::warn!(connector = source.slug, %error, "this vendor is not simulated");
            None
        }
    }
}

/// Every vendor that has a twin: its own, or one by its manifest.
pub fn is_simulated(catalog: &Catalog, slug: &str) -> bool {
    is_own(slug) || catalog.sources().any(|source| source.slug == slug && generic(&source).is_some())
}

/// The network between the nodes and the vendors.
pub struct Network {
    vendors: Vendors,
    time: Arc<Time>,
    faults: Arc<Mutex<Faults>>,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    latency: Chance,
    reads: u64,
    writes: u64,
}

impl Network {
    pub fn new(
        seed: u64,
        vendors: Vendors,
        time: Arc<Time>,
        faults: Arc<Mutex<Faults>>,
        trace: Trace,
    ) -> Network {
        let state = State { latency: Chance::new(seed, Stream::Latency), reads: 0, writes: 0 };
        Network { vendors, time, faults, trace, state: Mutex::new(state) }
    }

    /// Requests that were sent, reads and writes.
    pub fn requests(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.reads, state.writes)
    }

    /// The number of a request, and how long its ways there and back take.
    fn number(&self, writes: bool) -> (Nth, Duration, Duration) {
        let mut state = lock(&self.state);
        let n = if writes { &mut state.writes } else { &mut state.reads };
        *n += 1;
        let nth = Nth { writes, n: *n };
        let mut way = || Duration::from_millis(state.latency.pick(LATENCY_MS.0, LATENCY_MS.1));
        (nth, way(), way())
    }

    async fn exchange(&self, request: wire::Request) -> Result<wire::Response, TransportError> {
        let Some(vendor) = self.vendors.at(request.url.port()) else {
            let detail = format!("there is no vendor at {}", request.url.host_str().unwrap_or_default());
            return Err(TransportError { sent: false, detail });
        };
        let (nth, there, back) = self.number(request.method != "GET");
        self.time.sleep(there).await;
        let now = self.time.truth();
        let fault = lock(&self.faults).of_request(vendor, now, nth);
        let line = || format!("{vendor}: {} {}", request.method, shown(&request.url));
        if let Some((fault, true)) = &fault {
            self.trace.say(|| format!("FAULT {fault}"));
        }
        let answer = match trouble(fault.as_ref().map(|(fault, _)| fault)) {
            Some(Err(answer)) => Ok(answer),
            Some(Ok(Trouble::Status { status, effect })) => {
                if effect {
                    self.vendors.answer(vendor, &incoming(&request), now);
                }
                Ok(twins::wire::Response::text(status, "Internal Server Error"))
            }
            Some(Ok(Trouble::NoAnswer { effect, closed })) => {
                if effect {
                    self.vendors.answer(vendor, &incoming(&request), now);
                }
                if !closed {
                    self.time.sleep(request.timeout.saturating_sub(there + back)).await;
                }
                let detail = if closed { "the connection was closed" } else { "no answer in time" };
                Err(TransportError { sent: true, detail: detail.to_owned() })
            }
            Some(Ok(Trouble::Slow { by })) => {
                let answer = self.vendors.answer(vendor, &incoming(&request), now);
                self.time.sleep(by.unsigned_abs().min(request.timeout)).await;
                Ok(answer)
            }
            None => Ok(self.vendors.answer(vendor, &incoming(&request), now)),
        };
        self.trace.say(|| match &answer {
            Ok(answer) => format!("{} → {}", line(), answer.status),
            Err(error) => format!("{} → {error}", line()),
        });
        self.time.sleep(back).await;
        answer.map(|answer| wire::Response {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
        })
    }
}

/// What a fault means to one request: the answer of a vendor that is unwell altogether, or trouble with this one.
fn trouble(fault: Option<&Fault>) -> Option<Result<Trouble, twins::wire::Response>> {
    let answer = |status| twins::wire::Response::text(status, "Try again later");
    match fault? {
        Fault::Storm { retry_after_s, .. } => Some(Err(match retry_after_s {
            Some(seconds) => answer(429).with_header("retry-after", &seconds.to_string()),
            None => answer(429),
        })),
        Fault::Outage { status, .. } => Some(Err(answer(*status))),
        Fault::Request { trouble, .. } => Some(Ok(*trouble)),
        _ => None,
    }
}

/// The request as it arrives at the vendor.
pub fn incoming(request: &wire::Request) -> twins::wire::Request {
    twins::wire::Request {
        method: request.method.clone(),
        path: request.url.path().to_owned(),
        query: request.url.query().unwrap_or_default().to_owned(),
        headers: request.headers.clone(),
        body: request.body.clone(),
    }
}

fn shown(url: &url::Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport for Network {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(self.exchange(request))
    }
}
