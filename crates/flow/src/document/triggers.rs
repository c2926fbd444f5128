//! Reads `schedule.on`: the events that start a flow.

use super::parse::{At, Reader};
use super::task::Template;
use crate::EventFilter;
use crate::event::{Condition, Expected};

/// What may be asked of an event, beside its type and source.
const ASKED: &[&str] = &["subject", "id", "time", "data"];

impl<'a> Reader<'a> {
    /// `schedule.on.one` and `schedule.on.any`.
    pub fn triggers(&mut self, on: &At<'a>) -> Vec<EventFilter> {
        self.only(on, "`schedule.on`", &["one", "any"], &["all", "until"]);
        match (on.get("one"), on.get("any")) {
            (Some(one), None) => self.trigger(&one).into_iter().collect(),
            (None, Some(any)) => {
                if any.items().is_empty() {
                    self.expected(&any, "`any`", "a list of at least one event (`- with: …`)");
                }
                any.items().iter().filter_map(|event| self.trigger(event)).collect()
            }
            (None, None) => {
                self.problem(on, "missing_field", "`schedule.on` needs `one` or `any`".to_owned());
                Vec::new()
            }
            (Some(_), Some(any)) => {
                self.problem(&any, "ambiguous_task", "`schedule.on` has either `one` or `any`".to_owned());
                Vec::new()
            }
        }
    }

    fn trigger(&mut self, at: &At<'a>) -> Option<EventFilter> {
        self.only(at, "an event", &["with", "correlate"], &[]);
        let Some(with) = at.get("with") else {
            self.missing(at, "an event", "with");
            return None;
        };
        let known = [&["source", "type"], ASKED].concat();
        self.only(&with, "`with`", &known, &["datacontenttype", "dataschema", "specversion"]);
        let mut text = |name: &str| {
            let at = with.get(name)?;
            self.literal(&at, &format!("`{name}` of an event")).map(str::to_owned)
        };
        let (source, r#type) = (text("source"), text("type"));
        if r#type.is_none() && with.get("type").is_none() {
            self.missing(&with, "an event that starts a flow", "type");
        }
        if let (Some(pattern), Some(at)) = (&r#type, with.get("type"))
            && pattern.strip_suffix(".*").unwrap_or(pattern).contains('*')
        {
            let message =
                format!("`{pattern}`: `*` stands only at the end, after a dot: `billing.invoice.*`");
            self.problem(&at, "wrong_name", message);
        }
        if let (Some(pattern), Some(at)) = (&r#type, with.get("type")) {
            self.note_type(&at, pattern);
        }
        let mut conditions = Vec::new();
        for name in ASKED {
            let Some(at) = with.get(name) else { continue };
            conditions
                .extend(self.wanted_of(&at).map(|wanted| Condition::Attribute((*name).to_owned(), wanted)));
        }
        for (name, _, field) in at.get("correlate").iter().flat_map(At::fields) {
            conditions.extend(self.correlation_of_start(name, &field));
        }
        Some(EventFilter { source, r#type, conditions })
    }

    /// What an attribute or a correlation must be: written out as a whole, or one expression.
    fn wanted_of(&mut self, at: &At<'a>) -> Option<Expected> {
        match self.template(at)? {
            Template::Literal(value) => Some(Expected::Value(value)),
            Template::Expression(expression) => Some(Expected::Expression(expression)),
            _ => {
                self.expected(at, "what starts a flow", "a value that is written out, or one expression");
                None
            }
        }
    }

    /// One event starts a run: there is no other one to be compared with.
    fn correlation_of_start(&mut self, name: &str, at: &At<'a>) -> Option<Condition> {
        let what = format!("correlation `{name}`");
        self.only(at, &what, &["from", "expect"], &[]);
        for field in ["from", "expect"] {
            if at.get(field).is_none() {
                self.missing(at, &what, field);
            }
        }
        let from = at.get("from").and_then(|from| self.expression(&from, "`from`"));
        let expect = at.get("expect").and_then(|expect| self.wanted_of(&expect));
        Some(Condition::Correlation { from: from?, expect: expect? })
    }
}
