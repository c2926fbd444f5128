//! Reads a schema into rules.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::{KINDS, Kind, Rule, Rules, Test, Wrong};
use crate::nearest::nearest;
use crate::pattern::{Dialect, Pattern};

/// Keywords that say nothing about a value.
const REMARKS: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
];
/// Keywords of the draft that are not checked here.
const REFUSED: &[&str] = &[
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$dynamicAnchor",
    "$anchor",
    "$vocabulary",
    "contentSchema",
    "dependencies",
    "additionalItems",
    "$recursiveRef",
];
const KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "required",
    "dependentRequired",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "$ref",
];

struct Compiler<'a> {
    document: &'a Value,
    wrong: Vec<Wrong>,
    targets: BTreeMap<String, Rule>,
    /// References that were met and not compiled yet.
    open: Vec<String>,
}

pub fn document(document: &Value) -> Result<Rules, Vec<Wrong>> {
    let mut compiler = Compiler { document, wrong: Vec::new(), targets: BTreeMap::new(), open: Vec::new() };
    let root = compiler.rule(document, "");
    while let Some(reference) = compiler.open.pop() {
        if compiler.targets.contains_key(&reference) {
            continue;
        }
        let target = document.pointer(&reference).unwrap_or(&Value::Bool(true));
        let rule = compiler.rule(target, &reference);
        compiler.targets.insert(reference, rule);
    }
    compiler.wrong.dedup();
    if compiler.wrong.is_empty() {
        Ok(Rules { root, targets: compiler.targets })
    } else {
        Err(compiler.wrong)
    }
}

impl Compiler<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.wrong.push(Wrong { path: path.to_owned(), message: message.into(), suggestion: None });
    }

    fn rule(&mut self, schema: &Value, path: &str) -> Rule {
        match schema {
            Value::Bool(holds) => Rule::Constant(*holds),
            Value::Object(fields) => {
                self.keywords(fields, path);
                let tests = fields
                    .iter()
                    .filter_map(|(name, value)| {
                        self.test(name, value, fields, &format!("{path}/{}", escape(name)))
                    })
                    .collect();
                Rule::Tests(tests)
            }
            _ => {
                self.wrong(path, "a schema is a mapping, true or false");
                Rule::Constant(true)
            }
        }
    }

    fn keywords(&mut self, fields: &Map<String, Value>, path: &str) {
        for name in fields.keys() {
            if KEYWORDS.contains(&name.as_str()) || REMARKS.contains(&name.as_str()) || name.starts_with("x-")
            {
                continue;
            }
            let path = format!("{path}/{}", escape(name));
            if REFUSED.contains(&name.as_str()) {
                self.wrong(&path, format!("`{name}` of JSON Schema is not supported"));
            } else {
                let suggestion = nearest(name, KEYWORDS.iter().copied()).map(str::to_owned);
                let message = format!("`{name}` is not a keyword of JSON Schema");
                self.wrong.push(Wrong { path, message, suggestion });
            }
        }
    }

    /// The test of a keyword. Keywords that work together are one test, made where the first of them in this order is:
    /// `prefixItems`, `items`; `properties`, `patternProperties`, `additionalProperties`; `min…`, `max…`.
    fn test(&mut self, name: &str, value: &Value, fields: &Map<String, Value>, path: &str) -> Option<Test> {
        let lacks = |others: &[&str]| !others.iter().any(|other| fields.contains_key(*other));
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        Some(match name {
            "type" => Test::Type(self.kinds(value, path)),
            "enum" => Test::Enum(self.list(value, path).to_vec()),
            "const" => Test::Const(value.clone()),
            "minimum" => Test::Minimum(self.number(value, path)),
            "maximum" => Test::Maximum(self.number(value, path)),
            "exclusiveMinimum" => Test::ExclusiveMinimum(self.number(value, path)),
            "exclusiveMaximum" => Test::ExclusiveMaximum(self.number(value, path)),
            "multipleOf" => {
                let unit = self.number(value, path);
                if unit <= 0.0 {
                    self.wrong(path, "`multipleOf` must be above 0");
                }
                Test::MultipleOf(unit)
            }
            "pattern" => {
                Test::Pattern(value.as_str().unwrap_or_default().to_owned(), self.regex(value, path)?)
            }
            "minLength" => {
                self.range(fields, above, "minLength", "maxLength", |min, max| Test::Length { min, max })
            }
            "maxLength" if lacks(&["minLength"]) => {
                self.range(fields, above, "minLength", "maxLength", |min, max| Test::Length { min, max })
            }
            "minItems" => {
                self.range(fields, above, "minItems", "maxItems", |min, max| Test::ItemCount { min, max })
            }
            "maxItems" if lacks(&["minItems"]) => {
                self.range(fields, above, "minItems", "maxItems", |min, max| Test::ItemCount { min, max })
            }
            "minProperties" => self.range(fields, above, "minProperties", "maxProperties", |min, max| {
                Test::PropertyCount { min, max }
            }),
            "maxProperties" if lacks(&["minProperties"]) => {
                self.range(fields, above, "minProperties", "maxProperties", |min, max| Test::PropertyCount {
                    min,
                    max,
                })
            }
            "prefixItems" => self.items(fields, above),
            "items" if lacks(&["prefixItems"]) => self.items(fields, above),
            "uniqueItems" if value == &Value::Bool(true) => Test::Unique,
            "contains" => {
                let rule = Box::new(self.rule(value, path));
                let (min, max) = (
                    self.count(fields, above, "minContains", 1),
                    self.count(fields, above, "maxContains", usize::MAX),
                );
                Test::Contains { rule, min, max }
            }
            "properties" => self.properties(fields, above),
            "patternProperties" if lacks(&["properties"]) => self.properties(fields, above),
            "additionalProperties" if lacks(&["properties", "patternProperties"]) => {
                self.properties(fields, above)
            }
            "propertyNames" => Test::PropertyNames(Box::new(self.rule(value, path))),
            "required" => Test::Required(self.names(value, path)),
            "dependentRequired" => {
                let lists = self.object(value, path).iter();
                let lists: Vec<_> = lists.map(|(name, list)| (name.clone(), list.clone())).collect();
                Test::Dependent(
                    lists
                        .into_iter()
                        .map(|(name, list)| {
                            let names = self.names(&list, &format!("{path}/{}", escape(&name)));
                            (name, names)
                        })
                        .collect(),
                )
            }
            "dependentSchemas" => Test::DependentSchemas(self.rules_of(value, path)),
            "allOf" => Test::All(self.several(value, path)),
            "anyOf" => Test::Any(self.several(value, path)),
            "oneOf" => Test::One(self.several(value, path)),
            "not" => Test::Not(Box::new(self.rule(value, path))),
            "if" => {
                let condition = Box::new(self.rule(value, path));
                let mut part = |name: &str| {
                    fields.get(name).map(|value| Box::new(self.rule(value, &format!("{above}/{name}"))))
                };
                Test::If { condition, then: part("then"), otherwise: part("else") }
            }
            "$ref" => Test::Reference(self.reference(value, path)?),
            _ => return None,
        })
    }

    fn reference(&mut self, value: &Value, path: &str) -> Option<String> {
        let Some(pointer) = value.as_str().and_then(|text| text.strip_prefix('#')) else {
            self.wrong(path, "`$ref` leads only within the schema: `#/$defs/…`");
            return None;
        };
        if self.document.pointer(pointer).is_none() {
            self.wrong(path, format!("`#{pointer}` is not there"));
            return None;
        }
        self.open.push(pointer.to_owned());
        Some(pointer.to_owned())
    }

    fn kinds(&mut self, value: &Value, path: &str) -> Vec<Kind> {
        let names: Vec<&Value> = match value {
            Value::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        let mut kinds = Vec::new();
        for name in names {
            let text = name.as_str().unwrap_or_default();
            match KINDS.iter().find(|(known, _)| *known == text) {
                Some((_, kind)) => kinds.push(*kind),
                None => {
                    let suggestion = nearest(text, KINDS.iter().map(|(name, _)| *name)).map(str::to_owned);
                    let message = format!("{name} is not a type of JSON Schema");
                    self.wrong.push(Wrong { path: path.to_owned(), message, suggestion });
                }
            }
        }
        kinds
    }

    fn number(&mut self, value: &Value, path: &str) -> f64 {
        value.as_f64().unwrap_or_else(|| {
            self.wrong(path, format!("{value} is not a number"));
            0.0
        })
    }

    fn count(&mut self, fields: &Map<String, Value>, above: &str, name: &str, default: usize) -> usize {
        let Some(value) = fields.get(name) else { return default };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.unwrap_or_else(|| {
            self.wrong(&format!("{above}/{name}"), format!("{value} is not a whole number from 0"));
            default
        })
    }

    fn range(
        &mut self,
        fields: &Map<String, Value>,
        above: &str,
        min: &str,
        max: &str,
        test: impl Fn(usize, usize) -> Test,
    ) -> Test {
        let (min, max) = (self.count(fields, above, min, 0), self.count(fields, above, max, usize::MAX));
        test(min, max)
    }

    fn regex(&mut self, value: &Value, path: &str) -> Option<Pattern> {
        let Some(text) = value.as_str() else {
            self.wrong(path, "a pattern is text");
            return None;
        };
        self.pattern(text, path)
    }

    fn pattern(&mut self, text: &str, path: &str) -> Option<Pattern> {
        Pattern::new(text, "", Dialect::Schema).map_err(|why| self.wrong(path, why)).ok()
    }

    fn list<'v>(&mut self, value: &'v Value, path: &str) -> &'v [Value] {
        value.as_array().map_or_else(
            || {
                self.wrong(path, "a list is needed here");
                &[][..]
            },
            Vec::as_slice,
        )
    }

    fn object<'v>(&mut self, value: &'v Value, path: &str) -> &'v Map<String, Value> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        value.as_object().unwrap_or_else(|| {
            self.wrong(path, "a mapping is needed here");
            &EMPTY
        })
    }

    fn names(&mut self, value: &Value, path: &str) -> Vec<String> {
        let names: Vec<String> =
            self.list(value, path).iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if value.as_array().is_some_and(|all| all.len() != names.len()) {
            self.wrong(path, "a list of names is needed here");
        }
        names
    }

    fn several(&mut self, value: &Value, path: &str) -> Vec<Rule> {
        let schemas = self.list(value, path).iter().enumerate();
        schemas.map(|(index, schema)| self.rule(schema, &format!("{path}/{index}"))).collect()
    }

    fn rules_of(&mut self, value: &Value, path: &str) -> BTreeMap<String, Rule> {
        let fields = self.object(value, path).iter();
        fields
            .map(|(name, schema)| (name.clone(), self.rule(schema, &format!("{path}/{}", escape(name)))))
            .collect()
    }

    fn items(&mut self, fields: &Map<String, Value>, above: &str) -> Test {
        let prefix =
            fields.get("prefixItems").map(|value| self.several(value, &format!("{above}/prefixItems")));
        let rest = fields.get("items").map(|value| Box::new(self.rule(value, &format!("{above}/items"))));
        Test::Items { prefix: prefix.unwrap_or_default(), rest }
    }

    fn properties(&mut self, fields: &Map<String, Value>, above: &str) -> Test {
        let known =
            fields.get("properties").map(|value| self.rules_of(value, &format!("{above}/properties")));
        let mut patterns = Vec::new();
        if let Some(value) = fields.get("patternProperties") {
            let path = format!("{above}/patternProperties");
            for (pattern, schema) in self.object(value, &path) {
                let path = format!("{path}/{}", escape(pattern));
                if let Some(regex) = self.pattern(pattern, &path) {
                    patterns.push((regex, self.rule(schema, &path)));
                }
            }
        }
        let others = fields
            .get("additionalProperties")
            .map(|value| Box::new(self.rule(value, &format!("{above}/additionalProperties"))));
        Test::Properties { known: known.unwrap_or_default(), patterns, others }
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
