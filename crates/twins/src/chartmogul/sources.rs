//! `/data_sources`, `/account`, `/ping`.

use serde_json::{Map, Value, json};

use super::customers;
use super::input::{self, Query};
use super::model::DataSource;
use super::reply::{self, Reply, message};
use super::state::State;
use super::table::Seq;
use super::time;

pub fn ping() -> Reply {
    reply::ok(&json!({"data": "pong!"}))
}

pub fn account(state: &State) -> Reply {
    reply::ok(&json!({
        "name": state.account.name,
        "currency": state.fx.account().as_str(),
        "time_zone": state.account.time_zone,
        "week_start_on": state.account.week_start_on,
    }))
}

fn json(source: &DataSource, query: &Query) -> Value {
    let mut body = json!({
        "uuid": source.uuid,
        "name": source.name,
        "system": source.system,
        "created_at": time::millis(source.created_at),
        "status": "idle",
    });
    if query.flag("with_processing_status") {
        body["processing_status"] = json!({"processed": 0, "failed": 0, "pending": 0});
    }
    if query.flag("with_auto_churn_subscription_setting") {
        body["auto_churn_subscription_setting"] = json!({"enabled": false, "interval": null});
    }
    if query.flag("with_invoice_handling_setting") {
        let handling = json!({
            "create_subscription_when_invoice_is": "open",
            "update_subscription_when_invoice_is": "open",
            "prevent_subscription_for_invoice_voided": true,
            "prevent_subscription_for_invoice_refunded": false,
            "prevent_subscription_for_invoice_written_off": true,
        });
        body["invoice_handling_setting"] = json!({"manual": handling, "automatic": handling});
    }
    body
}

pub fn list(state: &State, query: &Query) -> Reply {
    let fits = |source: &&DataSource| {
        query.get("name").is_none_or(|name| source.name == name)
            && query.get("system").is_none_or(|system| source.system == system)
    };
    let rows = state.data_sources.iter().map(|(_, source)| source).filter(fits);
    reply::ok(&json!({"data_sources": rows.map(|source| json(source, query)).collect::<Vec<_>>()}))
}

pub fn retrieve(state: &State, uuid: &str, query: &Query) -> Reply {
    let source = state.data_sources.find(uuid).ok_or_else(|| reply::error(404, "Data source not found"))?;
    reply::ok(&json(source, query))
}

pub fn create(state: &mut State, body: &Map<String, Value>) -> Reply {
    let Some(name) = input::text(body, "name") else {
        return Err(reply::invalid_field("name", "A name is required for each data source."));
    };
    if state.data_sources.iter().any(|(_, source)| source.name == name) {
        state.counters.duplicate("data_source", &name);
        return Err(reply::invalid_field("name", message::NAME_TAKEN));
    }
    let uuid = state.uuid("ds_");
    let source = DataSource { uuid, name, system: "Custom".to_owned(), created_at: state.now };
    let answer = json(&source, &Query::default());
    let seq = state.next();
    state.data_sources.insert(seq, &source.uuid.clone(), source);
    reply::created(&answer)
}

/// `DELETE /data_sources/{uuid}`: with its customers, plans and invoices.
pub fn delete(state: &mut State, uuid: &str) -> Reply {
    let seq = state.data_sources.seq_of(uuid).ok_or_else(|| reply::error(404, "Data source not found"))?;
    state.data_sources.remove(seq, uuid);
    let of_source = state.customers.iter().filter(|(_, customer)| customer.primary().0 == uuid);
    let customers: Vec<Seq> = of_source.map(|(seq, _)| seq).collect();
    for customer in customers {
        customers::remove(state, customer);
    }
    let plans = state.plans.iter().filter(|(_, plan)| plan.source == uuid);
    let plans: Vec<Seq> = plans.map(|(seq, _)| seq).collect();
    for plan in plans {
        super::catalog::remove_plan(state, plan);
    }
    reply::no_content()
}
