//! Events as flows see them, and which of them a flow asks for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

use crate::document::KeyScope;
use crate::hearing::{contains, holds, text_of};
use crate::{Expression, Fault};

/// The source of events that the clock makes. It is a URI, which no connection's name is.
pub const CLOCK_SOURCE: &str = "urn:tributary:clock";
/// The type of an event that the clock makes: a flow's time has come. Its subject is the flow, its time the time that
/// it is for.
pub const CLOCK_TYPE: &str = "tributary.schedule.due";
/// The source of events of runs' own lives. It is a URI, which no connection's name is.
pub const LIFE_SOURCE: &str = "urn:tributary:runs";
/// How the types of events of lives begin, as the specification has them.
pub const LIFE_TYPES: &str = "io.serverlessworkflow.";

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

/// What an event must be to start a flow: all that is given.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The connection's logical name, as written in the document.
    pub source: Option<String>,
    /// A type, or a family of types: `stripe.invoice.*`.
    pub r#type: Option<String>,
    pub conditions: Vec<Condition>,
}

/// What is asked of an event of that source and type.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Of an attribute.
    Attribute(String, Expected),
    /// Of what an expression over the whole event gives, compared as text.
    Correlation { from: Expression, expect: Expected },
}

/// What something must be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// This; of an object all fields that are given.
    Value(Arc<Value>),
    /// What the expression gives; or the expression is true.
    Expression(Expression),
}

impl EventFilter {
    /// Whether `event` is so; `connections` turns a logical connection name into the deployed one. An expression that
    /// fails on the event does not hold.
    pub fn matches(
        &self,
        event: &CloudEvent,
        settings: &Value,
        connections: &dyn Fn(&str) -> String,
    ) -> bool {
        let source = self.source.as_deref().is_none_or(|name| connections(name) == event.source);
        let r#type = self.r#type.as_deref().is_none_or(|pattern| type_matches(pattern, &event.r#type));
        source && r#type && (self.conditions.is_empty() || self.holds(&event.to_value(), settings))
    }

    fn holds(&self, event: &Value, settings: &Value) -> bool {
        self.conditions.iter().all(|condition| condition.holds(event, settings).unwrap_or(false))
    }
}

impl Condition {
    fn holds(&self, event: &Value, settings: &Value) -> Result<bool, Fault> {
        let value = |expression: &Expression, input: &Value| {
            expression.evaluate(input, &KeyScope { event, settings })
        };
        match self {
            Condition::Attribute(name, expected) => {
                let Some(attribute) = event.get(name) else { return Ok(false) };
                match expected {
                    Expected::Value(wanted) if name == "data" => Ok(contains(attribute, wanted)),
                    Expected::Value(wanted) => Ok(text_of(wanted) == text_of(attribute)),
                    Expected::Expression(expression) => Ok(holds(&value(expression, attribute)?, attribute)),
                }
            }
            Condition::Correlation { from, expect } => {
                let expected = match expect {
                    Expected::Value(wanted) => text_of(wanted),
                    Expected::Expression(expression) => text_of(&value(expression, event)?),
                };
                Ok(expected.is_some() && text_of(&value(from, event)?) == expected)
            }
        }
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
    use crate::Document;
    use serde_json::json;

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
    fn everything_that_is_given_must_hold() {
        let event = CloudEvent {
            id: "evt_1".to_owned(),
            source: "stripe-live".to_owned(),
            r#type: "stripe.invoice.paid".to_owned(),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            subject: Some("in_1".to_owned()),
            data: Arc::new(json!({"n": 7, "of": {"id": "a", "more": 1}})),
        };
        let deployed = |name: &str| format!("{name}-live");
        let settings = json!({"least": 5, "id": "a"});
        let starts = |on: &str| {
            let text = format!(
                "document: {{dsl: '1.0.3', namespace: t, name: t, version: '1.0.0', metadata: {{settings: \
                 {{least: {{description: d, default: 1}}, id: {{description: d, default: ''}}}}}}}}\n\
                 schedule: {{on: {{one: {on}}}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]\n"
            );
            let document = Document::parse("t.yaml", &text).unwrap_or_else(|found| panic!("{on}: {found:?}"));
            document.asks_for(&event, &settings, &deployed)
        };
        for (with, expected) in [
            ("source: stripe", true),
            ("source: stripe-live", false),
            ("subject: in_1", true),
            ("subject: in_2", false),
            ("subject: '${ startswith(\"in_\") }'", true),
            ("subject: '${ \"in_2\" }'", false),
            ("id: evt_2", false),
            ("time: '${ . > \"2026\" }'", true),
            ("data: {of: {id: a}}", true),
            ("data: {of: {id: b}}", false),
            ("data: '${ .n > $settings.least }'", true),
            ("data: '${ .n < $settings.least }'", false),
            ("data: '${ .n.wrong }'", false),
            ("data: '${ $event.subject == \"in_1\" }'", true),
        ] {
            assert_eq!(starts(&format!("{{with: {{type: 'stripe.*', {with}}}}}")), expected, "{with}");
        }
        for (correlate, expected) in [
            ("{from: .data.of.id, expect: a}", true),
            ("{from: .data.of.id, expect: b}", false),
            ("{from: .data.n, expect: '7'}", true),
            ("{from: .data.of.id, expect: '${ $settings.id }'}", true),
            ("{from: .data.none, expect: '${ null }'}", false),
        ] {
            let on = format!("{{with: {{type: stripe.invoice.paid}}, correlate: {{x: {correlate}}}}}");
            assert_eq!(starts(&on), expected, "{correlate}");
        }
        assert_eq!(event.to_value()["time"], "2026-01-02T03:04:05Z");
    }
}
