//! Errors in Stripe's shape.

use serde_json::{Map, Value, json};

use super::model::Decline;

/// An answer other than success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {kind}: {message}")]
pub struct Error {
    pub status: u16,
    /// `invalid_request_error`, `card_error`, `idempotency_error`, `api_error`.
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub message: String,
    pub param: Option<String>,
    pub(super) payment: Option<Box<Payment>>,
}

/// What a refused payment was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    pub decline: Decline,
    pub intent: Option<String>,
    pub charge: Option<String>,
}

impl Error {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: String) -> Error {
        Error { status, kind, code, message, param: None, payment: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Error {
        Error::new(400, "invalid_request_error", None, message.into())
    }

    pub(super) fn coded(code: &'static str, message: impl Into<String>) -> Error {
        Error::new(400, "invalid_request_error", Some(code), message.into())
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Error {
        Error::new(401, "invalid_request_error", None, message.into())
    }

    /// The object named in the path does not exist: 404.
    pub(super) fn missing(kind: &str, id: &str, param: &str) -> Error {
        Error::new(404, "invalid_request_error", Some("resource_missing"), format!("No such {kind}: '{id}'"))
            .at(param)
    }

    /// The object named by a parameter does not exist: 400.
    pub(super) fn missing_param(kind: &str, id: &str, param: &str) -> Error {
        Error { status: 400, ..Error::missing(kind, id, param) }
    }

    pub(super) fn unknown_route(method: &str, path: &str) -> Error {
        let message = format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at \
             https://support.stripe.com/."
        );
        Error::new(404, "invalid_request_error", None, message)
    }

    pub(super) fn required(param: &str) -> Error {
        Error::coded("parameter_missing", format!("Missing required param: {param}.")).at(param)
    }

    pub(super) fn unknown_params(params: &[String]) -> Error {
        let noun = if params.len() == 1 { "parameter" } else { "parameters" };
        let message = format!("Received unknown {noun}: {}", params.join(", "));
        let first = params.first().cloned().unwrap_or_default();
        Error::coded("parameter_unknown", message).at(&first)
    }

    pub(super) fn not_simulated(param: &str) -> Error {
        Error::invalid(format!("This Stripe twin does not simulate `{param}`.")).at(param)
    }

    pub(super) fn integer(param: &str, value: &str) -> Error {
        Error::coded("parameter_invalid_integer", format!("Invalid integer: {value}")).at(param)
    }

    pub(super) fn choice(param: &str, value: &str, choices: &str) -> Error {
        Error::invalid(format!("Invalid {param}: must be one of {choices} (received {value})")).at(param)
    }

    pub(super) fn idempotency(message: impl Into<String>) -> Error {
        Error::new(400, "idempotency_error", None, message.into())
    }

    pub(super) fn api(message: impl Into<String>) -> Error {
        Error::new(500, "api_error", None, message.into())
    }

    pub(super) fn declined(decline: &Decline) -> Error {
        let mut error = Error::new(402, "card_error", Some(decline.code), decline.message.to_owned());
        error.payment = Some(Box::new(Payment { decline: decline.clone(), intent: None, charge: None }));
        error
    }

    #[must_use]
    pub(super) fn at(mut self, param: &str) -> Error {
        self.param = Some(param.to_owned());
        self
    }

    #[must_use]
    pub(super) fn of_payment(mut self, payment_intent: &str, charge: Option<&str>) -> Error {
        if let Some(payment) = &mut self.payment {
            payment.intent = Some(payment_intent.to_owned());
            payment.charge = charge.map(str::to_owned);
        }
        self
    }

    /// Errors found before an operation began are not remembered under an idempotency key.
    pub(super) fn is_validation(&self) -> bool {
        self.status == 401
            || self.code.is_some_and(|code| code.starts_with("parameter_"))
            || self.kind == "idempotency_error"
    }

    /// The body, with the payment intent rendered by the caller where there is one.
    pub(super) fn body(&self, request: &str, payment_intent: Option<Value>) -> Value {
        let mut error = Map::new();
        let payment = self.payment.as_deref();
        if let Some(charge) = payment.and_then(|payment| payment.charge.as_ref()) {
            error.insert("charge".into(), json!(charge));
        }
        if let Some(code) = self.code {
            error.insert("code".into(), json!(code));
            if let Some(reason) = payment.and_then(|payment| payment.decline.decline_code) {
                error.insert("decline_code".into(), json!(reason));
            }
            let page = code.replace('_', "-");
            error.insert("doc_url".into(), json!(format!("https://stripe.com/docs/error-codes/{page}")));
        }
        error.insert("message".into(), json!(self.message));
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        } else if self.kind == "card_error" {
            error.insert("param".into(), json!(""));
        }
        if let Some(intent) = payment_intent {
            error.insert("payment_intent".into(), intent);
        }
        let log = format!("https://dashboard.stripe.com/test/logs/{request}");
        error.insert("request_log_url".into(), json!(log));
        error.insert("type".into(), json!(self.kind));
        json!({ "error": error })
    }
}
