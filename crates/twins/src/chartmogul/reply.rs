//! Answers and refusals in ChartMogul's several shapes.

use serde_json::{Map, Value, json};

use crate::wire::Response;

/// `Err` is an answer too: one that refuses.
pub type Reply = Result<Response, Response>;

pub fn ok(body: &Value) -> Reply {
    Ok(Response::json(200, body))
}

pub fn created(body: &Value) -> Reply {
    Ok(Response::json(201, body))
}

pub fn accepted(body: &Value) -> Reply {
    Ok(Response::json(202, body))
}

pub fn no_content() -> Reply {
    Ok(Response { status: 204, ..Response::default() })
}

/// `{code, message, param}`: the gateway and the customers API.
pub fn coded(status: u16, message: &str, param: Option<&str>) -> Response {
    Response::json(status, &json!({"code": status, "message": message, "param": param}))
}

/// `{error}`: data sources.
pub fn error(status: u16, message: &str) -> Response {
    Response::json(status, &json!({"error": message}))
}

/// `{error, error_details}`: the import API.
pub fn not_found(param: &str, message: &str) -> Response {
    let details = json!([{"param": param, "code": "invalid", "message": message}]);
    Response::json(404, &json!({"error": message, "error_details": details}))
}

/// `{errors: {field: message}}`: most writes.
pub fn invalid(errors: &Errors) -> Response {
    Response::json(422, &json!({"errors": errors.0}))
}

/// One wrong field.
pub fn invalid_field(field: &str, message: &str) -> Response {
    let mut errors = Errors::default();
    errors.add(field, message);
    invalid(&errors)
}

/// Messages by field; the first message of a field stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(pub Map<String, Value>);

impl Errors {
    pub fn add(&mut self, field: &str, message: &str) {
        self.0.entry(field).or_insert_with(|| Value::from(message));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The messages that official clients compare with (`chartmogul-go`, `ErrVal…`).
pub mod message {
    pub const CUSTOMER_EXISTS: &str = "The external ID for this customer already exists in our system.";
    pub const PLAN_EXISTS: &str = "A plan with this identifier already exists in our system.";
    pub const INVOICE_EXISTS: &str = "The external ID for this invoice already exists in our system.";
    pub const LINE_EXISTS: &str = "The external ID for this line item already exists in our system.";
    pub const TAKEN: &str = "has already been taken";
    pub const NAME_TAKEN: &str = "Has already been taken.";
    pub const BLANK: &str = "can't be blank";
}
