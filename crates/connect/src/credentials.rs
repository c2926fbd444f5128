//! Secrets and the connections that hold them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use serde_json::Value;
use url::{Host, Url};

use crate::auth::Access;

/// A credential. `Debug` prints `***`; the bytes are overwritten when it is dropped, as far as safe code can.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The bare text. For sealing, signing and sending only; never for a log, an error or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `***` in its place in every string of `value`.
    pub(crate) fn mask(&self, value: &mut Value) {
        if self.0.len() >= MASKED_BYTES_MIN {
            mask_strings(value, &|text| text.replace(&self.0, "***"));
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        black_box(&bytes);
    }
}

/// Credential field → its secret.
pub type Credentials = BTreeMap<String, Secret>;

/// Shorter secrets are not masked: they would tear ordinary words apart.
const MASKED_BYTES_MIN: usize = 6;

/// An account at a vendor, as a flow names it.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: String,
    /// The manifest's slug.
    pub connector: String,
    /// Live mode, as opposed to the vendor's test mode.
    pub live: bool,
    /// In the place of the manifest's base URL; only `http` to a loopback address is accepted (sandbox twins).
    pub base_url: Option<Url>,
    pub credentials: Credentials,
    /// Who has the tokens that the vendor grants, where requests show such.
    pub access: Option<Arc<dyn Access>>,
}

impl Connection {
    /// `text` with every credential of this connection replaced by `***`.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.credentials
            .values()
            .filter(|secret| secret.0.len() >= MASKED_BYTES_MIN)
            .fold(text.to_owned(), |text, secret| text.replace(&secret.0, "***"))
    }

    /// As [`Connection::masked`], in every string of `value`.
    pub(crate) fn mask(&self, value: &mut Value) {
        mask_strings(value, &|text| self.masked(text));
    }
}

fn mask_strings(value: &mut Value, masked: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => {
            let without = masked(text);
            if without != *text {
                *text = without;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_strings(item, masked)),
        Value::Object(map) => map.values_mut().for_each(|item| mask_strings(item, masked)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether `url` is plain HTTP to this very machine: the only base URL a connection may bring.
pub(crate) fn is_loopback_http(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}
