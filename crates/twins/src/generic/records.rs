//! What a simulated vendor keeps.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::page;
use super::plan::{Next, Operation, Plan, segments};
use crate::wire::{Request, Response};

/// Records of one collection.
const RECORDS_MAX: usize = 100_000;
/// The member that names a record where the manifest does not say it.
const ID: &str = "id";

/// Records by their collection's address, in the order of their making.
#[derive(Default)]
pub struct Records {
    collections: BTreeMap<String, Vec<Value>>,
    made: u64,
}

impl Records {
    pub fn world(&self) -> Value {
        json!(self.collections)
    }

    /// What an operation does, and its answer. `parameters` stand in the address.
    pub fn act(
        &mut self,
        plan: &Plan,
        operation: &Operation,
        parameters: &[(String, String)],
        given: Map<String, Value>,
        request: &Request,
    ) -> Response {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
        if let Some(pages) = &operation.pages {
            let records = self.found(operation, &query, &request.path);
            return plan.answer(200, page::of(pages, &records, &query, request));
        }
        if operation.answers_bytes {
            return Response::text(200, &request.path);
        }
        let mut segments = segments(&request.path);
        let action = operation.acts_on_a_record().then(|| segments.pop()).flatten();
        let named = (operation.names_a_record() || action.is_some()).then(|| segments.pop()).flatten();
        let collection = format!("/{}", segments.join("/"));
        match (request.method.as_str(), named) {
            ("POST", None) => self.make(plan, operation, parameters, &collection, given),
            ("GET", None) => plan.answer(200, self.alone(&collection)),
            // Made under its own name, as `PUT` may.
            ("PUT", Some(id)) if action.is_none() && self.place(&collection, &id).is_none() => {
                let mut record = Map::from_iter([(ID.to_owned(), id.into())]);
                record.extend(given);
                self.keep(plan, &collection, record)
            }
            (_, Some(id)) => match (self.place(&collection, &id), action) {
                // `GET /things/{thing}/parts`: what is there under this name, if not the thing's own member.
                (Some(place), Some(action)) if request.method == "GET" => {
                    let own = self.record(&collection, place)[action.as_str()].clone();
                    let shown = if own.is_null() { self.alone(&request.path) } else { own };
                    plan.answer(200, shown)
                }
                (Some(place), None) if request.method == "GET" => {
                    plan.answer(200, self.record(&collection, place).clone())
                }
                (Some(place), None) if request.method == "DELETE" => {
                    let gone = self.collections.get_mut(&collection).map(|records| records.remove(place));
                    plan.answer(200, gone.unwrap_or_default())
                }
                // `POST /things/{thing}/parts` makes a part, where there is a list of them.
                (Some(_), Some(_)) if request.method == "POST" && plan.lists(&request.path) => {
                    self.make(plan, operation, parameters, &request.path, given)
                }
                (Some(place), action) => {
                    let record = self.change(&collection, place, given, action);
                    plan.answer(200, record)
                }
                (None, _) => {
                    plan.refusal("not_found", 404, "not_found", &format!("there is no {collection}/{id}"))
                }
            },
            (_, None) => {
                let mut record = self.alone(&collection);
                if let Value::Object(members) = &mut record {
                    members.extend(given);
                }
                self.collections.insert(collection, vec![record.clone()]);
                plan.answer(200, record)
            }
        }
    }

    fn record(&self, collection: &str, place: usize) -> &Value {
        self.collections.get(collection).and_then(|records| records.get(place)).unwrap_or(&Value::Null)
    }

    /// The one record of an address that has no list.
    fn alone(&self, collection: &str) -> Value {
        let record = self.collections.get(collection).and_then(|records| records.last());
        record.cloned().unwrap_or_else(|| json!({}))
    }

    fn place(&self, collection: &str, id: &str) -> Option<usize> {
        let records = self.collections.get(collection)?;
        records.iter().position(|record| {
            let Value::Object(members) = record else { return false };
            members.get(ID).is_some_and(|own| page::text(own) == id)
        })
    }

    fn make(
        &mut self,
        plan: &Plan,
        operation: &Operation,
        parameters: &[(String, String)],
        collection: &str,
        given: Map<String, Value>,
    ) -> Response {
        let records = self.collections.get(collection).map(Vec::as_slice).unwrap_or_default();
        let key = operation.natural_key.iter().filter_map(|name| Some((name, given.get(name)?)));
        let key: Vec<(&String, &Value)> = key.collect();
        let same = |record: &Value| key.iter().all(|(name, value)| record[name.as_str()] == **value);
        if !key.is_empty() && records.iter().any(same) {
            return plan.refusal("conflict", 409, "taken", "there is such a record");
        }
        self.made += 1;
        let kind = collection.rsplit('/').next().unwrap_or_default();
        let mut record = Map::new();
        if !given.contains_key(ID) {
            record.insert(ID.to_owned(), format!("{kind}_{}", self.made).into());
        }
        record.extend(parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())));
        record.extend(given);
        self.keep(plan, collection, record)
    }

    fn keep(&mut self, plan: &Plan, collection: &str, record: Map<String, Value>) -> Response {
        let records = self.collections.entry(collection.to_owned()).or_default();
        if records.len() >= RECORDS_MAX {
            return plan.refusal("user", 400, "full", "the simulated account is full");
        }
        let record = Value::Object(record);
        records.push(record.clone());
        plan.answer(201, record)
    }

    fn change(
        &mut self,
        collection: &str,
        place: usize,
        given: Map<String, Value>,
        action: Option<String>,
    ) -> Value {
        let record = self.collections.get_mut(collection).and_then(|records| records.get_mut(place));
        let Some(Value::Object(members)) = record else { return Value::Null };
        members.extend(given);
        if let Some(action) = action {
            members.insert("last_action".to_owned(), action.into());
        }
        Value::Object(members.clone())
    }

    /// The records of a list that have what its parameters ask for, where a record has such a member at all.
    fn found(&self, operation: &Operation, query: &BTreeMap<String, String>, address: &str) -> Vec<Value> {
        let collection = format!("/{}", segments(address).join("/"));
        let records = self.collections.get(&collection).map(Vec::as_slice).unwrap_or_default();
        let pages = operation.pages.as_ref();
        let about_pages =
            |name: &str| pages.is_some_and(|pages| pages.send == name || pages.size.as_deref() == Some(name));
        let asked: Vec<(&String, &String)> = query
            .iter()
            .filter(|(name, _)| !about_pages(name))
            .filter(|(name, _)| records.iter().any(|record| !record[name.as_str()].is_null()))
            .collect();
        let fits =
            |record: &&Value| asked.iter().all(|(name, value)| page::text(&record[name.as_str()]) == **value);
        let mut found: Vec<Value> = records.iter().filter(fits).cloned().collect();
        // A cursor that is a member of the last record has to be there.
        if let Some(Next::Last(way)) = pages.map(|pages| &pages.next) {
            found.retain(|record| !super::plan::get(record, way).is_null());
        }
        found
    }
}
