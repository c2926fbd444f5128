//! The made-up vendor: takes requests in memory, misbehaves as told, and remembers everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use connect::{BoxFuture, Transport, TransportError, wire};
use engine::Timer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// An answer of this status without effect, and its `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// Never reaches the vendor.
    NotReached,
    /// Takes effect; no answer comes.
    AnswerLost,
    /// No effect; no answer comes, so that nobody can tell.
    RequestLost,
    /// Takes effect; the answer is a 500.
    Broken,
    /// Takes effect; the caller dies before the answer.
    Hang,
    /// The caller dies before it takes effect.
    HangBefore,
    /// The caller's own code panics.
    Panic,
    /// Answered well, after so many seconds.
    Slow(u64),
    /// Somebody else makes a record of that name just before, of another size.
    Overtaken,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `POST /notes`.
    pub line: String,
    pub body: Value,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    pub authorization: String,
}

/// A request that came, and what became of it: enough to bring a vendor to where it was then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    pub line: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

impl Past {
    pub fn is_write(&self) -> bool {
        !self.line.starts_with("GET ")
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// What went wrong with each of `seen`.
    met: Vec<Option<Trouble>>,
    /// Request line → what goes wrong with its next requests.
    troubles: BTreeMap<String, Vec<Trouble>>,
    /// Number of a request, from 0 → what goes wrong with it.
    numbered: BTreeMap<usize, Trouble>,
    /// Kind → records.
    records: BTreeMap<String, Vec<Value>>,
    /// Key → answer.
    remembered: BTreeMap<String, Value>,
    /// Keys refused, by name.
    refused: BTreeMap<String, Vec<String>>,
    things: BTreeMap<String, Value>,
    hung: bool,
    under_way: usize,
    under_way_max: usize,
}

pub struct Vendor {
    state: Mutex<State>,
    timer: Arc<dyn Timer>,
}

impl Vendor {
    pub fn new(timer: Arc<dyn Timer>) -> Arc<Vendor> {
        Arc::new(Vendor { state: Mutex::default(), timer })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next requests of this line go wrong so, in turn.
    pub fn trouble(&self, line: &str, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.entry(line.to_owned()).or_default().extend(troubles);
    }

    /// The request of this number, from 0, goes wrong so.
    pub fn trouble_at(&self, number: usize, trouble: Trouble) {
        self.state().numbered.insert(number, trouble);
    }

    pub fn put_thing(&self, id: &str, thing: Value) {
        self.state().things.insert(id.to_owned(), thing);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Request lines, in order.
    pub fn lines(&self) -> Vec<String> {
        self.state().seen.iter().map(|seen| seen.line.clone()).collect()
    }

    /// Names of the records of a kind, in order of creation.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let state = self.state();
        let records = state.records.get(kind).map(Vec::as_slice).unwrap_or_default();
        records.iter().map(|record| record["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Everything that is true at the vendor's.
    pub fn world(&self) -> Value {
        json!(self.state().records)
    }

    /// Whether a caller is waiting for an answer that never comes.
    pub fn hung(&self) -> bool {
        self.state().hung
    }

    pub fn forget_hanging(&self) {
        self.state().hung = false;
    }

    /// The most requests that were under way at once.
    pub fn under_way_max(&self) -> usize {
        self.state().under_way_max
    }

    fn take(&self, request: &wire::Request) -> (Option<Trouble>, Seen) {
        let header = |name: &str| {
            request
                .headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let seen = Seen {
            line: format!("{} {}", request.method, request.url.path()),
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
            key: header("Idempotency-Key"),
            authorization: header("Authorization").unwrap_or_default(),
        };
        let mut state = self.state();
        let number = state.seen.len();
        state.seen.push(seen.clone());
        let planned = state.troubles.get_mut(&seen.line).filter(|planned| !planned.is_empty());
        let trouble = planned.map(|planned| planned.remove(0));
        let trouble = trouble.or_else(|| state.numbered.remove(&number));
        state.met.push(trouble.clone());
        (trouble, seen)
    }

    /// Every request so far, and what became of it.
    pub fn past(&self) -> Vec<Past> {
        let state = self.state();
        let past = |(seen, trouble): (&Seen, &Option<Trouble>)| Past {
            line: seen.line.clone(),
            body: seen.body.clone(),
            key: seen.key.clone(),
            trouble: trouble.clone(),
        };
        state.seen.iter().zip(&state.met).map(past).collect()
    }

    /// Has all this happen without anybody asking; what has gone wrong in it does not go wrong again.
    pub fn relive(&self, past: &[Past]) {
        for one in past {
            if let Some(trouble) = &one.trouble {
                let mut state = self.state();
                let planned = state.troubles.entry(one.line.clone()).or_default();
                let place = planned.iter().position(|planned| planned == trouble).expect("it was planned");
                planned.remove(place);
            }
            let seen = Seen {
                line: one.line.clone(),
                body: one.body.clone(),
                key: one.key.clone(),
                authorization: String::new(),
            };
            if one.trouble == Some(Trouble::Overtaken) {
                self.overtake(&seen);
            }
            if one.trouble.as_ref().is_none_or(Trouble::takes_effect) {
                self.act(&seen, &BTreeMap::new());
            }
        }
    }

    /// What the vendor does with a request, and answers.
    fn act(&self, seen: &Seen, query: &BTreeMap<String, String>) -> (u16, Value) {
        let mut state = self.state();
        let (method, path) = seen.line.split_once(' ').unwrap();
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, path.as_slice()) {
            ("GET", ["things", id]) => match state.things.get(*id) {
                Some(thing) => (200, thing.clone()),
                None => (404, json!({"error": {"code": "missing", "message": "no such thing"}})),
            },
            // Two to a page, in the order of their ids.
            ("GET", ["things"]) => {
                let pad = query.get("pad").and_then(|pad| pad.parse().ok()).unwrap_or(0);
                let from: usize = query.get("cursor").and_then(|at| at.parse().ok()).unwrap_or(0);
                let page = state.things.iter().skip(from).take(2).map(|(id, thing)| {
                    let mut thing = thing.clone();
                    thing["id"] = json!(id);
                    thing["pad"] = json!("x".repeat(pad));
                    thing
                });
                let next = (from + 2 < state.things.len()).then(|| (from + 2).to_string());
                (200, json!({"items": page.collect::<Vec<_>>(), "next": next}))
            }
            ("GET", ["records"]) => {
                let fits = |record: &&Value| {
                    ["name", "mark"]
                        .iter()
                        .all(|name| query.get(*name).is_none_or(|wanted| record[*name] == **wanted))
                };
                let kind = query.get("kind").map(String::as_str).unwrap_or_default();
                let records = state.records.get(kind).map(Vec::as_slice).unwrap_or_default();
                let items: Vec<&Value> = records.iter().filter(fits).collect();
                (200, json!({"items": items, "next": null}))
            }
            ("PUT", ["states", name]) => {
                let value = json!({"name": name, "value": seen.body["value"]});
                state.records.insert(format!("state:{name}"), vec![value.clone()]);
                (200, value)
            }
            ("PATCH", ["customers", id]) => {
                let all = state.records.entry("customers".to_owned()).or_default();
                match all.iter_mut().find(|record| record["id"] == **id) {
                    None => (404, json!({"error": {"code": "missing", "message": "no such customer"}})),
                    Some(record) => {
                        for (name, value) in seen.body.as_object().into_iter().flatten() {
                            record[name] = value.clone();
                        }
                        (200, record.clone())
                    }
                }
            }
            ("POST", [kind]) => create(&mut state, kind, seen),
            _ => (404, json!({"error": {"code": "missing", "message": "no such address"}})),
        }
    }
}

/// A record called `refused…` is always refused, `late…` under its first two keys: what a vendor refuses once, it
/// refuses again.
fn create(state: &mut State, kind: &str, seen: &Seen) -> (u16, Value) {
    let name = seen.body["name"].as_str().unwrap_or_default();
    let early = name.starts_with("late") && {
        let keys = state.refused.entry(name.to_owned()).or_default();
        let key = seen.key.clone().unwrap_or_default();
        let is_new = !keys.contains(&key);
        if is_new && keys.len() < 2 {
            keys.push(key.clone());
        }
        keys.contains(&key)
    };
    if early || name.starts_with("refused") {
        return (422, json!({"error": {"code": "refused", "message": "as it is called"}}));
    }
    if let Some(key) = &seen.key
        && let Some(answer) = state.remembered.get(key)
    {
        return (200, answer.clone());
    }
    let records = state.records.entry(kind.to_owned()).or_default();
    if kind == "customers" && records.iter().any(|record| record["name"] == seen.body["name"]) {
        return (409, json!({"error": {"code": "taken", "message": "the name is taken"}}));
    }
    let mut record = seen.body.clone();
    record["id"] = json!(format!("{kind}-{}", records.len() + 1));
    records.push(record.clone());
    if let Some(key) = &seen.key {
        state.remembered.insert(key.clone(), record.clone());
    }
    (201, record)
}

impl Trouble {
    fn takes_effect(&self) -> bool {
        matches!(
            self,
            Trouble::AnswerLost | Trouble::Broken | Trouble::Hang | Trouble::Slow(_) | Trouble::Overtaken
        )
    }
}

impl Transport for Vendor {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(async move {
            let (trouble, seen) = self.take(&request);
            {
                let mut state = self.state();
                state.under_way += 1;
                state.under_way_max = state.under_way_max.max(state.under_way);
            }
            let answer = self.answer(&request, &seen, trouble).await;
            self.state().under_way -= 1;
            answer
        })
    }
}

impl Vendor {
    async fn answer(
        &self,
        request: &wire::Request,
        seen: &Seen,
        trouble: Option<Trouble>,
    ) -> Result<wire::Response, TransportError> {
        let lost = |sent: bool| Err(TransportError { sent, detail: "the line broke".to_owned() });
        match trouble {
            Some(Trouble::Status(status, after)) => {
                let headers =
                    after.map(|after| ("Retry-After".to_owned(), after.to_string())).into_iter().collect();
                let body = json!({"error": {"code": "trouble", "message": "as told"}}).to_string();
                return Ok(wire::Response { status, headers, body: body.into_bytes().into() });
            }
            Some(Trouble::NotReached) => return lost(false),
            Some(Trouble::RequestLost) => return lost(true),
            Some(Trouble::Panic) => panic!("as told"),
            Some(Trouble::HangBefore) => return self.hang().await,
            Some(Trouble::Slow(seconds)) => self.timer.sleep(std::time::Duration::from_secs(seconds)).await,
            Some(Trouble::Overtaken) => self.overtake(seen),
            _ => {}
        }
        let query = request.url.query_pairs().into_owned().collect();
        let (status, body) = self.act(seen, &query);
        let answer = |status, body: Value| wire::Response {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes().into(),
        };
        match trouble {
            Some(Trouble::AnswerLost) => lost(true),
            Some(Trouble::Broken) => Ok(answer(500, json!({"error": {"code": "broken"}}))),
            Some(Trouble::Hang) => self.hang().await,
            _ => Ok(answer(status, body)),
        }
    }

    fn overtake(&self, seen: &Seen) {
        let kind = seen.line.rsplit('/').next().unwrap_or_default();
        let other = json!({"name": seen.body["name"], "size": 99});
        create(&mut self.state(), kind, &Seen { body: other, key: None, ..seen.clone() });
    }

    async fn hang(&self) -> Result<wire::Response, TransportError> {
        self.state().hung = true;
        std::future::pending().await
    }
}
