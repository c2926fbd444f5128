//! Webhook signatures: over the raw bytes, in constant time, and closed where anything is amiss.

use jiff::{SignedDuration, Timestamp};
use ring::hmac;

use crate::credentials::Secret;

/// The longest signature header that is looked at.
const HEADER_BYTES_MAX: usize = 4096;
/// Signatures of one header that are compared; a vendor sends one per secret in rotation.
const SIGNATURES_MAX: usize = 16;
/// Secrets of one connection that are tried.
pub const SECRETS_MAX: usize = 8;

/// Why a delivery was refused. The detail holds nothing of the secret or the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// `secret_missing`, `signature_missing`, `signature_malformed`, `signature_old` or `signature_wrong`.
    pub code: String,
    pub detail: String,
}

impl Rejection {
    fn of(code: &str, detail: &str) -> Rejection {
        Rejection { code: code.into(), detail: detail.into() }
    }
}

/// What is signed, and where the time of signing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// `<timestamp>.<body>`; the time is a pair of the signature's header: `t=1700000000,v1=<hex>,v1=<hex>`.
    Timestamped,
    /// `<version>:<timestamp>:<body>`; the time has a header of its own, beside `v0=<hex>`.
    Versioned,
}

impl Signed {
    pub const NAMES: [(&'static str, Signed); 2] =
        [("hmac_sha256_timestamped", Signed::Timestamped), ("hmac_sha256_versioned", Signed::Versioned)];
}

/// HMAC-SHA256 in a header of `name=value` pairs.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    pub signed: Signed,
    pub header: String,
    /// The pair, or the header, that holds the Unix time of signing.
    pub timestamp: String,
    /// The pairs that hold signatures; pairs of other names are ignored.
    pub signature: String,
    /// The furthest that the time of signing may lie from now, either way.
    pub tolerance: SignedDuration,
}

impl Scheme {
    /// Any signature may match any secret.
    pub fn verify(
        &self,
        secrets: &[Secret],
        headers: &[(String, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if secrets.is_empty() || secrets.iter().any(Secret::is_empty) {
            return Err(Rejection::of("secret_missing", "this connection has no signing secret"));
        }
        let header = header_value(headers, &self.header)?;
        let (pair, signatures) = self.read(header)?;
        let time = match self.signed {
            Signed::Timestamped => pair,
            Signed::Versioned => Some(header_value(headers, &self.timestamp)?),
        };
        let time = time.ok_or_else(|| Rejection::of("signature_malformed", "there is no time of signing"))?;
        let signed_at =
            time.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(
                || Rejection::of("signature_malformed", "the time of signing is not a Unix time"),
            )?;
        let signed = self.text(time, body);
        let matches = secrets.iter().take(SECRETS_MAX).any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
            signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
        });
        if !matches {
            return Err(Rejection::of("signature_wrong", "no signature is of this body and this secret"));
        }
        // After the comparison, so that a wrong secret is never reported as a slow clock.
        if signed_at.duration_since(now).abs() > self.tolerance {
            return Err(Rejection::of("signature_old", "the time of signing is too far from now"));
        }
        Ok(())
    }

    /// What the vendor signs.
    fn text(&self, time: &str, body: &[u8]) -> Vec<u8> {
        let (before, after) = match self.signed {
            Signed::Timestamped => (String::new(), "."),
            Signed::Versioned => (format!("{}:", self.signature), ":"),
        };
        [before.as_bytes(), time.as_bytes(), after.as_bytes(), body].concat()
    }

    /// The time as it is written (it is part of what is signed), where the header has it, and the decoded signatures.
    fn read<'a>(&self, header: &'a str) -> Result<(Option<&'a str>, Vec<Vec<u8>>), Rejection> {
        let mut time = None;
        let mut signatures = Vec::new();
        for pair in header.split(',') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            if name == self.timestamp && self.signed == Signed::Timestamped {
                if time.replace(value).is_some() {
                    return Err(Rejection::of(
                        "signature_malformed",
                        "there is more than one time of signing",
                    ));
                }
            } else if name == self.signature && signatures.len() < SIGNATURES_MAX {
                signatures.extend(hex(value));
            }
        }
        if signatures.is_empty() {
            return Err(Rejection::of("signature_malformed", "there is no signature of a known scheme"));
        }
        Ok((time, signatures))
    }
}

fn header_value<'a>(headers: &'a [(String, String)], wanted: &str) -> Result<&'a str, Rejection> {
    let mut values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let Some((_, value)) = values.next() else {
        return Err(Rejection::of("signature_missing", &format!("there is no header {wanted}")));
    };
    if values.next().is_some() {
        return Err(Rejection::of("signature_malformed", &format!("there is more than one header {wanted}")));
    }
    if value.len() > HEADER_BYTES_MAX {
        return Err(Rejection::of("signature_malformed", &format!("the header {wanted} is too long")));
    }
    Ok(value)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
