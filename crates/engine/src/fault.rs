//! How failures of calls and of the engine itself look on a run.

use connect::{Class, Error};
use flow::Fault;
use serde_json::json;

/// Nobody knows whether an effect happened, and repeating it could make it happen twice: a person has to look.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";

/// A failed call. Vendors' answers are `communication` faults with the vendor's own status, as the DSL has it; refused
/// credentials are `authentication` or `authorization`; our own findings (`mapping_missing`, `argument_missing`, …)
/// keep their code.
pub fn of_call(operation: &str, error: &Error) -> Fault {
    let detail = format!("{operation}: {}", error.detail);
    let fault = match &error.class {
        _ if ours(&error.code) => Fault::coded(&error.code, status_of(error), title_of(&error.code), detail),
        Class::Auth if error.status == Some(403) => Fault::authorization(detail),
        Class::Auth => Fault::authentication(detail),
        _ => Fault { status: status_of(error), ..Fault::communication(detail) },
    };
    let mut data = json!({"class": error.class.name(), "code": error.code});
    if let Some(body) = &error.body {
        data["body"] = body.clone();
    }
    fault.with_data(data)
}

/// Codes of `connect`'s own findings: what was asked for, or what was answered, cannot be used. Every other code is the
/// vendor's.
const OURS: [&str; 6] = [
    "partly_refused",
    "host_refused",
    "key_invalid",
    "lookup_impossible",
    "list_too_long",
    "request_too_large",
];
/// The families of them.
const OUR_FAMILIES: [&str; 7] =
    ["argument_", "answer_", "credential_", "grant_", "mapping_", "pages_", "view_"];

fn ours(code: &str) -> bool {
    OURS.contains(&code) || OUR_FAMILIES.iter().any(|family| code.starts_with(family))
}

/// The vendor's status where it refused by one; some vendors refuse with a 200.
fn status_of(error: &Error) -> u16 {
    match (&error.class, error.status) {
        (_, Some(status)) if status >= 400 => status,
        (Class::NotFound, _) => 404,
        (Class::Conflict, _) => 409,
        (Class::User, _) => 400,
        (Class::Auth, _) => 401,
        (Class::Retry { .. }, _) => 503,
        (Class::Fatal, _) => 500,
    }
}

/// `mapping_missing` as people read it: `Mapping missing`.
fn title_of(code: &str) -> String {
    let mut title = code.replace(['_', '-'], " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// The lane or fact key of a flow could not be worked out for an event.
pub fn key(fault: Fault, which: &str) -> Fault {
    let detail = format!("document.metadata.{which}: {}", fault.detail);
    Fault { detail, ..fault.at(&format!("/document/metadata/{}", which.replace('.', "/"))) }
}

/// The limits on repetition are reached: what failed, and that it was given up.
pub fn exhausted(mut fault: Fault, why: &str) -> Fault {
    fault.detail = format!("{} ({why})", fault.detail);
    fault
}

/// An effect of which nobody knows whether it happened, and that must not be repeated.
pub fn outcome_unknown(operation: &str, why: &str) -> Fault {
    Fault::coded(
        OUTCOME_UNKNOWN,
        500,
        "Outcome unknown",
        format!(
            "{operation}: it was sent and no answer came; {why}. See at the vendor whether it happened. If not, retry the run."
        ),
    )
}

/// The journal and the flow disagree: results are there that the machine did not ask for.
pub fn journal_diverged(path: &str) -> Fault {
    Fault::coded(
        "journal_diverged",
        500,
        "Journal does not fit the flow",
        format!("the journal has a result of {path}, which the flow does not wait for at this point"),
    )
}

/// A limit of one run is reached.
pub fn limit(detail: String) -> Fault {
    Fault::coded("run_limit", 500, "Limit of a run reached", detail)
}

/// The flow's document does not parse any more, or is gone.
pub fn unusable(flow: &str, revision: u32, detail: &str) -> Fault {
    Fault::configuration(format!("flow `{flow}`, revision {revision}: {detail}"))
}

/// No connector has this operation.
pub fn operation_unknown(operation: &str) -> Fault {
    Fault::coded("operation_unknown", 400, "Operation unknown", format!("no connector has `{operation}`"))
}

/// A connection that the call names is not there or not of the right kind.
pub fn connection(detail: String) -> Fault {
    Fault::coded("connection_missing", 400, "Connection missing", detail)
}

/// A test-mode connection would feed a live one, or the reverse.
pub fn mode_mismatch(detail: String) -> Fault {
    Fault::coded("mode_mismatch", 400, "Test and live mode mixed", detail)
}

/// What `human.approve` was given does not make sense.
pub fn approval_invalid(why: &str) -> Fault {
    Fault::coded("approval_invalid", 422, "Approval", format!("human.approve: {why}"))
}

/// Nobody decided before the deadline.
pub fn approval_expired(title: &str, decisions: usize) -> Fault {
    let detail = format!("{title}: it was not decided before the deadline ({decisions} had answered)");
    Fault::coded("approval_expired", 408, "Approval expired", detail)
}

/// What `revenue.*` was given does not make sense.
pub fn revenue(operation: &str, field: &str, detail: &str) -> Fault {
    Fault::coded("revenue_input", 422, "Revenue input", format!("{operation}: {field}: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: Class, status: Option<u16>, code: &str) -> Error {
        Error { class, status, code: code.into(), detail: "d".into(), body: None, unknown: false }
    }

    #[test]
    fn every_class_has_its_fault() {
        let table = [
            (error(Class::Auth, Some(401), "unauthorized"), "authentication", 401),
            (error(Class::Auth, Some(403), "forbidden"), "authorization", 403),
            (error(Class::User, Some(422), "invalid"), "communication", 422),
            (error(Class::NotFound, Some(404), "resource_missing"), "communication", 404),
            (error(Class::Retry { after: None }, Some(429), "rate_limit"), "communication", 429),
            (error(Class::Retry { after: None }, None, "no_answer"), "communication", 503),
            (error(Class::NotFound, Some(200), "channel_not_found"), "communication", 404),
            (error(Class::User, Some(201), "partly_refused"), "partly_refused", 400),
            (error(Class::User, None, "argument_missing"), "argument_missing", 400),
            (error(Class::Fatal, Some(200), "mapping_missing"), "mapping_missing", 500),
        ];
        for (error, code, status) in table {
            let fault = of_call("a.b.c", &error);
            assert_eq!((fault.code(), fault.status), (code, status), "{error:?}");
            assert_eq!(fault.data.as_ref().map(|data| &data["code"]), Some(&json!(error.code)));
        }
        assert_eq!(of_call("o", &error(Class::Fatal, None, "mapping_missing")).title, "Mapping missing");
    }
}
