//! What goes wrong at HTTP, as `application/problem+json` (RFC 9457). One [`Code`] per kind of trouble,
//! and one page `docs/errors/<code>.md` per code.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// Where the page of a code is published.
pub const TYPE_BASE: &str = "https://tributary.dev/errors/";

macro_rules! codes {
    ($($variant:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// Every problem this server answers with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $title] $variant),* }

        impl Code {
            /// All codes, in the order of their declaration.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The stable name: the `code` member and the name of the page.
            pub fn slug(self) -> &'static str {
                match self { $(Code::$variant => $slug),* }
            }

            /// The short human title.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status),* }
            }
        }
    };
}

codes! {
    HookUnknown = NOT_FOUND, "hook_unknown", "No such webhook address";
    SecretMissing = UNAUTHORIZED, "secret_missing", "The webhook has no signing secret";
    SignatureMissing = BAD_REQUEST, "signature_missing", "The signature is missing";
    SignatureMalformed = BAD_REQUEST, "signature_malformed", "The signature cannot be read";
    SignatureWrong = BAD_REQUEST, "signature_wrong", "The signature does not match";
    SignatureOld = BAD_REQUEST, "signature_old", "The signature is too old";
    ModeMismatch = BAD_REQUEST, "mode_mismatch", "Test and live do not mix";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    BodyUnreadable = BAD_REQUEST, "body_unreadable", "The body could not be read";
    BodyTimeout = REQUEST_TIMEOUT, "body_timeout", "The body took too long to arrive";
    StoreUnavailable = SERVICE_UNAVAILABLE, "store_unavailable", "The store is not available";
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid token is needed";
    RouteUnknown = NOT_FOUND, "route_unknown", "No such address";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take that method";
    MalformedJson = BAD_REQUEST, "malformed_json", "The body is not the JSON expected";
    InvalidInput = UNPROCESSABLE_ENTITY, "invalid_input", "Something given is not right";
    FlowInvalid = UNPROCESSABLE_ENTITY, "flow_invalid", "The flow has errors";
    ConnectorUnknown = NOT_FOUND, "connector_unknown", "No such connector";
    ConnectionUnknown = NOT_FOUND, "connection_unknown", "No such connection";
    ConnectionInUse = CONFLICT, "connection_in_use", "Flows still use this connection";
    TemplateUnknown = NOT_FOUND, "template_unknown", "No such template";
    FlowUnknown = NOT_FOUND, "flow_unknown", "No such flow";
    EventUnknown = NOT_FOUND, "event_unknown", "No such event";
    RunUnknown = NOT_FOUND, "run_unknown", "No such run";
    ApprovalUnknown = NOT_FOUND, "approval_unknown", "No such approval";
    LinkInvalid = NOT_FOUND, "link_invalid", "The link is not valid";
    LinkExpired = GONE, "link_expired", "The time to decide is over";
    WrongState = CONFLICT, "wrong_state", "Not possible in its present state";
    VendorRefused = BAD_GATEWAY, "vendor_refused", "The vendor refuses it";
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something broke inside";
}

/// One thing that is wrong with what was given: which field, what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The member of the body, or the query parameter: `credentials.api_key`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
    /// What to give instead.
    pub remedy: String,
}

/// A problem on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What happened here, in words for the caller.
    pub detail: String,
    /// After how many seconds trying again makes sense (`Retry-After`).
    pub retry_after_s: Option<u32>,
    /// Further members of the document.
    pub extra: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind, with what happened.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), retry_after_s: None, extra: Map::new() }
    }

    /// Says when to come back.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds a member.
    pub fn with(mut self, name: &str, value: Value) -> Problem {
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// One wrong field.
    pub fn field(field: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::fields(vec![FieldError {
            field: field.into(),
            detail: detail.into(),
            remedy: remedy.into(),
        }])
    }

    /// Several wrong fields, told at once.
    pub fn fields(errors: Vec<FieldError>) -> Problem {
        let detail = errors
            .iter()
            .map(|e| format!("{}: {}; {}", e.field, e.detail, e.remedy))
            .collect::<Vec<_>>()
            .join("; ");
        Problem::new(Code::InvalidInput, detail).with("errors", json!(errors))
    }

    /// The document as JSON.
    pub fn document(&self) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), format!("{TYPE_BASE}{}", self.code.slug()).into());
        map.insert("title".into(), self.code.title().into());
        map.insert("status".into(), self.code.status().as_u16().into());
        map.insert("detail".into(), self.detail.as_str().into());
        map.insert("code".into(), self.code.slug().into());
        for (name, value) in &self.extra {
            map.insert(name.clone(), value.clone());
        }
        Value::Object(map)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.document().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_code_has_its_page() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let missing: Vec<_> =
            Code::ALL.iter().map(|c| c.slug()).filter(|c| !pages.join(format!("{c}.md")).is_file()).collect();
        assert!(missing.is_empty(), "docs/errors lacks a page for: {missing:?}");
    }

    #[test]
    fn codes_are_distinct() {
        let mut slugs: Vec<_> = Code::ALL.iter().map(|c| c.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Code::ALL.len());
    }

    #[test]
    fn a_problem_is_an_rfc_9457_document() {
        let problem = Problem::field("name", "is empty", "give a name").retry_after(5);
        assert_eq!(
            problem.document(),
            json!({
                "type": "https://tributary.dev/errors/invalid_input",
                "title": "Something given is not right",
                "status": 422,
                "detail": "name: is empty; give a name",
                "code": "invalid_input",
                "errors": [{"field": "name", "detail": "is empty", "remedy": "give a name"}],
            })
        );
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }
}
