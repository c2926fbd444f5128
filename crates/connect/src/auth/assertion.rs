//! Assertions that a connection's own key signs (RFC 7515, RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, RsaKeyPair};
use serde_json::json;

use super::{Text, field_of};
use crate::credentials::{Connection, Secret};
use crate::error::{Class, Error};

/// Vendors take assertions that are good for minutes.
const LIFE: SignedDuration = SignedDuration::from_mins(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub const NAMES: [(&'static str, Algorithm); 2] =
        [("RS256", Algorithm::Rs256), ("ES256", Algorithm::Es256)];
}

/// What an assertion says.
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    pub algorithm: Algorithm,
    /// The credential field of the private key, PEM.
    pub key: String,
    pub key_id: Option<Text>,
    pub issuer: Text,
    pub subject: Option<Text>,
    pub audience: Text,
    /// Some vendors read the scopes here, not in the request.
    pub scope: Option<String>,
}

impl Assertion {
    /// A signed assertion that is good from `now` on.
    pub fn signed(&self, connection: &Connection, now: Timestamp) -> Result<Secret, Error> {
        let name = self.algorithm_name();
        let mut head = json!({"alg": name, "typ": "JWT"});
        if let Some(id) = self.key_id.as_ref().and_then(|text| text.of_or_nothing(connection)) {
            head["kid"] = id.reveal().into();
        }
        let mut claims = json!({
            "iss": self.issuer.of(connection)?.reveal(),
            "aud": self.audience.of(connection)?.reveal(),
            "iat": now.as_second(),
            "exp": (now + LIFE).as_second(),
        });
        if let Some(subject) = &self.subject {
            claims["sub"] = subject.of(connection)?.reveal().into();
        }
        if let Some(scope) = &self.scope {
            claims["scope"] = scope.as_str().into();
        }
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let key = field_of(connection, &self.key)?;
        let signature = self.sign(key, signed.as_bytes()).ok_or_else(|| {
            let detail = format!(
                "`{}` of connection `{}` is no private key for {name}: PEM, beginning with -----BEGIN PRIVATE KEY-----",
                self.key, connection.name
            );
            Error::of(Class::Auth, "credential_invalid", detail)
        })?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn algorithm_name(&self) -> &'static str {
        Algorithm::NAMES
            .iter()
            .find(|(_, algorithm)| *algorithm == self.algorithm)
            .map_or("", |(name, _)| name)
    }

    fn sign(&self, key: &Secret, message: &[u8]) -> Option<Vec<u8>> {
        let (der, pkcs1) = der(key.reveal())?;
        // ring takes no other randomness than its own: it blinds RSA, and makes ECDSA's nonces. Nothing that is kept or
        // decided depends on it.
        let chance = SystemRandom::new();
        match self.algorithm {
            Algorithm::Rs256 => {
                let pair = if pkcs1 { RsaKeyPair::from_der(&der) } else { RsaKeyPair::from_pkcs8(&der) };
                let pair = pair.ok()?;
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &chance, message, &mut signature).ok()?;
                Some(signature)
            }
            Algorithm::Es256 => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der, &chance).ok()?;
                pair.sign(&chance, message).ok().map(|signature| signature.as_ref().to_vec())
            }
        }
    }
}

/// The bytes of a PEM, and whether they are PKCS #1. Line ends may be written as `\n`, as in environment files.
fn der(pem: &str) -> Option<(Vec<u8>, bool)> {
    let pem = pem.replace("\\n", "\n");
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (kind, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    Some((STANDARD.decode(body).ok()?, kind == "RSA PRIVATE KEY"))
}
