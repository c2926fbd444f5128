//! A fault: a step's failure as data, shaped like RFC 7807. It is stored, shown and caught; it is never a Rust panic.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Where the specification's own error types live.
const STANDARD: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// Where Tributary's own error types live; the rest of the address is the code, and each code has a page.
pub const OWN: &str = "https://tributary.dev/errors/";

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// A URI that names the kind of failure: the DSL's standard ones, or `https://tributary.dev/errors/<code>`.
    pub r#type: String,
    /// The HTTP status that tells it best (the vendor's own, where a vendor answered).
    pub status: u16,
    /// What kind of failure, in a few words; the same for every fault of a type.
    pub title: String,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The JSON pointer of the task that failed, filled in by the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// More for the one who has to act: the vendor's body, the field, the paths tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

macro_rules! standard {
    ($($(#[$doc:meta])* $name:ident, $slug:literal, $status:literal, $title:literal;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(detail: impl Into<String>) -> Self {
                Self::of(format!("{STANDARD}{}", $slug), $status, $title, detail)
            }
        )*
    };
}

impl Fault {
    /// A fault with a type of one's own.
    pub fn of(
        r#type: impl Into<String>,
        status: u16,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            r#type: r#type.into(),
            status,
            title: title.into(),
            detail: detail.into(),
            instance: None,
            data: None,
        }
    }

    /// A fault of Tributary's own, named by a code that has a page.
    pub fn coded(code: &str, status: u16, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::of(format!("{OWN}{code}"), status, title, detail)
    }

    standard! {
        /// The flow or a connection is set up wrongly.
        configuration, "configuration", 400, "Configuration error";
        /// Data is not of the shape that was asked for.
        validation, "validation", 400, "Validation error";
        /// An expression failed, or did more than expressions may.
        expression, "expression", 400, "Expression error";
        /// The other system does not know who we are.
        authentication, "authentication", 401, "Authentication error";
        /// The other system knows us and forbids it.
        authorization, "authorization", 403, "Authorization error";
        /// It took too long.
        timeout, "timeout", 408, "Timeout";
        /// The other system could not be reached or did not answer properly.
        communication, "communication", 500, "Communication error";
        /// The run itself cannot go on (a limit was reached, say).
        runtime, "runtime", 500, "Runtime error";
    }

    /// The same fault with more data for the one who has to act.
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The same fault at a task, unless one is named already.
    pub fn at(mut self, path: &str) -> Self {
        self.instance.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The last part of the type: `expression`, `mapping_missing`, …
    pub fn code(&self) -> &str {
        self.r#type.rsplit('/').next().unwrap_or(&self.r#type)
    }

    /// The fault as expressions see it.
    pub fn to_value(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("type".to_owned(), self.r#type.clone().into());
        object.insert("status".to_owned(), self.status.into());
        object.insert("title".to_owned(), self.title.clone().into());
        if !self.detail.is_empty() {
            object.insert("detail".to_owned(), self.detail.clone().into());
        }
        if let Some(instance) = &self.instance {
            object.insert("instance".to_owned(), instance.clone().into());
        }
        if let Some(data) = &self.data {
            object.insert("data".to_owned(), data.clone());
        }
        Value::Object(object)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.title, self.code(), self.status)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(instance) = &self.instance {
            write!(f, " at {instance}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_and_where() {
        let fault = Fault::expression("cannot add").at("/do/0/a").at("/do/1/b");
        assert_eq!(fault.to_string(), "Expression error (expression, 400): cannot add at /do/0/a");
        assert_eq!(fault.r#type, "https://serverlessworkflow.io/spec/1.0.0/errors/expression");
        assert_eq!(Fault::coded("mapping_missing", 422, "t", "d").code(), "mapping_missing");
    }

    #[test]
    fn decodes_what_it_encodes_and_sparse_ones() {
        let fault = Fault::communication("no route").with_data(serde_json::json!({"host": "a"}));
        assert_eq!(serde_json::from_value::<Fault>(fault.to_value()).unwrap(), fault);
        let sparse: Fault = serde_json::from_str(r#"{"type":"t","status":500,"title":"x"}"#).unwrap();
        assert_eq!((sparse.detail.as_str(), sparse.instance), ("", None));
    }
}
