//! What is asked before a request: such as an address that takes a file, and then the file's bytes.
//!
//! The steps are exact before the first of them is sent, and so is the request itself, but for the places in its body
//! that their answers are put into. A step leaves nothing behind that counts, and each attempt takes all of them again:
//! only the outcome of the request itself can be unknown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::answer;
use crate::auth;
use crate::credentials;
use crate::error::Error;
use crate::manifest::{Manifest, Operation};
use crate::path::Path;
use crate::perform::Call;
use crate::prepare::{Prepared, argument, prepare};
use crate::wire;

/// A step as a manifest says it.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub name: String,
    pub asked: Asked,
}

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// An operation by its full name, and the template of its arguments.
    Call { operation: String, with: Value },
    /// The bytes of an argument, posted to an address that an earlier step answered. No credentials go there.
    Send { to: Said, bytes: String },
}

/// What stands in the place of a value of a template.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// `$args.<path>`; left out where it is not given.
    Args(Path),
    /// `$size.<name>`: how many bytes an argument is.
    Size(String),
    /// `$<step>.<path>`.
    Said(Said),
}

impl Reference {
    /// None: it is none.
    pub fn parse(text: &str) -> Option<Reference> {
        let (from, path) = text.strip_prefix('$')?.split_once('.')?;
        let path = Path::parse(path)?;
        Some(match from {
            "args" => Reference::Args(path),
            "size" => Reference::Size(path.as_str().to_owned()),
            step => Reference::Said(Said { step: step.to_owned(), path: path.as_str().to_owned() }),
        })
    }
}

/// A place in a step's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub step: String,
    pub path: String,
}

/// A place in a body that is filled before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub at: String,
    pub said: Said,
}

/// A step that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// Full name of the operation whose request it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Where it goes, if it is no operation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Said>,
    pub request: Prepared,
}

/// The members of the body that a template makes, and the gaps in them.
pub(crate) fn members(operation: &Operation, args: &Value) -> Result<(Map<String, Value>, Vec<Gap>), Error> {
    let mut gaps = Vec::new();
    let made = fill(operation, &operation.body, args, "", &mut gaps)?;
    for gap in &mut gaps {
        if let Some(wrap) = &operation.wrap {
            gap.at = format!("{wrap}.{}", gap.at);
        }
    }
    match made {
        Some(Value::Object(members)) => Ok((members, gaps)),
        _ => Ok((Map::new(), gaps)),
    }
}

/// The steps as they will be sent.
pub(crate) fn steps(
    manifest: &Manifest,
    operation: &Operation,
    args: &Value,
    key: &str,
) -> Result<Vec<Step>, Error> {
    let step = |before: &Before| {
        let name = before.name.clone();
        match &before.asked {
            Asked::Call { operation: full, with } => {
                let asked = asked_of(manifest, full)?;
                let with = fill(operation, with, args, "", &mut Vec::new())?.unwrap_or_default();
                let request = prepare(manifest, asked, &with, key)?;
                Ok(Step { name, operation: Some(full.clone()), to: None, request })
            }
            Asked::Send { to, bytes } => {
                let request = upload(manifest, operation, bytes, args)?;
                Ok(Step { name, operation: None, to: Some(to.clone()), request })
            }
        }
    };
    operation.before.iter().map(step).collect()
}

fn asked_of<'a>(manifest: &'a Manifest, full: &str) -> Result<&'a Operation, Error> {
    let missing = || Error::fatal("operation_composite", format!("there is no operation {full}"));
    manifest.operation(full).ok_or_else(missing)
}

fn upload(manifest: &Manifest, operation: &Operation, name: &str, args: &Value) -> Result<Prepared, Error> {
    let bytes = bytes(operation, name, args)?;
    let bytes_max = manifest.limits.request_bytes_max;
    if bytes.len() > bytes_max {
        let detail = format!("argument `{name}` is longer than {bytes_max} bytes");
        return Err(argument(operation, name, "request_too_large", detail));
    }
    let text = args[name].as_str();
    Ok(Prepared {
        method: "POST".to_owned(),
        headers: vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())],
        body: Some(text.map_or_else(|| STANDARD.encode(&bytes), str::to_owned)),
        base64: text.is_none(),
        ..Prepared::default()
    })
}

/// The bytes of an argument: a text's own, or `{data}` in base64.
fn bytes(operation: &Operation, name: &str, args: &Value) -> Result<Vec<u8>, Error> {
    if let Some(text) = args[name].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let wrong = |why: String| argument(operation, name, "argument_type", format!("argument `{name}` {why}"));
    let data = args[name]["data"].as_str();
    let data = data.ok_or_else(|| wrong("is a text or `{data: <base64>}`".to_owned()))?;
    STANDARD.decode(data).map_err(|error| wrong(format!("has `data` that is not base64: {error}")))
}

/// A template with values in the place of its references: null in that of an answer, whose place is noted. None: it is
/// an argument that is not given.
fn fill(
    operation: &Operation,
    template: &Value,
    args: &Value,
    at: &str,
    gaps: &mut Vec<Gap>,
) -> Result<Option<Value>, Error> {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    Ok(match template {
        Value::String(text) => match Reference::parse(text) {
            None => Some(template.clone()),
            Some(Reference::Args(path)) => path.get(args).cloned(),
            Some(Reference::Size(name)) => Some(bytes(operation, &name, args)?.len().into()),
            Some(Reference::Said(said)) => {
                gaps.push(Gap { at: at.to_owned(), said });
                Some(Value::Null)
            }
        },
        Value::Array(items) => {
            let mut out = Vec::new();
            for item in items {
                out.extend(fill(operation, item, args, &inner(&out.len().to_string()), gaps)?);
            }
            Some(Value::Array(out))
        }
        Value::Object(members) => {
            let mut out = Map::new();
            for (name, item) in members {
                if let Some(value) = fill(operation, item, args, &inner(name), gaps)? {
                    out.insert(name.clone(), value);
                }
            }
            Some(Value::Object(out))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(template.clone()),
    })
}

/// Takes the steps; the request with their answers in its body.
pub(crate) async fn take(call: &Call<'_>, prepared: &Prepared) -> Result<Prepared, Error> {
    let mut answers = Map::new();
    for step in &prepared.before {
        // Whatever became of it, the request itself was not sent.
        let answer = take_one(call, step, &answers).await;
        answers.insert(step.name.clone(), answer.map_err(|error| Error { unknown: false, ..error })?);
    }
    let mut whole = Prepared { before: Vec::new(), gaps: Vec::new(), ..prepared.clone() };
    if let (Some(text), false) = (&prepared.body, prepared.gaps.is_empty()) {
        let broken = |why: String| Error::fatal("request_unreadable", format!("the body has gaps: {why}"));
        let mut body: Value = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        for gap in &prepared.gaps {
            let value = answered(call, &gap.said, &answers)?.clone();
            let path = Path::parse(&gap.at);
            let place = path.as_ref().and_then(|path| path.get_mut(&mut body));
            *place.ok_or_else(|| broken(gap.at.clone()))? = value;
        }
        whole.body = Some(body.to_string());
    }
    Ok(whole)
}

async fn take_one(call: &Call<'_>, step: &Step, answers: &Map<String, Value>) -> Result<Value, Error> {
    if let Some(full) = &step.operation {
        let operation = asked_of(call.manifest, full)?;
        return Call { operation, ..*call }.output(&step.request, None).await;
    }
    let Some(to) = &step.to else { return Ok(Value::Null) };
    let address = answered(call, to, answers)?.as_str().unwrap_or_default();
    let limits = call.manifest.limits();
    let request = wire::Request {
        method: step.request.method.clone(),
        url: admitted(call, address)?,
        headers: step.request.headers.clone(),
        body: step.request.bytes()?,
        timeout: limits.timeout,
        body_bytes_max: limits.answer_bytes_max,
    };
    match call.transport.send(request).await {
        Ok(response) if (200..300).contains(&response.status) => Ok(Value::Null),
        Ok(response) => {
            let status = response.status;
            answer::interpret(call.manifest, call.operation, call.connection, response, call.now)?;
            Err(Error::fatal("answer_unexpected", format!("{}: {status} for its bytes", call.operation.name)))
        }
        Err(error) => Err(answer::unanswered(call.operation, call.connection, &error)),
    }
}

fn answered<'a>(call: &Call<'_>, said: &Said, answers: &'a Map<String, Value>) -> Result<&'a Value, Error> {
    let answer = answers.get(&said.step).unwrap_or(&Value::Null);
    Path::parse(&said.path).and_then(|path| path.get(answer)).ok_or_else(|| {
        let detail = format!("{}: `{}` answered no `{}`", call.operation.name, said.step, said.path);
        Error::fatal("answer_unexpected", detail)
    })
}

/// An address that an answer says is one of the manifest's hosts, or the connection's own loopback address.
fn admitted(call: &Call<'_>, address: &str) -> Result<Url, Error> {
    let url = Url::parse(address).map_err(|_| refused("what was answered is no address".to_owned()))?;
    let host = url.host_str().unwrap_or_default();
    let home = match &call.connection.base_url {
        Some(base) => credentials::is_loopback_http(base) && url.origin() == base.origin(),
        None => url.scheme() == "https" && url.port().is_none() && auth::admits(&call.manifest.hosts, host),
    };
    if home && url.username().is_empty() && url.password().is_none() {
        return Ok(url);
    }
    Err(refused(format!("{host} is not a host of {}", call.manifest.title)))
}

fn refused(detail: String) -> Error {
    Error::fatal("host_refused", detail)
}
