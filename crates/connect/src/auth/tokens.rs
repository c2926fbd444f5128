//! What a vendor granted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::credentials::Secret;

/// Tokens as they came.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: Secret,
    /// By which the next ones are asked for. Many vendors take each of them once.
    pub refresh: Option<Secret>,
    /// From when on it is not to be shown any more: a little before the vendor's own time.
    pub expires_at: Option<Timestamp>,
    /// What may be done with them, where the vendor said so.
    pub scopes: Option<Vec<String>>,
    /// Where the API is, where the vendor said so.
    pub base_url: Option<Url>,
}

/// A token in use.
#[derive(Clone, Debug)]
pub struct Granted {
    pub token: Secret,
    pub base_url: Option<Url>,
    /// Counts renewals: another number is another token.
    pub n: u64,
}

impl Granted {
    /// `text` with the token replaced by `***`.
    pub(crate) fn masked(&self, text: &str) -> String {
        if self.token.is_empty() { text.to_owned() } else { text.replace(self.token.reveal(), "***") }
    }

    /// As [`Granted::masked`], in every string of `value`.
    pub(crate) fn mask(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.masked(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.mask(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

const ACCESS: &str = "access";
const REFRESH: &str = "refresh";
const BASE_URL: &str = "base_url";

impl Tokens {
    /// What has to be kept secret, by name; [`Tokens::of`] reads it again.
    pub fn secrets(&self) -> BTreeMap<String, String> {
        let refresh = self.refresh.as_ref().map(|secret| (REFRESH, secret.reveal().to_owned()));
        let base_url = self.base_url.as_ref().map(|url| (BASE_URL, url.to_string()));
        let all = [Some((ACCESS, self.access.reveal().to_owned())), refresh, base_url];
        all.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Tokens that were kept. A refresh token alone will do: the access token is empty then, and over.
    pub fn of(
        get: impl Fn(&str) -> Option<String>,
        expires_at: Option<Timestamp>,
        scopes: Option<Vec<String>>,
    ) -> Tokens {
        Tokens {
            access: Secret::new(get(ACCESS).unwrap_or_default()),
            refresh: get(REFRESH).map(Secret::new),
            expires_at,
            scopes,
            base_url: get(BASE_URL).and_then(|text| text.parse().ok()),
        }
    }

    /// A refresh token that somebody got elsewhere.
    pub fn to_renew(refresh: Secret) -> Tokens {
        let over = Some(Timestamp::UNIX_EPOCH);
        Tokens {
            access: Secret::new(""),
            refresh: Some(refresh),
            expires_at: over,
            scopes: None,
            base_url: None,
        }
    }

    /// Whether the access token can be shown at `now`.
    pub fn good_at(&self, now: Timestamp) -> bool {
        !self.access.is_empty() && self.expires_at.is_none_or(|end| end > now)
    }

    pub fn granted(&self, n: u64) -> Granted {
        Granted { token: self.access.clone(), base_url: self.base_url.clone(), n }
    }
}
