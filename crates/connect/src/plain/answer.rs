//! What an answer is worth: the output that was asked for, or an error with the answer's own status.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Output, Request};
use crate::error::{Class, Error};
use crate::wire::Response;

/// How much of a refusal's body is kept in the error, in bytes of JSON.
const BODY_KEPT_MAX: usize = 4 << 10;

pub fn interpret(request: &Request, response: Response) -> Result<Value, Error> {
    let last = if request.redirect { 399 } else { 299 };
    if !(200..=last).contains(&response.status) {
        return Err(refusal(request, &response));
    }
    match request.output {
        Output::Raw => Ok(Value::String(STANDARD.encode(&response.body))),
        Output::Content => content(&response),
        Output::Response => {
            let content = content(&response)?;
            let headers = |headers: &[(String, String)]| {
                headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone().into()))
                    .collect::<Map<_, _>>()
            };
            Ok(json!({
                "request": {
                    "method": request.method.to_ascii_lowercase(),
                    "uri": request.url,
                    "headers": headers(&request.headers),
                },
                "statusCode": response.status,
                "headers": headers(&response.headers),
                "content": content,
            }))
        }
    }
}

/// JSON as its value, text as text, anything else in base64; null where there is nothing.
fn content(response: &Response) -> Result<Value, Error> {
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    let kind = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind == "application/json" || kind.ends_with("+json") {
        return serde_json::from_slice(&response.body)
            .map_err(|error| Error::fatal("answer_unreadable", format!("the answer is not JSON: {error}")));
    }
    let textual =
        kind.is_empty() || kind.starts_with("text/") || kind.ends_with("xml") || kind.contains("yaml");
    match std::str::from_utf8(&response.body) {
        Ok(text) if textual || kind.contains("form") => Ok(text.into()),
        _ => Ok(STANDARD.encode(&response.body).into()),
    }
}

fn refusal(request: &Request, response: &Response) -> Error {
    let status = response.status;
    let class = match status {
        404 | 410 => Class::NotFound,
        409 => Class::Conflict,
        408 | 425 | 429 | 500.. => Class::Retry { after: None },
        _ => Class::User,
    };
    let body =
        content(response).ok().filter(|body| !body.is_null() && body.to_string().len() <= BODY_KEPT_MAX);
    let host = request.url.split('?').next().unwrap_or_default();
    Error {
        class,
        status: Some(status),
        code: format!("http_{status}"),
        detail: format!("{} {host} was answered {status}", request.method),
        body,
        unknown: request.writes() && status >= 500,
    }
}
