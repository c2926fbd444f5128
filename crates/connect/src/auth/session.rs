//! Sessions: a login whose answer has a token, or sets a cookie.

use bytes::Bytes;
use serde_json::{Map, Value};
use url::Url;

use super::{Shown, Text};
use crate::credentials::{Connection, Secret};
use crate::encode;
use crate::error::Error;
use crate::manifest::Encoding;
use crate::path::Path;
use crate::wire;

/// The request that logs in.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub url: Url,
    pub encoding: Encoding,
    pub body: Vec<(String, Text)>,
    /// Where the answer has the token; none: it sets the cookie that is shown.
    pub token: Option<Path>,
}

impl Login {
    /// Content type and body.
    pub fn body(&self, connection: &Connection) -> Result<(&'static str, Bytes), Error> {
        let mut members = Map::new();
        for (name, text) in &self.body {
            members.insert(name.clone(), Value::from(text.of(connection)?.reveal()));
        }
        Ok(match self.encoding {
            Encoding::Json => ("application/json", Bytes::from(Value::Object(members).to_string())),
            // No login is a file: the manifest's reader takes no other encoding.
            Encoding::Form | Encoding::Multipart => {
                let mut out = String::new();
                members.iter().for_each(|(name, value)| encode::pairs(&mut out, name, value));
                ("application/x-www-form-urlencoded", Bytes::from(out))
            }
        })
    }

    /// Whether an answer lets us in: with a token in its body, or with a cookie, of which many send one elsewhere.
    pub fn lets_in(&self, response: &wire::Response) -> bool {
        match self.token {
            Some(_) => (200..300).contains(&response.status),
            None => (200..400).contains(&response.status),
        }
    }

    /// The token of such an answer.
    pub fn token(&self, shown: &Shown, response: &wire::Response) -> Option<Secret> {
        match (&self.token, shown) {
            (Some(path), _) => {
                let body: Value = serde_json::from_slice(&response.body).ok()?;
                path.get(&body)?.as_str().filter(|text| !text.is_empty()).map(Secret::new)
            }
            (None, Shown::Cookie { name }) => response
                .headers
                .iter()
                .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
                .filter_map(|(_, cookie)| cookie.split(';').next()?.trim().split_once('='))
                .find(|(cookie, value)| cookie == name && !value.is_empty())
                .map(|(_, value)| Secret::new(value)),
            (None, Shown::Header { .. }) => None,
        }
    }
}
