//! Reads `document.metadata.batch`: how the events that start a flow are gathered, so that one run is made for several.

use jiff::SignedDuration;

use super::Mode;
use super::metadata::Head;
use super::parse::{At, Reader};
use super::schedule::Starts;
use crate::yaml::Kind;
use crate::{Expression, duration};

/// Events of a window when the flow does not say.
const MOST_DEFAULT: u32 = 100;
/// Events of a window: they are one input of one run.
pub const MOST_MAX: u32 = 1000;
/// The longest window.
pub const WITHIN_MAX: SignedDuration = SignedDuration::from_hours(24);
/// The shortest window.
const WITHIN_MIN: SignedDuration = SignedDuration::from_secs(1);

/// When a window of gathered events ends.
#[derive(Clone, Debug)]
pub struct Batch {
    /// So long after its first event.
    pub within: SignedDuration,
    /// With so many events at once.
    pub most: u32,
    /// Events that give different texts here are gathered apart.
    pub by: Option<Expression>,
}

impl<'a> Reader<'a> {
    pub fn batch(&mut self, at: &At<'a>) -> Option<Batch> {
        if !matches!(at.node.kind, Kind::Map(_)) {
            self.expected(at, "`batch`", "a mapping");
            return None;
        }
        self.only(at, "`batch`", &["within", "most", "by"], &[]);
        let within = match at.get("within") {
            Some(within) => self.window_time(&within),
            None => {
                self.missing(at, "`batch`", "within");
                None
            }
        };
        let most = match at.get("most") {
            Some(most) => self.window_size(&most),
            None => Some(MOST_DEFAULT),
        };
        let by = at.get("by").and_then(|by| self.key(&by, "`batch.by`"));
        Some(Batch { within: within?, most: most?, by })
    }

    fn window_time(&mut self, at: &At<'a>) -> Option<SignedDuration> {
        let why = match duration::from_value(&at.node.to_value()) {
            Ok(time) if (WITHIN_MIN..=WITHIN_MAX).contains(&time) => return Some(time),
            Ok(_) => "it is at least a second and at most 24 hours".to_owned(),
            Err(why) => why,
        };
        self.problem(at, "wrong_duration", format!("`batch.within`: {why}"));
        None
    }

    fn window_size(&mut self, at: &At<'a>) -> Option<u32> {
        let number = at.node.to_value().as_u64().and_then(|number| u32::try_from(number).ok());
        let most = number.filter(|number| (2..=MOST_MAX).contains(number));
        if most.is_none() {
            self.problem(at, "wrong_type", format!("`batch.most` is a whole number from 2 to {MOST_MAX}"));
        }
        most
    }

    /// Whether what the rest of the document says goes with gathering events.
    pub fn gathers(&mut self, root: &At<'a>, head: &Head, starts: &Starts) {
        let metadata = root.get("document").and_then(|document| document.get("metadata"));
        let Some(at) = metadata.and_then(|metadata| metadata.get("batch")) else { return };
        if root.get("schedule").and_then(|schedule| schedule.get("on")).is_none() {
            let message = "`batch` gathers the events that start a flow: it needs `schedule.on`";
            self.problem(&at, "missing_field", message.to_owned());
        }
        if starts.clock.is_some() {
            let message = "`batch` gathers events: a flow that has it is not started by a clock too";
            self.problem(&at, "unsupported", message.to_owned());
        }
        if head.concurrency.as_ref().is_some_and(|concurrency| concurrency.mode == Mode::Latest) {
            let message = "`batch` does not go with `concurrency.mode: latest`, where a waiting run takes in later \
                events already and reads the newest state";
            self.problem(&at, "unsupported", message.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use std::sync::Arc;

    use crate::{Diagnostic, Document};

    fn read(metadata: &str, schedule: &str) -> Result<Document, Vec<Diagnostic>> {
        let text = format!(
            "document:\n  dsl: '1.0.3'\n  namespace: t\n  name: t\n  version: '1.0.0'\n  metadata: {{{metadata}}}\n\
             schedule: {{{schedule}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]\n"
        );
        Document::parse("t.yaml", &text)
    }

    const ON: &str = "on: {one: {with: {type: a.b}}}";

    #[test]
    fn a_window_ends_after_a_time_or_a_number_of_events() {
        for (batch, seconds, most) in [
            ("batch: {within: PT5M}", 300, 100),
            ("batch: {within: {hours: 24}, most: 1000}", 86_400, 1000),
            ("batch: {within: PT1S, most: 2, by: '${ .subject }'}", 1, 2),
        ] {
            let document = read(batch, ON).unwrap();
            let found = document.batch().unwrap();
            assert_eq!((found.within.as_secs(), found.most), (seconds, most), "{batch}");
        }
        assert!(read("", ON).unwrap().batch().is_none());
    }

    #[test]
    fn events_are_told_apart_by_a_key() {
        let keys = |metadata: &str, event: Value| {
            read(metadata, ON).unwrap().window_key(&event, &Value::Null).unwrap()
        };
        let by = "batch: {within: PT5M, by: '${ .data.of }'}";
        assert_eq!(keys(by, json!({"data": {"of": "x"}})).as_deref(), Some("x"));
        assert_eq!(keys(by, json!({"data": {"of": 7}})).as_deref(), Some("7"));
        assert_eq!(keys(by, json!({"data": {}})), None);
        assert_eq!(keys("batch: {within: PT5M}", json!({"data": {"of": "x"}})), None);
    }

    #[test]
    fn what_does_not_go_with_it_is_told_where_it_stands() {
        for (metadata, schedule, code, path, says) in [
            ("batch: {most: 5}", ON, "missing_field", "/document/metadata/batch", "within"),
            ("batch: {within: PT5M, mots: 5}", ON, "unknown_field", "/document/metadata/batch/mots", "mots"),
            ("batch: {within: P2D}", ON, "wrong_duration", "/document/metadata/batch/within", "24 hours"),
            ("batch: {within: PT0.1S}", ON, "wrong_duration", "/document/metadata/batch/within", "a second"),
            ("batch: {within: soon}", ON, "wrong_duration", "/document/metadata/batch/within", "ISO 8601"),
            (
                "batch: {within: PT5M, most: 1}",
                ON,
                "wrong_type",
                "/document/metadata/batch/most",
                "from 2 to 1000",
            ),
            ("batch: {within: PT5M, most: 1001}", ON, "wrong_type", "/document/metadata/batch/most", "1000"),
            (
                "batch: {within: PT5M, by: subject}",
                ON,
                "missing_expression",
                "/document/metadata/batch/by",
                "event",
            ),
            (
                "batch: {within: PT5M}",
                "every: PT1H",
                "missing_field",
                "/document/metadata/batch",
                "schedule.on",
            ),
            (
                "batch: {within: PT5M}",
                "every: PT1H, on: {one: {with: {type: a.b}}}",
                "unsupported",
                "/document/metadata/batch",
                "clock",
            ),
            (
                "batch: {within: PT5M}, concurrency: {key: '${ .subject }', mode: latest}",
                ON,
                "unsupported",
                "/document/metadata/batch",
                "latest",
            ),
            ("batch: 5", ON, "wrong_type", "/document/metadata/batch", "mapping"),
        ] {
            let found = read(metadata, schedule).unwrap_err();
            let told = found.iter().find(|problem| problem.code == code && problem.path == path);
            let told = told.unwrap_or_else(|| panic!("{metadata} {schedule}: {found:?}"));
            assert!(told.message.contains(says) && told.line > 1, "{told:?}");
        }
        let near = read("batch: {within: PT5M, mots: 5}", ON).unwrap_err();
        assert_eq!(near[0].suggestion.as_deref(), Some("most"));
    }

    #[test]
    fn each_event_of_the_list_is_read_as_a_single_one_would_be() {
        let event = |n: u32| json!({"specversion": "1.0", "id": "e", "type": "a.b", "data": {"n": n}});
        let list = Arc::new(json!([event(1), event(2)]));
        for (schedule, expected) in [
            ("on: {one: {with: {type: a.b}}}, read: data", json!([{"n": 1}, {"n": 2}])),
            ("on: {one: {with: {type: a.b}}}, read: raw", json!(["{\"n\":1}", "{\"n\":2}"])),
            (ON, json!([event(1), event(2)])),
        ] {
            let document = read("batch: {within: PT5M}", schedule).unwrap();
            assert_eq!(*document.input_of(&document.event_of(list.clone())), expected, "{schedule}");
        }
        let document = read("batch: {within: PT5M}", ON).unwrap();
        assert_eq!(*document.event_of(Arc::new(event(1))), json!([event(1)]), "one is a list too");
        let single = read("", ON).unwrap();
        assert_eq!(*single.event_of(Arc::new(event(1))), event(1));
    }
}
