//! `POST /v1/connections/{name}/hook` has the vendor send its events to the connection's address, and keeps the signing
//! secret; `DELETE` takes that back. Only where the vendor's API can.

use axum::Json;
use axum::extract::{Path, State};
use connect::{Connection, Manifest, Registration};
use http::StatusCode;
use serde_json::{Value, json};
use store::{Along, Hook, NewConnection, Secrets};

use super::{find, ready};
use crate::App;
use crate::problem::{Code, Problem};
use crate::v1::hooks;

/// What registering takes.
struct Registering<'a> {
    manifest: &'a Manifest,
    registration: &'a Registration,
    stored: store::Connection,
    connection: Connection,
    hook: Hook,
}

/// Answers the hook as `GET /v1/hooks` shows it. One that is registered already stays as it is.
pub async fn register(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let _turn = app.turn().lock().await;
    let registering = registering(&app, &name).await?;
    let Registering { registration, stored, hook, manifest, .. } = &registering;
    if hook.registered.is_some() {
        return Ok(Json(hooks::document(&app, hook)));
    }
    let url = app.public_url(&format!("/hooks/{}", hook.id)).ok_or_else(|| {
        let detail = "no server is running here, so that its public address is not known: start `tributary serve \
            --public-url https://…` first";
        Problem::new(Code::WrongState, detail)
    })?;
    let key = registering.key(&url);
    let answer = registering.call(&app, &registration.operation, registration.arguments(&url), &key).await?;
    let (id, secret) = registration.registered(&answer).ok_or_else(|| {
        Problem::new(Code::Internal, format!("{} registered the address and gave no secret", manifest.title))
    })?;
    let mut credentials = Secrets::default();
    for (field, value) in stored.credentials.iter() {
        credentials.set(field, value);
    }
    // Deliveries to an address that was registered by hand may be signed with one that is there; the oldest go.
    let field = registering.field();
    let secrets = [secret.reveal(), credentials.get(&field).unwrap_or_default()].join(" ");
    let secrets: Vec<&str> = secrets.split_whitespace().take(connect::SIGNING_SECRETS_MAX).collect();
    credentials.set(field, secrets.join(" "));
    let info = &stored.info;
    let changed = NewConnection {
        name: info.name.clone(),
        connector: info.connector.clone(),
        live: info.live,
        base_url: info.base_url.clone(),
        credentials,
    };
    let along = Along { registered: Some((hook.id.clone(), id.clone())), ..Along::default() };
    app.store().put_connection_along(app.workspace(), changed, &along, &mut app.rng(), app.now()).await?;
    let registered = Hook { registered: Some(id), ..hook.clone() };
    Ok(Json(hooks::document(&app, &registered)))
}

/// 204 when the vendor does not have it any more.
pub async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let _turn = app.turn().lock().await;
    find(&app, &name).await?;
    if !take_back(&app, &name).await? {
        let detail = format!(
            "no address of `{name}` was registered by the vendor's API; one that was entered there by hand is taken away \
             there"
        );
        return Err(Problem::new(Code::WrongState, detail));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back what was registered by the vendor's API; whether anything was.
pub async fn take_back(app: &App, name: &str) -> Result<bool, Problem> {
    let hooks = app.store().hooks(app.workspace()).await?;
    let registered = hooks.iter().any(|hook| hook.connection == name && hook.registered.is_some());
    if !registered {
        return Ok(false);
    }
    let registering = registering(app, name).await?;
    let Registering { registration, hook, .. } = &registering;
    let Some(id) = &hook.registered else { return Ok(false) };
    registering.call(app, &registration.remove, registration.removal(id), &format!("unhook-{id}")).await?;
    app.store().register_hook(app.workspace(), &hook.id, None).await?;
    Ok(true)
}

async fn registering<'a>(app: &'a App, name: &str) -> Result<Registering<'a>, Problem> {
    let stored = find(app, name).await?;
    let connection = ready(app, &stored)?;
    let by_hand = || {
        let detail = format!(
            "{} has no API to register a webhook by: enter the connection's address there by hand",
            stored.info.connector
        );
        Problem::new(Code::WrongState, detail)
    };
    let manifest = app.catalog().get(&stored.info.connector).ok_or_else(by_hand)?;
    let registration = manifest.webhook().and_then(|webhook| webhook.registration()).ok_or_else(by_hand)?;
    let hooks = app.store().hooks(app.workspace()).await?;
    let hook = hooks.into_iter().find(|hook| hook.connection == name).ok_or_else(|| {
        let detail = format!(
            "`{name}` has no webhook address yet: enter any of its credentials again, and it is given one"
        );
        Problem::new(Code::WrongState, detail)
    })?;
    Ok(Registering { manifest, registration, stored, connection, hook })
}

impl Registering<'_> {
    /// The credential field of the signing secrets.
    fn field(&self) -> String {
        self.manifest.webhook().map(|webhook| webhook.secret_field().to_owned()).unwrap_or_default()
    }

    /// The same as often as one registration is tried: a vendor that knows keys makes one endpoint of it. Another one
    /// once it was stored (that changes the connection), or for another address: what was registered and taken back
    /// before would only be answered again.
    fn key(&self, url: &str) -> String {
        let stored = self.stored.info.updated_at.as_microsecond();
        let address = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
        let address: String = address.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("hook-{}-{stored}-{address}", self.hook.id)
    }

    async fn call(&self, app: &App, operation: &str, arguments: Value, key: &str) -> Result<Value, Problem> {
        let Some(operation) = self.manifest.operation(operation) else {
            return Err(Problem::new(Code::Internal, format!("there is no operation {operation}")));
        };
        let called = async {
            let prepared = connect::prepare(self.manifest, operation, &arguments, key)?;
            connect::perform(
                app.transport(),
                &self.connection,
                self.manifest,
                operation,
                &prepared,
                app.now(),
            )
            .await
        };
        called.await.map_err(|error| {
            let detail = super::check::plain(&self.manifest.title, &error);
            Problem::new(Code::VendorRefused, detail).with("vendor_code", json!(error.code))
        })
    }
}
