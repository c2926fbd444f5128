//! Who sends a request, and how it is told to the vendor.
//!
//! | kind | what is sent | where it comes from |
//! |---|---|---|
//! | key, basic, bearer | credentials as they are stored | the connection |
//! | `oauth2`, code | an access token | a person agrees once ([`Grant::agreement`], [`Grant::redeem`]), then renewed |
//! | `oauth2`, client | an access token | asked for with the client's own credentials |
//! | `jwt_bearer` | an access token | asked for with an assertion that the connection's key signs |
//! | `session` | a token or a cookie | a login with the connection's credentials |
//!
//! What a vendor grants ([`Tokens`]) is asked for here, one request at a time ([`Grant::renew`]). Keeping it, and letting
//! only one of several nodes renew it, is up to whoever implements [`Access`].

mod assertion;
mod request;
pub(crate) mod session;
mod tokens;

use std::sync::Arc;

use flow::WorkspaceId;
use url::Url;

use crate::credentials::{Connection, Secret};
use crate::error::{Class, Error};
use crate::transport::BoxFuture;
use crate::wire;
pub(crate) use assertion::{Algorithm, Assertion};
pub use request::Agreement;
pub(crate) use request::admits;
pub(crate) use session::Login;
pub use tokens::{Granted, Tokens};

/// Gives a connection the tokens that its vendor granted, renewed where they are over.
pub trait Access: Send + Sync {
    /// A token that is good now. `refused`: the vendor has just refused this one, whatever its time; the same again means
    /// that no other one would be taken either.
    fn token<'a>(
        &'a self,
        connection: &'a Connection,
        refused: Option<&'a Granted>,
    ) -> BoxFuture<'a, Result<Arc<Granted>, Error>>;
}

/// Whoever has the tokens of a workspace's connections. None where requests show none that are granted.
pub type Lender = Arc<dyn Fn(&WorkspaceId, &Connection) -> Option<Arc<dyn Access>> + Send + Sync>;

impl std::fmt::Debug for dyn Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

/// A token that is what it is, for tests.
pub struct Fixed(pub Arc<Granted>);

impl Access for Fixed {
    fn token<'a>(
        &'a self,
        _: &'a Connection,
        _: Option<&'a Granted>,
    ) -> BoxFuture<'a, Result<Arc<Granted>, Error>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// How a request says who sends it.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    /// A header: what comes first, then the field.
    Header { name: String, prefix: String, field: String },
    /// Basic; a side without a field is empty.
    Basic { user: Option<String>, password: Option<String> },
    /// A parameter of the query.
    Query { name: String, field: String },
    /// What the vendor grants.
    Granted(Arc<Grant>),
}

impl Auth {
    /// An address of the vendor's without the credential, where that is shown in addresses.
    pub fn without_secret(&self, address: String) -> String {
        let Auth::Query { name, .. } = self else { return address };
        let Some((before, query)) = address.split_once('?') else { return address };
        match crate::encode::without_param(query, name) {
            query if query.is_empty() => before.to_owned(),
            query => format!("{before}?{query}"),
        }
    }
}

/// How a vendor grants access, and how what it grants is shown.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The vendor's name for people.
    pub(crate) title: String,
    /// Hosts that tokens come from.
    pub(crate) hosts: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) shown: Shown,
    /// Statuses by which a token is refused that seemed good.
    pub(crate) refused: Vec<u16>,
    /// How long a token is good where the answer does not say, in seconds.
    pub(crate) life_s: Option<i64>,
    /// Member of the answer that says where the API is from now on.
    pub(crate) instance_url: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// Between two scopes.
    pub(crate) separator: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// OAuth 2, authorization code with PKCE (RFC 6749, RFC 7636).
    Code {
        authorize: Url,
        parameters: Vec<(String, Text)>,
        endpoint: Endpoint,
    },
    /// OAuth 2, client credentials.
    Client {
        endpoint: Endpoint,
    },
    /// An assertion in exchange for a token (RFC 7523).
    Jwt {
        endpoint: Endpoint,
        assertion: Assertion,
    },
    Session(Login),
}

/// Where tokens are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub url: Url,
    /// The credential field of the client's id, and of its secret.
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    /// The client's credentials go into the body, not into a header.
    pub in_body: bool,
    /// Sent with every request for a token.
    pub parameters: Vec<(String, Text)>,
}

/// A text of the manifest: as it is written, or a credential (`$credentials.tenant`).
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Constant(String),
    Field(String),
}

/// How a granted token is shown with a request.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Header { name: String, prefix: String },
    Cookie { name: String },
}

/// What is added to a request.
#[derive(Default)]
pub(crate) struct Credential {
    pub headers: Vec<(String, String)>,
    /// A parameter of the query.
    pub query: Option<(String, String)>,
}

impl Auth {
    pub(crate) fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Auth::Granted(grant) => Some(grant),
            _ => None,
        }
    }

    /// What a request of this connection shows.
    pub(crate) fn credential(
        &self,
        connection: &Connection,
        granted: Option<&Granted>,
    ) -> Result<Credential, Error> {
        let mut credential = Credential::default();
        match self {
            Auth::Header { name, prefix, field } => {
                let text = format!("{prefix}{}", field_of(connection, field)?.reveal());
                credential.headers.push((name.clone(), text));
            }
            Auth::Basic { user, password } => {
                let side = |field: &Option<String>| match field {
                    Some(field) => Ok(field_of(connection, field)?.clone()),
                    None => Ok(Secret::new("")),
                };
                let (user, password) = (side(user)?, side(password)?);
                credential.headers.push(("Authorization".to_owned(), request::basic(&user, &password)));
            }
            Auth::Query { name, field } => {
                let value = field_of(connection, field)?.reveal().to_owned();
                credential.query = Some((name.clone(), value));
            }
            Auth::Granted(grant) => {
                let granted = granted.ok_or_else(|| missing(connection, &grant.title))?;
                credential.headers.push(match &grant.shown {
                    Shown::Header { name, prefix } => {
                        (name.clone(), format!("{prefix}{}", granted.token.reveal()))
                    }
                    Shown::Cookie { name } => {
                        ("Cookie".to_owned(), format!("{name}={}", granted.token.reveal()))
                    }
                });
            }
        }
        let unfit = |(_, value): &(String, String)| value.bytes().any(|byte| !(0x20..0x7f).contains(&byte));
        if credential.headers.iter().any(unfit) {
            let detail = format!("a credential of connection `{}` cannot stand in a header", connection.name);
            return Err(Error::of(Class::Auth, "credential_invalid", detail));
        }
        Ok(credential)
    }
}

impl Grant {
    /// Whether a person has to agree before there is anything to renew.
    pub fn asks_a_person(&self) -> bool {
        matches!(self.kind, Kind::Code { .. })
    }

    /// The scopes that are asked for.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Whether what was granted is bound to this credential, so that it is over when the credential changes. What a person
    /// agreed to survives another secret of the same client.
    pub fn binds(&self, field: &str) -> bool {
        match &self.kind {
            Kind::Code { parameters, endpoint, .. } => {
                endpoint.client_id.as_deref() == Some(field)
                    || parameters.iter().chain(&endpoint.parameters).any(|(_, text)| text.is_of(field))
            }
            Kind::Client { .. } | Kind::Jwt { .. } | Kind::Session(_) => true,
        }
    }

    /// Whether an answer refuses the token that was shown.
    pub(crate) fn refuses(&self, response: &wire::Response) -> bool {
        self.refused.contains(&response.status)
    }
}

impl Text {
    fn is_of(&self, name: &str) -> bool {
        matches!(self, Text::Field(field) if field == name)
    }

    pub(crate) fn of(&self, connection: &Connection) -> Result<Secret, Error> {
        match self {
            Text::Constant(text) => Ok(Secret::new(text)),
            Text::Field(field) => field_of(connection, field).cloned(),
        }
    }

    /// Empty where the connection does not have it: an optional parameter.
    pub(crate) fn of_or_nothing(&self, connection: &Connection) -> Option<Secret> {
        self.of(connection).ok()
    }
}

/// A credential that has to be there.
pub(crate) fn field_of<'a>(connection: &'a Connection, field: &str) -> Result<&'a Secret, Error> {
    let found = connection.credentials.get(field).filter(|secret| !secret.is_empty());
    found.ok_or_else(|| {
        let detail = format!("connection `{}` has no `{field}`", connection.name);
        Error::of(Class::Auth, "credential_missing", detail)
    })
}

fn missing(connection: &Connection, title: &str) -> Error {
    let detail = format!("nobody has agreed yet that connection `{}` may use {title}", connection.name);
    Error::of(Class::Auth, "grant_missing", detail)
}
