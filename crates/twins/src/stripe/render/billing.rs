//! What belongs to the account: webhook endpoints and test clocks.

use serde_json::{Value, json};

use super::super::model::{Endpoint, TestClock};

pub(super) fn endpoint(endpoint: &Endpoint, with_secret: bool) -> Value {
    let mut value = json!({
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": endpoint.api_version,
        "application": null,
        "created": endpoint.created,
        "description": endpoint.description,
        "enabled_events": endpoint.enabled_events,
        "livemode": false,
        "metadata": super::metadata(&endpoint.metadata),
        "status": if endpoint.enabled { "enabled" } else { "disabled" },
        "url": endpoint.url,
    });
    if with_secret {
        value["secret"] = json!(endpoint.secret);
    }
    value
}

pub(super) fn test_clock(clock: &TestClock) -> Value {
    json!({
        "id": clock.id,
        "object": "test_helpers.test_clock",
        "created": clock.created,
        "deletes_after": clock.deletes_after,
        "frozen_time": clock.frozen,
        "livemode": false,
        "name": clock.name,
        "status": "ready",
        "status_details": {},
    })
}
