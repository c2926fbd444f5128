//! From a request to an operation and back: authentication, version, idempotency, routes, `expand`.

use std::sync::Arc;

use base64::Engine;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::errors::Error;
use super::events::Snapshot;
use super::form::{self, Params};
use super::paging::{Cursor, Range, list};
use super::table::{Record, Table};
use super::version::Version;
use super::world::{Asker, World, found};
use super::{account, cards, catalog, customers, expand, invoices, payments, render, search, subscriptions};
use crate::wire::{Request, Response};

/// One operation in hand.
pub(super) struct Call<'a> {
    pub world: &'a mut World,
    pub params: Params,
    pub version: &'a Version,
    /// The path asked for, which lists repeat as their `url`.
    pub path: String,
}

impl Call<'_> {
    pub(super) fn show(&self, object: impl Into<Snapshot>) -> Value {
        render::snapshot(&object.into(), self.version, self.world)
    }

    /// The same for use in iterators.
    pub(super) fn render(&self, object: impl Into<Snapshot>) -> Value {
        self.show(object)
    }

    pub(super) fn cursor(&mut self) -> Result<Cursor, Error> {
        Cursor::take(&mut self.params)
    }

    /// A page of a table, filtered by `created` and by `keep`.
    pub(super) fn list<T: Record>(
        &mut self,
        url: &str,
        table: impl Fn(&World) -> &Table<T>,
        owner: Option<&str>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Value, Error>
    where
        Snapshot: From<Arc<T>>,
    {
        self.list_as(url, table, owner, keep, Snapshot::from)
    }

    pub(super) fn list_as<T: Record>(
        &mut self,
        url: &str,
        table: impl Fn(&World) -> &Table<T>,
        owner: Option<&str>,
        keep: impl Fn(&T) -> bool,
        snapshot: impl Fn(Arc<T>) -> Snapshot,
    ) -> Result<Value, Error> {
        if let Some(customer) = owner.filter(|owner| owner.starts_with("cus_")) {
            let known = self.world.customers.get(customer);
            known.ok_or_else(|| Error::missing_param("customer", customer, "customer"))?;
        }
        let cursor = self.cursor()?;
        let created = Range::take(&mut self.params, "created")?;
        self.params.done()?;
        let page = cursor.page(table(self.world), owner, |row| created.has(row.created()) && keep(row))?;
        let data = page.rows.into_iter().map(|row| self.show(snapshot(row))).collect();
        Ok(list(data, page.has_more, url))
    }
}

/// Answers one request.
pub(super) fn answer(world: &mut World, request: &Request) -> Response {
    let id = world.ids.request();
    let asked = request.header("stripe-version").unwrap_or(world.version.as_str()).to_owned();
    let version = Version::parse(&asked);
    let result = version.clone().and_then(|version| keyed(world, request, &id, &version));
    let shown = version.as_ref().map_or(world.version.as_str(), Version::as_str).to_owned();
    let response =
        result.unwrap_or_else(|error| failure(world, &error, &id, &version.unwrap_or(world.version.clone())));
    let mut response = response
        .with_header("stripe-version", &shown)
        .with_header("access-control-expose-headers", "Request-Id, Stripe-Version");
    if response.status < 500 {
        response = response.with_header("stripe-should-retry", "false");
    }
    if response.header("request-id").is_none() {
        response = response.with_header("request-id", &id);
    }
    response
}

fn failure(world: &World, error: &Error, request: &str, version: &Version) -> Response {
    let intent = error
        .payment
        .as_ref()
        .and_then(|payment| payment.intent.as_deref())
        .and_then(|id| world.payment_intents.get(id))
        .cloned();
    let intent = intent.map(|intent| render::snapshot(&intent.into(), version, world));
    Response::json(error.status, &error.body(request, intent))
}

fn authenticate(world: &World, request: &Request) -> Result<(), Error> {
    let header = request.header("authorization").unwrap_or_default();
    let (scheme, credentials) = header.split_once(' ').unwrap_or((header, ""));
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => credentials.trim().to_owned(),
        "basic" => {
            let decoded =
                base64::engine::general_purpose::STANDARD.decode(credentials.trim()).unwrap_or_default();
            let text = String::from_utf8_lossy(&decoded).into_owned();
            text.split(':').next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    if key.is_empty() {
        return Err(Error::unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using \
             Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication \
             for details, or we can help at https://support.stripe.com/.",
        ));
    }
    if key == world.secret_key {
        return Ok(());
    }
    let shown: String = key.chars().take(8).collect();
    let end: String = key.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    Err(Error::unauthorized(format!("Invalid API Key provided: {shown}****{end}")))
}

/// The operation, remembered under its idempotency key where there is one.
fn keyed(world: &mut World, request: &Request, id: &str, version: &Version) -> Result<Response, Error> {
    authenticate(world, request)?;
    // The body of a GET is ignored.
    let body: &[u8] = if request.method == "GET" { &[] } else { &request.body };
    let is_form = request.header("content-type").is_none_or(|kind| !kind.starts_with("application/json"));
    if !is_form && !body.is_empty() {
        return Err(Error::invalid("This Stripe twin takes form-encoded bodies (API v1) only."));
    }
    let mut params = form::parse(&[request.query.as_bytes(), body])?;
    let writes = request.method != "GET";
    let key = request.header("idempotency-key").filter(|_| request.method == "POST").map(str::to_owned);
    let fingerprint = format!("{} {} {}", request.method, request.path, params.fingerprint());
    if let Some(key) = &key
        && let Some(remembered) = world.memory.recall(key, &fingerprint, world.now)?
    {
        return Ok(remembered.with_header("idempotent-replayed", "true"));
    }
    let paths = params.strings("expand")?.unwrap_or_default();
    world.asker = writes.then(|| Asker { request: id.to_owned(), key: key.clone() });
    let mut result = dispatch(world, request, params, version);
    world.asker = None;
    if let Ok(value) = &mut result {
        let expanded = paths.iter().try_for_each(|path| expand::expand(world, version, value, path));
        if let Err(error) = expanded {
            result = Err(error);
        }
    }
    if writes && world.to_break > 0 && result.is_ok() {
        world.to_break -= 1;
        result = Err(Error::api("An unknown error occurred"));
    }
    let validation = result.as_ref().err().is_some_and(Error::is_validation);
    let response = match result {
        Ok(value) => Response::json(200, &value),
        Err(error) => failure(world, &error, id, version),
    };
    let Some(key) = key else { return Ok(response) };
    let response = response.with_header("idempotency-key", &key);
    if !validation {
        let original = response.clone().with_header("original-request", id);
        world.memory.remember(&key, fingerprint, &original, world.now);
    }
    Ok(response)
}

fn dispatch(world: &mut World, request: &Request, params: Params, version: &Version) -> Result<Value, Error> {
    let segments: Vec<String> = request
        .path
        .trim_end_matches('/')
        .split('/')
        .skip(1)
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let unknown = || Error::unknown_route(&request.method, &request.path);
    let Some(("v1", rest)) = segments.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err(unknown());
    };
    let mut call = Call { world, params, version, path: request.path.clone() };
    let method = request.method.as_str();
    let answered = match rest.first().copied().unwrap_or_default() {
        "customers" | "payment_methods" => people(&mut call, method, rest),
        "products" | "prices" | "plans" | "coupons" => goods(&mut call, method, rest),
        "subscriptions" | "subscription_items" => recurring(&mut call, method, rest),
        "invoices" | "invoiceitems" | "invoice_payments" => bills(&mut call, method, rest),
        "payment_intents" | "charges" | "refunds" | "balance_transactions" => money(&mut call, method, rest),
        _ => account::route(&mut call, method, rest),
    };
    answered.unwrap_or_else(|| Err(unknown()))
}

type Answered = Option<Result<Value, Error>>;

fn people(call: &mut Call, method: &str, path: &[&str]) -> Answered {
    Some(match (method, path) {
        ("POST", ["customers"]) => customers::create(call),
        ("GET", ["customers"]) => customers::list(call),
        ("GET", ["customers", "search"]) => search::customers(call),
        ("GET", ["customers", id]) => customers::retrieve(call, id),
        ("POST", ["customers", id]) => customers::update(call, id),
        ("DELETE", ["customers", id]) => customers::delete(call, id),
        ("GET", ["customers", id, "payment_methods"]) => cards::list(call, Some(id)),
        ("GET", ["customers", _, "sources" | "tax_ids" | "balance_transactions"]) => cards::none(call),
        ("POST", ["payment_methods"]) => cards::create(call),
        ("GET", ["payment_methods"]) => cards::list(call, None),
        ("GET", ["payment_methods", id]) => cards::retrieve(call, id),
        ("POST", ["payment_methods", id, "attach"]) => cards::attach(call, id),
        ("POST", ["payment_methods", id, "detach"]) => cards::detach(call, id),
        _ => return None,
    })
}

fn goods(call: &mut Call, method: &str, path: &[&str]) -> Answered {
    Some(match (method, path) {
        ("POST", ["products"]) => catalog::create_product(call),
        ("GET", ["products"]) => catalog::list_products(call),
        ("GET", ["products", id]) => one(call, |world| &world.products, "product", id),
        ("POST", ["products", id]) => catalog::update_product(call, id),
        ("DELETE", ["products", id]) => catalog::delete_product(call, id),
        ("POST", ["prices"]) => catalog::create_price(call),
        ("GET", ["prices"]) => catalog::list_prices(call),
        ("GET", ["prices", id]) => one(call, |world| &world.prices, "price", id),
        ("POST", ["prices", id]) => catalog::update_price(call, id),
        ("POST", ["plans"]) => catalog::create_plan(call),
        ("GET", ["plans"]) => catalog::list_plans(call),
        ("GET", ["plans", id]) => catalog::retrieve_plan(call, id),
        ("POST", ["coupons"]) => catalog::create_coupon(call),
        ("GET", ["coupons"]) => call.list("/v1/coupons", |world| &world.coupons, None, |_| true),
        ("GET", ["coupons", id]) => one(call, |world| &world.coupons, "coupon", id),
        ("POST", ["coupons", id]) => catalog::update_coupon(call, id),
        ("DELETE", ["coupons", id]) => catalog::delete_coupon(call, id),
        _ => return None,
    })
}

fn recurring(call: &mut Call, method: &str, path: &[&str]) -> Answered {
    use subscriptions::wire;
    Some(match (method, path) {
        ("POST", ["subscriptions"]) => wire::create(call),
        ("GET", ["subscriptions"]) => wire::list(call),
        ("GET", ["subscriptions", id]) => wire::retrieve(call, id),
        ("POST", ["subscriptions", id]) => wire::update(call, id),
        ("DELETE", ["subscriptions", id]) => wire::cancel(call, id),
        ("GET", ["subscription_items"]) => wire::list_items(call),
        ("POST", ["subscription_items"]) => wire::change_item(call, None, false),
        ("GET", ["subscription_items", id]) => wire::retrieve_item(call, id),
        ("POST", ["subscription_items", id]) => wire::change_item(call, Some(id), false),
        ("DELETE", ["subscription_items", id]) => wire::change_item(call, Some(id), true),
        _ => return None,
    })
}

fn bills(call: &mut Call, method: &str, path: &[&str]) -> Answered {
    use invoices::{items, preview, wire};
    Some(match (method, path) {
        ("POST", ["invoices"]) => wire::create(call),
        ("GET", ["invoices"]) => wire::list(call),
        ("POST", ["invoices", "create_preview"]) | ("GET", ["invoices", "upcoming"]) => preview::create(call),
        ("GET", ["invoices", id]) => wire::retrieve(call, id),
        ("POST", ["invoices", id]) => wire::update(call, id),
        ("DELETE", ["invoices", id]) => wire::delete(call, id),
        ("GET", ["invoices", id, "lines"]) => wire::lines(call, id),
        ("POST", ["invoices", id, "finalize"]) => wire::finalize(call, id),
        ("POST", ["invoices", id, "pay"]) => wire::pay(call, id),
        ("POST", ["invoices", id, "void"]) => wire::void(call, id),
        ("POST", ["invoices", id, "mark_uncollectible"]) => wire::give_up(call, id),
        ("POST", ["invoiceitems"]) => items::create(call),
        ("GET", ["invoiceitems"]) => items::list(call),
        ("GET", ["invoiceitems", id]) => items::retrieve(call, id),
        ("DELETE", ["invoiceitems", id]) => items::delete(call, id),
        ("GET", ["invoice_payments"]) => wire::list_payments(call),
        ("GET", ["invoice_payments", id]) => wire::retrieve_payment(call, id),
        _ => return None,
    })
}

fn money(call: &mut Call, method: &str, path: &[&str]) -> Answered {
    Some(match (method, path) {
        ("POST", ["payment_intents"]) => payments::create_intent(call),
        ("GET", ["payment_intents"]) => payments::list_intents(call),
        ("GET", ["payment_intents", id]) => one(call, |world| &world.payment_intents, "payment_intent", id),
        ("POST", ["payment_intents", id]) => payments::update_intent(call, id),
        ("POST", ["payment_intents", id, "confirm"]) => payments::confirm_intent(call, id),
        ("POST", ["payment_intents", id, "cancel"]) => payments::cancel_intent(call, id),
        ("GET", ["charges"]) => payments::list_charges(call),
        ("GET", ["charges", id]) => one(call, |world| &world.charges, "charge", id),
        ("POST", ["charges", id]) => payments::update_charge(call, id),
        ("GET", ["charges", id, "refunds"]) => payments::list_refunds(call, Some(id)),
        ("POST", ["refunds"]) => payments::create_refund(call),
        ("GET", ["refunds"]) => payments::list_refunds(call, None),
        ("GET", ["refunds", id]) => one(call, |world| &world.refunds, "refund", id),
        ("POST", ["refunds", id]) => payments::update_refund(call, id),
        ("GET", ["balance_transactions", id]) => payments::retrieve_transaction(call, id),
        _ => return None,
    })
}

/// Retrieves an object by id.
pub(super) fn one<T: Record>(
    call: &mut Call,
    table: impl Fn(&World) -> &Table<T>,
    kind: &str,
    id: &str,
) -> Result<Value, Error>
where
    Snapshot: From<Arc<T>>,
{
    call.params.done()?;
    let row = found(table(call.world), kind, id)?;
    Ok(call.show(row))
}
