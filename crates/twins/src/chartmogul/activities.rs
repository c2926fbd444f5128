//! `/activities` and `/customers/{uuid}/activities`: the movements, one by one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::customers;
use super::fx::{Kind, Movement, movements};
use super::input::Query;
use super::model::Customer;
use super::mrr;
use super::page::Wanted;
use super::reply::{self, Reply};
use super::state::{State, currency_sign};
use super::table::Seq;
use super::time;

/// One movement of one customer; in order by (instant, customer).
struct Activity<'a> {
    at: Timestamp,
    seq: Seq,
    customer: &'a Customer,
    movement: Movement,
    /// The subscription that changed most at that instant.
    subscription: Option<Seq>,
}

/// The movements of a customer up to now.
fn of_customer<'a>(state: &'a State, seq: Seq, customer: &'a Customer) -> Vec<Activity<'a>> {
    let histories = state.subscription_histories(customer);
    let total = mrr::sum(histories.values().map(Vec::as_slice));
    let past = movements(&total, &state.fx).into_iter().filter(|movement| movement.at <= state.now);
    past.map(|movement| {
        let at = movement.at;
        let change = |history: &Vec<mrr::Step>| {
            let index = history.iter().position(|step| step.at == at)?;
            let before = index.checked_sub(1).map_or(0, |index| state.fx.total(&history[index].amounts));
            Some((state.fx.total(&history[index].amounts) - before).abs())
        };
        let changed = histories.iter().filter_map(|(seq, history)| Some((change(history)?, *seq)));
        let subscription = changed.max_by_key(|(size, seq)| (*size, std::cmp::Reverse(*seq)));
        Activity { at, seq, customer, movement, subscription: subscription.map(|(_, seq)| seq) }
    })
    .collect()
}

fn description(state: &State, activity: &Activity<'_>) -> String {
    let row = activity.subscription.and_then(|seq| state.subscriptions.get(seq));
    let plan = row.and_then(|row| state.plans.get(row.plan)).map_or("", |plan| plan.name.as_str());
    match activity.movement.kind {
        Kind::NewBusiness => format!("purchased the {plan} plan"),
        Kind::Expansion => format!("upgraded their {plan} plan"),
        Kind::Contraction => format!("downgraded their {plan} plan"),
        Kind::Churn => format!("cancelled their {plan} plan"),
        Kind::Reactivation => format!("reactivated their {plan} plan"),
    }
}

/// What both endpoints show.
fn common(state: &State, activity: &Activity<'_>) -> Map<String, Value> {
    let row = activity.subscription.and_then(|seq| state.subscriptions.get(seq));
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("description", json!(description(state, activity)));
    put("activity-mrr-movement", json!(activity.movement.account_change));
    put("activity-mrr", json!(activity.movement.account_mrr));
    put("activity-arr", json!(activity.movement.account_mrr * 12));
    put("date", json!(time::offset(activity.at)));
    put("type", json!(activity.movement.kind.activity()));
    put("currency", json!(state.fx.account().as_str()));
    put("subscription-external-id", json!(row.map(|row| &row.external_id)));
    body
}

/// A number that names an activity as long as its customer and instant stay.
fn numeric_id(activity: &Activity<'_>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let text = format!("{} {}", activity.customer.uuid, activity.at);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// The place of an activity, so that a cursor still holds when others come or go.
fn cursor(activity: &Activity<'_>) -> String {
    STANDARD.encode(format!("{}&{}", activity.at, activity.seq))
}

fn decode(text: &str) -> Option<(Timestamp, Seq)> {
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (at, seq) = text.split_once('&')?;
    Some((at.parse().ok()?, seq.parse().ok()?))
}

/// Drops what the cursor has passed and cuts a page off.
fn page<'a>(
    all: Vec<Activity<'a>>,
    newest_first: bool,
    query: &Query,
    wanted: &Wanted,
) -> (Vec<Activity<'a>>, bool) {
    let after = query.get("cursor").or_else(|| query.get("start-after")).and_then(decode);
    let mut rows: Vec<Activity<'a>> = all
        .into_iter()
        .filter(|activity| {
            let place = (activity.at, activity.seq);
            after.is_none_or(|after| if newest_first { place < after } else { place > after })
        })
        .collect();
    let has_more = rows.len() > wanted.per_page;
    rows.truncate(wanted.per_page);
    (rows, has_more)
}

/// `GET /customers/{uuid}/activities`, newest first.
pub fn list_of_customer(state: &State, uuid: &str, query: &Query) -> Reply {
    let seq = customers::seq(state, uuid)?;
    let mut all = of_customer(state, seq, customers::get(state, seq)?);
    all.reverse();
    let wanted = Wanted::of(query);
    let (rows, has_more) = page(all, true, query, &wanted);
    let entry = |activity: &Activity<'_>| {
        let mut body = Map::new();
        body.insert("id".to_owned(), json!(numeric_id(activity) >> 32));
        body.extend(common(state, activity));
        let account = state.fx.account();
        body.insert("currency-sign".to_owned(), json!(currency_sign(account.as_str())));
        Value::Object(body)
    };
    let mut body = json!({
        "entries": rows.iter().map(entry).collect::<Vec<_>>(),
        "has_more": has_more,
        "cursor": rows.last().map(cursor),
    });
    if query.get("cursor").is_none() {
        body["per_page"] = json!(wanted.per_page);
        body["page"] = json!(1);
    }
    reply::ok(&body)
}

/// `GET /activities` with `start-date`, `end-date`, `type`, `order` (`date`, `-date`), oldest first.
pub fn list(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let newest_first = query.get("order") == Some("-date");
    let from = query.get("start-date").and_then(time::parse);
    let to = query.get("end-date").and_then(end_of);
    let kind = query.get("type");
    let mut all: Vec<Activity<'_>> =
        state.customers.iter().flat_map(|(seq, customer)| of_customer(state, seq, customer)).collect();
    all.retain(|activity| {
        from.is_none_or(|from| activity.at >= from)
            && to.is_none_or(|to| activity.at < to)
            && kind.is_none_or(|kind| activity.movement.kind.activity() == kind)
    });
    all.sort_by_key(|activity| (activity.at, activity.seq));
    if newest_first {
        all.reverse();
    }
    let (rows, has_more) = page(all, newest_first, query, &wanted);
    let entry = |activity: &Activity<'_>| {
        let row = activity.subscription.and_then(|seq| state.subscriptions.get(seq));
        let plan = row.and_then(|row| state.plans.get(row.plan));
        let (source, external_id) = activity.customer.primary();
        let high = numeric_id(activity);
        let low = high.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hex = format!("{high:016x}{low:016x}");
        let mut body = common(state, activity);
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        if let Some(set) = row.and_then(|row| row.set_external_id.as_ref()) {
            put("subscription-set-external-id", json!(set));
        }
        put("plan-external-id", json!(plan.map(|plan| &plan.external_id)));
        put("customer-name", json!(activity.customer.name));
        put("customer-uuid", json!(activity.customer.uuid));
        put("customer-external-id", json!(external_id));
        put("billing-connector-uuid", json!(source));
        let uuid =
            format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
        put("uuid", json!(uuid));
        Value::Object(body)
    };
    let mut body = json!({
        "entries": rows.iter().map(entry).collect::<Vec<_>>(),
        "has_more": has_more,
        "cursor": rows.last().map(cursor),
    });
    if query.get("cursor").is_none() {
        body["per_page"] = json!(wanted.per_page);
    }
    reply::ok(&body)
}

/// The first instant that a closing bound leaves out: a whole day counts to its end.
fn end_of(text: &str) -> Option<Timestamp> {
    let at = time::parse(text)?;
    let whole_day = text.len() == "2015-11-01".len();
    let day = jiff::SignedDuration::from_hours(24);
    let step = if whole_day { day } else { jiff::SignedDuration::from_nanos(1) };
    at.checked_add(step).ok()
}
