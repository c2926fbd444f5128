//! What a flow does to the world without a connector: calls of plain HTTP, and events that it emits.
//!
//! A call is sent once: what is to be repeated, and when, the flow says itself (`try`, `retry`). Its exact request is
//! durable before it is sent, as for any write. After a crash, `PUT` and `DELETE` are sent again, being repeatable by
//! their definition, and so are `POST` and `PATCH`: at least once. A program of the server's is started in the same way.

use connect::plain::{Request, Wallet, connections, perform_as};
use flow::event::{CLOCK_SOURCE, LIFE_SOURCE};
use flow::{EventId, Fault};
use ring::digest;
use serde_json::Value;
use store::NewEvent;

use crate::effect::Call;
use crate::fault;
use crate::history::Open;
use crate::journal::Lost;
use crate::key::effect_key;
use crate::limits::{EMITTED_TEXT_MAX, HOPS_MAX};
use crate::run::Run;

/// Whether an operation is a call without a connector.
pub fn is_plain(operation: &str) -> bool {
    matches!(operation, "http" | "openapi")
}

impl Run<'_> {
    /// Sends a call of plain HTTP.
    pub async fn plain(&self, call: &Call, open: &mut Open) -> Result<Result<Value, Fault>, Lost> {
        let node = self.node;
        let (transport, egress) = (node.transport.as_ref(), &node.config.egress);
        let wallet = match self.wallet(call).await {
            Ok(wallet) => wallet,
            Err(fault) => return Ok(Err(fault)),
        };
        let of_call = |error: &connect::Error| fault::of_call(&call.operation, error);
        // An OpenAPI document is fetched first: no request goes out before the results of others are durable.
        if call.operation == "openapi" {
            self.journal.save_writes().await?;
        }
        let request = match &open.intent {
            Some(intent) => match serde_json::from_value(intent.request.clone()) {
                Ok(request) => request,
                Err(error) => {
                    let why = format!("{}: the journalled request does not decode: {error}", call.operation);
                    return Ok(Err(Fault::runtime(why)));
                }
            },
            None => match Request::prepare(transport, egress, &call.operation, &call.with).await {
                Ok(request) => request,
                Err(error) => return Ok(Err(of_call(&error))),
            },
        };
        let now = node.clock.now();
        self.note_cut_off(call, open, now);
        open.attempts += 1;
        if request.writes() {
            let key = effect_key(&self.origin, &call.at, self.history().again(&call.at));
            let bytes = || serde_json::to_value(&request).unwrap_or_default();
            self.intend(call, &key, bytes, open, now).await?;
        } else {
            self.journal.save_writes().await?;
        }
        let answer = perform_as(transport, egress, &wallet, &request, &call.with).await;
        open.answered = open.attempts;
        Ok(answer.map_err(|error| {
            open.unknown |= error.unknown;
            of_call(&error)
        }))
    }

    /// Starts a program of the server's. After a crash it is started once more: at least once.
    pub async fn program(&self, call: &Call, open: &mut Open) -> Result<Result<Value, Fault>, Lost> {
        let node = self.node;
        let now = node.clock.now();
        self.note_cut_off(call, open, now);
        open.attempts += 1;
        let key = match &open.intent {
            Some(intent) => intent.key.clone(),
            None => effect_key(&self.origin, &call.at, self.history().again(&call.at)),
        };
        self.intend(call, &key, || call.with.clone(), open, now).await?;
        let with = open.intent.as_ref().map_or(&call.with, |intent| &intent.request);
        let result = node.scripts.program(&call.operation, with, &key).await;
        open.answered = open.attempts;
        // What was ended in the middle may have done anything.
        open.unknown |= result.as_ref().is_err_and(|fault| fault.code() == "program_limit");
        Ok(result)
    }

    /// Opens the connections whose secrets a call uses: those that the flow declares.
    async fn wallet(&self, call: &Call) -> Result<Wallet, Fault> {
        let (tokens, now) = (self.node.tokens.clone(), self.node.clock.now());
        let mut wallet = Wallet::new(tokens, &self.origin.workspace, now);
        for name in connections(&call.with) {
            if !self.may_use(&name) {
                return Err(Fault::authentication(format!("the flow declares no secrets of `{name}`")));
            }
            let (connection, manifest) = self.secrets_of(&name).await?;
            wallet.add(&name, connection, manifest);
        }
        Ok(wallet)
    }

    /// Puts an event of the flow's own into the inbox, once, whatever happens meanwhile: its id is the same each time.
    pub async fn emit(&self, event: &Value) -> Result<Result<Value, Fault>, Lost> {
        let node = self.node;
        let event = match storable(event) {
            Ok(event) => event,
            Err(fault) => return Ok(Err(fault)),
        };
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let Ok(time) = text("time").parse() else {
            return Ok(Err(Fault::expression("`emit`: `time` is not a time such as `2026-01-31T12:00:00Z`")));
        };
        if let Some(own) = [CLOCK_SOURCE, LIFE_SOURCE].into_iter().find(|own| text("source") == *own) {
            return Ok(Err(Fault::validation(format!("`emit`: nobody else is `{own}`"))));
        }
        let new = || NewEvent {
            id: node.with_rng(|rng| EventId::random(rng)),
            connection: text("source"),
            dedupe_key: text("id"),
            r#type: text("type"),
            time,
            live: self.live(),
            subject: event["subject"].as_str().map(str::to_owned),
            data: event["data"].clone(),
        };
        let hops = self.hops().await? + 1;
        if hops > HOPS_MAX {
            let why =
                format!("events led to each other {HOPS_MAX} times in a row: they may do so without end");
            return Ok(Err(fault::limit(why)));
        }
        self.journal.save_writes().await?;
        let accept = || async {
            let (new, now) = (new(), node.clock.now());
            // The first one in a row is known by its source.
            if hops > 1 {
                node.store.note_hops(&self.claim.workspace, new.id.as_str(), hops, now).await?;
            }
            node.store.accept_event(&self.claim.workspace, new, now).await
        };
        self.hold(accept).await?;
        node.events.notify_one();
        Ok(Ok(event))
    }
}

/// The event with attributes that every database can keep and index. An id that a chain of events has made too long
/// stands as its digest, the same each time.
fn storable(event: &Value) -> Result<Value, Fault> {
    let mut event = event.clone();
    for name in ["source", "type", "subject", "id"] {
        let text = event[name].as_str().unwrap_or_default();
        let wrong = |why: String| Err(Fault::expression(format!("`emit`: `{name}` {why}")));
        if text.chars().any(char::is_control) {
            return wrong(format!("has a control character in it: {text:?}"));
        }
        if text.len() <= EMITTED_TEXT_MAX {
            continue;
        }
        if name != "id" {
            return wrong(format!("is longer than {EMITTED_TEXT_MAX} bytes"));
        }
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        event[name] = format!("sha256:{}", digits.collect::<String>()).into();
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_emitted_can_be_kept_anywhere() {
        let event = |name: &str, text: &str| {
            let mut event = json!({"id": "e", "source": "https://a.test", "type": "t", "data": "a\0b"});
            event[name] = text.into();
            event
        };
        let longest = "x".repeat(EMITTED_TEXT_MAX);
        for name in ["id", "source", "type", "subject"] {
            let good = event(name, &longest);
            assert_eq!(storable(&good), Ok(good));
            for bad in ["a\0b", "a\nb", "a\u{85}b"] {
                let fault = storable(&event(name, bad)).unwrap_err();
                assert!(fault.detail.contains(name) && fault.detail.contains("control"), "{}", fault.detail);
            }
        }
        for name in ["source", "type", "subject"] {
            assert!(storable(&event(name, &format!("{longest}x"))).is_err(), "{name}");
        }
        let ids = ["x", "y"].map(|end| storable(&event("id", &format!("{longest}{end}"))).unwrap());
        let ids = ids.map(|event| event["id"].as_str().unwrap().to_owned());
        assert!(ids[0].starts_with("sha256:") && ids[0].len() == 71 && ids[0] != ids[1], "{ids:?}");
    }
}
