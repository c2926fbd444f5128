//! Reads the tree of a document into what it means, and gathers everything that is wrong on the way.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plain_secret;
use super::task::Template;
use crate::expression::{Names, Problem, is_expression};
use crate::hearing::Form;
use crate::nearest::nearest;
use crate::yaml::{Kind, Node, Place};
use crate::{Diagnostic, Expression};

/// Whose diagnostics these are, and what is known of the document's names.
pub struct Reader<'a> {
    file: &'a str,
    /// The text by lines, to point into expressions.
    lines: Vec<&'a str>,
    pub diagnostics: Vec<Diagnostic>,
    /// What is understood and most likely not meant: told by lint and refused when a flow is deployed, and no reason not
    /// to go on with a flow that is deployed.
    pub advice: Vec<Diagnostic>,
    /// Every task's name.
    pub steps: BTreeSet<String>,
    pub settings: BTreeSet<String>,
    /// Names that the enclosing `for`s and `catch`es give, innermost last.
    pub named: Vec<String>,
    /// What `use` gives by name.
    pub reusable: Reusable<'a>,
    /// Functions that are being read, outermost first.
    pub functions: Vec<String>,
    /// Within an extension, which no extension applies to.
    pub extending: bool,
    /// Within a function or extension: where its definition stands, and where it is used.
    pub used_at: Option<(String, String)>,
    /// How many tasks were read.
    pub tasks: usize,
    pub calls: Vec<super::CallSite>,
    pub programs: Vec<super::ProgramSite>,
    pub events: Vec<super::EventSite>,
    pub scripts: Vec<super::ScriptSite>,
    /// What tasks listen for, and the connections that it comes by.
    pub listens: Vec<(String, Form)>,
    pub sources: BTreeSet<String>,
}

/// `use`.
#[derive(Default)]
pub struct Reusable<'a> {
    pub retries: BTreeMap<String, &'a Node>,
    pub errors: BTreeMap<String, &'a Node>,
    pub timeouts: BTreeMap<String, &'a Node>,
    pub functions: BTreeMap<String, &'a Node>,
    pub authentications: BTreeMap<String, &'a Node>,
    /// Connections whose credentials the flow may use.
    pub secrets: BTreeSet<String>,
    /// Those that tasks call.
    pub called: BTreeSet<String>,
    pub extensions: Vec<Extending<'a>>,
}

/// An extension as it is written.
#[derive(Clone)]
pub struct Extending<'a> {
    pub name: String,
    /// The words of the tasks that it applies to; all if there are none.
    pub words: &'static [&'static str],
    pub at: At<'a>,
}

/// A node and its JSON pointer.
#[derive(Clone)]
pub struct At<'a> {
    pub node: &'a Node,
    pub path: String,
}

impl<'a> At<'a> {
    pub fn root(node: &'a Node) -> Self {
        Self { node, path: String::new() }
    }

    /// A field of it.
    pub fn get(&self, name: &str) -> Option<At<'a>> {
        self.node.get(name).map(|node| At { node, path: format!("{}/{}", self.path, escape(name)) })
    }

    /// Its fields: name, the name's place, and value.
    pub fn fields(&self) -> Vec<(&'a str, Place, At<'a>)> {
        let fields = self.node.fields().iter();
        fields
            .map(|field| {
                let path = format!("{}/{}", self.path, escape(&field.name));
                (field.name.as_str(), field.place, At { node: &field.node, path })
            })
            .collect()
    }

    /// Its items.
    pub fn items(&self) -> Vec<At<'a>> {
        let items = self.node.items().iter().enumerate();
        items.map(|(index, node)| At { node, path: format!("{}/{index}", self.path) }).collect()
    }
}

/// A name as part of a JSON pointer.
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            lines: text.lines().collect(),
            diagnostics: Vec::new(),
            advice: Vec::new(),
            steps: BTreeSet::new(),
            settings: BTreeSet::new(),
            named: Vec::new(),
            reusable: Reusable::default(),
            functions: Vec::new(),
            extending: false,
            used_at: None,
            tasks: 0,
            calls: Vec::new(),
            programs: Vec::new(),
            events: Vec::new(),
            scripts: Vec::new(),
            listens: Vec::new(),
            sources: BTreeSet::new(),
        }
    }

    /// Notes a problem at a place.
    pub fn report(
        &mut self,
        place: Place,
        path: &str,
        code: &str,
        message: String,
        suggestion: Option<String>,
    ) {
        self.diagnostics.push(Diagnostic {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            code: code.to_owned(),
            message,
            suggestion,
        });
    }

    /// Notes what is most likely not meant.
    pub fn advise(&mut self, place: Place, path: &str, code: &str, message: String) {
        let (kept, suggestion) = (self.diagnostics.len(), None);
        self.report(place, path, code, message, suggestion);
        self.advice.extend(self.diagnostics.drain(kept..));
    }

    /// Notes a problem at a node.
    pub fn problem(&mut self, at: &At<'_>, code: &str, message: String) {
        self.report(at.node.place, &at.path, code, message, None);
    }

    /// Notes that a field is missing.
    pub fn missing(&mut self, at: &At<'_>, what: &str, name: &str) {
        self.problem(at, "missing_field", format!("{what} needs `{name}`"));
    }

    /// Notes each field that is neither in `known` nor in `unsupported`; the latter are refused by name.
    pub fn only(&mut self, at: &At<'_>, what: &str, known: &[&str], unsupported: &[&str]) {
        if !matches!(at.node.kind, Kind::Map(_)) {
            self.expected(at, what, "a mapping");
            return;
        }
        for (name, place, field) in at.fields() {
            if known.contains(&name) {
                continue;
            }
            if unsupported.contains(&name) {
                self.report(
                    place,
                    &field.path,
                    "unsupported",
                    format!("`{name}` of {what} is not supported yet"),
                    None,
                );
                continue;
            }
            let suggestion = nearest(name, known.iter().copied()).map(str::to_owned);
            self.report(
                place,
                &field.path,
                "unknown_field",
                format!("`{name}` is not a field of {what}"),
                suggestion,
            );
        }
    }

    /// Notes that something is of the wrong kind.
    pub fn expected(&mut self, at: &At<'_>, what: &str, kind: &str) {
        let mut message = format!("{what} must be {kind}, not {}", at.node.describe());
        let mut suggestion = None;
        if let Some(text) = at.node.as_str() {
            if kind == "true or false" {
                suggestion = boolean(text).map(str::to_owned);
            } else if let Some((name, value)) = text.split_once(':').filter(|_| kind.contains("mapping"))
                && !name.contains(char::is_whitespace)
                && value.starts_with(|c: char| c.is_alphanumeric())
            {
                message.push_str(" (a space must follow the `:`)");
                suggestion = Some(format!("{name}: {value}"));
            }
        }
        self.report(at.node.place, &at.path, "wrong_type", message, suggestion);
    }

    /// The text of a node.
    pub fn text(&mut self, at: &At<'a>, what: &str) -> Option<&'a str> {
        let text = at.node.as_str();
        if text.is_none() {
            self.expected(at, what, "text (quote it)");
        }
        text
    }

    /// Text that must not be an expression.
    pub fn literal(&mut self, at: &At<'a>, what: &str) -> Option<&'a str> {
        let text = self.text(at, what)?;
        if is_expression(text) {
            self.problem(at, "not_literal", format!("{what} must be written out, not computed"));
            return None;
        }
        Some(text)
    }

    /// An expression, with or without `${ … }`.
    pub fn expression(&mut self, at: &At<'a>, what: &str) -> Option<Expression> {
        match &at.node.kind {
            Kind::String(text) => self.compile(at, text),
            // `if: true` and `while: 1` read well enough.
            Kind::Bool(_) | Kind::Number(_) | Kind::Null => self.compile(at, &at.node.to_value().to_string()),
            _ => {
                self.expected(at, what, "an expression");
                None
            }
        }
    }

    fn compile(&mut self, at: &At<'a>, text: &str) -> Option<Expression> {
        self.plain_secret(at, text);
        let named = std::mem::take(&mut self.named);
        let names =
            Names { named: &named, steps: Some(&self.steps), settings: Some(&self.settings), open: false };
        let compiled = Expression::compile(text, &names);
        self.named = named;
        compiled.map_err(|problems| self.wrong_expression(at, text, problems)).ok()
    }

    fn plain_secret(&mut self, at: &At<'_>, text: &str) {
        if let Some(shown) = plain_secret::within(text) {
            let message = format!("`{shown}` looks like a key: everybody who reads the flow would know it");
            self.advise(at.node.place, &at.path, "plain_secret", message);
        }
    }

    fn wrong_expression(&mut self, at: &At<'_>, text: &str, problems: Vec<Problem>) {
        for problem in problems {
            let place = self.within(at.node.place, text, problem.offset);
            self.report(place, &at.path, problem.code, problem.message, problem.suggestion);
        }
    }

    /// The place of an offset in text that starts at `place`; `place` itself where the text is folded or escaped.
    fn within(&self, place: Place, text: &str, offset: usize) -> Place {
        let line = self.lines.get(place.line - 1).copied().unwrap_or_default();
        let rest: String = line.chars().skip(place.column - 1).collect();
        let quote = usize::from(rest.starts_with(['"', '\'']));
        if !rest[quote..].starts_with(text) {
            return place;
        }
        let characters = text.get(..offset).map_or(0, |before| before.chars().count());
        Place { line: place.line, column: place.column + quote + characters }
    }

    /// Where each line of a text that starts at `place` begins, if it stands there as it is: in a block (`|`), or on one
    /// line.
    pub fn starts(&self, place: Place, text: &str) -> Vec<Place> {
        let within = |line: usize| self.lines.get(line.checked_sub(1)?).copied();
        if !text.contains('\n') {
            let rest: String =
                within(place.line).unwrap_or_default().chars().skip(place.column - 1).collect();
            let quote = usize::from(rest.starts_with(['"', '\'']));
            let found = rest[quote..].starts_with(text);
            return found.then_some(Place { column: place.column + quote, ..place }).into_iter().collect();
        }
        // A block's place is where its first text stands; empty lines may be before it.
        let empty = text.lines().take_while(|line| line.is_empty()).count();
        let mut starts = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let at = (place.line + index).saturating_sub(empty);
            // What stands before is the block's indentation.
            let before = within(at).and_then(|whole| whole.strip_suffix(line));
            match before.filter(|before| before.trim().is_empty()) {
                Some(before) => starts.push(Place { line: at, column: before.chars().count() + 1 }),
                None => return Vec::new(),
            }
        }
        // A mistake may be behind the end.
        starts.extend(starts.last().map(|last| Place { line: last.line + 1, column: 1 }));
        starts
    }

    /// A value whose strings may be whole expressions, at any depth.
    pub fn template(&mut self, at: &At<'a>) -> Option<Template> {
        let template = match &at.node.kind {
            Kind::String(text) if is_expression(text) => Template::Expression(self.compile(at, text)?),
            Kind::String(text) => {
                self.plain_secret(at, text);
                if text.trim_start().starts_with("${") {
                    let message = "this expression is not closed by `}`: where ` #` stands in it, YAML reads a comment from there on; put all of it in quotes";
                    self.problem(at, "partial_expression", message.to_owned());
                } else if text.contains("${") {
                    let message = "`${ … }` inside longer text is not evaluated: make the whole value an expression, `${ \"… \\(.name) …\" }`";
                    self.problem(at, "partial_expression", message.to_owned());
                }
                Template::Literal(Arc::new(Value::String(text.clone())))
            }
            Kind::List(_) => {
                let items: Vec<_> = at.items().iter().map(|item| self.template(item)).collect();
                Template::List(items.into_iter().collect::<Option<_>>()?)
            }
            Kind::Map(_) => {
                let fields: Vec<_> = at
                    .fields()
                    .into_iter()
                    .map(|(name, _, field)| self.template(&field).map(|template| (name.to_owned(), template)))
                    .collect();
                Template::Object(fields.into_iter().collect::<Option<_>>()?)
            }
            _ => Template::Literal(Arc::new(at.node.to_value())),
        };
        Some(fold(template))
    }

    /// What `input.from`, `output.as` and `export.as` take: text is an expression as a whole, anything else a template.
    pub fn transformation(&mut self, at: &At<'a>, what: &str) -> Option<Template> {
        match at.node.kind {
            Kind::String(_) => self.expression(at, what).map(Template::Expression),
            Kind::Map(_) | Kind::List(_) => self.template(at),
            _ => {
                self.expected(at, what, "an expression or a mapping");
                None
            }
        }
    }
}

/// What older YAML takes for true and false, and YAML 1.2 for text.
fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Some("true"),
        "no" | "off" | "n" | "false" => Some("false"),
        _ => None,
    }
}

/// Literal lists and objects become one literal.
fn fold(template: Template) -> Template {
    let literal = |template: &Template| match template {
        Template::Literal(value) => Some((**value).clone()),
        _ => None,
    };
    let value = match &template {
        Template::List(items) => items.iter().map(literal).collect::<Option<Vec<_>>>().map(Value::Array),
        Template::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| literal(field).map(|value| (name.clone(), value)));
            fields.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    };
    value.map_or(template, |value| Template::Literal(Arc::new(value)))
}
