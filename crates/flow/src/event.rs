//! Events as flows see them, and which of them a flow asks for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The source of events that the clock makes. It is a URI, which no connection's name is.
pub const CLOCK_SOURCE: &str = "urn:tributary:clock";
/// The type of an event that the clock makes: a flow's time has come. Its subject is the flow, its time the time that
/// it is for.
pub const CLOCK_TYPE: &str = "tributary.schedule.due";

/// What of an event a flow gets as its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// What it says, without its attributes.
    Data,
    /// The whole event.
    #[default]
    Envelope,
    /// What it says, as text.
    Raw,
}

impl Read {
    /// Each with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("data", Self::Data), ("envelope", Self::Envelope), ("raw", Self::Raw)];

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, read)| *read)
    }

    /// This much of an event. What is no event is left as it is.
    pub fn part(self, event: &Arc<Value>) -> Arc<Value> {
        if event.get("specversion").is_none() {
            return event.clone();
        }
        let data = event.get("data").unwrap_or(&Value::Null);
        match self {
            Self::Envelope => event.clone(),
            Self::Data => Arc::new(data.clone()),
            Self::Raw if data.is_string() => Arc::new(data.clone()),
            Self::Raw => Arc::new(Value::String(data.to_string())),
        }
    }
}

/// Something that happened, as a CloudEvent 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// Unique among the events of its source.
    pub id: String,
    /// The connection that it came by, by name.
    pub source: String,
    /// `stripe.invoice.paid`: the connector, then the vendor's own name.
    pub r#type: String,
    /// When it happened, by the vendor's clock.
    pub time: Timestamp,
    /// What it is about: the vendor's id of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The whole body as the vendor sent it.
    pub data: Arc<Value>,
}

impl CloudEvent {
    /// The event as expressions see it, `specversion` included.
    pub fn to_value(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("specversion".to_owned(), "1.0".into());
        object.insert("id".to_owned(), self.id.clone().into());
        object.insert("source".to_owned(), self.source.clone().into());
        object.insert("type".to_owned(), self.r#type.clone().into());
        object.insert("time".to_owned(), self.time.to_string().into());
        if let Some(subject) = &self.subject {
            object.insert("subject".to_owned(), subject.clone().into());
        }
        object.insert("data".to_owned(), Value::clone(&self.data));
        Value::Object(object)
    }
}

/// The attributes that an event must have to start a flow: all of those that are given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// The connection's logical name, as written in the document.
    pub source: Option<String>,
    /// A type, or a family of types: `stripe.invoice.*`.
    pub r#type: Option<String>,
    /// The subject, exactly.
    pub subject: Option<String>,
    /// The id, exactly.
    pub id: Option<String>,
}

impl EventFilter {
    /// Whether `event` has all the attributes; `connections` turns a logical connection name into the deployed one.
    pub fn matches(&self, event: &CloudEvent, connections: &dyn Fn(&str) -> String) -> bool {
        let source = self.source.as_deref().is_none_or(|name| connections(name) == event.source);
        let subject = self.subject.is_none() || self.subject == event.subject;
        let id = self.id.as_deref().is_none_or(|id| id == event.id);
        let r#type = self.r#type.as_deref().is_none_or(|pattern| type_matches(pattern, &event.r#type));
        source && subject && id && r#type
    }
}

/// `a.b.*` is every type below `a.b`; `*` is every type; anything else is itself.
pub(crate) fn type_matches(pattern: &str, r#type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(family) if family.ends_with('.') => r#type.len() > family.len() && r#type.starts_with(family),
        _ => pattern == r#type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_match_whole_or_by_family() {
        for (pattern, r#type, expected) in [
            ("stripe.invoice.paid", "stripe.invoice.paid", true),
            ("stripe.invoice.paid", "stripe.invoice.paid_late", false),
            ("stripe.invoice.*", "stripe.invoice.paid", true),
            ("stripe.invoice.*", "stripe.invoiceitem.created", false),
            ("stripe.invoice.*", "stripe.invoice.", false),
            ("stripe.*", "stripe.customer.subscription.deleted", true),
            ("*", "anything", true),
            ("stripe.inv*", "stripe.invoice.paid", false),
        ] {
            assert_eq!(type_matches(pattern, r#type), expected, "{pattern} {type}");
        }
    }

    #[test]
    fn every_given_attribute_must_match() {
        let event = CloudEvent {
            id: "evt_1".to_owned(),
            source: "stripe-live".to_owned(),
            r#type: "stripe.invoice.paid".to_owned(),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            subject: Some("in_1".to_owned()),
            data: Arc::default(),
        };
        let deployed = |name: &str| format!("{name}-live");
        let wanted = EventFilter { source: Some("stripe".to_owned()), ..EventFilter::default() };
        assert!(wanted.matches(&event, &deployed));
        assert!(!wanted.matches(&event, &|name: &str| name.to_owned()));
        let other = EventFilter { subject: Some("in_2".to_owned()), ..wanted.clone() };
        assert!(!other.matches(&event, &deployed));
        assert!(!EventFilter { id: Some("evt_2".to_owned()), ..wanted }.matches(&event, &deployed));
        assert_eq!(event.to_value()["time"], "2026-01-02T03:04:05Z");
    }
}
