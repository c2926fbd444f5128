//! `/customers`: list, search, create, update, delete.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::attributes;
use super::fx::movements;
use super::input::{self, Query};
use super::model::{Customer, Identity};
use super::page::{self, Order, Page, Wanted};
use super::reply::{self, Errors, Reply, message};
use super::state::{State, country_name, currency_sign};
use super::table::Seq;
use super::time;
use crate::wire::Response;

pub fn missing() -> Response {
    reply::coded(404, "Customer not found", Some("uuid"))
}

/// The row of a customer's uuid, or the refusal.
pub fn seq(state: &State, uuid: &str) -> Result<Seq, Response> {
    state.customers.seq_of(uuid).ok_or_else(missing)
}

pub fn get(state: &State, seq: Seq) -> Result<&Customer, Response> {
    state.customers.get(seq).ok_or_else(missing)
}

pub fn get_mut(state: &mut State, seq: Seq) -> Result<&mut Customer, Response> {
    state.customers.get_mut(seq).ok_or_else(missing)
}

/// The numeric id of old; it is in links and in `id`.
fn numeric_id(seq: Seq) -> u64 {
    100_000_000 + seq
}

/// What subscriptions say of a customer now.
struct Standing {
    status: String,
    since: Option<Timestamp>,
    mrr: i64,
}

fn standing(state: &State, customer: &Customer) -> Standing {
    let history = state.history(customer);
    let mrr = state.account_mrr(&history, state.now);
    let first = movements(&history, &state.fx).into_iter().find(|movement| movement.account_mrr > 0);
    let since = first.map(|movement| movement.at).filter(|at| *at <= state.now);
    let lead = || customer.lead_status.clone().unwrap_or_else(|| "New Lead".to_owned());
    let status = match (since, mrr > 0) {
        (_, true) => "Active".to_owned(),
        (Some(_), false) => "Cancelled".to_owned(),
        (None, false) => lead(),
    };
    Standing { status, since, mrr }
}

pub fn json(state: &State, seq: Seq, customer: &Customer) -> Value {
    let (source, external_id) = customer.primary();
    let Standing { status, since, mrr } = standing(state, customer);
    let id = numeric_id(seq);
    let title = if customer.company.is_empty() { &customer.name } else { &customer.company };
    let slug = title.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    let slug: Vec<&str> = slug.collect();
    let account = state.fx.account();
    let sources: Vec<&str> = customer.identities.iter().map(|identity| identity.source.as_str()).collect();
    let externals: Vec<&str> =
        customer.identities.iter().map(|identity| identity.external_id.as_str()).collect();
    let system = state.data_sources.find(source).map_or("Custom", |source| source.system.as_str());
    json!({
        "id": id,
        "uuid": customer.uuid,
        "external_id": external_id,
        "name": customer.name,
        "email": customer.email,
        "status": status,
        "customer-since": since.map(time::offset),
        "attributes": {"custom": customer.custom, "clearbit": {}, "stripe": {}, "tags": customer.tags},
        "data_source_uuid": source,
        "data_source_uuids": sources,
        "external_ids": externals,
        "company": customer.company,
        "country": customer.country,
        "state": customer.state,
        "city": customer.city,
        "zip": customer.zip,
        "lead_created_at": customer.lead_created_at.map(time::millis),
        "free_trial_started_at": customer.free_trial_started_at.map(time::millis),
        "address": {
            "country": customer.country.as_deref().map(country_name),
            "state": customer.state,
            "city": customer.city,
            "address_zip": customer.zip,
        },
        "mrr": mrr,
        "arr": mrr * 12,
        "billing-system-url": null,
        "chartmogul-url": format!("https://app.chartmogul.com/#/customers/{id}-{}", slug.join("_")),
        "billing-system-type": system,
        "currency": account.as_str(),
        "currency-sign": currency_sign(account.as_str()),
        "owner": customer.owner,
        "website_url": customer.website_url,
    })
}

/// `GET /customers` with `external_id`, `data_source_uuid`, `email`, `status`, `system`.
pub fn list(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let source = query.get("data_source_uuid");
    let status = query.get("status").map(|status| status.replace('_', " ").to_lowercase());
    let email = query.get("email").map(str::to_lowercase);
    let fits = |customer: &Customer| {
        source.is_none_or(|wanted| customer.identities.iter().any(|one| one.source == wanted))
            && email.as_ref().is_none_or(|wanted| customer.email.to_lowercase() == *wanted)
            && status.as_ref().is_none_or(|wanted| standing(state, customer).status.to_lowercase() == *wanted)
    };
    let row = |seq: Seq| state.customers.get(seq).map(|customer| (seq, customer));
    let page = if let Some(external_id) = query.get("external_id") {
        let from = (external_id.to_owned(), String::new());
        let same = state.customer_ids.range(from..).take_while(|(key, _)| key.0 == external_id);
        let mut seqs: Vec<Seq> = same.map(|(_, seq)| *seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let rows = seqs.into_iter().filter_map(row).filter(|(_, customer)| fits(customer));
        page::cut(rows, Order::OldestFirst, &wanted)
    } else if let Some(email) = &email {
        page::cut(with_email(state, email).filter(|(_, row)| fits(row)), Order::OldestFirst, &wanted)
    } else {
        let rows = state.customers.iter().filter(|(_, customer)| fits(customer));
        page::cut(rows, Order::OldestFirst, &wanted)
    };
    let total_pages = json!(page.pages(&wanted));
    reply::ok(&entries(state, &page, &wanted, total_pages))
}

fn with_email<'a>(state: &'a State, email: &'a str) -> impl DoubleEndedIterator<Item = (Seq, &'a Customer)> {
    let bounds = (email.to_owned(), 0)..=(email.to_owned(), Seq::MAX);
    let seqs = state.customer_emails.range(bounds).map(|(_, seq)| *seq);
    seqs.filter_map(|seq| state.customers.get(seq).map(|customer| (seq, customer)))
}

/// `GET /customers/search?email=`.
pub fn search(state: &State, query: &Query) -> Reply {
    let email = query.get("email").unwrap_or_default();
    let wanted = Wanted::of(query);
    let lower = email.to_lowercase();
    let page = page::cut(with_email(state, &lower), Order::OldestFirst, &wanted);
    if page.total == 0 {
        let text = format!("Can't find any customers with email: \"{email}\"");
        return Err(reply::coded(404, &text, Some("email")));
    }
    reply::ok(&entries(state, &page, &wanted, Value::Null))
}

fn entries(state: &State, page: &Page<'_, Customer>, wanted: &Wanted, total_pages: Value) -> Value {
    let rows = page.rows.iter().map(|(seq, customer)| json(state, *seq, customer)).collect();
    let cursor = page.cursor(|customer| customer.created_at);
    let mut body = page.body("entries", rows, cursor);
    if wanted.first() {
        body.insert("current_page".to_owned(), json!(1));
        body.insert("total_pages".to_owned(), total_pages);
        body.insert("per_page".to_owned(), json!(wanted.per_page));
        body.insert("page".to_owned(), json!(1));
    }
    Value::Object(body)
}

pub fn retrieve(state: &State, uuid: &str) -> Reply {
    let seq = seq(state, uuid)?;
    reply::ok(&json(state, seq, get(state, seq)?))
}

/// `POST /customers`. The external id is unique in its data source.
pub fn create(state: &mut State, body: &Map<String, Value>) -> Reply {
    let mut errors = Errors::default();
    let source = input::required(body, "data_source_uuid", "data_source_uuid", &mut errors);
    let external_id = input::required(body, "external_id", "external_id", &mut errors);
    if errors.is_empty() && state.data_sources.find(&source).is_none() {
        return Err(reply::error(404, "Data source not found"));
    }
    let key = (external_id.clone(), source.clone());
    if errors.is_empty() && state.customer_ids.contains_key(&key) {
        state.counters.duplicate("customer", &external_id);
        errors.add("external_id", message::CUSTOMER_EXISTS);
    }
    let mut customer = blank(state, Identity { source, external_id });
    apply(&mut customer, body, &mut errors);
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    let seq = state.next();
    if !customer.email.is_empty() {
        state.customer_emails.insert((customer.email.to_lowercase(), seq));
    }
    state.customer_ids.insert(key, seq);
    let answer = json(state, seq, &customer);
    state.customers.insert(seq, &customer.uuid.clone(), customer);
    reply::created(&answer)
}

pub fn blank(state: &mut State, identity: Identity) -> Customer {
    Customer {
        uuid: state.uuid("cus_"),
        identities: vec![identity],
        name: String::new(),
        email: String::new(),
        company: String::new(),
        country: None,
        state: None,
        city: None,
        zip: None,
        owner: None,
        website_url: None,
        lead_created_at: None,
        free_trial_started_at: None,
        lead_status: None,
        tags: Vec::new(),
        custom: Map::new(),
        created_at: state.now,
        invoices: Default::default(),
        subscriptions: Default::default(),
    }
}

/// Sets what the body names; null clears.
fn apply(customer: &mut Customer, body: &Map<String, Value>, errors: &mut Errors) {
    let string = |key: &str| input::text(body, key).unwrap_or_default();
    for (key, target) in
        [("name", &mut customer.name), ("email", &mut customer.email), ("company", &mut customer.company)]
    {
        if body.contains_key(key) {
            *target = string(key);
        }
    }
    for (key, target) in [
        ("country", &mut customer.country),
        ("state", &mut customer.state),
        ("city", &mut customer.city),
        ("zip", &mut customer.zip),
        ("owner", &mut customer.owner),
        ("website_url", &mut customer.website_url),
        ("status", &mut customer.lead_status),
    ] {
        if body.contains_key(key) {
            *target = input::text(body, key);
        }
    }
    for (key, target) in [
        ("lead_created_at", &mut customer.lead_created_at),
        ("free_trial_started_at", &mut customer.free_trial_started_at),
    ] {
        if body.contains_key(key) {
            *target = input::instant(body, key, key, errors);
        }
    }
    let Some(Value::Object(nested)) = body.get("attributes") else { return };
    if let Some(tags) = nested.get("tags") {
        customer.tags.clear();
        attributes::add_tags(&mut customer.tags, tags);
    }
    match nested.get("custom") {
        Some(Value::Array(typed)) => attributes::add_typed(&mut customer.custom, typed, errors),
        Some(Value::Object(map)) => attributes::merge(&mut customer.custom, map),
        _ => {}
    }
}

/// `PATCH /customers/{uuid}`.
pub fn update(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = seq(state, uuid)?;
    let customer = get_mut(state, seq)?;
    let before = customer.email.to_lowercase();
    let mut errors = Errors::default();
    for key in ["lead_created_at", "free_trial_started_at"] {
        input::instant(body, key, key, &mut errors);
    }
    if !errors.is_empty() {
        return Err(reply::invalid(&errors));
    }
    apply(customer, body, &mut errors);
    let after = customer.email.to_lowercase();
    if before != after {
        state.customer_emails.remove(&(before, seq));
        if !after.is_empty() {
            state.customer_emails.insert((after, seq));
        }
    }
    reply::ok(&json(state, seq, get(state, seq)?))
}

/// `DELETE /customers/{uuid}`: with everything it had.
pub fn delete(state: &mut State, uuid: &str) -> Reply {
    let seq = seq(state, uuid)?;
    remove(state, seq);
    reply::no_content()
}

pub fn remove(state: &mut State, seq: Seq) {
    let Some(customer) = state.customers.get(seq) else { return };
    let invoices: Vec<Seq> = customer.invoices.iter().copied().collect();
    let subscriptions: Vec<Seq> = customer.subscriptions.iter().copied().collect();
    let (uuid, email) = (customer.uuid.clone(), customer.email.to_lowercase());
    for invoice in invoices {
        super::invoices::remove(state, invoice);
    }
    for subscription in subscriptions {
        super::subscriptions::remove(state, subscription);
    }
    super::crm::remove_of(state, seq);
    state.customer_emails.remove(&(email, seq));
    if let Some(customer) = state.customers.remove(seq, &uuid) {
        for identity in customer.identities {
            state.customer_ids.remove(&(identity.external_id, identity.source));
        }
    }
}
