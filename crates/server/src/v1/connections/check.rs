//! `POST /v1/connections/{name}/check`: does the vendor accept the credentials?

use axum::Json;
use axum::extract::{Path, State};
use connect::{Class, Error};
use serde_json::{Value, json};

use super::{find, opened};
use crate::App;
use crate::problem::{Code, Problem};

/// Answers `{ok, detail, code?, status?}`. That the vendor says no is an answer, not a problem.
pub async fn check(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let stored = find(&app, &name).await?;
    let connection = opened(&stored)?;
    let Some(manifest) = app.catalog().get(&connection.connector) else {
        let detail = format!(
            "`{name}` is a connection to {}, which this version has no connector for",
            connection.connector
        );
        return Err(Problem::new(Code::ConnectorUnknown, detail));
    };
    let problems = manifest.problems(&connection);
    if !problems.is_empty() {
        return Ok(Json(
            json!({"ok": false, "detail": problems.join("; "), "code": "connection_incomplete"}),
        ));
    }
    let Some(operation) = manifest.check().and_then(|operation| manifest.operation(operation)) else {
        let detail = format!("{} has no call that only checks; the first run will tell", manifest.title);
        return Ok(Json(json!({"ok": true, "detail": detail})));
    };
    let called = async {
        let prepared = connect::prepare(manifest, operation, &json!({"connection": name}), "")?;
        connect::perform(app.transport(), &connection, manifest, operation, &prepared, app.now()).await
    };
    let title = &manifest.title;
    Ok(Json(match called.await {
        Ok(_) => {
            let mut detail = format!("{title} accepts the credentials");
            if let Some(webhook) = manifest.webhook()
                && webhook.secrets(&connection.credentials).is_empty()
            {
                detail += &format!(
                    ". It has no {} yet: until it has, every webhook delivery is refused",
                    webhook.secret_field()
                );
            }
            json!({"ok": true, "detail": detail})
        }
        Err(error) => {
            json!({"ok": false, "detail": plain(title, &error), "code": error.code, "status": error.status})
        }
    }))
}

/// What is wrong, in words for the one who can mend it.
fn plain(title: &str, error: &Error) -> String {
    let said = &error.detail;
    match (&error.class, error.status) {
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
