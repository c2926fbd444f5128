//! `POST /v1/connections/{name}/check`: does the vendor accept the credentials?

use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use connect::{BoxFuture, Class, Error, Manifest, Transport, TransportError, wire};
use flow::Document;
use serde_json::{Value, json};

use super::{find, ready};
use crate::App;
use crate::problem::{Code, Problem};

/// Answers `{ok, detail, code?, status?, lacking?}`. That the vendor says no is an answer, not a problem.
pub async fn check(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(examine(&app, &name).await?))
}

/// The same, for whoever looks at all connections.
pub async fn examine(app: &App, name: &str) -> Result<Value, Problem> {
    let stored = find(app, name).await?;
    let connection = ready(app, &stored)?;
    let Some(manifest) = app.catalog().get(&connection.connector) else {
        let detail = format!(
            "`{name}` is a connection to {}, which this version has no connector for",
            connection.connector
        );
        return Err(Problem::new(Code::ConnectorUnknown, detail));
    };
    let problems = manifest.problems(&connection);
    if !problems.is_empty() {
        return Ok(json!({"ok": false, "detail": problems.join("; "), "code": "connection_incomplete"}));
    }
    let Some(operation) = manifest.check().and_then(|operation| manifest.operation(operation)) else {
        let detail = format!("{} has no call that only checks; the first run will tell", manifest.title);
        return Ok(json!({"ok": true, "detail": detail}));
    };
    let ear = Ear { transport: app.transport(), header: manifest.scopes_header(), heard: Mutex::default() };
    let called = async {
        let prepared = connect::prepare(manifest, operation, &json!({"connection": name}), "")?;
        connect::perform(&ear, &connection, manifest, operation, &prepared, app.now()).await
    };
    let title = &manifest.title;
    if let Err(error) = called.await {
        let detail = plain(title, &error);
        return Ok(json!({"ok": false, "detail": detail, "code": error.code, "status": error.status}));
    }
    let granted = match manifest.grant() {
        Some(_) => app.store().grant(app.workspace(), name).await?.and_then(|grant| grant.scopes),
        None => ear.heard(),
    };
    let lacking = lacking(app, manifest, name, granted).await?;
    if !lacking.is_empty() {
        let remedy = match manifest.grant() {
            Some(_) => format!("Have it agreed to once more: `tributary connection authorize {name}`"),
            None => format!("Allow it at {title}, and enter the new credentials if they changed"),
        };
        let lacks = lacking.join("; ");
        let detail =
            format!("{title} accepts the credentials, but they lack what flows need: {lacks}. {remedy}");
        return Ok(json!({"ok": false, "detail": detail, "code": "scope_missing", "lacking": lacking}));
    }
    let mut detail = format!("{title} accepts the credentials");
    if let Some(webhook) = manifest.webhook()
        && webhook.secrets(&connection.credentials).is_empty()
    {
        detail += &format!(
            ". It has no {} yet: until it has, every webhook delivery is refused",
            webhook.secret_field()
        );
    }
    Ok(json!({"ok": true, "detail": detail}))
}

/// Scopes that the connection was not granted and that deployed flows need, each with who needs it.
async fn lacking(
    app: &App,
    manifest: &Manifest,
    name: &str,
    granted: Option<Vec<String>>,
) -> Result<Vec<String>, Problem> {
    // A vendor that does not say refuses the call itself.
    let Some(granted) = granted else { return Ok(Vec::new()) };
    let mut lacking = Vec::new();
    for flow in app.store().flows(app.workspace()).await? {
        for call in Document::inspect(&flow.name, &flow.text).calls {
            let said = call.connection.as_deref().unwrap_or(&manifest.slug);
            let used = flow.connections.get(said).map_or(said, String::as_str);
            let Some(operation) = manifest.operation(&call.operation).filter(|_| used == name) else {
                continue;
            };
            for scope in manifest.scopes_of(operation) {
                let given = scope.split('|').any(|one| granted.iter().any(|given| given == one));
                let words = format!("`{scope}` for {} of flow {}", operation.name, flow.name);
                if !given && !lacking.contains(&words) {
                    lacking.push(words);
                }
            }
        }
    }
    Ok(lacking)
}

/// A transport that hears in the last answer what the credentials may do.
struct Ear<'a> {
    transport: &'a dyn Transport,
    header: Option<&'a str>,
    heard: Mutex<Option<String>>,
}

impl Ear<'_> {
    fn heard(&self) -> Option<Vec<String>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(
            heard.split(',').map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()).collect(),
        )
    }
}

impl Transport for Ear<'_> {
    fn send(&self, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        Box::pin(async move {
            let answer = self.transport.send(request).await?;
            let scopes = self.header.and_then(|name| answer.header(name)).map(str::to_owned);
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = scopes;
            Ok(answer)
        })
    }
}

/// Codes of errors about tokens.
const SPEAKING: [&str; 4] = ["grant_", "client_refused", "scope_refused", "credential_"];

/// What is wrong, in words for the one who can mend it.
pub fn plain(title: &str, error: &Error) -> String {
    let said = &error.detail;
    match (&error.class, error.status) {
        // These say themselves who has to do what.
        _ if SPEAKING.iter().any(|start| error.code.starts_with(start)) => said.clone(),
        (Class::Auth, _) if error.lacks_scope() => {
            format!("{title} knows the key, but the key may not do this: {said}. Allow it at {title}")
        }
        (Class::Auth, Some(403)) => format!("{title} knows the key, but the key may not do this: {said}"),
        (Class::Auth, _) => {
            format!(
                "{title} does not accept the credentials: {said}. Was the key revoked, or is it of another account?"
            )
        }
        (Class::Retry { .. }, Some(429)) => {
            format!("{title} is being asked too often at the moment: {said}. Try again later")
        }
        (Class::Retry { .. }, Some(_)) => {
            format!("{title} has trouble of its own at the moment: {said}. Try again later")
        }
        (Class::Retry { .. }, None) => {
            format!("{title} cannot be reached from here: {said}. Is the network up?")
        }
        _ => format!("{title} answered in a way that was not expected: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_tell_who_has_to_act() {
        let error = |class, status| Error {
            class,
            status,
            code: "c".into(),
            detail: "because".into(),
            body: None,
            unknown: false,
        };
        for (class, status, expected) in [
            (Class::Auth, Some(401), "does not accept the credentials"),
            (Class::Auth, Some(403), "the key may not do this"),
            (Class::Retry { after: None }, Some(429), "asked too often"),
            (Class::Retry { after: None }, Some(503), "trouble of its own"),
            (Class::Retry { after: None }, None, "cannot be reached"),
            (Class::Fatal, Some(200), "not expected"),
        ] {
            let words = plain("Stripe", &error(class, status));
            assert!(words.contains(expected) && words.contains("because"), "{words}");
        }
    }
}
