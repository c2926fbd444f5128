//! What belongs to the account itself: events, webhook endpoints, balance, test clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::calendar::DAY;
use super::errors::Error;
use super::events::Event;
use super::model::*;
use super::paging::{Range, list};
use super::render;
use super::router::{Call, one};
use super::version::Version;
use super::world::{World, found};

/// How long Stripe keeps a test clock.
const CLOCK_DAYS: i64 = 30;

pub(super) fn route(call: &mut Call, method: &str, path: &[&str]) -> Option<Result<Value, Error>> {
    Some(match (method, path) {
        ("GET", ["events"]) => list_events(call),
        ("GET", ["events", id]) => retrieve_event(call, id),
        ("POST", ["webhook_endpoints"]) => create_endpoint(call),
        ("GET", ["webhook_endpoints"]) => list_endpoints(call),
        ("GET", ["webhook_endpoints", id]) => retrieve_endpoint(call, id),
        ("POST", ["webhook_endpoints", id]) => update_endpoint(call, id),
        ("DELETE", ["webhook_endpoints", id]) => delete_endpoint(call, id),
        ("GET", ["balance"]) => balance(call),
        ("GET", ["account"]) => account(call),
        ("POST", ["test_helpers", "test_clocks"]) => create_clock(call),
        ("GET", ["test_helpers", "test_clocks"]) => {
            call.list("/v1/test_helpers/test_clocks", |world| &world.clocks, None, |_| true)
        }
        ("GET", ["test_helpers", "test_clocks", id]) => one(call, |world| &world.clocks, "test clock", id),
        ("POST", ["test_helpers", "test_clocks", id, "advance"]) => advance_clock(call, id),
        ("DELETE", ["test_helpers", "test_clocks", id]) => delete_clock(call, id),
        _ => return None,
    })
}

// Events. The version of the account decides their shape, not the client's.

fn list_events(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let (kind, kinds) = (params.string("type")?, params.strings("types")?);
    let delivered = params.flag("delivery_success")?;
    let created = Range::take(params, "created")?;
    let cursor = call.cursor()?;
    call.params.done()?;
    if kind.is_some() && kinds.is_some() {
        return Err(Error::invalid("You may pass either `type` or `types`, but not both.").at("type"));
    }
    let matches = |pattern: &String, event: &Event| match pattern.strip_suffix(".*") {
        Some(prefix) => event.r#type.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => event.r#type == pattern,
    };
    let page = cursor.page(&call.world.events, None, |event| {
        created.has(event.created)
            && kind.as_ref().is_none_or(|kind| matches(kind, event))
            && kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| matches(kind, event)))
            && delivered.is_none_or(|delivered| event.pending.is_empty() == delivered)
    })?;
    let data = page.rows.iter().map(|event| event.render(&event.api_version, call.world)).collect();
    Ok(list(data, page.has_more, "/v1/events"))
}

fn retrieve_event(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let event = found(&call.world.events, "event", id)?;
    Ok(event.render(&event.api_version, call.world))
}

// Webhook endpoints

impl World {
    pub(super) fn add_endpoint(
        &mut self,
        url: &str,
        enabled_events: Vec<String>,
        api_version: Option<String>,
    ) -> Arc<Endpoint> {
        let (id, secret) = (self.ids.long("we_1"), self.ids.word("whsec_", 32));
        self.endpoints.insert(Endpoint {
            id,
            created: self.now,
            url: url.to_owned(),
            secret,
            enabled_events,
            api_version,
            enabled: true,
            description: None,
            metadata: Metadata::new(),
        })
    }
}

fn create_endpoint(call: &mut Call) -> Result<Value, Error> {
    let params = &mut call.params;
    let url = params.need("url")?;
    let events = params.strings("enabled_events")?.ok_or_else(|| Error::required("enabled_events"))?;
    let (api_version, description) = (params.string("api_version")?, params.string("description")?);
    let metadata = params.metadata()?;
    params.refuse(&["connect"])?;
    params.done()?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(Error::coded(
            "url_invalid",
            "Invalid URL: An explicit scheme (such as https) must be provided.",
        )
        .at("url"));
    }
    if let Some(version) = &api_version {
        Version::parse(version).map_err(|error| error.at("api_version"))?;
    }
    let endpoint = call.world.add_endpoint(&url, events, api_version);
    let endpoint = call.world.edit(
        |world| &mut world.endpoints,
        &endpoint.id,
        |endpoint| {
            endpoint.description = description;
            endpoint.metadata = metadata;
        },
    )?;
    // The secret is shown this once.
    Ok(render::endpoint(&endpoint.after, true))
}

fn list_endpoints(call: &mut Call) -> Result<Value, Error> {
    let cursor = call.cursor()?;
    call.params.done()?;
    let page = cursor.page(&call.world.endpoints, None, |_| true)?;
    let data = page.rows.iter().map(|endpoint| render::endpoint(endpoint, false)).collect();
    Ok(list(data, page.has_more, "/v1/webhook_endpoints"))
}

fn retrieve_endpoint(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let endpoint = found(&call.world.endpoints, "webhook endpoint", id)?;
    Ok(render::endpoint(&endpoint, false))
}

fn update_endpoint(call: &mut Call, id: &str) -> Result<Value, Error> {
    found(&call.world.endpoints, "webhook endpoint", id)?;
    let params = &mut call.params;
    let (url, events) = (params.string("url")?, params.strings("enabled_events")?);
    let (disabled, description) = (params.flag("disabled")?, params.clearable("description")?);
    let metadata = params.metadata_change()?;
    params.done()?;
    let endpoint = call.world.edit(
        |world| &mut world.endpoints,
        id,
        |endpoint| {
            super::catalog::set(&mut endpoint.url, url);
            super::catalog::set(&mut endpoint.enabled_events, events);
            super::catalog::set(&mut endpoint.description, description);
            super::catalog::set(&mut endpoint.enabled, disabled.map(|disabled| !disabled));
            metadata.apply(&mut endpoint.metadata);
        },
    )?;
    Ok(render::endpoint(&endpoint.after, false))
}

fn delete_endpoint(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    call.world.endpoints.remove(id).ok_or_else(|| Error::missing("webhook endpoint", id, "id"))?;
    Ok(json!({ "id": id, "object": "webhook_endpoint", "deleted": true }))
}

// Balance and account

fn balance(call: &mut Call) -> Result<Value, Error> {
    call.params.done()?;
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, charge) in call.world.charges.all().filter(|(_, charge)| charge.failure.is_none()) {
        *sums.entry(&charge.currency).or_default() += charge.amount - charge.refunded;
    }
    let amounts: Vec<Value> = sums
        .into_iter()
        .map(|(currency, amount)| {
            json!({ "amount": amount, "currency": currency, "source_types": { "card": amount } })
        })
        .collect();
    Ok(json!({ "object": "balance", "available": amounts, "livemode": false, "pending": [] }))
}

fn account(call: &mut Call) -> Result<Value, Error> {
    call.params.done()?;
    Ok(json!({
        "id": call.world.account,
        "object": "account",
        "business_profile": { "mcc": null, "name": "Twin", "support_email": null, "url": null },
        "business_type": "company",
        "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": true,
        "email": null,
        "metadata": {},
        "payouts_enabled": true,
        "settings": { "dashboard": { "display_name": "Twin", "timezone": "Etc/UTC" } },
        "type": "standard",
    }))
}

// Test clocks: they all show and move the one clock of the twin.

fn create_clock(call: &mut Call) -> Result<Value, Error> {
    let frozen = call.params.int("frozen_time")?.ok_or_else(|| Error::required("frozen_time"))?;
    let name = call.params.string("name")?;
    call.params.done()?;
    call.world.advance_to(frozen);
    let clock = TestClock {
        id: call.world.ids.long("clock_1"),
        created: call.world.now,
        name,
        frozen: call.world.now,
        deletes_after: call.world.now + CLOCK_DAYS * DAY,
    };
    let clock = call.world.clocks.insert(clock);
    call.world.tell("test_helpers.test_clock.created", Arc::clone(&clock));
    Ok(call.show(clock))
}

fn advance_clock(call: &mut Call, id: &str) -> Result<Value, Error> {
    let frozen = call.params.int("frozen_time")?.ok_or_else(|| Error::required("frozen_time"))?;
    call.params.done()?;
    found(&call.world.clocks, "test clock", id)?;
    if frozen <= call.world.now {
        let message = "The frozen_time must be later than the clock's current time.";
        return Err(Error::invalid(message).at("frozen_time"));
    }
    call.world.advance_to(frozen);
    let change = call.world.edit(|world| &mut world.clocks, id, |clock| clock.frozen = frozen)?;
    call.world.tell("test_helpers.test_clock.ready", Arc::clone(&change.after));
    Ok(call.show(change.after))
}

fn delete_clock(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let clock = call.world.clocks.remove(id).ok_or_else(|| Error::missing("test clock", id, "id"))?;
    let owned: Vec<String> = call
        .world
        .customers
        .all()
        .filter(|(_, customer)| customer.test_clock.as_deref() == Some(id) && !customer.deleted)
        .map(|(_, customer)| customer.id.clone())
        .collect();
    for customer in owned {
        call.world.remove_customer(&customer)?;
    }
    call.world.tell("test_helpers.test_clock.deleted", clock);
    Ok(json!({ "id": id, "object": "test_helpers.test_clock", "deleted": true }))
}
