//! The tests beside a flow: `x.test.yaml` beside `x.yaml`, read with everything that is wrong told at once.
//!
//! ```yaml
//! tests:
//! - name: a failed payment is told
//!   settings: {channel: '#ops'}
//!   now: '2026-01-31T12:00:00Z'
//!   twins: true
//!   given: [{customer: {call: crm.contacts.create, with: {name: N}}}]
//!   event: {source: crm, type: crm.contact.changed, data: {id: '${ $given.customer.id }'}}
//!   answers: [{call: chat.messages.post, with: {channel: '#ops'}, output: {ok: true}}]
//!   then: [{after: PT1H, event: {source: crm, type: crm.contact.paid}}, {decide: {choice: approve, by: anna}}]
//!   expect: {status: completed, output: {}, calls: [{chat.messages.post: {text: Hello}}], steps: {tell: completed}}
//! ```

use flow::yaml::{Kind, Node, Place};
use flow::{Diagnostic, Document, Fault};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::later::{DECIDE, ITEM};

const TEST: &[&str] =
    &["name", "settings", "now", "twins", "given", "event", "events", "input", "answers", "then", "expect"];
const EXPECT: &[&str] = &["status", "output", "error", "calls", "writes", "steps"];
const ANSWER: &[&str] = &["call", "with", "output", "error", "times"];
const EVENT: &[&str] = &["id", "source", "type", "time", "subject", "data"];
const STATUSES: &[&str] = &["completed", "failed", "waiting"];

/// The tests of one flow.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The flow's file, from the tests' own folder; the one of the same name without it.
    pub flow: Option<String>,
    pub tests: Vec<Test>,
}

/// One run, and what is to come of it. Values may have whole expressions over `$given` in them.
#[derive(Clone, Debug)]
pub struct Test {
    pub name: String,
    pub line: usize,
    pub settings: Map<String, Value>,
    pub now: Option<Timestamp>,
    pub twins: bool,
    /// Tasks that are done before, at the twins.
    pub given: Option<Document>,
    pub begins: Begins,
    pub answers: Value,
    /// What happens while it waits.
    pub then: Value,
    pub expect: Value,
}

/// What a run begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Begins {
    Event(Value),
    /// Those that a flow has gathered.
    Events(Value),
    Input(Value),
}

impl Suite {
    /// Reads the text of a test file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Suite, Vec<Diagnostic>> {
        let root = flow::yaml::parse(file, text)?;
        let mut reader = Reader { file, found: Vec::new() };
        reader.only(&root, "", "a test file", &["flow", "settings", "tests"]);
        let settings = reader.mapping(&root, "", "settings");
        let tests = root.get("tests").map(Node::items).unwrap_or_default();
        if tests.is_empty() {
            reader.problem(
                root.place,
                "/tests",
                "missing_field",
                "a test file needs `tests`, a list".to_owned(),
                None,
            );
        }
        let tests =
            tests.iter().enumerate().map(|(index, node)| reader.test(node, index, &settings)).collect();
        let flow = root.get("flow").and_then(Node::as_str).map(str::to_owned);
        if reader.found.is_empty() { Ok(Suite { flow, tests }) } else { Err(reader.found) }
    }
}

struct Reader<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn problem(&mut self, place: Place, path: &str, code: &str, message: String, suggestion: Option<String>) {
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            code: code.to_owned(),
            message,
            suggestion,
        });
    }

    fn wrong(&mut self, node: &Node, path: &str, message: String) {
        self.problem(node.place, path, "wrong_type", message, None);
    }

    fn only(&mut self, node: &Node, path: &str, what: &str, known: &[&str]) {
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong(node, path, format!("{what} must be a mapping, not {}", node.describe()));
        }
        for field in node.fields().iter().filter(|field| !known.contains(&field.name.as_str())) {
            let message = format!("`{}` is not a field of {what}", field.name);
            let near = flow::nearest::nearest(&field.name, known.iter().copied()).map(str::to_owned);
            self.problem(field.place, &format!("{path}/{}", field.name), "unknown_field", message, near);
        }
    }

    fn mapping(&mut self, node: &Node, path: &str, name: &str) -> Map<String, Value> {
        let Some(field) = node.get(name) else { return Map::new() };
        if let Value::Object(fields) = field.to_value() {
            return fields;
        }
        self.wrong(
            field,
            &format!("{path}/{name}"),
            format!("`{name}` must be a mapping, not {}", field.describe()),
        );
        Map::new()
    }

    fn test(&mut self, node: &Node, index: usize, shared: &Map<String, Value>) -> Test {
        let path = format!("/tests/{index}");
        self.only(node, &path, "a test", TEST);
        let name = node.get("name").and_then(Node::as_str).unwrap_or_default().to_owned();
        if name.is_empty() {
            self.problem(node.place, &path, "missing_field", "a test needs `name`, a text".to_owned(), None);
        }
        let mut settings = shared.clone();
        settings.extend(self.mapping(node, &path, "settings"));
        let twins = node.get("twins").map(|twins| (&twins.kind, twins));
        if let Some((kind, twins)) = twins
            && !matches!(kind, Kind::Bool(_))
        {
            self.wrong(twins, &format!("{path}/twins"), "`twins` is true or false".to_owned());
        }
        let now = node.get("now").and_then(|now| match now.as_str().map(str::parse) {
            Some(Ok(now)) => Some(now),
            _ => {
                let message = "`now` must be a time such as `'2026-01-31T12:00:00Z'`".to_owned();
                self.wrong(now, &format!("{path}/now"), message);
                None
            }
        });
        let begins = self.begins(node, &path);
        let answers = node.get("answers").map(|answers| self.answers(answers, &path)).unwrap_or_default();
        Test {
            name,
            line: node.place.line,
            settings,
            now,
            twins: twins.is_some_and(|(kind, _)| *kind == Kind::Bool(true)),
            given: node.get("given").and_then(|given| self.given(given, &path)),
            begins,
            answers,
            then: node.get("then").map(|then| self.then(then, &path)).unwrap_or_default(),
            expect: self.expect(node, &path),
        }
    }

    fn begins(&mut self, node: &Node, path: &str) -> Begins {
        let given = ["event", "events", "input"].map(|name| node.get(name).map(|node| (name, node)));
        let given: Vec<(&str, &Node)> = given.into_iter().flatten().collect();
        match given[..] {
            [("event", event)] => {
                self.event(event, &format!("{path}/event"));
                Begins::Event(event.to_value())
            }
            [("events", events)] => {
                if events.items().is_empty() {
                    self.wrong(events, &format!("{path}/events"), "`events` is a list of events".to_owned());
                }
                for (index, event) in events.items().iter().enumerate() {
                    self.event(event, &format!("{path}/events/{index}"));
                }
                Begins::Events(events.to_value())
            }
            [(_, input)] => Begins::Input(input.to_value()),
            [] => Begins::Input(json!({})),
            [_, (name, second), ..] => {
                let message = "a test begins with an `event`, with `events` or with an `input`".to_owned();
                self.problem(second.place, &format!("{path}/{name}"), "ambiguous_task", message, None);
                Begins::Input(Value::Null)
            }
        }
    }

    fn event(&mut self, event: &Node, path: &str) {
        self.only(event, path, "an event", EVENT);
        for name in ["source", "type"] {
            if event.get(name).and_then(Node::as_str).is_none() {
                let message = format!("an event needs `{name}`, a text");
                self.problem(event.place, path, "missing_field", message, None);
            }
        }
    }

    /// What happens later.
    fn then(&mut self, node: &Node, path: &str) -> Value {
        if !matches!(node.kind, Kind::List(_)) {
            let message = "`then` must be a list of what happens later, in order".to_owned();
            self.wrong(node, &format!("{path}/then"), message);
        }
        for (index, item) in node.items().iter().enumerate() {
            let path = format!("{path}/then/{index}");
            self.only(item, &path, "an item of `then`", ITEM);
            if let Some(event) = item.get("event") {
                self.event(event, &format!("{path}/event"));
            }
            if let Some(decide) = item.get("decide") {
                let path = format!("{path}/decide");
                self.only(decide, &path, "`decide`", DECIDE);
                for name in ["choice", "by"] {
                    if decide.get(name).and_then(Node::as_str).is_none() {
                        let message = format!("`decide` needs `{name}`, a text");
                        self.problem(decide.place, &path, "missing_field", message, None);
                    }
                }
            }
            if let Some(stop) = item.get("stop").filter(|stop| stop.kind != Kind::Bool(true)) {
                self.wrong(stop, &format!("{path}/stop"), "`stop` is `true` or is not there".to_owned());
            }
            let given = ["event", "decide", "stop"].iter().filter(|name| item.get(name).is_some()).count();
            if given > 1 || (given == 0 && item.get("after").is_none()) {
                let message =
                    "an item of `then` is an `event`, a `decide`, `stop: true`, or only `after`".to_owned();
                self.problem(item.place, &path, "missing_field", message, None);
            }
        }
        node.to_value()
    }

    /// Tasks of the flow language, as a flow of their own.
    fn given(&mut self, node: &Node, path: &str) -> Option<Document> {
        let head = json!({"dsl": "1.0.3", "namespace": "test", "name": "given", "version": "1.0.0"});
        let text = json!({"document": head, "do": node.to_value()}).to_string();
        match Document::parse(self.file, &text) {
            Ok(document) => Some(document),
            Err(found) => {
                for problem in found {
                    let below = problem.path.strip_prefix("/do").unwrap_or_default().to_owned();
                    let (parent, name) = below.rsplit_once('/').unwrap_or_default();
                    let fields = node.pointer(parent).map(flow::yaml::Node::fields).unwrap_or_default();
                    let field = fields.iter().find(|field| field.name == name);
                    let place = field.map_or(node.pointer(&below).unwrap_or(node).place, |field| field.place);
                    let path = format!("{path}/given{below}");
                    self.problem(place, &path, &problem.code, problem.message, problem.suggestion);
                }
                None
            }
        }
    }

    fn answers(&mut self, node: &Node, path: &str) -> Value {
        if !matches!(node.kind, Kind::List(_)) {
            self.wrong(node, &format!("{path}/answers"), "`answers` must be a list".to_owned());
        }
        for (index, answer) in node.items().iter().enumerate() {
            let path = format!("{path}/answers/{index}");
            self.only(answer, &path, "an answer", ANSWER);
            if answer.get("call").and_then(Node::as_str).is_none() {
                let message = "an answer needs `call`, the operation that it answers".to_owned();
                self.problem(answer.place, &path, "missing_field", message, None);
            }
            if answer.get("output").is_some() == answer.get("error").is_some() {
                let message = "an answer is an `output` or an `error`".to_owned();
                self.problem(answer.place, &path, "missing_field", message, None);
            }
        }
        node.to_value()
    }

    fn expect(&mut self, node: &Node, path: &str) -> Value {
        let path = format!("{path}/expect");
        let Some(expect) = node.get("expect") else {
            let message = "a test needs `expect`: a test that expects nothing can't fail".to_owned();
            self.problem(node.place, &path, "missing_field", message, None);
            return Value::Null;
        };
        self.only(expect, &path, "`expect`", EXPECT);
        if expect.fields().is_empty() {
            let message = format!("`expect` needs at least one of `{}`", EXPECT.join("`, `"));
            self.problem(expect.place, &path, "missing_field", message, None);
        }
        if let Some(status) = expect.get("status")
            && !status.as_str().is_some_and(|status| STATUSES.contains(&status))
        {
            self.wrong(
                status,
                &format!("{path}/status"),
                format!("`status` is one of `{}`", STATUSES.join("`, `")),
            );
        }
        for name in ["calls", "writes"] {
            let Some(calls) = expect.get(name) else { continue };
            let named = |call: &Node| call.as_str().is_some() || call.fields().len() == 1;
            if !matches!(calls.kind, Kind::List(_)) || !calls.items().iter().all(named) {
                let message = format!(
                    "`{name}` must be a list of operations, each with the arguments that matter: `- crm.contacts.create: {{name: N}}`"
                );
                self.wrong(calls, &format!("{path}/{name}"), message);
            }
        }
        expect.to_value()
    }
}

/// Answers as they are written, expressions evaluated.
///
/// # Errors
/// Says which one is not an answer.
pub fn answers(written: &Value) -> Result<Vec<Answer>, String> {
    let read = |answer: &Value| {
        let operation = answer["call"].as_str().unwrap_or_default().to_owned();
        let outcome = match (answer.get("output"), answer.get("error")) {
            (Some(output), _) => Ok(output.clone()),
            (None, error) => Err(fault(error.unwrap_or(&Value::Null))),
        };
        let times = match answer.get("times") {
            None => None,
            Some(times) => Some(
                times.as_u64().ok_or(format!("`times` of the answer to `{operation}` must be a number"))?,
            ),
        };
        let with = answer.get("with").cloned().unwrap_or_default();
        Ok(Answer { operation, with, outcome, times })
    };
    written.as_array().into_iter().flatten().map(read).collect()
}

/// A fault of which a test names what matters to it.
fn fault(given: &Value) -> Fault {
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    let status = given["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    let communication = Fault::communication("");
    Fault {
        r#type: text("type").unwrap_or(communication.r#type.clone()),
        status,
        title: text("title").unwrap_or(communication.title.clone()),
        detail: text("detail").unwrap_or_default(),
        data: given.get("data").cloned(),
        ..communication
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_once_with_its_place() {
        let text = "
tests:
- name: one
  evnt: {source: crm, type: crm.x}
  input: 1
  event: {source: crm}
  answers: [{call: crm.a.b}, {output: 1}]
  expect: {}
  then: [{evnt: 1}, {decide: {choice: a}, stop: true}, {stop: no}]
- given: [{a: {cal: crm.a.b}}]
  expect: {statsu: failed, status: over, calls: {}}
";
        let found = Suite::parse("x.test.yaml", text).unwrap_err();
        let found: Vec<String> = found.iter().map(|problem| format!("{} {problem}", problem.path)).collect();
        for part in [
            "/tests/0/evnt x.test.yaml:4:3: `evnt` is not a field of a test; did you mean `event`?",
            "a test begins with an `event`, with `events` or with an `input`",
            "/tests/0/answers/0 x.test.yaml:7:13: an answer is an `output` or an `error`",
            "an answer needs `call`",
            "/tests/0/expect x.test.yaml:8:11: `expect` needs at least one of",
            "/tests/0/then/0/evnt x.test.yaml:9:11: `evnt` is not a field of an item of `then`; did you mean `event`?",
            "/tests/0/then/0 x.test.yaml:9:10: an item of `then` is an `event`",
            "/tests/0/then/1/decide x.test.yaml:9:30: `decide` needs `by`, a text",
            "/tests/0/then/1 x.test.yaml:9:21: an item of `then` is",
            "/tests/0/then/2/stop x.test.yaml:9:63: `stop` is `true`",
            "/tests/1 x.test.yaml:10:3: a test needs `name`, a text",
            "/tests/1/given/0/a/cal x.test.yaml:10:16: `cal` is not a task; did you mean `call`?",
            "/tests/1/expect/statsu x.test.yaml:11:12: `statsu` is not a field of `expect`; did you mean `status`?",
            "/tests/1/expect/status",
            "/tests/1/expect/calls",
        ] {
            assert!(found.iter().any(|line| line.contains(part)), "{part} in {found:#?}");
        }
    }
}
