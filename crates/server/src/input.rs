//! Reading what a caller gave: all mistakes at once, each with its field and what would be right.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::problem::{Code, FieldError, Problem};

/// A REST body larger than this is refused; flows are far smaller.
pub const REST_BODY_BYTES_MAX: usize = 1024 * 1024;
/// A folder of flows sent at once.
pub const FOLDER_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A body that takes longer than this to arrive holds a connection hostage.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(15);
/// Rows of a list that names no limit.
const LIST_LIMIT_DEFAULT: u32 = 50;
/// Rows of a list at most.
const LIST_LIMIT_MAX: u32 = 500;

/// The whole body, if it is not larger than `bytes_max` and comes in time.
pub async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIME_MAX, axum::body::to_bytes(body, bytes_max)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => {
            Err(Problem::new(Code::BodyTooLarge, format!("at most {bytes_max} bytes are taken")))
        }
        Ok(Err(error)) => Err(Problem::new(Code::BodyUnreadable, error.to_string())),
        Err(_) => {
            Err(Problem::new(Code::BodyTimeout, format!("not complete after {} s", BODY_TIME_MAX.as_secs())))
        }
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The members of a JSON object, taken one by one.
pub struct Fields {
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads a body that must be a JSON object; an empty body is an empty object.
    pub async fn read(body: Body) -> Result<Fields, Problem> {
        Fields::read_up_to(body, REST_BODY_BYTES_MAX).await
    }

    /// The same with another limit.
    pub async fn read_up_to(body: Body, bytes_max: usize) -> Result<Fields, Problem> {
        let bytes = read_body(body, bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Fields { map: Map::new(), errors: Vec::new() });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Fields { map, errors: Vec::new() }),
            Ok(_) => Err(Problem::new(Code::MalformedJson, "the body is JSON, but not an object: send {…}")),
            // The error tells line and column, and never the text: it may hold a credential.
            Err(error) => Err(Problem::new(
                Code::MalformedJson,
                format!("the body is not JSON (line {}, column {})", error.line(), error.column()),
            )),
        }
    }

    /// Notes a mistake that the caller of this found.
    pub fn wrong(&mut self, field: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), detail: detail.into(), remedy: remedy.into() });
    }

    /// A text that must be there; empty where it is not (the mistake is noted).
    pub fn text(&mut self, name: &str, remedy: &str) -> String {
        match self.map.shift_remove(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => text,
            Some(Value::String(_)) => self.missing(name, "is empty", remedy),
            Some(_) => self.missing(name, "is not a string", remedy),
            None => self.missing(name, "is missing", remedy),
        }
    }

    fn missing(&mut self, name: &str, detail: &str, remedy: &str) -> String {
        self.wrong(name, detail, remedy);
        String::new()
    }

    /// A text that may be left out.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.map.shift_remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.wrong(name, "is not a string", "give a string or leave it out");
                None
            }
        }
    }

    /// A text that may be left out (`None`) or taken away with null (`Some(None)`).
    pub fn changed_text(&mut self, name: &str) -> Option<Option<String>> {
        if self.map.get(name).is_some_and(Value::is_null) {
            self.map.shift_remove(name);
            return Some(None);
        }
        self.optional_text(name).map(Some)
    }

    /// Anything that may be left out.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name)
    }

    /// A yes or no that may be left out.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.map.shift_remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(flag),
            Some(_) => {
                self.wrong(name, "is not true or false", "give true or false");
                None
            }
        }
    }

    /// A whole number from 1 that may be left out.
    pub fn optional_number(&mut self, name: &str) -> Option<u32> {
        let value = self.map.shift_remove(name).filter(|value| !value.is_null())?;
        let number =
            value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        if number.is_none() {
            self.wrong(name, "is not a whole number from 1", "give one or leave it out");
        }
        number
    }

    /// A list that may be left out.
    pub fn list(&mut self, name: &str) -> Vec<Value> {
        match self.map.shift_remove(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.wrong(name, "is not a list", "give […]");
                Vec::new()
            }
        }
    }

    /// An object that may be left out.
    pub fn object(&mut self, name: &str) -> Map<String, Value> {
        match self.map.shift_remove(name) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.wrong(name, "is not an object", "give {\"name\": value, …}");
                Map::new()
            }
        }
    }

    /// An object of texts that may be left out.
    pub fn texts(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.object(name) {
            match value {
                Value::String(text) => {
                    texts.insert(key, text);
                }
                _ => self.wrong(&format!("{name}.{key}"), "is not a string", "give a string"),
            }
        }
        texts
    }

    /// Ends the reading: whatever is left over was not asked for.
    pub fn finish(mut self, known: &[&str]) -> Result<(), Problem> {
        let unknown: Vec<String> = self.map.keys().cloned().collect();
        for name in unknown {
            self.wrong(&name, "is not known here", format!("known are: {}", known.join(", ")));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }
}

/// The parameters of a query, taken one by one.
pub struct Parameters {
    map: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl Parameters {
    /// Reads them off the part of the address behind `?`.
    pub fn new(map: BTreeMap<String, String>) -> Parameters {
        Parameters { map, errors: Vec::new() }
    }

    /// One of them as text; empty counts as not given.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.map.remove(name).filter(|text| !text.is_empty())
    }

    /// One of a few words.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        self.wrong(name, format!("`{text}` is none"), format!("give one of: {}", words.join(", ")));
        None
    }

    /// A point in time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                self.wrong(name, format!("`{text}` is no time"), "write it like 2026-11-20T00:00:00Z");
                None
            }
        }
    }

    /// Where the page before ended.
    pub fn cursor(&mut self) -> Option<i64> {
        let text = self.text("cursor")?;
        let cursor = text.parse().ok();
        if cursor.is_none() {
            self.wrong("cursor", format!("`{text}` is none"), "give the `next` of the page before");
        }
        cursor
    }

    /// How many rows.
    pub fn limit(&mut self) -> u32 {
        let Some(text) = self.text("limit") else { return LIST_LIMIT_DEFAULT };
        match text.parse() {
            Ok(limit @ 1..=LIST_LIMIT_MAX) => limit,
            _ => {
                self.wrong(
                    "limit",
                    format!("`{text}` is out of range"),
                    format!("give 1 to {LIST_LIMIT_MAX}"),
                );
                LIST_LIMIT_DEFAULT
            }
        }
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, field: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), detail: detail.into(), remedy: remedy.into() });
    }

    /// Ends the reading: a filter that is not known must not be ignored silently.
    pub fn finish(mut self, known: &[&str]) -> Result<(), Problem> {
        let unknown: Vec<String> = self.map.keys().cloned().collect();
        for name in unknown {
            self.wrong(&name, "is not known here", format!("known are: {}", known.join(", ")));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fields(text: &str) -> Fields {
        Fields::read(Body::from(text.to_owned())).await.expect("an object")
    }

    fn wrong_fields(problem: &Problem) -> Vec<String> {
        let errors = problem.extra["errors"].as_array().expect("a list");
        errors.iter().map(|e| e["field"].as_str().expect("text").to_owned()).collect()
    }

    #[tokio::test]
    async fn every_mistake_is_told_at_once() {
        let mut fields =
            fields(r#"{"name": 1, "live": "yes", "settings": [], "extra": 1, "map": {"a": 2}}"#).await;
        fields.text("name", "give a name");
        fields.text("connector", "give one");
        fields.optional_flag("live");
        fields.object("settings");
        fields.texts("map");
        let problem = fields.finish(&["name"]).expect_err("five mistakes");
        assert_eq!(wrong_fields(&problem), ["name", "connector", "live", "settings", "map.a", "extra"]);
        assert!(problem.detail.contains("connector: is missing; give one"), "{}", problem.detail);
    }

    #[tokio::test]
    async fn bodies_that_are_no_object_are_refused_without_repeating_them() {
        for text in ["[1]", "\"sk_live_1\"", "{\"api_key\": sk_live_1"] {
            let Err(problem) = Fields::read(Body::from(text)).await else { panic!("{text} was taken") };
            assert_eq!(problem.code, Code::MalformedJson);
            assert!(!problem.detail.contains("sk_live"), "{}", problem.detail);
        }
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        assert_eq!(read_body(Body::from(vec![0; 10]), 10).await.expect("fits").len(), 10);
        assert_eq!(
            read_body(Body::from(vec![0; 11]), 10).await.expect_err("too large").code,
            Code::BodyTooLarge
        );
    }

    #[test]
    fn queries_are_checked() {
        let query =
            [("limit", "501"), ("since", "yesterday"), ("outcome", "lost"), ("colour", "red"), ("type", "")];
        let mut parameters =
            Parameters::new(query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(parameters.text("type"), None);
        parameters.limit();
        parameters.time("since");
        parameters.word("outcome", &["run", "stale"]);
        let problem = parameters.finish(&["limit"]).expect_err("four mistakes");
        assert_eq!(wrong_fields(&problem), ["limit", "since", "outcome", "colour"]);
    }
}
