//! `/plans` and `/plan_groups`.

use serde_json::{Map, Value, json};

use super::input::{self, Query};
use super::model::{Plan, PlanGroup};
use super::mrr::{Interval, Unit};
use super::page::{self, Order, Wanted};
use super::reply::{self, Errors, Reply, message};
use super::state::State;
use super::table::Seq;
use crate::wire::Response;

fn plan_json(plan: &Plan) -> Value {
    json!({
        "external_id": plan.external_id,
        "name": plan.name,
        "interval_count": plan.interval.count,
        "interval_unit": plan.interval.unit.as_str(),
        "data_source_uuid": plan.source,
        "uuid": plan.uuid,
    })
}

fn plan_seq(state: &State, uuid: &str) -> Result<Seq, Response> {
    state.plans.seq_of(uuid).ok_or_else(|| reply::not_found("plan", "Plan not found"))
}

pub fn list_plans(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let fits = |plan: &Plan| {
        query.get("data_source_uuid").is_none_or(|source| plan.source == source)
            && query.get("external_id").is_none_or(|id| plan.external_id == id)
            && query.get("system").is_none_or(|system| system == "Custom")
    };
    let rows = state.plans.iter().filter(|(_, plan)| fits(plan));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, plan)| plan_json(plan)).collect();
    let cursor = page.cursor(|plan| plan.created_at);
    reply::ok(&Value::Object(page.numbered("plans", rows, cursor, &wanted)))
}

pub fn retrieve_plan(state: &State, uuid: &str) -> Reply {
    let plan = state.plans.get(plan_seq(state, uuid)?);
    reply::ok(&plan.map_or(Value::Null, plan_json))
}

fn unit(text: &str) -> Option<Unit> {
    match text {
        "day" => Some(Unit::Day),
        "month" => Some(Unit::Month),
        "year" => Some(Unit::Year),
        _ => None,
    }
}

/// `POST /plans`. Without an external id one is made up.
pub fn create_plan(state: &mut State, body: &Map<String, Value>) -> Reply {
    let mut errors = Errors::default();
    let source = input::required(body, "data_source_uuid", "data_source_uuid", &mut errors);
    let name = input::required(body, "name", "name", &mut errors);
    let unit = input::text(body, "interval_unit").as_deref().and_then(unit);
    let count = input::integer(body, "interval_count").and_then(|count| u32::try_from(count).ok());
    if unit.is_none() {
        errors.add("interval_unit", "must be day, month or year");
    }
    if count.is_none_or(|count| count == 0) {
        errors.add("interval_count", "must be greater than 0");
    }
    if errors.is_empty() && state.data_sources.find(&source).is_none() {
        return Err(reply::error(404, "Data source not found"));
    }
    let uuid = state.uuid("pl_");
    let external_id = input::text(body, "external_id").unwrap_or_else(|| uuid["pl_".len()..].to_owned());
    let key = (external_id.clone(), source.clone());
    if errors.is_empty() && state.plan_ids.contains_key(&key) {
        state.counters.duplicate("plan", &external_id);
        errors.add("external_id", message::PLAN_EXISTS);
    }
    let (Some(unit), Some(count), true) = (unit, count, errors.is_empty()) else {
        return Err(reply::invalid(&errors));
    };
    let interval = Interval { unit, count };
    let plan = Plan { uuid, external_id, name, interval, source, created_at: state.now };
    let answer = plan_json(&plan);
    let seq = state.next();
    state.plan_ids.insert(key, seq);
    state.plans.insert(seq, &plan.uuid.clone(), plan);
    reply::created(&answer)
}

/// `PATCH /plans/{uuid}` is answered 202.
pub fn update_plan(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = plan_seq(state, uuid)?;
    let interval_unit = match input::text(body, "interval_unit") {
        Some(text) => match unit(&text) {
            Some(unit) => Some(unit),
            None => return Err(reply::invalid_field("interval_unit", "must be day, month or year")),
        },
        None => None,
    };
    let count = input::integer(body, "interval_count").and_then(|count| u32::try_from(count).ok());
    let Some(plan) = state.plans.get_mut(seq) else {
        return Err(reply::not_found("plan", "Plan not found"));
    };
    if let Some(name) = input::text(body, "name") {
        plan.name = name;
    }
    if let Some(unit) = interval_unit {
        plan.interval.unit = unit;
    }
    if let Some(count) = count.filter(|count| *count > 0) {
        plan.interval.count = count;
    }
    reply::accepted(&plan_json(plan))
}

/// `DELETE /plans/{uuid}`. A plan that lines use stays: the real API refuses too, in words of its own.
pub fn delete_plan(state: &mut State, uuid: &str) -> Reply {
    let seq = plan_seq(state, uuid)?;
    let used = |line: &super::model::Line| line.service.as_ref().is_some_and(|service| service.plan == seq);
    if state.invoices.iter().any(|(_, invoice)| invoice.lines.iter().any(used)) {
        return Err(reply::invalid_field("plan", "The plan is used by invoices."));
    }
    remove_plan(state, seq);
    reply::no_content()
}

pub fn remove_plan(state: &mut State, seq: Seq) {
    let Some(plan) = state.plans.get(seq) else { return };
    let uuid = plan.uuid.clone();
    state.plan_ids.remove(&(plan.external_id.clone(), plan.source.clone()));
    state.plans.remove(seq, &uuid);
}

fn group_json(group: &PlanGroup) -> Value {
    json!({"name": group.name, "uuid": group.uuid, "plans_count": group.plans.len()})
}

fn group_seq(state: &State, uuid: &str) -> Result<Seq, Response> {
    state.plan_groups.seq_of(uuid).ok_or_else(|| reply::not_found("plan_group", "Plan group not found"))
}

pub fn list_groups(state: &State, query: &Query) -> Reply {
    let wanted = Wanted::of(query);
    let page = page::cut(state.plan_groups.iter(), Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, group)| group_json(group)).collect();
    let cursor = page.cursor(|group| group.created_at);
    reply::ok(&Value::Object(page.numbered("plan_groups", rows, cursor, &wanted)))
}

pub fn retrieve_group(state: &State, uuid: &str) -> Reply {
    let group = state.plan_groups.get(group_seq(state, uuid)?);
    reply::ok(&group.map_or(Value::Null, group_json))
}

fn plan_list(state: &State, body: &Map<String, Value>) -> Result<Option<Vec<Seq>>, Response> {
    let Some(Value::Array(uuids)) = body.get("plans") else { return Ok(None) };
    let seqs = uuids.iter().filter_map(Value::as_str).map(|uuid| plan_seq(state, uuid));
    seqs.collect::<Result<Vec<Seq>, Response>>().map(Some)
}

/// `POST /plan_groups` is answered 200; its refusal has a shape of its own, `{field: [messages], error_details}`.
pub fn create_group(state: &mut State, body: &Map<String, Value>) -> Reply {
    let name = input::text(body, "name");
    let plans = plan_list(state, body)?.filter(|plans| !plans.is_empty());
    let (Some(name), Some(plans)) = (name.clone(), plans.clone()) else {
        let mut answer = Map::new();
        let mut details = Vec::new();
        let checks = [("name", "Name", name.is_none()), ("plan_ids", "Plan ids", plans.is_none())];
        for (param, title, blank) in checks {
            if blank {
                let text = format!("{title} can't be blank");
                answer.insert(param.to_owned(), json!([text]));
                details.push(json!({"param": param, "code": "blank", "message": text}));
            }
        }
        answer.insert("error_details".to_owned(), Value::Array(details));
        return Err(Response::json(422, &Value::Object(answer)));
    };
    let group = PlanGroup { uuid: state.uuid("plg_"), name, plans, created_at: state.now };
    let answer = group_json(&group);
    let seq = state.next();
    state.plan_groups.insert(seq, &group.uuid.clone(), group);
    reply::ok(&answer)
}

pub fn update_group(state: &mut State, uuid: &str, body: &Map<String, Value>) -> Reply {
    let seq = group_seq(state, uuid)?;
    let plans = plan_list(state, body)?;
    let Some(group) = state.plan_groups.get_mut(seq) else {
        return Err(reply::not_found("plan_group", "Plan group not found"));
    };
    if let Some(name) = input::text(body, "name") {
        group.name = name;
    }
    if let Some(plans) = plans {
        group.plans = plans;
    }
    reply::ok(&group_json(group))
}

pub fn delete_group(state: &mut State, uuid: &str) -> Reply {
    let seq = group_seq(state, uuid)?;
    state.plan_groups.remove(seq, uuid);
    reply::no_content()
}

/// `GET /plan_groups/{uuid}/plans`.
pub fn list_group_plans(state: &State, uuid: &str, query: &Query) -> Reply {
    let seq = group_seq(state, uuid)?;
    let wanted = Wanted::of(query);
    let mut seqs = state.plan_groups.get(seq).map(|group| group.plans.clone()).unwrap_or_default();
    seqs.sort_unstable();
    let rows = seqs.into_iter().filter_map(|seq| state.plans.get(seq).map(|plan| (seq, plan)));
    let page = page::cut(rows, Order::NewestFirst, &wanted);
    let rows = page.rows.iter().map(|(_, plan)| plan_json(plan)).collect();
    let cursor = page.cursor(|plan| plan.created_at);
    reply::ok(&Value::Object(page.numbered("plans", rows, cursor, &wanted)))
}
