//! Reads what stands around the tasks: the document's head, its metadata, its schedule and its reusable parts.

use indexmap::IndexMap;
use serde_json::Value;

use super::parse::{At, Reader};
use super::{Batch, Concurrency, Mode, OnFailure, Setting, SettingKind};
use crate::Expression;
use crate::expression::is_expression;
use crate::yaml::Kind;

/// The versions of the language that are understood.
const VERSIONS: &[&str] = &["1.0.0", "1.0.1", "1.0.2", "1.0.3"];

/// Whose lives runs tell of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    #[default]
    Nothing,
    /// Their own.
    Runs,
    /// Their own and their tasks'.
    Tasks,
}

/// What `document` says.
#[derive(Debug, Default)]
pub struct Head {
    pub name: String,
    pub namespace: String,
    pub version: String,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub metadata: Value,
    pub settings: IndexMap<String, Setting>,
    pub concurrency: Option<Concurrency>,
    pub dedup: Option<Expression>,
    pub lifecycle: Lifecycle,
    pub batch: Option<Batch>,
}

impl<'a> Reader<'a> {
    /// `document`.
    pub fn head(&mut self, root: &At<'a>) -> Head {
        let Some(at) = root.get("document") else {
            self.missing(root, "a flow", "document");
            return Head::default();
        };
        let known = ["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"];
        self.only(&at, "`document`", &known, &[]);
        if let Some(dsl) = self.required(&at, "dsl")
            && !VERSIONS.contains(&dsl)
        {
            let at = at.get("dsl").unwrap_or_else(|| at.clone());
            let message = format!("version `{dsl}` of the language is not supported; 1.0.3 is");
            self.report(at.node.place, &at.path, "unsupported", message, Some("1.0.3".to_owned()));
        }
        let mut head = Head {
            name: self.named_part(&at, "name"),
            namespace: self.named_part(&at, "namespace"),
            version: self.version(&at),
            title: self.optional(&at, "title"),
            summary: self.optional(&at, "summary"),
            ..Head::default()
        };
        if let Some(metadata) = at.get("metadata") {
            self.metadata(&metadata, &mut head);
        }
        head
    }

    fn required(&mut self, at: &At<'a>, name: &str) -> Option<&'a str> {
        match at.get(name) {
            Some(field) => self.literal(&field, &format!("`document.{name}`")),
            None => {
                self.missing(at, "`document`", name);
                None
            }
        }
    }

    fn optional(&mut self, at: &At<'a>, name: &str) -> Option<String> {
        let field = at.get(name)?;
        self.literal(&field, &format!("`{name}`")).map(str::to_owned)
    }

    /// A name as in host names: it ends up in paths and keys.
    fn named_part(&mut self, at: &At<'a>, name: &str) -> String {
        let Some(text) = self.required(at, name) else { return String::new() };
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !(plain && text.len() <= 63 && edge(text.chars().next()) && edge(text.chars().last())) {
            let at = at.get(name).unwrap_or_else(|| at.clone());
            self.problem(
                &at,
                "wrong_name",
                format!("`{text}`: {name} is 1 to 63 letters, digits and inner hyphens"),
            );
        }
        text.to_owned()
    }

    fn version(&mut self, at: &At<'a>) -> String {
        let Some(text) = self.required(at, "version") else { return String::new() };
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let number =
            |part: &str| !part.is_empty() && part.len() < 10 && part.chars().all(|c| c.is_ascii_digit());
        if core.split('.').count() != 3 || !core.split('.').all(number) || text.len() > 64 {
            let at = at.get("version").unwrap_or_else(|| at.clone());
            self.problem(&at, "wrong_name", format!("`{text}` is not a semantic version such as `1.0.0`"));
        }
        text.to_owned()
    }

    /// `document.metadata`: our own fields are checked, all others are the author's.
    fn metadata(&mut self, at: &At<'a>, head: &mut Head) {
        if !matches!(at.node.kind, Kind::Map(_)) {
            self.expected(at, "`document.metadata`", "a mapping");
            return;
        }
        head.metadata = at.node.to_value();
        if let Some(title) = self.optional(at, "title") {
            head.title.get_or_insert(title);
        }
        if let Some(summary) = self.optional(at, "summary") {
            head.summary.get_or_insert(summary);
        }
        if let Some(settings) = at.get("settings") {
            head.settings = self.settings_of(&settings);
        }
        self.settings = head.settings.keys().cloned().collect();
        if let Some(concurrency) = at.get("concurrency") {
            head.concurrency = self.concurrency(&concurrency);
        }
        if let Some(dedup) = at.get("dedup") {
            self.only(&dedup, "`dedup`", &["key"], &[]);
            match dedup.get("key") {
                Some(key) => head.dedup = self.key(&key, "`dedup.key`"),
                None => self.missing(&dedup, "`dedup`", "key"),
            }
        }
        if let Some(batch) = at.get("batch") {
            head.batch = self.batch(&batch);
        }
        if let Some(alerts) = at.get("alerts") {
            self.alerts(&alerts);
        }
        if let Some(lifecycle) = at.get("lifecycle") {
            match &lifecycle.node.kind {
                Kind::Bool(false) => {}
                Kind::Bool(true) => head.lifecycle = Lifecycle::Runs,
                _ if lifecycle.node.as_str() == Some("tasks") => head.lifecycle = Lifecycle::Tasks,
                _ => self.expected(&lifecycle, "`lifecycle`", "true, false or `tasks`"),
            }
        }
    }

    /// Where failed runs of this flow are told.
    fn alerts(&mut self, at: &At<'a>) {
        if !matches!(at.node.kind, Kind::Map(_)) {
            return self.expected(at, "`alerts`", "a mapping");
        }
        self.only(at, "`alerts`", &["call", "with", "only"], &[]);
        match at.get("call") {
            Some(call) => drop(self.literal(&call, "`alerts.call`")),
            None => self.missing(at, "`alerts`", "call"),
        }
        if let Some(with) = at.get("with")
            && !matches!(with.node.kind, Kind::Map(_))
        {
            self.expected(&with, "`alerts.with`", "a mapping");
        }
        if let Some(only) = at.get("only")
            && !only.node.to_value().is_boolean()
        {
            self.expected(&only, "`alerts.only`", "true or false");
        }
    }

    fn settings_of(&mut self, at: &At<'a>) -> IndexMap<String, Setting> {
        if !matches!(at.node.kind, Kind::Map(_)) {
            self.expected(at, "`settings`", "a mapping");
        }
        let mut settings = IndexMap::new();
        for (name, _, setting) in at.fields() {
            let what = format!("setting `{name}`");
            self.only(&setting, &what, &["description", "default", "type"], &[]);
            let description = self.optional(&setting, "description");
            if description.is_none() {
                self.missing(&setting, &what, "description");
            }
            let default = setting.get("default").map(|default| default.node.to_value());
            let kind = match setting.get("type") {
                Some(kind) => self.setting_kind(&kind),
                None => default.as_ref().map_or(SettingKind::Any, SettingKind::of),
            };
            if let (Some(value), Some(at)) = (&default, setting.get("default"))
                && !kind.allows(value)
            {
                self.problem(&at, "wrong_type", format!("the default of {what} is not of its type"));
            }
            settings.insert(
                name.to_owned(),
                Setting { description: description.unwrap_or_default(), default, kind },
            );
        }
        settings
    }

    fn setting_kind(&mut self, at: &At<'a>) -> SettingKind {
        let Some(text) = self.literal(at, "`type`") else { return SettingKind::Any };
        let kinds = [
            ("string", SettingKind::String),
            ("number", SettingKind::Number),
            ("boolean", SettingKind::Boolean),
            ("list", SettingKind::List),
            ("object", SettingKind::Object),
        ];
        let found = kinds.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        found.unwrap_or_else(|| {
            let message =
                format!("`{text}` is not a type of setting: string, number, boolean, list and object are");
            self.problem(at, "wrong_type", message);
            SettingKind::Any
        })
    }

    fn concurrency(&mut self, at: &At<'a>) -> Option<Concurrency> {
        self.only(at, "`concurrency`", &["key", "mode", "onFailure"], &[]);
        let key = match at.get("key") {
            Some(key) => self.key(&key, "`concurrency.key`"),
            None => {
                self.missing(at, "`concurrency`", "key");
                None
            }
        };
        let mode = self.choice(at, "mode", &[("queue", Mode::Queue), ("latest", Mode::Latest)]);
        let on_failure =
            self.choice(at, "onFailure", &[("continue", OnFailure::Continue), ("hold", OnFailure::Hold)]);
        Some(Concurrency {
            key: key?,
            mode: mode.unwrap_or(Mode::Queue),
            on_failure: on_failure.unwrap_or(OnFailure::Continue),
        })
    }

    fn choice<T: Copy>(&mut self, at: &At<'a>, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let field = at.get(name)?;
        let text = self.literal(&field, &format!("`{name}`"))?;
        let found = choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value);
        if found.is_none() {
            let all =
                choices.iter().map(|(choice, _)| format!("`{choice}`")).collect::<Vec<_>>().join(" or ");
            self.problem(&field, "wrong_type", format!("`{name}` is {all}, not `{text}`"));
        }
        found
    }

    /// The key of a lane or fact: an expression over the event; there is no step or input yet.
    pub fn key(&mut self, at: &At<'a>, what: &str) -> Option<Expression> {
        let text = self.text(at, what)?;
        if !is_expression(text) {
            self.problem(
                at,
                "missing_expression",
                format!("{what} is an expression over the event: `${{ .data… }}`"),
            );
            return None;
        }
        self.expression(at, what)
    }
}

impl SettingKind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// Whether a value is of this kind; null is of none but `Any`.
    pub fn allows(self, value: &Value) -> bool {
        self == Self::Any || self == Self::of(value)
    }
}

#[cfg(test)]
mod tests {
    use crate::Document;

    #[test]
    fn lives_are_told_where_the_flow_says_so() {
        let read = |metadata: &str| {
            let text = format!(
                "document: {{dsl: '1.0.3', namespace: t, name: t, version: '1.0.0', metadata: {{{metadata}}}}}\n\
                 do: [{{a: {{set: {{x: 1}}}}}}]\n"
            );
            Document::parse("t.yaml", &text)
        };
        for (metadata, told) in [
            ("", (false, false)),
            ("lifecycle: false", (false, false)),
            ("lifecycle: true", (true, false)),
            ("lifecycle: tasks", (true, true)),
        ] {
            let document = read(metadata).unwrap();
            assert_eq!((document.tells_life(), document.tells_tasks()), told, "{metadata}");
        }
        for wrong in ["lifecycle: task", "lifecycle: [tasks]", "lifecycle: 1"] {
            let found = read(wrong).unwrap_err();
            assert!(found[0].message.contains("true, false or `tasks`"), "{wrong}: {found:?}");
        }
    }
}
