//! Webhooks of a vendor: is it from them, and which event is it?

use jiff::Timestamp;
use serde_json::Value;

use crate::credentials::{Credentials, Secret};
use crate::path::{Path, differs};
use crate::signature::{Rejection, Scheme};

/// The longest dedupe key, type or subject that is believed.
const NAME_BYTES_MAX: usize = 255;

/// How a vendor's deliveries are verified and read.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The credential field that holds the signing secrets.
    pub(crate) secret: String,
    pub(crate) scheme: Scheme,
    /// The first one that fits reads a delivery.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) challenge: Option<Challenge>,
    /// The vendor makes something of an answer's body, so that there is none.
    pub(crate) quiet: bool,
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
    /// Without it, what is delivered has the time at which it came.
    pub time: Option<Path>,
    pub live: Option<Path>,
    /// The first of these that is there.
    pub subject: Vec<Path>,
    /// The event is JSON in this field of a form.
    pub form: Option<String>,
    /// What of it is not kept: a secret.
    pub without: Vec<Path>,
}

/// A delivery by which the vendor asks whether somebody is there.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub when: Vec<(Path, Value)>,
    /// Members of the answer, and where the delivery has them.
    pub answer: Vec<(String, Path)>,
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

    /// What a verified body is to be answered with, where it only asks whether somebody is there.
    pub fn challenge(&self, body: &[u8]) -> Option<Value> {
        let challenge = self.challenge.as_ref()?;
        let data: Value = serde_json::from_slice(body).ok()?;
        differs(&challenge.when, &data).is_none().then_some(())?;
        let member = |(name, path): &(String, Path)| Some((name.clone(), path.get(&data)?.clone()));
        challenge.answer.iter().map(member).collect::<Option<_>>().map(Value::Object)
    }

    /// Whether a delivery is answered without a body.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// What a verified body says that came in now.
    pub fn incoming(&self, body: &[u8], now: Timestamp) -> Result<Incoming, NotAnEvent> {
        let not = |detail: String| NotAnEvent { detail };
        let mut fitting = None;
        let mut unread = None;
        for shape in &self.shapes {
            let data = match shape.data(body) {
                Ok(data) => data,
                Err(why) => {
                    unread.get_or_insert(why);
                    continue;
                }
            };
            match differs(&shape.is_event, &data) {
                None => return shape.read(data, Some(now)),
                Some(why) => drop(fitting.get_or_insert(why)),
            }
        }
        Err(not(fitting.or(unread).unwrap_or_default()))
    }
}

impl Shape {
    /// The JSON that a body holds, if it is written as these events are.
    fn data(&self, body: &[u8]) -> Result<Value, String> {
        let json = match &self.form {
            None => return serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}")),
            Some(field) => url::form_urlencoded::parse(body).find(|(name, _)| name == field),
        };
        let (name, json) = json.ok_or("not a form with an event in it")?;
        serde_json::from_str(&json).map_err(|error| format!("`{name}` is not JSON: {error}"))
    }

    /// What an event says. One that came in has a time in any case.
    pub fn read(&self, mut data: Value, arrived: Option<Timestamp>) -> Result<Incoming, NotAnEvent> {
        let not = |detail: String| NotAnEvent { detail };
        if let Some(why) = differs(&self.is_event, &data) {
            return Err(not(why));
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
        let time = match (&self.time, arrived) {
            (Some(path), _) => {
                time(path, &data).ok_or_else(|| not(format!("`{}` is not a time", path.as_str())))?
            }
            (None, arrived) => arrived.ok_or_else(|| not("it has no time".to_owned()))?,
        };
        let subject = match self.subject.iter().find_map(|path| path.get(&data)) {
            Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Some(text.clone()),
            _ => None,
        };
        let dedupe_key = name(&self.dedupe_key)?;
        let r#type = format!("{}.{}", self.slug, name(&self.r#type)?);
        self.without.iter().for_each(|path| path.remove(&mut data));
        Ok(Incoming { dedupe_key, r#type, time, live, subject, data })
    }
}

/// Unix seconds (in a text also with a fraction), Unix milliseconds, or RFC 3339.
fn time(path: &Path, data: &Value) -> Option<Timestamp> {
    /// In seconds this is the year 5138, in milliseconds 1973.
    const MILLISECONDS: i64 = 100_000_000_000;
    match path.get(data)? {
        Value::Number(number) => match number.as_i64()? {
            at @ MILLISECONDS.. => Timestamp::from_millisecond(at).ok(),
            at => Timestamp::from_second(at).ok(),
        },
        Value::String(text) => unix(text).or_else(|| text.parse().ok()),
        _ => None,
    }
}

/// `1700000000.000100`; digits beyond microseconds don't count.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Timestamp::from_microsecond(seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?)
        .ok()
}
