//! What a connector manifest says, read and checked.
//!
//! `parse` turns the YAML into these types and names everything that is wrong with it at once. The sections: who
//! the vendor is (`hosts`, `base_url`, `credentials`, `auth`), how a request is written (`request`, `pagination`,
//! `limits`), what an answer means (`errors`, `views`), what can be called (`operations`), what comes in
//! (`triggers`) and what proves all of it (`tests`).

pub(crate) mod asking;
mod auth;
mod before;
mod calls;
mod errors;
mod limits;
mod lookups;
mod operations;
mod parse;
pub(crate) mod poll;
mod reader;
pub(crate) mod selftest;
mod triggers;
mod views;
pub(crate) mod webhook;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::answer::{Errors, Rule};
use crate::auth::{Auth, Grant};
use crate::before::Before;
use crate::credentials::{Connection, Credentials};
use crate::error::Error;
use crate::path::Path;
use crate::view::View;
use asking::Asking;
pub use limits::Limits;
pub(crate) use operations::Text;
pub(crate) use parse::digest;
use poll::Poll;
use webhook::Webhook;

/// The format that this build reads: `manifest: 1`.
pub(crate) const FORMAT: u64 = 1;

/// A vendor, as its manifest describes it.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub slug: String,
    pub title: String,
    pub version: String,
    pub summary: String,
    /// The least that the credentials must be allowed, in words.
    pub(crate) access: Option<String>,
    pub(crate) base_url: Url,
    /// Hosts that a connection may talk to, besides its own loopback base URL.
    pub(crate) hosts: Vec<String>,
    pub(crate) credentials: Vec<CredentialField>,
    pub(crate) auth: Auth,
    /// Sent with every request, such as a pinned API version.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) errors: Errors,
    pub(crate) operations: operations::Operations,
    pub(crate) check: Option<String>,
    pub(crate) scopes_header: Option<String>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) poll: Option<Poll>,
    pub(crate) asking: Option<Asking>,
    pub(crate) views: BTreeMap<String, View>,
    pub(crate) tests: Vec<selftest::Case>,
    digest: String,
}

impl Manifest {
    /// Reads a manifest; every problem is reported at once, with its place.
    /// What stands in its second part is read when it is asked for; [`Manifest::listed_problems`] reads all of it.
    pub fn parse(file: &str, text: &str) -> Result<Manifest, Vec<flow::Diagnostic>> {
        Manifest::read(file, &Text::new(text.to_owned().into()))
    }

    pub(crate) fn read(file: &str, text: &Text) -> Result<Manifest, Vec<flow::Diagnostic>> {
        parse::manifest(file, text)
    }

    /// Everything that is wrong with the operations of the second part.
    pub fn listed_problems(&self) -> Vec<flow::Diagnostic> {
        self.operations.problems()
    }

    /// Names what was read: 32 hexadecimal digits of its SHA-256.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How this vendor's webhooks are verified and read, if it has any.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// The least that its credentials must be allowed, in words.
    pub fn access(&self) -> Option<&str> {
        self.access.as_deref()
    }

    /// Scopes that an operation needs, with those that it is made of.
    pub fn scopes_of<'a>(&'a self, operation: &'a Operation) -> impl Iterator<Item = &'a str> {
        let parts =
            operation.upsert.as_ref().map(|upsert| [&upsert.find.operation, &upsert.create, &upsert.update]);
        let parts = parts.into_iter().flatten().filter_map(|name| self.operation(name));
        std::iter::once(operation).chain(parts).flat_map(|part| part.scopes.iter().map(String::as_str))
    }

    /// How many tests it brings along.
    pub fn test_count(&self) -> usize {
        self.tests.len()
    }

    /// How this vendor's events are asked for, if they can be.
    pub fn poll(&self) -> Option<&Poll> {
        self.poll.as_ref()
    }

    /// How people are asked by buttons, where this vendor has any.
    pub fn asking(&self) -> Option<&Asking> {
        self.asking.as_ref()
    }

    /// All operations, by full name.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter()
    }

    /// The full names of all operations, in order; none of them is read for it.
    pub fn operation_names(&self) -> Vec<&str> {
        self.operations.names()
    }

    /// Whether this operation stands in the manifest itself, with words of its own, and not only in its second part.
    pub fn describes(&self, operation: &Operation) -> bool {
        self.operations.is_own(&operation.name)
    }

    /// The types of events that the vendor names, without its slug before them. Empty where it does not list them.
    pub fn event_types(&self) -> Vec<&str> {
        self.operations.event_types()
    }

    /// The operation of this full name (`stripe.customers.retrieve`).
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// Full name of the read that shows whether a connection's credentials work; it needs no arguments.
    pub fn check(&self) -> Option<&str> {
        self.check.as_deref()
    }

    /// The header of answers in which the vendor lists what the credentials may do, with commas between.
    pub fn scopes_header(&self) -> Option<&str> {
        self.scopes_header.as_deref()
    }

    /// How the vendor grants tokens, if its requests show any.
    pub fn grant(&self) -> Option<&std::sync::Arc<Grant>> {
        self.auth.grant()
    }

    /// What a connection has to hold.
    pub fn credentials(&self) -> &[CredentialField] {
        &self.credentials
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A named mapping of this vendor's objects to one shape over all its API versions.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.get(name)
    }

    /// The names of the views of what an operation answers, in order.
    pub fn views_of(&self, operation: &Operation) -> impl Iterator<Item = &str> {
        let returns = operation.returns.as_ref();
        let views =
            self.views.iter().filter(move |(_, view)| returns.is_some_and(|object| view.maps(object)));
        views.map(|(name, _)| name.as_str())
    }

    /// Whether these credentials are the vendor's live mode (`true`) or test mode (`false`), where they show it.
    pub fn live(&self, credentials: &Credentials) -> Option<bool> {
        self.credentials.iter().find_map(|field| {
            let secret = credentials.get(&field.name)?.reveal();
            let starts =
                |prefixes: &[String]| prefixes.iter().any(|prefix| secret.starts_with(prefix.as_str()));
            if starts(&field.live) {
                Some(true)
            } else if starts(&field.test) {
                Some(false)
            } else {
                None
            }
        })
    }

    /// Where its API is, unless a connection says otherwise.
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Everything that keeps this connection from being used with this manifest, in sentences without secrets.
    pub fn problems(&self, connection: &Connection) -> Vec<String> {
        let mut problems = Vec::new();
        if connection.connector != self.slug {
            problems.push(format!("connection `{}` is not a {} connection", connection.name, self.title));
        }
        for field in &self.credentials {
            if field.required
                && connection.credentials.get(&field.name).is_none_or(|secret| secret.is_empty())
            {
                problems.push(format!("`{}` is missing", field.name));
            }
        }
        for name in connection.credentials.keys() {
            if !self.credentials.iter().any(|field| field.name == *name) {
                problems.push(format!("`{name}` is not a credential of {}", self.title));
            }
        }
        if let Some(url) = &connection.base_url
            && !crate::credentials::is_loopback_http(url)
        {
            problems.push("base_url may only be http to a loopback address".to_owned());
        }
        problems
    }
}

/// One credential that a connection holds.
#[derive(Clone, Debug, Serialize)]
pub struct CredentialField {
    pub name: String,
    pub title: String,
    /// Never shown again once it is stored.
    pub secret: bool,
    pub required: bool,
    /// Where to find it at the vendor.
    pub help: String,
    /// Prefixes that show the vendor's live mode.
    #[serde(skip)]
    pub(crate) live: Vec<String>,
    /// Prefixes that show the vendor's test mode.
    #[serde(skip)]
    pub(crate) test: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Form,
    /// Parts with headers of their own; what has `data` (base64) is a file.
    Multipart,
}

/// What an operation does to the vendor's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effects {
    Read,
    Write,
    /// A write that cannot be taken back.
    Destructive,
}

/// One thing that can be called.
#[derive(Clone, Debug)]
pub struct Operation {
    /// With the slug: `stripe.customers.retrieve`.
    pub name: String,
    pub summary: String,
    pub effects: Effects,
    pub idempotency: Idempotency,
    pub params: Vec<Param>,
    /// Arguments as somebody would give them.
    pub example: Option<Value>,
    pub(crate) method: String,
    /// Literal pieces and parameters of the path, in turn.
    pub(crate) path: Vec<Piece>,
    pub(crate) encoding: Encoding,
    /// Body parameters are put under this member.
    pub(crate) wrap: Option<String>,
    /// Body members that are always sent.
    pub(crate) constants: Vec<(String, Value)>,
    /// What is asked before it, in turn.
    pub(crate) before: Vec<Before>,
    /// A template of body members; null where there is none.
    pub(crate) body: Value,
    pub(crate) pages: Option<Pages>,
    /// Lists inside each object of the answer that are completed page by page.
    pub(crate) nested: Vec<Nested>,
    /// The object that views map.
    pub(crate) returns: Option<String>,
    /// A 404 means that what was asked for is so already; the output is null.
    pub(crate) absent_is_done: bool,
    /// So does a refusal that says this.
    pub(crate) done_where: Vec<(Path, Value)>,
    /// Parts of a successful answer that can each hold errors.
    pub(crate) item_errors: Option<ItemErrors>,
    /// Rules that come before the manifest's.
    pub(crate) rules: Vec<Rule>,
    /// Where it is called, if not at the manifest's own address.
    pub(crate) base_url: Option<Url>,
    /// The answer is a file: `{content_type, data}`, in base64.
    pub(crate) answers_bytes: bool,
    /// It is no request of its own, but reads, compares and writes by others.
    pub(crate) upsert: Option<Upsert>,
    /// Scopes of a token that it needs; any one of a list of names with `|` between them.
    pub scopes: Vec<String>,
}

/// How a record is made as it is wanted: found by one operation, made by another, changed by a third.
#[derive(Clone, Debug)]
pub(crate) struct Upsert {
    pub find: Lookup,
    /// Full names.
    pub create: String,
    pub update: String,
    /// Arguments of the update that the record found has.
    pub update_with: Vec<(String, Path)>,
    /// Arguments that are written, and where a record has them.
    pub fields: Vec<(String, Path)>,
}

impl Upsert {
    pub fn is_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Where a record has a field; nowhere, if there is no such field.
    pub fn place(&self, name: &str) -> &Path {
        static NOWHERE: std::sync::LazyLock<Path> = std::sync::LazyLock::new(Path::whole);
        self.fields.iter().find(|(field, _)| field == name).map_or(&NOWHERE, |(_, path)| path)
    }
}

impl Operation {
    /// Whether it reads before it is known what is sent: [`crate::upsert`] says.
    pub fn is_upsert(&self) -> bool {
        self.upsert.is_some()
    }

    /// Whether `perform` follows pages and answers `{"items": […]}`.
    pub fn paginated(&self) -> bool {
        self.pages.is_some()
    }

    /// The object that it answers (each record, for a list), where a view maps it.
    pub fn returns(&self) -> Option<&str> {
        self.returns.as_deref()
    }

    /// Method and path template: `GET`, `/v1/customers/{customer}`.
    pub fn request(&self) -> (&str, String) {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Param(name) => format!("{{{name}}}"),
        };
        (&self.method, self.path.iter().map(piece).collect())
    }

    /// The arguments as a JSON Schema object (draft 2020-12 vocabulary).
    pub fn input_schema(&self) -> Value {
        let mut properties = serde_json::Map::new();
        for param in &self.params {
            let mut schema = serde_json::Map::new();
            let kinds: Vec<Value> =
                param.kinds.iter().filter_map(|k| k.json_name()).map(Value::from).collect();
            match kinds.as_slice() {
                [] => {}
                [one] => drop(schema.insert("type".into(), one.clone())),
                _ => drop(schema.insert("type".into(), Value::Array(kinds))),
            }
            for (keyword, rule) in param.schema.as_object().into_iter().flatten() {
                schema.insert(keyword.clone(), rule.clone());
            }
            if !param.choices.is_empty() {
                schema.insert("enum".into(), Value::Array(param.choices.clone()));
            }
            if !param.description.is_empty() {
                schema.insert("description".into(), param.description.clone().into());
            }
            properties.insert(param.name.clone(), Value::Object(schema));
        }
        let required: Vec<&str> =
            self.params.iter().filter(|p| p.required).map(|p| p.name.as_str()).collect();
        serde_json::json!({"type": "object", "properties": properties, "required": required,
            "additionalProperties": false})
    }
}

/// A piece of an operation's path.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(String),
    Param(String),
}

/// One argument of an operation.
#[derive(Clone, Debug)]
pub struct Param {
    pub name: String,
    pub location: Location,
    /// What it may be; empty = anything.
    pub kinds: Vec<Kind>,
    pub choices: Vec<Value>,
    pub required: bool,
    pub description: String,
    /// What its members are, as JSON Schema; null where nothing is said of them. It leaves out what texts may be: each of
    /// them may be computed.
    pub schema: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Path,
    Query,
    Body,
    /// For the steps before, and for the template of the body.
    Before,
}

/// JSON's types, as parameters and view fields name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    Any,
}

impl Kind {
    pub(crate) const NAMES: [(&'static str, Kind); 7] = [
        ("string", Kind::String),
        ("integer", Kind::Integer),
        ("number", Kind::Number),
        ("boolean", Kind::Boolean),
        ("object", Kind::Object),
        ("array", Kind::Array),
        ("any", Kind::Any),
    ];

    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("any", |(name, _)| name)
    }

    pub(crate) fn json_name(self) -> Option<&'static str> {
        (self != Kind::Any).then(|| self.name())
    }

    pub(crate) fn admits(self, value: &Value) -> bool {
        match self {
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Object => value.is_object(),
            Kind::Array => value.is_array(),
            Kind::Any => true,
        }
    }
}

/// How an operation is made safe to repeat when its outcome is unknown.
#[derive(Clone, Debug)]
pub enum Idempotency {
    /// The vendor remembers the effect's key for `life` and answers a repetition as it did before: send the same
    /// bytes again. Past `life` a repetition may be a second effect.
    Header { name: String, life: SignedDuration },
    /// The arguments name the record. A repetition is refused as a conflict, and [`crate::lookup`] brings the record.
    NaturalKey(Lookup),
    /// Ask [`crate::lookup`] first; send only where it finds nothing.
    Lookup(Lookup),
    /// Repeating it leaves the same state: send it again.
    Repeatable,
    /// Nothing can be known: at least once.
    None,
}

impl Idempotency {
    pub(crate) fn lookup(&self) -> Option<&Lookup> {
        match self {
            Idempotency::NaturalKey(lookup) | Idempotency::Lookup(lookup) => Some(lookup),
            Idempotency::Header { .. } | Idempotency::Repeatable | Idempotency::None => None,
        }
    }
}

/// How to find out whether an effect was done.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Full name of the read.
    pub(crate) operation: String,
    pub(crate) with: Vec<(String, Template)>,
    /// Another read for some of the calls.
    pub(crate) instead: Option<Instead>,
    /// Asked once for each element of this list of the arguments; all must be found.
    pub(crate) for_each: Option<Path>,
    /// Turns a name among the arguments of the read into an id first.
    pub(crate) resolve: Option<Resolve>,
    /// The records looked at are the elements of this list in the read's answer.
    pub(crate) within: Option<Path>,
    /// What a found record must say.
    pub(crate) r#where: Vec<(Path, Template)>,
    pub(crate) mark: Option<Mark>,
    /// The records found are answered under this member, as the operation itself would.
    pub(crate) collect: Option<String>,
    /// Members of what is answered, as the operation itself would; without them, the record.
    pub(crate) answer: Vec<(String, Made)>,
}

/// The read of a lookup where an argument of the call is given.
#[derive(Clone, Debug)]
pub(crate) struct Instead {
    /// Of the arguments.
    pub when: Path,
    /// Full name of the read.
    pub operation: String,
    pub with: Vec<(String, Template)>,
}

/// A member of the answer that a found record is made into.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    Constant(Value),
    /// `$with.<path>`: of the read's arguments.
    With(Path),
    /// `$found`, `$found.<path>`: of the record.
    Found(Path),
}

/// How the effect's key travels in the request's body.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub at: Path,
    /// What must stand beside it, where the arguments do not say it.
    pub defaults: Vec<(Path, Value)>,
}

/// How a lookup turns a name into the id that its read takes.
#[derive(Clone, Debug)]
pub(crate) struct Resolve {
    pub argument: String,
    /// What consists of these characters alone is an id already.
    pub id_alphabet: String,
    /// What may stand before a name and is no part of it.
    pub strip: String,
    /// Full name of the list that knows names and ids.
    pub operation: String,
    /// Its arguments.
    pub with: Value,
    pub name: Path,
    pub id: Path,
    pub instead: Option<Opened>,
}

/// How an id of another kind (a person's) is turned into the one that the read takes.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// Such an id begins with one of these.
    pub starts: Vec<String>,
    /// Full name of what answers it: a read, or what may be repeated.
    pub operation: String,
    /// Its argument that takes the id.
    pub argument: String,
    pub id: Path,
}

/// A value of a lookup, filled in when the request is prepared.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Constant(Value),
    /// `$args.<path>`.
    Args(Path),
    /// `$each.<path>`.
    Each(Path),
    /// `$key`: the effect's key.
    Key,
    /// `$since_s`: a time before which the effect was not sent, in Unix seconds; known when the lookup is made.
    Since,
}

/// How a list goes on.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub items: Path,
    /// A boolean that says whether there is more. Without it, a list ends where `next` is absent, null or empty.
    pub more: Option<Path>,
    pub next: Next,
    /// The query or body parameter that takes the cursor.
    pub send: String,
    /// Page size, sent where the arguments give none.
    pub size: Option<(String, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// This member of the page's last record.
    Last(Path),
    /// This member of the page.
    At(Path),
    /// This member of the page is the next one's whole address.
    Url(Path),
}

/// A list inside an object, completed by following its own address.
#[derive(Clone, Debug)]
pub(crate) struct Nested {
    pub at: Path,
    /// Where the list names its address.
    pub url: Path,
    pub pages: Pages,
}

/// Parts of a 2xx answer that were refused.
#[derive(Clone, Debug)]
pub(crate) struct ItemErrors {
    pub each: Path,
    /// Non-empty where the part was refused.
    pub at: Path,
}

impl Manifest {
    /// The base URL of this connection's calls, its host checked.
    pub(crate) fn base<'a>(
        &'a self,
        operation: &'a Operation,
        connection: &'a Connection,
    ) -> Result<&'a Url, Error> {
        match &connection.base_url {
            None => Ok(operation.base_url.as_ref().unwrap_or(&self.base_url)),
            Some(url) if crate::credentials::is_loopback_http(url) => Ok(url),
            Some(_) => {
                Err(Error::user("host_refused", "a connection's base URL may only be http to loopback"))
            }
        }
    }
}
