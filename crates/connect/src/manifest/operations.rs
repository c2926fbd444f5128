//! The operations of a manifest: its own, and those that a program wrote down.
//!
//! The second are the manifest's second part (`<slug>/operations.yaml` beside it; in one text, what follows the line
//! `---`): one operation to a line, so that the hundreds that a vendor has cost nothing until one of them is asked for.
//! Where both have a request of the same address, the manifest's own operation is the one that there is, and the other
//! only adds the parameters that it lacks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use flow::Diagnostic;
use flow::yaml;

use super::calls::{self, Scope};
use super::reader::{At, Reader};
use super::{Location, Operation};

/// A manifest's text, which the built-in ones need not copy.
pub(crate) type Text = Arc<Cow<'static, str>>;

/// The name of the list of event types among the lines.
const EVENT_TYPES: &str = "event_types";
/// Operations of one manifest.
const LINES_MAX: usize = 5_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Operations {
    own: BTreeMap<String, Own>,
    part: Option<Part>,
}

#[derive(Clone, Debug)]
struct Own {
    operation: Operation,
    /// The line that adds to it.
    line: Option<usize>,
    whole: OnceLock<Operation>,
}

/// The second part, its lines in the order of their names.
#[derive(Clone, Debug)]
struct Part {
    file: String,
    text: Text,
    scope: Scope<'static>,
    lines: Vec<Line>,
    event_types: Option<(usize, Range<usize>)>,
}

#[derive(Clone, Debug)]
struct Line {
    /// Full name.
    name: String,
    /// From 1.
    number: usize,
    at: Range<usize>,
    /// An operation of the manifest's own has the same request.
    hidden: bool,
    read: OnceLock<Option<Box<Operation>>>,
}

/// Where the first part of a manifest's text ends, and the second one begins.
pub(super) fn parts(text: &str) -> (&str, Option<usize>) {
    match text.find("\n---\n") {
        Some(at) => (text.get(..=at).unwrap_or(text), Some(at + "\n---\n".len())),
        None => (text, None),
    }
}

impl Operations {
    /// `second`: where in `text` the second part begins.
    pub(super) fn new(
        own: BTreeMap<String, Operation>,
        scope: &Scope<'_>,
        file: &str,
        text: &Text,
        second: Option<usize>,
    ) -> Operations {
        let own = own
            .into_iter()
            .map(|(name, operation)| (name, Own { operation, line: None, whole: OnceLock::new() }));
        let mut all = Operations { own: own.collect(), part: None };
        let Some(second) = second else { return all };
        let mut part = index(scope, file, text, second);
        let by_request: BTreeMap<String, String> =
            all.own.iter().map(|(name, own)| (shape(&own.operation), name.clone())).collect();
        for (number, line) in part.lines.iter_mut().enumerate() {
            let request = line_request(text.get(line.at.clone()).unwrap_or_default());
            let same = request.and_then(|request| by_request.get(&unnamed(request)));
            let named = all.own.contains_key(&line.name);
            if let Some(own) = same.and_then(|name| all.own.get_mut(name)) {
                own.line = Some(number);
            }
            line.hidden = same.is_some() || named;
        }
        all.part = Some(part);
        all
    }

    pub fn get(&self, name: &str) -> Option<&Operation> {
        if let Some(own) = self.own.get(name) {
            return Some(match own.line {
                None => &own.operation,
                Some(number) => own.whole.get_or_init(|| self.completed(&own.operation, number)),
            });
        }
        let part = self.part.as_ref()?;
        let line = part.lines.binary_search_by(|line| line.name.as_str().cmp(name)).ok()?;
        part.lines.get(line).filter(|line| !line.hidden).and_then(|line| part.operation(line))
    }

    /// An operation as one part of the manifest has it, without what the other adds.
    pub fn stated(&self, name: &str) -> Option<&Operation> {
        self.own.get(name).map(|own| &own.operation).or_else(|| self.get(name))
    }

    /// Full names, in order.
    pub fn names(&self) -> Vec<&str> {
        let listed = self.part.iter().flat_map(|part| &part.lines).filter(|line| !line.hidden);
        let mut names: Vec<&str> =
            self.own.keys().map(String::as_str).chain(listed.map(|line| line.name.as_str())).collect();
        names.sort_unstable();
        names
    }

    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.names().into_iter().filter_map(|name| self.get(name))
    }

    /// Whether it stands in the manifest's first part.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// The types of events that the vendor names, without its slug.
    pub fn event_types(&self) -> Vec<&str> {
        let Some(part) = &self.part else { return Vec::new() };
        let Some((_, at)) = &part.event_types else { return Vec::new() };
        let line = part.text.get(at.clone()).unwrap_or_default();
        let list = line.split_once('[').and_then(|(_, list)| list.rsplit_once(']'));
        let names = list.map(|(list, _)| list.split(", ")).into_iter().flatten();
        names.map(|name| name.trim_matches('\'')).filter(|name| !name.is_empty()).collect()
    }

    /// Everything that is wrong with the second part.
    pub fn problems(&self) -> Vec<Diagnostic> {
        self.part.as_ref().map(Part::problems).unwrap_or_default()
    }

    #[cfg(test)]
    pub fn lines_read(&self) -> usize {
        self.part.iter().flat_map(|part| &part.lines).filter(|line| line.read.get().is_some()).count()
    }

    fn completed(&self, own: &Operation, line: usize) -> Operation {
        let mut whole = own.clone();
        let listed = self.part.as_ref().and_then(|part| part.operation(part.lines.get(line)?));
        for param in listed.map(|listed| listed.params.as_slice()).unwrap_or_default() {
            let known = whole.params.iter().any(|other| other.name == param.name);
            if !known && param.location != Location::Path {
                whole.params.push(param.clone());
            }
        }
        whole
    }
}

impl Part {
    fn operation<'a>(&'a self, line: &'a Line) -> Option<&'a Operation> {
        line.read.get_or_init(|| self.read(line).ok().map(Box::new)).as_deref()
    }

    fn read(&self, line: &Line) -> Result<Operation, Vec<Diagnostic>> {
        let text = self.text.get(line.at.clone()).unwrap_or_default();
        let mut reader = Reader::new(&self.file);
        let found = yaml::parse(&self.file, text).map(|root| {
            let at = At { node: &root, pointer: String::new() };
            let entry = at.entries().into_iter().next();
            entry.and_then(|(field, at)| calls::operation(&mut reader, &field.name, &at, &self.scope))
        });
        let problems = match found {
            Ok(Some(operation)) if reader.problems.is_empty() => return Ok(operation),
            Ok(_) => reader.problems,
            Err(problems) => problems,
        };
        Err(problems.into_iter().map(|problem| placed(problem, line.number)).collect())
    }

    fn problems(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (line, next) in self.lines.iter().zip(self.lines.iter().skip(1).map(Some).chain([None])) {
            found.extend(self.read(line).err().into_iter().flatten());
            let short = line.name.split_once('.').map_or("", |(_, short)| short);
            if next.is_some_and(|next| next.name == line.name) {
                found.push(self.problem(line.number, "manifest_twice", format!("`{short}` is given twice")));
            } else if !super::parse::is_operation_name(short) {
                let message = format!("`{short}` is not named `resource.verb`");
                found.push(self.problem(line.number, "manifest_operation", message));
            }
        }
        if self.lines.len() > LINES_MAX {
            let message = format!("a manifest lists at most {LINES_MAX} operations");
            found.push(self.problem(LINES_MAX, "manifest_type", message));
        }
        if let Some((number, at)) = &self.event_types {
            let text = self.text.get(at.clone()).unwrap_or_default();
            found.extend(
                yaml::parse(&self.file, text)
                    .err()
                    .into_iter()
                    .flatten()
                    .map(|problem| placed(problem, *number)),
            );
        }
        found.sort();
        found
    }

    fn problem(&self, line: usize, code: &str, message: String) -> Diagnostic {
        Diagnostic {
            file: self.file.clone(),
            line,
            column: 1,
            path: String::new(),
            code: code.to_owned(),
            message,
            suggestion: None,
        }
    }
}

/// A problem of one line, at its place in the file.
fn placed(problem: Diagnostic, number: usize) -> Diagnostic {
    Diagnostic { line: problem.line + number - 1, ..problem }
}

fn index(scope: &Scope<'_>, file: &str, text: &Text, second: usize) -> Part {
    let mut part = Part {
        file: format!("{}/operations.yaml", file.strip_suffix(".yaml").unwrap_or(file)),
        text: Arc::clone(text),
        scope: scope.of_lines(),
        lines: Vec::new(),
        event_types: None,
    };
    let mut start = second;
    let rest = text.get(second..).unwrap_or_default();
    for (index, line) in rest.split('\n').enumerate() {
        let at = start..start + line.len();
        start = at.end + 1;
        let name = line.split(':').next().unwrap_or_default();
        if name == EVENT_TYPES {
            part.event_types = Some((index + 1, at));
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let name = format!("{}.{}", scope.slug, name.trim_end());
            let line = Line { name, number: index + 1, at, hidden: false, read: OnceLock::new() };
            part.lines.push(line);
        }
    }
    part.lines.sort_by(|a, b| a.name.cmp(&b.name));
    part
}

/// `POST /v1/customers/{customer}`, as a line has it.
fn line_request(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("request: '")?;
    after.split('\'').next()
}

/// `POST /v1/customers/{}`: an address whatever its parts are called.
fn unnamed(request: &str) -> String {
    let mut out = String::with_capacity(request.len());
    let mut inside = false;
    for c in request.chars() {
        inside = (inside || c == '{') && c != '}';
        if !inside || c == '{' {
            out.push(c);
        }
    }
    out
}

fn shape(operation: &Operation) -> String {
    let (method, path) = operation.request();
    unnamed(&format!("{method} {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_whatever_its_parts_are_called() {
        for (request, expected) in [
            ("GET /v1/customers/{customer}", "GET /v1/customers/{}"),
            ("GET /v1/a/{x}/b/{y}/c", "GET /v1/a/{}/b/{}/c"),
            ("POST /v1/refunds", "POST /v1/refunds"),
        ] {
            assert_eq!(unnamed(request), expected);
        }
        assert_eq!(
            line_request("a.b: {summary: x, request: 'GET /a/{b}', effects: read}"),
            Some("GET /a/{b}")
        );
        assert_eq!(parts("a: 1\n---\nb: 2\n"), ("a: 1\n", Some(9)));
        assert_eq!(parts("a: 1\n"), ("a: 1\n", None));
    }
}
