//! One attempt at a prepared call.

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::answer;
use crate::credentials::Connection;
use crate::error::{Class, Error};
use crate::manifest::{Auth, Manifest, Operation};
use crate::pages;
use crate::prepare::Prepared;
use crate::transport::Transport;
use crate::wire;

/// Performs one attempt. Lists are followed to their end (`{"items": […]}`) unless only the first page is wanted
/// (`{"items": […], "more": bool, "next": cursor|null}`); a page that fails fails the attempt.
pub async fn perform(
    transport: &dyn Transport,
    connection: &Connection,
    manifest: &Manifest,
    operation: &Operation,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Value, Error> {
    let call = Call { transport, connection, manifest, operation, now };
    let output = call.output(prepared, None).await?;
    call.view(prepared, output)
}

/// Everything that the exchanges of one call have in common.
pub(crate) struct Call<'a> {
    pub transport: &'a dyn Transport,
    pub connection: &'a Connection,
    pub manifest: &'a Manifest,
    pub operation: &'a Operation,
    pub now: Timestamp,
}

/// Whether a record is the one that is looked for.
pub(crate) type Wanted<'a> = &'a (dyn Fn(&Value) -> bool + Sync);

impl Call<'_> {
    /// The output before any view; a list ends early at the record that is wanted, if one is.
    pub async fn output(&self, prepared: &Prepared, wanted: Option<Wanted<'_>>) -> Result<Value, Error> {
        let mut budget = pages::Budget::new(self.manifest.limits());
        let query = prepared.query.as_str();
        match &self.operation.pages {
            Some(pages) => pages::collect(self, prepared, pages, &mut budget, wanted).await,
            None => {
                let mut output = self.exchange(prepared, &prepared.path, query).await?;
                pages::complete(self, prepared, &mut output, &mut budget).await?;
                Ok(output)
            }
        }
    }

    /// The output in the shape of the view that was asked for.
    pub fn view(&self, prepared: &Prepared, mut output: Value) -> Result<Value, Error> {
        let Some(name) = &prepared.view else { return Ok(output) };
        if output.is_null() {
            return Ok(output);
        }
        let (Some(view), Some(object)) = (self.manifest.view(name), &self.operation.returns) else {
            return Err(Error::user(
                "view_unknown",
                format!("{}: there is no view `{name}`", self.operation.name),
            ));
        };
        if self.operation.pages.is_none() {
            return view.apply(object, &output);
        }
        if let Some(Value::Array(items)) = output.get_mut("items") {
            for item in items {
                *item = view.apply(object, item)?;
            }
        }
        Ok(output)
    }

    /// One request, one answer.
    pub async fn exchange(&self, prepared: &Prepared, path: &str, query: &str) -> Result<Value, Error> {
        let request = self.request(prepared, path, query)?;
        match self.transport.send(request).await {
            Ok(response) => {
                answer::interpret(self.manifest, self.operation, self.connection, response, self.now)
            }
            Err(error) => Err(answer::unanswered(self.operation, self.connection, &error)),
        }
    }

    fn request(&self, prepared: &Prepared, path: &str, query: &str) -> Result<wire::Request, Error> {
        let url = self.url(path, query)?;
        let mut headers = prepared.headers.clone();
        headers.push(("Authorization".to_owned(), self.authorization()?));
        Ok(wire::Request {
            method: prepared.method.clone(),
            url,
            headers,
            body: prepared.bytes()?,
            timeout: self.manifest.limits().timeout,
            body_bytes_max: self.manifest.limits().answer_bytes_max,
        })
    }

    /// Only the manifest's hosts, or the connection's loopback address; what a vendor answers cannot change that.
    fn url(&self, path: &str, query: &str) -> Result<Url, Error> {
        let base = self.manifest.base(self.operation, self.connection)?;
        if !path.starts_with('/') || path.starts_with("//") {
            return Err(Error::fatal(
                "host_refused",
                format!("`{path}` does not begin at the root of the host"),
            ));
        }
        let mut url = base.clone();
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query));
        let host = url.host_str().unwrap_or_default();
        if self.connection.base_url.is_none() && !self.manifest.hosts.iter().any(|allowed| allowed == host) {
            return Err(Error::fatal(
                "host_refused",
                format!("{host} is not a host of {}", self.manifest.title),
            ));
        }
        Ok(url)
    }

    fn authorization(&self) -> Result<String, Error> {
        let secret = |field: &str| {
            let found = self.connection.credentials.get(field).filter(|secret| !secret.is_empty());
            found.ok_or_else(|| {
                let detail = format!("connection `{}` has no `{field}`", self.connection.name);
                Error::of(Class::Auth, "credential_missing", detail)
            })
        };
        let text = match &self.manifest.auth {
            Auth::Bearer { field } => format!("Bearer {}", secret(field)?.reveal()),
            Auth::BasicUser { field } => {
                format!("Basic {}", STANDARD.encode(format!("{}:", secret(field)?.reveal())))
            }
        };
        if text.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
            let detail =
                format!("a credential of connection `{}` cannot stand in a header", self.connection.name);
            return Err(Error::of(Class::Auth, "credential_invalid", detail));
        }
        Ok(text)
    }
}
