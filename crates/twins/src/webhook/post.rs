//! Delivers what happens in a twin to whichever endpoints are registered in it: for sandboxes that stay up.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::http::HttpEndpoint;
use super::plan::{Message, Plan, Policy};
use super::send::{Records, Sender, deliver};
use crate::stripe::{Endpoint, Stripe};

/// Deliveries under way to one endpoint at the same time.
const IN_FLIGHT_MAX: usize = 8;

/// Where a twin's events go, endpoint by endpoint.
pub struct Post {
    stripe: Stripe,
    /// The version of endpoints that ask for none.
    api_version: String,
    policy: Policy,
    seed: u64,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    routes: BTreeMap<String, Route>,
}

struct Route {
    plan: Plan,
    /// `None`: its address is not `http://`, so nothing is sent.
    socket: Option<HttpEndpoint>,
    sender: Sender,
}

impl Post {
    /// Nothing is delivered before [`Post::turn`]. `clock` is the wall clock.
    pub fn new(
        stripe: Stripe,
        api_version: &str,
        seed: u64,
        policy: Policy,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Post {
        Post { stripe, api_version: api_version.to_owned(), policy, seed, clock, routes: BTreeMap::new() }
    }

    /// Delivers everything that has happened since the last turn, however late it was planned: a turn doesn't end
    /// before each delivery was acknowledged or given up. Answers how many were acknowledged.
    pub async fn turn(&mut self) -> u64 {
        let endpoints: Vec<Endpoint> =
            self.stripe.endpoints().into_iter().filter(|one| one.enabled).collect();
        self.routes.retain(|id, _| endpoints.iter().any(|endpoint| endpoint.id == *id));
        for event in self.stripe.drain_events() {
            for endpoint in endpoints.iter().filter(|endpoint| endpoint.wants(&event.r#type)) {
                let version = endpoint.api_version.as_deref().unwrap_or(&self.api_version);
                let Some(body) = self.stripe.event_body(&event.id, version) else { continue };
                let (seed, policy, clock) = (self.seed, self.policy, &self.clock);
                let fresh = || Route::new(endpoint, Plan::new(seed, policy), clock);
                let route = self.routes.entry(endpoint.id.clone()).or_insert_with(fresh);
                route.plan.add(Message { id: event.id.clone(), created: event.created, body });
            }
        }
        let mut acked = 0;
        for (id, route) in &mut self.routes {
            let Some(socket) = &route.socket else { continue };
            let mut records = Records::default();
            deliver(&mut route.plan, Timestamp::MAX, socket, &route.sender, &mut records).await;
            for event in &records.delivered {
                self.stripe.mark_delivered(event, id);
            }
            acked += records.acked;
        }
        acked
    }
}

impl Route {
    fn new(endpoint: &Endpoint, plan: Plan, clock: &Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Route {
        let address = endpoint.url.parse::<hyper::Uri>().ok().filter(|url| url.scheme_str() == Some("http"));
        let clock = Arc::clone(clock);
        Route {
            plan,
            socket: address.map(|address| HttpEndpoint::new(address, move || clock())),
            sender: Sender { secret: endpoint.secret.clone(), in_flight_max: IN_FLIGHT_MAX },
        }
    }
}
