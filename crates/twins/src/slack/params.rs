//! Parameters of a call: from the query, a form or a JSON body, all alike.

use serde_json::{Map, Value};

use crate::wire::Request;

/// What a method was given.
#[derive(Debug)]
pub struct Params(Map<String, Value>);

impl Params {
    /// # Errors
    /// Slack's error code, when the body can't be read.
    pub fn of(request: &Request) -> Result<Params, &'static str> {
        let mut params = Map::new();
        let mut form = |text: &[u8]| {
            for (key, value) in form_urlencoded::parse(text) {
                params.insert(key.into_owned(), Value::from(value.into_owned()));
            }
        };
        form(request.query.as_bytes());
        let kind = request.header("content-type").unwrap_or_default();
        if kind.starts_with("application/json") {
            if !request.body.is_empty() {
                match serde_json::from_slice(&request.body) {
                    Ok(Value::Object(body)) => params.extend(body),
                    Ok(_) => return Err("json_not_object"),
                    Err(_) => return Err("invalid_json"),
                }
            }
        } else if kind.starts_with("application/x-www-form-urlencoded") || request.body.is_empty() {
            form(&request.body);
        } else {
            return Err("invalid_post_type");
        }
        Ok(Params(params))
    }

    /// A text that isn't empty.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        match self.0.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    pub fn number(&self, key: &str) -> Option<usize> {
        self.text(key)?.parse().ok()
    }

    /// A structure: JSON as such, or JSON in a string, as forms have it.
    ///
    /// # Errors
    /// When a string is no JSON.
    pub fn structure(&self, key: &str) -> Result<Option<Value>, ()> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| ()),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}
