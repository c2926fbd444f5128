//! `POST /hooks/{hook}`: a vendor delivers an event. Verify, store durably, answer; the rest happens later.
//!
//! | what comes | answer | effect |
//! |---|---|---|
//! | an address nobody was given | 404 `hook_unknown` | counted |
//! | more than [`BODY_BYTES_MAX`] | 413 `body_too_large` | counted |
//! | no signing secret is configured | 401 `secret_missing` | counted, logged |
//! | signature missing, unreadable, wrong or old | 400 `signature_…` | counted |
//! | signed, and only asks whether somebody is there | 200, as the manifest says | none |
//! | signed, but no event | 200 | quarantined, visible among the events |
//! | an event of live mode on a test connection, or the reverse | 400 `mode_mismatch` | counted, logged |
//! | an event seen before | 200 | none |
//! | an event | 200 | stored before the answer |
//! | the store fails | 503 `store_unavailable`, `Retry-After` | the vendor delivers again |

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, http};
use connect::NotAnEvent;
use flow::{EventId, Fault};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use store::{Accepted, NewEvent, NewQuarantine};

use crate::App;
use crate::door::Door;
use crate::input::read_body;
use crate::problem::{Code, Problem};

/// The largest body taken; vendors' events are below 300 KiB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Takes one delivery.
pub async fn deliver(
    State(app): State<App>,
    Path(hook): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let arrived = app.now();
    app.metrics().received();
    let answer = match accept(&app, &hook, &headers, body).await {
        Ok(Some(document)) => Json(document).into_response(),
        Ok(None) => StatusCode::OK.into_response(),
        Err(problem) => {
            app.metrics().rejected(problem.code.slug());
            tracing::debug!(
                hook,
                code = problem.code.slug(),
                detail = problem.detail,
                "a delivery was refused"
            );
            problem.into_response()
        }
    };
    app.metrics().ack.record(app.now().duration_since(arrived));
    answer
}

/// The answer's document; none where the vendor would make something of it.
async fn accept(app: &App, hook: &str, headers: &HeaderMap, body: Body) -> Result<Option<Value>, Problem> {
    let unknown = || Problem::new(Code::HookUnknown, "no connection has this webhook address");
    let door = app.doors().at(app, hook).await?.ok_or_else(unknown)?;
    let too_large = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length > BODY_BYTES_MAX as u64);
    if too_large {
        return Err(Problem::new(Code::BodyTooLarge, format!("at most {BODY_BYTES_MAX} bytes are taken")));
    }
    let body = read_body(body, BODY_BYTES_MAX).await?;

    let Door { hook, connection, secrets } = &*door;
    let manifest = app.catalog().get(&connection.connector).ok_or_else(unknown)?;
    let webhook = manifest.webhook().ok_or_else(unknown)?;
    if secrets.is_empty() {
        tracing::warn!(
            connection = connection.name,
            "a delivery was refused: the connection has no signing secret. Add it: tributary connection add {} --name {}",
            connection.connector,
            connection.name,
        );
        return Err(without_secret());
    }
    let now = app.now();
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    webhook.verify(secrets, &headers, &body, now).map_err(refusal)?;

    if let Some(answer) = webhook.challenge(&body) {
        return Ok(Some(answer));
    }
    let told = |document: Value| (!webhook.is_quiet()).then_some(document);
    let incoming = match webhook.incoming(&body, now) {
        Ok(incoming) => incoming,
        Err(NotAnEvent { detail }) => return quarantine(app, hook, &body, detail).await.map(told),
    };
    if incoming.live.is_some_and(|live| live != connection.live) {
        let mode = |live| if live { "live" } else { "test" };
        let detail = format!(
            "the event is of {} mode, the connection `{}` of {} mode",
            mode(!connection.live),
            connection.name,
            mode(connection.live)
        );
        tracing::warn!(connection = connection.name, event = incoming.dedupe_key, "{detail}");
        return Err(Problem::new(Code::ModeMismatch, detail));
    }
    let event = NewEvent {
        id: EventId::timed(now, &mut app.rng()),
        connection: hook.connection.clone(),
        dedupe_key: incoming.dedupe_key,
        r#type: incoming.r#type,
        time: incoming.time,
        live: incoming.live,
        subject: incoming.subject,
        data: incoming.data,
    };
    // A button of a question: whoever pressed it may not decide, and that is for the engine to say.
    let pressed = manifest.asking().and_then(|asking| asking.pressed(&event.r#type, &event.data));
    let button = pressed.and_then(|pressed| app.store().read_button(pressed.value));
    let accepted = match button.filter(|button| button.workspace == hook.workspace) {
        Some(button) => {
            let accepted = app.store().accept_click(&hook.workspace, event, &button, now).await?;
            app.wake();
            accepted
        }
        None => app.store().accept_event(&hook.workspace, event, now).await?,
    };
    Ok(told(match accepted {
        // Whoever works on events follows the store.
        Accepted::Stored(event) => json!({"event": event, "duplicate": false}),
        Accepted::Duplicate(event) => {
            app.metrics().duplicate();
            json!({"event": event, "duplicate": true})
        }
    }))
}

async fn quarantine(app: &App, hook: &store::Hook, body: &[u8], detail: String) -> Result<Value, Problem> {
    tracing::warn!(connection = hook.connection, detail, "a signed delivery is no event: quarantined");
    let quarantined = NewQuarantine {
        id: EventId::timed(app.now(), &mut app.rng()),
        connection: hook.connection.clone(),
        body: body.to_vec(),
        problem: Fault::coded("not_an_event", 422, "The delivery is no event", detail),
    };
    let accepted = app.store().quarantine_event(&hook.workspace, quarantined, app.now()).await?;
    app.metrics().quarantined();
    Ok(match accepted {
        Accepted::Stored(event) => json!({"event": event, "duplicate": false, "quarantined": true}),
        Accepted::Duplicate(event) => {
            app.metrics().duplicate();
            json!({"event": event, "duplicate": true, "quarantined": true})
        }
    })
}

/// 401 rather than 503: nothing is out of order for a while, the caller cannot be believed until somebody acts.
/// The vendor delivers again either way.
fn without_secret() -> Problem {
    Problem::new(
        Code::SecretMissing,
        "this connection has no signing secret, so that nothing can be verified",
    )
}

fn refusal(rejection: connect::Rejection) -> Problem {
    let code = match rejection.code.as_str() {
        "signature_missing" => Code::SignatureMissing,
        "signature_old" => Code::SignatureOld,
        "signature_malformed" => Code::SignatureMalformed,
        "secret_missing" => return without_secret(),
        _ => Code::SignatureWrong,
    };
    Problem::new(code, rejection.detail)
}

#[cfg(test)]
mod tests;
