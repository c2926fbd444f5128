//! Events that are asked for: of vendors that send none, and of a window in which none came through.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::webhook::{Incoming, NotAnEvent, Shape};
use crate::encode;

/// How a vendor's events are asked for.
#[derive(Clone, Debug)]
pub struct Poll {
    /// Full name of the list of events.
    pub operation: String,
    pub(crate) with: Value,
    /// Further arguments of a list that is read before the whole one: of what nobody was told.
    pub(crate) first: Option<Value>,
    pub(crate) since: Bound,
    pub(crate) until: Option<Bound>,
    /// Between two questions.
    pub every: Duration,
    /// An event may show up in the list so long after its time.
    pub look_back: SignedDuration,
    /// The vendor forgets events after this.
    pub retention: Option<SignedDuration>,
    /// The list begins with the newest.
    pub newest_first: bool,
    pub(crate) shape: Shape,
}

/// An argument that takes a time, or a member of one: `created`, `created[gte]`.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub argument: String,
    pub member: Option<String>,
    pub format: TimeFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    UnixSeconds,
    UnixMillis,
    Rfc3339,
}

impl TimeFormat {
    pub const NAMES: [(&'static str, TimeFormat); 3] = [
        ("unix_s", TimeFormat::UnixSeconds),
        ("unix_ms", TimeFormat::UnixMillis),
        ("rfc3339", TimeFormat::Rfc3339),
    ];

    fn of(self, at: Timestamp) -> Value {
        match self {
            TimeFormat::UnixSeconds => at.as_second().into(),
            TimeFormat::UnixMillis => at.as_millisecond().into(),
            TimeFormat::Rfc3339 => at.to_string().into(),
        }
    }
}

impl Bound {
    /// `created[gte]` is the member `gte` of the argument `created`.
    pub fn parse(text: &str, format: TimeFormat) -> Bound {
        let (argument, member) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((argument, member)) => (argument, Some(member.to_owned())),
            None => (text, None),
        };
        Bound { argument: argument.to_owned(), member, format }
    }

    fn put(&self, members: &mut Map<String, Value>, at: Timestamp) {
        let value = self.format.of(at);
        match &self.member {
            None => drop(members.insert(self.argument.clone(), value)),
            Some(member) => {
                let inner = members.entry(self.argument.clone()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(inner) = inner {
                    inner.insert(member.clone(), value);
                }
            }
        }
    }
}

impl Poll {
    /// Whether a window can be given an end, so that one with too many events is asked for in parts.
    pub fn can_end(&self) -> bool {
        self.until.is_some()
    }

    /// The arguments of each list to read for a window, in their order. The ends of the window are in it.
    pub fn arguments(&self, since: Timestamp, until: Timestamp) -> Vec<Value> {
        let lists = self.first.iter().map(Some).chain([None]);
        let arguments = lists.map(|further| {
            let mut members = Map::new();
            for given in [Some(&self.with), further].into_iter().flatten() {
                members.extend(given.as_object().cloned().unwrap_or_default());
            }
            self.since.put(&mut members, since);
            if let Some(bound) = &self.until {
                bound.put(&mut members, until);
            }
            Value::Object(members)
        });
        arguments.collect()
    }

    /// What one of the list's records says.
    pub fn incoming(&self, record: Value) -> Result<Incoming, NotAnEvent> {
        self.shape.read(record, None)
    }
}

/// Whether an argument is written as one of the vendor's parameters.
pub(super) fn is_argument(text: &str) -> bool {
    let name = text.split('[').next().unwrap_or_default();
    !name.is_empty() && encode::segment(name) == name
}
