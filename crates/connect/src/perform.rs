//! One attempt at a prepared call.

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use std::sync::Arc;

use crate::answer;
use crate::auth::{self, Granted};
use crate::before;
use crate::credentials::Connection;
use crate::encode;
use crate::error::{Class, Error};
use crate::manifest::{Manifest, Operation};
use crate::pages;
use crate::prepare::Prepared;
use crate::transport::{Transport, TransportError};
use crate::wire;

/// Performs one attempt. Lists are followed to their end (`{"items": […]}`) unless only the first page is wanted
/// (`{"items": […], "more": bool, "next": cursor|null}`); a page that fails fails the attempt. What the request asks before
/// is asked in each attempt.
pub async fn perform(
    transport: &dyn Transport,
    connection: &Connection,
    manifest: &Manifest,
    operation: &Operation,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Value, Error> {
    let call = Call { transport, connection, manifest, operation, now };
    let output = match prepared.before.is_empty() {
        true => call.output(prepared, None).await?,
        false => call.output(&before::take(&call, prepared).await?, None).await?,
    };
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
                let (mut output, _) = self.exchange(prepared, &prepared.path, query).await?;
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

    /// One request; its answer, and how many bytes that was. Where the token that it showed is refused, the same request goes out once more with a new
    /// one: nothing was done by it.
    pub async fn exchange(
        &self,
        prepared: &Prepared,
        path: &str,
        query: &str,
    ) -> Result<(Value, usize), Error> {
        let mut granted = self.granted(None).await?;
        let mut answer = self.send(prepared, path, query, granted.as_deref()).await?;
        if let (Some(grant), Some(used), Ok(response)) = (self.manifest.auth.grant(), &granted, &answer)
            && grant.refuses(response)
        {
            let new = self.granted(Some(used)).await?;
            // The same again: what is refused is not for a new token to mend.
            if new.as_ref().map(|new| new.n) != Some(used.n) {
                answer = self.send(prepared, path, query, new.as_deref()).await?;
                granted = new;
            }
        }
        let result = match answer {
            Ok(response) => {
                let bytes = response.body.len();
                answer::interpret(self.manifest, self.operation, self.connection, response, self.now)
                    .map(|value| (value, bytes))
            }
            Err(error) => Err(answer::unanswered(self.operation, self.connection, &error)),
        };
        result.map_err(|error| match granted {
            Some(granted) => shown_to_nobody(error, &granted),
            None => error,
        })
    }

    /// The token that requests show, where they show one that the vendor granted.
    async fn granted(&self, refused: Option<&Granted>) -> Result<Option<Arc<Granted>>, Error> {
        if self.manifest.auth.grant().is_none() {
            return Ok(None);
        }
        let Some(access) = &self.connection.access else {
            let detail = format!("nobody keeps the tokens of connection `{}`", self.connection.name);
            return Err(Error::of(Class::Auth, "grant_missing", detail));
        };
        access.token(self.connection, refused).await.map(Some)
    }

    async fn send(
        &self,
        prepared: &Prepared,
        path: &str,
        query: &str,
        granted: Option<&Granted>,
    ) -> Result<Result<wire::Response, TransportError>, Error> {
        let request = self.request(prepared, path, query, granted)?;
        Ok(self.transport.send(request).await)
    }

    fn request(
        &self,
        prepared: &Prepared,
        path: &str,
        query: &str,
        granted: Option<&Granted>,
    ) -> Result<wire::Request, Error> {
        let credential = self.manifest.auth.credential(self.connection, granted)?;
        let mut query = query.to_owned();
        if let Some((name, value)) = &credential.query {
            query = encode::with_param(&query, name, value);
        }
        let url = self.url(path, &query, granted)?;
        let mut headers = prepared.headers.clone();
        headers.extend(credential.headers);
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
    fn url(&self, path: &str, query: &str, granted: Option<&Granted>) -> Result<Url, Error> {
        let home = self.manifest.base(self.operation, self.connection)?;
        // A connection's own address, and an operation's own host, are not the instance that the vendor names.
        let moved = self.connection.base_url.is_none() && self.operation.base_url.is_none();
        let instance = match (self.manifest.auth.grant(), granted) {
            (Some(grant), Some(granted)) if moved => grant.home(granted)?,
            _ => None,
        };
        let base = instance.unwrap_or(home);
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
        if self.connection.base_url.is_none() && !auth::admits(&self.manifest.hosts, host) {
            return Err(Error::fatal(
                "host_refused",
                format!("{host} is not a host of {}", self.manifest.title),
            ));
        }
        Ok(url)
    }
}

/// What a vendor echoes of a token is masked.
fn shown_to_nobody(mut error: Error, granted: &Granted) -> Error {
    error.detail = granted.masked(&error.detail);
    error.code = granted.masked(&error.code);
    error.body.iter_mut().for_each(|body| granted.mask(body));
    error
}
