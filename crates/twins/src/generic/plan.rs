//! What of a manifest a twin goes by.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Unfit;
use crate::wire::{Request, Response};

/// A manifest, as far as it says how the vendor answers.
pub struct Plan {
    operations: Vec<Operation>,
    pub auth: Value,
    /// Members that a good answer has: `{ok: true}`.
    success: Vec<(Vec<String>, Value)>,
    code: Option<Vec<String>>,
    detail: Option<Vec<String>>,
    rules: Vec<Value>,
}

/// One operation, as its vendor sees it.
pub struct Operation {
    pub method: String,
    path: Vec<Piece>,
    /// Where an answer has the list, and how it goes on.
    pub pages: Option<Pages>,
    pub wrap: Option<String>,
    /// The types of its parameters.
    pub kinds: BTreeMap<String, String>,
    /// The header by which a repetition is known.
    pub key_header: Option<String>,
    /// Members of the body that no two records share.
    pub natural_key: Vec<String>,
    /// The answer is a file.
    pub answers_bytes: bool,
}

enum Piece {
    Literal(String),
    Parameter(String),
}

/// How a list goes on.
#[derive(Clone)]
pub struct Pages {
    pub items: Vec<String>,
    pub more: Option<Vec<String>>,
    pub next: Next,
    pub send: String,
    /// The parameter of a page's size.
    pub size: Option<String>,
}

#[derive(Clone)]
pub enum Next {
    Last(Vec<String>),
    At(Vec<String>),
    Url(Vec<String>),
}

/// `data.0.id` as its parts; `.` has none.
pub fn path(text: &str) -> Vec<String> {
    text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Writes into a value, making objects on the way.
pub fn put(value: &mut Value, way: &[String], what: Value) {
    let mut here = value;
    for part in way {
        if !here.is_object() {
            *here = json!({});
        }
        let Value::Object(members) = here else { return };
        here = members.entry(part.clone()).or_insert(Value::Null);
    }
    *here = what;
}

/// What stands there.
pub fn get<'a>(value: &'a Value, way: &[String]) -> &'a Value {
    way.iter().fold(value, |here, part| match here {
        Value::Array(items) => {
            part.parse::<usize>().ok().and_then(|at| items.get(at)).unwrap_or(&Value::Null)
        }
        here => &here[part.as_str()],
    })
}

impl Plan {
    pub fn of(manifest: &Value) -> Result<Plan, Unfit> {
        let operations = manifest["operations"].as_object();
        let operations = operations.ok_or_else(|| Unfit("it has no operations".to_owned()))?;
        // What is composed of others sends nothing itself.
        let sending = operations.iter().filter(|(_, operation)| operation["upsert"].is_null());
        let operations: Result<Vec<Operation>, Unfit> =
            sending.map(|(name, operation)| Operation::of(name, operation, manifest)).collect();
        let errors = &manifest["errors"];
        let first = |value: &Value| match value {
            Value::String(text) => Some(path(text)),
            Value::Array(all) => all.first().and_then(Value::as_str).map(path),
            _ => None,
        };
        let success = errors["success"].as_object().into_iter().flatten();
        let mut operations = operations?;
        // `/things/search` is not the thing called `search`.
        operations.sort_by_key(|operation| operation.parameters().count());
        Ok(Plan {
            operations,
            auth: manifest["auth"].clone(),
            success: success.map(|(way, value)| (path(way), value.clone())).collect(),
            code: first(&errors["code"]),
            detail: first(&errors["detail"]),
            rules: errors["rules"].as_array().cloned().unwrap_or_default(),
        })
    }

    /// The operation that a request asks for, and the parameters in its address.
    pub fn operation(&self, request: &Request) -> Option<(&Operation, Vec<(String, String)>)> {
        let segments: Vec<String> = segments(&request.path);
        let fits = |operation: &Operation| operation.fits(&segments);
        let same = self.operations.iter().filter(|operation| operation.method == request.method);
        same.filter_map(|operation| Some((operation, fits(operation)?))).next()
    }

    /// Whether there is a list at an address.
    pub fn lists(&self, address: &str) -> bool {
        let segments = segments(address);
        let mut lists = self.operations.iter().filter(|operation| operation.pages.is_some());
        lists.any(|operation| operation.fits(&segments).is_some())
    }

    /// A good answer.
    pub fn answer(&self, status: u16, mut body: Value) -> Response {
        for (way, value) in &self.success {
            put(&mut body, way, value.clone());
        }
        Response::json(status, &body)
    }

    /// A refusal as the manifest reads it: with the first status that it says is of the class, else with `usual`.
    pub fn refusal(&self, class: &str, usual: u16, code: &str, detail: &str) -> Response {
        let rule = self.rules.iter().find(|rule| rule["class"] == class && !rule["status"].is_null());
        let stated = rule.map(|rule| match &rule["status"] {
            Value::Array(all) => all.first().cloned().unwrap_or_default(),
            one => one.clone(),
        });
        let status = match stated {
            Some(Value::Number(status)) => status.as_u64().and_then(|status| u16::try_from(status).ok()),
            _ => None,
        };
        let mut body = json!({});
        // What a rule looks for beside the status, it finds.
        if let Some(rule) = rule
            && let Some(at) = rule["at"].as_str()
        {
            let is = rule["is"].as_array().and_then(|all| all.first()).unwrap_or(&rule["is"]);
            put(&mut body, &path(at), is.clone());
        }
        let says = rule.and_then(|rule| rule["says"].as_array()?.first()?.as_str());
        let says = says.or_else(|| rule.and_then(|rule| rule["says"].as_str()));
        let detail = says.map_or_else(|| detail.to_owned(), |says| format!("{detail} ({says})"));
        for (way, text) in [(&self.code, code.to_owned()), (&self.detail, detail)] {
            if let Some(way) = way
                && get(&body, way).is_null()
            {
                put(&mut body, way, text.into());
            }
        }
        Response::json(status.unwrap_or(usual), &body)
    }
}

/// The parts of an address, decoded.
pub fn segments(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
}

impl Operation {
    fn of(name: &str, operation: &Value, manifest: &Value) -> Result<Operation, Unfit> {
        let unfit = |what: &str| Unfit(format!("`{name}` has no {what}"));
        let request = operation["request"].as_str().ok_or_else(|| unfit("request"))?;
        let (method, address) = request.split_once(' ').ok_or_else(|| unfit("method and address"))?;
        let piece = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => Piece::Parameter(name.to_owned()),
            None => Piece::Literal(part.to_owned()),
        };
        let idempotency = match &operation["idempotency"] {
            Value::Null if method == "POST" => &manifest["request"]["idempotency"],
            stated => stated,
        };
        Ok(Operation {
            method: method.to_owned(),
            path: address.split('/').filter(|part| !part.is_empty()).map(piece).collect(),
            pages: pages(&operation["pages"], &manifest["pagination"]["pages"]),
            wrap: operation["wrap"].as_str().map(str::to_owned),
            kinds: kinds(operation, manifest),
            key_header: idempotency["header"]["name"].as_str().map(str::to_owned),
            natural_key: natural_key(&idempotency["natural_key"]),
            answers_bytes: operation["answer"] == "bytes",
        })
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    fn fits(&self, segments: &[String]) -> Option<Vec<(String, String)>> {
        if segments.len() != self.path.len() {
            return None;
        }
        let mut found = Vec::new();
        for (piece, segment) in self.path.iter().zip(segments) {
            match piece {
                Piece::Literal(text) if text == segment => {}
                Piece::Literal(_) => return None,
                Piece::Parameter(name) => found.push((name.clone(), segment.clone())),
            }
        }
        Some(found)
    }

    /// Whether its address ends with a record's name.
    pub fn names_a_record(&self) -> bool {
        matches!(self.path.last(), Some(Piece::Parameter(_)))
    }

    /// Whether its address goes on behind a record's name, by what is done with it.
    pub fn acts_on_a_record(&self) -> bool {
        matches!(self.path.as_slice(), [.., Piece::Parameter(_), Piece::Literal(_)])
    }
}

/// The members of a body that no two records share: what a lookup by the arguments asks for.
fn natural_key(lookup: &Value) -> Vec<String> {
    let asked = |part: &str| lookup[part].as_object().into_iter().flatten();
    let mut key: Vec<String> = asked("where")
        .chain(asked("with"))
        .filter_map(|(_, value)| value.as_str()?.strip_prefix("$args.").map(str::to_owned))
        .collect();
    key.sort();
    key.dedup();
    key
}

/// An operation's own pages, and what it leaves to the manifest's.
fn pages(own: &Value, common: &Value) -> Option<Pages> {
    if own.is_null() || own == &Value::Bool(false) {
        return None;
    }
    let part = |name: &str| match own.get(name) {
        Some(stated) => stated,
        None => &common[name],
    };
    let at = |value: &Value| value.as_str().map(path);
    let next = part("next");
    let next = match (at(&next["last"]), at(&next["at"]), at(&next["url"])) {
        (Some(last), _, _) => Next::Last(last),
        (_, Some(at), _) => Next::At(at),
        (_, _, url) => Next::Url(url?),
    };
    Some(Pages {
        items: at(part("items"))?,
        more: at(part("more")),
        next,
        send: part("send").as_str().unwrap_or("cursor").to_owned(),
        size: part("size").as_object().and_then(|size| size.keys().next().cloned()),
    })
}

/// The types of an operation's parameters, those of included groups too.
fn kinds(operation: &Value, manifest: &Value) -> BTreeMap<String, String> {
    let groups = operation["include"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let included = groups.map(|group| &manifest["parameters"][group]);
    let all = included.chain([&operation["params"]]).filter_map(Value::as_object).flatten();
    let kind = |param: &Value| {
        let stated = param.as_str().or_else(|| param["type"].as_str()).unwrap_or("string");
        stated.trim_end_matches('!').rsplit(' ').next().unwrap_or(stated).to_owned()
    };
    all.map(|(name, param)| (name.clone(), kind(param))).collect()
}
