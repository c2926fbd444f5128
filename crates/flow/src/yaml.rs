//! YAML with places: a tree whose every node knows its line and column, for diagnostics that point.
//!
//! Scalars are read by YAML 1.2's core schema: `no`, `on` and `0123` are what they look like (text, text, a number),
//! not booleans and octals. JSON is read by the same reader. Repeated keys, several documents and tags are refused.

mod traps;

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};

use crate::Diagnostic;

/// The longest document, in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// The deepest nesting of a document.
pub const MAX_DEPTH: usize = 64;
/// The most nodes of a document after its aliases are followed (a few lines of aliases can mean billions).
pub const MAX_NODES: usize = 200_000;

/// A place in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// One field of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(bool) => Value::Bool(*bool),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), field.node.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// What a JSON pointer below it leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            match &node.kind {
                Kind::List(items) => items.get(part.parse::<usize>().ok()?),
                _ => node.get(&part),
            }
        })
    }

    /// The field of a mapping by name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.fields().iter().find(|field| field.name == name).map(|field| &field.node)
    }

    /// The fields of a mapping; none for anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of thing it is, for messages: `a list`, `text`, …
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads one document.
pub fn parse(file: &str, text: &str) -> Result<Node, Vec<Diagnostic>> {
    read(file, text).map(|(node, _)| node)
}

/// Reads one document; beside it, what is read otherwise than it may be meant.
pub fn read(file: &str, text: &str) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
    let problem = |stop: Stop| Diagnostic {
        file: file.to_owned(),
        line: stop.place.line,
        column: stop.place.column,
        path: stop.path,
        code: stop.code.to_owned(),
        message: stop.message,
        suggestion: None,
    };
    if text.len() > MAX_TEXT {
        let message = format!("the document has {} bytes; at most {MAX_TEXT} are read", text.len());
        return Err(vec![problem(stop(Place { line: 1, column: 1 }, "document_too_large", message))]);
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: Vec::new(),
        nodes: 0,
        path: Vec::new(),
        repeated: Vec::new(),
        advice: Vec::new(),
    };
    let node = reader.document();
    let mut problems: Vec<Stop> = std::mem::take(&mut reader.repeated);
    match node {
        Ok(node) if problems.is_empty() => {
            Ok((node, reader.advice.into_iter().map(problem).collect::<Vec<_>>()))
        }
        Ok(_) => Err(problems.into_iter().map(problem).collect()),
        Err(mut stopped) => {
            if stopped.code == "yaml_syntax" {
                traps::explain(text, &mut stopped);
            }
            stopped.path = pointer(&reader.path);
            problems.push(stopped);
            Err(problems.into_iter().map(problem).collect())
        }
    }
}

/// What stops the reading at a place, or is told of it.
struct Stop {
    place: Place,
    path: String,
    code: &'static str,
    message: String,
}

fn stop(place: Place, code: &'static str, message: String) -> Stop {
    Stop { place, path: String::new(), code, message }
}

/// The parts as a JSON pointer.
fn pointer(parts: &[String]) -> String {
    parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

struct Reader<'a, I: granit_parser::BorrowedInput<'a>> {
    parser: Parser<'a, I>,
    /// Nodes that aliases may refer to.
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    /// Names and places of the fields and items that are being read, outermost first.
    path: Vec<String>,
    /// Fields that are given twice.
    repeated: Vec<Stop>,
    /// What may be meant otherwise than it is read.
    advice: Vec<Stop>,
}

impl<'a, I: granit_parser::BorrowedInput<'a>> Reader<'a, I> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(syntax(place, "one file holds one document; a second one starts here"));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, place, 0)?),
            }
        }
        root.ok_or_else(|| syntax(Place { line: 1, column: 1 }, "the document is empty"))
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Place), Stop> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, place(&span))),
                Some(Err(error)) => {
                    let marker = error.marker();
                    let at = Place { line: marker.line().max(1), column: marker.col() + 1 };
                    return Err(syntax(at, &format!("this is not YAML: {}", error.info())));
                }
                None => return Ok((Event::StreamEnd, Place::default())),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Stop> {
        self.count(1, place)?;
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(stop(place, "document_too_large", message));
        }
        let before = self.nodes;
        let (kind, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = matches!(style, ScalarStyle::Plain);
                if plain && let Some(message) = traps::scalar(&text) {
                    let path = pointer(&self.path);
                    self.advice.push(Stop { place, path, code: "yaml_trap", message });
                }
                let kind = if plain { scalar(&text) } else { Kind::String(text.into_owned()) };
                (kind, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map(depth)?, anchor, tag),
            _ => return Err(syntax(place, "something is missing here")),
        };
        if tag.is_some() {
            return Err(syntax(
                place,
                "tags (`!…`) are not part of a document; quote the text if it begins with `!`",
            ));
        }
        let node = Node { place, kind };
        if anchor != 0 {
            self.anchors.push((anchor, node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Stop> {
        let found = self.anchors.iter().find(|(anchor, ..)| *anchor == id);
        let Some((size, mut node)) = found.map(|(_, node, size)| (*size, node.clone())) else {
            let message =
                "this alias refers to itself or to nothing (text that begins with `*` needs quotes)";
            return Err(syntax(place, message));
        };
        self.count(size, place)?;
        node.place = place;
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, place) => {
                    self.path.push(items.len().to_string());
                    items.push(self.node(event, place, depth + 1)?);
                    self.path.pop();
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Stop> {
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(Kind::Map(fields)),
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err(syntax(at, "the name of a field is plain text")),
            };
            self.path.push(name.clone());
            if let Some(first) = fields.iter().find(|field| field.name == name) {
                let message = format!("`{name}` is given twice; first in line {}", first.place.line);
                let path = pointer(&self.path);
                self.repeated.push(Stop { place: at, path, code: "duplicate_field", message });
            }
            let (event, place) = self.next()?;
            let node = self.node(event, place, depth + 1)?;
            self.path.pop();
            fields.push(Field { name, place: at, node });
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} nodes");
            return Err(stop(place, "document_too_large", message));
        }
        Ok(())
    }
}

fn syntax(place: Place, message: &str) -> Stop {
    stop(place, "yaml_syntax", message.to_owned())
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line().max(1), column: span.start.col() + 1 }
}

/// YAML 1.2 core schema, for plain scalars.
fn scalar(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Kind::String(text.to_owned()), Kind::Number)
}

fn number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(Number::from);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if !numeric {
        return None;
    }
    if let Ok(int) = text.parse::<i64>() {
        return Some(int.into());
    }
    if let Ok(int) = text.parse::<u64>() {
        return Some(int.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        parse("f", text).unwrap().to_value()
    }

    fn problem(text: &str) -> String {
        let problems = parse("f", text).unwrap_err();
        assert_eq!(problems.len(), 1);
        format!("{} {}", problems[0].code, problems[0])
    }

    #[test]
    fn scalars_are_what_they_look_like() {
        for (text, expected) in [
            ("no", json!("no")),
            ("NO", json!("NO")),
            ("on", json!("on")),
            ("yes", json!("yes")),
            ("true", json!(true)),
            ("~", json!(null)),
            ("'true'", json!("true")),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.0.0", json!("1.0.0")),
            ("2026-01-02", json!("2026-01-02")),
            ("12:30:45", json!("12:30:45")),
            ("e3", json!("e3")),
            (".", json!(".")),
            (".inf", json!(".inf")),
            ("'12'", json!("12")),
            ("|\n  a\n  b\n", json!("a\nb\n")),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn nodes_know_their_places() {
        let node = parse("f", "a: 1\nb:\n  - x: ${ .y }\n    z: [1, 2]\n").unwrap();
        let item = &node.get("b").unwrap().items()[0];
        assert_eq!(item.get("x").unwrap().place, Place { line: 3, column: 8 });
        assert_eq!(item.fields()[1].place, Place { line: 4, column: 5 });
        assert_eq!(item.get("z").unwrap().items()[1].place, Place { line: 4, column: 12 });
        assert_eq!(
            value(r#"{"a": [true, null], "b": {"c": "d"}}"#),
            json!({"a": [true, null], "b": {"c": "d"}})
        );
    }

    #[test]
    fn aliases_are_followed_within_bounds() {
        assert_eq!(value("a: &x {b: 1}\nc: *x"), json!({"a": {"b": 1}, "c": {"b": 1}}));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(problem(&bomb).starts_with("document_too_large"));
    }

    #[test]
    fn says_what_is_not_a_document() {
        for (text, expected) in [
            ("", "yaml_syntax f:1:1: the document is empty"),
            ("a: 1\na: 2\n", "duplicate_field f:2:1: `a` is given twice; first in line 1"),
            ("a: 1\n---\nb: 2\n", "yaml_syntax f:2:1: one file holds one document"),
            ("a: !x 1", "yaml_syntax f:1:"),
            ("a: *nowhere", "yaml_syntax f:1:"),
            ("a: [1, 2", "yaml_syntax f:"),
            ("a: b: c", "yaml_syntax f:1:"),
            ("? [a]\n: b", "yaml_syntax f:1:3: the name of a field"),
        ] {
            assert!(problem(text).starts_with(expected), "{text}: {}", problem(text));
        }
        let several = parse("f", "a: 1\nb: [{c: 1, c: 2}]\na: 3\nd: [").unwrap_err();
        let told: Vec<_> =
            several.iter().map(|found| (found.line, found.path.as_str(), &*found.code)).collect();
        assert_eq!(told[..2], [(2, "/b/0/c", "duplicate_field"), (3, "/a", "duplicate_field")]);
        assert_eq!((told.len(), told[2].1, told[2].2), (3, "/d", "yaml_syntax"));
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(problem(&deep).starts_with("document_too_large"));
    }
}
