//! Reads what concerns events that come: `listen`, its filters, correlations and iterations.

use super::EventSite;
use super::parse::{At, Reader};
use super::task::{
    Action, Correlation, EachEvent, How, Listen, Read, Schemas, Strategy, Template, Until, Wanted,
};
use crate::hearing::{Ask, Form, MAX_ASKS, MAX_TYPE, is_free};
use crate::yaml::Kind;

/// The most filters of one `listen`.
const MAX_FILTERS: usize = 100;

impl<'a> Reader<'a> {
    /// `listen`, with the `foreach` beside it.
    pub(super) fn listen(&mut self, at: &At<'a>, task: &At<'a>, depth: usize) -> Option<Action> {
        self.only(at, "`listen`", &["to", "read"], &[]);
        let read = match at.get("read") {
            Some(read) => self.read_as(&read),
            None => Read::Data,
        };
        let to = match at.get("to") {
            Some(to) => self.strategy(&to, "`listen.to`"),
            None => {
                self.missing(at, "`listen`", "to");
                None
            }
        };
        let each = task.get("foreach").map(|each| self.each_event(&each, depth));
        let (to, until) = to?;
        for wanted in to.filters.iter().chain(match &until {
            Some(Until::Heard(strategy)) => &strategy.filters[..],
            _ => &[],
        }) {
            self.listens.push((wanted.type_or_any().to_owned(), wanted.form()));
        }
        Some(Action::Listen(Listen { to, until, read, each }))
    }

    fn read_as(&mut self, at: &At<'a>) -> Read {
        match self.literal(at, "`listen.read`") {
            None | Some("data") => Read::Data,
            Some("envelope") => Read::Envelope,
            Some("raw") => Read::Raw,
            Some(other) => {
                let message = format!("`read: {other}`: it is `data`, `envelope` or `raw`");
                self.problem(at, "wrong_type", message);
                Read::Data
            }
        }
    }

    /// `one`, `any` with or without `until`, or `all`.
    fn strategy(&mut self, at: &At<'a>, what: &str) -> Option<(Strategy, Option<Until>)> {
        self.only(at, what, &["one", "any", "all", "until"], &[]);
        let (one, any, all) = (at.get("one"), at.get("any"), at.get("all"));
        let strategy = match (one, any, all) {
            (Some(one), None, None) => {
                Strategy { how: How::Any, filters: self.wanted(&one).into_iter().collect() }
            }
            (None, Some(any), None) => {
                Strategy { how: How::Any, filters: self.wanted_list(&any, "any", true) }
            }
            (None, None, Some(all)) => {
                Strategy { how: How::All, filters: self.wanted_list(&all, "all", false) }
            }
            (None, None, None) => {
                self.problem(at, "missing_field", format!("{what} needs `one`, `any` or `all`"));
                return None;
            }
            _ => {
                self.problem(at, "ambiguous_task", format!("{what} has one of `one`, `any` and `all`"));
                return None;
            }
        };
        let until = at.get("until").and_then(|until| {
            if at.get("any").is_none() {
                self.problem(&until, "unknown_field", "`until` goes with `any` only".to_owned());
            }
            self.until(&until)
        });
        (!strategy.filters.is_empty()).then_some((strategy, until))
    }

    fn until(&mut self, at: &At<'a>) -> Option<Until> {
        if !matches!(at.node.kind, Kind::Map(_)) {
            return self.expression(at, "`until`").map(Until::When);
        }
        let (strategy, until) = self.strategy(at, "`until`")?;
        if until.is_some() {
            self.problem(at, "unknown_field", "`until` has no `until` of its own".to_owned());
        }
        Some(Until::Heard(strategy))
    }

    /// A list of filters; an empty one asks for every event where `open`.
    fn wanted_list(&mut self, at: &At<'a>, name: &str, open: bool) -> Vec<Wanted> {
        let items = at.items();
        if !matches!(at.node.kind, Kind::List(_)) || (items.is_empty() && !open) {
            self.expected(at, &format!("`{name}`"), "a list of at least one event (`- with: …`)");
            return Vec::new();
        }
        if items.is_empty() {
            return vec![Wanted { r#type: None, attributes: Vec::new(), correlate: Vec::new() }];
        }
        if items.len() > MAX_FILTERS {
            self.problem(
                at,
                "list_too_long",
                format!("a task listens for at most {MAX_FILTERS} kinds of events"),
            );
        }
        items.iter().filter_map(|item| self.wanted(item)).collect()
    }

    fn wanted(&mut self, at: &At<'a>) -> Option<Wanted> {
        self.only(at, "an event", &["with", "correlate"], &[]);
        let Some(with) = at.get("with") else {
            self.missing(at, "an event", "with");
            return None;
        };
        if with.fields().is_empty() {
            self.expected(&with, "`with` of an event", "a mapping of at least one attribute");
            return None;
        }
        let mut wanted = Wanted { r#type: None, attributes: Vec::new(), correlate: Vec::new() };
        for (name, _, field) in with.fields() {
            if name == "type" {
                wanted.r#type = self.type_of_event(&field);
            } else if let Some(template) = self.template(&field) {
                if let ("source", Template::Literal(source)) = (name, &template)
                    && let Some(source) = source.as_str().filter(|source| !source.contains(':'))
                {
                    self.sources.insert(source.to_owned());
                }
                wanted.attributes.push((name.to_owned(), template));
            }
        }
        for (name, _, field) in at.get("correlate").iter().flat_map(At::fields) {
            wanted.correlate.extend(self.correlation(name, &field));
        }
        Some(wanted)
    }

    /// A type, or a family of them.
    fn type_of_event(&mut self, at: &At<'a>) -> Option<String> {
        let pattern = self.literal(at, "`type` of an event")?;
        self.note_type(at, pattern);
        if pattern != "*" && pattern.strip_suffix(".*").unwrap_or(pattern).contains('*') {
            let message =
                format!("`{pattern}`: `*` stands only at the end, after a dot: `billing.invoice.*`");
            self.problem(at, "wrong_name", message);
        }
        if pattern.is_empty() || pattern.len() > MAX_TYPE {
            self.problem(at, "wrong_name", format!("the type of an event has 1 to {MAX_TYPE} bytes"));
        }
        Some(pattern.to_owned())
    }

    /// Keeps where a type of events is named, for whoever knows which there are.
    pub(super) fn note_type(&mut self, at: &At<'a>, r#type: &str) {
        self.events.push(EventSite {
            r#type: r#type.to_owned(),
            path: at.path.clone(),
            line: at.node.place.line,
            column: at.node.place.column,
        });
    }

    fn correlation(&mut self, name: &str, at: &At<'a>) -> Option<Correlation> {
        let what = format!("correlation `{name}`");
        self.only(at, &what, &["from", "expect"], &[]);
        let from = match at.get("from") {
            Some(from) => self.expression(&from, "`from`"),
            None => {
                self.missing(at, &what, "from");
                None
            }
        };
        let expect = at.get("expect").map(|expect| self.template(&expect));
        Some(Correlation { name: name.to_owned(), from: from?, expect: expect.flatten() })
    }

    fn each_event(&mut self, at: &At<'a>, depth: usize) -> EachEvent {
        self.only(at, "`foreach`", &["item", "at", "do", "output", "export"], &[]);
        let item = self.variable(at.get("item"), "`foreach.item`", "item");
        let index = self.variable(at.get("at"), "`foreach.at`", "index");
        if item == index {
            self.problem(at, "reserved_name", format!("`item` and `at` are both `{item}`"));
        }
        let outside = self.named.len();
        self.named.extend([item.clone(), index.clone()]);
        let tasks = at.get("do").map(|list| self.tasks(&list, "`foreach.do`", depth + 1));
        let (output, output_schema) = self.flow_of_data(at, "output", "as");
        let (export, export_schema) = self.flow_of_data(at, "export", "as");
        self.named.truncate(outside);
        let schemas = Schemas { input: None, output: output_schema, export: export_schema };
        let schemas = schemas.any().then(|| Box::new(schemas));
        EachEvent { item, at: index, tasks, output, export, schemas }
    }
}

impl Wanted {
    /// The type or family, or every type.
    pub fn type_or_any(&self) -> &str {
        self.r#type.as_deref().unwrap_or("*")
    }

    /// What can be asked of an event before the run is: questions, and what is expected for an answer.
    pub fn questions(&self) -> Vec<(Ask, Option<&Template>)> {
        let mut questions = Vec::new();
        for (name, template) in &self.attributes {
            match template {
                Template::Expression(expression) if is_free(expression) => {
                    questions.push((Ask::Holds(name.clone(), expression.text().to_owned()), None));
                }
                Template::Literal(value) if name != "data" && !value.is_null() => {
                    questions.push((Ask::Is(name.clone()), Some(template)));
                }
                _ => {}
            }
        }
        for correlation in self.correlate.iter().filter(|correlation| is_free(&correlation.from)) {
            if let Some(expect) = &correlation.expect {
                questions.push((Ask::Gives(correlation.from.text().to_owned()), Some(expect)));
            }
        }
        questions.truncate(MAX_ASKS);
        questions
    }

    fn form(&self) -> Form {
        self.questions().into_iter().map(|(ask, _)| ask).collect()
    }
}
