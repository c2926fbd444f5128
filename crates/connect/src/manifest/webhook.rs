//! Webhooks of a vendor: is it from them, and which event is it?

use jiff::Timestamp;
use serde_json::Value;

use crate::credentials::{Credentials, Secret};
use crate::path::Path;
use crate::signature::{Rejection, Scheme};

/// The longest dedupe key, type or subject that is believed.
const NAME_BYTES_MAX: usize = 255;

/// How a vendor's deliveries are verified and read.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The credential field that holds the signing secrets.
    pub(crate) secret: String,
    pub(crate) scheme: Scheme,
    pub(crate) shape: Shape,
    pub(crate) registration: Option<Registration>,
}

/// How a vendor's events are read, whichever way they come.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub slug: String,
    /// What a body must say to be an event at all.
    pub is_event: Vec<(Path, Value)>,
    pub dedupe_key: Path,
    pub r#type: Path,
    pub time: Path,
    pub live: Option<Path>,
    /// The first of these that is there.
    pub subject: Vec<Path>,
}

/// How a webhook's address is made known to the vendor, and taken back.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Full name of the operation, and its arguments but for the address.
    pub operation: String,
    pub(crate) with: Value,
    /// The argument that takes the address.
    pub(crate) url: String,
    /// Where the answer has the vendor's name for it, and the signing secret.
    pub(crate) id: Path,
    pub(crate) secret: Path,
    /// Full name of the operation that takes it back, and the argument that takes the vendor's name.
    pub remove: String,
    pub(crate) remove_argument: String,
}

impl Registration {
    /// The arguments by which an address is registered.
    pub fn arguments(&self, url: &str) -> Value {
        let mut with = self.with.clone();
        if let Value::Object(members) = &mut with {
            members.insert(self.url.clone(), url.into());
        }
        with
    }

    /// The vendor's name for what was registered, and what its deliveries are signed with.
    pub fn registered(&self, answer: &Value) -> Option<(String, Secret)> {
        let text = |path: &Path| path.get(answer)?.as_str().map(str::to_owned);
        Some((text(&self.id)?, Secret::new(text(&self.secret)?)))
    }

    /// The arguments by which it is taken back.
    pub fn removal(&self, id: &str) -> Value {
        Value::Object([(self.remove_argument.clone(), Value::from(id))].into_iter().collect())
    }
}

/// A verified delivery, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    pub dedupe_key: String,
    /// With the connector's slug before it: `stripe.invoice.paid`.
    pub r#type: String,
    pub time: Timestamp,
    /// Live or test mode, where the vendor says.
    pub live: Option<bool>,
    /// The object that the event is about.
    pub subject: Option<String>,
    /// The vendor's event, whole.
    pub data: Value,
}

/// A delivery that is signed but holds no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NotAnEvent {
    pub detail: String,
}

impl Webhook {
    /// The credential field that holds the signing secret, or several (while they are rotated) separated by
    /// commas or white space.
    pub fn secret_field(&self) -> &str {
        &self.secret
    }

    /// The signing secrets of a connection, one by one.
    pub fn secrets(&self, credentials: &Credentials) -> Vec<Secret> {
        let field = credentials.get(&self.secret).map(Secret::reveal).unwrap_or_default();
        field.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty()).map(Secret::new).collect()
    }

    /// Whether the vendor signed exactly these bytes, lately. `headers` are all of the request's.
    pub fn verify(
        &self,
        secrets: &[Secret],
        headers: &[(String, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        self.scheme.verify(secrets, headers, body, now)
    }

    /// How an address is made known to the vendor, where its API can.
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// What a verified body says.
    pub fn incoming(&self, body: &[u8]) -> Result<Incoming, NotAnEvent> {
        let data = serde_json::from_slice(body);
        self.shape.read(data.map_err(|error| NotAnEvent { detail: format!("not JSON: {error}") })?)
    }
}

impl Shape {
    /// What an event says.
    pub fn read(&self, data: Value) -> Result<Incoming, NotAnEvent> {
        let not = |detail: String| NotAnEvent { detail };
        for (path, expected) in &self.is_event {
            let found = path.get(&data);
            if found != Some(expected) && !found.is_some_and(|found| one_of(expected, found)) {
                return Err(not(format!("`{}` is not {expected}", path.as_str())));
            }
        }
        let name = |path: &Path| match path.get(&data) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= NAME_BYTES_MAX => Ok(text.clone()),
            _ => Err(not(format!("`{}` is not a short text", path.as_str()))),
        };
        let live = match &self.live {
            None => None,
            Some(path) => match path.get(&data) {
                Some(Value::Bool(live)) => Some(*live),
                _ => return Err(not(format!("`{}` is not a boolean", path.as_str()))),
            },
        };
        let time =
            time(&self.time, &data).ok_or_else(|| not(format!("`{}` is not a time", self.time.as_str())))?;
        let subject = match self.subject.iter().find_map(|path| path.get(&data)) {
            Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Some(text.clone()),
            _ => None,
        };
        Ok(Incoming {
            dedupe_key: name(&self.dedupe_key)?,
            r#type: format!("{}.{}", self.slug, name(&self.r#type)?),
            time,
            live,
            subject,
            data,
        })
    }
}

/// Conditions name several values as a list.
fn one_of(expected: &Value, found: &Value) -> bool {
    expected.as_array().is_some_and(|values| values.contains(found))
}

/// Unix seconds, or RFC 3339.
fn time(path: &Path, data: &Value) -> Option<Timestamp> {
    match path.get(data)? {
        Value::Number(number) => Timestamp::from_second(number.as_i64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
