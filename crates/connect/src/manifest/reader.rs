//! Reading YAML nodes into checked values, noting everything that is wrong on the way.

use std::collections::BTreeSet;

use flow::Diagnostic;
use flow::yaml::{self, Field, Node, Place};
use jiff::SignedDuration;
use serde_json::Value;

use crate::path::Path;

/// The largest number that a manifest states.
const COUNT_MAX: u64 = 1_000_000_000;
/// The same of hours: ten years.
const HOURS_MAX: u64 = 87_600;

/// Collects what is wrong with one file.
pub(super) struct Reader<'f> {
    file: &'f str,
    pub problems: Vec<Diagnostic>,
}

/// A node and where it is in the document.
#[derive(Clone, Debug)]
pub(super) struct At<'n> {
    pub node: &'n Node,
    pub pointer: String,
}

/// A mapping whose fields are all known.
pub(super) struct Fields<'n> {
    fields: &'n [Field],
    pointer: String,
    pub place: Place,
}

impl<'n> At<'n> {
    pub fn child(&self, name: &str, node: &'n Node) -> At<'n> {
        At { node, pointer: join(&self.pointer, name) }
    }

    pub fn items(&self) -> Vec<At<'n>> {
        self.node
            .items()
            .iter()
            .enumerate()
            .map(|(index, node)| self.child(&index.to_string(), node))
            .collect()
    }

    /// The fields of a mapping whose names are the author's, in their order.
    pub fn entries(&self) -> Vec<(&'n Field, At<'n>)> {
        self.node.fields().iter().map(|field| (field, self.child(&field.name, &field.node))).collect()
    }
}

impl<'n> Fields<'n> {
    pub fn get(&self, name: &str) -> Option<At<'n>> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(At { node: &field.node, pointer: join(&self.pointer, name) })
    }
}

fn join(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl<'f> Reader<'f> {
    pub fn new(file: &'f str) -> Reader<'f> {
        Reader { file, problems: Vec::new() }
    }

    pub fn problem(&mut self, at: &At<'_>, code: &str, message: impl Into<String>) {
        self.problem_at(at.node.place, &at.pointer, code, message.into(), None);
    }

    pub fn problem_at(
        &mut self,
        place: Place,
        pointer: &str,
        code: &str,
        message: String,
        suggestion: Option<String>,
    ) {
        self.problems.push(Diagnostic {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            path: pointer.to_owned(),
            code: code.to_owned(),
            message,
            suggestion,
        });
    }

    /// A name that is not among the known ones.
    pub fn unknown(&mut self, place: Place, pointer: &str, what: &str, name: &str, known: &[&str]) {
        let meant = flow::nearest::nearest(name, known.iter().copied()).map(str::to_owned);
        let message = format!("`{name}` is not {what}");
        self.problem_at(place, pointer, "manifest_unknown", message, meant);
    }

    pub fn mistyped(&mut self, at: &At<'_>, wanted: &str) {
        self.problem(at, "manifest_type", format!("this is {}, not {wanted}", at.node.describe()));
    }

    /// The fields of a mapping; unknown names are reported and left out.
    pub fn fields<'n>(&mut self, at: &At<'n>, what: &str, known: &[&str]) -> Fields<'n> {
        if !matches!(at.node.kind, yaml::Kind::Map(_)) {
            self.mistyped(at, &format!("{what} (a mapping)"));
        }
        for field in at.node.fields() {
            if !known.contains(&field.name.as_str()) {
                let pointer = join(&at.pointer, &field.name);
                self.unknown(field.place, &pointer, &format!("part of {what}"), &field.name, known);
            }
        }
        Fields { fields: at.node.fields(), pointer: at.pointer.clone(), place: at.node.place }
    }

    /// A field that has to be there.
    pub fn required<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<At<'n>> {
        let found = fields.get(name);
        if found.is_none() {
            let message = format!("`{name}` is missing");
            self.problem_at(fields.place, &fields.pointer, "manifest_missing", message, None);
        }
        found
    }

    pub fn text(&mut self, at: &At<'_>) -> Option<String> {
        match at.node.as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            _ => {
                self.mistyped(at, "text");
                None
            }
        }
    }

    pub fn required_text(&mut self, fields: &Fields<'_>, name: &str) -> String {
        self.required(fields, name).and_then(|at| self.text(&at)).unwrap_or_default()
    }

    pub fn optional_text(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        fields.get(name).and_then(|at| self.text(&at))
    }

    /// One text, or a list of texts.
    pub fn texts(&mut self, at: &At<'_>) -> Vec<String> {
        match &at.node.kind {
            yaml::Kind::List(_) => at.items().iter().filter_map(|item| self.text(item)).collect(),
            _ => self.text(at).into_iter().collect(),
        }
    }

    pub fn flag(&mut self, fields: &Fields<'_>, name: &str, default: bool) -> bool {
        match fields.get(name) {
            None => default,
            Some(at) => match at.node.kind {
                yaml::Kind::Bool(flag) => flag,
                _ => {
                    self.mistyped(&at, "true or false");
                    default
                }
            },
        }
    }

    /// A whole number of at least 1, and at most [`COUNT_MAX`].
    pub fn count(&mut self, fields: &Fields<'_>, name: &str, default: u64) -> u64 {
        self.count_up_to(fields, name, default, COUNT_MAX)
    }

    /// Hours, at least one, and at most ten years of them.
    pub fn hours(&mut self, fields: &Fields<'_>, name: &str, default: u64) -> SignedDuration {
        SignedDuration::from_hours(self.count_up_to(fields, name, default, HOURS_MAX).cast_signed())
    }

    fn count_up_to(&mut self, fields: &Fields<'_>, name: &str, default: u64, max: u64) -> u64 {
        match fields.get(name) {
            None => default,
            Some(at) => match &at.node.kind {
                yaml::Kind::Number(number)
                    if number.as_u64().is_some_and(|count| (1..=max).contains(&count)) =>
                {
                    number.as_u64().unwrap_or(default)
                }
                _ => {
                    self.mistyped(&at, &format!("a whole number from 1 to {max}"));
                    default
                }
            },
        }
    }

    pub fn path(&mut self, at: &At<'_>) -> Option<Path> {
        let text = self.text(at)?;
        let path = Path::parse(&text);
        if path.is_none() {
            self.problem(at, "manifest_path", format!("`{text}` is not a path such as `data.0.id`"));
        }
        path
    }

    pub fn optional_path(&mut self, fields: &Fields<'_>, name: &str) -> Option<Path> {
        fields.get(name).and_then(|at| self.path(&at))
    }

    /// One path, or a list of paths.
    pub fn paths(&mut self, at: &At<'_>) -> Vec<Path> {
        match &at.node.kind {
            yaml::Kind::List(_) => at.items().iter().filter_map(|item| self.path(item)).collect(),
            _ => self.path(at).into_iter().collect(),
        }
    }

    /// One of a few names.
    pub fn choice<T: Copy>(&mut self, at: &At<'_>, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.unknown(at.node.place, &at.pointer, what, &text, &names);
        }
        found
    }

    /// A mapping of one field: path → value, as conditions are written.
    pub fn conditions(&mut self, at: &At<'_>) -> Vec<(Path, Value)> {
        if at.node.fields().is_empty() {
            self.mistyped(at, "a mapping of paths to values");
        }
        let mut out = Vec::new();
        for (field, inner) in at.entries() {
            match Path::parse(&field.name) {
                Some(path) => out.push((path, inner.node.to_value())),
                None => self.problem(&inner, "manifest_path", format!("`{}` is not a path", field.name)),
            }
        }
        out
    }

    /// Reports names that are declared twice.
    pub fn distinct(&mut self, at: &At<'_>, what: &str, names: &[String]) {
        let mut seen = BTreeSet::new();
        for name in names.iter().filter(|name| !seen.insert(name.as_str())) {
            self.problem(at, "manifest_twice", format!("{what} `{name}` is declared twice"));
        }
    }
}
