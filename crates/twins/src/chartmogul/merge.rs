//! Merging customers into one, and taking a data source's part out again.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::customers;
use super::input;
use super::model::Identity;
use super::reply::{self, Reply};
use super::state::State;
use super::table::Seq;
use crate::wire::Response;

/// The tag the real API leaves on the customer that is kept.
const MERGED: &str = "merged-customer";

fn named(state: &State, body: &Map<String, Value>, key: &str) -> Result<Seq, Response> {
    let empty = Map::new();
    let who = body.get(key).and_then(Value::as_object).unwrap_or(&empty);
    by_reference(state, who)
}

/// By `customer_uuid`, or by `data_source_uuid` and `external_id`.
fn by_reference(state: &State, who: &Map<String, Value>) -> Result<Seq, Response> {
    if let Some(uuid) = input::text(who, "customer_uuid") {
        return customers::seq(state, &uuid);
    }
    let external_id = input::text(who, "external_id").unwrap_or_default();
    let source = input::text(who, "data_source_uuid").unwrap_or_default();
    state.customer_ids.get(&(external_id, source)).copied().ok_or_else(customers::missing)
}

/// `POST /customers/merges`: everything of `from` becomes `into`'s.
pub fn merge(state: &mut State, body: &Map<String, Value>) -> Reply {
    let (from, into) = (named(state, body, "from")?, named(state, body, "into")?);
    if from == into {
        return Err(reply::coded(422, "A customer can't be merged into itself", Some("into")));
    }
    let uuid = customers::get(state, from)?.uuid.clone();
    let Some(gone) = state.customers.remove(from, &uuid) else { return Err(customers::missing()) };
    state.customer_emails.remove(&(gone.email.to_lowercase(), from));
    move_to(state, &gone.invoices, &gone.subscriptions, into);
    for identity in &gone.identities {
        state.customer_ids.insert((identity.external_id.clone(), identity.source.clone()), into);
    }
    super::crm::move_to(state, from, into);
    let kept = customers::get_mut(state, into)?;
    kept.identities.extend(gone.identities);
    let mut tags = gone.tags;
    tags.push(MERGED.to_owned());
    super::attributes::add_tags(&mut kept.tags, &json!(tags));
    reply::accepted(&json!({}))
}

fn move_to(state: &mut State, invoices: &BTreeSet<Seq>, subscriptions: &BTreeSet<Seq>, to: Seq) {
    for seq in invoices {
        if let Some(invoice) = state.invoices.get_mut(*seq) {
            invoice.customer = to;
        }
    }
    for seq in subscriptions {
        if let Some(subscription) = state.subscriptions.get_mut(*seq) {
            subscription.customer = to;
        }
    }
    if let Some(customer) = state.customers.get_mut(to) {
        customer.invoices.extend(invoices);
        customer.subscriptions.extend(subscriptions);
    }
}

/// `POST /customers/unmerges`: the identity named becomes a customer of its own again, with the invoices and
/// subscriptions of its data source.
pub fn unmerge(state: &mut State, body: &Map<String, Value>) -> Reply {
    let uuid = input::text(body, "customer_uuid").unwrap_or_default();
    let seq = customers::seq(state, &uuid)?;
    let identity = Identity {
        source: input::text(body, "data_source_uuid").unwrap_or_default(),
        external_id: input::text(body, "external_id").unwrap_or_default(),
    };
    let customer = customers::get(state, seq)?;
    if customer.identities.len() < 2 || !customer.identities.contains(&identity) {
        return Err(reply::coded(422, "Nothing was merged under this external id", Some("external_id")));
    }
    let of_source = |source: Option<&str>| source == Some(identity.source.as_str());
    let invoices = customer.invoices.iter().copied();
    let invoices: BTreeSet<Seq> = invoices
        .filter(|seq| of_source(state.invoices.get(*seq).map(|invoice| invoice.source.as_str())))
        .collect();
    let subscriptions = customer.subscriptions.iter().copied();
    let subscriptions: BTreeSet<Seq> = subscriptions
        .filter(|seq| of_source(state.subscriptions.get(*seq).map(|row| row.source.as_str())))
        .collect();
    let (name, email) = (customer.name.clone(), customer.email.clone());

    let kept = customers::get_mut(state, seq)?;
    kept.identities.retain(|one| *one != identity);
    kept.invoices.retain(|one| !invoices.contains(one));
    kept.subscriptions.retain(|one| !subscriptions.contains(one));
    let mut apart = customers::blank(state, identity.clone());
    (apart.name, apart.email) = (name, email);
    let new = state.next();
    if !apart.email.is_empty() {
        state.customer_emails.insert((apart.email.to_lowercase(), new));
    }
    state.customer_ids.insert((identity.external_id, identity.source), new);
    state.customers.insert(new, &apart.uuid.clone(), apart);
    move_to(state, &invoices, &subscriptions, new);
    reply::accepted(&json!({}))
}
